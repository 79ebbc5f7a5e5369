//! Notifications between the processes that have a SQLite database open: after a commit a process sets the time of a file beside the
//! database, and inotify wakes the others.
//!
//! The write-ahead log would be a worse sign. A commit is written there before it is synced, and becomes visible only afterwards. Each
//! renewal of a lease is written there too.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use tokio::time::{Instant, sleep, timeout};

use crate::events::Event;
use crate::private_files;

/// How often the time of the file is looked at where no notifications arrive. A look costs a hundredth of a statement.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// The pause before the next look right after a change, which is often followed by another.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);
/// The longest that the kernel takes for a notification, if it sends them for this file system.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// The delay before inotify is tried again after it failed.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How this process tells others of a commit, and hears of theirs.
pub(super) struct Notifications {
    file: PathBuf,
    /// Whether to use inotify where it works.
    listen: bool,
}

impl Notifications {
    /// Those by the time of this file, which need not exist. Every process names the same file.
    pub(super) fn by(file: PathBuf, listen: bool) -> Self {
        Self { file, listen }
    }

    /// Notifies all processes. Errors are ignored: each renewal of a lease reads the log as well.
    pub(super) async fn send(&self) {
        let file = self.file.clone();
        // A full journal of the file system lets this wait.
        let sent = tokio::task::spawn_blocking(move || touch(&file)).await;
        if let Err(error) = sent.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::debug!(%error, "a notification could not be sent");
        }
    }

    /// Calls `wake` for each notification, and polls where none arrive. Never returns.
    pub(super) async fn watch(&self, wake: impl Fn()) {
        let mut is_told = false;
        loop {
            if self.listen
                && let Err(error) = self.listen(&wake).await
            {
                if !is_told {
                    Event::NotifyUnavailable { reason: &error }.record();
                }
                is_told = true;
            }
            self.poll(&wake, LISTEN_AGAIN_AFTER).await;
        }
    }

    /// Calls `wake` for each notification until inotify fails. A first notification of its own shows whether any arrive.
    async fn listen(&self, wake: &impl Fn()) -> io::Result<()> {
        let watch = FolderWatch::of(&self.file)?;
        self.send().await;
        let first = timeout(NOTIFY_TIMEOUT, watch.touched()).await;
        first.map_err(|_| io::Error::other("inotify does not report changes in this folder"))??;
        loop {
            wake();
            watch.touched().await?;
        }
    }

    /// Looks at the time of the file for a while, and calls `wake` when it has changed.
    async fn poll(&self, wake: &impl Fn(), duration: Duration) {
        let (begun, mut pause) = (Instant::now(), LOOK_EVERY);
        let mut known = self.time();
        wake();
        while begun.elapsed() < duration {
            sleep(pause).await;
            // The time is that of the kernel's tick, which does not tell two notifications within one apart. So for some ticks after a
            // change the node is woken anyway. It is also woken while the file cannot be looked at.
            if pause < LOOK_EVERY || known.is_none() {
                wake();
            }
            pause = (pause * 2).min(LOOK_EVERY);
            let found = self.time();
            if found != known {
                (known, pause) = (found, LOOK_AGAIN_AFTER);
                wake();
            }
        }
    }

    /// When the file was last touched, and which file it is.
    fn time(&self) -> Option<(u64, i64, i64)> {
        let found = std::fs::metadata(&self.file).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }
}

/// Sets the time of the file to now, and creates it if it was removed.
fn touch(file: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    // Both times, which inotify reports as a change of the attributes. One by itself would be an access or a write, of which there are
    // many others in this folder.
    let now = Timestamps { last_access: now, last_modification: now };
    match utimensat(CWD, file, &now, AtFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => private_files::make_file(file).map(drop),
        done => Ok(done?),
    }
}

#[cfg(target_os = "linux")]
use linux::FolderWatch;
#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{OsStr, OsString};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Path, io};

    /// An inotify watch of a folder for one file in it, which may be removed and made anew.
    pub(super) struct FolderWatch {
        reports: AsyncFd<OwnedFd>,
        file: OsString,
    }

    impl FolderWatch {
        pub(super) fn of(file: &Path) -> io::Result<Self> {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
                return Err(io::ErrorKind::InvalidFilename.into());
            };
            let reports = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            // SQLite's reads and writes are no changes of attributes. A file that is made anew gets its mode, which is one.
            add_watch(&reports, folder, WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR)?;
            // The unsafe functions in its place ask the caller for a descriptor that stays open, which an OwnedFd is.
            #[expect(deprecated, reason = "the other functions are unsafe")]
            let reports = AsyncFd::with_interest(reports, Interest::READABLE)?;
            Ok(Self { reports, file: name.to_owned() })
        }

        /// Completes when the file was touched or made anew, or the kernel has dropped reports.
        pub(super) async fn touched(&self) -> io::Result<()> {
            loop {
                let mut ready = self.reports.readable().await?;
                if let Ok(read) = ready.try_io(|reports| self.read(reports.get_ref()))
                    && read?
                {
                    return Ok(());
                }
            }
        }

        /// Reads some reports, and returns whether one is about the file.
        fn read(&self, reports: &OwnedFd) -> io::Result<bool> {
            // Some reports with a name of the greatest length fit into it.
            let mut buffer = [MaybeUninit::uninit(); 1024];
            let mut reader = Reader::new(reports, &mut buffer);
            let mut is_touched = false;
            loop {
                let report = reader.next()?;
                let (what, name) = (report.events(), report.file_name());
                if what.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
                    return Err(io::Error::other("the folder of the database was moved or removed"));
                }
                is_touched |= what.contains(ReadFlags::QUEUE_OVERFLOW)
                    || name.is_some_and(|name| OsStr::from_bytes(name.to_bytes()) == self.file);
                if reader.is_buffer_empty() {
                    return Ok(is_touched);
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere::FolderWatch;
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Path, io};

    /// No watch: inotify is Linux's.
    pub(super) enum FolderWatch {}

    impl FolderWatch {
        pub(super) fn of(_: &Path) -> io::Result<Self> {
            Err(io::Error::other("this system has no inotify"))
        }

        pub(super) async fn touched(&self) -> io::Result<()> {
            match *self {}
        }
    }
}

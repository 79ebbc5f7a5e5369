//! The folder beside the filter in which it is made, so that the filter is never half-written and a killed run is resumed.
//!
//! It holds the keys, the unfinished filter, and how far both are known to be complete on the disk. A lock keeps a second run
//! out.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use handstamp::private_files::{self, cannot};
use handstamp_core::blocklist::SHARDS;
use serde::{Deserialize, Serialize};

use super::input::Position;
use super::key_log;
use crate::CliError;

/// How far a run has come.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Progress {
    /// The identity of the input and the flags: a run with others begins anew.
    pub(super) of: String,
    pub(super) position: Position,
    /// Whether all input is read.
    pub(super) is_read: bool,
    /// The bytes of the input that were read.
    pub(super) bytes: u64,
    /// The lines that count, and those that do not, as they were seen too few times.
    pub(super) kept: u64,
    pub(super) rare: u64,
    /// The length of the file of keys, and the last block of each shard in it.
    pub(super) log_length: u64,
    pub(super) last_blocks: Vec<u64>,
    /// The number of shards that are in the filter.
    pub(super) shards: usize,
}

impl Progress {
    fn none(of: String) -> Self {
        Self {
            of,
            position: Position::default(),
            is_read: false,
            bytes: 0,
            kept: 0,
            rare: 0,
            log_length: key_log::BEGIN,
            last_blocks: vec![0; SHARDS],
            shards: 0,
        }
    }
}

/// The remains of an earlier run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// This run goes on with them.
    Resumed,
    /// They are for another input or other flags, or not complete.
    Unusable,
}

/// The folder, locked.
pub(super) struct WorkFolder {
    path: PathBuf,
    output: PathBuf,
    /// Held until the end of the run.
    _lock: File,
}

impl WorkFolder {
    /// Makes and locks the folder for this filter.
    ///
    /// # Errors
    /// When the folder cannot be made, belongs to another user, or another run uses it.
    pub(super) fn open(output: &Path) -> Result<Self, CliError> {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = output.with_file_name(name);
        // Making the folder would make the one above as well.
        let above = folder_of(output);
        if !above.is_dir() {
            return Err(CliError::failure(format!("there is no folder {}", above.display())));
        }
        private_files::make_folder(&path).map_err(CliError::failure)?;
        private_files::refuse_if_open_to_others(&path).map_err(CliError::failure)?;
        let lock = path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(|error| CliError::failure(cannot("make", &lock, &error)))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, output: output.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => {
                Err(CliError::failure(format!("another run is making {}", output.display())))
            }
            Err(TryLockError::Error(error)) => Err(CliError::failure(cannot("lock", &lock, &error))),
        }
    }

    /// The file of keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The unfinished filter.
    pub(super) fn filter(&self) -> PathBuf {
        self.path.join("filter")
    }

    /// The progress of an earlier run with the same input and flags, or none.
    ///
    /// # Errors
    /// When it cannot be read, or an unusable one cannot be removed.
    pub(super) fn progress(&self, of: String) -> Result<(Progress, Left), CliError> {
        let path = self.path.join("progress.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Progress::none(of), Left::Nothing)),
            Err(error) => return Err(CliError::failure(cannot("read", &path, &error))),
        };
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let is_usable = |progress: &Progress| {
            progress.of == of
                && progress.last_blocks.len() == SHARDS
                && progress.log_length <= length(self.keys())
                // It is gone if the earlier run was killed after it had put the filter in its place.
                && (progress.shards == 0 || length(self.filter()) > 0)
        };
        if let Some(progress) = serde_json::from_slice(&text).ok().filter(is_usable) {
            return Ok((progress, Left::Resumed));
        }
        // The files are overwritten from here on, so it must not be taken for theirs.
        let removed = fs::remove_file(&path).and_then(|()| sync(&self.path));
        removed.map_err(|error| CliError::failure(cannot("remove", &path, &error)))?;
        Ok((Progress::none(of), Left::Unusable))
    }

    /// Stores the progress; what it says must be on the disk already.
    ///
    /// # Errors
    /// When it cannot be written. The one before is still there then.
    pub(super) fn store(&self, progress: &Progress) -> Result<(), CliError> {
        let (path, new) = (self.path.join("progress.json"), self.path.join("progress.new"));
        let text = serde_json::to_vec(progress).map_err(CliError::failure)?;
        let stored =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_data()?;
                fs::rename(&new, &path)?;
                sync(&self.path)
            });
        stored.map_err(|error| self.unwritable(&new, &error))
    }

    /// Puts the filter in its place, where every user can read it, and removes the folder.
    ///
    /// # Errors
    /// When the filter cannot be written, which leaves an earlier one as it was.
    pub(super) fn finish(self, filter: &File) -> Result<(), CliError> {
        let placed = filter.set_permissions(Permissions::from_mode(0o644)).and_then(|()| {
            filter.sync_all()?;
            fs::rename(self.filter(), &self.output)?;
            sync(folder_of(&self.output))
        });
        placed.map_err(|error| self.unwritable(&self.output, &error))?;
        self.remove()
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(self) -> Result<(), CliError> {
        fs::remove_dir_all(&self.path).map_err(|error| CliError::failure(cannot("remove", &self.path, &error)))
    }

    /// The error of files that are not as they were written.
    pub(super) fn damaged(&self, path: &Path, error: &io::Error) -> CliError {
        CliError::failure(format!("{}; remove {} to begin anew", cannot("read", path, error), self.path.display()))
    }

    /// The error of a write, with how to go on.
    pub(super) fn unwritable(&self, path: &Path, error: &io::Error) -> CliError {
        CliError::failure(format!(
            "{}; the same command goes on from what is in {}",
            cannot("write", path, error),
            self.path.display()
        ))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a change of the names in a folder survive a crash of the machine.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

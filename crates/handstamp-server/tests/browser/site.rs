//! The fixture of a browser test: the program with a folder of its own, and chromedriver.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::browser::{Chromedriver, Profile};
use crate::visitor::Visitor;

const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// A site of its own for one test. Its processes end when it is dropped, also when the test fails.
pub(crate) struct Site {
    // Dropped in this order, so that no process writes to the folder when it is removed.
    chromedriver: Chromedriver,
    server: Process,
    folder: Folder,
    url: String,
    address: String,
    profiles: Cell<u32>,
}

impl Site {
    pub(crate) fn opens() -> Self {
        Self::opens_with(&[])
    }

    /// With more settings.
    pub(crate) fn opens_with(settings: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let chromedriver = Chromedriver::start();
        let (server, url, address) = serve(&folder, 0, settings);
        Self { chromedriver, server, folder, url, address, profiles: Cell::new(0) }
    }

    /// The listen address of the program.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Stops the process with SIGTERM, as an operator does, and starts another.
    pub(crate) fn restarts(&mut self) {
        assert!(self.server.stops_when_told(), "the server did not stop within {STOPS_WITHIN:?} of SIGTERM");
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        (self.server, self.url, self.address) = serve(&self.folder, port.unwrap(), &[]);
    }

    /// A visitor whose browser has a new profile.
    pub(crate) async fn visitor(&self) -> Visitor {
        self.profiles.set(self.profiles.get() + 1);
        self.visitor_with(Profile(self.folder.0.join(format!("profile-{}", self.profiles.get())))).await
    }

    /// The same, for whom the site has this URL.
    pub(crate) async fn visitor_at(&self, url: &str) -> Visitor {
        let profile = Profile(self.folder.0.join("profile-elsewhere"));
        Visitor::new(self.chromedriver.opens(&profile).await, profile, url.to_owned())
    }

    /// A visitor who opens a browser with an existing profile.
    pub(crate) async fn visitor_with(&self, profile: Profile) -> Visitor {
        Visitor::new(self.chromedriver.opens(&profile).await, profile, self.url.clone())
    }
}

/// The process, the URL that it prints, and its listen address.
fn serve(folder: &Folder, port: u16, settings: &[(&str, &str)]) -> (Process, String, String) {
    let log = File::create(folder.0.join("server.log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_handstamp"));
    command
        .current_dir(&folder.0)
        .args(["serve", "--data-dir", "data", "--listen", &format!("127.0.0.1:{port}")])
        .envs([("HANDSTAMP_HASHING__MEMORY_KIB", "8"), ("HANDSTAMP_HASHING__ITERATIONS", "1")])
        .envs(settings.iter().copied())
        .stderr(log);
    let (process, line) = Process::start(command, "Handstamp is at ");
    let url = line.split(' ').next().unwrap().to_owned();
    let address = line.split("listening on ").nth(1).unwrap().trim_end_matches(')').to_owned();
    (process, url, address)
}

/// A process that is killed when this is dropped, if it still runs.
pub(crate) struct Process {
    child: Child,
    // Kept open, since a process that prints to a closed pipe is killed.
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it and waits for the line that begins with these words; gives the rest of the line.
    pub(crate) fn start(mut command: Command, announcement: &str) -> (Self, String) {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut process = Self { stdout: BufReader::new(child.stdout.take().unwrap()), child };
        let mut line = String::new();
        while process.stdout.read_line(&mut line).unwrap() > 0 {
            if let Some(rest) = line.strip_prefix(announcement) {
                return (process, rest.trim_end().to_owned());
            }
            line.clear();
        }
        panic!("{command:?} ended without saying \"{announcement}\"");
    }

    pub(crate) fn has_ended_within(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if start.elapsed() > time {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    fn stops_when_told(&mut self) -> bool {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        told.unwrap().success() && self.has_ended_within(STOPS_WITHIN)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both may fail if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("handstamp-browser-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! The fixture of a browser test: the program with a folder of its own, and chromedriver.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handstamp_testing::{Program, TempFolder, handstamp_binary};

use crate::browser::{Chromedriver, Profile};
use crate::browser_user::BrowserUser;

const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// A site of its own for one test. Its processes end when it is dropped, also when the test fails.
pub(crate) struct Site {
    // Dropped in this order, so that no process writes to the folder when it is removed.
    chromedriver: Chromedriver,
    server: Program,
    folder: TempFolder,
    url: String,
    profiles: Cell<u32>,
}

impl Site {
    pub(crate) fn opens() -> Self {
        Self::opens_with(&[])
    }

    /// With more settings.
    pub(crate) fn opens_with(settings: &[(&str, &str)]) -> Self {
        Self::opens_at(0, settings)
    }

    /// On a port of its own, with more settings.
    pub(crate) fn opens_at(port: u16, settings: &[(&str, &str)]) -> Self {
        let folder = TempFolder::new();
        let chromedriver = Chromedriver::start();
        let (server, url) = serve(&folder, port, settings);
        Self { chromedriver, server, folder, url, profiles: Cell::new(0) }
    }

    /// The listen address of the program.
    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of an operator on the site.
    pub(crate) fn runs(&self, arguments: &[&str]) {
        let mut command = Command::new(handstamp_binary());
        let command = command.current_dir(self.folder.path()).args(arguments).args(["--data-dir", "data"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8(output.stderr).unwrap());
    }

    /// Stops the process with SIGTERM, as an operator does, and starts another.
    pub(crate) fn restarts(&mut self) {
        self.server.signal("TERM");
        assert!(self.server.ends_within(STOPS_WITHIN), "the server did not stop within {STOPS_WITHIN:?} of SIGTERM");
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        (self.server, self.url) = serve(&self.folder, port.unwrap(), &[]);
    }

    /// A visitor whose browser has a new profile.
    pub(crate) async fn visitor(&self) -> BrowserUser {
        self.profiles.set(self.profiles.get() + 1);
        self.visitor_with(Profile(self.folder.path().join(format!("profile-{}", self.profiles.get())))).await
    }

    /// The same, for whom the site has this URL.
    pub(crate) async fn visitor_at(&self, url: &str) -> BrowserUser {
        let profile = Profile(self.folder.path().join("profile-elsewhere"));
        BrowserUser::new(self.chromedriver.opens(&profile).await, profile, url.to_owned())
    }

    /// A visitor who opens a browser with an existing profile.
    pub(crate) async fn visitor_with(&self, profile: Profile) -> BrowserUser {
        BrowserUser::new(self.chromedriver.opens(&profile).await, profile, self.url.clone())
    }
}

/// The server, and the URL that it prints.
fn serve(folder: &TempFolder, port: u16, settings: &[(&str, &str)]) -> (Program, String) {
    let log = File::create(folder.path().join("server.log")).unwrap();
    let mut command = Command::new(handstamp_binary());
    command
        .current_dir(folder.path())
        .args(["serve", "--data-dir", "data", "--listen", &format!("127.0.0.1:{port}")])
        .envs([("HANDSTAMP_HASHING__MEMORY_KIB", "8"), ("HANDSTAMP_HASHING__ITERATIONS", "1")])
        .envs(settings.iter().copied())
        .stderr(log);
    let server = Program::start(&mut command, "Handstamp is at ");
    let url = server.announced("Handstamp is at ").to_owned();
    (server, url)
}

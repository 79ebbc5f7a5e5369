//! Chromium, driven by chromedriver.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use handstamp_testing::Program;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// The folder in which a browser keeps its cookies and other data.
pub(crate) struct Profile(pub(crate) PathBuf);

pub(crate) struct Chromedriver {
    program: Program,
    port: u16,
    chromium: PathBuf,
}

impl Chromedriver {
    pub(crate) fn start() -> Self {
        let chromium = installed(&["chromium", "chromium-browser", "google-chrome"]);
        let mut command = Command::new(installed(&["chromedriver"]));
        command.args(["--port=0", "--log-level=SEVERE"]);
        let words = "ChromeDriver was started successfully on port ";
        // It takes a free port of IPv6, and ends if a connection of another test has the same port of IPv4.
        let program = (0..3).find_map(|_| Program::try_start(&mut command, words).ok());
        let program = program.unwrap_or_else(|| Program::start(&mut command, words));
        let port = program.announced(words).trim_end_matches('.').parse().unwrap();
        Self { program, port, chromium }
    }

    /// A browser with this profile.
    pub(crate) async fn opens(&self, profile: &Profile) -> Client {
        let capabilities = json!({
            "goog:chromeOptions": {
                "binary": self.chromium,
                "args": [
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--host-resolver-rules=MAP *.handstamp.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
                    // No public authority has signed the certificates of handstamp.test.
                    "--ignore-certificate-errors",
                    // Chromium ends with chromedriver, even if that is killed.
                    "--remote-debugging-pipe",
                    format!("--user-data-dir={}", profile.0.display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is written above as an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let opened = builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{}", self.port)).await;
        opened.unwrap_or_else(|error| panic!("Chromium cannot be opened: {error}"))
    }

    /// Closes all browsers.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        // If either fails, dropping the process kills it.
        let _ = self.shut_down();
        self.program.ends_within(Duration::from_secs(5));
    }
}

/// The path of the first of these programs that is installed.
fn installed(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    found.into_iter().find(|program: &PathBuf| Path::is_file(program)).unwrap_or_else(|| {
        let names = names.join(" or ");
        panic!(
            "The browser tests need Chromium and chromedriver (on Debian: apt install chromium chromium-driver), \
             and there is no {names} in the PATH."
        )
    })
}

/// A command of chromedriver beyond the WebDriver standard: its path and its body.
#[derive(Debug)]
pub(crate) struct Extra(&'static str, Value);

impl Extra {
    /// The messages of the console since the last call.
    pub(crate) fn console() -> Self {
        Self("se/log", json!({ "type": "browser" }))
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) fn devtools(command: &str, parameters: Value) -> Self {
        Self("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// The accessible name of an element (WebDriver §12.4.9).
#[derive(Debug)]
pub(crate) struct ComputedLabel(pub(crate) String);

impl WebDriverCompatibleCommand for ComputedLabel {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/element/{}/computedlabel", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::GET, None)
    }
}

//! An application that gets webhooks, and verifies them by the reference implementation of Standard Webhooks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::mail_server::make_certificates;
use crate::program::start_in_python;
use crate::{Program, TempFolder};

/// A running application. `webhook_receiver.py` has the behaviours: `accept`, `fail`, `gone` and so on.
///
/// Dropping it kills the process.
#[derive(Debug)]
pub struct WebhookReceiver {
    folder: TempFolder,
    program: Option<Program>,
    arguments: Vec<String>,
    port: u16,
}

impl WebhookReceiver {
    /// The secret of its webhooks.
    pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    /// Starts an application with this behaviour and further arguments of `webhook_receiver.py`, such as `--any-time`.
    ///
    /// # Panics
    /// If it cannot be started, as where `script/test` has not installed standardwebhooks.
    pub fn start(behaviour: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let folder = TempFolder::new();
        if arguments.iter().any(|argument| argument == "--tls") {
            make_certificates(folder.path());
        }
        let mut receiver = Self { folder, program: None, arguments, port: 0 };
        receiver.start_again(behaviour);
        receiver
    }

    /// Starts the application again, on the same port, with another behaviour.
    pub fn start_again(&mut self, behaviour: &str) {
        self.stop();
        let mut arguments = vec![behaviour, Self::SECRET];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let (program, port) = start_in_python("webhook_receiver.py", self.folder.path(), &arguments, self.port);
        (self.program, self.port) = (Some(program), port);
    }

    /// Kills the application. Its port stays the same for [`start_again`](Self::start_again).
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// The URL for the setting `webhooks.url`.
    pub fn url(&self) -> String {
        let scheme = if self.arguments.iter().any(|argument| argument == "--tls") { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/webhooks?of=handstamp", self.port)
    }

    /// The certificate of the authority that signed that of the application.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// All requests that it has received: objects with `path`, `client` (the port), `headers`, `verified` and `body`.
    pub fn received(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("received")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Blocks until it has received so many requests, and returns them.
    ///
    /// # Panics
    /// If there are fewer after twenty seconds.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        while self.received().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "there are only {:?}", self.received());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.received()
    }
}

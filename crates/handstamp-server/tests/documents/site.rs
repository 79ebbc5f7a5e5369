//! A folder in which commands run, with addresses of its own in place of those that the documents have.

use std::fs::Permissions;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The ports in the documents: Handstamp, the proxy, the app, and the app that Handstamp stands in front of.
const PORTS: [u16; 4] = [8080, 8000, 3000, 5000];

pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    /// The port in place of each of `PORTS`.
    ports: [u16; 4],
    /// Further environment variables of all commands.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The commands that were started with `&`, in order.
    background: Vec<Child>,
}

impl Site {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("handstamp-documents-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        // All are taken at once, so that they differ.
        let taken = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = taken.map(|taken| taken.local_addr().unwrap().port());
        Self { folder, ports, variables: Vec::new(), background: Vec::new() }
    }

    /// The port that stands for one of the documents.
    pub(crate) fn port(&self, printed: u16) -> u16 {
        self.ports[PORTS.iter().position(|port| *port == printed).unwrap()]
    }

    fn with_own_ports(&self, commands: &str) -> String {
        PORTS.iter().fold(commands.to_owned(), |text, port| {
            text.replace(&format!(":{port}"), &format!(":{}", self.port(*port)))
        })
    }

    fn shell(&self, commands: &str) -> Command {
        let own = Path::new(env!("CARGO_BIN_EXE_handstamp")).parent().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-euc", &self.with_own_ports(commands)]).current_dir(&self.folder).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin", own.display()));
        // In place of the default, 127.0.0.1:8080.
        shell.env("HANDSTAMP_LISTEN", format!("127.0.0.1:{}", self.port(8080)));
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell
    }

    /// Runs commands that end, with this text as standard input, and returns what they print.
    pub(crate) fn run(&self, commands: &str, input: &str) -> String {
        let mut shell = self.shell(commands);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = shell.stdin.take().unwrap().write_all(input.as_bytes());
        let output = shell.wait_with_output().unwrap();
        let (printed, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{commands}\n{}\n{printed}\n{errors}", output.status);
        printed
    }

    /// Starts a command that runs until the end of the test, and waits until it serves the port that stands for this.
    pub(crate) fn start(&mut self, command: &str, port: u16) {
        let log = std::fs::File::create(self.folder.join(format!("log-{}", self.background.len()))).unwrap();
        let command = command.trim_end().trim_end_matches('&');
        // Variables in front of a command belong to it: `A=b exec handstamp serve`.
        let at = command.find("handstamp serve").or_else(|| command.find("nginx ")).unwrap();
        let mut shell = self.shell(&format!("{}exec {}", &command[..at], &command[at..]));
        let streams = (log.try_clone().unwrap(), log);
        self.background.push(shell.stdin(Stdio::null()).stdout(streams.0).stderr(streams.1).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        // Handstamp listens before it has opened the database, and says when it serves.
        let is_handstamp = command.contains("handstamp serve");
        while TcpStream::connect(("127.0.0.1", self.port(port))).is_err()
            || (is_handstamp && !self.log().contains("Handstamp is at"))
        {
            let ended = self.background.last_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{command}\n{ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The output of the last command in the background.
    pub(crate) fn log(&self) -> String {
        let last = self.background.len() - 1;
        std::fs::read_to_string(self.folder.join(format!("log-{last}"))).unwrap()
    }

    /// Waits until the last log has this text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        for _ in 0..200 {
            if self.log().contains(text) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{text:?} is not in the log: {}", self.log());
    }

    /// The permissions of a file, as `stat` prints them.
    pub(crate) fn mode(&self, file: &str) -> u32 {
        std::fs::metadata(self.folder.join(file)).unwrap().mode() & 0o777
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in self.background.iter_mut().rev() {
            // nginx ends its children only if it is asked to end.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

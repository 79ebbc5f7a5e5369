//! A program that a test starts, and that announces on standard output that it is ready.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starts a program of this crate in Python, which has the packages that `script/test` installs. Its first argument is a folder for
/// what it writes, its errors included. Returns it with its port: this one, or a free one for 0.
pub(crate) fn start_in_python(file: &str, folder: &Path, arguments: &[&str], port: u16) -> (Program, u16) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(repository.join("target/tools/bin/python"));
    command.arg(repository.join("crates/handstamp-testing/src").join(file));
    start_in(folder, command, arguments, port)
}

/// The same for a program of this crate in Node.js, beside the packages that `script/test` installs.
#[cfg(feature = "server")]
pub(crate) fn start_in_node(file: &str, folder: &Path, arguments: &[&str], port: u16) -> (Program, u16) {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    start_in(folder, command, arguments, port)
}

fn start_in(folder: &Path, mut command: Command, arguments: &[&str], port: u16) -> (Program, u16) {
    command.arg(folder).args(arguments).args(["--port", &port.to_string()]);
    let begun = Instant::now();
    loop {
        let errors = File::create(folder.join("errors")).unwrap();
        match Program::try_start(command.stderr(errors), "listening on ") {
            Ok(program) => {
                let port = program.address().rsplit_once(':').unwrap().1.parse().unwrap();
                return (program, port);
            }
            // A connection of another test may have got the port while the program was stopped.
            Err(_) if port != 0 && begun.elapsed() < Duration::from_secs(20) => sleep(Duration::from_millis(100)),
            Err(_) => panic!("{command:?}: {}", std::fs::read_to_string(folder.join("errors")).unwrap_or_default()),
        }
    }
}

/// A running program, which is killed when dropped.
#[derive(Debug)]
pub struct Program {
    process: Child,
    /// Kept open, since a program that prints to a closed pipe is killed.
    stdout: BufReader<ChildStdout>,
    announcement: String,
}

impl Program {
    /// Starts a program, and waits until it prints a line that contains these words.
    ///
    /// # Panics
    /// If the program cannot be started, or closes its standard output before it prints such a line. The message contains what
    /// it printed there.
    pub fn start(command: &mut Command, words: &str) -> Self {
        match Self::try_start(command, words) {
            Ok(program) => program,
            Err(printed) => panic!("{command:?} did not print {words:?}, only {printed:?}"),
        }
    }

    /// The same, but returns an error if there is no such line.
    ///
    /// # Errors
    /// What the program printed on standard output before it closed that. The program has been killed.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn try_start(command: &mut Command, words: &str) -> Result<Self, String> {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let mut program = Self { process, stdout, announcement: String::new() };
        let mut printed = String::new();
        while !program.announcement.contains(words) {
            printed += &program.announcement;
            program.announcement.clear();
            if program.stdout.read_line(&mut program.announcement).unwrap() == 0 {
                return Err(printed);
            }
        }
        Ok(program)
    }

    /// The word in the announcement that follows these words, without a closing parenthesis.
    ///
    /// # Panics
    /// If the announcement does not contain the words.
    pub fn announced(&self, words: &str) -> &str {
        let (_, rest) = self.announcement.split_once(words).unwrap_or_else(|| panic!("{words:?}: {self:?}"));
        rest.split_whitespace().next().unwrap_or_default().trim_end_matches(')')
    }

    /// The address and port after `listening on`.
    pub fn address(&self) -> &str {
        self.announced("listening on ")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, such as `STOP` or `TERM`.
    ///
    /// # Panics
    /// If the process has already been waited for.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal} cannot be sent to {self:?}");
    }

    /// Waits until the program ends.
    pub fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Whether the program ends within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        while self.is_running() {
            if begun.elapsed() > time {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if the program has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address on loopback at which nothing listens at the moment. Each call returns another.
///
/// Its port is below those that the kernel gives to outgoing connections, which would otherwise take it now and then before it
/// is used.
pub fn free_address() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(389);
    loop {
        let port = 20_000 + start.wrapping_add(CALLS.fetch_add(1, Ordering::SeqCst)) % 10_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(commands: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", commands]);
        command
    }

    #[test]
    fn a_program_is_started_once_it_announces_that_it_listens() {
        let commands = "echo starting; echo 'App is at http://localhost (listening on 127.0.0.1:80)'; exec sleep 60";
        let mut program = Program::start(&mut shell(commands), "listening on ");
        assert_eq!((program.address(), program.announced("App is at ")), ("127.0.0.1:80", "http://localhost"));
        assert!(program.is_running() && !program.ends_within(Duration::ZERO));
        program.signal("TERM");
        assert!(program.ends_within(Duration::from_secs(10)));
    }

    #[test]
    fn a_program_that_ends_early_is_reported_with_what_it_printed() {
        let printed = Program::try_start(&mut shell("echo no database; exit 1"), "listening on ").unwrap_err();
        assert_eq!(printed, "no database\n");
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let program = Program::start(&mut shell("echo listening on nothing; exec sleep 60"), "listening on ");
        let process = format!("/proc/{}", program.pid());
        assert!(std::fs::exists(&process).unwrap());
        drop(program);
        assert!(!std::fs::exists(&process).unwrap());
    }
}

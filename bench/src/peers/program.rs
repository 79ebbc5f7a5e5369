//! A program that is measured, on the cores that it is given.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Program {
    process: Child,
    pub address: SocketAddr,
}

impl Program {
    /// # Panics
    /// When it does not say where it listens.
    pub fn start(cores: &str, binary: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(binary)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("taskset is there");
        let mut output = BufReader::new(process.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            let length = output.read_line(&mut line).expect("what it prints is text");
            assert!(length > 0, "{} did not start", binary.display());
        }
        let address = line.split("listening on ").nth(1).expect("it says so").trim_end().trim_end_matches(')');
        Self { process, address: address.parse().expect("it is an address") }
    }

    /// Processor time so far, its own and the system's for it.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // Behind its name, which may hold anything, the 12th and 13th are the times in user and in system mode.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
        let ticks = |place: usize| fields[place].parse::<u64>().expect("ticks are a number");
        // A hundred in a second on Linux, whatever the kernel's own.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// What it has in memory, in MiB.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("it is counted in kB") / 1024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

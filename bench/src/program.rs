//! A measured program, on the cores that it is given.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub struct Program {
    process: Child,
    pub address: SocketAddr,
    /// The time from the command until it can answer.
    pub started_in: Duration,
}

impl Program {
    /// # Panics
    /// When it does not print where it listens.
    pub fn start(cores: &str, binary: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let begun = Instant::now();
        let mut process = spawn(cores, binary, arguments, variables);
        let mut output = BufReader::new(process.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            let length = output.read_line(&mut line).expect("what it prints is text");
            assert!(length > 0, "{} did not start", binary.display());
        }
        let address = line.split("listening on ").nth(1).expect("it says so").trim_end().trim_end_matches(')');
        Self { process, address: address.parse().expect("it is an address"), started_in: begun.elapsed() }
    }

    /// Starts a program that does not print where it listens.
    ///
    /// # Panics
    /// When it does not accept connections at this address within ten seconds.
    pub fn start_at(address: SocketAddr, cores: &str, binary: &Path, arguments: &[&str]) -> Self {
        let begun = Instant::now();
        let process = spawn(cores, binary, arguments, &[]);
        let mut program = Self { process, address, started_in: Duration::ZERO };
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} did not start", binary.display());
            sleep(Duration::from_millis(1));
        }
        program.started_in = begun.elapsed();
        program
    }

    /// Stops it, waits until it has ended, and gives the processor time that this took.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn end(mut self) -> Duration {
        let process = self.process.id();
        let before = Stat::of(process).processor_time;
        let told = Command::new("kill").arg(process.to_string()).status();
        assert!(told.is_ok_and(|told| told.success()), "it runs");
        loop {
            let stat = Stat::of(process);
            if stat.has_ended {
                let _ = self.process.wait();
                return stat.processor_time - before;
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// The processor time so far of all its processes, in user and in system mode.
    pub fn processor_time(&self) -> Duration {
        self.processes().into_iter().map(|process| Stat::of(process).processor_time).sum()
    }

    /// The resident memory of all its processes, in MiB. Shared memory counts once.
    pub fn memory(&self) -> f64 {
        let kib = self.processes().into_iter().map(|process| {
            let memory = read(process, "smaps_rollup");
            let line = memory.lines().find_map(|line| line.strip_prefix("Pss:")).expect("it has memory");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("it is counted in kB")
        });
        kib.sum::<f64>() / 1024.0
    }

    /// A figure of the memory of its first process, in KiB: `VmRSS` is what is resident, `VmHWM` the most so far.
    ///
    /// # Panics
    /// When there is no such figure.
    pub fn kib(&self, figure: &str) -> f64 {
        let status = read(self.process.id(), "status");
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).expect("it is counted in kB")
    }

    /// The process that was started, and its descendants that still run.
    fn processes(&self) -> Vec<u32> {
        let mut processes = vec![self.process.id()];
        let mut looked = 0;
        while let Some(&process) = processes.get(looked) {
            let children =
                std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(|child| child.parse::<u32>().expect("it is a number")));
            looked += 1;
        }
        processes
    }
}

fn spawn(cores: &str, binary: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    Command::new("taskset")
        .args(["--cpu-list", cores])
        .arg(binary)
        .args(arguments)
        // The names of its cookies do not depend on the port.
        .env("HANDSTAMP_PUBLIC_URL", "http://localhost")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("taskset is installed")
}

/// The statistics of a process, from the kernel.
struct Stat {
    processor_time: Duration,
    /// Whether it has ended, and its exit status has not been collected yet.
    has_ended: bool,
}

impl Stat {
    fn of(process: u32) -> Self {
        let stat = read(process, "stat");
        // After the name, which may contain anything, the first field is the state, and the 12th and 13th are the times in
        // user and in system mode.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
        let ticks = [11, 12].map(|place: usize| fields[place].parse::<u64>().expect("ticks are a number"));
        // Linux reports a hundred ticks per second, whatever the kernel's own rate.
        let processor_time = Duration::from_millis(ticks.iter().sum::<u64>() * 10);
        Self { processor_time, has_ended: fields[0] == "Z" }
    }
}

fn read(process: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/{file}")).expect("it runs")
}

impl Drop for Program {
    fn drop(&mut self) {
        // The workers of nginx outlive their parent, which would replace them if they were killed first.
        let workers: Vec<_> = self.processes().iter().skip(1).map(u32::to_string).collect();
        let _ = self.process.kill();
        if !workers.is_empty() {
            let _ = Command::new("kill").arg("-KILL").args(workers).status();
        }
        let _ = self.process.wait();
    }
}

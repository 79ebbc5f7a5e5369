//! The machine that measures, and how its cores are divided between server and clients.

use std::process::Command;

pub struct Machine {
    cores: usize,
    together: bool,
    processor: String,
    kernel: String,
    rust: String,
    date: String,
    /// The load average of the last minute, at the start: other processes may have been running.
    busy: String,
}

impl Machine {
    /// Pins this thread, and all that it starts, to the last core, unless clients and server are to share all cores: real
    /// clients have cores of their own.
    ///
    /// # Panics
    /// Where there is no `taskset`.
    pub fn divide(together: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let together = together || cores == 1;
        if !together {
            keep_this_thread_to(&(cores - 1).to_string());
        }
        let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = facts.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores,
            together,
            processor: processor.unwrap_or("unknown").to_owned(),
            kernel: says("uname", &["-sr"]),
            rust: says("rustc", &["--version"]),
            date: says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            busy: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    pub fn server_cores(&self) -> String {
        format!("0-{}", self.server_count() - 1)
    }

    pub fn server_count(&self) -> usize {
        if self.together { self.cores } else { self.cores - 1 }
    }

    /// The machine, the date, and the division of the cores.
    pub fn description(&self) -> String {
        let Self { processor, kernel, rust, date, busy, .. } = self;
        let division = self.division();
        format!("{processor}, {kernel}, {rust}, {date}. {division}. Load average at the start: {busy}.")
    }

    fn division(&self) -> String {
        match (self.together, self.server_count()) {
            (true, cores) => format!("Server and clients share all cores ({cores})"),
            (false, 1) => format!("One core of {} for the server, another for all clients", self.cores),
            (false, cores) => format!("{cores} cores of {} for the server, one for all clients", self.cores),
        }
    }
}

/// Lets this thread, and what it starts from now on, run on these cores only: `0-2`, as taskset takes them.
///
/// # Panics
/// Where there is no `taskset`.
pub fn keep_this_thread_to(cores: &str) {
    let thread = std::fs::read_link("/proc/thread-self").expect("Linux gives a thread its id");
    let id = thread.file_name().expect("it ends with the id");
    let done = Command::new("taskset").args(["--cpu-list", "--pid", cores]).arg(id).output();
    assert!(done.is_ok_and(|done| done.status.success()), "taskset is installed");
}

/// The version of Handstamp, by git.
pub fn version() -> String {
    says("git", &["describe", "--always", "--dirty"])
}

/// The output of a command.
pub fn says(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8(output).unwrap_or_default().trim().to_owned()
}

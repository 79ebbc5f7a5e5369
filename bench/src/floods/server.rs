//! The flooded server: `handstamp serve` as it is shipped, in a new folder, on the cores that it is given.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use handstamp_bench::client;

pub struct Server {
    process: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Server {
    /// # Panics
    /// When it does not start.
    pub fn start(binary: &Path, cores: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("handstamp-floods-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("the folder for temporary files can be written");
        let (process, address) = Self::run(binary, cores, &folder)
            .unwrap_or_else(|| panic!("it did not start: see {}/log", folder.display()));
        Self { process, folder, address }
    }

    fn run(binary: &Path, cores: &str, folder: &Path) -> Option<(Child, SocketAddr)> {
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let mut process = Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .env_clear()
            .envs(["HOME", "PATH"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            // The clients count as a proxy, so that they can name many addresses.
            .env("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1")
            .env("HANDSTAMP_PUBLIC_URL", "http://localhost")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("taskset is installed");
        let mut line = String::new();
        let output = process.stdout.take().expect("it was asked for");
        BufReader::new(output).read_line(&mut line).expect("what it prints is text");
        let address =
            line.split("listening on ").nth(1).and_then(|rest| rest.trim_end().strip_suffix(')')?.parse().ok());
        if address.is_none() {
            // It has logged what is wrong, and ends.
            let _ = process.wait();
        }
        Some((process, address?))
    }

    /// The cookies of a newly registered user.
    ///
    /// # Panics
    /// When the registration fails.
    pub fn member(&self) -> String {
        client::register(self.address, "192.0.2.1", "Ada+Lovelace", "ada%40example.com")
    }

    /// A line of the kernel's statistics of its memory, in MiB.
    ///
    /// # Panics
    /// When it no longer runs.
    pub fn memory(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).expect("it has memory");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("it is counted in kB");
        kib / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // After a panic the log stays, as it says what went wrong.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

//! A private PostgreSQL server for tests, from the binaries that the system has installed.
//!
//! A server is stopped and deleted when the test program ends, even if it is killed.

use std::io::{Error, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A shell script that runs until its standard input ends, which is when the test program ends. Until then it stops and starts
/// the server as commands on its standard input say.
const KEEPER: &str = r#"
set -eu
trap '' INT TERM
folder=$1 bin=$2 port=$3 connections=$4 copied=${5:-}
as=
if [ "$(id -u)" = 0 ]; then
    chown nobody "$folder"
    as='setpriv --reuid=nobody --regid=nogroup --clear-groups'
fi
cd "$folder"
if [ -n "$copied" ]; then
    $as "$bin/pg_basebackup" -h 127.0.0.1 -p "$copied" -U postgres -D "$folder/data" -X stream -c fast > "$folder/log" 2>&1
else
    $as "$bin/initdb" -A trust --no-sync -U postgres -D "$folder/data" > "$folder/log" 2>&1
fi
start() {
    $as "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$folder" -c fsync=off -c autovacuum=off -c max_connections="$connections" < /dev/null >> "$folder/log" 2>&1 &
    server=$!
}
stop() {
    kill -INT "$server" || true
    wait "$server" || true
}
start
while read -r word; do "$word"; done
stop
rm -rf "$folder"
"#;

/// A running PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    /// The server runs until the standard input of this process is closed.
    keeper: Child,
}

impl Postgres {
    /// The server that all tests of this program share, with a database for each test.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// The URL of a new, empty database.
    pub fn new_database(&self) -> String {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        let made = self.client("psql").args(["-d", "postgres", "-qc", &format!("CREATE DATABASE {name}")]).status();
        assert!(made.unwrap().success(), "cannot create the database {name}");
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Sends a signal to all processes of the server: `STOP` suspends them, `CONT` resumes them.
    pub fn signal(&self, signal: &str) {
        let tell = |processes: &[String]| {
            let told = Command::new("kill").arg(format!("-{signal}")).args(processes).status();
            assert!(told.unwrap().success());
        };
        let (pid, _) = self.processes();
        if signal == "STOP" {
            // The parent is stopped first, since a process that it starts meanwhile would be left out.
            tell(std::slice::from_ref(&pid));
        }
        // It is resumed last, since it reaps children that have ended.
        let (_, children) = self.processes();
        tell(&[children, vec![pid]].concat());
    }

    /// Kills all child processes of the server at once; the server recovers by itself, as after a crash.
    pub fn crash(&self) {
        let (_, children) = self.processes();
        // Some processes may have ended by themselves.
        let _ = Command::new("kill").arg("-KILL").args(children).stderr(Stdio::null()).status().unwrap();
    }

    fn processes(&self) -> (String, Vec<String>) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        (pid, children.split_whitespace().map(str::to_owned).collect())
    }

    /// Starts a separate server.
    pub fn start() -> Self {
        Self::launch(400, None)
    }

    /// Starts a separate server that accepts at most so many connections.
    pub fn with_connections(connections: u32) -> Self {
        Self::launch(connections, None)
    }

    /// Starts a separate server with a copy of the data of this one, like a standby that is promoted.
    pub fn copy(&self) -> Self {
        Self::launch(400, Some(self.port))
    }

    /// Makes all commits hang, like on a leader whose synchronous standby is gone. Reads are still answered.
    pub fn block_commits(&self) {
        self.execute_all(&["ALTER SYSTEM SET synchronous_standby_names = 'gone'", "SELECT pg_reload_conf()"]);
        // The server's processes read the setting when they get to it.
        for _ in 0..100 {
            if self.commit_hangs() {
                return;
            }
        }
        panic!("commits still succeed");
    }

    /// Whether a transaction that has written something waits at its commit.
    fn commit_hangs(&self) -> bool {
        let write = "SELECT pg_logical_emit_message(true, 'probe', '')";
        let mut commit =
            self.client("psql").args(["-d", "postgres", "-qAtc", write]).stdout(Stdio::null()).spawn().unwrap();
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(10));
            if commit.try_wait().unwrap().is_some() {
                return false;
            }
        }
        commit.kill().unwrap();
        commit.wait().unwrap();
        true
    }

    /// Lets commits succeed again.
    pub fn unblock_commits(&self) {
        self.execute_all(&["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"]);
    }

    /// Has the server speak TLS, with the files that [`make_certificate`](crate::make_certificate) makes. It is also reachable without.
    pub fn speak_tls(&self, certificate: &Path, key: &Path) {
        for (file, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let mut command = Command::new("install");
            command.args(["-m", "600"]);
            if std::fs::metadata(&self.folder).unwrap().uid() != std::fs::metadata(file).unwrap().uid() {
                command.args(["-o", "nobody"]);
            }
            assert!(command.arg(file).arg(self.folder.join("data").join(name)).status().unwrap().success());
        }
        self.execute_all(&["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]);
    }

    fn execute_all(&self, statements: &[&str]) {
        for statement in statements {
            // ALTER SYSTEM writes to a file without a commit, so it works even while commits hang.
            let told = self.client("psql").args(["-d", "postgres", "-qAtc", statement]).stdout(Stdio::null()).status();
            assert!(told.unwrap().success(), "{statement}");
        }
    }

    /// The URL on this server of the database that `url` names on another server.
    pub fn database_of(&self, url: &str) -> String {
        let name = url.rsplit('/').next().unwrap();
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    fn launch(connections: u32, copied: Option<u16>) -> Self {
        let bin = binaries().expect("PostgreSQL's server is missing: apt-get install postgresql");
        let port: u16 = crate::free_address().rsplit(':').next().unwrap().parse().unwrap();
        let folder = std::env::temp_dir().join(format!("handstamp-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args([folder.as_os_str(), bin.as_os_str(), port.to_string().as_ref(), connections.to_string().as_ref()])
            .args(copied.map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { bin, folder, port, keeper };
        server.wait_until_reachable(true);
        server
    }

    /// Stops the server as an operator would, until it is [started again](Self::start_again).
    pub fn stop(&mut self) {
        self.command_keeper("stop");
        self.wait_until_reachable(false);
    }

    /// Starts the server again on its data.
    pub fn start_again(&mut self) {
        self.command_keeper("start");
        self.wait_until_reachable(true);
    }

    fn command_keeper(&mut self, word: &str) {
        writeln!(self.keeper.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    /// Waits until the server answers, or until it no longer does.
    fn wait_until_reachable(&self, expected: bool) {
        for _ in 0..600 {
            if self.client("pg_isready").stdout(Stdio::null()).status().unwrap().success() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "{log}");
        panic!("PostgreSQL did not start or stop: {}", Error::last_os_error());
    }

    fn client(&self, program: &str) -> Command {
        // The packages of npm have the server alone.
        let of_server = self.bin.join(program);
        let debian = debian_folders().into_iter().map(|bin| bin.join(program)).find(|program| program.exists());
        let mut command = Command::new(if of_server.exists() { of_server } else { debian.unwrap_or(program.into()) });
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The folder that `HANDSTAMP_TEST_POSTGRES` names, or that of the newest version that Debian has installed, or else the one that
/// `pg_config` reports.
fn binaries() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("HANDSTAMP_TEST_POSTGRES").map(PathBuf::from) {
        assert!(has_server(&chosen), "{} has no PostgreSQL", chosen.display());
        return Some(chosen);
    }
    let newest = debian_folders().into_iter().filter(|bin| has_server(bin)).max();
    newest.or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        let bin = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        has_server(&bin).then_some(bin)
    })
}

/// The folders of the versions that Debian has installed.
fn debian_folders() -> Vec<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    debian.map(|entry| entry.path().join("bin")).collect()
}

fn has_server(bin: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| bin.join(program).exists())
}

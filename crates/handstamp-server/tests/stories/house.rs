//! A `handstamp serve` process for tests, with its own folder and database.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::postgres_server;
use crate::visitor::Visitor;

/// Runs every test twice: on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! stories {
    ($($(#[$attribute:meta])* async fn $story:ident($($house:ident)+: House) $body:block)*) => {
        $($(#[$attribute])* async fn $story($($house)+: $crate::house::House) $body)*

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($crate::house::House::on_sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($crate::house::House::on_postgres()).await;
            })*
        }
    };
}

/// A running `handstamp serve` with its own folder; dropping it kills the process and removes the folder.
pub struct House {
    pub folder: PathBuf,
    settings: Vec<(String, String)>,
    database_url: String,
    process: Option<Child>,
    pub url: String,
    /// The number of this node among those that share the folder; the first is number 0 and removes the folder.
    number: u32,
}

impl House {
    pub fn on_sqlite() -> Self {
        Self::on_sqlite_in(new_folder())
    }

    /// Starts on SQLite in this folder, which may already contain files.
    pub fn on_sqlite_in(folder: PathBuf) -> Self {
        let url = format!("sqlite:{}", folder.join("data/handstamp.db").display());
        Self::start_in(folder, url)
    }

    pub fn on_postgres() -> Self {
        Self::on(postgres_server::new_database())
    }

    /// Starts on this PostgreSQL database.
    pub fn on(database_url: String) -> Self {
        let mut house = Self::start_in(new_folder(), database_url);
        let url = house.database_url.clone();
        house.settings.push(("HANDSTAMP_DATABASE_URL".into(), url));
        house.restart();
        house
    }

    fn start_in(folder: PathBuf, database_url: String) -> Self {
        let settings = [
            ("HANDSTAMP_HASHING__MEMORY_KIB", "8"),
            ("HANDSTAMP_HASHING__ITERATIONS", "1"),
            ("HANDSTAMP_HASHING__QUEUE", "1000"),
            // All clients of a test have the same address.
            ("HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK", "0"),
            ("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "0"),
            ("HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK", "0"),
            ("HANDSTAMP_LOG__LEVEL", "trace"),
            // All nodes are one site, whatever their ports: otherwise the cookie names would contain the port.
            ("HANDSTAMP_PUBLIC_URL", "http://localhost"),
        ];
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut house = Self { folder, settings, database_url, process: None, url: String::new(), number: 0 };
        house.start();
        house
    }

    /// Starts one more node on the same database, with the same settings.
    pub fn another(&self) -> Self {
        let mut house = self.another_that_has_not_started();
        house.start();
        house
    }

    pub fn another_that_has_not_started(&self) -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        Self {
            folder: self.folder.clone(),
            settings: self.settings.clone(),
            database_url: self.database_url.clone(),
            process: None,
            url: String::new(),
            number: NUMBERS.fetch_add(1, Ordering::SeqCst),
        }
    }

    /// Starts one more node on the same database and shifts its wall clock, but not its monotonic clock, by the offset.
    pub fn another_at(&self, offset: &str) -> Self {
        let mut house = self.another();
        let library = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime"));
        let library = library.map(|folder| folder.join("libfaketime.so.1")).find(|file| file.exists());
        let library = library.expect("libfaketime is missing: apt-get install faketime");
        house.sets_its_clock(offset);
        house.set("LD_PRELOAD", library.to_str().unwrap());
        house.set("FAKETIME_TIMESTAMP_FILE", house.clock_file().to_str().unwrap());
        house.set("FAKETIME_NO_CACHE", "1");
        house.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        house.restart();
        house
    }

    /// Sets the wall clock of a node that [`another_at`](Self::another_at) started.
    pub fn sets_its_clock(&self, offset: &str) {
        // A concurrent reader must not find a partial file.
        let new = self.clock_file().with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, self.clock_file()).unwrap();
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.join(format!("clock-{}", self.number))
    }

    /// Adds a setting, which takes effect at the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Restarts the server with one more setting.
    pub fn restart_with(&mut self, name: &str, value: &str) {
        self.set(name, value);
        self.restart();
    }

    /// Restarts with the default public URL: `http://localhost` and the port that the server listens on. The cookie names then
    /// contain that port.
    pub fn has_its_own_port_in_its_public_url(&mut self) {
        self.restart_with("HANDSTAMP_PUBLIC_URL", "");
    }

    /// Stops the server as an operator would, and starts it again on the same data.
    pub fn restart(&mut self) {
        assert!(self.stop().success());
        self.start();
    }

    /// Starts the server on the existing data, also after a kill.
    pub fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut process = self.command().stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("listening on ").nth(1).unwrap_or_else(|| panic!("it did not start: {}", self.log()));
        // The default public URL has this host, and pages redirect from other hosts to it.
        self.url = format!("http://{}", address.trim_end().trim_end_matches(')')).replace("127.0.0.1", "localhost");
        self.process = Some(process);
    }

    /// `handstamp serve` with the settings of this server and nothing else in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handstamp"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.folder.join("data"));
        command.env_clear().envs(self.settings.iter().cloned()).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// A `handstamp` command in the folder of this server, without its settings.
    pub fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handstamp"));
        command.args(arguments).env_clear().current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// A `handstamp` command beside the server, with its settings.
    pub fn command_beside(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handstamp"));
        command.args(arguments).arg("--data-dir").arg(self.folder.join("data"));
        // The log also goes to standard error, where only error messages are expected.
        let settings = self.settings.iter().filter(|(name, _)| name != "HANDSTAMP_LOG__LEVEL").cloned();
        command.env_clear().envs(settings).current_dir(&self.folder);
        command
    }

    /// Runs an operator's command with this standard input. Returns exit status, standard output and standard error.
    pub fn types(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.command_beside(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The command may exit without reading its input.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command as the system user with this number. Returns exit status and standard error.
    pub fn types_as(&self, user: u32, arguments: &[&str]) -> (i32, String) {
        // Other users may not enter the build folder, so they run a copy. A separate process makes it: the child of another
        // test could inherit a file that is open for writing here, and such a file cannot be executed.
        let program = self.folder.join("handstamp");
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_handstamp")).arg(&program).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(&self.folder).stdin(Stdio::null()).uid(user).gid(user);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The JSON that a command prints.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let (status, output, error) = self.types(&[arguments, &["--json"]].concat(), "");
        assert_eq!(status, 0, "{error}");
        serde_json::from_str(&output).unwrap()
    }

    /// The address and port that it listens on.
    pub fn address(&self) -> String {
        self.url.replace("http://localhost", "127.0.0.1")
    }

    pub fn pid(&self) -> String {
        self.process.as_ref().unwrap().id().to_string()
    }

    /// Sends the process a signal, such as `STOP` to freeze it and `CONT` to resume it.
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([&format!("-{signal}"), &self.pid()]).status().unwrap().success());
    }

    /// Freezes the process until the signal `CONT`, but not within a write to SQLite, which would block all other writers
    /// meanwhile.
    pub async fn freezes(&self) {
        self.signal("STOP");
        while !self.lets_others_write().await {
            self.signal("CONT");
            self.signal("STOP");
        }
    }

    async fn lets_others_write(&self) -> bool {
        if self.database_url.starts_with("postgres:") {
            return true;
        }
        let options = self.database_url.parse::<SqliteConnectOptions>().unwrap();
        let mut somebody = options.busy_timeout(Duration::from_millis(100)).connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut somebody).await.is_ok()
    }

    /// Stops the server with `TERM` and waits until it has exited.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_by("TERM")
    }

    /// Stops the server with this signal and waits until it has exited.
    pub fn stop_by(&mut self, signal: &str) -> ExitStatus {
        let Some(mut process) = self.process.take() else { return ExitStatus::from_raw(0) };
        let told = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status().unwrap();
        assert!(told.success());
        process.wait().unwrap()
    }

    /// Kills the process, as a power loss would, and starts the server again.
    pub fn kill(&mut self) {
        self.dies();
        self.start();
    }

    /// Kills the process, so that it cannot notify other nodes.
    pub fn dies(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// The resident memory of the process, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.as_ref().unwrap().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.join(if self.number == 0 { "log".to_owned() } else { format!("log-{}", self.number) })
    }

    /// The log lines of this event.
    pub async fn events(&self, event: &str) -> Vec<serde_json::Value> {
        // The log line may be written after the response was sent.
        for _ in 0..200 {
            let log = self.log();
            let events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            let found: Vec<serde_json::Value> =
                events.filter(|line: &serde_json::Value| line["event"] == event).collect();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Vec::new()
    }

    /// Enables metrics. This restarts the server, so a test does it before its visitors arrive.
    pub fn measures(&mut self) {
        self.restart_with("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    }

    /// The value of a metric, named with its labels, or zero if it was never recorded.
    pub async fn metric(&self, name: &str) -> f64 {
        let address = self.events("metrics_listening").await.last().unwrap()["address"].as_str().unwrap().to_owned();
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// A new visitor with their own browser.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.url)
    }

    /// A visitor who has just registered as Ada.
    pub async fn ada(&self) -> Visitor {
        let ada = self.visitor();
        let page = ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
        assert_eq!((page.status, page.location()), (303, "/account"), "{}", page.body);
        ada
    }

    /// Executes SQL that no page would, and returns the number of affected rows.
    pub async fn execute(&self, sql: &'static str) -> u64 {
        if self.database_url.starts_with("postgres:") {
            let pool = sqlx::PgPool::connect(&self.database_url).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap().rows_affected()
        } else {
            let pool = sqlx::SqlitePool::connect(&self.database_url).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap().rows_affected()
        }
    }

    /// Takes the lock that every sign-in and sign-out needs, and holds it until the result is dropped.
    pub async fn holds_up_the_database(&self) -> Box<dyn Send> {
        if self.database_url.starts_with("postgres:") {
            let mut somebody = sqlx::PgConnection::connect(&self.database_url).await.unwrap();
            sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut somebody).await.unwrap();
            Box::new(somebody)
        } else {
            let mut somebody = sqlx::SqliteConnection::connect(&self.database_url).await.unwrap();
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut somebody).await.unwrap();
            Box::new(somebody)
        }
    }

    /// Whether the integrity check of SQLite passes; PostgreSQL is not checked.
    pub async fn is_sound(&self) -> bool {
        const FAULTS: &str = "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
        self.database_url.starts_with("postgres:") || self.count(FAULTS).await == 0
    }

    /// The result of a query that counts rows.
    pub async fn count(&self, sql: &'static str) -> i64 {
        if self.database_url.starts_with("postgres:") {
            let pool = sqlx::PgPool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
        } else {
            let pool = sqlx::SqlitePool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
        }
    }
}

pub const ADAS_PASSWORD: &str = "plum-octave-harbour";

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if !std::thread::panicking() && self.number == 0 {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn new_folder() -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let name = format!("handstamp-story-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::SeqCst));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

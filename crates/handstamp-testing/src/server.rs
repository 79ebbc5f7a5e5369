//! A `handstamp serve` process for tests, with its own folder and database.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::log::{events_in, wait_for_events};
use crate::{Postgres, Program, TempFolder, Visitor};

/// The password of [`TestServer::ada`].
pub const ADAS_PASSWORD: &str = "plum-octave-harbour";

/// Runs every test twice: on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! stories {
    ($($(#[$attribute:meta])* async fn $story:ident($($server:ident)+: TestServer) $body:block)*) => {
        $($(#[$attribute])* async fn $story($($server)+: $crate::TestServer) $body)*

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($crate::TestServer::on_sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($crate::TestServer::on_postgres()).await;
            })*
        }
    };
}

/// The path of the `handstamp` program: Cargo sets it for the tests of `handstamp-server`. A test program that is started
/// without Cargo uses the one beside it.
pub fn handstamp_binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().unwrap();
        // Test programs are in the folder `deps`.
        test.ancestors().nth(2).unwrap().join("handstamp")
    };
    let binary = std::env::var_os("CARGO_BIN_EXE_handstamp").map_or_else(beside, PathBuf::from);
    assert!(binary.is_file(), "{} is missing: cargo build -p handstamp-server", binary.display());
    binary
}

/// A running `handstamp serve` with its own folder and database.
///
/// Dropping it kills the process. The folder is removed with the last node that uses it.
#[derive(Debug)]
pub struct TestServer {
    folder: Arc<TempFolder>,
    settings: Vec<(String, String)>,
    database_url: String,
    program: Option<Program>,
    /// The URL of this node, with the host of the default public URL.
    pub url: String,
    /// The number of this node among those that share the folder, from 0.
    number: u32,
    /// The program, if it is not that of this version.
    binary: Option<PathBuf>,
}

impl TestServer {
    /// Starts on SQLite.
    pub fn on_sqlite() -> Self {
        Self::on_sqlite_in(Arc::new(TempFolder::new()))
    }

    /// Starts on SQLite in this folder, which may already contain files.
    pub fn on_sqlite_in(folder: Arc<TempFolder>) -> Self {
        let url = format!("sqlite:{}", folder.path().join("data/handstamp.db").display());
        Self::start_in(folder, url, &[])
    }

    /// Starts on a new database of the shared PostgreSQL server.
    pub fn on_postgres() -> Self {
        Self::on_database(Postgres::shared().new_database())
    }

    /// Starts on this PostgreSQL database.
    pub fn on_database(database_url: String) -> Self {
        let setting = ("HANDSTAMP_DATABASE_URL", database_url.clone());
        Self::start_in(Arc::new(TempFolder::new()), database_url, &[(setting.0, &setting.1)])
    }

    /// The same, with more settings.
    pub fn on_database_with(database_url: String, more: &[(&str, &str)]) -> Self {
        let setting = ("HANDSTAMP_DATABASE_URL", database_url.clone());
        let settings: Vec<_> = more.iter().copied().chain([(setting.0, setting.1.as_str())]).collect();
        Self::start_in(Arc::new(TempFolder::new()), database_url, &settings)
    }

    fn start_in(folder: Arc<TempFolder>, database_url: String, more: &[(&str, &str)]) -> Self {
        let settings = [
            ("HANDSTAMP_HASHING__MEMORY_KIB", "8"),
            ("HANDSTAMP_HASHING__ITERATIONS", "1"),
            ("HANDSTAMP_HASHING__QUEUE", "1000"),
            // All clients of a test have the same address.
            ("HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK", "0"),
            ("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "0"),
            ("HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK", "0"),
            // All nodes are one site, whatever their ports: otherwise the cookie names would contain the port.
            ("HANDSTAMP_PUBLIC_URL", "http://localhost"),
        ];
        let settings = settings.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = settings.collect();
        let mut server =
            Self { folder, settings, database_url, program: None, url: String::new(), number: 0, binary: None };
        server.start();
        server
    }

    /// Starts one more node on the same database, with the same settings.
    pub fn start_node(&self) -> Self {
        let mut node = self.new_node();
        node.start();
        node
    }

    /// One more node on the same database, with the same settings, which is not started yet.
    pub fn new_node(&self) -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        Self {
            folder: Arc::clone(&self.folder),
            settings: self.settings.clone(),
            database_url: self.database_url.clone(),
            program: None,
            url: String::new(),
            number: NUMBERS.fetch_add(1, Ordering::SeqCst),
            binary: self.binary.clone(),
        }
    }

    /// Starts one more node on the same database and shifts its wall clock, but not its monotonic clock, by the offset.
    pub fn start_node_with_clock(&self, offset: &str) -> Self {
        let mut node = self.new_node();
        node.set_wall_clock(offset);
        node.set("LD_PRELOAD", Self::library_for_clocks().to_str().unwrap());
        node.set("FAKETIME_TIMESTAMP_FILE", node.clock_file().to_str().unwrap());
        node.set("FAKETIME_NO_CACHE", "1");
        node.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        node.start();
        node
    }

    /// The library that shifts the clock of a program that is started with it.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn library_for_clocks() -> PathBuf {
        let library = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime"));
        let library = library.map(|folder| folder.join("libfaketime.so.1")).find(|file| file.exists());
        library.expect("libfaketime is missing: apt-get install faketime")
    }

    /// Sets the wall clock of a node that [`Self::start_node_with_clock`] started.
    pub fn set_wall_clock(&self, offset: &str) {
        // A concurrent reader must not find a partial file.
        let new = self.clock_file().with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, self.clock_file()).unwrap();
    }

    fn clock_file(&self) -> PathBuf {
        self.folder().join(format!("clock-{}", self.number))
    }

    /// The URL of its database.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The folder of this server, which is its working folder and contains its data folder `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a setting, which takes effect at the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Restarts the server with one more setting.
    pub fn restart_with(&mut self, name: &str, value: &str) {
        self.set(name, value);
        self.restart();
    }

    /// Uses another program from the next start on; none is that of this version.
    pub fn use_binary(&mut self, binary: Option<PathBuf>) {
        self.binary = binary;
    }

    /// Restarts with the default public URL: `http://localhost` and the port that the server listens on. The cookie names then
    /// contain that port.
    pub fn use_default_public_url(&mut self) {
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
        let program = Program::try_start(self.serve_command().stderr(log), "listening on ");
        let program = program.unwrap_or_else(|_| panic!("the server does not start: {}", self.log()));
        // The default public URL has this host, and pages redirect from other hosts to it.
        self.url = format!("http://{}", program.address()).replace("127.0.0.1", "localhost");
        self.program = Some(program);
    }

    /// `handstamp serve` with the settings of this server and nothing else in its environment.
    pub fn serve_command(&self) -> Command {
        let mut command = Command::new(self.binary.clone().unwrap_or_else(handstamp_binary));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.folder().join("data"));
        command.env_clear().envs(self.settings.iter().cloned()).current_dir(self.folder()).stdin(Stdio::null());
        command
    }

    /// A `handstamp` command in the folder of this server, without its settings.
    pub fn cli_command_without_settings(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(handstamp_binary());
        command.args(arguments).env_clear().current_dir(self.folder()).stdin(Stdio::null());
        command
    }

    /// A `handstamp` command with the settings of this server.
    pub fn cli_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(handstamp_binary());
        command.args(arguments).arg("--data-dir").arg(self.folder().join("data"));
        // The log also goes to standard error, where only error messages are expected.
        let settings = self.settings.iter().filter(|(name, _)| name != "HANDSTAMP_LOG__LEVEL").cloned();
        command.env_clear().envs(settings).current_dir(self.folder());
        command
    }

    /// Runs an operator's command with this standard input. Returns exit status, standard output and standard error.
    pub fn run_cli(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.cli_command(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The command may exit without reading its input.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command as the system user with this number. Returns exit status and standard error.
    pub fn run_cli_as(&self, user: u32, arguments: &[&str]) -> (i32, String) {
        // Other users may not enter the build folder, so they run a copy. A separate process makes it: the child of another
        // test could inherit a file that is open for writing here, and such a file cannot be executed.
        let program = self.folder().join("handstamp");
        let copied = Command::new("cp").arg(handstamp_binary()).arg(&program).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(self.folder()).stdin(Stdio::null()).uid(user).gid(user);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The JSON that a command prints.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let (status, output, error) = self.run_cli(&[arguments, &["--json"]].concat(), "");
        assert_eq!(status, 0, "{error}");
        serde_json::from_str(&output).unwrap()
    }

    /// The address and port that it listens on.
    pub fn address(&self) -> String {
        self.url.replace("http://localhost", "127.0.0.1")
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("the server has been started")
    }

    /// The process id.
    pub fn pid(&self) -> String {
        self.program().pid().to_string()
    }

    /// Sends the process a signal, such as `STOP` to freeze it and `CONT` to resume it.
    pub fn signal(&self, signal: &str) {
        self.program().signal(signal);
    }

    /// Freezes the process until the signal `CONT`, but not within a write to SQLite, which would block all other writers
    /// meanwhile.
    pub async fn freeze(&self) {
        self.signal("STOP");
        while !self.is_write_lock_free().await {
            self.signal("CONT");
            self.signal("STOP");
        }
    }

    async fn is_write_lock_free(&self) -> bool {
        if self.database_url.starts_with("postgres:") {
            return true;
        }
        let options = self.database_url.parse::<SqliteConnectOptions>().unwrap();
        let mut connection = options.busy_timeout(Duration::from_millis(100)).connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await.is_ok()
    }

    /// Stops the server with `TERM` and waits until it has exited.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_with_signal("TERM")
    }

    /// Stops the server with this signal and waits until it has exited.
    pub fn stop_with_signal(&mut self, signal: &str) -> ExitStatus {
        let Some(program) = self.program.take() else { return ExitStatus::from_raw(0) };
        program.signal(signal);
        program.wait()
    }

    /// Kills the process, as a power loss would, and starts the server again.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.start();
    }

    /// Kills the process, so that it cannot notify other nodes.
    pub fn kill(&mut self) {
        drop(self.program.take().expect("the server has been started"));
    }

    /// Whether the process has not exited.
    pub fn is_running(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::is_running)
    }

    /// The resident memory of the process, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The log of this node since its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// The file with the log.
    pub fn log_file(&self) -> PathBuf {
        self.folder().join(if self.number == 0 { "log".to_owned() } else { format!("log-{}", self.number) })
    }

    /// The lines of this event that have been logged so far.
    ///
    /// A request is logged before it is answered, so the lines of answered requests are complete. For events of background
    /// work, and for connections that are refused, use [`Self::wait_for_event`].
    pub fn events(&self, event: &str) -> Vec<Value> {
        events_in(&self.log_file(), event)
    }

    /// Waits until this event is logged, and returns its first line.
    ///
    /// # Panics
    /// If it is not logged within twenty seconds.
    pub async fn wait_for_event(&self, event: &str) -> Value {
        wait_for_events(&self.log_file(), event, 1).await.swap_remove(0)
    }

    /// Asserts that an event is not logged before another, which is certain to come and is waited for.
    ///
    /// # Panics
    /// If `event` is logged, or if `later` is not logged within twenty seconds.
    pub async fn no_event(&self, event: &str, later: &str) {
        self.wait_for_event(later).await;
        assert_eq!(self.events(event), [] as [Value; 0]);
    }

    /// Enables metrics. This restarts the server, so a test does it before its visitors arrive.
    pub fn enable_metrics(&mut self) {
        self.restart_with("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    }

    /// The value of a metric, named with its labels, or zero if it was never recorded.
    pub async fn metric(&self, name: &str) -> f64 {
        self.recorded_metric(name).await.unwrap_or_default()
    }

    /// The number of database statements so far for this purpose, such as `request`.
    ///
    /// # Panics
    /// If there was none yet. A comparison with a later number would show nothing if the metric had another name.
    pub async fn db_statements(&self, purpose: &str) -> f64 {
        let name = format!("handstamp_db_statements_total{{purpose=\"{purpose}\"}}");
        self.recorded_metric(&name).await.unwrap_or_else(|| panic!("{name} was never recorded"))
    }

    async fn recorded_metric(&self, name: &str) -> Option<f64> {
        let listening = self.events("metrics_listening");
        let address = listening.last().expect("metrics are enabled")["address"].as_str().unwrap();
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
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
    pub async fn lock_database(&self) -> Box<dyn Send> {
        if self.database_url.starts_with("postgres:") {
            let mut connection = sqlx::PgConnection::connect(&self.database_url).await.unwrap();
            sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
            Box::new(connection)
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.database_url).await.unwrap();
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
            Box::new(connection)
        }
    }

    /// Whether the integrity check of SQLite passes; PostgreSQL is not checked.
    pub async fn passes_integrity_check(&self) -> bool {
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

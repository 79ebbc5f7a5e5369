//! PostgreSQL and databases that speak its protocol: opening, notifications, and checks of the server.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::time::{Instant, sleep, timeout};

use super::postgres_pool::Pool;
use super::statement::{self, TIME_LIMIT, lease, maintenance, within_time};
use super::{OpenError, migrations};
use crate::config::PoolConfig;
use crate::events::Event;

/// One follows the log and renews the lease, one waits for the other nodes.
const LEASE_CONNECTIONS: u32 = 2;
/// The delay before the next attempt to connect to a server that does not answer at the start.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often such attempts are logged.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How often a node polls for changes, where it gets no notifications.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// The NOTIFY channel on which nodes wake each other, within one database.
const CHANNEL: &str = "handstamp";
/// The payload of a notification that only tests whether notifications arrive; it wakes no node.
const PROBE: &str = "probe";
/// The time without notifications after which a probe is sent.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// The longest that a notification takes, if notifications work at all.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// The delay before listening is tried again after notifications failed.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(30);

pub(crate) struct Postgres {
    pub(super) pool: Pool,
    /// Connections for the lease protocol.
    pub(super) lease_pool: Pool,
    /// Whether to use LISTEN and NOTIFY where they work.
    notify: bool,
    /// Whether a connection keeps its state between transactions: prepared statements, LISTEN and settings. One to a pooler in
    /// transaction mode does not.
    keeps_state: bool,
    /// Whether a pooler in transaction mode is in the way nevertheless.
    is_pooled: bool,
}

/// Begins a transaction through a pooler in transaction mode, with the limits that other connections have as options.
const BEGIN_WITH_LIMITS: &str = "BEGIN; SET LOCAL statement_timeout = 2500; SET LOCAL lock_timeout = 2500; \
     SET LOCAL idle_in_transaction_session_timeout = 2500";
/// The lock of migrations through a pooler in transaction mode, which lasts until the transaction ends.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(7453089216340271)";
/// How often the start looks whether two connections share a server process.
const POOLER_PROBES: u32 = 3;

/// Whether the error says that the database lacks a function. Some databases that speak PostgreSQL's protocol, such as
/// CockroachDB, have no advisory locks.
fn is_unsupported(error: &sqlx::Error) -> bool {
    const UNDEFINED_FUNCTION: &str = "42883";
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == UNDEFINED_FUNCTION || code == FEATURE_NOT_SUPPORTED)
}

impl Postgres {
    pub(super) async fn open(url: &str, notify: bool, config: PoolConfig) -> Result<Self, OpenError> {
        // Ends statements that run longer than their caller waits, and transactions whose process is frozen or cut off. Such a
        // transaction would hold the lock on the log's counter and block all sign-outs.
        let limit = TIME_LIMIT.as_millis();
        let keeps_state = config.prepared_statements;
        let mut options = PgConnectOptions::from_str(url)?.application_name("handstamp");
        if keeps_state {
            let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
            options = options.options(limits.map(|name| (name, limit)));
        } else {
            // A pooler gives the connection to the server to another client after each transaction.
            // It refuses parameters of a session that it does not know.
            options = options.statement_cache_capacity(0).extra_float_digits(None);
        }
        if may_be_read_on_the_way(&options) {
            return Err(OpenError::Unencrypted(name_of(&options)));
        }
        let first = first_connection(&options, config.wait).await;
        let first = first.map_err(|error| OpenError::Unreachable(name_of(&options), error))?;
        let is_pooled = keeps_state && shares_a_process(first, &options).await;
        if is_pooled {
            Event::DatabasePooled { server: &name_of(&options) }.record();
        }
        let lease_pool = Pool::new(pool_options(), LEASE_CONNECTIONS, &options);
        let pool = Pool::new(pool_options(), config.connections - PoolConfig::LEASE_CONNECTIONS, &options);
        let mut migrations = migrations::of_postgres();
        if !keeps_state {
            migrate_in_one_transaction(&pool, migrations.set_locking(false)).await?;
            return Ok(Self { pool, lease_pool, notify: false, keeps_state, is_pooled });
        }
        match pool.migrate(&migrations).await {
            Err(MigrateError::Execute(error)) if is_unsupported(&error) => {
                Event::DatabaseWithoutLocks {}.record();
                pool.migrate(migrations.set_locking(false)).await?;
            }
            migrated => migrated?,
        }
        Ok(Self { pool, lease_pool, notify, keeps_state, is_pooled })
    }

    /// The connections for statements outside of transactions.
    pub(super) fn pool(&self, pool: statement::Pool) -> &Pool {
        match pool {
            statement::Pool::Read => &self.pool,
            statement::Pool::Lease => &self.lease_pool,
        }
    }

    /// Whether a connection keeps its state between transactions.
    pub(super) fn keeps_state(&self) -> bool {
        self.keeps_state
    }

    /// Whether a pooler in transaction mode is in the way of statements that are prepared once for each connection.
    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// The statement that begins a transaction.
    pub(super) fn begin(&self) -> &'static str {
        if self.keeps_state { "BEGIN" } else { BEGIN_WITH_LIMITS }
    }

    /// Notifies all nodes that listen.
    pub(super) async fn notify(&self) {
        if self.notify {
            self.send("").await;
        }
    }

    /// The time of the server's clock since the Unix epoch.
    pub(super) async fn clock(&self) -> sqlx::Result<Option<Duration>> {
        const SQL: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let clock = within_time(async {
            let mut connection = self.lease_pool.acquire().await?;
            // A simple query, which needs no state of the connection.
            let row = sqlx::raw_sql(lease(SQL).counted()).fetch_one(&mut *connection).await?;
            row.try_get::<i64, _>(0)
        });
        Ok(clock.await?.try_into().ok().map(Duration::from_millis))
    }

    /// Sends a notification. Errors are ignored: nodes poll anyway, and `listen` detects missing NOTIFY support.
    async fn send(&self, payload: &str) {
        let sent = async {
            let mut connection = self.lease_pool.acquire().await?;
            let notify = sqlx::query(lease("SELECT pg_notify($1, $2)").counted()).bind(CHANNEL).bind(payload);
            notify.execute(&mut *connection).await
        };
        if let Ok(Err(error)) = timeout(NOTIFY_TIMEOUT, sent).await {
            tracing::debug!(%error, "a notification could not be sent");
        }
    }

    /// Listens for notifications, and polls where none arrive. LISTEN fails on databases without it. Through a connection
    /// pooler that drops notifications it succeeds, but receives none.
    pub(super) async fn watch_changes(&self, wake: impl Fn()) {
        let mut is_told = false;
        loop {
            if self.notify {
                let (reason, heard) = self.listen(&wake).await;
                // A database that never sends notifications is logged only once.
                if heard || !is_told {
                    Event::NotifyUnavailable { reason: &reason }.record();
                }
                is_told = true;
            }
            let begun = Instant::now();
            while begun.elapsed() < LISTEN_AGAIN_AFTER {
                sleep(POLL_EVERY).await;
                wake();
            }
        }
    }

    /// Calls `wake` for each notification until they no longer arrive. Returns the reason, and whether any ever arrived. While
    /// it is not proven that notifications arrive, it also polls.
    async fn listen(&self, wake: &impl Fn()) -> (sqlx::Error, bool) {
        // A pool for this connection alone: when the server freezes, it takes no connection from the other pools.
        let pool = pool_options().max_connections(1).connect_lazy_with(self.lease_pool.options());
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let mut listener = match within_time(listening).await {
            Ok(listener) => listener,
            Err(error) => return (error, false),
        };
        let mut heard = false;
        let mut probed = Some(Instant::now());
        self.send(PROBE).await;
        loop {
            let patience = if probed.is_some() { POLL_EVERY } else { PROBE_AFTER };
            match timeout(patience, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    (probed, heard) = (None, true);
                    if notification.payload() != PROBE {
                        wake();
                    }
                }
                Ok(Ok(None)) => return (sqlx::Error::PoolClosed, heard),
                Ok(Err(error)) => return (error, heard),
                Err(_) => {
                    wake();
                    if probed.get_or_insert_with(Instant::now).elapsed() > NOTIFY_TIMEOUT {
                        return (sqlx::Error::PoolTimedOut, heard);
                    }
                    self.send(PROBE).await;
                }
            }
        }
    }
}

/// Opens the first connection, waiting up to `wait` for a server that may still start.
async fn first_connection(options: &PgConnectOptions, wait: Duration) -> sqlx::Result<PgConnection> {
    let begun = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let error = match connect(options).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let waited = begun.elapsed();
        if waited >= wait || !may_come_up(&error) {
            return Err(error);
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            let (server, seconds) = (name_of(options), (wait - waited).as_secs());
            Event::DatabaseAwaited { server: &server, error: &error, seconds }.record();
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    within_time(async {
        let mut connection = options.connect().await?;
        has_caught_up(&mut connection).await?;
        Ok(connection)
    })
    .await
}

/// Whether a server that returns this error may accept a connection later. Waiting is useless if the password is wrong or the
/// database does not exist.
fn may_come_up(error: &sqlx::Error) -> bool {
    const INVALID_AUTHORIZATION: &str = "28";
    const INVALID_CATALOG_NAME: &str = "3D";
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
        sqlx::Error::Database(error) => error
            .code()
            .is_none_or(|code| !code.starts_with(INVALID_AUTHORIZATION) && !code.starts_with(INVALID_CATALOG_NAME)),
        _ => true,
    }
}

/// The name of the server in messages to the operator. It contains no password.
fn name_of(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let port = options.get_port();
    match options.get_socket() {
        Some(socket) => format!("PostgreSQL at {}, port {port}, database {database}", socket.display()),
        None => format!("PostgreSQL at {}:{port}, database {database}", options.get_host()),
    }
}

/// Whether an attacker on the network can prevent encryption, and the operator has not accepted that by `sslmode=disable`.
fn may_be_read_on_the_way(options: &PgConnectOptions) -> bool {
    matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer) && !is_this_machine(options)
}

fn is_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a pooler in transaction mode is in the way: two connections share one process of the server.
async fn shares_a_process(mut first: PgConnection, options: &PgConnectOptions) -> bool {
    let probe = async {
        let mut second = options.connect().await?;
        let mut is_shared = false;
        for _ in 0..POOLER_PROBES {
            let of_first = backend(&mut first).await?;
            // The pooler has the process of the first connection to spare now.
            sqlx::raw_sql("BEGIN").execute(&mut second).await?;
            is_shared |= backend(&mut second).await? == of_first;
            sqlx::raw_sql("ROLLBACK").execute(&mut second).await?;
        }
        let _ = second.close().await;
        let _ = first.close().await;
        Ok(is_shared)
    };
    // A server that refuses a second connection, or has no such function, is no reason not to start.
    within_time(probe).await.unwrap_or(false)
}

/// The process of the server that runs the statements of a connection now.
async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql(maintenance("SELECT pg_backend_pid()").counted()).fetch_one(connection).await?;
    row.try_get(0)
}

/// Runs the migrations in one transaction, for which a pooler keeps one process of the server. The lock ends with it.
async fn migrate_in_one_transaction(pool: &Pool, migrations: &Migrator) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    // sqlx names the statements of its migrator, and leaves them in the process of the server.
    sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *tx).await?;
    sqlx::raw_sql(maintenance(LOCK_MIGRATIONS).counted()).execute(&mut *tx).await?;
    migrations.run_direct(None, &mut *tx, false).await?;
    sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(TIME_LIMIT)
        .after_connect(|connection, _| Box::pin(has_caught_up(connection)))
        .after_release(|connection, _| Box::pin(still_answers(connection)))
}

/// Rejects a server that is still in recovery. A standby that is being promoted has received all confirmed transactions, but may
/// not have applied them. So it may return a session that has ended, and that row would then be cached.
async fn has_caught_up(connection: &mut PgConnection) -> sqlx::Result<()> {
    const SQL: &str = "SELECT pg_is_in_recovery()";
    let row = sqlx::raw_sql(maintenance(SQL).counted()).fetch_one(connection).await;
    match row.and_then(|row| row.try_get(0)) {
        Ok(true) => Err(sqlx::Error::Protocol("the server is not the leader, or not yet".to_owned())),
        Err(error) if !is_unsupported(&error) => Err(error),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// Drops a connection to a server that is frozen or cut off. sqlx itself would wait for it forever, and the connection would
/// count against the pool.
async fn still_answers(connection: &mut PgConnection) -> sqlx::Result<bool> {
    within_time(connection.ping()).await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PgConnectOptions {
        PgConnectOptions::from_str(url).unwrap()
    }

    #[test]
    fn remote_connections_that_an_attacker_can_leave_unencrypted_are_refused() {
        let is_refused = |url: &str| may_be_read_on_the_way(&options(url));
        for url in [
            "postgres://me:secret@db/accounts",
            "postgres://192.0.2.7:6432/accounts",
            "postgresql://[2001:db8::1]/a",
            "postgres://db/accounts?sslmode=prefer",
            "postgres://db/accounts?sslmode=allow",
        ] {
            assert!(is_refused(url), "{url}");
        }
        for url in [
            "postgres://localhost/accounts",
            "postgres://127.0.0.1:5433/accounts",
            "postgres://[::1]/accounts",
            "postgres://me@%2Fvar%2Frun%2Fpostgresql/accounts",
            "postgres:///accounts?host=/var/run/postgresql",
            "postgres://db/accounts?sslmode=disable",
            "postgres://localhost/accounts?sslmode=prefer",
            "postgres://db/accounts?sslmode=require",
            "postgres://db/accounts?sslmode=verify-ca",
            "postgres://db/accounts?sslmode=verify-full",
        ] {
            assert!(!is_refused(url), "{url}");
        }
    }

    #[test]
    fn a_transaction_through_a_pooler_has_the_limits_of_other_connections() {
        let limit = format!("= {}", TIME_LIMIT.as_millis());
        assert_eq!(BEGIN_WITH_LIMITS.matches(&limit).count(), 3);
    }

    #[test]
    fn the_server_name_in_messages_contains_no_password() {
        let name = |url| name_of(&options(url));
        assert_eq!(name("postgres://me:secret@db:6432/accounts"), "PostgreSQL at db:6432, database accounts");
        assert_eq!(name("postgres://me:secret@db"), "PostgreSQL at db:5432, database me");
    }
}

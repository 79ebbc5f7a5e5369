use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::postgres_pool::Pool;
use super::{OpenError, POLL_EVERY, TIME_LIMIT, for_lease, for_upkeep, within_time};
use crate::config::PoolConfig;
use crate::log;

/// One follows, one waits for the others.
const KEEPING_CONNECTIONS: u32 = 2;
/// How soon a server is asked again that did not answer when it was opened, and how often the log says so.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The channel on which nodes wake one another, within one database.
const CHANNEL: &str = "handstamp";
/// Sent to see whether notifications come through at all; wakes nobody.
const PROBE: &str = "probe";
/// After how long without a word we see whether notifications still come through.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How long a notification takes at most, if it comes at all.
const DEAF_AFTER: Duration = Duration::from_secs(1);
/// When to try again where it did not.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(30);

pub(crate) struct Postgres {
    pub(super) pool: Pool,
    /// Connections for what keeps the lease.
    pub(super) keeping: Pool,
    /// Whether to use LISTEN and NOTIFY where they work.
    notify: bool,
}

/// Whether it is about a function that the database does not have. Not everything that speaks PostgreSQL's protocol has
/// advisory locks, such as CockroachDB.
fn is_unknown_there(error: &sqlx::Error) -> bool {
    const UNDEFINED_FUNCTION: &str = "42883";
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == UNDEFINED_FUNCTION || code == FEATURE_NOT_SUPPORTED)
}

impl Postgres {
    pub(super) async fn open(url: &str, notify: bool, config: PoolConfig) -> Result<Self, OpenError> {
        // Ends a statement that the database would go on with for longer than anybody waits, and a transaction whose process
        // is frozen or cut off: it would hold the counter of changes, and with it everybody's sign-outs.
        let limit = TIME_LIMIT.as_millis();
        let options = PgConnectOptions::from_str(url)?.application_name("handstamp").options(
            ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"].map(|name| (name, limit)),
        );
        if may_be_read_on_the_way(url, &options) {
            let server = name_of(&options);
            log::warn!(
                event = "database_not_encrypted",
                "the connection to {server} may go unencrypted: add ?sslmode=verify-full to database_url, or \
                 ?sslmode=disable where the network between them is trusted"
            );
        }
        let first = first_connection(&options, config.wait).await;
        let first = first.map_err(|error| OpenError::Unreachable(name_of(&options), error))?;
        // It was opened to hear why it cannot be: a pool says only that it has waited for long enough.
        let _ = first.close().await;
        let keeping = Pool::new(pool_options(), KEEPING_CONNECTIONS, &options);
        let pool = Pool::new(pool_options(), config.connections - PoolConfig::KEEPING_CONNECTIONS, &options);
        let mut migrations = sqlx::migrate!("migrations/postgres");
        match pool.migrate(&migrations).await {
            Err(MigrateError::Execute(error)) if is_unknown_there(&error) => {
                log::warn!("the database has no advisory locks: of several new nodes, start one before the others");
                pool.migrate(migrations.set_locking(false)).await?;
            }
            migrated => migrated?,
        }
        Ok(Self { pool, keeping, notify })
    }

    /// Wakes everybody who listens.
    pub(super) async fn announce(&self) {
        if self.notify {
            self.send("").await;
        }
    }

    /// What its clock shows, since the Unix epoch.
    pub(super) async fn clock(&self) -> sqlx::Result<Option<Duration>> {
        const SQL: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let clock = within_time(async {
            let mut connection = self.keeping.acquire().await?;
            sqlx::query_scalar::<_, i64>(for_lease(SQL)).fetch_one(&mut *connection).await
        });
        Ok(clock.await?.try_into().ok().map(Duration::from_millis))
    }

    /// Whoever cannot be woken finds out by itself, and whether notifications come through is for the listener to find
    /// out: a database that has none says so here.
    async fn send(&self, payload: &str) {
        let sent = async {
            let mut connection = self.keeping.acquire().await?;
            let notify = sqlx::query(for_lease("SELECT pg_notify($1, $2)")).bind(CHANNEL).bind(payload);
            notify.execute(&mut *connection).await
        };
        if let Ok(Err(error)) = timeout(DEAF_AFTER, sent).await {
            tracing::debug!(%error, "a notification could not be sent");
        }
    }

    /// Listens, and polls where it hears nothing: LISTEN fails on databases that have none, and succeeds but is deaf
    /// through a pooler that keeps notifications to itself.
    pub(super) async fn watch_changes(&self, wake: impl Fn()) {
        let mut is_told = false;
        loop {
            if self.notify {
                let (reason, heard) = self.listen(&wake).await;
                // Where there are never any, once is enough.
                if heard || !is_told {
                    log::info!(event = "polling", %reason, "no notifications from the database: polling for a while");
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

    /// Wakes whenever the database does, until it no longer can; the reason why, and whether it ever could. As long as it
    /// is not proven that notifications come through, it polls as well.
    async fn listen(&self, wake: &impl Fn()) -> (sqlx::Error, bool) {
        // A pool for this connection alone: what becomes of it when the server freezes costs nobody a place.
        let pool = pool_options().max_connections(1).connect_lazy_with(self.keeping.options());
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
                    if probed.get_or_insert_with(Instant::now).elapsed() > DEAF_AFTER {
                        return (sqlx::Error::PoolTimedOut, heard);
                    }
                    self.send(PROBE).await;
                }
            }
        }
    }
}

/// The first connection to a server, which is waited for as long as it may still come up.
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
            log::warn!(event = "database_awaited", server, %error, seconds, "waiting for the database to answer");
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

/// Whether a server that refuses for this reason may take us later. It is no use to wait where the password is wrong, or the
/// database is not there.
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

/// What an operator knows the server by. There is no password in it.
fn name_of(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let port = options.get_port();
    match options.get_socket() {
        Some(socket) => format!("PostgreSQL at {}, port {port}, database {database}", socket.display()),
        None => format!("PostgreSQL at {}:{port}, database {database}", options.get_host()),
    }
}

/// Whether an attacker between us and the server can make us do without encryption, and the operator did not say that this is
/// meant.
fn may_be_read_on_the_way(url: &str, options: &PgConnectOptions) -> bool {
    let is_named = |url: Url| url.query_pairs().any(|(key, _)| key == "sslmode" || key == "ssl-mode");
    matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer)
        && !is_this_machine(options)
        && !Url::parse(url).is_ok_and(is_named)
}

fn is_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(TIME_LIMIT)
        .after_connect(|connection, _| Box::pin(has_caught_up(connection)))
        .after_release(|connection, _| Box::pin(still_answers(connection)))
}

/// Takes no server that is about to become the leader: it has received all that was answered, but may not have applied it.
/// What it reads is older then, such as a session that has ended, and would be believed from then on.
async fn has_caught_up(connection: &mut PgConnection) -> sqlx::Result<()> {
    const SQL: &str = "SELECT pg_is_in_recovery()";
    match sqlx::query_scalar(for_upkeep(SQL)).fetch_one(connection).await {
        Ok(true) => Err(sqlx::Error::Protocol("the server is not the leader, or not yet".to_owned())),
        Err(error) if !is_unknown_there(&error) => Err(error),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// Parts with a connection to a server that is frozen or cut off. sqlx itself would wait for it without end, and keep its
/// place in the pool.
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
    fn only_a_connection_that_leaves_the_machine_without_a_word_on_tls_is_warned_of() {
        let is_warned = |url: &str| may_be_read_on_the_way(url, &options(url));
        for url in
            ["postgres://me:secret@db/accounts", "postgres://192.0.2.7:6432/accounts", "postgresql://[2001:db8::1]/a"]
        {
            assert!(is_warned(url), "{url}");
        }
        for url in [
            "postgres://localhost/accounts",
            "postgres://127.0.0.1:5433/accounts",
            "postgres://[::1]/accounts",
            "postgres://me@%2Fvar%2Frun%2Fpostgresql/accounts",
            "postgres:///accounts?host=/var/run/postgresql",
            "postgres://db/accounts?sslmode=disable",
            "postgres://db/accounts?sslmode=prefer",
            "postgres://db/accounts?sslmode=verify-full",
        ] {
            assert!(!is_warned(url), "{url}");
        }
    }

    #[test]
    fn a_server_is_named_without_its_password() {
        let name = |url| name_of(&options(url));
        assert_eq!(name("postgres://me:secret@db:6432/accounts"), "PostgreSQL at db:6432, database accounts");
        assert_eq!(name("postgres://me:secret@db"), "PostgreSQL at db:5432, database me");
    }
}

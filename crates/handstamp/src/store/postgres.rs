use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::{Instant, sleep, timeout};

use super::{OpenError, POLL_EVERY, TIME_LIMIT, for_lease, for_upkeep, within_time};
use crate::log;

const CONNECTIONS: u32 = 10;
/// One follows, one waits for the others.
const KEEPING_CONNECTIONS: u32 = 2;

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
    pub(super) pool: PgPool,
    /// Connections for what keeps the lease.
    pub(super) keeping: PgPool,
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
    pub(super) async fn open(url: &str, notify: bool) -> Result<Self, OpenError> {
        // Ends a statement that the database would go on with for longer than anybody waits, and a transaction whose process
        // is frozen or cut off: it would hold the counter of changes, and with it everybody's sign-outs.
        let limit = TIME_LIMIT.as_millis();
        let options = PgConnectOptions::from_str(url)?.application_name("handstamp").options(
            ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"].map(|name| (name, limit)),
        );
        let keeping = pool_of(KEEPING_CONNECTIONS).connect_lazy_with(options.clone());
        let pool = pool_of(CONNECTIONS).connect_with(options).await?;
        let mut migrations = sqlx::migrate!("migrations/postgres");
        match migrations.run(&pool).await {
            Err(MigrateError::Execute(error)) if is_unknown_there(&error) => {
                log::warn!("the database has no advisory locks: of several new nodes, start one before the others");
                migrations.set_locking(false).run(&pool).await?;
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
        let clock = within_time(sqlx::query_scalar::<_, i64>(for_lease(SQL)).fetch_one(&self.keeping)).await?;
        Ok(clock.try_into().ok().map(Duration::from_millis))
    }

    /// Whoever cannot be woken finds out by itself, and whether notifications come through is for the listener to find
    /// out: a database that has none says so here.
    async fn send(&self, payload: &str) {
        let sent =
            sqlx::query(for_lease("SELECT pg_notify($1, $2)")).bind(CHANNEL).bind(payload).execute(&self.keeping);
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
        let pool = pool_of(1).connect_lazy_with((*self.keeping.connect_options()).clone());
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

fn pool_of(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
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

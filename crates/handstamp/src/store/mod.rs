//! The database: all SQL of this crate, for SQLite and PostgreSQL.
//!
//! Both databases run the same SQL; only opening them differs. Every method is one statement or one transaction, and
//! `contract.rs` tests every method on both databases.

mod attempts;
#[cfg(test)]
mod contract;
mod groups;
mod invalidations;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_pool;
mod protocol;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_lock;
mod users;

use std::io;
use std::time::Duration;

use handstamp_core::Timestamp;

use crate::config::{DatabaseUrl, PoolConfig};

pub(crate) use attempts::{AttemptLimit, CountedAttempt};
pub(crate) use groups::{GROUPS_PER_USER, TooManyGroupsError};
pub(crate) use protocol::{Committed, Invalidation, InvalidationLog, InvalidationScope, NodeId, NodeRow, Position};
pub use sessions::ListedSession;
pub(crate) use sessions::{NewSession, OwnedSession, RevokeOutcome, SESSIONS_PER_USER};
pub use users::User;
pub(crate) use users::{Credentials, EmailTakenError, LiveSession, NewUser, SessionUser};

/// An open database.
pub(crate) enum Store {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

/// Runs `$body` within the time limit. `$pool` is the named pool of SQLite, or a connection of the named pool of PostgreSQL.
macro_rules! on_pool {
    ($store:expr, $sqlite:ident, $postgres:ident, |$pool:ident| $body:expr) => {
        match $store {
            #[cfg(feature = "sqlite")]
            $crate::store::Store::Sqlite(database) => {
                let $pool = &database.$sqlite;
                $crate::store::within_time(async { $body }).await
            }
            #[cfg(feature = "postgres")]
            $crate::store::Store::Postgres(database) => {
                $crate::store::within_time(async {
                    let mut connection = database.$postgres.acquire().await?;
                    let $pool = &mut *connection;
                    $body
                })
                .await
            }
        }
    };
}

/// Runs a read of a request.
macro_rules! read_with {
    ($store:expr, |$pool:ident| $body:expr) => {
        $crate::store::on_pool!($store, readers, pool, |$pool| $body)
    };
}

/// Runs a statement of the lease protocol, on connections of its own: a flood of requests must not cost this node the lease,
/// which keeps requests from the database. On SQLite it does not wait for the disk, since a lease ends with the process.
macro_rules! keep_with {
    ($store:expr, |$pool:ident| $body:expr) => {
        $crate::store::on_pool!($store, lease_pool, lease_pool, |$pool| $body)
    };
}

/// Runs `$body` in a write transaction, within the time limit. Commits if the body runs to its end. **An early `return`, even
/// `return Ok(…)`, rolls back.**
macro_rules! write_with {
    ($store:expr, |$transaction:ident| $body:expr) => {
        $crate::store::in_transaction!($store, writer, |$transaction| $body)
    };
}

/// Runs a write transaction for attempt counts, as [`write_with`] does. On SQLite it does not wait for the disk: a killed
/// process loses no counts, and a power loss at most those of the last moments.
macro_rules! count_with {
    ($store:expr, |$transaction:ident| $body:expr) => {
        $crate::store::in_transaction!($store, attempts_pool, |$transaction| $body)
    };
}

/// Runs `$body` in a transaction: on the named pool of SQLite, or on the main pool of PostgreSQL.
macro_rules! in_transaction {
    ($store:expr, $sqlite:ident, |$transaction:ident| $body:expr) => {
        match $store {
            #[cfg(feature = "sqlite")]
            $crate::store::Store::Sqlite(database) => {
                $crate::store::within_time(async {
                    // A body that does not run to its end is rolled back when the connection is released.
                    let mut $transaction = database.$sqlite.acquire().await?;
                    let _held = database.lock.begin(&mut $transaction).await?;
                    let value = $body;
                    sqlx::query("COMMIT").execute(&mut *$transaction).await?;
                    Ok(value)
                })
                .await
                .map_err(|error| database.lock.explain(error))
            }
            #[cfg(feature = "postgres")]
            $crate::store::Store::Postgres(database) => {
                $crate::store::within_time(async {
                    let mut connection = database.pool.acquire().await?;
                    let mut $transaction = sqlx::Connection::begin(&mut *connection).await?;
                    let value = $body;
                    $transaction.commit().await?;
                    Ok(value)
                })
                .await
            }
        }
    };
}

use {count_with, in_transaction, keep_with, on_pool, read_with, write_with};

impl Store {
    /// Opens the database and runs the migrations.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "only PostgreSQL notifies, and is connected to")
    )]
    pub(crate) async fn open_with(url: &DatabaseUrl, notify: bool, pool: PoolConfig) -> Result<Self, OpenError> {
        metrics::describe_counter!(STATEMENTS, "Statements sent to the database, by purpose");
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => sqlite::Sqlite::open(path).await.map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => postgres::Postgres::open(url, notify, pool).await.map(Self::Postgres),
        }
    }

    #[cfg(test)]
    pub(crate) async fn open(url: &DatabaseUrl, notify: bool) -> Result<Self, OpenError> {
        Self::open_with(url, notify, PoolConfig::default()).await
    }

    /// Calls `wake` soon after a commit of this process or another, and sometimes without one. Never returns.
    pub(crate) async fn watch_changes(&self, wake: impl Fn() + Send + Sync) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => database.watch_changes(wake).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.watch_changes(wake).await,
        }
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> sqlx::Result<()> {
        read_with!(self, |pool| sqlx::query(for_maintenance("SELECT 1")).execute(pool).await.map(drop))
    }

    /// Waits for running statements and closes all connections.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => {
                database.readers.close().await;
                database.lease_pool.close().await;
                database.attempts_pool.close().await;
                database.writer.close().await;
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                database.lease_pool.close().await;
                database.pool.close().await;
            }
        }
    }
}

/// How often a node polls for changes, where it gets no notifications.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The longest that a statement or transaction may take: a database that is frozen or cut off returns no error.
const TIME_LIMIT: Duration = Duration::from_millis(2500);

async fn within_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(TIME_LIMIT, work).await.unwrap_or_else(|_| {
        let limit = TIME_LIMIT.as_secs_f32();
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit} seconds"))))
    })
}

/// Why the database could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// A file or folder that other users may read, or that cannot be created.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL keeps its own files"))]
    File(String),
    Database(sqlx::Error),
    /// The server that does not accept connections, and its error.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite is no server"))]
    Unreachable(String, sqlx::Error),
    Migration(sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<sqlx::migrate::MigrateError> for OpenError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(message) => f.write_str(message),
            Self::Database(error) => write!(f, "the database cannot be opened: {error}"),
            Self::Unreachable(server, error) => write!(f, "the database cannot be opened: {server}: {error}"),
            Self::Migration(sqlx::migrate::MigrateError::VersionMissing(version)) => {
                write!(f, "the database was migrated by a newer version of Handstamp (it has migration {version})")
            }
            Self::Migration(error) => write!(f, "the migrations of the database failed: {error}"),
        }
    }
}

/// Counts and returns a statement of a request. Every statement passes through one of these three functions, except `BEGIN`
/// and `COMMIT`, which are not counted.
fn for_request(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "purpose" => "request").increment(1);
    sql
}

/// Counts and returns a statement of the lease protocol.
fn for_lease(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "purpose" => "lease").increment(1);
    sql
}

/// Counts and returns a statement of the periodic maintenance.
fn for_maintenance(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "purpose" => "maintenance").increment(1);
    sql
}

const STATEMENTS: &str = "handstamp_db_statements_total";

/// A time as both databases store it. Times beyond the year 292 billion are stored as the last second that fits.
fn to_db_time(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}

/// A stored time. No time before 1970 is ever stored.
fn from_db_time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds.try_into().unwrap_or(0))
}

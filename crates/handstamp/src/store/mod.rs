//! All SQL of the house. One text serves SQLite and PostgreSQL; what differs is how they are opened.
//!
//! Every method is one statement or one transaction, and every method is a law in `contract.rs`, which runs on both.

mod attempt_rows;
mod change;
mod change_rows;
#[cfg(test)]
mod contract;
mod group_rows;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_pool;
mod session_rows;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_lock;
mod user_rows;

use std::io;
use std::time::Duration;

use handstamp_core::Timestamp;

use crate::config::{DatabaseUrl, PoolConfig};

pub(crate) use attempt_rows::{Attempted, Counted};
pub(crate) use change::{Change, ChangeLog, Logged, NodeId, NodeRow, Position, Subject};
pub(crate) use group_rows::{GROUPS_PER_USER, TooManyGroups};
pub use session_rows::ListedSession;
pub(crate) use session_rows::{ByHandle, NewSession, OwnedSession, SESSIONS_PER_USER};
pub use user_rows::Account;
pub(crate) use user_rows::{AddressTaken, Credentials, LiveSession, NewUser, User};

/// The database.
pub(crate) enum Store {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

/// Runs `$body` with `$pool`, which is this pool of SQLite or that of PostgreSQL, within the time limit.
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

/// Reads for a request.
macro_rules! read_with {
    ($store:expr, |$pool:ident| $body:expr) => {
        $crate::store::on_pool!($store, readers, pool, |$pool| $body)
    };
}

/// Reads and writes what keeps this node's lease. It has connections of its own, since a flood of requests must not cost
/// the lease that keeps them from the database; and on SQLite it waits for no disk, since a lease ends with the process.
macro_rules! keep_with {
    ($store:expr, |$pool:ident| $body:expr) => {
        $crate::store::on_pool!($store, keeping, keeping, |$pool| $body)
    };
}

/// Writes within `$transaction` and the time limit. It commits after the body, gives what that gave, and rolls back where
/// the body returns early, whatever it returns.
macro_rules! write_with {
    ($store:expr, |$transaction:ident| $body:expr) => {
        $crate::store::in_transaction!($store, writer, |$transaction| $body)
    };
}

/// Writes how often somebody has guessed, as [`write_with`] does. On SQLite it waits for no disk: a process that is killed
/// forgets nothing, and a machine that loses its power the last moments at most.
macro_rules! count_with {
    ($store:expr, |$transaction:ident| $body:expr) => {
        $crate::store::in_transaction!($store, counting, |$transaction| $body)
    };
}

/// Runs `$body` within a transaction of this pool of SQLite or of PostgreSQL's.
macro_rules! in_transaction {
    ($store:expr, $sqlite:ident, |$transaction:ident| $body:expr) => {
        match $store {
            #[cfg(feature = "sqlite")]
            $crate::store::Store::Sqlite(database) => {
                $crate::store::within_time(async {
                    // Whatever does not come as far as the end is rolled back when the connection is released.
                    let mut $transaction = database.$sqlite.acquire().await?;
                    let _held = database.lock.begin(&mut $transaction).await?;
                    let done = $body;
                    sqlx::query("COMMIT").execute(&mut *$transaction).await?;
                    Ok(done)
                })
                .await
                .map_err(|error| database.lock.explain(error))
            }
            #[cfg(feature = "postgres")]
            $crate::store::Store::Postgres(database) => {
                $crate::store::within_time(async {
                    let mut connection = database.pool.acquire().await?;
                    let mut $transaction = sqlx::Connection::begin(&mut *connection).await?;
                    let done = $body;
                    $transaction.commit().await?;
                    Ok(done)
                })
                .await
            }
        }
    };
}

use {count_with, in_transaction, keep_with, on_pool, read_with, write_with};

impl Store {
    /// Opens the database and brings its tables up to date.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "only PostgreSQL notifies, and is connected to")
    )]
    pub(crate) async fn open_with(url: &DatabaseUrl, notify: bool, pool: PoolConfig) -> Result<Self, OpenError> {
        metrics::describe_counter!(STATEMENTS, "Statements sent to the database, by what they were for");
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

    /// Calls `wake` soon after anybody has changed something, in this process or another, and sometimes for nothing. It
    /// never ends.
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
        read_with!(self, |pool| sqlx::query(for_upkeep("SELECT 1")).execute(pool).await.map(drop))
    }

    /// Finishes what is under way and lets the database go.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => {
                database.readers.close().await;
                database.keeping.close().await;
                database.counting.close().await;
                database.writer.close().await;
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                database.keeping.close().await;
                database.pool.close().await;
            }
        }
    }
}

/// How often followers ask whether something has changed, where nobody tells them.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The longest that anybody waits for the database: one that is frozen, or cut off, does not say so.
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
    /// A file or folder that others may read, or that cannot be made.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL keeps its own files"))]
    File(String),
    Database(sqlx::Error),
    /// What server does not take us, and why.
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
                write!(f, "the database was made by a newer version of Handstamp (it has migration {version})")
            }
            Self::Migration(error) => write!(f, "the tables of the database cannot be brought up to date: {error}"),
        }
    }
}

/// The statement, counted: every statement of the house goes through one of these three. `BEGIN` and `COMMIT` are not
/// counted.
fn for_request(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "for" => "request").increment(1);
    sql
}

/// A statement that keeps this node's lease, or finds out how the other nodes stand.
fn for_lease(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "for" => "lease").increment(1);
    sql
}

/// A statement of the upkeep, now and then.
fn for_upkeep(sql: &'static str) -> &'static str {
    metrics::counter!(STATEMENTS, "for" => "upkeep").increment(1);
    sql
}

const STATEMENTS: &str = "handstamp_statements_total";

/// A time as both databases keep it. Beyond the year 292 billion it stands still.
fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}

/// A stored time; nothing earlier than 1970 is ever stored.
fn loaded(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds.try_into().unwrap_or(0))
}

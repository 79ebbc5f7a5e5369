//! All SQL of the house. One text serves SQLite and PostgreSQL; what differs is how they are opened.
//!
//! Every method is one statement or one transaction, and every method is a law in `contract.rs`, which runs on both.

#[cfg(test)]
mod contract;
mod postgres;
mod session_rows;
mod sqlite;
mod user_rows;

use std::time::Duration;

use handstamp_core::Timestamp;

use crate::config::DatabaseUrl;

pub use session_rows::ListedSession;
pub(crate) use session_rows::NewSession;
pub use user_rows::Account;
pub(crate) use user_rows::{AddressTaken, Credentials, NewUser, User};

/// The database.
pub(crate) enum Store {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// Reads with `$pool`, the pool of whichever database there is, within the time limit.
macro_rules! read_with {
    ($store:expr, |$pool:ident| $body:expr) => {
        match $store {
            $crate::store::Store::Sqlite(database) => {
                let $pool = &database.readers;
                $crate::store::within_time(async { $body }).await
            }
            $crate::store::Store::Postgres(database) => {
                let $pool = &database.pool;
                $crate::store::within_time(async { $body }).await
            }
        }
    };
}

/// Writes within `$transaction` and the time limit. It commits after the body, gives what that gave, and rolls back where
/// the body returns early, whatever it returns.
macro_rules! write_with {
    ($store:expr, |$transaction:ident| $body:expr) => {
        match $store {
            $crate::store::Store::Sqlite(database) => {
                $crate::store::within_time(async {
                    // Taking the write lock at once: a transaction that reads first can otherwise lose it for ever.
                    let mut $transaction = database.writer.begin_with("BEGIN IMMEDIATE").await?;
                    let done = $body;
                    $transaction.commit().await?;
                    Ok(done)
                })
                .await
            }
            $crate::store::Store::Postgres(database) => {
                $crate::store::within_time(async {
                    let mut $transaction = database.pool.begin().await?;
                    let done = $body;
                    $transaction.commit().await?;
                    Ok(done)
                })
                .await
            }
        }
    };
}

use {read_with, write_with};

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::Sqlite::open(path).await.map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => postgres::Postgres::open(url).await.map(Self::Postgres),
        }
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> sqlx::Result<()> {
        read_with!(self, |pool| sqlx::query("SELECT 1").execute(pool).await.map(drop))
    }

    /// Finishes what is under way and lets the database go.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(database) => {
                database.readers.close().await;
                database.writer.close().await;
            }
            Self::Postgres(database) => database.pool.close().await,
        }
    }
}

/// The longest that anybody waits for the database: one that is frozen, or cut off, does not say so.
const TIME_LIMIT: Duration = Duration::from_millis(2500);

async fn within_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(TIME_LIMIT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Why the database could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// A file or folder that others may read, or that cannot be made.
    File(String),
    Database(sqlx::Error),
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
            Self::Migration(sqlx::migrate::MigrateError::VersionMissing(version)) => {
                write!(f, "the database was made by a newer version of Handstamp (it has migration {version})")
            }
            Self::Migration(error) => write!(f, "the tables of the database cannot be brought up to date: {error}"),
        }
    }
}

/// A time as both databases keep it. Beyond the year 292 billion it stands still.
fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}

/// A stored time; nothing earlier than 1970 is ever stored.
fn loaded(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds.try_into().unwrap_or(0))
}

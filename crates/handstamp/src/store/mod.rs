//! The database: all SQL of this crate, for SQLite and PostgreSQL.
//!
//! Both databases run the same SQL; only opening them differs. Every method is one statement or one transaction, and
//! `contract.rs` tests every method on both databases.

mod administrators;
mod attempts;
#[cfg(any(feature = "federation", feature = "passkeys"))]
mod ceremonies;
#[cfg(test)]
mod contract;
mod epoch;
mod event_hours;
mod events;
mod failed_sign_ins;
mod groups;
mod identities;
mod import;
mod invalidations;
mod jobs;
mod legacy;
mod legacy_sessions;
mod migrations;
mod one_time_acts;
mod one_time_tokens;
mod outbox;
mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_pool;
mod protocol;
mod provider_logouts;
mod second_factors;
mod secret_keys;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_files;
#[cfg(feature = "sqlite")]
mod sqlite_lock;
#[cfg(feature = "sqlite")]
mod sqlite_notify;
mod statement;
mod statement_span;
mod status;
mod user_search;
mod users;
#[cfg(any(feature = "federation", feature = "passkeys"))]
mod ways_in;

use std::fmt;

use handstamp_core::Timestamp;

use crate::config::{DatabaseUrl, PoolConfig};

pub(crate) use administrators::LastAdministratorError;
pub(crate) use attempts::{AttemptLimit, CountedAttempt};
pub(crate) use epoch::{DatabaseState, EpochStart};
pub(crate) use groups::ChangeGroupsError;
pub(crate) use jobs::JobState;
pub(crate) use legacy_sessions::LegacyTable;
pub(crate) use one_time_acts::{TokenUse, Verified};
#[cfg(feature = "passkeys")]
pub(crate) use passkeys::PASSKEYS_PER_USER;
pub(crate) use protocol::{
    Committed, Invalidation, InvalidationLog, InvalidationScope, NoLease, NodeId, NodeRow, Position,
    PropagationUnknown, StaleRead,
};
pub(crate) use second_factors::SecondFactorUse;
#[cfg(feature = "sqlite")]
pub(crate) use sqlite_files::{
    copy_sqlite, lock_sqlite, merge_sqlite_log, position_of_sqlite, process_using_sqlite, sqlite_schema,
};
pub(crate) use status::{COUNTED_MESSAGES, NodeStatusRow};
pub(crate) use users::EmailTakenError;

pub(crate) use statement::as_maintenance;
use statement::{Pool, maintenance};

/// A result of the store.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An open database.
pub(crate) enum Store {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the database and runs the migrations.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "only PostgreSQL is connected to"))]
    pub(crate) async fn open_with(url: &DatabaseUrl, notify: bool, pool: PoolConfig) -> Result<Self, OpenError> {
        statement::describe_metrics();
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => sqlite::Sqlite::open(path, notify).await.map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => postgres::Postgres::open(url, notify, pool).await.map(Self::Postgres),
        }
    }

    #[cfg(test)]
    pub(crate) async fn open(url: &DatabaseUrl, notify: bool) -> Result<Self, OpenError> {
        Self::open_with(url, notify, PoolConfig::default()).await
    }

    /// Calls `wake` soon after a process has notified all nodes, and sometimes without that. Never returns.
    pub(crate) async fn watch_changes(&self, wake: impl Fn() + Send + Sync) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => database.notifications.watch(wake).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.watch_changes(wake).await,
        }
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<()> {
        self.execute(Pool::Read, maintenance("SELECT 1"), &[]).await.map(drop)
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

/// The database did not answer, refused a statement, or could not commit.
#[derive(Debug)]
pub(crate) struct Error(sqlx::Error);

impl Error {
    fn row_not_found() -> Self {
        Self(sqlx::Error::RowNotFound)
    }

    /// Whether a stored value could not be read.
    pub(crate) fn is_decode(&self) -> bool {
        matches!(self.0, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
    }

    /// A stored value that this version cannot have written.
    fn decode(message: &'static str) -> Self {
        Self(sqlx::Error::Decode(message.into()))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Why the database could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// A file or folder that other users may read, or that cannot be created.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "PostgreSQL keeps its own files"))]
    File(String),
    Database(sqlx::Error),
    /// The server, the connection to which an attacker on the network can leave unencrypted.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite is no server"))]
    Unencrypted(String),
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

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_) | Self::Unencrypted(_) => None,
            Self::Database(error) | Self::Unreachable(_, error) => Some(error),
            Self::Migration(error) => Some(error),
        }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(message) => f.write_str(message),
            Self::Database(error) => write!(f, "the database cannot be opened: {error}"),
            Self::Unencrypted(server) => write!(
                f,
                "the connection to {server} may go unencrypted: add sslmode=verify-full to database_url, or sslmode=disable where the \
                 network to it is trusted"
            ),
            Self::Unreachable(server, error) if is_of_a_pooler(error) => write!(
                f,
                "the database cannot be opened: {server}: {error}. A pooler in transaction mode needs \
                 database.prepared_statements = false, and one in session mode ignore_startup_parameters = extra_float_digits,options"
            ),
            Self::Unreachable(server, error) => write!(f, "the database cannot be opened: {server}: {error}"),
            Self::Migration(sqlx::migrate::MigrateError::VersionMissing(version)) => {
                write!(f, "the database was migrated by a newer version of Handstamp (it has migration {version})")
            }
            Self::Migration(error) => write!(f, "the migrations of the database failed: {error}"),
        }
    }
}

/// Whether a pooler has refused a connection because of its settings.
fn is_of_a_pooler(error: &sqlx::Error) -> bool {
    error.to_string().contains("unsupported startup parameter")
}

/// A time as both databases store it. Times beyond the year 292 billion are stored as the last second that fits.
fn to_db_time(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}

/// A stored time. No time before 1970 is ever stored.
fn from_db_time(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds.try_into().unwrap_or(0))
}

//! SQLite: opening the database file, and its connections.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};

use super::sqlite_lock::WriteLock;
use super::sqlite_notify::Notifications;
use super::statement::{Durability, Pool};
use super::{OpenError, migrations};
use crate::private_files;

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// A SQLite file with one connection that writes and several that read. SQLite has one writer at a time anyway. The queue of
/// the pool is fair, while SQLite's busy time-out is not.
pub(crate) struct Sqlite {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// One connection for the lease protocol. Its commits do not wait for the disk.
    pub(super) lease_pool: SqlitePool,
    /// One connection that counts attempts. Its commits do not wait for the disk either.
    pub(super) attempts_pool: SqlitePool,
    pub(super) lock: WriteLock,
    pub(super) notifications: Notifications,
}

impl Sqlite {
    pub(super) async fn open(path: &Path, notify: bool) -> Result<Self, OpenError> {
        make_private(path)?;
        // SQLite follows links, so processes that open the database by different links have one file.
        let file = path.canonicalize().map_err(|error| cannot("find", path, &error))?;
        let notifications = Notifications::by(beside(&file, "-lock"), notify);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            // With NORMAL, a power loss can bring an ended session back.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // Connections are never reopened: one that is opened while the file is read-only can never write, and SQLite reports
        // no error.
        let pool = || {
            let options = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
            options.max_lifetime(None).idle_timeout(None)
        };
        let writing = || {
            let one = pool().max_connections(1).min_connections(1);
            one.after_release(|connection, _| Box::pin(rollback_open_transaction(connection)))
        };
        let writer = {
            let _alone = MigrationLock::take(path).await?;
            let writer = writing().connect_with(options.clone()).await?;
            migrations::of_sqlite().run(&writer).await?;
            writer
        };
        let without_sync = options.clone().synchronous(SqliteSynchronous::Normal);
        let lease_pool = pool().max_connections(1).connect_with(without_sync.clone()).await?;
        let attempts_pool = writing().connect_with(without_sync).await?;
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers, lease_pool, attempts_pool, lock: WriteLock::default(), notifications })
    }

    /// Lets the connection that writes keep more pages, and copy them to the database less often. A batch of an import changes a page for
    /// almost each user, and the next batch changes many of them again.
    pub(super) async fn expect_batches(&self) -> sqlx::Result<()> {
        // 64 MB of the WAL, and 16 MB of the cache.
        for pragma in ["PRAGMA wal_autocheckpoint = 16000", "PRAGMA cache_size = -16000"] {
            sqlx::query(pragma).execute(&self.writer).await?;
        }
        Ok(())
    }

    /// The connections for statements outside of transactions.
    pub(super) fn pool(&self, pool: Pool) -> &SqlitePool {
        match pool {
            Pool::Read => &self.readers,
            Pool::Lease => &self.lease_pool,
        }
    }

    /// The connection for transactions.
    pub(super) fn writing_pool(&self, durability: Durability) -> &SqlitePool {
        match durability {
            Durability::Synced => &self.writer,
            Durability::NotSynced => &self.attempts_pool,
        }
    }
}

#[cfg(test)]
impl Sqlite {
    /// Runs a statement that no service runs.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.writer).await.unwrap();
    }

    /// Runs a query that returns a count.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.readers).await.unwrap()
    }
}

/// Rolls back a transaction that failed or timed out. sqlx would do that itself, by counting the transactions it has begun.
/// But when the disk is full, SQLite has already rolled back; sqlx's rollback fails, and it never begins a transaction on that
/// connection again.
async fn rollback_open_transaction(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // It fails if no transaction is open, which is nearly always.
    let _ = sqlx::query("ROLLBACK").execute(connection).await;
    Ok(true)
}

/// A file lock that is held during migrations: two processes that migrate at once can fail.
pub(super) struct MigrationLock(#[expect(dead_code, reason = "the lock is the open file")] File);

impl MigrationLock {
    pub(super) async fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, "-lock");
        let lock = {
            let path = path.clone();
            move || {
                let file = match private_files::make_file(&path)? {
                    Some(file) => file,
                    None => OpenOptions::new().write(true).open(&path)?,
                };
                file.lock()?;
                Ok(Self(file))
            }
        };
        // Waiting on this thread could block the task that holds the lock.
        let taken = tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        taken.map_err(|error| cannot("lock", &path, &error))
    }
}

/// Creates the file and its folder as private to this user, and rejects files that others may read or own.
fn make_private(path: &Path) -> Result<(), OpenError> {
    make_private_folder(path)?;
    private_files::make_file(path).map_err(|error| cannot("make", path, &error))?;
    // SQLite gives its WAL and index files the mode of the database.
    [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-lock")]
        .iter()
        .try_for_each(|path| private_files::refuse_if_open_to_others(path))
        .map_err(OpenError::File)
}

/// Creates the folder of the file as private to this user.
pub(super) fn make_private_folder(path: &Path) -> Result<(), OpenError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => private_files::make_folder(folder).map_err(OpenError::File),
        None => Ok(()),
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn cannot(act: &str, path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::File(private_files::cannot(act, path, error))
}

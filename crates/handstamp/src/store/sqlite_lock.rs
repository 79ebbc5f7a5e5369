//! Tracks whether this process holds SQLite's write lock, so that errors can say why a transaction timed out.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::SqliteConnection;

/// Whether a transaction of this store holds SQLite's one write lock, or another process or connection does. SQLite itself does
/// not tell, and transactions time out before SQLite does.
#[derive(Default)]
pub(crate) struct WriteLock {
    ours: AtomicUsize,
    is_elsewhere: AtomicBool,
}

/// The write lock, while a transaction of this store holds it.
pub(crate) struct Held<'a>(&'a WriteLock);

/// A transaction of this store that waits for the lock. Dropping this means that it has timed out.
struct Waiting<'a>(&'a WriteLock);

impl WriteLock {
    /// Begins a write transaction. It takes the lock at once, since a transaction that has read first may be unable to get it.
    pub(crate) async fn begin(&self, connection: &mut SqliteConnection) -> sqlx::Result<Held<'_>> {
        let waiting = Waiting(self);
        sqlx::query("BEGIN IMMEDIATE").execute(connection).await?;
        std::mem::forget(waiting);
        self.is_elsewhere.store(false, Ordering::Relaxed);
        self.ours.fetch_add(1, Ordering::Relaxed);
        Ok(Held(self))
    }

    /// Replaces the error of a transaction that timed out waiting for the lock by one that says so.
    pub(crate) fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        if is_for_want_of_time(&error) && self.is_elsewhere.load(Ordering::Relaxed) {
            const REASON: &str =
                "another process, or another connection of this one, holds the write lock of the database";
            return sqlx::Error::Io(io::Error::new(io::ErrorKind::ResourceBusy, REASON));
        }
        error
    }
}

fn is_for_want_of_time(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: &str = "5";
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == SQLITE_BUSY),
        _ => false,
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.ours.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.ours.load(Ordering::Relaxed) == 0 {
            self.0.is_elsewhere.store(true, Ordering::Relaxed);
        }
    }
}

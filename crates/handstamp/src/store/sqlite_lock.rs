//! Who holds the write lock of SQLite, so that an error says why a transaction had to give up.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::SqliteConnection;

/// SQLite's one write lock: whether a transaction of ours holds it, or another process or connection. SQLite itself does not
/// tell, and a transaction gives up before SQLite does.
#[derive(Default)]
pub(crate) struct WriteLock {
    ours: AtomicUsize,
    is_elsewhere: AtomicBool,
}

/// The lock, for as long as a transaction of ours has it.
pub(crate) struct Held<'a>(&'a WriteLock);

/// A transaction of ours that waits for the lock. It has given up when this is dropped.
struct Waiting<'a>(&'a WriteLock);

impl WriteLock {
    /// Begins a transaction that writes. It takes the lock at once: one that reads first can otherwise lose it for ever.
    pub(crate) async fn begin(&self, connection: &mut SqliteConnection) -> sqlx::Result<Held<'_>> {
        let waiting = Waiting(self);
        sqlx::query("BEGIN IMMEDIATE").execute(connection).await?;
        std::mem::forget(waiting);
        self.is_elsewhere.store(false, Ordering::Relaxed);
        self.ours.fetch_add(1, Ordering::Relaxed);
        Ok(Held(self))
    }

    /// Why a transaction came to nothing, where it is for want of the lock.
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

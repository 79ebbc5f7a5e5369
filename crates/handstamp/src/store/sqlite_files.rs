//! The file of a SQLite database as a whole: copied while it is in use, locked, and made ready to be replaced.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::sqlite::{MigrationLock, beside, make_private_folder};
use super::{OpenError, Position};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    // An absolute path is never taken for a URI.
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(BUSY_TIMEOUT).connect().await
}

/// The newest migration of a database, and about how many bytes a copy of it has.
pub(crate) async fn sqlite_schema(path: &Path) -> Result<(i64, u64), OpenError> {
    const BYTES: &str = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let mut connection = connect(path).await?;
    let schema = sqlx::query_scalar("SELECT MAX(version) FROM handstamp_migrations").fetch_one(&mut connection).await?;
    let bytes: i64 = sqlx::query_scalar(BYTES).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((schema, bytes.try_into().unwrap_or(0)))
}

/// Copies a database to an empty file, as it is at one moment, while writers go on. ARCHITECTURE.md compares it with SQLite's online backup.
pub(crate) async fn copy_sqlite(from: &Path, to: &Path) -> Result<(), OpenError> {
    let to = std::path::absolute(to).map_err(sqlx::Error::Io)?;
    let Some(to) = to.to_str() else {
        return Err(OpenError::File(format!("{} is no UTF-8, which SQLite needs", to.display())));
    };
    let mut connection = connect(from).await?;
    sqlx::query("VACUUM INTO $1").bind(to).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Keeps other processes from opening the database until the result is dropped, if they are Handstamp. Its folder is created.
pub(crate) async fn lock_sqlite(path: &Path) -> Result<impl Send, OpenError> {
    make_private_folder(path)?;
    MigrationLock::take(path).await
}

/// The newest position of a database that no process uses.
pub(crate) async fn position_of_sqlite(path: &Path) -> Result<Position, OpenError> {
    let mut connection = connect(path).await?;
    let position = sqlx::query_scalar("SELECT position FROM change_counter WHERE id = 1").fetch_one(&mut connection);
    let position = position.await?;
    connection.close().await?;
    Ok(Position(position))
}

/// Moves the write-ahead log into the database, which is one file afterwards.
///
/// # Errors
/// When another process has the database open, or the database is damaged.
pub(crate) async fn merge_sqlite_log(path: &Path) -> Result<(), OpenError> {
    let mut connection = connect(path).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
    connection.close().await?;
    match mode.as_str() {
        "delete" => Ok(()),
        _ => Err(OpenError::File(format!("{} is open in another process", path.display()))),
    }
}

/// A process other than this one that has the database open: each holds a lock on the index of the write-ahead log meanwhile.
pub(crate) fn process_using_sqlite(path: &Path) -> io::Result<Option<i32>> {
    let index = match File::options().read(true).write(true).open(beside(path, "-shm")) {
        Ok(index) => index,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = Flock { start: 0, length: 0, pid: None, typ: FlockType::WriteLock, offset_type: FlockOffsetType::Set };
    let lock = fcntl_getlk(&index, &whole)?;
    Ok(lock.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::OpenError;

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// One file, one connection that writes and several that read. SQLite has one writer at a time anyway; taking turns in
/// our own queue is fair, where its busy time-out is not.
pub(crate) struct Sqlite {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            // With NORMAL, a power cut can bring an ended session back.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
        let writer = pool().max_connections(1).min_connections(1);
        let writer = {
            let _alone = MigrationLock::take(path).await?;
            let writer = writer.connect_with(options.clone()).await?;
            sqlx::migrate!("migrations/sqlite").run(&writer).await?;
            writer
        };
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }
}

#[cfg(test)]
impl Sqlite {
    /// Does to the database what no service does.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.writer).await.unwrap();
    }
}

/// Held while the tables are brought up to date: two processes that do so at once can fail.
struct MigrationLock(#[expect(dead_code, reason = "the lock is the open file")] File);

impl MigrationLock {
    async fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, "-lock");
        let lock = {
            let path = path.clone();
            move || {
                let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
                file.lock()?;
                Ok(Self(file))
            }
        };
        // Waiting on this thread could keep whoever holds the lock from going on.
        let taken = tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        taken.map_err(|error| cannot("lock", &path, error))
    }
}

/// Makes the file and its folder for us alone, whatever the umask, and refuses a file that others may read.
fn make_private(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
            .map_err(|error| cannot("make", folder, error))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(|error| cannot("make", path, error))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot("make", path, error)),
    }
    // SQLite gives its companions the mode of the database.
    [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")]
        .iter()
        .try_for_each(|path| refuse_if_open_to_others(path))
}

fn refuse_if_open_to_others(path: &Path) -> Result<(), OpenError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Err(OpenError::File(format!(
            "{} can be read or written by others; close it with: chmod 600 {0}",
            path.display()
        ))),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("read", path, error)),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn cannot(act: &str, path: &Path, error: std::io::Error) -> OpenError {
    OpenError::File(format!("cannot {act} {}: {error}", path.display()))
}

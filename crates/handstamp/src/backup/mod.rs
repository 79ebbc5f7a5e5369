//! Backups of a site on SQLite: one file with a checksum, made while the site runs, and restored as a new epoch.
//!
//! `handstamp backup` and `handstamp restore` use it. A site on PostgreSQL is backed up by PostgreSQL's own tools; after a restore
//! [`Handstamp::begin_epoch`](crate::Handstamp::begin_epoch) ends what was restored with it.

mod file;
mod restore;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handstamp_core::Timestamp;
use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::error::Error;
use crate::private_files::sync_folder;
use crate::private_files::{self, cannot};
use crate::store::{self, OpenError};
use file::{Description, Verified};

pub use restore::{Restored, restore};

/// How often the size of a backup that is being made is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The files of the secret key by name, with their content.
pub type SecretFiles = BTreeMap<String, Zeroizing<String>>;

/// The description of a backup.
#[derive(Clone)]
#[non_exhaustive]
pub struct Backup {
    /// The version of Handstamp that made it.
    pub version: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// The newest migration of the database.
    pub schema: i64,
    /// The length of the database in bytes.
    pub database_bytes: u64,
    /// The files of the secret key, if they are in it.
    pub secrets: SecretFiles,
}

impl From<Verified> for Backup {
    fn from(Verified { description, database_bytes }: Verified) -> Self {
        let made_at = description.made_at();
        let Description { version, schema, secrets, .. } = description;
        Self { version, made_at, schema, database_bytes, secrets }
    }
}

fn file_error(message: String) -> Error {
    OpenError::File(message).into()
}

/// Makes a backup of the database at `database`, while servers use it or not. Only its owner can read the file, which has its name once
/// it is complete and on the disk. An existing file is replaced if `replace` is true. `progress` receives the bytes that are
/// done, and how many there are about.
///
/// # Errors
/// [`is_file`](Error::is_file) when the file exists or cannot be written; [`is_database`](Error::is_database).
pub async fn create(
    database: &Path,
    path: &Path,
    secrets: SecretFiles,
    replace: bool,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Result<Backup, Error> {
    if !replace && path.symlink_metadata().is_ok() {
        return Err(file_error(format!("{} exists", path.display())));
    }
    refuse_if_others_own(database)?;
    let (schema, size) = store::sqlite_schema(database).await?;
    let made_at = Environment::system().now().unix_seconds();
    let partial = Partial::new(path, ".partial").map_err(file_error)?;
    {
        let copied = store::copy_sqlite(database, &partial.0);
        tokio::pin!(copied);
        loop {
            tokio::select! {
                done = &mut copied => break done?,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    progress(fs::metadata(&partial.0).map_or(0, |found| found.len().min(size)), 2 * size);
                }
            }
        }
    }
    let description = Description { version: env!("CARGO_PKG_VERSION").to_owned(), made_at, schema, secrets };
    let path = path.to_owned();
    let sealed = tokio::task::spawn_blocking(move || {
        let sealed = file::seal(&partial.0, &description, |read| progress(size + read.min(size), 2 * size));
        let database_bytes = sealed.map_err(|error| cannot("write", &partial.0, &error))?;
        partial.finish(&path, replace).map_err(|error| cannot("write", &path, &error))?;
        Ok(Verified { description, database_bytes }.into())
    });
    sealed.await.unwrap_or_else(|error| Err(error.to_string())).map_err(file_error)
}

/// Reads a whole backup and compares its checksum. Nothing is written.
///
/// # Errors
/// [`is_file`](Error::is_file) when the file cannot be read, is no backup, or is damaged.
pub fn check(path: &Path, progress: impl Fn(u64, u64)) -> Result<Backup, Error> {
    file::verify(path, None, progress).map(Backup::from).map_err(file_error)
}

/// Rejects a database that other users can read or own: with its files open, this process would make some that the owner cannot write.
fn refuse_if_others_own(database: &Path) -> Result<(), Error> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.into_iter().chain([database]).try_for_each(private_files::refuse_if_open_to_others).map_err(file_error)
}

/// A private file beside its later name. It is removed if it is not finished.
struct Partial(PathBuf);

impl Partial {
    /// Makes an empty file. One that a killed process has left is removed.
    fn new(path: &Path, suffix: &str) -> Result<Self, String> {
        let path = beside(path, suffix);
        let _ = fs::remove_file(&path);
        let made = private_files::make_file(&path).map_err(|error| cannot("make", &path, &error))?;
        made.ok_or_else(|| format!("{} is being made by another process", path.display()))?;
        Ok(Self(path))
    }

    /// Gives the file its name, also across a power loss.
    fn finish(&self, path: &Path, replace: bool) -> std::io::Result<()> {
        // A link fails if the file was made meanwhile.
        match replace {
            true => fs::rename(&self.0, path)?,
            false => fs::hard_link(&self.0, path).and_then(|()| fs::remove_file(&self.0))?,
        }
        sync_folder(path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

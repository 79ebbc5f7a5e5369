//! Restores a backup: the database takes the place of the former one in a single step, in a new epoch.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Backup, Partial, beside, file, file_error, refuse_if_others_own};
use crate::Handstamp;
use crate::config::{Config, DatabaseUrl};
use crate::context::Context;
use crate::environment::Environment;
use crate::error::Error;
use crate::internal_error::InternalError;
use crate::private_files::sync_folder;
use crate::private_files::{self, cannot};
use crate::services::{EpochReason, position_in};
use crate::store::{self, EpochStart, Position};

/// The outcome of a restore.
#[derive(Clone)]
#[non_exhaustive]
pub struct Restored {
    /// The backup.
    pub backup: Backup,
    /// The file that has the former database, if there was one.
    pub former: Option<PathBuf>,
    /// The number of the new epoch.
    pub epoch: u64,
    /// How many sessions of the backup have ended.
    pub sessions: u64,
}

/// Restores a backup as the SQLite database of these settings. No process may have the former database open. The restored one has its
/// tables brought up to date. It begins a new epoch before it takes the place of the former, so no session of the backup is ever live. The
/// former database is kept under another name. `progress` receives the bytes that were read, and how many there are.
///
/// # Errors
/// [`is_file`](Error::is_file) when the backup is damaged, or a process has the database open. [`is_database`](Error::is_database), also
/// when a newer version has made the backup. [`is_config`](Error::is_config) when the database is not SQLite. The former database is
/// then as it was.
pub async fn restore(
    config: Config,
    path: &Path,
    progress: impl Fn(u64, u64) + Send + 'static,
) -> Result<Restored, Error> {
    let Some(target) = config.database.path().map(Path::to_owned) else {
        return Err(Error::config("a backup of SQLite is restored to SQLite: database_url names another database"));
    };
    refuse_if_others_own(&target)?;
    // It makes a server that starts meanwhile wait.
    let _lock = store::lock_sqlite(&target).await?;
    refuse_if_open(&target)?;
    let partial = Partial::new(&target, "-restoring").map_err(file_error)?;
    let (from, to) = (path.to_owned(), partial.0.clone());
    let backup = tokio::task::spawn_blocking(move || {
        let mut copy = File::options().write(true).open(&to).map_err(|error| cannot("write", &to, &error))?;
        let verified = file::verify(&from, Some(&mut copy), progress)?;
        copy.sync_all().map_err(|error| cannot("write", &to, &error))?;
        Ok(Backup::from(verified))
    });
    let backup = backup.await.unwrap_or_else(|error| Err(error.to_string())).map_err(file_error)?;
    let seen = store::position_of_sqlite(&target).await.unwrap_or(Position(0));
    let (epoch, sessions) = begin_epoch(config, &partial.0, seen).await?;
    let former = put_in_place(&partial.0, &target).await?;
    Ok(Restored { backup, former, epoch, sessions })
}

/// Begins a new epoch in a restored database that is not in its place yet, beyond all that nodes of the folder have seen.
async fn begin_epoch(mut config: Config, path: &Path, seen: Position) -> Result<(u64, u64), Error> {
    let state_file = config.state_file.take();
    config.database = DatabaseUrl::Sqlite(path.to_owned());
    config.session.cache_entries = 0;
    config.mail.send_outbox = false;
    let handstamp = Handstamp::open(config).await?;
    let services = &handstamp.shared_site().services;
    let seen = position_in(state_file.as_deref()).map_err(file_error)?.max(seen);
    // They had the database open that was backed up.
    services.store.forget_nodes().await.map_err(InternalError::from)?;
    let begun = services.begin_epoch(&Context::operator(), EpochReason::Restored, EpochStart::Beyond(seen)).await;
    handstamp.close().await;
    Ok(begun?.unwrap_or_default())
}

fn refuse_if_open(database: &Path) -> Result<(), Error> {
    let used = store::process_using_sqlite(database);
    match used.map_err(|error| file_error(cannot("look at the locks of", database, &error)))? {
        None => Ok(()),
        Some(pid) => Err(file_error(format!(
            "{} is open in the process {pid}: stop the server first, and each other program that uses the file",
            database.display()
        ))),
    }
}

/// Lets the restored database take the place of the former one, which is kept. At any moment there is one of the two, whole.
async fn put_in_place(restored: &Path, target: &Path) -> Result<Option<PathBuf>, Error> {
    let there = target.metadata().is_ok_and(|found| found.len() > 0);
    if !there {
        // The log of a database that is gone would be taken for that of the restored one.
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(target, suffix));
        }
        fs::rename(restored, target)
            .and_then(|()| sync_folder(target))
            .map_err(|error| file_error(cannot("write", target, &error)))?;
        return Ok(None);
    }
    let former = private_files::name_for_former(target, Environment::system().now());
    // Without a write-ahead log the former database is one file. One that is damaged keeps its log under its new name.
    let is_whole = store::merge_sqlite_log(target).await.is_ok();
    // A process may have opened it in spite of the lock, as an SQLite shell does.
    refuse_if_open(target)?;
    let moved = fs::hard_link(target, &former).and_then(|()| {
        for suffix in ["-wal", "-shm"].iter().filter(|_| !is_whole) {
            match fs::rename(beside(target, suffix), beside(&former, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(restored, target)?;
        sync_folder(target)
    });
    moved.map_err(|error| file_error(cannot("replace", target, &error)))?;
    Ok(Some(former))
}

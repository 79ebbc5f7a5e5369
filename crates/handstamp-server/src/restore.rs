//! `handstamp restore`: puts a backup in the place of the database, or begins the new epoch of one that was restored by other means.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handstamp::backup::{self, Backup, Restored, SecretFiles};
use handstamp::{DataDir, DatabaseUrl};
use serde_json::json;

use crate::backup::as_json;
use crate::cli::{OutputFlags, RestoreArgs};
use crate::commands::{say, show_json, with_handstamp};
use crate::progress::ByteProgress;
use crate::settings::{DataDirMode, Settings};
use crate::{CliError, log, plural, run};

const VOID: &str = "mailed links, codes, pending sign-ins and known devices from before are void; passwords, second factors and \
    passkeys are those of the backup";

/// Restores a backup, or begins a new epoch.
///
/// # Errors
/// When the backup is damaged or of a newer version, a server runs, or a file or the database cannot be written.
pub(crate) fn run(settings: Settings, request: &RestoreArgs) -> Result<(), CliError> {
    match &request.file {
        None => begin_epoch(settings, request.output),
        Some(file) => restore(settings, file, request),
    }
}

fn begin_epoch(settings: Settings, output: OutputFlags) -> Result<(), CliError> {
    with_handstamp(settings, async |handstamp| {
        let sessions = handstamp.begin_epoch().await?;
        if output.json {
            return show_json(&json!({ "sessions": sessions }));
        }
        say(&format!("began a new epoch, and ended {}; {VOID}", plural(sessions, "session", "sessions")))
    })
}

fn restore(settings: Settings, file: &Path, request: &RestoreArgs) -> Result<(), CliError> {
    if let DatabaseUrl::Postgres(_) = settings.database() {
        return Err(CliError::usage(
            "the database is PostgreSQL's: restore the dump with pg_restore --clean --if-exists --single-transaction, and then run \
             handstamp restore --database",
        ));
    }
    // All of it is checked before anything is written, and once more while it is copied.
    let progress = ByteProgress::new("checking");
    let checked = backup::check(file, |done, all| progress.update(done, all));
    progress.finish();
    let kept_secrets = put_secrets(&settings, &checked?, request.with_secrets)?;
    log::start(&settings, tracing::Level::ERROR);
    let port = settings.listen.port();
    let config = settings.into_config(port, DataDirMode::Create)?;
    let progress = Arc::new(ByteProgress::new("restoring"));
    let shown = Arc::clone(&progress);
    let restored = run::block_on_value(backup::restore(config, file, move |done, all| shown.update(done, all)))?;
    progress.finish();
    let restored = restored?;
    if request.output.json {
        let mut shown = as_json(file, &restored.backup);
        shown["former"] = json!(restored.former);
        shown["former_secrets"] = json!(kept_secrets);
        shown["epoch"] = json!(restored.epoch);
        shown["sessions"] = json!(restored.sessions);
        return show_json(&shown);
    }
    report(&restored, &kept_secrets)
}

fn report(restored: &Restored, kept_secrets: &[PathBuf]) -> Result<(), CliError> {
    say(&format!(
        "restored the backup of {}, and ended {}; {VOID}",
        restored.backup.made_at,
        plural(restored.sessions, "session", "sessions")
    ))?;
    for former in restored.former.iter().chain(kept_secrets) {
        say(&format!("the former file is {}", former.display()))?;
    }
    Ok(())
}

/// Puts the secret key of the backup in its place, if the folder has none or the operator wants it. Returns the files that are kept.
fn put_secrets(settings: &Settings, backup: &Backup, wanted: bool) -> Result<Vec<PathBuf>, CliError> {
    if wanted && backup.secrets.is_empty() {
        return Err(CliError::usage("the backup has no secret key: leave out --with-secrets"));
    }
    if wanted && settings.gives_secret_key() {
        return Err(CliError::usage("secret_key is set by a setting: change it there, and leave out --with-secrets"));
    }
    if backup.secrets.is_empty() || settings.gives_secret_key() {
        return Ok(Vec::new());
    }
    let folder = DataDir::open(&settings.data_dir)?;
    let known = folder.secret_files()?;
    if wanted || known.is_empty() {
        return Ok(folder.put_secret_files(&backup.secrets)?);
    }
    if differ(&known, &backup.secrets) {
        let _ = writeln!(
            std::io::stderr(),
            "handstamp: the backup has another secret key than {}, which is kept; second factors that the former key has sealed can \
             only be read with that: give --with-secrets to use it",
            settings.data_dir.display()
        );
    }
    Ok(Vec::new())
}

fn differ(known: &SecretFiles, other: &SecretFiles) -> bool {
    known.get("secret.key").map(|text| text.trim_end()) != other.get("secret.key").map(|text| text.trim_end())
}

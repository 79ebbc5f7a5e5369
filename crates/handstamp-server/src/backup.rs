//! `handstamp backup`: makes a backup of a site on SQLite, says how PostgreSQL is backed up, and checks the files of both.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use handstamp::backup::{self, Backup, SecretFiles};
use handstamp::private_files::cannot;
use handstamp::{DataDir, DatabaseUrl};
use serde_json::{Value, json};
use url::Url;

use crate::cli::{AddressArgs, BackupArgs};
use crate::commands::{say, show_json};
use crate::progress::ByteProgress;
use crate::settings::Settings;
use crate::{CliError, run, settings};

/// The tables without which no dump is a backup.
const TABLES: [&str; 27] = [
    "administrators_lock",
    "attempts",
    "change_counter",
    "changes",
    "event_head",
    "event_hours",
    "events",
    "failed_sign_ins",
    "handstamp_migrations",
    "identities",
    "imported_hash_costs",
    "jobs",
    "legacy_end",
    "legacy_exchanges",
    "nodes",
    "one_time_tokens",
    "outbox",
    "passkeys",
    "provider_logouts",
    "recovery_codes",
    "secret_key_nodes",
    "secret_keys",
    "sessions",
    "totp_secrets",
    "used_ceremonies",
    "user_groups",
    "users",
];

/// The parameters of a URL that PostgreSQL's own tools know, beside the password.
const LIBPQ_PARAMETERS: [&str; 9] =
    ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"];

/// Makes or checks a backup.
///
/// # Errors
/// When the file exists, cannot be written or is damaged, the database cannot be read, or it is PostgreSQL's.
pub(crate) fn run(request: &BackupArgs) -> Result<(), CliError> {
    if request.check {
        return check(request);
    }
    let settings = settings(&request.data, &AddressArgs::default())?;
    match settings.database() {
        DatabaseUrl::Sqlite(database) => create(&settings, &database, request),
        DatabaseUrl::Postgres(url) => Err(CliError::not_backed_up(instructions(&url, &request.file))),
        _ => Err(CliError::failure("this database cannot be backed up")),
    }
}

fn create(settings: &Settings, database: &Path, request: &BackupArgs) -> Result<(), CliError> {
    let path = &request.file;
    if !request.force && path.symlink_metadata().is_ok() {
        return Err(CliError::usage(format!("{} exists; replace it with --force", path.display())));
    }
    if !database.is_file() {
        return Err(CliError::failure(format!("there is no database at {}", database.display())));
    }
    let secrets = if request.with_secrets { secrets(settings)? } else { SecretFiles::new() };
    let progress = Arc::new(ByteProgress::new("backing up"));
    let shown = Arc::clone(&progress);
    let made = run::block_on_value(async move {
        backup::create(database, path, secrets, request.force, move |done, all| shown.update(done, all)).await
    })?;
    progress.finish();
    let made = made?;
    if request.output.json {
        return show_json(&as_json(path, &made));
    }
    say(&format!("backed up {} to {}{}", in_words(made.database_bytes), path.display(), secrets_in_words(&made)))
}

/// The files of the secret key.
fn secrets(settings: &Settings) -> Result<SecretFiles, CliError> {
    if settings.gives_secret_key() {
        return Err(CliError::usage(
            "secret_key is set by a setting and is no file of the data folder: keep a copy of it where it is set, and leave out \
             --with-secrets",
        ));
    }
    let files = DataDir::open(&settings.data_dir)?.secret_files()?;
    if files.is_empty() {
        return Err(CliError::failure(format!("there is no secret key in {}", settings.data_dir.display())));
    }
    Ok(files)
}

/// The exact command that backs up PostgreSQL, without the password.
fn instructions(url: &str, file: &Path) -> String {
    let (url, has_password) = without_password(url);
    let password =
        if has_password { "\nIt asks for the password, or takes it from ~/.pgpass or PGPASSWORD." } else { "" };
    format!(
        "nothing was backed up: the database is PostgreSQL's, and its own tool backs it up. Run\n\n  \
         (umask 077 && pg_dump --format=custom --file={} {})\n\nand then\n\n  handstamp backup --check {}\n{password}\n\
         Keep a copy of the secret key as well, at another place.",
        quoted(&file.display().to_string()),
        quoted(&url),
        quoted(&file.display().to_string()),
    )
}

/// The URL for PostgreSQL's tools, and whether a password was in it.
fn without_password(url: &str) -> (String, bool) {
    let Ok(mut url) = Url::parse(url) else { return (String::new(), false) };
    let mut has_password = url.password().is_some();
    let _ = url.set_password(None);
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    has_password |= parameters.iter().any(|(name, _)| name == "password");
    let known = parameters.into_iter().filter(|(name, _)| LIBPQ_PARAMETERS.contains(&name.as_str()));
    let known: Vec<_> = known.collect();
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(known);
    }
    (url.to_string(), has_password)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn check(request: &BackupArgs) -> Result<(), CliError> {
    let path = &request.file;
    let mut start = [0; 5];
    let file = File::open(path).map_err(|error| CliError::failure(cannot("read", path, &error)))?;
    let is_dump = { &file }.read_exact(&mut start).is_ok() && &start == b"PGDMP";
    if is_dump {
        check_dump(path)?;
        return match request.output.json {
            true => show_json(&json!({ "file": path, "kind": "pg_dump" })),
            false => say(&format!("{} is a whole dump with all tables of Handstamp", path.display())),
        };
    }
    let progress = ByteProgress::new("checking");
    let found = backup::check(path, |done, all| progress.update(done, all));
    progress.finish();
    let found = found?;
    if request.output.json {
        return show_json(&as_json(path, &found));
    }
    say(&format!(
        "{} is whole: {} of {}, made by version {}{}",
        path.display(),
        in_words(found.database_bytes),
        found.made_at,
        found.version,
        secrets_in_words(&found)
    ))
}

/// Checks a dump by PostgreSQL's own tool: all tables are in it, and it can be read to its end.
fn check_dump(path: &Path) -> Result<(), CliError> {
    let list = pg_restore(&["--list"], path)?;
    let missing: Vec<_> = TABLES.iter().filter(|table| !has_data_of(&list, table)).copied().collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(CliError::failure(format!(
            "{} is no backup: it has no data of the tables {missing}; was it made with --schema-only, --table, or of another database?",
            path.display()
        )));
    }
    // The list is at the beginning of the file. A dump that was cut off has one too.
    pg_restore(&["--file=/dev/null"], path).map(drop)
}

/// Whether a line such as `3512; 0 16422 TABLE DATA public users handstamp` is in the list.
fn has_data_of(list: &str, table: &str) -> bool {
    list.lines()
        .filter_map(|line| line.split_once(" TABLE DATA "))
        .any(|(_, rest)| rest.split(' ').nth(1) == Some(table))
}

#[expect(clippy::disallowed_methods, reason = "the output of another program may have a name in any encoding")]
fn pg_restore(arguments: &[&str], path: &Path) -> Result<String, CliError> {
    let path: PathBuf = std::path::absolute(path).map_err(CliError::failure)?;
    let output = Command::new("pg_restore").args(arguments).arg(&path).stdin(Stdio::null()).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => CliError::failure(
            "the dump is not checked: pg_restore is not installed here; it comes with PostgreSQL's client programs",
        ),
        _ => CliError::failure(format!("the dump is not checked: cannot run pg_restore: {error}")),
    })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::failure(format!(
            "{} is damaged, or of a newer PostgreSQL: {}",
            path.display(),
            reason.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn secrets_in_words(backup: &Backup) -> &'static str {
    if backup.secrets.is_empty() { ", without the secret key" } else { ", with the secret key" }
}

/// The description of a backup, for programs.
pub(crate) fn as_json(path: &Path, backup: &Backup) -> Value {
    json!({
        "file": path,
        "kind": "handstamp",
        "version": backup.version,
        "made_at": backup.made_at.to_string(),
        "schema": backup.schema,
        "bytes": backup.database_bytes,
        "secrets": !backup.secrets.is_empty(),
    })
}

pub(crate) fn in_words(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

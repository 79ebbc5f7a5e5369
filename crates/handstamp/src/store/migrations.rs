//! The migrations of both databases, as the files of `migrations/` have them.
//!
//! `sqlx::migrate!` would give the same values. But its macros compile sqlx, both drivers and SQLite a second time, for the
//! compiler itself, which takes a fifth of the time of a release build.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The table that records which migrations were run. It has a name of its own, since an application may keep the records of its
/// migrations in the table that sqlx uses by default.
pub(super) const MIGRATIONS_TABLE: &str = "handstamp_migrations";

/// The migrations in a folder, with the version, the name and the text of each.
macro_rules! files {
    ($folder:literal) => {
        files!($folder:
            1 "0001_accounts_and_sessions",
            2 "0002_changes_and_nodes",
            3 "0003_attempts",
            4 "0004_groups",
            5 "0005_email_verified",
            6 "0006_credentials_changed",
            7 "0007_view_for_applications",
            8 "0008_credentials_version",
            9 "0009_jobs",
            10 "0010_one_time_tokens_and_outbox",
            11 "0011_events",
            12 "0012_second_factors",
            13 "0013_passkeys",
            14 "0014_import",
            15 "0015_legacy_sessions",
            16 "0016_epoch",
            17 "0017_secret_keys",
            18 "0018_administration",
            19 "0019_identities",
        )
    };
    ($folder:literal: $($version:literal $name:literal,)*) => {
        [$(($version, $name, include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")))),*]
    };
}

/// The migrations of SQLite.
#[cfg(feature = "sqlite")]
pub(super) fn of_sqlite() -> Migrator {
    migrator(&files!("sqlite"))
}

/// The migrations of PostgreSQL.
#[cfg(feature = "postgres")]
pub(super) fn of_postgres() -> Migrator {
    migrator(&files!("postgres"))
}

fn migrator(files: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = files.iter().map(|&(version, name, sql)| {
        // As sqlx describes it: `0009_jobs` is "jobs".
        let description = name.split_once('_').map_or(name, |(_, rest)| rest).replace('_', " ");
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// sqlx's own reading of the folder, which is also what `sqlx::migrate!` embeds.
    async fn is_the_folder(folder: &str, ours: &Migrator) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let theirs = Migrator::new(folder).await.unwrap();
        let tell = |migration: &Migration| {
            let Migration { version, description, migration_type, sql, checksum, no_tx } = migration.clone();
            (version, description, format!("{migration_type:?}"), sql.as_str().to_owned(), checksum, no_tx)
        };
        assert_eq!(ours.iter().map(tell).collect::<Vec<_>>(), theirs.iter().map(tell).collect::<Vec<_>>());
        assert!(ours.iter().count() >= 9);
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn the_migrations_of_sqlite_are_the_files_of_their_folder() {
        is_the_folder("sqlite", &of_sqlite()).await;
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn the_migrations_of_postgres_are_the_files_of_their_folder() {
        is_the_folder("postgres", &of_postgres()).await;
    }
}

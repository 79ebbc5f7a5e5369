//! Tests of the migrations: from every earlier schema, with data, and beside the migrations of an application.

use sqlx::migrate::{Migration, Migrator};

use super::*;
use crate::store::migrations::MIGRATIONS_TABLE;

const USER: Uuid = Uuid::from_u128(0x019a_af3c_5c00_7a11_8b22_c33d_44e5_5f66);
const SESSION: [u8; 32] = [7; 32];

/// The migrations up to a version.
fn up_to(version: i64, all: &Migrator) -> Migrator {
    let migrations = all.iter().filter(|migration| migration.version <= version).cloned().collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// The versions of all migrations but the last.
fn earlier_versions(all: &Migrator) -> Vec<i64> {
    let versions: Vec<i64> = all.iter().map(|migration| migration.version).collect();
    versions[..versions.len() - 1].to_vec()
}

/// A user with a password and a session, in the columns of the first schema.
const FILL: [&str; 3] = [
    "INSERT INTO users (id, name, email, email_key, password_hash, created_at, signed_in_at)
     VALUES ($1, 'Ada', 'Ada@example.com', 'ada@example.com', 'a hash', 1700000000, 1700000600)",
    "INSERT INTO sessions (id_hash, handle, user_id, created_at, expires_at, last_seen_at, user_agent, address)
     VALUES ($2, $1, $1, 1700000600, 1900000000, 1700000700, 'Firefox', '192.0.2.1')",
    // From version 8 on, a new session has this column.
    "UPDATE sessions SET authenticated_at = created_at",
];

/// All that was stored is there after the migration, and the new columns have the values that it had in effect.
async fn has_kept_everything(store: &Store, version: i64) {
    let id = UserId::from_uuid(USER);
    let user = store.user_by_email(&email("ada@example.com"), NOW).await.unwrap().unwrap();
    let at = Timestamp::from_unix_seconds;
    assert_eq!((user.id, user.name.as_str(), user.email.as_str()), (id, "Ada", "Ada@example.com"), "{version}");
    assert_eq!((user.created_at, user.signed_in_at), (at(1_700_000_000), Some(at(1_700_000_600))), "{version}");
    assert_eq!((user.email_verified, user.disabled, user.sessions), (false, false, 1), "{version}");
    let credentials = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!((credentials.version, credentials.changed_at), (FIRST, None), "{version}");
    assert_eq!(credentials.password_hash, Some(PasswordHash::from_stored("a hash".to_owned())), "{version}");
    let session = SessionSecretHash::from_bytes(SESSION);
    let (live, _) = store.live_session(session, id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.user.name()), (USER, "Ada"), "{version}");
    assert_eq!(live.authentication, Authentication::by_password(at(1_700_000_600)), "{version}");
    let listed = store.sessions_of(id, NOW).await.unwrap();
    assert_eq!((listed.len(), listed[0].last_seen_at), (1, at(1_700_000_700)), "{version}");
    assert!(store.sign_in(FIRST, &new_session(id), &[], sign_in_events()).await.unwrap().value.is_some(), "{version}");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_migrates_from_every_earlier_schema_with_its_data() {
    let all = crate::store::migrations::of_sqlite();
    for version in earlier_versions(&all) {
        let folder = TempFolder::new();
        let data = folder.path().join("data");
        crate::private_files::make_folder(&data).unwrap();
        let file = data.join("handstamp.db");
        crate::private_files::make_file(&file).unwrap();
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        up_to(version, &all).run(&pool).await.unwrap();
        sqlx::query(FILL[0]).bind(USER).execute(&pool).await.unwrap();
        sqlx::query(FILL[1]).bind(USER).bind(SESSION.as_slice()).execute(&pool).await.unwrap();
        if version >= 8 {
            sqlx::query(FILL[2]).execute(&pool).await.unwrap();
        }
        pool.close().await;
        has_kept_everything(&super::store(&folder).await, version).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_migrates_from_every_earlier_schema_with_its_data() {
    let all = crate::store::migrations::of_postgres();
    for version in earlier_versions(&all) {
        let url = Postgres::shared().new_database();
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        up_to(version, &all).run(&pool).await.unwrap();
        sqlx::query(FILL[0]).bind(USER).execute(&pool).await.unwrap();
        sqlx::query(FILL[1]).bind(USER).bind(SESSION.as_slice()).execute(&pool).await.unwrap();
        if version >= 8 {
            sqlx::query(FILL[2]).execute(&pool).await.unwrap();
        }
        pool.close().await;
        has_kept_everything(&Store::open(&DatabaseUrl::Postgres(url), true).await.unwrap(), version).await;
    }
}

/// The record of a migration that this version does not have.
const OF_A_NEWER_VERSION: &str =
    "INSERT INTO handstamp_migrations (version, description, success, checksum, execution_time)
     SELECT 9999, 'of a newer version', success, checksum, 0 FROM handstamp_migrations WHERE version = 1";

fn names_the_newer_version(opened: Result<Store, crate::store::OpenError>) {
    let refused = opened.err().expect("an older version does not use a newer schema").to_string();
    assert!(refused.contains("newer version of Handstamp") && refused.contains("9999"), "{refused}");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_sqlite_file_of_a_newer_version_is_refused_by_name() {
    let folder = TempFolder::new();
    super::store(&folder).await.close().await;
    let url = format!("sqlite:{}", folder.path().join("data/handstamp.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(OF_A_NEWER_VERSION).execute(&pool).await.unwrap();
    pool.close().await;
    names_the_newer_version(Store::open(&sqlite_in(&folder), true).await);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_database_of_a_newer_version_is_refused_by_name() {
    let url = Postgres::shared().new_database();
    Store::open(&DatabaseUrl::Postgres(url.clone()), true).await.unwrap().close().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::query(OF_A_NEWER_VERSION).execute(&pool).await.unwrap();
    pool.close().await;
    for prepared_statements in [true, false] {
        let config = crate::config::PoolConfig { prepared_statements, ..Default::default() };
        names_the_newer_version(Store::open_with(&DatabaseUrl::Postgres(url.clone()), true, config).await);
    }
}

/// An application's own migration, whose version is one of ours as well.
fn of_an_application() -> Migrator {
    let sql = "CREATE TABLE notes (id BIGINT PRIMARY KEY)";
    let migration =
        Migration::new(1, "notes".into(), sqlx::migrate::MigrationType::Simple, sqlx::SqlStr::from_static(sql), false);
    Migrator::with_migrations(vec![migration])
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_application_has_migrations_of_its_own_in_the_same_sqlite_file() {
    let folder = TempFolder::new();
    super::store(&folder).await.close().await;
    let url = format!("sqlite:{}", folder.path().join("data/handstamp.db").display());
    for _ in 0..2 {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        of_an_application().run(&pool).await.unwrap();
        pool.close().await;
        super::store(&folder).await.close().await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn an_application_has_migrations_of_its_own_in_the_same_postgres_database() {
    let url = Postgres::shared().new_database();
    for _ in 0..2 {
        Store::open(&DatabaseUrl::Postgres(url.clone()), true).await.unwrap().close().await;
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        of_an_application().run(&pool).await.unwrap();
        pool.close().await;
    }
}

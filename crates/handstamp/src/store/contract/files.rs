//! Tests of SQLite's files: permissions, durability, locking and full disks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::store::{InvalidationLog, NodeId, Position};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn sqlite_files_are_readable_only_by_their_owner() {
    let folder = TempFolder::new();
    let store = store(&folder).await;
    ada(&store).await;
    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "the database, its log and its index: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_sqlite_file_that_others_may_read_is_refused() {
    let folder = TempFolder::new();
    store(&folder).await.close().await;
    let database = folder.path().join("data/handstamp.db");
    fs::set_permissions(&database, Permissions::from_mode(0o640)).unwrap();
    let refused = Store::open(&DatabaseUrl::Sqlite(database), true).await.err().unwrap();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = TempFolder::new();
    let store = store(&folder).await;
    execute(
        &store,
        "INSERT INTO handstamp_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', TRUE, x'00', 0)",
    )
    .await;
    store.close().await;
    let refused = Store::open(&sqlite_in(&folder), true).await.err().unwrap();
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_can_be_opened_concurrently() {
    let folder = TempFolder::new();
    let stores = (0..4).map(|_| {
        let url = sqlite_in(&folder);
        tokio::spawn(async move { Store::open(&url, true).await.map(drop) })
    });
    for store in stores.collect::<Vec<_>>() {
        store.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_timed_out_does_not_block_the_next_one() {
    let folder = TempFolder::new();
    let store = store(&folder).await;
    let (id, session) = ada(&store).await;
    let url = format!("sqlite:{}", folder.path().join("data/handstamp.db").display());
    let other = sqlx::SqlitePool::connect(&url).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for _ in 0..2 {
        let error = store.end_sessions(with_events(&[session.owned()])).await.err().unwrap();
        assert!(error.to_string().contains("holds the write lock"), "{error}");
    }
    held.rollback().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_live(&store, &session).await, "a write that was not confirmed was not committed");
    for _ in 0..3 {
        one_more(&store, id).await;
    }
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert!(!is_live(&store, &session).await);
}

#[tokio::test]
async fn a_power_loss_loses_no_confirmed_write() {
    let folder = TempFolder::new();
    let Store::Sqlite(database) = store(&folder).await else { panic!("this is SQLite") };
    let pragma = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&database.writer).await;
    assert_eq!(pragma("PRAGMA synchronous").await.unwrap(), 2, "FULL");
    assert_eq!(pragma("PRAGMA foreign_keys").await.unwrap(), 1);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&database.writer).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_write_that_found_the_disk_full_does_not_block_the_next_one() {
    let folder = TempFolder::new();
    let store = store(&folder).await;
    let (id, session) = ada(&store).await;
    // The file cannot grow, since SQLite sets the limit to its current size.
    execute(&store, "PRAGMA max_page_count = 1").await;
    let begin = async || store.sign_in(FIRST, &new_session(id), &[], sign_in_events()).await;
    let mut begun = 0;
    while begin().await.is_ok() {
        begun += 1;
        assert!(begun < 1000, "the database never became full");
    }
    execute(&store, "PRAGMA max_page_count = 1000000").await;
    assert!(begin().await.unwrap().value.is_some() && is_live(&store, &session).await);
}

#[tokio::test]
async fn a_lease_renewal_that_cannot_be_committed_fails() {
    let folder = TempFolder::new();
    let store = store(&folder).await;
    let (node, other) = (NodeId(unique()), NodeId(unique()));
    store.join(node, Duration::from_secs(5)).await.unwrap();
    let Store::Sqlite(database) = &store else { unreachable!() };
    let mut lease_pool = database.lease_pool.acquire().await.unwrap();
    // The statement is run and returns its row; only its commit fails, as on a full disk.
    lease_pool.lock_handle().await.unwrap().set_commit_hook(|| false);
    drop(lease_pool);
    assert!(store.renew(node, Position(0)).await.is_err());
    assert!(store.join(other, Duration::from_secs(5)).await.is_err());
    assert_eq!(
        store.nodes().await.unwrap().1.iter().map(|row| (row.id, row.renewals)).collect::<Vec<_>>(),
        [(node, 0)]
    );
}

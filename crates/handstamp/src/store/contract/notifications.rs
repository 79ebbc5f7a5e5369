//! Tests of the notifications that wake the nodes of other processes: on both databases, and of what SQLite's rest upon.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::store::InvalidationLog;

laws! {
    a_notification_wakes_a_node_once
}

/// Longer than all polls that one change leads to.
const UNTIL_QUIET: Duration = Duration::from_millis(300);
/// Longer than a poll takes to find a change, on a busy machine.
const SOON: Duration = Duration::from_millis(300);
/// Longer than any notification or poll takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many times a watch has woken its node.
#[derive(Default)]
struct Woken(AtomicU32);

impl Woken {
    fn once(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn times(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits for one more than this number, and returns how long that took.
    async fn more_than(&self, before: u32) -> Duration {
        let begun = Instant::now();
        let woken = async {
            while self.times() == before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, woken).await.expect("the node is woken");
        begun.elapsed()
    }
}

/// Runs `body` while `store` watches for changes, after the watch has begun.
async fn watching(store: &Store, body: impl AsyncFnOnce(&Woken)) {
    let woken = Woken::default();
    tokio::select! {
        () = store.watch_changes(|| woken.once()) => unreachable!("it never returns"),
        () = async {
            sleep(UNTIL_QUIET).await;
            body(&woken).await;
        } => {}
    }
}

/// Sends some notifications, each of which wakes the node once. A node that polls is woken several times after a change.
async fn wakes_once(store: &Store, woken: &Woken, what: &str) {
    for _ in 0..3 {
        let before = woken.times();
        store.notify().await;
        woken.more_than(before).await;
        sleep(UNTIL_QUIET).await;
        assert_eq!(woken.times(), before + 1, "{what}");
    }
}

async fn a_notification_wakes_a_node_once(store: &Store) {
    watching(store, async |woken| wakes_once(store, woken, "the same process").await).await;
}

/// Two processes that have one SQLite file open, and the path of its lock file.
async fn two_processes(folder: &TempFolder, notify: bool) -> (Store, Store, PathBuf) {
    let url = sqlite_in(folder);
    let [one, other] = [(); 2].map(|()| Store::open(&url, notify));
    (one.await.unwrap(), other.await.unwrap(), folder.path().join("data/handstamp.db-lock"))
}

#[tokio::test]
async fn a_notification_passes_between_processes_whatever_becomes_of_the_files() {
    let folder = TempFolder::new();
    let (here, there, file) = two_processes(&folder, true).await;
    watching(&here, async |woken| {
        wakes_once(&there, woken, "another process").await;
        ada(&there).await;
        let Store::Sqlite(database) = &there else { unreachable!() };
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        wakes_once(&there, woken, "an emptied write-ahead log").await;
        fs::remove_file(&file).unwrap();
        wakes_once(&there, woken, "a removed file").await;
        fs::write(folder.path().join("another"), "").unwrap();
        fs::rename(folder.path().join("another"), &file).unwrap();
        wakes_once(&there, woken, "a replaced file").await;
    })
    .await;
}

#[tokio::test]
async fn processes_that_open_the_database_by_a_link_notify_each_other() {
    let folder = TempFolder::new();
    let (here, _, _) = two_processes(&folder, true).await;
    let linked = folder.path().join("elsewhere");
    crate::private_files::make_folder(&linked).unwrap();
    std::os::unix::fs::symlink(folder.path().join("data/handstamp.db"), linked.join("linked.db")).unwrap();
    let there = Store::open(&DatabaseUrl::Sqlite(linked.join("linked.db")), true).await.unwrap();
    watching(&here, async |woken| {
        wakes_once(&there, woken, "by a link").await;
    })
    .await;
}

#[tokio::test]
async fn a_node_at_rest_is_not_woken_by_commits_of_which_no_process_is_notified() {
    let folder = TempFolder::new();
    let (here, there, _) = two_processes(&folder, true).await;
    watching(&here, async |woken| {
        let before = woken.times();
        ada(&there).await;
        sleep(UNTIL_QUIET).await;
        assert_eq!(woken.times(), before);
    })
    .await;
}

#[tokio::test]
async fn a_node_without_notifications_polls() {
    let folder = TempFolder::new();
    let (here, there, file) = two_processes(&folder, false).await;
    watching(&here, async |woken| {
        let before = woken.times();
        sleep(UNTIL_QUIET).await;
        assert_eq!(woken.times(), before, "nothing has changed");
        for _ in 0..5 {
            let before = woken.times();
            there.notify().await;
            assert!(woken.more_than(before).await < SOON);
            // The kernel may give this one the same time.
            let before = woken.times();
            there.notify().await;
            assert!(woken.more_than(before).await < SOON);
            sleep(UNTIL_QUIET).await;
        }
        fs::remove_file(&file).unwrap();
        let before = woken.times();
        sleep(UNTIL_QUIET).await;
        assert!(woken.times() >= before + 3, "without the file it is woken at each poll");
    })
    .await;
}

#[tokio::test]
async fn a_node_polls_where_inotify_fails_until_it_works() {
    let folder = TempFolder::new();
    let (here, _, _) = two_processes(&folder, true).await;
    let (data, aside) = (folder.path().join("data"), folder.path().join("aside"));
    watching(&here, async |woken| {
        fs::rename(&data, &aside).unwrap();
        sleep(UNTIL_QUIET).await;
        let before = woken.times();
        sleep(UNTIL_QUIET).await;
        assert!(woken.times() >= before + 3, "the folder is gone, and nothing would report a change");
        fs::rename(&aside, &data).unwrap();
        let before = woken.times();
        here.notify().await;
        assert!(woken.more_than(before).await < SOON);
    })
    .await;
}

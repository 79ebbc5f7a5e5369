//! Tests of the notifications that wake the nodes of other processes: on both databases, and of what SQLite's rest upon.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::store::{InvalidationLog, POLL_EVERY};

laws! {
    a_notification_wakes_a_node_in_less_time_than_a_poll
}

/// Longer than all polls that one change leads to.
const UNTIL_QUIET: Duration = Duration::from_millis(300);
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

/// How long some notifications take on average, each by itself.
async fn average(store: &Store, woken: &Woken) -> Duration {
    const ROUNDS: u32 = 10;
    let mut taken = Duration::ZERO;
    for _ in 0..ROUNDS {
        // No notification follows another so soon that a poll is due anyway.
        sleep(UNTIL_QUIET).await;
        let before = woken.times();
        store.notify().await;
        taken += woken.more_than(before).await;
    }
    taken / ROUNDS
}

async fn a_notification_wakes_a_node_in_less_time_than_a_poll(store: &Store) {
    watching(store, async |woken| {
        let taken = average(store, woken).await;
        assert!(taken < POLL_EVERY / 4, "a poll takes {:?} on average, and this {taken:?}", POLL_EVERY / 2);
    })
    .await;
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
    let wakes = async |woken: &Woken, what: &str| {
        let taken = average(&there, woken).await;
        assert!(taken < POLL_EVERY / 4, "{what}: {taken:?}");
    };
    watching(&here, async |woken| {
        wakes(woken, "another process").await;
        ada(&there).await;
        let Store::Sqlite(database) = &there else { unreachable!() };
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        wakes(woken, "an emptied write-ahead log").await;
        fs::remove_file(&file).unwrap();
        wakes(woken, "a removed file").await;
        fs::write(folder.path().join("another"), "").unwrap();
        fs::rename(folder.path().join("another"), &file).unwrap();
        wakes(woken, "a replaced file").await;
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
        assert!(average(&there, woken).await < POLL_EVERY / 4);
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
            assert!(woken.more_than(before).await < POLL_EVERY * 3);
            // The kernel may give this one the same time.
            let before = woken.times();
            there.notify().await;
            assert!(woken.more_than(before).await < POLL_EVERY * 3);
            sleep(UNTIL_QUIET).await;
        }
        fs::remove_file(&file).unwrap();
        let before = woken.times();
        sleep(POLL_EVERY * 5).await;
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
        sleep(POLL_EVERY * 5).await;
        assert!(woken.times() >= before + 3, "the folder is gone, and nothing would report a change");
        fs::rename(&aside, &data).unwrap();
        let before = woken.times();
        here.notify().await;
        assert!(woken.more_than(before).await < POLL_EVERY * 3);
    })
    .await;
}

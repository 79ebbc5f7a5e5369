//! The contract of the attempt counts, for every database.

use handstamp_core::{AttemptKey, Attempts, Limit, RetryAfter};

use super::*;
use crate::store::AttemptLimit;

laws! {
    ten_attempts_are_counted_and_the_eleventh_is_throttled
    ten_of_a_hundred_concurrent_attempts_are_counted
    an_attempt_that_one_limit_throttles_is_counted_under_no_key
    attempts_under_the_same_keys_in_another_order_do_not_deadlock
    a_refunded_attempt_does_not_count
    a_late_refund_is_not_subtracted_from_the_next_window
    attempts_that_an_operator_forgets_start_from_zero
    attempts_are_purged_after_a_day
    pruning_deletes_the_keys_with_the_fewest_attempts
    attempt_counts_survive_a_restart
}

fn account(name: &str) -> AttemptLimit {
    (AttemptKey::account(&email(&format!("{name}@example.com"))), Limit::per_device(10).unwrap())
}

async fn unlock(store: &Store, name: &str) -> bool {
    store.unlock(UserId::from_uuid(unique()), &[account(name).0], event()).await.unwrap()
}

/// Counts `times` attempts, each of which must be allowed.
async fn attempt(store: &Store, counted: AttemptLimit, times: u32, now: Timestamp) {
    for _ in 0..times {
        assert!(store.count_attempt(&[counted], now).await.unwrap().is_ok());
    }
}

/// Counts attempts until one is throttled, and returns how many were allowed.
async fn left(store: &Store, counted: AttemptLimit, now: Timestamp) -> u32 {
    let mut count = 0;
    while store.count_attempt(&[counted], now).await.unwrap().is_ok() {
        count += 1;
    }
    count
}

async fn ten_attempts_are_counted_and_the_eleventh_is_throttled(store: &Store) {
    assert_eq!(left(store, account("ada"), NOW).await, 10);
    let waits = store.count_attempt(&[account("ada")], NOW.after(Duration::from_secs(20))).await.unwrap();
    assert_eq!(waits, Err((RetryAfter(Duration::from_secs(40)), account("ada").0)));
    assert_eq!(left(store, account("ada"), NOW.after(Duration::from_secs(60))).await, 1);
    assert_eq!(left(store, account("bob"), NOW).await, 10, "each account has its own count");
}

async fn ten_of_a_hundred_concurrent_attempts_are_counted(store: &Store) {
    let attempts = (0..100).map(|_| async { store.count_attempt(&[account("ada")], NOW).await.unwrap() });
    let attempts = all_at_once(attempts).await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 10);
}

async fn an_attempt_that_one_limit_throttles_is_counted_under_no_key(store: &Store) {
    attempt(store, account("ada"), 9, NOW).await;
    // Concurrently, so that all have read both counts before one of them is counted.
    for both in [[account("ada"), account("bob")], [account("bob"), account("ada")]] {
        let attempts = (0..20).map(|_| async { store.count_attempt(&both, NOW).await.unwrap() });
        all_at_once(attempts).await;
    }
    assert_eq!(left(store, account("bob"), NOW).await, 9);
}

async fn attempts_under_the_same_keys_in_another_order_do_not_deadlock(store: &Store) {
    let many = |name| (account(name).0, Limit::per_network(1000).unwrap());
    let (there, back) = ([many("ada"), many("bob")], [many("bob"), many("ada")]);
    let attempts = (0..100).map(|i| {
        let counted = if i % 2 == 0 { there } else { back };
        async move { store.count_attempt(&counted, NOW).await }
    });
    assert!(all_at_once(attempts).await.iter().all(|attempt| matches!(attempt, Ok(Ok(_)))));
}

async fn a_refunded_attempt_does_not_count(store: &Store) {
    let both = [account("ada"), account("bob")];
    for _ in 0..30 {
        let attempted = store.count_attempt(&both, NOW).await.unwrap().unwrap();
        store.refund_attempt(&attempted, NOW).await.unwrap();
    }
    attempt(store, account("ada"), 8, NOW).await;
    let right = store.count_attempt(&[account("ada")], NOW).await.unwrap().unwrap();
    store.refund_attempt(&right, NOW).await.unwrap();
    assert_eq!(left(store, account("ada"), NOW).await, 2);
    let carol = store.count_attempt(&[account("carol")], NOW).await.unwrap().unwrap();
    store.refund_attempt(&carol, NOW).await.unwrap();
    assert!(!unlock(store, "carol").await, "a key without attempts has no row");
    store.refund_attempt(&carol, NOW).await.unwrap();
    assert!(!unlock(store, "carol").await, "nor does a key that was purged meanwhile");
    assert_eq!(left(store, account("carol"), NOW).await, 10);
}

async fn a_late_refund_is_not_subtracted_from_the_next_window(store: &Store) {
    let network = (AttemptKey::network(handstamp_core::Network::Unknown), Limit::per_network(10).unwrap());
    let right = store.count_attempt(&[network], NOW).await.unwrap().unwrap();
    let later = NOW.after(Duration::from_secs(15 * 60));
    attempt(store, network, 1, later).await;
    store.refund_attempt(&right, later).await.unwrap();
    assert_eq!(left(store, network, later).await, 9, "the failed attempt of this window still counts");
}

async fn attempts_that_an_operator_forgets_start_from_zero(store: &Store) {
    attempt(store, account("ada"), 10, NOW).await;
    assert!(unlock(store, "ada").await);
    assert!(!unlock(store, "ada").await);
    assert_eq!(left(store, account("ada"), NOW).await, 10);
}

async fn attempts_are_purged_after_a_day(store: &Store) {
    let day = Attempts::FORGOTTEN_AFTER;
    attempt(store, account("ada"), 10, NOW).await;
    attempt(store, account("bob"), 1, NOW.after(day)).await;
    assert_eq!(store.purge_attempts(NOW.after(day - Duration::from_secs(1)), 1000).await.unwrap(), 0);
    assert_eq!(store.purge_attempts(NOW.after(day), 1000).await.unwrap(), 1);
    assert_eq!(left(store, account("bob"), NOW.after(day)).await, 9);
}

async fn pruning_deletes_the_keys_with_the_fewest_attempts(store: &Store) {
    attempt(store, account("guessed"), 10, NOW).await;
    for number in 0..20 {
        let later = NOW.after(Duration::from_secs(60 + number));
        attempt(store, account(&format!("junk{number}")), 1 + u32::from(number >= 15), later).await;
    }
    assert_eq!(store.prune_attempts(21, 1000).await.unwrap(), 0);
    assert_eq!(store.prune_attempts(5, 10).await.unwrap(), 10, "at most as many as given");
    assert_eq!(store.prune_attempts(5, 1000).await.unwrap(), 6);
    let later = NOW.after(Duration::from_secs(120));
    assert_eq!(left(store, account("guessed"), later).await, 1, "its count is the oldest, but has the most attempts");
    assert_eq!(left(store, account("junk15"), later).await, 10, "the oldest of those with two attempts is deleted");
    assert_eq!(left(store, account("junk19"), later).await, 8);
}

async fn attempt_counts_survive_a_restart(store: &Store) {
    attempt(store, account("ada"), 9, NOW).await;
    store.close().await;
    let Store::Sqlite(database) = store else { return };
    let path = database.writer.connect_options().get_filename().to_owned();
    let again = Store::open(&DatabaseUrl::Sqlite(path), true).await.unwrap();
    assert_eq!(left(&again, account("ada"), NOW).await, 1);
    again.close().await;
}

//! Laws of the counts of attempts.

use handstamp_core::{AttemptKey, Attempts, Limit, Wait};

use super::*;
use crate::store::Counted;

laws! {
    ten_are_counted_and_the_eleventh_waits
    of_a_hundred_at_once_ten_are_counted
    where_one_has_to_wait_nothing_is_counted_for_the_others
    two_that_count_for_the_same_in_another_order_do_not_block_one_another
    what_is_taken_back_was_never_counted
    what_is_taken_back_late_is_not_taken_from_the_next_run
    what_is_forgotten_by_hand_begins_anew
    what_a_day_has_passed_over_is_purged
    those_with_the_fewest_attempts_make_room
    counts_are_there_after_a_restart
}

fn account(name: &str) -> Counted {
    (AttemptKey::account(&email(&format!("{name}@example.com"))), Limit::of_a_person(10).unwrap())
}

/// So many attempts, each of which is allowed.
async fn attempt(store: &Store, counted: Counted, times: u32, now: Timestamp) {
    for _ in 0..times {
        assert!(store.count_attempt(&[counted], now).await.unwrap().is_ok());
    }
}

/// How many attempts are allowed now. It makes them.
async fn left(store: &Store, counted: Counted, now: Timestamp) -> u32 {
    let mut count = 0;
    while store.count_attempt(&[counted], now).await.unwrap().is_ok() {
        count += 1;
    }
    count
}

async fn ten_are_counted_and_the_eleventh_waits(store: &Store) {
    assert_eq!(left(store, account("ada"), NOW).await, 10);
    let waits = store.count_attempt(&[account("ada")], NOW.after(Duration::from_secs(20))).await.unwrap();
    assert_eq!(waits, Err((Wait(Duration::from_secs(40)), account("ada").0)));
    assert_eq!(left(store, account("ada"), NOW.after(Duration::from_secs(60))).await, 1);
    assert_eq!(left(store, account("bob"), NOW).await, 10, "each has their own");
}

async fn of_a_hundred_at_once_ten_are_counted(store: &Store) {
    let attempts = (0..100).map(|_| async { store.count_attempt(&[account("ada")], NOW).await.unwrap() });
    let attempts = all_at_once(attempts).await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 10);
}

async fn where_one_has_to_wait_nothing_is_counted_for_the_others(store: &Store) {
    attempt(store, account("ada"), 9, NOW).await;
    // At once, so that all have looked at both before one of them is counted.
    for both in [[account("ada"), account("bob")], [account("bob"), account("ada")]] {
        let attempts = (0..20).map(|_| async { store.count_attempt(&both, NOW).await.unwrap() });
        all_at_once(attempts).await;
    }
    assert_eq!(left(store, account("bob"), NOW).await, 9);
}

async fn two_that_count_for_the_same_in_another_order_do_not_block_one_another(store: &Store) {
    let many = |name| (account(name).0, Limit::of_a_network(1000).unwrap());
    let (there, back) = ([many("ada"), many("bob")], [many("bob"), many("ada")]);
    let attempts = (0..100).map(|i| {
        let counted = if i % 2 == 0 { there } else { back };
        async move { store.count_attempt(&counted, NOW).await }
    });
    assert!(all_at_once(attempts).await.iter().all(|attempt| matches!(attempt, Ok(Ok(_)))));
}

async fn what_is_taken_back_was_never_counted(store: &Store) {
    let both = [account("ada"), account("bob")];
    for _ in 0..30 {
        let attempted = store.count_attempt(&both, NOW).await.unwrap().unwrap();
        store.take_attempt_back(&attempted, NOW).await.unwrap();
    }
    attempt(store, account("ada"), 8, NOW).await;
    let right = store.count_attempt(&[account("ada")], NOW).await.unwrap().unwrap();
    store.take_attempt_back(&right, NOW).await.unwrap();
    assert_eq!(left(store, account("ada"), NOW).await, 2);
    let carol = store.count_attempt(&[account("carol")], NOW).await.unwrap().unwrap();
    store.take_attempt_back(&carol, NOW).await.unwrap();
    assert!(!store.forget_attempts(account("carol").0).await.unwrap(), "of none that is left there is no row");
    store.take_attempt_back(&carol, NOW).await.unwrap();
    assert!(!store.forget_attempts(account("carol").0).await.unwrap(), "nor of one that was purged meanwhile");
    assert_eq!(left(store, account("carol"), NOW).await, 10);
}

async fn what_is_taken_back_late_is_not_taken_from_the_next_run(store: &Store) {
    let network = (AttemptKey::network(handstamp_core::Network::Unknown), Limit::of_a_network(10).unwrap());
    let right = store.count_attempt(&[network], NOW).await.unwrap().unwrap();
    let later = NOW.after(Duration::from_secs(15 * 60));
    attempt(store, network, 1, later).await;
    store.take_attempt_back(&right, later).await.unwrap();
    assert_eq!(left(store, network, later).await, 9, "the wrong one of this run still counts");
}

async fn what_is_forgotten_by_hand_begins_anew(store: &Store) {
    attempt(store, account("ada"), 10, NOW).await;
    assert!(store.forget_attempts(account("ada").0).await.unwrap());
    assert!(!store.forget_attempts(account("ada").0).await.unwrap());
    assert_eq!(left(store, account("ada"), NOW).await, 10);
}

async fn what_a_day_has_passed_over_is_purged(store: &Store) {
    let day = Attempts::FORGOTTEN_AFTER;
    attempt(store, account("ada"), 10, NOW).await;
    attempt(store, account("bob"), 1, NOW.after(day)).await;
    assert_eq!(store.purge_attempts(NOW.after(day - Duration::from_secs(1)), 1000).await.unwrap(), 0);
    assert_eq!(store.purge_attempts(NOW.after(day), 1000).await.unwrap(), 1);
    assert_eq!(left(store, account("bob"), NOW.after(day)).await, 9);
}

async fn those_with_the_fewest_attempts_make_room(store: &Store) {
    attempt(store, account("guessed"), 10, NOW).await;
    for number in 0..20 {
        let later = NOW.after(Duration::from_secs(60 + number));
        attempt(store, account(&format!("junk{number}")), 1 + u32::from(number >= 15), later).await;
    }
    assert_eq!(store.prune_attempts(21, 1000).await.unwrap(), 0);
    assert_eq!(store.prune_attempts(5, 10).await.unwrap(), 10, "so many at once");
    assert_eq!(store.prune_attempts(5, 1000).await.unwrap(), 6);
    let later = NOW.after(Duration::from_secs(120));
    assert_eq!(left(store, account("guessed"), later).await, 1, "the oldest, and the one that was guessed most");
    assert_eq!(left(store, account("junk15"), later).await, 10, "of those with two the oldest");
    assert_eq!(left(store, account("junk19"), later).await, 8);
}

async fn counts_are_there_after_a_restart(store: &Store) {
    attempt(store, account("ada"), 9, NOW).await;
    store.close().await;
    let Store::Sqlite(database) = store else { return };
    let path = database.writer.connect_options().get_filename().to_owned();
    let again = Store::open(&DatabaseUrl::Sqlite(path), true).await.unwrap();
    assert_eq!(left(&again, account("ada"), NOW).await, 1);
    again.close().await;
}

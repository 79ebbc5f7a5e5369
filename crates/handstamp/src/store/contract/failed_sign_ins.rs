//! The contract of the counts of failed sign-ins.

use super::*;
use crate::model::{FailedSignIns, ListEvents};

laws! {
    failed_sign_ins_become_one_event_for_each_account_and_hour
    the_current_hour_is_not_over
    concurrent_failed_sign_ins_are_all_counted
    failed_sign_ins_of_a_deleted_user_become_no_event
}

const HOUR: Duration = Duration::from_secs(3600);

fn counted(user: Option<UserId>, from: Timestamp) -> FailedSignIns {
    FailedSignIns { user, from }
}

/// Replaces the counts by events, and returns the numbers of the events about a user, or about none.
async fn written(store: &Store, user: Option<UserId>, now: Timestamp) -> Vec<u64> {
    let counts = store.failed_sign_ins(now, 100).await.unwrap();
    let entry = |counted: FailedSignIns| NewEvent { name: "failed", user: counted.user, ..event() };
    store.write_failed_sign_ins(counts.into_iter().map(|counted| (counted, entry(counted))).collect()).await.unwrap();
    let query = ListEvents { event: Some("failed".to_owned()), ..ListEvents::default() };
    let events = store.list_events(&query).await.unwrap().into_iter().filter(|event| event.user == user);
    let mut numbers: Vec<_> = events.map(|event| event.fields["failures"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

async fn failed_sign_ins_become_one_event_for_each_account_and_hour(store: &Store) {
    let (ada, _) = ada(store).await;
    for (user, now, times) in [(Some(ada), NOW, 3), (None, NOW, 2), (Some(ada), NOW.after(HOUR), 1)] {
        for _ in 0..times {
            store.count_failed_sign_in(user, now).await.unwrap();
        }
    }
    let later = NOW.after(2 * HOUR);
    assert_eq!(written(store, Some(ada), later).await, [1, 3]);
    assert_eq!(written(store, None, later).await, [2]);
    assert_eq!(written(store, Some(ada), later).await, [1, 3], "each count becomes an event once");
}

async fn the_current_hour_is_not_over(store: &Store) {
    let (ada, _) = ada(store).await;
    let beginning = Timestamp::from_unix_seconds(NOW.unix_seconds() / 3600 * 3600);
    let last_second = beginning.after(HOUR - Duration::from_secs(1));
    for time in [beginning, last_second] {
        store.count_failed_sign_in(Some(ada), time).await.unwrap();
        assert_eq!(store.failed_sign_ins(last_second, 10).await.unwrap(), []);
    }
    let over = beginning.after(HOUR);
    assert_eq!(store.failed_sign_ins(over, 10).await.unwrap(), [counted(Some(ada), beginning)]);
    let year = 365 * 24 * HOUR;
    store.count_failed_sign_in(None, beginning.after(year)).await.unwrap();
    assert_eq!(
        store.failed_sign_ins(beginning, 10).await.unwrap(),
        [counted(None, beginning.after(year))],
        "a clock was wrong"
    );
    assert_eq!(store.failed_sign_ins(over, 1).await.unwrap().len(), 1);
}

async fn concurrent_failed_sign_ins_are_all_counted(store: &Store) {
    let (ada, _) = ada(store).await;
    let outcomes = all_at_once((0..40).map(|_| store.count_failed_sign_in(Some(ada), NOW))).await;
    outcomes.into_iter().for_each(Result::unwrap);
    assert_eq!(written(store, Some(ada), NOW.after(HOUR)).await, [40]);
}

async fn failed_sign_ins_of_a_deleted_user_become_no_event(store: &Store) {
    let (ada, _) = ada(store).await;
    store.count_failed_sign_in(Some(ada), NOW).await.unwrap();
    let _ = store.delete_user(ada, MayGo, event()).await.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM failed_sign_ins").await, 0);
    store.count_failed_sign_in(Some(ada), NOW).await.unwrap();
    assert_eq!(written(store, Some(ada), NOW.after(HOUR)).await, [0; 0], "an attempt that overlapped the deletion");
    assert_eq!(count(store, "SELECT COUNT(*) FROM failed_sign_ins").await, 0);
}

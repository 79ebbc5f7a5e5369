//! The contract of the jobs that one node runs for all.

use super::*;
use crate::store::JobState;

laws! {
    a_due_job_is_claimed_once
    a_claim_that_is_not_finished_ends
    a_deferred_job_is_due_at_once
    a_due_time_from_a_clock_that_was_ahead_does_not_count
    one_of_many_concurrent_claims_succeeds
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn claim(store: &Store, now: Timestamp) -> JobState {
    store.claim_job("purge", now, HOUR, now.after(MINUTE)).await.unwrap()
}

async fn a_due_job_is_claimed_once(store: &Store) {
    assert_eq!(claim(store, NOW).await, JobState::Claimed);
    let never = Timestamp::from_unix_seconds(0);
    assert_eq!(claim(store, NOW).await, JobState::Waiting { due_at: NOW.after(MINUTE), succeeded_at: never });
    store.finish_job("purge", NOW, NOW.after(HOUR)).await.unwrap();
    let waiting = JobState::Waiting { due_at: NOW.after(HOUR), succeeded_at: NOW };
    assert_eq!(claim(store, NOW.after(HOUR - Duration::from_secs(1))).await, waiting);
    assert_eq!(claim(store, NOW.after(HOUR)).await, JobState::Claimed);
}

async fn a_claim_that_is_not_finished_ends(store: &Store) {
    assert_eq!(claim(store, NOW).await, JobState::Claimed);
    assert_eq!(claim(store, NOW.after(MINUTE)).await, JobState::Claimed, "its node has died");
}

async fn a_deferred_job_is_due_at_once(store: &Store) {
    assert_eq!(claim(store, NOW).await, JobState::Claimed);
    store.release_job("purge", NOW).await.unwrap();
    assert_eq!(claim(store, NOW).await, JobState::Claimed);
}

async fn a_due_time_from_a_clock_that_was_ahead_does_not_count(store: &Store) {
    assert_eq!(claim(store, NOW.after(40 * 24 * HOUR)).await, JobState::Claimed);
    assert_eq!(claim(store, NOW).await, JobState::Claimed);
}

async fn one_of_many_concurrent_claims_succeeds(store: &Store) {
    let claims = all_at_once((0..20).map(|_| claim(store, NOW))).await;
    assert_eq!(claims.iter().filter(|state| **state == JobState::Claimed).count(), 1);
}

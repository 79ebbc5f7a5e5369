//! The contract of epochs: what is void in a new one, what stays, and which positions it has.

use handstamp_core::{DeviceId, DeviceTokens, OneTimePurpose};

use super::one_time::token;
use super::*;
use crate::store::{EpochStart, Invalidation, InvalidationLog, InvalidationScope, NodeId, Position};

laws! {
    a_new_epoch_ends_all_sessions_and_one_time_tokens
    a_new_epoch_keeps_users_with_their_passwords
    a_new_epoch_ends_the_exchange_of_former_sessions
    a_new_epoch_begins_at_a_position_that_is_no_successor
    a_new_epoch_lies_beyond_every_position_that_was_seen
    of_many_nodes_that_notice_an_older_database_one_begins_an_epoch
    a_sign_in_by_a_token_during_the_begin_of_an_epoch_leaves_no_session
    a_token_that_is_being_made_when_an_epoch_begins_is_void
    a_device_cookie_from_before_the_epoch_is_void
    the_state_of_a_database_is_that_of_its_creation_and_its_log
}

const ANY: EpochStart = EpochStart::Beyond(Position(0));
/// The first position of the second epoch.
const SECOND: Position = Position(1 << 32);

async fn begin(store: &Store, start: EpochStart) -> (Option<u64>, Option<Position>) {
    let begun =
        store.begin_epoch(start, NOW, |epoch, sessions| event().with("epoch", epoch).with("sessions", sessions));
    let begun = begun.await.unwrap();
    (begun.value, begun.position)
}

async fn position(store: &Store) -> Position {
    store.state().await.unwrap().position
}

async fn a_new_epoch_ends_all_sessions_and_one_time_tokens(store: &Store) {
    let (id, first) = ada(store).await;
    let second = one_more(store, id).await;
    for purpose in [
        OneTimePurpose::ResetPassword,
        OneTimePurpose::VerifyEmail,
        OneTimePurpose::PendingSignIn,
        OneTimePurpose::UndoEmailChange,
    ] {
        store.store_token(&token(purpose, Some(id), "ada@example.com"), event()).await.unwrap();
    }
    store.store_token(&token(OneTimePurpose::AcceptInvitation, None, "eve@example.com"), event()).await.unwrap();
    let events = count(store, "SELECT COUNT(*) FROM events").await;
    assert_eq!(begin(store, ANY).await, (Some(2), Some(SECOND)));
    assert!(!is_live(store, &first).await && !is_live(store, &second).await);
    assert_eq!(count(store, "SELECT COUNT(*) FROM sessions").await, 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM one_time_tokens").await, 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM events").await, events + 1);
}

async fn a_new_epoch_keeps_users_with_their_passwords(store: &Store) {
    let (id, _) = ada(store).await;
    begin(store, ANY).await;
    let session = one_more(store, id).await;
    assert!(is_live(store, &session).await, "the password still signs in");
    let credentials = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!((credentials.version, credentials.changed_at), (FIRST, None));
}

async fn a_new_epoch_ends_the_exchange_of_former_sessions(store: &Store) {
    assert_eq!(store.all_legacy_sessions_ended_at().await.unwrap(), None);
    begin(store, ANY).await;
    assert_eq!(store.all_legacy_sessions_ended_at().await.unwrap(), Some(NOW));
}

async fn a_new_epoch_begins_at_a_position_that_is_no_successor(store: &Store) {
    let (_, session) = ada(store).await;
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert_eq!((position(store).await, position(store).await.epoch()), (Position(1), 0));
    begin(store, ANY).await;
    assert_eq!((position(store).await, position(store).await.epoch()), (SECOND, 1));
    // Nodes that follow the log are told at once, and find the gap.
    let all = Invalidation { position: SECOND, scope: InvalidationScope::All };
    assert_eq!(store.invalidations_after(Position(1)).await.unwrap(), [all]);
    let next = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert_eq!(next.position, Some(Position(SECOND.0 + 1)), "within the epoch positions have no gaps");
    let id = NodeId(unique());
    assert_eq!(store.join(id, Duration::from_secs(5)).await.unwrap(), Position(SECOND.0 + 1));
}

async fn a_new_epoch_lies_beyond_every_position_that_was_seen(store: &Store) {
    let seen = Position((7 << 32) + 5);
    assert_eq!(begin(store, EpochStart::Beyond(seen)).await.1, Some(Position(8 << 32)));
    assert_eq!(begin(store, EpochStart::Beyond(seen)).await.1, Some(Position(9 << 32)));
}

async fn of_many_nodes_that_notice_an_older_database_one_begins_an_epoch(store: &Store) {
    let (_, session) = ada(store).await;
    let seen = EpochStart::IfBefore(Position(5));
    let begun = all_at_once((0..10).map(|_| begin(store, seen))).await;
    assert_eq!(begun.iter().filter(|(sessions, _)| sessions.is_some()).count(), 1);
    assert_eq!(position(store).await, SECOND);
    assert!(!is_live(store, &session).await);
    assert_eq!(begin(store, EpochStart::IfBefore(SECOND)).await, (None, None), "the database is as new as that");
}

async fn a_sign_in_by_a_token_during_the_begin_of_an_epoch_leaves_no_session(store: &Store) {
    let (id, _) = ada(store).await;
    let _ = store.verify_email(id, NOW, event()).await.unwrap();
    let version = store.credentials_by_id(id).await.unwrap().unwrap().version;
    for _ in 0..20 {
        let code = token(OneTimePurpose::SignIn, Some(id), "ada@example.com");
        store.store_token(&code, event()).await.unwrap();
        let session = new_session(id);
        let used = crate::store::TokenUse { id: code.id, now: NOW };
        let acts: [std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>; 2] = [
            // One of the two may be ended by the database, as if it had been alone and failed.
            Box::pin(async { drop(store.sign_in_by_token(used, version, &session, &[], sign_in_events()).await) }),
            Box::pin(async { while store.begin_epoch(ANY, NOW, |_, _| event()).await.is_err() {} }),
        ];
        all_at_once(acts.into_iter()).await;
        assert!(!is_live(store, &session).await);
        assert_eq!(count(store, "SELECT COUNT(*) FROM one_time_tokens").await, 0);
    }
}

async fn a_token_that_is_being_made_when_an_epoch_begins_is_void(store: &Store) {
    let (id, _) = ada(store).await;
    let mut tx = store.begin().await.unwrap();
    tx.store_token(&token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com")).await.unwrap();
    let mut begun = std::pin::pin!(store.begin_epoch(ANY, NOW, |_, _| event()));
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut begun).await;
    assert!(waits.is_err(), "it waits for the transaction");
    tx.commit().await.unwrap();
    begun.await.unwrap().value.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM one_time_tokens").await, 0);
}

async fn a_device_cookie_from_before_the_epoch_is_void(store: &Store) {
    let (id, _) = ada(store).await;
    let devices = DeviceTokens::new(&SECRET.parse().unwrap(), &[]).unwrap();
    let void_until = async || {
        let by_id = store.credentials_by_id(id).await.unwrap().unwrap().devices_void_until;
        let by_email = store.credentials_by_email(&email("ada@example.com")).await.unwrap().0.unwrap();
        assert_eq!(by_id, by_email.devices_void_until);
        by_id
    };
    let cookie = devices.remember("", id, DeviceId::from_bytes([7; 8]), void_until().await, NOW);
    assert!(devices.open(&cookie, NOW).find(id, void_until().await).is_some());
    begin(store, ANY).await;
    assert_eq!(devices.open(&cookie, NOW).find(id, void_until().await), None);
    let cookie = devices.remember(&cookie, id, DeviceId::from_bytes([8; 8]), void_until().await, NOW);
    assert!(devices.open(&cookie, NOW).find(id, void_until().await).is_some(), "a sign-in in the new epoch counts");
}

async fn the_state_of_a_database_is_that_of_its_creation_and_its_log(store: &Store) {
    let before = store.state().await.unwrap();
    assert_eq!(before.position, Position(0));
    begin(store, ANY).await;
    assert_eq!(store.state().await.unwrap().created, before.created);
    execute(store, "UPDATE handstamp_migrations SET installed_on = '2020-01-02 03:04:05' WHERE version = 1").await;
    assert_ne!(store.state().await.unwrap().created, before.created, "another database");
}

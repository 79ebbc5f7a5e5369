//! The contract of the outbox.

use handstamp_core::OneTimeId;

use super::*;
use crate::model::{NewOutboxMessage, OutboxChannel, OutboxKind, OutboxMessage};

laws! {
    a_message_is_due_at_once_and_claimed_once
    a_claim_returns_what_the_act_has_written
    a_message_that_is_not_finished_is_due_again_when_its_claim_ends
    a_finished_message_is_gone
    a_postponed_message_is_due_at_that_time
    a_claim_that_has_ended_postpones_nothing
    messages_are_claimed_in_the_order_in_which_they_are_due
    a_due_time_of_a_message_from_a_clock_that_was_ahead_does_not_count
    a_message_of_an_unknown_kind_is_left_to_a_newer_version
    each_channel_claims_and_counts_its_own_kinds
    each_of_many_messages_is_claimed_once_by_concurrent_nodes
    the_size_of_the_outbox_is_the_number_of_messages_and_the_age_of_the_oldest
    the_messages_about_a_user_are_deleted_with_the_account
}

const CLAIM: Duration = Duration::from_secs(180);
const LONGEST: Duration = Duration::from_secs(5 * 3600);

fn new_message() -> NewOutboxMessage {
    NewOutboxMessage {
        id: unique(),
        kind: OutboxKind::ResetRequest,
        user_id: None,
        recipient: "ada@example.com".to_owned(),
        content: "{}".to_owned(),
        token_id: None,
        created_at: NOW,
    }
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

async fn claim(store: &Store, now: Timestamp) -> Option<OutboxMessage> {
    store.claim_message(OutboxChannel::Mail, now, LONGEST, now.after(CLAIM)).await.unwrap()
}

async fn a_message_is_due_at_once_and_claimed_once(store: &Store) {
    assert!(claim(store, NOW).await.is_none());
    let new = new_message();
    store.enqueue(&new).await.unwrap();
    assert_eq!(claim(store, NOW).await.unwrap().id, new.id);
    assert!(claim(store, NOW).await.is_none());
}

async fn a_claim_returns_what_the_act_has_written(store: &Store) {
    let (user_id, _) = ada(store).await;
    let token_id = Some(OneTimeId::from_bytes([7; 16]));
    let content = "{\"name\":\"\u{e4}\"}".to_owned();
    let new =
        NewOutboxMessage { kind: OutboxKind::EmailChanged, user_id: Some(user_id), content, token_id, ..new_message() };
    store.enqueue(&new).await.unwrap();
    let claimed = claim(store, later(9)).await.unwrap();
    assert_eq!((claimed.id, claimed.kind, claimed.user_id), (new.id, Some(new.kind), new.user_id));
    assert_eq!((claimed.recipient, claimed.content), (new.recipient, new.content));
    assert_eq!((claimed.token_id, claimed.created_at, claimed.attempts), (token_id, NOW, 1));
}

async fn a_message_that_is_not_finished_is_due_again_when_its_claim_ends(store: &Store) {
    store.enqueue(&new_message()).await.unwrap();
    for attempt in 1..=3 {
        let now = later(u64::from(attempt) * 180);
        assert_eq!(claim(store, now).await.unwrap().attempts, attempt, "its node has died");
        assert!(claim(store, now.after(CLAIM - Duration::from_secs(1))).await.is_none());
    }
}

async fn a_finished_message_is_gone(store: &Store) {
    let new = new_message();
    store.enqueue(&new).await.unwrap();
    assert!(claim(store, NOW).await.is_some());
    store.finish_message(new.id).await.unwrap();
    store.finish_message(new.id).await.unwrap();
    assert!(claim(store, later(1_000_000)).await.is_none());
}

async fn a_postponed_message_is_due_at_that_time(store: &Store) {
    let new = new_message();
    store.enqueue(&new).await.unwrap();
    assert!(claim(store, NOW).await.is_some());
    store.postpone_message(new.id, NOW.after(CLAIM), later(30), "no answer").await.unwrap();
    assert!(claim(store, later(29)).await.is_none());
    assert_eq!(claim(store, later(30)).await.unwrap().attempts, 2);
}

async fn a_claim_that_has_ended_postpones_nothing(store: &Store) {
    let new = new_message();
    store.enqueue(&new).await.unwrap();
    assert!(claim(store, NOW).await.is_some());
    let second = NOW.after(CLAIM);
    assert!(claim(store, second).await.is_some(), "by another node");
    store.postpone_message(new.id, NOW.after(CLAIM), second, "no answer").await.unwrap();
    assert!(claim(store, second).await.is_none(), "the other node is still sending it");
}

async fn messages_are_claimed_in_the_order_in_which_they_are_due(store: &Store) {
    for created_at in [3, 1, 2].map(later) {
        store.enqueue(&NewOutboxMessage { created_at, ..new_message() }).await.unwrap();
    }
    let mut order = Vec::new();
    while let Some(message) = claim(store, later(3)).await {
        order.push(message.created_at);
    }
    assert_eq!(order, [1, 2, 3].map(later));
}

async fn a_due_time_of_a_message_from_a_clock_that_was_ahead_does_not_count(store: &Store) {
    let ahead = NOW.after(40 * 24 * LONGEST);
    store.enqueue(&NewOutboxMessage { created_at: ahead, ..new_message() }).await.unwrap();
    assert!(claim(store, NOW).await.is_some());
    assert!(claim(store, NOW).await.is_none(), "the claim is of the right clock");
}

async fn a_message_of_an_unknown_kind_is_left_to_a_newer_version(store: &Store) {
    let (unknown, known) = (new_message(), NewOutboxMessage { created_at: later(1), ..new_message() });
    store.enqueue(&unknown).await.unwrap();
    store.enqueue(&known).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute(request("UPDATE outbox SET kind = 'carrier_pigeon' WHERE id = $1"), &[unknown.id.into()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(store, later(1)).await.unwrap().id, known.id);
    assert!(claim(store, later(1)).await.is_none());
    assert_eq!(store.due_messages(later(1)).await.unwrap(), 1, "it stays, for as long as it takes");
}

async fn each_channel_claims_and_counts_its_own_kinds(store: &Store) {
    for kind in OutboxKind::ALL {
        store.enqueue(&NewOutboxMessage { kind, ..new_message() }).await.unwrap();
        for channel in OutboxChannel::ALL {
            let expected = if kind.channel() == channel { Some(kind) } else { None };
            assert_eq!(store.outbox_size(channel).await.unwrap().0, u64::from(expected.is_some()), "{kind:?}");
            let claimed = store.claim_message(channel, NOW, LONGEST, NOW.after(CLAIM)).await.unwrap();
            assert_eq!(claimed.as_ref().and_then(|message| message.kind), expected);
            if let Some(message) = claimed {
                store.finish_message(message.id).await.unwrap();
            }
        }
    }
}

async fn each_of_many_messages_is_claimed_once_by_concurrent_nodes(store: &Store) {
    let new: Vec<_> = (0..40).map(|_| new_message()).collect();
    for message in &new {
        store.enqueue(message).await.unwrap();
    }
    let claims = (0..8).map(|_| async {
        let mut claimed = Vec::new();
        while let Some(message) = claim(store, NOW).await {
            claimed.push(message.id);
        }
        claimed
    });
    let mut claimed: Vec<_> = all_at_once(claims).await.into_iter().flatten().collect();
    let mut expected: Vec<_> = new.iter().map(|message| message.id).collect();
    claimed.sort();
    expected.sort();
    assert_eq!(claimed, expected);
}

async fn the_size_of_the_outbox_is_the_number_of_messages_and_the_age_of_the_oldest(store: &Store) {
    assert_eq!(store.outbox_size(OutboxChannel::Mail).await.unwrap(), (0, None));
    for created_at in [5, 2, 9].map(later) {
        store.enqueue(&NewOutboxMessage { created_at, ..new_message() }).await.unwrap();
    }
    assert!(claim(store, later(9)).await.is_some());
    assert_eq!(
        store.outbox_size(OutboxChannel::Mail).await.unwrap(),
        (3, Some(later(2))),
        "one that is being sent counts"
    );
}

async fn the_messages_about_a_user_are_deleted_with_the_account(store: &Store) {
    let (user_id, _) = ada(store).await;
    store.enqueue(&NewOutboxMessage { user_id: Some(user_id), ..new_message() }).await.unwrap();
    store.enqueue(&new_message()).await.unwrap();
    let _ = store.delete_user(user_id, MayGo, event()).await.unwrap();
    assert_eq!(store.outbox_size(OutboxChannel::Mail).await.unwrap().0, 1);
}

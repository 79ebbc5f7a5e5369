//! The contract of the audit log: events are written with their acts, sealed once, listed, and erased with their users.

use handstamp_core::{AttemptKey, SecretKey};

use super::*;
use crate::model::{AuditEvent, EventActor, EventCounts, EventSearch, ListEvents};
use crate::store::events::{SEARCH, SEARCH_OF_NAME, SEARCH_OF_OPERATORS, SEARCH_OF_USER};

const ERASED_AT_ONCE: usize = 50;

laws! {
    every_act_writes_its_event
    an_act_that_changes_nothing_writes_no_event
    a_rolled_back_act_leaves_no_event
    sealing_gives_positions_without_gaps_in_the_order_of_the_ids
    nodes_that_seal_at_once_seal_every_event_once
    events_that_this_site_has_not_written_are_not_sealed
    a_deleted_user_leaves_no_content_in_the_audit_log
    many_events_of_a_user_are_erased_in_several_transactions
    acts_that_overlap_the_deletion_of_their_user_leave_no_event_of_the_user
    events_are_listed_newest_first_in_pages
    sealed_events_are_listed_after_a_position
    sealing_counts_each_event_in_its_hour_once
    nodes_that_seal_at_once_count_every_event_once
    a_search_finds_events_by_an_index_and_within_times
}

const OTHER_SECRET: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

/// An event with this name about a user.
fn named(name: &'static str, user: UserId) -> NewEvent {
    NewEvent { name, ..event().about(user) }
}

async fn list(store: &Store, query: &ListEvents) -> Vec<AuditEvent> {
    store.list_events(query).await.unwrap()
}

fn of(user: UserId) -> ListEvents {
    ListEvents { user: Some(user), limit: ListEvents::MAX_LIMIT, ..ListEvents::default() }
}

/// The events about a user that were written since the last call, by name.
async fn new_names(store: &Store, user: UserId, seen: &mut usize) -> Vec<String> {
    let events = list(store, &of(user)).await;
    let count = events.len() - std::mem::replace(seen, events.len());
    events.into_iter().take(count).map(|event| event.event).collect()
}

/// An event whose id is in the order of the calls.
fn next(name: &'static str, user: UserId) -> NewEvent {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    NewEvent { id: Uuid::from_u128(u128::from(number)), ..named(name, user) }
}

async fn every_act_writes_its_event(store: &Store) {
    let user = new_user("ada@example.com");
    let (id, first) = (user.id, new_session(user.id));
    let mut seen = 0;
    macro_rules! writes {
        ($act:expr, $names:expr) => {{
            let _ = $act.await.unwrap();
            let names: &[&str] = &$names;
            assert_eq!(new_names(store, id, &mut seen).await, names, "{}", stringify!($act));
        }};
    }
    writes!(store.create_user(&user, Some(&first), &[], next("created", id)), ["created"]);
    let (second, third) = (new_session(id), new_session(id));
    let events = || SignInEvents { signed_in: next("signed_in", id), limited: next("limited", id) };
    writes!(store.sign_in(FIRST, &second, &[], events()), ["signed_in"]);
    writes!(store.change_name(id, &DisplayName::parse("Augusta").unwrap(), next("name", id)), ["name"]);
    writes!(store.change_groups(id, &groups(&["staff"]), &[], MayGo, next("groups", id)), ["groups"]);
    writes!(store.verify_email(id, NOW, next("verified", id)), ["verified"]);
    writes!(store.end_session_by_id(id, second.session_id, next("revoked", id)), ["revoked"]);
    writes!(store.sign_in(FIRST, &third, &[], events()), ["signed_in"]);
    writes!(store.end_other_sessions(id, first.secret_hash, next("others", id)), ["others"]);
    writes!(store.end_session(first.session_id, next("one", id)), ["one"]);
    writes!(store.sign_in(FIRST, &third, &[], events()), ["signed_in"]);
    let rotated = new_session(id).secret_hash;
    let ids = (third.secret_hash, rotated);
    writes!(store.change_password(id, FIRST, &hash("second"), ids, (NOW, NOW), next("password", id)), ["password"]);
    writes!(store.end_sessions_of(id, next("all", id)), ["all"]);
    writes!(store.sign_in(ANOTHER, &third, &[], events()), ["signed_in"]);
    writes!(store.end_sessions(vec![(third.owned(), next("ended", id))]), ["ended"]);
    writes!(store.set_disabled(id, Some(NOW), MayGo, next("disabled", id)), ["disabled"]);
    writes!(store.set_disabled(id, None, MayGo, next("enabled", id)), ["enabled"]);
    for _ in 0..SESSIONS_PER_USER {
        writes!(store.sign_in(ANOTHER, &new_session(id), &[], events()), ["signed_in"]);
    }
    writes!(store.sign_in(ANOTHER, &new_session(id), &[], events()), ["limited", "signed_in"]);
    writes!(store.end_some_sessions(60, next("some", id)), ["some"]);
    let key = AttemptKey::account(&user.email);
    let limit = handstamp_core::Limit::per_device(10).unwrap();
    assert!(store.count_attempt(&[(key, limit)], NOW).await.unwrap().is_ok());
    writes!(store.unlock(id, &[key], next("unlocked", id)), ["unlocked"]);
    let fields = |name: &str| {
        let query = ListEvents { event: Some(name.to_owned()), ..of(id) };
        async move { serde_json::Value::Object(list(store, &query).await[0].fields.clone()).to_string() }
    };
    assert_eq!(fields("groups").await, r#"{"added":["staff"],"removed":[]}"#);
    assert_eq!(fields("others").await, r#"{"sessions":1}"#);
    assert_eq!(fields("some").await, r#"{"sessions":60}"#);
    assert_eq!(fields("limited").await, r#"{"sessions":1}"#);
    assert_eq!(fields("revoked").await, format!(r#"{{"revoked":"{}"}}"#, second.session_id));
    let ended = list(store, &ListEvents { event: Some("ended".to_owned()), ..of(id) }).await;
    assert_eq!(ended[0].session_id, Some(third.session_id));
}

async fn an_act_that_changes_nothing_writes_no_event(store: &Store) {
    let (id, session) = ada(store).await;
    let _ = store.verify_email(id, NOW, event()).await.unwrap();
    store.change_groups(id, &groups(&["staff"]), &[], MayGo, event()).await.unwrap().value.unwrap();
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    let written = async || count(store, "SELECT COUNT(*) FROM events").await;
    let before = written().await;
    let nobody = UserId::from_uuid(unique());
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    let _ = store.end_session_by_id(id, session.session_id, event()).await.unwrap();
    let _ = store.end_session(session.session_id, event()).await.unwrap();
    let _ = store.end_other_sessions(id, session.secret_hash, event()).await.unwrap();
    let _ = store.end_sessions_of(id, event()).await.unwrap();
    let _ = store.end_some_sessions(10, event()).await.unwrap();
    let _ = store.verify_email(id, NOW, event()).await.unwrap();
    store.change_groups(id, &groups(&["staff"]), &groups(&["board"]), MayGo, event()).await.unwrap().value.unwrap();
    let _ = store.unlock(id, &[AttemptKey::user(id)], event()).await.unwrap();
    let _ = store.change_name(nobody, &DisplayName::parse("Eve").unwrap(), event()).await.unwrap();
    let _ = store.set_disabled(nobody, Some(NOW), MayGo, event()).await.unwrap();
    let _ = store.delete_user(nobody, MayGo, event()).await.unwrap();
    assert_eq!(written().await, before);
}

async fn a_rolled_back_act_leaves_no_event(store: &Store) {
    let (id, session) = ada(store).await;
    let written = async || count(store, "SELECT COUNT(*) FROM events").await;
    let before = written().await;
    assert!(store.create_user(&new_user("ada@example.com"), None, &[], event()).await.unwrap().value.is_err());
    assert!(store.sign_in(ANOTHER, &new_session(id), &[], sign_in_events()).await.unwrap().value.is_none());
    let ids = (new_session(id).secret_hash, new_session(id).secret_hash);
    assert!(!store.change_password(id, FIRST, &hash("new"), ids, (NOW, NOW), event()).await.unwrap().value);
    let eve = new_user("eve@example.com");
    store.create_user(&eve, None, &[], event()).await.unwrap().value.unwrap();
    let of_another = store.end_session_by_id(eve.id, session.session_id, event()).await.unwrap().value;
    assert_eq!((of_another, written().await), (RevokeOutcome::OfAnotherUser, before + 1));
    let same = event();
    let again = || NewEvent { id: same.id, ..event() };
    let name = DisplayName::parse("Augusta").unwrap();
    let _ = store.change_name(id, &name, again()).await.unwrap();
    assert!(store.set_disabled(id, Some(NOW), MayGo, again()).await.is_err(), "the event cannot be written");
    assert!(is_live(store, &session).await, "so the act was not done");
}

/// Seals all events that can be sealed, and returns how many were, and how many were refused.
async fn seal(store: &Store, writer: &EventWriter) -> (u64, u64) {
    let (mut sealed, mut refused) = (0, 0);
    loop {
        let batch = store.seal_events(&writer.keys, refused).await.unwrap();
        sealed += batch.sealed;
        refused += batch.refused;
        if !batch.more {
            return (sealed, refused);
        }
    }
}

/// Writes events, some in one transaction.
async fn write(store: &Store, events: impl IntoIterator<Item = NewEvent>) {
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        // Without a wait for the disk, which is the slowest part of a test.
        let mut tx = store.begin_attempts().await.unwrap();
        for event in events.by_ref().take(50) {
            tx.write_event(event).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

async fn sealing_gives_positions_without_gaps_in_the_order_of_the_ids(store: &Store) {
    let user = UserId::from_uuid(unique());
    let writer = event_writer();
    assert_eq!(seal(store, &writer).await, (0, 0));
    assert_eq!(store.oldest_unsealed_event().await.unwrap(), None);
    let mut events: Vec<_> = (0..7).map(|_| next("event", user)).collect();
    events.reverse();
    let ids: Vec<_> = events.iter().rev().map(|event| event.id).collect();
    write(store, events).await;
    assert_eq!(store.oldest_unsealed_event().await.unwrap(), Some(NOW));
    assert_eq!(seal(store, &writer).await, (7, 0));
    // A clock that was set back makes smaller ids.
    let last = NewEvent { id: Uuid::from_u128(0), ..next("event", user) };
    let last_id = last.id;
    write(store, [last]).await;
    assert_eq!(seal(store, &writer).await, (1, 0));
    assert_eq!(store.oldest_unsealed_event().await.unwrap(), None);
    let sealed = list(store, &ListEvents { after: Some(0), ..ListEvents::default() }).await;
    let positions: Vec<_> = sealed.iter().map(|event| event.position.unwrap()).collect();
    assert_eq!(positions, (1..=8).collect::<Vec<_>>());
    assert_eq!(sealed.iter().map(|event| event.id).collect::<Vec<_>>(), [ids, vec![last_id]].concat());
    assert_eq!(store.events_head().await.unwrap().position, 8);
}

async fn nodes_that_seal_at_once_seal_every_event_once(store: &Store) {
    let user = UserId::from_uuid(unique());
    let writer = event_writer();
    write(store, (0..600).map(|_| next("event", user))).await;
    let sealed = all_at_once((0..4).map(|_| seal(store, &writer))).await;
    assert_eq!(sealed.iter().map(|(sealed, _)| sealed).sum::<u64>(), 600);
    assert_eq!(store.events_head().await.unwrap().position, 600);
    assert_eq!(count(store, "SELECT COUNT(DISTINCT position) FROM events").await, 600);
    assert_eq!(count(store, "SELECT MAX(position) FROM events").await, 600);
}

#[tokio::test]
async fn sqlite_finds_the_events_to_seal_by_their_commitments() {
    let folder = TempFolder::new();
    let store = super::store(&folder).await;
    let plan = format!("EXPLAIN QUERY PLAN {}", *crate::store::events::SEAL);
    let none: &[u8] = &[];
    let args: Vec<_> = (0..50).flat_map(|_| [none.into(), 0.into(), none.into()]).collect();
    let steps: Vec<(i64, i64, i64, String)> = store.fetch_all(Pool::Read, request(plan.leak()), &args).await.unwrap();
    let steps: Vec<_> = steps.into_iter().map(|(.., step)| step).collect();
    let reads = steps.iter().filter(|step| step.contains("events")).collect::<Vec<_>>();
    assert!(reads.len() == 1 && reads[0].contains("(commitment=?)"), "{steps:?}");
}

async fn events_that_this_site_has_not_written_are_not_sealed(store: &Store) {
    let user = UserId::from_uuid(unique());
    let writer = event_writer();
    let keys = EventKeys::new(&SecretKey::parse(OTHER_SECRET).unwrap(), &[]).unwrap();
    let of_another_site = Arc::new(EventWriter::new(keys));
    write(store, (0..700).map(|_| NewEvent { writer: Arc::clone(&of_another_site), ..next("forged", user) })).await;
    write(store, [next("event", user), next("event", user)]).await;
    assert_eq!(seal(store, &writer).await, (2, 700), "forged events do not keep others from being sealed");
    assert_eq!(seal(store, &writer).await, (0, 700));
    assert_eq!(count(store, "SELECT COUNT(*) FROM events WHERE position IS NOT NULL AND name = 'forged'").await, 0);
    let both = EventKeys::new(&SecretKey::parse(OTHER_SECRET).unwrap(), &[SecretKey::parse(SECRET).unwrap()]).unwrap();
    assert_eq!(seal(store, &EventWriter::new(both)).await, (700, 0), "with the secret that wrote them they are sealed");
}

async fn a_deleted_user_leaves_no_content_in_the_audit_log(store: &Store) {
    let (id, _) = ada(store).await;
    let bob = new_user("bob@example.com");
    store.create_user(&bob, None, &[], named("created", bob.id)).await.unwrap().value.unwrap();
    write(store, [named("sealed", id).with("detail", "secret"), named("sealed", id)]).await;
    seal(store, &event_writer()).await;
    write(store, [named("unsealed", id).with("detail", "secret")]).await;
    let mut deletion = named("deleted", id).in_session(unique()).with("detail", "secret");
    deletion.content.address = "192.0.2.1 secret".to_owned();
    deletion.content.user_agent = "secret".to_owned();
    deletion.content.request = "secret".to_owned();
    let _ = store.delete_user(id, MayGo, deletion).await.unwrap();
    let erased = "SELECT COUNT(*) FROM events WHERE erased_by = (SELECT id FROM events WHERE name = 'deleted')
        AND id IS NULL AND time = 0 AND name = '' AND user_id IS NULL AND content = '' AND length(salt) = 0";
    assert_eq!(count(store, erased).await, 3);
    assert_eq!(list(store, &of(id)).await.len(), 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM events WHERE content LIKE '%secret%'").await, 0);
    let deleted = list(store, &ListEvents { event: Some("deleted".to_owned()), ..ListEvents::default() }).await;
    let [deleted] = deleted.as_slice() else { panic!("{deleted:?}") };
    assert_eq!((deleted.user, deleted.session_id, deleted.fields["erased"].as_u64()), (None, None, Some(3)));
    assert_eq!(deleted.fields.len(), 2, "{:?}", deleted.fields);
    assert_eq!(list(store, &of(bob.id)).await.len(), 1, "the events of others are as they were");
    seal(store, &event_writer()).await;
    assert_eq!(store.oldest_unsealed_event().await.unwrap(), None, "erased events are sealed too");
}

async fn many_events_of_a_user_are_erased_in_several_transactions(store: &Store) {
    let (id, _) = ada(store).await;
    for _ in 0..2 {
        write(store, (0..ERASED_AT_ONCE).map(|_| next("event", id))).await;
    }
    write(store, [next("newest", id)]).await;
    let some = async || store.erase_some_events(id, ERASED_AT_ONCE, named("erased", id)).await.unwrap();
    assert_eq!((some().await, some().await), (ERASED_AT_ONCE as u64, ERASED_AT_ONCE as u64));
    assert_eq!(some().await, 0, "the deletion of the user erases the rest");
    assert_eq!(list(store, &of(id)).await[0].event, "newest", "the oldest are erased first");
    let _ = store.delete_user(id, MayGo, named("deleted", id)).await.unwrap();
    assert_eq!(list(store, &of(id)).await.len(), 0);
    let recorded = list(store, &ListEvents::default()).await;
    let numbers = recorded.iter().filter_map(|event| event.fields.get("erased")?.as_u64()).collect::<Vec<_>>();
    assert_eq!(numbers.iter().sum::<u64>(), 2 * ERASED_AT_ONCE as u64 + 1, "{numbers:?}");
}

async fn acts_that_overlap_the_deletion_of_their_user_leave_no_event_of_the_user(store: &Store) {
    for round in 0..15 {
        let user = new_user(&format!("user-{round}@example.com"));
        let (id, sessions) = (user.id, [(); 4].map(|()| new_session(user.id)));
        store.create_user(&user, Some(&sessions[0]), &[], named("created", id)).await.unwrap().value.unwrap();
        for session in &sessions[1..] {
            let events = SignInEvents { signed_in: named("signed_in", id), limited: named("limited", id) };
            store.sign_in(FIRST, session, &[], events).await.unwrap().value.unwrap();
        }
        let limit = handstamp_core::Limit::per_device(10).unwrap();
        let keys = [AttemptKey::user(id)];
        store.count_attempt(&[(keys[0], limit)], NOW).await.unwrap().unwrap();
        let name = DisplayName::parse("Augusta").unwrap();
        let (staff, attempt) = (groups(&["staff"]), new_session(id));
        let events = SignInEvents { signed_in: named("signed_in", id), limited: named("limited", id) };
        let (deleted, ended, one, others, renamed, grouped, verified, disabled, unlocked, signed_in) = tokio::join!(
            store.delete_user(id, MayGo, named("deleted", id)),
            store.end_sessions(vec![(sessions[0].owned(), named("ended", id))]),
            store.end_session_by_id(id, sessions[1].session_id, named("one", id)),
            store.end_other_sessions(id, sessions[2].secret_hash, named("others", id)),
            store.change_name(id, &name, named("name", id)),
            store.change_groups(id, &staff, &[], MayGo, named("groups", id)),
            store.verify_email(id, NOW, named("verified", id)),
            store.set_disabled(id, None, MayGo, named("enabled", id)),
            store.unlock(id, &keys, named("unlocked", id)),
            store.sign_in(FIRST, &attempt, &[], events),
        );
        let acts =
            [deleted.is_ok(), ended.is_ok(), others.is_ok(), renamed.is_ok(), verified.is_ok(), disabled.is_ok()];
        assert!(acts.iter().all(|done| *done) && one.is_ok() && unlocked.is_ok() && signed_in.is_ok(), "{acts:?}");
        // The foreign key of its table refuses a group of a user who is deleted meanwhile.
        drop(grouped);
        assert_eq!(list(store, &of(id)).await.len(), 0, "round {round}");
    }
}

async fn events_are_listed_newest_first_in_pages(store: &Store) {
    let (ada, bob) = (UserId::from_uuid(unique()), UserId::from_uuid(unique()));
    write(store, (0..5).flat_map(|_| [next("of_ada", ada), next("of_bob", bob)])).await;
    let ids = async |query: &ListEvents| list(store, query).await.into_iter().map(|event| event.id).collect::<Vec<_>>();
    let all = ids(&ListEvents::default()).await;
    assert!(all.len() == 10 && all.is_sorted_by(|a, b| a > b), "{all:?}");
    let mut query = ListEvents { limit: 2, ..of(ada) };
    let mut pages = Vec::new();
    loop {
        let page = ids(&query).await;
        let Some(last) = page.last() else { break };
        query.before = Some(*last);
        pages.push(page);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), ids(&of(ada)).await);
    let named = ListEvents { event: Some("of_bob".to_owned()), ..ListEvents::default() };
    assert_eq!(ids(&named).await, ids(&of(bob)).await);
    assert!(ids(&ListEvents { event: Some("of_ada".to_owned()), ..of(bob) }).await.is_empty());
}

async fn sealed_events_are_listed_after_a_position(store: &Store) {
    let (ada, bob) = (UserId::from_uuid(unique()), UserId::from_uuid(unique()));
    write(store, (0..5).flat_map(|_| [next("of_ada", ada), next("of_bob", bob)])).await;
    assert!(list(store, &ListEvents { after: Some(0), ..ListEvents::default() }).await.is_empty(), "none is sealed");
    seal(store, &event_writer()).await;
    write(store, [next("of_ada", ada)]).await;
    let positions = async |query: ListEvents| {
        list(store, &query).await.into_iter().map(|event| event.position.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(positions(ListEvents { after: Some(7), ..ListEvents::default() }).await, [8, 9, 10]);
    assert_eq!(positions(ListEvents { after: Some(1), limit: 3, ..of(bob) }).await, [2, 4, 6]);
    assert_eq!(positions(ListEvents { after: Some(u64::MAX), ..ListEvents::default() }).await, [0; 0]);
}

/// The counts of the hours until the end of that of [`NOW`], the newest last.
async fn hours(store: &Store) -> Vec<(u64, EventCounts)> {
    let until = NOW.after(Duration::from_secs(3600));
    let hours = store.event_hours(Timestamp::from_unix_seconds(0), until).await.unwrap();
    hours.into_iter().map(|(hour, counts)| (hour.unix_seconds(), counts)).collect()
}

async fn sealing_counts_each_event_in_its_hour_once(store: &Store) {
    let (id, _) = ada(store).await;
    let now = NOW.unix_seconds();
    let at =
        |name, seconds_ago: u64| NewEvent { time: Timestamp::from_unix_seconds(now - seconds_ago), ..named(name, id) };
    let failures = at("authn_login_fail", 0).with("failures", 7).with("from", "2027-01-15T05:00:00Z");
    let events = [
        at("authn_login_success", 0),
        at("authn_login_success", 0),
        at("authn_login_success", 1),
        at("user_created", 3601),
        at("user_updated", 0),
        failures,
    ];
    for event in events {
        store.write_event(event).await.unwrap();
    }
    assert_eq!(hours(store).await, [], "they are counted when they are sealed");
    for _ in 0..2 {
        store.seal_events(&event_writer().keys, 0).await.unwrap();
        let counts = |sign_ins, refusals, registrations| EventCounts { sign_ins, refusals, registrations };
        let expected = [
            (now - 3 * 3600, counts(0, 7, 0)),
            (now - 2 * 3600, counts(0, 0, 1)),
            (now - 3600, counts(1, 0, 0)),
            (now, counts(2, 0, 0)),
        ];
        assert_eq!(hours(store).await, expected, "NOW begins an hour");
    }
}

async fn nodes_that_seal_at_once_count_every_event_once(store: &Store) {
    let (id, _) = ada(store).await;
    for _ in 0..60 {
        store.write_event(named("authn_login_success", id)).await.unwrap();
    }
    let keys = &event_writer().keys;
    all_at_once((0..5).map(|_| async { store.seal_events(keys, 0).await.unwrap() })).await;
    assert_eq!(hours(store).await.last().unwrap().1.sign_ins, 60);
}

async fn a_search_finds_events_by_an_index_and_within_times(store: &Store) {
    let (id, _) = ada(store).await;
    let bob = UserId::from_uuid(unique());
    let at = |seconds: u64, name, user, actor| {
        let time = Timestamp::from_unix_seconds(NOW.unix_seconds() + seconds);
        let mut event = NewEvent {
            id: event_writer().new_id(Duration::from_secs(time.unix_seconds()), [7; 10]),
            time,
            ..named(name, user)
        };
        event.content.actor = actor;
        event
    };
    let events = [
        at(10, "a", id, EventActor::User),
        at(20, "b", id, EventActor::Operator),
        at(30, "a", bob, EventActor::Operator),
        at(40, "b", bob, EventActor::System),
    ];
    let mut tx = store.begin().await.unwrap();
    for event in events {
        tx.write_event(event).await.unwrap();
    }
    tx.commit().await.unwrap();
    let find = async |search: EventSearch| {
        let found = store.search_events(&search, search.before.unwrap_or(Uuid::max()), 10).await.unwrap();
        found
            .into_iter()
            .map(|event| event.time.unix_seconds() - NOW.unix_seconds())
            .filter(|time| *time > 0)
            .collect::<Vec<_>>()
    };
    let time = |seconds: u64| Some(Timestamp::from_unix_seconds(NOW.unix_seconds() + seconds));
    let any = EventSearch::default;
    let from_now = || EventSearch { from: time(0), ..any() };
    assert_eq!(find(from_now()).await, [40, 30, 20, 10]);
    assert_eq!(find(EventSearch { user: Some(id), ..from_now() }).await, [20, 10]);
    assert_eq!(find(EventSearch { actor: Some(EventActor::Operator), ..from_now() }).await, [30, 20]);
    assert_eq!(find(EventSearch { name: Some("b".to_owned()), ..from_now() }).await, [40, 20]);
    assert_eq!(
        find(EventSearch { from: time(20), until: time(40), ..any() }).await,
        [30, 20],
        "from is in, until is not"
    );
    let args = |more: &[super::super::statement::Arg<'static>]| {
        let ends = [Uuid::max().into(), Uuid::nil().into(), super::super::statement::limit(50)];
        ends.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()
    };
    for (sql, index, args) in [
        (SEARCH, "", args(&[])),
        (SEARCH_OF_USER, "events_of_a_user", args(&[id.into()])),
        (SEARCH_OF_NAME, "events_by_name", args(&["a".into()])),
        (SEARCH_OF_OPERATORS, "events_of_operators", args(&[])),
    ] {
        let plan = administration::plan(store, sql, &args).await;
        assert!(plan.contains(index), "{plan}");
        for slow in ["SCAN events", "Seq Scan", "FOR ORDER BY", "Sort"] {
            assert!(!plan.contains(slow), "{sql}\n{plan}");
        }
    }
}

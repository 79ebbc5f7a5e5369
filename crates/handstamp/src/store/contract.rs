//! The contract of the store: tests that run on SQLite and on PostgreSQL.

use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use handstamp_core::{
    Argon2Params, Authentication, DisplayName, EmailAddress, EventKeys, GroupName, HashMemory, Password, PasswordHash,
    PasswordPolicy, SessionSecretHash, Timestamp, UserId,
};
use handstamp_testing::{Postgres, TempFolder};
use uuid::Uuid;

use super::sessions::SESSIONS_PER_USER;
use super::statement::{Pool, Sql, request};
use super::{ChangeGroupsError, EmailTakenError, Store};
use crate::config::DatabaseUrl;
use crate::model::{
    CredentialsVersion, EventContent, EventWriter, LastAdministrator::MayGo, ListUsers, NewEvent, NewSession, NewUser,
    OwnedSession, RevokeOutcome, SignInEvents,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// Declares each of these functions as a test on SQLite and as one on PostgreSQL.
macro_rules! laws {
    ($($law:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $law() {
                let folder = super::TempFolder::new();
                super::$law(&super::store(&folder).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() {
                let url = super::DatabaseUrl::Postgres(super::Postgres::shared().new_database());
                super::$law(&super::Store::open(&url, true).await.unwrap()).await;
            })*
        }
    };
}

mod administration;
mod attempts;
mod changes;
mod epoch;
mod events;
mod failed_sign_ins;
mod files;
#[cfg(all(feature = "federation", feature = "passkeys"))]
mod identities;
mod import;
mod jobs;
mod legacy;
mod migrations;
mod notifications;
mod one_time;
mod outbox;
#[cfg(feature = "passkeys")]
mod passkeys;
mod second_factors;
mod secret_keys;

laws! {
    a_transaction_changes_nothing_until_it_is_committed
    an_account_is_found_by_its_address_in_any_case
    an_address_has_one_account
    one_of_a_hundred_concurrent_registrations_gets_the_address
    addresses_are_compared_byte_by_byte
    a_session_is_live_until_it_expires_or_is_ended
    a_session_belongs_to_its_user_only
    a_disabled_account_has_no_live_session
    a_sign_in_ends_the_previous_session_of_the_browser
    credentials_that_were_changed_meanwhile_do_not_sign_in
    a_sign_in_during_a_password_change_leaves_no_session_of_the_old_password
    a_password_change_keeps_one_session_under_a_new_secret
    a_password_change_by_an_ended_session_changes_nothing
    the_next_read_of_a_session_returns_a_changed_name
    a_user_is_in_the_groups_that_were_added_and_not_removed
    a_user_is_in_at_most_fifty_groups
    a_deleted_user_is_in_no_group
    the_authentication_of_a_session_is_read_with_it
    a_rehash_replaces_only_the_verified_hash
    a_rehash_is_no_change_of_the_credentials
    a_session_is_ended_by_its_owner_only
    ending_the_other_sessions_keeps_the_current_one
    a_last_seen_update_does_not_revive_an_ended_session
    last_seen_times_never_decrease
    expired_sessions_are_purged
    a_session_beyond_a_hundred_ends_the_longest_unused
    sessions_are_listed_newest_first
    the_list_of_accounts_contains_every_account
    users_are_listed_in_pages_and_found_by_text_and_group
    a_session_is_ended_by_its_id_alone
    applications_read_users_through_a_database_view
    an_address_is_verified_at_the_creation_of_the_account_or_later
    disabling_an_account_ends_its_sessions_for_good
    deleting_an_account_deletes_its_sessions
    an_operator_ends_the_sessions_of_one_user_or_of_all
}

/// A store in a SQLite file in this folder.
async fn store(folder: &TempFolder) -> Store {
    Store::open(&sqlite_in(folder), true).await.unwrap()
}

/// The URL of a SQLite file in a folder of its own in this folder, which is not private enough for data.
fn sqlite_in(folder: &TempFolder) -> DatabaseUrl {
    DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"))
}

fn unique() -> Uuid {
    let mut bytes = [0; 16];
    crate::environment::Rng::fill(&crate::environment::SystemRng, &mut bytes);
    Uuid::from_bytes(bytes)
}

/// The version of new credentials, and another.
const FIRST: CredentialsVersion = CredentialsVersion(1);
const ANOTHER: CredentialsVersion = CredentialsVersion(2);

fn hash(password: &str) -> PasswordHash {
    let mut policy = PasswordPolicy::default();
    (policy.min_length, policy.min_strength) = (1, 0);
    // No word by itself, since common passwords are refused.
    let password = format!("{password} password of these tests");
    let password = policy.accept(Password::parse(&password).unwrap(), &[]).unwrap();
    Argon2Params::new(8, 1, 1).unwrap().hash(&password, [0; 16], &mut HashMemory::default())
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn new_user(address: &str) -> NewUser {
    NewUser {
        id: UserId::from_uuid(unique()),
        name: DisplayName::parse("Ada").unwrap(),
        email: email(address),
        password_hash: Some(hash("first")),
        created_at: NOW,
        email_verified_at: None,
        token: None,
    }
}

fn new_session(user_id: UserId) -> NewSession {
    let id = [unique().into_bytes(), unique().into_bytes()].concat();
    NewSession {
        secret_hash: SessionSecretHash::from_bytes(id.try_into().unwrap()),
        session_id: unique(),
        user_id,
        authentication: Authentication::by_password(NOW),
        created_at: NOW,
        expires_at: NOW.after(Duration::from_secs(3600)),
        user_agent: "Firefox".to_owned(),
        address: "192.0.2.1".to_owned(),
        provider: None,
    }
}

/// The secret of the keys of these tests.
const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";

/// All tests share one, since the check of a secret takes long.
fn event_writer() -> Arc<EventWriter> {
    static WRITER: LazyLock<Arc<EventWriter>> =
        LazyLock::new(|| Arc::new(EventWriter::new(EventKeys::new(&SECRET.parse().unwrap(), &[]).unwrap())));
    Arc::clone(&WRITER)
}

/// An event about no user.
fn event() -> NewEvent {
    NewEvent {
        id: unique(),
        time: NOW,
        name: "user_updated",
        user: None,
        content: EventContent::default(),
        salt: unique().into_bytes(),
        writer: event_writer(),
        message: None,
        is_sent: false,
        deleted: None,
    }
}

fn sign_in_events() -> SignInEvents {
    SignInEvents { signed_in: event(), limited: event() }
}

/// Sessions that are to be ended, each with its event.
fn with_events(ended: &[OwnedSession]) -> Vec<(OwnedSession, NewEvent)> {
    ended.iter().map(|session| (*session, event())).collect()
}

/// An account with one session.
async fn ada(store: &Store) -> (UserId, NewSession) {
    let user = new_user("ada@example.com");
    let session = new_session(user.id);
    store.create_user(&user, Some(&session), &[], event()).await.unwrap().value.unwrap();
    (user.id, session)
}

/// One more session of an account whose password is still the first.
async fn one_more(store: &Store, user: UserId) -> NewSession {
    let session = new_session(user);
    assert!(store.sign_in(FIRST, &session, &[], sign_in_events()).await.unwrap().value.is_some());
    session
}

async fn is_live(store: &Store, session: &NewSession) -> bool {
    store.live_session(session.secret_hash, session.user_id, NOW).await.unwrap().is_some()
}

/// Runs all futures concurrently and returns their results in the order in which they finished.
async fn all_at_once<T>(acts: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut under_way: Vec<_> = acts.map(Box::pin).collect();
    let mut value = Vec::new();
    std::future::poll_fn(|context| {
        under_way.retain_mut(|act| match act.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                value.push(outcome);
                false
            }
            Poll::Pending => true,
        });
        if under_way.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    value
}

async fn execute(store: &Store, sql: &'static str) {
    try_execute(store, sql).await.unwrap();
}

async fn try_execute(store: &Store, sql: &'static str) -> super::Result<()> {
    let mut tx = store.begin().await?;
    tx.execute(request(sql), &[]).await?;
    tx.commit().await
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    let (count,): (i64,) = store.fetch_one(Pool::Read, request(sql), &[]).await.unwrap();
    count
}

async fn a_transaction_changes_nothing_until_it_is_committed(store: &Store) {
    const INSERT: Sql =
        request("INSERT INTO attempts (key, count, since, last_at, today, day_since) VALUES ($1, 1, 1, 1, 1, 1)");
    const COUNT: &str = "SELECT COUNT(*) FROM attempts";
    let key: &[u8] = &[7; 17];
    let mut dropped = store.begin().await.unwrap();
    assert_eq!(dropped.execute(INSERT, &[key.into()]).await.unwrap(), 1);
    assert_eq!(count(store, COUNT).await, 0, "another connection sees nothing");
    drop(dropped);
    let mut rolled_back = store.begin().await.unwrap();
    assert_eq!(rolled_back.execute(INSERT, &[key.into()]).await.unwrap(), 1, "the dropped transaction left no row");
    rolled_back.rollback().await.unwrap();
    let mut failed = store.begin().await.unwrap();
    failed.execute(INSERT, &[key.into()]).await.unwrap();
    assert!(failed.execute(INSERT, &[key.into()]).await.is_err(), "the key is unique");
    drop(failed);
    let mut committed = store.begin().await.unwrap();
    committed.execute(INSERT, &[key.into()]).await.unwrap();
    committed.commit().await.unwrap();
    assert_eq!(count(store, COUNT).await, 1);
}

async fn an_account_is_found_by_its_address_in_any_case(store: &Store) {
    let user = new_user("Ada.Lovelace@Example.com");
    store.create_user(&user, Some(&new_session(user.id)), &[], event()).await.unwrap().value.unwrap();
    let found = store.credentials_by_email(&email("ADA.LOVELACE@EXAMPLE.COM")).await.unwrap().0.unwrap();
    let account = store.user_by_email(&email("ADA.LOVELACE@EXAMPLE.COM"), NOW).await.unwrap().unwrap();
    assert_eq!((found.user_id, account.email.as_str()), (user.id, "Ada.Lovelace@example.com"));
    assert_eq!(found.password_hash, Some(hash("first")));
    assert_eq!(store.credentials_by_id(user.id).await.unwrap(), Some(found));
    assert!(store.credentials_by_email(&email("ada@example.com")).await.unwrap().0.is_none());
}

async fn an_address_has_one_account(store: &Store) {
    let (id, session) = ada(store).await;
    let again = new_user("ADA@example.com");
    let refused = new_session(again.id);
    assert_eq!(
        store.create_user(&again, Some(&refused), &[session.owned()], event()).await.unwrap().value,
        Err(EmailTakenError)
    );
    assert!(!is_live(store, &refused).await, "there is no session without an account");
    assert!(is_live(store, &session).await, "the presented session was not ended");
    assert_eq!(store.credentials_by_email(&email("ada@example.com")).await.unwrap().0.unwrap().user_id, id);
}

async fn one_of_a_hundred_concurrent_registrations_gets_the_address(store: &Store) {
    let wishes: Vec<_> = (0..100)
        .map(|i| new_user(if i % 2 == 0 { "ada@example.com" } else { "Ada@EXAMPLE.com" }))
        .map(|user| (new_session(user.id), user))
        .collect();
    let acts = wishes.iter().map(|(session, user)| store.create_user(user, Some(session), &[], event()));
    let made = all_at_once(acts).await.into_iter().filter(|outcome| outcome.as_ref().unwrap().value.is_ok()).count();
    assert_eq!(made, 1);
}

async fn addresses_are_compared_byte_by_byte(store: &Store) {
    for address in ["a-b@example.com", "ab@example.com", "a.b@example.com", "a_b@example.com"] {
        let user = new_user(address);
        store.create_user(&user, Some(&new_session(user.id)), &[], event()).await.unwrap().value.unwrap();
        assert_eq!(store.credentials_by_email(&email(address)).await.unwrap().0.unwrap().user_id, user.id);
    }
}

async fn a_session_is_live_until_it_expires_or_is_ended(store: &Store) {
    let (id, session) = ada(store).await;
    let at = |seconds| store.live_session(session.secret_hash, id, NOW.after(Duration::from_secs(seconds)));
    let (live, _) = at(0).await.unwrap().unwrap();
    let user = live.user;
    assert_eq!(live.session_id, session.session_id);
    assert_eq!((user.id, user.name(), user.email()), (id, "Ada", "ada@example.com"));
    assert_eq!(user.created_at, NOW);
    assert!(at(3599).await.unwrap().is_some());
    assert!(at(3600).await.unwrap().is_none());
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert!(at(0).await.unwrap().is_none());
}

async fn a_session_belongs_to_its_user_only(store: &Store) {
    let (_, session) = ada(store).await;
    let other = new_user("bob@example.com");
    store.create_user(&other, Some(&new_session(other.id)), &[], event()).await.unwrap().value.unwrap();
    assert!(store.live_session(session.secret_hash, other.id, NOW).await.unwrap().is_none());
}

async fn a_disabled_account_has_no_live_session(store: &Store) {
    let (_, session) = ada(store).await;
    execute(store, "UPDATE users SET disabled_at = 1").await;
    assert!(!is_live(store, &session).await);
    assert!(store.credentials_by_email(&email("ada@example.com")).await.unwrap().0.unwrap().disabled);
    let attempt = new_session(session.user_id);
    assert!(store.sign_in(FIRST, &attempt, &[], sign_in_events()).await.unwrap().value.is_none());
}

async fn a_sign_in_ends_the_previous_session_of_the_browser(store: &Store) {
    let (id, before) = ada(store).await;
    let after = new_session(id);
    assert!(store.sign_in(FIRST, &after, &[before.owned()], sign_in_events()).await.unwrap().value.is_some());
    assert!(is_live(store, &after).await && !is_live(store, &before).await);
}

async fn credentials_that_were_changed_meanwhile_do_not_sign_in(store: &Store) {
    let (id, before) = ada(store).await;
    let attempt = new_session(id);
    assert!(store.sign_in(ANOTHER, &attempt, &[before.owned()], sign_in_events()).await.unwrap().value.is_none());
    assert!(!is_live(store, &attempt).await && is_live(store, &before).await);
}

async fn a_sign_in_during_a_password_change_leaves_no_session_of_the_old_password(store: &Store) {
    let (id, mut current) = ada(store).await;
    for round in 0..30 {
        let version = store.credentials_by_id(id).await.unwrap().unwrap().version;
        let (rotated, attempt) = (new_session(id), new_session(id));
        let ids = (current.secret_hash, rotated.secret_hash);
        let new = hash("second");
        let change = store.change_password(id, version, &new, ids, (NOW, NOW), event());
        let (changed, signed_in) = tokio::join!(change, store.sign_in(version, &attempt, &[], sign_in_events()));
        assert!(changed.unwrap().value, "round {round}");
        assert!(!is_live(store, &attempt).await, "round {round}, signed in: {:?}", signed_in.unwrap().value);
        current.secret_hash = rotated.secret_hash;
    }
}

async fn a_password_change_keeps_one_session_under_a_new_secret(store: &Store) {
    let (id, current) = ada(store).await;
    let other = one_more(store, id).await;
    let rotated = NewSession { secret_hash: new_session(id).secret_hash, ..current.clone() };
    let (later, ids) = (NOW.after(Duration::from_secs(60)), (current.secret_hash, rotated.secret_hash));
    assert!(store.change_password(id, FIRST, &hash("second"), ids, (later, later), event()).await.unwrap().value);
    assert!(is_live(store, &rotated).await && !is_live(store, &current).await && !is_live(store, &other).await);
    assert_eq!(store.sessions_of(id, NOW).await.unwrap()[0].session_id, current.session_id);
    let credentials = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!((credentials.password_hash, credentials.changed_at), (Some(hash("second")), Some(later)));
    assert_eq!(credentials.version, ANOTHER);
    let (live, _) = store.live_session(rotated.secret_hash, id, NOW).await.unwrap().unwrap();
    assert_eq!(live.authentication, Authentication::by_password(later), "the current password was proved");
}

async fn a_password_change_by_an_ended_session_changes_nothing(store: &Store) {
    let (id, current) = ada(store).await;
    let other = one_more(store, id).await;
    let _ = store.end_sessions(with_events(&[current.owned()])).await.unwrap();
    let (new, ids) = (hash("second"), (current.secret_hash, new_session(id).secret_hash));
    assert!(!store.change_password(id, FIRST, &new, ids, (NOW, NOW), event()).await.unwrap().value);
    assert!(
        !store.change_password(id, ANOTHER, &new, (other.secret_hash, ids.1), (NOW, NOW), event()).await.unwrap().value
    );
    assert!(is_live(store, &other).await);
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, Some(hash("first")));
}

async fn the_next_read_of_a_session_returns_a_changed_name(store: &Store) {
    let (id, session) = ada(store).await;
    let _ = store.change_name(id, &DisplayName::parse("Countess Lovelace").unwrap(), event()).await.unwrap();
    let (live, position) = store.live_session(session.secret_hash, id, NOW).await.unwrap().unwrap();
    assert_eq!(position, super::Position(1));
    assert_eq!(live.user.name(), "Countess Lovelace");
}

fn groups(names: &[&str]) -> Vec<GroupName> {
    names.iter().map(|name| GroupName::parse(name).unwrap()).collect()
}

async fn a_user_is_in_the_groups_that_were_added_and_not_removed(store: &Store) {
    let (id, session) = ada(store).await;
    let user = async || store.live_session(session.secret_hash, id, NOW).await.unwrap().unwrap().0.user;
    assert_eq!((user().await.groups(), user().await.is_in("")), ("", false));
    let change = async |added, removed| {
        store.change_groups(id, &groups(added), &groups(removed), MayGo, event()).await.unwrap().value
    };
    change(&["staff", "Editors", "staff"], &[]).await.unwrap();
    assert_eq!(user().await.groups(), "Editors,staff", "names are compared byte by byte");
    change(&["staff", "board"], &["Editors", "nobody"]).await.unwrap();
    let user = user().await;
    assert_eq!((user.groups(), user.name(), user.email()), ("board,staff", "Ada", "ada@example.com"));
    assert!(user.is_in("staff") && !user.is_in("Editors") && !user.is_in("staf") && !user.is_in("board,staff"));
    assert_eq!(store.list_users(&ListUsers::default(), NOW).await.unwrap()[0].groups, ["board", "staff"]);
    let bob = new_user("bob@example.com");
    store.create_user(&bob, None, &[], event()).await.unwrap().value.unwrap();
    assert_eq!(store.user_by_email(&bob.email, NOW).await.unwrap().unwrap().groups, [""; 0]);
}

async fn a_user_is_in_at_most_fifty_groups(store: &Store) {
    let (id, session) = ada(store).await;
    let many: Vec<_> = (0..50).map(|number| GroupName::parse(&format!("group-{number}")).unwrap()).collect();
    assert_eq!(store.change_groups(id, &many, &[], MayGo, event()).await.unwrap().value, Ok(()));
    let one_more = store.change_groups(id, &groups(&["one-more"]), &[], MayGo, event()).await.unwrap();
    assert_eq!((one_more.value, one_more.position), (Err(ChangeGroupsError::TooMany), None));
    let live = store.live_session(session.secret_hash, id, NOW).await.unwrap().unwrap().0;
    assert!(live.user.is_in("group-49") && !live.user.is_in("one-more"), "the refused change did nothing");
    assert_eq!(
        store.change_groups(id, &groups(&["one-more"]), &groups(&["group-0"]), MayGo, event()).await.unwrap().value,
        Ok(())
    );
}

async fn a_deleted_user_is_in_no_group(store: &Store) {
    let (id, _) = ada(store).await;
    store.change_groups(id, &groups(&["staff"]), &[], MayGo, event()).await.unwrap().value.unwrap();
    let _ = store.delete_user(id, MayGo, event()).await.unwrap();
    store.change_groups(id, &groups(&["staff"]), &[], MayGo, event()).await.unwrap().value.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM user_groups").await, 0);
}

async fn the_authentication_of_a_session_is_read_with_it(store: &Store) {
    let (id, session) = ada(store).await;
    let (live, _) = store.live_session(session.secret_hash, id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (session.session_id, Authentication::by_password(NOW)));
}

async fn a_rehash_replaces_only_the_verified_hash(store: &Store) {
    let (id, _) = ada(store).await;
    store.replace_hash(id, &hash("stale"), &hash("second")).await.unwrap();
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, Some(hash("first")));
    store.replace_hash(id, &hash("first"), &hash("second")).await.unwrap();
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, Some(hash("second")));
}

async fn a_rehash_is_no_change_of_the_credentials(store: &Store) {
    let (id, _) = ada(store).await;
    store.replace_hash(id, &hash("first"), &hash("second")).await.unwrap();
    assert!(store.sign_in(FIRST, &new_session(id), &[], sign_in_events()).await.unwrap().value.is_some());
}

async fn a_session_is_ended_by_its_owner_only(store: &Store) {
    let (id, session) = ada(store).await;
    let thief = new_user("eve@example.com");
    store.create_user(&thief, Some(&new_session(thief.id)), &[], event()).await.unwrap().value.unwrap();
    assert_eq!(
        store.end_session_by_id(thief.id, session.session_id, event()).await.unwrap().value,
        RevokeOutcome::OfAnotherUser
    );
    assert!(is_live(store, &session).await);
    assert_eq!(store.end_session_by_id(id, session.session_id, event()).await.unwrap().value, RevokeOutcome::Revoked);
    assert!(!is_live(store, &session).await);
    assert_eq!(
        store.end_session_by_id(id, session.session_id, event()).await.unwrap().value,
        RevokeOutcome::AlreadyEnded
    );
}

async fn ending_the_other_sessions_keeps_the_current_one(store: &Store) {
    let (id, first) = ada(store).await;
    let (second, third) = (one_more(store, id).await, one_more(store, id).await);
    let bob = new_user("bob@example.com");
    let bobs = new_session(bob.id);
    store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap().value.unwrap();
    assert_eq!(store.end_other_sessions(id, second.secret_hash, event()).await.unwrap().value, 2);
    assert!(!is_live(store, &first).await && is_live(store, &second).await && !is_live(store, &third).await);
    assert!(is_live(store, &bobs).await);
}

async fn a_last_seen_update_does_not_revive_an_ended_session(store: &Store) {
    let (id, session) = ada(store).await;
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    store.note_last_seen(&[(session.secret_hash, NOW.after(Duration::from_secs(5)))]).await.unwrap();
    assert!(!is_live(store, &session).await);
    assert!(store.sessions_of(id, NOW).await.unwrap().is_empty());
}

async fn last_seen_times_never_decrease(store: &Store) {
    let (id, session) = ada(store).await;
    for seconds in [10, 5] {
        store.note_last_seen(&[(session.secret_hash, NOW.after(Duration::from_secs(seconds)))]).await.unwrap();
        let seen = store.sessions_of(id, NOW).await.unwrap()[0].last_seen_at;
        assert_eq!(seen, NOW.after(Duration::from_secs(10)));
    }
}

async fn expired_sessions_are_purged(store: &Store) {
    let (id, session) = ada(store).await;
    let longer = NewSession { expires_at: session.expires_at.after(Duration::from_secs(1)), ..new_session(id) };
    assert!(store.sign_in(FIRST, &longer, &[], sign_in_events()).await.unwrap().value.is_some());
    assert_eq!(store.purge_expired_sessions(session.expires_at, 10).await.unwrap().value, 1);
    assert!(is_live(store, &longer).await && !is_live(store, &session).await);
}

async fn a_session_beyond_a_hundred_ends_the_longest_unused(store: &Store) {
    let (id, first) = ada(store).await;
    let at = |second| NOW.after(Duration::from_secs(second));
    let begin = async |second| {
        let session = NewSession { created_at: at(second), ..new_session(id) };
        (store.sign_in(FIRST, &session, &[], sign_in_events()).await.unwrap().value, session)
    };
    let (_, second) = begin(1).await;
    for later in 2..SESSIONS_PER_USER as u64 {
        assert_eq!(begin(later).await.0, Some(0), "session {later} is within the limit");
    }
    store.note_last_seen(&[(first.secret_hash, at(1000))]).await.unwrap();
    assert_eq!(begin(1001).await.0, Some(1));
    assert_eq!(store.sessions_of(id, NOW).await.unwrap().len(), SESSIONS_PER_USER);
    assert!(is_live(store, &first).await, "it is the oldest, but in use");
    assert!(!is_live(store, &second).await);
}

async fn sessions_are_listed_newest_first(store: &Store) {
    let (id, old) = ada(store).await;
    let new = NewSession { created_at: NOW.after(Duration::from_secs(1)), ..new_session(id) };
    assert!(store.sign_in(FIRST, &new, &[], sign_in_events()).await.unwrap().value.is_some());
    let listed = store.sessions_of(id, NOW).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.session_id).collect::<Vec<_>>(), [new.session_id, old.session_id]);
    assert_eq!((listed[0].user_agent.as_str(), listed[0].address.as_str()), ("Firefox", "192.0.2.1"));
    assert_eq!((listed[0].secret_hash, listed[0].created_at), (new.secret_hash, new.created_at));
    assert!(store.sessions_of(id, NOW.after(Duration::from_secs(3600))).await.unwrap().is_empty());
}

async fn applications_read_users_through_a_database_view(store: &Store) {
    const SQL: &str = "SELECT id, name, email, created_at FROM handstamp_users";
    type Row = (Uuid, String, String, i64);
    let (id, _) = ada(store).await;
    let rows: Vec<Row> = store.fetch_all(Pool::Read, request(SQL), &[]).await.unwrap();
    let name = new_user("ada@example.com").name.as_str().to_owned();
    assert_eq!(rows, [(id.as_uuid(), name, "ada@example.com".to_owned(), i64::try_from(NOW.unix_seconds()).unwrap())]);
}

async fn users_are_listed_in_pages_and_found_by_text_and_group(store: &Store) {
    let (ada, _) = ada(store).await;
    for address in ["bob@example.com", "Carol@example.com", "100%_dave!@example.org"] {
        store.create_user(&new_user(address), None, &[], event()).await.unwrap().value.unwrap();
    }
    store.change_groups(ada, &groups(&["staff"]), &[], MayGo, event()).await.unwrap().value.unwrap();
    let list = async |query: &ListUsers| {
        let users = store.list_users(query, NOW).await.unwrap();
        users.into_iter().map(|user| user.email).collect::<Vec<_>>()
    };
    let mut page = ListUsers { limit: 3, ..ListUsers::default() };
    assert_eq!(list(&page).await, ["100%_dave!@example.org", "ada@example.com", "bob@example.com"]);
    page.after = Some("BOB@example.com".to_owned());
    assert_eq!(list(&page).await, ["Carol@example.com"]);
    let containing = |text: &str| ListUsers { search: Some(text.to_owned()), ..ListUsers::default() };
    assert_eq!(list(&containing("CAROL")).await, ["Carol@example.com"]);
    assert_eq!(list(&containing("ada")).await.len(), 4, "all are called Ada");
    for signs in ["%_", "!@", "0%"] {
        assert_eq!(list(&containing(signs)).await, ["100%_dave!@example.org"], "{signs} stands for itself");
    }
    let staff = ListUsers { group: Some("staff".to_owned()), ..ListUsers::default() };
    assert_eq!(list(&staff).await, ["ada@example.com"]);
    assert_eq!(list(&ListUsers { after: Some("ada@example.com".to_owned()), ..staff }).await, [""; 0]);
    let found = store.user_by_id(ada, NOW).await.unwrap().unwrap();
    assert_eq!((found.id, found.email.as_str()), (ada, "ada@example.com"));
    assert!(store.user_by_id(UserId::from_uuid(unique()), NOW).await.unwrap().is_none());
}

async fn a_session_is_ended_by_its_id_alone(store: &Store) {
    let (ada, session) = ada(store).await;
    let other = one_more(store, ada).await;
    let ended = store.end_session(session.session_id, event()).await.unwrap();
    assert_eq!(ended.value, Some(ada));
    assert!(ended.position.is_some() && !is_live(store, &session).await && is_live(store, &other).await);
    let again = store.end_session(session.session_id, event()).await.unwrap();
    assert_eq!((again.value, again.position), (None, None));
}

async fn the_list_of_accounts_contains_every_account(store: &Store) {
    let (ada, _) = ada(store).await;
    let bob = new_user("Bob@example.com");
    store.create_user(&bob, None, &[], event()).await.unwrap().value.unwrap();
    let accounts = store.list_users(&ListUsers::default(), NOW).await.unwrap();
    let seen: Vec<_> = accounts.iter().map(|account| (account.id, account.sessions, account.signed_in_at)).collect();
    assert_eq!(seen, [(ada, 1, Some(NOW)), (bob.id, 0, None)]);
    assert_eq!(
        store.list_users(&ListUsers::default(), NOW.after(Duration::from_secs(3600))).await.unwrap()[0].sessions,
        0
    );
    let found = store.user_by_email(&email("BOB@example.com"), NOW).await.unwrap().unwrap();
    assert_eq!(
        (found.id, found.email.as_str(), found.created_at, found.disabled),
        (bob.id, "Bob@example.com", NOW, false)
    );
    assert!(store.user_by_email(&email("eve@example.com"), NOW).await.unwrap().is_none());
}

async fn an_address_is_verified_at_the_creation_of_the_account_or_later(store: &Store) {
    let verified = async |address: &str, session: &NewSession| {
        let account = store.user_by_email(&email(address), NOW).await.unwrap().unwrap();
        let (live, _) = store.live_session(session.secret_hash, session.user_id, NOW).await.unwrap().unwrap();
        assert_eq!(account.email_verified, live.user.email_verified);
        account.email_verified
    };
    let (id, session) = ada(store).await;
    assert!(!verified("ada@example.com", &session).await, "it is only what the user entered");
    assert!(
        store.verify_email(id, NOW, event()).await.unwrap().position.is_some(),
        "nodes may have cached the old state"
    );
    assert!(verified("ada@example.com", &session).await);
    assert!(
        store.verify_email(id, NOW, event()).await.unwrap().position.is_some(),
        "the first verification may not have reached all nodes"
    );
    let bob = NewUser { email_verified_at: Some(NOW), ..new_user("bob@example.com") };
    let bobs = new_session(bob.id);
    store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap().value.unwrap();
    assert!(verified("bob@example.com", &bobs).await);
}

async fn disabling_an_account_ends_its_sessions_for_good(store: &Store) {
    let (id, session) = ada(store).await;
    let _ = store.set_disabled(id, Some(NOW), MayGo, event()).await.unwrap();
    assert!(
        !is_live(store, &session).await
            && store.user_by_email(&email("ada@example.com"), NOW).await.unwrap().unwrap().disabled
    );
    let _ = store.set_disabled(id, None, MayGo, event()).await.unwrap();
    assert!(!is_live(store, &session).await, "enabling revives no session");
    one_more(store, id).await;
}

async fn deleting_an_account_deletes_its_sessions(store: &Store) {
    let (id, session) = ada(store).await;
    let _ = store.delete_user(id, MayGo, event()).await.unwrap();
    assert!(!is_live(store, &session).await && store.sessions_of(id, NOW).await.unwrap().is_empty());
    assert!(store.credentials_by_id(id).await.unwrap().is_none());
    ada(store).await;
}

async fn an_operator_ends_the_sessions_of_one_user_or_of_all(store: &Store) {
    let (id, session) = ada(store).await;
    let bob = new_user("bob@example.com");
    let bobs = new_session(bob.id);
    store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap().value.unwrap();
    one_more(store, id).await;
    assert_eq!(store.end_sessions_of(id, event()).await.unwrap().value, 2);
    assert!(!is_live(store, &session).await && is_live(store, &bobs).await);
    let more = one_more(store, id).await;
    assert_eq!(store.end_some_sessions(1, event()).await.unwrap().value, 1);
    assert_eq!(store.end_some_sessions(10, event()).await.unwrap().value, 1);
    assert!(!is_live(store, &more).await);
    assert!(!is_live(store, &bobs).await);
}

/// CockroachDB is such a database.
#[tokio::test]
async fn a_database_without_advisory_locks_and_notifications_is_supported() {
    let url = Postgres::shared().new_database();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    for sql in [
        "SET allow_system_table_mods = on",
        "ALTER FUNCTION pg_catalog.pg_advisory_lock(bigint) RENAME TO none_such",
        "ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO neither",
        "ALTER FUNCTION pg_catalog.pg_is_in_recovery() RENAME TO nor_this",
    ] {
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
    }
    let store = Store::open(&DatabaseUrl::Postgres(url), true).await.unwrap();
    let (_, session) = ada(&store).await;
    assert!(store.end_sessions(with_events(&[session.owned()])).await.unwrap().position.is_some());
    super::InvalidationLog::notify(&store).await;
}

//! The contract of passkeys and of the ceremonies in which they are used.

use handstamp_core::{AssuranceLevel, AuthenticationMethods, OneTimeId, OneTimePurpose};

use super::*;
use crate::model::{
    BrowserHash, CeremonyId, ContinuedSession, NewOneTimeToken, Passkey, PasskeyAdded, PasskeyOutcome, PasskeyRemoved,
    PasskeyUse, UsedCeremony,
};
use crate::store::{EpochStart, Position, TokenUse};

laws! {
    a_passkey_is_found_by_its_user_its_id_and_the_address
    a_passkey_signs_in_and_is_as_it_was_used
    one_of_many_concurrent_uses_of_a_ceremony_signs_in
    one_of_many_concurrent_uses_with_the_same_counter_signs_in
    two_answers_of_one_passkey_sign_in_in_the_order_of_the_counter
    a_passkey_that_counts_nothing_signs_in_any_number_of_times_at_once
    a_passkey_that_has_once_verified_its_user_stays_so
    changed_credentials_and_a_disabled_account_do_not_sign_in_by_passkey
    a_sign_in_that_is_refused_uses_nothing
    a_sign_in_that_a_passkey_completes_ends_the_others_under_way
    adding_a_passkey_ends_all_else_and_lets_the_session_go_on
    a_passkey_is_added_once_to_one_account_and_twenty_at_most
    an_ended_session_adds_and_removes_nothing
    removing_a_passkey_leaves_a_way_in
    of_two_concurrent_removals_one_leaves_a_way_in
    a_session_goes_on_after_a_confirmation_by_passkey
    the_passkeys_of_an_account_end_with_it_and_with_a_first_confirmation
    used_ceremonies_are_purged_when_they_have_expired
    a_ceremony_that_began_before_the_epoch_is_refused
}

const LATER: Timestamp = NOW.after(Duration::from_secs(300));

fn ceremony() -> UsedCeremony {
    UsedCeremony { id: CeremonyId(unique().into_bytes()), began_at: NOW, expires_at: LATER }
}

pub(super) fn passkey_of(user_id: UserId) -> Passkey {
    Passkey {
        id: unique(),
        user_id,
        name: "Firefox on Linux".to_owned(),
        credential: "{\"before\":1}".to_owned(),
        backup_eligible: true,
        backed_up: false,
        user_verified: true,
        created_at: NOW,
        used_at: None,
        credential_id: unique().as_bytes().to_vec(),
        counter: 4_294_967_290,
    }
}

fn continued(session: &NewSession) -> ContinuedSession {
    let new = new_session(session.user_id);
    let methods = AuthenticationMethods::from_stored("pwd mfa pop");
    let authentication = Authentication::new(methods, AssuranceLevel::TWO_FACTORS, LATER);
    let NewSession { secret_hash, session_id, .. } = new;
    ContinuedSession { current: session.owned(), secret_hash, session_id, authentication }
}

/// Adds a passkey in a session, which goes on as it is returned.
pub(super) async fn added(store: &Store, session: &mut NewSession, passkey: &Passkey) -> PasskeyAdded {
    let next = continued(session);
    let outcome = store.add_passkey(passkey, ceremony(), &next, event()).await.unwrap().value;
    if outcome == PasskeyAdded::Added {
        (session.secret_hash, session.session_id) = (next.secret_hash, next.session_id);
    }
    outcome
}

/// Ada with a passkey, and her session.
async fn ada_with_a_passkey(store: &Store) -> (Passkey, NewSession) {
    let (id, mut session) = ada(store).await;
    let passkey = passkey_of(id);
    assert_eq!(added(store, &mut session, &passkey).await, PasskeyAdded::Added);
    (passkey, session)
}

pub(super) fn use_of(passkey: &Passkey) -> PasskeyUse {
    PasskeyUse {
        ceremony: ceremony(),
        passkey: passkey.id,
        counter: passkey.counter + 1,
        credential: "{\"after\":1}".to_owned(),
        backed_up: true,
        user_verified: true,
        now: LATER,
    }
}

async fn version(store: &Store, user: UserId) -> CredentialsVersion {
    store.credentials_by_id(user).await.unwrap().unwrap().version
}

async fn signs_in(store: &Store, used: &PasskeyUse, session: &NewSession) -> PasskeyOutcome<u64> {
    let checked = version(store, session.user_id).await;
    store.sign_in_by_passkey(used, checked, session, &[], sign_in_events()).await.unwrap().value
}

async fn a_passkey_is_found_by_its_user_its_id_and_the_address(store: &Store) {
    let (passkey, mut session) = ada_with_a_passkey(store).await;
    let second = passkey_of(passkey.user_id);
    let second = Passkey { created_at: LATER, backup_eligible: false, user_verified: false, counter: 0, ..second };
    assert_eq!(added(store, &mut session, &second).await, PasskeyAdded::Added);
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap(), [passkey.clone(), second.clone()]);
    assert_eq!(store.passkey_by_credential_id(&passkey.credential_id).await.unwrap(), Some(passkey.clone()));
    assert_eq!(store.passkey_by_credential_id(&[1]).await.unwrap(), None);
    let ids = vec![passkey.credential_id.clone(), second.credential_id.clone()];
    let found = store.credential_ids_by_email(&email("ADA@example.com")).await.unwrap();
    assert_eq!(found, (Some(passkey.user_id), ids));

    let bob = new_user("bob@example.com");
    store.create_user(&bob, None, &[], event()).await.unwrap().value.unwrap();
    assert_eq!(store.credential_ids_by_email(&bob.email).await.unwrap(), (Some(bob.id), vec![]));
    assert_eq!(store.credential_ids_by_email(&email("eve@example.com")).await.unwrap(), (None, vec![]));
    assert!(store.passkeys_of(bob.id).await.unwrap().is_empty());
}

async fn a_passkey_signs_in_and_is_as_it_was_used(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let session = new_session(passkey.user_id);
    assert_eq!(signs_in(store, &use_of(&passkey), &session).await, PasskeyOutcome::Done(0));
    assert!(is_live(store, &session).await);
    let used = store.passkeys_of(passkey.user_id).await.unwrap().remove(0);
    let expected = Passkey {
        counter: passkey.counter + 1,
        credential: "{\"after\":1}".to_owned(),
        backed_up: true,
        used_at: Some(LATER),
        ..passkey
    };
    assert_eq!(used, expected);
}

async fn one_of_many_concurrent_uses_of_a_ceremony_signs_in(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    // A passkey that is synchronised counts nothing, so only the ceremony tells one use from the next.
    execute(store, "UPDATE passkeys SET counter = 0").await;
    let used = PasskeyUse { counter: 0, ..use_of(&passkey) };
    let sessions: Vec<_> = (0..20).map(|_| new_session(passkey.user_id)).collect();
    let outcomes = all_at_once(sessions.iter().map(|session| signs_in(store, &used, session))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PasskeyOutcome::Done(0)).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PasskeyOutcome::Replayed).count(), 19);
    assert_eq!(store.sessions_of(passkey.user_id, NOW).await.unwrap().len(), 2);
}

async fn one_of_many_concurrent_uses_with_the_same_counter_signs_in(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let uses: Vec<_> = (0..10).map(|_| (use_of(&passkey), new_session(passkey.user_id))).collect();
    let outcomes = all_at_once(uses.iter().map(|(used, session)| signs_in(store, used, session))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PasskeyOutcome::Done(0)).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PasskeyOutcome::Changed).count(), 9);
}

async fn two_answers_of_one_passkey_sign_in_in_the_order_of_the_counter(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    // All were verified with the row as it is now.
    let answer = |after| PasskeyUse { counter: passkey.counter + after, ..use_of(&passkey) };
    let [first, second, third, fourth] = [1, 2, 3, 4].map(answer);
    let signs_in = async |used| signs_in(store, used, &new_session(passkey.user_id)).await;
    assert_eq!((signs_in(&first).await, signs_in(&second).await), (PasskeyOutcome::Done(0), PasskeyOutcome::Done(0)));
    assert_eq!((signs_in(&fourth).await, signs_in(&third).await), (PasskeyOutcome::Done(0), PasskeyOutcome::Changed));
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap()[0].counter, passkey.counter + 4);
    let none = PasskeyUse { counter: 0, ..use_of(&passkey) };
    assert_eq!(signs_in(&none).await, PasskeyOutcome::Changed, "it has counted before");
}

async fn a_passkey_that_counts_nothing_signs_in_any_number_of_times_at_once(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    execute(store, "UPDATE passkeys SET counter = 0").await;
    let uses: Vec<_> =
        (0..20).map(|_| (PasskeyUse { counter: 0, ..use_of(&passkey) }, new_session(passkey.user_id))).collect();
    let outcomes = all_at_once(uses.iter().map(|(used, session)| signs_in(store, used, session))).await;
    assert_eq!(outcomes, [PasskeyOutcome::Done(0); 20]);
}

async fn a_passkey_that_has_once_verified_its_user_stays_so(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    execute(store, "UPDATE passkeys SET user_verified = 0").await;
    for (after, verifies, verified) in [(1, false, false), (2, true, true), (3, false, true)] {
        let used = PasskeyUse { counter: passkey.counter + after, user_verified: verifies, ..use_of(&passkey) };
        assert_eq!(signs_in(store, &used, &new_session(passkey.user_id)).await, PasskeyOutcome::Done(0));
        assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap()[0].user_verified, verified, "{after}");
    }
}

async fn changed_credentials_and_a_disabled_account_do_not_sign_in_by_passkey(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let used = use_of(&passkey);
    let session = new_session(passkey.user_id);
    let before = CredentialsVersion(version(store, passkey.user_id).await.0 - 1);
    let refused = store.sign_in_by_passkey(&used, before, &session, &[], sign_in_events()).await.unwrap();
    assert_eq!((refused.value, refused.position), (PasskeyOutcome::Changed, None));
    execute(store, "UPDATE users SET disabled_at = 1").await;
    assert_eq!(signs_in(store, &used, &session).await, PasskeyOutcome::Changed);
    assert!(store.sessions_of(passkey.user_id, NOW).await.unwrap().len() == 1);
}

async fn a_sign_in_that_is_refused_uses_nothing(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let session = new_session(passkey.user_id);
    let stale = PasskeyUse { counter: passkey.counter, ..use_of(&passkey) };
    assert_eq!(signs_in(store, &stale, &session).await, PasskeyOutcome::Changed);
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap(), std::slice::from_ref(&passkey));
    let read_again = PasskeyUse { counter: passkey.counter + 1, ..stale };
    assert_eq!(signs_in(store, &read_again, &session).await, PasskeyOutcome::Done(0), "the same ceremony");
}

async fn a_sign_in_that_a_passkey_completes_ends_the_others_under_way(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let (user, checked) = (passkey.user_id, version(store, passkey.user_id).await);
    let token = |purpose| NewOneTimeToken {
        id: OneTimeId::from_bytes(unique().into_bytes()),
        purpose,
        user_id: Some(user),
        email: email("ada@example.com"),
        content: "{}".to_owned(),
        browser: None,
        created_at: NOW,
        expires_at: LATER,
    };
    let [one, other] = [token(OneTimePurpose::PendingSignIn), token(OneTimePurpose::PendingSignIn)];
    for waits in [&one, &other] {
        assert!(store.begin_pending_sign_in(waits, user, checked, None, None, NOW).await.unwrap());
    }
    // A form that was sent twice with a code.
    let repeatable = token(OneTimePurpose::RepeatedSignIn);
    store.store_token(&repeatable, event()).await.unwrap();
    let (waits, session) = (TokenUse { id: one.id, now: NOW }, new_session(user));
    let completed = store
        .complete_pending_sign_in_by_passkey(waits, checked, &use_of(&passkey), &session, &[], sign_in_events())
        .await;
    assert_eq!(completed.unwrap().value, Ok(PasskeyOutcome::Done(0)));
    assert!(is_live(store, &session).await);
    for ended in [one, other, repeatable] {
        assert!(store.token(ended.id, ended.purpose, NOW).await.unwrap().is_none(), "{:?}", ended.purpose);
    }
}

async fn adding_a_passkey_ends_all_else_and_lets_the_session_go_on(store: &Store) {
    let (id, session) = ada(store).await;
    let other = one_more(store, id).await;
    let token = NewOneTimeToken {
        id: OneTimeId::from_bytes(unique().into_bytes()),
        purpose: OneTimePurpose::SignIn,
        user_id: Some(id),
        email: email("ada@example.com"),
        content: String::new(),
        browser: Some(BrowserHash([7; 32])),
        created_at: NOW,
        expires_at: LATER,
    };
    store.store_token(&token, event()).await.unwrap();
    let before = version(store, id).await;
    let next = continued(&session);
    let added = store.add_passkey(&passkey_of(id), ceremony(), &next, event()).await.unwrap();
    assert!(added.value == PasskeyAdded::Added && added.position.is_some(), "every node has to apply it");
    let (live, _) = store.live_session(next.secret_hash, id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (next.session_id, next.authentication));
    assert!(!is_live(store, &session).await && !is_live(store, &other).await);
    assert!(store.token(token.id, token.purpose, NOW).await.unwrap().is_none());
    let account = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!((account.version.0, account.changed_at), (before.0 + 1, Some(NOW)));
    assert!(account.password_hash.is_some(), "the password stays");
}

async fn a_passkey_is_added_once_to_one_account_and_twenty_at_most(store: &Store) {
    let (passkey, mut session) = ada_with_a_passkey(store).await;
    let same = Passkey { id: unique(), ..passkey.clone() };
    assert_eq!(added(store, &mut session, &same).await, PasskeyAdded::Taken);
    let bob = new_user("bob@example.com");
    let mut bobs = new_session(bob.id);
    store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap().value.unwrap();
    assert_eq!(added(store, &mut bobs, &Passkey { user_id: bob.id, ..same }).await, PasskeyAdded::Taken);
    assert!(is_live(store, &session).await && is_live(store, &bobs).await, "nothing has changed");

    let (once, next) = (ceremony(), continued(&session));
    let new = passkey_of(passkey.user_id);
    let _ = store.add_passkey(&new, once, &next, event()).await.unwrap();
    (session.secret_hash, session.session_id) = (next.secret_hash, next.session_id);
    let next = continued(&session);
    let new = passkey_of(passkey.user_id);
    let replayed = store.add_passkey(&new, once, &next, event()).await.unwrap();
    assert_eq!((replayed.value, replayed.position), (PasskeyAdded::Replayed, None));

    for _ in 0..18 {
        assert_eq!(added(store, &mut session, &passkey_of(passkey.user_id)).await, PasskeyAdded::Added);
    }
    assert_eq!(added(store, &mut session, &passkey_of(passkey.user_id)).await, PasskeyAdded::TooMany);
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap().len(), 20);
}

async fn an_ended_session_adds_and_removes_nothing(store: &Store) {
    let (passkey, mut session) = ada_with_a_passkey(store).await;
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    let other = one_more_of(store, passkey.user_id).await;
    assert_eq!(added(store, &mut session, &passkey_of(passkey.user_id)).await, PasskeyAdded::SignedOut);
    assert_eq!(removed(store, &mut session, &passkey).await, PasskeyRemoved::SignedOut);
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap(), [passkey]);
    assert!(is_live(store, &other).await);
}

/// One more session of an account whose credentials were changed.
async fn one_more_of(store: &Store, user: UserId) -> NewSession {
    let session = new_session(user);
    let checked = version(store, user).await;
    assert!(store.sign_in(checked, &session, &[], sign_in_events()).await.unwrap().value.is_some());
    session
}

async fn removed(store: &Store, session: &mut NewSession, passkey: &Passkey) -> PasskeyRemoved {
    let next = continued(session);
    let removed = store.remove_passkey(passkey.id, &[], &next, LATER, event()).await.unwrap();
    assert_eq!(removed.position.is_some(), removed.value == PasskeyRemoved::Removed);
    if removed.value == PasskeyRemoved::Removed {
        (session.secret_hash, session.session_id) = (next.secret_hash, next.session_id);
    }
    removed.value
}

async fn removing_a_passkey_leaves_a_way_in(store: &Store) {
    let (first, mut session) = ada_with_a_passkey(store).await;
    let unverified = Passkey { user_verified: false, ..passkey_of(first.user_id) };
    let second = passkey_of(first.user_id);
    for passkey in [&unverified, &second] {
        assert_eq!(added(store, &mut session, passkey).await, PasskeyAdded::Added);
    }
    let other = one_more_of(store, first.user_id).await;
    let bob = new_user("bob@example.com");
    let mut bobs = new_session(bob.id);
    store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap().value.unwrap();
    assert_eq!(removed(store, &mut bobs, &first).await, PasskeyRemoved::NotFound, "it is not Bob's");

    execute(store, "UPDATE users SET password_hash = NULL").await;
    let before = version(store, first.user_id).await;
    assert_eq!(removed(store, &mut session, &first).await, PasskeyRemoved::Removed);
    assert!(is_live(store, &session).await && !is_live(store, &other).await);
    let account = store.credentials_by_id(first.user_id).await.unwrap().unwrap();
    assert_eq!((account.version.0, account.changed_at), (before.0 + 1, Some(LATER)));
    assert_eq!(removed(store, &mut session, &first).await, PasskeyRemoved::NotFound);
    assert_eq!(removed(store, &mut session, &second).await, PasskeyRemoved::LastWayIn);
    assert_eq!(store.passkeys_of(first.user_id).await.unwrap().len(), 2);
    assert_eq!(removed(store, &mut session, &unverified).await, PasskeyRemoved::Removed);
    execute(store, "UPDATE users SET password_hash = 'a hash'").await;
    assert_eq!(removed(store, &mut session, &second).await, PasskeyRemoved::Removed, "there is a password");
}

async fn of_two_concurrent_removals_one_leaves_a_way_in(store: &Store) {
    let (first, mut session) = ada_with_a_passkey(store).await;
    let second = passkey_of(first.user_id);
    assert_eq!(added(store, &mut session, &second).await, PasskeyAdded::Added);
    execute(store, "UPDATE users SET password_hash = NULL").await;
    let removals = [&first, &second].map(|passkey| async {
        let mut session = session.clone();
        removed(store, &mut session, passkey).await
    });
    let outcomes = all_at_once(removals.into_iter()).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PasskeyRemoved::Removed).count(), 1, "{outcomes:?}");
    assert_eq!(store.passkeys_of(first.user_id).await.unwrap().len(), 1);
}

async fn a_session_goes_on_after_a_confirmation_by_passkey(store: &Store) {
    let (passkey, session) = ada_with_a_passkey(store).await;
    let other = one_more_of(store, passkey.user_id).await;
    let (used, next) = (use_of(&passkey), continued(&session));
    let confirm = async |used: &PasskeyUse, session: &ContinuedSession| {
        store.confirm_by_passkey(used, session, event()).await.unwrap()
    };
    let done = confirm(&used, &next).await;
    assert!(done.value == PasskeyOutcome::Done(()) && done.position.is_some(), "every node has to apply it");
    let (live, _) = store.live_session(next.secret_hash, passkey.user_id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (next.session_id, next.authentication));
    assert!(!is_live(store, &session).await && is_live(store, &other).await);

    let used_passkey = store.passkeys_of(passkey.user_id).await.unwrap().remove(0);
    let replay = PasskeyUse { ceremony: used.ceremony, ..use_of(&used_passkey) };
    let refused = confirm(&replay, &continued(&other)).await;
    assert_eq!(refused.value, PasskeyOutcome::Replayed);
    let ended = confirm(&use_of(&used_passkey), &continued(&session)).await;
    assert_eq!(ended.value, PasskeyOutcome::Changed);
    assert!(is_live(store, &other).await);
    assert_eq!(store.passkeys_of(passkey.user_id).await.unwrap(), [used_passkey]);
}

async fn the_passkeys_of_an_account_end_with_it_and_with_a_first_confirmation(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let id = passkey.user_id;
    let reset = async |verified: bool| {
        let token = NewOneTimeToken {
            id: OneTimeId::from_bytes(unique().into_bytes()),
            purpose: OneTimePurpose::ResetPassword,
            user_id: Some(id),
            email: email("ada@example.com"),
            content: String::new(),
            browser: None,
            created_at: NOW,
            expires_at: LATER,
        };
        store.store_token(&token, event()).await.unwrap();
        let used = TokenUse { id: token.id, now: NOW };
        assert!(store.reset_password(used, &hash("second"), event()).await.unwrap().value);
        assert_eq!(store.passkeys_of(id).await.unwrap().len(), usize::from(verified), "verified: {verified}");
    };
    // Another person may have made the account.
    reset(false).await;
    let mut session = one_more_of(store, id).await;
    assert_eq!(added(store, &mut session, &passkey).await, PasskeyAdded::Added);
    // The owner has lost the password only.
    reset(true).await;
    let _ = store.delete_user(id, MayGo, event()).await.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM passkeys").await, 0);
}

async fn used_ceremonies_are_purged_when_they_have_expired(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let session = new_session(passkey.user_id);
    let used = use_of(&passkey);
    assert_eq!(signs_in(store, &used, &session).await, PasskeyOutcome::Done(0));
    let last = Timestamp::from_unix_seconds(LATER.unix_seconds() - 1);
    assert_eq!(store.purge_ceremonies(last, 10).await.unwrap(), 0);
    assert_eq!(store.purge_ceremonies(LATER, 1).await.unwrap(), 1);
    assert_eq!(store.purge_ceremonies(LATER, 10).await.unwrap(), 1, "that of the registration");
    assert_eq!(store.purge_ceremonies(LATER, 10).await.unwrap(), 0);
}

async fn a_ceremony_that_began_before_the_epoch_is_refused(store: &Store) {
    let (passkey, _) = ada_with_a_passkey(store).await;
    let used = use_of(&passkey);
    let _ = store.begin_epoch(EpochStart::Beyond(Position(0)), NOW, |_, _| event()).await.unwrap();
    assert_eq!(signs_in(store, &used, &new_session(passkey.user_id)).await, PasskeyOutcome::Replayed);
    let began_at = NOW.after(Duration::from_secs(1));
    let used = PasskeyUse { ceremony: UsedCeremony { began_at, ..ceremony() }, ..used };
    assert_eq!(signs_in(store, &used, &new_session(passkey.user_id)).await, PasskeyOutcome::Done(0));
}

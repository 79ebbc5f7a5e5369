//! The contract of identities, of the attempts in which they are used, and of what providers end.

use handstamp_core::{
    AssuranceLevel, AuthenticationMethods, OneTimeId, OneTimePurpose, RecoveryCode, RecoveryCodeHash,
};

use super::passkeys::passkey_of;
use super::*;
use crate::model::{
    CeremonyId, CodeUse, ContinuedSession, FactorRefused, Identity, IdentityConnected, IdentityCreated,
    IdentityRemoved, IdentitySignIn, IdentityUse, ListEvents, NewOneTimeToken, PasskeyRemoved, ProviderLogout,
    RightCode, SessionProvider, UsedCeremony,
};
use crate::store::{EpochStart, InvalidationLog, InvalidationScope, Position, SecondFactorUse, TokenUse, Verified};

laws! {
    an_identity_is_found_by_its_user_and_its_subject
    an_identity_signs_in_and_is_as_it_was_used
    one_of_many_concurrent_uses_of_an_attempt_signs_in
    an_attempt_that_began_before_the_epoch_is_refused
    what_has_changed_meanwhile_does_not_sign_in_by_identity
    a_sign_in_by_identity_waits_for_its_second_factor_once
    a_waiting_sign_in_of_an_ended_provider_or_identity_is_not_completed
    an_account_is_created_with_its_identity_and_its_session
    an_account_that_is_not_created_leaves_nothing
    one_of_many_concurrent_attempts_gets_the_identity
    connecting_an_identity_ends_all_else_and_lets_the_session_go_on
    an_identity_is_connected_once_to_one_user_and_one_of_each_provider
    an_ended_session_connects_and_disconnects_nothing
    disconnecting_an_identity_leaves_a_way_in
    of_concurrent_removals_one_leaves_a_way_in
    a_session_goes_on_after_a_confirmation_by_identity
    a_session_knows_its_provider_until_its_identity_is_disconnected
    a_session_knows_its_provider_under_each_new_secret
    a_logout_ends_the_sessions_that_it_names
    a_logout_ends_the_sign_ins_under_way_of_its_users
    a_logout_counts_for_sign_ins_from_before_it
    a_logout_during_a_sign_in_ends_its_session
    a_sign_in_during_a_logout_begins_no_session
    a_logout_is_known_to_every_path_of_a_sign_in
    each_user_of_a_logout_has_an_event
    a_logout_is_waited_for_at_each_try
    a_first_confirmation_disconnects_identities
    the_identities_of_an_account_end_with_it
    logouts_are_purged_when_they_have_expired
    a_logout_that_is_renewed_while_it_is_purged_stays
}

const LATER: Timestamp = NOW.after(Duration::from_secs(300));
const ISSUER: &str = "https://id.example";
const CONFIGURED: &[&str] = &["example", "other"];

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn attempt() -> UsedCeremony {
    UsedCeremony { id: CeremonyId(unique().into_bytes()), began_at: NOW, expires_at: LATER }
}

fn identity_of(user_id: UserId, subject: &str) -> Identity {
    Identity {
        id: unique(),
        user_id,
        provider: "example".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: subject.to_owned(),
        email: "ada@id.example".to_owned(),
        created_at: NOW,
        used_at: None,
    }
}

fn use_now() -> IdentityUse {
    IdentityUse { attempt: attempt(), email: "ada@new.example".to_owned(), now: LATER }
}

/// How a session begins by an identity. Its ID token was issued at [`NOW`].
fn provider_of(identity: &Identity, session_id: Option<&str>) -> SessionProvider {
    SessionProvider {
        identity_id: identity.id,
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
        session_id: session_id.map(str::to_owned),
        issued_at: NOW,
    }
}

fn session_by(identity: &Identity, session_id: Option<&str>) -> NewSession {
    NewSession { provider: Some(provider_of(identity, session_id)), ..new_session(identity.user_id) }
}

fn logout(session_id: Option<&str>, subject: Option<&str>) -> ProviderLogout {
    ProviderLogout {
        issuer: ISSUER.to_owned(),
        subject: subject.map(str::to_owned),
        session_id: session_id.map(str::to_owned),
        issued_at: NOW,
        expires_at: LATER,
    }
}

async fn ends(store: &Store, logout: &ProviderLogout) -> u64 {
    store.end_provider_sessions(logout, event()).await.unwrap().value
}

fn continued(session: &NewSession) -> ContinuedSession {
    let NewSession { secret_hash, session_id, .. } = new_session(session.user_id);
    let authentication = Authentication::new(AuthenticationMethods::default(), AssuranceLevel::ONE_FACTOR, LATER);
    ContinuedSession { current: session.owned(), secret_hash, session_id, authentication }
}

/// The session as it goes on.
fn after(session: &NewSession, next: &ContinuedSession) -> NewSession {
    NewSession { secret_hash: next.secret_hash, session_id: next.session_id, ..session.clone() }
}

async fn version(store: &Store, user: UserId) -> CredentialsVersion {
    store.credentials_by_id(user).await.unwrap().unwrap().version
}

/// Connects an identity in a session, which goes on as it is returned.
async fn connects(store: &Store, session: &mut NewSession, identity: &Identity) -> IdentityConnected {
    let next = continued(session);
    let outcome = store.connect_identity(identity, &use_now(), &next, event()).await.unwrap();
    assert_eq!(outcome.position.is_some(), outcome.value == IdentityConnected::Connected);
    if outcome.value == IdentityConnected::Connected {
        *session = after(session, &next);
    }
    outcome.value
}

/// A user with a session, which was begun by the password, and an identity of this subject.
async fn connected(store: &Store, address: &str, subject: &str) -> (Identity, NewSession) {
    let user = new_user(address);
    let mut session = new_session(user.id);
    store.create_user(&user, Some(&session), &[], event()).await.unwrap().value.unwrap();
    let identity = identity_of(user.id, subject);
    assert_eq!(connects(store, &mut session, &identity).await, IdentityConnected::Connected);
    (identity, session)
}

async fn ada_with_an_identity(store: &Store) -> (Identity, NewSession) {
    connected(store, "ada@example.com", "ada").await
}

async fn signs_in(store: &Store, used: &IdentityUse, session: &NewSession) -> IdentitySignIn {
    let checked = version(store, session.user_id).await;
    store.sign_in_by_identity(used, checked, session, &[], sign_in_events()).await.unwrap().value
}

/// A session that has begun by an identity.
async fn begun(store: &Store, identity: &Identity, session_id: Option<&str>) -> NewSession {
    let session = session_by(identity, session_id);
    assert_eq!(signs_in(store, &use_now(), &session).await, IdentitySignIn::Done(0));
    session
}

/// A session that was begun by the password, of an account whose credentials were changed.
async fn by_password(store: &Store, user: UserId) -> NewSession {
    let session = new_session(user);
    let checked = version(store, user).await;
    assert!(store.sign_in(checked, &session, &[], sign_in_events()).await.unwrap().value.is_some());
    session
}

/// Creates an account with an identity, and a session that its provider calls `sid`.
async fn creates(store: &Store, address: &str, subject: &str, used: &IdentityUse) -> (IdentityCreated, NewSession) {
    let user = new_user(address);
    let identity = identity_of(user.id, subject);
    let session = session_by(&identity, Some("sid"));
    let created = store.create_user_with_identity(&user, &identity, used, &session, &[], event(), event()).await;
    (created.unwrap().value, session)
}

fn token(purpose: OneTimePurpose, user: UserId) -> NewOneTimeToken {
    super::one_time::token(purpose, Some(user), "ada@example.com")
}

async fn is_there(store: &Store, token: &NewOneTimeToken) -> bool {
    store.token(token.id, token.purpose, NOW).await.unwrap().is_some()
}

/// Begins a sign-in by an identity that waits for its second factor.
async fn waits(store: &Store, used: &IdentityUse, identity: &Identity) -> (IdentitySignIn, NewOneTimeToken) {
    let (user, token) = (identity.user_id, token(OneTimePurpose::PendingSignIn, identity.user_id));
    let (provider, version) = (provider_of(identity, Some("sid")), version(store, user).await);
    let begun = store.begin_pending_sign_in_by_identity(used, &token, &provider, user, version, None, NOW).await;
    (begun.unwrap(), token)
}

fn recovery_code(number: u8) -> RecoveryCodeHash {
    RecoveryCode::from_random([number; 24]).hash(UserId::from_uuid(Uuid::nil()))
}

/// Completes a sign-in that waits, by a recovery code.
async fn completes(
    store: &Store,
    waiting: &NewOneTimeToken,
    code: u8,
    session: &NewSession,
) -> Result<u64, FactorRefused> {
    let codes = [recovery_code(code)];
    let checked = version(store, session.user_id).await;
    let mut tx = store.begin().await.unwrap();
    for code in codes {
        let columns = [session.user_id.into(), code.as_bytes().as_slice().into()];
        tx.execute(request("INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)"), &columns).await.unwrap();
    }
    tx.commit().await.unwrap();
    let used = SecondFactorUse {
        token: TokenUse { id: waiting.id, now: NOW },
        checked,
        code: CodeUse { code: RightCode::Recovery(codes[0]), event: None },
        repeated: token(OneTimePurpose::RepeatedSignIn, session.user_id),
    };
    store.complete_pending_sign_in(used, session, &[], sign_in_events()).await.unwrap().value
}

async fn an_identity_is_found_by_its_user_and_its_subject(store: &Store) {
    let (identity, mut session) = ada_with_an_identity(store).await;
    let second = Identity { provider: "other".to_owned(), created_at: LATER, ..identity_of(identity.user_id, "Ada") };
    assert_eq!(connects(store, &mut session, &second).await, IdentityConnected::Connected);
    assert_eq!(store.identities_of(identity.user_id).await.unwrap(), [identity.clone(), second.clone()]);
    let found = async |issuer, subject| store.identity_of_subject(issuer, subject).await.unwrap();
    assert_eq!(found(ISSUER, "ada").await, Some(identity));
    assert_eq!(found(ISSUER, "Ada").await, Some(second), "subjects are compared byte by byte");
    assert_eq!(found(ISSUER, "bob").await, None);
    assert_eq!(found("https://ID.example", "ada").await, None);
    assert!(store.identities_of(UserId::from_uuid(unique())).await.unwrap().is_empty());
}

async fn an_identity_signs_in_and_is_as_it_was_used(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let session = begun(store, &identity, Some("sid")).await;
    assert!(is_live(store, &session).await);
    let used = Identity { email: "ada@new.example".to_owned(), used_at: Some(LATER), ..identity };
    assert_eq!(store.identities_of(used.user_id).await.unwrap(), [used]);
}

async fn one_of_many_concurrent_uses_of_an_attempt_signs_in(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let used = use_now();
    let sessions: Vec<_> = (0..20).map(|_| session_by(&identity, Some("sid"))).collect();
    let outcomes = all_at_once(sessions.iter().map(|session| signs_in(store, &used, session))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == IdentitySignIn::Done(0)).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == IdentitySignIn::Replayed).count(), 19);
    assert_eq!(store.sessions_of(identity.user_id, NOW).await.unwrap().len(), 2);
}

async fn an_attempt_that_began_before_the_epoch_is_refused(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let _ = store.begin_epoch(EpochStart::Beyond(Position(0)), NOW, |_, _| event()).await.unwrap();
    let session = session_by(&identity, None);
    assert_eq!(signs_in(store, &use_now(), &session).await, IdentitySignIn::Replayed);
    let used = IdentityUse { attempt: UsedCeremony { began_at: at(1), ..attempt() }, ..use_now() };
    assert_eq!(signs_in(store, &used, &session).await, IdentitySignIn::Done(0));
}

async fn what_has_changed_meanwhile_does_not_sign_in_by_identity(store: &Store) {
    let (identity, mut ada) = ada_with_an_identity(store).await;
    let (bobs, _) = connected(store, "bob@example.com", "bob").await;
    let used = use_now();
    let session = session_by(&identity, None);
    let before = CredentialsVersion(version(store, identity.user_id).await.0 - 1);
    let refused = store.sign_in_by_identity(&used, before, &session, &[], sign_in_events()).await.unwrap();
    assert_eq!((refused.value, refused.position), (IdentitySignIn::Changed, None));
    let refused = async |session: &NewSession| {
        assert_eq!(signs_in(store, &used, session).await, IdentitySignIn::Changed);
        assert!(!is_live(store, session).await);
    };
    refused(&NewSession { provider: None, ..session.clone() }).await;
    refused(&NewSession { provider: Some(provider_of(&bobs, None)), ..session.clone() }).await;
    let other = Identity { subject: "eve".to_owned(), ..identity.clone() };
    refused(&session_by(&other, None)).await;
    let other = Identity { issuer: "https://other.example".to_owned(), ..identity.clone() };
    refused(&session_by(&other, None)).await;
    execute(store, "UPDATE users SET disabled_at = 1").await;
    refused(&session).await;
    execute(store, "UPDATE users SET disabled_at = NULL").await;
    assert_eq!(store.identities_of(identity.user_id).await.unwrap(), std::slice::from_ref(&identity));
    assert_eq!(signs_in(store, &used, &session).await, IdentitySignIn::Done(0), "nothing was used");

    assert_eq!(removes(store, &mut ada, "example", CONFIGURED).await, IdentityRemoved::Removed);
    let again = session_by(&identity, None);
    assert_eq!(signs_in(store, &use_now(), &again).await, IdentitySignIn::Changed, "it is not connected any more");
}

async fn a_sign_in_by_identity_waits_for_its_second_factor_once(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let (used, user) = (use_now(), identity.user_id);
    let (begun, waiting) = waits(store, &used, &identity).await;
    assert_eq!(begun, IdentitySignIn::Done(0));
    let (replayed, refused) = waits(store, &used, &identity).await;
    assert_eq!(replayed, IdentitySignIn::Replayed);
    assert_eq!((is_there(store, &waiting).await, is_there(store, &refused).await), (true, false));
    let used_identity = store.identities_of(user).await.unwrap().remove(0);
    assert_eq!((used_identity.email.as_str(), used_identity.used_at), ("ada@new.example", Some(LATER)));

    // It replaces that of the browser.
    let (next, used) = (token(OneTimePurpose::PendingSignIn, user), use_now());
    let (provider, checked) = (provider_of(&identity, Some("sid")), version(store, user).await);
    let begin = async |checked, provider: &SessionProvider, replaced| {
        store.begin_pending_sign_in_by_identity(&used, &next, provider, user, checked, replaced, NOW).await.unwrap()
    };
    let stale = CredentialsVersion(checked.0 - 1);
    assert_eq!(begin(stale, &provider, Some(waiting.id)).await, IdentitySignIn::Changed);
    let of_nobody = SessionProvider { identity_id: unique(), ..provider.clone() };
    assert_eq!(begin(checked, &of_nobody, Some(waiting.id)).await, IdentitySignIn::Changed);
    assert!(is_there(store, &waiting).await);
    assert_eq!(begin(checked, &provider, Some(waiting.id)).await, IdentitySignIn::Done(0), "nothing was used");
    assert_eq!((is_there(store, &waiting).await, is_there(store, &next).await), (false, true));

    let session = session_by(&identity, Some("sid"));
    assert_eq!(completes(store, &next, 1, &session).await, Ok(0));
    assert!(is_live(store, &session).await);
    assert_eq!(ends(store, &logout(Some("sid"), None)).await, 1, "the session knows its provider");
    let (ended, _) = waits(store, &use_now(), &identity).await;
    assert_eq!(ended, IdentitySignIn::Changed, "the provider has ended it");
}

async fn a_waiting_sign_in_of_an_ended_provider_or_identity_is_not_completed(store: &Store) {
    let (identity, mut ada) = ada_with_an_identity(store).await;
    let (_, waiting) = waits(store, &use_now(), &identity).await;
    // A logout that names the session only does not know the user.
    assert_eq!(ends(store, &logout(Some("sid"), None)).await, 0);
    assert!(is_there(store, &waiting).await);
    let session = session_by(&identity, Some("sid"));
    assert_eq!(completes(store, &waiting, 1, &session).await, Err(FactorRefused::Ended));
    assert!(!is_live(store, &session).await);

    let elsewhere = session_by(&identity, Some("other sid"));
    assert_eq!(removes(store, &mut ada, "example", CONFIGURED).await, IdentityRemoved::Removed);
    let version = version(store, identity.user_id).await;
    let kept = token(OneTimePurpose::PendingSignIn, identity.user_id);
    // As by another first factor.
    assert!(store.begin_pending_sign_in(&kept, identity.user_id, version, None, None, NOW).await.unwrap());
    assert_eq!(completes(store, &kept, 2, &elsewhere).await, Err(FactorRefused::Ended));
    assert!(!is_live(store, &elsewhere).await);
}

async fn an_account_is_created_with_its_identity_and_its_session(store: &Store) {
    let (_, before) = ada(store).await;
    let user = new_user("bob@example.com");
    let identity = Identity { used_at: Some(NOW), ..identity_of(user.id, "bob") };
    let session = session_by(&identity, Some("sid"));
    let events = [("created", user.id), ("connected", user.id)];
    let [created, connected] = events.map(|(name, user)| NewEvent { name, ..event().about(user) });
    let done = store
        .create_user_with_identity(&user, &identity, &use_now(), &session, &[before.owned()], created, connected)
        .await
        .unwrap();
    assert_eq!(done.value, IdentityCreated::Created);
    assert!(done.position.is_some(), "the browser had a session before");
    assert!(is_live(store, &session).await && !is_live(store, &before).await);
    assert_eq!(store.identities_of(user.id).await.unwrap(), [identity]);
    let mut names: Vec<_> = events_of(store, user.id).await.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["connected", "created"]);
    let account = store.user_by_email(&user.email, NOW).await.unwrap().unwrap();
    assert_eq!((account.id, account.signed_in_at), (user.id, Some(NOW)));
}

async fn an_account_that_is_not_created_leaves_nothing(store: &Store) {
    let _ = ada_with_an_identity(store).await;
    let used = use_now();
    let refused = async |address: &str, subject: &str, used: &IdentityUse, expected| {
        let (outcome, session) = creates(store, address, subject, used).await;
        assert_eq!(outcome, expected, "{address} {subject}");
        assert!(!is_live(store, &session).await, "{address} {subject}");
        assert_eq!(count(store, "SELECT COUNT(*) FROM users").await, 1, "{address} {subject}");
        assert_eq!(count(store, "SELECT COUNT(*) FROM identities").await, 1, "{address} {subject}");
    };
    refused("ADA@example.com", "bob", &used, IdentityCreated::EmailTaken).await;
    refused("bob@example.com", "ada", &used, IdentityCreated::IdentityTaken).await;
    refused("ada@example.com", "ada", &used, IdentityCreated::IdentityTaken).await;
    for ended in [logout(Some("sid"), None), logout(None, Some("bob"))] {
        let mut tx = store.begin().await.unwrap();
        tx.remember_logout(&ended).await.unwrap();
        tx.commit().await.unwrap();
        refused("bob@example.com", "bob", &used, IdentityCreated::LoggedOut).await;
        execute(store, "DELETE FROM provider_logouts").await;
    }
    let (created, session) = creates(store, "bob@example.com", "bob", &used).await;
    assert!(created == IdentityCreated::Created && is_live(store, &session).await, "nothing was used");
    let (replayed, _) = creates(store, "bob@example.com", "bob", &used).await;
    assert_eq!(replayed, IdentityCreated::Replayed);
}

async fn one_of_many_concurrent_attempts_gets_the_identity(store: &Store) {
    let mut members = Vec::new();
    for number in 0..5 {
        let user = new_user(&format!("member{number}@example.com"));
        let session = new_session(user.id);
        store.create_user(&user, Some(&session), &[], event()).await.unwrap().value.unwrap();
        members.push(session);
    }
    let connects = members.iter().map(|session| -> std::pin::Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(async move {
            let mut session = session.clone();
            let identity = identity_of(session.user_id, "ada");
            let outcome = connects(store, &mut session, &identity).await;
            assert!(matches!(outcome, IdentityConnected::Connected | IdentityConnected::Taken), "{outcome:?}");
            outcome == IdentityConnected::Connected
        })
    });
    let registers = (0..10).map(|number| -> std::pin::Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(async move {
            let (outcome, session) = creates(store, &format!("visitor{number}@example.com"), "ada", &use_now()).await;
            assert!(matches!(outcome, IdentityCreated::Created | IdentityCreated::IdentityTaken), "{outcome:?}");
            assert_eq!(is_live(store, &session).await, outcome == IdentityCreated::Created);
            outcome == IdentityCreated::Created
        })
    });
    let outcomes = all_at_once(registers.chain(connects)).await;
    assert_eq!(outcomes.into_iter().filter(|done| *done).count(), 1);
    assert_eq!(count(store, "SELECT COUNT(*) FROM identities").await, 1);
    assert!(count(store, "SELECT COUNT(*) FROM users").await <= 6);
}

async fn connecting_an_identity_ends_all_else_and_lets_the_session_go_on(store: &Store) {
    let (id, session) = ada(store).await;
    let other = one_more(store, id).await;
    let waiting = token(OneTimePurpose::SignIn, id);
    store.store_token(&waiting, event()).await.unwrap();
    let before = version(store, id).await;
    let next = continued(&session);
    let done = store.connect_identity(&identity_of(id, "ada"), &use_now(), &next, event()).await.unwrap();
    assert!(done.value == IdentityConnected::Connected && done.position.is_some(), "every node has to apply it");
    let (live, _) = store.live_session(next.secret_hash, id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (next.session_id, next.authentication));
    assert!(!is_live(store, &session).await && !is_live(store, &other).await);
    assert!(!is_there(store, &waiting).await);
    let account = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!((account.version.0, account.changed_at), (before.0 + 1, Some(LATER)));
    assert!(account.password_hash.is_some(), "the password stays");
}

async fn an_identity_is_connected_once_to_one_user_and_one_of_each_provider(store: &Store) {
    let (identity, mut session) = ada_with_an_identity(store).await;
    let (_, mut bobs) = connected(store, "bob@example.com", "bob").await;
    let of_other = |user_id, subject| Identity { provider: "other".to_owned(), ..identity_of(user_id, subject) };
    let taken = of_other(bobs.user_id, "ada");
    assert_eq!(connects(store, &mut bobs, &taken).await, IdentityConnected::Taken);
    let again = identity_of(identity.user_id, "ada");
    assert_eq!(connects(store, &mut session, &again).await, IdentityConnected::Taken);
    let second = identity_of(identity.user_id, "ada's second");
    assert_eq!(connects(store, &mut session, &second).await, IdentityConnected::ProviderTaken);
    assert!(is_live(store, &session).await && is_live(store, &bobs).await, "nothing has changed");
    assert_eq!(store.identities_of(identity.user_id).await.unwrap(), std::slice::from_ref(&identity));

    let (used, next) = (use_now(), continued(&session));
    let third = of_other(identity.user_id, "ada's second");
    let done = store.connect_identity(&third, &used, &next, event()).await.unwrap();
    assert_eq!(done.value, IdentityConnected::Connected);
    let (session, fourth) = (after(&session, &next), identity_of(identity.user_id, "ada's third"));
    let replayed = store.connect_identity(&fourth, &used, &continued(&session), event()).await.unwrap();
    assert_eq!((replayed.value, replayed.position), (IdentityConnected::Replayed, None));
    assert!(is_live(store, &session).await);
    assert_eq!(store.identities_of(identity.user_id).await.unwrap().len(), 2);
}

async fn removes(store: &Store, session: &mut NewSession, provider: &str, configured: &[&str]) -> IdentityRemoved {
    let next = continued(session);
    let removed = store.remove_identity(provider, configured, &next, LATER, event()).await.unwrap();
    assert_eq!(removed.position.is_some(), removed.value == IdentityRemoved::Removed);
    if removed.value == IdentityRemoved::Removed {
        *session = after(session, &next);
    }
    removed.value
}

async fn an_ended_session_connects_and_disconnects_nothing(store: &Store) {
    let (identity, mut session) = ada_with_an_identity(store).await;
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    let other = by_password(store, identity.user_id).await;
    let second = Identity { provider: "other".to_owned(), ..identity_of(identity.user_id, "other") };
    assert_eq!(connects(store, &mut session, &second).await, IdentityConnected::SignedOut);
    assert_eq!(removes(store, &mut session, "example", CONFIGURED).await, IdentityRemoved::SignedOut);
    assert_eq!(store.identities_of(identity.user_id).await.unwrap(), [identity]);
    assert!(is_live(store, &other).await);
}

async fn disconnecting_an_identity_leaves_a_way_in(store: &Store) {
    let (first, mut session) = ada_with_an_identity(store).await;
    let (_, mut bobs) = connected(store, "bob@example.com", "bob").await;
    let second = Identity { provider: "other".to_owned(), ..identity_of(first.user_id, "other") };
    assert_eq!(connects(store, &mut session, &second).await, IdentityConnected::Connected);
    let other = by_password(store, first.user_id).await;
    assert_eq!(removes(store, &mut bobs, "other", CONFIGURED).await, IdentityRemoved::NotFound, "it is not Bob's");

    execute(store, "UPDATE users SET password_hash = NULL").await;
    let removed = removes(store, &mut session, "example", &["example"]).await;
    assert_eq!(removed, IdentityRemoved::LastWayIn, "the other provider is not configured any more");
    assert!(is_live(store, &other).await, "nothing has changed");
    let before = version(store, first.user_id).await;
    assert_eq!(removes(store, &mut session, "example", CONFIGURED).await, IdentityRemoved::Removed);
    assert!(is_live(store, &session).await && !is_live(store, &other).await);
    let account = store.credentials_by_id(first.user_id).await.unwrap().unwrap();
    assert_eq!((account.version.0, account.changed_at), (before.0 + 1, Some(LATER)));
    assert_eq!(removes(store, &mut session, "example", CONFIGURED).await, IdentityRemoved::NotFound);
    assert_eq!(removes(store, &mut session, "other", CONFIGURED).await, IdentityRemoved::LastWayIn);
    assert_eq!(store.identities_of(first.user_id).await.unwrap(), [second]);
    assert_eq!(store.identities_of(bobs.user_id).await.unwrap().len(), 1);

    // A passkey whose authenticator verifies the user is a way in, as is an identity for the removal of a passkey.
    let passkey = passkey_of(first.user_id);
    super::passkeys::added(store, &mut session, &passkey).await;
    let remove_passkey = async |session: &mut NewSession, configured: &[&str]| {
        let next = continued(session);
        let removed = store.remove_passkey(passkey.id, configured, &next, LATER, event()).await.unwrap().value;
        if removed == PasskeyRemoved::Removed {
            *session = after(session, &next);
        }
        removed
    };
    assert_eq!(remove_passkey(&mut session, &[]).await, PasskeyRemoved::LastWayIn);
    assert_eq!(remove_passkey(&mut session, CONFIGURED).await, PasskeyRemoved::Removed);
    super::passkeys::added(store, &mut session, &passkey).await;
    execute(store, "UPDATE passkeys SET user_verified = 0").await;
    assert_eq!(removes(store, &mut session, "other", CONFIGURED).await, IdentityRemoved::LastWayIn);
    execute(store, "UPDATE passkeys SET user_verified = 1").await;
    assert_eq!(removes(store, &mut session, "other", CONFIGURED).await, IdentityRemoved::Removed);
    assert_eq!(removes(store, &mut bobs, "example", CONFIGURED).await, IdentityRemoved::LastWayIn);
    execute(store, "UPDATE users SET password_hash = 'a hash'").await;
    assert_eq!(removes(store, &mut bobs, "example", CONFIGURED).await, IdentityRemoved::Removed, "there is a password");
}

async fn of_concurrent_removals_one_leaves_a_way_in(store: &Store) {
    let (identity, mut session) = ada_with_an_identity(store).await;
    let passkey = passkey_of(identity.user_id);
    super::passkeys::added(store, &mut session, &passkey).await;
    execute(store, "UPDATE users SET password_hash = NULL").await;
    for round in 0..10 {
        let next = [continued(&session), continued(&session)];
        let of_identity = store.remove_identity("example", CONFIGURED, &next[0], LATER, event());
        let of_passkey = store.remove_passkey(passkey.id, CONFIGURED, &next[1], LATER, event());
        let (of_identity, of_passkey) = tokio::join!(of_identity, of_passkey);
        let removed = (of_identity.unwrap().value, of_passkey.unwrap().value);
        let left = (
            store.identities_of(identity.user_id).await.unwrap().len(),
            store.passkeys_of(identity.user_id).await.unwrap().len(),
        );
        match removed {
            (IdentityRemoved::Removed, PasskeyRemoved::SignedOut | PasskeyRemoved::LastWayIn) => {
                assert_eq!(left, (0, 1), "round {round}");
                session = after(&session, &next[0]);
                assert_eq!(connects(store, &mut session, &identity).await, IdentityConnected::Connected);
            }
            (IdentityRemoved::SignedOut | IdentityRemoved::LastWayIn, PasskeyRemoved::Removed) => {
                assert_eq!(left, (1, 0), "round {round}");
                session = after(&session, &next[1]);
                super::passkeys::added(store, &mut session, &passkey).await;
            }
            _ => panic!("round {round}: {removed:?}"),
        }
    }
}

async fn a_session_goes_on_after_a_confirmation_by_identity(store: &Store) {
    let (identity, session) = ada_with_an_identity(store).await;
    let (bobs, _) = connected(store, "bob@example.com", "bob").await;
    let other = by_password(store, identity.user_id).await;
    let (used, next) = (use_now(), continued(&session));
    let confirm = async |identity: &Identity, used: &IdentityUse, session: &ContinuedSession| {
        store.confirm_by_identity(identity.id, used, session, event()).await.unwrap()
    };
    let not_hers = confirm(&bobs, &used, &next).await;
    assert_eq!((not_hers.value, not_hers.position), (IdentitySignIn::Changed, None));
    let done = confirm(&identity, &used, &next).await;
    assert!(done.value == IdentitySignIn::Done(0) && done.position.is_some(), "every node has to apply it");
    let (live, _) = store.live_session(next.secret_hash, identity.user_id, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (next.session_id, next.authentication));
    assert!(!is_live(store, &session).await && is_live(store, &other).await);
    let used_identity = store.identities_of(identity.user_id).await.unwrap().remove(0);
    assert_eq!((used_identity.email.as_str(), used_identity.used_at), ("ada@new.example", Some(LATER)));

    assert_eq!(confirm(&identity, &used, &continued(&other)).await.value, IdentitySignIn::Replayed);
    assert_eq!(confirm(&identity, &use_now(), &continued(&session)).await.value, IdentitySignIn::Changed);
    let unknown = Identity { id: unique(), ..identity };
    assert_eq!(confirm(&unknown, &use_now(), &continued(&other)).await.value, IdentitySignIn::Changed);
    assert!(is_live(store, &other).await);
}

async fn a_session_knows_its_provider_until_its_identity_is_disconnected(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let mut session = begun(store, &identity, Some("sid")).await;
    let providers = async || -> Vec<_> {
        let listed = store.sessions_of(identity.user_id, NOW).await.unwrap();
        listed.into_iter().map(|listed| (listed.session_id == session.session_id, listed.provider)).collect()
    };
    let expected = [(true, Some("example".to_owned())), (false, None)];
    assert!(providers().await.iter().all(|shown| expected.contains(shown)));
    assert_eq!(removes(store, &mut session, "example", CONFIGURED).await, IdentityRemoved::Removed);
    assert_eq!(store.sessions_of(identity.user_id, NOW).await.unwrap()[0].provider, None);
    for gone in [logout(Some("sid"), None), logout(None, Some("ada")), logout(Some("sid"), Some("ada"))] {
        assert_eq!(ends(store, &gone).await, 0);
    }
    assert!(is_live(store, &session).await, "it rests on what the user has left");
}

async fn a_session_knows_its_provider_under_each_new_secret(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let user = identity.user_id;
    let sid = |round: usize| format!("sid {round}");
    for round in 0..4 {
        let sid = sid(round);
        let session = begun(store, &identity, Some(&sid)).await;
        let next = continued(&session);
        let rotated = after(&session, &next);
        let new = match round {
            0 => {
                let done = store.confirm_by_identity(identity.id, &use_now(), &next, event()).await.unwrap();
                assert_eq!(done.value, IdentitySignIn::Done(0));
                rotated
            }
            1 => {
                let done = store.add_passkey(&passkey_of(user), attempt(), &next, event()).await.unwrap();
                assert_eq!(done.value, crate::model::PasskeyAdded::Added);
                rotated
            }
            2 => {
                let (ids, version) = ((session.secret_hash, rotated.secret_hash), version(store, user).await);
                let new = hash("second");
                let done = store.change_password(user, version, &new, ids, (NOW, NOW), event()).await.unwrap();
                assert!(done.value);
                rotated
            }
            _ => {
                let (former, new) = (email("ada@example.com"), email("ada@other.example"));
                let change = token(OneTimePurpose::ChangeEmail, user);
                store.store_token(&change, event()).await.unwrap();
                let (used, ids) = (TokenUse { id: change.id, now: NOW }, (session.owned(), rotated.secret_hash));
                let done = store.change_email(used, &former, &new, ids, event(), None).await.unwrap();
                assert_eq!(done.value, Some(Ok(())));
                rotated
            }
        };
        assert!(is_live(store, &new).await, "{sid}");
        assert_eq!(ends(store, &logout(Some(&sid), None)).await, 1, "{sid}");
        assert!(!is_live(store, &new).await, "{sid}");
    }
}

async fn a_logout_ends_the_sessions_that_it_names(store: &Store) {
    let (ada, _) = ada_with_an_identity(store).await;
    let (bob, _) = connected(store, "bob@example.com", "bob").await;
    let mut eves = connected(store, "eve@example.com", "eve").await.1;
    // The same names at another issuer.
    let foreign = Identity {
        provider: "other".to_owned(),
        issuer: "https://other.example".to_owned(),
        ..identity_of(eves.user_id, "ada")
    };
    assert_eq!(connects(store, &mut eves, &foreign).await, IdentityConnected::Connected);
    let all = [logout(Some("one"), None), logout(None, Some("ada")), logout(Some("one"), Some("ada"))];
    let neither = [logout(Some("three"), None), logout(None, Some("carol")), logout(None, None)];
    let elsewhere = all.clone().map(|logout| ProviderLogout { issuer: "https://third.example".to_owned(), ..logout });
    let of_foreign = ProviderLogout { issuer: foreign.issuer.clone(), ..logout(None, Some("ada")) };
    let cases = [
        // Which of these end: Ada's sessions "one", "two" and that without id, by password, Bob's "one", and the foreign one.
        (&all[0], [true, false, false, false, true, false]),
        (&all[1], [true, true, true, false, false, false]),
        (&all[2], [true, false, true, false, true, false]),
        (&neither[0], [false; 6]),
        (&neither[1], [false; 6]),
        (&neither[2], [false; 6]),
        (&elsewhere[0], [false; 6]),
        (&elsewhere[1], [false; 6]),
        (&elsewhere[2], [false; 6]),
        (&of_foreign, [false, false, false, false, false, true]),
    ];
    for (logout, expected) in cases {
        execute(store, "DELETE FROM provider_logouts").await;
        let sessions = [
            begun(store, &ada, Some("one")).await,
            begun(store, &ada, Some("two")).await,
            begun(store, &ada, None).await,
            by_password(store, ada.user_id).await,
            begun(store, &bob, Some("one")).await,
            begun(store, &foreign, Some("one")).await,
        ];
        let ended = ends(store, logout).await;
        let mut are_ended = [false; 6];
        for (session, is_ended) in sessions.iter().zip(&mut are_ended) {
            *is_ended = !is_live(store, session).await;
        }
        assert_eq!(are_ended, expected, "{logout:?}");
        assert_eq!(ended, are_ended.iter().filter(|is_ended| **is_ended).count() as u64, "{logout:?}");
        let left: Vec<_> = sessions.iter().map(NewSession::owned).collect();
        let _ = store.end_sessions(with_events(&left)).await.unwrap();
    }
}

async fn a_logout_ends_the_sign_ins_under_way_of_its_users(store: &Store) {
    let (ada, _) = ada_with_an_identity(store).await;
    let (bob, _) = connected(store, "bob@example.com", "bob").await;
    let under_way = async |user| {
        let tokens = [
            token(OneTimePurpose::PendingSignIn, user),
            token(OneTimePurpose::RepeatedSignIn, user),
            token(OneTimePurpose::ResetPassword, user),
        ];
        for token in &tokens {
            store.store_token(token, event()).await.unwrap();
        }
        tokens
    };
    let which = async |tokens: &[NewOneTimeToken; 3]| {
        let mut found = [false; 3];
        for (token, is_found) in tokens.iter().zip(&mut found) {
            *is_found = is_there(store, token).await;
        }
        found
    };
    let bobs = under_way(bob.user_id).await;
    for (logout, has_session) in [
        (logout(None, Some("ada")), false),
        (logout(Some("one"), Some("ada")), false),
        (logout(Some("one"), None), true),
    ] {
        let adas = under_way(ada.user_id).await;
        execute(store, "DELETE FROM provider_logouts").await;
        if has_session {
            begun(store, &ada, Some("one")).await;
        }
        assert_eq!(ends(store, &logout).await, u64::from(has_session));
        assert_eq!(which(&adas).await, [false, false, true], "{logout:?}");
    }
    assert_eq!(which(&bobs).await, [true; 3]);
}

async fn a_logout_counts_for_sign_ins_from_before_it(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let at_100 = |logout| ProviderLogout { issued_at: at(100), ..logout };
    let by_subject = at_100(logout(None, Some("ada")));
    let by_session = at_100(logout(Some("one"), None));
    let by_both = at_100(logout(Some("one"), Some("ada")));
    let elsewhere =
        ProviderLogout { issuer: "https://other.example".to_owned(), ..at_100(logout(Some("one"), Some("ada"))) };
    let other = at_100(logout(Some("two"), None));
    let cases = [
        // The logout, the session and the time of the ID token, and whether it signs in.
        (&by_subject, Some("one"), 99, false),
        (&by_subject, Some("one"), 100, false),
        (&by_subject, Some("one"), 101, true),
        (&by_subject, None, 100, false),
        (&by_subject, None, 101, true),
        (&by_session, Some("one"), 101, false),
        (&by_session, Some("two"), 99, true),
        (&by_session, None, 99, true),
        (&by_both, Some("one"), 101, false),
        (&by_both, Some("two"), 99, true),
        (&by_both, None, 100, false),
        (&by_both, None, 101, true),
        (&elsewhere, Some("one"), 99, true),
        (&elsewhere, None, 99, true),
        (&other, Some("one"), 99, true),
    ];
    for (logout, session_id, issued_after, signed_in) in cases {
        execute(store, "DELETE FROM provider_logouts").await;
        assert_eq!(ends(store, logout).await, 0);
        // A logout that was issued before and comes late, and sign-ins that lock the row, leave what is known.
        let late = ProviderLogout { issued_at: NOW, expires_at: NOW, ..logout.clone() };
        assert_eq!(ends(store, &late).await, 0);
        for _ in 0..2 {
            let mut session = session_by(&identity, session_id);
            session.provider.as_mut().unwrap().issued_at = at(issued_after);
            let done = signs_in(store, &use_now(), &session).await;
            let expected = if signed_in { IdentitySignIn::Done(0) } else { IdentitySignIn::Changed };
            assert_eq!(done, expected, "{logout:?} {session_id:?} {issued_after}");
            let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
        }
    }
    // A time of zero is no "nothing has ended".
    execute(store, "DELETE FROM provider_logouts").await;
    let oldest = ProviderLogout { issued_at: Timestamp::from_unix_seconds(0), ..logout(Some("one"), None) };
    assert_eq!(ends(store, &oldest).await, 0);
    assert_eq!(signs_in(store, &use_now(), &session_by(&identity, Some("one"))).await, IdentitySignIn::Changed);
}

/// The kinds of logout, and the id of a session that each ends.
fn kinds_of_logout(subject: &str) -> [(ProviderLogout, Option<&'static str>); 4] {
    [
        (logout(None, Some(subject)), Some("sid")),
        (logout(None, Some(subject)), None),
        (logout(Some("sid"), None), Some("sid")),
        (logout(Some("sid"), Some(subject)), None),
    ]
}

/// Commits after the other has had the time to come to the lock.
async fn commit_later(tx: crate::store::statement::Tx<'_>) {
    tokio::time::sleep(Duration::from_millis(150)).await;
    tx.commit().await.unwrap();
}

async fn a_logout_during_a_sign_in_ends_its_session(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let checked = version(store, identity.user_id).await;
    for (logout, session_id) in kinds_of_logout("ada") {
        execute(store, "DELETE FROM provider_logouts").await;
        let session = session_by(&identity, session_id);
        let mut tx = store.begin().await.unwrap();
        assert!(tx.note_sign_in(checked, &session).await.unwrap());
        tx.replace_sessions(&[], &session).await.unwrap();
        let (ended, ()) = tokio::join!(store.end_provider_sessions(&logout, event()), commit_later(tx));
        assert_eq!((ended.unwrap().value, is_live(store, &session).await), (1, false), "{logout:?}");
    }
    // The same of a subject that is not connected yet.
    for (number, (logout, session_id)) in kinds_of_logout("bob").into_iter().enumerate() {
        execute(store, "DELETE FROM provider_logouts").await;
        let user = new_user(&format!("bob{number}@example.com"));
        let bob = identity_of(user.id, "bob");
        let session = session_by(&bob, session_id);
        let mut tx = store.begin().await.unwrap();
        assert!(tx.insert_user(&user, Some(NOW)).await.unwrap());
        assert!(!tx.is_ended_by_provider(session.provider.as_ref().unwrap(), NOW).await.unwrap());
        assert!(tx.insert_identity(&bob).await.unwrap());
        tx.replace_sessions(&[], &session).await.unwrap();
        let (ended, ()) = tokio::join!(store.end_provider_sessions(&logout, event()), commit_later(tx));
        assert_eq!((ended.unwrap().value, is_live(store, &session).await), (1, false), "{logout:?}");
        let _ = store.delete_user(user.id, MayGo, event()).await.unwrap();
    }
}

async fn a_sign_in_during_a_logout_begins_no_session(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    for (number, (logout, session_id)) in kinds_of_logout("ada").into_iter().enumerate() {
        execute(store, "DELETE FROM provider_logouts").await;
        let session = session_by(&identity, session_id);
        let mut tx = store.begin().await.unwrap();
        tx.remember_logout(&logout).await.unwrap();
        let (used, checked) = (use_now(), version(store, identity.user_id).await);
        let sign_in = store.sign_in_by_identity(&used, checked, &session, &[], sign_in_events());
        let (done, ()) = tokio::join!(sign_in, commit_later(tx));
        assert_eq!(
            (done.unwrap().value, is_live(store, &session).await),
            (IdentitySignIn::Changed, false),
            "{logout:?}"
        );

        let (user, mut logout) = (new_user(&format!("bob{number}@example.com")), logout);
        let bob = identity_of(user.id, "bob");
        logout.subject = logout.subject.map(|_| "bob".to_owned());
        let session = session_by(&bob, session_id);
        execute(store, "DELETE FROM provider_logouts").await;
        let mut tx = store.begin().await.unwrap();
        tx.remember_logout(&logout).await.unwrap();
        let create = store.create_user_with_identity(&user, &bob, &used, &session, &[], event(), event());
        let (done, ()) = tokio::join!(create, commit_later(tx));
        assert_eq!((done.unwrap().value, is_live(store, &session).await), (IdentityCreated::LoggedOut, false));
    }
}

async fn a_logout_is_known_to_every_path_of_a_sign_in(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let user = identity.user_id;
    let passkey = passkey_of(user);
    let mut first = by_password(store, user).await;
    super::passkeys::added(store, &mut first, &passkey).await;
    assert_eq!(ends(store, &logout(Some("sid"), None)).await, 0);
    let checked = version(store, user).await;
    let session = || session_by(&identity, Some("sid"));
    let plain = session();
    assert_eq!(store.sign_in(checked, &plain, &[], sign_in_events()).await.unwrap().value, None);
    let repeated = token(OneTimePurpose::RepeatedSignIn, user);
    store.store_token(&repeated, event()).await.unwrap();
    let (used, again) = (TokenUse { id: repeated.id, now: NOW }, session());
    assert_eq!(store.repeat_sign_in(used, checked, &again, &[], sign_in_events()).await.unwrap().value, None);
    let waiting = token(OneTimePurpose::PendingSignIn, user);
    assert!(store.begin_pending_sign_in(&waiting, user, checked, None, None, NOW).await.unwrap());
    let by_passkey = session();
    let (used, answer) = (TokenUse { id: waiting.id, now: NOW }, super::passkeys::use_of(&passkey));
    let done = store
        .complete_pending_sign_in_by_passkey(used, checked, &answer, &by_passkey, &[], sign_in_events())
        .await
        .unwrap();
    assert_eq!(done.value, Err(FactorRefused::Ended));
    for session in [plain, again, by_passkey] {
        assert!(!is_live(store, &session).await);
    }
}

/// The names and fields of the events about a user.
async fn events_of(store: &Store, user: UserId) -> Vec<(String, serde_json::Value)> {
    let query = ListEvents { user: Some(user), limit: ListEvents::MAX_LIMIT, ..ListEvents::default() };
    let events = store.list_events(&query).await.unwrap();
    events.into_iter().map(|event| (event.event, event.fields.into())).collect()
}

async fn each_user_of_a_logout_has_an_event(store: &Store) {
    let (ada, _) = ada_with_an_identity(store).await;
    let (bob, _) = connected(store, "bob@example.com", "bob").await;
    begun(store, &ada, Some("sid")).await;
    begun(store, &ada, Some("sid")).await;
    begun(store, &bob, Some("sid")).await;
    begun(store, &bob, Some("other sid")).await;
    let named = || NewEvent { name: "logged_out", ..event() };
    let done = store.end_provider_sessions(&logout(Some("sid"), None), named()).await.unwrap();
    assert_eq!(done.value, 3);
    let of = async |identity: &Identity| events_of(store, identity.user_id).await;
    assert_eq!(of(&ada).await, [("logged_out".to_owned(), serde_json::json!({ "sessions": 2 }))]);
    assert_eq!(of(&bob).await, [("logged_out".to_owned(), serde_json::json!({ "sessions": 1 }))]);
    let newest = store.invalidations_after(Position(done.position.unwrap().0 - 2)).await.unwrap();
    for user in [ada.user_id, bob.user_id] {
        let scope = InvalidationScope::User(user);
        assert!(newest.iter().any(|invalidation| invalidation.scope == scope), "every node has to apply it");
    }
    begun(store, &ada, Some("third sid")).await;
    begun(store, &bob, Some("third sid")).await;
    let done = store.end_provider_sessions(&logout(Some("third sid"), None), named()).await.unwrap();
    assert_eq!((done.value, of(&ada).await.len(), of(&bob).await.len()), (2, 2, 2));
    let salts = count(store, "SELECT COUNT(DISTINCT salt) FROM events WHERE name = 'logged_out'").await;
    assert_eq!(salts, 4, "the salt of one user gives none of another");

    let done = store.end_provider_sessions(&logout(None, Some("bob")), named()).await.unwrap();
    assert_eq!((done.value, of(&bob).await.len()), (1, 3));
    let done = store.end_provider_sessions(&logout(None, Some("bob")), named()).await.unwrap();
    assert_eq!((done.value, of(&bob).await.len()), (0, 3), "nothing has ended");
}

async fn a_logout_is_waited_for_at_each_try(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    begun(store, &identity, Some("sid")).await;
    for tried in [logout(Some("sid"), None), logout(None, Some("ada")), logout(Some("sid"), Some("ada"))] {
        let first = store.end_provider_sessions(&tried, event()).await.unwrap().position.unwrap();
        // The first try may have ended the sessions without an answer.
        let second = store.end_provider_sessions(&tried, event()).await.unwrap().position.unwrap();
        assert!(second >= first, "{tried:?}");
    }
}

async fn a_first_confirmation_disconnects_identities(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    let id = identity.user_id;
    let is_connected = async || store.identity_of_subject(ISSUER, "ada").await.unwrap().is_some();
    let connects_again = async || {
        let mut session = by_password(store, id).await;
        assert_eq!(connects(store, &mut session, &identity).await, IdentityConnected::Connected);
    };
    let resets = async || {
        let token = token(OneTimePurpose::ResetPassword, id);
        store.store_token(&token, event()).await.unwrap();
        let used = TokenUse { id: token.id, now: NOW };
        assert!(store.reset_password(used, &hash("second"), event()).await.unwrap().value);
    };
    // Another person may have made the account.
    resets().await;
    assert!(!is_connected().await);
    connects_again().await;
    // The owner has lost the password only, or the second factors.
    resets().await;
    let _ = store.reset_factors(id, NOW, event()).await.unwrap();
    assert!(is_connected().await);

    execute(store, "UPDATE users SET email_verified_at = NULL").await;
    let verify = token(OneTimePurpose::VerifyEmail, id);
    store.store_token(&verify, event()).await.unwrap();
    let used = TokenUse { id: verify.id, now: NOW };
    let reset = token(OneTimePurpose::ResetPassword, id);
    let verified = store.verify_email_by_token(used, None, &reset, event()).await.unwrap();
    assert_eq!(verified.value, Some(Verified::Emptied));
    assert!(!is_connected().await);

    resets().await;
    connects_again().await;
    let undo = NewOneTimeToken {
        id: OneTimeId::from_bytes(unique().into_bytes()),
        ..token(OneTimePurpose::UndoEmailChange, id)
    };
    store.store_token(&undo, event()).await.unwrap();
    let used = TokenUse { id: undo.id, now: NOW };
    let undone = store.undo_email_change(used, &token(OneTimePurpose::ResetPassword, id), event()).await.unwrap();
    assert_eq!(undone.value, Some(Ok(())));
    assert!(!is_connected().await, "another person may have connected it");
}

async fn the_identities_of_an_account_end_with_it(store: &Store) {
    let (identity, _) = ada_with_an_identity(store).await;
    begun(store, &identity, Some("sid")).await;
    let _ = store.delete_user(identity.user_id, MayGo, event()).await.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM identities").await, 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM sessions").await, 0);
    assert_eq!(connected(store, "ada@example.com", "ada").await.0.subject, "ada");
}

async fn logouts_are_purged_when_they_have_expired(store: &Store) {
    assert_eq!(ends(store, &logout(Some("one"), Some("ada"))).await, 0);
    assert_eq!(ends(store, &logout(None, Some("ada"))).await, 0);
    let last = Timestamp::from_unix_seconds(LATER.unix_seconds() - 1);
    assert_eq!(store.purge_provider_logouts(last, 10).await.unwrap(), 0);
    assert_eq!(store.purge_provider_logouts(LATER, 2).await.unwrap(), 2);
    assert_eq!(store.purge_provider_logouts(LATER, 10).await.unwrap(), 1);
    assert_eq!(store.purge_provider_logouts(LATER, 10).await.unwrap(), 0);
    // A sign-in leaves rows only until its time.
    let (identity, _) = ada_with_an_identity(store).await;
    begun(store, &identity, Some("sid")).await;
    assert_eq!(store.purge_provider_logouts(NOW, 10).await.unwrap(), 2);
}

async fn a_logout_that_is_renewed_while_it_is_purged_stays(store: &Store) {
    let expired = ProviderLogout { expires_at: NOW, ..logout(Some("sid"), None) };
    assert_eq!(ends(store, &expired).await, 0);
    let mut tx = store.begin().await.unwrap();
    tx.remember_logout(&logout(Some("sid"), None)).await.unwrap();
    let (purged, ()) = tokio::join!(store.purge_provider_logouts(NOW, 10), commit_later(tx));
    assert_eq!(purged.unwrap(), 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM provider_logouts").await, 1);
}

//! The contract of second factors, and of the acts that use up a code.

use handstamp_core::{
    AssuranceLevel, AuthenticationMethods, OneTimeId, OneTimePurpose, RecoveryCode, RecoveryCodeHash, TotpStep,
};

use super::*;
use crate::model::{CodeUse, ContinuedSession, FactorRefused, Factors, NewOneTimeToken, RightCode};
use crate::store::{SecondFactorUse, TokenUse};

laws! {
    a_set_up_keeps_its_secret_until_it_is_stale_and_never_replaces_a_confirmed_one
    a_confirmed_app_ends_other_sessions_and_tokens_and_raises_the_level_of_one
    a_secret_is_confirmed_once_and_in_a_live_session_only
    one_of_many_concurrent_uses_of_a_step_succeeds
    a_step_before_the_newest_is_refused
    a_recovery_code_works_once
    a_sign_in_waits_until_it_is_completed_once
    a_form_that_was_sent_twice_signs_in_once_more
    a_waiting_sign_in_ends_with_a_change_of_the_credentials
    a_waiting_sign_in_of_former_credentials_is_not_completed
    a_waiting_sign_in_ends_when_the_account_is_disabled
    a_waiting_sign_in_ends_with_the_next_one_of_the_browser_and_with_a_completed_one
    signing_out_ends_a_sign_in_that_waits
    a_changed_password_leaves_what_a_session_rests_on
    a_removed_app_leaves_no_code_and_one_session
    a_reset_removes_all_factors_and_sessions
    new_recovery_codes_replace_the_former_ones
    a_first_confirmation_of_the_address_removes_factors
    secrets_that_another_key_has_sealed_are_found
}

const SET_UP_IN: Uuid = Uuid::from_u128(7);
const SEALED: &[u8] = b"key1 a sealed secret";
const LATER: Timestamp = NOW.after(Duration::from_secs(600));

/// The session at level 2, under another secret and another session id.
fn raised(session: &NewSession) -> ContinuedSession {
    ContinuedSession {
        current: session.owned(),
        secret_hash: SessionSecretHash::from_bytes(unique().into_bytes().repeat(2).try_into().unwrap()),
        session_id: unique(),
        authentication: session.authentication.with_code(LATER),
    }
}

fn code(number: u8) -> RecoveryCodeHash {
    RecoveryCode::from_random([number; 24]).hash(UserId::from_uuid(Uuid::nil()))
}

fn step(number: u64) -> CodeUse {
    CodeUse { code: RightCode::Totp(TotpStep(number)), event: None }
}

fn recovery(number: u8) -> CodeUse {
    CodeUse { code: RightCode::Recovery(code(number)), event: Some(event()) }
}

/// Ada with an app whose newest step is 100, and recovery codes 1 to 3. Her session is at level 2.
async fn ada_with_app(store: &Store) -> (UserId, NewSession) {
    let (ada, session) = ada(store).await;
    let codes = [code(1), code(2), code(3)];
    store.begin_totp((ada, SET_UP_IN), SEALED, NOW, NOW).await.unwrap().unwrap();
    let raised = raised(&session);
    let confirmed =
        store.confirm_totp(&raised, (SEALED, SET_UP_IN), TotpStep(100), &codes, NOW, event()).await.unwrap();
    assert_eq!(confirmed.value, Ok(()));
    let authentication = raised.authentication;
    let session =
        NewSession { secret_hash: raised.secret_hash, session_id: raised.session_id, authentication, ..session };
    (ada, session)
}

fn pending(user: UserId, created_at: Timestamp) -> NewOneTimeToken {
    NewOneTimeToken {
        id: OneTimeId::from_bytes(unique().into_bytes()),
        purpose: OneTimePurpose::PendingSignIn,
        user_id: Some(user),
        email: email("ada@example.com"),
        content: "{}".to_owned(),
        browser: None,
        created_at,
        expires_at: created_at.after(Duration::from_secs(600)),
    }
}

async fn version(store: &Store, user: UserId) -> CredentialsVersion {
    store.credentials_by_id(user).await.unwrap().unwrap().version
}

/// A sign-in that waits, of the current credentials.
async fn waits(store: &Store, user: UserId) -> NewOneTimeToken {
    let (token, version) = (pending(user, NOW), version(store, user).await);
    assert!(store.begin_pending_sign_in(&token, user, version, None, None, NOW).await.unwrap());
    token
}

async fn completes(store: &Store, token: &NewOneTimeToken, code: CodeUse) -> Result<(), FactorRefused> {
    let user = token.user_id.unwrap();
    let (checked, session) = (version(store, user).await, new_session(user));
    let repeated = NewOneTimeToken { purpose: OneTimePurpose::RepeatedSignIn, ..token.clone() };
    let used = SecondFactorUse { token: TokenUse { id: token.id, now: NOW }, checked, code, repeated };
    let done = store.complete_pending_sign_in(used, &session, &[], sign_in_events()).await;
    let done = done.unwrap().value.map(drop);
    assert_eq!(is_live(store, &session).await, done.is_ok());
    done
}

async fn a_set_up_keeps_its_secret_until_it_is_stale_and_never_replaces_a_confirmed_one(store: &Store) {
    let (ada, session) = ada(store).await;
    let begin = async |sealed: &[u8], now, fresh_since| {
        store.begin_totp((ada, SET_UP_IN), sealed, now, fresh_since).await.unwrap()
    };
    assert_eq!(begin(b"one", NOW, NOW).await.unwrap().sealed, b"one");
    assert_eq!(begin(b"two", LATER, NOW).await.unwrap().sealed, b"one", "it is not stale");
    assert_eq!(begin(b"three", LATER, LATER).await.unwrap().sealed, b"three");
    let elsewhere = store.confirm_totp(&raised(&session), (b"three", unique()), TotpStep(1), &[], NOW, event()).await;
    assert_eq!(elsewhere.unwrap().value, Err(FactorRefused::CodeUsed), "it was set up in another session");
    let other = store.begin_totp((ada, unique()), b"other", LATER, NOW).await.unwrap().unwrap();
    assert_eq!(other.sealed, b"other", "another session has a secret of its own");
    assert_eq!(begin(b"three", LATER, LATER).await.unwrap().sealed, b"three");
    assert!(
        store
            .confirm_totp(&raised(&session), (b"three", SET_UP_IN), TotpStep(1), &[], NOW, event())
            .await
            .unwrap()
            .value
            .is_ok()
    );
    let confirmed =
        begin(b"four", LATER.after(Duration::from_secs(1)), LATER.after(Duration::from_secs(9))).await.unwrap();
    assert_eq!((confirmed.sealed.as_slice(), confirmed.confirmed_at), (b"three".as_slice(), Some(NOW)));
    assert!(store.begin_totp((UserId::from_uuid(unique()), SET_UP_IN), b"no user", NOW, NOW).await.unwrap().is_none());
}

async fn a_confirmed_app_ends_other_sessions_and_tokens_and_raises_the_level_of_one(store: &Store) {
    let (ada, first) = ada(store).await;
    let other = one_more(store, ada).await;
    let before = version(store, ada).await;
    let mut reset = pending(ada, NOW);
    reset.purpose = OneTimePurpose::ResetPassword;
    store.store_token(&reset, event()).await.unwrap();
    assert!(!store.credentials_by_id(ada).await.unwrap().unwrap().has_second_factor);
    store.begin_totp((ada, SET_UP_IN), SEALED, NOW, NOW).await.unwrap();
    assert!(!store.credentials_by_id(ada).await.unwrap().unwrap().has_second_factor, "it is being set up");

    let raised = raised(&first);
    let confirmed =
        store.confirm_totp(&raised, (SEALED, SET_UP_IN), TotpStep(7), &[code(1)], LATER, event()).await.unwrap();
    assert!(confirmed.value.is_ok() && confirmed.position.is_some(), "every node learns of it");
    assert!(!is_live(store, &first).await && !is_live(store, &other).await);
    let (live, _) = store.live_session(raised.secret_hash, ada, NOW).await.unwrap().unwrap();
    assert_eq!((live.session_id, live.authentication), (raised.session_id, raised.authentication));
    assert_eq!(live.authentication.assurance(), AssuranceLevel::TWO_FACTORS);
    assert!(live.authentication.methods().contain(AuthenticationMethods::PASSWORD));
    let credentials = store.credentials_by_id(ada).await.unwrap().unwrap();
    assert!(credentials.has_second_factor);
    assert_eq!((credentials.version.0, credentials.changed_at), (before.0 + 1, Some(LATER)));
    assert!(store.credentials_by_email(&email("ada@example.com")).await.unwrap().0.unwrap().has_second_factor);
    assert!(store.token(reset.id, OneTimePurpose::ResetPassword, NOW).await.unwrap().is_none());
    let factors = store.factors_of(ada).await.unwrap();
    assert_eq!(factors, Some(Factors { has_password: true, totp_since: Some(LATER), recovery_codes: 1, passkeys: 0 }));
}

async fn a_secret_is_confirmed_once_and_in_a_live_session_only(store: &Store) {
    let (ada, session) = ada(store).await;
    store.begin_totp((ada, SET_UP_IN), SEALED, NOW, NOW).await.unwrap();
    let confirm = async |session: &ContinuedSession, sealed: &[u8]| {
        store.confirm_totp(session, (sealed, SET_UP_IN), TotpStep(1), &[], NOW, event()).await.unwrap().value
    };
    assert_eq!(confirm(&raised(&new_session(ada)), SEALED).await, Err(FactorRefused::Ended));
    assert_eq!(confirm(&raised(&session), b"another secret").await, Err(FactorRefused::CodeUsed));
    assert!(is_live(store, &session).await, "a refused code changes nothing");
    let done = all_at_once((0..10).map(|_| async { confirm(&raised(&session), SEALED).await.is_ok() })).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
}

async fn one_of_many_concurrent_uses_of_a_step_succeeds(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(waits(store, ada).await);
    }
    let done = all_at_once(tokens.iter().map(|token| completes(store, token, step(101)))).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
}

async fn a_step_before_the_newest_is_refused(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    for used in [99, 100] {
        let token = waits(store, ada).await;
        assert_eq!(completes(store, &token, step(used)).await, Err(FactorRefused::CodeUsed), "{used}");
        let again = store.reauthenticate(&raised(&session), Some(step(used)), event()).await.unwrap();
        assert_eq!(again.value, Err(FactorRefused::CodeUsed));
        assert!(is_live(store, &session).await);
    }
    assert_eq!(store.reauthenticate(&raised(&session), Some(step(101)), event()).await.unwrap().value, Ok(()));
    assert!(!is_live(store, &session).await, "it continues under another secret");
}

async fn a_recovery_code_works_once(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    assert!(store.has_recovery_code(ada, code(2)).await.unwrap());
    let tokens = [waits(store, ada).await, waits(store, ada).await];
    let done = all_at_once(tokens.iter().map(|token| completes(store, token, recovery(2)))).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
    assert!(!store.has_recovery_code(ada, code(2)).await.unwrap());
    assert_eq!(store.factors_of(ada).await.unwrap().unwrap().recovery_codes, 2);
}

async fn a_sign_in_waits_until_it_is_completed_once(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let token = waits(store, ada).await;
    assert!(store.token(token.id, OneTimePurpose::PendingSignIn, NOW).await.unwrap().is_some());
    assert_eq!(completes(store, &token, step(101)).await, Ok(()));
    assert_eq!(completes(store, &token, step(102)).await, Err(FactorRefused::Ended));
    assert!(is_live(store, &session).await, "other sessions live on");
    let old = pending(ada, Timestamp::from_unix_seconds(NOW.unix_seconds() - 600));
    assert!(store.begin_pending_sign_in(&old, ada, version(store, ada).await, None, None, NOW).await.unwrap());
    assert_eq!(completes(store, &old, step(103)).await, Err(FactorRefused::Ended), "it has expired");
}

async fn a_form_that_was_sent_twice_signs_in_once_more(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let token = waits(store, ada).await;
    let used = TokenUse { id: token.id, now: NOW };
    let repeats = async || {
        let (version, session) = (version(store, ada).await, new_session(ada));
        let done = store.repeat_sign_in(used, version, &session, &[], sign_in_events()).await.unwrap().value.is_some();
        assert_eq!(is_live(store, &session).await, done);
        done
    };
    assert!(!repeats().await, "it waits for its code");
    assert_eq!(completes(store, &token, step(101)).await, Ok(()));
    let done = all_at_once((0..10).map(|_| repeats())).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    let token = waits(store, ada).await;
    assert_eq!(completes(store, &token, step(102)).await, Ok(()));
    let _ = store.reset_factors(ada, NOW, event()).await.unwrap();
    let used = TokenUse { id: token.id, now: NOW };
    let late = store.repeat_sign_in(used, version(store, ada).await, &new_session(ada), &[], sign_in_events()).await;
    assert!(late.unwrap().value.is_none(), "the credentials were changed");
}

async fn a_waiting_sign_in_ends_with_a_change_of_the_credentials(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let (token, before) = (waits(store, ada).await, version(store, ada).await);
    let secrets = (session.secret_hash, raised(&session).secret_hash);
    let new = hash("another password");
    assert!(store.change_password(ada, before, &new, secrets, (NOW, NOW), event()).await.unwrap().value);
    assert_eq!(completes(store, &token, step(101)).await, Err(FactorRefused::Ended));
    let late = pending(ada, NOW);
    assert!(
        !store.begin_pending_sign_in(&late, ada, before, None, None, NOW).await.unwrap(),
        "the old password was checked"
    );
}

async fn a_waiting_sign_in_of_former_credentials_is_not_completed(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let (token, current) = (waits(store, ada).await, version(store, ada).await);
    let complete = async |checked| {
        let repeated = NewOneTimeToken { purpose: OneTimePurpose::RepeatedSignIn, ..token.clone() };
        let token = TokenUse { id: token.id, now: NOW };
        let used = SecondFactorUse { token, checked, code: step(101), repeated };
        store.complete_pending_sign_in(used, &new_session(ada), &[], sign_in_events()).await.unwrap().value.map(drop)
    };
    assert_eq!(complete(CredentialsVersion(current.0 - 1)).await, Err(FactorRefused::Ended));
    assert_eq!(complete(current).await, Ok(()), "a refused completion uses nothing up");
}

async fn a_waiting_sign_in_ends_when_the_account_is_disabled(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let token = waits(store, ada).await;
    let _ = store.set_disabled(ada, Some(NOW), MayGo, event()).await.unwrap();
    let late = pending(ada, NOW);
    assert!(!store.begin_pending_sign_in(&late, ada, version(store, ada).await, None, None, NOW).await.unwrap());
    let _ = store.set_disabled(ada, None, MayGo, event()).await.unwrap();
    assert_eq!(completes(store, &token, step(101)).await, Err(FactorRefused::Ended), "also when it is enabled again");
}

async fn a_waiting_sign_in_ends_with_the_next_one_of_the_browser_and_with_a_completed_one(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let version = version(store, ada).await;
    let [first, second, third] = [pending(ada, NOW), pending(ada, LATER), pending(ada, LATER)];
    let begin = async |token: &NewOneTimeToken, replaced, stale| {
        assert!(store.begin_pending_sign_in(token, ada, version, None, replaced, stale).await.unwrap());
    };
    let is_there = async |token: &NewOneTimeToken| {
        store.token(token.id, OneTimePurpose::PendingSignIn, NOW).await.unwrap().is_some()
    };
    begin(&first, None, NOW).await;
    begin(&second, None, NOW).await;
    assert!(is_there(&first).await, "the form may have been sent twice");
    begin(&third, Some(second.id), NOW.after(Duration::from_secs(1))).await;
    assert!(!is_there(&second).await, "the browser has begun anew");
    assert!(!is_there(&first).await, "it is stale");
    begin(&first, None, NOW).await;
    assert_eq!(completes(store, &third, step(101)).await, Ok(()));
    assert!(!is_there(&first).await, "the user has signed in");
}

async fn signing_out_ends_a_sign_in_that_waits(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    for number in 0..3 {
        let token = waits(store, ada).await;
        match number {
            0 => drop(store.end_sessions(with_events(&[session.owned()])).await.unwrap()),
            1 => drop(store.end_other_sessions(ada, session.secret_hash, event()).await.unwrap()),
            _ => drop(store.end_sessions_of(ada, event()).await.unwrap()),
        }
        assert_eq!(completes(store, &token, step(101)).await, Err(FactorRefused::Ended), "{number}");
    }
}

async fn a_changed_password_leaves_what_a_session_rests_on(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let rotated = raised(&session).secret_hash;
    let (secrets, later) = ((session.secret_hash, rotated), LATER.after(Duration::from_secs(60)));
    let times = (later, session.authentication.at());
    let changed =
        store.change_password(ada, version(store, ada).await, &hash("another"), secrets, times, event()).await;
    assert!(changed.unwrap().value);
    let (live, _) = store.live_session(rotated, ada, NOW).await.unwrap().unwrap();
    assert_eq!(live.authentication, session.authentication);
}

async fn a_removed_app_leaves_no_code_and_one_session(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let other = new_session(ada);
    let version = version(store, ada).await;
    assert!(store.sign_in(version, &other, &[], sign_in_events()).await.unwrap().value.is_some());
    let lowered = ContinuedSession { authentication: session.authentication.without_codes(), ..raised(&session) };
    assert_eq!(
        store.remove_totp(&raised(&new_session(ada)), NOW, event()).await.unwrap().value,
        Err(FactorRefused::Ended)
    );
    assert_eq!(store.remove_totp(&lowered, NOW, event()).await.unwrap().value, Ok(()));
    assert!(!is_live(store, &session).await && !is_live(store, &other).await);
    let (live, _) = store.live_session(lowered.secret_hash, ada, NOW).await.unwrap().unwrap();
    assert_eq!(live.authentication.assurance(), AssuranceLevel::ONE_FACTOR);
    assert_eq!(live.authentication.methods(), AuthenticationMethods::PASSWORD);
    let factors = store.factors_of(ada).await.unwrap().unwrap();
    assert_eq!(factors, Factors { has_password: true, ..Factors::default() });
}

async fn a_reset_removes_all_factors_and_sessions(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let (token, before) = (waits(store, ada).await, version(store, ada).await);
    let _ = store.reset_factors(ada, NOW, event()).await.unwrap();
    assert!(!is_live(store, &session).await);
    assert_eq!(store.factors_of(ada).await.unwrap(), Some(Factors { has_password: true, ..Factors::default() }));
    assert_eq!(version(store, ada).await.0, before.0 + 1);
    assert_eq!(completes(store, &token, step(101)).await, Err(FactorRefused::Ended));
}

async fn new_recovery_codes_replace_the_former_ones(store: &Store) {
    let (ada, session) = ada_with_app(store).await;
    let new = [code(7), code(8)];
    assert!(!store.replace_recovery_codes(new_session(ada).owned(), &new, event()).await.unwrap(), "no such session");
    assert!(store.has_recovery_code(ada, code(1)).await.unwrap());
    assert!(store.replace_recovery_codes(session.owned(), &new, event()).await.unwrap());
    for (number, works) in [(1, false), (2, false), (3, false), (7, true), (8, true)] {
        assert_eq!(store.has_recovery_code(ada, code(number)).await.unwrap(), works, "{number}");
    }
}

async fn a_first_confirmation_of_the_address_removes_factors(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let token = NewOneTimeToken { purpose: OneTimePurpose::VerifyEmail, ..pending(ada, NOW) };
    let reset = NewOneTimeToken { purpose: OneTimePurpose::ResetPassword, ..pending(ada, NOW) };
    store.store_token(&token, event()).await.unwrap();
    let used = TokenUse { id: token.id, now: NOW };
    assert!(store.verify_email_by_token(used, None, &reset, event()).await.unwrap().value.is_some());
    assert_eq!(store.factors_of(ada).await.unwrap(), Some(Factors::default()), "another person may have set them up");
}

async fn secrets_that_another_key_has_sealed_are_found(store: &Store) {
    let (ada, _) = ada_with_app(store).await;
    let first = UserId::from_uuid(Uuid::nil());
    assert!(store.totp_not_sealed_by(*b"key2", ada, 10).await.unwrap().is_empty(), "none comes after");
    assert!(store.totp_not_sealed_by(*b"key1", first, 10).await.unwrap().is_empty());
    assert_eq!(store.totp_not_sealed_by(*b"key2", first, 10).await.unwrap(), [(ada, SEALED.to_vec())]);
    store.replace_sealed_totp(ada, b"a secret that has changed", b"key2 anew").await.unwrap();
    assert_eq!(store.totp_of(ada).await.unwrap().unwrap().sealed, SEALED);
    store.replace_sealed_totp(ada, SEALED, b"key2 anew").await.unwrap();
    assert!(store.totp_not_sealed_by(*b"key2", first, 10).await.unwrap().is_empty());
}

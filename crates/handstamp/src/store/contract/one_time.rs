//! The contract of one-time tokens and of the acts that they allow.

use handstamp_core::{AttemptKey, OneTimeId, OneTimePurpose};

use super::*;
use crate::model::{BrowserHash, NewOneTimeToken, NewOutboxMessage, OutboxChannel, OutboxKind, OutboxMessage};
use crate::store::{TokenUse, Verified};

laws! {
    a_token_is_found_by_its_purpose_until_it_expires
    a_newer_token_of_a_user_and_purpose_replaces_the_older
    a_token_to_undo_a_change_of_the_address_outlives_newer_ones_and_a_reset
    one_of_many_concurrent_resets_succeeds
    a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address
    a_disabled_account_cannot_be_reset
    a_sign_in_during_a_reset_leaves_no_session_of_the_old_password
    a_verification_in_the_browser_of_the_account_keeps_it
    a_first_verification_elsewhere_empties_the_account
    a_second_verification_changes_nothing
    a_token_about_a_former_address_is_worthless
    a_registration_is_confirmed_once
    an_invitation_takes_over_unverified_accounts_only
    a_confirmed_address_replaces_the_former_one_and_keeps_one_session
    an_address_that_is_taken_meanwhile_is_not_changed
    the_former_address_returns_unless_it_is_taken
    a_code_signs_in_once_and_verifies_the_address
    a_token_allows_as_many_codes_as_are_counted
    a_request_is_bound_to_its_user_by_its_first_preparation
    a_request_that_a_newer_one_has_replaced_is_out_of_date
    expired_tokens_are_purged
    the_messages_of_a_deleted_user_are_deleted
}

const LATER: Timestamp = NOW.after(Duration::from_secs(600));

pub(super) fn token(purpose: OneTimePurpose, user_id: Option<UserId>, address: &str) -> NewOneTimeToken {
    NewOneTimeToken {
        id: OneTimeId::from_bytes(unique().into_bytes()),
        purpose,
        user_id,
        email: email(address),
        content: String::new(),
        browser: None,
        created_at: NOW,
        expires_at: LATER,
    }
}

async fn stored(store: &Store, purpose: OneTimePurpose, user_id: Option<UserId>, address: &str) -> NewOneTimeToken {
    let token = token(purpose, user_id, address);
    store.store_token(&token, event()).await.unwrap();
    token
}

fn used(token: &NewOneTimeToken) -> TokenUse {
    TokenUse { id: token.id, now: NOW }
}

async fn is_there(store: &Store, token: &NewOneTimeToken) -> bool {
    store.token(token.id, token.purpose, NOW).await.unwrap().is_some()
}

/// Ada, whose address is verified.
async fn verified_ada(store: &Store) -> (UserId, NewSession) {
    let (id, session) = ada(store).await;
    let _ = store.verify_email(id, NOW, event()).await.unwrap();
    (id, session)
}

fn message(kind: OutboxKind, user_id: Option<UserId>, token: Option<&NewOneTimeToken>) -> NewOutboxMessage {
    NewOutboxMessage {
        id: unique(),
        kind,
        user_id,
        recipient: "ada@example.com".to_owned(),
        content: "{}".to_owned(),
        token_id: token.map(|token| token.id),
        created_at: NOW,
    }
}

async fn claimed(store: &Store, now: Timestamp) -> Option<OutboxMessage> {
    store
        .claim_message(OutboxChannel::Mail, now, Duration::from_secs(3600), now.after(Duration::from_secs(60)))
        .await
        .unwrap()
}

async fn a_token_is_found_by_its_purpose_until_it_expires(store: &Store) {
    let (id, _) = ada(store).await;
    let browser = BrowserHash([7; 32]);
    let mut new = token(OneTimePurpose::SignIn, Some(id), "Ada@Example.com");
    (new.browser, new.content) = (Some(browser), "{\"a\":1}".to_owned());
    store.store_token(&new, event()).await.unwrap();
    let last = Timestamp::from_unix_seconds(LATER.unix_seconds() - 1);
    for found in [
        store.token(new.id, new.purpose, last).await.unwrap(),
        store.token_of(id, new.purpose, last).await.unwrap(),
        store.token_of_browser(browser, new.purpose, last).await.unwrap(),
    ] {
        let found = found.unwrap();
        assert_eq!((found.id, found.user_id, found.email.as_str()), (new.id, Some(id), "Ada@example.com"));
        assert_eq!((found.browser, found.content), (Some(browser), new.content.clone()));
    }
    assert!(store.token(new.id, OneTimePurpose::ResetPassword, NOW).await.unwrap().is_none());
    assert!(!store.reset_password(used(&new), &hash("second"), event()).await.unwrap().value, "it is for a sign-in");
    assert!(store.token(new.id, new.purpose, LATER).await.unwrap().is_none());
    assert!(store.token_of_browser(BrowserHash([8; 32]), new.purpose, NOW).await.unwrap().is_none());
    let listed = store.tokens_of(id, NOW).await.unwrap();
    assert_eq!((listed.len(), listed[0].purpose, listed[0].expires_at), (1, OneTimePurpose::SignIn, LATER));
}

async fn a_newer_token_of_a_user_and_purpose_replaces_the_older(store: &Store) {
    let (id, _) = ada(store).await;
    let first = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let other = stored(store, OneTimePurpose::ChangeEmail, Some(id), "ada@new.example").await;
    let second = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    assert!(!is_there(store, &first).await && is_there(store, &second).await && is_there(store, &other).await);
}

async fn a_token_to_undo_a_change_of_the_address_outlives_newer_ones_and_a_reset(store: &Store) {
    let (id, _) = verified_ada(store).await;
    let first = stored(store, OneTimePurpose::UndoEmailChange, Some(id), "ada@old.example").await;
    let second = stored(store, OneTimePurpose::UndoEmailChange, Some(id), "ada@older.example").await;
    let change = stored(store, OneTimePurpose::ChangeEmail, Some(id), "ada@new.example").await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    assert!(store.reset_password(used(&reset), &hash("second"), event()).await.unwrap().value);
    assert!(is_there(store, &first).await && is_there(store, &second).await);
    assert!(!is_there(store, &change).await, "it was asked for by a session that has ended");
}

async fn one_of_many_concurrent_resets_succeeds(store: &Store) {
    let (id, _) = verified_ada(store).await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let new = hash("second");
    let resets = all_at_once((0..20).map(|_| store.reset_password(used(&reset), &new, event()))).await;
    assert_eq!(resets.into_iter().filter(|done| done.as_ref().is_ok_and(|done| done.value)).count(), 1);
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().version, ANOTHER, "changed once");
}

async fn a_reset_ends_sessions_and_tokens_and_counts_and_verifies_the_address(store: &Store) {
    let (id, session) = ada(store).await;
    let change = stored(store, OneTimePurpose::ChangeEmail, Some(id), "ada@new.example").await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let limit = handstamp_core::Limit::per_device(1).unwrap();
    for key in [AttemptKey::account(&email("ada@example.com")), AttemptKey::user(id)] {
        store.count_attempt(&[(key, limit)], NOW).await.unwrap().unwrap();
    }
    let done = store.reset_password(used(&reset), &hash("second"), event()).await.unwrap();
    assert!(done.value && done.position.is_some(), "every node has to apply it");
    assert!(!is_live(store, &session).await && !is_there(store, &change).await && !is_there(store, &reset).await);
    assert!(store.user_by_id(id, NOW).await.unwrap().unwrap().email_verified);
    let credentials = store.credentials_by_id(id).await.unwrap().unwrap();
    assert_eq!(
        (credentials.password_hash, credentials.changed_at, credentials.version),
        (Some(hash("second")), Some(NOW), ANOTHER)
    );
    assert_eq!(count(store, "SELECT COUNT(*) FROM attempts").await, 0);
    assert!(!store.reset_password(used(&reset), &hash("third"), event()).await.unwrap().value);
    let expired = TokenUse { id: stored(store, reset.purpose, Some(id), "ada@example.com").await.id, now: LATER };
    assert!(!store.reset_password(expired, &hash("third"), event()).await.unwrap().value);
}

async fn a_disabled_account_cannot_be_reset(store: &Store) {
    let (id, _) = verified_ada(store).await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let _ = store.set_disabled(id, Some(NOW), MayGo, event()).await.unwrap();
    assert!(!store.reset_password(used(&reset), &hash("second"), event()).await.unwrap().value);
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, Some(hash("first")));
}

async fn a_sign_in_during_a_reset_leaves_no_session_of_the_old_password(store: &Store) {
    let (id, _) = verified_ada(store).await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let sessions: Vec<_> = (0..10).map(|_| new_session(id)).collect();
    let new = hash("second");
    let signing_in = all_at_once(sessions.iter().map(|session| store.sign_in(FIRST, session, &[], sign_in_events())));
    let (_, done) = tokio::join!(signing_in, store.reset_password(used(&reset), &new, event()));
    assert!(done.unwrap().value);
    for session in &sessions {
        assert!(!is_live(store, session).await);
    }
}

async fn a_verification_in_the_browser_of_the_account_keeps_it(store: &Store) {
    let (id, session) = ada(store).await;
    let verify = stored(store, OneTimePurpose::VerifyEmail, Some(id), "ada@example.com").await;
    let reset = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
    let done = store.verify_email_by_token(used(&verify), Some(id), &reset, event()).await.unwrap();
    assert_eq!((done.value, done.position.is_some()), (Some(Verified::Kept), true));
    assert!(is_live(store, &session).await && store.user_by_id(id, NOW).await.unwrap().unwrap().email_verified);
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().version, FIRST);
    assert!(!is_there(store, &reset).await);
    let again = store.verify_email_by_token(used(&verify), Some(id), &reset, event()).await.unwrap();
    assert_eq!((again.value, again.position), (None, None), "the token is used");
}

async fn a_first_verification_elsewhere_empties_the_account(store: &Store) {
    let (id, session) = ada(store).await;
    let pending = stored(store, OneTimePurpose::ChangeEmail, Some(id), "eve@example.com").await;
    let undo = stored(store, OneTimePurpose::UndoEmailChange, Some(id), "eve@example.com").await;
    for keep in [None, Some(new_user("eve@example.com").id)] {
        let _ = execute(store, "UPDATE users SET email_verified_at = NULL").await;
        let verify = stored(store, OneTimePurpose::VerifyEmail, Some(id), "ada@example.com").await;
        let reset = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
        let done = store.verify_email_by_token(used(&verify), keep, &reset, event()).await.unwrap();
        assert_eq!((done.value, done.position.is_some()), (Some(Verified::Emptied), true));
        assert!(!is_live(store, &session).await && is_there(store, &reset).await);
        assert!(!is_there(store, &pending).await && !is_there(store, &undo).await);
        let credentials = store.credentials_by_id(id).await.unwrap().unwrap();
        assert_eq!((credentials.password_hash, credentials.changed_at), (None, Some(NOW)));
        assert_ne!(credentials.version, FIRST);
    }
}

async fn a_second_verification_changes_nothing(store: &Store) {
    let (id, session) = verified_ada(store).await;
    let verify = stored(store, OneTimePurpose::VerifyEmail, Some(id), "ada@example.com").await;
    let reset = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
    let done = store.verify_email_by_token(used(&verify), None, &reset, event()).await.unwrap();
    assert_eq!((done.value, done.position), (Some(Verified::Before), None));
    assert!(is_live(store, &session).await && !is_there(store, &reset).await && !is_there(store, &verify).await);
}

async fn a_token_about_a_former_address_is_worthless(store: &Store) {
    let (id, _) = ada(store).await;
    let verify = stored(store, OneTimePurpose::VerifyEmail, Some(id), "ada@old.example").await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@old.example").await;
    assert!(!store.reset_password(used(&reset), &hash("second"), event()).await.unwrap().value);
    let next = token(OneTimePurpose::ResetPassword, Some(id), "ada@old.example");
    let done = store.verify_email_by_token(used(&verify), Some(id), &next, event()).await.unwrap();
    assert_eq!(done.value, None);
    assert!(!store.user_by_id(id, NOW).await.unwrap().unwrap().email_verified);
}

async fn a_registration_is_confirmed_once(store: &Store) {
    let purpose = OneTimePurpose::ConfirmRegistration;
    let pending = stored(store, purpose, None, "ada@example.com").await;
    let other = stored(store, purpose, None, "ADA@example.com").await;
    let mut user = new_user("ada@example.com");
    user.email_verified_at = Some(NOW);
    let session = new_session(user.id);
    let done = store.confirm_registration(used(&pending), &user, Some(&session), &[], event()).await.unwrap();
    assert_eq!(done.value, Some(Ok(())));
    assert!(is_live(store, &session).await && !is_there(store, &other).await, "the other registrations end");
    let again = store.confirm_registration(used(&pending), &user, Some(&session), &[], event()).await.unwrap();
    assert_eq!(again.value, None);
    let late = stored(store, purpose, None, "ada@example.com").await;
    let mut second = new_user("ada@example.com");
    second.token = Some(token(OneTimePurpose::ResetPassword, Some(second.id), "ada@example.com"));
    let taken = store.confirm_registration(used(&late), &second, None, &[], event()).await.unwrap();
    assert_eq!(taken.value, Some(Err(EmailTakenError)));
    assert!(!is_there(store, &late).await);
}

async fn an_invitation_takes_over_unverified_accounts_only(store: &Store) {
    let purpose = OneTimePurpose::AcceptInvitation;
    let (id, eves) = ada(store).await;
    let invitation = stored(store, purpose, None, "ada@example.com").await;
    let mut user = new_user("ada@example.com");
    (user.id, user.password_hash) = (id, Some(hash("second")));
    let groups = [GroupName::parse("staff").unwrap()];
    let session = new_session(id);
    let done = store.accept_invitation(used(&invitation), &user, &groups, &session, &[], event()).await.unwrap();
    assert_eq!((done.value, done.position.is_some()), (Some(Ok(())), true));
    assert!(is_live(store, &session).await && !is_live(store, &eves).await);
    let found = store.user_by_id(id, NOW).await.unwrap().unwrap();
    assert_eq!((found.email_verified, found.groups), (true, vec!["staff".to_owned()]));
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, Some(hash("second")));

    let second = stored(store, purpose, None, "ada@example.com").await;
    let taken = store.accept_invitation(used(&second), &user, &[], &new_session(id), &[], event()).await.unwrap();
    assert_eq!(taken.value, Some(Err(EmailTakenError)), "the account is verified by now");
    assert!(is_live(store, &session).await);

    let bob = new_user("bob@example.com");
    let third = stored(store, purpose, None, "bob@example.com").await;
    let bobs = new_session(bob.id);
    let made = store.accept_invitation(used(&third), &bob, &groups, &bobs, &[], event()).await.unwrap();
    assert_eq!(made.value, Some(Ok(())));
    assert!(is_live(store, &bobs).await);
    let again = store.accept_invitation(used(&third), &bob, &groups, &bobs, &[], event()).await.unwrap();
    assert_eq!(again.value, None);
}

async fn a_confirmed_address_replaces_the_former_one_and_keeps_one_session(store: &Store) {
    let (id, session) = verified_ada(store).await;
    let other = one_more(store, id).await;
    let reset = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    let change = stored(store, OneTimePurpose::ChangeEmail, Some(id), "ada@new.example").await;
    let undo = token(OneTimePurpose::UndoEmailChange, Some(id), "ada@example.com");
    let (former, new) = (email("ada@example.com"), email("ada@new.example"));
    let rotated = SessionSecretHash::from_bytes([9; 32]);
    let of_others = (new_session(new_user("eve@example.com").id).owned(), rotated);
    let stolen = store.change_email(used(&change), &former, &new, of_others, event(), None).await.unwrap();
    assert_eq!(stolen.value, None, "the token belongs to its user");
    let kept = (session.owned(), rotated);
    let done = store.change_email(used(&change), &former, &new, kept, event(), Some(&undo)).await.unwrap();
    assert_eq!((done.value, done.position.is_some()), (Some(Ok(())), true));
    assert!(!is_live(store, &session).await && !is_live(store, &other).await && !is_there(store, &reset).await);
    assert!(store.live_session(rotated, id, NOW).await.unwrap().is_some() && is_there(store, &undo).await);
    let user = store.user_by_email(&new, NOW).await.unwrap().unwrap();
    assert_eq!((user.id, user.email.as_str(), user.email_verified), (id, "ada@new.example", true));
    assert!(store.user_by_email(&former, NOW).await.unwrap().is_none());
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().version, ANOTHER);
}

async fn an_address_that_is_taken_meanwhile_is_not_changed(store: &Store) {
    let (id, session) = verified_ada(store).await;
    let change = stored(store, OneTimePurpose::ChangeEmail, Some(id), "bob@example.com").await;
    store.create_user(&new_user("bob@example.com"), None, &[], event()).await.unwrap().value.unwrap();
    let kept = (session.owned(), SessionSecretHash::from_bytes([9; 32]));
    let (former, new) = (email("ada@example.com"), email("bob@example.com"));
    let done = store.change_email(used(&change), &former, &new, kept, event(), None).await.unwrap();
    assert_eq!((done.value, done.position), (Some(Err(EmailTakenError)), None));
    assert!(is_live(store, &session).await && store.user_by_email(&former, NOW).await.unwrap().is_some());
}

async fn the_former_address_returns_unless_it_is_taken(store: &Store) {
    let (id, session) = verified_ada(store).await;
    let undo = stored(store, OneTimePurpose::UndoEmailChange, Some(id), "ada@old.example").await;
    let second = stored(store, OneTimePurpose::UndoEmailChange, Some(id), "ada@older.example").await;
    store.create_user(&new_user("ada@older.example"), None, &[], event()).await.unwrap().value.unwrap();
    let reset = token(OneTimePurpose::ResetPassword, Some(id), "ada@old.example");
    let taken = store.undo_email_change(used(&second), &reset, event()).await.unwrap();
    assert_eq!(taken.value, Some(Err(EmailTakenError)));
    assert!(is_live(store, &session).await);
    let done = store.undo_email_change(used(&undo), &reset, event()).await.unwrap();
    assert_eq!((done.value, done.position.is_some()), (Some(Ok(())), true));
    let user = store.user_by_email(&email("ada@old.example"), NOW).await.unwrap().unwrap();
    assert_eq!((user.id, user.email_verified), (id, true));
    assert!(!is_live(store, &session).await && is_there(store, &reset).await && !is_there(store, &second).await);
    assert_eq!(store.credentials_by_id(id).await.unwrap().unwrap().password_hash, None);
}

async fn a_code_signs_in_once_and_verifies_the_address(store: &Store) {
    let (id, eves) = ada(store).await;
    let code = stored(store, OneTimePurpose::SignIn, Some(id), "ada@example.com").await;
    let (first, second) = (new_session(id), new_session(id));
    let stale = store.sign_in_by_token(used(&code), ANOTHER, &first, &[], sign_in_events()).await.unwrap();
    assert_eq!(stale.value, None, "the credentials were changed meanwhile");
    assert!(is_there(store, &code).await, "nothing was done");
    let done = store.sign_in_by_token(used(&code), FIRST, &first, &[], sign_in_events()).await.unwrap();
    assert_eq!((done.value, done.position.is_some()), (Some(0), true));
    assert!(is_live(store, &first).await && !is_live(store, &eves).await);
    assert!(store.user_by_id(id, NOW).await.unwrap().unwrap().email_verified);
    let version = store.credentials_by_id(id).await.unwrap().unwrap().version;
    let again = store.sign_in_by_token(used(&code), version, &second, &[], sign_in_events()).await.unwrap();
    assert_eq!(again.value, None);
    let next = stored(store, OneTimePurpose::SignIn, Some(id), "ada@example.com").await;
    let done = store.sign_in_by_token(used(&next), version, &second, &[], sign_in_events()).await.unwrap();
    assert_eq!(done.value, Some(0));
    assert!(is_live(store, &first).await, "a verified account is as it was");
    let third = new_session(id);
    let again = store.sign_in_by_token(used(&next), version, &third, &[], sign_in_events()).await.unwrap();
    assert!(again.value.is_none() && !is_live(store, &third).await);
}

async fn a_token_allows_as_many_codes_as_are_counted(store: &Store) {
    let (id, _) = ada(store).await;
    let code = stored(store, OneTimePurpose::SignIn, Some(id), "ada@example.com").await;
    let counted = all_at_once((0..20).map(|_| store.count_code(code.id, 5))).await;
    assert_eq!(counted.into_iter().filter(|counted| *counted.as_ref().unwrap()).count(), 5);
    assert!(!is_there(store, &code).await);
    assert!(!store.count_code(code.id, 5).await.unwrap());
}

async fn a_request_is_bound_to_its_user_by_its_first_preparation(store: &Store) {
    let (id, _) = ada(store).await;
    let new = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
    store.enqueue(&message(OutboxKind::ResetRequest, None, Some(&new))).await.unwrap();
    let first = claimed(store, NOW).await.unwrap();
    assert_eq!((first.user_id, first.attempts), (None, 1));
    assert!(store.prepare_token(&first, Some(&new), LATER).await.unwrap());
    // The next try has the same token, which is valid for longer.
    let second = claimed(store, LATER).await.unwrap();
    assert_eq!((second.user_id, second.attempts), (Some(id), 2));
    let longer = LATER.after(Duration::from_secs(60));
    assert!(store.prepare_token(&second, Some(&new), longer).await.unwrap());
    assert!(store.token(new.id, new.purpose, LATER).await.unwrap().is_some());
    // Once the token was used, a later try sends no mail.
    let now = TokenUse { id: new.id, now: LATER };
    assert!(store.reset_password(now, &hash("second"), event()).await.unwrap().value);
    assert!(!store.prepare_token(&second, Some(&new), longer).await.unwrap());
    assert!(store.token(new.id, new.purpose, NOW).await.unwrap().is_none());
}

async fn a_request_that_a_newer_one_has_replaced_is_out_of_date(store: &Store) {
    let (id, _) = ada(store).await;
    let old = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
    store.enqueue(&message(OutboxKind::ResetRequest, None, Some(&old))).await.unwrap();
    let mut newer = token(OneTimePurpose::ResetPassword, Some(id), "ada@example.com");
    newer.created_at = NOW.after(Duration::from_secs(1));
    store.store_token(&newer, event()).await.unwrap();
    let request = claimed(store, NOW).await.unwrap();
    assert!(!store.prepare_token(&request, Some(&old), LATER).await.unwrap());
    assert!(is_there(store, &newer).await && !is_there(store, &old).await);
}

async fn expired_tokens_are_purged(store: &Store) {
    let (id, _) = ada(store).await;
    let mut early = token(OneTimePurpose::ChangeEmail, Some(id), "ada@new.example");
    early.expires_at = NOW;
    store.store_token(&early, event()).await.unwrap();
    let late = stored(store, OneTimePurpose::ResetPassword, Some(id), "ada@example.com").await;
    assert_eq!(store.purge_tokens(NOW, 10).await.unwrap(), 1);
    assert_eq!(store.purge_tokens(NOW, 10).await.unwrap(), 0);
    assert!(is_there(store, &late).await);
    assert_eq!(store.purge_tokens(LATER, 10).await.unwrap(), 1);
}

async fn the_messages_of_a_deleted_user_are_deleted(store: &Store) {
    let (id, _) = ada(store).await;
    let verify = stored(store, OneTimePurpose::VerifyEmail, Some(id), "ada@example.com").await;
    store.enqueue(&message(OutboxKind::VerifyEmail, Some(id), Some(&verify))).await.unwrap();
    let goodbye = message(OutboxKind::AccountDeleted, None, None);
    let deletion = event().with_message(Some(goodbye.clone()));
    let _ = store.delete_user(id, MayGo, deletion).await.unwrap();
    assert!(!is_there(store, &verify).await);
    assert_eq!(claimed(store, NOW).await.unwrap().id, goodbye.id);
    assert!(claimed(store, NOW).await.is_none());
}

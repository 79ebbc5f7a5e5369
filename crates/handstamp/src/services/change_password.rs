//! Changes or sets the password of a signed-in user, and handles a form that was submitted twice.

use handstamp_core::{AssuranceLevel, AttemptKey, Password, PasswordPolicy, Timestamp};

use super::hashing::{Share, Verification};
use super::mail::MessageContent;
use super::throttle::PasswordAttempt;
use super::{ActError, SENT_TWICE_WITHIN, Services, SignInCookies, parse_new_password};
use crate::context::{ClientInfo, Context};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{Credentials, CredentialsVersion, Field, FieldErrors, Message, OutboxKind, OwnedSession};
use crate::sessions::{PresentedSessions, Session};

/// A request to change the password, or to set the first one.
pub(crate) struct ChangePasswordRequest {
    /// It does not matter if the user has no password yet.
    pub(crate) current: Password,
    pub(crate) new: Password,
}

impl ChangePasswordRequest {
    /// Parses the fields of a change of password. The new one is checked as far as that needs no waiting.
    ///
    /// # Errors
    /// What is wrong with each field. A current password that is longer than any is just a wrong one.
    pub(crate) fn parse(current: &str, new: &str, policy: &PasswordPolicy) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let current = Password::parse(current).map_err(|_| Message::WrongCurrentPassword);
        let current = errors.check(Field::CurrentPassword, current);
        let new = errors.check(Field::Password, parse_new_password(new, policy));
        match (current, new) {
            (Some(current), Some(new)) => Ok(Self { current, new }),
            _ => Err(errors),
        }
    }
}

impl Services {
    /// Changes the password, revokes all other sessions and gives this one a new token. All earlier device cookies of the account
    /// become invalid; this browser gets a new one. A user who has no password sets one.
    ///
    /// # Errors
    /// [`ReauthenticationRequired`](ActError::ReauthenticationRequired) if there is no password, and the user has not authenticated
    /// within `session.confirm_after`.
    pub(crate) async fn change_password(
        &self,
        context: &Context,
        session: &Session,
        request: ChangePasswordRequest,
    ) -> Result<SignInCookies, ActError> {
        let client = &context.client;
        let share = Share { network: client.network, account: AttemptKey::user(session.user.id) };
        // The second try is for credentials that were changed between our read and our write.
        for _ in 0..2 {
            let (checked, authenticated_at) =
                self.check_current(session, client, share, request.current.clone()).await?;
            let permit = self.hashing.reserve(share).await?;
            let new =
                self.hash_new_password(permit, request.new.clone(), session.user.name(), session.user.email()).await?;
            let new = match new {
                Ok(new) => new,
                Err(refusal) => {
                    self.count_refused_password(session).await?;
                    return Err(ActError::field(Field::Password, refusal));
                }
            };
            let (rotated, token) = self.sessions.rotate_secret(session);
            let (ids, now) = ((session.secret_hash, rotated), self.sessions.now());
            let times = (now, authenticated_at);
            let event = Event::AuthnPasswordChange { user: session.user.id };
            let content = MessageContent::of(context, session.user.name());
            let (user, kind) = (&session.user, OutboxKind::PasswordChanged);
            let notice = self.notice(kind, Some(user.id), user.email(), &content);
            let entry = self.new_event(context, &event).with_message(notice);
            let changed = self.store.change_password(user.id, checked, &new, ids, times, entry).await?;
            if self.sessions.wait_until_applied(changed).await? {
                self.outbox_changed();
                self.record(context, &event);
                let session = OwnedSession { secret_hash: rotated, user_id: session.user.id };
                return Ok(self.complete_sign_in(session, Some(now), token, client));
            }
        }
        Err(ActError::SignedOut)
    }

    /// Checks the current password, or that the user may set the first one. Returns the version of the credentials that were checked, and
    /// when the session was authenticated: the password alone is no authentication of a session that rests on more.
    async fn check_current(
        &self,
        session: &Session,
        client: &ClientInfo,
        share: Share,
        password: Password,
    ) -> Result<(CredentialsVersion, Timestamp), ActError> {
        let user = session.user.id;
        let account = self.store.credentials_by_id(user).await?.ok_or(ActError::SignedOut)?;
        let before = session.authentication;
        if account.password_hash.is_none() {
            return if self.is_fresh(session) {
                Ok((account.version, before.at()))
            } else {
                Err(ActError::ReauthenticationRequired)
            };
        }
        let permit = self.hashing.reserve(share).await?;
        let attempt = PasswordAttempt::Reauthenticate { session, client };
        if let Verification::Invalid =
            self.check_password(permit, &attempt, account.stored_password(), password).await?
        {
            Event::AuthnPasswordChangeFail { user }.record();
            return Err(ActError::field(Field::CurrentPassword, Message::WrongCurrentPassword));
        }
        let rests_on_more = before.assurance() > AssuranceLevel::ONE_FACTOR;
        Ok((account.version, if rests_on_more { before.at() } else { self.sessions.now() }))
    }

    /// Signs in with the new password if the session that the request shows has just ended by a change of password. Of a form that
    /// is submitted twice, as by a double click, the first has changed the password and replaced the session. The session of the
    /// first lives on, as the browser may have kept its cookie. Returns none if there was no such change.
    pub(crate) async fn sign_in_after_change(
        &self,
        context: &Context,
        presented: &PresentedSessions,
        password: Password,
    ) -> Result<Option<SignInCookies>, InternalError> {
        let Some((former, account)) = self.former_session(presented).await? else { return Ok(None) };
        let now = self.sessions.now();
        let has_just_changed = |at: Timestamp| now.since(at) < SENT_TWICE_WITHIN;
        if !account.changed_at.is_some_and(has_just_changed) {
            return Ok(None);
        }
        self.sign_in_resubmitted(context, presented, former, &account, password).await
    }

    /// Whether the password of the signed-in user was changed to this one a moment ago. Of a form that is submitted twice, the second may
    /// come with the cookie of the answer to the first.
    pub(crate) async fn has_just_changed_to(
        &self,
        context: &Context,
        session: &Session,
        password: Password,
    ) -> Result<bool, ActError> {
        let account = self.store.credentials_by_id(session.user.id).await?;
        let is_recent = |at: Timestamp| self.sessions.now().since(at) < SENT_TWICE_WITHIN;
        let account = account.filter(|account| account.changed_at.is_some_and(is_recent));
        let Some(account) = account.filter(|account| account.password_hash.is_some()) else { return Ok(false) };
        let client = &context.client;
        let share = Share { network: client.network, account: AttemptKey::user(session.user.id) };
        let permit = self.hashing.reserve(share).await?;
        let attempt = PasswordAttempt::Reauthenticate { session, client };
        let checked = self.check_password(permit, &attempt, account.stored_password(), password).await?;
        Ok(matches!(checked, Verification::Valid { .. }))
    }

    /// Signs in with the password if the session that the request shows has just ended because its user authenticated again. Of a form
    /// that is submitted twice, the first has given the session a new secret. Returns none if there was no such act.
    pub(crate) async fn sign_in_after_confirmation(
        &self,
        context: &Context,
        presented: &PresentedSessions,
        password: &str,
    ) -> Result<Option<SignInCookies>, InternalError> {
        let Some((former, account)) = self.former_session(presented).await? else { return Ok(None) };
        let since = self.sessions.now().before(SENT_TWICE_WITHIN);
        let Ok(password) = Password::parse(password) else { return Ok(None) };
        if !self.store.has_authenticated_since(former.user_id, since).await? {
            return Ok(None);
        }
        self.sign_in_resubmitted(context, presented, former, &account, password).await
    }

    /// The only session that a request shows, if it has ended, and the account of its user, if it is enabled.
    async fn former_session(
        &self,
        presented: &PresentedSessions,
    ) -> Result<Option<(OwnedSession, Credentials)>, InternalError> {
        let [former] = *presented.sessions.as_slice() else { return Ok(None) };
        if self.store.live_session(former.secret_hash, former.user_id, self.sessions.now()).await?.is_some() {
            return Ok(None);
        }
        let account = self.store.credentials_by_id(former.user_id).await?;
        Ok(account.filter(|account| !account.disabled).map(|account| (former, account)))
    }

    /// Begins a session in place of one that has ended. Callers check that it ended a moment ago. Otherwise an attacker with the token
    /// of an ended session could use up the owner's share of the daily limit.
    async fn sign_in_resubmitted(
        &self,
        context: &Context,
        presented: &PresentedSessions,
        former: OwnedSession,
        account: &Credentials,
        password: Password,
    ) -> Result<Option<SignInCookies>, InternalError> {
        let user_id = former.user_id;
        if self.needs_second_factor(account).await? {
            // The password alone begins no session, and the browser may have kept the cookie of the first form.
            return Ok(None);
        }
        if account.password_hash.is_none() {
            return Ok(None);
        }
        let client = &context.client;
        let share = Share { network: client.network, account: AttemptKey::user(user_id) };
        let permit = self.hashing.reserve(share).await?;
        let stored = account.stored_password();
        match self.check_password(permit, &PasswordAttempt::Resubmitted(former), stored, password).await {
            Ok(Verification::Valid { .. }) => {}
            Err(ActError::Internal(error)) => return Err(error),
            Ok(Verification::Invalid) | Err(_) => return Ok(None),
        }
        let (session, token) = self.sessions.begin(user_id, self.session_lifetime(presented.remembered), client);
        let events = self.sign_in_events(context, &session, None);
        let begun = self.store.sign_in(account.version, &session, &presented.sessions, events).await?;
        let Some(unused) = self.sessions.wait_until_applied(begun).await? else { return Ok(None) };
        self.record_sign_in(context, user_id, unused);
        Ok(Some(self.complete_sign_in(session.owned(), account.devices_void_until, token, client)))
    }
}

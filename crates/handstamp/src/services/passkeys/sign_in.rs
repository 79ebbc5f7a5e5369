//! Signs a user in by a passkey alone.

use handstamp_core::{AssuranceLevel, Authentication, AuthenticationMethods, EmailAddress, UserId};
use uuid::Uuid;

use super::check::CheckedPasskey;
use super::webauthn::{Purpose, Refusal, UserVerification};
use super::{CeremonyOptions, PasskeyAnswer};
use crate::context::Context;
use crate::model::{Field, OwnedSession};
use crate::services::{ActError, Services, SignInCookies};

/// A passkey whose authenticator has verified the user: two factors in one.
pub(super) const VERIFIED_PASSKEY: AuthenticationMethods = AuthenticationMethods::POSSESSION_OF_KEY
    .and(AuthenticationMethods::USER_PRESENCE)
    .and(AuthenticationMethods::MULTIPLE_FACTORS);

impl Services {
    /// Options to sign in: with an address by one of the passkeys of its account, otherwise by any that the browser has. An address
    /// without an account, or without passkeys, is answered with decoys, after the same work.
    pub(crate) async fn begin_passkey_sign_in(&self, email: Option<&str>) -> Result<CeremonyOptions, ActError> {
        let ceremonies = self.ceremonies()?;
        let begin = |user, allowed| {
            let (now, required) = (self.sessions.now(), UserVerification::Required);
            ceremonies.begin_authentication(&self.environment, now, Purpose::SignIn, user, allowed, required)
        };
        let Some(email) = email else { return Ok(begin(None, Vec::new())) };
        let email = EmailAddress::parse(email).map_err(|error| ActError::field(Field::Email, error))?;
        let decoys = ceremonies.decoys(&email);
        let (user, passkeys) = self.store.credential_ids_by_email(&email).await?;
        Ok(match user.filter(|_| !passkeys.is_empty()) {
            Some(user) => begin(Some(user), passkeys),
            None => begin(Some(UserId::from_uuid(Uuid::nil())), decoys),
        })
    }

    /// Begins a session by a passkey whose authenticator has verified the user, and revokes the earlier sessions of this browser.
    pub(crate) async fn sign_in_by_passkey(
        &self,
        context: &Context,
        answer: &PasskeyAnswer,
        remember: bool,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        let client = &context.client;
        let attempt = self.attempt_passkey(context, Purpose::SignIn, answer).await?;
        let mut changed = None;
        // The second try is for a passkey or an account that was changed between our read and our write.
        for _ in 0..2 {
            let CheckedPasskey { account, verified } = attempt.check().await?;
            let user = account.user_id;
            let (mut session, token) = self.sessions.begin(user, self.session_lifetime(remember), client);
            session.authentication =
                Authentication::new(VERIFIED_PASSKEY, AssuranceLevel::PHISHING_RESISTANT, session.created_at);
            let notice = self.new_device_notice(context, user).await?;
            let events = self.sign_in_events(context, &session, notice);
            let signed = self
                .store
                .sign_in_by_passkey(&verified.used, account.version, &session, previous_sessions, events)
                .await?;
            let signed = self.sessions.wait_until_applied(signed).await?;
            if let Some(unused) = attempt.settle(user, signed).await? {
                self.outbox_changed();
                self.record_sign_in(context, user, unused);
                return Ok(self.complete_sign_in(session.owned(), account.devices_void_until, token, client));
            }
            changed = Some(user);
        }
        Err(self.refuse_passkey(changed, Refusal::Changed).await?)
    }
}

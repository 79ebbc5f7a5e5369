//! Has a signed-in user authenticate again by a passkey.

use handstamp_core::{AssuranceLevel, Authentication, AuthenticationMethods};

use super::check::CheckedPasskey;
use super::sign_in::VERIFIED_PASSKEY;
use super::webauthn::{Purpose, Refusal, UserVerification};
use super::{CeremonyOptions, PasskeyAnswer};
use crate::context::Context;
use crate::events::Event;
use crate::services::{ActError, Services};
use crate::sessions::{IssuedToken, Session};

impl Services {
    /// Options to authenticate again by a passkey of the signed-in user. A session that rests on a verified user asks for that again.
    pub(crate) async fn begin_passkey_confirmation(&self, session: &Session) -> Result<CeremonyOptions, ActError> {
        let ceremonies = self.ceremonies()?;
        let (user, now) = (session.user.id, self.sessions.now());
        let passkeys = self.store.passkeys_of(user).await?;
        let allowed = passkeys.into_iter().map(|passkey| passkey.credential_id).collect();
        let verification = if session.authentication.assurance() >= AssuranceLevel::PHISHING_RESISTANT {
            UserVerification::Required
        } else {
            UserVerification::Preferred
        };
        let purpose = Purpose::Confirm(session.secret_hash);
        Ok(ceremonies.begin_authentication(&self.environment, now, purpose, Some(user), allowed, verification))
    }

    /// Checks a passkey of the signed-in user. The session goes on under a new secret, and under a new id if its level rises.
    pub(crate) async fn confirm_by_passkey(
        &self,
        context: &Context,
        session: &Session,
        answer: &PasskeyAnswer,
    ) -> Result<IssuedToken, ActError> {
        let user = session.user.id;
        let attempt = self.attempt_passkey(context, Purpose::Confirm(session.secret_hash), answer).await?;
        for _ in 0..2 {
            let CheckedPasskey { account, verified } = attempt.check().await?;
            if account.user_id != user {
                return Err(self.refuse_passkey(Some(user), Refusal::User).await?);
            }
            let authentication = raised(session.authentication, verified.user_verified, self.sessions.now());
            let (continued, token) = self.sessions.continue_as(session, authentication);
            let event = Event::AuthnReauthentication { user };
            let entry = self.new_event(context, &event);
            let done = self.store.confirm_by_passkey(&verified.used, &continued, entry).await?;
            let done = self.sessions.wait_until_applied(done).await?;
            if attempt.settle(user, done).await?.is_some() {
                self.record(context, &event);
                return Ok(token);
            }
        }
        // The session has ended.
        Err(ActError::SignedOut)
    }
}

/// An authentication whose user has shown a passkey as well. A passkey with a verified user is phishing-resistant by itself. Another one
/// is a second factor beside a password or a code, and adds nothing to a session without one.
pub(super) fn raised(before: Authentication, user_verified: bool, now: handstamp_core::Timestamp) -> Authentication {
    use AuthenticationMethods as Methods;
    let methods = before.methods();
    if user_verified {
        let level = AssuranceLevel::PHISHING_RESISTANT;
        return Authentication::new(methods.and(VERIFIED_PASSKEY), level, now);
    }
    let firsts = [Methods::PASSWORD, Methods::ONE_TIME_CODE, Methods::FEDERATED];
    if firsts.into_iter().any(|first| methods.contain(first)) {
        let methods = methods.and(Methods::POSSESSION_OF_KEY).and(Methods::MULTIPLE_FACTORS);
        return Authentication::new(methods, before.assurance().max(AssuranceLevel::TWO_FACTORS), now);
    }
    Authentication::new(methods.and(Methods::POSSESSION_OF_KEY), before.assurance(), now)
}

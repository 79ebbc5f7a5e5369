//! Has a signed-in user authenticate again before something sensitive, or to reach a higher assurance level.

use handstamp_core::{AssuranceLevel, AttemptKey, Authentication, AuthenticationMethods, Password};

use super::factors::{CheckedCode, refused_code};
use super::hashing::{Share, Verification};
use super::throttle::PasswordAttempt;
use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::{CodeUse, FactorRefused, Factors, Field, Message};
use crate::sessions::{IssuedToken, Session};

/// The proof by which a user authenticates again.
#[derive(Clone, Copy)]
pub(crate) enum Proof<'a> {
    Password(&'a str),
    /// A code of the authenticator app, or a recovery code.
    Code(&'a str),
}

/// How a user can authenticate again in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaysToConfirm {
    pub(crate) password: bool,
    pub(crate) code: bool,
    pub(crate) passkey: bool,
}

impl Services {
    /// Whether the user of a session has authenticated recently enough for something sensitive.
    pub(crate) fn is_fresh(&self, session: &Session) -> bool {
        self.sessions.now().since(session.authentication.at()) < self.config.session.confirm_after
    }

    /// How the user of a session can authenticate again, to reach at least this level. It is never weaker than the session.
    pub(crate) async fn ways_to_confirm(
        &self,
        session: &Session,
        wanted: AssuranceLevel,
    ) -> Result<WaysToConfirm, ActError> {
        let factors = self.factors_of(session.user.id).await?;
        let level = wanted.max(session.authentication.assurance());
        let has_passkey = self.has_passkey(&factors);
        // Where a second factor is required, the password alone must not lead to the pages that add one, if there is one already.
        let level = if has_passkey { level.max(self.required_assurance(&session.user)) } else { level };
        Ok(WaysToConfirm { passkey: has_passkey, ..ways(factors, level) })
    }

    /// Checks what the signed-in user shows, and gives the session a new token. A code raises its level to 2.
    pub(crate) async fn reauthenticate(
        &self,
        context: &Context,
        session: &Session,
        proof: Proof<'_>,
    ) -> Result<IssuedToken, ActError> {
        let ways = self.ways_to_confirm(session, AssuranceLevel::ONE_FACTOR).await?;
        match proof {
            Proof::Password(_) if !ways.password => {
                Err(ActError::field(if ways.code { Field::Code } else { Field::Password }, Message::FactorRequired))
            }
            Proof::Code(_) if !ways.code => Err(ActError::field(Field::Code, Message::FactorRequired)),
            Proof::Password(password) => self.reauthenticate_by_password(context, session, password).await,
            Proof::Code(code) => self.reauthenticate_by_code(context, session, code).await,
        }
    }

    async fn reauthenticate_by_password(
        &self,
        context: &Context,
        session: &Session,
        password: &str,
    ) -> Result<IssuedToken, ActError> {
        let user = session.user.id;
        let wrong = || ActError::field(Field::Password, Message::WrongPassword);
        let password = Password::parse(password).map_err(|_| wrong())?;
        let account = self.store.credentials_by_id(user).await?;
        let stored = account.map(|account| account.stored_password()).unwrap_or_default();
        let share = Share { network: context.client.network, account: AttemptKey::user(user) };
        let permit = self.hashing.reserve(share).await?;
        let attempt = PasswordAttempt::Reauthenticate { session, client: &context.client };
        if let Verification::Invalid = self.check_password(permit, &attempt, stored, password).await? {
            Event::AuthnReauthenticationFail { user }.record();
            return Err(wrong());
        }
        let before = session.authentication;
        let methods = before.methods().and(AuthenticationMethods::PASSWORD);
        let now = Authentication::new(methods, before.assurance(), self.sessions.now());
        self.continue_reauthenticated(context, session, now, None).await
    }

    async fn reauthenticate_by_code(
        &self,
        context: &Context,
        session: &Session,
        typed: &str,
    ) -> Result<IssuedToken, ActError> {
        let user = &session.user;
        let CheckedCode { code, attempted } = self.check_factor_code(user.id, typed).await?;
        let (used, event) = self.code_use(context, (user.id, user.name(), user.email()), code).await?;
        let now = session.authentication.with_code(self.sessions.now());
        let token = self.continue_reauthenticated(context, session, now, Some(used)).await?;
        self.refund(&attempted).await;
        if let Some(event) = event {
            self.outbox_changed();
            self.record(context, &event);
        }
        Ok(token)
    }

    /// Continues the session of a user who has authenticated again.
    pub(in crate::services) async fn continue_reauthenticated(
        &self,
        context: &Context,
        session: &Session,
        authentication: Authentication,
        used: Option<CodeUse>,
    ) -> Result<IssuedToken, ActError> {
        let user = session.user.id;
        let (continued, token) = self.sessions.continue_as(session, authentication);
        let event = Event::AuthnReauthentication { user };
        let entry = self.new_event(context, &event);
        let done = self.store.reauthenticate(&continued, used, entry).await?;
        self.sessions.wait_until_applied(done).await?.map_err(|refused| match refused {
            FactorRefused::Ended => ActError::SignedOut,
            FactorRefused::CodeUsed => refused_code(user),
        })?;
        self.record(context, &event);
        Ok(token)
    }
}

/// How a user with these factors can authenticate, to reach at least this level.
fn ways(factors: Factors, level: AssuranceLevel) -> WaysToConfirm {
    let has_code = factors.totp_since.is_some();
    WaysToConfirm {
        password: factors.has_password && !has_code && level <= AssuranceLevel::ONE_FACTOR,
        code: has_code && level <= AssuranceLevel::TWO_FACTORS,
        passkey: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handstamp_core::Timestamp;

    #[test]
    fn authenticating_again_is_never_weaker_than_the_session_and_needs_the_second_factor_if_there_is_one() {
        let password = Factors { has_password: true, ..Factors::default() };
        let app = Factors { totp_since: Some(Timestamp::from_unix_seconds(1)), recovery_codes: 10, ..password };
        let levels = [AssuranceLevel::ONE_FACTOR, AssuranceLevel::TWO_FACTORS, AssuranceLevel::PHISHING_RESISTANT];
        let table = |factors| levels.map(|level| (ways(factors, level).password, ways(factors, level).code));
        assert_eq!(table(password), [(true, false), (false, false), (false, false)]);
        assert_eq!(table(app), [(false, true), (false, true), (false, false)]);
        assert_eq!(table(Factors::default()), [(false, false); 3]);
    }
}

//! The assurance level that a site requires of its users: `second_factor.required`.

use handstamp_core::{AssuranceLevel, Authentication};

use super::Services;
use crate::config::SecondFactorRequired;
use crate::internal_error::InternalError;
use crate::model::{Credentials, Message, SessionUser};
use crate::services::ActError;
use crate::sessions::Session;

impl Services {
    /// The assurance level that every session of this user needs, except on the pages that reach it.
    pub(crate) fn required_assurance(&self, user: &SessionUser) -> AssuranceLevel {
        if self.is_factor_required(|group| user.is_in(group)) {
            AssuranceLevel::TWO_FACTORS
        } else {
            AssuranceLevel::ONE_FACTOR
        }
    }

    /// Whether a session may change the factors of its user. Where a second factor is required and the user has one, the session must have
    /// shown it: otherwise an attacker with the password would add a factor of their own.
    pub(crate) async fn may_change_factors(&self, session: &Session) -> Result<bool, ActError> {
        if self.has_required_assurance(&session.user, session.authentication) {
            return Ok(true);
        }
        let factors = self.factors_of(session.user.id).await?;
        Ok(factors.totp_since.is_none() && !self.has_passkey(&factors))
    }

    /// Refuses a change of factors in a session that may make none.
    pub(in crate::services) async fn check_may_change_factors(&self, session: &Session) -> Result<(), ActError> {
        if self.may_change_factors(session).await? { Ok(()) } else { Err(ActError::Forbidden(Message::FactorRequired)) }
    }

    pub(in crate::services) fn is_factor_required(&self, is_in: impl Fn(&str) -> bool) -> bool {
        match &self.config.second_factor.required {
            SecondFactorRequired::Nobody => false,
            SecondFactorRequired::Everybody => true,
            SecondFactorRequired::Groups(groups) => groups.iter().any(|group| is_in(group.as_str())),
        }
    }

    /// Whether the first factor of a sign-in begins no session: the user has an authenticator app, or needs a second factor and has a
    /// passkey. Otherwise a passkey is another way in, and no lock on the password.
    pub(in crate::services) async fn needs_second_factor(&self, account: &Credentials) -> Result<bool, InternalError> {
        if account.has_second_factor {
            return Ok(true);
        }
        if self.config.second_factor.required == SecondFactorRequired::Nobody {
            return Ok(false);
        }
        let factors = self.store.factors_of(account.user_id).await?;
        if !factors.is_some_and(|factors| self.has_passkey(&factors)) {
            return Ok(false);
        }
        let user = self.store.user_by_id(account.user_id, self.sessions.now()).await?;
        let is_in = |group: &str| user.as_ref().is_some_and(|user| user.groups.iter().any(|of| of == group));
        Ok(self.is_factor_required(is_in))
    }

    /// Whether a session has a second factor, if its user needs one.
    pub(crate) fn has_required_assurance(&self, user: &SessionUser, authentication: Authentication) -> bool {
        authentication.assurance() >= self.required_assurance(user)
    }
}

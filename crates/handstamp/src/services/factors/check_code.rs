//! Checks the code of an authenticator app, or a recovery code.

use handstamp_core::{RecoveryCode, TotpSecret, UserId};

use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{CodeUse, Field, Message, RightCode};
use crate::store::CountedAttempt;

/// A code that is right. The act that it allows uses it up, and then refunds the attempt.
pub(in crate::services) struct CheckedCode {
    pub(in crate::services) code: RightCode,
    pub(in crate::services) attempted: Vec<CountedAttempt>,
}

impl Services {
    /// Checks a code of a second factor of this user. The attempt is counted first, for all browsers, sessions and sign-ins together.
    pub(in crate::services) async fn check_factor_code(
        &self,
        user_id: UserId,
        typed: &str,
    ) -> Result<CheckedCode, ActError> {
        let attempted = self.count_factor_code(user_id).await?;
        match self.right_code(user_id, typed).await? {
            Some(code) => Ok(CheckedCode { code, attempted }),
            None => Err(refused_code(user_id)),
        }
    }

    async fn right_code(&self, user_id: UserId, typed: &str) -> Result<Option<RightCode>, InternalError> {
        if let Some(code) = RecoveryCode::parse(typed) {
            let hash = code.hash(user_id);
            return Ok(self.store.has_recovery_code(user_id, hash).await?.then_some(RightCode::Recovery(hash)));
        }
        let Some(stored) = self.store.totp_of(user_id).await?.filter(|stored| stored.confirmed_at.is_some()) else {
            return Ok(None);
        };
        let Some(secret) = self.open_totp(user_id, &stored.sealed) else { return Ok(None) };
        let step = secret.step_of(typed, self.sessions.now()).filter(|step| *step > stored.last_step);
        Ok(step.map(RightCode::Totp))
    }

    /// The use of a right code, with the event of a recovery code and the notice about it.
    pub(in crate::services) async fn code_use(
        &self,
        context: &Context,
        user: (UserId, &str, &str),
        code: RightCode,
    ) -> Result<(CodeUse, Option<Event<'static>>), ActError> {
        if let RightCode::Totp(_) = code {
            return Ok((CodeUse { code, event: None }, None));
        }
        let left = self.factors_of(user.0).await?.recovery_codes.saturating_sub(1);
        let used = Event::RecoveryCodeUsed { user: user.0, left };
        let notice = self.factor_notice(context, user, "recovery_code_used", Some(left));
        let event = Some(self.new_event(context, &used).with_message(notice));
        Ok((CodeUse { code, event }, Some(used)))
    }

    /// The secret of an authenticator app. None if no key of this node has sealed it.
    pub(super) fn open_totp(&self, user_id: UserId, sealed: &[u8]) -> Option<TotpSecret> {
        let opened = self.factor_sealer.open(sealed, user_id.as_uuid().as_bytes());
        let secret = opened.and_then(|opened| opened.value.as_slice().try_into().ok()).map(TotpSecret::from_bytes);
        if secret.is_none() {
            Event::FactorKeyUnknown { user: user_id }.record();
        }
        secret
    }
}

/// The error of a code that is wrong, or was used before.
pub(in crate::services) fn refused_code(user_id: UserId) -> ActError {
    Event::AuthnFactorFail { user: user_id }.record();
    ActError::field(Field::Code, Message::WrongFactorCode)
}

//! Checks the answer of a passkey, whatever it is to allow.

use handstamp_core::UserId;

use super::webauthn::{self, Purpose, Refusal, VerifiedUse};
use super::{PasskeyAnswer, not_accepted};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{Credentials, Message, PasskeyOutcome};
use crate::services::{ActError, Services};
use crate::store::CountedAttempt;

/// An answer whose ceremony is one of ours, and which is counted.
pub(super) struct PasskeyAttempt<'a> {
    services: &'a Services,
    purpose: Purpose,
    answer: &'a PasskeyAnswer,
    counted: Vec<CountedAttempt>,
}

/// An answer that was verified: whose passkey it is, and what its use changes.
pub(super) struct CheckedPasskey {
    /// The account, as it was read with the passkey.
    pub(super) account: Credentials,
    pub(super) verified: VerifiedUse,
}

impl Services {
    /// Counts an answer for its network, before anything is read. One whose ceremony is not ours, or has expired, costs no statement.
    pub(super) async fn attempt_passkey<'a>(
        &'a self,
        context: &Context,
        purpose: Purpose,
        answer: &'a PasskeyAnswer,
    ) -> Result<PasskeyAttempt<'a>, ActError> {
        if let Err(refusal) = self.ceremonies()?.open_authentication(&answer.ceremony, purpose, self.sessions.now()) {
            return Err(self.refuse_passkey(None, refusal).await?);
        }
        let counted = self.count_passkey(&context.client).await?;
        Ok(PasskeyAttempt { services: self, purpose, answer, counted })
    }

    /// Records that a passkey was refused, and returns the error for the page.
    pub(super) async fn refuse_passkey(
        &self,
        user: Option<UserId>,
        refusal: Refusal,
    ) -> Result<ActError, InternalError> {
        Event::PasskeyRefused { user, reason: refusal.name() }.record();
        if let Some(user) = user {
            self.store.count_failed_sign_in(Some(user), self.sessions.now()).await?;
        }
        Ok(not_accepted(match refusal {
            Refusal::Expired => Message::PasskeyExpired,
            Refusal::UserVerification => Message::PasskeyUnverified,
            _ => Message::PasskeyRefused,
        }))
    }
}

impl PasskeyAttempt<'_> {
    /// Reads the passkey with its account, and verifies the answer.
    pub(super) async fn check(&self) -> Result<CheckedPasskey, ActError> {
        match self.try_check().await? {
            Ok(checked) => Ok(checked),
            Err((user, refusal)) => Err(self.services.refuse_passkey(user, refusal).await?),
        }
    }

    async fn try_check(&self) -> Result<Result<CheckedPasskey, (Option<UserId>, Refusal)>, ActError> {
        let Self { services, purpose, answer, .. } = self;
        let (ceremonies, now) = (services.ceremonies()?, services.sessions.now());
        let ceremony = match ceremonies.open_authentication(&answer.ceremony, *purpose, now) {
            Ok(ceremony) => ceremony,
            Err(refusal) => return Ok(Err((None, refusal))),
        };
        let found = services.store.passkey_by_credential_id(answer.credential.get_credential_id()).await?;
        let Some(passkey) = found else { return Ok(Err((None, Refusal::Unknown))) };
        let user = passkey.user_id;
        let refused = |refusal| Ok(Err((Some(user), refusal)));
        if let Err(refusal) = webauthn::belongs_to(&ceremony, &passkey, &answer.credential) {
            return refused(refusal);
        }
        let account = match services.store.credentials_by_id(user).await? {
            Some(account) if account.disabled => return refused(Refusal::Disabled),
            Some(account) => account,
            None => return refused(Refusal::Unknown),
        };
        match ceremonies.finish_authentication(ceremony, &passkey, &answer.credential, now) {
            Ok(verified) => Ok(Ok(CheckedPasskey { account, verified })),
            Err(refusal) => {
                if refusal == Refusal::Counter {
                    let last = passkey.used_at.unwrap_or(passkey.created_at);
                    Event::PasskeyCounterRegressed { user, seconds_since_use: now.since(last).as_secs() }.record();
                }
                refused(refusal)
            }
        }
    }

    /// Takes the attempt back once its act is done. None if what was read has changed meanwhile: then it can be checked once more.
    pub(super) async fn settle<T>(&self, user: UserId, outcome: PasskeyOutcome<T>) -> Result<Option<T>, ActError> {
        match outcome {
            PasskeyOutcome::Done(done) => {
                self.services.refund(&self.counted).await;
                Ok(Some(done))
            }
            PasskeyOutcome::Changed => Ok(None),
            PasskeyOutcome::Replayed => Err(self.services.refuse_passkey(Some(user), Refusal::Replayed).await?),
        }
    }
}

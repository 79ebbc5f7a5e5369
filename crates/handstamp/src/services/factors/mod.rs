//! Second factors: authenticator apps and recovery codes, and what they allow.

mod check_code;
mod complete_sign_in;
mod recovery_codes;
mod required;
mod reset;
mod totp;

use handstamp_core::UserId;

use super::mail::MessageContent;
use super::{ActError, Services};
use crate::context::Context;
use crate::model::{Factors, Message, NewOutboxMessage, OutboxKind};
use crate::sessions::Session;

pub(in crate::services) use check_code::{CheckedCode, refused_code};
pub(in crate::services) use complete_sign_in::FirstFactor;
pub(crate) use complete_sign_in::{PendingSignIn, SignedIn, WaysToComplete};
pub(crate) use totp::{NewTotp, TotpConfirmed};

/// The key of an authenticator app in events and mails.
const TOTP: &str = "totp";

impl Services {
    /// The password and the second factors of a user.
    pub(crate) async fn factors_of(&self, user_id: UserId) -> Result<Factors, ActError> {
        self.store.factors_of(user_id).await?.ok_or(ActError::NotFound(Message::NoSuchUser))
    }

    /// Whether a user with these factors has a passkey that this site can ask for.
    pub(in crate::services) fn has_passkey(&self, factors: &Factors) -> bool {
        factors.passkeys > 0 && self.config.passkeys.are_on(&self.config.public_url)
    }

    /// The notice about a change of a factor, if mails are sent. `change` is a key for the template.
    pub(in crate::services) fn factor_notice(
        &self,
        context: &Context,
        (user_id, name, email): (UserId, &str, &str),
        change: &str,
        codes_left: Option<u64>,
    ) -> Option<NewOutboxMessage> {
        let content = MessageContent { change: change.to_owned(), codes_left, ..MessageContent::of(context, name) };
        self.notice(OutboxKind::FactorChanged, Some(user_id), email, &content)
    }
}

/// The user of a session, for a notice.
pub(in crate::services) fn recipient(session: &Session) -> (UserId, &str, &str) {
    (session.user.id, session.user.name(), session.user.email())
}

//! The overview of a user for an operator, without any secret, and which acts are possible.

use handstamp_core::UserId;

use crate::model::{Factors, ListedSession, Message, Passkey, User};
use crate::services::{ActError, Services};

/// A user as the pages of administration show them.
pub(crate) struct UserOverview {
    pub(crate) user: User,
    pub(crate) factors: Factors,
    pub(crate) passkeys: Vec<Passkey>,
    pub(crate) sessions: Vec<ListedSession>,
    is_own: bool,
    is_last_administrator: bool,
    mail_is_on: bool,
}

/// An act of an operator on a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperatorAct {
    Disable,
    EndSessions,
    MailResetLink,
    ResetFactors,
    /// Removing the user from the group `admins`.
    Demote,
    Delete,
}

impl UserOverview {
    /// Why an act would be refused, or would do nothing; none if it is possible.
    pub(crate) fn refusal(&self, act: OperatorAct) -> Option<Message> {
        let last = || self.is_last_administrator.then_some(Message::LastAdministrator);
        let own = || self.is_own.then_some(Message::OwnAccount);
        let has_factors =
            self.factors.totp_since.is_some() || self.factors.recovery_codes > 0 || self.factors.passkeys > 0;
        match act {
            OperatorAct::Disable | OperatorAct::Demote | OperatorAct::Delete => own().or_else(last),
            OperatorAct::EndSessions => own().or_else(|| self.sessions.is_empty().then_some(Message::NoSessions)),
            OperatorAct::ResetFactors => own().or_else(|| (!has_factors).then_some(Message::NoFactors)),
            OperatorAct::MailResetLink if !self.mail_is_on => Some(Message::NoMailForOperators),
            OperatorAct::MailResetLink => self.user.disabled.then_some(Message::UserDisabled),
        }
    }
}

impl Services {
    /// The overview of a user for this operator.
    pub(crate) async fn user_overview(&self, operator: UserId, id: UserId) -> Result<UserOverview, ActError> {
        Ok(UserOverview {
            user: self.user(id).await?,
            factors: self.factors_of(id).await?,
            passkeys: self.store.passkeys_of(id).await?,
            sessions: self.sessions.list(id).await?,
            is_own: operator == id,
            is_last_administrator: self.store.is_last_administrator(id).await?,
            mail_is_on: self.mail_is_on(),
        })
    }
}

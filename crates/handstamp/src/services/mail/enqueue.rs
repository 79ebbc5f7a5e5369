//! The messages of the outbox: what acts put into them, and what is read from them when they are sent.

use std::time::Duration;

use handstamp_core::{EmailAddress, OneTimeId, OneTimePurpose, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::{ClientInfo, Context};
use crate::internal_error::InternalError;
use crate::model::{BrowserHash, NewOneTimeToken, NewOutboxMessage, OutboxKind};
use crate::services::Services;

/// The values that a message shows, as the outbox stores them. Each kind uses some of the fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::services) struct MessageContent {
    /// The name of the user, or that of a registration or an invitation.
    pub(in crate::services) name: String,
    /// The User-Agent of the client whose act caused the message.
    pub(in crate::services) user_agent: String,
    /// The address of that client.
    pub(in crate::services) address: String,
    /// The new e-mail address, in the notice to the former one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::services) new_email: String,
    /// The change that a notice about a factor tells of: a key for the template.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::services) change: String,
    /// The recovery codes that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::services) codes_left: Option<u64>,
    /// The hash of the password of a registration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::services) password_hash: String,
    /// The hash of the secret of the browser that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::services) browser: Option<[u8; 32]>,
}

impl MessageContent {
    /// The content about an act of this client. Users do not learn the address of an operator.
    pub(in crate::services) fn of(context: &Context, name: &str) -> Self {
        let no_client = ClientInfo::default();
        let client = if context.actor.administrator().is_some() { &no_client } else { &context.client };
        Self {
            name: name.to_owned(),
            user_agent: client.user_agent.clone(),
            address: client.address.clone(),
            ..Self::default()
        }
    }

    /// The stored content. One that cannot be read counts as empty.
    pub(in crate::services) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// How long one-time tokens are valid after their mail is sent.
pub(crate) struct LinkValidity;

impl LinkValidity {
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    /// The longest of all.
    pub(in crate::services) const LONGEST: Duration = Self::WEEK;

    pub(crate) const RESET: Duration = Self::HOUR;
    pub(crate) const CHANGE_EMAIL: Duration = Self::DAY;
    /// Of a code to sign in (OWASP ASVS 5.0, 6.5.5).
    pub(crate) const SIGN_IN: Duration = Duration::from_secs(600);

    /// Of a sign-in whose form was sent twice.
    const REPEATED_SIGN_IN: Duration = Duration::from_secs(60);

    pub(in crate::services) fn of(purpose: OneTimePurpose) -> Duration {
        match purpose {
            OneTimePurpose::ResetPassword => Self::RESET,
            OneTimePurpose::VerifyEmail | OneTimePurpose::ConfirmRegistration => Self::DAY,
            OneTimePurpose::ChangeEmail => Self::CHANGE_EMAIL,
            OneTimePurpose::UndoEmailChange | OneTimePurpose::AcceptInvitation => Self::WEEK,
            OneTimePurpose::SignIn | OneTimePurpose::PendingSignIn => Self::SIGN_IN,
            OneTimePurpose::RepeatedSignIn => Self::REPEATED_SIGN_IN,
        }
    }
}

impl Services {
    /// A message about a user, or about none that is known.
    pub(in crate::services) fn new_message(
        &self,
        kind: OutboxKind,
        user_id: Option<UserId>,
        recipient: &EmailAddress,
        content: &MessageContent,
        token_id: Option<OneTimeId>,
    ) -> NewOutboxMessage {
        let created_at = self.sessions.now();
        NewOutboxMessage {
            id: new_id(created_at, self.environment.random()),
            kind,
            user_id,
            recipient: recipient.as_str().to_owned(),
            content: serde_json::to_string(content).expect("texts and numbers can be serialized"),
            token_id,
            created_at,
        }
    }

    /// A one-time token about this address, valid from now on.
    pub(in crate::services) fn new_token(
        &self,
        purpose: OneTimePurpose,
        user_id: Option<UserId>,
        email: &EmailAddress,
        browser: Option<BrowserHash>,
    ) -> NewOneTimeToken {
        let created_at = self.sessions.now();
        NewOneTimeToken {
            id: OneTimeId::from_bytes(self.environment.random()),
            purpose,
            user_id,
            email: email.clone(),
            content: String::new(),
            browser,
            created_at,
            expires_at: created_at.after(LinkValidity::of(purpose)),
        }
    }

    /// The token and the mail with which a user verifies the address of the account.
    pub(in crate::services) fn verification(
        &self,
        user_id: UserId,
        email: &EmailAddress,
        content: &MessageContent,
    ) -> (NewOneTimeToken, NewOutboxMessage) {
        let token = self.new_token(OneTimePurpose::VerifyEmail, Some(user_id), email, None);
        let message = self.new_message(OutboxKind::VerifyEmail, Some(user_id), email, content, Some(token.id));
        (token, message)
    }

    /// A notice to a user, if mails are sent.
    pub(in crate::services) fn notice(
        &self,
        kind: OutboxKind,
        user_id: Option<UserId>,
        recipient: &str,
        content: &MessageContent,
    ) -> Option<NewOutboxMessage> {
        let recipient = EmailAddress::parse(recipient).ok().filter(|_| self.mail_is_on())?;
        Some(self.new_message(kind, user_id, &recipient, content, None))
    }

    /// The notice that a user signs in in a browser in which the account has not signed in before, if such notices are sent. The browser
    /// is known by its device cookie, also by one from before the last change of the credentials.
    pub(in crate::services) async fn new_device_notice(
        &self,
        context: &Context,
        user_id: UserId,
    ) -> Result<Option<NewOutboxMessage>, InternalError> {
        let now = self.sessions.now();
        let known = self.devices.open(&context.client.device_cookie, now).find(user_id, None);
        if known.is_some() || !self.new_device_mail_is_on() {
            return Ok(None);
        }
        let Some(user) = self.store.user_by_id(user_id, now).await? else { return Ok(None) };
        let content = MessageContent::of(context, &user.name);
        Ok(self.notice(OutboxKind::NewDevice, Some(user_id), &user.email, &content))
    }
}

/// A UUID of version 7 (RFC 9562).
fn new_id(now: Timestamp, random: [u8; 10]) -> Uuid {
    UserId::new(now, random).as_uuid()
}

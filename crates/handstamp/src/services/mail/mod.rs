//! The mails of the site: what each says, and how they are sent.

mod enqueue;
mod folder;
mod mailer;
mod prepare;
mod send;
mod smtp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use handstamp_core::EmailAddress;

use super::Services;
#[cfg(test)]
use crate::model::OutboxChannel;
pub(crate) use enqueue::LinkValidity;
pub(super) use enqueue::MessageContent;
pub(crate) use mailer::Mailer;
pub(super) use send::describe_metrics;

/// A mail to be rendered and sent.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) template: MailTemplate,
    pub(super) recipient: EmailAddress,
    /// The language of the recipient, as a tag of RFC 5646.
    pub(super) language: String,
    /// The values that the template shows, by name.
    pub(super) values: BTreeMap<&'static str, String>,
}

/// The template of a mail: `templates/mail/NAME.txt` and `templates/mail/NAME.html`. Each mail has the values of every page
/// (`site_name` and others), and those that are named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailTemplate {
    /// `name`, `link`, `valid_for`, and the `time`, `browser` and `address` of the request; or `by_operator`, which is empty otherwise.
    ResetPassword,
    /// `name`, `link`, `code`, `valid_for`.
    ConfirmRegistration,
    /// To the owner of an account whose address was registered again, or asked for by another account: `name`, `sign_in_link`,
    /// `forgot_link`.
    AlreadyRegistered,
    /// `name`, `link`, `code`, `valid_for`.
    VerifyEmail,
    /// To the new address: `name`, `link`, `valid_for`.
    ChangeEmail,
    /// `link`, `valid_for`, and `name`, which may be empty.
    Invitation,
    /// `name`, `code`, `valid_for`, and the `time`, `browser` and `address` of the request.
    SignInCode,
    /// `name`, `time`, `browser`, `address`, `forgot_link`.
    PasswordChanged,
    /// To the former address: `name`, `new_email`, `time`, `browser`, `address`, `link` to undo the change, `valid_for`.
    EmailChanged,
    /// About second factors and passkeys: `change`, which is `totp_added`, `totp_removed`, `passkey_added`, `passkey_removed`,
    /// `recovery_codes_replaced`, `recovery_code_used` or `reset`; `codes_left` where one was used; `name`, `time`, `browser`, `address`,
    /// `security_link`, `forgot_link`.
    FactorChanged,
    /// `name`, `time`, `browser`, `address`, `sessions_link`.
    NewDevice,
    /// `name`, `time`.
    AccountDeleted,
    /// Of `handstamp mail test`: no value.
    Test,
}

impl MailTemplate {
    /// All templates.
    #[cfg(test)]
    pub(super) const ALL: [Self; 13] = [
        Self::ResetPassword,
        Self::ConfirmRegistration,
        Self::AlreadyRegistered,
        Self::VerifyEmail,
        Self::ChangeEmail,
        Self::Invitation,
        Self::SignInCode,
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::FactorChanged,
        Self::NewDevice,
        Self::AccountDeleted,
        Self::Test,
    ];

    /// The name of its files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::ConfirmRegistration => "confirm_registration",
            Self::AlreadyRegistered => "already_registered",
            Self::VerifyEmail => "verify_email",
            Self::ChangeEmail => "change_email",
            Self::Invitation => "invitation",
            Self::SignInCode => "sign_in_code",
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::FactorChanged => "factor_changed",
            Self::NewDevice => "new_device",
            Self::AccountDeleted => "account_deleted",
            Self::Test => "test",
        }
    }
}

impl Services {
    /// Whether a notice is mailed for a sign-in in a new browser.
    fn new_device_mail_is_on(&self) -> bool {
        self.config.mail.new_device && self.mail_is_on()
    }
}

/// A mail that a test takes out of the outbox.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct SentMail {
    pub(crate) template: &'static str,
    pub(crate) recipient: String,
    pub(crate) values: BTreeMap<&'static str, String>,
}

#[cfg(test)]
impl Services {
    /// Takes the next message that is due out of the outbox, and prepares its mail. None if no message is due, and no mail if there is
    /// nothing to send.
    #[allow(clippy::unwrap_used, reason = "it is for tests")]
    pub(crate) async fn next_mail(&self) -> Option<Option<SentMail>> {
        let message = self.claim_next_message(OutboxChannel::Mail).await.unwrap()?.message;
        let mail = self.prepare(&message).await.unwrap();
        self.store.finish_message(message.id).await.unwrap();
        Some(mail.map(|mail| SentMail {
            template: mail.template.name(),
            recipient: mail.recipient.as_str().to_owned(),
            values: mail.values,
        }))
    }
}

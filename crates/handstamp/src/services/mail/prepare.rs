//! Decides what mail a message of the outbox becomes, if any, when it is due.
//!
//! A request of a visitor is only written down when it is made, whatever the address. Whether the address has an account is looked up
//! here, where no answer and no duration shows it.

use std::collections::BTreeMap;

use handstamp_core::{EmailAddress, OneTimeClaims, OneTimePurpose, Timestamp};

use super::{LinkValidity, Mail, MailTemplate, MessageContent};
use crate::format::{format_datetime, lasting};
use crate::internal_error::InternalError;
use crate::model::{BrowserHash, NewOneTimeToken, OutboxKind, OutboxMessage, User};
use crate::services::Services;
use crate::user_agent;

/// The language of mails to recipients without an account.
const DEFAULT_LANGUAGE: &str = "en";

/// The link and the code of a token.
struct Link {
    url: String,
    code: String,
    valid_for: String,
}

impl Services {
    /// The mail of a message; none if there is nothing to send, as for a request whose address has no account.
    pub(super) async fn prepare(&self, message: &OutboxMessage) -> Result<Option<Mail>, InternalError> {
        let (Some(kind), Ok(recipient)) = (message.kind, EmailAddress::parse(&message.recipient)) else {
            return Ok(None);
        };
        let content = MessageContent::parse(&message.content);
        match kind {
            OutboxKind::Webhook => Ok(None),
            OutboxKind::ResetRequest | OutboxKind::OperatorReset => {
                self.prepare_reset(message, recipient, &content).await
            }
            OutboxKind::SignInRequest => self.prepare_sign_in_code(message, recipient, &content).await,
            OutboxKind::RegistrationRequest => self.prepare_registration(message, recipient, content).await,
            OutboxKind::EmailChangeRequest => self.prepare_email_change(message, recipient, &content).await,
            OutboxKind::VerifyEmail => {
                let link = self.link_of(message, OneTimePurpose::VerifyEmail, None).await?;
                let mail = |link| self.mail(MailTemplate::VerifyEmail, recipient, &content.name, [], Some(link));
                self.in_language_of(message, link.map(mail)).await
            }
            OutboxKind::Invitation => {
                let link = self.link_of(message, OneTimePurpose::AcceptInvitation, None).await?;
                let mail = |link| self.mail(MailTemplate::Invitation, recipient, &content.name, [], Some(link));
                Ok(link.map(mail))
            }
            OutboxKind::EmailChanged => {
                let link = self.link_of(message, OneTimePurpose::UndoEmailChange, None).await?;
                let mail = |link| {
                    let mut values = act_values(&content, message.created_at);
                    values.push(("new_email", content.new_email.clone()));
                    self.mail(MailTemplate::EmailChanged, recipient, &content.name, values, Some(link))
                };
                self.in_language_of(message, link.map(mail)).await
            }
            OutboxKind::FactorChanged => {
                let mut values = act_values(&content, message.created_at);
                values.push(("change", content.change.clone()));
                values.push(("codes_left", content.codes_left.map_or_else(String::new, |left| left.to_string())));
                values.push(("security_link", self.url("/account/security")));
                values.push(("forgot_link", self.url("/account/forgot")));
                let mail = self.mail(MailTemplate::FactorChanged, recipient, &content.name, values, None);
                self.in_language_of(message, Some(mail)).await
            }
            OutboxKind::PasswordChanged | OutboxKind::NewDevice | OutboxKind::AccountDeleted => {
                let mut values = act_values(&content, message.created_at);
                let template = match kind {
                    OutboxKind::PasswordChanged => MailTemplate::PasswordChanged,
                    OutboxKind::NewDevice => MailTemplate::NewDevice,
                    _ => MailTemplate::AccountDeleted,
                };
                values.push(("forgot_link", self.url("/account/forgot")));
                values.push(("sessions_link", self.url("/account/sessions")));
                self.in_language_of(message, Some(self.mail(template, recipient, &content.name, values, None))).await
            }
        }
    }

    async fn prepare_reset(
        &self,
        message: &OutboxMessage,
        recipient: EmailAddress,
        content: &MessageContent,
    ) -> Result<Option<Mail>, InternalError> {
        let purpose = OneTimePurpose::ResetPassword;
        let Some(user) = self.enabled_user(&recipient).await? else { return Ok(None) };
        let new = token_of(message, purpose, &user, None);
        let link = self.link_of(message, purpose, new.as_ref()).await?;
        Ok(link.map(|link| {
            let mut values = act_values(content, message.created_at);
            let is_by_operator = message.kind == Some(OutboxKind::OperatorReset);
            values.push(("by_operator", if is_by_operator { "yes" } else { "" }.to_owned()));
            self.mail_to(&user, MailTemplate::ResetPassword, values, Some(link))
        }))
    }

    async fn prepare_sign_in_code(
        &self,
        message: &OutboxMessage,
        recipient: EmailAddress,
        content: &MessageContent,
    ) -> Result<Option<Mail>, InternalError> {
        let purpose = OneTimePurpose::SignIn;
        let Some(user) = self.enabled_user(&recipient).await? else { return Ok(None) };
        let new = token_of(message, purpose, &user, content.browser.map(BrowserHash));
        let link = self.link_of(message, purpose, new.as_ref()).await?;
        Ok(link.map(|link| {
            let values = act_values(content, message.created_at);
            self.mail_to(&user, MailTemplate::SignInCode, values, Some(link))
        }))
    }

    async fn prepare_registration(
        &self,
        message: &OutboxMessage,
        recipient: EmailAddress,
        content: MessageContent,
    ) -> Result<Option<Mail>, InternalError> {
        let purpose = OneTimePurpose::ConfirmRegistration;
        if let Some(user) = self.store.user_by_email(&recipient, self.sessions.now()).await? {
            return Ok(Some(self.already_registered(&user)));
        }
        let new = message.token_id.map(|id| NewOneTimeToken {
            id,
            purpose,
            user_id: None,
            email: recipient.clone(),
            content: message.content.clone(),
            browser: content.browser.map(BrowserHash),
            created_at: message.created_at,
            expires_at: message.created_at,
        });
        let link = self.link_of(message, purpose, new.as_ref()).await?;
        let mail = |link| self.mail(MailTemplate::ConfirmRegistration, recipient, &content.name, [], Some(link));
        Ok(link.map(mail))
    }

    async fn prepare_email_change(
        &self,
        message: &OutboxMessage,
        recipient: EmailAddress,
        content: &MessageContent,
    ) -> Result<Option<Mail>, InternalError> {
        if let Some(user) = self.store.user_by_email(&recipient, self.sessions.now()).await? {
            return Ok((message.user_id != Some(user.id)).then(|| self.already_registered(&user)));
        }
        let link = self.link_of(message, OneTimePurpose::ChangeEmail, None).await?;
        let mail = |link| self.mail(MailTemplate::ChangeEmail, recipient, &content.name, [], Some(link));
        self.in_language_of(message, link.map(mail)).await
    }

    /// The user with this address, unless the account is disabled.
    async fn enabled_user(&self, email: &EmailAddress) -> Result<Option<User>, InternalError> {
        let user = self.store.user_by_email(email, self.sessions.now()).await?;
        Ok(user.filter(|user| !user.disabled))
    }

    /// The link of a message, valid from now on; none if the message is out of date.
    async fn link_of(
        &self,
        message: &OutboxMessage,
        purpose: OneTimePurpose,
        new: Option<&NewOneTimeToken>,
    ) -> Result<Option<Link>, InternalError> {
        let Some(id) = message.token_id else { return Ok(None) };
        let validity = LinkValidity::of(purpose);
        let expires_at = self.sessions.now().after(validity);
        let new = new.cloned().map(|new| NewOneTimeToken { expires_at, ..new });
        if !self.store.prepare_token(message, new.as_ref(), expires_at).await? {
            return Ok(None);
        }
        let token = self.one_time.issue(&OneTimeClaims { purpose, id, expires_at });
        Ok(Some(Link {
            url: self.url(&format!("/account/link/{token}")),
            code: self.one_time.code(id),
            valid_for: lasting(validity),
        }))
    }

    fn already_registered(&self, user: &User) -> Mail {
        let links = [("sign_in_link", "/account/login"), ("forgot_link", "/account/forgot")];
        let values = links.map(|(name, path)| (name, self.url(path)));
        self.mail_to(user, MailTemplate::AlreadyRegistered, values, None)
    }

    /// A mail to a user.
    fn mail_to(
        &self,
        user: &User,
        template: MailTemplate,
        values: impl IntoIterator<Item = (&'static str, String)>,
        link: Option<Link>,
    ) -> Mail {
        let recipient = EmailAddress::parse(&user.email).expect("an account has an address");
        Mail { language: user.language.clone(), ..self.mail(template, recipient, &user.name, values, link) }
    }

    fn mail(
        &self,
        template: MailTemplate,
        recipient: EmailAddress,
        name: &str,
        values: impl IntoIterator<Item = (&'static str, String)>,
        link: Option<Link>,
    ) -> Mail {
        let mut values: BTreeMap<_, _> = values.into_iter().collect();
        values.insert("name", name.to_owned());
        if let Some(Link { url, code, valid_for }) = link {
            values.extend([("link", url), ("code", code), ("valid_for", valid_for)]);
        }
        Mail { template, recipient, language: DEFAULT_LANGUAGE.to_owned(), values }
    }

    /// The mail in the language of the user whom the message is about, if there is one.
    async fn in_language_of(&self, message: &OutboxMessage, mail: Option<Mail>) -> Result<Option<Mail>, InternalError> {
        let (Some(mail), Some(user_id)) = (mail.clone(), message.user_id) else { return Ok(mail) };
        let user = self.store.user_by_id(user_id, self.sessions.now()).await?;
        Ok(Some(match user {
            Some(user) => Mail { language: user.language, ..mail },
            None => mail,
        }))
    }

    /// The URL of a page of this site. It comes from the public URL alone, never from a request.
    pub(in crate::services) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.config.public_url, self.config.prefix)
    }
}

/// The token of a request, now that its user is known.
fn token_of(
    message: &OutboxMessage,
    purpose: OneTimePurpose,
    user: &User,
    browser: Option<BrowserHash>,
) -> Option<NewOneTimeToken> {
    Some(NewOneTimeToken {
        id: message.token_id?,
        purpose,
        user_id: Some(user.id),
        email: EmailAddress::parse(&user.email).ok()?,
        content: String::new(),
        browser,
        created_at: message.created_at,
        expires_at: message.created_at,
    })
}

/// When an act was done, and by which client.
fn act_values(content: &MessageContent, at: Timestamp) -> Vec<(&'static str, String)> {
    let address = if content.address.is_empty() { "an unknown address" } else { &content.address };
    vec![
        ("time", format_datetime(at)),
        ("browser", user_agent::describe(&content.user_agent)),
        ("address", address.to_owned()),
    ]
}

//! Renders mails from their templates, and hands them to the transport.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use handstamp_core::{EmailAddress, Timestamp, UserId};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, MultiPartKind, SinglePart};
use minijinja::{Template, Value, context};
use tokio::time::timeout;
use uuid::Uuid;

use super::folder::{FolderTransport, path_of};
use super::smtp::{self, SmtpTransport};
use super::{Mail, MailTemplate};
use crate::config::{Config, ConfigError, ConfigErrors, MailAddress, MailUrl};
use crate::environment::{Environment, MailError, MailErrorKind, MailTransport, OutgoingMail};
use crate::events::Event;
use crate::templates::{self, Embedded, MAIL, TemplateSet};

/// The embedded templates.
pub(super) const TEMPLATES: Embedded = &[
    ("mail/layout.txt", include_str!("../../../templates/mail/layout.txt")),
    ("mail/layout.html", include_str!("../../../templates/mail/layout.html")),
    ("mail/parts.txt", include_str!("../../../templates/mail/parts.txt")),
    ("mail/parts.html", include_str!("../../../templates/mail/parts.html")),
    ("mail/reset_password.txt", include_str!("../../../templates/mail/reset_password.txt")),
    ("mail/reset_password.html", include_str!("../../../templates/mail/reset_password.html")),
    ("mail/confirm_registration.txt", include_str!("../../../templates/mail/confirm_registration.txt")),
    ("mail/confirm_registration.html", include_str!("../../../templates/mail/confirm_registration.html")),
    ("mail/already_registered.txt", include_str!("../../../templates/mail/already_registered.txt")),
    ("mail/already_registered.html", include_str!("../../../templates/mail/already_registered.html")),
    ("mail/verify_email.txt", include_str!("../../../templates/mail/verify_email.txt")),
    ("mail/verify_email.html", include_str!("../../../templates/mail/verify_email.html")),
    ("mail/change_email.txt", include_str!("../../../templates/mail/change_email.txt")),
    ("mail/change_email.html", include_str!("../../../templates/mail/change_email.html")),
    ("mail/invitation.txt", include_str!("../../../templates/mail/invitation.txt")),
    ("mail/invitation.html", include_str!("../../../templates/mail/invitation.html")),
    ("mail/sign_in_code.txt", include_str!("../../../templates/mail/sign_in_code.txt")),
    ("mail/sign_in_code.html", include_str!("../../../templates/mail/sign_in_code.html")),
    ("mail/password_changed.txt", include_str!("../../../templates/mail/password_changed.txt")),
    ("mail/password_changed.html", include_str!("../../../templates/mail/password_changed.html")),
    ("mail/email_changed.txt", include_str!("../../../templates/mail/email_changed.txt")),
    ("mail/email_changed.html", include_str!("../../../templates/mail/email_changed.html")),
    ("mail/factor_changed.txt", include_str!("../../../templates/mail/factor_changed.txt")),
    ("mail/factor_changed.html", include_str!("../../../templates/mail/factor_changed.html")),
    ("mail/new_device.txt", include_str!("../../../templates/mail/new_device.txt")),
    ("mail/new_device.html", include_str!("../../../templates/mail/new_device.html")),
    ("mail/account_deleted.txt", include_str!("../../../templates/mail/account_deleted.txt")),
    ("mail/account_deleted.html", include_str!("../../../templates/mail/account_deleted.html")),
    ("mail/test.txt", include_str!("../../../templates/mail/test.txt")),
    ("mail/test.html", include_str!("../../../templates/mail/test.html")),
];

/// How long one mail may take, whatever sends it.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(120);

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 200;

/// The block of the text template that is the subject.
const SUBJECT: &str = "subject";

/// Renders and sends mails.
pub(crate) struct Mailer {
    transport: Arc<dyn MailTransport>,
    /// The folder of a site on the local machine, whose log shows the links.
    local_folder: Option<PathBuf>,
    templates: TemplateSet,
    from: MailAddress,
    reply_to: Option<MailAddress>,
    site_name: String,
    site_url: String,
    prefix: String,
}

impl Mailer {
    /// Sends with the transport of the environment, or else as the settings say; none if they name neither a server nor a folder.
    ///
    /// # Errors
    /// When `mail.url` names a folder that cannot be created, or TLS cannot be used.
    pub(crate) fn new(config: &Config, environment: &Environment) -> Result<Option<Self>, ConfigErrors> {
        let local_folder = config.local_mail_folder().filter(|_| environment.mail.is_none());
        let transport: Arc<dyn MailTransport> = match (&environment.mail, &config.mail.url, local_folder) {
            (Some(transport), ..) => Arc::clone(transport),
            (None, Some(MailUrl::Smtp(server)), _) => {
                let limits = smtp::Limits::default();
                Arc::new(SmtpTransport::new(server.clone(), config.public_url.host(), limits).map_err(unusable)?)
            }
            (None, Some(MailUrl::Folder(folder)), _) => {
                let opened = FolderTransport::open(folder);
                Arc::new(opened.map_err(|error| unusable(format!("cannot be used: {error}")))?)
            }
            (None, None, Some(folder)) => Arc::new(FolderTransport::new(folder)),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Self {
            transport,
            local_folder: local_folder.map(ToOwned::to_owned),
            templates: TemplateSet::new(TEMPLATES, config),
            from: config.mail_from(),
            reply_to: config.mail.reply_to.clone(),
            site_name: config.site_name.clone(),
            site_url: config.public_url.to_string(),
            prefix: config.prefix.to_string(),
        }))
    }

    /// Sends a mail, and returns the words of the receiver. `user` is whom it is about.
    pub(super) async fn send(
        &self,
        id: Uuid,
        created_at: Timestamp,
        user: Option<UserId>,
        mail: &Mail,
    ) -> Result<String, MailError> {
        let outgoing = self.compose(id, created_at, mail)?;
        let reply = timeout(SEND_LIMIT, self.transport.send(&outgoing)).await.map_err(|_| {
            let summary = format!("sending took longer than {} seconds", SEND_LIMIT.as_secs());
            MailError::new(MailErrorKind::Temporary, summary)
        })??;
        if let Some(folder) = &self.local_folder {
            let (file, link) = (path_of(folder, &outgoing), mail.values.get("link").map(String::as_str));
            Event::MailWritten { mail: mail.template.name(), user, file: &file.display(), link }.record();
        }
        Ok(reply)
    }

    /// Whether mails can be sent now.
    pub(crate) async fn check(&self) -> Result<(), MailError> {
        self.transport.check().await
    }

    /// The mail that `handstamp mail test` sends.
    pub(crate) async fn send_test(
        &self,
        environment: &Environment,
        recipient: EmailAddress,
    ) -> Result<String, MailError> {
        let now = environment.now();
        let id = UserId::new(now, environment.random()).as_uuid();
        let mail =
            Mail { template: MailTemplate::Test, recipient, language: "en".to_owned(), values: BTreeMap::default() };
        self.send(id, now, None, &mail).await
    }

    /// Renders a mail. `id` and `created_at` give its Message-ID and its date, which stay the same when it is sent again.
    pub(super) fn compose(&self, id: Uuid, created_at: Timestamp, mail: &Mail) -> Result<OutgoingMail, MailError> {
        let values = self.values(mail);
        let (subject, text) = self.render(mail, "txt", |template| {
            let mut rendered = template.render_captured(&values)?;
            let subject = rendered.with_state_mut(|state| state.render_block(SUBJECT))?;
            Ok((subject, rendered.into_output()))
        })?;
        let (subject, text) = (header_text(&subject), tidy(&text));
        let values = context! { subject => subject.as_str(), ..values };
        let html = self.render(mail, "html", |template| template.render(&values))?.replace('\r', "");

        let message_id = format!("{id}@{}", self.from.domain());
        let parts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(format!("handstamp-{}", id.simple()))
            .singlepart(part(ContentType::TEXT_PLAIN, &text))
            .singlepart(part(ContentType::TEXT_HTML, &html));
        let mut message = Message::builder()
            .message_id(Some(format!("<{message_id}>")))
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(created_at.unix_seconds()))
            .from(mailbox(&self.from))
            .to(Mailbox::new(None, smtp::address(mail.recipient.as_str())))
            .subject(&subject)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .raw_header(header("Content-Language", &language_of(mail)));
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(mailbox(reply_to));
        }
        let message = message.multipart(parts).map_err(|error| {
            MailError::new(MailErrorKind::Temporary, format!("the message cannot be built: {error}"))
        })?;
        Ok(OutgoingMail {
            message_id,
            sender: self.from.address.clone(),
            recipient: mail.recipient.as_str().to_owned(),
            subject,
            text,
            html,
            message: message.formatted(),
        })
    }

    /// The values of a template: those of every mail, and its own. No value has a line break, so none can imitate a line of the mail.
    fn values(&self, mail: &Mail) -> Value {
        let own = mail.values.iter().map(|(name, value)| {
            let value = one_line(value);
            (*name, if *name == "name" && names_a_site(&value) { String::new() } else { value })
        });
        context! {
            site_name => self.site_name.as_str(),
            site_url => self.site_url.as_str(),
            prefix => self.prefix.as_str(),
            lang => language_of(mail),
            can_reply => self.reply_to.is_some(),
            ..Value::from(own.collect::<BTreeMap<_, _>>())
        }
    }

    /// Renders the template of a mail with this ending. The one in the language of the recipient, as `mail/de/test.txt`, comes before
    /// the one without a language.
    fn render<T>(
        &self,
        mail: &Mail,
        ending: &str,
        render: impl Fn(&Template<'_, '_>) -> Result<T, minijinja::Error>,
    ) -> Result<T, MailError> {
        let file = format!("{}.{ending}", mail.template.name());
        let language = language_of(mail);
        let general = language.split('-').next().unwrap_or_default();
        let in_language = [language.as_str(), general].map(|language| format!("{MAIL}{language}/{file}"));
        for name in in_language.iter().filter(|name| self.templates.has(name)) {
            match self.templates.render_with(name, &render) {
                Ok(rendered) => return Ok(rendered),
                Err(error) => Event::TemplateError { template: name, error: &templates::words(name, &error) }.record(),
            }
        }
        let name = format!("{MAIL}{file}");
        self.templates.render_with(&name, render).map_err(|error| {
            let words = templates::words(&name, &error);
            MailError::new(MailErrorKind::Temporary, format!("the template {name} cannot be rendered: {words}"))
        })
    }
}

fn unusable(message: String) -> ConfigErrors {
    ConfigErrors::of(ConfigError { setting: "mail.url".to_owned(), value: None, message })
}

/// An alternative of a message. ASCII goes as it stands, so that a link is whole in the source too.
fn part(kind: ContentType, text: &str) -> SinglePart {
    const LONGEST_LINE: usize = 998; // RFC 5322 section 2.1.1
    let is_plain = text.is_ascii() && text.lines().all(|line| line.len() <= LONGEST_LINE);
    let body = if is_plain {
        let lines = text.lines().collect::<Vec<_>>().join("\r\n") + "\r\n";
        Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        Body::new(text.to_owned())
    };
    SinglePart::builder().header(kind).body(body)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn mailbox(of: &MailAddress) -> Mailbox {
    Mailbox::new(of.name.clone(), smtp::address(&of.address))
}

/// The language of a mail: letters, digits and hyphens only, since it is a part of a path.
fn language_of(mail: &Mail) -> String {
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let language = &mail.language;
    let is_good = (2..=35).contains(&language.len()) && language.bytes().all(is_tag);
    if is_good { language.clone() } else { "en".to_owned() }
}

/// A text without line breaks and other control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// The text of a header: one line, without spaces at its ends, and not too long.
fn header_text(text: &str) -> String {
    let words: Vec<_> = one_line(text).split_whitespace().map(str::to_owned).collect();
    words.join(" ").chars().take(MAX_SUBJECT).collect()
}

/// Whether a name looks like a link or an address. Any visitor can register any address, so such a name would send advertisements
/// to strangers.
fn names_a_site(name: &str) -> bool {
    let is_dot_within_a_word = |(at, _): (usize, &str)| {
        let (before, after) = (&name[..at], &name[at + 1..]);
        let has_two_letters = after.chars().take_while(|c| c.is_alphanumeric()).count() >= 2;
        before.ends_with(char::is_alphanumeric) && has_two_letters
    };
    name.contains(['/', ':', '@', '\\']) || name.match_indices('.').any(is_dot_within_a_word)
}

/// The text of a mail without the empty lines that unused parts of a template leave.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut is_after_empty = true;
    for line in text.replace('\r', "").lines().map(str::trim_end) {
        if !line.is_empty() || !is_after_empty {
            tidy.push_str(line);
            tidy.push('\n');
        }
        is_after_empty = line.is_empty();
    }
    let end = tidy.trim_end().len();
    tidy.truncate(end);
    tidy.push('\n');
    tidy
}

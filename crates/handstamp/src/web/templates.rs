//! Renders the HTML templates.

use std::sync::OnceLock;

use minijinja::{Error, Value, context};

use super::assets;
use super::prerendered::Prerendered;
use crate::config::{Config, Registration};
use crate::format::{format_date, format_rfc3339};
use crate::model::ADMINISTRATORS;
use crate::sessions::Session;
use crate::templates::TemplateSet;

/// The embedded templates. A file of the same name in `templates_dir` replaces one, within a folder of the same name.
const TEMPLATES: &[(&str, &str)] = &[
    ("account/activity.html", include_str!("../../templates/account/activity.html")),
    ("account/index.html", include_str!("../../templates/account/index.html")),
    ("account/passkeys.html", include_str!("../../templates/account/passkeys.html")),
    ("admin/cluster.html", include_str!("../../templates/admin/cluster.html")),
    ("admin/events.html", include_str!("../../templates/admin/events.html")),
    ("admin/overview.html", include_str!("../../templates/admin/overview.html")),
    ("admin/parts.html", include_str!("../../templates/admin/parts.html")),
    ("admin/user.html", include_str!("../../templates/admin/user.html")),
    ("admin/users.html", include_str!("../../templates/admin/users.html")),
    ("error.html", include_str!("../../templates/error.html")),
    ("fields.html", include_str!("../../templates/fields.html")),
    ("home.html", include_str!("../../templates/home.html")),
    ("layout.html", include_str!("../../templates/layout.html")),
    ("providers.html", include_str!("../../templates/providers.html")),
    ("providers/refused.html", include_str!("../../templates/providers/refused.html")),
    ("passkey.html", include_str!("../../templates/passkey.html")),
    ("password/change.html", include_str!("../../templates/password/change.html")),
    ("account/profile.html", include_str!("../../templates/account/profile.html")),
    ("authentication/register.html", include_str!("../../templates/authentication/register.html")),
    ("factors/recovery_codes.html", include_str!("../../templates/factors/recovery_codes.html")),
    ("factors/security.html", include_str!("../../templates/factors/security.html")),
    ("factors/totp.html", include_str!("../../templates/factors/totp.html")),
    ("account/sessions.html", include_str!("../../templates/account/sessions.html")),
    ("authentication/second_factor.html", include_str!("../../templates/authentication/second_factor.html")),
    ("authentication/sign_in.html", include_str!("../../templates/authentication/sign_in.html")),
    ("authentication/sign_out.html", include_str!("../../templates/authentication/sign_out.html")),
    ("account/delete.html", include_str!("../../templates/account/delete.html")),
    ("authentication/code.html", include_str!("../../templates/authentication/code.html")),
    ("authentication/code_request.html", include_str!("../../templates/authentication/code_request.html")),
    ("authentication/confirm.html", include_str!("../../templates/authentication/confirm.html")),
    ("authentication/invitation.html", include_str!("../../templates/authentication/invitation.html")),
    ("email/change.html", include_str!("../../templates/email/change.html")),
    ("email/confirm.html", include_str!("../../templates/email/confirm.html")),
    ("email/undo.html", include_str!("../../templates/email/undo.html")),
    ("email/verify.html", include_str!("../../templates/email/verify.html")),
    ("email/verify_link.html", include_str!("../../templates/email/verify_link.html")),
    ("link/invalid.html", include_str!("../../templates/link/invalid.html")),
    ("password/forgot.html", include_str!("../../templates/password/forgot.html")),
    ("password/forgot_sent.html", include_str!("../../templates/password/forgot_sent.html")),
    ("password/reset.html", include_str!("../../templates/password/reset.html")),
];

/// Renders pages.
pub(crate) struct Templates {
    templates: TemplateSet,
    site_name: String,
    registration_open: bool,
    mail_on: bool,
    /// The URL of the script of passkeys; none where there are no passkeys.
    passkeys_script: Option<Value>,
    prefix: String,
    admin: bool,
    /// The account page, rendered with placeholders for the user: for an address that is not verified, and for one that is, and the
    /// same for administrators.
    account: [OnceLock<Prerendered>; 4],
}

impl Templates {
    /// The templates of a site that sends mails or does not.
    pub(crate) fn new(config: &Config, mail_on: bool) -> Self {
        let script = || Value::from_safe_string(format!("{}{}", config.prefix, assets::passkeys_script_path()));
        Self {
            mail_on,
            passkeys_script: config.passkeys.are_on(&config.public_url).then(script),
            templates: TemplateSet::new(TEMPLATES, config),
            site_name: config.site_name.clone(),
            prefix: config.prefix.to_string(),
            registration_open: matches!(config.registration, Registration::Open | Registration::Confirm),
            admin: config.admin,
            account: Default::default(),
        }
    }

    /// The account page without a notice, as [`render`](Self::render) would give it. Rendering it for each request costs more
    /// than the rest of the request, so it is rendered once and the values of the user are filled in. Replaced templates may do
    /// anything with the values, so they are rendered each time.
    pub(super) fn account_page(&self, session: &Session) -> Result<String, Error> {
        if self.templates.is_replaced() {
            return self.account_page_of(self.visitor(Some(session)));
        }
        let user = &session.user;
        let is_admin = self.is_administrator(session);
        let prerendered = &self.account[usize::from(user.email_verified) + 2 * usize::from(is_admin)];
        let account = match prerendered.get() {
            Some(account) => account,
            None => {
                let mark = Prerendered::placeholder;
                let anyone = context! {
                    name => mark(0), email => mark(1), since => mark(2), since_iso => mark(3),
                    email_verified => user.email_verified, is_admin,
                };
                let page = self.account_page_of(Some(anyone))?;
                prerendered.get_or_init(|| Prerendered::parse(&page))
            }
        };
        Ok(account.fill(&[user.name(), user.email(), &format_date(user.created_at), &format_rfc3339(user.created_at)]))
    }

    fn account_page_of(&self, visitor: Option<Value>) -> Result<String, Error> {
        let done: Option<&str> = None;
        self.render("account/index.html", context! { nav => true, visitor, done })
    }

    /// Renders a template with `values` and those of every page. If a replaced template cannot be rendered, the error is logged
    /// and the embedded one is used.
    pub(crate) fn render(&self, template: &str, values: Value) -> Result<String, Error> {
        let values = context! {
            site_name => self.site_name.as_str(),
            stylesheet => Value::from_safe_string(format!("{}{}", self.prefix, assets::stylesheet_path())),
            icon => Value::from_safe_string(format!("{}{}", self.prefix, assets::icon_path())),
            prefix => Value::from_safe_string(self.prefix.clone()),
            registration_open => self.registration_open,
            mail_on => self.mail_on,
            passkeys_script => self.passkeys_script.clone(),
            ..values
        };
        self.templates.render(template, &values)
    }

    /// Whether the user of a session administers the site.
    fn is_administrator(&self, session: &Session) -> bool {
        self.admin && session.user.is_in(ADMINISTRATORS)
    }

    /// The signed-in user as templates see it.
    pub(crate) fn visitor(&self, session: Option<&Session>) -> Option<Value> {
        session.map(|session| {
            let user = &session.user;
            context! {
                name => user.name(), email => user.email(), groups => user.group_names().map(Value::from).collect::<Vec<_>>(),
                email_verified => user.email_verified, is_admin => self.is_administrator(session),
                since => format_date(user.created_at), since_iso => format_rfc3339(user.created_at),
            }
        })
    }
}

#[cfg(test)]
mod tests;

//! Renders the HTML templates, and formats dates and durations for them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use handstamp_core::Timestamp;
use jiff::tz::TimeZone;
use minijinja::{AutoEscape, Environment, Error, TemplateSource, UndefinedBehavior, Value, context};

use super::assets;
use super::prerendered::Prerendered;
use crate::config::{Config, Registration};
use crate::events::Event;
use crate::sessions::Session;

/// The embedded templates. A file of the same name in `templates_dir` replaces one, within a folder of the same name.
const TEMPLATES: &[(&str, &str)] = &[
    ("account/activity.html", include_str!("../../templates/account/activity.html")),
    ("account/index.html", include_str!("../../templates/account/index.html")),
    ("error.html", include_str!("../../templates/error.html")),
    ("fields.html", include_str!("../../templates/fields.html")),
    ("home.html", include_str!("../../templates/home.html")),
    ("layout.html", include_str!("../../templates/layout.html")),
    ("password/change.html", include_str!("../../templates/password/change.html")),
    ("account/profile.html", include_str!("../../templates/account/profile.html")),
    ("authentication/register.html", include_str!("../../templates/authentication/register.html")),
    ("account/sessions.html", include_str!("../../templates/account/sessions.html")),
    ("authentication/sign_in.html", include_str!("../../templates/authentication/sign_in.html")),
    ("authentication/sign_out.html", include_str!("../../templates/authentication/sign_out.html")),
];

/// Renders pages.
pub(crate) struct Templates {
    embedded: Environment<'static>,
    /// The templates of the operator and of the application, before the embedded ones.
    replaced: Option<Environment<'static>>,
    site_name: String,
    registration_open: bool,
    prefix: String,
    /// The account page, rendered with placeholders for the user.
    account: OnceLock<Prerendered>,
}

impl Templates {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            embedded: environment(|name| Ok(embedded(name).map(TemplateSource::from))),
            replaced: replaced(config),
            site_name: config.site_name.clone(),
            prefix: config.prefix.to_string(),
            registration_open: config.registration == Registration::Open,
            account: OnceLock::new(),
        }
    }

    /// The account page without a notice, as [`render`](Self::render) would give it. Rendering it for each request costs more
    /// than the rest of the request, so it is rendered once and the values of the user are filled in. Replaced templates may do
    /// anything with the values, so they are rendered each time.
    pub(super) fn account_page(&self, session: &Session) -> Result<String, Error> {
        if self.replaced.is_some() {
            return self.account_page_of(self.visitor(Some(session)));
        }
        let account = match self.account.get() {
            Some(account) => account,
            None => {
                let mark = Prerendered::placeholder;
                let anybody = context! { name => mark(0), email => mark(1), since => mark(2), since_iso => mark(3) };
                let page = self.account_page_of(Some(anybody))?;
                self.account.get_or_init(|| Prerendered::parse(&page))
            }
        };
        let user = &session.user;
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
            ..values
        };
        if let Some(replaced) = &self.replaced {
            match replaced.get_template(template).and_then(|template| template.render(&values)) {
                Ok(html) => return Ok(html),
                // There is no embedded template to use instead.
                Err(error) if embedded(template).is_none() => return Err(error),
                Err(error) => {
                    let error = format!("{error:#}");
                    Event::TemplateError { template, error: &error }.record();
                }
            }
        }
        self.embedded.get_template(template)?.render(&values)
    }

    /// The signed-in user as templates see it.
    pub(crate) fn visitor(&self, session: Option<&Session>) -> Option<Value> {
        session.map(|session| {
            let user = &session.user;
            context! {
                name => user.name(), email => user.email(), groups => user.group_names().map(Value::from).collect::<Vec<_>>(),
                since => format_date(user.created_at), since_iso => format_rfc3339(user.created_at),
            }
        })
    }
}

fn environment(
    load: impl Fn(&str) -> Result<Option<TemplateSource>, Error> + Send + Sync + 'static,
) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_auto_reload(true);
    environment.set_loader(load);
    environment
}

fn embedded(name: &str) -> Option<&'static str> {
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// The operator's templates, then the application's, then the embedded ones; none if there are only embedded ones.
fn replaced(config: &Config) -> Option<Environment<'static>> {
    let folder = config.templates_dir.clone();
    let given: HashMap<String, String> = config.templates.iter().cloned().collect();
    if folder.is_none() && given.is_empty() {
        return None;
    }
    let mut replaced = environment(move |name| {
        let beneath = || given.get(name).cloned().or_else(|| embedded(name).map(str::to_owned));
        match &folder {
            Some(folder) => load(folder, name, beneath),
            None => Ok(beneath().map(TemplateSource::from)),
        }
    });
    for (name, value) in &config.globals {
        replaced.add_global(name.clone(), value.as_str());
    }
    Some(replaced)
}

/// The operator's file of this name if it exists, and `beneath` otherwise. The template is loaded again once the file changes,
/// appears or disappears.
fn load(folder: &Path, name: &str, beneath: impl FnOnce() -> Option<String>) -> Result<Option<TemplateSource>, Error> {
    if !is_within_folder(name) {
        return Ok(None);
    }
    let path = folder.join(name);
    let seen = stamp(&path);
    let source = match seen {
        Some(_) => Some(fs::read_to_string(&path).map_err(|error| {
            Error::new(minijinja::ErrorKind::InvalidOperation, format!("cannot read {}: {error}", path.display()))
        })?),
        None => beneath(),
    };
    Ok(source.map(|source| TemplateSource::new(source).with_uptodate_check(up_to_date(path, seen))))
}

/// Whether a template's name leads to a visible file within the folder, or within a folder of it.
fn is_within_folder(name: &str) -> bool {
    !name.contains(['\\', '\0']) && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// When a file was last written, and how long it is.
type Stamp = (SystemTime, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn up_to_date(path: PathBuf, seen: Option<Stamp>) -> impl Fn() -> bool + Send + Sync + 'static {
    move || stamp(&path) == seen
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date for people: `23 November 2026`. It is on the account page, and `strftime` takes four times the instructions.
pub(super) fn format_date(time: Timestamp) -> String {
    let date = TimeZone::UTC.to_datetime(civil(time)).date();
    let (mut day, mut year) = (itoa::Buffer::new(), itoa::Buffer::new());
    let month = MONTHS[usize::from(date.month().unsigned_abs()) - 1];
    [day.format(date.day()), " ", month, " ", year.format(date.year())].concat()
}

/// A date and time for people: `23 November 2026, 14:05 UTC`.
pub(super) fn format_datetime(time: Timestamp) -> String {
    format!("{}, {}", format_date(time), civil(time).strftime("%H:%M UTC"))
}

/// A date and time for programs (RFC 3339).
pub(super) fn format_rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// How long ago something was, for people.
pub(super) fn format_relative(time: Timestamp, now: Timestamp) -> String {
    let plural = |count: u64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    match now.since(time).as_secs() {
        0..=89 => "just now".to_owned(),
        seconds @ 90..=5_399 => plural(seconds.div_ceil(60), "minute"),
        seconds @ 5_400..=129_599 => plural(seconds.div_ceil(3600), "hour"),
        _ => format_date(time),
    }
}

/// A duration for people, in the largest unit that leaves no remainder: `30 days`, `90 minutes`.
pub(super) fn lasting(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds.is_multiple_of(*length)).unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn civil(time: Timestamp) -> jiff::Timestamp {
    let seconds = i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests;

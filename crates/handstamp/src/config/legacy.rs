//! The section `legacy`: the cookies of the framework that the site has left.

use std::path::PathBuf;
use std::time::Duration;

use handstamp_core::legacy_cookie::{LegacyCookies, LegacyKind, LegacySecret, LegacySettings};
use handstamp_core::{InvalidSetting, Timestamp};

use super::setting::parse;
use super::{BoundedValue, Config, DatabaseUrl, Setting};

/// The cookies of the framework that the site has left. Until a date, each is exchanged for a session, once.
///
/// An attacker who knows the secret of that framework can sign in as any user until then. Members of `admins`, and users with a second
/// factor or a passkey, are excepted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LegacyConfig {
    /// The framework. None by default: then no cookie is exchanged.
    pub kind: Option<LegacyKind>,
    /// Its secrets, which are required with a kind.
    pub secrets: Vec<LegacySecret>,
    /// The name of its cookie. By default that of the framework, if it has one.
    pub cookie: Option<String>,
    /// The end of the exchange, which is required with a kind: at most [`MAX_WINDOW`](Self::MAX_WINDOW) ahead at each start.
    pub until: Option<Timestamp>,
    /// The table of its sessions, for frameworks that store them.
    pub table: Option<String>,
    /// The database of that table, which is only read. By default it is our own.
    pub database: Option<DatabaseUrl>,
    /// The folder of its sessions, for express-session with session-file-store.
    pub folder: Option<PathBuf>,
    /// Where a session has the user, if that is not the default of the framework.
    pub user_key: Option<String>,
    /// How old a signed session may be, if that is not the default of the framework.
    pub max_age: Option<Duration>,
    /// Whether cookies of Rails are accepted that do not name the cookie that they are for.
    pub allow_missing_purpose: bool,
}

impl LegacyConfig {
    /// The longest time during which cookies are exchanged.
    pub const MAX_WINDOW: Duration = Duration::from_secs(180 * 86_400);

    /// How the framework made its cookies; none without a framework.
    pub(crate) fn settings(&self) -> Option<LegacySettings> {
        Some(LegacySettings {
            kind: self.kind?,
            secrets: self.secrets.clone(),
            cookie: self.cookie.clone(),
            user_key: self.user_key.clone(),
            max_age: self.max_age,
            allow_missing_purpose: self.allow_missing_purpose,
        })
    }

    /// Checks what the framework makes of the settings, apart from the secrets.
    fn check_kind(&self) -> Result<(), InvalidSetting> {
        let Some(mut settings) = self.settings() else { return Ok(()) };
        if settings.secrets.is_empty() {
            settings.secrets = vec![LegacySecret::new(b"w7PpJ3mVq9ZsT5xLr2Kd8bNf")?];
        }
        LegacyCookies::new(&settings).map(drop)
    }

    fn check_store(&self) -> Result<(), InvalidSetting> {
        if self.table.as_deref().is_some_and(|table| !is_table(table)) {
            let names = "must be the name of a table: letters, digits and _, also after a schema and a full stop";
            return Err(InvalidSetting::new(names));
        }
        let Some(kind) = self.kind else { return Ok(()) };
        let is_stored = matches!(kind, LegacyKind::Django | LegacyKind::ExpressSession | LegacyKind::BetterAuth);
        let is_required = matches!(kind, LegacyKind::ExpressSession | LegacyKind::BetterAuth);
        let name = kind.name();
        match &self.table {
            Some(_) if !is_stored => Err(InvalidSetting::new(format!("must not be set, as {name} stores no sessions"))),
            None if is_required && self.folder.is_none() => {
                Err(InvalidSetting::new(format!("must be set, as {name} stores its sessions")))
            }
            _ => Ok(()),
        }
    }

    fn check_folder(&self) -> Result<(), InvalidSetting> {
        match (&self.folder, self.kind) {
            (None, _) => Ok(()),
            (Some(_), Some(LegacyKind::ExpressSession)) if self.table.is_none() => Ok(()),
            (Some(_), Some(LegacyKind::ExpressSession)) => {
                Err(InvalidSetting::new("must not be set, as legacy.table is"))
            }
            (Some(_), _) => Err(InvalidSetting::new("is for legacy.kind = express-session alone")),
        }
    }
}

/// Whether a text names a table, which may be in a schema.
fn is_table(name: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty() && part.len() <= 63 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.split('.').count() <= 2 && name.split('.').all(is_name)
}

/// The time of RFC 3339, or the end of a day in UTC.
fn end(text: &str) -> Result<Timestamp, InvalidSetting> {
    let end_of_day = || {
        let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2027-03-31".len())?;
        jiff::tz::TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight())).ok()
    };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(end_of_day);
    let seconds = time.and_then(|time| u64::try_from(time.as_second()).ok());
    let error = || InvalidSetting::new("must be a date such as 2027-03-31, or a time such as 2027-03-31T12:00:00Z");
    seconds.map(Timestamp::from_unix_seconds).ok_or_else(error)
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("legacy.kind", |config: &mut Config, text| {
            config.legacy.kind = Some(text.parse()?);
            Ok(())
        })
        .check(|config| config.legacy.check_kind())
        .values("`flask`, `flask-login-remember`, `django`, `rails`, `express-session` or `better-auth`")
        .about(
            "The framework that the site has left, whose cookies are [exchanged](../guide/moving-sessions.md) for sessions. \
             Without it none are.",
        ),
        Setting::list(
            "legacy.secret",
            |config: &mut Config| config.legacy.secrets.clear(),
            |config, text| {
                config.legacy.secrets.push(LegacySecret::new(text.as_bytes())?);
                Ok(())
            },
        )
        .secret()
        .check(|config| match config.legacy.kind {
            Some(_) if config.legacy.secrets.is_empty() => {
                Err(InvalidSetting::new("must be set, since legacy.kind is"))
            }
            _ => Ok(()),
        })
        .values("a list of secrets of at least 16 bytes")
        .default_is("required with `legacy.kind`")
        .about("The secrets of that framework, such as `SECRET_KEY`: an attacker who knows one can sign in as most users until the end."),
        Setting::text("legacy.until", |config: &mut Config, text| {
            config.legacy.until = Some(end(text)?);
            Ok(())
        })
        .check(|config| match (config.legacy.kind, config.legacy.until) {
            (Some(_), None) => Err(InvalidSetting::new("must be set, since legacy.kind is")),
            _ => Ok(()),
        })
        .values("a date (the end of the day in UTC), or a time as in RFC 3339; at most 180 days ahead")
        .default_is("required with `legacy.kind`")
        .about("When the exchange ends."),
        Setting::text("legacy.cookie", |config: &mut Config, text| {
            if !LegacySettings::is_cookie_name(text) {
                return Err(InvalidSetting::new("must be the name of a cookie"));
            }
            config.legacy.cookie = Some(text.to_owned());
            Ok(())
        })
        .values("the name of a cookie")
        .default_is("that of the framework; required for `rails`")
        .about("The cookie of that framework."),
        Setting::text("legacy.user_key", |config: &mut Config, text| {
            if text.contains(char::is_control) {
                return Err(InvalidSetting::new("must have no control characters"));
            }
            config.legacy.user_key = Some(text.to_owned());
            Ok(())
        })
        .values("a key of the session")
        .default_is("that of the framework")
        .about(
            "Where the session has the id of the user, or the address. `fs_uniquifier` says that a cookie of \
             `flask-login-remember` is one of Flask-Security.",
        ),
        Setting::text("legacy.max_age", |config: &mut Config, text| {
            config.legacy.max_age = Some(Duration::parse(text)?);
            Ok(())
        })
        .values("a duration")
        .default_is("that of the framework")
        .about("How old a signed session of `flask` or `django` may be."),
        Setting::text("legacy.table", |config: &mut Config, text| {
            config.legacy.table = Some(text.to_owned());
            Ok(())
        })
        .check(|config| config.legacy.check_store())
        .values("the name of a table, also with its schema")
        .about("The table of the sessions of `django`, `express-session` and `better-auth`, where they are in a database."),
        Setting::text("legacy.database", |config: &mut Config, text| {
            config.legacy.database = Some(parse(text)?);
            Ok(())
        })
        .secret()
        .values("as `database_url`")
        .default_is("our own database")
        .about("The database of that table. It is only read."),
        Setting::text("legacy.folder", |config: &mut Config, text| {
            config.legacy.folder = Some(text.into());
            Ok(())
        })
        .check(|config| config.legacy.check_folder())
        .values("a folder")
        .about("The folder of the sessions of `express-session`, where session-file-store has them."),
        Setting::flag(
            "legacy.allow_missing_purpose",
            |config: &Config| config.legacy.allow_missing_purpose,
            |config, value| config.legacy.allow_missing_purpose = value,
        )
        .about(
            "Whether cookies of `rails` count that do not name the cookie that they are for, as those of Rails 5.2 and earlier.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_ends_at_a_time_or_with_a_day() {
        let at = |text: &str| end(text).map(|time| time.to_string()).map_err(|error| error.to_string());
        assert_eq!(at("2027-03-31").as_deref(), Ok("2027-04-01T00:00:00Z"));
        assert_eq!(at("2028-02-29").as_deref(), Ok("2028-03-01T00:00:00Z"));
        assert_eq!(at("2027-03-31T12:00:00Z").as_deref(), Ok("2027-03-31T12:00:00Z"));
        assert_eq!(at("2027-03-31T12:00:00+02:00").as_deref(), Ok("2027-03-31T10:00:00Z"));
        for wrong in ["", "never", "31.3.2027", "2027-02-30", "2027-03-31T12:00:00", "1800000000", "1969-12-01"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_is_named_in_plain_letters() {
        for good in ["django_session", "session", "auth.session", "S1"] {
            assert!(is_table(good), "{good}");
        }
        for bad in ["", ".", "a.", "a.b.c", "a b", "a\"b", "a;b", "é", "a-b", &"a".repeat(64)] {
            assert!(!is_table(bad), "{bad}");
        }
    }
}

//! The settings that say which framework a site has left.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::LegacyCookies;
use crate::InvalidSetting;
use crate::keyring::is_guessable;

/// The column by which Flask-Security identifies a user in its cookies.
pub(super) const FS_UNIQUIFIER: &str = "fs_uniquifier";

/// The framework that a site has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyKind {
    /// The signed session cookie of Flask, with the names of Flask-Login and Flask-Security.
    Flask,
    /// The cookie by which Flask-Login remembers a user.
    FlaskLoginRemember,
    /// The session cookie of Django from 3.1 on: a signed session, or the key of one in the database.
    Django,
    /// An encrypted or signed cookie of Rails from 5.2 on.
    Rails,
    /// The cookie of express-session.
    ExpressSession,
    /// The session cookie of better-auth.
    BetterAuth,
}

impl LegacyKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Flask, Self::FlaskLoginRemember, Self::Django, Self::Rails, Self::ExpressSession, Self::BetterAuth];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flask => "flask",
            Self::FlaskLoginRemember => "flask-login-remember",
            Self::Django => "django",
            Self::Rails => "rails",
            Self::ExpressSession => "express-session",
            Self::BetterAuth => "better-auth",
        }
    }

    /// The name of the cookie, where the framework has a default.
    const fn default_cookie(self) -> Option<&'static str> {
        match self {
            Self::Flask => Some("session"),
            Self::FlaskLoginRemember => Some("remember_token"),
            Self::Django => Some("sessionid"),
            Self::Rails => None,
            Self::ExpressSession => Some("connect.sid"),
            Self::BetterAuth => Some("better-auth.session_token"),
        }
    }
}

impl FromStr for LegacyKind {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| InvalidSetting::new(format!("must be one of {}", Self::ALL.map(Self::name).join(", "))))
    }
}

/// A secret of the old framework. Wiped when dropped, and never printed.
#[derive(Clone)]
pub struct LegacySecret(Zeroizing<Vec<u8>>);

impl LegacySecret {
    /// The fewest bytes of a secret.
    pub const MIN_BYTES: usize = 16;

    /// Django's `startproject` puts this before a secret that it draws at random.
    const DJANGO_PREFIX: &str = "django-insecure-";

    /// Takes the bytes, unchanged, as the secret.
    ///
    /// # Errors
    /// Refuses a secret that an attacker could guess, since every account would be open. That includes the secrets of tutorials.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSetting> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(InvalidSetting::new(format!("must have at least {} bytes", Self::MIN_BYTES)));
        }
        let guessable = match str::from_utf8(bytes) {
            Ok(text) => is_guessable(text.strip_prefix(Self::DJANGO_PREFIX).unwrap_or(text)),
            Err(_) => (0..=255).filter(|byte| bytes.contains(byte)).count() < 8,
        };
        if guessable {
            return Err(InvalidSetting::new("can be guessed, so anyone could sign in as any user"));
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Redacted.
impl fmt::Debug for LegacySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacySecret(…)")
    }
}

/// How the old framework made its cookies.
#[derive(Clone, Debug)]
pub struct LegacySettings {
    /// The framework.
    pub kind: LegacyKind,
    /// Its secrets: `SECRET_KEY` and its fallbacks, `secret_key_base`, `secret` of express-session, `BETTER_AUTH_SECRET`.
    pub secrets: Vec<LegacySecret>,
    /// The name of the cookie. Without it that of the framework, if it has one; Rails names its cookie after the application.
    pub cookie: Option<String>,
    /// Where the session has the user. By default `_user_id` for Flask, `warden.user.user.key` for Rails, and `passport.user`
    /// for express-session, where full stops separate the steps. Other kinds have no choice.
    ///
    /// For the remember cookie, `fs_uniquifier` says that it is one of Flask-Security; the cookie itself does not tell.
    ///
    /// For Rails, `warden.user.SCOPE.key` is a key of Devise, and anything else a plain key. A cookie that holds the user alone
    /// is accepted where this setting is the name of the cookie.
    pub user_key: Option<String>,
    /// How old a signed session may be: `PERMANENT_SESSION_LIFETIME` of Flask, by default 31 days, and `SESSION_COOKIE_AGE` of
    /// Django, by default 14 days. Other kinds have none.
    pub max_age: Option<Duration>,
    /// Accepts cookies of Rails that do not name the cookie that they are for, as those of applications with the defaults of
    /// Rails 5.2 or earlier. Other cookies of the application that the user can influence then count as the session too.
    pub allow_missing_purpose: bool,
}

impl LegacySettings {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let kind = self.kind;
        if self.secrets.is_empty() || self.secrets.len() > LegacyCookies::MAX_SECRETS {
            return Err(InvalidSetting::new(format!("must have 1 to {} secrets", LegacyCookies::MAX_SECRETS)));
        }
        if !Self::is_cookie_name(self.cookie_name()) {
            return Err(InvalidSetting::new("must name the cookie"));
        }
        let has_user_key = match kind {
            LegacyKind::Flask | LegacyKind::Rails | LegacyKind::ExpressSession => true,
            LegacyKind::FlaskLoginRemember => self.user_key.as_deref() == Some(FS_UNIQUIFIER),
            LegacyKind::Django | LegacyKind::BetterAuth => false,
        };
        if self.user_key.as_ref().is_some_and(|key| !has_user_key || key.is_empty()) {
            return Err(InvalidSetting::new(format!(
                "must not name a key of the user, which {} does not have",
                kind.name()
            )));
        }
        if self.max_age.is_some() && !matches!(kind, LegacyKind::Flask | LegacyKind::Django) {
            return Err(InvalidSetting::new(format!("must not limit the age, which {} does not sign", kind.name())));
        }
        if self.allow_missing_purpose && kind != LegacyKind::Rails {
            return Err(InvalidSetting::new(format!("must not concern purposes, which {} does not have", kind.name())));
        }
        Ok(())
    }

    /// Whether a text can be the name of a cookie: a token of RFC 9110.
    pub fn is_cookie_name(text: &str) -> bool {
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
        !text.is_empty() && text.bytes().all(is_token)
    }

    /// Empty where there is none.
    pub(super) fn cookie_name(&self) -> &str {
        self.cookie.as_deref().or(self.kind.default_cookie()).unwrap_or_default()
    }

    /// The keys that `prepare` makes, one of each secret.
    pub(super) fn keys<K>(&self, prepare: impl Fn(&[u8]) -> K) -> Vec<K> {
        self.secrets.iter().map(|secret| prepare(secret.as_bytes())).collect()
    }
}

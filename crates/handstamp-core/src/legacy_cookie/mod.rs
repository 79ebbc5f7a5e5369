//! The session cookies of the framework that a site has left, so that its users stay signed in when they move to Handstamp.
//!
//! [`LegacyCookies`] opens the cookies of one framework. A cookie that says who is signed in gives an [`UnverifiedSession`]. A
//! cookie that names a row of the old application's store gives a [`StoredSessionKey`], and
//! [`open_stored`](LegacyCookies::open_stored) opens that row. The user to sign in is known only after
//! [`UnverifiedSession::verify`], which compares what Django and Devise derive from the password with the imported hash.
//!
//! The secret of the old framework now signs users in here: an attacker who has it is any user. An exchange therefore ends at a
//! date, and never signs in an administrator or a user with a second factor.
//!
//! The imported text of a password hash has to be kept until that date. A sign-in with the password replaces the hash, and then
//! only the kept text verifies the sessions of Django and Devise in other browsers. A change of the password has to drop it.
//!
//! # Once
//!
//! The [`LegacyDigest`] of a cookie is that of the session, not of the text. A cookie that is spelled otherwise, as with other
//! percent-encoding, has the same digest or does not open. How far that reaches depends on what the framework signs:
//!
//! | kind | the digest is that of |
//! | --- | --- |
//! | `flask` | the user and `_id`, which Flask-Login sets at the sign-in: all copies of the session count as one. Sessions of one user in equal browsers at one address count as one too. Without `_id` each signed copy counts by itself. |
//! | `flask-login-remember` | the user, since the cookie holds nothing else: one browser of each user is exchanged |
//! | `django`, signed cookies | the signed text and its time: each copy that Django has signed counts by itself |
//! | `django`, database | the session key |
//! | `rails` | `session_id`: all copies of the session count as one. Cookies without it count by their content. |
//! | `express-session`, `better-auth` | the session id or token |
//!
//! Where copies count by themselves, an older copy can be exchanged after a newer one. The exchange should then refuse cookies
//! whose [`issued_at`](LegacySession::issued_at) lies after the move, and those that were issued before the user last signed out.
//!
//! # Not checked
//!
//! - Flask-Login's `_id`, a hash of address and user agent, and `_fresh`. Flask-Login's own default does not end a session by them.
//! - Whether a session was ended on the old site: only the stored kinds have a row that is deleted.
//! - The expiry of Devise's `timeoutable`, and `remember_created_at`. Devise sessions of users without a password, and remember
//!   cookies of applications with a column `remember_token`, have nothing to compare with and are refused.
//! - A changed password, for `flask` without Flask-Security, `flask-login-remember`, `express-session` and plain keys of Rails.
//!   Flask-Security changes `fs_uniquifier` with the password if it is configured to.

mod better_auth;
mod decoding;
mod django;
mod error;
mod express_session;
mod flask;
mod flask_login_remember;
mod rails;
mod session;
mod settings;

use std::fmt;

pub use error::LegacyCookieError;
pub use session::{
    LegacyCookie, LegacyDigest, LegacySession, LegacyUser, StoredSession, StoredSessionKey, UnverifiedSession,
};
pub use settings::{LegacyKind, LegacySecret, LegacySettings};

use crate::{InvalidSetting, Timestamp};

use better_auth::BetterAuthTokens;
use django::DjangoSessions;
use express_session::ExpressSessions;
use flask::FlaskSessions;
use flask_login_remember::RememberTokens;
use rails::RailsCookies;

/// Opens the cookies of one framework.
pub struct LegacyCookies {
    cookie: String,
    framework: Framework,
}

enum Framework {
    Flask(FlaskSessions),
    FlaskLoginRemember(RememberTokens),
    Django(DjangoSessions),
    Rails(RailsCookies),
    ExpressSession(ExpressSessions),
    BetterAuth(BetterAuthTokens),
}

impl LegacyCookies {
    /// The most bytes of a cookie that is looked at, as many as browsers store.
    pub const MAX_BYTES: usize = 4096;

    /// The most bytes of a stored session that are looked at.
    pub const MAX_STORED_BYTES: usize = 128 * 1024;

    /// The most secrets, as each costs work for each cookie that none has signed.
    pub const MAX_SECRETS: usize = 8;

    /// Prepares the keys of these settings. For Rails that takes milliseconds, so it is done once.
    ///
    /// # Errors
    /// When there are no secrets or too many, or a setting is missing or means nothing for the kind.
    pub fn new(settings: &LegacySettings) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let framework = match settings.kind {
            LegacyKind::Flask => Framework::Flask(FlaskSessions::new(settings)),
            LegacyKind::FlaskLoginRemember => Framework::FlaskLoginRemember(RememberTokens::new(settings)),
            LegacyKind::Django => Framework::Django(DjangoSessions::new(settings)),
            LegacyKind::Rails => Framework::Rails(RailsCookies::new(settings)),
            LegacyKind::ExpressSession => Framework::ExpressSession(ExpressSessions::new(settings)),
            LegacyKind::BetterAuth => Framework::BetterAuth(BetterAuthTokens::new(settings)),
        };
        Ok(Self { cookie: settings.cookie_name().to_owned(), framework })
    }

    /// The names under which browsers may send the cookie. With https, better-auth puts `__Secure-` in front.
    pub fn cookie_names(&self) -> Vec<String> {
        let secure = matches!(self.framework, Framework::BetterAuth(_)).then(|| format!("__Secure-{}", self.cookie));
        std::iter::once(self.cookie.clone()).chain(secure).collect()
    }

    /// Opens the value of a cookie, as it stands in the `Cookie` header.
    ///
    /// # Errors
    /// Why it opens no session. The reason is for the log, and never for the client.
    pub fn open(&self, value: &str, now: Timestamp) -> Result<LegacyCookie, LegacyCookieError> {
        let cookie = self.authenticate(value)?;
        if let LegacyCookie::Session(session) = &cookie {
            session.check_times(now)?;
        }
        Ok(cookie)
    }

    /// The digest of the session of a cookie, whatever its times, so that a sign-out can end the session: a node whose clock is
    /// wrong must not refuse that.
    ///
    /// # Errors
    /// When the cookie is not one of the framework, or names no user.
    pub fn digest_to_end(&self, value: &str) -> Result<LegacyDigest, LegacyCookieError> {
        self.authenticate(value).map(|cookie| cookie.digest())
    }

    /// Opens the stored session that a cookie has named.
    ///
    /// # Errors
    /// Why the row is no session. The reason is for the log, and never for the client.
    pub fn open_stored(
        &self,
        key: &StoredSessionKey,
        stored: &StoredSession<'_>,
        now: Timestamp,
    ) -> Result<UnverifiedSession, LegacyCookieError> {
        if stored.content.len() > Self::MAX_STORED_BYTES {
            return Err(LegacyCookieError::TooLong);
        }
        let session = match &self.framework {
            Framework::Django(django) => django.open_stored(key, stored),
            Framework::ExpressSession(express) => express.open_stored(key, stored),
            Framework::BetterAuth(_) => better_auth::open_stored(key, stored),
            Framework::Flask(_) | Framework::FlaskLoginRemember(_) | Framework::Rails(_) => {
                Err(LegacyCookieError::NotStored)
            }
        }?;
        session.check_times(now)?;
        Ok(session)
    }

    /// Opens a cookie without regard to its times.
    fn authenticate(&self, value: &str) -> Result<LegacyCookie, LegacyCookieError> {
        if value.len() > Self::MAX_BYTES {
            return Err(LegacyCookieError::TooLong);
        }
        match &self.framework {
            Framework::Flask(flask) => flask.open(value).map(LegacyCookie::Session),
            Framework::FlaskLoginRemember(remember) => remember.open(value).map(LegacyCookie::Session),
            Framework::Django(django) => django.open(value),
            Framework::Rails(rails) => rails.open(value).map(LegacyCookie::Session),
            Framework::ExpressSession(express) => express.open(value).map(LegacyCookie::Stored),
            Framework::BetterAuth(better_auth) => better_auth.open(value).map(LegacyCookie::Stored),
        }
    }
}

impl fmt::Debug for LegacyCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacyCookies(…)")
    }
}

//! The exchange of sessions of the former system: the account of one, and why it is refused.

use std::sync::Arc;

use handstamp_core::legacy_cookie::{LegacyCookieError, LegacyDigest, LegacyUser, StoredSessionKey};
use handstamp_core::{PasswordHash, Timestamp, UserId};

use super::CredentialsVersion;

/// An imported account as an exchange sees it.
#[derive(Debug)]
pub(crate) struct LegacyAccount {
    pub(crate) user_id: UserId,
    pub(crate) version: CredentialsVersion,
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) imported_at: Timestamp,
    pub(crate) disabled: bool,
    pub(crate) credentials_changed: bool,
    /// Whether the sessions of the user in the former system have ended, or those of all users.
    pub(crate) sessions_ended: bool,
    /// Whether the user has an authenticator app or a passkey.
    pub(crate) has_factor: bool,
    pub(crate) groups: Vec<String>,
}

/// The column by which an account is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyColumn {
    Id,
    SessionKey,
    EmailKey,
}

/// A session of the former system that is exchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LegacyExchange {
    pub(crate) digest: LegacyDigest,
    /// Until when the digest is kept at least.
    pub(crate) kept_until: Timestamp,
    /// The version of the credentials of the account.
    pub(crate) checked: CredentialsVersion,
}

/// A session of the former system whose cookie a request has.
#[derive(Clone, Debug)]
pub(crate) struct PresentedLegacy {
    pub(crate) digest: LegacyDigest,
    /// Its key in the store, if it has one.
    pub(crate) key: Option<Arc<StoredSessionKey>>,
    /// The user whom the cookie names, if each copy of the session counts by itself.
    pub(crate) user: Option<LegacyUser>,
}

/// Sessions of the former system that end.
#[derive(Clone, Debug)]
pub(crate) struct LegacyEnd {
    pub(crate) digests: Vec<LegacyDigest>,
    /// The users all of whose sessions there end.
    pub(crate) users: Vec<UserId>,
    pub(crate) at: Timestamp,
    pub(crate) kept_until: Timestamp,
}

impl Default for LegacyEnd {
    fn default() -> Self {
        let at = Timestamp::from_unix_seconds(0);
        Self { digests: Vec::new(), users: Vec::new(), at, kept_until: at }
    }
}

/// Why a session of the former system is not exchanged. The client is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyRefusal {
    /// The request has no cookie of the former system, or no exchange is configured.
    NoCookie,
    /// The time for exchanges is over.
    WindowOver,
    /// The request has cookies of several sessions.
    SeveralSessions,
    /// The cookie or the stored session opens no session.
    Cookie(LegacyCookieError),
    /// The former system has no such session.
    NoStoredSession,
    /// The sessions of the former system cannot be read now.
    StoreUnavailable,
    /// No imported account is that of the session.
    UnknownUser,
    Disabled,
    /// The user has an authenticator app or a passkey.
    HasFactor,
    /// The user needs a second factor.
    FactorRequired,
    /// The user is in the group `admins`.
    Administrator,
    /// The password, a factor or the address was changed since the import.
    CredentialsChanged,
    /// The sessions of the user in the former system have ended.
    SessionsEnded,
    /// The session was exchanged before, or was ended.
    Used,
    /// The account changes all the time.
    Changing,
}

impl LegacyRefusal {
    /// The name for logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoCookie => "no_cookie",
            Self::WindowOver => "window_over",
            Self::SeveralSessions => "several_sessions",
            Self::Cookie(error) => error.name(),
            Self::NoStoredSession => "no_stored_session",
            Self::StoreUnavailable => "store_unavailable",
            Self::UnknownUser => "unknown_user",
            Self::Disabled => "disabled",
            Self::HasFactor => "has_factor",
            Self::FactorRequired => "factor_required",
            Self::Administrator => "administrator",
            Self::CredentialsChanged => "credentials_changed",
            Self::SessionsEnded => "sessions_ended",
            Self::Used => "used",
            Self::Changing => "changing",
        }
    }

    /// Whether the cookie stays in the browser: the session may be exchanged later, or is one of a visitor who is not signed in there.
    pub(crate) const fn keeps_cookie(self) -> bool {
        matches!(
            self,
            Self::NoCookie
                | Self::StoreUnavailable
                | Self::NoStoredSession
                | Self::Changing
                | Self::Cookie(LegacyCookieError::NoUser)
        )
    }

    /// Whether another try may succeed.
    pub(crate) const fn is_temporary(self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::Changing)
    }
}

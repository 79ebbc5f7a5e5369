//! Why a cookie of the old framework opens no session.

use std::fmt;

/// The reason why a cookie of the old framework opens no session. It is written to the log, and no response shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyCookieError {
    /// The cookie, what it inflates to, or the stored session is longer than any that is looked at.
    TooLong,
    /// The text does not have the form of the framework's cookies.
    Malformed,
    /// No secret has signed or encrypted it, or it was made for something else.
    BadSignature,
    /// It was made for another cookie, or for none in particular.
    WrongPurpose,
    /// It has expired.
    Expired,
    /// It was issued in the future.
    NotYetValid,
    /// It is authentic, but its content cannot be read.
    Unreadable,
    /// It is authentic, but serialized by Ruby's Marshal or by MessagePack. Marshal can run code, so it is not read.
    UnsupportedSerializer,
    /// It is authentic, but names no user.
    NoUser,
    /// It lacks the hash that ties a session to the password.
    NoAuthHash,
    /// The user has no imported password hash to compare with.
    NoPasswordHash,
    /// The password has changed since the sign-in.
    PasswordChanged,
    /// The kind has no stored sessions.
    NotStored,
    /// The stored session has no time at which it expires.
    NoExpiry,
}

impl LegacyCookieError {
    /// The name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::WrongPurpose => "wrong_purpose",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Unreadable => "unreadable",
            Self::UnsupportedSerializer => "unsupported_serializer",
            Self::NoUser => "no_user",
            Self::NoAuthHash => "no_auth_hash",
            Self::NoPasswordHash => "no_password_hash",
            Self::PasswordChanged => "password_changed",
            Self::NotStored => "not_stored",
            Self::NoExpiry => "no_expiry",
        }
    }
}

impl fmt::Display for LegacyCookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the session is too long",
            Self::Malformed => "the cookie does not have the form of the framework's",
            Self::BadSignature => "no secret has signed the session",
            Self::WrongPurpose => "the cookie was made for another purpose",
            Self::Expired => "the session has expired",
            Self::NotYetValid => "the session was issued in the future",
            Self::Unreadable => "the content of the session cannot be read",
            Self::UnsupportedSerializer => "the session is serialized by Marshal or MessagePack, which are not read",
            Self::NoUser => "the session names no user",
            Self::NoAuthHash => "the session is not tied to a password",
            Self::NoPasswordHash => "the user has no imported password hash to compare with",
            Self::PasswordChanged => "the password has changed since the sign-in",
            Self::NotStored => "the sessions of this kind are not stored",
            Self::NoExpiry => "the stored session has no expiry",
        })
    }
}

impl std::error::Error for LegacyCookieError {}

//! Why a token of a provider is refused.

use std::fmt;

/// Why an ID token or a logout token is refused. The reason is for the log and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenError {
    /// It is longer than any that is looked at.
    TooLong,
    /// The token or a claim in it does not have the form that the specification requires, or a name stands twice.
    Malformed,
    /// The type in its header is that of another kind of token.
    Type,
    /// Its header has extensions that must be understood (RFC 7515 §4.1.11). None is.
    Critical,
    /// Its algorithm is not one that is allowed.
    Algorithm,
    /// The set has no key of this id for the algorithm. The caller fetches the set anew, once, and tries again.
    UnknownKey,
    /// No key of the provider has signed it.
    Signature,
    /// It comes from another issuer.
    Issuer,
    /// It is for another client.
    Audience,
    /// It was issued to another client, or to several without saying to which.
    AuthorizedParty,
    /// It belongs to another attempt, or to none; or a logout token has a nonce.
    Nonce,
    /// It has expired.
    Expired,
    /// It was issued in the future.
    IssuedInFuture,
    /// It was issued too long ago.
    IssuedLongAgo,
    /// The user has not authenticated anew.
    AuthenticatedTooLongAgo,
    /// It does not say when the user authenticated, although that was asked.
    NoAuthenticationTime,
    /// It names no user; or a logout token names neither a user nor a session.
    Subject,
    /// A logout token is about another event.
    Event,
}

impl IdTokenError {
    /// The name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::Nonce => "nonce",
            Self::Expired => "expired",
            Self::IssuedInFuture => "issued_in_future",
            Self::IssuedLongAgo => "issued_long_ago",
            Self::AuthenticatedTooLongAgo => "authenticated_too_long_ago",
            Self::NoAuthenticationTime => "no_authentication_time",
            Self::Subject => "subject",
            Self::Event => "event",
        }
    }

    /// Whether a wrong clock of this machine is a likely cause.
    pub const fn is_clock(self) -> bool {
        matches!(self, Self::Expired | Self::IssuedInFuture | Self::IssuedLongAgo)
    }

    /// Whether newer keys of the provider may verify the token: it names an unknown key, or the provider has replaced a key under
    /// the same id.
    pub const fn may_need_newer_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::Signature)
    }
}

impl fmt::Display for IdTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token does not have the form that OpenID Connect requires",
            Self::Type => "the token is of another kind",
            Self::Critical => "the token has extensions that are not supported",
            Self::Algorithm => "the token is signed with an algorithm that is not allowed",
            Self::UnknownKey => "the provider publishes no key of the id and algorithm in the token",
            Self::Signature => "no key of the provider has signed the token",
            Self::Issuer => "the token comes from another issuer",
            Self::Audience => "the token is for another client",
            Self::AuthorizedParty => "the token was issued to another client",
            Self::Nonce => "the nonce of the token is not that of the attempt",
            Self::Expired => "the token has expired",
            Self::IssuedInFuture => "the token was issued in the future",
            Self::IssuedLongAgo => "the token was issued too long ago",
            Self::AuthenticatedTooLongAgo => "the user has not authenticated anew at the provider",
            Self::NoAuthenticationTime => "the token does not say when the user authenticated",
            Self::Subject => "the token names no user",
            Self::Event => "the token is about another event than a logout",
        })
    }
}

impl std::error::Error for IdTokenError {}

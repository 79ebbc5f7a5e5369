//! Sessions: one to be created, a live one, one in a list, and the result of revoking one.

use handstamp_core::{Authentication, SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::{SessionProvider, SessionUser};

/// The data of a live session that is not in its token.
#[derive(Clone, Debug)]
pub(crate) struct LiveSession {
    /// The session id that lists and forms show.
    pub(crate) session_id: Uuid,
    pub(crate) authentication: Authentication,
    pub(crate) user: SessionUser,
}

/// A session that is about to begin.
#[derive(Clone)]
pub(crate) struct NewSession {
    pub(crate) secret_hash: SessionSecretHash,
    pub(crate) session_id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) authentication: Authentication,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) user_agent: String,
    pub(crate) address: String,
    /// How it began at a provider; none if it did not.
    pub(crate) provider: Option<SessionProvider>,
}

/// The result of ending a session by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevokeOutcome {
    Revoked,
    /// There is no such session, or it had ended before.
    AlreadyEnded,
    /// The session belongs to another user and was not ended.
    OfAnotherUser,
}

/// A session and its user, as its token names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnedSession {
    pub(crate) secret_hash: SessionSecretHash,
    pub(crate) user_id: UserId,
}

impl NewSession {
    /// The session and its user, as its token will name them.
    pub(crate) fn owned(&self) -> OwnedSession {
        OwnedSession { secret_hash: self.secret_hash, user_id: self.user_id }
    }
}

/// A live session in a list of sessions. With the feature `serde` it can be serialized, in the format of
/// `handstamp session list --json`; the session id is `id` there.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListedSession {
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) secret_hash: SessionSecretHash,
    /// The session id for lists and forms; it does not authenticate.
    #[cfg_attr(feature = "serde", serde(rename = "id", serialize_with = "as_text"))]
    pub session_id: Uuid,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When the last request of the session came, to within five minutes.
    pub last_seen_at: Timestamp,
    /// The User-Agent header of the sign-in.
    pub user_agent: String,
    /// The address that the sign-in came from.
    pub address: String,
    /// The name of the provider at which the session began; none if it did not, or if the user has disconnected it since.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub provider: Option<String>,
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

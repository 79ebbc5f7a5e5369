//! Identities: the accounts at providers that are connected with users, what they allow, and how a provider ends sessions.

use handstamp_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::UsedCeremony;

/// An account at a provider that is connected with a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The id that sessions refer to. It opens nothing.
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    /// The name of the provider in the settings.
    pub(crate) provider: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The address that the provider told last; empty if none.
    pub(crate) email: String,
    pub(crate) created_at: Timestamp,
    pub(crate) used_at: Option<Timestamp>,
}

/// An account at a provider that is connected with a user, as lists show it. With the feature `serde` it can be serialized, as one of
/// `identities` in `handstamp user show --json`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListedIdentity {
    /// The name of the provider in the settings.
    pub provider: String,
    /// The address that the provider told last; empty if none.
    pub email: String,
    /// When it was connected.
    pub created_at: Timestamp,
    /// When it was last used, if it was.
    pub used_at: Option<Timestamp>,
}

impl From<Identity> for ListedIdentity {
    fn from(identity: Identity) -> Self {
        let Identity { provider, email, created_at, used_at, .. } = identity;
        Self { provider, email, created_at, used_at }
    }
}

/// How a session began at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionProvider {
    pub(crate) identity_id: Uuid,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The id of the session at the provider, `sid`, if it told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<String>,
    /// When the ID token was issued.
    #[serde(with = "unix_seconds")]
    pub(crate) issued_at: Timestamp,
}

/// A time as a number of seconds.
mod unix_seconds {
    use handstamp_core::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.unix_seconds())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp::from_unix_seconds)
    }
}

/// The use of an attempt at a provider, which allows one act.
#[derive(Clone, Debug)]
pub(crate) struct IdentityUse {
    /// The attempt. The table of used ceremonies serves attempts as well.
    pub(crate) attempt: UsedCeremony,
    /// The address that the provider tells now; empty if none.
    pub(crate) email: String,
    pub(crate) now: Timestamp,
}

/// The outcome of an act that an identity allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySignIn {
    /// Done, with the number of longest unused sessions that were ended to stay within the limit.
    Done(u64),
    /// The attempt was used before.
    Replayed,
    /// The identity, the credentials of its user or the session have changed since they were read, the account is disabled, or the
    /// provider has ended the sign-in meanwhile.
    Changed,
}

/// The outcome of creating an account with an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityCreated {
    Created,
    /// The address has an account.
    EmailTaken,
    /// The identity is connected with a user already.
    IdentityTaken,
    /// The attempt was used before.
    Replayed,
    /// The provider has ended the sign-in meanwhile.
    LoggedOut,
}

/// The outcome of connecting an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityConnected {
    Connected,
    /// The attempt was used before.
    Replayed,
    /// The identity is connected with a user already.
    Taken,
    /// The user has an identity of this provider already.
    ProviderTaken,
    /// The session has ended.
    SignedOut,
}

/// The outcome of disconnecting an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityRemoved {
    Removed,
    /// The user has no identity of this provider.
    NotFound,
    /// Without it the user could not sign in any more.
    LastWayIn,
    /// The session has ended.
    SignedOut,
}

/// The end of sessions at a provider, which it tells us: of one session, or of all of a subject. With both it is the one session, and
/// those of the subject that have no id.
#[derive(Clone, Debug)]
pub(crate) struct ProviderLogout {
    pub(crate) issuer: String,
    pub(crate) subject: Option<String>,
    /// The id of the session at the provider, `sid`.
    pub(crate) session_id: Option<String>,
    pub(crate) issued_at: Timestamp,
    /// When no sign-in from before it can be under way any more.
    pub(crate) expires_at: Timestamp,
}

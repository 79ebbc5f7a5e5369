//! Passkeys: one to be stored, one of a user, and its use.

use handstamp_core::{Timestamp, UserId};
use uuid::Uuid;

use super::UsedCeremony;

/// A stored passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passkey {
    /// The id that lists and forms show. It opens nothing.
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    /// The name that its user gave it, or that of the browser in which it was made.
    pub(crate) name: String,
    /// The public key and its properties, as JSON of the library that verifies signatures.
    pub(crate) credential: String,
    /// Whether it can be synchronised between the user's devices.
    pub(crate) backup_eligible: bool,
    /// Whether it was synchronised when it was last used.
    pub(crate) backed_up: bool,
    /// Whether its authenticator has ever verified the user, as by a PIN or a fingerprint.
    pub(crate) user_verified: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) used_at: Option<Timestamp>,
    /// The id that the authenticator gave it.
    pub(crate) credential_id: Vec<u8>,
    /// The signature counter at the last use.
    pub(crate) counter: u32,
}

/// The use of a passkey whose signature was verified: what changes with it.
#[derive(Clone, Debug)]
pub(crate) struct PasskeyUse {
    pub(crate) ceremony: UsedCeremony,
    pub(crate) passkey: Uuid,
    /// The signature counter of the answer.
    pub(crate) counter: u32,
    /// The passkey after its use.
    pub(crate) credential: String,
    pub(crate) backed_up: bool,
    /// Whether the authenticator has verified the user this time.
    pub(crate) user_verified: bool,
    pub(crate) now: Timestamp,
}

/// The outcome of an act that a passkey allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasskeyOutcome<T> {
    Done(T),
    /// The ceremony was used before.
    Replayed,
    /// The passkey, the credentials of its user or the session have changed since they were read, or the account is disabled.
    Changed,
}

/// The outcome of adding a passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasskeyAdded {
    Added,
    /// The ceremony was used before.
    Replayed,
    /// The passkey belongs to an account already.
    Taken,
    TooMany,
    /// The session has ended.
    SignedOut,
}

/// The outcome of removing a passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasskeyRemoved {
    Removed,
    /// The user has no such passkey.
    NotFound,
    /// Without it the user could not sign in any more.
    LastWayIn,
    /// The session has ended.
    SignedOut,
}

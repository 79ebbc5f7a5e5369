//! Second factors as the database stores them, and the session in which a user authenticates again or changes them.

use handstamp_core::{Authentication, RecoveryCodeHash, SessionSecretHash, Timestamp, TotpStep};
use uuid::Uuid;

use super::{NewEvent, OwnedSession};

/// The secret that a user's authenticator app shares, sealed.
#[derive(Clone, Debug)]
pub(crate) struct StoredTotp {
    pub(crate) sealed: Vec<u8>,
    /// The newest step whose code was accepted.
    pub(crate) last_step: TotpStep,
    /// None while it is being set up.
    pub(crate) confirmed_at: Option<Timestamp>,
}

/// A right code, which the transaction of the act that it allows uses up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RightCode {
    Totp(TotpStep),
    Recovery(RecoveryCodeHash),
}

/// The use of a right code, with the event that it causes, if any.
pub(crate) struct CodeUse {
    pub(crate) code: RightCode,
    pub(crate) event: Option<NewEvent>,
}

/// The password and the second factors of a user, without any secret. With the feature `serde` it can be serialized, as `factors` in `handstamp user show --json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Factors {
    /// Whether the user has a password.
    pub has_password: bool,
    /// When the authenticator app was set up, if it was.
    pub totp_since: Option<Timestamp>,
    /// The number of recovery codes that are left.
    pub recovery_codes: u64,
    /// The number of passkeys.
    pub passkeys: u64,
}

/// A session, and how it continues: under another secret, and where its level changes under another session id.
#[derive(Clone, Debug)]
pub(crate) struct ContinuedSession {
    pub(crate) current: OwnedSession,
    pub(crate) secret_hash: SessionSecretHash,
    pub(crate) session_id: Uuid,
    pub(crate) authentication: Authentication,
}

impl ContinuedSession {
    /// The session and its user, as its new token names them.
    pub(crate) fn owned(&self) -> OwnedSession {
        OwnedSession { secret_hash: self.secret_hash, user_id: self.current.user_id }
    }
}

/// Why an act that needs a session or a code was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactorRefused {
    /// The session, or the sign-in that waits for its second factor, has ended, or the credentials were changed meanwhile.
    Ended,
    /// The code was used meanwhile.
    CodeUsed,
}

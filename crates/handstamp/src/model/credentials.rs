//! The credentials of an account.

use handstamp_core::{PasswordHash, Timestamp, UserId};

/// The credentials of an account.
#[derive(Debug, PartialEq)]
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    /// Increased by every change of the credentials. A sign-in compares it within its transaction.
    pub(crate) version: CredentialsVersion,
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) disabled: bool,
    /// When the credentials were last changed, if ever.
    pub(crate) changed_at: Option<Timestamp>,
    /// Whether a sign-in needs the code of an authenticator app, or a recovery code, after the first factor.
    pub(crate) has_second_factor: bool,
}

/// The number of changes of an account's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CredentialsVersion(pub(crate) i64);

//! The credentials of an account.

use handstamp_core::{HashCosts, PasswordHash, Timestamp, UserId};

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
    /// Device cookies from then or earlier are void: the time of the last change, or of the newest epoch if that is later.
    pub(crate) devices_void_until: Option<Timestamp>,
    /// Whether a sign-in needs the code of an authenticator app, or a recovery code, after the first factor.
    pub(crate) has_second_factor: bool,
    /// The costs of imported hashes among all users.
    pub(crate) hash_costs: HashCosts,
}

/// The stored part of a check of a password.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredPassword {
    /// None if there is no account, or no password.
    pub(crate) hash: Option<PasswordHash>,
    /// The costs of imported hashes among all users: the work is that of all of them, whatever the hash is.
    pub(crate) hash_costs: HashCosts,
}

impl Credentials {
    /// The stored password.
    pub(crate) fn stored_password(&self) -> StoredPassword {
        StoredPassword { hash: self.password_hash.clone(), hash_costs: self.hash_costs.clone() }
    }
}

/// The number of changes of an account's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CredentialsVersion(pub(crate) i64);

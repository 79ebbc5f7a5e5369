//! The credentials of an account.

use handstamp_core::{PasswordHash, Timestamp, UserId};

/// The credentials of an account.
#[derive(Debug, PartialEq)]
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) disabled: bool,
    /// When the credentials were last changed, if ever.
    pub(crate) changed_at: Option<Timestamp>,
}

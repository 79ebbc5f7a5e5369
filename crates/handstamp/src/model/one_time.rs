//! One-time tokens: what a mailed link or code allows, as the database stores it.

use handstamp_core::{EmailAddress, OneTimeId, OneTimePurpose, Timestamp, UserId};

/// A one-time token that is about to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewOneTimeToken {
    pub(crate) id: OneTimeId,
    pub(crate) purpose: OneTimePurpose,
    /// None where there is no account yet.
    pub(crate) user_id: Option<UserId>,
    /// The very address that the token is about.
    pub(crate) email: EmailAddress,
    /// The other data that the act needs, as JSON.
    pub(crate) content: String,
    /// The hash of the secret of the browser that asked, if one did.
    pub(crate) browser: Option<BrowserHash>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A stored one-time token.
#[derive(Clone, Debug)]
pub(crate) struct OneTimeToken {
    pub(crate) id: OneTimeId,
    pub(crate) user_id: Option<UserId>,
    pub(crate) email: EmailAddress,
    pub(crate) content: String,
    pub(crate) browser: Option<BrowserHash>,
}

/// A one-time token in the export of an account.
#[derive(Clone, Debug)]
pub(crate) struct ListedToken {
    pub(crate) purpose: OneTimePurpose,
    pub(crate) email: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// SHA-256 of the secret in the pending cookie of a browser, by which a token is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrowserHash(pub(crate) [u8; 32]);

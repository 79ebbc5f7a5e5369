//! Ceremonies of passkeys and attempts at providers: what is stored of one that was used.

use handstamp_core::Timestamp;

/// The id of a ceremony or an attempt, which allows one act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CeremonyId(pub(crate) [u8; 16]);

/// A ceremony or an attempt that is about to be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedCeremony {
    pub(crate) id: CeremonyId,
    pub(crate) began_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

//! The ids of users, and the secrets of sessions.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroize;

use crate::Timestamp;

/// The permanent id of an account: a UUID of version 7 (RFC 9562), never given to another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Uuid);

impl UserId {
    /// A new id, from the time and ten random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let milliseconds = now.unix_seconds().saturating_mul(1000);
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid())
    }

    /// An id for each user of a batch: random bytes that they share and their number come before the random bytes of each. A database
    /// that stores users in the order of their ids then writes a batch to few pages.
    pub fn in_batch(now: Timestamp, shared: [u8; 4], number: u16, random: [u8; 4]) -> Self {
        let mut bytes = [0; 10];
        bytes[..4].copy_from_slice(&shared);
        bytes[4..6].copy_from_slice(&number.to_be_bytes());
        bytes[6..].copy_from_slice(&random);
        Self::new(now, bytes)
    }

    /// The id that was stored as this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// When the id was created: a UUID of version 7 begins with that time (RFC 9562 §5.7).
    pub fn made_at(&self) -> Timestamp {
        let seconds = self.0.get_timestamp().map_or(0, |timestamp| timestamp.to_unix().0);
        Timestamp::from_unix_seconds(seconds)
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As the text that `Display` gives.
#[cfg(feature = "serde")]
impl serde::Serialize for UserId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The secret of a session: 128 random bits, which only its token carries.
///
/// The database stores only its [`hash`](Self::hash). Wiped when dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret([u8; 16]);

impl SessionSecret {
    /// The secret made of these random bytes, which come from the operating system.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The hash that the database stores. Its preimage cannot be found, so a leaked database opens no session.
    pub fn hash(&self) -> SessionSecretHash {
        SessionSecretHash(Sha256::digest(self.0).into())
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Drop for SessionSecret {
    fn drop(&mut self) {
        // As a slice: of an array each byte would be written by itself.
        self.0.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}

/// SHA-256 of a [`SessionSecret`]: the key of the session's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionSecretHash([u8; 32]);

impl SessionSecretHash {
    /// The hash that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_of_version_7_and_sorts_by_time() {
        let at = |seconds, random| UserId::new(Timestamp::from_unix_seconds(seconds), [random; 10]);
        let id = at(1_800_000_000, 0xff);
        assert_eq!((id.as_uuid().get_version_num(), id.as_uuid().get_variant()), (7, uuid::Variant::RFC4122));
        assert!(id < at(1_800_000_001, 0) && id != at(1_800_000_000, 0xfe));
        assert_eq!(id.to_string(), "01a3185c-5000-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn the_ids_of_a_batch_stand_side_by_side() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let id = |shared, number, random| UserId::in_batch(now, shared, number, random);
        let first = id([1; 4], 0, [0xff; 4]);
        assert!(first < id([1; 4], 1, [0; 4]) && id([1; 4], 1, [0; 4]) < id([1, 1, 1, 2], 0, [0; 4]));
        assert!(first != id([1; 4], 0, [0xfe; 4]), "the ids of two batches that share bytes differ");
        assert_eq!(first.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn a_session_secret_is_stored_as_a_hash_and_neither_is_printed() {
        // SHA-256 (FIPS 180-4) of sixteen zero bytes: `head -c 16 /dev/zero | sha256sum`.
        let hash = SessionSecret::from_bytes([0; 16]).hash();
        assert_eq!(hash.as_bytes()[..4], [0x37, 0x47, 0x08, 0xff]);
        assert_eq!(
            format!("{hash:?} {:?}", SessionSecret::from_bytes([0; 16])),
            "SessionSecretHash(…) SessionSecret(…)"
        );
    }
}

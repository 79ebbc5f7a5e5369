//! The chain of the audit log: the commitment to an event, the links that order the commitments, and the tags that prove both.
//!
//! An event is committed to when it is written: HMAC-SHA-256 of its encoded record, under a random salt as the key. The node
//! that writes it tags the commitment. Sealing gives it a position, links it to the event before, and tags the link. Without the
//! salt the commitment reveals nothing of the record, so an erased event keeps its commitment, and the chain still verifies.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::keyring::{KeyId, KeyRing, KeyRingError, Purpose};
use crate::{SecretKey, Timestamp, UserId};

/// The random bytes that hide a record in its commitment.
pub type EventSalt = [u8; 16];

/// The first byte of an encoded record.
const RECORD_VERSION: u8 = 1;

/// The first byte of what a tag covers, so that no tag of a commitment is one of a link.
const TAG_OF_COMMITMENT: u8 = 1;
const TAG_OF_LINK: u8 = 2;

/// The record of an event: all that its commitment covers.
#[derive(Clone, Copy, Debug)]
pub struct EventRecord<'a> {
    /// The id of the event.
    pub id: Uuid,
    /// When it happened.
    pub time: Timestamp,
    /// The user whose account it is about, if it is about one.
    pub user: Option<UserId>,
    /// The name of the event in the closed list of events.
    pub name: &'a str,
    /// The other fields, as the JSON text that is stored.
    pub content: &'a str,
}

impl EventRecord<'_> {
    /// The commitment to this record under a salt: HMAC-SHA-256 (RFC 2104) with the salt as the key.
    ///
    /// ```text
    /// 0 version │ 1 id │ 17 time │ 25 whether there is a user │ 26 user, or zeros │ 42 length of the name │ 46 name │ content
    /// ```
    ///
    /// Integers are big-endian.
    pub fn commitment(&self, salt: &EventSalt) -> EventCommitment {
        let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("HMAC takes a key of any length");
        mac.update(&[RECORD_VERSION]);
        mac.update(self.id.as_bytes());
        mac.update(&self.time.unix_seconds().to_be_bytes());
        mac.update(&[u8::from(self.user.is_some())]);
        mac.update(self.user.map_or(Uuid::nil(), |user| user.as_uuid()).as_bytes());
        mac.update(&u32::try_from(self.name.len()).unwrap_or(u32::MAX).to_be_bytes());
        mac.update(self.name.as_bytes());
        mac.update(self.content.as_bytes());
        EventCommitment(mac.finalize().into_bytes().into())
    }
}

/// The commitment to the record of an event. It identifies the event, even after the record was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCommitment([u8; 32]);

impl EventCommitment {
    /// The commitment that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The commitment as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The newest position of a chain and the link there, which proves all events up to it. Its text is `42:9f86…`, the position and
/// 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// The position of the newest event; zero for a chain without events.
    pub position: u64,
    /// The link of that event: SHA-256 of the link before, the position in eight bytes, the id of the key that seals it in four,
    /// and the commitment.
    pub link: [u8; 32],
}

impl EventHead {
    /// The head of a chain without events.
    pub const EMPTY: Self = Self { position: 0, link: [0; 32] };

    /// The head after one more event, whose seal names this key.
    fn next(&self, key_id: KeyId, commitment: &EventCommitment) -> Self {
        let position = self.position + 1;
        let link = Sha256::new()
            .chain_update(self.link)
            .chain_update(position.to_be_bytes())
            .chain_update(key_id)
            .chain_update(commitment.0)
            .finalize()
            .into();
        Self { position, link }
    }
}

impl fmt::Display for EventHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.position)?;
        write_hex(&self.link, f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl FromStr for EventHead {
    type Err = InvalidEventHead;

    fn from_str(text: &str) -> Result<Self, InvalidEventHead> {
        let (position, digits) = text.split_once(':').ok_or(InvalidEventHead)?;
        let link = parse_hex(digits).ok_or(InvalidEventHead)?;
        let head = Self { position: position.parse().map_err(|_| InvalidEventHead)?, link };
        // One head has one text.
        if head.to_string() == text { Ok(head) } else { Err(InvalidEventHead) }
    }
}

fn parse_hex(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.try_into().ok().filter(|_| rest.is_empty())
}

/// The text is not that of a [`EventHead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEventHead;

impl fmt::Display for InvalidEventHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a position, a colon and 64 hexadecimal digits, as `events head` prints them")
    }
}

impl std::error::Error for InvalidEventHead {}

/// A set of erased events, as the event that records their erasure names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedEvents {
    /// How many they are.
    pub count: u64,
    /// SHA-256 of their commitments, one after the other in ascending order.
    pub digest: [u8; 32],
}

impl ErasedEvents {
    /// The set of the events with these commitments, in any order.
    pub fn of(mut commitments: Vec<EventCommitment>) -> Self {
        commitments.sort_unstable();
        let mut hash = Sha256::new();
        for commitment in &commitments {
            hash.update(commitment.0);
        }
        Self { count: commitments.len() as u64, digest: hash.finalize().into() }
    }

    /// The digest as 64 hexadecimal digits.
    pub fn digest_text(&self) -> String {
        struct Hex<'a>(&'a [u8; 32]);
        impl fmt::Display for Hex<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(self.0, f)
            }
        }
        Hex(&self.digest).to_string()
    }

    /// The set of this many events with the digest that is written as these digits.
    pub fn from_text(count: u64, digest: &str) -> Option<Self> {
        Some(Self { count, digest: parse_hex(digest)? })
    }
}

/// A tag of a commitment or of a link: the id of the key in four bytes, and HMAC-SHA-256 in 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTag([u8; 36]);

impl EventTag {
    /// The tag that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 36]) -> Self {
        Self(bytes)
    }

    /// The tag as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 36] {
        &self.0
    }

    fn parts(&self) -> (KeyId, &[u8]) {
        let (id, mac) = self.0.split_first_chunk().expect("a tag begins with the four bytes of its key's id");
        (*id, mac)
    }
}

/// Why a tag proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTagError {
    /// No key of the ring has the id that the tag names.
    UnknownKey,
    /// The key that the tag names has not made it.
    Invalid,
}

/// The keys of the audit log: the current one makes tags, and the fallbacks only check them.
pub struct EventKeys(KeyRing);

impl EventKeys {
    /// The keys that are derived from the secret and from earlier ones.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn new(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        KeyRing::new(Purpose::Events, current, fallbacks).map(Self)
    }

    /// The tag of a commitment, by which the node that seals the event knows that a node of this site has written it.
    pub fn tag_commitment(&self, commitment: &EventCommitment) -> EventTag {
        self.tag(TAG_OF_COMMITMENT, &commitment.0)
    }

    /// Checks the tag of a commitment.
    ///
    /// # Errors
    /// When its key is unknown, or has not made it.
    pub fn check_commitment(&self, commitment: &EventCommitment, tag: &EventTag) -> Result<(), EventTagError> {
        self.check(TAG_OF_COMMITMENT, &commitment.0, tag)
    }

    /// Seals an event after this head: the new head, and the tag of its link, which proves the event and all before it.
    pub fn seal(&self, head: &EventHead, commitment: &EventCommitment) -> (EventHead, EventTag) {
        let head = head.next(self.0.current().id(), commitment);
        (head, self.tag(TAG_OF_LINK, &head.link))
    }

    /// The head after a sealed event, and whether its tag is genuine. The head is right in any case, if a later tag is genuine.
    pub fn check_seal(
        &self,
        head: &EventHead,
        commitment: &EventCommitment,
        tag: &EventTag,
    ) -> (EventHead, Result<(), EventTagError>) {
        let head = head.next(tag.parts().0, commitment);
        (head, self.check(TAG_OF_LINK, &head.link, tag))
    }

    fn tag(&self, role: u8, message: &[u8; 32]) -> EventTag {
        let key = self.0.current();
        let mut tag = [0; 36];
        let (id, mac) = tag.split_at_mut(4);
        id.copy_from_slice(&key.id());
        mac.copy_from_slice(&key.tag(&with_role(role, message)));
        EventTag(tag)
    }

    fn check(&self, role: u8, message: &[u8; 32], tag: &EventTag) -> Result<(), EventTagError> {
        let (id, mac) = tag.parts();
        let key = self.0.find(id).ok_or(EventTagError::UnknownKey)?;
        if key.verifies(&with_role(role, message), mac) { Ok(()) } else { Err(EventTagError::Invalid) }
    }
}

impl fmt::Debug for EventKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventKeys(…)")
    }
}

fn with_role(role: u8, message: &[u8; 32]) -> [u8; 33] {
    let mut bytes = [role; 33];
    bytes[1..].copy_from_slice(message);
    bytes
}

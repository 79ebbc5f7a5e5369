//! The token of the session cookie, version 1: 87 bytes, sent as 116 characters of base64url (RFC 4648 §5).
//!
//! ```text
//! 0 version │ 1 key id │ 5 flags │ 7 user id │ 23 session secret │ 39 issued at │ 47 expires at │ 55 tag
//! ```
//!
//! Integers are big-endian. The tag is HMAC-SHA-256 over everything before it, so no field can be changed or carried
//! over into another token. As 87 is divisible by 3, a token has exactly one spelling.

use std::fmt;
use std::time::Duration;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use uuid::Uuid;
use zeroize::Zeroize;

use crate::keyring::{KeyRing, KeyRingError, Purpose, SecretKey, SecretKeyId};
use crate::{SessionSecret, SessionSecretHash, Timestamp, UserId};

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 55;
const TOKEN_BYTES: usize = 87;
const TEXT_CHARACTERS: usize = 116;

const REMEMBERED: u16 = 1;

/// How far the clock of the node that issued a token may be ahead of the one that opens it.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// The claims of a session token. They contain no personal data, as the token is signed, not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user who signed in.
    pub user_id: UserId,
    /// The secret of the session.
    pub session_secret: SessionSecret,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token expires; at that second it is no longer valid.
    pub expires_at: Timestamp,
    /// Whether the browser keeps the cookie after it is closed.
    pub remembered: bool,
}

/// Issues and opens session tokens.
///
/// ```
/// use handstamp_core::{Claims, SecretKey, SessionSecret, SessionTokens, Timestamp, UserId};
///
/// let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")?;
/// let tokens = SessionTokens::new(&secret, &[])?;
/// let now = Timestamp::from_unix_seconds(1_800_000_000);
/// let claims = Claims {
///     user_id: UserId::new(now, [7; 10]),
///     session_secret: SessionSecret::from_bytes([9; 16]),
///     issued_at: now,
///     expires_at: Timestamp::from_unix_seconds(1_802_592_000),
///     remembered: true,
/// };
///
/// let token = tokens.issue(&claims);
/// assert_eq!(tokens.open(token.expose(), now)?.claims, claims);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SessionTokens {
    ring: KeyRing,
}

impl SessionTokens {
    /// `current` signs; `fallbacks` are earlier secrets, whose tokens are still accepted.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn new(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Ok(Self { ring: KeyRing::new(Purpose::Session, current, fallbacks)? })
    }

    /// The ids of the secrets: of the current one, and then of the fallbacks.
    pub fn secret_ids(&self) -> impl Iterator<Item = SecretKeyId> {
        self.ring.all().map(|key| SecretKeyId::from(key.id()))
    }

    /// The token with these claims, signed with the current key.
    pub fn issue(&self, claims: &Claims) -> TokenText {
        let key = self.ring.current();
        let mut bytes = [0; TOKEN_BYTES];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&key.id());
        bytes[5..7].copy_from_slice(&flags(claims).to_be_bytes());
        bytes[7..23].copy_from_slice(claims.user_id.as_uuid().as_bytes());
        bytes[23..39].copy_from_slice(claims.session_secret.as_bytes());
        bytes[39..47].copy_from_slice(&claims.issued_at.unix_seconds().to_be_bytes());
        bytes[47..55].copy_from_slice(&claims.expires_at.unix_seconds().to_be_bytes());
        let tag = key.tag(&bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&tag);

        let mut text = TokenText([0; TEXT_CHARACTERS]);
        let _ = URL_SAFE_NO_PAD.encode(&bytes, text.0.as_mut_slice().as_out());
        // As a slice: of an array each byte would be written by itself.
        bytes.as_mut_slice().zeroize();
        text
    }

    /// The claims of the token in `text`, if this service issued it and it is valid at `now`. Whether the session is still
    /// live is for the database to say.
    ///
    /// A pure function of the text, the keys and the clock: no I/O, and no allocation.
    ///
    /// # Errors
    /// The first rule that the text breaks. The client only ever learns that it is signed out.
    pub fn open(&self, text: &str, now: Timestamp) -> Result<OpenedToken, TokenError> {
        // The bytes stay where they are decoded: copying bytes just written makes the processor wait, 32 of 180 ns.
        let mut bytes = [0; TOKEN_BYTES];
        decode(text, &mut bytes)?;
        let bytes = &bytes;
        if bytes[0] != VERSION {
            return Err(TokenError::Version);
        }
        let remembered = parse_flags(u16::from_be_bytes(field(bytes, 5)))?;
        let key = self.ring.find(field(bytes, 1)).ok_or(TokenError::UnknownKey)?;
        if !key.verifies(&bytes[..SIGNED_BYTES], &bytes[SIGNED_BYTES..]) {
            return Err(TokenError::Tag);
        }
        let claims = Claims {
            user_id: UserId::from_uuid(Uuid::from_bytes(field(bytes, 7))),
            session_secret: SessionSecret::from_bytes(field(bytes, 23)),
            issued_at: Timestamp::from_unix_seconds(u64::from_be_bytes(field(bytes, 39))),
            expires_at: Timestamp::from_unix_seconds(u64::from_be_bytes(field(bytes, 47))),
            remembered,
        };
        check_time(&claims, now)?;
        Ok(OpenedToken { claims, signed_by_fallback: key.id() != self.ring.current().id() })
    }

    /// The session of the token in `text`, if a key of this service signed it: for revoking that session. The times and flags
    /// do not matter, since a session that may no longer be used must still be revocable.
    ///
    /// # Errors
    /// [`Malformed`](TokenError::Malformed) or [`Tag`](TokenError::Tag) for a text that this service never signed. For one
    /// that another key may have signed, [`UnknownKey`](TokenError::UnknownKey): such a session may be live elsewhere.
    pub fn open_to_end(&self, text: &str) -> Result<TokenToEnd, TokenError> {
        let mut bytes = [0; TOKEN_BYTES];
        decode(text, &mut bytes)?;
        let key = self.ring.find(field(&bytes, 1)).ok_or(TokenError::UnknownKey)?;
        if !key.verifies(&bytes[..SIGNED_BYTES], &bytes[SIGNED_BYTES..]) {
            return Err(TokenError::Tag);
        }
        Ok(TokenToEnd {
            user_id: UserId::from_uuid(Uuid::from_bytes(field(&bytes, 7))),
            secret_hash: SessionSecret::from_bytes(field(&bytes, 23)).hash(),
            remembered: u16::from_be_bytes(field(&bytes, 5)) & REMEMBERED != 0,
        })
    }
}

fn decode(text: &str, bytes: &mut [u8; TOKEN_BYTES]) -> Result<(), TokenError> {
    let is_whole =
        text.len() == TEXT_CHARACTERS && URL_SAFE_NO_PAD.decode(text.as_bytes(), bytes.as_mut_slice().as_out()).is_ok();
    if is_whole { Ok(()) } else { Err(TokenError::Malformed) }
}

/// A field of a token of any layout.
pub(crate) fn field<const LENGTH: usize, const TOTAL: usize>(bytes: &[u8; TOTAL], offset: usize) -> [u8; LENGTH] {
    bytes[offset..offset + LENGTH].try_into().expect("a slice of LENGTH bytes")
}

fn flags(claims: &Claims) -> u16 {
    u16::from(claims.remembered) * REMEMBERED
}

fn parse_flags(flags: u16) -> Result<bool, TokenError> {
    if flags & !REMEMBERED == 0 { Ok(flags == REMEMBERED) } else { Err(TokenError::Flags) }
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    if claims.issued_at > now.after(CLOCK_TOLERANCE) {
        Err(TokenError::NotYet)
    } else if claims.expires_at <= claims.issued_at || now >= claims.expires_at {
        Err(TokenError::Expired)
    } else {
        Ok(())
    }
}

/// The session of a token, for revoking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenToEnd {
    /// The user of the session.
    pub user_id: UserId,
    /// The hash of the session's secret.
    pub secret_hash: SessionSecretHash,
    /// Whether the browser keeps the cookie after it is closed.
    pub remembered: bool,
}

/// A token that this service issued and that has not expired.
#[derive(Clone, Debug)]
pub struct OpenedToken {
    /// The claims of the token.
    pub claims: Claims,
    /// An earlier key signed it: issue it again under the current one.
    pub signed_by_fallback: bool,
}

/// The first rule that a text broke. It is for the log; the client cannot tell one from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not 116 characters of base64url.
    Malformed,
    /// Not of version 1.
    Version,
    /// A flag without a meaning is set.
    Flags,
    /// No key of the ring has this id.
    UnknownKey,
    /// The tag does not match: the token was changed, or this service did not issue it.
    Tag,
    /// Issued more than 60 s in the future.
    NotYet,
    /// Expired, or expires no later than it was issued.
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Flags => "flags",
            Self::UnknownKey => "unknown_key",
            Self::Tag => "tag",
            Self::NotYet => "not_yet",
            Self::Expired => "expired",
        })
    }
}

impl std::error::Error for TokenError {}

/// The text of a token, which signs in every client that presents it. Wiped when dropped, and never printed.
#[derive(Clone)]
pub struct TokenText([u8; TEXT_CHARACTERS]);

impl TokenText {
    /// The text, for the cookie and for nothing else.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl Drop for TokenText {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

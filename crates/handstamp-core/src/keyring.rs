//! Secrets and the keys derived from them: for each purpose a current key that signs, and earlier keys that only verify.

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How many characters of a secret the strength estimate reads, as its time is superlinear in them.
const JUDGED_CHARACTERS: usize = 100;

/// The purpose of a key. The list is closed, and no key serves two purposes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The token of the session cookie.
    Session,
    /// The tokens of the device cookie.
    Device,
    /// The signature of assertions.
    Assertion,
    /// The tokens of mailed links.
    OneTime,
    /// The codes beside mailed links.
    OneTimeCode,
    /// The tags of the audit log.
    Events,
    /// The seal of the secrets of second factors.
    Factors,
    /// The seal of the state of passkey ceremonies.
    Ceremony,
    /// The credential ids that are made up for addresses without passkeys.
    DecoyPasskey,
    /// The seal of attempts to sign in through a provider.
    Federation,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Session => b"handstamp/session/v1",
            Self::Device => b"handstamp/device/v1",
            Self::Assertion => b"handstamp/assertion/v1",
            Self::OneTime => b"handstamp/one-time/v1",
            Self::OneTimeCode => b"handstamp/one-time-code/v1",
            Self::Events => b"handstamp/events/v1",
            Self::Factors => b"handstamp/factors/v1",
            Self::Ceremony => b"handstamp/ceremony/v1",
            Self::DecoyPasskey => b"handstamp/decoy-passkey/v1",
            Self::Federation => b"handstamp/federation/v1",
        }
    }
}

/// A secret of the operator, from which every key is derived. Wiped when dropped, and never printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// The fewest bytes a secret may have.
    pub const MIN_BYTES: usize = 32;

    /// Takes the bytes of the text, unchanged, as the secret.
    ///
    /// # Errors
    /// Refuses a text shorter than [`MIN_BYTES`](Self::MIN_BYTES), and one that is plainly not random.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.len() < Self::MIN_BYTES {
            return Err(SecretError::TooShort { bytes: text.len() });
        }
        if is_guessable(text) {
            return Err(SecretError::Obvious);
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// Takes 32 random bytes, unchanged, as the secret.
    pub fn from_random(random: &[u8; Self::MIN_BYTES]) -> Self {
        Self(Zeroizing::new(random.to_vec()))
    }

    /// The text of a new secret: the base64url form of 32 random bytes.
    pub fn generate(random: [u8; 32]) -> Zeroizing<String> {
        Zeroizing::new(base64_simd::URL_SAFE_NO_PAD.encode_to_string(random))
    }

    /// The id by which the session tokens of this secret name it. It reveals nothing of the secret.
    pub fn id(&self) -> SecretKeyId {
        SecretKeyId(Key::new(&self.derive(Purpose::Session)).id)
    }

    pub(crate) fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose.info(), key.as_mut())
            .expect("32 bytes are within the 8160 that HKDF-SHA-256 can give");
        key
    }
}

impl FromStr for SecretKey {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        Self::parse(text)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// The id of a secret key. Its text has eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKeyId(KeyId);

impl From<KeyId> for SecretKeyId {
    fn from(id: KeyId) -> Self {
        Self(id)
    }
}

impl fmt::Display for SecretKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SecretKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SecretKeyId {
    type Err = InvalidSecretKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidSecretKeyId> {
        let number = u32::from_str_radix(text, 16).map_err(|_| InvalidSecretKeyId)?;
        let id = Self(number.to_be_bytes());
        // One id has one text.
        if id.to_string() == text { Ok(id) } else { Err(InvalidSecretKeyId) }
    }
}

/// The text is not that of a [`SecretKeyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSecretKeyId;

impl fmt::Display for InvalidSecretKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must have eight hexadecimal digits")
    }
}

impl std::error::Error for InvalidSecretKeyId {}

/// Words that occur in secrets that were not drawn at random: those of examples, and those of operators in a hurry. None is
/// short enough to occur by chance.
const PLACEHOLDER_WORDS: [&str; 12] = [
    "change",
    "secret",
    "password",
    "insecure",
    "example",
    "default",
    "replace",
    "please",
    "handstamp",
    "develop",
    "testing",
    "qwerty",
];

/// Whether a text is a repetition, a sequence, or a phrase of lower-case words, or contains a telltale word. Texts that were
/// drawn at random, in base64, hexadecimal or otherwise, do not match.
pub(crate) fn is_guessable(text: &str) -> bool {
    let mut distinct: Vec<u8> = text.bytes().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let lower = text.to_lowercase();
    let is_phrase = text.contains([' ', '-', '_', '.'])
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b' ' | b'-' | b'_' | b'.' | b'!'));
    let head: String = text.chars().take(JUDGED_CHARACTERS).collect();
    distinct.len() < 10
        || is_phrase
        || PLACEHOLDER_WORDS.iter().any(|word| lower.contains(word))
        || zxcvbn::zxcvbn(&head, &[]).guesses_log10() < 19.0
}

/// Why a text is refused as a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// It has fewer than [`SecretKey::MIN_BYTES`] bytes.
    TooShort {
        /// How many it has.
        bytes: usize,
    },
    /// It is made of words, repetitions or sequences.
    Obvious,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => {
                write!(f, "is {bytes} bytes long and must have at least {}", SecretKey::MIN_BYTES)
            }
            Self::Obvious => f.write_str("can be guessed; take random bytes, as from `openssl rand -base64 32`"),
        }
    }
}

impl std::error::Error for SecretError {}

/// The current key and its fallbacks, for one purpose.
pub(crate) struct KeyRing {
    current: Key,
    fallbacks: Vec<Key>,
}

impl KeyRing {
    pub(crate) fn new(purpose: Purpose, current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        let ring = Self {
            current: Key::new(&current.derive(purpose)),
            fallbacks: fallbacks.iter().map(|secret| Key::new(&secret.derive(purpose))).collect(),
        };
        let mut ids: Vec<_> = ring.fallbacks.iter().map(|key| key.id).chain([ring.current.id]).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) { Err(KeyRingError) } else { Ok(ring) }
    }

    /// The key that signs.
    pub(crate) fn current(&self) -> &Key {
        &self.current
    }

    /// The key with this id, among all that verify.
    pub(crate) fn find(&self, id: KeyId) -> Option<&Key> {
        self.all().find(|key| key.id == id)
    }

    /// All keys that verify, the current one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.fallbacks)
    }
}

/// Two keys of a ring have the same id: most often, a fallback is the current secret, or is listed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRingError;

impl fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the current secret and its fallbacks must all differ")
    }
}

impl std::error::Error for KeyRingError {}

/// The first four bytes of SHA-256 of a key, by which its tokens name it.
pub(crate) type KeyId = [u8; 4];

/// A prepared key: HMAC's two compressions of the key itself are already computed.
pub(crate) struct Key {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(bytes));
        Self { id: [a, b, c, d], mac: Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length") }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// HMAC-SHA-256 (RFC 2104) of `message`.
    pub(crate) fn tag(&self, message: &[u8]) -> [u8; 32] {
        self.mac_of(message).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        self.mac_of(message).verify_slice(tag).is_ok()
    }

    fn mac_of(&self, message: &[u8]) -> Hmac<Sha256> {
        // Not `chain_update`, which copies the state once more.
        let mut mac = self.mac.clone();
        mac.update(message);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "mYq3t6w9z$C&F)J@NcRfUjXn2r5u8x!A";

    #[test]
    fn a_secret_of_words_or_repetitions_is_refused() {
        for obvious in [
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "changemechangemechangemechangeme",
            "this-is-my-secret-key-please-change",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "correct horse battery staple and a goat",
            "My Super SECRET session signing key 2024",
            "00000000000000000000000000000000000001",
        ] {
            assert_eq!(SecretKey::parse(obvious).err(), Some(SecretError::Obvious), "{obvious}");
        }
    }

    #[test]
    fn each_sign_of_a_secret_that_is_not_random_is_enough_to_refuse_it() {
        for obvious in [
            "xkvbzqmwjxzqkjvwbmqxjzkwvbmxqzjk",
            "gnu vole lynx auk crow ibis newt wasp",
            "mYq3t6w9z$C&FQwErTyNcRfUjXn2r5u8x!A",
            "qazwsxedcrfvtgbyhnujmikolpqazwsx",
        ] {
            assert_eq!(SecretKey::parse(obvious).err(), Some(SecretError::Obvious), "{obvious}");
        }
        let ten_characters = "xkvbzqmwjfxzqkjvwbmqxjzkwvbmxqzf";
        assert!(SecretKey::parse(ten_characters).is_ok());
    }

    #[test]
    fn a_random_secret_is_accepted_in_every_usual_encoding() {
        for random in [
            SECRET,
            "9f86d081884c7d659a2feaa0c55ad015",
            "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
            "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
            &SecretKey::generate(
                *b"\x00\x13\x9a\xff.k*\x81s\x90\xe2h5\xb7\xcb\x0f\x11G\x9e_c\xd8\xaa\x7f\x06u\xf3=n\xb1L\xd4",
            ),
        ] {
            assert!(SecretKey::parse(random).is_ok(), "{random}");
        }
    }

    #[test]
    fn a_secret_of_31_bytes_is_too_short_and_one_of_32_is_not() {
        assert_eq!(SecretKey::parse(&SECRET[..31]).err(), Some(SecretError::TooShort { bytes: 31 }));
        assert!(SecretKey::parse(&SECRET[..32]).is_ok());
        assert_eq!(SecretKey::parse("").err(), Some(SecretError::TooShort { bytes: 0 }));
    }

    #[test]
    fn a_key_ring_with_a_duplicate_key_is_refused() {
        let secret: SecretKey = SECRET.parse().unwrap();
        assert_eq!(KeyRing::new(Purpose::Session, &secret, std::slice::from_ref(&secret)).err(), Some(KeyRingError));
    }

    #[test]
    fn the_id_of_a_secret_has_one_text() {
        let id = SecretKey::parse(SECRET).unwrap().id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, SecretKey::from_random(&[7; 32]).id());
        for wrong in ["", "0", "+1234567", "0123456789", "ABCDEF01", "0123456g"] {
            assert_eq!(wrong.parse::<SecretKeyId>(), Err(InvalidSecretKeyId), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretKey::parse(SECRET).unwrap()), "SecretKey(…)");
    }
}

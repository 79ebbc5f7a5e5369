//! Sealing: authenticated encryption of what this service stores or gives away and reads again itself.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose nonces of 192 bits can be random. A sealed value is the id of its key, the
//! nonce and the ciphertext. Each purpose has keys of its own. The context is authenticated as well: a value that was sealed for one
//! row does not open in another.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::keyring::{KeyId, KeyRingError, Purpose, SecretKey};

const KEY_ID_BYTES: usize = 4;

/// The nonce of a sealed value: random, and never used twice.
pub type SealNonce = [u8; 24];

/// Seals and opens the values of one purpose.
pub struct Sealer {
    /// The current key, then the fallbacks.
    keys: Vec<SealingKey>,
}

struct SealingKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// A value that was opened.
pub struct Opened {
    /// The value as it was before it was sealed. It is wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
    /// An earlier key has sealed it: it should be sealed again.
    pub sealed_by_fallback: bool,
}

impl Sealer {
    /// Seals the secrets of second factors, as they are stored.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn for_factors(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Self::new(Purpose::Factors, current, fallbacks)
    }

    /// Seals the state of a passkey ceremony, which the client carries.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn for_ceremonies(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Self::new(Purpose::Ceremony, current, fallbacks)
    }

    /// Seals the state of an attempt to sign in through a provider, which the provider gives back.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn for_federation(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Self::new(Purpose::Federation, current, fallbacks)
    }

    fn new(purpose: Purpose, current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        let keys: Vec<_> =
            std::iter::once(current).chain(fallbacks).map(|secret| SealingKey::new(secret, purpose)).collect();
        let is_unique = |(index, key): (usize, &SealingKey)| keys[..index].iter().all(|other| other.id != key.id);
        if keys.iter().enumerate().all(is_unique) { Ok(Self { keys }) } else { Err(KeyRingError) }
    }

    /// Seals a value with the current key, for this context.
    pub fn seal(&self, nonce: &SealNonce, value: &[u8], context: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let sealed = key.cipher.encrypt(&XNonce::from(*nonce), Payload { msg: value, aad: context });
        let sealed = sealed.expect("the cipher takes any value below 256 GiB");
        [key.id.as_slice(), nonce, &sealed].concat()
    }

    /// Opens a value that was sealed for this context. None for anything else.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Opened> {
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let (index, key) = self.keys.iter().enumerate().find(|(_, key)| key.id == *id)?;
        let value = key.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context }).ok()?;
        Some(Opened { value: Zeroizing::new(value), sealed_by_fallback: index > 0 })
    }

    /// The first bytes of the values of each key: of the current one, and then of the fallbacks.
    pub fn prefixes(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }

    /// The first bytes of every value that the current key has sealed.
    pub fn current_prefix(&self) -> KeyId {
        self.keys[0].id
    }
}

impl SealingKey {
    fn new(secret: &SecretKey, purpose: Purpose) -> Self {
        let key = secret.derive(purpose);
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(*key));
        Self { id: [a, b, c, d], cipher: XChaCha20Poly1305::new((&*key).into()) }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretKey {
        SecretKey::parse(text).unwrap()
    }

    fn first() -> SecretKey {
        secret("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
    }

    fn second() -> SecretKey {
        secret("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c")
    }

    #[test]
    fn a_sealed_value_opens_in_its_context_only() {
        let sealer = Sealer::for_factors(&first(), &[]).unwrap();
        let sealed = sealer.seal(&[7; 24], b"a secret", b"user 1");
        let opened = sealer.open(&sealed, b"user 1").unwrap();
        assert_eq!((opened.value.as_slice(), opened.sealed_by_fallback), (b"a secret".as_slice(), false));
        assert!(sealer.open(&sealed, b"user 2").is_none());
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
    }

    #[test]
    fn a_value_with_any_bit_changed_or_cut_short_does_not_open() {
        let sealer = Sealer::for_factors(&first(), &[]).unwrap();
        let sealed = sealer.seal(&[7; 24], b"a secret", b"");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(&changed, b"").is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(sealer.open(&sealed[..length], b"").is_none(), "{length} bytes");
        }
    }

    #[test]
    fn values_of_one_purpose_do_not_open_as_those_of_another() {
        let sealed = Sealer::for_factors(&first(), &[]).unwrap().seal(&[7; 24], b"a secret", b"");
        assert!(Sealer::for_ceremonies(&first(), &[]).unwrap().open(&sealed, b"").is_none());
        assert!(Sealer::for_federation(&first(), &[]).unwrap().open(&sealed, b"").is_none());
    }

    #[test]
    fn a_fallback_opens_what_it_has_sealed_and_says_so() {
        let before = Sealer::for_factors(&first(), &[]).unwrap();
        let sealed = before.seal(&[7; 24], b"a secret", b"");
        let after = Sealer::for_factors(&second(), &[first()]).unwrap();
        assert!(after.open(&sealed, b"").unwrap().sealed_by_fallback);
        assert!(sealed.starts_with(&before.current_prefix()) && !sealed.starts_with(&after.current_prefix()));
        assert!(Sealer::for_factors(&second(), &[]).unwrap().open(&sealed, b"").is_none());
        assert_eq!(Sealer::for_factors(&first(), &[first()]).err(), Some(KeyRingError));
    }

    #[test]
    fn the_cipher_is_that_of_the_draft() {
        // draft-irtf-cfrg-xchacha-03, A.3.1.
        let key: [u8; 32] = std::array::from_fn(|index| 0x80 + index as u8);
        let nonce: SealNonce = std::array::from_fn(|index| 0x40 + index as u8);
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let cipher = XChaCha20Poly1305::new((&key).into());
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).unwrap();
        assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(
            sealed[text.len()..],
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
        );
    }
}

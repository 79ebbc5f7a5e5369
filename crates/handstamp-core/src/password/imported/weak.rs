//! MD5 and SHA digests of passwords, which are never stored as they are: Argon2id hashes them at once.

use std::fmt;

use super::argon2::Argon2Hash;
use super::digest::{Algorithm, Construction, PasswordDigest};
use super::encoding::{Output, fields, hex};
use super::{ImportedHash, Scheme, UnsupportedHash};
use crate::{Argon2Params, HashMemory};

/// The system that stored a weak hash. It cannot be told from the text: `sha1$salt$digest` is a digest of Django's and an HMAC of
/// werkzeug's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeakFormat {
    /// The hexadecimal digits of MD5, SHA-1, SHA-256 or SHA-512 without a salt, told by their number.
    Hex,
    /// Django's `md5$salt$digest` and `sha1$salt$digest`, whose salt may be empty.
    Django,
    /// `sha1$salt$digest` of werkzeug before version 3, with MD5, SHA-1, SHA-256 or SHA-512.
    Werkzeug,
}

/// A digest of a password that an attacker could reverse in moments. It can only be wrapped.
pub struct WeakHash {
    digest: PasswordDigest,
    bytes: Output,
}

impl WeakHash {
    /// Parses a digest as `format` has it.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str, format: WeakFormat) -> Result<Self, UnsupportedHash> {
        if text.len() > ImportedHash::MAX_LENGTH {
            return Err(UnsupportedHash::Malformed);
        }
        let (algorithm, construction, salt, digits) = match format {
            WeakFormat::Hex => {
                let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.bytes() * 2 == text.len());
                (algorithm.ok_or(UnsupportedHash::Malformed)?, Construction::SaltFirst, "", text)
            }
            WeakFormat::Django | WeakFormat::Werkzeug => {
                let [algorithm, salt, digits] = fields(text, '$')?;
                let salted = !salt.is_empty() && format == WeakFormat::Werkzeug;
                let construction = if salted { Construction::Hmac } else { Construction::SaltFirst };
                (Algorithm::named(algorithm)?, construction, salt, digits)
            }
        };
        let bytes = Output::new(hex(digits)?)?;
        if bytes.len() != algorithm.bytes() {
            return Err(UnsupportedHash::Malformed);
        }
        Ok(Self { digest: PasswordDigest { algorithm, construction, salt: salt.into() }, bytes })
    }

    /// Hashes the bytes of the digest by Argon2id with a salt of 16 random bytes. It takes as long as the hash of a password.
    pub fn wrap(self, params: Argon2Params, salt: [u8; 16], memory: &mut HashMemory) -> ImportedHash {
        let hash = Argon2Hash::of_digest(self.digest, self.bytes.bytes(), params, salt, memory);
        let text = format!("{}{}", ImportedHash::DIGEST, hash.to_text());
        ImportedHash::new(text, Scheme::Argon2(hash))
    }
}

impl fmt::Debug for WeakHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHash(…)")
    }
}

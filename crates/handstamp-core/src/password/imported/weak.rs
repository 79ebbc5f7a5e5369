//! MD5 and SHA digests of passwords, which are never stored as they are: Argon2id hashes them at once.

use std::fmt;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::argon2::Argon2Hash;
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

#[derive(Clone, Copy)]
enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn named(name: &str) -> Result<Self, UnsupportedHash> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or(UnsupportedHash::UnsupportedParameters)
    }
}

/// How a salt and a password are combined.
#[derive(Clone, Copy)]
enum Construction {
    SaltFirst,
    Hmac,
}

/// How to compute the digest of a password.
pub(super) struct PasswordDigest {
    algorithm: Algorithm,
    construction: Construction,
    salt: Vec<u8>,
}

impl PasswordDigest {
    /// Parses what [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str, salt: Vec<u8>) -> Result<Self, UnsupportedHash> {
        let (construction, algorithm) = match text.strip_prefix("hmac-") {
            Some(algorithm) => (Construction::Hmac, algorithm),
            None => (Construction::SaltFirst, text),
        };
        Ok(Self { algorithm: Algorithm::named(algorithm)?, construction, salt })
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Its name for people.
    pub(super) fn name(&self) -> String {
        self.to_string().to_uppercase().replace("SHA", "SHA-")
    }

    pub(super) fn compute(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        match self.algorithm {
            Algorithm::Md5 => self.compute_with::<Md5>(password),
            Algorithm::Sha1 => self.compute_with::<Sha1>(password),
            Algorithm::Sha256 => self.compute_with::<Sha256>(password),
            Algorithm::Sha512 => self.compute_with::<Sha512>(password),
        }
    }

    fn compute_with<D: Digest + EagerHash>(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self.construction {
            Construction::SaltFirst => D::new().chain_update(&self.salt).chain_update(password).finalize().to_vec(),
            Construction::Hmac => {
                let hmac = Hmac::<D>::new_from_slice(&self.salt).expect("HMAC takes keys of any length");
                hmac.chain_update(password).finalize().into_bytes().to_vec()
            }
        })
    }
}

impl fmt::Display for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let construction = match self.construction {
            Construction::SaltFirst => "",
            Construction::Hmac => "hmac-",
        };
        write!(f, "{construction}{}", self.algorithm.name())
    }
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

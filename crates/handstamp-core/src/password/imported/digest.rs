//! MD5 and SHA digests of a password and a salt.

use std::fmt;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::UnsupportedHash;

/// The function of a digest.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(super) const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, UnsupportedHash> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or(UnsupportedHash::UnsupportedParameters)
    }
}

/// How a salt and a password are combined.
#[derive(Clone, Copy)]
pub(super) enum Construction {
    SaltFirst,
    Hmac,
}

/// How to compute the digest of a password.
pub(super) struct PasswordDigest {
    pub(super) algorithm: Algorithm,
    pub(super) construction: Construction,
    pub(super) salt: Vec<u8>,
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

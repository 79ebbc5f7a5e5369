//! PBKDF2 (RFC 8018) of werkzeug, Django, passlib, Keycloak and ASP.NET Core Identity.

use std::fmt;

use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::UnsupportedHash;
use super::cost::{HashCost, HashFamily, Pbkdf2Digest};
use super::encoding::{Output, base64, fields, hex, number, to_base64};
use crate::HashMemory;

/// A hash by PBKDF2.
pub(super) struct Pbkdf2Hash {
    digest: Pbkdf2Digest,
    iterations: u32,
    salt: Vec<u8>,
    output: Output,
}

impl Pbkdf2Hash {
    pub(super) fn new(
        digest: Pbkdf2Digest,
        iterations: u32,
        salt: Vec<u8>,
        output: Vec<u8>,
    ) -> Result<Self, UnsupportedHash> {
        if iterations == 0 {
            return Err(UnsupportedHash::Malformed);
        }
        let hash = Self { digest, iterations, salt, output: Output::new(output)? };
        hash.cost()?;
        Ok(hash)
    }

    /// Parses what follows werkzeug's `pbkdf2:`.
    pub(super) fn parse_werkzeug(text: &str) -> Result<Self, UnsupportedHash> {
        let [method, salt, output] = fields(text, '$')?;
        let [digest, iterations] = fields(method, ':')?;
        Self::new(Pbkdf2Digest::named(digest)?, number(iterations)?, salt.into(), hex(output)?)
    }

    /// Parses what follows Django's `pbkdf2_sha256$` or `pbkdf2_sha1$`.
    pub(super) fn parse_django(digest: Pbkdf2Digest, text: &str) -> Result<Self, UnsupportedHash> {
        let [iterations, salt, output] = fields(text, '$')?;
        Self::new(digest, number(iterations)?, salt.into(), base64(output)?)
    }

    /// Parses what follows passlib's `$pbkdf2-sha256$`, `$pbkdf2-sha512$` or `$pbkdf2$`.
    pub(super) fn parse_passlib(digest: Pbkdf2Digest, text: &str) -> Result<Self, UnsupportedHash> {
        let [iterations, salt, output] = fields(text, '$')?;
        Self::new(digest, number(iterations)?, base64(salt)?, base64(output)?)
    }

    /// The text to store, in passlib's form.
    pub(super) fn to_text(&self) -> String {
        let prefix = match self.digest {
            Pbkdf2Digest::Sha1 => "$pbkdf2$",
            Pbkdf2Digest::Sha256 => "$pbkdf2-sha256$",
            Pbkdf2Digest::Sha512 => "$pbkdf2-sha512$",
        };
        let passlib = |bytes| to_base64(bytes).replace('+', ".");
        format!("{prefix}{}${}${}", self.iterations, passlib(&self.salt), passlib(self.output.bytes()))
    }

    /// The iterations of all blocks of the output.
    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        let blocks = self.output.len().div_ceil(self.digest.output_bytes());
        HashCost::pbkdf2(self.digest, u64::from(self.iterations) * blocks as u64)
    }

    pub(super) fn verify(&self, password: &str, memory: &mut HashMemory) -> bool {
        let mut output = vec![0; self.output.len()];
        compute(self.digest, self.iterations, password.as_bytes(), &self.salt, &mut output, memory);
        self.output.is(&output)
    }
}

impl fmt::Display for Pbkdf2Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.name().replace("sha", "SHA-");
        write!(f, "PBKDF2 with HMAC-{digest}, iterations {}", self.iterations)
    }
}

pub(super) fn run_decoy(digest: Pbkdf2Digest, iterations: u32, password: &[u8], memory: &mut HashMemory) {
    let mut output = [0; 64];
    compute(digest, iterations, password, &[0; 16], &mut output[..digest.output_bytes()], memory);
    std::hint::black_box(output);
}

/// Does `rest` iterations and one more, as none would skip the call.
pub(super) fn top_up(digest: Pbkdf2Digest, rest: u64, password: &[u8], memory: &mut HashMemory) {
    let iterations = u32::try_from(rest + 1).expect("the rest of a cost below the cap");
    run_decoy(digest, iterations, password, memory);
}

fn compute(
    digest: Pbkdf2Digest,
    iterations: u32,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut HashMemory,
) {
    let blocks = output.len().div_ceil(digest.output_bytes());
    memory.imported_work.add(HashFamily::Pbkdf2(digest), u64::from(iterations) * blocks as u64);
    match digest {
        Pbkdf2Digest::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, output),
        Pbkdf2Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, output),
        Pbkdf2Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, output),
    }
}

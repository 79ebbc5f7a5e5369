//! Argon2 (RFC 9106) of other systems: all variants and versions, as PHC strings.

use std::fmt;

use argon2::{Algorithm, Version};

use super::UnsupportedHash;
use super::cost::{Argon2Family, HashCost, HashFamily};
use super::digest::PasswordDigest;
use super::encoding::{Output, base64, fields, parameter, to_base64};
use crate::HashMemory;
use crate::password::Argon2Params;

impl Argon2Family {
    fn params(self) -> Argon2Params {
        Argon2Params::new(self.memory_kib, self.passes, self.lanes).expect("the caps were checked when it was made")
    }

    pub(super) fn run_decoy(self, password: &[u8], memory: &mut HashMemory) {
        let mut output = [0; 32];
        self.run(password, &[0; 16], &mut output, memory);
        std::hint::black_box(output);
    }

    fn run(self, input: &[u8], salt: &[u8], output: &mut [u8], memory: &mut HashMemory) {
        memory.imported_work.add(HashFamily::Argon2(self), 1);
        let done = self.params().run_variant(self.algorithm, self.version, input, salt, output, memory);
        done.expect("the lengths were checked when the hash was parsed");
    }
}

/// A hash by Argon2, of a password or of a digest of it.
pub(super) struct Argon2Hash {
    family: Argon2Family,
    salt: Vec<u8>,
    output: Output,
    digest: Option<PasswordDigest>,
}

impl Argon2Hash {
    /// Parses a PHC string: `$argon2id$v=19$m=…,t=…,p=…$salt$output`. One without a version is of version 16.
    pub(super) fn parse(text: &str) -> Result<Self, UnsupportedHash> {
        let text = text.strip_prefix('$').ok_or(UnsupportedHash::Malformed)?;
        let (algorithm, rest) = text.split_once('$').ok_or(UnsupportedHash::Malformed)?;
        let (version, rest) = match rest.split_once('$') {
            Some((version, rest)) if version.starts_with("v=") => (parameter(version, "v")?, rest),
            _ => (0x10, rest),
        };
        let [params, salt, output] = fields(rest, '$')?;
        // A key id or associated data would be inputs of the hash.
        if params.contains("keyid=") || params.contains("data=") {
            return Err(UnsupportedHash::UnsupportedParameters);
        }
        let [memory_kib, passes, lanes] = fields(params, ',')?;
        let params = [parameter(memory_kib, "m")?, parameter(passes, "t")?, parameter(lanes, "p")?];
        let salt = base64(salt)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(UnsupportedHash::Malformed);
        }
        let family = Argon2Family::new(algorithm, version, params)?;
        Ok(Self { family, salt, output: Output::new(base64(output)?)?, digest: None })
    }

    /// Parses the hash of a digest of a password: the construction of the digest, its salt, and the PHC string.
    pub(super) fn parse_digest(text: &str) -> Result<Self, UnsupportedHash> {
        let mut parts = text.splitn(3, '$');
        let (Some(construction), Some(salt), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(UnsupportedHash::Malformed);
        };
        let digest = PasswordDigest::parse(construction, base64(salt)?)?;
        Ok(Self { digest: Some(digest), ..Self::parse(&format!("${hash}"))? })
    }

    /// Hashes the bytes of a digest.
    pub(super) fn of_digest(
        digest: PasswordDigest,
        bytes: &[u8],
        params: Argon2Params,
        salt: [u8; 16],
        memory: &mut HashMemory,
    ) -> Self {
        let family = Argon2Family::of(Algorithm::Argon2id, Version::V0x13, params);
        let mut output = vec![0; 32];
        family.run(bytes, &salt, &mut output, memory);
        let output = Output::new(output).expect("32 bytes are within the bounds");
        Self { family, salt: salt.to_vec(), output, digest: Some(digest) }
    }

    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        HashCost::new(HashFamily::Argon2(self.family), 1)
    }

    pub(super) fn verify(&self, password: &str, memory: &mut HashMemory) -> bool {
        let mut output = vec![0; self.output.len()];
        match &self.digest {
            None => self.family.run(password.as_bytes(), &self.salt, &mut output, memory),
            Some(digest) => self.family.run(&digest.compute(password.as_bytes()), &self.salt, &mut output, memory),
        }
        self.output.is(&output)
    }

    /// The text to store, after the prefix of its format.
    pub(super) fn to_text(&self) -> String {
        let Argon2Family { algorithm, version, memory_kib, passes, lanes } = self.family;
        let hash = format!(
            "${}$v={}$m={memory_kib},t={passes},p={lanes}${}${}",
            algorithm.as_str(),
            u32::from(version),
            to_base64(&self.salt),
            to_base64(self.output.bytes())
        );
        match &self.digest {
            None => hash,
            Some(digest) => format!("{digest}${}{hash}", to_base64(&digest.salt)),
        }
    }
}

impl fmt::Display for Argon2Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argon2Family { algorithm, memory_kib, passes, lanes, .. } = self.family;
        if let Some(digest) = &self.digest {
            write!(f, "{} wrapped in ", digest.name())?;
        }
        let name = algorithm.as_str().replacen('a', "A", 1);
        write!(f, "{name}, {memory_kib} KiB, passes {passes}, lanes {lanes}")
    }
}

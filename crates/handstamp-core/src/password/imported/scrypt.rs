//! scrypt (RFC 7914) of werkzeug, Django, passlib and better-auth, and its variant of Firebase.

use std::fmt;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::cost::{HashCost, HashFamily, ScryptFamily};
use super::encoding::{Output, base64, fields, hex, number, parameter, to_base64};
use super::{ImportSecrets, UnsupportedHash};
use crate::HashMemory;

impl ScryptFamily {
    pub(super) fn run_decoy(self, password: &[u8], memory: &mut HashMemory) {
        let mut output = [0; 64];
        self.run(password, &[0; 16], &mut output, memory);
        std::hint::black_box(output);
    }

    fn run(self, input: &[u8], salt: &[u8], output: &mut [u8], memory: &mut HashMemory) {
        memory.imported_work.add(HashFamily::Scrypt(self), 1);
        let params = scrypt::Params::new(self.log_n, self.r, self.p).expect("the bounds were checked when it was made");
        scrypt::scrypt(input, salt, &params, output).expect("the length of the output was checked");
    }
}

/// A hash by scrypt.
pub(super) struct ScryptHash {
    family: ScryptFamily,
    salt: Vec<u8>,
    output: Output,
    variant: Variant,
}

/// The input of scrypt, and how its output is stored.
#[derive(Clone, Copy)]
enum Variant {
    Plain,
    /// The password is normalised to NFKC (better-auth).
    Nfkc,
    /// The output encrypts the signer key of the site (Firebase).
    Firebase,
}

impl ScryptHash {
    fn new(family: ScryptFamily, salt: Vec<u8>, output: Vec<u8>) -> Result<Self, UnsupportedHash> {
        Ok(Self { family, salt, output: Output::new(output)?, variant: Variant::Plain })
    }

    /// Parses what follows werkzeug's `scrypt:`.
    pub(super) fn parse_werkzeug(text: &str) -> Result<Self, UnsupportedHash> {
        let [method, salt, output] = fields(text, '$')?;
        let [n, r, p] = fields(method, ':')?;
        Self::new(ScryptFamily::with_n(number(n)?, number(r)?, number(p)?)?, salt.into(), hex(output)?)
    }

    /// Parses what follows Django's `scrypt$`.
    pub(super) fn parse_django(text: &str) -> Result<Self, UnsupportedHash> {
        let [n, salt, r, p, output] = fields(text, '$')?;
        Self::new(ScryptFamily::with_n(number(n)?, number(r)?, number(p)?)?, salt.into(), base64(output)?)
    }

    /// Parses what follows passlib's `$scrypt$`.
    pub(super) fn parse_passlib(text: &str) -> Result<Self, UnsupportedHash> {
        let [params, salt, output] = fields(text, '$')?;
        let [log_n, r, p] = fields(params, ',')?;
        let family = ScryptFamily::new(parameter(log_n, "ln")?, parameter(r, "r")?, parameter(p, "p")?)?;
        Self::new(family, base64(salt)?, base64(output)?)
    }

    /// Parses the salt and the output of better-auth, which hashes the hexadecimal digits of the salt.
    pub(super) fn parse_better_auth(text: &str) -> Result<Self, UnsupportedHash> {
        let [salt, output] = fields(text, ':')?;
        let hash = Self::new(ScryptFamily::new(14, 16, 1)?, salt.into(), hex(output)?)?;
        if hash.output.len() != 64 || hex(salt)?.is_empty() {
            return Err(UnsupportedHash::Malformed);
        }
        Ok(Self { variant: Variant::Nfkc, ..hash })
    }

    /// `salt` includes the separator of the site, and `output` has the length of the signer key.
    pub(super) fn firebase(
        memory_cost: u32,
        rounds: u32,
        salt: Vec<u8>,
        output: Vec<u8>,
    ) -> Result<Self, UnsupportedHash> {
        let hash = Self::new(ScryptFamily::new(memory_cost, rounds, 1)?, salt, output)?;
        Ok(Self { variant: Variant::Firebase, ..hash })
    }

    /// Parses what follows `handstamp-firebase$`.
    pub(super) fn parse_firebase(text: &str) -> Result<Self, UnsupportedHash> {
        let [memory_cost, rounds, salt, output] = fields(text, '$')?;
        Self::firebase(number(memory_cost)?, number(rounds)?, base64(salt)?, base64(output)?)
    }

    /// The text of a hash of Firebase, after its prefix.
    pub(super) fn to_firebase_text(&self) -> String {
        let ScryptFamily { log_n, r, .. } = self.family;
        format!("{log_n}${r}${}${}", to_base64(&self.salt), to_base64(self.output.bytes()))
    }

    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        HashCost::new(HashFamily::Scrypt(self.family), 1)
    }

    pub(super) fn needs_signer_key(&self) -> bool {
        matches!(self.variant, Variant::Firebase)
    }

    pub(super) fn verify(&self, password: &str, secrets: &ImportSecrets, memory: &mut HashMemory) -> bool {
        match self.variant {
            Variant::Plain => self.output.is(&self.compute(password, self.output.len(), memory)),
            Variant::Nfkc => {
                let password = Zeroizing::new(password.nfkc().collect::<String>());
                self.output.is(&self.compute(&password, self.output.len(), memory))
            }
            Variant::Firebase => {
                let key = self.compute(password, 32, memory);
                let mut encrypted = Zeroizing::new(secrets.signer_key().to_vec());
                let mut cipher =
                    Ctr128BE::<Aes256>::new_from_slices(&key, &[0; 16]).expect("the lengths are those of AES-256");
                cipher.apply_keystream(&mut encrypted);
                self.output.is(&encrypted)
            }
        }
    }

    fn compute(&self, password: &str, length: usize, memory: &mut HashMemory) -> Zeroizing<Vec<u8>> {
        let mut output = Zeroizing::new(vec![0; length]);
        self.family.run(password.as_bytes(), &self.salt, &mut output, memory);
        output
    }
}

impl fmt::Display for ScryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScryptFamily { log_n, r, p } = self.family;
        let name = match self.variant {
            Variant::Plain => "scrypt",
            Variant::Nfkc => "scrypt of better-auth",
            Variant::Firebase => "scrypt of Firebase",
        };
        write!(f, "{name}, N {}, r {r}, p {p}", 1_u64 << log_n)
    }
}

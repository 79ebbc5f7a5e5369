//! bcrypt (Provos and Mazières, "A Future-Adaptable Password Scheme", USENIX 1999) of Devise, PHP, Laravel, Django and passlib.

use std::fmt;

use blowfish::Blowfish;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::cost::{HashCost, HashFamily};
use super::encoding::{Output, bcrypt_base64, fields, number, parameter};
use super::{ImportSecrets, UnsupportedHash};
use crate::HashMemory;

/// How much of a password bcrypt reads, in bytes.
const MAX_BYTES: usize = 72;

/// A hash by bcrypt.
pub(super) struct BcryptHash {
    cost: u32,
    salt: [u8; 16],
    output: Output,
    input: Input,
}

/// The bytes that are hashed.
enum Input {
    /// The password.
    Password,
    /// The password, followed by the pepper of the site (Devise).
    Peppered,
    /// The SHA-256 of the password, in hexadecimal digits (Django).
    Sha256Hex,
    /// The SHA-256 of the password, in Base64 (passlib 1.6).
    Sha256Base64,
    /// The HMAC-SHA-256 of the password in Base64, keyed with the text of the salt (passlib 1.7).
    HmacBase64 { salt: String },
}

impl BcryptHash {
    pub(super) fn parse(text: &str) -> Result<Self, UnsupportedHash> {
        let ["", version, cost, hash] = fields(text, '$')? else {
            return Err(UnsupportedHash::Malformed);
        };
        if !matches!(version, "2a" | "2b" | "2y") {
            return Err(UnsupportedHash::UnsupportedParameters);
        }
        let (salt, output) = hash.split_at_checked(22).ok_or(UnsupportedHash::Malformed)?;
        let cost = match cost.strip_prefix('0') {
            Some(digit) if cost.len() == 2 => number(digit)?,
            _ => number(cost)?,
        };
        Self::new(cost, salt, output, Input::Password)
    }

    fn new(level: u32, salt: &str, output: &str, input: Input) -> Result<Self, UnsupportedHash> {
        HashCost::bcrypt(level)?;
        let output = Output::new(bcrypt_base64::<23>(output)?.to_vec())?;
        Ok(Self { cost: level, salt: bcrypt_base64(salt)?, output, input })
    }

    /// Parses what follows `handstamp-devise$`.
    pub(super) fn parse_devise(text: &str) -> Result<Self, UnsupportedHash> {
        Ok(Self { input: Input::Peppered, ..Self::parse(text)? })
    }

    /// Parses what follows Django's `bcrypt_sha256$`.
    pub(super) fn parse_django_sha256(text: &str) -> Result<Self, UnsupportedHash> {
        Ok(Self { input: Input::Sha256Hex, ..Self::parse(text)? })
    }

    /// Parses what follows passlib's `$bcrypt-sha256$`.
    pub(super) fn parse_passlib_sha256(text: &str) -> Result<Self, UnsupportedHash> {
        let [params, salt, output] = fields(text, '$')?;
        match fields(params, ',') {
            Ok(["v=2", version, rounds]) => {
                check_version(version.strip_prefix("t=").unwrap_or_default())?;
                Self::new(parameter(rounds, "r")?, salt, output, Input::HmacBase64 { salt: salt.to_owned() })
            }
            _ => {
                let [version, rounds] = fields(params, ',')?;
                check_version(version)?;
                Self::new(number(rounds)?, salt, output, Input::Sha256Base64)
            }
        }
    }

    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        HashCost::bcrypt(self.cost)
    }

    pub(super) fn verify(&self, password: &str, secrets: &ImportSecrets, memory: &mut HashMemory) -> bool {
        let key = self.input.bytes(password, secrets);
        let output = compute(self.cost, self.salt, &key, memory);
        // The systems disagree on what follows a zero byte, so that such a password would match another one.
        self.output.is(&output[..23]) && !key.contains(&0)
    }
}

/// passlib names the version of bcrypt that it calls. All but `2x` give the same hashes.
fn check_version(version: &str) -> Result<(), UnsupportedHash> {
    matches!(version, "2a" | "2b" | "2y").then_some(()).ok_or(UnsupportedHash::UnsupportedParameters)
}

impl Input {
    fn bytes(&self, password: &str, secrets: &ImportSecrets) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Password => password.into(),
            Self::Peppered => [password.as_bytes(), secrets.pepper()].concat(),
            Self::Sha256Hex => {
                Sha256::digest(password).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
            }
            Self::Sha256Base64 => base64_simd::STANDARD.encode_type(Sha256::digest(password)),
            Self::HmacBase64 { salt } => {
                let mut hmac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("HMAC takes keys of any length");
                hmac.update(password.as_bytes());
                base64_simd::STANDARD.encode_type(hmac.finalize().into_bytes())
            }
        })
    }
}

impl fmt::Display for BcryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = match self.input {
            Input::Password => "bcrypt",
            Input::Peppered => "bcrypt with the pepper of the site",
            Input::Sha256Hex | Input::Sha256Base64 => "bcrypt of SHA-256",
            Input::HmacBase64 { .. } => "bcrypt of HMAC-SHA-256",
        };
        write!(f, "{input}, cost {}", self.cost)
    }
}

pub(super) fn run_decoy(level: u32, password: &[u8], memory: &mut HashMemory) {
    std::hint::black_box(compute(level, [0; 16], password, memory));
}

fn compute(level: u32, salt: [u8; 16], key: &[u8], memory: &mut HashMemory) -> [u8; 24] {
    memory.imported_work.add(HashFamily::Bcrypt, 1 << level);
    bcrypt::bcrypt(level, salt, &terminated(key))
}

/// Expands the key as often as `rest` units of cost do.
pub(super) fn top_up(rest: u64, password: &[u8], memory: &mut HashMemory) {
    memory.imported_work.add(HashFamily::Bcrypt, rest);
    let key = terminated(password);
    let mut state = Blowfish::bc_init_state();
    for _ in 0..rest {
        state.bc_expand_key(&key);
        state.bc_expand_key(&[0; 16]);
    }
    std::hint::black_box(state.bc_encrypt([0; 2]));
}

/// A key as bcrypt reads it: a zero byte ends it, unless it is too long for that.
fn terminated(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new([&key[..key.len().min(MAX_BYTES)], &[0]].concat());
    key.truncate(MAX_BYTES);
    key
}

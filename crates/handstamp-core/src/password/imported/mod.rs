//! Password hashes of other systems, which are verified as they are, so that imported users sign in with their passwords.
//!
//! A stored text is recognised by its prefix alone, never by trial. Formats without a prefix of their own get one when they are
//! imported.

mod argon2;
mod bcrypt;
mod cost;
mod costs;
mod digest;
mod encoding;
mod equal_work;
mod keycloak;
mod pbkdf2;
mod scrypt;
mod secrets;
mod sha_crypt;
#[cfg(test)]
mod tests;
mod weak;
mod yescrypt;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{HashMemory, PasswordHash};
use argon2::Argon2Hash;
use bcrypt::BcryptHash;
pub use cost::HashCost;
use cost::{Pbkdf2Digest, ShaCryptDigest};
pub use costs::{HashCosts, HashWork};
use encoding::base64;
pub use equal_work::ImportedPasswords;
use pbkdf2::Pbkdf2Hash;
use scrypt::ScryptHash;
pub use secrets::{ImportSecrets, InvalidSignerKey};
use sha_crypt::ShaCryptHash;
pub use weak::{WeakFormat, WeakHash};
use yescrypt::YescryptHash;

/// The password hash of another system.
pub struct ImportedHash {
    text: Zeroizing<String>,
    scheme: Scheme,
}

/// The families of schemes. Each parses its formats, and verifies a password.
enum Scheme {
    Argon2(Argon2Hash),
    Bcrypt(BcryptHash),
    Pbkdf2(Pbkdf2Hash),
    Scrypt(ScryptHash),
    ShaCrypt(ShaCryptHash),
    Yescrypt(YescryptHash),
    /// Of the HMAC of the password, keyed with the salt of the site (Flask-Security).
    FlaskSecurity(Box<Scheme>),
}

/// The settings by which Firebase hashed the passwords of a project, without the signer key, which is a secret.
#[derive(Clone, Debug)]
pub struct FirebaseParams {
    /// `mem_cost`, which is 14 by default.
    pub memory_cost: u32,
    /// `rounds`, which is 8 by default.
    pub rounds: u32,
    /// `base64_salt_separator`.
    pub salt_separator: String,
}

impl ImportedHash {
    /// The longest text of a hash, in bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// The prefix of hashes that Devise made.
    const DEVISE: &str = "handstamp-devise$";
    /// The prefix of hashes that better-auth made.
    const BETTER_AUTH: &str = "handstamp-better-auth$";
    /// The prefix of hashes that Flask-Security made of an HMAC.
    const FLASK_SECURITY: &str = "handstamp-flask-security$";
    /// The prefix of hashes that Firebase made.
    const FIREBASE: &str = "handstamp-firebase$";
    /// The prefix of weak hashes that were hashed again.
    const DIGEST: &str = "handstamp-digest$";

    fn new(text: String, scheme: Scheme) -> Self {
        Self { text: Zeroizing::new(text), scheme }
    }

    /// Parses a hash whose format has a prefix: of werkzeug, Django, PHP, Laravel, passlib and crypt(3), and those that
    /// [`to_stored`](Self::to_stored) gives.
    ///
    /// # Errors
    /// The reason why the hash cannot be imported. A weak hash is parsed by [`WeakHash::parse`] only.
    pub fn parse(text: &str) -> Result<Self, UnsupportedHash> {
        // A PHC string of Argon2id alone would be one of our own hashes, whose passwords are in NFC.
        let text = if text.starts_with("$argon2") { format!("argon2{text}") } else { text.to_owned() };
        Self::from_stored(&PasswordHash::from_stored(text))
    }

    /// Parses a text that [`to_stored`](Self::to_stored) gave.
    pub(super) fn from_stored(stored: &PasswordHash) -> Result<Self, UnsupportedHash> {
        if stored.0.len() > Self::MAX_LENGTH {
            return Err(UnsupportedHash::Malformed);
        }
        let scheme = Scheme::parse(&stored.0)?;
        scheme.cost()?;
        Ok(Self { text: stored.0.clone(), scheme })
    }

    /// Parses a hash of Devise, which may have appended the pepper of the site to the password:
    /// [`ImportSecrets::with_bcrypt_pepper`].
    ///
    /// # Errors
    /// When it is no bcrypt hash, or exceeds the caps.
    pub fn from_devise(text: &str) -> Result<Self, UnsupportedHash> {
        Self::parse(&format!("{}{text}", Self::DEVISE))
    }

    /// Parses a hash of better-auth: two numbers in hexadecimal digits, separated by a colon.
    ///
    /// # Errors
    /// When it has another form.
    pub fn from_better_auth(text: &str) -> Result<Self, UnsupportedHash> {
        Self::parse(&format!("{}{text}", Self::BETTER_AUTH))
    }

    /// Parses a hash that Flask-Security made of the HMAC of a password, as it does by default. It can be verified with the salt
    /// of the site only: [`ImportSecrets::with_flask_security_salt`].
    ///
    /// # Errors
    /// The reason why the hash cannot be imported.
    pub fn from_flask_security(text: &str) -> Result<Self, UnsupportedHash> {
        Self::parse(&format!("{}{text}", Self::FLASK_SECURITY))
    }

    /// Parses a hash of Firebase, from the Base64 of the salt and of the hash. It can be verified with the signer key of the
    /// project only: [`ImportSecrets::with_firebase_signer_key`].
    ///
    /// # Errors
    /// When a text is malformed, or the cost exceeds the caps.
    pub fn from_firebase(params: &FirebaseParams, salt: &str, hash: &str) -> Result<Self, UnsupportedHash> {
        let longest = [salt, hash, &params.salt_separator].map(str::len).into_iter().max();
        if longest.is_some_and(|length| length > Self::MAX_LENGTH / 4) {
            return Err(UnsupportedHash::Malformed);
        }
        let salt = [base64(salt)?, base64(&params.salt_separator)?].concat();
        let hash = ScryptHash::firebase(params.memory_cost, params.rounds, salt, base64(hash)?)?;
        Ok(Self::new(format!("{}{}", Self::FIREBASE, hash.to_firebase_text()), Scheme::Scrypt(hash)))
    }

    /// Parses the credential of a user in an export of Keycloak: the JSON texts `secretData` and `credentialData`.
    ///
    /// # Errors
    /// When a text is malformed, the algorithm is another one than PBKDF2 and Argon2, or the cost exceeds the caps.
    pub fn from_keycloak(secret_data: &str, credential_data: &str) -> Result<Self, UnsupportedHash> {
        keycloak::parse(secret_data, credential_data)
    }

    /// Parses a hash of ASP.NET Core Identity, version 3: the Base64 of a byte 1, the pseudorandom function, the iterations,
    /// the length of the salt, the salt and the subkey.
    ///
    /// # Errors
    /// When it has another form, or the cost exceeds the caps.
    pub fn from_aspnet_identity(text: &str) -> Result<Self, UnsupportedHash> {
        if text.len() > Self::MAX_LENGTH {
            return Err(UnsupportedHash::Malformed);
        }
        let bytes = base64(text)?;
        let (1, rest) = bytes.split_first().ok_or(UnsupportedHash::Malformed)? else {
            return Err(UnsupportedHash::UnsupportedParameters);
        };
        let (function, rest) = split_u32(rest)?;
        let (iterations, rest) = split_u32(rest)?;
        let (salt_length, rest) = split_u32(rest)?;
        let digest = match function {
            0 => Pbkdf2Digest::Sha1,
            1 => Pbkdf2Digest::Sha256,
            2 => Pbkdf2Digest::Sha512,
            _ => return Err(UnsupportedHash::UnsupportedParameters),
        };
        let salt_length = usize::try_from(salt_length).map_err(|_| UnsupportedHash::Malformed)?;
        let (salt, subkey) = rest.split_at_checked(salt_length).ok_or(UnsupportedHash::Malformed)?;
        Self::from_pbkdf2(Pbkdf2Hash::new(digest, iterations, salt.into(), subkey.into())?)
    }

    fn from_pbkdf2(hash: Pbkdf2Hash) -> Result<Self, UnsupportedHash> {
        Ok(Self::new(hash.to_text(), Scheme::Pbkdf2(hash)))
    }

    /// The hash to store.
    pub fn to_stored(&self) -> PasswordHash {
        PasswordHash(self.text.clone())
    }

    /// The cost of a check, to be added to the [`HashCosts`] of the site.
    pub fn cost(&self) -> HashCost {
        self.scheme.cost().expect("the caps were checked when it was parsed")
    }

    /// Whether it can be verified with the salt of a site with Flask-Security only.
    pub fn needs_flask_security_salt(&self) -> bool {
        matches!(&self.scheme, Scheme::FlaskSecurity(_))
    }

    /// Whether it can be verified with the signer key of a Firebase project only.
    pub fn needs_firebase_signer_key(&self) -> bool {
        matches!(&self.scheme, Scheme::Scrypt(hash) if hash.needs_signer_key())
    }
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), UnsupportedHash> {
    let (number, rest) = bytes.split_first_chunk().ok_or(UnsupportedHash::Malformed)?;
    Ok((u32::from_be_bytes(*number), rest))
}

/// The scheme and its parameters for people, as in "bcrypt, cost 12". It shows neither the salt nor the hash.
impl fmt::Display for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scheme.fmt(f)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scheme::Argon2(hash) => write!(f, "{hash}"),
            Scheme::Bcrypt(hash) => write!(f, "{hash}"),
            Scheme::Pbkdf2(hash) => write!(f, "{hash}"),
            Scheme::Scrypt(hash) => write!(f, "{hash}"),
            Scheme::ShaCrypt(hash) => write!(f, "{hash}"),
            Scheme::Yescrypt(hash) => write!(f, "{hash}"),
            Scheme::FlaskSecurity(scheme) => write!(f, "{scheme} of an HMAC"),
        }
    }
}

impl fmt::Debug for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportedHash({self})")
    }
}

impl Scheme {
    /// The parser of a text, by its prefix.
    fn parse(text: &str) -> Result<Self, UnsupportedHash> {
        let after = |prefix| text.strip_prefix(prefix);
        if let Some(hash) = after("scrypt:") {
            ScryptHash::parse_werkzeug(hash).map(Self::Scrypt)
        } else if let Some(hash) = after("pbkdf2:") {
            Pbkdf2Hash::parse_werkzeug(hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("pbkdf2_sha256$") {
            Pbkdf2Hash::parse_django(Pbkdf2Digest::Sha256, hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("pbkdf2_sha1$") {
            Pbkdf2Hash::parse_django(Pbkdf2Digest::Sha1, hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("argon2") {
            Argon2Hash::parse(hash).map(Self::Argon2)
        } else if let Some(hash) = after("scrypt$") {
            ScryptHash::parse_django(hash).map(Self::Scrypt)
        } else if let Some(hash) = after("bcrypt_sha256$") {
            BcryptHash::parse_django_sha256(hash).map(Self::Bcrypt)
        } else if let Some(hash) = after("bcrypt$") {
            BcryptHash::parse(hash).map(Self::Bcrypt)
        } else if let Some(hash) = after("$bcrypt-sha256$") {
            BcryptHash::parse_passlib_sha256(hash).map(Self::Bcrypt)
        } else if text.starts_with("$2") {
            BcryptHash::parse(text).map(Self::Bcrypt)
        } else if let Some(hash) = after("$5$") {
            ShaCryptHash::parse(ShaCryptDigest::Sha256, hash).map(Self::ShaCrypt)
        } else if let Some(hash) = after("$6$") {
            ShaCryptHash::parse(ShaCryptDigest::Sha512, hash).map(Self::ShaCrypt)
        } else if let Some(hash) = after("$y$") {
            YescryptHash::parse(hash).map(Self::Yescrypt)
        } else if let Some(hash) = after("$pbkdf2$") {
            Pbkdf2Hash::parse_passlib(Pbkdf2Digest::Sha1, hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("$pbkdf2-sha256$") {
            Pbkdf2Hash::parse_passlib(Pbkdf2Digest::Sha256, hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("$pbkdf2-sha512$") {
            Pbkdf2Hash::parse_passlib(Pbkdf2Digest::Sha512, hash).map(Self::Pbkdf2)
        } else if let Some(hash) = after("$scrypt$") {
            ScryptHash::parse_passlib(hash).map(Self::Scrypt)
        } else if let Some(hash) = after(ImportedHash::DEVISE) {
            BcryptHash::parse_devise(hash).map(Self::Bcrypt)
        } else if let Some(hash) = after(ImportedHash::FLASK_SECURITY) {
            // It has the formats of passlib only, so that no prefix is followed by one of ours.
            let hash = if hash.starts_with("$argon2") { format!("argon2{hash}") } else { hash.to_owned() };
            match hash.starts_with("handstamp-") {
                true => Err(UnsupportedHash::Malformed),
                false => Self::parse(&hash).map(|scheme| Self::FlaskSecurity(Box::new(scheme))),
            }
        } else if let Some(hash) = after(ImportedHash::BETTER_AUTH) {
            ScryptHash::parse_better_auth(hash).map(Self::Scrypt)
        } else if let Some(hash) = after(ImportedHash::FIREBASE) {
            ScryptHash::parse_firebase(hash).map(Self::Scrypt)
        } else if let Some(hash) = after(ImportedHash::DIGEST) {
            Argon2Hash::parse_digest(hash).map(Self::Argon2)
        } else if is_weak(text) {
            Err(UnsupportedHash::Weak)
        } else {
            Err(UnsupportedHash::UnknownFormat)
        }
    }

    fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        match self {
            Self::Argon2(hash) => hash.cost(),
            Self::Bcrypt(hash) => hash.cost(),
            Self::Pbkdf2(hash) => hash.cost(),
            Self::Scrypt(hash) => hash.cost(),
            Self::ShaCrypt(hash) => hash.cost(),
            Self::Yescrypt(hash) => hash.cost(),
            Self::FlaskSecurity(scheme) => scheme.cost(),
        }
    }

    fn verify(&self, password: &str, secrets: &ImportSecrets, memory: &mut HashMemory) -> bool {
        match self {
            Self::Argon2(hash) => hash.verify(password, memory),
            Self::Bcrypt(hash) => hash.verify(password, secrets, memory),
            Self::Pbkdf2(hash) => hash.verify(password, memory),
            Self::Scrypt(hash) => hash.verify(password, secrets, memory),
            Self::ShaCrypt(hash) => hash.verify(password, memory),
            Self::Yescrypt(hash) => hash.verify(password, memory),
            Self::FlaskSecurity(scheme) => {
                let mut hmac = Hmac::<Sha512>::new_from_slice(secrets.flask_security_salt())
                    .expect("HMAC takes keys of any length");
                hmac.update(password.as_bytes());
                let password: Zeroizing<String> =
                    Zeroizing::new(base64_simd::STANDARD.encode_to_string(hmac.finalize().into_bytes()));
                // Without the salt, the HMAC has a key that everybody knows, and the password is another one.
                scheme.verify(&password, secrets, memory) && !secrets.flask_security_salt().is_empty()
            }
        }
    }
}

/// Whether a text looks like a digest of a password: 32 or 40 hexadecimal digits, or a salted one of Django's or werkzeug's.
fn is_weak(text: &str) -> bool {
    let hexadecimal = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let salted = ["md5$", "sha1$", "sha256$", "sha512$", "unsalted_md5$", "unsalted_sha1$"];
    (hexadecimal && [32, 40, 64, 128].contains(&text.len())) || salted.iter().any(|prefix| text.starts_with(prefix))
}

/// Why a hash cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedHash {
    /// Its prefix is none of a supported format.
    UnknownFormat,
    /// The format is supported, but the hash has a parameter or a variant that is not.
    UnsupportedParameters,
    /// The text does not have the form of its format, or is too long.
    Malformed,
    /// It would take seconds or gigabytes to check.
    CostTooHigh,
    /// It is a digest that can be reversed, which is imported only if the operator allows it.
    Weak,
}

impl fmt::Display for UnsupportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownFormat => "the format of the password hash is unknown",
            Self::UnsupportedParameters => "the password hash has parameters that are not supported",
            Self::Malformed => "the password hash is malformed",
            Self::CostTooHigh => "the cost of the password hash is too high",
            Self::Weak => "the password hash is weak, and weak hashes are not allowed",
        })
    }
}

impl std::error::Error for UnsupportedHash {}

//! The secrets by which a former system hashed passwords, and which are not in its database.

use std::fmt;

use zeroize::Zeroizing;

use super::encoding::base64;

/// The secrets of a former site. Without a signer key the hashes of Firebase match no password, nor do those of Flask-Security
/// without its salt. Without a pepper those of Devise are of the password alone.
#[derive(Clone, Default)]
pub struct ImportSecrets {
    bcrypt_pepper: Zeroizing<String>,
    firebase_signer_key: Zeroizing<Vec<u8>>,
    flask_security_salt: Zeroizing<String>,
}

impl ImportSecrets {
    /// The pepper that Devise appends to each password.
    #[must_use]
    pub fn with_bcrypt_pepper(self, pepper: &str) -> Self {
        Self { bcrypt_pepper: Zeroizing::new(pepper.to_owned()), ..self }
    }

    /// The `SECURITY_PASSWORD_SALT` of Flask-Security, which keys the HMAC of each password.
    #[must_use]
    pub fn with_flask_security_salt(self, salt: &str) -> Self {
        Self { flask_security_salt: Zeroizing::new(salt.to_owned()), ..self }
    }

    /// The `base64_signer_key` of a Firebase project.
    ///
    /// # Errors
    /// When it is not the Base64 of 16 to 128 bytes.
    pub fn with_firebase_signer_key(self, key: &str) -> Result<Self, InvalidSignerKey> {
        let key = Zeroizing::new(base64(key).map_err(|_| InvalidSignerKey)?);
        if !(16..=128).contains(&key.len()) {
            return Err(InvalidSignerKey);
        }
        Ok(Self { firebase_signer_key: key, ..self })
    }

    pub(super) fn pepper(&self) -> &[u8] {
        self.bcrypt_pepper.as_bytes()
    }

    pub(super) fn flask_security_salt(&self) -> &[u8] {
        self.flask_security_salt.as_bytes()
    }

    pub(super) fn signer_key(&self) -> &[u8] {
        &self.firebase_signer_key
    }
}

impl fmt::Debug for ImportSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportSecrets(…)")
    }
}

/// A text is no signer key of Firebase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSignerKey;

impl fmt::Display for InvalidSignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signer key must be the Base64 of 16 to 128 bytes")
    }
}

impl std::error::Error for InvalidSignerKey {}

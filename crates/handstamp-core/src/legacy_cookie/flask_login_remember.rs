//! The cookie by which Flask-Login remembers a user: `USER|SIGNATURE`.
//!
//! The signature is HMAC-SHA-512 in hexadecimal digits, under the secret itself. Nothing else is signed. So the cookie has no time,
//! is the same in all browsers of the user, and outlives a change of the password.

use hmac::Hmac;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::decoding::{checked_user, hex};
use super::session::{PasswordCheck, is_tagged, mac};
use super::settings::FS_UNIQUIFIER;
use super::{LegacyCookieError, LegacyDigest, LegacyKind, LegacySettings, LegacyUser, UnverifiedSession};

pub(super) struct RememberTokens {
    keys: Vec<Hmac<Sha512>>,
    is_security: bool,
}

impl RememberTokens {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        Self {
            keys: settings.keys(|secret| mac(&latin1(secret))),
            is_security: settings.user_key.as_deref() == Some(FS_UNIQUIFIER),
        }
    }

    pub(super) fn open(&self, value: &str) -> Result<UnverifiedSession, LegacyCookieError> {
        let (user, signature) = value.rsplit_once('|').ok_or(LegacyCookieError::Malformed)?;
        if !is_tagged(&self.keys, user.as_bytes(), &hex(signature)?) {
            return Err(LegacyCookieError::BadSignature);
        }
        let text = checked_user(user.to_owned())?;
        let user = if self.is_security { LegacyUser::FsUniquifier(text) } else { LegacyUser::Id(text) };
        let digest = LegacyDigest::new(LegacyKind::FlaskLoginRemember, &[user.text().as_bytes()]);
        Ok(UnverifiedSession::new(user, PasswordCheck::Untied, digest))
    }
}

/// Flask-Login encodes a secret that is a text in Latin-1, where itsdangerous takes UTF-8. Bytes that are no such text stay as they
/// are.
fn latin1(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let encoded = str::from_utf8(secret).ok().and_then(|text| text.chars().map(|c| u8::try_from(c).ok()).collect());
    Zeroizing::new(encoded.unwrap_or_else(|| secret.to_vec()))
}

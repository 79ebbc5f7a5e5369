//! The session cookie of better-auth: `TOKEN.SIGNATURE`, percent-encoded.
//!
//! The signature is HMAC-SHA-256 in base64, under the secret itself. The token names a row of the table `session`.

use hmac::Hmac;
use sha2::Sha256;

use super::decoding::{base64, checked_user, percent_decoded};
use super::session::{PasswordCheck, is_tagged, mac};
use super::{
    LegacyCookieError, LegacyKind, LegacySettings, LegacyUser, StoredSession, StoredSessionKey, UnverifiedSession,
};

pub(super) struct BetterAuthTokens {
    keys: Vec<Hmac<Sha256>>,
}

impl BetterAuthTokens {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        Self { keys: settings.keys(mac) }
    }

    pub(super) fn open(&self, value: &str) -> Result<StoredSessionKey, LegacyCookieError> {
        let decoded = percent_decoded(value)?;
        let (token, signature) = decoded.rsplit_once('.').ok_or(LegacyCookieError::Malformed)?;
        if !is_tagged(&self.keys, token.as_bytes(), &base64(signature)?) {
            return Err(LegacyCookieError::BadSignature);
        }
        if token.is_empty() || token.chars().any(char::is_control) {
            return Err(LegacyCookieError::Unreadable);
        }
        Ok(StoredSessionKey::new(LegacyKind::BetterAuth, token))
    }
}

pub(super) fn open_stored(
    key: &StoredSessionKey,
    stored: &StoredSession<'_>,
) -> Result<UnverifiedSession, LegacyCookieError> {
    let expires_at = stored.expires_at.ok_or(LegacyCookieError::NoExpiry)?;
    let user = LegacyUser::Id(checked_user(stored.content.to_owned())?);
    let session = UnverifiedSession::new(user, PasswordCheck::Untied, key.digest());
    Ok(session.with_times(None, Some(expires_at)))
}

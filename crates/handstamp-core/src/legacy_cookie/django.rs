//! The session cookie of Django, from version 3.1 on: `PAYLOAD:TIME:SIGNATURE`, or the key of a session in the database.
//!
//! The signature is HMAC-SHA-256, under a key that is the SHA-256 of a salt and the secret. The salt of signed cookies differs from
//! that of the column `session_data`, which has the same form. `_auth_user_hash` is the HMAC of the user's password hash.

use std::time::Duration;

use hmac::Hmac;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::decoding::{base64_url, hex, json_object, payload, user_text};
use super::session::{PasswordCheck, is_tagged, mac};
use super::{
    LegacyCookie, LegacyCookieError, LegacyDigest, LegacyKind, LegacySettings, LegacyUser, StoredSession,
    StoredSessionKey, UnverifiedSession,
};
use crate::Timestamp;

const COOKIE_SALT: &str = "django.contrib.sessions.backends.signed_cookiessigner";
/// Of the backends `db` and `cached_db`.
const STORED_SALT: &str = "django.contrib.sessions.SessionStoresigner";
const AUTH_SALT: &str = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(14 * 86_400);
const SESSION_KEY_CHARACTERS: usize = 32;
const AUTH_HASH_BYTES: usize = 32;

pub(super) struct DjangoSessions {
    cookie_keys: Vec<Hmac<Sha256>>,
    stored_keys: Vec<Hmac<Sha256>>,
    auth_keys: Vec<Hmac<Sha256>>,
    max_age: Duration,
}

/// An authentic session and the time at which it was signed.
struct Signed {
    session: Map<String, Value>,
    issued_at: Timestamp,
}

impl DjangoSessions {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        let keys =
            |salt: &str| settings.keys(|secret| mac(&Sha256::new().chain_update(salt).chain_update(secret).finalize()));
        Self {
            cookie_keys: keys(COOKIE_SALT),
            stored_keys: keys(STORED_SALT),
            auth_keys: keys(AUTH_SALT),
            max_age: settings.max_age.unwrap_or(DEFAULT_MAX_AGE),
        }
    }

    /// The form of a cookie tells which of the two it is: a signed session has colons.
    pub(super) fn open(&self, value: &str) -> Result<LegacyCookie, LegacyCookieError> {
        if is_session_key(value) {
            return Ok(LegacyCookie::Stored(StoredSessionKey::new(LegacyKind::Django, value)));
        }
        let signed = unsign(&self.cookie_keys, value)?;
        let digest = LegacyDigest::new(LegacyKind::Django, &[b"copy", value.as_bytes()]);
        let expires_at = self.expiry(&signed)?;
        let session = self.session(&signed.session, digest)?;
        Ok(LegacyCookie::Session(session.with_times(Some(signed.issued_at), Some(expires_at))))
    }

    pub(super) fn open_stored(
        &self,
        key: &StoredSessionKey,
        stored: &StoredSession<'_>,
    ) -> Result<UnverifiedSession, LegacyCookieError> {
        let expires_at = stored.expires_at.ok_or(LegacyCookieError::NoExpiry)?;
        let signed = unsign(&self.stored_keys, stored.content)?;
        let session = self.session(&signed.session, key.digest())?;
        Ok(session.with_times(Some(signed.issued_at), Some(expires_at)))
    }

    fn session(
        &self,
        session: &Map<String, Value>,
        digest: LegacyDigest,
    ) -> Result<UnverifiedSession, LegacyCookieError> {
        let user = LegacyUser::Id(user_text(session.get("_auth_user_id"))?);
        if !session.get("_auth_user_backend").is_some_and(Value::is_string) {
            return Err(LegacyCookieError::NoUser);
        }
        let hash = session.get("_auth_user_hash").and_then(Value::as_str).and_then(|text| hex(text).ok());
        let hash = hash.filter(|hash| hash.len() == AUTH_HASH_BYTES).ok_or(LegacyCookieError::NoAuthHash)?;
        Ok(UnverifiedSession::new(user, PasswordCheck::Django { hash, keys: self.auth_keys.clone() }, digest))
    }

    /// The end of a signed session. `set_expiry` of the application can make it earlier, which Django leaves to the browser.
    fn expiry(&self, signed: &Signed) -> Result<Timestamp, LegacyCookieError> {
        let latest = signed.issued_at.after(self.max_age);
        let own = match signed.session.get("_session_expiry") {
            None | Some(Value::Null) => latest,
            // With 0 the browser forgets the cookie when it closes.
            Some(Value::Number(number)) => match number.as_u64() {
                Some(0) => latest,
                Some(seconds) => signed.issued_at.after(Duration::from_secs(seconds)),
                None => return Err(LegacyCookieError::Expired),
            },
            Some(Value::String(text)) => timestamp(text)?,
            Some(_) => return Err(LegacyCookieError::Unreadable),
        };
        Ok(latest.min(own))
    }
}

/// The time of an ISO 8601 text, in whole seconds.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, LegacyCookieError> {
    let time: jiff::Timestamp = text.parse().map_err(|_| LegacyCookieError::Unreadable)?;
    u64::try_from(time.as_second()).map(Timestamp::from_unix_seconds).map_err(|_| LegacyCookieError::Expired)
}

fn is_session_key(value: &str) -> bool {
    value.len() == SESSION_KEY_CHARACTERS
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn unsign(keys: &[Hmac<Sha256>], text: &str) -> Result<Signed, LegacyCookieError> {
    let (signed, signature) = text.rsplit_once(':').ok_or(LegacyCookieError::Malformed)?;
    let (content, time) = signed.rsplit_once(':').ok_or(LegacyCookieError::Malformed)?;
    if !is_tagged(keys, signed.as_bytes(), &base64_url(signature)?) {
        return Err(LegacyCookieError::BadSignature);
    }
    Ok(Signed { issued_at: base62(time)?, session: json_object(&payload(content)?)? })
}

/// The time of a number in base 62.
fn base62(text: &str) -> Result<Timestamp, LegacyCookieError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'Z' => Some(byte - b'A' + 10),
        b'a'..=b'z' => Some(byte - b'a' + 36),
        _ => None,
    };
    let seconds =
        text.bytes().try_fold(0_u64, |seconds, byte| seconds.checked_mul(62)?.checked_add(u64::from(digit(byte)?)));
    seconds.filter(|_| !text.is_empty()).map(Timestamp::from_unix_seconds).ok_or(LegacyCookieError::Unreadable)
}

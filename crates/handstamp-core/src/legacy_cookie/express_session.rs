//! The cookie of express-session: `s:ID.SIGNATURE`, percent-encoded.
//!
//! The signature is HMAC-SHA-256 in base64 without padding, under the secret itself. The session is JSON in the store of the
//! application, with the cookie's expiry among it.

use std::time::Duration;

use hmac::Hmac;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::decoding::{base64_unpadded, json_object, percent_decoded, user_text};
use super::django::timestamp;
use super::session::{PasswordCheck, is_tagged, mac};
use super::{
    LegacyCookieError, LegacyKind, LegacySettings, LegacyUser, StoredSession, StoredSessionKey, UnverifiedSession,
};
use crate::Timestamp;

/// Where Passport has the user.
const DEFAULT_USER_PATH: &str = "passport.user";

pub(super) struct ExpressSessions {
    keys: Vec<Hmac<Sha256>>,
    user_path: String,
}

impl ExpressSessions {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        let user_path = settings.user_key.clone().unwrap_or_else(|| DEFAULT_USER_PATH.to_owned());
        Self { keys: settings.keys(mac), user_path }
    }

    pub(super) fn open(&self, value: &str) -> Result<StoredSessionKey, LegacyCookieError> {
        let decoded = percent_decoded(value)?;
        let signed = decoded.strip_prefix("s:").ok_or(LegacyCookieError::Malformed)?;
        let (id, signature) = signed.rsplit_once('.').ok_or(LegacyCookieError::Malformed)?;
        if !is_tagged(&self.keys, id.as_bytes(), &base64_unpadded(signature)?) {
            return Err(LegacyCookieError::BadSignature);
        }
        if id.is_empty() || id.chars().any(char::is_control) {
            return Err(LegacyCookieError::Unreadable);
        }
        Ok(StoredSessionKey::new(LegacyKind::ExpressSession, id))
    }

    pub(super) fn open_stored(
        &self,
        key: &StoredSessionKey,
        stored: &StoredSession<'_>,
    ) -> Result<UnverifiedSession, LegacyCookieError> {
        let session = json_object(stored.content.as_bytes())?;
        let mut steps = self.user_path.split('.');
        let first = steps.next().and_then(|step| session.get(step));
        let user = user_text(steps.try_fold(first, |value, step| Some(value?.get(step))).flatten())?;
        let (issued_at, expires_at) = times(&session)?;
        let expires_at = [expires_at, stored.expires_at].into_iter().flatten().min();
        let session = UnverifiedSession::new(LegacyUser::Id(user), PasswordCheck::Untied, key.digest());
        Ok(session.with_times(issued_at, expires_at))
    }
}

/// When the session was last written, and when its cookie expires. Both are absent where the cookie ends with the browser.
fn times(session: &Map<String, Value>) -> Result<(Option<Timestamp>, Option<Timestamp>), LegacyCookieError> {
    let cookie = session.get("cookie").and_then(Value::as_object).ok_or(LegacyCookieError::Unreadable)?;
    let expires_at = match cookie.get("expires") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok((None, None)),
        Some(Value::String(text)) => timestamp(text)?,
        Some(_) => return Err(LegacyCookieError::Unreadable),
    };
    let age = cookie.get("originalMaxAge").and_then(Value::as_u64);
    Ok((age.map(|age| expires_at.before(Duration::from_millis(age))), Some(expires_at)))
}

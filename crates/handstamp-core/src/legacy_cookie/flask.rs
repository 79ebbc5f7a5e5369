//! The session cookie of Flask, as itsdangerous signs it: `PAYLOAD.TIME.SIGNATURE`.
//!
//! The signature is HMAC-SHA-1, under a key that HMAC-SHA-1 derives from the secret and the salt `cookie-session`. The payload is
//! JSON with tags for the types that JSON lacks. Flask signs the session anew with each change, and at each request if it is
//! permanent.

use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha1::Sha1;
use uuid::Uuid;

use super::decoding::{base64_url, checked_user, json_object, payload, user_text};
use super::session::{PasswordCheck, is_tagged, mac};
use super::{LegacyCookieError, LegacyDigest, LegacyKind, LegacySettings, LegacyUser, UnverifiedSession};
use crate::Timestamp;

const SALT: &[u8] = b"cookie-session";
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(31 * 86_400);

/// The user of Flask-Login from 0.5 on, and of Flask-Security.
const LOGIN_KEY: &str = "_user_id";

/// Keys that Flask-Security writes at a sign-in.
const SECURITY_KEYS: [&str; 2] = ["fs_cc", "fs_paa"];

pub(super) struct FlaskSessions {
    keys: Vec<Hmac<Sha1>>,
    user_key: String,
    max_age: Duration,
}

impl FlaskSessions {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        Self {
            keys: settings.keys(|secret| mac(&mac::<Hmac<Sha1>>(secret).chain_update(SALT).finalize().into_bytes())),
            user_key: settings.user_key.clone().unwrap_or_else(|| LOGIN_KEY.to_owned()),
            max_age: settings.max_age.unwrap_or(DEFAULT_MAX_AGE),
        }
    }

    pub(super) fn open(&self, value: &str) -> Result<UnverifiedSession, LegacyCookieError> {
        let (signed, signature) = value.rsplit_once('.').ok_or(LegacyCookieError::Malformed)?;
        let (content, time) = signed.rsplit_once('.').ok_or(LegacyCookieError::Malformed)?;
        if !is_tagged(&self.keys, signed.as_bytes(), &base64_url(signature)?) {
            return Err(LegacyCookieError::BadSignature);
        }
        let issued_at = seconds(&base64_url(time)?)?;
        let session = json_object(&payload(content)?)?;
        let user = self.user(&session)?;
        let digest = self.digest(&user, &session, signed);
        let expires_at = issued_at.after(self.max_age);
        Ok(UnverifiedSession::new(user, PasswordCheck::Untied, digest).with_times(Some(issued_at), Some(expires_at)))
    }

    fn user(&self, session: &Map<String, Value>) -> Result<LegacyUser, LegacyCookieError> {
        let value = session.get(&self.user_key);
        let text = match value.and_then(|value| value.get(" u")) {
            Some(tagged) => uuid(tagged)?,
            None => user_text(value)?,
        };
        let is_security = self.user_key == LOGIN_KEY && SECURITY_KEYS.iter().any(|key| session.contains_key(*key));
        Ok(if is_security { LegacyUser::FsUniquifier(text) } else { LegacyUser::Id(text) })
    }

    /// Flask-Login sets `_id` at the sign-in and leaves it as it is, so it stands for the session in all of its copies.
    fn digest(&self, user: &LegacyUser, session: &Map<String, Value>, signed: &str) -> LegacyDigest {
        let id = session.get("_id").and_then(Value::as_str).filter(|_| self.user_key == LOGIN_KEY);
        let user = user.text().as_bytes();
        match id {
            Some(id) if !id.is_empty() => LegacyDigest::new(LegacyKind::Flask, &[b"id", user, id.as_bytes()]),
            _ => LegacyDigest::new(LegacyKind::Flask, &[b"copy", user, signed.as_bytes()]),
        }
    }
}

/// The text that Python gives of a tagged UUID.
fn uuid(tagged: &Value) -> Result<String, LegacyCookieError> {
    let uuid = tagged.as_str().and_then(|text| Uuid::try_parse(text).ok()).ok_or(LegacyCookieError::NoUser)?;
    checked_user(uuid.hyphenated().to_string())
}

/// The time of big-endian bytes without leading zeros.
fn seconds(bytes: &[u8]) -> Result<Timestamp, LegacyCookieError> {
    if bytes.len() > 8 {
        return Err(LegacyCookieError::Unreadable);
    }
    let seconds = bytes.iter().fold(0, |seconds, &byte| seconds << 8 | u64::from(byte));
    Ok(Timestamp::from_unix_seconds(seconds))
}

//! The cookies of Rails, from version 5.2 on: encrypted ones, `CIPHERTEXT--NONCE--TAG`, and signed ones, `MESSAGE--SIGNATURE`.
//!
//! Keys are derived from `secret_key_base` by PBKDF2 with 1,000 iterations: with HMAC-SHA-1, or with HMAC-SHA-256 under the defaults
//! of Rails 7.0 and later. Both are tried. Encrypted cookies are AES-256-GCM. The content stands in an envelope with its expiry and
//! its purpose, which is the name of the cookie. Only content that is JSON is read.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::Hmac;
use pbkdf2::pbkdf2_hmac;
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::decoding::{base64, hex, percent_decoded, user_text};
use super::django::timestamp;
use super::session::{PasswordCheck, is_tagged, mac};
use super::{LegacyCookieError, LegacyDigest, LegacyKind, LegacySettings, LegacyUser, UnverifiedSession};
use crate::Timestamp;

const ENCRYPTED_SALT: &[u8] = b"authenticated encrypted cookie";
const SIGNED_SALT: &[u8] = b"signed cookie";
const ITERATIONS: u32 = 1000;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const SHA1_BYTES: usize = 20;

const DEFAULT_USER_KEY: &str = "warden.user.user.key";

/// How the content of Ruby's Marshal and of Rails' MessagePack begins.
const OTHER_SERIALIZERS: [&[u8]; 2] = [b"\x04\x08", b"\xcc\x80"];

pub(super) struct RailsCookies {
    ciphers: Vec<Aes256Gcm>,
    sha1_keys: Vec<Hmac<Sha1>>,
    sha256_keys: Vec<Hmac<Sha256>>,
    cookie: String,
    user_key: String,
    allow_missing_purpose: bool,
}

/// The content of an authentic cookie.
struct Content {
    json: Value,
    expires_at: Option<Timestamp>,
}

impl RailsCookies {
    pub(super) fn new(settings: &LegacySettings) -> Self {
        let ciphers =
            settings.keys(|secret| derived::<32>(secret, ENCRYPTED_SALT).map(|key| Aes256Gcm::new((&*key).into())));
        let signing = settings.keys(|secret| derived::<64>(secret, SIGNED_SALT)).into_iter().flatten();
        let signing: Vec<Zeroizing<[u8; 64]>> = signing.collect();
        Self {
            ciphers: ciphers.into_iter().flatten().collect(),
            sha1_keys: signing.iter().map(|key| mac(key.as_slice())).collect(),
            sha256_keys: signing.iter().map(|key| mac(key.as_slice())).collect(),
            cookie: settings.cookie_name().to_owned(),
            user_key: settings.user_key.clone().unwrap_or_else(|| DEFAULT_USER_KEY.to_owned()),
            allow_missing_purpose: settings.allow_missing_purpose,
        }
    }

    pub(super) fn open(&self, value: &str) -> Result<UnverifiedSession, LegacyCookieError> {
        let decoded = percent_decoded(value)?;
        let parts: Vec<&str> = decoded.split("--").collect();
        let message = match parts[..] {
            [ciphertext, nonce, tag] => self.decrypt(ciphertext, nonce, tag)?,
            [message, signature] => self.unsign(message, signature)?,
            _ => return Err(LegacyCookieError::Malformed),
        };
        let content = self.content(&message)?;
        self.session(&content.json).map(|(session, issued_at)| session.with_times(issued_at, content.expires_at))
    }

    fn decrypt(&self, ciphertext: &str, nonce: &str, tag: &str) -> Result<Vec<u8>, LegacyCookieError> {
        let (mut sealed, nonce, tag) = (base64(ciphertext)?, base64(nonce)?, base64(tag)?);
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| LegacyCookieError::Malformed)?;
        if tag.len() != TAG_BYTES {
            return Err(LegacyCookieError::Malformed);
        }
        sealed.extend(tag);
        let opened = self.ciphers.iter().find_map(|cipher| cipher.decrypt(&Nonce::from(nonce), sealed.as_slice()).ok());
        opened.ok_or(LegacyCookieError::BadSignature)
    }

    fn unsign(&self, message: &str, signature: &str) -> Result<Vec<u8>, LegacyCookieError> {
        let signature = hex(signature)?;
        let is_signed = match signature.len() {
            SHA1_BYTES => is_tagged(&self.sha1_keys, message.as_bytes(), &signature),
            _ => is_tagged(&self.sha256_keys, message.as_bytes(), &signature),
        };
        if is_signed { base64(message) } else { Err(LegacyCookieError::BadSignature) }
    }

    /// Takes the content out of its envelope, if it has one.
    fn content(&self, message: &[u8]) -> Result<Content, LegacyCookieError> {
        let outer = json(message)?;
        let Some(envelope) = outer.get("_rails") else {
            self.check_purpose(None)?;
            return Ok(Content { json: outer, expires_at: None });
        };
        self.check_purpose(envelope.get("pur"))?;
        let expires_at = match envelope.get("exp") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(timestamp(text)?),
            Some(_) => return Err(LegacyCookieError::Unreadable),
        };
        let content = match (envelope.get("message"), envelope.get("data")) {
            (Some(Value::String(text)), _) => json(&base64(text).map_err(|_| LegacyCookieError::Unreadable)?)?,
            // The envelope of Rails 7.1, where one serializer is used for both.
            (None, Some(data)) => data.clone(),
            _ => return Err(LegacyCookieError::Unreadable),
        };
        Ok(Content { json: content, expires_at })
    }

    fn check_purpose(&self, purpose: Option<&Value>) -> Result<(), LegacyCookieError> {
        let is_right = match purpose {
            None | Some(Value::Null) => self.allow_missing_purpose,
            Some(Value::String(purpose)) => purpose.strip_prefix("cookie.") == Some(&self.cookie),
            Some(_) => false,
        };
        if is_right { Ok(()) } else { Err(LegacyCookieError::WrongPurpose) }
    }

    /// The session of a content, and when it was issued.
    fn session(&self, content: &Value) -> Result<(UnverifiedSession, Option<Timestamp>), LegacyCookieError> {
        match content {
            Value::Object(session) => {
                let value = session.get(&self.user_key);
                let (user, check) = match self.is_devise_key() {
                    true => devise(value)?,
                    false => (user_text(value)?, PasswordCheck::Untied),
                };
                Ok((UnverifiedSession::new(LegacyUser::Id(user), check, digest(session, content)), None))
            }
            Value::Array(_) if self.is_remember_cookie() => {
                let (user, check) = devise(Some(content))?;
                let digest = LegacyDigest::new(LegacyKind::Rails, &[b"remember", content.to_string().as_bytes()]);
                Ok((UnverifiedSession::new(LegacyUser::Id(user), check, digest), remembered_at(content)?))
            }
            user if self.user_key == self.cookie => {
                let user = user_text(Some(user))?;
                let digest = LegacyDigest::new(LegacyKind::Rails, &[b"user", user.as_bytes()]);
                Ok((UnverifiedSession::new(LegacyUser::Id(user), PasswordCheck::Untied, digest), None))
            }
            _ => Err(LegacyCookieError::NoUser),
        }
    }

    fn is_devise_key(&self) -> bool {
        self.user_key.starts_with("warden.user.") && self.user_key.ends_with(".key")
    }

    /// Whether the cookie is that by which Devise remembers a user.
    fn is_remember_cookie(&self) -> bool {
        self.is_devise_key() && self.cookie.starts_with("remember_") && self.cookie.ends_with("_token")
    }
}

/// The two keys that Rails may derive from a secret.
fn derived<const BYTES: usize>(secret: &[u8], salt: &[u8]) -> [Zeroizing<[u8; BYTES]>; 2] {
    let mut keys = [Zeroizing::new([0; BYTES]), Zeroizing::new([0; BYTES])];
    pbkdf2_hmac::<Sha1>(secret, salt, ITERATIONS, keys[0].as_mut_slice());
    pbkdf2_hmac::<Sha256>(secret, salt, ITERATIONS, keys[1].as_mut_slice());
    keys
}

fn json(message: &[u8]) -> Result<Value, LegacyCookieError> {
    if OTHER_SERIALIZERS.iter().any(|beginning| message.starts_with(beginning)) {
        return Err(LegacyCookieError::UnsupportedSerializer);
    }
    serde_json::from_slice(message).map_err(|_| LegacyCookieError::Unreadable)
}

/// The user of a value that Devise writes, `[[ID], SALT]`. Users without a password have an empty salt there, which would be the
/// beginning of every hash.
fn devise(value: Option<&Value>) -> Result<(String, PasswordCheck), LegacyCookieError> {
    let [key, salt] = [0, 1].map(|index| value.and_then(|value| value.get(index)));
    let user = match key.and_then(Value::as_array).map(Vec::as_slice) {
        Some([id]) => user_text(Some(id))?,
        _ => return Err(LegacyCookieError::NoUser),
    };
    let salt = salt.and_then(Value::as_str).filter(|salt| is_bcrypt_salt(salt)).ok_or(LegacyCookieError::NoAuthHash)?;
    Ok((user, PasswordCheck::Devise { salt: salt.to_owned() }))
}

fn is_bcrypt_salt(salt: &str) -> bool {
    salt.len() == PasswordCheck::DEVISE_SALT && salt.starts_with("$2")
}

/// The time in `[[ID], SALT, "SECONDS"]`.
fn remembered_at(value: &Value) -> Result<Option<Timestamp>, LegacyCookieError> {
    let seconds = value.get(2).and_then(Value::as_str).and_then(|text| text.split('.').next());
    let seconds = seconds.and_then(|seconds| seconds.parse().ok()).ok_or(LegacyCookieError::Unreadable)?;
    Ok(Some(Timestamp::from_unix_seconds(seconds)))
}

/// Rails draws `session_id` when a session begins, and writes it into each copy.
fn digest(session: &Map<String, Value>, content: &Value) -> LegacyDigest {
    match session.get("session_id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => LegacyDigest::new(LegacyKind::Rails, &[b"id", id.as_bytes()]),
        _ => LegacyDigest::new(LegacyKind::Rails, &[b"copy", content.to_string().as_bytes()]),
    }
}

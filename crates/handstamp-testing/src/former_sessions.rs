//! Sessions as other frameworks make them, for tests that need many or odd ones. The tests of handstamp-core have real ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

/// The settings by which sessions of this framework are exchanged for two weeks.
pub fn exchange_settings(kind: &str, secret: &str) -> [(&'static str, String); 3] {
    let until = Command::new("date").args(["-u", "-d", "14 days", "+%F"]).output().unwrap();
    let until = String::from_utf8(until.stdout).unwrap().trim().to_owned();
    [
        ("HANDSTAMP_LEGACY__KIND", kind.to_owned()),
        ("HANDSTAMP_LEGACY__SECRET", secret.to_owned()),
        ("HANDSTAMP_LEGACY__UNTIL", until),
    ]
}

/// Writes a session of express-session for a user of Passport, as session-file-store does, and returns the value of its cookie.
pub fn store_express_session(folder: &Path, secret: &str, id: &str, user: &str) -> String {
    let session = format!(r#"{{"cookie":{{"expires":null}},"passport":{{"user":{user}}}}}"#);
    fs::write(folder.join(format!("{id}.json")), session).unwrap();
    express_cookie(secret, id)
}

/// HMAC-SHA-256 (RFC 2104) of a message, for keys of up to 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| -> Vec<u8> { (0..64).map(|place| key.get(place).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// The value of the cookie `connect.sid` of express-session for the session with this id.
pub fn express_cookie(secret: &str, id: &str) -> String {
    let signature = base64_simd::STANDARD_NO_PAD.encode_to_string(hmac(secret.as_bytes(), id.as_bytes()));
    format!("s%3A{id}.{}", signature.replace('+', "%2B").replace('/', "%2F"))
}

/// The value of the cookie `sessionid` of Django for a session that is signed at this time, in seconds since 1970, of a user with this
/// password hash.
pub fn django_cookie(secret: &str, user: &str, at: u64, hash: &str) -> String {
    let key = |salt: &str| Sha256::new().chain_update(salt).chain_update(secret).finalize();
    let auth = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";
    let hash: String = hmac(&key(auth), hash.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let backend = "django.contrib.auth.backends.ModelBackend";
    let session =
        format!(r#"{{"_auth_user_id":"{user}","_auth_user_backend":"{backend}","_auth_user_hash":"{hash}"}}"#);
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut time: Vec<u8> = std::iter::successors(Some(at), |rest| Some(rest / 62))
        .take_while(|rest| *rest > 0)
        .map(|rest| digits[(rest % 62) as usize])
        .collect();
    time.reverse();
    let base64 = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
    let signed = format!("{}:{}", base64(session.as_bytes()), String::from_utf8(time).unwrap());
    let salt = "django.contrib.sessions.backends.signed_cookiessigner";
    format!("{signed}:{}", base64(&hmac(&key(salt), signed.as_bytes())))
}

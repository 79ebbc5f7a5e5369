//! Logout tokens: signed requests of a provider to end sessions (OpenID Connect Back-Channel Logout 1.0).

use super::id_token::{LOGOUT_EVENT, check_audience, check_times, session_id};
use super::{ExpectedIssuer, IdTokenError, KeySet, SigningAlgorithm, json, jws};
use crate::Timestamp;

/// The conditions that a logout token has to meet.
#[derive(Clone, Copy, Debug)]
pub struct LogoutRules<'a> {
    /// The issuer that it has to come from.
    pub issuer: ExpectedIssuer<'a>,
    /// The client that it has to be for: our id at the provider.
    pub client_id: &'a str,
    /// The algorithms that may have signed it, from the configuration or the discovery document.
    pub algorithms: &'a [SigningAlgorithm],
    /// The current time.
    pub now: Timestamp,
}

/// A logout token that has been verified. It names a user or a session, or both.
#[derive(Clone, Debug)]
pub struct LogoutToken {
    /// The issuer, in the spelling of [`IdToken::issuer`](super::IdToken::issuer).
    pub issuer: String,
    /// The id of the user whose sessions end, as in [`IdToken::subject`](super::IdToken::subject). With a session id only that
    /// session of the user ends.
    pub subject: Option<String>,
    /// The id of the session at the provider that ends.
    pub session_id: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The id of the token (`jti`), by which a repeated one can be recognised.
    pub token_id: Option<String>,
}

/// Verifies a logout token that the provider has posted (§2.6).
///
/// A token whose provider leaves out `exp`, as drafts of the specification did, is valid for ten minutes like any other.
///
/// # Errors
/// Why it is refused. After [`IdTokenError::UnknownKey`] the caller fetches the keys anew, once, and tries again.
pub fn verify_logout_token(token: &str, keys: &KeySet, rules: &LogoutRules<'_>) -> Result<LogoutToken, IdTokenError> {
    let is_type = |text: &str| text.eq_ignore_ascii_case("logout+jwt") || text.eq_ignore_ascii_case("JWT");
    let claims = jws::claims(token, keys, rules.algorithms, is_type)?;
    let issuer = rules.issuer.check(&claims)?;
    check_audience(&claims, rules.client_id)?;
    let issued_at = check_times(&claims, rules.now, false)?;
    let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
    if !event.is_some_and(serde_json::Value::is_object) {
        return Err(IdTokenError::Event);
    }
    // An ID token must not end sessions, and a nonce is what distinguishes it.
    if claims.contains_key("nonce") {
        return Err(IdTokenError::Nonce);
    }
    let (subject, session_id) = (rules.issuer.subject(&claims)?, session_id(&claims)?);
    if subject.is_none() && session_id.is_none() {
        return Err(IdTokenError::Subject);
    }
    let token_id = json::present(&claims, "jti").and_then(json::identifier).map(str::to_owned);
    Ok(LogoutToken { issuer, subject, session_id, issued_at, token_id })
}

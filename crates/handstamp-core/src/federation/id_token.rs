//! ID tokens: signed statements of a provider about who has signed in (OpenID Connect Core 1.0 §2 and §3.1.3.7).

use std::time::Duration;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{Claims, ExpectedIssuer, IdTokenError, KeySet, SigningAlgorithm, json, jws};
use crate::Timestamp;

/// The event of a logout (§2.4).
pub(super) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How far the clocks of the provider and of this machine may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// How long ago a token may have been issued. It comes straight from the provider; Microsoft sets the time back by five minutes.
pub(super) const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// The last second of the year 9999, which no time in a token may exceed.
const END_OF_9999: u64 = 253_402_300_799;

/// The conditions that an ID token has to meet.
#[derive(Clone, Copy, Debug)]
pub struct IdTokenRules<'a> {
    /// The issuer that it has to come from.
    pub issuer: ExpectedIssuer<'a>,
    /// The client that it has to be for: our id at the provider.
    pub client_id: &'a str,
    /// The nonce of the attempt to sign in. A token without it is refused, and an empty one is none.
    pub nonce: &'a str,
    /// The algorithms that may have signed it, from the configuration or the discovery document.
    pub algorithms: &'a [SigningAlgorithm],
    /// The current time.
    pub now: Timestamp,
    /// For re-authentication: the user must have authenticated at or after this time, up to a minute of difference between the
    /// clocks. The token has to say when.
    pub authenticated_since: Option<Timestamp>,
}

/// An ID token that has been verified.
#[derive(Clone, Debug)]
pub struct IdToken {
    /// The issuer, in the one spelling that identifies users together with the subject.
    pub issuer: String,
    /// The id of the user at this issuer: `sub`, or `oid` with [`ExpectedIssuer::Tenants`]. It never changes, and no other user gets
    /// it.
    pub subject: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When the user authenticated at the provider, if it says so.
    pub auth_time: Option<Timestamp>,
    /// The id of the session at the provider (`sid`), which a logout token may name.
    pub session_id: Option<String>,
    /// The claims about the user.
    pub claims: Claims,
}

/// Verifies an ID token that the token endpoint of the provider has returned.
///
/// # Errors
/// Why it is refused. After [`IdTokenError::UnknownKey`] the caller fetches the keys anew, once, and tries again.
pub fn verify_id_token(token: &str, keys: &KeySet, rules: &IdTokenRules<'_>) -> Result<IdToken, IdTokenError> {
    let claims = jws::claims(token, keys, rules.algorithms, |media_type| media_type.eq_ignore_ascii_case("JWT"))?;
    // Some providers leave out the type of a logout token.
    if claims.get("events").is_some_and(|events| events.get(LOGOUT_EVENT).is_some()) {
        return Err(IdTokenError::Type);
    }
    let issuer = rules.issuer.check(&claims)?;
    check_audience(&claims, rules.client_id)?;
    check_authorized_party(&claims, rules.client_id)?;
    check_nonce(&claims, rules.nonce)?;
    let issued_at = check_times(&claims, rules.now, true)?;
    let auth_time = check_auth_time(&claims, rules)?;
    // OpenID Connect requires `sub` whatever identifies the user here.
    claims.get("sub").and_then(json::identifier).ok_or(IdTokenError::Subject)?;
    let subject = rules.issuer.subject(&claims)?.ok_or(IdTokenError::Subject)?;
    let session_id = session_id(&claims)?;
    Ok(IdToken { issuer, subject, issued_at, auth_time, session_id, claims: Claims::new(claims) })
}

/// The audiences of a token: a text, or a list of texts.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, IdTokenError> {
    let audience = claims.get("aud").ok_or(IdTokenError::Audience)?;
    let texts: Option<Vec<&str>> = match audience {
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        single => single.as_str().map(|text| vec![text]),
    };
    texts.ok_or(IdTokenError::Audience)
}

pub(super) fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), IdTokenError> {
    let is_for_us = !client_id.is_empty() && audiences(claims)?.contains(&client_id);
    if is_for_us { Ok(()) } else { Err(IdTokenError::Audience) }
}

fn check_authorized_party(claims: &Map<String, Value>, client_id: &str) -> Result<(), IdTokenError> {
    let is_correct = match json::present(claims, "azp") {
        Some(party) => party == client_id,
        None => audiences(claims)?.len() == 1,
    };
    if is_correct { Ok(()) } else { Err(IdTokenError::AuthorizedParty) }
}

/// Compares the nonce in constant time.
fn check_nonce(claims: &Map<String, Value>, expected: &str) -> Result<(), IdTokenError> {
    let nonce = claims.get("nonce").and_then(Value::as_str).ok_or(IdTokenError::Nonce)?;
    let is_equal = !expected.is_empty() && bool::from(nonce.as_bytes().ct_eq(expected.as_bytes()));
    if is_equal { Ok(()) } else { Err(IdTokenError::Nonce) }
}

/// The time of issue, after a check of all times.
pub(super) fn check_times(
    claims: &Map<String, Value>,
    now: Timestamp,
    needs_expiry: bool,
) -> Result<Timestamp, IdTokenError> {
    let issued_at = time(claims, "iat")?.ok_or(IdTokenError::Malformed)?;
    let not_before = time(claims, "nbf")?.unwrap_or(issued_at);
    match time(claims, "exp")? {
        Some(expires_at) if now >= expires_at.after(LEEWAY) => return Err(IdTokenError::Expired),
        None if needs_expiry => return Err(IdTokenError::Malformed),
        _ => {}
    }
    if issued_at.max(not_before) > now.after(LEEWAY) {
        return Err(IdTokenError::IssuedInFuture);
    }
    if now.since(issued_at) > MAX_AGE { Err(IdTokenError::IssuedLongAgo) } else { Ok(issued_at) }
}

fn check_auth_time(claims: &Map<String, Value>, rules: &IdTokenRules<'_>) -> Result<Option<Timestamp>, IdTokenError> {
    let auth_time = time(claims, "auth_time")?;
    if auth_time.is_some_and(|time| time > rules.now.after(LEEWAY)) {
        return Err(IdTokenError::IssuedInFuture);
    }
    if let Some(since) = rules.authenticated_since {
        let at = auth_time.ok_or(IdTokenError::NoAuthenticationTime)?;
        if at.after(LEEWAY) < since {
            return Err(IdTokenError::AuthenticatedTooLongAgo);
        }
    }
    Ok(auth_time)
}

pub(super) fn session_id(claims: &Map<String, Value>) -> Result<Option<String>, IdTokenError> {
    match json::present(claims, "sid") {
        None => Ok(None),
        Some(id) => json::identifier(id).map(|id| Some(id.to_owned())).ok_or(IdTokenError::Malformed),
    }
}

/// A time in a token, which may have a fraction (RFC 7519 §2, NumericDate).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, IdTokenError> {
    let Some(value) = json::present(claims, name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => seconds,
        // The cast leaves out the fraction. It cannot overflow: the limit is below 2⁵³.
        (None, Some(seconds)) if (0.0..=END_OF_9999 as f64).contains(&seconds) => seconds as u64,
        _ => return Err(IdTokenError::Malformed),
    };
    let time = (seconds <= END_OF_9999).then(|| Timestamp::from_unix_seconds(seconds));
    time.map(Some).ok_or(IdTokenError::Malformed)
}

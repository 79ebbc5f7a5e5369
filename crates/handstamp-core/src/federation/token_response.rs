//! The response of a provider's token endpoint (RFC 6749 §5).

use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json::{self, DocumentError};

/// The most characters of a provider's explanation that are kept.
const MAX_DESCRIPTION: usize = 200;

/// The names of errors that are passed on: those of RFC 6749 §4.1.2.1 and §5.2, OpenID Connect Core 1.0 §3.1.2.6, and GitHub.
const ERROR_CODES: [&str; 22] = [
    "access_denied",
    "account_selection_required",
    "bad_verification_code",
    "consent_required",
    "incorrect_client_credentials",
    "interaction_required",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "login_required",
    "redirect_uri_mismatch",
    "registration_not_supported",
    "request_not_supported",
    "request_uri_not_supported",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
];

/// The name of an error that a provider gives, or `other` if it is not a known one. So it is safe in logs and metrics.
pub fn known_error_code(code: &str) -> &'static str {
    ERROR_CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}

/// The tokens that a code was exchanged for.
pub struct TokenResponse {
    /// Opens the userinfo endpoint, or the API of GitHub.
    pub access_token: Zeroizing<String>,
    /// The ID token, which is still to be verified.
    pub id_token: Option<String>,
}

/// Redacted.
impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenResponse(…)")
    }
}

/// Why a code was not exchanged for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenResponseError {
    /// The response is too long, or not a JSON object with the members of RFC 6749.
    Document(DocumentError),
    /// The access token is of another type than `Bearer`.
    TokenType,
    /// The provider has refused the request.
    Refused {
        /// The name of the error, or `other` if it is not a known one.
        code: &'static str,
        /// The explanation for developers, in visible ASCII and cut off after 200 characters. It may name the client and is only for
        /// the log.
        description: Option<String>,
    },
}

impl fmt::Display for TokenResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::TokenType => f.write_str("the access token is not a bearer token"),
            Self::Refused { code, description: None } => write!(f, "the provider refused the request: {code}"),
            Self::Refused { code, description: Some(text) } => {
                write!(f, "the provider refused the request: {code} ({text})")
            }
        }
    }
}

impl std::error::Error for TokenResponseError {}

impl From<DocumentError> for TokenResponseError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

/// Parses the response of the token endpoint, whatever its status: GitHub returns errors with the status 200.
///
/// # Errors
/// When the provider has refused the request, or the response is not one of RFC 6749.
pub fn parse_token_response(document: &[u8]) -> Result<TokenResponse, TokenResponseError> {
    let mut members = json::document(document)?;
    if let Some(code) = json::present(&members, "error") {
        let code = known_error_code(code.as_str().unwrap_or_default());
        return Err(TokenResponseError::Refused { code, description: description(&members) });
    }
    let mut take = |member| match members.remove(member) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        None | Some(Value::Null) => Ok(None),
        _ => Err(DocumentError::Malformed),
    };
    let access_token = Zeroizing::new(take("access_token")?.ok_or(DocumentError::Malformed)?);
    let id_token = take("id_token")?;
    let is_bearer = take("token_type")?.is_some_and(|token_type| token_type.eq_ignore_ascii_case("Bearer"));
    // The token goes into a header.
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(DocumentError::Malformed.into());
    }
    if is_bearer { Ok(TokenResponse { access_token, id_token }) } else { Err(TokenResponseError::TokenType) }
}

fn description(members: &Map<String, Value>) -> Option<String> {
    let text = members.get("error_description")?.as_str()?;
    let printed = |char: char| if char == ' ' || char.is_ascii_graphic() { char } else { '?' };
    Some(text.chars().take(MAX_DESCRIPTION).map(printed).collect())
}

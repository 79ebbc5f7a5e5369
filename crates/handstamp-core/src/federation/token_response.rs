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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(document: &str) -> Result<TokenResponse, TokenResponseError> {
        parse_token_response(document.as_bytes())
    }

    #[test]
    fn a_code_is_exchanged_for_tokens() {
        // The first is that of OpenID Connect Core 1.0 §3.1.3.3, with a shorter ID token; the second is GitHub's.
        let openid = parsed(
            r#"{"access_token":"SlAV32hkKG","token_type":"Bearer","refresh_token":"8xLOxBtZp8","expires_in":3600,"id_token":"a.b.c"}"#,
        )
        .unwrap();
        assert_eq!((openid.access_token.as_str(), openid.id_token.as_deref()), ("SlAV32hkKG", Some("a.b.c")));
        let github =
            parsed(r#"{"access_token":"gho_16C7","scope":"read:user,user:email","token_type":"bearer"}"#).unwrap();
        assert_eq!((github.access_token.as_str(), github.id_token.as_deref()), ("gho_16C7", None));
        assert_eq!(format!("{github:?}"), "TokenResponse(…)");
    }

    #[test]
    fn a_response_that_is_none_is_refused() {
        let malformed = TokenResponseError::Document(DocumentError::Malformed);
        for document in [
            "",
            "access_token=a&token_type=bearer",
            "[]",
            "{}",
            r#"{"token_type":"Bearer","id_token":"a.b.c"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":7,"token_type":"Bearer"}"#,
            r#"{"access_token":"a\r\nHost: b","token_type":"Bearer"}"#,
            r#"{"access_token":"a b","token_type":"Bearer"}"#,
            r#"{"access_token":"a","token_type":"Bearer","id_token":7}"#,
            r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#,
        ] {
            assert_eq!(parsed(document).err(), Some(malformed.clone()), "{document}");
        }
        for document in [r#"{"access_token":"a"}"#, r#"{"access_token":"a","token_type":"DPoP"}"#] {
            assert_eq!(parsed(document).err(), Some(TokenResponseError::TokenType), "{document}");
        }
        let long = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(1 << 20));
        assert_eq!(parsed(&long).err(), Some(TokenResponseError::Document(DocumentError::TooLong)));
    }

    #[test]
    fn an_error_is_named_by_a_known_word() {
        let refused = |document: &str| match parsed(document).unwrap_err() {
            TokenResponseError::Refused { code, description } => (code, description),
            other => panic!("{document}: {other}"),
        };
        assert_eq!(
            refused(r#"{"error":"invalid_grant","access_token":"a","token_type":"Bearer"}"#),
            ("invalid_grant", None)
        );
        assert_eq!(refused(r#"{"error":"<b>\n"}"#), ("other", None));
        assert_eq!(refused(r#"{"error":7,"error_description":7}"#), ("other", None));
        let (code, description) = refused(r#"{"error":"invalid_client","error_description":"a\u001b[31m\né ok"}"#);
        assert_eq!((code, description.as_deref()), ("invalid_client", Some("a?[31m?? ok")));
        let long = format!(r#"{{"error":"bad_verification_code","error_description":"{}"}}"#, "é".repeat(1000));
        assert_eq!(refused(&long), ("bad_verification_code", Some("?".repeat(200))));
        assert_eq!(known_error_code("access_denied"), "access_denied");
        assert!(ERROR_CODES.is_sorted());
    }
}

//! The documents of GitHub's REST API, which take the place of an ID token: GitHub signs users in by OAuth 2.0 alone.

use serde_json::Value;

use super::json::{self, DocumentError};

/// A user of GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubUser {
    /// The id, which never changes: a number.
    pub id: String,
    /// The user name, which the user can change and another user can then take.
    pub login: String,
    /// The name to display.
    pub name: Option<String>,
}

/// Parses the response to `GET /user`.
///
/// # Errors
/// When it is not the description of a user.
pub fn parse_user(document: &[u8]) -> Result<GithubUser, DocumentError> {
    let members = json::document(document)?;
    let id = members.get("id").and_then(Value::as_u64).filter(|id| *id > 0).ok_or(DocumentError::Malformed)?;
    let login = members.get("login").and_then(json::identifier).ok_or(DocumentError::Malformed)?;
    let name = members.get("name").and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
    Ok(GithubUser { id: id.to_string(), login: login.to_owned(), name: name.map(str::to_owned) })
}

/// Parses the response to `GET /user/emails`: the primary address, and whether it is verified.
///
/// # Errors
/// When it is not a list of addresses, or has several primary ones.
pub fn primary_email(document: &[u8]) -> Result<Option<(String, bool)>, DocumentError> {
    let value = json::value(document)?;
    let addresses = value.as_array().ok_or(DocumentError::Malformed)?;
    let mut primary = addresses.iter().filter(|address| address.get("primary") == Some(&Value::Bool(true)));
    let Some(address) = primary.next() else { return Ok(None) };
    let email = address.get("email").and_then(Value::as_str).filter(|email| !email.is_empty());
    match (email, primary.next()) {
        (Some(email), None) => Ok(Some((email.to_owned(), address.get("verified") == Some(&Value::Bool(true))))),
        _ => Err(DocumentError::Malformed),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of GitHub, shortened.
    const USER: &str = r#"{"login":"octocat","id":1,"node_id":"MDQ6VXNlcjE=","gravatar_id":"","type":"User","site_admin":false,
        "name":"monalisa octocat","email":"octocat@github.com","two_factor_authentication":true,"plan":{"name":"Medium"}}"#;
    const EMAILS: &str = r#"[{"email":"support@github.com","primary":false,"verified":true,"visibility":null},
        {"email":"octocat@github.com","verified":true,"primary":true,"visibility":"public"}]"#;

    #[test]
    fn a_user_of_github_is_identified_by_the_number() {
        let user = parse_user(USER.as_bytes()).unwrap();
        let (id, login) = ("1".to_owned(), "octocat".to_owned());
        assert_eq!(user, GithubUser { id, login, name: Some("monalisa octocat".to_owned()) });
        let largest = parse_user(br#"{"id":18446744073709551615,"login":"a","name":null}"#).unwrap();
        assert_eq!((largest.id.as_str(), largest.name), ("18446744073709551615", None));
        for document in [
            "",
            "[]",
            "{}",
            r#"{"message":"Bad credentials","status":"401"}"#,
            r#"{"id":"1","login":"a"}"#,
            r#"{"id":0,"login":"a"}"#,
            r#"{"id":-1,"login":"a"}"#,
            r#"{"id":1.5,"login":"a"}"#,
            r#"{"id":1e3,"login":"a"}"#,
            r#"{"id":1,"id":2,"login":"a"}"#,
            r#"{"id":1}"#,
            r#"{"id":1,"login":""}"#,
        ] {
            assert_eq!(parse_user(document.as_bytes()), Err(DocumentError::Malformed), "{document}");
        }
    }

    #[test]
    fn the_primary_address_is_verified_by_the_value_true() {
        assert_eq!(primary_email(EMAILS.as_bytes()), Ok(Some(("octocat@github.com".to_owned(), true))));
        let email = |rest: &str| primary_email(format!(r#"[{{"email":"a@b.c",{rest}}}]"#).as_bytes());
        for unverified in ["false", "\"true\"", "1", "null", "\"TRUE\"", "\"1\""] {
            let found = email(&format!(r#""primary":true,"verified":{unverified}"#));
            assert_eq!(found, Ok(Some(("a@b.c".to_owned(), false))), "{unverified}");
        }
        assert_eq!(email(r#""primary":true"#), Ok(Some(("a@b.c".to_owned(), false))));
        assert_eq!(email(r#""primary":"true","verified":true"#), Ok(None));
        assert_eq!(primary_email(b"[]"), Ok(None));
        for document in [
            "{}",
            "",
            r#"[{"primary":true,"verified":true}]"#,
            r#"[{"email":7,"primary":true}]"#,
            r#"[{"email":"a@b.c","primary":true},{"email":"d@b.c","primary":true}]"#,
            r#"[{"email":"a@b.c","email":"d@b.c","primary":true}]"#,
        ] {
            assert_eq!(primary_email(document.as_bytes()), Err(DocumentError::Malformed), "{document}");
        }
    }
}

//! The claims of a provider about a user.

use std::fmt;

use serde_json::{Map, Value};

use super::json::{self, DocumentError};

/// The claims of a provider about a user, from an ID token or a userinfo response (OpenID Connect Core 1.0 §5.1).
#[derive(Clone)]
pub struct Claims {
    members: Map<String, Value>,
    name: Option<String>,
}

/// Why a userinfo response is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserinfoError {
    /// It is too long, or not a JSON object. A provider can be configured to sign the response, which is not supported.
    Document(DocumentError),
    /// It is about another user, or does not say about which one.
    Subject,
}

impl fmt::Display for UserinfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::Subject => f.write_str("the document is about another user than the ID token"),
        }
    }
}

impl std::error::Error for UserinfoError {}

impl From<DocumentError> for UserinfoError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

/// Parses the response of the userinfo endpoint about the user whose `sub` in the ID token is `subject`
/// ([`Claims::subject`]).
///
/// # Errors
/// When it is not a JSON object, or is about another user (OpenID Connect Core 1.0 §5.3.2).
pub fn parse_userinfo(document: &[u8], subject: &str) -> Result<Claims, UserinfoError> {
    let claims = Claims::new(json::document(document)?);
    if claims.subject() == Some(subject) { Ok(claims) } else { Err(UserinfoError::Subject) }
}

impl Claims {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        let name = name(&members);
        Self { members, name }
    }

    /// The id of the user for this client (`sub`). With Microsoft it is not the one that identifies the user here.
    pub fn subject(&self) -> Option<&str> {
        self.members.get("sub").and_then(json::identifier)
    }

    /// The e-mail address, which the user or an administrator of the provider may have chosen freely.
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Whether the provider says that it has verified the e-mail address: by JSON's `true` only, and by the text `"true"` only if that
    /// counts, as with Apple.
    pub fn email_verified(&self, text_counts: bool) -> bool {
        match self.members.get("email_verified") {
            Some(Value::Bool(is_verified)) => *is_verified,
            Some(Value::String(text)) => text_counts && text == "true",
            _ => false,
        }
    }

    /// The name to display: the full name, or else the given name and the family name, or else the user name if it is not an
    /// address.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The domain of the organization whose account at Google it is (`hd`).
    pub fn hosted_domain(&self) -> Option<&str> {
        self.text("hd")
    }

    /// The values of a claim that is a text or a list of texts, such as `amr`, `acr` or `groups`.
    ///
    /// A claim inside others is named by its path: `realm_access.roles`. A claim whose own name has full stops is found as well.
    pub fn values(&self, claim: &str) -> Vec<&str> {
        match find(&self.members, claim) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text],
            _ => Vec::new(),
        }
    }

    /// Whether the provider has left out a claim and says where it can be asked for (OpenID Connect Core 1.0 §5.6.2). Microsoft does
    /// so with `groups` if there are too many: then the user is not without groups.
    pub fn is_elsewhere(&self, claim: &str) -> bool {
        self.members.get("_claim_names").is_some_and(|names| names.get(claim).is_some())
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.members.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// Shows no claim: they are personal data.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(…)")
    }
}

fn name(members: &Map<String, Value>) -> Option<String> {
    let text = |claim| members.get(claim).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let parts: Vec<&str> = ["given_name", "family_name"].into_iter().filter_map(text).collect();
    let joined = (!parts.is_empty()).then(|| parts.join(" "));
    let user_name = || text("preferred_username").filter(|name| !name.contains('@')).map(str::to_owned);
    text("name").map(str::to_owned).or(joined).or_else(user_name)
}

/// The member of this name, or the one at this path.
fn find<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    members.get(path).or_else(|| {
        path.match_indices('.').find_map(|(at, _)| find(members.get(&path[..at])?.as_object()?, &path[at + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(members: Value) -> Claims {
        Claims::new(members.as_object().unwrap().clone())
    }

    #[test]
    fn an_address_is_verified_only_by_the_value_true() {
        let verified = |value: Value| {
            let claims = claims(json!({"email_verified": value}));
            (claims.email_verified(false), claims.email_verified(true))
        };
        assert_eq!(verified(json!(true)), (true, true));
        assert_eq!(verified(json!("true")), (false, true));
        let others = [json!(1), json!("1"), json!("TRUE"), json!("True"), json!(" true"), json!("yes"), json!([true])];
        for other in others.into_iter().chain([json!(false), json!("false"), json!(""), json!({}), Value::Null]) {
            assert_eq!(verified(other.clone()), (false, false), "{other}");
        }
        assert!(!claims(json!({"email": "ada@example.com"})).email_verified(true));
    }

    #[test]
    fn a_name_is_composed_of_what_there_is() {
        let name = |members| claims(members).name().map(str::to_owned);
        let ada = Some("Ada Lovelace".to_owned());
        assert_eq!(name(json!({"name": " Ada Lovelace ", "given_name": "A"})), ada);
        assert_eq!(name(json!({"name": " ", "given_name": "Ada", "family_name": "Lovelace"})), ada);
        assert_eq!(name(json!({"name": 7, "family_name": "Lovelace"})).as_deref(), Some("Lovelace"));
        assert_eq!(name(json!({"given_name": "", "preferred_username": "ada"})).as_deref(), Some("ada"));
        assert_eq!(name(json!({"preferred_username": "ada@example.com"})), None);
        assert_eq!(name(json!({"email": "ada@example.com", "sub": "7"})), None);
    }

    #[test]
    fn the_values_of_a_claim_are_found_by_name_and_by_path() {
        let claims = claims(json!({
            "groups": ["staff", 7, null, "board", ["x"]], "acr": "2", "amr": ["pwd", "otp"], "count": 3, "nothing": null,
            "realm_access": {"roles": ["admin"], "deep": {"er": "x"}},
            "https://example.com/claims": {"roles": ["editor"]},
            "a.b": {"c": "dotted"}, "a": {"b": {"c": "nested"}, "d": "plain"}, "exact.name": "first", "exact": {"name": "second"},
        }));
        for (claim, values) in [
            ("groups", vec!["staff", "board"]),
            ("acr", vec!["2"]),
            ("amr", vec!["pwd", "otp"]),
            ("realm_access.roles", vec!["admin"]),
            ("realm_access.deep.er", vec!["x"]),
            ("https://example.com/claims.roles", vec!["editor"]),
            ("a.b.c", vec!["nested"]),
            ("a.d", vec!["plain"]),
            ("exact.name", vec!["first"]),
            ("realm_access", vec![]),
            ("count", vec![]),
            ("nothing", vec![]),
            ("missing", vec![]),
            ("groups.0", vec![]),
            ("acr.x", vec![]),
            ("", vec![]),
            (".", vec![]),
            ("realm_access.", vec![]),
            (".roles", vec![]),
        ] {
            assert_eq!(claims.values(claim), values, "{claim}");
        }
        assert!(claims.values(&".".repeat(1000)).is_empty());
    }

    #[test]
    fn claims_that_are_elsewhere_are_not_claims_that_are_missing() {
        let left_out =
            claims(json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "x"}}}));
        assert!(left_out.is_elsewhere("groups") && !left_out.is_elsewhere("roles"));
        assert!(!claims(json!({"_claim_names": "groups"})).is_elsewhere("groups"));
    }

    #[test]
    fn texts_are_texts_and_are_not_printed() {
        let some = claims(json!({"email": "ada@example.com", "hd": "example.com"}));
        assert_eq!((some.email(), some.hosted_domain()), (Some("ada@example.com"), Some("example.com")));
        let none = claims(json!({"email": "", "hd": ["example.com"]}));
        assert_eq!((none.email(), none.hosted_domain(), none.subject()), (None, None, None));
        assert_eq!(format!("{some:?}"), "Claims(…)");
    }

    #[test]
    fn a_userinfo_response_is_about_the_user_of_the_id_token() {
        let parsed = parse_userinfo(br#"{"sub":"7","email":"ada@example.com"}"#, "7").unwrap();
        assert_eq!(parsed.email(), Some("ada@example.com"));
        let malformed = UserinfoError::Document(DocumentError::Malformed);
        for (document, expected) in [
            (r#"{"sub":"8"}"#, UserinfoError::Subject),
            (r#"{"sub":7}"#, UserinfoError::Subject),
            (r#"{"sub":"7 "}"#, UserinfoError::Subject),
            (r#"{"email":"ada@example.com"}"#, UserinfoError::Subject),
            (r#"{"sub":"7","sub":"8"}"#, malformed),
            (r#"{"sub":"8","sub":"7"}"#, malformed),
            ("eyJhbGciOiJub25lIn0.e30.", malformed),
            ("", malformed),
        ] {
            assert_eq!(parse_userinfo(document.as_bytes(), "7").err(), Some(expected), "{document}");
        }
        assert_eq!(parse_userinfo(br#"{"sub":""}"#, "").err(), Some(UserinfoError::Subject));
    }
}

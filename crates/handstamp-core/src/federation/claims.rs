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

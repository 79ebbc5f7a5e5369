//! The discovery document of a provider (OpenID Connect Discovery 1.0 §3, RFC 8414).

use std::fmt;

use serde_json::{Map, Value};
use url::{Host, Url};

use super::SigningAlgorithm;
use super::json::{self, DocumentError};

/// The most bytes of a document's text that an error shows.
const MAX_SHOWN_BYTES: usize = 200;

/// The description that a provider publishes of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderMetadata {
    /// The URL that the browser of a user is sent to.
    pub authorization_endpoint: String,
    /// The URL at which a code is exchanged.
    pub token_endpoint: String,
    /// The URL that tells more of a user.
    pub userinfo_endpoint: Option<String>,
    /// The URL of the public keys.
    pub jwks_uri: String,
    /// The algorithms that it may sign ID tokens with, as far as they are supported here. There is at least one.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Whether every answer to a sign-in says which issuer it comes from (RFC 9207). Then an answer without it is refused.
    pub sends_issuer: bool,
    /// Whether the client secret has to stand in the body of a request, rather than in its header `Authorization`.
    pub secret_in_body: bool,
}

/// Why a discovery document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// It is too long, or not a JSON object.
    Document(DocumentError),
    /// The configured issuer is not an `https` URL, nor an `http` URL of this machine.
    InsecureIssuer,
    /// The document is that of another issuer: this one, if it is a short text.
    Issuer(Option<String>),
    /// This member is missing or not of its type.
    Member(&'static str),
    /// The URL in this member is not an `https` URL that can be used.
    Endpoint(&'static str),
    /// None of the algorithms that it signs ID tokens with is supported.
    Algorithms,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::InsecureIssuer => f.write_str("the issuer must be an https URL without a query"),
            Self::Issuer(Some(found)) => write!(f, "the document is that of the issuer {found:?}, spelled so"),
            Self::Issuer(None) => f.write_str("the document names no issuer, or another one"),
            Self::Member(member) => write!(f, "the member {member} is missing or not of its type"),
            Self::Endpoint(member) => write!(f, "the URL in {member} is not one with https"),
            Self::Algorithms => {
                f.write_str("none of the algorithms in id_token_signing_alg_values_supported is supported")
            }
        }
    }
}

impl std::error::Error for MetadataError {}

impl From<DocumentError> for MetadataError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl ProviderMetadata {
    /// Parses the document of this issuer. For Microsoft's common documents the issuer is the template with `{tenantid}`.
    ///
    /// All URLs have to be `https`. If the issuer is an `http` URL of a loopback address, as in tests, they may be such too.
    ///
    /// # Errors
    /// When the document is that of another issuer, even if it is spelled otherwise (Discovery §4.3); or when a member is missing
    /// or wrong.
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let issuer_url = sound_url(issuer).filter(|url| url.query().is_none()).ok_or(MetadataError::InsecureIssuer)?;
        let members = json::document(document)?;
        let found = members.get("issuer").and_then(Value::as_str);
        if found != Some(issuer) {
            let shown = found.filter(|text| text.len() <= MAX_SHOWN_BYTES);
            return Err(MetadataError::Issuer(shown.map(str::to_owned)));
        }
        let is_plain_allowed = issuer_url.scheme() == "http";
        let optional = |member| endpoint(&members, member, is_plain_allowed);
        let required = |member| optional(member)?.ok_or(MetadataError::Member(member));
        Ok(Self {
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            userinfo_endpoint: optional("userinfo_endpoint")?,
            jwks_uri: required("jwks_uri")?,
            algorithms: algorithms(&members)?,
            sends_issuer: flag(&members, "authorization_response_iss_parameter_supported")?,
            secret_in_body: secret_in_body(&members)?,
        })
    }
}

/// A URL that is `https`, or `http` of a loopback address. It has no user and no fragment.
fn sound_url(text: &str) -> Option<Url> {
    // The parser repairs blanks and backslashes; a program that does not would see another URL.
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_loopback = match url.host()? {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_sound = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    (is_sound && is_safe).then_some(url)
}

fn endpoint(
    members: &Map<String, Value>,
    member: &'static str,
    is_plain_allowed: bool,
) -> Result<Option<String>, MetadataError> {
    let Some(value) = json::present(members, member) else { return Ok(None) };
    let text = value.as_str().ok_or(MetadataError::Member(member))?;
    let url = sound_url(text).filter(|url| url.scheme() == "https" || is_plain_allowed);
    url.map(|url| Some(url.into())).ok_or(MetadataError::Endpoint(member))
}

fn texts<'a>(members: &'a Map<String, Value>, member: &'static str) -> Result<Option<Vec<&'a str>>, MetadataError> {
    let Some(value) = json::present(members, member) else { return Ok(None) };
    let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    texts.map(Some).ok_or(MetadataError::Member(member))
}

fn algorithms(members: &Map<String, Value>) -> Result<Vec<SigningAlgorithm>, MetadataError> {
    const MEMBER: &str = "id_token_signing_alg_values_supported";
    let names = texts(members, MEMBER)?.ok_or(MetadataError::Member(MEMBER))?;
    let mut algorithms = Vec::new();
    for algorithm in names.into_iter().filter_map(SigningAlgorithm::parse) {
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() { Err(MetadataError::Algorithms) } else { Ok(algorithms) }
}

fn flag(members: &Map<String, Value>, member: &'static str) -> Result<bool, MetadataError> {
    let Some(value) = json::present(members, member) else { return Ok(false) };
    value.as_bool().ok_or(MetadataError::Member(member))
}

fn secret_in_body(members: &Map<String, Value>) -> Result<bool, MetadataError> {
    // A provider that does not say accepts the header (Discovery §3).
    let Some(methods) = texts(members, "token_endpoint_auth_methods_supported")? else { return Ok(false) };
    Ok(!methods.contains(&"client_secret_basic") && methods.contains(&"client_secret_post"))
}

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://op.example.com";

    fn document(issuer: &str) -> Value {
        json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth?p=1"), "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/me"), "jwks_uri": "https://keys.example.net/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "none", "HS256", "EdDSA", "Ed25519", "ES256K"],
        })
    }

    fn parsed(document: &Value) -> Result<ProviderMetadata, MetadataError> {
        ProviderMetadata::parse(document.to_string().as_bytes(), ISSUER)
    }

    fn with(member: &str, value: Value) -> Result<ProviderMetadata, MetadataError> {
        let mut document = document(ISSUER);
        document[member] = value;
        parsed(&document)
    }

    #[test]
    fn a_provider_describes_itself() {
        let expected = ProviderMetadata {
            authorization_endpoint: "https://op.example.com/auth?p=1".to_owned(),
            token_endpoint: "https://op.example.com/token".to_owned(),
            userinfo_endpoint: Some("https://op.example.com/me".to_owned()),
            jwks_uri: "https://keys.example.net/jwks".to_owned(),
            algorithms: vec![SigningAlgorithm::Rs256, SigningAlgorithm::EdDsa],
            sends_issuer: false,
            secret_in_body: false,
        };
        assert_eq!(parsed(&document(ISSUER)), Ok(expected));
        assert_eq!(with("userinfo_endpoint", Value::Null).unwrap().userinfo_endpoint, None);
        assert!(with("authorization_response_iss_parameter_supported", json!(true)).unwrap().sends_issuer);
        for (methods, in_body) in [
            (json!(["client_secret_post"]), true),
            (json!(["private_key_jwt", "client_secret_post"]), true),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["private_key_jwt"]), false),
            (json!([]), false),
        ] {
            assert_eq!(with("token_endpoint_auth_methods_supported", methods).unwrap().secret_in_body, in_body);
        }
    }

    /// The members that count, of the documents that these providers publish.
    #[test]
    fn the_documents_of_common_providers_are_read() {
        let google = json!({
            "issuer": "https://accounts.google.com",
            "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        });
        let apple = json!({
            "issuer": "https://appleid.apple.com",
            "authorization_endpoint": "https://appleid.apple.com/auth/authorize",
            "token_endpoint": "https://appleid.apple.com/auth/token",
            "jwks_uri": "https://appleid.apple.com/auth/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        });
        let microsoft = json!({
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
            "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
            "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        });
        for (document, has_userinfo, secret_in_body) in
            [(google, true, false), (apple, false, true), (microsoft, true, false)]
        {
            let issuer = document["issuer"].as_str().unwrap();
            let metadata = ProviderMetadata::parse(document.to_string().as_bytes(), issuer).unwrap();
            assert_eq!(document["token_endpoint"], metadata.token_endpoint);
            assert_eq!(metadata.algorithms, [SigningAlgorithm::Rs256]);
            assert_eq!((metadata.userinfo_endpoint.is_some(), metadata.secret_in_body), (has_userinfo, secret_in_body));
        }
    }

    #[test]
    fn a_document_of_another_issuer_is_refused() {
        for other in
            ["https://op.example.com/", "https://OP.example.com", "http://op.example.com", "", "https://a.example"]
        {
            assert_eq!(with("issuer", other.into()), Err(MetadataError::Issuer(Some(other.to_owned()))));
        }
        for none in [Value::Null, json!([ISSUER]), json!("a".repeat(201))] {
            assert_eq!(with("issuer", none), Err(MetadataError::Issuer(None)));
        }
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let common = document(template).to_string();
        assert!(ProviderMetadata::parse(common.as_bytes(), template).is_ok());
        let shown = with("issuer", "https://a.example/\u{1b}[31m".into()).unwrap_err().to_string();
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn an_endpoint_is_an_https_url() {
        for member in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
            for url in [
                "",
                "/auth",
                "//op.example.com/auth",
                "op.example.com/auth",
                "http://op.example.com/auth",
                "http://127.0.0.1/auth",
                "ftp://op.example.com/auth",
                "file:///etc/passwd",
                "javascript:alert(1)",
                "data:text/html,x",
                "https://",
                "https:///",
                "https://user@op.example.com/auth",
                "https://user:secret@op.example.com/auth",
                "https://op.example.com/auth#fragment",
                "https://op.example.com/auth#",
                "https://op.example.com\\@attacker.example/",
                "https://op.example.com/a b",
                " https://op.example.com/auth",
                "https://op.example.com/auth\r\nHost: a",
                "https://öp.example.com/auth",
                "https://op.example.com:99999/auth",
            ] {
                assert_eq!(with(member, url.into()), Err(MetadataError::Endpoint(member)), "{url}");
            }
            assert_eq!(with(member, json!(["https://a.example"])), Err(MetadataError::Member(member)));
            if member != "userinfo_endpoint" {
                assert_eq!(with(member, Value::Null), Err(MetadataError::Member(member)));
            }
        }
    }

    #[test]
    fn plain_http_is_for_a_provider_of_this_machine() {
        for issuer in ["http://localhost:9000", "http://127.0.0.1:9000/a", "http://[::1]", "http://op.localhost"] {
            let document = document(issuer);
            assert!(ProviderMetadata::parse(document.to_string().as_bytes(), issuer).is_ok(), "{issuer}");
            let mut remote = document;
            remote["token_endpoint"] = "http://op.example.com/token".into();
            let result = ProviderMetadata::parse(remote.to_string().as_bytes(), issuer);
            assert_eq!(
                result,
                Err(MetadataError::Endpoint("token_endpoint")),
                "the client secret stays on the machine"
            );
        }
        for issuer in [
            "http://op.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://op.example.com",
            "https://op.example.com?a=1",
            "https://op.example.com#a",
            "https://user@op.example.com",
            "op.example.com",
            "",
        ] {
            let document = document(issuer).to_string();
            let result = ProviderMetadata::parse(document.as_bytes(), issuer);
            assert_eq!(result, Err(MetadataError::InsecureIssuer), "{issuer}");
        }
    }

    #[test]
    fn a_member_of_another_type_is_named() {
        let algorithms = "id_token_signing_alg_values_supported";
        for none in [json!([]), json!(["none"]), json!(["HS256", "none", "rs256"])] {
            assert_eq!(with(algorithms, none), Err(MetadataError::Algorithms));
        }
        for wrong in [Value::Null, json!("RS256"), json!(["RS256", 1])] {
            assert_eq!(with(algorithms, wrong), Err(MetadataError::Member(algorithms)));
        }
        for (member, value) in [
            ("authorization_response_iss_parameter_supported", json!("true")),
            ("token_endpoint_auth_methods_supported", json!("client_secret_post")),
        ] {
            let error = with(member, value).unwrap_err();
            assert_eq!(error, MetadataError::Member(member));
            assert!(error.to_string().contains(member));
        }
        let malformed = MetadataError::Document(DocumentError::Malformed);
        for text in
            ["", "<html>", "[]", "{\"issuer\":\"https://op.example.com\",\"issuer\":\"https://op.example.com\"}"]
        {
            assert_eq!(ProviderMetadata::parse(text.as_bytes(), ISSUER), Err(malformed.clone()), "{text}");
        }
        let long = ProviderMetadata::parse(&[b' '; 1 << 20], ISSUER);
        assert_eq!(long, Err(MetadataError::Document(DocumentError::TooLong)));
    }
}

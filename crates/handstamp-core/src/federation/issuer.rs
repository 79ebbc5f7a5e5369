//! Which issuers a token may come from.

use serde_json::{Map, Value};

use super::{IdTokenError, json};

/// The place of the tenant in the issuer of Microsoft.
const TENANT: &str = "{tenantid}";

/// The issuer that an ID token has to come from.
#[derive(Clone, Copy, Debug)]
pub enum ExpectedIssuer<'a> {
    /// Exactly this one: the texts are compared byte for byte (OpenID Connect Core 1.0 §3.1.3.7).
    Exactly(&'a str),
    /// This one, or its host without `https://`, as Google also writes it. Both are one issuer: the token gets the first spelling.
    WithHostAlone(&'a str),
    /// One of these tenants of Microsoft. The token names it in `tid`, and its issuer is that of the same tenant. The id of the
    /// user is `oid`, which is the same for all clients of the tenant.
    Tenants {
        /// The issuer in the discovery document, in which `{tenantid}` stands for the tenant.
        template: &'a str,
        /// The ids of the tenants whose users may sign in. None may if there is none.
        tenants: &'a [String],
    },
}

impl ExpectedIssuer<'_> {
    /// Whether an answer that names this issuer (RFC 9207) comes from the expected one.
    pub fn accepts(&self, issuer: &str) -> bool {
        match *self {
            Self::Exactly(expected) => issuer == expected,
            Self::WithHostAlone(expected) => issuer == expected || expected.strip_prefix("https://") == Some(issuer),
            Self::Tenants { template, tenants } => {
                tenants.iter().any(|tenant| issuer == template.replace(TENANT, &tenant.to_ascii_lowercase()))
            }
        }
    }

    /// The issuer of a token with these claims, if it is the expected one.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<String, IdTokenError> {
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(IdTokenError::Issuer)?;
        let is_expected = match *self {
            Self::Exactly(_) | Self::WithHostAlone(_) => self.accepts(issuer),
            Self::Tenants { template, tenants } => claims.get("tid").and_then(Value::as_str).is_some_and(|tenant| {
                // An id is a UUID, which operators may write in upper case.
                let is_listed = tenants.iter().any(|listed| listed.eq_ignore_ascii_case(tenant));
                is_listed && issuer == template.replace(TENANT, tenant)
            }),
        };
        if !is_expected || issuer.is_empty() {
            return Err(IdTokenError::Issuer);
        }
        match *self {
            Self::WithHostAlone(expected) => Ok(expected.to_owned()),
            Self::Exactly(_) | Self::Tenants { .. } => Ok(issuer.to_owned()),
        }
    }

    /// The id of the user in these claims, if there is one.
    pub(super) fn subject(&self, claims: &Map<String, Value>) -> Result<Option<String>, IdTokenError> {
        let member = match self {
            Self::Exactly(_) | Self::WithHostAlone(_) => "sub",
            Self::Tenants { .. } => "oid",
        };
        match json::present(claims, member) {
            None => Ok(None),
            Some(id) => json::identifier(id).map(|id| Some(id.to_owned())).ok_or(IdTokenError::Subject),
        }
    }
}

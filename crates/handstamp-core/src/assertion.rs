//! Assertions: signed statements that tell an app which user sends a request, so that the app need not trust its network.
//!
//! An assertion is a JSON Web Token (RFC 7519) signed with Ed25519 (RFC 8037). Its keys are derived from the secrets like all
//! others, so every node has the same keys, and they rotate with the secrets.

use std::fmt;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::keyring::{Purpose, SecretKey};
use crate::{Authentication, GroupName, Timestamp, UserId};

/// The claims of an assertion: about one user, and for one app.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// The issuer: the public URL of this site.
    pub issuer: &'a str,
    /// The origin of the app that the assertion is for.
    pub audience: &'a str,
    /// The user's permanent id.
    pub user_id: UserId,
    /// The user's display name.
    pub name: &'a str,
    /// The session id, which opens nothing.
    pub session_id: Uuid,
    /// How and when the user authenticated: the claims `amr` (RFC 8176), `acr` and `auth_time` (OpenID Connect Core 1.0 §2).
    pub authentication: Authentication,
    /// The user's e-mail address, if the app receives it.
    pub email: Option<&'a str>,
    /// Whether the e-mail address is verified.
    pub email_verified: bool,
    /// The user's groups, separated by commas.
    pub groups: &'a str,
    /// The user's id in the system that the user was imported from, if there is one.
    pub legacy_id: Option<&'a str>,
    /// The groups of which the authorization subrequest requires one; empty where it requires none.
    pub required_groups: &'a [GroupName],
    /// The time of issue, from which the assertion is valid for [`AssertionKeys::LIFETIME`].
    pub issued_at: Timestamp,
}

/// Signs assertions, and publishes the keys that verify them.
pub struct AssertionKeys {
    current: AssertionKey,
    fallbacks: Vec<AssertionKey>,
}

impl AssertionKeys {
    /// How long an assertion is valid.
    pub const LIFETIME: Duration = Duration::from_secs(60);
    /// How far the time of issue in an assertion is set back: common libraries refuse one from the future, and an app's clock
    /// may be behind by this much.
    pub const BACKDATED: Duration = Duration::from_secs(30);

    /// Keys derived from these secrets: the current key signs, and the keys of the fallbacks can be published with it.
    pub fn new(current: &SecretKey, fallbacks: &[SecretKey]) -> Self {
        Self { current: AssertionKey::new(current), fallbacks: fallbacks.iter().map(AssertionKey::new).collect() }
    }

    /// The signed assertion, in the compact form of RFC 7515 §7.1.
    pub fn issue(&self, assertion: &Assertion<'_>) -> String {
        let issued_at = assertion.issued_at.unix_seconds();
        let authentication = &assertion.authentication;
        let header = json!({ "alg": "EdDSA", "kid": self.current.id, "typ": "JWT" });
        let mut claims = json!({
            "iss": assertion.issuer,
            "aud": assertion.audience,
            "sub": assertion.user_id.to_string(),
            "sid": assertion.session_id.to_string(),
            "amr": authentication.methods().names().collect::<Vec<_>>(),
            "acr": authentication.assurance().get().to_string(),
            "auth_time": authentication.at().unix_seconds(),
            "name": assertion.name,
            "email_verified": assertion.email_verified,
            "groups": assertion.groups.split(',').filter(|group| !group.is_empty()).collect::<Vec<_>>(),
            "iat": issued_at.saturating_sub(Self::BACKDATED.as_secs()),
            "exp": issued_at.saturating_add(Self::LIFETIME.as_secs()),
        });
        if let Some(email) = assertion.email {
            claims["email"] = email.into();
        }
        if let Some(legacy_id) = assertion.legacy_id {
            claims["legacy_id"] = legacy_id.into();
        }
        if !assertion.required_groups.is_empty() {
            claims["required_groups"] = assertion.required_groups.iter().map(GroupName::as_str).collect();
        }
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.current.signing_key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature.to_bytes()))
    }

    /// The key that verifies assertions signed now, as a JWK set (RFC 7517 §5).
    pub fn jwks(&self) -> String {
        jwk_set([&self.current])
    }

    /// The same, followed by the keys of the fallbacks. During a rotation another node, or this one a moment ago, signs with
    /// one of them.
    pub fn jwks_with_fallbacks(&self) -> String {
        self.jwks_with(|_| true)
    }

    /// The same, with those fallbacks only whose index this selects: the first one has the index 0.
    pub fn jwks_with(&self, is_published: impl Fn(usize) -> bool) -> String {
        let fallbacks = self.fallbacks.iter().enumerate().filter(|(index, _)| is_published(*index));
        jwk_set(std::iter::once(&self.current).chain(fallbacks.map(|(_, key)| key)))
    }
}

fn jwk_set<'a>(keys: impl IntoIterator<Item = &'a AssertionKey>) -> String {
    json!({ "keys": keys.into_iter().map(AssertionKey::jwk).collect::<Vec<_>>() }).to_string()
}

impl fmt::Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionKeys(…)")
    }
}

/// A key pair, wiped when dropped.
struct AssertionKey {
    signing_key: SigningKey,
    /// The public key, in base64url.
    public: String,
    /// The thumbprint of the public key (RFC 7638), by which its tokens name it.
    id: String,
}

impl AssertionKey {
    fn new(secret: &SecretKey) -> Self {
        let signing_key = SigningKey::from_bytes(&secret.derive(Purpose::Assertion));
        let public = encode(signing_key.verifying_key().as_bytes());
        // The members that RFC 8037 §2 requires, in the order and the spelling that RFC 7638 §3.2 requires.
        let id = encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#)));
        Self { signing_key, public, id }
    }

    fn jwk(&self) -> serde_json::Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": self.public })
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes.as_ref())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};
    use serde_json::Value;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn secret(text: &str) -> SecretKey {
        SecretKey::parse(text).unwrap()
    }

    fn first() -> SecretKey {
        secret("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")
    }

    fn second() -> SecretKey {
        secret("9f86d081884c7d659a2feaa0c55ad015")
    }

    fn ada(groups: &str) -> Assertion<'_> {
        Assertion {
            issuer: "https://id.example.com",
            audience: "https://notes.example.com",
            user_id: UserId::new(NOW, [7; 10]),
            name: "Ada \"Countess\" Łovelace",
            session_id: Uuid::from_bytes([9; 16]),
            authentication: Authentication::by_password(Timestamp::from_unix_seconds(1_799_999_000)),
            email: Some("ada@example.com"),
            email_verified: true,
            groups,
            legacy_id: None,
            required_groups: &[],
            issued_at: NOW,
        }
    }

    fn decoded(part: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode_to_vec(part).unwrap()
    }

    fn json_of(part: &str) -> Value {
        serde_json::from_slice(&decoded(part)).unwrap()
    }

    /// Whether the published key that the token names verifies it.
    fn verifies(token: &str, published: &str) -> bool {
        let [header, claims, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let keys: Value = serde_json::from_str(published).unwrap();
        let named = json_of(header)["kid"].clone();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == named);
        key.is_some_and(|key| {
            let public = decoded(key["x"].as_str().unwrap()).try_into().unwrap();
            let signature = Signature::from_bytes(&decoded(signature).try_into().unwrap());
            let key = VerifyingKey::from_bytes(&public).unwrap();
            key.verify_strict(format!("{header}.{claims}").as_bytes(), &signature).is_ok()
        })
    }

    #[test]
    fn an_assertion_identifies_the_user_to_one_app_for_a_minute() {
        let token = AssertionKeys::new(&first(), &[]).issue(&ada("editors,staff"));
        let claims = json_of(token.split('.').nth(1).unwrap());
        assert_eq!(
            claims,
            json!({
                "iss": "https://id.example.com", "aud": "https://notes.example.com",
                "sub": "01a3185c-5000-7707-8707-070707070707", "name": "Ada \"Countess\" Łovelace",
                "sid": "09090909-0909-0909-0909-090909090909", "email": "ada@example.com", "email_verified": true,
                "groups": ["editors", "staff"], "amr": ["pwd"], "acr": "1", "auth_time": 1_799_999_000,
                "iat": 1_799_999_970, "exp": 1_800_000_060,
            })
        );
        let alone = AssertionKeys::new(&first(), &[]).issue(&ada(""));
        assert_eq!(json_of(alone.split('.').nth(1).unwrap())["groups"], json!([]));
    }

    #[test]
    fn an_assertion_omits_an_absent_email_address_former_id_and_required_groups() {
        let keys = AssertionKeys::new(&first(), &[]);
        let claims = |assertion| json_of(keys.issue(&assertion).split('.').nth(1).unwrap());
        let told = claims(Assertion { email: None, email_verified: false, ..ada("staff") });
        assert_eq!((told.get("email"), &told["email_verified"]), (None, &json!(false)));
        assert_eq!((told.get("required_groups"), told.get("legacy_id")), (None, None));
        assert_eq!(claims(Assertion { legacy_id: Some("42"), ..ada("staff") })["legacy_id"], json!("42"));
        let required = ["staff", "board"].map(|name| GroupName::parse(name).unwrap());
        let told = claims(Assertion { required_groups: &required, ..ada("staff") });
        assert_eq!(told["required_groups"], json!(["staff", "board"]));
    }

    #[test]
    fn only_the_published_key_verifies_an_assertion() {
        let keys = AssertionKeys::new(&first(), &[]);
        let token = keys.issue(&ada(""));
        assert!(verifies(&token, &keys.jwks()));
        let forged = token.replacen(token.split('.').nth(1).unwrap(), &encode("{}"), 1);
        assert!(!verifies(&forged, &keys.jwks()));
        assert!(!verifies(&token, &AssertionKeys::new(&second(), &[]).jwks()));
    }

    #[test]
    fn assertion_keys_rotate_with_the_secrets() {
        let before = AssertionKeys::new(&first(), &[]);
        let after = AssertionKeys::new(&second(), &[first()]);
        assert!(verifies(&before.issue(&ada("")), &after.jwks_with_fallbacks()), "the old key still verifies");
        assert!(!verifies(&before.issue(&ada("")), &after.jwks()), "until it is no longer published");
        assert_eq!(after.jwks_with(|index| index == 0), after.jwks_with_fallbacks());
        assert_eq!(after.jwks_with(|index| index == 1), after.jwks());
        assert!(verifies(&after.issue(&ada("")), &after.jwks()));
        assert!(!verifies(&after.issue(&ada("")), &before.jwks()), "the new key signs");
    }

    #[test]
    fn an_assertion_key_is_named_by_its_thumbprint() {
        // The key of RFC 8037 appendix A.1, whose thumbprint is in A.3.
        let seed = decoded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let signing_key = SigningKey::from_bytes(&seed.try_into().unwrap());
        let public = encode(signing_key.verifying_key().as_bytes());
        assert_eq!(public, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let id = encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#)));
        assert_eq!(id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn assertion_keys_are_not_printed() {
        assert_eq!(format!("{:?}", AssertionKeys::new(&first(), &[second()])), "AssertionKeys(…)");
    }
}

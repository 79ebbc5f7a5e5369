//! Fuzzes the documents and tokens of identity providers: no text is a token, unless the provider has signed it. Then any header and
//! any claims are read without a panic, and give a user that can be stored.
#![no_main]

use std::sync::LazyLock;

use base64_simd::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use handstamp_core::Timestamp;
use handstamp_core::federation::{
    ExpectedIssuer, IdTokenRules, KeySet, LogoutRules, ProviderMetadata, SigningAlgorithm, apple_name, github,
    parse_token_response, parse_userinfo, verify_id_token, verify_logout_token,
};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://op.example.com";
const CLIENT: &str = "handstamp-client";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[42; 32]));

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let public = URL_SAFE_NO_PAD.encode_to_string(KEY.verifying_key().as_bytes());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{public}"}}]}}"#);
    KeySet::parse(set.as_bytes()).expect("the set is valid")
});

fn signed(header: &str, payload: &str) -> String {
    let signed = [header, payload].map(|part| URL_SAFE_NO_PAD.encode_to_string(part)).join(".");
    let signature = URL_SAFE_NO_PAD.encode_to_string(KEY.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

fn is_sound(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && !id.chars().any(char::is_control)
}

fn tokens(now: Timestamp, keys: &KeySet, token: &str) -> bool {
    let tenants = ["t".to_owned()];
    let tenants = ExpectedIssuer::Tenants { template: "https://op.example.com/{tenantid}", tenants: &tenants };
    let mut is_accepted = false;
    for issuer in [ExpectedIssuer::Exactly(ISSUER), ExpectedIssuer::WithHostAlone(ISSUER), tenants] {
        let algorithms = &SigningAlgorithm::ALL;
        let rules = IdTokenRules {
            issuer,
            client_id: CLIENT,
            nonce: "n-0S6_WzA2Mj",
            algorithms,
            now,
            authenticated_since: None,
        };
        let id_token = verify_id_token(token, keys, &rules);
        if let Ok(token) = &id_token {
            assert!(is_sound(&token.subject) && token.session_id.as_deref().is_none_or(is_sound));
            assert!(token.claims.subject().is_some_and(is_sound));
        }
        let rules = LogoutRules { issuer, client_id: CLIENT, algorithms, now };
        let logout_token = verify_logout_token(token, keys, &rules);
        if let Ok(token) = &logout_token {
            assert!(token.subject.is_some() || token.session_id.is_some());
            assert!([&token.subject, &token.session_id].into_iter().flatten().all(|id| is_sound(id)));
        }
        assert!(id_token.is_err() || logout_token.is_err(), "one token passes for both");
        is_accepted |= id_token.is_ok() || logout_token.is_ok();
    }
    is_accepted
}

fn documents(text: &str) {
    let document = text.as_bytes();
    if let Ok(metadata) = ProviderMetadata::parse(document, ISSUER) {
        let optional = metadata.userinfo_endpoint.as_ref();
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        for endpoint in endpoints.into_iter().chain(optional) {
            let url = url::Url::parse(endpoint).expect("an endpoint is a URL");
            assert!(url.scheme() == "https" && url.username().is_empty() && url.fragment().is_none());
        }
        assert!(!metadata.algorithms.is_empty());
    }
    if let Ok(response) = parse_token_response(document) {
        assert!(!response.access_token.is_empty() && response.access_token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(claims) = parse_userinfo(document, "7") {
        assert_eq!(claims.subject(), Some("7"));
        assert!(!claims.email_verified(false) || claims.email_verified(true));
        assert!(claims.values("a.b").iter().all(|value| value.len() <= text.len()));
    }
    if let Ok(user) = github::parse_user(document) {
        assert!(user.id.parse::<u64>().is_ok() && is_sound(&user.login));
    }
    if let Ok(Some((email, _))) = github::primary_email(document) {
        assert!(!email.is_empty());
    }
    assert!(apple_name(text).is_none_or(|name| !name.is_empty()));
}

fuzz_target!(|input: (i16, &str, &str)| {
    let (shift, header, text) = input;
    let now = Timestamp::from_unix_seconds((NOW + i64::from(shift)).unsigned_abs());
    assert!(
        !tokens(now, &KEYS, text) && !tokens(now, &KEYS, &format!("{header}.{text}")),
        "a forged token is accepted"
    );
    tokens(now, &KEYS, &signed(header, text));
    tokens(now, &KEYS, &signed(r#"{"alg":"EdDSA","kid":"a"}"#, text));
    documents(text);
    if let Ok(keys) = KeySet::parse(text.as_bytes()) {
        tokens(now, &keys, &signed(header, r#"{"iss":"https://op.example.com"}"#));
    }
});

//! ID tokens and logout tokens: each rule of the specifications with a token that only this rule refuses; and tokens that another
//! implementation has signed.
//!
//! `federation/id_tokens.json` was printed by the program beside it. `script/id-tokens` prints a new one and runs these tests with it:
//! `HANDSTAMP_ID_TOKENS` names its folder.

#![allow(clippy::unwrap_used)]

use base64_simd::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use handstamp_core::Timestamp;
use handstamp_core::federation::{
    ExpectedIssuer, IdToken, IdTokenError, IdTokenRules, KeySet, LogoutRules, LogoutToken, ProviderMetadata,
    SigningAlgorithm, apple_name, github, parse_token_response, parse_userinfo, verify_id_token, verify_logout_token,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://op.example.com";
const CLIENT: &str = "handstamp-client";
const NONCE: &str = "n-0S6_WzA2Mj";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A claim and its value; a claim without a value is removed.
type Change<'a> = (&'a str, Option<Value>);

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn keys() -> KeySet {
    let public = URL_SAFE_NO_PAD.encode_to_string(signing_key().verifying_key().as_bytes());
    KeySet::parse(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}).to_string().as_bytes()).unwrap()
}

/// A token with this type and payload, signed by the provider.
fn signed(media_type: &str, payload: &str) -> String {
    let header = json!({"alg": "EdDSA", "typ": media_type}).to_string();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    format!("{signed}.{}", encode(&signing_key().sign(signed.as_bytes()).to_bytes()))
}

fn changed(mut claims: Value, changes: &[Change<'_>]) -> String {
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        match value {
            Some(value) => members.insert((*name).to_owned(), value.clone()),
            None => members.remove(*name),
        };
    }
    claims.to_string()
}

fn rules() -> IdTokenRules<'static> {
    IdTokenRules {
        issuer: ExpectedIssuer::Exactly(ISSUER),
        client_id: CLIENT,
        nonce: NONCE,
        algorithms: &[SigningAlgorithm::EdDsa],
        now: Timestamp::from_unix_seconds(NOW),
        authenticated_since: None,
    }
}

fn id_token(changes: &[Change<'_>]) -> String {
    let claims = json!({
        "iss": ISSUER, "sub": "248289761001", "aud": CLIENT, "nonce": NONCE, "iat": NOW - 5, "exp": NOW + 300,
        "email": "ada@example.com",
    });
    signed("JWT", &changed(claims, changes))
}

fn verified(changes: &[Change<'_>], rules: IdTokenRules<'_>) -> Result<IdToken, IdTokenError> {
    verify_id_token(&id_token(changes), &keys(), &rules)
}

/// Each of these values of a claim has this result.
fn with_values(claim: &str, values: &[Value], rules: IdTokenRules<'_>, expected: Result<(), IdTokenError>) {
    for value in values {
        let result = verified(&[(claim, Some(value.clone()))], rules).map(|_| ());
        assert_eq!(result, expected, "{claim} {value}");
    }
}

fn refuses(claim: &str, values: &[Value], expected: IdTokenError) {
    with_values(claim, values, rules(), Err(expected));
}

fn accepts(claim: &str, values: &[Value]) {
    with_values(claim, values, rules(), Ok(()));
}

fn logout_rules() -> LogoutRules<'static> {
    let IdTokenRules { issuer, client_id, algorithms, now, .. } = rules();
    LogoutRules { issuer, client_id, algorithms, now }
}

fn logout_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "248289761001", "sid": "08a5019c-17e1", "aud": CLIENT, "iat": NOW - 5, "exp": NOW + 120,
        "jti": "bWJq", "events": { LOGOUT_EVENT: {} },
    })
}

fn verified_logout(changes: &[Change<'_>]) -> Result<LogoutToken, IdTokenError> {
    verify_logout_token(&signed("logout+jwt", &changed(logout_claims(), changes)), &keys(), &logout_rules())
}

#[test]
fn an_id_token_tells_who_has_signed_in() {
    let token = verified(&[("sid", Some("s-1".into())), ("auth_time", Some((NOW - 100).into()))], rules()).unwrap();
    assert_eq!((token.issuer.as_str(), token.subject.as_str()), (ISSUER, "248289761001"));
    assert_eq!(token.issued_at, Timestamp::from_unix_seconds(NOW - 5));
    assert_eq!(token.auth_time, Some(Timestamp::from_unix_seconds(NOW - 100)));
    assert_eq!(token.session_id.as_deref(), Some("s-1"));
    assert_eq!(token.claims.email(), Some("ada@example.com"));
    let token = verified(&[("sid", Some(Value::Null)), ("auth_time", Some(Value::Null))], rules()).unwrap();
    assert_eq!((token.auth_time, token.session_id), (None, None));
}

#[test]
fn an_id_token_of_another_issuer_is_refused() {
    refuses(
        "iss",
        &[
            "https://op.example.com/".into(),
            "https://OP.example.com".into(),
            "http://op.example.com".into(),
            "https://op.example.com:443".into(),
            "https://op.example.co".into(),
            "https://op.example.com.attacker.example".into(),
            "op.example.com".into(),
            " https://op.example.com".into(),
            "".into(),
            Value::Null,
            json!([ISSUER]),
            json!({ISSUER: ISSUER}),
        ],
        IdTokenError::Issuer,
    );
    assert_eq!(verified(&[("iss", None)], rules()).unwrap_err(), IdTokenError::Issuer);
    let nothing = IdTokenRules { issuer: ExpectedIssuer::Exactly(""), ..rules() };
    with_values("iss", &["".into()], nothing, Err(IdTokenError::Issuer));
}

#[test]
fn google_may_write_its_host_alone() {
    let google = IdTokenRules { issuer: ExpectedIssuer::WithHostAlone("https://accounts.google.com"), ..rules() };
    for spelling in ["https://accounts.google.com", "accounts.google.com"] {
        let token = verified(&[("iss", Some(spelling.into()))], google).unwrap();
        assert_eq!(token.issuer, "https://accounts.google.com", "one user has one issuer");
    }
    let others = ["http://accounts.google.com", "//accounts.google.com", "accounts.google.com/", "google.com", ISSUER];
    with_values("iss", &others.map(Value::from), google, Err(IdTokenError::Issuer));
}

#[test]
fn a_user_of_microsoft_comes_from_a_listed_tenant_and_is_identified_by_the_object_id() {
    const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    const CONTOSO: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    const FABRIKAM: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let of = |tenant: &str| TEMPLATE.replace("{tenantid}", tenant);
    let listed = [CONTOSO.to_owned()];
    let tenants = IdTokenRules { issuer: ExpectedIssuer::Tenants { template: TEMPLATE, tenants: &listed }, ..rules() };
    let verified = |issuer: &str, tenant: Value, object: Value| {
        let changes = [("iss", Some(issuer.into())), ("tid", Some(tenant)), ("oid", Some(object))];
        verified(&changes, tenants)
    };
    let token = verified(&of(CONTOSO), CONTOSO.into(), "object".into()).unwrap();
    assert_eq!((token.issuer, token.subject.as_str()), (of(CONTOSO), "object"));
    assert_eq!(token.claims.subject(), Some("248289761001"));
    for (issuer, tenant) in [
        (of(FABRIKAM), json!(FABRIKAM)),
        (of(CONTOSO), json!(FABRIKAM)),
        (of(FABRIKAM), json!(CONTOSO)),
        (of(CONTOSO), Value::Null),
        (of(CONTOSO), json!([CONTOSO])),
        (of(CONTOSO), json!("")),
        (of(""), json!("")),
        (TEMPLATE.to_owned(), json!("{tenantid}")),
        (TEMPLATE.to_owned(), json!(CONTOSO)),
    ] {
        assert_eq!(verified(&issuer, tenant.clone(), "object".into()).unwrap_err(), IdTokenError::Issuer, "{tenant}");
    }
    for object in [Value::Null, json!(""), json!(7), json!("a\u{0}")] {
        assert_eq!(verified(&of(CONTOSO), CONTOSO.into(), object).unwrap_err(), IdTokenError::Subject);
    }
    let upper = [CONTOSO.to_uppercase()];
    for (tenants, expected) in [(&upper[..], Ok(())), (&[], Err(IdTokenError::Issuer))] {
        let rules = IdTokenRules { issuer: ExpectedIssuer::Tenants { template: TEMPLATE, tenants }, ..rules() };
        let changes = [("iss", Some(of(CONTOSO).into())), ("tid", Some(CONTOSO.into())), ("oid", Some("o".into()))];
        let token = id_token(&changes);
        assert_eq!(verify_id_token(&token, &keys(), &rules).map(|_| ()), expected, "{tenants:?}");
    }
}

#[test]
fn an_id_token_for_another_client_is_refused() {
    refuses(
        "aud",
        &[
            "other".into(),
            "".into(),
            "handstamp-client ".into(),
            "HANDSTAMP-CLIENT".into(),
            "handstamp-client,other".into(),
            json!([]),
            json!(["other"]),
            json!([[CLIENT]]),
            json!([CLIENT, 1]),
            json!({CLIENT: CLIENT}),
            Value::Null,
            1.into(),
        ],
        IdTokenError::Audience,
    );
    assert_eq!(verified(&[("aud", None)], rules()).unwrap_err(), IdTokenError::Audience);
    accepts("aud", &[CLIENT.into(), json!([CLIENT])]);
    let nobody = IdTokenRules { client_id: "", ..rules() };
    with_values("aud", &["".into(), json!([""])], nobody, Err(IdTokenError::Audience));
}

#[test]
fn a_token_for_several_clients_says_that_it_was_issued_to_this_one() {
    let several = || ("aud", Some(json!(["other", CLIENT])));
    let refused = |changes: &[Change<'_>]| verified(changes, rules()).unwrap_err() == IdTokenError::AuthorizedParty;
    assert!(refused(&[several()]));
    assert!(refused(&[("aud", Some(json!([CLIENT, CLIENT])))]));
    for other in [json!("other"), json!(""), json!([CLIENT]), json!(1)] {
        assert!(refused(&[several(), ("azp", Some(other.clone()))]), "{other}");
        assert!(refused(&[("azp", Some(other.clone()))]), "{other} with one audience");
    }
    assert!(refused(&[several(), ("azp", Some(Value::Null))]));
    assert!(verified(&[several(), ("azp", Some(CLIENT.into()))], rules()).is_ok());
    accepts("azp", &[CLIENT.into(), Value::Null]);
}

#[test]
fn an_id_token_of_another_attempt_is_refused() {
    let other = ["", "n-0S6_WzA2Mk", "n-0S6_WzA2M", "n-0S6_WzA2Mjj", "N-0S6_WzA2Mj"].map(Value::from);
    refuses("nonce", &other, IdTokenError::Nonce);
    refuses("nonce", &[Value::Null, 0.into(), json!([NONCE]), true.into()], IdTokenError::Nonce);
    assert_eq!(verified(&[("nonce", None)], rules()).unwrap_err(), IdTokenError::Nonce);
    let empty = IdTokenRules { nonce: "", ..rules() };
    with_values("nonce", &["".into(), NONCE.into(), Value::Null], empty, Err(IdTokenError::Nonce));
}

#[test]
fn an_id_token_expires() {
    accepts("exp", &[(NOW - 59).into(), (NOW as f64 + 0.5).into(), json!(1.8e9), json!(253_402_300_799_u64)]);
    refuses("exp", &[(NOW - 60).into(), (NOW - 3600).into(), 0.into(), json!(0.5)], IdTokenError::Expired);
    let wrong = ["\"1800000300\"", "-1", "-0.5", "1e300", "18446744073709551615", "253402300800", "true", "null", "[]"];
    for value in wrong.map(|text| serde_json::from_str::<Value>(text).unwrap()) {
        let values = [value];
        refuses("exp", &values, IdTokenError::Malformed);
        refuses("iat", &values, IdTokenError::Malformed);
        if !values[0].is_null() {
            refuses("nbf", &values, IdTokenError::Malformed);
            refuses("auth_time", &values, IdTokenError::Malformed);
        }
    }
    for claim in ["exp", "iat"] {
        assert_eq!(verified(&[(claim, None)], rules()).unwrap_err(), IdTokenError::Malformed);
    }
}

#[test]
fn an_id_token_was_issued_in_the_last_ten_minutes() {
    accepts("iat", &[(NOW + 60).into(), (NOW - 600).into(), json!(NOW as f64 - 0.5)]);
    refuses("iat", &[(NOW + 61).into(), json!(1.9e9)], IdTokenError::IssuedInFuture);
    refuses("iat", &[(NOW - 601).into(), 0.into()], IdTokenError::IssuedLongAgo);
    accepts("nbf", &[(NOW + 60).into(), 0.into(), Value::Null]);
    refuses("nbf", &[(NOW + 61).into()], IdTokenError::IssuedInFuture);
    for error in [IdTokenError::Expired, IdTokenError::IssuedInFuture, IdTokenError::IssuedLongAgo] {
        assert!(error.is_clock());
    }
    assert!(!IdTokenError::Signature.is_clock());
    let end_of_time = IdTokenRules { now: Timestamp::from_unix_seconds(u64::MAX), ..rules() };
    assert_eq!(verified(&[], end_of_time).unwrap_err(), IdTokenError::Expired);
    let beginning = IdTokenRules { now: Timestamp::from_unix_seconds(0), ..rules() };
    assert_eq!(verified(&[], beginning).unwrap_err(), IdTokenError::IssuedInFuture);
}

#[test]
fn re_authentication_needs_a_new_authentication() {
    let since = IdTokenRules { authenticated_since: Some(Timestamp::from_unix_seconds(NOW - 30)), ..rules() };
    let at = |seconds: u64| vec![Value::from(seconds)];
    with_values("auth_time", &at(NOW - 10), since, Ok(()));
    with_values("auth_time", &at(NOW - 90), since, Ok(()));
    with_values("auth_time", &at(NOW + 60), since, Ok(()));
    with_values("auth_time", &at(NOW - 91), since, Err(IdTokenError::AuthenticatedTooLongAgo));
    with_values("auth_time", &at(0), since, Err(IdTokenError::AuthenticatedTooLongAgo));
    with_values("auth_time", &at(NOW + 61), since, Err(IdTokenError::IssuedInFuture));
    with_values("auth_time", &[Value::Null], since, Err(IdTokenError::NoAuthenticationTime));
    assert_eq!(verified(&[], since).unwrap_err(), IdTokenError::NoAuthenticationTime);
    accepts("auth_time", &at(0));
}

#[test]
fn an_id_token_names_a_user() {
    let long = "a".repeat(256);
    let unusable = ["", "a\nb", "\u{0}", &long].map(Value::from);
    refuses("sub", &unusable, IdTokenError::Subject);
    refuses("sub", &[Value::Null, 248_289_761_001_u64.into(), json!(["a"])], IdTokenError::Subject);
    assert_eq!(verified(&[("sub", None)], rules()).unwrap_err(), IdTokenError::Subject);
    accepts("sub", &["auth0|5f7c".into(), "Zoë".into(), " ".into(), "a".repeat(255).into()]);
    refuses("sid", &["".into(), 7.into(), "a\u{1b}".into(), long.into()], IdTokenError::Malformed);
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let claims = id_claims();
    for (name, value) in
        [("sub", "\"victim\""), ("aud", "\"other\""), ("s\\u0075b", "\"victim\""), ("x", "{\"a\":1,\"a\":2}")]
    {
        let payload = format!("{{\"{name}\":{value},{}", &claims[1..]);
        let result = verify_id_token(&signed("JWT", &payload), &keys(), &rules());
        assert_eq!(result.unwrap_err(), IdTokenError::Malformed, "{payload}");
    }
    for payload in ["", "[]", "null", "{", "\"sub\"", &format!("{claims}x"), &claims.replace("ada", "ada\\ud800")] {
        let result = verify_id_token(&signed("JWT", payload), &keys(), &rules());
        assert_eq!(result.unwrap_err(), IdTokenError::Malformed, "{payload}");
    }
    assert!(verify_id_token(&signed("JWT", &claims), &keys(), &rules()).is_ok());
}

/// The payload of an ID token that is accepted.
fn id_claims() -> String {
    let token = id_token(&[]);
    String::from_utf8(URL_SAFE_NO_PAD.decode_to_vec(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_logout_token_names_whose_sessions_end() {
    let token = verified_logout(&[]).unwrap();
    assert_eq!((token.issuer.as_str(), token.subject.as_deref()), (ISSUER, Some("248289761001")));
    assert_eq!((token.session_id.as_deref(), token.token_id.as_deref()), (Some("08a5019c-17e1"), Some("bWJq")));
    assert_eq!(token.issued_at, Timestamp::from_unix_seconds(NOW - 5));
    assert_eq!(verified_logout(&[("sub", None)]).unwrap().subject, None);
    assert_eq!(verified_logout(&[("sid", None)]).unwrap().session_id, None);
    assert_eq!(verified_logout(&[("sub", None), ("sid", None)]).unwrap_err(), IdTokenError::Subject);
    assert_eq!(verified_logout(&[("sub", Some("".into()))]).unwrap_err(), IdTokenError::Subject);
    assert_eq!(verified_logout(&[("sid", Some(7.into()))]).unwrap_err(), IdTokenError::Malformed);
}

#[test]
fn a_logout_token_is_verified_as_an_id_token_is() {
    for (claim, value, expected) in [
        ("iss", json!("https://op.example.com/"), IdTokenError::Issuer),
        ("aud", json!("other"), IdTokenError::Audience),
        ("iat", json!(NOW + 61), IdTokenError::IssuedInFuture),
        ("iat", json!(NOW - 601), IdTokenError::IssuedLongAgo),
        ("iat", Value::Null, IdTokenError::Malformed),
        ("exp", json!(NOW - 60), IdTokenError::Expired),
        ("exp", json!("never"), IdTokenError::Malformed),
        ("nonce", json!(NONCE), IdTokenError::Nonce),
        ("nonce", Value::Null, IdTokenError::Nonce),
        ("events", Value::Null, IdTokenError::Event),
        ("events", json!({}), IdTokenError::Event),
        ("events", json!([LOGOUT_EVENT]), IdTokenError::Event),
        ("events", json!(LOGOUT_EVENT), IdTokenError::Event),
        ("events", json!({ LOGOUT_EVENT: null }), IdTokenError::Event),
        ("events", json!({ LOGOUT_EVENT: true }), IdTokenError::Event),
        ("events", json!({"https://schemas.openid.net/event/backchannel-logout": {}}), IdTokenError::Event),
    ] {
        let result = verified_logout(&[(claim, Some(value.clone()))]);
        assert_eq!(result.unwrap_err(), expected, "{claim} {value}");
    }
    assert!(verified_logout(&[("exp", None)]).is_ok(), "drafts of the specification had no exp");
    assert!(verified_logout(&[("aud", Some(json!(["other", CLIENT])))]).is_ok(), "it tells several clients");
    let rules = LogoutRules { algorithms: &[SigningAlgorithm::Rs256], ..logout_rules() };
    let token = signed("logout+jwt", &logout_claims().to_string());
    assert_eq!(verify_logout_token(&token, &keys(), &rules).unwrap_err(), IdTokenError::Algorithm);
    for (media_type, is_accepted) in
        [("JWT", true), ("application/logout+jwt", true), ("at+jwt", false), ("secevent+jwt", false)]
    {
        let token = signed(media_type, &logout_claims().to_string());
        assert_eq!(verify_logout_token(&token, &keys(), &logout_rules()).is_ok(), is_accepted, "{media_type}");
    }
}

#[test]
fn neither_an_id_token_nor_a_logout_token_passes_for_the_other() {
    let result = verify_logout_token(&id_token(&[("sid", Some("s-1".into()))]), &keys(), &logout_rules());
    assert_eq!(result.unwrap_err(), IdTokenError::Event);
    // A provider that copies the nonce into its logout tokens.
    let claims = changed(logout_claims(), &[("nonce", Some(NONCE.into()))]);
    for media_type in ["logout+jwt", "JWT"] {
        let result = verify_id_token(&signed(media_type, &claims), &keys(), &rules());
        assert_eq!(result.unwrap_err(), IdTokenError::Type, "{media_type}");
    }
    let result = verify_id_token(&signed("logout+jwt", &id_claims()), &keys(), &rules());
    assert_eq!(result.unwrap_err(), IdTokenError::Type);
    let result = verify_id_token(&signed("JWT", &logout_claims().to_string()), &keys(), &rules());
    assert_eq!(result.unwrap_err(), IdTokenError::Type);
}

#[test]
fn a_logout_token_of_microsoft_names_the_user_by_the_object_id() {
    let tenants = ["t".to_owned()];
    let issuer = ExpectedIssuer::Tenants { template: "https://ms.example/{tenantid}/v2.0", tenants: &tenants };
    let rules = LogoutRules { issuer, ..logout_rules() };
    let of_tenant: [Change<'_>; 3] =
        [("iss", Some("https://ms.example/t/v2.0".into())), ("tid", Some("t".into())), ("sid", None)];
    let verified = |oid: Option<Value>| {
        let payload = changed(logout_claims(), &[&of_tenant[..], &[("oid", oid)]].concat());
        verify_logout_token(&signed("logout+jwt", &payload), &keys(), &rules)
    };
    assert_eq!(verified(Some("object".into())).unwrap().subject.as_deref(), Some("object"));
    assert_eq!(verified(None).unwrap_err(), IdTokenError::Subject, "no user here is known by sub");
}

/// The tokens of the program beside the tests.
fn printed() -> Value {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/federation");
    let folder = std::env::var("HANDSTAMP_ID_TOKENS").unwrap_or_else(|_| beside.to_owned());
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/id_tokens.json")).unwrap()).unwrap()
}

#[test]
fn tokens_of_another_implementation_verify_and_forged_ones_are_refused() {
    let printed = printed();
    let keys = KeySet::parse(json!({"keys": printed["keys"]}).to_string().as_bytes()).unwrap();
    // Those of 1024 bits and of secp256k1, for encryption, and published with the private part are left out.
    assert_eq!((printed["keys"].as_array().unwrap().len(), keys.len(), keys.published_private_keys()), (14, 10, 1));
    let rules = IdTokenRules { algorithms: &SigningAlgorithm::ALL, ..rules() };
    let mut counts = [0, 0];
    for case in printed["id_tokens"].as_array().unwrap() {
        let token = case["token"].as_str().unwrap();
        let result = verify_id_token(token, &keys, &rules);
        let expected = case["result"].as_str().unwrap();
        assert_eq!(result.as_ref().map_or_else(|error| error.name(), |_| "ok"), expected, "{}", case["name"]);
        counts[usize::from(expected == "ok")] += 1;
        if let Ok(verified) = result {
            assert_eq!((verified.issuer.as_str(), verified.subject.as_str()), (ISSUER, "248289761001"));
            // The algorithm is one that the rules allow, whatever the token says.
            let algorithm = SigningAlgorithm::parse(case["name"].as_str().unwrap().split(' ').next().unwrap()).unwrap();
            for other in SigningAlgorithm::ALL {
                let rules = IdTokenRules { algorithms: &[other], ..rules };
                let expected = if other == algorithm { Ok(()) } else { Err(IdTokenError::Algorithm) };
                assert_eq!(verify_id_token(token, &keys, &rules).map(|_| ()), expected, "{} by {other}", case["name"]);
            }
        }
    }
    assert_eq!(counts, [125, 21]);
    let logout_tokens = printed["logout_tokens"].as_array().unwrap();
    assert_eq!(logout_tokens.len(), SigningAlgorithm::ALL.len());
    let rules = LogoutRules { algorithms: &SigningAlgorithm::ALL, ..logout_rules() };
    for token in logout_tokens {
        let token = verify_logout_token(token.as_str().unwrap(), &keys, &rules).unwrap();
        assert_eq!(token.subject.as_deref(), Some("248289761001"));
    }
}

/// Any JSON value, not deep.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from(CLIENT)),
        Just(Value::from(NOW)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_of_any_content_makes_no_parser_panic(text in ".*", bytes in any::<Vec<u8>>(), value in any_value()) {
        let value = value.to_string();
        for document in [text.as_bytes(), &bytes, value.as_bytes()] {
            let _ = ProviderMetadata::parse(document, ISSUER);
            let _ = KeySet::parse(document);
            let _ = parse_token_response(document);
            let _ = parse_userinfo(document, "7");
            let _ = github::parse_user(document);
            let _ = github::primary_email(document);
        }
        let _ = apple_name(&text);
        let _ = ProviderMetadata::parse(b"{}", &text);
    }

    #[test]
    fn a_claim_of_any_value_makes_no_verification_panic(
        claim in prop::sample::select(vec![
            "iss", "sub", "aud", "azp", "nonce", "iat", "nbf", "exp", "auth_time", "sid", "events", "tid", "oid", "jti",
            "email_verified", "name",
        ]),
        value in any_value(),
        now in any::<u64>(),
    ) {
        let now = Timestamp::from_unix_seconds(now);
        let changes = [(claim, Some(value))];
        let tenants = [CLIENT.to_owned()];
        for issuer in [rules().issuer, ExpectedIssuer::Tenants { template: ISSUER, tenants: &tenants }] {
            for now in [now, rules().now] {
                let rules = IdTokenRules { issuer, now, authenticated_since: Some(now), ..rules() };
                if let Ok(token) = verify_id_token(&id_token(&changes), &keys(), &rules) {
                    prop_assert!(!token.subject.is_empty() && token.subject.len() <= 255);
                }
                let payload = changed(logout_claims(), &changes);
                let rules = LogoutRules { issuer, now, ..logout_rules() };
                let _ = verify_logout_token(&signed("JWT", &payload), &keys(), &rules);
            }
        }
    }
}

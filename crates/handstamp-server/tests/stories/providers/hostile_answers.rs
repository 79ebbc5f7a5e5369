//! Everything that can be wrong in the answers of a provider: nothing is signed in, and the log has the reason.

use std::time::{Duration, Instant};

use handstamp_testing::{FakeProvider, TestServer};
use serde_json::{Value, json};

use super::{ACME, SITE, begins, comes_back, identities, logs_refusal, offer, signs_in, tells_a_refusal, users};

/// Signs in once for each change of a right provider. Each must be refused with the reason beside it. A server that starts again for
/// each has not kept a document of the provider.
async fn each_is_refused(
    server: &mut TestServer,
    provider: &FakeProvider,
    starts_again: bool,
    changes: Vec<(Value, &str)>,
) {
    let right = provider.behaviour();
    let before = server.events("provider_refused").len();
    for (number, (change, reason)) in changes.into_iter().enumerate() {
        provider.behaves(right.clone());
        provider.changes(change.clone());
        if starts_again {
            server.restart();
        }
        let visitor = server.visitor();
        let begun = visitor.opens(ACME).await;
        let page = match begun.status {
            303 => comes_back(&visitor, &provider.answers(begun.location())).await,
            _ => begun,
        };
        assert!(page.status != 303, "{change} is taken");
        tells_a_refusal(&page);
        assert!(!visitor.has_cookie() && !visitor.is_signed_in().await, "{change}");
        let refused = server.events("provider_refused");
        assert_eq!(refused.len(), before + number + 1, "{change}: {refused:?}");
        let newest = &refused[before + number];
        assert_eq!((&newest["provider"], &newest["reason"]), (&"acme".into(), &reason.into()), "{change}: {newest}");
        assert_eq!((users(&*server).await, identities(&*server).await), (0, 0), "{change}");
    }
    provider.behaves(right);
}

fn claims(claims: Value) -> Value {
    json!({ "claims": claims })
}

/// Every wrong ID token.
fn wrong_id_tokens(provider: &FakeProvider) -> Vec<(Value, &'static str)> {
    let (now, another) = (FakeProvider::now(), "https://another.example");
    let signed = |alg: &str, key: &str| json!({ "sign": { "alg": alg, "key": key } });
    let own_key = json!({
        "sign": { "alg": "RS256", "key": "rsa-2" },
        "header": { "jwk": FakeProvider::public_key("rsa-2"), "jku": format!("{}/keys", provider.url()) },
    });
    vec![
        (signed("none", ""), "algorithm"),
        (json!({ "sign": { "alg": "none", "key": "" }, "header": { "alg": "nOnE" } }), "algorithm"),
        (json!({ "sign": { "alg": "none", "key": "" }, "header": { "alg": "RS256" } }), "signature"),
        (signed("HS256", "rsa-1"), "algorithm"),
        (signed("HS256", FakeProvider::SECRET), "algorithm"),
        (json!({ "sign": { "alg": "HS256", "key": "rsa-1" }, "header": { "alg": "RS256" } }), "signature"),
        (signed("PS256", "rsa-1"), "algorithm"),
        (signed("ES256", "p256"), "algorithm"),
        (json!({ "header": { "alg": null } }), "malformed"),
        (signed("RS256", "rsa-2"), "signature"),
        (own_key, "signature"),
        (json!({ "header": { "crit": ["exp"] } }), "critical"),
        (json!({ "header": { "typ": "logout+jwt" } }), "type"),
        (json!({ "header": { "kid": "unknown" } }), "unknown_key"),
        (claims(json!({ "iss": another })), "issuer"),
        (claims(json!({ "iss": format!("{}/", provider.url()) })), "issuer"),
        (claims(json!({ "iss": null })), "issuer"),
        (claims(json!({ "aud": "another" })), "audience"),
        (claims(json!({ "aud": null })), "audience"),
        (claims(json!({ "aud": [] })), "audience"),
        (claims(json!({ "aud": [FakeProvider::CLIENT, "another"] })), "authorized_party"),
        (claims(json!({ "aud": [FakeProvider::CLIENT, "another"], "azp": "another" })), "authorized_party"),
        (claims(json!({ "azp": "another" })), "authorized_party"),
        (claims(json!({ "nonce": null })), "nonce"),
        (claims(json!({ "nonce": "another" })), "nonce"),
        (claims(json!({ "nonce": ["another"] })), "nonce"),
        (claims(json!({ "exp": now - 600 })), "expired"),
        (claims(json!({ "exp": null })), "malformed"),
        (claims(json!({ "exp": "never" })), "malformed"),
        (claims(json!({ "iat": now + 3600, "exp": now + 7200 })), "issued_in_future"),
        (claims(json!({ "iat": now - 1200 })), "issued_long_ago"),
        (claims(json!({ "iat": null })), "malformed"),
        (claims(json!({ "sub": null })), "subject"),
        (claims(json!({ "sub": "" })), "subject"),
        (claims(json!({ "sub": 7 })), "subject"),
        (claims(json!({ "sub": "a".repeat(256) })), "subject"),
        (json!({ "token": { "id_token": null } }), "unavailable"),
        (json!({ "token": { "id_token": "a.b.c" } }), "malformed"),
        (json!({ "token": { "id_token": "" } }), "unavailable"),
        (json!({ "token": { "id_token": 1 } }), "unavailable"),
    ]
}

/// Every answer of an endpoint that is no answer.
fn wrong_answers(endpoint: &str) -> Vec<(Value, &'static str)> {
    let fault = |fault: Value| json!({ "faults": { endpoint: fault } });
    vec![
        (fault(json!({ "status": 500 })), "unavailable"),
        (fault(json!({ "status": 404 })), "unavailable"),
        (fault(json!({ "status": 302, "location": "http://127.0.0.1:1/" })), "unavailable"),
        (fault(json!({ "status": 307, "location": "https://another.example/" })), "unavailable"),
        (fault(json!({ "body": "{" })), "unavailable"),
        (fault(json!({ "body": "[]" })), "unavailable"),
        (fault(json!({ "body": "" })), "unavailable"),
        (fault(json!({ "type": "text/html", "body": "<h1>Sign in</h1>" })), "unavailable"),
        (fault(json!({ "bytes": 20_000_000 })), "unavailable"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_discovery_is_refused_until_it_is_right() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    let mut changes = wrong_answers("discovery");
    for (member, value) in [
        ("issuer", json!("https://another.example")),
        ("issuer", json!(format!("{}/", provider.url()))),
        ("issuer", Value::Null),
        ("authorization_endpoint", Value::Null),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", json!("http://another.example/authorize")),
        ("token_endpoint", json!("http://another.example/token")),
        ("token_endpoint", json!("file:///etc/passwd")),
        ("token_endpoint", Value::Null),
        ("jwks_uri", json!("http://another.example/keys")),
        ("jwks_uri", Value::Null),
    ] {
        changes.push((json!({ "discovery": { member: value } }), "unavailable"));
    }
    each_is_refused(&mut server, &provider, true, changes).await;
    server.restart();
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_answer_of_the_token_endpoint_is_refused() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    let mut changes = wrong_answers("token");
    for (error, reason) in [
        ("invalid_grant", "provider"),
        ("server_error", "provider"),
        // The operators have to act.
        ("invalid_client", "unavailable"),
        ("unauthorized_client", "unavailable"),
    ] {
        let answer =
            json!({ "status": 400, "body": json!({ "error": error, "error_description": "<b>" }).to_string() });
        changes.push((json!({ "faults": { "token": answer } }), reason));
    }
    each_is_refused(&mut server, &provider, false, changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_answer_with_keys_is_refused() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    each_is_refused(&mut server, &provider, true, wrong_answers("jwks")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_answer_of_the_userinfo_endpoint_is_refused() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    // The ID token has no address, so it is asked for.
    provider.changes(json!({ "claims": { "email": null, "email_verified": null, "name": null } }));
    let mut changes = wrong_answers("userinfo");
    changes.push((json!({ "userinfo": { "sub": "another" } }), "unavailable"));
    changes.push((json!({ "userinfo": { "sub": null } }), "unavailable"));
    each_is_refused(&mut server, &provider, false, changes).await;
    let ada = server.visitor();
    assert_eq!(signs_in(&ada, &provider).await.status, 303, "{}", server.log());
    assert!(ada.opens("/account").await.shows("Welcome, Ada Lovelace"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_are_given_up() {
    for endpoint in ["discovery", "token", "jwks"] {
        for slowness in ["delay", "drip"] {
            let mut server = TestServer::on_sqlite();
            let provider = FakeProvider::start();
            offer(&mut server, &provider, &[]);
            // One byte a second never ends, and is never silent for long.
            let milliseconds = if slowness == "delay" { 60_000 } else { 1_000 };
            let visitor = server.visitor();
            let begun = if endpoint == "discovery" { String::new() } else { begins(&visitor, ACME).await };
            provider.changes(json!({ "faults": { endpoint: { slowness: milliseconds } } }));
            let started = Instant::now();
            let page = match endpoint {
                "discovery" => visitor.opens(ACME).await,
                _ => comes_back(&visitor, &provider.answers(&begun)).await,
            };
            tells_a_refusal(&page);
            assert!(started.elapsed() < Duration::from_secs(20), "{endpoint} {slowness}: {:?}", started.elapsed());
            logs_refusal(&server, "unavailable", 1);
            assert!(!visitor.is_signed_in().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_changes_nothing_for_those_who_do_not_need_it() {
    let mut server = TestServer::on_sqlite();
    let mut provider = FakeProvider::start();
    provider.stop();
    offer(&mut server, &provider, &[]);
    let ada = server.ada().await;
    assert!(ada.is_signed_in().await);
    assert!(server.visitor().opens("/account/login").await.shows("Continue with Acme"));
    let visitor = server.visitor();
    let page = visitor.opens(ACME).await;
    assert_eq!(page.status, 503, "{}", page.body);
    tells_a_refusal(&page);
    provider.start_again();
    provider.signs_in_as("of Bob", "bob@example.com");
    let mut page = visitor.opens(ACME).await;
    for _ in 0..30 {
        if page.status == 303 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        page = visitor.opens(ACME).await;
    }
    assert_eq!(page.status, 303, "it is found again");
    let answer = provider.answers(page.location());
    provider.stop();
    let page = comes_back(&visitor, &answer).await;
    assert_eq!(page.status, 503, "{}", page.body);
    tells_a_refusal(&page);
    assert_eq!(server.events("provider_refused").last().unwrap()["reason"], "unavailable");
    provider.start_again();
    assert_eq!(signs_in(&visitor, &provider).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_anew_for_an_unknown_id_once_a_minute() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
    assert_eq!((provider.requests("jwks"), provider.requests("discovery")), (1, 1), "both are kept");
    provider.changes(
        json!({ "jwks": { "first": "rsa-1", "second": "rsa-2" }, "sign": { "key": "rsa-2", "kid": "second" } }),
    );
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "{}", server.log());
    assert_eq!(provider.requests("jwks"), 2);
    // Other keys under the ids of before.
    provider.changes(json!({ "jwks": { "first": "rsa-2", "second": "rsa-1" }, "sign": { "key": "rsa-1" } }));
    tells_a_refusal(&signs_in(&server.visitor(), &provider).await);
    logs_refusal(&server, "signature", 1);
    provider.changes(json!({ "sign": { "key": "rsa-2" } }));
    provider.changes(json!({ "sign": { "kid": "third" } }));
    for _ in 0..20 {
        tells_a_refusal(&signs_in(&server.visitor(), &provider).await);
    }
    assert_eq!(provider.requests("jwks"), 2, "an attacker with unknown ids leads to no flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_the_id_of_its_key_is_verified_by_the_only_key() {
    let mut server = TestServer::on_sqlite();
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    provider.changes(json!({ "header": { "kid": null } }));
    assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "{}", server.log());
}

handstamp_testing::stories! {
    async fn each_wrong_id_token_is_refused(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        each_is_refused(&mut server, &provider, false, wrong_id_tokens(&provider)).await;
        assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "the right one is taken");
        assert_eq!(provider.complaints(), [] as [String; 0]);
    }

    async fn the_answer_of_another_provider_is_refused(mut server: TestServer) {
        let (acme, evil) = (FakeProvider::start(), FakeProvider::start());
        for (setting, value) in [
            ("KIND", "oidc"),
            ("LABEL", "Evil"),
            ("ISSUER", evil.url()),
            ("CLIENT_ID", FakeProvider::CLIENT),
            ("CLIENT_SECRET", FakeProvider::SECRET),
        ] {
            server.set(&format!("HANDSTAMP_PROVIDERS__EVIL__{setting}"), value);
        }
        offer(&mut server, &acme, &[]);
        let victim = server.visitor();
        // The victim chooses the evil provider, which redirects to the other one with its own state (RFC 9207, section 1).
        let url = begins(&victim, "/account/with/evil").await;
        let code = acme.answers(&url.replace(evil.url(), acme.url()));
        let page = comes_back(&victim, &code).await;
        assert_eq!(page.status, 400, "the iss parameter is of another provider: {}", page.body);
        assert_eq!(evil.requests("token"), 0, "the code does not reach the evil provider");
        // A code of one provider comes to the callback of the other.
        let url = begins(&victim, ACME).await;
        let swapped = acme.answers(&url).replace("/with/acme/", "/with/evil/");
        assert_eq!(comes_back(&victim, &swapped).await.status, 400);
        assert_eq!((evil.requests("token"), acme.requests("token")), (0, 0));
        // A provider that promises the parameter and leaves it out.
        acme.changes(json!({ "callback": { "iss": null } }));
        let page = signs_in(&victim, &acme).await;
        tells_a_refusal(&page);
        assert_eq!(server.events("provider_refused").last().unwrap()["reason"], "issuer");
        acme.changes(json!({ "discovery": { "authorization_response_iss_parameter_supported": false } }));
        assert!(!victim.is_signed_in().await);
        assert_eq!(users(&server).await, 0);
    }

    async fn a_refusal_of_the_provider_is_told_without_its_words(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let refusals = [("access_denied", "cancelled"), ("server_error", "unavailable"), ("temporarily_unavailable", "unavailable"), ("invalid_scope", "provider"), ("login_required", "provider")];
        for (number, (error, reason)) in refusals.into_iter().enumerate() {
            let visitor = server.visitor();
            let answer = provider.answers(&begins(&visitor, ACME).await);
            let state = answer.split("state=").nth(1).unwrap().split('&').next().unwrap();
            let iss = provider.url().replace(':', "%3A").replace('/', "%2F");
            let back = format!("{SITE}{ACME}/callback?error={error}&error_description=%3Cb%3EYou+are+hacked&state={state}&iss={iss}");
            let page = comes_back(&visitor, &back).await;
            tells_a_refusal(&page);
            assert!(!page.shows("hacked"), "{}", page.body);
            logs_refusal(&server, reason, number + 1);
        }
        assert!(!server.log().contains("hacked"));
    }
}

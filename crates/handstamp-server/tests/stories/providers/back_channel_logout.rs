//! Logout tokens of a provider (OpenID Connect Back-Channel Logout 1.0), at two nodes.

use handstamp_testing::{Authenticator, FakeProvider, Page, TestServer, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ACME, begins, comes_back, connects, link, logs_refusal, offer, signs_in};
use crate::multiple_nodes::{known_to, nobody_is_signed_in};

/// Sends a logout token to a node, as the server of a provider does.
async fn sends(server: &TestServer, token: &str) -> Page {
    let sender = server.visitor();
    let body: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
    let request = sender.bare_request(Method::POST, "/account/with/acme/back-channel-logout");
    sender.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

/// A session that begins with this id at the provider.
async fn begins_session(server: &TestServer, provider: &FakeProvider, sid: Value) -> Visitor {
    provider.changes(json!({ "claims": { "sid": sid } }));
    let visitor = server.visitor();
    let page = signs_in(&visitor, provider).await;
    assert_eq!((page.status, page.location()), (303, "/account"), "{}\n{}", page.body, server.log());
    visitor
}

fn token(provider: &FakeProvider, claims: &Value) -> String {
    provider.logout_token(&json!({ "claims": claims }))
}

handstamp_testing::stories! {
    async fn a_logout_ends_the_sessions_it_is_about_on_every_node_before_its_answer(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let other = server.start_node();
        let nodes = [&server, &other];
        for (number, claims) in [
            json!({ "sid": "one" }),
            json!({ "sid": "one", "sub": FakeProvider::SUBJECT }),
            json!({ "sub": FakeProvider::SUBJECT }),
        ].into_iter().enumerate() {
            // A session with the id `one` cannot begin again after its logout.
            let sid = |name: &str| json!(format!("{name} {number}"));
            let mut claims = claims;
            if claims.get("sid").is_some() {
                claims["sid"] = sid("one");
            }
            let one = begins_session(&server, &provider, sid("one")).await;
            let two = begins_session(&other, &provider, sid("two")).await;
            let (ones, twos) = (known_to(&nodes, &one).await, known_to(&nodes, &two).await);
            let page = sends(nodes[number % 2], &token(&provider, &claims)).await;
            assert_eq!((page.status, page.header("cache-control")), (200, "no-store"), "{claims}: {}", page.body);
            assert!(nobody_is_signed_in(&ones).await, "{claims}");
            let goes_on = claims.get("sid").is_some();
            for copy in &twos {
                assert_eq!(copy.is_signed_in().await, goes_on, "{claims}");
            }
            // A provider that got no answer sends the token again.
            assert_eq!(sends(nodes[number % 2], &token(&provider, &claims)).await.status, 200);
            // An ID token of the same second would be from before the logout.
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        }
        let ended: i64 = [&server, &other].iter().flat_map(|node| node.events("provider_logout")).map(|event| event["sessions"].as_i64().unwrap()).sum();
        assert_eq!(ended, 6, "the last one ends the two that went on as well");
    }

    async fn a_logout_ends_nothing_of_anybody_else(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let ada = begins_session(&server, &provider, json!("of Ada")).await;
        let by_password = server.visitor();
        ada.submits("/account/password", &[("password", "walnut-trumpet-glacier")]).await;
        by_password.signs_in("ada@example.com", "walnut-trumpet-glacier").await;
        provider.signs_in_as("of Bob", "bob@example.com");
        let bob = begins_session(&server, &provider, json!("of Bob")).await;
        for claims in [json!({ "sid": "unknown" }), json!({ "sub": "unknown" }), json!({ "sid": "of Bob%" }), json!({ "sub": "%" })] {
            assert_eq!(sends(&server, &token(&provider, &claims)).await.status, 200, "{claims}");
            assert!(ada.is_signed_in().await && bob.is_signed_in().await && by_password.is_signed_in().await, "{claims}");
        }
        assert_eq!(sends(&server, &token(&provider, &json!({ "sub": FakeProvider::SUBJECT }))).await.status, 200);
        assert!(!ada.is_signed_in().await && bob.is_signed_in().await);
        assert!(by_password.is_signed_in().await, "it does not rest on a session at the provider");
    }

    async fn each_wrong_logout_token_ends_nothing(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let ada = begins_session(&server, &provider, json!("one")).await;
        let now = FakeProvider::now();
        let events = "http://schemas.openid.net/event/backchannel-logout";
        let with = |claims: Value| {
            let mut all = json!({ "sid": "one", "sub": FakeProvider::SUBJECT });
            all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            json!({ "claims": all })
        };
        let signed = |alg: &str, key: &str| {
            let mut patch = with(json!({}));
            patch["sign"] = json!({ "alg": alg, "key": key });
            patch
        };
        let mut typed = with(json!({}));
        typed["header"] = json!({ "typ": "at+jwt" });
        let wrong = [
            (signed("none", ""), "algorithm"),
            (signed("HS256", "rsa-1"), "algorithm"),
            (signed("HS256", FakeProvider::SECRET), "algorithm"),
            (signed("RS256", "rsa-2"), "signature"),
            (typed, "type"),
            (with(json!({ "iss": "https://another.example" })), "issuer"),
            (with(json!({ "aud": "another" })), "audience"),
            (with(json!({ "exp": now - 600 })), "expired"),
            (with(json!({ "iat": now + 3600 })), "issued_in_future"),
            (with(json!({ "iat": now - 3600 })), "issued_long_ago"),
            (with(json!({ "iat": null })), "malformed"),
            (with(json!({ "events": null })), "event"),
            (with(json!({ "events": { events: null } })), "event"),
            (with(json!({ "events": [events] })), "event"),
            (with(json!({ "events": { events: true } })), "event"),
            (with(json!({ "nonce": "any" })), "nonce"),
            (with(json!({ "sid": null, "sub": null })), "subject"),
            (with(json!({ "sid": ["one"] })), "malformed"),
        ];
        let count = wrong.len();
        for (number, (patch, reason)) in wrong.into_iter().enumerate() {
            let page = sends(&server, &provider.logout_token(&patch)).await;
            assert_eq!((page.status, page.header("cache-control")), (400, "no-store"), "{patch}: {}", page.body);
            logs_refusal(&server, reason, number + 1);
            assert!(ada.is_signed_in().await, "{patch}");
        }
        for text in ["", "a", "a.b.c", &"a".repeat(200_000)] {
            let page = sends(&server, text).await;
            assert!([400, 413].contains(&page.status), "{}", page.status);
        }
        // An ID token is no logout token.
        let id_token = provider.logout_token(&with(json!({ "events": null, "nonce": "n" })));
        assert_eq!(sends(&server, &id_token).await.status, 400);
        let sender = server.visitor();
        let path = "/account/with/acme/back-channel-logout";
        assert!([400, 415].contains(&sender.send(sender.bare_request(Method::POST, path)).await.status));
        assert!([404, 405].contains(&sender.opens(path).await.status));
        assert!(ada.is_signed_in().await && server.events("provider_refused").len() >= count);
        // A logout token signs no user in.
        let visitor = server.visitor();
        let url = begins(&visitor, ACME).await;
        provider.changes(json!({ "token": { "id_token": provider.logout_token(&with(json!({}))) } }));
        assert_eq!(comes_back(&visitor, &provider.answers(&url)).await.status, 400);
        assert!(!visitor.is_signed_in().await);
    }

    async fn a_provider_whose_keys_cannot_be_read_is_asked_to_try_again(mut server: TestServer) {
        let mut provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let ada = begins_session(&server, &provider, json!("one")).await;
        let (fresh, token) = (server.start_node(), token(&provider, &json!({ "sid": "one" })));
        provider.stop();
        assert_eq!(sends(&fresh, &token).await.status, 503, "nothing is said to have ended");
        assert!(ada.is_signed_in().await);
        assert_eq!(sends(&server, &token).await.status, 200, "this node has the keys");
        assert!(!ada.is_signed_in().await);
    }

    async fn a_sign_in_that_is_under_way_is_refused_after_its_logout(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let other = server.start_node();
        // The first is for an account that the sign-in makes, the second for one that is there.
        for (number, by_subject) in [(0, false), (1, false), (2, true)] {
            let sid = format!("session {number}");
            provider.changes(json!({ "claims": { "sid": sid, "iat": FakeProvider::now() - 2 } }));
            let ada = server.visitor();
            let answer = provider.answers(&begins(&ada, ACME).await);
            // Meanwhile the provider ends the session.
            let claims = if by_subject { json!({ "sub": FakeProvider::SUBJECT }) } else { json!({ "sid": sid }) };
            assert_eq!(sends(&other, &token(&provider, &claims)).await.status, 200);
            let page = comes_back(&ada, &answer).await;
            assert_eq!(page.status, 403, "{claims}: {} {}", page.location(), page.body);
            assert_eq!(server.events("provider_refused").last().unwrap()["reason"], "ended", "{claims}");
            assert!(!ada.is_signed_in().await, "{claims}");
            // A session that begins later is another one.
            provider.changes(json!({ "claims": { "sid": format!("later {number}"), "iat": FakeProvider::now() + 2 } }));
            assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "{claims}");
        }
    }

    async fn a_sign_in_that_waits_for_its_second_factor_is_refused_after_its_logout(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let other = server.start_node();
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        let page = ada.opens("/account/totp").await;
        let app = Authenticator { url: link(&page.body, "otpauth:").unwrap() };
        assert_eq!(ada.submits("/account/totp", &[("code", &app.code(-1))]).await.status, 200);
        for claims in [json!({ "sid": "one" }), json!({ "sub": FakeProvider::SUBJECT })] {
            provider.changes(json!({ "claims": { "sid": claims.get("sid").cloned().unwrap_or(json!("two")), "iat": FakeProvider::now() - 2 } }));
            let phone = server.visitor();
            let page = signs_in(&phone, &provider).await;
            assert_eq!((page.status, page.location()), (303, "/account/login/second-factor"), "{}", page.body);
            assert_eq!(sends(&other, &token(&provider, &claims)).await.status, 200);
            let page = phone.submits("/account/login/second-factor", &[("code", &app.code(0))]).await;
            assert!(page.location() != "/account", "{claims}: {}", page.status);
            assert!(!phone.is_signed_in().await, "{claims}");
        }
        assert!(ada.is_signed_in().await, "her session by password goes on");
    }

    async fn logouts_and_sign_ins_at_once_leave_no_session_of_before(mut server: TestServer) {
        let provider = FakeProvider::start();
        offer(&mut server, &provider, &[]);
        let other = server.start_node();
        begins_session(&server, &provider, json!("first")).await;
        for round in 0..10 {
            let sid = format!("round {round}");
            provider.changes(json!({ "claims": { "sid": sid } }));
            let ada = server.visitor();
            let answer = provider.answers(&begins(&ada, ACME).await);
            let logout = token(&provider, &json!({ "sid": sid }));
            let (page, ended) = tokio::join!(comes_back(&ada, &answer), sends(&other, &logout));
            assert_eq!(ended.status, 200, "{}", ended.body);
            assert!([303, 403].contains(&page.status), "{}: {}", page.status, page.body);
            assert!(!ada.is_signed_in().await && !ada.at(&other.url).is_signed_in().await, "round {round}: {}", page.status);
        }
    }
}

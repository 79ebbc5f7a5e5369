//! Passkeys at two nodes of one site, used by an authenticator in software.

use futures_util::future::join_all;
use handstamp_testing::{PasskeyAuthenticator, TestServer, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

use crate::multiple_nodes::{known_to, nobody_is_signed_in};

/// The origin of the site, whatever the port of a node.
const ORIGIN: &str = "http://localhost";
const SIGN_IN: &str = "/account/login/passkey";

/// Sends a request of the script of passkeys. Returns the status and the body of the response.
async fn asks(visitor: &Visitor, path: &str, body: &Value) -> (u16, Value) {
    let request = visitor
        .bare_request(Method::POST, path)
        .header("content-type", "application/json")
        .header("sec-fetch-site", "same-origin")
        .header("sec-fetch-mode", "cors")
        .body(body.to_string());
    let page = visitor.send(request).await;
    (page.status, serde_json::from_str(&page.body).unwrap())
}

async fn options(visitor: &Visitor, of: &str) -> Value {
    let (status, options) = asks(visitor, &format!("{of}/options"), &json!({})).await;
    assert_eq!(status, 200, "{options}");
    options
}

/// Adds a passkey to the account of a signed-in visitor.
async fn adds(visitor: &Visitor, phone: &mut PasskeyAuthenticator) {
    let options = options(visitor, "/account/passkeys").await;
    let answer = json!({ "ceremony": options["ceremony"], "credential": phone.makes(&options) });
    let (status, added) = asks(visitor, "/account/passkeys", &answer).await;
    assert_eq!(status, 200, "{added}");
}

/// The answer of a passkey to a ceremony that this node begins.
async fn answers(node: &TestServer, phone: &mut PasskeyAuthenticator) -> Value {
    let options = options(&node.visitor(), SIGN_IN).await;
    json!({ "ceremony": options["ceremony"], "credential": phone.uses(&options) })
}

/// A browser that has signed in at this node by a passkey.
async fn signs_in(node: &TestServer, phone: &mut PasskeyAuthenticator) -> Visitor {
    let (visitor, answer) = (node.visitor(), answers(node, phone).await);
    assert_eq!(asks(&visitor, SIGN_IN, &answer).await, (200, json!({ "next": "/account" })));
    visitor
}

/// Sends answers at once, to both nodes in turn, and returns for each whether it has signed in.
async fn sent_at_once(answers: &[Value], nodes: [&TestServer; 2]) -> Vec<bool> {
    let sends = answers.iter().zip(nodes.into_iter().cycle()).map(|(answer, node)| async move {
        let visitor = node.visitor();
        let (status, body) = asks(&visitor, SIGN_IN, answer).await;
        assert!([200, 422].contains(&status), "{status}: {body}");
        assert_eq!(visitor.is_signed_in().await, status == 200);
        status == 200
    });
    join_all(sends).await
}

/// The reasons for which passkeys were refused at these nodes.
fn refusals(nodes: [&TestServer; 2]) -> Vec<Value> {
    nodes.iter().flat_map(|node| node.events("passkey_refused")).map(|event| event["reason"].clone()).collect()
}

handstamp_testing::stories! {
    async fn a_passkey_that_was_added_on_one_node_signs_in_on_the_other(server: TestServer) {
        let node = server.start_node();
        let (ada, elsewhere) = (server.ada().await, node.visitor());
        elsewhere.signs_in("ada@example.com", handstamp_testing::ADAS_PASSWORD).await;
        let copies = known_to(&[&server, &node], &elsewhere).await;
        let mut phone = PasskeyAuthenticator::device_bound(ORIGIN);
        adds(&ada, &mut phone).await;
        assert!(nobody_is_signed_in(&copies).await, "a new passkey ends the other sessions");
        let visitor = signs_in(&node, &mut phone).await;
        known_to(&[&server, &node], &visitor).await;
        known_to(&[&server, &node], &ada).await;
    }

    async fn a_ceremony_that_was_begun_on_one_node_is_completed_on_the_other(server: TestServer) {
        let node = server.start_node();
        let mut phone = PasskeyAuthenticator::device_bound(ORIGIN);
        let ada = server.ada().await;
        // The registration as well.
        let options = options(&ada, "/account/passkeys").await;
        let made = json!({ "ceremony": options["ceremony"], "credential": phone.makes(&options) });
        assert_eq!(asks(&ada.at(&node.url), "/account/passkeys", &made).await.0, 200);
        for [begun, completed] in [[&server, &node], [&node, &server]] {
            let answer = answers(begun, &mut phone).await;
            let visitor = completed.visitor();
            assert_eq!(asks(&visitor, SIGN_IN, &answer).await.0, 200);
            assert!(visitor.is_signed_in().await);
            for again in [begun, completed] {
                assert_eq!(asks(&again.visitor(), SIGN_IN, &answer).await.0, 422, "it was used");
            }
        }
    }

    async fn of_fifty_uses_of_one_ceremony_at_once_on_two_nodes_one_signs_in(server: TestServer) {
        let node = server.start_node();
        // Its answers have no counter that would tell the second from the first.
        let mut phone = PasskeyAuthenticator::synced(ORIGIN);
        adds(&server.ada().await, &mut phone).await;
        let answer = answers(&server, &mut phone).await;
        let sessions = server.count("SELECT COUNT(*) FROM sessions").await;
        let signed_in = sent_at_once(&vec![answer; 50], [&server, &node]).await;
        assert_eq!(signed_in.into_iter().filter(|signed_in| *signed_in).count(), 1);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, sessions + 1);
        assert_eq!(refusals([&server, &node]), vec!["replayed"; 49]);
    }

    async fn a_removed_passkey_ends_its_sessions_on_every_node_before_the_response(server: TestServer) {
        let node = server.start_node();
        let ada = server.ada().await;
        for kind in [PasskeyAuthenticator::device_bound, PasskeyAuthenticator::synced] {
            let mut phone = kind(ORIGIN);
            adds(&ada, &mut phone).await;
            let visitor = signs_in(&node, &mut phone).await;
            let copies = known_to(&[&server, &node], &visitor).await;
            let before = answers(&node, &mut phone).await;
            let passkey = ada.opens("/account/passkeys").await.hidden("passkey").remove(0);
            let removed = ada.submits("/account/passkeys/remove", &[("passkey", &passkey)]).await;
            assert_eq!((removed.status, removed.location()), (303, "/account/passkeys?notice=removed"));
            assert!(nobody_is_signed_in(&copies).await);
            known_to(&[&server, &node], &ada).await;

            let after = answers(&node, &mut phone).await;
            for answer in [before, after] {
                assert_eq!(asks(&node.visitor(), SIGN_IN, &answer).await.0, 422);
            }
            assert_eq!(node.events("passkey_refused").last().unwrap()["reason"], "unknown");
        }
    }

    async fn a_session_that_a_passkey_began_on_one_node_is_signed_out_on_the_other(server: TestServer) {
        let node = server.start_node();
        let mut phone = PasskeyAuthenticator::device_bound(ORIGIN);
        adds(&server.ada().await, &mut phone).await;
        let visitor = signs_in(&node, &mut phone).await;
        let copies = known_to(&[&server, &node], &visitor).await;
        visitor.at(&server.url).signs_out_at_last().await;
        assert!(nobody_is_signed_in(&copies).await);
        signs_in(&server, &mut phone).await;
    }

    async fn answers_in_the_wrong_order_are_refused_and_noted_on_every_node(server: TestServer) {
        let node = server.start_node();
        let mut phone = PasskeyAuthenticator::device_bound(ORIGIN);
        adds(&server.ada().await, &mut phone).await;
        let [first, second] = [answers(&server, &mut phone).await, answers(&node, &mut phone).await];
        assert_eq!(asks(&node.visitor(), SIGN_IN, &second).await.0, 200);
        let (status, refused) = asks(&server.visitor(), SIGN_IN, &first).await;
        assert_eq!(status, 422);
        assert_eq!(refused["detail"], "This passkey was not accepted. Try again, or use another way.");
        assert_eq!(refusals([&server, &node]), ["counter"]);
        let noted = server.events("passkey_counter_regressed").remove(0);
        assert_eq!(noted["level"], "WARN");
        assert!(noted["seconds_since_use"].as_u64().unwrap() <= 5, "{noted}");
        for tries_again in [&server, &node] {
            signs_in(tries_again, &mut phone).await;
        }
    }

    async fn answers_of_one_passkey_at_once_are_accepted_in_the_order_of_its_counter(server: TestServer) {
        let node = server.start_node();
        let mut phone = PasskeyAuthenticator::device_bound(ORIGIN);
        adds(&server.ada().await, &mut phone).await;
        for _ in 0..3 {
            let mut tabs = Vec::new();
            for _ in 0..20 {
                tabs.push(answers(&server, &mut phone).await);
            }
            let signed_in = sent_at_once(&tabs, [&server, &node]).await;
            assert_eq!(signed_in.last(), Some(&true), "no later one was used: {signed_in:?}");
        }
        // No other reason: an answer is not refused because another one was first.
        let (refused, noted) = (refusals([&server, &node]), [&server, &node].map(|node| node.events("passkey_counter_regressed").len()));
        assert_eq!(refused, vec!["counter"; refused.len()]);
        assert_eq!(noted.into_iter().sum::<usize>(), refused.len());
        signs_in(&node, &mut phone).await;
    }

    async fn a_synced_passkey_signs_in_any_number_of_times_at_once(server: TestServer) {
        let node = server.start_node();
        let mut phone = PasskeyAuthenticator::synced(ORIGIN);
        adds(&server.ada().await, &mut phone).await;
        let mut tabs = Vec::new();
        for _ in 0..20 {
            tabs.push(answers(&server, &mut phone).await);
        }
        assert_eq!(sent_at_once(&tabs, [&server, &node]).await, [true; 20]);
        assert_eq!(refusals([&server, &node]), [] as [Value; 0]);
    }
}

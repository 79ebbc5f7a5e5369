//! The whole flow with oidc-provider, over two nodes, with each algorithm that it signs by.

use handstamp_testing::{OidcProvider, TestServer};
use reqwest::Method;
use serde_json::json;

use super::{ACME, CALLBACK, begins, comes_back, identities, link, offer_certified, users};

/// The algorithms that ID tokens may be signed by.
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

fn starts(algorithm: &str) -> OidcProvider {
    let ada = json!({ "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true });
    OidcProvider::start(algorithm, &[CALLBACK], &json!({ "ada": ada }))
}

handstamp_testing::stories! {
    async fn a_visitor_registers_and_signs_in_through_a_provider_over_two_nodes(mut server: TestServer) {
        let provider = starts("RS256");
        offer_certified(&mut server, &provider);
        let other = server.start_node();
        let (ada, at_provider) = (server.visitor(), provider.visitor());
        for page in ["/account/login", "/account/register"] {
            let page = ada.opens(&format!("{page}?next=%2Faccount%2Fsessions")).await;
            assert!(page.shows("Continue with Acme"), "{}", page.body);
            assert_eq!(link(&page.body, ACME).unwrap(), "/account/with/acme?next=%2Faccount%2Fsessions");
        }
        let mut refused = Vec::new();
        for (here, there) in [(&server, &other), (&other, &server)] {
            let browser = here.visitor();
            let url = begins(&browser, "/account/with/acme?next=%2Faccount%2Fsessions").await;
            let back = OidcProvider::signs_in(&at_provider, &url, "ada").await;
            let browser = browser.at(&there.url);
            let page = comes_back(&browser, &back).await;
            assert_eq!((page.status, page.location()), (303, "/account/sessions"), "{}\n{}", page.body, there.log());
            assert!(browser.opens("/account").await.shows("Welcome, Ada Lovelace"));
            assert_eq!((users(&server).await, identities(&server).await), (1, 1));
            refused.push(OidcProvider::refuses(&provider.visitor(), &begins(&ada, ACME).await).await);
        }
        let page = comes_back(&ada, &refused[0]).await;
        super::tells_a_refusal(&page);
        super::logs_refusal(&server, "cancelled", 1);
        assert!(!ada.is_signed_in().await);
    }

    async fn id_tokens_of_each_algorithm_are_verified(mut server: TestServer) {
        for (number, algorithm) in ALGORITHMS.iter().enumerate() {
            let provider = starts(algorithm);
            offer_certified(&mut server, &provider);
            let ada = server.visitor();
            let back = OidcProvider::signs_in(&provider.visitor(), &begins(&ada, ACME).await, "ada").await;
            let page = comes_back(&ada, &back).await;
            // Another issuer is another identity, so the address has an account already.
            if number == 0 {
                assert_eq!((page.status, page.location()), (303, "/account"), "{algorithm}: {}", server.log());
            } else {
                let refused = server.events("provider_refused");
                assert_eq!(refused.last().unwrap()["reason"], "account_exists", "{algorithm}: {}", server.log());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_token_that_is_signed_by_a_shared_secret_is_refused() {
    let mut server = TestServer::on_sqlite();
    let provider = starts("HS256");
    offer_certified(&mut server, &provider);
    let ada = server.visitor();
    let back = OidcProvider::signs_in(&provider.visitor(), &begins(&ada, ACME).await, "ada").await;
    super::tells_a_refusal(&comes_back(&ada, &back).await);
    super::logs_refusal(&server, "algorithm", 1);
    assert!(!ada.is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_with_new_keys_is_trusted_again() {
    let mut server = TestServer::on_sqlite();
    let mut provider = starts("RS256");
    offer_certified(&mut server, &provider);
    for round in 0..2 {
        let ada = server.visitor();
        let back = OidcProvider::signs_in(&provider.visitor(), &begins(&ada, ACME).await, "ada").await;
        assert_eq!(comes_back(&ada, &back).await.status, 303, "round {round}: {}", server.log());
        let ada = json!({ "ada": { "name": "Ada", "email": "ada@example.com" } });
        provider.start_again("RS256", &[CALLBACK], &ada, &json!({}));
    }
    assert_eq!(users(&server).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_at_the_provider_ends_the_session_here() {
    let mut server = TestServer::on_sqlite();
    let mut provider = starts("ES256");
    offer_certified(&mut server, &provider);
    let uri = format!("{}/account/with/acme/back-channel-logout", server.url.replace("localhost", "127.0.0.1"));
    let account = json!({ "ada": { "name": "Ada", "email": "ada@example.com" } });
    let metadata = json!({ "backchannel_logout_uri": uri, "backchannel_logout_session_required": true });
    provider.start_again("ES256", &[CALLBACK], &account, &metadata);
    let other = server.start_node();
    let (ada, phone) = (server.visitor(), server.visitor());
    let (at_provider, elsewhere) = (provider.visitor(), provider.visitor());
    for (browser, at_provider) in [(&ada, &at_provider), (&phone, &elsewhere)] {
        let back = OidcProvider::signs_in(at_provider, &begins(browser, ACME).await, "ada").await;
        assert_eq!(comes_back(browser, &back).await.status, 303, "{}", server.log());
    }
    let there = ada.at(&other.url);
    assert!(there.is_signed_in().await, "the other node has the session in memory");
    OidcProvider::signs_out(&at_provider).await;
    assert_eq!(provider.logouts(), [json!({ "url": uri, "status": 200 })], "{}", server.log());
    assert!(!ada.is_signed_in().await && !there.is_signed_in().await);
    assert!(phone.is_signed_in().await, "another session at the provider goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_begins_a_sign_in_costs_no_database_statement() {
    let mut server = TestServer::on_sqlite();
    let provider = starts("RS256");
    server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    offer_certified(&mut server, &provider);
    server.ada().await;
    let before = server.db_statements("request").await;
    for _ in 0..20 {
        let page = server.visitor().opens(ACME).await;
        let line = page.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let line = line.into_iter().find(|line| line.starts_with("handstamp_with=")).unwrap().to_owned();
        assert!(line.contains("; HttpOnly") && line.contains("SameSite=Lax") && line.contains("Max-Age=600"), "{line}");
        assert_eq!(page.header("cache-control"), "no-store");
    }
    assert_eq!(server.db_statements("request").await, before);
    let prefetch = server.visitor();
    let page = prefetch.send(prefetch.request(Method::HEAD, ACME)).await;
    assert!(page.status < 500, "{}", page.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_through_providers_are_counted_by_outcome() {
    let mut server = TestServer::on_sqlite();
    let provider = starts("RS256");
    server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    offer_certified(&mut server, &provider);
    let ada = server.visitor();
    let back = OidcProvider::signs_in(&provider.visitor(), &begins(&ada, ACME).await, "ada").await;
    assert_eq!(comes_back(&ada, &back).await.status, 303);
    let bob = server.visitor();
    let back = OidcProvider::refuses(&provider.visitor(), &begins(&bob, ACME).await).await;
    super::tells_a_refusal(&comes_back(&bob, &back).await);
    for outcome in ["success", "cancelled"] {
        let name = format!("handstamp_provider_sign_ins_total{{provider=\"acme\",outcome=\"{outcome}\"}}");
        assert_eq!(server.metric(&name).await, 1.0, "{name}");
    }
}

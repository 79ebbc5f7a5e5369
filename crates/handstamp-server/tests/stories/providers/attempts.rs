//! Attempts: bound to one browser, several at once, and each used once.

use handstamp_testing::{ADAS_PASSWORD, FakeProvider, TestServer, Visitor};
use reqwest::Method;
use serde_json::json;

use super::{
    ACME, SITE, begins, begins_to_connect, comes_back, connects, identities, logs_refusal, offer, tells_a_refusal,
    users,
};

/// A server with a provider, and the provider.
fn with_provider(mut server: TestServer) -> (TestServer, FakeProvider) {
    let provider = FakeProvider::start();
    offer(&mut server, &provider, &[]);
    (server, provider)
}

handstamp_testing::stories! {
    async fn the_answer_to_another_browser_signs_nobody_in(server: TestServer) {
        let (server, provider) = with_provider(server);
        let (victim, attacker) = (server.visitor(), server.visitor());
        provider.signs_in_as("of Mallory", "mallory@example.com");
        // Sign-in CSRF: the victim would use the account of the attacker (RFC 6749, section 10.12).
        let answer = provider.answers(&begins(&attacker, ACME).await);
        tells_a_refusal(&comes_back(&victim, &answer).await);
        logs_refusal(&server, "state", 1);
        // The victim has an attempt of its own under way.
        let own = provider.answers(&begins(&victim, ACME).await);
        tells_a_refusal(&comes_back(&victim, &answer).await);
        logs_refusal(&server, "state", 2);
        assert!(!victim.is_signed_in().await);
        let parameter = |url: &str, name: &str| url.split(&format!("{name}=")).nth(1).unwrap().split('&').next().unwrap().to_owned();
        let mixed = own.replace(&parameter(&own, "code"), &parameter(&answer, "code"));
        tells_a_refusal(&comes_back(&victim, &mixed).await);
        assert!(!victim.is_signed_in().await, "the code of the attacker belongs to another verifier and another nonce");
        assert_eq!(users(&server).await, 0);
    }

    async fn nobody_connects_an_identity_with_the_account_of_another(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.ada().await;
        provider.signs_in_as("of Mallory", "mallory@example.com");
        let mallory = server.visitor();
        mallory.registers("Mallory", "mallory@example.org", "walnut-trumpet-glacier").await;
        // The answer to an attempt of the attacker is opened in the browser of the victim.
        let answer = provider.answers(&begins_to_connect(&mallory).await);
        tells_a_refusal(&comes_back(&ada, &answer).await);
        // With the cookie of the attempt too, which an attacker can set from a neighbouring host.
        let planted = ada.copy();
        planted.presents_as("handstamp_with", &cookie(&mallory, "handstamp_with"));
        let answer = provider.answers(&begins_to_connect(&mallory).await);
        planted.presents_as("handstamp_with", &cookie(&mallory, "handstamp_with"));
        let page = comes_back(&planted, &answer).await;
        assert!(page.status == 400 || page.status == 403, "{} {}", page.status, page.body);
        // The link of the attacker, whose token is bound to another session.
        let page = mallory.opens("/account/security").await;
        let link = super::link(&page.body, "/account/with/acme?start=").unwrap();
        let page = ada.opens(&link).await;
        let page = match page.status {
            303 if page.location().starts_with(provider.url()) => comes_back(&ada, &provider.answers(page.location())).await,
            _ => page,
        };
        assert!(page.status != 303 || page.location().starts_with("/account/"), "{} {}", page.status, page.location());
        // Without a link, as by an image of another site: a signed-in user has no reason to sign in.
        assert_eq!(ada.opens(ACME).await.location(), "/account");
        // An attempt that began before the user signed in, in another tab.
        let tab = server.visitor();
        let answer = provider.answers(&begins(&tab, ACME).await);
        tab.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = comes_back(&tab, &answer).await;
        assert!(page.status == 403 && page.shows("/account/security"), "{} {}", page.status, page.body);
        assert_eq!(identities(&server).await, 0);
        assert!(ada.is_signed_in().await);
    }

    async fn several_tabs_sign_in_at_once(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.visitor();
        let mut answers = Vec::new();
        for page in ["/account/sessions", "/account/security", "/account/profile"] {
            let url = begins(&ada, &format!("{ACME}?next={page}")).await;
            answers.push((page, provider.answers(&url)));
        }
        // The last that was begun comes back first.
        for (page, answer) in answers.iter().rev() {
            let back = comes_back(&ada, answer).await;
            assert_eq!((back.status, back.location()), (303, *page), "{}\n{}", back.body, server.log());
        }
        assert!(ada.is_signed_in().await);
        assert_eq!(users(&server).await, 1);
    }

    async fn a_callback_that_is_opened_again_is_no_error_for_the_one_it_signed_in(server: TestServer) {
        let (server, provider) = with_provider(server);
        // Most providers refuse a code that comes again.
        for (number, takes_again) in [false, true].into_iter().enumerate() {
            provider.changes(json!({ "takes_codes_again": takes_again }));
            let ada = server.visitor();
            let answer = provider.answers(&begins(&ada, "/account/with/acme?next=%2Faccount%2Fsessions").await);
            let before = ada.copy();
            assert_eq!(comes_back(&ada, &answer).await.status, 303);
            // Reloaded, with the cookies of after the sign-in.
            let again = comes_back(&ada, &answer).await;
            assert_eq!((again.status, again.location()), (303, "/account/sessions"), "{}", again.body);
            assert!(ada.is_signed_in().await);
            // A copy of the cookies of before the sign-in signs no user in.
            let replayed = server.events("provider_refused").len();
            tells_a_refusal(&comes_back(&before, &answer).await);
            logs_refusal(&server, "replayed", replayed + 1);
            assert!(!before.is_signed_in().await && ada.is_signed_in().await);
            assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, number as i64 + 1);
        }
    }

    async fn a_double_click_signs_in_once(server: TestServer) {
        let (server, provider) = with_provider(server);
        for takes_again in [false, true, false, true, true] {
            provider.changes(json!({ "takes_codes_again": takes_again }));
            let ada = server.visitor();
            let answer = provider.answers(&begins(&ada, ACME).await);
            let second = ada.copy();
            let (first, other) = tokio::join!(comes_back(&ada, &answer), comes_back(&second, &answer));
            let signed_in = [&first, &other].iter().filter(|page| page.status == 303 && page.location() == "/account").count();
            assert!(signed_in >= 1, "{} {}\n{}", first.status, other.status, server.log());
            for page in [first, other] {
                assert!([303, 400].contains(&page.status), "{}: {}", page.status, page.body);
            }
        }
        assert_eq!(users(&server).await, 1);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 5, "a code is worth one session");
    }

    async fn a_forged_attempt_is_refused(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.visitor();
        let answer = provider.answers(&begins(&ada, ACME).await);
        let state = answer.split("state=").nth(1).unwrap().split('&').next().unwrap();
        for (from, to) in [(state, ""), (state, "a"), ("code=", "codes="), ("state=", "states=")] {
            tells_a_refusal(&comes_back(&ada, &answer.replace(from, to)).await);
        }
        for query in ["", "?", "?code=a", "?state=a", "?code=a&state=b", "?code=a&code=b&state=c", "?code=%ff&state=%00", &format!("?code={}&state=a", "a".repeat(7_000))] {
            let page = comes_back(&ada, &format!("{SITE}{ACME}/callback{query}")).await;
            assert!((400..500).contains(&page.status), "{query}: {}", page.status);
        }
        assert_eq!(provider.requests("token"), 0, "no forged answer reaches the provider");
        let cookie = cookie(&ada, "handstamp_with");
        for at in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forger = server.visitor();
            forger.presents_as("handstamp_with", &String::from_utf8(forged).unwrap());
            assert!(comes_back(&forger, &answer).await.status < 500);
            assert!(!forger.is_signed_in().await);
        }
    }

    async fn an_unknown_provider_is_not_found(server: TestServer) {
        let (server, _provider) = with_provider(server);
        let visitor = server.visitor();
        for path in ["/account/with/another", "/account/with/another/callback?code=a&state=b", "/account/with/", "/account/with/ACME", "/account/with/acme/"] {
            let status = visitor.opens(path).await.status;
            assert!(status == 404 || status == 308, "{path}: {status}");
        }
        for path in ["/account/with/another/callback", "/account/with/another/remove", "/account/with/another/back-channel-logout"] {
            let page = visitor.submits(path, &[]).await;
            assert!([303, 404].contains(&page.status), "{path}: {}", page.status);
        }
    }

    async fn the_page_to_return_to_is_one_of_the_site(server: TestServer) {
        let (server, provider) = with_provider(server);
        for next in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/account/login%0d%0aset-cookie:a=b"] {
            let ada = server.visitor();
            let begun = ada.opens(&format!("{ACME}?next={}", next.replace('/', "%2F"))).await;
            if begun.status == 400 {
                continue;
            }
            let page = comes_back(&ada, &provider.answers(begun.location())).await;
            assert_eq!((page.status, page.location()), (303, "/account"), "{next}");
        }
    }

    async fn a_posted_callback_only_moves_its_fields_to_a_request_of_the_site(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.visitor();
        let answer = provider.answers(&begins(&ada, ACME).await);
        let query = answer.split_once('?').unwrap().1.to_owned();
        // A form of another site has no cookies that are Lax.
        let bare = server.visitor();
        let request = bare.request(Method::POST, &format!("{ACME}/callback")).header("origin", provider.url());
        let request = request.header("content-type", "application/x-www-form-urlencoded").header("sec-fetch-site", "cross-site");
        let page = bare.send(request.header("sec-fetch-mode", "navigate").body(query)).await;
        assert!(page.status < 500 && !bare.is_signed_in().await, "{}", page.status);
        assert_eq!((provider.requests("token"), users(&server).await), (0, 0));
        // The same from another site to any other form is refused.
        for path in [ACME, "/account/with/acme/remove", "/account/login"] {
            let request = ada.request(Method::POST, path).header("origin", provider.url()).header("sec-fetch-site", "cross-site");
            let request = request.header("content-type", "application/x-www-form-urlencoded").header("sec-fetch-mode", "navigate");
            let page = ada.send(request.body("a=b")).await;
            let is_refused = (400..500).contains(&page.status) || page.location().contains("form-not-sent");
            assert!(is_refused, "{path}: {} {}", page.status, page.location());
        }
    }

    async fn an_answer_that_comes_to_a_signed_in_browser_replaces_its_session(server: TestServer) {
        let (server, provider) = with_provider(server);
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        let tab = server.visitor();
        let answer = provider.answers(&begins(&tab, ACME).await);
        assert_eq!(tab.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let before = tab.token();
        let page = comes_back(&tab, &answer).await;
        assert_eq!((page.status, page.location()), (303, "/account"), "{}", page.body);
        assert!(tab.is_signed_in().await);
        let thief = server.visitor();
        thief.presents(&before);
        assert!(!thief.is_signed_in().await, "the session of before has ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_too_old_is_refused() {
    let (server, provider) = with_provider(TestServer::on_sqlite());
    let ada = server.visitor();
    let answer = provider.answers(&begins(&ada, ACME).await);
    // With PostgreSQL the time is that of the database.
    let late = server.start_node_with_clock("+11m");
    let page = comes_back(&ada.at(&late.url), &answer).await;
    tells_a_refusal(&page);
    logs_refusal(&late, "state", 1);
    assert_eq!((page.status, provider.requests("token")), (400, 0));
}

/// The value of a cookie of a browser, as it would send it.
fn cookie(visitor: &Visitor, name: &str) -> String {
    let request = visitor.bare_request(Method::GET, "/").build().unwrap();
    let cookies = request.headers()["cookie"].to_str().unwrap().to_owned();
    let start = format!("{name}=");
    let found = cookies.split("; ").find_map(|pair| pair.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("{cookies} has no {name}")).to_owned()
}

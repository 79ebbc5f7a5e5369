//! Requests that another site causes: cross-site forms, foreign hosts and frames.

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};
use reqwest::{Method, RequestBuilder};

const FORMS: [&str; 7] = [
    "/account/register",
    "/account/login",
    "/account/logout",
    "/account/profile",
    "/account/password",
    "/account/sessions/revoke",
    "/account/sessions/revoke-others",
];

fn post(visitor: &Visitor, path: &str) -> RequestBuilder {
    let fields = format!("name=Eve&email=ada@example.com&password={ADAS_PASSWORD}");
    visitor.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded").body(fields)
}

async fn is_refused(visitor: &Visitor, request: RequestBuilder) -> bool {
    let page = visitor.send(request).await;
    assert!(page.status != 403 || (page.set_cookie().is_empty() && page.shows("came from another site")));
    page.status == 403
}

async fn nothing_was_done(server: &TestServer, ada: &Visitor) {
    assert!(ada.opens("/account").await.shows("Welcome, Ada"));
    assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 1);
}

handstamp_testing::stories! {
    async fn cross_site_forms_are_refused_by_fetch_metadata(server: TestServer) {
        let ada = server.ada().await;
        for path in FORMS {
            for site in ["cross-site", "same-site", "nonsense"] {
                for who in [&ada, &server.visitor()] {
                    assert!(is_refused(who, post(who, path).header("sec-fetch-site", site)).await, "{path} {site}");
                    let with_origin = post(who, path).header("sec-fetch-site", site).header("origin", &who.url);
                    assert!(is_refused(who, with_origin).await, "{path} {site} with our origin");
                }
            }
        }
        nothing_was_done(&server, &ada).await;
        assert!(!server.events("cross_site_refused").is_empty());
    }

    async fn cross_site_forms_are_refused_by_origin_without_fetch_metadata(server: TestServer) {
        let ada = server.ada().await;
        let https = server.url.replace("http:", "https:");
        let port = format!("{}1", server.url);
        for path in FORMS {
            for origin in ["https://evil.example", "null", "", "http://localhost:1", &https, &port, "http://127.0.0.1:1@evil.example"] {
                let request = post(&ada, path).header("origin", origin);
                assert!(is_refused(&ada, request).await, "{path} {origin:?}");
            }
        }
        nothing_was_done(&server, &ada).await;
    }

    async fn forms_of_the_site_are_accepted_by_either_loopback_name(server: TestServer) {
        let other = server.url.replace("localhost", "127.0.0.1");
        let here = "http://localhost".to_owned();
        for (url, origin) in [(&server.url, &server.url), (&other, &other), (&other, &here), (&server.url, &here)] {
            let ada = Visitor::new(url);
            let page = ada.send(post(&ada, "/account/register").header("origin", origin)).await;
            assert!(page.status == 303 || page.error_of("email").is_some(), "{origin} {}", page.status);
            let cross_site = post(&ada, "/account/logout").header("origin", origin).header("sec-fetch-site", "cross-site");
            assert!(is_refused(&ada, cross_site).await, "{origin}, though cross-site");
        }
    }

    async fn forms_with_a_session_but_without_origin_headers_are_refused(server: TestServer) {
        let ada = server.ada().await;
        for path in FORMS {
            assert!(is_refused(&ada, post(&ada, path)).await, "{path}");
        }
        nothing_was_done(&server, &ada).await;
        let program = server.visitor();
        assert!(!is_refused(&program, post(&program, "/account/login")).await, "a program without a cookie may sign in");
    }

    async fn forms_with_other_methods_or_content_types_are_refused(server: TestServer) {
        let ada = server.ada().await;
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let request = ada.request(method, "/account/logout").header("sec-fetch-site", "same-origin");
            let page = ada.send(request).await;
            assert_eq!((page.status, page.header("allow")), (405, "GET,HEAD,POST"));
        }
        for content_type in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
            let request = ada.request(Method::POST, "/account/profile").header("sec-fetch-site", "same-origin");
            let page = ada.send(request.header("content-type", content_type).body("name=Eve")).await;
            assert_eq!(page.status, 415, "{content_type}");
        }
        let options = ada.send(ada.request(Method::OPTIONS, "/account/logout").header("origin", "https://evil.example")).await;
        assert!(options.header("access-control-allow-origin").is_empty());
        nothing_was_done(&server, &ada).await;
    }

    async fn requests_for_a_foreign_host_are_answered_421(server: TestServer) {
        let ada = server.ada().await;
        for host in ["evil.example", "localhost.evil.example", "evil.example:80", ""] {
            let page = ada.send(ada.request(Method::GET, "/account").header("host", host)).await;
            assert_eq!(page.status, 421, "{host}");
            assert!(!page.shows("Welcome"));
        }
        let forwarded = ada.request(Method::GET, "/account/logout").header("x-forwarded-host", "evil.example");
        assert!(!ada.send(forwarded).await.shows("evil.example"));
    }

    async fn every_response_has_security_headers(server: TestServer) {
        let ada = server.ada().await;
        for path in ["/", "/account", "/account/login", "/nowhere", "/healthz", "/account/static/handstamp.css"] {
            let page = ada.opens(path).await;
            let policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
            assert_eq!(page.header("content-security-policy"), policy, "{path}");
            assert_eq!(page.header("x-frame-options"), "DENY");
            assert_eq!(page.header("x-content-type-options"), "nosniff");
            assert_eq!(page.header("referrer-policy"), "same-origin");
            assert_eq!((page.header("cache-control"), page.header("cross-origin-opener-policy")), ("no-store", "same-origin"));
        }
    }
}

//! Redirects from other names of the machine to the host of the public URL.

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};
use reqwest::Method;

/// A visitor of the site by a name of the machine that is not the host of its public URL.
fn by_address(server: &TestServer) -> Visitor {
    Visitor::new(&server.url.replace("localhost", "127.0.0.1"))
}

handstamp_testing::stories! {
    async fn browsers_are_redirected_to_the_host_of_the_public_url(mut server: TestServer) {
        server.use_default_public_url();
        for path in ["/", "/account", "/account/login?next=%2Fnotes%3Fa%3Db", "/account/register", "/nothing-here"] {
            let page = by_address(&server).opens(path).await;
            assert_eq!((page.status, page.location()), (308, format!("{}{path}", server.url).as_str()));
            assert_eq!(page.header("cache-control"), "no-store", "the public URL may change");
        }
    }

    async fn programs_and_forms_are_not_redirected_to_the_public_host(mut server: TestServer) {
        server.use_default_public_url();
        let here = by_address(&server);
        let fields = [("name", "Ada"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD)];
        assert_eq!(here.submits("/account/register", &fields).await.location(), "/account");
        for (path, status) in [("/account", 200), ("/account/api/v1/session", 200), ("/healthz", 200), ("/auth/request", 200)] {
            assert_eq!(here.send(here.bare_request(Method::GET, path)).await.status, status, "{path}");
        }
        let head = here.request(Method::HEAD, "/account/login").header("sec-fetch-mode", "navigate");
        assert_ne!(here.send(head).await.status, 308);
        let questions = here.bare_request(Method::GET, "/auth/request").header("sec-fetch-mode", "navigate");
        assert_eq!(here.send(questions).await.status, 200);
    }

    async fn the_host_redirect_does_not_loop_behind_a_proxy(mut server: TestServer) {
        server.use_default_public_url();
        // Users type the name of the proxy, and the proxy connects to the address.
        let behind = by_address(&server);
        assert_eq!(behind.opens("/account/login").await.status, 308);
        assert_eq!(behind.opens("/account/login").await.status, 200);
    }

    async fn a_public_url_with_another_port_causes_no_redirect(mut server: TestServer) {
        server.restart_with("HANDSTAMP_PUBLIC_URL", "http://localhost:1");
        for visitor in [by_address(&server), server.visitor()] {
            assert_eq!(visitor.opens("/account/login").await.status, 200);
        }
    }

    async fn forward_auth_redirects_to_sign_in_at_the_public_host(mut server: TestServer) {
        server.use_default_public_url();
        let address = server.address();
        let asks = async |visitor: &Visitor, path: &str, method: &str, host: &str| {
            let question = visitor.bare_request(Method::GET, path).header("sec-fetch-mode", "navigate");
            let question = question.header("x-forwarded-proto", "http").header("x-forwarded-host", host);
            visitor.send(question.header("x-forwarded-method", method).header("x-forwarded-uri", "/notes?a=b")).await
        };
        let anonymous = server.visitor();
        for (method, next) in [("GET", "%2Fnotes%3Fa%3Db"), ("POST", "%2F&notice=form-not-sent")] {
            for path in ["/auth/forward", "/auth/request"] {
                let sign_in = format!("{}/account/login?next={next}", server.url);
                assert_eq!(asks(&anonymous, path, method, &address).await.location(), sign_in, "{path} {method}");
            }
        }
        let notes = address.replace("127.0.0.1", "notes.localhost");
        for another_app in ["127.0.0.1:1", &notes] {
            let sign_in = format!("http://{another_app}/account/login?next=%2Fnotes%3Fa%3Db");
            assert_eq!(asks(&anonymous, "/auth/forward", "GET", another_app).await.location(), sign_in);
        }
        // The cookie belongs to the host of the public URL, so requests to the other host lack it.
        let ada = server.ada().await;
        let passed = asks(&ada, "/auth/forward", "GET", &address).await;
        assert!(passed.status == 200 && !passed.header("handstamp-assertion").is_empty(), "{}", passed.status);
    }
}

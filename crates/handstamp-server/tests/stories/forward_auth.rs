//! Authorization subrequests of reverse proxies: identity headers, assertions, redirects and groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use handstamp_testing::{ADAS_PASSWORD, COOKIE, Page, Visitor};
use reqwest::Method;
use reqwest::header::HeaderValue;

const IDENTITY: [&str; 4] = ["remote-user", "remote-name", "remote-email", "remote-groups"];

/// Sends the subrequest of a proxy on behalf of this visitor, with these headers and the visitor's cookies only.
async fn asks(visitor: &Visitor, method: &str, path: &str, headers: &[(&str, &str)]) -> Page {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = visitor.bare_request(method, path);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    visitor.send(request).await
}

/// Asserts that all identity headers are present and empty.
fn assert_stranger(answer: &Page) {
    for name in IDENTITY.into_iter().chain(["handstamp-assertion"]) {
        assert_eq!(answer.headers.get(name).map(|value| value.as_bytes()), Some(b"".as_slice()), "{name}");
    }
}

const NAVIGATION: (&str, &str) = ("sec-fetch-mode", "navigate");

handstamp_testing::stories! {
    async fn an_authorization_subrequest_gets_all_identity_headers(server: TestServer) {
        let ada = server.visitor();
        ada.registers("Zoë %41 Łovelace", "ada@example.com", ADAS_PASSWORD).await;
        server.run_cli(&["user", "verify", "ada@example.com"], "");
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff", "--add", "editors"], "");
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        for path in ["/auth/request", "/auth/forward", "/auth/envoy/notes?group=none"] {
            let answer = asks(&ada, "GET", path, &[]).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
            let told = IDENTITY.map(|name| answer.header(name));
            assert_eq!(told, [&id, "Zo%C3%AB %2541 %C5%81ovelace", "ada@example.com", "editors,staff"]);
            assert_eq!(answer.header("handstamp-assertion").split('.').count(), 3);
            assert_eq!((answer.header("cache-control"), answer.set_cookie()), ("no-store", ""));
        }
    }

    async fn unverified_email_addresses_are_withheld_from_apps(mut server: TestServer) {
        let second = server.start_node();
        let mut ada = server.ada().await;
        let told = async |visitor: &Visitor| {
            let answer = asks(visitor, "GET", "/auth/forward", &[]).await;
            let claims = claims(answer.header("handstamp-assertion"));
            let header = answer.headers["remote-email"].to_str().unwrap().to_owned();
            (header, claims.get("email").cloned(), claims["email_verified"].as_bool().unwrap())
        };
        let nothing = (String::new(), None, false);
        let all = ("ada@example.com".to_owned(), Some("ada@example.com".into()), true);
        for node in [&server, &second] {
            assert_eq!(told(&ada.at(&node.url)).await, nothing);
        }
        server.run_cli(&["user", "verify", "ada@example.com"], "");
        for node in [&server, &second] {
            assert_eq!(told(&ada.at(&node.url)).await, all, "in effect when the command returns");
        }
        let mut bob = server.visitor();
        bob.registers("Bob", "bob@example.com", ADAS_PASSWORD).await;
        server.restart_with("HANDSTAMP_FORWARD_AUTH__UNVERIFIED_EMAIL", "true");
        ada.follows(&server.url);
        bob.follows(&server.url);
        assert_eq!(told(&ada).await, all);
        assert_eq!(told(&bob).await, ("bob@example.com".to_owned(), Some("bob@example.com".into()), false));
    }

    async fn the_assertion_carries_the_listed_session_id(server: TestServer) {
        let ada = server.ada().await;
        let claims = claims(asks(&ada, "GET", "/auth/request", &[]).await.header("handstamp-assertion"));
        assert_eq!(claims["sid"], server.cli_json(&["session", "list", "--user", "ada@example.com"])[0]["id"]);
        assert_eq!((&claims["amr"], &claims["acr"]), (&serde_json::json!(["pwd"]), &serde_json::json!("1")));
        assert!(claims["auth_time"].as_u64().unwrap().abs_diff(claims["iat"].as_u64().unwrap()) < 120);
    }

    async fn the_assertion_names_the_required_groups(server: TestServer) {
        let ada = server.ada().await;
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        let required = async |path: &str| {
            claims(asks(&ada, "GET", path, &[]).await.header("handstamp-assertion")).get("required_groups").cloned()
        };
        for path in ["/auth/request", "/auth/forward"] {
            for (question, groups) in [
                ("", None),
                ("?group=staff", Some(["staff"].as_slice().into())),
                ("?group=board&group=staff", Some(["board", "staff"].as_slice().into())),
                ("", None),
            ] {
                assert_eq!(required(&format!("{path}{question}")).await, groups, "{path}{question}");
            }
        }
        assert_eq!(required("/auth/envoy/?group=staff").await, None, "the query belongs to the app");
    }

    async fn apps_of_other_sites_get_no_assertion(mut server: TestServer) {
        server.set("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
        server.set("HANDSTAMP_SESSION__COOKIE_DOMAIN", "example.com");
        server.restart_with("HANDSTAMP_RETURN_HOSTS", "notes.example.org,tools.example.net:8443");
        let ada = server.visitor();
        let fields = [("name", "Ada"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD)];
        let form = ada.form("/account/register", &fields).header("host", "id.example.com");
        assert_eq!(ada.send(form).await.status, 303);
        for (proto, host, audience) in [
            ("https", "id.example.com", "https://id.example.com"),
            ("https", "APP.example.com:443", "https://app.example.com"),
            ("https", "notes.example.org", "https://notes.example.org"),
            ("https", "tools.example.net:8443", "https://tools.example.net:8443"),
            ("http", "app.example.com", ""),
            ("https", "app.example.com:8443", ""),
            ("https", "tools.example.net", ""),
            ("https", "example.com.evil.test", ""),
            ("https", "admin.bank.example", ""),
            ("http", "localhost", ""),
        ] {
            let forwarded = [("x-forwarded-proto", proto), ("x-forwarded-host", host)];
            let answer = asks(&ada, "GET", "/auth/request", &forwarded).await;
            assert_eq!((answer.status, answer.header("remote-name")), (200, "Ada"), "{proto}://{host}");
            let assertion = answer.headers["handstamp-assertion"].to_str().unwrap();
            assert_eq!(assertion.is_empty(), audience.is_empty(), "{proto}://{host} {assertion}");
            assert!(audience.is_empty() || claims(assertion)["aud"] == audience, "{assertion}");
        }
        let refused = server.events("assertion_refused");
        assert_eq!(refused.len(), 1, "one log line a minute is enough");
        assert!(refused[0]["origin"] == "http://app.example.com" && refused[0]["message"].as_str().unwrap().contains("return_hosts"), "{refused:?}");
    }

    async fn on_localhost_every_loopback_name_gets_an_assertion(server: TestServer) {
        let ada = server.ada().await;
        for (host, audience) in [
            ("notes.localhost", "http://notes.localhost"), ("127.0.0.1:3000", "http://127.0.0.1:3000"), ("[::1]:81", "http://[::1]:81"),
            ("localhost.example.com", ""), ("192.0.2.1", ""), ("admin.bank.example", ""),
        ] {
            let answer = asks(&ada, "GET", "/auth/forward", &[("x-forwarded-proto", "http"), ("x-forwarded-host", host)]).await;
            let assertion = answer.header("handstamp-assertion");
            assert!(answer.status == 200 && assertion.is_empty() == audience.is_empty(), "{host} {assertion}");
            assert!(assertion.is_empty() || claims(assertion)["aud"] == audience, "{assertion}");
        }
    }

    async fn long_hosts_cost_neither_memory_nor_long_log_lines(server: TestServer) {
        let ada = Arc::new(server.ada().await);
        let asks_for = async |ada: &Visitor, number: usize, length: usize| {
            let host = format!("h{number:08}{}", "a".repeat(length - 9));
            asks(ada, "GET", "/auth/request", &[("x-forwarded-proto", "http"), ("x-forwarded-host", &host)]).await.status
        };
        for number in 0..100 {
            asks_for(&ada, number, 25_000).await;
        }
        let before = server.resident_kib();
        let mut questions = tokio::task::JoinSet::new();
        for task in 0..10 {
            let ada = Arc::clone(&ada);
            questions.spawn(async move {
                for number in task * 300..(task + 1) * 300 {
                    assert_eq!(asks_for(&ada, number, 25_000).await, 400);
                }
            });
        }
        questions.join_all().await;
        let grown = server.resident_kib().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB more for subrequests of 75,000 KiB");

        let long = format!("{}\"\"\"evil.test", "\"".repeat(253 - "\"\"\"evil.test".len()));
        let anonymous = server.visitor();
        for host in [&long, &"a".repeat(253)] {
            let forwarded = [NAVIGATION, ("x-forwarded-host", host), ("x-forwarded-proto", "https")];
            assert_eq!(asks(&anonymous, "GET", "/auth/forward", &forwarded).await.status, 302, "{host}");
            assert_eq!(asks(&ada, "GET", "/auth/forward", &forwarded).await.status, 200, "{host}");
            assert_eq!(asks(&ada, "GET", "/auth/forward?group=staff", &forwarded).await.status, 403, "{host}");
            let question = format!("/auth/envoy/{}", "a".repeat(20_000));
            assert_eq!(asks(&anonymous, "GET", &question, &[NAVIGATION, ("host", host)]).await.status, 302, "{host}");
        }
        let junk = [("cookie", format!("{COOKIE}=junk"))].map(|(name, value)| (name, value.leak() as &str));
        asks(&anonymous, &"A".repeat(20_000), "/auth/request", &junk).await;
        for event in ["return_url_rejected", "assertion_refused", "authz_fail", "session_token_refused"] {
            assert!(!server.events(event).is_empty(), "{event}");
        }
        let log = server.log();
        let longest = log.lines().max_by_key(|line| line.len()).unwrap();
        assert!(longest.len() <= 1024, "{longest}");
    }

    async fn the_first_forwarded_scheme_of_trusted_proxies_counts(mut server: TestServer) {
        let scheme = async |visitor: &Visitor, proto: &[&str]| {
            let proto: Vec<_> = proto.iter().map(|proto| ("x-forwarded-proto", *proto)).collect();
            let headers = [proto.as_slice(), &[("x-forwarded-host", "notes.localhost"), NAVIGATION]].concat();
            let answer = asks(visitor, "GET", "/auth/forward", &headers).await;
            (answer.status, answer.header("handstamp-assertion").is_empty())
        };
        let mut ada = server.ada().await;
        assert_eq!(scheme(&ada, &["http, http"]).await.0, 400, "any client may have sent that");
        server.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
        ada.follows(&server.url);
        for (proto, is_ours) in [
            (["http, https"].as_slice(), true), (&["http,https"], true), (&["http", "https"], true),
            (&["https, http"], false), (&["https", "http", "http"], false),
        ] {
            assert_eq!(scheme(&ada, proto).await, (200, !is_ours), "{proto:?}");
        }
        for bad in [["http, ftp"].as_slice(), &["ftp, http"], &["http,"], &[", http"], &["http", ""]] {
            assert_eq!(scheme(&ada, bad).await.0, 400, "{bad:?}");
        }
    }

    async fn empty_identity_headers_are_sent_too(server: TestServer) {
        let ada = server.ada().await;
        let answer = asks(&ada, "GET", "/auth/forward", &[]).await;
        assert_eq!(answer.headers.get("remote-groups").map(|value| value.as_bytes()), Some(b"".as_slice()));
        assert_eq!(answer.headers.get("cookie").map(|value| value.as_bytes()), Some(b"".as_slice()));
    }

    async fn apps_get_their_own_cookies_without_the_session_cookie(server: TestServer) {
        let ada = server.ada().await;
        ada.presents_as("theme", "dark");
        ada.presents_as("__Secure-handstamp_session", "of-another-time");
        assert_eq!(asks(&ada, "GET", "/auth/request", &[]).await.header("cookie"), "theme=dark");
    }

    async fn subrequests_without_a_session_are_refused_or_redirected_to_sign_in(server: TestServer) {
        let anonymous = server.visitor();
        let nginx = asks(&anonymous, "GET", "/auth/request", &[NAVIGATION]).await;
        assert_eq!(nginx.status, 401, "nginx treats a redirect as an error");
        assert_eq!(nginx.location(), "http://localhost/account/login?next=%2F");
        assert_eq!(nginx.header("content-type"), "application/problem+json");
        for path in ["/auth/forward", "/auth/envoy/"] {
            for (method, status) in [("GET", 302), ("HEAD", 302), ("POST", 303), ("DELETE", 303)] {
                let forwarded = [NAVIGATION, ("x-forwarded-method", method), ("x-forwarded-uri", "/")];
                let asked = if path == "/auth/forward" { "GET" } else { method };
                let answer = asks(&anonymous, asked, path, &forwarded).await;
                assert_eq!(answer.status, status, "{path} {method}");
                let notice = if status == 303 { "&notice=form-not-sent" } else { "" };
                assert!(answer.location().ends_with(&format!("/account/login?next=%2F{notice}")), "{}", answer.location());
            }
            for headers in [[("sec-fetch-mode", "cors"), ("accept", "text/html")], [("accept", "*/*"), ("x-a", "b")]] {
                let answer = asks(&anonymous, "GET", path, &headers).await;
                assert_eq!((answer.status, answer.header("content-type")), (401, "application/problem+json"), "{path}");
                assert!(IDENTITY.iter().all(|name| answer.header(name).is_empty()));
            }
            let old = [("accept", "text/html,*/*;q=0.8"), ("x-forwarded-method", "GET")];
            assert_eq!(asks(&anonymous, "GET", path, &old).await.status, 302, "a browser without fetch metadata");
        }
        let old = [("accept", "text/html"), ("x-forwarded-method", "POST")];
        assert_eq!(asks(&anonymous, "GET", "/auth/forward", &old).await.status, 401);
    }

    async fn subrequests_with_revoked_or_ambiguous_cookies_are_refused(server: TestServer) {
        let ada = server.ada().await;
        let thief = ada.copy();
        let twice = format!("{COOKIE}={0}; {COOKIE}={0}", thief.token());
        assert_eq!(asks(&server.visitor(), "GET", "/auth/forward", &[("cookie", &twice)]).await.status, 401);
        let beside_junk = format!("{COOKIE}=junk; {COOKIE}={}", thief.token());
        assert_eq!(asks(&server.visitor(), "GET", "/auth/forward", &[("cookie", &beside_junk)]).await.status, 200);
        assert_eq!(asks(&thief, "GET", "/auth/forward", &[]).await.status, 200);
        ada.signs_out().await;
        assert_eq!(asks(&thief, "GET", "/auth/forward", &[]).await.status, 401);
        for junk in [format!("{COOKIE}="), format!("{COOKIE}=\u{FF}"), format!("{COOKIE}={}", "a".repeat(9000))] {
            assert_eq!(asks(&server.visitor(), "GET", "/auth/request", &[("cookie", &junk)]).await.status, 401);
        }
    }

    async fn the_redirect_to_sign_in_carries_the_return_url(server: TestServer) {
        let anonymous = server.visitor();
        let host = server.url.split("://").nth(1).unwrap().to_owned();
        let forwarded = [NAVIGATION, ("x-forwarded-proto", "http"), ("x-forwarded-host", &host), ("x-forwarded-uri", "/notes?a=b&c=d")];
        let answer = asks(&anonymous, "GET", "/auth/forward", &forwarded).await;
        assert_eq!(answer.location(), format!("{}/account/login?next=%2Fnotes%3Fa%3Db%26c%3Dd", server.url));
        let page = anonymous.opens(answer.location().strip_prefix(&server.url).unwrap()).await;
        assert_eq!(page.hidden("next"), ["/notes?a=b&amp;c=d"]);
    }

    async fn a_form_sent_to_an_app_without_a_session_returns_to_its_page(server: TestServer) {
        let anonymous = server.visitor();
        let host = server.url.split("://").nth(1).unwrap().to_owned();
        for (referer, next) in [
            (format!("http://{host}/notes/new?tab=1"), "%2Fnotes%2Fnew%3Ftab%3D1"),
            (format!("http://{host}//evil.example/"), ""),
            (format!("https://{host}/notes"), "%2F"),
            ("http://evil.example/notes".to_owned(), "%2F"),
            (String::new(), "%2F"),
        ] {
            let forwarded = [
                NAVIGATION, ("x-forwarded-proto", "http"), ("x-forwarded-host", host.as_str()), ("x-forwarded-uri", "/upload"),
                ("x-forwarded-method", "POST"), ("referer", referer.as_str()),
            ];
            let sign_in = format!("http://{host}/account/login");
            let sign_in = if next.is_empty() { format!("{sign_in}?notice=form-not-sent") } else { format!("{sign_in}?next={next}&notice=form-not-sent") };
            for path in ["/auth/request", "/auth/forward"] {
                assert_eq!(asks(&anonymous, "GET", path, &forwarded).await.location(), sign_in, "{path} {referer}");
            }
            let envoy = [NAVIGATION, ("x-forwarded-proto", "http"), ("referer", referer.as_str())];
            assert_eq!(asks(&anonymous, "POST", "/auth/envoy/upload", &envoy).await.location(), sign_in, "{referer}");
        }
    }

    async fn return_urls_may_name_hosts_of_the_cookie_domain_and_listed_hosts(server: TestServer) {
        let mut server = server;
        server.set("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
        server.set("HANDSTAMP_SESSION__COOKIE_DOMAIN", "example.com");
        server.restart_with("HANDSTAMP_RETURN_HOSTS", "notes.example.org,tools.example.net:8443");
        let anonymous = server.visitor();
        let sign_in = "https://id.example.com/account/login";
        for (proto, host, next) in [
            ("https", "app.example.com", "?next=https%3A%2F%2Fapp.example.com%2Fa%3Fb"),
            ("https", "APP.example.com:443", "?next=https%3A%2F%2Fapp.example.com%2Fa%3Fb"),
            ("https", "notes.example.org", "?next=https%3A%2F%2Fnotes.example.org%2Fa%3Fb"),
            ("https", "tools.example.net:8443", "?next=https%3A%2F%2Ftools.example.net%3A8443%2Fa%3Fb"),
            ("https", "id.example.com", "?next=%2Fa%3Fb"),
            ("http", "app.example.com", ""),
            ("https", "app.example.com:8443", ""),
            ("https", "evil.test", ""),
            ("https", "example.com.evil.test", ""),
            ("https", "tools.example.net", ""),
        ] {
            let forwarded = [NAVIGATION, ("x-forwarded-proto", proto), ("x-forwarded-host", host), ("x-forwarded-uri", "/a?b")];
            let answer = asks(&anonymous, "GET", "/auth/forward", &forwarded).await;
            assert_eq!((answer.status, answer.location()), (302, format!("{sign_in}{next}").as_str()), "{proto}://{host}");
        }
        assert_eq!(server.events("return_url_rejected").len(), 5);
        let policy = anonymous.send(anonymous.request(Method::GET, "/account/login").header("host", "id.example.com")).await;
        let policy = policy.header("content-security-policy");
        assert!(policy.contains("form-action 'self' https://example.com https://*.example.com https://notes.example.org https://tools.example.net:8443;"), "{policy}");
        let fields = [("name", "Ada"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "https://notes.example.org/a?b")];
        let form = anonymous.form("/account/register", &fields).header("host", "id.example.com");
        assert_eq!(anonymous.send(form).await.location(), "https://notes.example.org/a?b");
    }

    async fn subrequests_for_a_group_need_a_member_of_it(server: TestServer) {
        let ada = server.ada().await;
        let status = async |path: &str| asks(&ada, "GET", path, &[]).await.status;
        for question in ["/auth/request", "/auth/forward"] {
            let (staff, either) = (format!("{question}?group=staff"), format!("{question}?group=board&group=staff"));
            assert_eq!((status(question).await, status(&staff).await, status(&either).await), (200, 403, 403));
            let (done, said, _) = server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
            assert_eq!((done, said.as_str()), (0, "ada@example.com is in staff\n"));
            assert_eq!((status(&staff).await, status(&either).await), (200, 200), "in effect when the command returns");
            assert_eq!(status(&format!("{question}?group=Staff")).await, 403);
            server.run_cli(&["user", "groups", "ada@example.com", "--remove", "staff"], "");
            assert_eq!(status(&staff).await, 403);
        }
        assert_eq!(asks(&server.visitor(), "GET", "/auth/forward?group=staff", &[]).await.status, 401, "an anonymous visitor signs in first");
    }

    async fn subrequests_for_public_pages_get_empty_identity_headers(server: TestServer) {
        let ada = server.ada().await;
        server.run_cli(&["user", "verify", "ada@example.com"], "");
        let anonymous = server.visitor();
        anonymous.presents_as("theme", "dark");
        anonymous.presents("junk");
        for path in ["/auth/request?access=everybody", "/auth/forward?access=everybody"] {
            for asked in [[NAVIGATION, ("x-forwarded-method", "GET")], [("sec-fetch-mode", "cors"), ("x-forwarded-method", "POST")]] {
                let answer = asks(&anonymous, "GET", path, &asked).await;
                assert_eq!((answer.status, answer.body.as_str(), answer.header("cookie")), (200, "", "theme=dark"), "{path}");
                assert_stranger(&answer);
                assert_eq!((answer.header("cache-control"), answer.set_cookie()), ("no-store", ""));
            }
            let answer = asks(&ada, "GET", path, &[]).await;
            assert_eq!((answer.status, answer.header("remote-email")), (200, "ada@example.com"));
        }
        assert_eq!(asks(&anonymous, "GET", "/auth/request?access=members", &[]).await.status, 401);
        let envoy = asks(&anonymous, "GET", "/auth/envoy/notes?access=everybody&preflight=pass", &[]).await;
        assert_eq!(envoy.status, 401, "the query belongs to the client");
    }

    async fn a_revoked_session_is_anonymous_on_public_pages(server: TestServer) {
        let ada = server.ada().await;
        let thief = ada.copy();
        ada.signs_out().await;
        let answer = asks(&thief, "GET", "/auth/forward?access=everybody", &[]).await;
        assert_eq!((answer.status, answer.headers["cookie"].as_bytes()), (200, b"".as_slice()));
        assert_stranger(&answer);
    }

    async fn preflights_pass_anonymously_if_the_proxy_asks_for_it(server: TestServer) {
        let ada = server.ada().await;
        let preflight = [("x-forwarded-method", "OPTIONS"), ("access-control-request-method", "POST"), ("origin", "http://evil.example")];
        for path in ["/auth/request", "/auth/forward"] {
            let asking = format!("{path}?preflight=pass&group=staff");
            for visitor in [&server.visitor(), &ada] {
                let answer = asks(visitor, "GET", &asking, &preflight).await;
                assert_eq!((answer.status, answer.headers["cookie"].as_bytes()), (200, b"".as_slice()), "{path}");
                assert_stranger(&answer);
            }
            for other in [&preflight[..1], &preflight[1..], &[("x-forwarded-method", "POST"), preflight[1]]] {
                assert_eq!(asks(&server.visitor(), "GET", &asking, other).await.status, 401, "{other:?}");
                assert_eq!(asks(&ada, "GET", &asking, other).await.status, 403, "{other:?}");
            }
            assert_eq!(asks(&server.visitor(), "GET", path, &preflight).await.status, 401);
        }
    }

    async fn access_options_in_a_client_query_are_refused(server: TestServer) {
        for query in ["access=everybody", "preflight=pass", "access=everybody&\u{E9}"] {
            let target = format!("/notes?{query}");
            let asked = [("x-forwarded-uri", target.as_str()), ("x-forwarded-method", "OPTIONS"), ("access-control-request-method", "POST")];
            let answer = asks(&server.visitor(), "GET", &format!("/auth/forward?{query}"), &asked).await;
            assert_eq!(answer.status, 400, "{query}");
        }
        let asked = [("x-forwarded-uri", "/notes?page=2")];
        assert_eq!(asks(&server.ada().await, "GET", "/auth/forward?page=2", &asked).await.status, 200);
    }

    async fn non_ascii_targets_are_percent_encoded_once(server: TestServer) {
        for path in ["/auth/request", "/auth/forward"] {
            let asked = async |who: &Visitor, target: &[u8]| {
                let request = who.bare_request(Method::GET, path).header("sec-fetch-mode", "navigate");
                who.send(request.header("x-forwarded-uri", HeaderValue::from_bytes(target).unwrap())).await
            };
            for (target, next) in [
                ("/caf\u{E9}?q=\u{FC}%20".as_bytes(), "%2Fcaf%25C3%25A9%3Fq%3D%25C3%25BC%2520"),
                (b"/caf\xE9", "%2Fcaf%25E9"),
                (b"/caf%C3%A9", "%2Fcaf%25C3%25A9"),
            ] {
                let answer = asked(&server.visitor(), target).await;
                assert!(answer.location().ends_with(&format!("/account/login?next={next}")), "{}", answer.location());
            }
        }
        let ada = server.ada().await;
        let raw = HeaderValue::from_bytes(b"/caf\xE9").unwrap();
        let asked = ada.bare_request(Method::GET, "/auth/request").header("x-forwarded-uri", raw);
        assert_eq!(ada.send(asked).await.status, 200);
    }

    async fn subrequests_for_a_level_or_an_age_need_such_a_session(server: TestServer) {
        let sessions = [
            ("UPDATE sessions SET methods = 'pwd', assurance = 1, authenticated_at = authenticated_at - 1000", 1),
            ("UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2, authenticated_at = authenticated_at - 1000", 2),
            ("UPDATE sessions SET methods = 'mfa pop user', assurance = 3, authenticated_at = authenticated_at - 1000", 3),
        ];
        server.ada().await.signs_out().await;
        for (update, reached) in sessions {
            let ada = server.visitor();
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            assert_eq!(server.execute(update).await, 1, "the sign-in has not cached its session");
            for path in ["/auth/request", "/auth/forward"] {
                let redirect = if path == "/auth/request" { 401 } else { 302 };
                for level in 1..=3 {
                    let asking = format!("{path}?assurance={level}");
                    let (page, fetched) = (asks(&ada, "GET", &asking, &[NAVIGATION, ("x-forwarded-uri", "/a?b=c")]).await, asks(&ada, "GET", &asking, &[]).await);
                    if level <= reached {
                        assert_eq!((page.status, fetched.status), (200, 200), "{asking} at {reached}");
                        assert!(!page.header("remote-user").is_empty() && !page.headers.contains_key("location"));
                    } else {
                        assert_eq!((page.status, fetched.status), (redirect, 401), "{asking} at {reached}");
                        let to = format!("http://localhost/account/confirm?assurance={level}&next=%2Fa%3Fb%3Dc");
                        assert_eq!(page.location(), to);
                        assert!(IDENTITY.iter().all(|name| page.header(name).is_empty() && fetched.header(name).is_empty()));
                    }
                }
                assert_eq!(asks(&ada, "GET", &format!("{path}?max_age=3000"), &[]).await.status, 200);
                let late = asks(&ada, "GET", &format!("{path}?max_age=999"), &[NAVIGATION]).await;
                assert_eq!((late.status, late.location()), (redirect, "http://localhost/account/confirm?next=%2F"));
                let both = asks(&ada, "GET", &format!("{path}?assurance=3&max_age=999"), &[NAVIGATION]).await;
                assert_eq!((both.status, both.location()), (redirect, "http://localhost/account/confirm?assurance=3&next=%2F"));
                assert_eq!(asks(&server.visitor(), "GET", &format!("{path}?assurance=1"), &[]).await.status, 401);
            }
            let envoy = asks(&ada, "GET", "/auth/envoy/notes?assurance=3&max_age=0", &[]).await;
            assert_eq!(envoy.status, 200, "the query belongs to the app, which reads the claims");
            assert_eq!(claims(envoy.header("handstamp-assertion"))["acr"], reached.to_string());
            ada.signs_out().await;
        }
    }

    async fn the_assertion_tells_how_and_when_the_user_authenticated(server: TestServer) {
        let sessions = [
            ("UPDATE sessions SET authenticated_at = 1700000001", r#"["pwd"]"#, "1", 1_700_000_001_u64),
            ("UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2, authenticated_at = 1700000002", r#"["pwd","otp","mfa"]"#, "2", 1_700_000_002),
            ("UPDATE sessions SET methods = 'mfa pop user', assurance = 3, authenticated_at = 1700000003", r#"["mfa","pop","user"]"#, "3", 1_700_000_003),
        ];
        server.ada().await.signs_out().await;
        for (update, amr, acr, auth_time) in sessions {
            let ada = server.visitor();
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            assert_eq!(server.execute(update).await, 1);
            for path in ["/auth/request", "/auth/forward", "/auth/envoy/"] {
                let told = claims(asks(&ada, "GET", path, &[]).await.header("handstamp-assertion"));
                assert_eq!((told["amr"].to_string().as_str(), told["acr"].as_str()), (amr, Some(acr)), "{path}");
                assert_eq!(told["auth_time"].as_u64(), Some(auth_time), "{path}");
            }
            ada.signs_out().await;
        }
    }

    async fn malformed_authorization_subrequests_are_answered_400(server: TestServer) {
        let ada = server.ada().await;
        for question in [
            "?group=", "?group=a,b", "?group=a%00", "?group=%FF", "?group=staff&group=", "?groups=staff", "?access=", "?access=all",
            "?access=everybody&access=everybody", "?access=everybody&group=staff", "?preflight=", "?preflight=yes", "?preflight=pass&preflight=pass",
            "?assurance", "?assurance=", "?assurance=0", "?assurance=4", "?assurance=01", "?assurance=%201", "?assurance=1,2", "?assurance=high",
            "?assurance=1&assurance=1", "?assurance=1&assurance=3", "?Assurance=1", "?assurance=1&access=everybody", "?max_age", "?max_age=",
            "?max_age=-1", "?max_age=+1", "?max_age=1.5", "?max_age=10m", "?max_age=%201", "?max_age=1&max_age=1", "?max_age=1&max_age=900",
            "?max-age=1", "?max_age=1&access=everybody",
        ] {
            for path in ["/auth/request", "/auth/forward"] {
                let answer = asks(&ada, "GET", &format!("{path}{question}"), &[]).await;
                assert_eq!(answer.status, 400, "{path}{question}");
                assert!(IDENTITY.iter().all(|name| answer.header(name).is_empty()), "{path}{question}");
            }
        }
        for header in [
            ("x-forwarded-host", "a/b"), ("x-forwarded-host", ""), ("x-forwarded-host", "me@host"), ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "host:port"), ("x-forwarded-host", "a, b"), ("x-forwarded-proto", "ftp"), ("x-forwarded-proto", "https, http"),
            ("x-forwarded-uri", "a"), ("x-forwarded-uri", "https://evil.test/"), ("x-forwarded-method", "A B"),
        ] {
            for path in ["/auth/request", "/auth/forward"] {
                let answer = asks(&ada, "GET", path, &[header]).await;
                assert_eq!(answer.status, 400, "{path} {header:?}");
                assert!(IDENTITY.iter().all(|name| answer.header(name).is_empty()));
            }
        }
        let twice = [("x-forwarded-host", "localhost"), ("x-forwarded-host", "localhost")];
        assert_eq!(asks(&ada, "GET", "/auth/forward", &twice).await.status, 400);
        assert_eq!(asks(&ada, "GET", "/auth/envoy/", &[("x-forwarded-proto", "ftp")]).await.status, 400);
    }

    async fn an_assertion_is_signed_once_per_session_origin_and_30_seconds(server: TestServer) {
        let mut server = server;
        server.enable_metrics();
        let ada = server.ada().await;
        let claims = async |host: &str| {
            let answer = asks(&ada, "GET", "/auth/forward", &[("x-forwarded-proto", "http"), ("x-forwarded-host", host)]).await;
            claims(answer.header("handstamp-assertion"))
        };
        let mut issued = BTreeSet::new();
        for _ in 0..20 {
            let claims = claims("notes.localhost").await;
            issued.insert(claims["iat"].as_u64().unwrap());
            assert_eq!((&claims["aud"], &claims["name"]), (&"http://notes.localhost".into(), &"Ada".into()));
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 90);
        }
        let signed = server.metric("handstamp_assertions_signed_total").await;
        // Thirty seconds may have ended meanwhile.
        assert!(issued.len() <= 2 && signed == issued.len() as f64, "{signed} for {issued:?}");
        assert_eq!(claims("wiki.localhost:8081").await["aud"], "http://wiki.localhost:8081");
        assert!(server.metric("handstamp_assertions_signed_total").await > signed);
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        assert_eq!(claims("notes.localhost").await["groups"], serde_json::json!(["staff"]), "a new group is in the next assertion");
    }

    async fn a_subrequest_with_a_live_session_costs_no_database_statement(server: TestServer) {
        let mut server = server;
        server.enable_metrics();
        let ada = server.ada().await;
        asks(&ada, "GET", "/auth/request", &[]).await;
        let before = server.db_statements("request").await;
        for path in ["/auth/request", "/auth/forward?group=none", "/auth/envoy/x"].repeat(50) {
            asks(&ada, "GET", path, &[]).await;
        }
        assert_eq!(server.db_statements("request").await, before);
    }
}

fn claims(assertion: &str) -> serde_json::Value {
    let claims = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).unwrap()).unwrap()
}

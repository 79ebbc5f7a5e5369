//! In front of an app, by `handstamp serve --app`: the headers and bytes that reach it and the browser, and the requests that do not.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, EchoApp, Page, TestServer, Visitor, free_address};
use reqwest::Method;
use serde_json::Value;

use super::raw_app::{Connection, RawApp, bytes_of, exchange, latin_1, signed_in};

/// A server in front of the app at this address.
pub fn in_front_of(mut server: TestServer, app: &str) -> TestServer {
    let url = if app.starts_with("http") { app.to_owned() } else { format!("http://{app}") };
    server.restart_with("HANDSTAMP_APP__URL", &url);
    server
}

pub async fn before_an_echo(server: TestServer) -> (TestServer, EchoApp) {
    let app = EchoApp::start().await;
    (in_front_of(server, &app.url), app)
}

/// The values of this header that the app received.
fn shown(page: &Page, name: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body));
    let headers = page["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

const IDENTITY: [&str; 5] = ["remote-user", "remote-name", "remote-email", "remote-groups", "handstamp-assertion"];

/// Asserts that a response of the app shows an anonymous visitor: all identity headers once, and empty.
fn assert_stranger(page: &Page) {
    assert_eq!(page.status, 200, "{}", page.body);
    for name in IDENTITY {
        assert_eq!(shown(page, name), [""], "{name}");
    }
}

async fn fetches(visitor: &Visitor, method: Method, path: &str, headers: &[(&str, &str)]) -> Page {
    let mut request = visitor.bare_request(method, path).header("sec-fetch-mode", "cors");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    visitor.send(request).await
}

handstamp_testing::stories! {
    async fn an_app_is_told_which_user_a_request_comes_from(server: TestServer) {
        let (server, _app) = before_an_echo(server).await;
        let ada = server.visitor();
        let page = ada.opens("/notes?a=b&c=d").await;
        assert_eq!((page.status, page.location()), (302, format!("{}/account/login?next=%2Fnotes%3Fa%3Db%26c%3Dd", server.url).as_str()));
        let fields = [("name", "Zoë"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/notes?a=b&c=d")];
        let page = ada.submits("/account/register", &fields).await;
        assert_eq!((page.status, page.location()), (303, "/notes?a=b&c=d"));
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff", "--add", "board"], "");
        server.run_cli(&["user", "verify", "ada@example.com"], "");
        ada.presents_as("theme", "dark");
        let page = ada.opens("/notes?a=b&c=d").await;
        assert!(page.shows("\"target\":\"/notes?a=b&c=d\""), "{}", page.body);
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        let told = ["remote-user", "remote-name", "remote-email", "remote-groups", "cookie"].map(|name| shown(&page, name).concat());
        assert_eq!(told, [&id, "Zo%C3%AB", "ada@example.com", "board,staff", "theme=dark"]);
        assert_eq!(shown(&page, "handstamp-assertion").concat().split('.').count(), 3);
        let host = server.url.strip_prefix("http://").unwrap();
        let where_from = ["host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"].map(|name| shown(&page, name).concat());
        assert_eq!(where_from, [host, host, "http", "127.0.0.1"]);
        let posted = ada.submits("/notes", &[("text", "x")]).await;
        assert!(posted.shows("\"method\":\"POST\"") && shown(&posted, "remote-user") == [id], "{}", posted.body);

        let thief = ada.copy();
        assert_eq!(ada.signs_out().await.status, 303);
        assert_eq!(thief.opens("/notes").await.status, 302);
        let program = thief.send(thief.bare_request(Method::GET, "/notes")).await;
        assert_eq!((program.status, program.header("content-type")), (401, "application/problem+json"));
    }

    async fn our_pages_stay_where_they_are_and_everything_else_is_the_apps(server: TestServer) {
        let (server, _app) = before_an_echo(server).await;
        let ada = server.ada().await;
        assert!(ada.opens("/account").await.shows("Welcome, Ada"));
        assert_eq!(ada.opens("/account/nowhere").await.status, 404);
        assert!(ada.opens("/account/nowhere").await.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(ada.opens("/.well-known/change-password").await.location(), "/account/password");
        for path in ["/", "/favicon.ico", "/robots.txt", "/healthz", "/readyz", "/auth/request", "/accounts", "/.well-known/x", "/api/v1/session"] {
            let page = ada.opens(path).await;
            assert!(page.status == 200 && page.shows(&format!("\"target\":\"{path}\"")), "{path} {}", page.body);
            assert!(page.header("content-security-policy").is_empty(), "a response of the app stays as it is");
        }
    }

    async fn health_checks_move_to_the_address_of_the_metrics(mut server: TestServer) {
        server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
        let (server, _app) = before_an_echo(server).await;
        let address = server.wait_for_event("metrics_listening").await["address"].as_str().unwrap().to_owned();
        let ada = server.ada().await;
        ada.opens("/notes").await;
        ada.opens("/notes").await;
        let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap().text().await.unwrap();
        assert_eq!((get("/healthz").await.as_str(), get("/readyz").await.as_str()), ("ok\n", "ready\n"));
        let metrics = get("/metrics").await;
        assert!(metrics.contains("handstamp_app_requests_total{app=\"app\",class=\"2xx\"} 2"), "{metrics}");
        assert!(metrics.contains("handstamp_app_open_streams{app=\"app\"} 0"), "{metrics}");
        assert!(metrics.contains("handstamp_app_response_seconds_count{app=\"app\"} 2"), "{metrics}");
    }

    async fn strangers_reach_what_is_for_everybody_and_nothing_else(mut server: TestServer) {
        server.set("HANDSTAMP_APP__PUBLIC_PATHS", "/static,/about");
        let (mut server, _app) = before_an_echo(server).await;
        let stranger = server.visitor();
        for path in ["/static", "/static/site.css?a=b", "/about", "/static/%20"] {
            assert_stranger(&stranger.opens(path).await);
        }
        for path in ["/", "/statics", "/static/../notes", "/static/%2e%2e/notes", "/static/..%2fnotes", "/static/..;/notes", "/static%2f..%2fnotes"] {
            let answer = exchange(&server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{path} {answer}");
        }
        let ada = server.ada().await;
        assert!(!shown(&ada.opens("/about").await, "remote-user").concat().is_empty(), "a member is one on public pages too");

        server.restart_with("HANDSTAMP_APP__ACCESS", "everybody");
        let stranger = server.visitor();
        let forged: Vec<_> = IDENTITY.iter().map(|name| (*name, "forged")).chain([("remote_user", "forged"), ("cookie", "handstamp_session=junk; a=b")]).collect();
        let page = fetches(&stranger, Method::GET, "/notes", &forged).await;
        assert_stranger(&page);
        assert_eq!((shown(&page, "cookie"), shown(&page, "remote_user").len()), (vec!["a=b".to_owned()], 0));
    }

    async fn apps_are_chosen_by_path_each_with_its_rules(mut server: TestServer) {
        let (wiki, admin) = (EchoApp::start().await, EchoApp::start().await);
        server.set("HANDSTAMP_APPS__WIKI__URL", &wiki.url);
        server.set("HANDSTAMP_APPS__WIKI__ACCESS", "everybody");
        server.set("HANDSTAMP_APPS__ADMIN__URL", &admin.url);
        server.set("HANDSTAMP_APPS__ADMIN__PATH", "/admin");
        server.set("HANDSTAMP_APPS__ADMIN__GROUPS", "staff,board");
        server.restart();
        let (stranger, ada) = (server.visitor(), server.ada().await);
        assert_stranger(&stranger.opens("/anything").await);
        assert_eq!(stranger.opens("/admin/users").await.status, 302);
        let refused = ada.opens("/admin/users").await;
        assert_eq!((refused.status, refused.shows("not in")), (403, true), "{}", refused.body);
        for path in ["//admin", "/x/../admin", "/%61dmin", "/ADMIN", "/x/..;/admin", "/admin/../", "/admin%2f..%2f"] {
            let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{}\r\n", signed_in(&ada));
            let answer = exchange(&server, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {answer}");
        }
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "board"], "");
        assert_eq!(ada.opens("/admin/users").await.status, 200);
    }

    async fn too_weak_or_too_old_a_session_is_confirmed_first(mut server: TestServer) {
        let app = EchoApp::start().await;
        for (name, value) in [("STRONG__URL", app.url.as_str()), ("STRONG__PATH", "/strong"), ("STRONG__ASSURANCE", "2"),
            ("RECENT__URL", &app.url), ("RECENT__PATH", "/recent"), ("RECENT__MAX_AGE", "1s")] {
            server.set(&format!("HANDSTAMP_APPS__{name}"), value);
        }
        server.restart();
        let ada = server.ada().await;
        let page = ada.opens("/strong/x").await;
        assert_eq!((page.status, page.location()), (302, format!("{}/account/confirm?assurance=2&next=%2Fstrong%2Fx", server.url).as_str()));
        assert_eq!(fetches(&ada, Method::GET, "/strong/x", &[]).await.status, 401);
        while ada.opens("/recent").await.status == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(ada.opens("/recent").await.location(), format!("{}/account/confirm?next=%2Frecent", server.url));
        let confirmed = ada.submits("/account/confirm", &[("password", ADAS_PASSWORD), ("next", "/recent")]).await;
        assert_eq!((confirmed.status, confirmed.location()), (303, "/recent"));
        assert_eq!(ada.opens("/recent").await.status, 200);

        // A session that has just begun is in no cache yet.
        let stronger = server.visitor();
        stronger.signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(server.execute("UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2").await, 2);
        assert_eq!(stronger.opens("/strong/x").await.status, 200);
        assert_eq!(ada.opens("/strong/x").await.status, 302);

        for (name, value, good) in [("STRONG__ASSURANCE", "0", "2"), ("STRONG__ASSURANCE", "4", "2"), ("STRONG__ASSURANCE", "02", "2"),
            ("STRONG__ASSURANCE", "2,2", "2"), ("RECENT__MAX_AGE", "1", "1s"), ("RECENT__MAX_AGE", "-1s", "1s"), ("RECENT__MAX_AGE", "1s,2s", "1s")] {
            let name = format!("HANDSTAMP_APPS__{name}");
            server.set(&name, value);
            let (status, _, said) = server.run_cli(&["user", "list"], "");
            assert!(status == 2 && said.contains(&name), "{name}={value}: {status} {said}");
            server.set(&name, good);
        }
    }

    async fn writes_and_websockets_of_other_sites_do_not_reach_the_app(mut server: TestServer) {
        let (app, requests) = RawApp::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        server = in_front_of(server, &app.address);
        let mut ada = server.ada().await;
        requests.take();
        let foreign = [
            vec![("sec-fetch-site", "cross-site")], vec![("sec-fetch-site", "same-site")], vec![("origin", "https://evil.example")],
            vec![("origin", "null")], vec![("sec-fetch-site", "cross-site"), ("origin", "http://localhost")], vec![],
        ];
        for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            for headers in &foreign {
                let refused = fetches(&ada, Method::from_bytes(method.as_bytes()).unwrap(), "/notes", headers).await;
                assert_eq!(refused.status, 403, "{method} {headers:?}");
            }
        }
        let websocket = [("connection", "upgrade"), ("upgrade", "websocket")];
        for headers in &foreign {
            assert_eq!(fetches(&ada, Method::GET, "/live", &[&websocket, headers.as_slice()].concat()).await.status, 403, "{headers:?}");
        }
        assert!(requests.take().is_empty());
        for headers in [vec![("sec-fetch-site", "same-origin")], vec![("origin", server.url.as_str())]] {
            assert_eq!(fetches(&ada, Method::POST, "/notes", &headers).await.status, 200, "{headers:?}");
        }
        assert_eq!(fetches(&server.visitor(), Method::POST, "/notes", &[]).await.status, 401, "a program without a session");
        requests.take();
        server.restart_with("HANDSTAMP_APP__CSRF", "false");
        ada.follows(&server.url);
        assert_eq!(fetches(&ada, Method::POST, "/notes", &[("origin", "https://evil.example")]).await.status, 200);
        requests.only();
    }

    async fn an_app_that_is_away_is_waited_for_and_signs_no_user_out(mut server: TestServer) {
        let address = free_address();
        server.set("HANDSTAMP_APP__TIMEOUT", "1s");
        server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
        server = in_front_of(server, &address);
        let ada = server.ada().await;
        let page = ada.opens("/notes").await;
        assert_eq!((page.status, page.header("retry-after"), page.set_cookie()), (502, "2", ""));
        assert_eq!(server.metric("handstamp_app_requests_total{app=\"app\",class=\"unavailable\"}").await, 1.0);
        assert_eq!(server.metric("handstamp_app_requests_total{app=\"app\",class=\"refused\"}").await, 0.0);
        assert_eq!(server.metric("handstamp_log_events_total{event=\"app_unavailable\",level=\"warn\"}").await, 1.0);
        assert!(page.shows("<meta http-equiv=\"refresh\" content=\"2\">") && page.shows("still signed in") && page.shows("tries again by itself"), "{}", page.body);
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        let posted = ada.submits("/notes", &[("text", "x")]).await;
        assert!(posted.status == 502 && !posted.shows("http-equiv=\"refresh\""), "a form is not repeated");
        assert_eq!(fetches(&ada, Method::GET, "/notes", &[]).await.header("content-type"), "application/problem+json");
        assert_eq!(server.events("app_unavailable").len(), 1, "one line a minute");
        assert!(ada.is_signed_in().await);

        let waits = tokio::spawn(async move { ada.opens("/notes").await.status });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let app = tokio::spawn(async move {
            let routes = axum::Router::new().fallback(async || "back");
            axum::serve(listener, routes).await.unwrap();
        });
        assert_eq!(waits.await.unwrap(), 200, "a page waits for an app that restarts");
        app.abort();
    }

    async fn an_app_that_does_not_answer_in_time_is_answered_504(mut server: TestServer) {
        let app = RawApp::serving(async |mut connection| {
            connection.request().await;
            std::future::pending::<()>().await;
        }).await;
        server.set("HANDSTAMP_APP__TIMEOUT", "1s");
        server = in_front_of(server, &app.address);
        let ada = server.ada().await;
        let begun = Instant::now();
        let page = ada.opens("/notes").await;
        assert_eq!(page.status, 504);
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert!(page.shows("http-equiv=\"refresh\"") && ada.is_signed_in().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_app_at_our_path_causes_a_warning() {
    let with_page = EchoApp::start().await;
    let server = in_front_of(TestServer::on_sqlite(), &with_page.url);
    let warning = server.wait_for_event("app_has_our_paths").await;
    assert_eq!(format!("http://{}", warning["apps"].as_str().unwrap()), with_page.url);
}

/// A server with an app of plain bytes behind it, and a signed-in user.
async fn before_bytes(answer: &'static [u8]) -> (TestServer, RawApp, super::raw_app::Requests, Visitor) {
    let (app, requests) = RawApp::answering(answer).await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    (server, app, requests, ada)
}

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_of_paths_pass_unchanged() {
    let (server, _app, requests, ada) = before_bytes(EMPTY).await;
    for target in [
        "/a%2Fb%2f%25?x=%2F&y=%zz",
        "//a//b/./../c",
        "/caf\u{c3}\u{a9}?q=\u{c3}\u{bc}",
        "/a|b~!$&'()*+,;=:@?x[]={}|^`",
        "/%00/%ff",
        "/?",
        "/a?b?c",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{}\r\n", signed_in(&ada));
        let answer = exchange(&server, &bytes_of(&request)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{target} {answer}");
        assert!(requests.only().starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{target}");
    }
    let absolute = format!("GET http://localhost/a?b HTTP/1.1\r\nConnection: close\r\n{}\r\n", signed_in(&ada));
    exchange(&server, absolute.as_bytes()).await;
    assert!(requests.only().starts_with("GET /a?b HTTP/1.1\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_method_passes_with_its_body_and_its_length() {
    let (server, _app, requests, ada) = before_bytes(EMPTY).await;
    let headers = format!("Connection: close\r\nOrigin: http://localhost\r\n{}", signed_in(&ada));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X-OWN"] {
        for (body, sent) in [
            ("\r\n", ""),
            ("Content-Length: 3\r\n\r\nabc", "abc"),
            ("Content-Length: 0\r\n\r\n", ""),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ] {
            let answer = exchange(&server, format!("{method} /x HTTP/1.1\r\n{headers}{body}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{method} {body:?} {answer}");
            let received = requests.only();
            assert!(received.starts_with(&format!("{method} /x HTTP/1.1\r\n")), "{received}");
            let (head, received_body) = received.split_once("\r\n\r\n").unwrap();
            let joined = |text: &str| text.replace("2\r\nab\r\n1\r\nc\r\n", "3\r\nabc\r\n");
            assert_eq!(joined(received_body), joined(sent), "{method} {body:?}");
            assert_eq!(head.to_lowercase().contains("transfer-encoding: chunked"), sent.contains("\r\n"), "{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_passes_as_the_app_has_made_it() {
    let full: &[u8] = b"HTTP/1.1 206 Partly\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/9\r\nX-Own: a\r\nX-Own: b\r\n\
        Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: own\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: handstamp_session=x\r\n\
        Clear-Site-Data: \"cookies\"\r\nKeep-Alive: timeout=9\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n\r\nabc";
    let (server, _app, requests, ada) = before_bytes(full).await;
    let get = format!("GET /x HTTP/1.1\r\nConnection: close\r\nRange: bytes=0-2\r\n{}\r\n", signed_in(&ada));
    let answer = exchange(&server, get.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.split("\r\n").map(str::to_lowercase).collect();
    lines.sort();
    let mut expected = [
        "http/1.1 206 partly",
        "connection: close",
        "content-length: 3",
        "content-range: bytes 0-2/9",
        "x-own: a",
        "x-own: b",
        "date: thu, 01 jan 2026 00:00:00 gmt",
        "server: own",
        "set-cookie: a=b; path=/",
    ]
    .map(str::to_owned);
    expected.sort();
    assert_eq!((lines.as_slice(), body), (expected.as_slice(), "abc"));
    assert!(requests.only().to_lowercase().contains("\r\nrange: bytes=0-2\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_without_a_body_keep_their_headers() {
    for (method, answer, kept) in [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".as_slice(), "content-length: 12345"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", "etag: \"1\""),
        ("GET", b"HTTP/1.1 204 No Content\r\nX-Own: 1\r\n\r\n", "x-own: 1"),
    ] {
        let app = RawApp::serving(move |mut connection| async move {
            while connection.until("\r\n\r\n").await.is_some() {
                connection.write(answer).await.unwrap();
            }
        })
        .await;
        let server = in_front_of(TestServer::on_sqlite(), &app.address);
        let ada = server.ada().await;
        let request = format!("{method} /x HTTP/1.1\r\nConnection: close\r\n{}\r\n", signed_in(&ada));
        let received = exchange(&server, request.as_bytes()).await.to_lowercase();
        assert!(received.contains(kept) && received.ends_with("\r\n\r\n"), "{received}");
        assert!(kept.contains("length") || !received.contains("content-length"), "{received}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_in_both_directions() {
    let answer = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nSet-Cookie: handstamp_session=x\r\n\r\n";
    let (server, _app, requests, ada) = before_bytes(answer).await;
    let request = format!(
        "POST /x HTTP/1.1\r\nOrigin: http://localhost\r\nConnection: TE\r\nTE: trailers\r\nTrailer: X-Check, Remote-User\r\n\
         Transfer-Encoding: chunked\r\n{}\r\n1\r\na\r\n0\r\nX-Check: 2\r\nRemote-User: forged\r\n\r\n",
        signed_in(&ada)
    );
    let mut connection = Connection::to(&server).await;
    connection.write(request.as_bytes()).await.unwrap();
    let received = connection.request().await.unwrap().to_lowercase();
    assert!(received.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{received}");
    let received = requests.only().to_lowercase();
    assert!(received.ends_with("0\r\nx-check: 2\r\n\r\n") && received.contains("\r\nte: trailers\r\n"), "{received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_gets_the_apps_answer() {
    let app = RawApp::serving(|mut connection| async move {
        while let Some(head) = connection.until("\r\n\r\n").await {
            if head.starts_with("POST /no ") {
                connection.write(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                assert_eq!(connection.rest().await, "", "no byte of the body was sent");
                return;
            }
            if head.starts_with("POST") {
                assert!(head.to_lowercase().contains("\r\nexpect: 100-continue\r\n"), "{head}");
                tokio::time::sleep(Duration::from_millis(300)).await;
                if head.starts_with("POST /yes ") {
                    connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                }
                assert_eq!(connection.exactly(3).await.as_deref(), Some("abc"));
            }
            connection.write(EMPTY).await.unwrap();
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    let sends = async |path: &str| {
        let mut connection = Connection::to(&server).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nOrigin: http://localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n{}\r\n",
            signed_in(&ada)
        );
        connection.write(head.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let first = connection.request().await.unwrap();
        (connection, first, begun.elapsed())
    };
    let (mut connection, first, waited) = sends("/yes").await;
    assert!(first.starts_with("HTTP/1.1 100 ") && waited >= Duration::from_millis(300), "{first} {waited:?}");
    connection.write(b"abc").await.unwrap();
    assert!(connection.request().await.unwrap().starts_with("HTTP/1.1 200 "));

    let (_, first, _) = sends("/no").await;
    assert!(first.starts_with("HTTP/1.1 417 "), "{first}");

    let (mut connection, first, waited) = sends("/silent").await;
    assert!(
        first.starts_with("HTTP/1.1 100 ") && waited >= Duration::from_millis(900),
        "an app of HTTP/1.0: {first} {waited:?}"
    );
    connection.write(b"abc").await.unwrap();
    assert!(connection.request().await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_in_both_directions_without_being_stored() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 1600;
    let app = RawApp::serving(|mut connection| async move {
        while let Some(head) = connection.until("\r\n\r\n").await {
            if head.starts_with("POST") {
                for _ in 0..CHUNKS {
                    connection.exactly(CHUNK).await.unwrap();
                }
                connection.write(EMPTY).await.unwrap();
            } else {
                connection
                    .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", CHUNK * CHUNKS).as_bytes())
                    .await
                    .unwrap();
                for _ in 0..CHUNKS {
                    if connection.write(&[b'a'; CHUNK]).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    let before = server.resident_kib();
    let mut upload = Connection::to(&server).await;
    let head = format!(
        "POST /x HTTP/1.1\r\nOrigin: http://localhost\r\nContent-Length: {}\r\n{}\r\n",
        CHUNK * CHUNKS,
        signed_in(&ada)
    );
    upload.write(head.as_bytes()).await.unwrap();
    for _ in 0..CHUNKS {
        upload.write(&[b'a'; CHUNK]).await.unwrap();
    }
    assert!(upload.request().await.unwrap().starts_with("HTTP/1.1 200 "));

    let mut download = Connection::to(&server).await;
    download.write(format!("GET /x HTTP/1.1\r\n{}\r\n", signed_in(&ada)).as_bytes()).await.unwrap();
    // The app would fill the memory of the server meanwhile if there were no back-pressure.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for 100 MiB");
    download.until("\r\n\r\n").await.unwrap();
    for _ in 0..CHUNKS {
        download.exactly(CHUNK).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_pass_when_they_are_sent_and_a_silent_stream_stays_open() {
    let app = RawApp::serving(|mut connection| async move {
        connection.until("\r\n\r\n").await.unwrap();
        connection
            .write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            if connection.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.is_err() {
                return;
            }
            // Longer than a client may take for the head of a request.
            tokio::time::sleep(Duration::from_secs(if number == 1 { 12 } else { 0 })).await;
        }
        connection.rest().await;
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    let mut stream = Connection::to(&server).await;
    stream.write(format!("GET /events HTTP/1.1\r\n{}\r\n", signed_in(&ada)).as_bytes()).await.unwrap();
    let begun = Instant::now();
    stream.until("data: 1\n\n").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    stream.until("data: 2\n\n").await.expect("the stream was silent for 12 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_the_client_is_chained_from_trusted_proxies_only() {
    let (mut server, _app, requests, ada) = before_bytes(EMPTY).await;
    let chain = async |server: &TestServer| {
        let forged = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: ftp\r\nX-Forwarded-Host: evil.test\r\nX_Forwarded_For: 203.0.113.8\r\nForwarded: for=203.0.113.9\r\n";
        let request = format!("GET /x HTTP/1.1\r\nConnection: close\r\n{forged}{}\r\n", signed_in(&ada));
        exchange(server, request.as_bytes()).await;
        let request = requests.take().pop().unwrap().to_lowercase();
        assert!(
            !request.contains("evil.test")
                && !request.contains("203.0.113.8")
                && !request.contains("203.0.113.9")
                && !request.contains("ftp"),
            "{request}"
        );
        request.lines().filter_map(|line| line.strip_prefix("x-forwarded-for: ").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(chain(&server).await, ["127.0.0.1"]);
    server.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    assert_eq!(chain(&server).await, ["203.0.113.7", "127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_limited_in_both_directions() {
    let app = RawApp::serving(|mut connection| async move {
        while let Some(head) = connection.until("\r\n\r\n").await {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/long" => {
                    format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(1024 * 1024))
                }
                "/many" => format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(2000)),
                "/junk" => "I am no HTTP\r\n\r\n".to_owned(),
                "/gone" => return,
                _ => latin_1(EMPTY),
            };
            if connection.write(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    for path in ["/long", "/many", "/junk", "/gone"] {
        assert_eq!(fetches(&ada, Method::GET, path, &[]).await.status, 502, "{path}");
    }
    assert_eq!(fetches(&ada, Method::GET, "/x", &[]).await.status, 200);
    let request = format!("GET /x HTTP/1.1\r\nX-Long: {}\r\n{}\r\n", "a".repeat(100_000), signed_in(&ada));
    assert!(exchange(&server, request.as_bytes()).await.starts_with("HTTP/1.1 431 "));
}

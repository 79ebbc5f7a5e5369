//! Apps behind real reverse proxies with the printed configurations, and `handstamp doctor`.

use std::process::{Command, Stdio};
use std::sync::Arc;

use handstamp_testing::{ADAS_PASSWORD, EchoApp, Page, Proxy, ProxyChain, TestServer, Visitor, free_address};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const PROXIES: [Proxy; 4] = [Proxy::Nginx, Proxy::Caddy, Proxy::NewCaddy, Proxy::Traefik];

fn server() -> TestServer {
    let mut server = TestServer::on_sqlite();
    server.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    server
}

/// The values of this header that the app received; an empty header counts as a missing one.
fn shown(page: &Page, name: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body));
    let headers = page["headers"].as_array().unwrap().iter();
    let named = headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap().to_owned());
    named.filter(|value| !value.is_empty()).collect()
}

/// Whether the response is a redirect, for which proxies use one of two statuses.
fn is_sent_on(page: &Page) -> bool {
    matches!(page.status, 302 | 303)
}

async fn is_told_who_it_is(server: &TestServer, chain: &ProxyChain) {
    let ada = Visitor::new(&chain.url);
    let page = ada.opens("/notes?a=b&c=d").await;
    assert!(is_sent_on(&page));
    assert_eq!(page.location(), format!("{}/account/login?next=%2Fnotes%3Fa%3Db%26c%3Dd", chain.url));
    let fields =
        [("name", "Zoë"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/notes?a=b&c=d")];
    let page = ada.submits("/account/register", &fields).await;
    assert_eq!((page.status, page.location()), (303, "/notes?a=b&c=d"));
    server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff", "--add", "board"], "");
    server.run_cli(&["user", "verify", "ada@example.com"], "");
    ada.presents_as("theme", "dark");
    let page = ada.opens("/notes?a=b&c=d").await;
    assert!(page.shows("\"target\":\"/notes?a=b&c=d\""), "{}", page.body);
    let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
    let told = ["remote-user", "remote-name", "remote-email", "remote-groups", "cookie"]
        .map(|name| shown(&page, name).concat());
    assert_eq!(told, [&id, "Zo%C3%AB", "ada@example.com", "board,staff", "theme=dark"]);
    let posted = ada.submits("/notes", &[("text", "x")]).await;
    assert!(posted.shows("\"method\":\"POST\"") && shown(&posted, "remote-user") == [id], "{}", posted.body);
    assert_eq!(server.cli_json(&["session", "list", "--user", "ada@example.com"])[0]["address"], "127.0.0.1");

    let thief = ada.copy();
    assert_eq!(ada.signs_out().await.status, 303);
    assert!(is_sent_on(&thief.opens("/notes").await));
    let form = thief.form("/notes", &[("text", "x")]).header("referer", format!("{}/notes/new", chain.url));
    let posted = thief.send(form).await;
    let sign_in = format!("{}/account/login?next=%2Fnotes%2Fnew&notice=form-not-sent", chain.url);
    assert_eq!((posted.status, posted.location()), (303, sign_in.as_str()), "the contents of the form are lost");
    let program = thief.send(thief.bare_request(reqwest::Method::GET, "/notes")).await;
    assert_eq!((program.status, program.header("content-type")), (401, "application/problem+json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_gets_identity_headers_through_every_proxy() {
    for proxy in PROXIES {
        let server = server();
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        is_told_who_it_is(&server, &chain).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proxy_leads_a_session_that_is_too_weak_to_another_factor() {
    for (proxy, question) in [
        (Proxy::Nginx, ["/auth/request;", "/auth/request?assurance=2&max_age=600;"]),
        (Proxy::Caddy, ["/auth/forward?", "/auth/forward?assurance=2&max_age=600"]),
        (Proxy::NewCaddy, ["/auth/forward?", "/auth/forward?assurance=2&max_age=600"]),
        (Proxy::Traefik, ["/auth/forward", "/auth/forward?assurance=2&max_age=600"]),
    ] {
        let server = server();
        let chain = ProxyChain::new(&server, proxy, &[question.into()]).await;
        let sign_in = || async {
            let ada = Visitor::new(&chain.url);
            assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
            ada
        };
        server.ada().await;
        let confirm = format!("{}/account/confirm?assurance=2&next=%2Fnotes%3Fa%3Db", chain.url);
        let weak = sign_in().await;
        let page = weak.opens("/notes?a=b").await;
        assert!(is_sent_on(&page), "{proxy:?} {}", page.status);
        assert_eq!(page.location(), confirm, "{proxy:?}");
        let program = weak.send(weak.bare_request(reqwest::Method::GET, "/notes")).await;
        assert_eq!(program.status, 401, "{proxy:?}");

        let strong = sign_in().await;
        server.execute("UPDATE sessions SET methods = 'pwd otp mfa', assurance = 2").await;
        assert!(!shown(&strong.opens("/notes").await, "remote-user").is_empty(), "{proxy:?}");
        let late = sign_in().await;
        let past = "UPDATE sessions SET assurance = 2, authenticated_at = authenticated_at - 700";
        server.execute(past).await;
        assert_eq!(late.opens("/notes?a=b").await.location(), confirm, "{proxy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_return_urls_pass_through_every_proxy() {
    for proxy in PROXIES {
        let server = server();
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let ada = Visitor::new(&chain.url);
        let long = format!("/{}", "a/".repeat(3_500));
        let page = ada.opens(&long).await;
        let sign_in = page.location().strip_prefix(chain.url.as_str()).unwrap().to_owned();
        let form = ada.opens(&sign_in).await;
        assert!(form.status == 200 && form.hidden("next") == [long], "{proxy:?}: {}", form.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reissued_cookies_pass_through_nginx_and_traefik() {
    for proxy in [Proxy::Nginx, Proxy::Traefik] {
        let mut server = server();
        let listen = free_address();
        server.restart_with("HANDSTAMP_PUBLIC_URL", &format!("http://{listen}"));
        let ada = server.ada().await;
        let secret = std::fs::read_to_string(server.folder().join("data/secret.key")).unwrap();
        server.set("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        server.restart_with("HANDSTAMP_SECRET_KEY_FALLBACKS", secret.trim());
        let chain = ProxyChain::listening_at(&server, proxy, &listen, &[]).await;
        let ada = ada.at(&chain.url);
        let port = listen.rsplit(':').next().unwrap();
        let renewed = ada.opens("/notes").await;
        assert!(renewed.set_cookie().starts_with(&format!("handstamp_session_{port}=")), "{proxy:?}");
        assert!(ada.opens("/notes").await.set_cookie().is_empty(), "the cookie is reissued once");
    }
}

/// The findings of the doctor: whether all checks passed, and the names of those that failed.
fn examined(server: &TestServer, arguments: &[&str]) -> (bool, Vec<String>) {
    let (status, output, error) = server.run_cli(&[&["doctor", "--json"], arguments].concat(), "");
    let findings: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output} {error}"));
    let findings = findings.as_array().unwrap();
    let failed = findings.iter().filter(|finding| finding["result"] == "FAIL");
    let is_not_given = |finding: &Value| finding["check"] == AROUND && !arguments.contains(&"--app");
    let is_known = |finding: &Value| finding["result"] == if is_not_given(finding) { "?" } else { "ok" };
    // The hashes of the tests are cheap, and their folders may be in memory.
    let is_of_tests = |finding: &Value| finding["result"] == "warn";
    assert!(status != 0 || findings.iter().all(|finding| is_known(finding) || is_of_tests(finding)), "{output}");
    let failed: Vec<_> = failed.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status == 0, failed.is_empty(), "{error}");
    (status == 0, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_passes_every_printed_configuration() {
    let server = server();
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let page = format!("{}/notes", chain.url);
        let unreachable = "http://127.0.0.1:1/";
        assert_eq!(examined(&server, &[&page, "--app", unreachable]), (true, vec![]), "{proxy:?}");
        let believes = format!("{}/believes", chain.app_url);
        assert_eq!(examined(&server, &[&page, "--app", &believes]), (false, vec![AROUND.into()]));
    }
    assert!(server.run_cli(&["user", "list"], "").1.contains("no accounts"), "the doctor has removed its account");
}

/// Handstamp as the only proxy, with the settings of the test.
async fn in_front(access: &str) -> (TestServer, EchoApp) {
    let app = EchoApp::start().await;
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_APP__ACCESS", access);
    server.restart_with("HANDSTAMP_APP__URL", &app.url);
    server.use_default_public_url();
    (server, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_passes_a_site_in_front_of_an_app() {
    let (server, app) = in_front("members").await;
    let page = format!("{}/notes", server.url);
    assert_eq!(examined(&server, &[&page, "--app", "http://127.0.0.1:1/"]), (true, vec![]));
    let believes = format!("{}/believes", app.url);
    assert_eq!(examined(&server, &[&page, "--app", &believes]), (false, vec![AROUND.into()]));
    let (server, _app) = in_front("everybody").await;
    let page = format!("{}/notes", server.url);
    assert_eq!(examined(&server, &[&page, "--access", "everybody"]), (true, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_detects_every_missing_protection_in_front_of_an_app() {
    for (setting, value, check) in [
        ("HANDSTAMP_APP__ACCESS", "everybody", ANONYMOUS),
        ("HANDSTAMP_APP__PUBLIC_PATHS", "/notes", ANONYMOUS),
        ("HANDSTAMP_APP__CSRF", "false", OTHER_SITES),
        // The doctor is a proxy that is trusted, and passes on what a client has sent.
        ("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1", ADDRESS),
    ] {
        let (mut server, _app) = in_front("members").await;
        server.restart_with(setting, value);
        let (_, failed) = examined(&server, &[&format!("{}/notes", server.url)]);
        assert!(failed.iter().any(|name| name == check), "{setting}: {failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_detects_a_proxy_that_is_not_trusted() {
    let (mut server, _app) = in_front("members").await;
    let listen = free_address();
    server.restart_with("HANDSTAMP_PUBLIC_URL", &format!("http://{listen}"));
    let target = server.address();
    let listener = tokio::net::TcpListener::bind(&listen).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut site = tokio::net::TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut site).await });
        }
    });
    assert_eq!(examined(&server, &[&format!("http://{listen}/notes")]), (false, vec![CLIENT.into()]));
}

const AROUND: &str = "the app is reachable only through the proxy";
const THROUGH: &str = "a signed-in request reaches the app";
const ANONYMOUS: &str = "an anonymous request is rejected";
const REDIRECT: &str = "an anonymous browser is sent to sign in and back";
const IDENTITY: &str = "forged identity headers do not reach the app";
const CONNECTION: &str = "a client cannot remove identity headers";
const COOKIE: &str = "the session cookie does not reach the app";
const FORWARDED: &str = "forged X-Forwarded-… headers have no effect";
const ADDRESS: &str = "a forged client address is ignored";
const CLIENT: &str = "the address of a client is known";
const OTHER_SITES: &str = "writes of other sites do not reach the app";
const QUESTIONS: &str = "browsers cannot send authorization subrequests";
const SIGN_IN: &str = "signing in works";
const HOST: &str = "a forged host has no effect";
const WELL_KNOWN: &str = "the well-known URL for changing a password is served";
const LONG: &str = "a large POST body is accepted";
const WITHOUT_IDENTITY: &str = "an anonymous request reaches the app without an identity";
const STRANGERS_IDENTITY: &str = "forged identity headers grant no access";
const PREFLIGHT: &str = "an anonymous preflight request reaches the app without an identity";
const NO_PREFLIGHT: &str = "an anonymous preflight request is rejected";

/// Removes one protection after another from a configuration, and expects the doctor to report each.
async fn each_is_missed(proxies: &[Proxy], protections: &[(&str, &str, &str)]) {
    each_is_missed_with(&[], proxies, protections).await;
}

/// The same with flags for `proxy-config` and for the doctor.
async fn each_is_missed_with(flags: &[&str], proxies: &[Proxy], protections: &[(&str, &str, &str)]) {
    let server = server();
    for proxy in proxies {
        for (protection, instead, check) in protections {
            let chain = ProxyChain::with_flags(&server, *proxy, flags, &[(protection, instead)]).await;
            let page = format!("{}/notes", chain.url);
            let (_, failed) = examined(&server, &[&[page.as_str()], flags].concat());
            assert!(failed.iter().any(|name| name == check), "{proxy:?} without {protection}: {failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_detects_every_missing_protection_of_nginx() {
    each_is_missed(
        &[Proxy::Nginx],
        &[
            ("auth_request /handstamp-auth;", "", ANONYMOUS),
            ("error_page 401 = @anonymous;", "", REDIRECT),
            ("location ~ ^/(account(/|$)|", "location ~ ^/(elsewhere(/|$)|", SIGN_IN),
            (r"|\.well-known/change-password$)", ")", WELL_KNOWN),
            ("return 421;", "set $is_let_in 1;", HOST),
            ("= /handstamp-auth {", "= /handstamp-auth { client_max_body_size 1m;", LONG),
            ("underscores_in_headers off;", "underscores_in_headers on;", IDENTITY),
            ("proxy_set_header Remote-User $handstamp_user;", "", IDENTITY),
            ("proxy_set_header Remote-Name $handstamp_name;", "", IDENTITY),
            ("proxy_set_header Remote-Email $handstamp_email;", "", IDENTITY),
            ("proxy_set_header Remote-Groups $handstamp_groups;", "", IDENTITY),
            ("proxy_set_header Handstamp-Assertion $handstamp_assertion;", "", IDENTITY),
            ("proxy_set_header Cookie $handstamp_cookie;", "", COOKIE),
            ("proxy_set_header X-Forwarded-Uri \"\";", "", FORWARDED),
            ("proxy_set_header X-Forwarded-Method \"\";", "", FORWARDED),
            ("proxy_set_header Forwarded \"\";", "", FORWARDED),
            ("proxy_set_header X-Real-IP \"\";", "", FORWARDED),
            ("proxy_set_header X-Forwarded-Host $http_host;", "", FORWARDED),
            ("proxy_set_header X-Forwarded-For $remote_addr;", "", ADDRESS),
            ("location ~ ^/(account(/|$)|", "location ~ ^/((account|auth)(/|$)|", QUESTIONS),
            ("/auth/request;", "/auth/request?preflight=pass;", NO_PREFLIGHT),
        ],
    )
    .await;
    each_is_missed_with(
        &["--access", "everybody"],
        &[Proxy::Nginx],
        &[
            ("?access=everybody", "", WITHOUT_IDENTITY),
            ("proxy_set_header Remote-User $handstamp_user;", "", STRANGERS_IDENTITY),
            ("proxy_set_header Handstamp-Assertion $handstamp_assertion;", "", STRANGERS_IDENTITY),
        ],
    )
    .await;
    let identity = ("proxy_set_header Remote-User $handstamp_user;", "", PREFLIGHT);
    let method = ("proxy_set_header X-Forwarded-Method $request_method;", "", PREFLIGHT);
    each_is_missed_with(&["--preflight"], &[Proxy::Nginx], &[("?preflight=pass", "", PREFLIGHT), identity, method])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_detects_every_missing_protection_of_caddy() {
    each_is_missed(
        &[Proxy::Caddy, Proxy::NewCaddy],
        &[
            ("forward_auth", "@never path /never\nforward_auth @never", ANONYMOUS),
            ("@account path /account /account/* /.well", "@account path /elsewhere /.well", SIGN_IN),
            ("/account/* /.well-known/change-password", "/account/*", WELL_KNOWN),
            ("respond @elsewhere 421", "", HOST),
            ("request_header @hop_by_hop -Connection", "", CONNECTION),
            ("Handstamp-Assertion Cookie", "Handstamp-Assertion", COOKIE),
            ("request_header -X-Forwarded*", "", FORWARDED),
            ("request_header -Forwarded\n", "\n", FORWARDED),
            ("request_header -X-Real*", "", FORWARDED),
            ("@account path /account /account/*", "@account path /account /account/* /auth/*", QUESTIONS),
            ("uri /auth/forward?", "uri /auth/forward?preflight=pass", NO_PREFLIGHT),
        ],
    )
    .await;
    // The newest Caddy drops headers with underscores by default.
    let underscores = [
        ("request_header -Remote_*", "", IDENTITY),
        ("request_header -Handstamp_*", "", IDENTITY),
        ("request_header -X_Forwarded*", "", FORWARDED),
        ("request_header -X_Real*", "", FORWARDED),
    ];
    each_is_missed(&[Proxy::Caddy], &underscores).await;
    let strangers =
        [("?access=everybody", "?", WITHOUT_IDENTITY), ("request_header -Remote_*", "", STRANGERS_IDENTITY)];
    each_is_missed_with(&["--access", "everybody"], &[Proxy::Caddy], &strangers).await;
    each_is_missed_with(&["--preflight"], &[Proxy::Caddy], &[("?preflight=pass", "?", PREFLIGHT)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_detects_every_missing_protection_of_traefik() {
    each_is_missed(
        &[Proxy::Traefik],
        &[
            ("middlewares: [strip, handstamp, wait]", "middlewares: [strip, wait]", ANONYMOUS),
            ("Path(`/account`) || PathPrefix(`/account/`)", "Path(`/elsewhere`)", SIGN_IN),
            (" || Path(`/.well-known/change-password`)", "", WELL_KNOWN),
            ("Host(`localhost`) ||", "Host(`localhost`) || PathPrefix(`/`) ||", HOST),
            ("          - Remote-User\n", "", IDENTITY),
            ("          - Remote-Groups\n", "", IDENTITY),
            ("          - Handstamp-Assertion\n", "", IDENTITY),
            ("          - Cookie\n", "", COOKIE),
            ("Remote_user: \"\"", "", IDENTITY),
            ("Handstamp_assertion: \"\"", "", IDENTITY),
            ("          Forwarded: \"\"\n", "", FORWARDED),
            ("PathPrefix(`/account/`)", "PathPrefix(`/account/`) || PathPrefix(`/auth/`)", QUESTIONS),
            ("/auth/forward", "/auth/forward?preflight=pass", NO_PREFLIGHT),
        ],
    )
    .await;
    let strangers =
        [("?access=everybody", "", WITHOUT_IDENTITY), ("          - Remote-User\n", "", STRANGERS_IDENTITY)];
    each_is_missed_with(&["--access", "everybody"], &[Proxy::Traefik], &strangers).await;
    let preflights = [("?preflight=pass", "", PREFLIGHT), ("          - Remote-User\n", "", PREFLIGHT)];
    each_is_missed_with(&["--preflight"], &[Proxy::Traefik], &preflights).await;
}

/// This test only parses the configuration of Envoy as YAML; `script/recipes envoy` runs a real one with it. The authorization
/// subrequests of Envoy are tested in `forward_auth`.
#[test]
fn the_envoy_configuration_copies_every_identity_header() {
    const READ: &str = "
import sys, yaml
resources = yaml.safe_load(sys.stdin)['static_resources']
manager = resources['listeners'][0]['filter_chains'][0]['filters'][0]['typed_config']
question = manager['http_filters'][0]['typed_config']
copied = question['http_service']['authorization_response']['allowed_upstream_headers']['patterns']
print(*(header['exact'] for header in copied), question['http_service']['path_prefix'], question['failure_mode_allow'])
print(*(route['match'].popitem()[1] + '>' + route['route']['cluster'] for route in manager['route_config']['virtual_hosts'][0]['routes']))
print(resources['clusters'][1]['load_assignment']['endpoints'][0]['lb_endpoints'][0]['endpoint']['address']['socket_address'])
";
    let server = TestServer::on_sqlite();
    let arguments = ["proxy-config", "envoy", "--listen", "[::1]:8000", "--app", "app:3000"];
    let printed =
        server.cli_command_without_settings(&arguments).stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/python");
    let read = Command::new(python).args(["-c", READ]).stdin(printed).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(
        lines,
        [
            "remote-user remote-name remote-email remote-groups handstamp-assertion cookie /auth/envoy False",
            "/account>handstamp /account/>handstamp /.well-known/change-password>handstamp />app",
            "{'address': 'app', 'port_value': 3000}",
        ]
    );
}

#[test]
fn proxy_config_refuses_addresses_that_would_inject_configuration() {
    let server = TestServer::on_sqlite();
    for bad in ["127.0.0.1", "a:0", "a b:80", "a;b:80", "a{b:80", "a\n:80", ":80", "[::1:80", "https://a:443"] {
        let arguments = ["proxy-config", "nginx", "--listen", bad, "--app", "127.0.0.1:1"];
        let output = server.cli_command_without_settings(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("127.0.0.1:8080"));
    }
}

const EVERYBODY: [&str; 2] = ["--access", "everybody"];

/// Asserts that the app sees an anonymous request, whatever identity headers the client sends.
fn assert_stranger(page: &Page) {
    assert_eq!(page.status, 200, "{}", page.body);
    for name in ["remote-user", "remote-name", "remote-email", "remote-groups", "handstamp-assertion", "remote_user"] {
        assert_eq!(shown(page, name), [""; 0], "{name}: {}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_pages_are_proxied_without_an_identity_for_anonymous_clients() {
    let server = server();
    server.ada().await;
    server.run_cli(&["user", "verify", "ada@example.com"], "");
    for proxy in PROXIES {
        let chain = ProxyChain::with_flags(&server, proxy, &EVERYBODY, &[]).await;
        let anonymous = Visitor::new(&chain.url);
        anonymous.presents("junk");
        anonymous.presents_as("theme", "dark");
        for name in ["remote-user", "remote_user", "remote-groups", "handstamp-assertion"] {
            let forged = anonymous.request(reqwest::Method::GET, "/notes").header(name, "forged");
            let page = anonymous.send(forged.header("sec-fetch-mode", "navigate")).await;
            assert_stranger(&page);
            assert_eq!(shown(&page, "cookie"), ["theme=dark"], "{proxy:?}");
        }
        assert_stranger(&anonymous.submits("/notes", &[("text", "x")]).await);
        assert_eq!(anonymous.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let thief = anonymous.copy();
        assert_eq!(shown(&anonymous.opens("/notes").await, "remote-email"), ["ada@example.com"]);
        assert_eq!(anonymous.signs_out().await.status, 303);
        assert_stranger(&thief.opens("/notes").await);
        let page = format!("{}/notes", chain.url);
        let arguments = [&[page.as_str()], EVERYBODY.as_slice()].concat();
        assert_eq!(examined(&server, &arguments), (true, vec![]), "{proxy:?}");
        assert!(
            examined(&server, &[&page]).1.contains(&ANONYMOUS.to_owned()),
            "without the flag, the doctor expects a page for signed-in users"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caddy_that_forwards_the_client_query_lets_no_client_in() {
    let server = server();
    for proxy in [Proxy::Caddy, Proxy::NewCaddy] {
        let chain = ProxyChain::new(&server, proxy, &[("uri /auth/forward?", "uri /auth/forward")]).await;
        let anonymous = Visitor::new(&chain.url);
        for query in ["access=everybody", "access=%65verybody", "access=everybody&a=%C3%A9", "preflight=pass", "a=b"] {
            let asked = anonymous.bare_request(reqwest::Method::OPTIONS, &format!("/notes?{query}"));
            let page = anonymous.send(asked.header("access-control-request-method", "POST")).await;
            assert!(matches!(page.status, 400 | 401), "{proxy:?} {query}: {}", page.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_reach_the_app_if_configured() {
    let server = server();
    let ada = server.ada().await;
    for proxy in PROXIES {
        for (flags, status) in [([].as_slice(), 401), (&["--preflight"], 200)] {
            let chain = ProxyChain::with_flags(&server, proxy, flags, &[]).await;
            for visitor in [Visitor::new(&chain.url), ada.at(&chain.url)] {
                if visitor.has_cookie() && flags.is_empty() {
                    continue;
                }
                let preflight = visitor.bare_request(reqwest::Method::OPTIONS, "/api/notes");
                let preflight = preflight.header("origin", "http://localhost:5173").header("remote-user", "forged");
                let page = visitor.send(preflight.header("access-control-request-method", "PUT")).await;
                assert_eq!(page.status, status, "{proxy:?} {flags:?} {}", page.body);
                if status == 200 {
                    assert_stranger(&page);
                    assert_eq!(shown(&page, "access-control-request-method"), ["PUT"]);
                }
            }
            let anonymous = Visitor::new(&chain.url);
            let put =
                anonymous.bare_request(reqwest::Method::PUT, "/api/notes").header("origin", "http://localhost:5173");
            assert_eq!(anonymous.send(put.header("access-control-request-method", "PUT")).await.status, 401);
            let page = format!("{}/notes", chain.url);
            let arguments = [&[page.as_str()], flags].concat();
            assert_eq!(examined(&server, &arguments), (true, vec![]), "{proxy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_uploads_reach_the_app() {
    let server = server();
    let ada = server.ada().await;
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        for bytes in [2 * 1024 * 1024, 50 * 1024 * 1024] {
            let upload = |who: &Visitor| who.bare_request(reqwest::Method::POST, "/upload").body(vec![b'x'; bytes]);
            let ada = ada.at(&chain.url);
            let page = ada.send(upload(&ada)).await;
            assert!(page.shows(&format!("\"length\":{bytes}")), "{proxy:?} {} {}", page.status, page.body);
        }
    }
}

/// Otherwise the body would be stored on the disk of nginx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_without_a_session_is_refused_before_its_body_is_sent() {
    let server = server();
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let host = chain.url.strip_prefix("http://").unwrap();
        let head = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n");
        let answer = answer_to(host, &head);
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("application/problem+json"),
            "{proxy:?} {answer}"
        );
    }
}

/// The response to a second subrequest would be sent to the browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sends_one_subrequest_for_a_refused_request() {
    let server = server();
    let chain = ProxyChain::new(&server, Proxy::Nginx, &[]).await;
    let anonymous = Visitor::new(&chain.url);
    anonymous.presents("junk");
    for requests in 1..=2 {
        let page = anonymous.opens("/notes").await;
        assert_eq!(page.status, 303);
        assert!(["remote-user", "cookie", "handstamp-assertion"].iter().all(|name| !page.headers.contains_key(*name)));
        // A subrequest with a junk cookie is logged. A second one of the first request would come before those of the second.
        assert_eq!(server.events("session_token_refused").len(), requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_are_not_buffered_by_proxies() {
    let server = server();
    let ada = server.ada().await;
    for proxy in PROXIES {
        let permits = Arc::new(Semaphore::new(1));
        let app = sends_events(Arc::clone(&permits)).await;
        let chain = ProxyChain::in_front_of(&server, proxy, &free_address(), &app, &[]).await;
        let ada = ada.at(&chain.url);
        let within = std::time::Duration::from_secs(10);
        let stream = tokio::time::timeout(within, ada.bare_request(reqwest::Method::GET, "/events").send()).await;
        let mut stream = stream.unwrap_or_else(|_| panic!("{proxy:?} holds the answer back")).unwrap();
        for number in 1..=3 {
            let event = tokio::time::timeout(within, stream.chunk()).await;
            let event = event.unwrap_or_else(|_| panic!("{proxy:?} holds event {number} back")).unwrap().unwrap();
            assert_eq!(event, format!("data: {number}\n\n"), "{proxy:?}");
            permits.add_permits(1);
        }
    }
}

/// An app that sends one event per permit, in a response that ends with the connection, as development servers do.
async fn sends_events(permits: Arc<Semaphore>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 8192]).await.unwrap();
        connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.unwrap();
        for number in 1.. {
            permits.acquire().await.unwrap().forget();
            connection.write_all(format!("data: {number}\n\n").as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proxy_routes_the_change_password_url_to_handstamp() {
    let server = server();
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let page = Visitor::new(&chain.url).opens("/.well-known/change-password").await;
        assert_eq!((page.status, page.location()), (303, "/account/password"), "{proxy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_get_the_assertion_keys_through_every_proxy() {
    let server = server();
    let keys = server.visitor().opens("/auth/jwks.json").await;
    assert!(keys.shows("\"kty\":\"OKP\""), "{}", keys.body);
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let app = Visitor::new(&chain.url);
        let through = app.send(app.bare_request(reqwest::Method::GET, "/account/jwks.json")).await;
        assert_eq!((through.status, through.header("content-type")), (200, "application/jwk-set+json"), "{proxy:?}");
        assert_eq!(through.body, keys.body, "{proxy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_report_an_outage_of_the_app_or_of_handstamp() {
    for proxy in PROXIES {
        let mut server = server();
        let ada = server.ada().await;
        let mut chain = ProxyChain::new(&server, proxy, &[]).await;
        let ada = ada.at(&chain.url);
        let says = |page: Page, traefik| match proxy {
            Proxy::Traefik => assert_eq!(page.status, traefik),
            _ => {
                assert_eq!((page.status, page.header("retry-after")), (503, "5"), "{proxy:?} {}", page.body);
                assert!(page.shows("Please try again in a few seconds."), "{proxy:?}: {}", page.body);
            }
        };
        chain.stop_app().await;
        says(ada.opens("/notes").await, 502);
        assert_eq!(ada.opens("/account").await.status, 200);
        server.stop();
        says(ada.opens("/notes").await, 500);
        says(ada.opens("/account").await, 502);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_and_traefik_retry_while_the_app_restarts() {
    let server = server();
    let ada = server.ada().await;
    for proxy in [Proxy::Caddy, Proxy::NewCaddy, Proxy::Traefik] {
        let mut chain = ProxyChain::new(&server, proxy, &[]).await;
        let ada = ada.at(&chain.url);
        chain.stop_app().await;
        let asked = tokio::spawn(async move {
            match proxy {
                // An older Caddy loses the body of a request after the first attempt.
                Proxy::Caddy | Proxy::NewCaddy => ada.opens("/notes").await,
                _ => ada.submits("/notes", &[("text", "x")]).await,
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        chain.start_app().await;
        let page = asked.await.unwrap();
        let length = if matches!(proxy, Proxy::Traefik) { "\"length\":6" } else { "\"length\":0" };
        assert_eq!((page.status, page.shows(length)), (200, true), "{proxy:?} {}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_serve_their_configured_hosts_only() {
    let server = server();
    let ada = server.ada().await;
    for proxy in PROXIES {
        let named = ["--host", "app.example.com", "--host", "localhost", "--host", "127.0.0.1"];
        for (flags, is_named) in [([].as_slice(), false), (&named, true)] {
            let chain = ProxyChain::with_flags(&server, proxy, flags, &[]).await;
            let ada = ada.at(&chain.url);
            for (host, is_taken) in [
                ("localhost", true),
                ("localhost:1234", true),
                ("app.example.com", is_named),
                ("evil.example", false),
                ("localhost.evil.example", false),
                ("127.0.0.1.evil.example", false),
                ("127x0.0.1", false),
            ] {
                for path in ["/notes", "/account/login"] {
                    let page = ada.send(ada.bare_request(reqwest::Method::GET, path).header("host", host)).await;
                    let is_shown = page.status == 200 && !page.body.is_empty();
                    let is_refused_by_handstamp = path == "/account/login" && page.status == 421;
                    let is_let_in = is_shown || is_refused_by_handstamp && host == "app.example.com" && is_named;
                    assert_eq!(is_let_in || page.status == 303, is_taken, "{proxy:?} {host} {path} {}", page.status);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_listen_on_ipv6_addresses() {
    let server = server();
    for proxy in PROXIES {
        let listen = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().to_string();
        let chain = ProxyChain::in_front_of(&server, proxy, &listen, "127.0.0.1:1", &[]).await;
        let page = Visitor::new(&chain.url).opens("/notes").await;
        assert!(is_sent_on(&page), "{proxy:?} {} {}", page.status, page.body);
    }
}

/// Scripts and command-line clients send such targets, unlike browsers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn non_ascii_targets_pass_through_every_proxy() {
    let server = server();
    let ada = server.ada().await;
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let host = chain.url.strip_prefix("http://").unwrap();
        for target in ["/caf\u{E9}", "/notes?q=caf\u{E9}"] {
            let cookie = format!("Cookie: handstamp_session={}\r\n", ada.token());
            let member = answer_to(host, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{cookie}"));
            assert!(member.starts_with("HTTP/1.1 200"), "{proxy:?} {target} {member}");
            let anonymous =
                answer_to(host, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Mode: navigate\r\n"));
            let next =
                target.replace('/', "%2F").replace('?', "%3F").replace('=', "%3D").replace('\u{E9}', "%25C3%25A9");
            let location = format!("/account/login?next={next}\r\n");
            assert!(anonymous.contains(&location), "{proxy:?} {target} {anonymous}");
        }
    }
}

/// The head of the response to a request that is sent unchanged, byte by byte.
fn answer_to(host: &str, request: &str) -> String {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(host).unwrap();
    connection.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).unwrap();
    connection.set_read_timeout(Some(std::time::Duration::from_secs(15))).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn the_printed_caddyfile_is_formatted_like_caddy_fmt() {
    let server = TestServer::on_sqlite();
    let newest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/caddy");
    for (listen, flags) in
        [("127.0.0.1:8000", [].as_slice()), ("[::1]:8000", &["--preflight"]), ("0.0.0.0:80", &EVERYBODY)]
    {
        let printed = Proxy::Caddy.configuration(&server, listen, "127.0.0.1:3000", flags);
        let file = server.folder().join("Caddyfile");
        std::fs::write(&file, &printed).unwrap();
        for caddy in ["/usr/bin/caddy", newest] {
            let formatted = Command::new(caddy).arg("fmt").arg(&file).env("HOME", server.folder()).output().unwrap();
            assert_eq!(String::from_utf8(formatted.stdout).unwrap(), printed, "{caddy} {listen}");
        }
    }
}

#[test]
fn proxy_config_refuses_public_access_for_envoy() {
    let server = TestServer::on_sqlite();
    let arguments = ["proxy-config", "envoy", "--listen", "[::1]:8000", "--app", "app:3000", "--access", "everybody"];
    let output = server.cli_command_without_settings(&arguments).output().unwrap();
    assert!(output.status.code() == Some(2) && output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("use nginx, Caddy or Traefik"));
}

/// The doctor's finding for one check: its result, and the reason.
fn said(server: &TestServer, arguments: &[&str], check: &str) -> (String, String) {
    let (_, output, error) = server.run_cli(&[&["doctor", "--json"], arguments].concat(), "");
    let findings: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output} {error}"));
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap();
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    (text("result"), text("why"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_does_not_judge_an_app_by_a_public_page() {
    let server = server();
    let chain = ProxyChain::new(&server, Proxy::Nginx, &[]).await;
    let page = format!("{}/notes", chain.url);
    let echo = format!("{}/notes", chain.app_url);
    let (result, why) = said(&server, &[&page, "--app", &echo], AROUND);
    assert!(result == "?" && why.contains("a page that only members see"), "{result} {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_reports_an_app_that_refuses_authorized_requests() {
    let server = server();
    for proxy in PROXIES {
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let (result, why) = said(&server, &[&format!("{}/refuses", chain.url)], THROUGH);
        assert!(result == "FAIL" && why.contains(&format!("the audience {} and the issuer http", chain.url)), "{why}");
    }
    let chain =
        ProxyChain::new(&server, Proxy::Caddy, &[("uri /auth/forward?", "uri /auth/forward?\nheader_up -Cookie")])
            .await;
    let (result, why) = said(&server, &[&format!("{}/refuses", chain.url)], THROUGH);
    assert!(result == "FAIL" && why.contains("send the Cookie header"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_reports_a_page_that_shows_no_identity() {
    let server = server();
    let chain = ProxyChain::new(&server, Proxy::Nginx, &[]).await;
    let (result, why) = said(&server, &[&format!("{}/silent", chain.url)], IDENTITY);
    assert!(result == "?" && why.starts_with("/silent does not show that doctor@handstamp.invalid"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_doctor_removes_its_account() {
    let server = server();
    let chain = ProxyChain::new(&server, Proxy::Nginx, &[]).await;
    for signal in ["INT", "TERM", "HUP"] {
        let mut doctor = examines(&server, &chain);
        is_at_work(&server).await;
        assert!(Command::new("kill").args(["-s", signal, &doctor.id().to_string()]).status().unwrap().success());
        assert_eq!(doctor.wait().unwrap().code(), Some(1), "{signal}");
        assert!(server.run_cli(&["user", "list"], "").1.contains("no accounts"), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_removes_the_account_of_a_killed_doctor() {
    let server = server();
    let chain = ProxyChain::new(&server, Proxy::Nginx, &[]).await;
    let mut doctor = examines(&server, &chain);
    is_at_work(&server).await;
    doctor.kill().unwrap();
    doctor.wait().unwrap();
    let page = format!("{}/notes", chain.url);
    let (status, _, error) = server.run_cli(&["doctor", &page], "");
    assert!(status == 1 && error.contains("another doctor is at work, or was killed"), "{error}");
    assert_eq!(
        server.cli_json(&["user", "list"]).as_array().unwrap().len(),
        1,
        "it keeps the account of the other doctor"
    );
    assert_eq!(server.execute("UPDATE users SET created_at = created_at - 120").await, 1);
    assert_eq!(examined(&server, &[&page]), (true, vec![]));
    assert!(server.run_cli(&["user", "list"], "").1.contains("no accounts"));
}

/// A running doctor whose app answers slowly.
fn examines(server: &TestServer, chain: &ProxyChain) -> std::process::Child {
    let page = format!("{}/slow", chain.url);
    let mut command = server.cli_command(&["doctor", &page]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn is_at_work(server: &TestServer) {
    while server.count("SELECT COUNT(*) FROM sessions").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

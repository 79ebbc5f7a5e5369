use std::process::{Command, Stdio};

use serde_json::Value;

use crate::chain::{Chain, Proxy, free_address};
use crate::house::{ADAS_PASSWORD, House};
use crate::visitor::{Page, Visitor};

const PROXIES: [Proxy; 4] = [Proxy::Nginx, Proxy::Caddy, Proxy::NewCaddy, Proxy::Traefik];

fn house() -> House {
    let mut house = House::on_sqlite();
    house.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    house
}

/// What the app was sent under this name; a header that is not there is as good as an empty one.
fn shown(page: &Page, name: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body));
    let headers = page["headers"].as_array().unwrap().iter();
    let named = headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap().to_owned());
    named.filter(|value| !value.is_empty()).collect()
}

async fn is_told_who_it_is(house: &House, chain: &Chain) {
    let ada = Visitor::new(&chain.url);
    let page = ada.opens("/notes?a=b&c=d").await;
    assert_eq!(
        (page.status, page.location()),
        (302, format!("{}/account/login?next=%2Fnotes%3Fa%3Db%26c%3Dd", chain.url).as_str())
    );
    let fields =
        [("name", "Zoë"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/notes?a=b&c=d")];
    let page = ada.submits("/account/register", &fields).await;
    assert_eq!((page.status, page.location()), (303, "/notes?a=b&c=d"));
    house.types(&["user", "groups", "ada@example.com", "--add", "staff", "--add", "board"], "");
    house.types(&["user", "verify", "ada@example.com"], "");
    ada.presents_as("theme", "dark");
    let page = ada.opens("/notes?a=b&c=d").await;
    assert!(page.shows("\"target\":\"/notes?a=b&c=d\""), "{}", page.body);
    let id = house.json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
    let told = ["remote-user", "remote-name", "remote-email", "remote-groups", "cookie"]
        .map(|name| shown(&page, name).concat());
    assert_eq!(told, [&id, "Zo%C3%AB", "ada@example.com", "board,staff", "theme=dark"]);
    let posted = ada.submits("/notes", &[("text", "x")]).await;
    assert!(posted.shows("\"method\":\"POST\"") && shown(&posted, "remote-user") == [id], "{}", posted.body);
    assert_eq!(house.json(&["session", "list", "--user", "ada@example.com"])[0]["address"], "127.0.0.1");

    let thief = ada.copy();
    assert_eq!(ada.signs_out().await.status, 303);
    assert_eq!(thief.opens("/notes").await.status, 302);
    let form = thief.form("/notes", &[("text", "x")]).header("referer", format!("{}/notes/new", chain.url));
    let posted = thief.send(form).await;
    let sign_in = format!("{}/account/login?next=%2Fnotes%2Fnew&notice=form-not-sent", chain.url);
    assert_eq!((posted.status, posted.location()), (303, sign_in.as_str()), "what was filled in is lost");
    let program = thief.send(thief.bare_request(reqwest::Method::GET, "/notes")).await;
    assert_eq!((program.status, program.header("content-type")), (401, "application/problem+json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_app_is_told_who_it_is() {
    for proxy in PROXIES {
        let house = house();
        let chain = Chain::new(&house, proxy, &[]).await;
        is_told_who_it_is(&house, &chain).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_people_come_back_to_a_long_address_of_the_app() {
    for proxy in PROXIES {
        let house = house();
        let chain = Chain::new(&house, proxy, &[]).await;
        let ada = Visitor::new(&chain.url);
        let long = format!("/{}", "a/".repeat(3_500));
        let page = ada.opens(&long).await;
        let sign_in = page.location().strip_prefix(chain.url.as_str()).unwrap().to_owned();
        let form = ada.opens(&sign_in).await;
        assert!(form.status == 200 && form.hidden("next") == [long], "{proxy:?}: {}", form.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_cookie_is_renewed_through_those_that_can() {
    for proxy in [Proxy::Nginx, Proxy::Traefik] {
        let mut house = house();
        let listen = free_address();
        house.restart_with("HANDSTAMP_PUBLIC_URL", &format!("http://{listen}"));
        let ada = house.ada().await;
        let secret = std::fs::read_to_string(house.folder.join("data/secret.key")).unwrap();
        house.set("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        house.restart_with("HANDSTAMP_SECRET_KEY_FALLBACKS", secret.trim());
        let chain = Chain::at(&house, proxy, &listen, &[]).await;
        let ada = ada.at(&chain.url);
        let port = listen.rsplit(':').next().unwrap();
        let renewed = ada.opens("/notes").await;
        assert!(renewed.set_cookie().starts_with(&format!("handstamp_session_{port}=")), "{proxy:?}");
        assert!(ada.opens("/notes").await.set_cookie().is_empty(), "once is enough");
    }
}

/// What the doctor finds: whether all is well, and which checks failed.
fn examined(house: &House, arguments: &[&str]) -> (bool, Vec<String>) {
    let (status, output, error) = house.types(&[&["doctor", "--json"], arguments].concat(), "");
    let findings: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output} {error}"));
    let findings = findings.as_array().unwrap();
    let failed = findings.iter().filter(|finding| finding["result"] == "FAIL");
    assert!(status != 0 || findings.iter().all(|finding| finding["result"] == "ok"), "{output}");
    let failed: Vec<_> = failed.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status == 0, failed.is_empty(), "{error}");
    (status == 0, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_doctor_finds_nothing_wrong() {
    let house = house();
    for proxy in PROXIES {
        let chain = Chain::new(&house, proxy, &[]).await;
        let page = format!("{}/notes", chain.url);
        let unreachable = "http://127.0.0.1:1/";
        assert_eq!(examined(&house, &[&page, "--app", unreachable]), (true, vec![]), "{proxy:?}");
        assert_eq!(
            examined(&house, &[&page, "--app", &chain.app_url]),
            (false, vec!["the app is not reached around the proxy".into()])
        );
    }
    assert!(house.types(&["user", "list"], "").1.contains("no accounts"), "its own account is gone again");
}

const STRANGER: &str = "a stranger is kept out";
const REDIRECT: &str = "a stranger is sent to sign in, and back";
const IDENTITY: &str = "forged identity headers do not reach the app";
const CONNECTION: &str = "a client cannot have identity headers taken out";
const COOKIE: &str = "the session cookie does not reach the app";
const FORWARDED: &str = "forged X-Forwarded-… headers lead nowhere";
const ADDRESS: &str = "a forged address is not believed";
const QUESTIONS: &str = "the proxy's questions are not for browsers";
const SIGN_IN: &str = "somebody can sign in";

/// Takes one protection after the other out of a configuration, and sees that the doctor finds what is wrong then.
async fn each_is_missed(proxies: &[Proxy], protections: &[(&str, &str, &str)]) {
    let house = house();
    for proxy in proxies {
        for (protection, instead, check) in protections {
            let chain = Chain::new(&house, *proxy, &[(protection, instead)]).await;
            let (_, failed) = examined(&house, &[&format!("{}/notes", chain.url)]);
            assert!(failed.iter().any(|name| name == check), "{proxy:?} without {protection}: {failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_doctor_misses_each_protection_of_nginx() {
    each_is_missed(
        &[Proxy::Nginx],
        &[
            ("auth_request /handstamp-asks;", "", STRANGER),
            ("error_page 401 = @stranger;", "", REDIRECT),
            ("location ~ ^/account(/|$)", "location ~ ^/elsewhere(/|$)", SIGN_IN),
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
            ("location ~ ^/account(/|$)", "location ~ ^/(account|auth)(/|$)", QUESTIONS),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_doctor_misses_each_protection_of_caddy() {
    each_is_missed(
        &[Proxy::Caddy, Proxy::NewCaddy],
        &[
            ("forward_auth", "@never path /never\nforward_auth @never", STRANGER),
            ("@account path /account /account/*", "@account path /elsewhere", SIGN_IN),
            ("request_header @wishes -Connection", "", CONNECTION),
            ("Handstamp-Assertion Cookie", "Handstamp-Assertion", COOKIE),
            ("request_header -X-Forwarded-*", "", FORWARDED),
            ("request_header -Forwarded\n", "\n", FORWARDED),
            ("request_header -X-Real-Ip\n", "\n", FORWARDED),
            ("@account path /account /account/*", "@account path /account /account/* /auth/*", QUESTIONS),
        ],
    )
    .await;
    // The newest drops what has underscores by itself.
    let underscores = [
        ("request_header -Remote_*", "", IDENTITY),
        ("request_header -Handstamp_*", "", IDENTITY),
        ("request_header -X_Forwarded_*", "", FORWARDED),
    ];
    each_is_missed(&[Proxy::Caddy], &underscores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_the_doctor_misses_each_protection_of_traefik() {
    each_is_missed(
        &[Proxy::Traefik],
        &[
            ("middlewares: [strip, handstamp]", "middlewares: [strip]", STRANGER),
            ("Path(`/account`) || PathPrefix(`/account/`)", "Path(`/elsewhere`)", SIGN_IN),
            ("          - Remote-User\n", "", IDENTITY),
            ("          - Remote-Groups\n", "", IDENTITY),
            ("          - Handstamp-Assertion\n", "", IDENTITY),
            ("          - Cookie\n", "", COOKIE),
            ("Remote_user: \"\"", "", IDENTITY),
            ("Handstamp_assertion: \"\"", "", IDENTITY),
            ("Forwarded: \"\"", "X-Unused: \"\"", FORWARDED),
            ("PathPrefix(`/account/`)", "PathPrefix(`/account/`) || PathPrefix(`/auth/`)", QUESTIONS),
        ],
    )
    .await;
}

/// There is no Envoy in the packages of Debian or PyPI: what it is told is read by a parser of YAML, and what it asks is in
/// `a_proxy_asks_who_it_is`.
#[test]
fn and_the_configuration_of_envoy_copies_every_header() {
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
    let house = House::on_sqlite();
    let arguments = ["proxy-config", "envoy", "--listen", "[::1]:8000", "--app", "app:3000"];
    let printed = house.bare_command(&arguments).stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/python");
    let read = Command::new(python).args(["-c", READ]).stdin(printed).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(
        lines,
        [
            "remote-user remote-name remote-email remote-groups handstamp-assertion cookie /auth/envoy False",
            "/account>handstamp /account/>handstamp />app",
            "{'address': 'app', 'port_value': 3000}",
        ]
    );
}

#[test]
fn and_an_address_that_would_change_the_configuration_is_refused() {
    let house = House::on_sqlite();
    for bad in ["127.0.0.1", "a:0", "a b:80", "a;b:80", "a{b:80", "a\n:80", ":80", "[::1:80", "https://a:443"] {
        let arguments = ["proxy-config", "nginx", "--listen", bad, "--app", "127.0.0.1:1"];
        let output = house.bare_command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("127.0.0.1:8080"));
    }
}

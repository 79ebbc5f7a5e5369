//! Published faults of other reverse proxies, each as a case for `handstamp serve --app`: what is sent, what the other side may
//! see, and the advisory.

use std::time::Duration;

use handstamp_testing::{TestServer, Visitor};
use tokio::time::timeout;

use super::in_front_of_an_app::in_front_of;
use super::raw_app::{Connection, RawApp, Requests, bytes_of, signed_in};

/// The longest that a server may take to answer a case.
const PATIENCE: Duration = Duration::from_secs(10);

/// The last request on each connection. It has no session, so it is answered 401, unless the server has closed before.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The part of a case that the app may see.
#[derive(Clone, Copy)]
enum App {
    /// Nothing.
    Nothing,
    /// One request that begins with the first text, has the second one and lacks the third. The case of letters does not matter.
    Gets(&'static str, &'static str, &'static str),
}

use App::{Gets, Nothing};

/// A fault: its advisory or its source, the bytes of a client, the statuses that it is answered with, and what the app may see.
///
/// In the bytes, `{member}` stands for the headers of a signed-in user, `{write}` for the same with an origin, and `{smuggled}` for
/// a request that must not reach the app.
type Fault = (&'static str, &'static str, &'static [u16], App);

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

const HEADERS: &[Fault] = &[
    // Connection names the headers of the proxy, so that they are removed.
    (
        "CVE-2021-33197",
        "GET /x HTTP/1.1\r\nConnection:\r\nConnection: X-Forwarded-For\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nx-forwarded-for: 127.0.0.1\r\n", "\r\nconnection:"),
    ),
    (
        "CVE-2021-32813",
        "GET /x HTTP/1.1\r\nConnection: Handstamp-Assertion, Remote-User, Host, Cookie\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nhandstamp-assertion: ey", "\r\nconnection:"),
    ),
    (
        "CVE-2024-45410",
        "GET /x HTTP/1.1\r\nConnection: X-Forwarded-Host, X-Forwarded-Proto\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nx-forwarded-host: localhost\r\n", "\r\nconnection:"),
    ),
    (
        "GHSA-92mv-8f8w-wq52",
        "GET /x HTTP/1.1\r\nConnection: x-forwarded-proto, cookie\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nx-forwarded-proto: http\r\n", "\r\nconnection:"),
    ),
    (
        "golang/go#50580",
        "GET /x HTTP/1.1\r\nConnection: Cookie\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\ncookie: theme=dark\r\n", "handstamp_session"),
    ),
    (
        "envoyproxy/envoy#44525",
        "GET /x HTTP/1.1\r\nConnection: Upgrade, Remote-User, X-Own\r\nUpgrade: own/1\r\nX-Own: 1\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nconnection: upgrade\r\n", "x-own"),
    ),
    // Headers of a client that apps believe.
    (
        "CVE-2025-64484",
        "GET /x HTTP/1.1\r\nRemote_User: forged\r\nX_Forwarded_For: forged\r\nHANDSTAMP_ASSERTION: forged\r\nX-Forwarded_Host: forged\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "forged"),
    ),
    (
        "GHSA-7r4p-vjf4-gxv4",
        "GET /static HTTP/1.1\r\nHost: localhost\r\nRemote-User: forged\r\nRemote-Groups: forged\r\n\r\n",
        &[200],
        Gets("get /static ", "\r\nremote-user: \r\n", "forged"),
    ),
    (
        "CVE-2026-35051",
        "GET /x HTTP/1.1\r\nX-Forwarded-Prefix: /forged\r\nX-Forwarded-Port: forged\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "forged"),
    ),
    (
        "CVE-2022-32148",
        "GET /x HTTP/1.1\r\nX-Forwarded-For: forged\r\nForwarded: for=forged\r\nX-Real-IP: forged\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nx-forwarded-for: 127.0.0.1\r\n", "forged"),
    ),
    (
        "CVE-2026-40575",
        "GET /notes HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Uri: /static\r\nX-Original-URL: /static\r\nX-Rewrite-URL: /static\r\n\r\n",
        &[401],
        Nothing,
    ),
    (
        "CVE-2026-40575",
        "GET /x HTTP/1.1\r\nX-Forwarded-Uri: /forged\r\nX-Original-URL: /forged\r\nX-Rewrite-URL: /forged\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "forged"),
    ),
    (
        "greenpau/caddy-security#270",
        "GET /notes HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: navigate\r\nX-Forwarded-Proto: forged\r\nX-Forwarded-Host: forged\r\n\r\n",
        &[302],
        Nothing,
    ),
    (
        "CVE-2016-5386",
        "GET /x HTTP/1.1\r\nProxy: forged\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "forged"),
    ),
    // Requests of another protocol in an upgraded connection.
    (
        "golang/go#16875",
        "GET /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "upgrade"),
    ),
    (
        "CVE-2026-32136",
        "GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: own/1, H2C\r\n{member}\r\n",
        &[200],
        Gets("get /x ", "\r\nremote-user: ", "upgrade"),
    ),
    // Trailers that apps merge with the headers.
    (
        "CVE-2026-88004",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{write}\r\n0\r\nRemote-User: forged\r\nX_Forwarded_For: forged\r\nX-Forwarded-Prefix: forged\r\nX-Sum: 1\r\n\r\n",
        &[200],
        Gets("post /x ", "\r\nremote-user: ", "forged"),
    ),
    (
        "CVE-2013-5704",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: Cookie\r\n{write}\r\n0\r\nCookie: forged=1\r\nContent-Length: 9\r\nTransfer-Encoding: forged\r\n\r\n",
        &[200],
        Gets("post /x ", "\r\nremote-user: ", "forged"),
    ),
];

const PATHS: &[Fault] = &[
    ("GHSA-7rh7-c77v-6434", "GET /notes?/static/x HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("CVE-2026-41059", "GET /notes#/static HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("CVE-2026-41059", "GET /notes%23/static HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("CVE-2026-41059", "GET /static/..%23/notes HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("CVE-2025-32431", "GET /static/../notes HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("CVE-2025-32431", "GET /x/../admin HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("traefik/traefik#11746", "GET /static/%2e%2e/notes HTTP/1.1\r\nHost: localhost\r\n\r\n", &[401], Nothing),
    ("GHSA-vrch-868g-9jx5", "GET /%61dmin HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%2Fusers HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%5Cusers HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%00 HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%3Bx HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%3Fx HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2025-66490", "GET /admin%23x HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2026-65600", "GET /static/..%2f..%2fadmin HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400], Nothing),
    ("CVE-2026-40912", "GET /%2e/admin HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("GHSA-xf64-8mw2-4gr2", "GET /static/%252e%252e/admin HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400], Nothing),
    ("CVE-2026-27587", "GET /ADMIN/users HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("CVE-2026-27588", "GET /notes HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n", &[401], Nothing),
    ("CVE-2026-27585", "GET /x\\..\\admin HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    ("GHSA-qrp7-cvwr-j2c6", "GET /x%5c..%5cadmin HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
    (
        "CVE-2022-2880",
        "GET /x?a=%x&b=1;c=2&&=&d HTTP/1.1\r\n{member}\r\n",
        &[200],
        Gets("get /x?a=%x&b=1;c=2&&=&d http", "\r\nremote-user: ", "forged"),
    ),
    ("RFC 9112, 3.2.2", "GET http://localhost/admin HTTP/1.1\r\n{member}\r\n", &[403], Nothing),
    ("RFC 9112, 3.2.2", "GET http://evil.test/ HTTP/1.1\r\n{member}\r\n", &[421], Nothing),
    ("RFC 9112, 3.2.2", "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", &[421], Nothing),
    ("RFC 9112, 3.2", "GET / HTTP/1.1\r\nHost: localhost\r\n{member}\r\n", &[421], Nothing),
    ("RFC 9112, 3.2", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", &[421], Nothing),
    ("RFC 9112, 3.2", "GET / HTTP/1.1\r\nX: y\r\n\r\n", &[421], Nothing),
    ("RFC 9110, 9.3.6", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", &[400], Nothing),
    ("RFC 9110, 9.3.6", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", &[400], Nothing),
    ("RFC 9112, 3.2.4", "OPTIONS * HTTP/1.1\r\n{member}\r\n", &[400], Nothing),
];

const FRAMING: &[Fault] = &[
    (
        "tinyproxy/tinyproxy#609",
        "POST /x HTTP/1.1\r\n{write}Content-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        &[200],
        Gets("post /x ", "\r\ntransfer-encoding: chunked\r\n", "content-length"),
    ),
    (
        "hyperium/hyper#4123",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}",
        &[200],
        Gets("post /x ", "\r\ntransfer-encoding: chunked\r\n", "content-length"),
    ),
    (
        "tinyproxy/tinyproxy#609",
        "POST /x HTTP/1.1\r\n{write}Content-Length: 0\r\nContent-Length: 43\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    ("RFC 9112, 6.3", "POST /x HTTP/1.1\r\n{write}Content-Length: 0, 43\r\n\r\n{smuggled}", &[400], Nothing),
    ("RFC 9110, 8.6", "POST /x HTTP/1.1\r\n{write}Content-Length: +43\r\n\r\n{smuggled}", &[400], Nothing),
    ("RFC 9112, 5.1", "POST /x HTTP/1.1\r\n{write}Content-Length : 43\r\n\r\n{smuggled}", &[400], Nothing),
    (
        "ohler55/agoo#88",
        "POST /x HTTP/1.1\r\n{write}Content-Length: 6\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nX",
        &[400],
        Nothing,
    ),
    (
        "sozu-proxy/sozu#726",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "RUSTSEC-2021-0020",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "cloudwego/hertz#1490",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: identity, chunked, identity\r\n\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "sozu-proxy/sozu#726",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "golang/go#53188",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: \rchunked\r\n\r\n1\r\na\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "RFC 9112, 2.2",
        "POST /x HTTP/1.1\r\n{write}X: y\nTransfer-Encoding: chunked\r\nContent-Length: 43\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "RFC 9112, 5.2",
        "POST /x HTTP/1.1\r\n{write}X: y\r\n folded\r\nContent-Length: 43\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "RFC 9110, 5.5",
        "POST /x HTTP/1.1\r\n{write}X: y\rRemote-User: forged\r\nContent-Length: 0\r\n\r\n",
        &[400],
        Nothing,
    ),
    ("RFC 9110, 5.5", "POST /x HTTP/1.1\r\n{write}X: y\u{0}z\r\nContent-Length: 0\r\n\r\n", &[400], Nothing),
    (
        "CVE-2025-64484",
        "POST /x HTTP/1.1\r\n{write}Content_Length: 43\r\nContent-Length: 0\r\n\r\n",
        &[200],
        Gets("post /x ", "\r\ncontent-length: 0\r\n", "content_length"),
    ),
    (
        "CVE-2025-22871",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n2b\n{smuggled}\n0\n\n",
        &[400],
        Nothing,
    ),
    (
        "CVE-2025-55315",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n1;\na\r\nb\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    (
        "CVE-2026-2332",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n1;ext=\"val\r\nX\r\n0\r\n\r\n",
        &[200],
        Gets("post /x ", "\r\n\r\n1\r\nx\r\n0\r\n\r\n", "ext"),
    ),
    (
        "CVE-2023-39326",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n1;{long}\r\na\r\n0\r\n\r\n",
        &[400],
        Nothing,
    ),
    (
        "RFC 9112, 7.1",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n-1\r\n{smuggled}\r\n0\r\n\r\n",
        &[400],
        Nothing,
    ),
    (
        "RFC 9112, 7.1",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{smuggled}\r\n0\r\n\r\n",
        &[400],
        Nothing,
    ),
    (
        "RFC 9112, 7.1",
        "POST /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n0x2b\r\n{smuggled}\r\n0\r\n\r\n",
        &[400],
        Nothing,
    ),
    (
        "RFC 9110, 7.6.1",
        "POST /x HTTP/1.1\r\n{write}Connection: Content-Length\r\nContent-Length: 43\r\n\r\n{smuggled}",
        &[200],
        Gets("post /x ", "\r\ntransfer-encoding: chunked\r\n", "\r\ncontent-length:"),
    ),
    (
        "RFC 9110, 7.6.1",
        "POST /x HTTP/1.1\r\n{write}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[200],
        Gets("post /x ", "\r\ntransfer-encoding: chunked\r\n", "\r\ncontent-length:"),
    ),
    (
        "CVE-2026-29057",
        "DELETE /x HTTP/1.1\r\n{write}Transfer-Encoding: chunked\r\n\r\n2b\r\n{smuggled}\r\n0\r\n\r\n",
        &[200],
        Gets("delete /x ", "\r\ntransfer-encoding: chunked\r\n", "\r\ncontent-length:"),
    ),
    (
        "CVE-2026-29057",
        "GET /x HTTP/1.1\r\n{write}Content-Length: 43\r\n\r\n{smuggled}",
        &[200],
        Gets("get /x ", "\r\ncontent-length: 43\r\n", "transfer-encoding"),
    ),
    (
        "RFC 9112, 6.1",
        "POST /x HTTP/1.0\r\n{write}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        &[400],
        Nothing,
    ),
    // A request after another on the same connection is one of the client itself, which has no session.
    (
        "RFC 9112, 9.3.2",
        "POST /x HTTP/1.1\r\n{write}Content-Length: 0\r\n\r\n{smuggled}",
        &[200, 401],
        Gets("post /x ", "\r\ncontent-length: 0\r\n", "smuggled"),
    ),
];

/// A server with an app, and another one at `/admin` for a group, which are one program; and a user without the group.
async fn split_view(answer: &'static [u8]) -> (TestServer, RawApp, Requests, Visitor) {
    let (app, requests) = RawApp::answering(answer).await;
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_APP__PUBLIC_PATHS", "/static");
    server.set("HANDSTAMP_APPS__ADMIN__URL", &format!("http://{}", app.address));
    server.set("HANDSTAMP_APPS__ADMIN__PATH", "/admin");
    server.set("HANDSTAMP_APPS__ADMIN__GROUPS", "staff");
    let server = in_front_of(server, &app.address);
    let ada = server.ada().await;
    requests.take();
    (server, app, requests, ada)
}

/// All that comes until the server closes.
async fn answers(server: &TestServer, request: &str) -> String {
    let mut connection = Connection::to(server).await;
    // The server may close before it has read everything.
    let _ = connection.write(&bytes_of(&format!("{request}{LAST}"))).await;
    timeout(PATIENCE, connection.rest()).await.unwrap_or_else(|_| "HTTP/1.1 000 no answer".to_owned())
}

/// The statuses of responses.
fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).unwrap_or_default().parse().unwrap()).collect()
}

async fn each_is_withstood(faults: &[Fault]) {
    let (server, _app, requests, ada) = split_view(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let member = signed_in(&ada);
    let mut wrong = Vec::new();
    for (of, sent, expected, app) in faults {
        let request = sent
            .replace("{member}", &member)
            .replace("{write}", &format!("Origin: http://localhost\r\n{member}"))
            .replace("{smuggled}", SMUGGLED)
            .replace("{long}", &"a".repeat(64 * 1024));
        let answers = answers(&server, &request).await;
        let seen: Vec<_> = requests.take().into_iter().map(|request| request.to_lowercase()).collect();
        let is_right = match (app, seen.as_slice()) {
            (Nothing, []) => true,
            (Gets(begins, has, lacks), [request]) => {
                request.starts_with(begins) && request.contains(has) && !request.contains(lacks)
            }
            _ => false,
        };
        // The server may close the connection before the last request.
        let answered = statuses(&answers);
        let is_expected = answered == *expected || answered == [expected, [401].as_slice()].concat();
        if !is_expected || !is_right || answers.contains("forged") {
            wrong.push(format!("{of}: {sent:?}\n  answered {:?}\n  the app got {seen:?}", statuses(&answers)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_faults_with_the_headers_of_a_client_are_withstood() {
    each_is_withstood(HEADERS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_faults_with_paths_and_hosts_are_withstood() {
    each_is_withstood(PATHS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_faults_with_the_framing_of_requests_are_withstood() {
    each_is_withstood(FRAMING).await;
}

/// A fault in a response: its source, the method of the request and the bytes of the app. Then the status of the client's response,
/// and a text that it must not contain.
type ResponseFault = (&'static str, &'static str, &'static str, u16, &'static str);

const RESPONSES: &[ResponseFault] = &[
    (
        "capnproto/capnproto#2671",
        "GET",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: own/1\r\n\r\n",
        502,
        "own/1",
    ),
    (
        "envoyproxy/envoy#9016",
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        200,
        "content-length",
    ),
    (
        "freeunitorg/freeunit#113",
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 40\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        502,
        "forged",
    ),
    ("RFC 9110, 8.6", "GET", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nforged", 502, "forged"),
    (
        "RFC 9112, 5.2",
        "GET",
        "HTTP/1.1 200 OK\r\nX: y\r\n Set-Cookie: handstamp_session=forged\r\nContent-Length: 0\r\n\r\n",
        502,
        "forged",
    ),
    (
        "RFC 9112, 11.1",
        "GET",
        "HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: handstamp_session=forged\r\nContent-Length: 0\r\n\r\n",
        502,
        "forged",
    ),
    ("RFC 9110, 5.5", "GET", "HTTP/1.1 200 OK\r\nX: y\u{0}forged\r\nContent-Length: 0\r\n\r\n", 502, "forged"),
    ("musana/fuzzuli#9", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", 200, "forged"),
    ("moonbitlang/async#615", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, "forged"),
    ("nodejs/http-parser#251", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nforged", 204, "forged"),
    (
        "RFC 9112, 9.2",
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        200,
        "forged",
    ),
    (
        "caddyserver/caddy#5280",
        "GET",
        "HTTP/1.1 103 Early Hints\r\nSet-Cookie: handstamp_session=forged\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        "forged",
    ),
    ("CVE-2024-24791", "EXPECT", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "forged"),
    ("golang/go#67555", "EXPECT", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 417, "forged"),
    (
        "RFC 9112, 7.1",
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nSet-Cookie: handstamp_session=forged\r\nClear-Site-Data: \"forged\"\r\n\r\n",
        200,
        "forged",
    ),
    ("RFC 9112, 4", "GET", "forged\r\n\r\n", 502, "forged"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_faults_with_the_responses_of_an_app_are_withstood() {
    let app = RawApp::serving(|mut connection| async move {
        while let Some(head) = connection.until("\r\n\r\n").await {
            let number = head.split(['/', ' ']).nth(2).and_then(|path| path.parse::<usize>().ok());
            let other = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
            let answer = number.map_or(other, |number| RESPONSES[number].2);
            if connection.write(&bytes_of(answer)).await.is_err() {
                return;
            }
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    let member = signed_in(&ada);
    let waits = "Origin: http://localhost\r\nExpect: 100-continue\r\nContent-Length: 6\r\n";
    let mut wrong = Vec::new();
    for (number, (of, method, answer, status, lacks)) in RESPONSES.iter().enumerate() {
        let (method, more) = if *method == "EXPECT" { ("POST", waits) } else { (*method, "") };
        for _ in 0..3 {
            let mut connection = Connection::to(&server).await;
            connection.write(format!("{method} /{number} HTTP/1.1\r\n{more}{member}\r\n").as_bytes()).await.unwrap();
            let received = connection.until("\r\n\r\n").await.unwrap_or_default().to_lowercase();
            if !received.starts_with(&format!("http/1.1 {status} ")) || received.contains(lacks) {
                wrong.push(format!("{of}: {answer:?}: {received}"));
            }
            // The bytes after this response are not the response to another request.
            let other = answers(&server, &format!("GET /other HTTP/1.1\r\n{member}\r\n")).await;
            if !other.contains("\r\n\r\notherHTTP/1.1 401 ") || statuses(&other) != [200, 401] {
                wrong.push(format!("{of}: {answer:?}: then {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

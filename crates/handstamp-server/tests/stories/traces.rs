//! Traces: what a collector of OpenTelemetry gets of requests, statements, hashes and mails, and what it never gets.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use handstamp_testing::{
    ADAS_PASSWORD, EchoApp, TestServer, Visitor, WebhookReceiver, free_address, make_certificate, make_certificate_of,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use reqwest::Method;
use tokio::task::JoinHandle;

use super::in_front_of_an_app::in_front_of;
use super::startup_and_shutdown::refusal;

const URL: &str = "HANDSTAMP_TELEMETRY__OTLP";
/// How long spans are awaited.
const PATIENCE: Duration = Duration::from_secs(20);
/// The trace that a client names.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// How a collector answers an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Take,
    Refuse,
    Hang,
}

/// A collector of traces. It is stopped when it is dropped.
struct Collector {
    address: String,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

struct Kept {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<(String, HeaderMap, Vec<u8>)>>,
}

/// A span as the collector got it.
#[derive(Clone, Debug)]
struct Seen {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// 1 internal, 2 server, 3 client.
    kind: i32,
    /// 2 for an error.
    status: i32,
    attributes: BTreeMap<String, String>,
    began: u64,
    ended: u64,
}

impl Seen {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    async fn start(behaviour: Behaviour) -> Self {
        Self::start_at(&free_address(), behaviour).await
    }

    async fn start_at(address: &str, behaviour: Behaviour) -> Self {
        let kept = Arc::new(Kept { behaviour: Mutex::new(behaviour), requests: Mutex::default() });
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&kept));
        let task = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address: address.to_owned(), kept, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<(String, HeaderMap, Vec<u8>)> {
        self.kept.requests.lock().unwrap().clone()
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        let requests = self.requests();
        requests.iter().map(|(_, _, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Seen> {
        let exports = self.exports();
        let scopes =
            exports.iter().flat_map(|export| &export.resource_spans).flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(seen).collect()
    }

    /// The spans once there are this many of this name.
    async fn wait_for(&self, name: &str, count: usize) -> Vec<Seen> {
        let begun = Instant::now();
        loop {
            let spans = self.spans();
            if spans.iter().filter(|span| span.name == name).count() >= count {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(begun.elapsed() < PATIENCE, "no {name} among {names:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last span of this name, and its whole trace.
    async fn trace_of(&self, name: &str) -> (Seen, Vec<Seen>) {
        self.wait_for(name, 1).await;
        // The spans within it have ended before, but may be in the next export.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let spans = self.spans();
        let span = spans.iter().rfind(|span| span.name == name).unwrap().clone();
        let trace = spans.into_iter().filter(|other| other.trace == span.trace).collect();
        (span, trace)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(kept): State<Arc<Kept>>, request: Request<Body>) -> StatusCode {
    let behaviour = *kept.behaviour.lock().unwrap();
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    match behaviour {
        Behaviour::Take => {
            kept.requests.lock().unwrap().push((head.uri.path().to_owned(), head.headers, body.to_vec()))
        }
        Behaviour::Refuse => return StatusCode::BAD_REQUEST,
        Behaviour::Hang => tokio::time::sleep(Duration::from_secs(600)).await,
    }
    StatusCode::OK
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn seen(span: &opentelemetry_proto::tonic::trace::v1::Span) -> Seen {
    Seen {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind,
        status: span.status.as_ref().map_or(0, |status| status.code),
        attributes: attributes(&span.attributes),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
    }
}

/// Has a server send its traces to this URL.
fn send_to(server: &mut TestServer, url: &str) {
    server.set("OTEL_BSP_SCHEDULE_DELAY", "100");
    server.restart_with(URL, url);
}

async fn fetches(visitor: &Visitor, path: &str, headers: &[(&str, &str)]) -> handstamp_testing::Page {
    let request =
        headers.iter().fold(visitor.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    visitor.send(request).await
}

/// The mail with this subject, once it is in the outbox.
async fn mail(server: &TestServer, subject: &str) -> String {
    let begun = Instant::now();
    loop {
        let files = fs::read_dir(server.folder().join("data/outbox")).into_iter().flatten();
        let mails = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        if let Some(mail) = mails.into_iter().find(|mail| mail.contains(subject)) {
            return mail;
        }
        assert!(begun.elapsed() < PATIENCE, "there is no mail {subject}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

handstamp_testing::stories! {
    async fn a_sign_in_is_one_trace_with_its_statements_and_its_hash(server: TestServer) {
        let (mut server, collector) = (server, Collector::start(Behaviour::Take).await);
        send_to(&mut server, &collector.url());
        let ada = server.ada().await;
        ada.signs_out().await;
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let (root, trace) = collector.trace_of("POST /account/login").await;
        assert_eq!((root.kind, root.status, root.parent.as_str()), (2, 0, ""), "{root:?}");
        let shown = ["http.request.method", "http.route", "http.response.status_code", "url.scheme", "server.address"];
        assert_eq!(shown.map(|name| root.attribute(name)), ["POST", "/account/login", "303", "http", "localhost"]);
        assert_eq!(root.attributes.len(), shown.len(), "{root:?}");
        for span in trace.iter().filter(|span| span.id != root.id) {
            assert_eq!(span.parent, root.id, "{span:?}");
            assert!(root.began <= span.began && span.began <= span.ended && span.ended <= root.ended, "{span:?} {root:?}");
        }
        let count = |name: &str| trace.iter().filter(|span| span.name == name).count();
        assert_eq!([count("password hash queue"), count("password hash")], [1, 1], "{trace:?}");
        let system = if server.database_url().starts_with("postgres:") { "postgresql" } else { "sqlite" };
        let insert = trace.iter().find(|span| span.name.starts_with("INSERT sessions")).expect("a session begins");
        assert_eq!((insert.kind, insert.attribute("db.system.name"), insert.attribute("db.operation.name")), (3, system, "INSERT"));
        assert_eq!(insert.attribute("db.query.summary"), insert.name);
        assert!(insert.attribute("db.query.text").contains("$1"), "{insert:?}");
        assert!(count("COMMIT") >= 1 && count("BEGIN") == count("COMMIT") + count("ROLLBACK"), "{trace:?}");
    }

    async fn a_page_of_a_live_session_is_a_span_without_a_statement(server: TestServer) {
        let (mut server, collector) = (server, Collector::start(Behaviour::Take).await);
        send_to(&mut server, &collector.url());
        let ada = server.ada().await;
        // The first look-up of a session reads its row.
        ada.opens("/account").await;
        ada.opens("/account").await;
        ada.opens("/healthz").await;
        ada.opens("/readyz").await;
        assert_eq!(ada.bare_request(Method::GET, "/auth/request").send().await.unwrap().status(), 200);
        let (span, trace) = collector.trace_of("GET /auth/request").await;
        assert_eq!((span.kind, span.attribute("http.response.status_code"), trace.len()), (2, "200", 1), "{trace:?}");
        let (span, trace) = collector.trace_of("GET /account").await;
        assert_eq!((span.kind, trace.len()), (2, 1), "{trace:?}");
        let spans = collector.spans();
        assert!(!spans.iter().any(|span| span.name.contains("healthz") || span.name.contains("readyz")), "{spans:?}");
        // The reads of a node for its lease belong to no trace.
        let roots = spans.iter().filter(|span| span.parent.is_empty());
        assert!(roots.clone().all(|span| span.kind == 2 || span.name.starts_with("job ") || span.name.starts_with("deliver ")), "{:?}", roots.collect::<Vec<_>>());
    }

    async fn no_secret_and_no_user_is_in_a_trace(server: TestServer) {
        let (mut server, collector) = (server, Collector::start(Behaviour::Take).await);
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
        send_to(&mut server, &collector.url());
        let ada = server.ada().await;
        assert_eq!(ada.submits("/account/login?next=/account%3Fpassword=in-a-query", &[("email", "ada@example.com"), ("password", "not-adas-password")]).await.status, 422);
        ada.submits("/account/forgot", &[("email", "ada@example.com")]).await;
        let mail = mail(&server, "/account/link/").await;
        let link = mail.replace("=\r\n", "").split("/account/link/").nth(1).unwrap().chars().take_while(|letter| !letter.is_whitespace() && *letter != '"').collect::<String>();
        assert!(link.len() > 20, "{mail}");
        ada.opens(&format!("/account/link/{link}")).await;
        fetches(&ada, "/nowhere/pretty-secret-path?q=in-a-query", &[("user-agent", "agent-of-ada"), ("x-forwarded-for", "203.0.113.77")]).await;
        ada.bare_request(Method::from_bytes(b"MADE-UP").unwrap(), "/account").send().await.unwrap();
        let (span, _) = collector.trace_of("GET /account/link/{token}").await;
        assert_eq!(span.attribute("http.route"), "/account/link/{token}");
        collector.wait_for("HTTP", 1).await;
        let user = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        let session = server.cli_json(&["session", "list", "--user", "ada@example.com"])[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(ada.signs_out().await.status, 303);
        collector.trace_of("POST /account/logout").await;
        let secrets = [
            ADAS_PASSWORD, "not-adas-password", "ada@example.com", "Ada", &link, &link[..20], &user, &user.replace('-', ""), &session,
            &ada.device(), "in-a-query", "pretty-secret-path", "agent-of-ada", "203.0.113.77", "127.0.0.1", "Firefox", "MADE-UP",
        ];
        let requests = collector.requests();
        assert!(requests.iter().any(|(_, _, body)| contains(body, "POST /account/login")), "the search finds texts");
        for secret in secrets {
            let found = requests.iter().any(|(_, _, body)| contains(body, secret));
            assert!(!found, "{secret} is in a trace: {:?}", collector.spans());
        }
        assert_eq!(server.events("telemetry_unavailable"), [] as [serde_json::Value; 0]);
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_trace_of_a_client_goes_on_only_behind_a_trusted_proxy() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Take).await);
    send_to(&mut server, &collector.url());
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "theirs=1")];
    fetches(&server.visitor(), "/account/login", &headers).await;
    let (span, _) = collector.trace_of("GET /account/login").await;
    assert!(span.trace != TRACE && span.parent.is_empty(), "a stranger's trace does not go on: {span:?}");

    server.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    fetches(&server.visitor(), "/account/register", &headers).await;
    let (span, _) = collector.trace_of("GET /account/register").await;
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, "b7ad6b7169203331"));
    // A proxy that does not sample a trace decides for all.
    let not_sampled = TRACEPARENT.replace("-01", "-00");
    fetches(&server.visitor(), "/account/forgot", &[("traceparent", &not_sampled)]).await;
    fetches(&server.visitor(), "/account/logout", &[("traceparent", "garbage")]).await;
    let (span, _) = collector.trace_of("GET /account/logout").await;
    assert!(span.parent.is_empty(), "{span:?}");
    assert!(!collector.spans().iter().any(|span| span.name == "GET /account/forgot"));
}

#[tokio::test]
async fn an_app_gets_the_trace_of_its_request() {
    let app = EchoApp::start().await;
    let (mut server, collector) =
        (in_front_of(TestServer::on_sqlite(), &app.url), Collector::start(Behaviour::Take).await);
    let ada = server.ada().await;
    let shown = |body: &str, name: &str| {
        let page: serde_json::Value = serde_json::from_str(body).unwrap();
        let headers = page["headers"].as_array().unwrap().iter().filter(|header| header[0] == name);
        headers.map(|header| header[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let theirs = [("traceparent", TRACEPARENT), ("tracestate", "theirs=1")];
    let page = fetches(&ada, "/notes/42", &theirs).await;
    assert_eq!(
        ["traceparent", "tracestate"].map(|name| shown(&page.body, name)),
        [[TRACEPARENT], ["theirs=1"]],
        "without traces headers stay"
    );

    send_to(&mut server, &collector.url());
    let ada = ada.at(&server.url);
    let page = fetches(&ada, "/notes/42", &theirs).await;
    let (passed, trace) = {
        collector.wait_for("GET", 2).await;
        let spans = collector.spans();
        let passed = spans.iter().find(|span| span.kind == 3 && span.name == "GET").unwrap().clone();
        let trace: Vec<_> = spans.into_iter().filter(|span| span.trace == passed.trace).collect();
        (passed, trace)
    };
    assert_eq!(shown(&page.body, "traceparent"), [format!("00-{}-{}-01", passed.trace, passed.id)]);
    assert_eq!(shown(&page.body, "tracestate"), [] as [&str; 0]);
    assert_eq!(format!("http://{}:{}", passed.attribute("server.address"), passed.attribute("server.port")), app.url);
    assert_eq!((passed.attribute("http.response.status_code"), passed.status), ("200", 0));
    let server_span =
        trace.iter().find(|span| span.id == passed.parent).expect("it is within the request of the client");
    assert!(
        server_span.kind == 2 && server_span.parent.is_empty() && !server_span.attributes.contains_key("http.route"),
        "{server_span:?}"
    );
    assert!(!collector.requests().iter().any(|(_, _, body)| contains(body, "notes")));
    drop(app);
    assert_eq!(fetches(&ada, "/notes/42", &[]).await.status, 502);
    let spans = collector.wait_for("GET", 4).await;
    let failed = spans.iter().rfind(|span| span.kind == 3).unwrap();
    assert_eq!((failed.status, failed.attribute("error.type")), (2, "unavailable"), "{failed:?}");
    let failed = spans.iter().rfind(|span| span.kind == 2).unwrap();
    assert_eq!((failed.status, failed.attribute("error.type")), (2, "502"), "{failed:?}");
}

#[tokio::test]
async fn a_mail_and_a_webhook_are_traces_of_their_delivery() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Take).await);
    let mut receiver = WebhookReceiver::start("accept", &[]);
    server.set("HANDSTAMP_WEBHOOKS__SECRET", WebhookReceiver::SECRET);
    server.set("HANDSTAMP_WEBHOOKS__URL", &receiver.url());
    send_to(&mut server, &collector.url());
    let ada = server.ada().await;
    receiver.wait_for(1);
    ada.submits("/account/forgot", &[("email", "ada@example.com")]).await;
    let (span, trace) = collector.trace_of("deliver mail").await;
    let shown =
        ["channel", "attempt", "message", "outcome"].map(|name| span.attribute(&format!("handstamp.delivery.{name}")));
    assert_eq!((shown, span.status), (["mail", "1", "reset_password", "sent"], 0), "{span:?}");
    assert!(trace.len() > 1 && trace.iter().any(|span| span.name == "DELETE outbox"), "{trace:?}");
    let (span, _) = collector.trace_of("deliver webhook").await;
    assert_eq!(
        (span.attribute("handstamp.delivery.message"), span.attribute("handstamp.delivery.outcome")),
        ("user_created", "sent")
    );
    let traceparent = receiver.received()[0]["headers"]["traceparent"].as_str().unwrap_or_default().to_owned();
    assert_eq!(traceparent, format!("00-{}-{}-01", span.trace, span.id));
    receiver.stop();
    ada.submits("/account/profile", &[("name", "Ada King")]).await;
    collector.wait_for("deliver webhook", 2).await;
    let (span, _) = collector.trace_of("deliver webhook").await;
    assert_eq!((span.attribute("handstamp.delivery.outcome"), span.status), ("deferred", 2), "{span:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_changes_no_answer_and_is_told_once() {
    let mut server = TestServer::on_sqlite();
    let address = free_address();
    server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    send_to(&mut server, &format!("http://{address}"));
    let ada = server.ada().await;
    let warned = server.wait_for_event("telemetry_unavailable").await;
    assert!(warned["error"].as_str().unwrap().contains("refused"), "{warned}");
    let failed = "handstamp_trace_spans_total{outcome=\"failed\"}";
    let before = server.metric(failed).await;
    assert!(before > 0.0, "{before}");
    for _ in 0..3 {
        assert!(ada.is_signed_in().await);
        let begun = Instant::now();
        while server.metric(failed).await == before {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let collector = Collector::start_at(&address, Behaviour::Take).await;
    ada.opens("/account").await;
    server.wait_for_event("telemetry_available").await;
    collector.wait_for("GET /account", 1).await;
    assert_eq!(server.events("telemetry_unavailable").len(), 1, "one line for the whole outage");
    *collector.kept.behaviour.lock().unwrap() = Behaviour::Refuse;
    ada.opens("/account").await;
    let begun = Instant::now();
    while server.events("telemetry_unavailable").len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.events("telemetry_unavailable")[1]["error"], "the collector answered 400");
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_no_time() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Hang).await);
    server.set("HANDSTAMP_METRICS__LISTEN", "127.0.0.1:0");
    send_to(&mut server, &collector.url());
    let ada = server.ada().await;
    let begun = Instant::now();
    // More than wait and are being sent.
    for _ in 0..4000 {
        assert_eq!(ada.send(ada.bare_request(Method::GET, "/auth/request")).await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let lost = server.metric("handstamp_trace_spans_total{outcome=\"queue_full\"}").await;
    assert!(lost > 0.0, "{lost}");
    let begun = Instant::now();
    assert!(server.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(server.events("telemetry_not_flushed").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_spans_are_sent_at_a_stop() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Take).await);
    server.set("OTEL_BSP_SCHEDULE_DELAY", "600000");
    server.restart_with(URL, &collector.url());
    server.visitor().opens("/account/login").await;
    assert!(collector.spans().is_empty());
    assert!(tokio::task::block_in_place(|| server.stop()).success());
    assert_eq!(server.events("telemetry_not_flushed").len(), 0);
    assert!(collector.spans().iter().any(|span| span.name == "GET /account/login"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variables_of_opentelemetry_are_respected() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Take).await);
    let resource = |export: &ExportTraceServiceRequest| {
        attributes(&export.resource_spans[0].resource.as_ref().unwrap().attributes)
    };
    send_to(&mut server, &collector.url());
    server.visitor().opens("/account/login").await;
    collector.wait_for("GET /account/login", 1).await;
    let (path, headers, _) = collector.requests().remove(0);
    assert_eq!((path.as_str(), &headers["content-type"]), ("/v1/traces", &"application/x-protobuf".parse().unwrap()));
    let named = resource(&collector.exports()[0]);
    let started = server.wait_for_event("telemetry_started").await;
    assert_eq!(
        (named["service.name"].as_str(), named["service.version"].as_str()),
        ("handstamp", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(named["service.instance.id"], started["instance"].as_str().unwrap());

    server.set("OTEL_SERVICE_NAME", "accounts");
    server.set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,service.instance.id=node-7");
    server.set("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=k3y");
    send_to(&mut server, &format!("{}/own/path", collector.url()));
    server.visitor().opens("/account/register").await;
    collector.wait_for("GET /account/register", 1).await;
    let (path, headers, _) = collector.requests().pop().unwrap();
    assert_eq!((path.as_str(), &headers["x-api-key"]), ("/own/path", &"k3y".parse().unwrap()));
    let named = resource(collector.exports().last().unwrap());
    let shown = ["service.name", "service.instance.id", "deployment.environment.name"].map(|name| named[name].as_str());
    assert_eq!(shown, ["accounts", "node-7", "staging"]);
    assert!(!server.log().contains("k3y"));

    server.restart_with("OTEL_TRACES_SAMPLER", "always_off");
    let count = collector.spans().len();
    server.visitor().opens("/account/login").await;
    assert!(tokio::task::block_in_place(|| server.stop()).success());
    assert_eq!(collector.spans().len(), count);
}

#[tokio::test]
async fn lines_of_the_log_name_the_trace_of_their_request() {
    let (mut server, collector) = (TestServer::on_sqlite(), Collector::start(Behaviour::Take).await);
    let ada = server.ada().await;
    let line = server.wait_for_event("user_created").await;
    assert!(line["spans"][0]["trace_id"].is_null() && line["spans"][0]["id"].is_string(), "{line}");
    send_to(&mut server, &collector.url());
    ada.at(&server.url).signs_out().await;
    let (span, _) = collector.trace_of("POST /account/logout").await;
    let line = server.wait_for_event("session_ended").await;
    assert_eq!(line["spans"].as_array().unwrap().len(), 1, "spans of traces are not in the log: {line}");
    assert_eq!(line["spans"][0]["trace_id"], span.trace.as_str(), "{line}");
}

#[tokio::test]
async fn traces_go_to_a_collector_by_tls() {
    let collector = Collector::start(Behaviour::Take).await;
    // Another Handstamp stands in front of the collector and has the certificate.
    let mut front = TestServer::on_sqlite();
    front.set("HANDSTAMP_APP__URL", &collector.url());
    front.set("HANDSTAMP_APP__ACCESS", "everybody");
    front.set("HANDSTAMP_APP__CSRF", "false");
    make_certificate(front.folder(), "ca", "localhost", 0);
    make_certificate_of(front.folder(), "ca", "cert", "localhost");
    front.set("HANDSTAMP_PUBLIC_URL", "https://localhost");
    front.set("HANDSTAMP_TLS__CERT_FILE", "cert.pem");
    front.restart_with("HANDSTAMP_TLS__KEY_FILE", "cert.key");
    let mut server = TestServer::on_sqlite();
    let url = format!("https://localhost:{}", super::tls::port(&front));
    send_to(&mut server, &url);
    server.visitor().opens("/account/login").await;
    let warned = server.wait_for_event("telemetry_unavailable").await;
    assert!(warned["error"].as_str().unwrap().contains("certificate"), "an unknown authority is refused: {warned}");
    server.restart_with("SSL_CERT_FILE", front.folder().join("ca.pem").to_str().unwrap());
    server.visitor().opens("/account/login").await;
    collector.wait_for("GET /account/login", 1).await;
}

#[tokio::test]
async fn a_url_that_no_collector_has_is_refused_at_the_start_and_by_config_check() {
    let mut server = TestServer::on_sqlite();
    assert!(server.stop().success());
    let url = "http://key:s3cret@127.0.0.1:4318";
    let error = refusal(&server, URL, url);
    assert!(error.contains("telemetry.otlp") && error.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{error}");
    server.set(URL, url);
    let (status, _, error) = server.run_cli(&["config", "check"], "");
    assert!(status == 2 && error.contains("telemetry.otlp"), "{error}");
    server.set(URL, "http://127.0.0.1:4318");
    assert_eq!(server.run_cli(&["config", "check"], "").1.trim(), "the settings are valid");
    server.set(URL, "http://192.0.2.1:4318");
    let (status, output, _) = server.run_cli(&["config", "check"], "");
    assert!(status == 0 && output.contains("warning: telemetry.otlp is plain http"), "{output}");
}

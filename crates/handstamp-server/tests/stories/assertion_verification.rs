//! Example apps in Flask and Node.js that verify assertions.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, Proxy, ProxyChain, TestServer, Visitor, free_address};

/// A running example app, which is killed when dropped.
struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn flask() -> Command {
    let mut command = Command::new(repository().join("target/tools/bin/python"));
    command.arg("app.py").current_dir(repository().join("examples/flask"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg("app.js").current_dir(repository().join("examples/node"));
    command
}

/// Starts an example app with these settings. Returns its address, and the file with its log.
fn starts(mut command: Command, server: &TestServer, settings: &[(&str, &str)]) -> (App, String, PathBuf) {
    let (address, log) = (free_address(), server.folder().join(format!("app-log-{}", settings.len())));
    command.env("HANDSTAMP_URL", &server.url).env("LISTEN", &address).envs(settings.iter().copied());
    command.stdin(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    (App(command.spawn().expect("script/test installs what the examples need")), address, log)
}

/// The status of the app at this address for a request with this assertion that bypasses the proxy.
async fn status(app: &str, assertion: Option<&str>) -> u16 {
    let around = Visitor::new(&format!("http://{app}"));
    let mut request = around.bare_request(reqwest::Method::GET, "/").header("remote-user", "ada");
    if let Some(assertion) = assertion {
        request = request.header("handstamp-assertion", assertion);
    }
    around.send(request).await.status
}

/// The assertion of a visitor for the app at this host.
async fn assertion_for(visitor: &Visitor, host: &str) -> String {
    let question = visitor.bare_request(reqwest::Method::GET, "/auth/forward");
    let question = question.header("x-forwarded-proto", "http").header("x-forwarded-host", host);
    visitor.send(question).await.header("handstamp-assertion").to_owned()
}

/// The app greets a user who signs in through a proxy, and refuses forged assertions and those for other apps.
async fn greets_only_whom_handstamp_vouches_for(command: Command) {
    let mut server = TestServer::on_sqlite();
    server.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    let listen = free_address();
    let app_url = format!("http://{listen}");
    let settings = [("APP_URL", app_url.as_str()), ("HANDSTAMP_PUBLIC_URL", "http://localhost")];
    let (_app, app, log) = starts(command, &server, &settings);
    let chain = ProxyChain::in_front_of(&server, Proxy::Nginx, &listen, &app, &[]).await;

    let ada = Visitor::new(&chain.url);
    let fields = [("name", "Zoë <b>"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/")];
    assert_eq!(ada.submits("/account/register", &fields).await.location(), "/");
    let greeting = greeted(&ada).await;
    assert!(greeting.contains("Hello, Zoë &") && !greeting.contains("ada@example.com"), "{greeting}");
    server.run_cli(&["user", "verify", "ada@example.com"], "");
    let greeting = greeted(&ada).await;
    assert!(greeting.contains("(ada@example.com)"), "{greeting}");

    let asked = ada.at(&server.url);
    let good = assertion_for(&asked, &listen).await;
    assert_eq!(status(&app, Some(&good)).await, 200);
    let forged = good.replace(good.split('.').nth(1).unwrap(), "eyJzdWIiOiJldmUifQ");
    let elsewhere = assertion_for(&asked, "elsewhere.example").await;
    for bad in [None, Some(""), Some("a.b.c"), Some(forged.as_str()), Some(elsewhere.as_str())] {
        assert_eq!(status(&app, bad).await, 401, "{bad:?}");
    }
    assert_eq!(status(&app, Some(&assertion_for(&asked, "elsewhere.localhost").await)).await, 500);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("http://elsewhere.localhost") && log.contains(&app_url), "both values: {log}");
    let page = format!("{}/", chain.url);
    let (healthy, output, _) = server.run_cli(&["doctor", &page, "--app", &chain.app_url], "");
    assert_eq!(healthy, 0, "{output}");
}

/// An app for a group checks it without relying on its proxy, and an app that cannot fetch the keys reports that.
async fn checks_what_it_needs_itself(command: fn() -> Command) {
    let server = TestServer::on_sqlite();
    let ada = server.ada().await;
    let host = server.url.strip_prefix("http://").unwrap();
    let here = [("HANDSTAMP_PUBLIC_URL", "http://localhost"), ("APP_URL", server.url.as_str())];
    let (_app, app, _) = starts(command(), &server, &[here.as_slice(), &[("GROUP", "staff")]].concat());
    is_up(&app).await;
    assert_eq!(status(&app, Some(&assertion_for(&ada, host).await)).await, 403);
    server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
    let staff = assertion_for(&ada, host).await;
    assert_eq!(status(&app, Some(&staff)).await, 200);

    let nowhere = [("HANDSTAMP_URL", "http://127.0.0.1:1")];
    let (_app, app, log) = starts(command(), &server, &[here.as_slice(), &nowhere, &[("NOWHERE", "")]].concat());
    is_up(&app).await;
    assert_eq!(status(&app, Some(&staff)).await, 503);
    assert_eq!(status(&app, Some("a.b.c")).await, 401);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("http://127.0.0.1:1"), "{log}");
}

async fn is_up(app: &str) {
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(app).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the app does not start")
}

async fn greeted(ada: &Visitor) -> String {
    for _ in 0..400 {
        let page = ada.opens("/").await;
        if page.status == 200 {
            return page.body;
        }
        // The app is still starting.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the app does not greet the user")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flask_example_accepts_valid_assertions_only() {
    greets_only_whom_handstamp_vouches_for(flask()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_example_accepts_valid_assertions_only() {
    greets_only_whom_handstamp_vouches_for(node()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flask_example_checks_groups_and_reports_unreachable_keys() {
    checks_what_it_needs_itself(flask).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_example_checks_groups_and_reports_unreachable_keys() {
    checks_what_it_needs_itself(node).await;
}

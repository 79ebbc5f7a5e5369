use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::chain::{Chain, Proxy, free_address};
use crate::house::{ADAS_PASSWORD, House};
use crate::visitor::Visitor;

/// One of the example apps, which goes when it is dropped.
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

/// Somebody signs in through a proxy, and the app greets them; what it was told is worth nothing elsewhere, or later.
async fn greets_only_whom_handstamp_vouches_for(mut command: Command) {
    let mut house = House::on_sqlite();
    house.restart_with("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
    let (listen, app) = (free_address(), free_address());
    command.env("APP_URL", format!("http://{listen}")).env("HANDSTAMP_URL", &house.url);
    command.env("HANDSTAMP_PUBLIC_URL", &house.url).env("LISTEN", &app).stdin(Stdio::null());
    let _app = App(command.spawn().expect("script/test installs what the examples need"));
    let chain = Chain::to(&house, Proxy::Nginx, &listen, &app, &[]).await;

    let ada = Visitor::new(&chain.url);
    let fields = [("name", "Zoë <b>"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/")];
    assert_eq!(ada.submits("/account/register", &fields).await.location(), "/");
    let greeting = greeted(&ada).await;
    assert!(greeting.contains("Hello, Zoë &") && greeting.contains("ada@example.com"), "{greeting}");

    let around = Visitor::new(&format!("http://{app}"));
    let status = async |assertion: Option<&str>| {
        let mut request = around.bare_request(reqwest::Method::GET, "/").header("remote-user", "ada");
        if let Some(assertion) = assertion {
            request = request.header("handstamp-assertion", assertion);
        }
        around.send(request).await.status
    };
    let assertion_for = async |host: &str| {
        let question = ada.at(&house.url).bare_request(reqwest::Method::GET, "/auth/forward");
        let question = question.header("x-forwarded-proto", "http").header("x-forwarded-host", host);
        ada.send(question).await.header("handstamp-assertion").to_owned()
    };
    let good = assertion_for(&listen).await;
    assert_eq!(status(Some(&good)).await, 200);
    let forged = good.replace(good.split('.').nth(1).unwrap(), "eyJzdWIiOiJldmUifQ");
    for bad in [None, Some(""), Some("a.b.c"), Some(forged.as_str()), Some(&assertion_for("elsewhere.example").await)] {
        assert_eq!(status(bad).await, 401, "{bad:?}");
    }
    let page = format!("{}/", chain.url);
    let (healthy, output, _) = house.types(&["doctor", &page, "--app", &chain.app_url], "");
    assert_eq!(healthy, 0, "{output}");
}

async fn greeted(ada: &Visitor) -> String {
    for _ in 0..400 {
        let page = ada.opens("/").await;
        if page.status == 200 {
            return page.body;
        }
        // It is about to start.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the app greets nobody")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_flask_greets_only_whom_handstamp_vouches_for() {
    greets_only_whom_handstamp_vouches_for(flask()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_node_greets_only_whom_handstamp_vouches_for() {
    greets_only_whom_handstamp_vouches_for(node()).await;
}

//! Webhooks: acts on any node and of the command line reach an application, which verifies them.

use std::process::{Command, Stdio};
use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, Program, TempFolder, TestServer, WebhookReceiver, free_address};

use crate::startup_and_shutdown::refusal;

/// Has a server send webhooks to this application.
fn send_to(server: &mut TestServer, receiver: &WebhookReceiver) {
    server.set("HANDSTAMP_WEBHOOKS__SECRET", WebhookReceiver::SECRET);
    server.restart_with("HANDSTAMP_WEBHOOKS__URL", &receiver.url());
}

/// The types of the webhooks that were received, in order of their events.
fn types(receiver: &WebhookReceiver) -> Vec<String> {
    let mut received = receiver.received();
    received.sort_by_key(|webhook| webhook["headers"]["webhook-id"].as_str().unwrap().to_owned());
    received.iter().map(|webhook| webhook["body"]["type"].as_str().unwrap().to_owned()).collect()
}

handstamp_testing::stories! {
    async fn acts_of_pages_and_commands_reach_the_application_once_from_two_nodes(server: TestServer) {
        let receiver = WebhookReceiver::start("accept", &[]);
        let mut server = server;
        send_to(&mut server, &receiver);
        let other = server.start_node();
        let ada = server.ada().await;
        receiver.wait_for(1);
        let renamed = ada.at(&other.url).submits("/account/profile", &[("name", "Ada King")]).await;
        assert_eq!(renamed.status, 303, "{}", renamed.body);
        receiver.wait_for(2);
        assert_eq!(server.run_cli(&["user", "disable", "ada@example.com"], "").0, 0);
        receiver.wait_for(3);
        assert_eq!(server.run_cli(&["user", "delete", "ada@example.com"], "").0, 0);
        receiver.wait_for(4);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(types(&receiver), ["user_created", "user_updated", "user_disabled", "user_deleted"]);
        let received = receiver.received();
        assert!(received.iter().all(|webhook| webhook["verified"] == true), "{received:?}");
        let user = &received[0]["body"]["data"]["user"];
        assert!(user.is_string() && received.iter().all(|webhook| webhook["body"]["data"]["user"] == *user));
        let sent = server.events("webhook_sent").len() + other.events("webhook_sent").len();
        assert_eq!(sent, 4);
    }

    async fn an_application_that_is_away_changes_no_answer(server: TestServer) {
        let mut receiver = WebhookReceiver::start("hang", &[]);
        let mut server = server;
        send_to(&mut server, &receiver);
        let ada = server.ada().await;
        receiver.wait_for(1);
        receiver.stop();
        assert_eq!(ada.submits("/account/profile", &[("name", "Ada King")]).await.status, 303);
        for _ in 0..500 {
            if server.events("webhook_deferred").len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let deferred = server.events("webhook_deferred");
        assert_eq!(deferred.len(), 2, "{}", server.log());
        assert!(deferred.iter().all(|event| event["seconds"].as_u64() >= Some(30)), "{deferred:?}");
        assert!(!server.log().contains(&receiver.url()), "the URL may hold a secret");
        assert!(ada.is_signed_in().await);
    }
}

#[tokio::test]
async fn webhooks_are_sent_over_tls_to_an_application_with_a_trusted_certificate_only() {
    let receiver = WebhookReceiver::start("accept", &["--tls"]);
    for is_trusted in [false, true] {
        let mut server = TestServer::on_sqlite();
        if is_trusted {
            server.set("SSL_CERT_FILE", receiver.ca_file().to_str().unwrap());
        }
        send_to(&mut server, &receiver);
        server.ada().await;
        for _ in 0..500 {
            if !(server.events("webhook_deferred").is_empty() && server.events("webhook_sent").is_empty()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(receiver.received().len(), usize::from(is_trusted), "{}", server.log());
    }
}

#[tokio::test]
async fn the_app_of_the_guide_takes_webhooks_and_refuses_forged_ones() {
    let guide = include_str!("../../../../docs/src/guide/webhooks.md");
    let app = guide.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let (folder, address) = (TempFolder::new(), free_address());
    std::fs::write(folder.path().join("app.py"), app).unwrap();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/python");
    let port = address.rsplit_once(':').unwrap().1;
    let mut command = Command::new(python);
    command.args(["-u", "-m", "flask", "run", "--port", port]).current_dir(folder.path());
    let _app = Program::start(command.stderr(Stdio::null()), "Debug mode");
    let url = format!("http://{address}/webhooks/handstamp");
    let forged = reqwest::Client::new().post(&url).header("webhook-id", "1").body("{}");
    let mut answer = None;
    for _ in 0..500 {
        answer = forged.try_clone().unwrap().send().await.ok();
        if answer.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(answer.unwrap().status().as_u16(), 400);
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_WEBHOOKS__SECRET", WebhookReceiver::SECRET);
    server.restart_with("HANDSTAMP_WEBHOOKS__URL", &url);
    server.ada().await;
    for _ in 0..500 {
        if !server.events("webhook_sent").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.events("webhook_sent").len(), 1, "{}", server.log());
}

#[tokio::test]
async fn the_events_that_are_sent_can_be_chosen() {
    let receiver = WebhookReceiver::start("accept", &[]);
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_WEBHOOKS__EVENTS", "authn_login_success, session_ended");
    send_to(&mut server, &receiver);
    let ada = server.ada().await;
    ada.submits("/account/logout", &[]).await;
    assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    receiver.wait_for(2);
    assert_eq!(types(&receiver), ["session_ended", "authn_login_success"]);
}

#[tokio::test]
async fn unusable_webhook_settings_prevent_the_start() {
    let mut server = TestServer::on_sqlite();
    server.stop();
    for (name, value, says) in [
        ("HANDSTAMP_WEBHOOKS__URL", "http://app.example.com/hunter2", "must be https"),
        ("HANDSTAMP_WEBHOOKS__URL", "https://user:hunter2@app.example.com/", "must have no credentials"),
        ("HANDSTAMP_WEBHOOKS__URL", "https://app.example.com/hunter2", "webhooks.secret: must be set"),
        ("HANDSTAMP_WEBHOOKS__SECRET", "whsec_hunter2", "must be whsec_ followed by"),
        ("HANDSTAMP_WEBHOOKS__EVENTS", "user_created,user_eaten", "webhooks.events \"user_eaten\""),
    ] {
        let refusal = refusal(&server, name, value);
        assert!(refusal.contains(says), "{name}={value}: {refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}

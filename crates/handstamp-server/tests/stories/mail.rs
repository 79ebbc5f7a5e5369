//! Mail: its settings, `handstamp mail test` with real mail servers, and a mail server that is away.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, MailServer, Postfix, TestServer};

use crate::startup_and_shutdown::refusal;

const FROM: (&str, &str) = ("HANDSTAMP_MAIL__FROM", "Example <accounts@example.com>");

/// A server that sends by this URL.
fn server(url: &str) -> TestServer {
    let mut server = TestServer::on_sqlite();
    server.set(FROM.0, FROM.1);
    server.set("HANDSTAMP_MAIL__URL", url);
    server
}

/// Runs `handstamp mail test`. Returns the exit status and what it prints on both outputs.
fn mail_test(server: &TestServer, address: &str) -> (i32, String, String) {
    server.run_cli(&["mail", "test", address], "")
}

#[tokio::test]
async fn a_test_mail_shows_the_words_of_the_server() {
    let mail_server = MailServer::start("accept");
    let server = server(&mail_server.url());
    let address = mail_server.url().replace("smtp://", "");
    let (status, output, error) = mail_test(&server, "ada@example.com");
    assert_eq!(
        (status, output.trim(), error.as_str()),
        (0, &*format!("{address} took the mail: 250 2.0.0 kept as 0"), "")
    );
    let mail = &mail_server.wait_for_mails(1)[0];
    assert_eq!((mail.sender.as_str(), mail.recipient.as_str()), ("accounts@example.com", "ada@example.com"));
    assert_eq!(mail.header("From"), "Example <accounts@example.com>");
    assert_eq!(mail.header("Subject"), "A test mail from Handstamp");
    let json = server.cli_json(&["mail", "test", "ada@example.com"]);
    assert_eq!(json, serde_json::json!({ "sent": true, "server": address, "reply": "250 2.0.0 kept as 1" }));
}

#[tokio::test]
async fn a_test_mail_that_is_refused_shows_the_words_of_the_server() {
    for (behaviour, kind, advice, words) in [
        ("refuse", "refused", "refused for good", "550 5.1.1 eve@example.com is unknown here"),
        ("greylist", "temporary", "try again later", "451 4.7.1 try eve@example.com again later"),
        ("refuse_sender", "configuration", "mail.from", "550 5.1.8 accounts@example.com is not welcome"),
    ] {
        let mail_server = MailServer::start(behaviour);
        let server = server(&mail_server.url());
        let (status, output, error) = mail_test(&server, "eve@example.com");
        assert_eq!((status, output.as_str()), (1, ""), "{behaviour}: {error}");
        let lines: Vec<_> = error.lines().collect();
        assert!(
            lines[0].starts_with("handstamp: no mail was sent by 127.0.0.1:") && lines[0].contains(advice),
            "{error}"
        );
        assert_eq!(lines[1..], [format!("  {words}")]);
        let (status, json, _) = server.run_cli(&["mail", "test", "lea@example.com", "--json"], "");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((status, &json["sent"], &json["kind"]), (1, &false.into(), &kind.into()), "{json}");
        assert_eq!(json["reply"], words.replace("eve@", "lea@").as_str());
    }
}

#[tokio::test]
async fn an_address_or_settings_that_cannot_be_used_are_told_by_the_exit_status() {
    let mut away = MailServer::start("accept");
    away.stop();
    let server = server(&away.url());
    assert_eq!(mail_test(&server, "not an address").0, 4);
    let (status, _, error) = mail_test(&server, "ada@example.com");
    assert!(status == 1 && error.contains("no connection to the server") && error.contains("refused"), "{error}");
    let mut off = TestServer::on_sqlite();
    off.set("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
    let (status, _, error) = mail_test(&off, "ada@example.com");
    assert!(status == 2 && error.contains("mail.url must be set"), "{error}");
}

/// The mails of a server on this machine.
fn outbox(server: &TestServer) -> Vec<PathBuf> {
    let files = fs::read_dir(server.folder().join("data/outbox")).into_iter().flatten();
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|of| of == "eml")).collect()
}

#[tokio::test]
async fn without_a_mail_server_mails_are_files_on_this_machine() {
    let server = TestServer::on_sqlite();
    assert!(outbox(&server).is_empty() && !server.folder().join("data/outbox").exists(), "the first mail makes it");
    let (status, output, error) = mail_test(&server, "ada@example.com");
    assert_eq!(status, 0, "{error}");
    let [file] = &outbox(&server)[..] else { panic!("there is one mail") };
    assert_eq!(output.trim(), format!("written to {}", file.display()));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let mail = fs::read_to_string(file).unwrap();
    assert!(
        mail.contains("From: Handstamp <noreply@localhost>\r\n") && mail.contains("To: ada@example.com\r\n"),
        "{mail}"
    );
}

#[tokio::test]
async fn a_test_mail_needs_neither_a_database_nor_a_data_folder() {
    let server = TestServer::on_sqlite();
    let mail_server = MailServer::start("accept");
    let mut command =
        server.cli_command_without_settings(&["mail", "test", "ada@example.com", "--data-dir", "elsewhere"]);
    command.env("HANDSTAMP_MAIL__URL", mail_server.url()).env(FROM.0, FROM.1);
    assert!(command.output().unwrap().status.success());
    assert!(!server.folder().join("elsewhere").exists());
}

#[tokio::test]
async fn unusable_mail_settings_prevent_the_start() {
    let mut server = TestServer::on_sqlite();
    server.stop();
    fs::write(server.folder().join("file"), "").unwrap();
    for (name, value, says) in [
        ("HANDSTAMP_MAIL__URL", "http://user:hunter2@mail.example.com", "must begin with smtp://"),
        ("HANDSTAMP_MAIL__URL", "smtp://user:hunter2/x@mail.example.com", "is not a URL"),
        ("HANDSTAMP_MAIL__URL", "smtp://user@mail.example.com", "needs a user and a password"),
        ("HANDSTAMP_MAIL__URL", "smtp://user:hunter2@mail.example.com", "mail.from: must be set"),
        ("HANDSTAMP_MAIL__URL", "file:file", "file is a file, and must be a folder"),
        ("HANDSTAMP_MAIL__FROM", "Example <accounts>", "must be an address"),
        ("HANDSTAMP_MAIL__REPLY_TO", "a@example.com, b@example.com", "must be an address"),
        ("HANDSTAMP_MAIL__NEW_DEVICE", "yes", "mail.new_device"),
    ] {
        let refusal = refusal(&server, name, value);
        assert!(refusal.contains(says), "{name}={value}: {refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    server.set("HANDSTAMP_MAIL__URL", "smtp://localhost");
    server.set(FROM.0, FROM.1);
    let refusal = refusal(&server, "HANDSTAMP_PUBLIC_URL", "");
    assert!(refusal.contains("public_url must be set when mail.url names a server"), "{refusal}");
}

#[tokio::test]
async fn the_mail_url_is_read_from_a_file() {
    let mail_server = MailServer::start("accept");
    let mut server = server("");
    let file = server.folder().join("url");
    fs::write(&file, format!("{}\n", mail_server.url())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    server.set("HANDSTAMP_MAIL__URL_FILE", file.to_str().unwrap());
    assert_eq!(mail_test(&server, "ada@example.com").0, 0);
    assert_eq!(mail_server.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_server_that_is_away_prevents_no_start_and_delays_no_stop() {
    // It accepts connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = server(&format!("smtp://{}", silent.local_addr().unwrap()));
    let begun = Instant::now();
    server.restart();
    assert_eq!(server.visitor().opens("/").await.status, 200);
    server.restart();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(silent);
    server.restart();
    let warned = server.wait_for_event("mail_server_unavailable").await;
    assert_eq!(warned["level"], "WARN");
    assert!(warned["error"].as_str().unwrap().starts_with("no connection to the server"), "{warned}");
    assert_eq!(server.visitor().opens("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_outbox_is_measured_and_no_page_waits_for_a_server_that_hangs() {
    let mut mail_server = MailServer::start("hang");
    let mut server = server(&mail_server.url());
    let metrics = handstamp_testing::free_address();
    server.restart_with("HANDSTAMP_METRICS__LISTEN", &metrics);
    let visitor = handstamp_testing::Visitor::new(&format!("http://{metrics}"));
    let shows = async |line: &str| {
        for _ in 0..500 {
            if visitor.opens("/metrics").await.shows(&format!("\n{line}\n")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there is no {line} in {}", visitor.opens("/metrics").await.body);
    };
    shows("handstamp_outbox_messages{channel=\"mail\"} 0").await;
    shows("handstamp_outbox_oldest_seconds{channel=\"mail\"} 0").await;
    let ada = server.ada().await;
    let asked = server.visitor().submits("/account/forgot", &[("email", "ada@example.com")]).await;
    assert_eq!(asked.status, 303);
    shows("handstamp_outbox_messages{channel=\"mail\"} 2").await;
    mail_server.start_again("accept", &[]);
    shows("handstamp_mails_total{outcome=\"deferred\"} 2").await;
    ada.submits("/account/email", &[("email", "countess@example.com"), ("password", ADAS_PASSWORD)]).await;
    shows("handstamp_mails_total{outcome=\"sent\"} 1").await;
    shows("handstamp_outbox_messages{channel=\"mail\"} 2").await;
}

/// Lines in which credentials or an envelope were sent.
fn secrets_in(server: &MailServer) -> Vec<String> {
    let is_secret = |line: &String| ["AUTH", "MAIL", "RCPT"].iter().any(|verb| line.to_uppercase().starts_with(verb));
    server.lines().into_iter().filter(is_secret).collect()
}

/// The address 0.0.0.0 leads to this machine, but is not taken for it, so TLS is required.
#[tokio::test]
async fn a_mail_server_is_trusted_by_the_certificates_of_the_system_or_of_a_file() {
    for (tls, scheme) in [("starttls", "smtp"), ("smtps", "smtps")] {
        let mail_server = MailServer::start_with("accept", &["--tls", tls, "--user", "ada:p@ss"]);
        let mut server = server(&format!("{scheme}://ada:p%40ss@0.0.0.0:{}", mail_server.port()));
        let (status, _, error) = mail_test(&server, "ada@example.com");
        assert!(
            status == 1 && error.contains("no trusted TLS connection") && error.contains("UnknownIssuer"),
            "{error}"
        );
        assert_eq!(secrets_in(&mail_server), [""; 0], "{tls}");
        server.set("SSL_CERT_FILE", mail_server.ca_file().to_str().unwrap());
        let (status, _, error) = mail_test(&server, "ada@example.com");
        assert_eq!((status, error.as_str()), (0, ""), "{tls}");
        assert_eq!(mail_server.mails().len(), 1);
        let file = handstamp_testing::TempFolder::new();
        let other = file.path().join("other.pem");
        fs::copy(MailServer::start_with("accept", &["--tls", tls]).ca_file(), &other).unwrap();
        server.set("SSL_CERT_FILE", other.to_str().unwrap());
        assert_eq!(mail_test(&server, "ada@example.com").0, 1, "{tls}: another authority is not trusted");
    }
}

#[tokio::test]
async fn credentials_are_not_sent_where_starttls_was_stripped() {
    let mail_server = MailServer::start_with("accept", &["--user", "ada:p@ss"]);
    let server = server(&format!("smtp://ada:p%40ss@0.0.0.0:{}", mail_server.port()));
    let (status, _, error) = mail_test(&server, "ada@example.com");
    assert!(status == 1 && error.contains("the server offers no STARTTLS, so nothing was sent"), "{error}");
    assert_eq!(secrets_in(&mail_server), [""; 0]);
    assert!(!mail_server.lines().is_empty(), "it was asked");
}

#[tokio::test]
async fn postfix_delivers_a_mail_and_its_refusals_are_shown() {
    let Some(postfix) = Postfix::start("") else {
        eprintln!("skipped: only root can start Postfix");
        return;
    };
    let server = server(&postfix.url());
    let (status, output, error) = mail_test(&server, "ada@example.com");
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(output.contains(" took the mail: 250 2.0.0 Ok: queued as "), "{output}");
    let mail = &postfix.wait_for_mails(1)[0];
    assert!(
        mail.contains("Return-Path: <accounts@example.com>") && mail.contains("Subject: A test mail from Handstamp")
    );
    let unknown = "550 5.1.1 <eve@example.com>: Recipient address rejected: User unknown in virtual mailbox table";
    let (status, _, error) = mail_test(&server, "eve@example.com");
    assert!(status == 1 && error.contains("refused for good") && error.contains(unknown), "{error}");
    let (status, _, error) = mail_test(&server, "later@example.com");
    assert!(
        status == 1 && error.contains("450 4.2.0 <later@example.com>: Recipient address rejected: try later"),
        "{error}"
    );
    assert!(error.contains("try again later"), "{error}");
    let (status, _, error) = mail_test(&server, "ada@example.org");
    assert!(status == 1 && error.contains("554 5.7.1 <ada@example.org>: Relay access denied"), "{error}");
    assert!(error.contains("check mail.url and mail.from"), "{error}");
}

#[tokio::test]
async fn postfix_that_requires_tls_is_a_matter_of_the_settings() {
    let Some(postfix) = Postfix::start("smtpd_tls_security_level = encrypt") else {
        eprintln!("skipped: only root can start Postfix");
        return;
    };
    let server = server(&postfix.url());
    let (status, _, error) = mail_test(&server, "ada@example.com");
    assert!(status == 1 && error.contains("530 5.7.0 Must issue a STARTTLS command first"), "{error}");
    assert!(error.contains("check mail.url and mail.from"), "{error}");
}

//! Conversations with a mail server that is real, and behaves badly.

use std::time::{Duration, Instant};

use handstamp_testing::MailServer;

use super::super::smtp::{Limits, SmtpTransport};
use super::*;
use crate::config::{SmtpCredentials, SmtpSecurity, SmtpServer};
use crate::environment::{MailError, MailErrorKind, MailTransport};

pub(super) const QUICK: Limits =
    Limits { step: Duration::from_secs(1), message: Duration::from_secs(2), idle: Duration::from_secs(20) };

fn settings(server: &MailServer, security: SmtpSecurity, credentials: Option<(&str, &str)>) -> SmtpServer {
    let credentials = credentials
        .map(|(user, password)| SmtpCredentials { user: user.to_owned(), password: password.to_owned().into() });
    SmtpServer { host: "localhost".to_owned(), port: server.port(), security, credentials }
}

pub(super) fn transport(server: &MailServer) -> SmtpTransport {
    SmtpTransport::new(settings(server, SmtpSecurity::None, None), "id.example.com", QUICK).unwrap()
}

async fn error(transport: &SmtpTransport) -> MailError {
    transport.send(&outgoing()).await.unwrap_err()
}

#[tokio::test]
async fn a_mail_server_takes_a_mail_as_it_was_built() {
    let server = MailServer::start("accept");
    let reply = transport(&server).send(&outgoing()).await.unwrap();
    assert_eq!(reply, "250 2.0.0 kept as 0");
    let mail = &server.wait_for_mails(1)[0];
    assert_eq!((mail.sender.as_str(), mail.recipient.as_str()), ("noreply@id.example.com", "ada@example.com"));
    let sent = String::from_utf8(outgoing().message).unwrap();
    assert_eq!(mail.message.trim_end(), sent.trim_end());
    assert_eq!(server.lines()[0].to_lowercase(), "ehlo id.example.com");
}

#[tokio::test]
async fn an_answer_of_the_server_decides_what_follows() {
    for (behaviour, kind, summary, reply) in [
        ("refuse", MailErrorKind::Refused, "550 5.1.1 to RCPT TO", "550 5.1.1 ada@example.com is unknown here"),
        ("refuse_mail", MailErrorKind::Refused, "554 5.6.0 to the mail", "554 5.6.0 the link in it is not welcome"),
        (
            "relay_denied",
            MailErrorKind::Configuration,
            "554 5.7.1 to RCPT TO",
            "554 5.7.1 ada@example.com: relay access denied",
        ),
        (
            "refuse_sender",
            MailErrorKind::Configuration,
            "550 5.1.8 to MAIL FROM",
            "550 5.1.8 noreply@id.example.com is not welcome",
        ),
        ("greylist", MailErrorKind::Temporary, "451 4.7.1 to RCPT TO", "451 4.7.1 try ada@example.com again later"),
    ] {
        let server = MailServer::start(behaviour);
        let error = error(&transport(&server)).await;
        assert_eq!((error.kind(), error.reply()), (kind, Some(reply)), "{behaviour}");
        assert_eq!(error.summary(), format!("the server answered {summary}"), "{behaviour}");
        assert_eq!(server.mails().len(), 0);
    }
}

#[tokio::test]
async fn a_server_that_hangs_drips_or_breaks_off_is_given_up_in_time() {
    for (behaviour, summary) in [
        ("hang", "the server did not answer to MAIL FROM within 1 seconds"),
        ("drip", "the server did not answer to the connection within 1 seconds"),
        ("hang_after", "the server did not answer to the mail within 2 seconds"),
        ("close", "the connection broke at the mail"),
    ] {
        let server = MailServer::start(behaviour);
        let begun = Instant::now();
        let transport = transport(&server);
        let given_up = tokio::time::timeout(Duration::from_secs(20), error(&transport)).await;
        let error = given_up.unwrap_or_else(|_| panic!("{behaviour}: there is no limit"));
        assert_eq!((error.kind(), error.reply()), (MailErrorKind::Temporary, None), "{behaviour}");
        let is_said = error.summary().starts_with(summary)
            || (behaviour == "close" && error.summary().starts_with("the server closed the connection"));
        assert!(is_said, "{behaviour}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{behaviour}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_mail_was_taken_only_if_the_server_says_so_at_its_end() {
    let server = MailServer::start("shift");
    let error = error(&transport(&server)).await;
    assert_eq!(error.kind(), MailErrorKind::Temporary);
    assert_eq!(error.summary(), "the answers of the server are not those to the commands");
}

#[tokio::test]
async fn the_words_of_a_server_do_not_steer_a_terminal() {
    let server = MailServer::start("escape");
    let error = error(&transport(&server)).await;
    assert_eq!(error.reply(), Some("550 5.1.1  [31m unknown"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_temporary_error() {
    let mut server = MailServer::start("accept");
    let transport = transport(&server);
    assert!(transport.check().await.is_ok());
    server.stop();
    let error = transport.check().await.unwrap_err();
    assert_eq!(error.kind(), MailErrorKind::Temporary);
    assert!(error.summary().starts_with("no connection to the server: "), "{error}");
}

#[tokio::test]
async fn a_connection_is_used_for_the_next_mail() {
    let mut server = MailServer::start("accept");
    let transport = transport(&server);
    for _ in 0..5 {
        transport.send(&outgoing()).await.unwrap();
    }
    assert_eq!((server.wait_for_mails(5).len(), server.connections()), (5, 1));
    server.start_again("accept", &[]);
    transport.send(&outgoing()).await.unwrap();
    assert_eq!(server.connections(), 2, "the kept connection was closed by the server, and the mail was sent");
}

#[tokio::test]
async fn a_kept_connection_is_closed_if_there_is_no_further_mail() {
    let server = MailServer::start("accept");
    let limits = Limits { idle: Duration::from_millis(100), ..QUICK };
    let settings = settings(&server, SmtpSecurity::None, None);
    let transport = SmtpTransport::new(settings, "id.example.com", limits).unwrap();
    transport.send(&outgoing()).await.unwrap();
    let begun = Instant::now();
    while !server.lines().iter().any(|line| line.eq_ignore_ascii_case("quit")) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", server.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// lettre's own pool would put the next mail into the unfinished one.
#[tokio::test]
async fn a_cancelled_mail_does_not_run_into_the_next_one() {
    let mut server = MailServer::start("slow");
    let transport = transport(&server);
    let cancelled = tokio::time::timeout(Duration::from_millis(500), async {
        let mut mail = outgoing();
        mail.recipient = "first@example.com".to_owned();
        transport.send(&mail).await
    });
    assert!(cancelled.await.is_err());
    server.start_again("accept", &[]);
    transport.send(&outgoing()).await.unwrap();
    let mails = server.mails();
    assert_eq!(mails.iter().filter(|mail| mail.recipient == "ada@example.com").count(), 1);
    assert!(mails.iter().all(|mail| mail.message.matches("Message-ID").count() == 1));
}

#[tokio::test]
async fn a_server_that_asks_for_a_user_gets_the_credentials() {
    let server = MailServer::start_with("accept", &["--user", "ada:p@ss"]);
    let with = |credentials| {
        let settings = settings(&server, SmtpSecurity::None, credentials);
        SmtpTransport::new(settings, "id.example.com", QUICK).unwrap()
    };
    let without = error(&with(None)).await;
    assert_eq!(
        (without.kind(), without.reply()),
        (MailErrorKind::Configuration, Some("530 5.7.0 Authentication required"))
    );
    let wrong = error(&with(Some(("ada", "hunter2")))).await;
    assert_eq!(wrong.kind(), MailErrorKind::Configuration);
    assert_eq!(wrong.to_string(), "the server answered 535 5.7.8 to AUTH: 535 5.7.8 wrong user or password");
    assert!(with(Some(("ada", "p@ss"))).send(&outgoing()).await.is_ok());
    let unknown = MailServer::start("accept");
    let settings = settings(&unknown, SmtpSecurity::None, Some(("ada", "p@ss")));
    let none = error(&SmtpTransport::new(settings, "id.example.com", QUICK).unwrap()).await;
    assert_eq!(none.kind(), MailErrorKind::Configuration, "{none}");
}

/// Lines in which credentials or an envelope were sent.
fn secrets_in(server: &MailServer) -> Vec<String> {
    let is_secret =
        |line: &String| ["AUTH", "MAIL", "RCPT", "DATA"].iter().any(|verb| line.to_uppercase().starts_with(verb));
    server.lines().into_iter().filter(is_secret).collect()
}

#[tokio::test]
async fn nothing_is_sent_without_a_trusted_certificate() {
    for (tls, security) in [("starttls", SmtpSecurity::StartTls), ("smtps", SmtpSecurity::Tls)] {
        let server = MailServer::start_with("accept", &["--tls", tls, "--user", "ada:p@ss"]);
        let settings = settings(&server, security, Some(("ada", "p@ss")));
        let transport = SmtpTransport::new(settings, "id.example.com", QUICK).unwrap();
        for error in [transport.check().await.unwrap_err(), error(&transport).await] {
            assert_eq!(error.kind(), MailErrorKind::Configuration, "{error}");
            assert!(
                error.summary().contains("no trusted TLS connection") && error.summary().contains("UnknownIssuer"),
                "{error}"
            );
        }
        assert_eq!(secrets_in(&server), [""; 0]);
    }
}

#[tokio::test]
async fn nothing_is_sent_where_starttls_was_stripped() {
    let server = MailServer::start_with("accept", &["--user", "ada:p@ss"]);
    let settings = settings(&server, SmtpSecurity::StartTls, Some(("ada", "p@ss")));
    let error = error(&SmtpTransport::new(settings, "id.example.com", QUICK).unwrap()).await;
    assert_eq!(error.kind(), MailErrorKind::Configuration);
    assert_eq!(error.summary(), "the server offers no STARTTLS, so nothing was sent");
    assert_eq!(secrets_in(&server), [""; 0]);
    assert!(server.lines().iter().any(|line| line.to_lowercase().starts_with("ehlo")), "it was asked");
}

/// A server that speaks plain SMTP where TLS is expected, and one that speaks TLS where plain SMTP is.
#[tokio::test]
async fn a_server_of_the_other_kind_is_an_error_in_time() {
    let plain = MailServer::start("accept");
    let transport = SmtpTransport::new(settings(&plain, SmtpSecurity::Tls, None), "id.example.com", QUICK).unwrap();
    assert_eq!(error(&transport).await.kind(), MailErrorKind::Configuration);
    let encrypted = MailServer::start_with("accept", &["--tls", "smtps"]);
    let settings = settings(&encrypted, SmtpSecurity::StartTls, None);
    let transport = SmtpTransport::new(settings, "id.example.com", QUICK).unwrap();
    assert_eq!(error(&transport).await.kind(), MailErrorKind::Temporary);
}

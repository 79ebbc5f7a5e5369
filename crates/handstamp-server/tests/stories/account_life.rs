//! The life of an account across nodes and from the command line: lost passwords, invitations, changed addresses, and deletion.

use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, MailServer, TestServer, Visitor};

const ANOTHER: &str = "walnut-trumpet-glacier";

/// The path of the link in the newest mail of this template. Without a mail server the log shows links.
async fn link(server: &TestServer, template: &str) -> String {
    for _ in 0..500 {
        let written = server.events("mail_written");
        if let Some(link) = written.iter().rev().find(|event| event["mail"] == template) {
            return link["link"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there is no mail {template} in {}", server.log());
}

/// Opens a link, and returns the path that it leads to.
async fn follow(visitor: &Visitor, link: &str) -> String {
    let page = visitor.opens(link).await;
    assert_eq!(page.status, 303, "{}", page.body);
    page.location().to_owned()
}

handstamp_testing::stories! {
    async fn a_reset_on_one_node_is_in_force_on_the_other_when_it_answers(server: TestServer) {
        let other = server.start_node();
        let ada = server.ada().await;
        assert!(ada.is_signed_in().await);
        let there = ada.at(&other.url);
        assert!(there.is_signed_in().await, "the other node has the session in memory");
        let stranger = other.visitor();
        let asked = stranger.submits("/account/forgot", &[("email", "ada@example.com")]).await;
        assert_eq!((asked.status, asked.location()), (303, "/account/forgot/sent"));
        // Either node may send it.
        let mut reset = None;
        for _ in 0..500 {
            let written = [server.events("mail_written"), other.events("mail_written")].concat();
            reset = written.iter().find(|event| event["mail"] == "reset_password").map(|event| event["link"].as_str().unwrap().to_owned());
            if reset.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let reset = reset.unwrap();
        assert_eq!(follow(&stranger, reset.strip_prefix("http://localhost").unwrap()).await, "/account/reset");
        let set = stranger.submits("/account/reset", &[("password", ANOTHER)]).await;
        assert_eq!((set.status, set.location()), (303, "/account/login?notice=new-password"), "{}", set.body);
        assert!(!ada.is_signed_in().await && !there.is_signed_in().await);
        assert_eq!(stranger.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(stranger.signs_in("ada@example.com", ANOTHER).await.status, 303);
    }

    async fn a_deletion_on_one_node_is_in_force_on_the_other_when_it_answers(server: TestServer) {
        let other = server.start_node();
        let ada = server.ada().await;
        let there = ada.at(&other.url);
        assert!(there.is_signed_in().await);
        let deleted = ada.submits("/account/delete", &[]).await;
        assert_eq!((deleted.status, deleted.location()), (303, "/"), "{}", deleted.body);
        assert!(!ada.has_cookie() && !there.is_signed_in().await);
        assert!(ada.opens("/").await.shows("Your account and all of its data are deleted."));
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(server.run_cli(&["user", "show", "ada@example.com"], "").0, 3);
    }

    async fn an_operator_makes_a_link_that_sets_a_new_password(server: TestServer) {
        let ada = server.ada().await;
        let (status, link, error) = server.run_cli(&["user", "reset-link", "ADA@example.com"], "");
        assert_eq!((status, error.as_str()), (0, ""));
        assert!(link.starts_with("http://localhost/account/link/"), "{link}");
        let (status, newer, _) = server.run_cli(&["user", "reset-link", "ada@example.com"], "");
        assert_eq!(status, 0);
        let visitor = server.visitor();
        for (link, status) in [(link, 404), (newer, 303)] {
            follow(&visitor, link.trim().strip_prefix("http://localhost").unwrap()).await;
            let set = visitor.submits("/account/reset", &[("password", ANOTHER)]).await;
            assert_eq!(set.status, status, "{}", set.body);
        }
        assert!(!ada.is_signed_in().await);
        assert_eq!(visitor.signs_in("ada@example.com", ANOTHER).await.status, 303);
        assert_eq!(server.run_cli(&["user", "reset-link", "eve@example.com"], "").0, 3);
    }

    async fn an_invitation_is_printed_and_mailed_and_makes_an_account(server: TestServer) {
        let arguments = ["user", "invite", "bob@example.com", "--name", "Bob", "--group", "staff"];
        let (status, printed, error) = server.run_cli(&arguments, "");
        assert_eq!((status, error.as_str()), (0, ""));
        let bob = server.visitor();
        assert_eq!(follow(&bob, &link(&server, "invitation").await).await, "/account/invitation");
        assert!(bob.opens("/account/invitation").await.shows("bob@example.com"));
        let made = bob.submits("/account/invitation", &[("name", "Bob"), ("password", ANOTHER)]).await;
        assert_eq!((made.status, made.location()), (303, "/account"), "{}", made.body);
        assert!(bob.is_signed_in().await);
        let shown = server.cli_json(&["user", "show", "bob@example.com"]);
        assert_eq!((&shown["email_verified"], &shown["groups"][0]), (&true.into(), &"staff".into()));
        let eve = server.visitor();
        follow(&eve, printed.trim().strip_prefix("http://localhost").unwrap()).await;
        assert!(eve.opens("/account/invitation").await.shows("no longer valid"));
        let (status, _, error) = server.run_cli(&["user", "invite", "bob@example.com"], "");
        assert!(status == 4 && error.contains("already has an account"), "{error}");
        assert_eq!(server.run_cli(&["user", "invite", "nonsense"], "").0, 4);
        assert_eq!(server.run_cli(&["user", "invite", "eve@example.com", "--group", "a b"], "").0, 4);
    }

    async fn the_links_of_mails_and_their_tokens_are_in_no_log_line_of_a_site_with_a_mail_server(server: TestServer) {
        let mail_server = MailServer::start("accept");
        let mut server = server;
        server.set("HANDSTAMP_MAIL__FROM", "accounts@example.com");
        server.set("HANDSTAMP_LOG__LEVEL", "trace");
        server.restart_with("HANDSTAMP_MAIL__URL", &mail_server.url());
        let ada = server.ada().await;
        ada.submits("/account/forgot", &[("email", "ada@example.com")]).await;
        let mails = mail_server.wait_for_mails(2);
        let mut tokens = Vec::new();
        for mail in &mails {
            let text = mail.message.replace("=\n", "");
            let path = text.split("http://localhost").find(|rest| rest.starts_with("/account/link/")).unwrap();
            let link: String = path.chars().take_while(|c| c.is_ascii_alphanumeric() || "/_-".contains(*c)).collect();
            let visitor = server.visitor();
            let page = follow(&visitor, &link).await;
            assert!(["/account/reset", "/account/verify"].contains(&page.as_str()), "{page}");
            assert_eq!(visitor.opens(&page).await.status, 200);
            tokens.push(link.rsplit('/').next().unwrap().to_owned());
        }
        let log = server.log();
        for secret in tokens.iter().map(String::as_str).chain(["ada@example.com"]) {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
        assert!(log.contains("mail_sent"), "{log}");
    }

    async fn a_killed_node_keeps_what_a_reset_has_answered(server: TestServer) {
        let mut server = server;
        let ada = server.ada().await;
        ada.submits("/account/forgot", &[("email", "ada@example.com")]).await;
        let stranger = server.visitor();
        let reset = link(&server, "reset_password").await;
        follow(&stranger, &reset).await;
        assert_eq!(stranger.submits("/account/reset", &[("password", ANOTHER)]).await.status, 303);
        server.kill_and_restart();
        let visitor = server.visitor();
        assert_eq!(visitor.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(visitor.signs_in("ada@example.com", ANOTHER).await.status, 303);
        follow(&visitor, &reset).await;
        assert_eq!(visitor.opens("/account/reset").await.status, 404, "the link stays used");
        assert!(!ada.at(&server.url).is_signed_in().await, "no ended session returns");
    }
}

//! The log: it contains no secrets, and one line per event.

use handstamp_testing::ADAS_PASSWORD;

handstamp_testing::stories! {
    async fn secrets_are_not_logged_at_any_level(mut server: TestServer) {
        server.restart_with("HANDSTAMP_LOG__LEVEL", "trace");
        let ada = server.ada().await;
        let token = ada.token();
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        server.visitor().signs_in("ada@example.com", "a-wrong-password-1").await;
        server.visitor().signs_in("a-password-in-the-wrong-field", "x").await;
        server.visitor().signs_in("typed-password@example.com", "x").await;
        ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await;
        let copy = ada.copy();
        ada.signs_out().await;
        copy.opens("/account").await;
        copy.opens("/account/login?next=%2Fa-secret-place").await;
        assert!(!server.events("session_use_after_expire").is_empty());

        let log = server.log();
        let secret = std::fs::read_to_string(server.folder().join("data/secret.key")).unwrap();
        for kept in [ADAS_PASSWORD, "a-wrong-password-1", "walnut-trumpet-glacier", "a-password-in-the-wrong-field", "typed-password",
            token.as_str(), &token[..40], copy.token().as_str(), secret.trim(), "$argon2id$", "a-secret-place", "ada@example.com"] {
            assert!(!log.contains(kept), "{kept:?} is in the log");
        }
    }

    async fn log_events_name_the_user_the_address_and_the_request(server: TestServer) {
        let ada = server.ada().await;
        let page = server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        server.visitor().signs_in("ada@example.com", "wrong").await;
        let copy = ada.copy();
        ada.signs_out().await;
        let refused = copy.opens("/account").await;
        let user = server.events("user_created")[0]["user"].clone();
        for event in ["authn_login_success", "authn_login_fail", "session_ended"] {
            let line = server.events(event).remove(0);
            assert_eq!(line["user"], user, "{event}");
            assert_eq!((line["spans"][0]["address"].as_str(), line["level"].as_str()), (Some("127.0.0.1"), Some("INFO")));
        }
        let line = server.events("authn_login_success").remove(0);
        assert_eq!(line["spans"][0]["id"], page.header("x-request-id"));
        let line = server.events("session_use_after_expire").remove(0);
        assert_eq!(line["spans"][0]["id"], refused.header("x-request-id"));
    }

    async fn user_input_cannot_forge_log_lines(server: TestServer) {
        let visitor = server.visitor();
        visitor.registers("Ada\nfake: line", "ada@example.com\r\n{\"event\":\"fake\"}", ADAS_PASSWORD).await;
        visitor.presents("%0A%7B%22event%22:%22fake%22%7D");
        visitor.opens("/%0d%0a%7B%22event%22:%22fake%22%7D").await;
        assert!(server.log().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        assert!(!server.log().contains("fake"));
    }
}

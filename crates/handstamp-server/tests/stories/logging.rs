//! The log: it contains no secrets, and one line per event.

use crate::house::ADAS_PASSWORD;

crate::stories! {
    async fn secrets_are_not_logged_at_any_level(house: House) {
        let ada = house.ada().await;
        let token = ada.token();
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        house.visitor().signs_in("ada@example.com", "a-wrong-password-1").await;
        house.visitor().signs_in("a-password-in-the-wrong-field", "x").await;
        house.visitor().signs_in("typed-password@example.com", "x").await;
        ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await;
        let copy = ada.copy();
        ada.signs_out().await;
        copy.opens("/account").await;
        copy.opens("/account/login?next=%2Fa-secret-place").await;
        assert!(!house.events("session_token_refused").await.is_empty());

        let log = house.log();
        let secret = std::fs::read_to_string(house.folder.join("data/secret.key")).unwrap();
        for kept in [ADAS_PASSWORD, "a-wrong-password-1", "walnut-trumpet-glacier", "a-password-in-the-wrong-field", "typed-password",
            token.as_str(), &token[..40], copy.token().as_str(), secret.trim(), "$argon2id$", "a-secret-place", "ada@example.com"] {
            assert!(!log.contains(kept), "{kept:?} is in the log");
        }
    }

    async fn log_events_name_the_user_the_address_and_the_request(house: House) {
        let ada = house.ada().await;
        let page = house.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        house.visitor().signs_in("ada@example.com", "wrong").await;
        let copy = ada.copy();
        ada.signs_out().await;
        let refused = copy.opens("/account").await;
        let user = house.events("user_created").await[0]["user"].clone();
        for event in ["authn_login_success", "authn_login_fail", "session_ended"] {
            let line = house.events(event).await.remove(0);
            assert_eq!(line["user"], user, "{event}");
            assert_eq!((line["spans"][0]["address"].as_str(), line["level"].as_str()), (Some("127.0.0.1"), Some("INFO")));
        }
        let line = house.events("authn_login_success").await.remove(0);
        assert_eq!(line["spans"][0]["id"], page.header("x-request-id"));
        let line = house.events("session_token_refused").await.remove(0);
        assert_eq!(line["spans"][0]["id"], refused.header("x-request-id"));
    }

    async fn user_input_cannot_forge_log_lines(house: House) {
        let visitor = house.visitor();
        visitor.registers("Ada\nfake: line", "ada@example.com\r\n{\"event\":\"fake\"}", ADAS_PASSWORD).await;
        visitor.presents("%0A%7B%22event%22:%22fake%22%7D");
        visitor.opens("/%0d%0a%7B%22event%22:%22fake%22%7D").await;
        assert!(house.log().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        assert!(!house.log().contains("fake"));
    }
}

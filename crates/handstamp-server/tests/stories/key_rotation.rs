//! Rotation and loss of the secret key.

const OLD: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const NEW: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

handstamp_testing::stories! {
    async fn a_key_rotation_reissues_tokens_and_keeps_sessions(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        let mut ada = server.ada().await;
        let mut asleep = ada.copy();
        let old_token = ada.token();

        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", OLD);
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        ada.follows(&server.url);
        let page = ada.opens("/account").await;
        assert!(page.status == 200 && page.set_cookie().contains("Max-Age=259"), "{}", page.set_cookie());
        assert_ne!(ada.token(), old_token);
        assert!(ada.opens("/account").await.set_cookie().is_empty(), "the token is reissued once");
        assert_eq!(server.events("session_token_reissued").len(), 1);

        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "");
        server.restart();
        ada.follows(&server.url);
        asleep.follows(&server.url);
        assert!(ada.is_signed_in().await);
        assert!(!asleep.is_signed_in().await, "the old key is gone");
    }

    async fn a_lost_secret_key_signs_out_all_users(mut server: TestServer) {
        let mut ada = server.ada().await;
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        ada.follows(&server.url);
        assert!(!ada.is_signed_in().await);
    }
}

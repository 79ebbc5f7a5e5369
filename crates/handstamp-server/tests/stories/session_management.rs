//! The list of a user's sessions, and their revocation by the user.

use handstamp_testing::ADAS_PASSWORD;

handstamp_testing::stories! {
    async fn the_session_list_shows_every_device(server: TestServer) {
        let ada = server.ada().await;
        server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = ada.opens("/account/sessions").await;
        assert_eq!(page.body.matches("Firefox on Linux").count(), 3, "two devices, and the label of the button");
        assert!(page.shows("This device") && page.shows("127.0.0.1") && page.shows("just now"));
        assert_eq!(page.hidden("session").len(), 1, "there is no button for this device");
        assert!(!page.shows(&ada.token()) && !page.shows(&ada.token()[32..48]));
    }

    async fn a_user_revokes_one_session(server: TestServer) {
        let (ada, phone, tablet) = (server.ada().await, server.visitor(), server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let handle = ada.opens("/account/sessions").await.hidden("session").remove(0);
        tablet.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = ada.submits("/account/sessions/revoke", &[("session", &handle)]).await;
        assert_eq!((page.status, page.location()), (303, "/account/sessions"));
        assert!(!phone.is_signed_in().await && tablet.is_signed_in().await && ada.is_signed_in().await);
        let again = ada.submits("/account/sessions/revoke", &[("session", &handle)]).await;
        assert_eq!((again.status, again.location()), (303, "/account/sessions"), "a double click is no error");
        assert_eq!(server.events("session_revoked").len(), 1);
    }

    async fn a_user_revokes_all_other_sessions(server: TestServer) {
        let (ada, phone, tablet) = (server.ada().await, server.visitor(), server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        tablet.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = ada.submits("/account/sessions/revoke-others", &[]).await;
        assert_eq!((page.status, page.location()), (303, "/account/sessions"));
        assert!(!phone.is_signed_in().await && !tablet.is_signed_in().await && ada.is_signed_in().await);
    }

    async fn a_user_cannot_revoke_sessions_of_another_user(server: TestServer) {
        let (ada, eve) = (server.ada().await, server.visitor());
        let phone = server.visitor();
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        eve.registers("Eve", "eve@example.com", "walnut-trumpet-glacier").await;
        let handle = ada.opens("/account/sessions").await.hidden("session").remove(0);
        assert_eq!(eve.submits("/account/sessions/revoke", &[("session", &handle)]).await.status, 404);
        for nonsense in ["", "1", "00000000-0000-0000-0000-000000000000", "' OR 1=1 --"] {
            assert_eq!(eve.submits("/account/sessions/revoke", &[("session", nonsense)]).await.status, 404);
        }
        eve.submits("/account/sessions/revoke-others", &[]).await;
        assert!(phone.is_signed_in().await && ada.is_signed_in().await);
    }

    async fn last_seen_times_survive_a_restart(mut server: TestServer) {
        let ada = server.ada().await;
        server.execute("UPDATE sessions SET last_seen_at = 1000, created_at = 1000").await;
        ada.opens("/account").await;
        server.restart();
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions WHERE last_seen_at > 1700000000").await, 1);
    }
}

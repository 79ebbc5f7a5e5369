//! Changes of a user's name and password.

use handstamp_testing::ADAS_PASSWORD;

const NEW: &str = "walnut-trumpet-glacier";

handstamp_testing::stories! {
    async fn a_user_changes_their_name(server: TestServer) {
        let ada = server.ada().await;
        assert!(ada.opens("/account/profile").await.shows("value=\"Ada\""));
        let page = ada.submits("/account/profile", &[("name", " Countess Lovelace ")]).await;
        assert_eq!((page.status, page.location()), (303, "/account?done=name"));
        assert!(ada.opens("/account").await.shows("Welcome, Countess Lovelace"));
        let page = ada.submits("/account/profile", &[("name", "a\u{202E}b")]).await;
        assert_eq!(page.status, 422);
        assert!(page.error_of("name").unwrap().contains("invisible"));
    }

    async fn a_password_change_revokes_all_other_sessions(server: TestServer) {
        let ada = server.ada().await;
        let (phone, copy) = (server.visitor(), ada.copy());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = ada.changes_password(ADAS_PASSWORD, NEW).await;
        assert_eq!((page.status, page.location()), (303, "/account?done=password"));
        assert!(page.set_cookie().contains("Max-Age=2592") || page.set_cookie().contains("Max-Age=2591"));
        assert!(ada.opens("/account?done=password").await.shows("Your new password is set"));
        assert!(!phone.is_signed_in().await && !copy.is_signed_in().await, "also the old token of this session");
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(server.visitor().signs_in("ada@example.com", NEW).await.status, 303);
        assert_eq!(server.events("authn_password_change").len(), 1);
    }

    async fn a_password_form_sent_twice_causes_no_error(server: TestServer) {
        let ada = server.ada().await;
        let fields = [("current_password", ADAS_PASSWORD), ("password", NEW)];
        // The browser drops the first response, so it has not seen its cookie.
        let first = ada.copy();
        assert_eq!(first.changes_password(ADAS_PASSWORD, NEW).await.status, 303);
        let page = ada.submits("/account/password", &fields).await;
        assert_eq!((page.status, page.location()), (303, "/account?done=password"));
        assert!(page.set_cookie().contains("Max-Age=2592"), "the session stays remembered");
        assert!(ada.is_signed_in().await && first.is_signed_in().await, "the browser keeps the cookie of either");

        let (one, other) = (ada.copy(), ada.copy());
        let again = "copper-lantern-meadow";
        let (one_page, other_page) = tokio::join!(one.changes_password(NEW, again), other.changes_password(NEW, again));
        for page in [one_page, other_page] {
            assert_eq!((page.status, page.location()), (303, "/account?done=password"), "both of two concurrent forms succeed");
        }
        let page = one.changes_password(NEW, again).await;
        assert_eq!((page.status, page.location()), (303, "/account?done=password"), "with the cookie of the first answer");
        assert!(page.set_cookie().is_empty() && one.is_signed_in().await);
        assert_eq!(one.changes_password(NEW, "violet-anchor-estuary").await.status, 422, "another new password is another form");

        let thief = server.visitor();
        thief.presents(&ada.token());
        let page = thief.changes_password(NEW, "wrong").await;
        let sign_in = "/account/login?next=%2Faccount%2Fpassword&notice=form-not-sent";
        assert_eq!(page.location(), sign_in, "a copy of the old cookie alone is refused");
    }

    async fn a_password_change_needs_the_current_password(server: TestServer) {
        let ada = server.ada().await;
        let phone = server.visitor();
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let page = ada.changes_password("wrong", NEW).await;
        assert_eq!(page.status, 422);
        assert_eq!(page.error_of("current_password").unwrap(), "This is not your current password.");
        assert!(!page.shows(NEW) && phone.is_signed_in().await && ada.is_signed_in().await);
        assert_eq!(server.events("authn_password_change_fail").len(), 1);
    }

    async fn a_guessable_new_password_is_refused(server: TestServer) {
        let ada = server.ada().await;
        for (guess, reason) in [("password1", "easy to guess"), ("short", "at least 8"), (&"x".repeat(257), "at most 256")] {
            let page = ada.changes_password(ADAS_PASSWORD, guess).await;
            assert_eq!(page.status, 422);
            assert!(page.error_of("password").unwrap().contains(reason), "{guess}");
        }
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }

    async fn a_password_change_does_not_prolong_an_unremembered_session(server: TestServer) {
        server.ada().await;
        let phone = server.visitor();
        phone.submits("/account/login", &[("email", "ada@example.com"), ("password", ADAS_PASSWORD)]).await;
        let page = phone.changes_password(ADAS_PASSWORD, NEW).await;
        assert!(page.status == 303 && !page.set_cookie().contains("Max-Age"));
    }

    async fn query_text_is_not_shown_on_the_account_page(server: TestServer) {
        let ada = server.ada().await;
        let page = ada.opens("/account?done=You%20won%20a%20prize").await;
        assert!(page.status == 200 && !page.shows("prize"));
        assert_eq!(ada.opens("/account?done=%FF&done=name").await.status, 200);
    }
}

//! Sign-in: return URLs, lifetimes of sessions, restarts and rehashing.

use handstamp_testing::ADAS_PASSWORD;

handstamp_testing::stories! {
    async fn a_session_survives_a_restart(mut server: TestServer) {
        let mut ada = server.ada().await;
        server.restart();
        ada.follows(&server.url);
        assert!(ada.opens("/account").await.shows("Welcome, Ada"));
    }

    async fn revocations_survive_a_kill_of_the_server(mut server: TestServer) {
        let mut ada = server.ada().await;
        let mut gone = ada.copy();
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        gone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        gone.signs_out().await;
        let token = gone.copy();
        server.kill_and_restart();
        ada.follows(&server.url);
        gone.follows(&server.url);
        assert!(!ada.is_signed_in().await, "the sign-in in the same browser revoked the first session");
        assert!(!token.has_cookie() && !gone.is_signed_in().await);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 1);
    }

    async fn sign_in_returns_to_the_requested_page(server: TestServer) {
        server.ada().await;
        let ada = server.visitor();
        for place in ["/account", "/account/sessions", "/account/profile?tab=1&x=%20y"] {
            let page = ada.opens(place).await;
            assert_eq!(page.status, 303);
            let form = ada.opens(page.location()).await;
            let next = form.hidden("next").remove(0).replace("&amp;", "&");
            let fields = [("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", next.as_str())];
            assert_eq!(ada.submits("/account/login", &fields).await.location(), place);
            ada.signs_out().await;
        }
        assert_eq!(ada.opens("/account").await.location(), "/account/login?next=%2Faccount");
    }

    async fn sign_in_goes_to_the_return_url_of_an_app(mut server: TestServer) {
        server.restart_with("HANDSTAMP_RETURN_HOSTS", "localhost:15000");
        server.ada().await;
        for (next, place) in [
            ("/wiki/café au lait", "/wiki/caf%C3%A9%20au%20lait"),
            ("/wiki/caf%C3%A9", "/wiki/caf%C3%A9"),
            ("http://localhost/notes?a=b", "/notes?a=b"),
            ("http://localhost:15000/notes?a=ü", "http://localhost:15000/notes?a=%C3%BC"),
            (&format!("/{}", "a".repeat(8191)), &format!("/{}", "a".repeat(8191))),
        ] {
            let ada = server.visitor();
            let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let form = ada.opens(&format!("/account/login?next={query}")).await;
            assert_eq!(form.hidden("next"), [place]);
            let fields = [("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", place)];
            assert_eq!(ada.submits("/account/login", &fields).await.location(), place);
            assert_eq!(ada.opens(&format!("/account/login?next={query}")).await.location(), place);
        }
    }

    async fn sign_in_never_redirects_to_another_site(server: TestServer) {
        server.ada().await;
        for trick in ["https://evil.example", "//evil.example", "/\\evil.example", "/account/logout", "/a\r\nSet-Cookie: x=y", "javascript:alert(1)", "/..//evil.example", "http://localhost.evil.example/", "http://localhost@evil.example/", "http://localhost//evil.example", "/\u{85}/evil.example"] {
            let visitor = server.visitor();
            let query: String = url::form_urlencoded::byte_serialize(trick.as_bytes()).collect();
            let form = visitor.opens(&format!("/account/login?next={query}")).await;
            assert!(form.hidden("next").is_empty(), "{trick}");
            let fields = [("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", trick)];
            assert_eq!(visitor.submits("/account/login", &fields).await.location(), "/account", "{trick}");
            assert_eq!(visitor.opens(&format!("/account/login?next={query}")).await.location(), "/account", "{trick}");
        }
    }

    async fn signed_in_users_skip_the_sign_in_page(server: TestServer) {
        let ada = server.ada().await;
        assert_eq!(ada.opens("/account/login?next=%2Faccount%2Fprofile").await.location(), "/account/profile");
        assert_eq!(ada.opens("/account/register").await.location(), "/account");
    }

    async fn a_remembered_session_lasts_as_long_as_the_form_says(mut server: TestServer) {
        server.ada().await;
        for (lifetime, says, seconds) in [("90m", "for 90 minutes on", "5400"), ("30d", "for 30 days on", "2592000"), ("1h", "for 1 hour on", "3600")] {
            server.restart_with("HANDSTAMP_SESSION__LIFETIME", lifetime);
            let ada = server.visitor();
            assert!(ada.opens("/account/login").await.shows(&format!("Keep me signed in {says} this device")), "{lifetime}");
            let kept = ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            assert!(kept.set_cookie().ends_with(&format!("Max-Age={seconds}")), "{}", kept.set_cookie());
        }
    }

    async fn an_unremembered_session_lasts_a_day(server: TestServer) {
        server.ada().await;
        let page = server.visitor().submits("/account/login", &[("email", "ada@example.com"), ("password", ADAS_PASSWORD)]).await;
        assert!(page.set_cookie().ends_with("Path=/; HttpOnly; SameSite=Lax"), "{}", page.set_cookie());
        assert_eq!(server.count("SELECT MIN(expires_at - created_at) FROM sessions").await, 86_400);
    }

    async fn sign_in_rehashes_a_password_after_settings_were_raised(mut server: TestServer) {
        server.ada().await;
        let weak = server.count("SELECT COUNT(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=8,t=1,p=1$%'").await;
        server.restart_with("HANDSTAMP_HASHING__MEMORY_KIB", "64");
        assert_eq!(server.visitor().signs_in("ada@example.com", "wrong").await.status, 422);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let strong = server.count("SELECT COUNT(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=64,t=1,p=1$%'").await;
        assert_eq!((weak, strong), (1, 1));
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }
}

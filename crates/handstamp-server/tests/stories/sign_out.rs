//! Sign-out: the sessions that it revokes, and the redirects, cookies and notices after it.

use handstamp_testing::{ADAS_PASSWORD, COOKIE, TestServer};
use reqwest::Method;

handstamp_testing::stories! {
    async fn a_copied_cookie_is_dead_after_sign_out(server: TestServer) {
        let ada = server.ada().await;
        let copy = ada.copy();
        let page = ada.signs_out().await;
        assert_eq!((page.status, page.location()), (303, "/"));
        assert_eq!(page.set_cookie(), "handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        assert_eq!(page.header("clear-site-data"), "", "an app on the same origin keeps its drafts");
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 0);
        assert!(!copy.is_signed_in().await);
        assert_eq!(ada.opens("/account").await.location(), "/account/login?next=%2Faccount");
        assert_eq!(server.events("session_ended").len(), 1);
    }

    async fn a_link_to_sign_out_asks_for_confirmation(server: TestServer) {
        let ada = server.ada().await;
        let page = ada.opens("/account/logout").await;
        assert!(page.status == 200 && page.shows("action=\"/account/logout\""));
        assert!(ada.is_signed_in().await, "following a link changes nothing");
        assert_eq!(server.visitor().opens("/account/logout").await.location(), "/");
    }

    async fn sign_out_revokes_the_sessions_of_all_presented_cookies(server: TestServer) {
        for by_api in [false, true] {
            let ada = server.visitor();
            ada.registers("Ada", &format!("ada{by_api}@example.com"), ADAS_PASSWORD).await;
            let (first, second) = (ada.copy(), server.visitor());
            second.signs_in(&format!("ada{by_api}@example.com"), ADAS_PASSWORD).await;
            let cookies = format!("{COOKIE}={}; {COOKIE}=junk; {COOKIE}={}", first.token(), second.token());
            let page = server.visitor().ends_with(by_api, &cookies).await;
            assert_eq!(page.status, if by_api { 204 } else { 303 });
            assert!(page.set_cookie().contains("Max-Age=0"));
            assert!(!first.is_signed_in().await && !second.is_signed_in().await, "by API: {by_api}");
        }
    }

    async fn sign_out_with_a_token_of_an_unknown_key_is_answered_503(server: TestServer) {
        let mut server = server;
        server.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let ada = server.ada().await;
        server.restart_with("HANDSTAMP_SECRET_KEY", "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8");
        for by_api in [false, true] {
            let page = server.visitor().ends_with(by_api, &format!("{COOKIE}={}", ada.token())).await;
            assert_eq!(page.status, 503, "no session was revoked, so no sign-out is confirmed");
            assert!(page.shows("You are not signed out everywhere"), "{}", page.body);
            assert_eq!(page.set_cookie(), "", "another node may know the key");
        }
        assert_eq!(server.events("session_key_unknown").len(), 2);
        let again = server.visitor();
        again.presents(&ada.token());
        assert_eq!(again.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303, "an unknown token does not prevent a sign-in");
        assert!(again.is_signed_in().await);
        let page = server.visitor().ends_with(false, &format!("{COOKIE}={}; {COOKIE}={}", ada.token(), again.token())).await;
        assert_eq!(page.status, 303, "the session of a known key is revoked");
        assert!(!again.is_signed_in().await);
        for junk in ["junk".to_owned(), "A".repeat(115), format!("{}!", "A".repeat(115))] {
            assert_eq!(server.visitor().ends_with(false, &format!("{COOKIE}={junk}")).await.status, 303, "{junk}");
        }
    }

    async fn sign_out_accepts_a_token_of_a_fallback_key(server: TestServer) {
        let mut server = server;
        server.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let mut ada = server.ada().await;
        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        server.restart_with("HANDSTAMP_SECRET_KEY", "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8");
        ada.follows(&server.url);
        let copy = ada.copy();
        assert!(copy.ends_with(false, &format!("{COOKIE}={}", ada.token())).await.status == 303);
        assert!(!ada.is_signed_in().await);
    }

    async fn sign_in_revokes_all_presented_sessions(server: TestServer) {
        let ada = server.ada().await;
        let second = server.visitor();
        second.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let eve = server.visitor();
        eve.registers("Eve", "eve@example.com", "walnut-trumpet-glacier").await;
        let cookies = format!("{COOKIE}={}; {COOKIE}={}", ada.token(), eve.token());
        let browser = server.visitor();
        let fields = [("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("remember", "on")];
        let page = browser.send(browser.form("/account/login", &fields).header("cookie", &cookies)).await;
        assert_eq!((page.status, page.location()), (303, "/account"));
        assert!(!ada.is_signed_in().await && !eve.is_signed_in().await, "both presented sessions are revoked");
        assert!(second.is_signed_in().await, "a session that was not presented stays live");
        let beside = format!("{cookies}; {COOKIE}={}", browser.token());
        let request = server.visitor().request(Method::GET, "/account").header("cookie", beside);
        assert!(ada.send(request).await.shows("Welcome, Ada"), "revoked cookies beside the live one are ignored");
    }

    async fn sign_out_goes_to_the_return_url(mut server: TestServer) {
        server.restart_with("HANDSTAMP_RETURN_HOSTS", "localhost:15000");
        for (next, place) in [("/bye?a=b", "/bye?a=b"), ("http://localhost:15000/bye", "http://localhost:15000/bye"), ("https://evil.example/", "/")] {
            let ada = server.visitor();
            ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let link = format!("/account/logout?next={query}");
            assert_eq!(ada.opens(&link).await.hidden("next"), if place == "/" { vec![] } else { vec![place.to_owned()] });
            assert_eq!(ada.submits("/account/logout", &[("next", next)]).await.location(), place);
            assert!(!ada.is_signed_in().await);
            assert_eq!(ada.opens(&link).await.location(), place, "without a session, the link redirects at once");
        }
    }

    async fn sign_out_succeeds_with_a_malformed_form(server: TestServer) {
        for body in [&b"next=/a&next=/b"[..], b"next=%FF", b"%00", &[b'a'; 70_000]] {
            let ada = server.visitor();
            ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            let page = ada.submits_raw("/account/logout", body.to_vec()).await;
            assert_eq!((page.status, page.location()), (303, "/"));
            assert!(!ada.is_signed_in().await);
        }
    }

    async fn the_signed_out_notice_is_shown_once(server: TestServer) {
        for first in ["/", "/account/login?next=%2Faccount"] {
            let ada = server.visitor();
            ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            ada.signs_out().await;
            assert!(ada.opens(first).await.shows("You are signed out."), "{first}");
            for page in ["/", "/account/login"] {
                assert!(!ada.opens(page).await.shows("You are signed out."), "{first} {page}");
            }
        }
        assert!(!server.visitor().opens("/").await.shows("You are signed out."), "a new visitor was never signed in");
    }

    async fn sign_out_sends_clear_site_data_if_configured(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SESSION__CLEAR_SITE_DATA", "true");
        let ada = server.ada().await;
        assert_eq!(ada.signs_out().await.header("clear-site-data"), "\"storage\"");
    }

    async fn a_second_sign_out_succeeds(server: TestServer) {
        let ada = server.ada().await;
        let copy = ada.copy();
        ada.signs_out().await;
        for again in [ada.signs_out().await, copy.signs_out().await] {
            assert_eq!((again.status, again.location()), (303, "/"));
        }
        assert!(!copy.has_cookie());
    }

    async fn sites_on_different_ports_have_separate_sessions(mut server: TestServer) {
        let mut other = TestServer::on_sqlite();
        server.restart_with("HANDSTAMP_PUBLIC_URL", "http://localhost:8080");
        other.restart_with("HANDSTAMP_PUBLIC_URL", "http://localhost:8081");
        let mut ada = server.visitor();
        assert_eq!(ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await.status, 303);
        ada.follows(&other.url);
        assert!(!ada.is_signed_in().await);
        let page = ada.registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
        assert!(page.set_cookie().starts_with("handstamp_session_8081="), "{}", page.set_cookie());
        assert!(ada.is_signed_in().await);
        ada.signs_out().await;
        assert!(!ada.is_signed_in().await);
        ada.follows(&server.url);
        assert!(ada.is_signed_in().await, "the cookies of one port reach all ports of a host");
    }

    async fn programs_without_a_session_are_answered_401(server: TestServer) {
        let visitor = server.visitor();
        for request in [
            visitor.request(Method::GET, "/account").header("sec-fetch-mode", "cors"),
            visitor.request(Method::GET, "/account").header("accept", "*/*").header("accept", "text/plain").header("sec-fetch-mode", "no-cors"),
            visitor.request(Method::POST, "/account/password"),
        ] {
            let page = visitor.send(request).await;
            assert_eq!((page.status, page.header("content-type")), (401, "application/problem+json"));
            assert_eq!((page.header("cache-control"), page.header("vary")), ("no-store", "Cookie"));
        }
    }

    async fn a_form_sent_after_sign_out_leads_back_to_its_page(server: TestServer) {
        let anonymous = server.visitor();
        for (form, page) in [
            ("/account/profile", "/account/profile"),
            ("/account/password", "/account/password"),
            ("/account/sessions/revoke", "/account/sessions"),
            ("/account/sessions/revoke-others", "/account/sessions"),
        ] {
            let answer = anonymous.submits(form, &[("name", "Eve")]).await;
            let next: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
            let sign_in = format!("/account/login?next={next}&notice=form-not-sent");
            assert_eq!((answer.status, answer.location()), (303, sign_in.as_str()));
            assert!(anonymous.opens(&sign_in).await.shows("Your form was not sent"));
        }
        for notice in ["", "&notice=", "&notice=hello", "&notice=form-not-sent&notice=form-not-sent"] {
            assert!(!anonymous.opens(&format!("/account/login?next=%2F{notice}")).await.shows("notice"), "{notice}");
        }
    }
}

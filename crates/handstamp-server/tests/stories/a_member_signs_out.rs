use reqwest::Method;

use crate::house::ADAS_PASSWORD;
use crate::visitor::COOKIE;

crate::stories! {
    async fn and_the_session_is_over_everywhere(house: House) {
        let ada = house.ada().await;
        let copy = ada.copy();
        let page = ada.signs_out().await;
        assert_eq!((page.status, page.location()), (303, "/"));
        assert_eq!(page.set_cookie(), "handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        assert_eq!(page.header("clear-site-data"), "\"storage\"");
        assert_eq!(house.count("SELECT COUNT(*) FROM sessions").await, 0);
        assert!(!copy.is_signed_in().await);
        assert_eq!(ada.opens("/account").await.location(), "/account/login?next=%2Faccount");
        assert_eq!(house.events("session_logout").await.len(), 1);
    }

    async fn after_being_asked(house: House) {
        let ada = house.ada().await;
        let page = ada.opens("/account/logout").await;
        assert!(page.status == 200 && page.shows("action=\"/account/logout\""));
        assert!(ada.is_signed_in().await, "a link that somebody follows changes nothing");
        assert_eq!(house.visitor().opens("/account/logout").await.location(), "/");
    }

    async fn with_several_cookies_and_all_their_sessions_end(house: House) {
        for by_api in [false, true] {
            let ada = house.visitor();
            ada.registers("Ada", &format!("ada{by_api}@example.com"), ADAS_PASSWORD).await;
            let (first, second) = (ada.copy(), house.visitor());
            second.signs_in(&format!("ada{by_api}@example.com"), ADAS_PASSWORD).await;
            let cookies = format!("{COOKIE}={}; {COOKIE}=junk; {COOKIE}={}", first.token(), second.token());
            let page = house.visitor().ends_with(by_api, &cookies).await;
            assert_eq!(page.status, if by_api { 204 } else { 303 });
            assert!(page.set_cookie().contains("Max-Age=0"));
            assert!(!first.is_signed_in().await && !second.is_signed_in().await, "by API: {by_api}");
        }
    }

    async fn by_a_token_that_a_key_signed_which_is_not_known_here(house: House) {
        let mut house = house;
        house.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let ada = house.ada().await;
        house.restart_with("HANDSTAMP_SECRET_KEY", "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8");
        for by_api in [false, true] {
            let page = house.visitor().ends_with(by_api, &format!("{COOKIE}={}", ada.token())).await;
            assert_eq!(page.status, 503, "nothing was ended, so nothing is reported");
            assert!(page.shows("You are not signed out everywhere"), "{}", page.body);
            assert_eq!(page.set_cookie(), "", "another node may know the key");
        }
        assert_eq!(house.events("session_key_unknown").await.len(), 2);
        let again = house.visitor();
        again.presents(&ada.token());
        assert_eq!(again.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303, "that locks nobody out");
        assert!(again.is_signed_in().await);
        let page = house.visitor().ends_with(false, &format!("{COOKIE}={}; {COOKIE}={}", ada.token(), again.token())).await;
        assert_eq!(page.status, 303, "what can be ended is ended");
        assert!(!again.is_signed_in().await);
        for junk in ["junk".to_owned(), "A".repeat(115), format!("{}!", "A".repeat(115))] {
            assert_eq!(house.visitor().ends_with(false, &format!("{COOKIE}={junk}")).await.status, 303, "{junk}");
        }
    }

    async fn by_a_token_that_a_fallback_signed(house: House) {
        let mut house = house;
        house.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let mut ada = house.ada().await;
        house.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        house.restart_with("HANDSTAMP_SECRET_KEY", "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8");
        ada.follows(&house.url);
        let copy = ada.copy();
        assert!(copy.ends_with(false, &format!("{COOKIE}={}", ada.token())).await.status == 303);
        assert!(!ada.is_signed_in().await);
    }

    async fn who_had_two_live_sessions_and_one_sign_in_puts_it_right(house: House) {
        let ada = house.ada().await;
        let second = house.visitor();
        second.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let eve = house.visitor();
        eve.registers("Eve", "eve@example.com", "walnut-trumpet-glacier").await;
        let cookies = format!("{COOKIE}={}; {COOKIE}={}", ada.token(), eve.token());
        let browser = house.visitor();
        let fields = [("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("remember", "on")];
        let page = browser.send(browser.form("/account/login", &fields).header("cookie", &cookies)).await;
        assert_eq!((page.status, page.location()), (303, "/account"));
        assert!(!ada.is_signed_in().await && !eve.is_signed_in().await, "both sessions that were shown have ended");
        assert!(second.is_signed_in().await, "one that was not shown goes on");
        let beside = format!("{cookies}; {COOKIE}={}", browser.token());
        let request = house.visitor().request(Method::GET, "/account").header("cookie", beside);
        assert!(ada.send(request).await.shows("Welcome, Ada"), "whatever the browser still sends beside it");
    }

    async fn twice(house: House) {
        let ada = house.ada().await;
        let copy = ada.copy();
        ada.signs_out().await;
        for again in [ada.signs_out().await, copy.signs_out().await] {
            assert_eq!((again.status, again.location()), (303, "/"));
        }
        assert!(!copy.has_cookie());
    }

    async fn and_a_program_is_told_401(house: House) {
        let visitor = house.visitor();
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

    async fn and_a_form_sent_afterwards_leads_back_to_its_page(house: House) {
        let stranger = house.visitor();
        for (form, page) in [
            ("/account/profile", "/account/profile"),
            ("/account/password", "/account/password"),
            ("/account/sessions/revoke", "/account/sessions"),
            ("/account/sessions/revoke-others", "/account/sessions"),
        ] {
            let answer = stranger.submits(form, &[("name", "Eve")]).await;
            let next: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
            assert_eq!((answer.status, answer.location()), (303, format!("/account/login?next={next}").as_str()));
        }
    }
}

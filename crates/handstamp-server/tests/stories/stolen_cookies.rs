//! Session cookies that were copied, changed, made up or sent beside others.

use handstamp_testing::{ADAS_PASSWORD, COOKIE};

handstamp_testing::stories! {
    async fn a_session_token_with_a_flipped_bit_is_refused(server: TestServer) {
        let ada = server.ada().await;
        let token = ada.token();
        let thief = server.visitor();
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // No client sends bytes that a cookie cannot carry.
            let Some(changed) = String::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())) else {
                continue;
            };
            thief.presents(&changed);
            assert!(!thief.is_signed_in().await, "bit {bit}");
        }
        thief.presents(&token);
        assert!(thief.is_signed_in().await, "the unchanged token is accepted");
        assert!(!server.events("session_token_refused").is_empty());
    }

    async fn truncated_and_extended_session_tokens_are_refused(server: TestServer) {
        let ada = server.ada().await;
        let token = ada.token();
        let thief = server.visitor();
        for text in ["", "=", &token[..115], &token[1..], &format!("{token}A"), &format!("{token}="), &format!("\"{token}\""), &"A".repeat(116), &"A".repeat(6000)] {
            thief.presents(text);
            assert!(!thief.is_signed_in().await, "{text}");
        }
    }

    async fn two_live_session_cookies_are_refused_and_junk_is_ignored(server: TestServer) {
        let ada = server.ada().await;
        let bob = server.visitor();
        bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        for cookies in [format!("{COOKIE}={0}; {COOKIE}={0}", ada.token()), format!("{COOKIE}={}; {COOKIE}={}", bob.token(), ada.token())] {
            let request = server.visitor().request(reqwest::Method::GET, "/account").header("cookie", cookies);
            assert_eq!(ada.send(request).await.status, 303, "two live sessions are ambiguous in any order");
        }
        for cookies in [format!("{COOKIE}=x; {COOKIE}={}", ada.token()), format!("{COOKIE}={}; {COOKIE}", ada.token())] {
            let request = server.visitor().request(reqwest::Method::GET, "/account").header("cookie", cookies);
            assert!(ada.send(request).await.shows("Welcome, Ada"), "junk beside a live session is ignored");
        }
        let ended = bob.token();
        bob.signs_out().await;
        let cookies = format!("{COOKIE}={ended}; {COOKIE}={}", ada.token());
        let request = server.visitor().request(reqwest::Method::GET, "/account").header("cookie", cookies);
        assert!(ada.send(request).await.shows("Welcome, Ada"), "a revoked session beside a live one is ignored");
        let others = format!("a=b; {COOKIE}2=x; {COOKIE}={}; =; ;;", ada.token());
        let request = server.visitor().request(reqwest::Method::GET, "/account").header("cookie", others);
        assert_eq!(ada.send(request).await.status, 200, "cookies of other names are ignored");
    }

    async fn a_session_cookie_of_a_disabled_account_is_refused(server: TestServer) {
        let ada = server.ada().await;
        server.execute("UPDATE users SET disabled_at = 1").await;
        assert!(!ada.is_signed_in().await);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
    }

    async fn sign_in_revokes_the_session_that_it_replaces(server: TestServer) {
        let ada = server.ada().await;
        let copy = ada.copy();
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert!(ada.is_signed_in().await && !copy.is_signed_in().await);
        let eve = ada.copy();
        eve.registers("Eve", "eve@example.com", "walnut-trumpet-glacier").await;
        assert!(eve.opens("/account").await.shows("Welcome, Eve") && !ada.is_signed_in().await);
    }

    async fn a_token_that_was_never_issued_is_not_adopted(server: TestServer) {
        let thief = server.visitor();
        thief.presents(&"B".repeat(116));
        thief.opens("/").await;
        assert!(!thief.signs_out().await.set_cookie().contains("BBB"), "an unknown token is never adopted");
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 0);
    }
}

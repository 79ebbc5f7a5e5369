//! Password guessing: limits per account, device, session and network, and the detection of attacks.

use handstamp_testing::{ADAS_PASSWORD, DEVICE_COOKIE, Page, TestServer, Visitor};

/// Tries this many wrong passwords one after another, and returns the statuses.
async fn guesses(visitor: &Visitor, email: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for number in 0..times {
        statuses.push(visitor.signs_in(email, &format!("wrong password {number}")).await.status);
    }
    statuses
}

/// Everything that a client learns from a response, without the parts that differ between any two responses.
fn learned(page: &Page, email: &str) -> (u16, Vec<String>, String) {
    let mut headers: Vec<_> = page.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.retain(|header| !["date", "x-request-id", "content-length"].iter().any(|name| header.starts_with(name)));
    (page.status, headers, page.body.replace(email, "…"))
}

/// The number of passwords that were evaluated and wrong.
async fn looked_at(server: &TestServer) -> usize {
    server.events("authn_login_fail").len()
}

handstamp_testing::stories! {
    async fn every_failed_sign_in_gets_the_same_response(server: TestServer) {
        server.ada().await;
        for address in ["disabled@example.com", "without@example.com"] {
            server.visitor().registers("Bob", address, "walnut-trumpet-glacier").await;
        }
        server.execute("UPDATE users SET disabled_at = 1 WHERE email = 'disabled@example.com'").await;
        server.execute("UPDATE users SET password_hash = NULL WHERE email = 'without@example.com'").await;
        let mut answers = Vec::new();
        for (email, password) in [
            ("ada@example.com", "wrong-password"),
            ("nobody@example.com", ADAS_PASSWORD),
            ("disabled@example.com", "walnut-trumpet-glacier"),
            ("without@example.com", "walnut-trumpet-glacier"),
        ] {
            answers.push(learned(&server.visitor().signs_in(email, password).await, email));
        }
        assert_eq!(answers[0].0, 422);
        assert!(answers[0].2.contains("The e-mail address or the password is wrong."));
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(looked_at(&server).await, 4);
    }

    async fn ten_failures_throttle_an_address_with_or_without_an_account(server: TestServer) {
        server.ada().await;
        let mut answers = Vec::new();
        for email in ["ada@example.com", "nobody@example.com"] {
            assert_eq!(guesses(&server.visitor(), email, 10).await, [422; 10]);
            // The address in another letter case is the same account, and the right password is not evaluated either.
            let page = server.visitor().signs_in(&email.to_uppercase(), ADAS_PASSWORD).await;
            assert!(page.shows("<h1>Too many attempts</h1>") && page.shows("Please try again in"), "{}", page.body);
            let wait: u32 = page.header("retry-after").parse().unwrap();
            assert!((40..=60).contains(&wait), "{wait}");
            answers.push(learned(&page, email));
        }
        answers.iter_mut().for_each(|(_, headers, body)| {
            headers.retain(|header| !header.starts_with("retry-after"));
            *body = body.replace(|c: char| c.is_ascii_digit(), "0").replace("00", "0");
        });
        assert_eq!((answers[0].0, &answers[0]), (429, &answers[1]));
        assert_eq!(looked_at(&server).await, 20);
        assert_eq!(server.events("authn_login_fail_max").len(), 2);
    }

    async fn of_100_concurrent_guesses_ten_are_evaluated(server: TestServer) {
        server.ada().await;
        let tasks: Vec<_> = (0..100).map(|i| {
            let visitor = server.visitor();
            tokio::spawn(async move { visitor.signs_in("ada@example.com", &format!("wrong {i}")).await.status })
        }).collect();
        let mut wrong = 0;
        for task in tasks {
            let status = task.await.unwrap();
            assert!(status == 422 || status == 429, "{status}");
            wrong += usize::from(status == 422);
        }
        assert_eq!((wrong, looked_at(&server).await), (10, 10));
    }

    async fn throttling_survives_a_kill_and_applies_on_all_nodes(mut server: TestServer) {
        server.ada().await;
        guesses(&server.visitor(), "ada@example.com", 10).await;
        let elsewhere = server.start_node();
        assert_eq!(elsewhere.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 429);
        server.kill_and_restart();
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 429);
    }

    async fn guessing_does_not_lock_out_the_owner(server: TestServer) {
        let ada = server.ada().await;
        let (phone, bob) = (server.visitor(), server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        guesses(&server.visitor(), "ada@example.com", 12).await;
        assert!(ada.is_signed_in().await && phone.is_signed_in().await);
        ada.signs_out().await;
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303, "on a device where she signed in before");
        assert_eq!(bob.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 429, "on a device where another user signed in");
    }

    async fn stolen_and_forged_device_cookies_are_throttled(server: TestServer) {
        let ada = server.ada().await;
        let (thief, forger) = (server.visitor(), server.visitor());
        guesses(&server.visitor(), "ada@example.com", 10).await;
        thief.presents_as(DEVICE_COOKIE, &ada.device());
        forger.presents_as(DEVICE_COOKIE, &ada.device().replace('A', "B"));
        assert_eq!(guesses(&forger, "ada@example.com", 1).await, [429]);
        assert_eq!(guesses(&thief, "ada@example.com", 12).await, [[422; 10].as_slice(), &[429; 2]].concat());
        assert!(ada.is_signed_in().await);
    }

    async fn a_device_cookie_remembers_all_users_of_a_shared_browser(server: TestServer) {
        let browser = server.ada().await;
        browser.signs_out().await;
        browser.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        browser.signs_out().await;
        for email in ["ada@example.com", "bob@example.com"] {
            guesses(&server.visitor(), email, 10).await;
        }
        assert_eq!(browser.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        assert_eq!(browser.signs_in("bob@example.com", "walnut-trumpet-glacier").await.status, 303);
    }

    async fn successful_sign_ins_do_not_count_as_attempts(server: TestServer) {
        server.ada().await;
        for _ in 0..12 {
            assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        }
        assert_eq!(guesses(&server.visitor(), "ada@example.com", 10).await, [422; 10]);
    }

    async fn guesses_of_the_current_password_are_throttled_per_session(server: TestServer) {
        let ada = server.ada().await;
        let (thief, phone) = (ada.copy(), server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        for _ in 0..10 {
            assert_eq!(thief.changes_password("wrong", "walnut-trumpet-glacier").await.status, 422);
        }
        let page = thief.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await;
        assert_eq!(page.status, 429);
        let seconds: u64 = page.header("retry-after").parse().unwrap();
        assert!((50..=60).contains(&seconds), "{seconds} seconds, with some gone on a busy machine");
        assert!(thief.is_signed_in().await, "guessing revokes no session");
        assert_eq!(phone.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await.status, 303);
        assert!(!thief.is_signed_in().await);
    }

    async fn sign_ins_are_limited_per_network(mut server: TestServer) {
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8");
        server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK", "3");
        let from = |address: &str| server.visitor().comes_from(address);
        let ada = server.ada().await;
        for (number, address) in ["198.51.100.7", "203.0.113.1, 198.51.100.7", "::1,198.51.100.7,10.1.2.3"].iter().enumerate() {
            assert_eq!(guesses(&from(address), &format!("somebody{number}@example.com"), 1).await, [422], "{address}");
        }
        assert_eq!(from("198.51.100.7").signs_in("ada@example.com", ADAS_PASSWORD).await.status, 429);
        assert_eq!(from("198.51.100.8").signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let at_home = ada.copy().comes_from("198.51.100.7");
        assert_eq!(at_home.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303, "a device that signed in before is not limited");
        let half = guesses(&from("2001:db8:1:2::1"), "nobody@example.com", 3).await;
        assert_eq!((half.as_slice(), guesses(&from("2001:db8:1:2:ffff::9"), "nobody@example.com", 1).await), ([422; 3].as_slice(), vec![429]));
        // An unreadable address does not escape the limit: it counts for the proxy.
        let junk: Vec<_> = ["junk", "junk, ", "1.2.3.4.5", "198.51.100.9, unknown"].to_vec();
        for (number, address) in junk.iter().enumerate() {
            let expected = if number < 3 { 422 } else { 429 };
            assert_eq!(guesses(&from(address), &format!("else{number}@example.com"), 1).await, [expected], "{address}");
        }
    }

    async fn an_untrusted_x_forwarded_for_does_not_escape_the_limits(mut server: TestServer) {
        server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK", "3");
        for number in 0..4 {
            let visitor = server.visitor().comes_from(&format!("198.51.100.{number}"));
            let expected = if number < 3 { 422 } else { 429 };
            assert_eq!(guesses(&visitor, &format!("somebody{number}@example.com"), 1).await, [expected]);
        }
        assert_eq!(server.events("proxy_not_trusted").len(), 1, "the operator is warned once");
        let ada = server.ada().await;
        assert!(ada.opens("/account/sessions").await.shows("127.0.0.1"));
    }

    async fn registrations_are_limited_per_network(mut server: TestServer) {
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
        server.restart_with("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "3");
        let from = |address: &str| server.visitor().comes_from(address);
        assert_eq!(from("198.51.100.7").registers("Ada", "ada@example.com", ADAS_PASSWORD).await.status, 303);
        for _ in 0..2 {
            assert_eq!(from("198.51.100.7").registers("Eve", "ada@example.com", "walnut-trumpet-glacier").await.status, 422);
        }
        for email in ["ada@example.com", "nobody@example.com"] {
            let page = from("198.51.100.7").registers("Eve", email, ADAS_PASSWORD).await;
            let wait: u32 = page.header("retry-after").parse().unwrap();
            assert!(page.status == 429 && (800..=900).contains(&wait) && page.shows("in 15 minutes"), "{wait}");
        }
        assert_eq!(from("198.51.100.8").registers("Bob", "bob@example.com", ADAS_PASSWORD).await.status, 303);
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 2);
    }

    async fn password_spraying_and_credential_stuffing_are_reported(mut server: TestServer) {
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
        server.enable_metrics();
        for number in 0..12 {
            let visitor = server.visitor().comes_from("198.51.100.7");
            visitor.signs_in(&format!("somebody{number}@example.com"), "Summer2026!").await;
        }
        assert_eq!(server.events("password_spraying").len(), 1);
        for number in 0..100 {
            let visitor = server.visitor().comes_from(&format!("198.51.100.{}", number % 25));
            visitor.signs_in(&format!("customer{number}@example.com"), &format!("stolen elsewhere {number}")).await;
        }
        assert_eq!(server.events("credential_stuffing").len(), 1);
        for kind in ["spraying", "stuffing"] {
            assert_eq!(server.metric(&format!("handstamp_attacks_detected_total{{kind=\"{kind}\"}}")).await, 1.0);
        }
        assert_eq!(server.metric("handstamp_password_checks_total{outcome=\"failure\"}").await, 112.0);
    }

    async fn user_unlock_ends_the_throttling(server: TestServer) {
        server.ada().await;
        guesses(&server.visitor(), "ada@example.com", 10).await;
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 429);
        assert_eq!(server.run_cli(&["user", "unlock", "ADA@example.com"], ""), (0, "unlocked ADA@example.com\n".into(), String::new()));
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        assert_eq!(server.run_cli(&["user", "unlock", "ada@example.com"], "").1, "there were no wrong passwords for ada@example.com\n");
        assert_eq!(server.run_cli(&["user", "unlock", "nobody@example.com"], "").0, 3);
    }

    async fn a_limit_of_zero_disables_throttling(mut server: TestServer) {
        server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "0");
        server.ada().await;
        assert_eq!(guesses(&server.visitor(), "ada@example.com", 30).await, [422; 30]);
        assert_eq!(server.count("SELECT COUNT(*) FROM attempts").await, 0);
    }
}

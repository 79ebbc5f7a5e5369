//! Registration of new users.

use handstamp_testing::ADAS_PASSWORD;

handstamp_testing::stories! {
    async fn a_new_user_is_signed_in_and_welcomed_by_name(server: TestServer) {
        let ada = server.visitor();
        assert!(ada.opens("/").await.shows("/account/register"));
        let page = ada.registers("Ada Lovelace", " Ada@Example.com ", ADAS_PASSWORD).await;
        assert_eq!((page.status, page.location()), (303, "/account"));
        let account = ada.opens("/account").await;
        assert_eq!(account.status, 200);
        assert!(account.shows("Welcome, Ada Lovelace") && account.shows("Ada@example.com"));
        let home = ada.opens("/").await;
        assert!(home.shows("href=\"/account\"") && home.shows("action=\"/account/logout\""));
        assert_eq!(server.events("user_created").len(), 1);
    }

    async fn registration_sets_a_session_cookie_for_30_days(server: TestServer) {
        let page = server.visitor().registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
        let (pair, attributes) = page.set_cookie().split_once(';').unwrap();
        assert_eq!(pair.split_once('=').unwrap().0, "handstamp_session");
        assert_eq!(pair.split_once('=').unwrap().1.len(), 116);
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000");
        assert_eq!((page.header("cache-control"), page.header("vary")), ("no-store", "Cookie"));
        assert_eq!(server.count("SELECT expires_at - created_at FROM sessions").await, 2_592_000);
    }

    async fn registration_returns_to_the_requested_page(server: TestServer) {
        let form = server.visitor().opens("/account/register?next=%2Faccount%2Fsessions").await;
        assert_eq!(form.hidden("next"), ["/account/sessions"]);
        let fields = [("name", "Ada"), ("email", "ada@example.com"), ("password", ADAS_PASSWORD), ("next", "/account/sessions")];
        assert_eq!(server.visitor().submits("/account/register", &fields).await.location(), "/account/sessions");
    }

    async fn a_taken_email_address_is_refused_in_any_letter_case(server: TestServer) {
        server.ada().await;
        for address in ["ada@example.com", "ADA@EXAMPLE.COM", " ada@Example.com"] {
            let eve = server.visitor();
            let page = eve.registers("Eve", address, "walnut-trumpet-glacier").await;
            assert_eq!(page.status, 422);
            assert!(page.error_of("email").unwrap().contains("already has an account"));
            assert!(page.shows("value=\"Eve\"") && !page.shows("walnut-trumpet-glacier"));
            assert!(!eve.has_cookie());
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
    }

    async fn a_registration_sent_twice_leaves_one_account_and_both_responses_sign_in(server: TestServer) {
        for number in 0..5 {
            let (first, email) = (server.visitor(), format!("ada{number}@example.com"));
            let second = first.copy();
            let (first_page, second_page) = tokio::join!(
                first.registers("Ada", &email, ADAS_PASSWORD),
                second.registers("Ada", &email, ADAS_PASSWORD)
            );
            for page in [first_page, second_page] {
                assert_eq!((page.status, page.location()), (303, "/account"), "{:?}", page.error_of("email"));
            }
            assert!(first.is_signed_in().await && second.is_signed_in().await, "the browser keeps the cookie of either");
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 5);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 10);
    }

    async fn look_alike_email_addresses_are_refused(server: TestServer) {
        server.visitor().registers("Kim", "kim@site.example", ADAS_PASSWORD).await;
        for look_alike in ["\u{212A}im@site.example", "kim@\u{17F}ite.example", "k\u{131}m@site.example", "kim\u{FF20}site.example", "kim@si\u{200B}te.example"] {
            let page = server.visitor().registers("Eve", look_alike, ADAS_PASSWORD).await;
            assert_eq!(page.status, 422, "{look_alike}");
            assert!(page.error_of("email").unwrap().contains("name@example.com"));
        }
    }

    async fn invisible_user_names_are_refused(server: TestServer) {
        for name in ["\u{200B}", "\u{AD}", "\u{2060}", "\u{E0041}", "\u{3164}", "\u{2800}"] {
            let page = server.visitor().registers(name, "ada@example.com", ADAS_PASSWORD).await;
            assert_eq!((page.status, page.error_of("name").unwrap().as_str()), (422, "Enter your name."), "{name:?}");
        }
        let hidden = server.visitor().registers("Ada\u{E0041}\u{E0042}", "ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(hidden.status, 303, "invisible characters at the end are trimmed");
        assert_eq!(server.cli_json(&["user", "show", "ada@example.com"])["name"], "Ada");
        let hidden = server.visitor().registers("A\u{E0041}da", "eve@example.com", ADAS_PASSWORD).await;
        assert!(hidden.status == 422 && hidden.error_of("name").unwrap().contains("invisible"));
    }

    async fn invisible_characters_around_an_email_address_are_trimmed(server: TestServer) {
        let page = server.visitor().registers("Ada", "\u{200B}ada@example.com\u{FEFF}\u{202C}", ADAS_PASSWORD).await;
        assert_eq!(page.status, 303);
        assert_eq!(server.visitor().signs_in("ada@example.com\u{200B}", ADAS_PASSWORD).await.status, 303);
    }

    async fn the_error_of_an_email_address_names_the_invalid_character(server: TestServer) {
        for (address, says) in [("müller@example.com", "“ü” before the @"), ("a\u{200B}da@example.com", "invisible character")] {
            let page = server.visitor().registers("Ada", address, ADAS_PASSWORD).await;
            assert!(page.status == 422 && page.error_of("email").unwrap().contains(says), "{:?}", page.error_of("email"));
            let page = server.visitor().signs_in(address, ADAS_PASSWORD).await;
            assert!(page.status == 422 && page.error_of("email").unwrap().contains(says), "{:?}", page.error_of("email"));
        }
    }

    async fn every_registration_field_is_required(server: TestServer) {
        let page = server.visitor().registers(" ", "ada", "short").await;
        assert_eq!(page.status, 422);
        assert!(page.shows("<title>Error: "));
        assert_eq!(page.error_of("name").unwrap(), "Enter your name.");
        assert!(page.error_of("email").unwrap().contains("name@example.com"));
        assert_eq!(page.error_of("password").unwrap(), "Use at least 8 characters.");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
    }

    async fn a_guessable_password_is_refused_with_advice(server: TestServer) {
        for guess in ["password", "handstamp", "ada.lovelace", "lovelace1815"] {
            let page = server.visitor().registers("Ada Lovelace", "ada.lovelace@example.com", guess).await;
            assert_eq!(page.status, 422, "{guess}");
            let error = page.error_of("password").unwrap();
            assert!(error.contains("easy to guess") && error.len() > 40, "{error}");
        }
    }

    async fn a_password_of_257_characters_is_refused_and_not_truncated(server: TestServer) {
        let long: String = (0..64).map(|i| format!("{:04x}", i * 40_503 % 65_536)).collect();
        let page = server.visitor().registers("Ada", "ada@example.com", &format!("{long}x")).await;
        assert_eq!((page.status, page.error_of("password").unwrap().as_str()), (422, "Use at most 256 characters."));
        assert_eq!(server.visitor().registers("Ada", "ada@example.com", &long).await.status, 303);
        assert_eq!(server.visitor().signs_in("ada@example.com", &long[..255]).await.status, 422);
        assert_eq!(server.visitor().signs_in("ada@example.com", &format!("{long}x")).await.status, 422);
        assert_eq!(server.visitor().signs_in("ada@example.com", &long).await.status, 303);
    }

    async fn sign_in_compares_every_character_of_the_password(server: TestServer) {
        let password = " Plum\toctave\0 harbou\u{0301}r ";
        assert_eq!(server.visitor().registers("Ada", "ada@example.com", password).await.status, 303);
        for other in ["Plum\toctave\0 harbou\u{0301}r", " plum\toctave\0 harbou\u{0301}r ", " Plum\toctave", " Plum octave\0 harbou\u{0301}r "] {
            assert_eq!(server.visitor().signs_in("ada@example.com", other).await.status, 422, "{other:?}");
        }
        let composed = " Plum\toctave\0 harbo\u{00FA}r ";
        assert_eq!(server.visitor().signs_in("ada@example.com", composed).await.status, 303, "NFC");
    }

    async fn user_input_is_escaped_on_pages(server: TestServer) {
        let name = "<script>alert(1)</script>\"'&";
        let page = server.visitor().registers(name, "<img src=x>", ADAS_PASSWORD).await;
        assert!(page.status == 422 && !page.shows("<script>") && !page.shows("<img"));
        let ada = server.visitor();
        ada.registers(name, "ada@example.com", ADAS_PASSWORD).await;
        for path in ["/", "/account", "/account/profile", "/account/sessions"] {
            assert!(!ada.opens(path).await.shows("<script>"), "{path}");
        }
    }

    async fn closed_registration_accepts_no_users(mut server: TestServer) {
        server.restart_with("HANDSTAMP_REGISTRATION", "closed");
        assert!(!server.visitor().opens("/").await.shows("/account/register"));
        assert!(server.visitor().opens("/account/register").await.shows("closed"));
        let page = server.visitor().registers("Ada", "ada@example.com", ADAS_PASSWORD).await;
        assert!(page.status == 403 && page.shows("closed"));
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
    }
}

//! Second factors, with pyotp as the authenticator app of the user.

use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, Authenticator, TestServer, Visitor};

const OLD: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const NEW: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";
const SECOND_FACTOR: &str = "/account/login/second-factor";

/// Sets an app up with the code of the step before this one, and returns it with the recovery codes.
async fn sets_up(visitor: &Visitor) -> (Authenticator, Vec<String>) {
    let page = visitor.opens("/account/totp").await;
    let url = between(&page.body, "<a href=\"otpauth", "\"").replace("&#x2f;", "/").replace("&amp;", "&");
    let app = Authenticator { url: format!("otpauth{url}") };
    let page = visitor.submits("/account/totp", &[("code", &app.code(-1))]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let codes = page.body.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    (app, codes)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split(start).nth(1).unwrap_or_else(|| panic!("{text} has no {start}")).split(end).next().unwrap()
}

/// A browser in which Ada has typed her password.
async fn with_password(url: &str) -> Visitor {
    let visitor = Visitor::new(url);
    let page = visitor.signs_in("ada@example.com", ADAS_PASSWORD).await;
    assert_eq!((page.status, page.location()), (303, SECOND_FACTOR));
    visitor
}

/// Sends the same code from fifty browsers at once, at both nodes in turn, and returns how many are signed in.
async fn signed_in_by(code: &str, nodes: [&TestServer; 2]) -> usize {
    let mut browsers = Vec::new();
    for number in 0..50 {
        browsers.push(with_password(&nodes[number % 2].url).await);
    }
    let fields = [("code", code)];
    let sends = browsers.iter().map(|browser| browser.submits(SECOND_FACTOR, &fields));
    let pages = futures_util::future::join_all(sends).await;
    let mut signed_in = 0;
    for (browser, page) in browsers.iter().zip(pages) {
        assert!([303, 422, 429].contains(&page.status), "{}", page.status);
        signed_in += usize::from(browser.is_signed_in().await);
    }
    signed_in
}

handstamp_testing::stories! {
    async fn a_user_without_a_password_sets_one(server: TestServer) {
        let (ada, phone) = (server.ada().await, server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(server.execute("UPDATE users SET password_hash = NULL").await, 1);
        assert!(ada.opens("/account/security").await.shows("Set a password"));
        assert!(!ada.opens("/account/password").await.shows("current_password"));
        let weak = ada.submits("/account/password", &[("password", "short")]).await;
        assert!(weak.status == 422 && weak.error_of("password").is_some());
        let set = ada.submits("/account/password", &[("password", "brass-wheels-weave")]).await;
        assert_eq!((set.status, set.location()), (303, "/account?done=password"));
        assert!(ada.is_signed_in().await && !phone.is_signed_in().await);
        server.wait_for_event("authn_password_change").await;
        let laptop = server.visitor();
        assert_eq!(laptop.signs_in("ada@example.com", "brass-wheels-weave").await.location(), "/account");
        assert!(laptop.opens("/account/password").await.shows("current_password"));
    }

    async fn a_set_up_that_is_sent_twice_at_once_leads_to_its_recovery_codes(server: TestServer) {
        let ada = server.ada().await;
        let page = ada.opens("/account/totp").await;
        let url = between(&page.body, "<a href=\"otpauth", "\"").replace("&#x2f;", "/").replace("&amp;", "&");
        let code = Authenticator { url: format!("otpauth{url}") }.code(-1);
        let (again, fields) = (ada.copy(), [("code", code.as_str())]);
        let (first, second) = tokio::join!(ada.submits("/account/totp", &fields), again.submits("/account/totp", &fields));
        let (shown, led) = if first.status == 200 { (first, second) } else { (second, first) };
        assert_eq!((shown.status, shown.body.matches("<code>").count()), (200, 10));
        let to = "/account/login?notice=app-is-set-up&next=%2Faccount%2Fsecurity%3Fnotice%3Dcodes-shown-once";
        assert_eq!((led.status, led.location()), (303, to));
        assert_ne!(ada.is_signed_in().await, again.is_signed_in().await, "one of them has the session");
    }

    async fn a_user_signs_in_with_an_app_and_a_recovery_code_and_removes_the_app(server: TestServer) {
        let (ada, phone) = (server.ada().await, server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let (app, codes) = sets_up(&ada).await;
        assert_eq!(codes.len(), 10);
        assert!(ada.is_signed_in().await && !phone.is_signed_in().await);

        let phone = with_password(&server.url).await;
        assert!(!phone.is_signed_in().await, "there is no session before the code");
        let (wrong, used) = (phone.submits(SECOND_FACTOR, &[("code", "000000")]).await, app.code(-1));
        assert!(wrong.status == 422 && wrong.error_of("code").is_some());
        assert_eq!(phone.submits(SECOND_FACTOR, &[("code", &used)]).await.status, 422, "it was used");
        let page = phone.submits(SECOND_FACTOR, &[("code", &app.code(0))]).await;
        assert_eq!((page.status, page.location()), (303, "/account"));
        assert!(phone.is_signed_in().await);

        let laptop = with_password(&server.url).await;
        assert_eq!(laptop.submits(SECOND_FACTOR, &[("code", &codes[0])]).await.status, 303);
        assert!(laptop.is_signed_in().await);
        assert_eq!(server.wait_for_event("authn_recovery_code_used").await["left"], 9);

        let shown = server.cli_json(&["user", "show", "ada@example.com"]);
        assert_eq!((&shown["factors"]["has_password"], &shown["factors"]["recovery_codes"]), (&true.into(), &9.into()));
        assert!(shown["factors"]["totp_since"].is_string(), "{shown}");
        assert!(server.run_cli(&["user", "show", "ada@example.com"], "").1.contains("recovery codes left: 9"));

        assert_eq!(ada.submits("/account/totp/remove", &[]).await.location(), "/account/security?notice=totp-removed");
        assert!(ada.is_signed_in().await && !phone.is_signed_in().await && !laptop.is_signed_in().await);
        assert_eq!(phone.signs_in("ada@example.com", ADAS_PASSWORD).await.location(), "/account");
    }

    async fn of_fifty_uses_of_one_code_at_once_on_two_nodes_one_signs_in(mut server: TestServer) {
        server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "100");
        let node = server.start_node();
        let (app, _) = sets_up(&server.ada().await).await;
        assert_eq!(signed_in_by(&app.code(1), [&server, &node]).await, 1);
    }

    async fn of_fifty_uses_of_one_recovery_code_at_once_on_two_nodes_one_signs_in(mut server: TestServer) {
        server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "100");
        let node = server.start_node();
        let (_, codes) = sets_up(&server.ada().await).await;
        assert_eq!(signed_in_by(&codes[7], [&server, &node]).await, 1);
    }

    async fn a_raised_session_is_dead_under_its_former_token_on_every_node(server: TestServer) {
        let node = server.start_node();
        let ada = server.ada().await;
        let copy = ada.at(&node.url);
        assert!(copy.is_signed_in().await, "the node has it in its cache");
        sets_up(&ada).await;
        assert!(!copy.is_signed_in().await);
        let claims = ada.at(&node.url);
        assert!(claims.is_signed_in().await, "and the new one is live there");
    }

    async fn an_operator_removes_the_factors_of_a_user_who_has_lost_them(server: TestServer) {
        let node = server.start_node();
        let ada = server.ada().await;
        let (app, codes) = sets_up(&ada).await;
        let (waits, copy) = (with_password(&server.url).await, ada.at(&node.url));
        assert!(copy.is_signed_in().await);
        let printed = server.run_cli(&["user", "reset-factors", "ADA@example.com"], "");
        assert_eq!(printed, (0, "removed the second factors of ada@example.com, and revoked 1 session\n".into(), String::new()));
        assert!(!copy.is_signed_in().await, "on every node when the command returns");
        assert_eq!(waits.submits(SECOND_FACTOR, &[("code", &app.code(0))]).await.location(), "/account/login");
        assert_eq!(waits.submits(SECOND_FACTOR, &[("code", &codes[0])]).await.location(), "/account/login");
        assert_eq!(waits.signs_in("ada@example.com", ADAS_PASSWORD).await.location(), "/account");
        assert_eq!(server.run_cli(&["user", "reset-factors", "nobody@example.com"], "").0, 3);
    }

    async fn nothing_at_rest_and_nothing_that_is_shown_has_a_secret(server: TestServer) {
        let ada = server.ada().await;
        let (app, codes) = sets_up(&ada).await;
        let secret = between(&app.url, "secret=", "&").to_owned();
        let export = ada.opens("/account/export").await;
        assert_eq!(export.status, 200);
        assert!(export.body.contains("\"recovery_codes\": 10") || export.body.contains("\"recovery_codes\":10"), "{}", export.body);
        let shown = server.run_cli(&["user", "show", "ada@example.com", "--json"], "").1;
        let texts = [export.body, shown, server.log(), server.run_cli(&["events", "list", "--json"], "").1];
        for text in texts {
            assert!(!text.contains(&secret) && codes.iter().all(|code| !text.contains(code.as_str())), "{text}");
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM totp_secrets WHERE length(sealed) = 4 + 24 + 20 + 16").await, 1);
    }

    async fn a_key_rotation_seals_secrets_anew_before_the_old_key_goes(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        let (app, _) = sets_up(&server.ada().await).await;
        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", OLD);
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        let phone = with_password(&server.url).await;
        assert_eq!(phone.submits(SECOND_FACTOR, &[("code", &app.code(0))]).await.status, 303, "a fallback opens it");
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "");
        server.restart();
        let phone = with_password(&server.url).await;
        assert_eq!(phone.submits(SECOND_FACTOR, &[("code", &app.code(1))]).await.status, 303, "it was sealed anew");
    }

    async fn an_app_that_no_key_opens_is_told_to_the_operator(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        let (app, codes) = sets_up(&server.ada().await).await;
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        let phone = with_password(&server.url).await;
        assert_eq!(phone.submits(SECOND_FACTOR, &[("code", &app.code(0))]).await.status, 422);
        assert_eq!(server.wait_for_event("factor_key_unknown").await["level"], "ERROR");
        assert_eq!(phone.submits(SECOND_FACTOR, &[("code", &codes[0])]).await.status, 303, "recovery codes are no secret of the key");
    }

    async fn a_second_factor_that_is_required_comes_before_the_app(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SECOND_FACTOR__REQUIRED", "staff");
        let ada = server.ada().await;
        let asks = async || {
            let request = ada.request(reqwest::Method::GET, "/auth/request").header("x-forwarded-uri", "/notes");
            ada.send(request).await.status
        };
        assert_eq!(asks().await, 200);
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        assert_eq!(asks().await, 401);
        assert_eq!(ada.opens("/account/sessions").await.location(), "/account/confirm?assurance=2&next=%2Faccount%2Fsessions");
        sets_up(&ada).await;
        assert_eq!((asks().await, ada.opens("/account/sessions").await.status), (200, 200));
    }
}

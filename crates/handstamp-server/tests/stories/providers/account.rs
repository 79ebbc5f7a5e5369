//! Accounts of users who sign in through a provider: registration, second factors, groups, confirmation, and the last way in.

use handstamp_testing::{ADAS_PASSWORD, Authenticator, FakeProvider, Page, TestServer, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ACME, begins, comes_back, connects, identities, link, logs_refusal, offer, signs_in, tells_a_refusal, users,
};

const SECOND_FACTOR: &str = "/account/login/second-factor";
const ADA: &str = "ada@example.com";

/// A server with a provider, and the provider.
fn with_provider(mut server: TestServer, settings: &[(&str, &str)]) -> (TestServer, FakeProvider) {
    let provider = FakeProvider::start();
    offer(&mut server, &provider, settings);
    (server, provider)
}

/// Turns an authenticator app on, by the code of the step before this one.
async fn turns_on_an_app(visitor: &Visitor) -> Authenticator {
    let page = visitor.opens("/account/totp").await;
    let url = link(&page.body, "otpauth:").unwrap();
    let app = Authenticator { url };
    let page = visitor.submits("/account/totp", &[("code", &app.code(-1))]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    app
}

/// The assurance level that the session of a visitor has reached, or 0 without one.
async fn level(visitor: &Visitor) -> u32 {
    for level in [3, 2, 1] {
        let path = format!("/auth/request?assurance={level}");
        if visitor.send(visitor.request(Method::GET, &path)).await.status == 200 {
            return level;
        }
    }
    0
}

/// Opens the link of the confirmation page, and answers as the provider does. `change` is made meanwhile.
async fn confirms(visitor: &Visitor, provider: &FakeProvider, change: Value) -> Page {
    let page = visitor.opens("/account/confirm?next=%2Faccount%2Fsecurity").await;
    let link = link(&page.body, "/account/with/acme?start=").unwrap_or_else(|| panic!("{}", page.body));
    let url = begins(visitor, &link).await;
    provider.changes(change);
    comes_back(visitor, &provider.answers(&url)).await
}

handstamp_testing::stories! {
    async fn a_new_user_has_an_account_without_a_password(server: TestServer) {
        let (server, provider) = with_provider(server, &[]);
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.location(), "/account");
        assert!(ada.opens("/account").await.shows("Welcome, Ada Lovelace"));
        let shown = server.cli_json(&["user", "show", ADA]);
        assert_eq!((&shown["email_verified"], shown["groups"].as_array().unwrap().len()), (&false.into(), 0), "{shown}");
        for password in ["", "Ada Lovelace", ADAS_PASSWORD] {
            assert_eq!(server.visitor().signs_in(ADA, password).await.status, 422);
        }
        assert_eq!((server.events("user_created").len(), server.events("authn_identity_connected").len()), (1, 1));
        assert_eq!(server.events("authn_identity_connected")[0]["provider"], "acme");
        // The address gets a mail to confirm it, as after any registration.
        super::mailed_link(&server, "verify_email", 1).await;
        let again = server.visitor();
        assert_eq!(signs_in(&again, &provider).await.location(), "/account");
        assert_eq!((users(&server).await, server.events("user_created").len()), (1, 1));
        assert!(!server.events("authn_login_success").is_empty());
        // The export of the account tells the connection.
        let export: Value = serde_json::from_str(&ada.opens("/account/export").await.body).unwrap();
        assert_eq!(export["identities"][0]["subject"], FakeProvider::SUBJECT, "{export}");
    }

    async fn registration_settings_hold_for_users_of_providers(mut server: TestServer) {
        let provider = FakeProvider::start();
        server.set("HANDSTAMP_MAIL__FROM", "accounts@example.com");
        for (mode, email, is_verified, reason) in [
            ("closed", "a@example.com", true, "registration_closed"),
            ("invite", "b@example.com", true, "registration_closed"),
            ("confirm", "c@example.com", false, "email_unverified"),
            ("confirm", "d@example.net", true, "email_unverified"),
            ("confirm", "e@example.com", true, ""),
            ("open", "f@example.com", false, ""),
            ("open", "no address", false, "no_email"),
        ] {
            server.set("HANDSTAMP_REGISTRATION", mode);
            offer(&mut server, &provider, &[("TRUSTED_DOMAINS", "example.com")]);
            provider.changes(json!({ "claims": { "sub": email, "email": email, "email_verified": is_verified } }));
            let (visitor, before) = (server.visitor(), users(&server).await);
            let page = signs_in(&visitor, &provider).await;
            if reason.is_empty() {
                assert_eq!((page.status, page.location()), (303, "/account"), "{mode} {email}: {}", server.log());
                assert_eq!(users(&server).await, before + 1);
                // A user who has an account signs in whatever the setting is.
                server.set("HANDSTAMP_REGISTRATION", "closed");
                server.restart();
                assert_eq!(signs_in(&server.visitor(), &provider).await.location(), "/account", "{mode}");
            } else {
                tells_a_refusal(&page);
                assert_eq!(server.events("provider_refused").last().unwrap()["reason"], reason, "{mode} {email}");
                assert!(!visitor.is_signed_in().await);
                assert_eq!(users(&server).await, before);
            }
        }
    }

    async fn an_address_with_an_account_is_no_oracle_where_registrations_are_confirmed(mut server: TestServer) {
        server.set("HANDSTAMP_REGISTRATION", "confirm");
        let (server, provider) = with_provider(server, &[]);
        assert_eq!(server.run_cli(&["user", "add", ADA, "--name", "Ada"], ADAS_PASSWORD).0, 0);
        let mut pages = Vec::new();
        for email in [ADA, "eve@example.com"] {
            provider.signs_in_as("of Mallory", email);
            let page = signs_in(&server.visitor(), &provider).await;
            pages.push((page.status, page.body.replace(email, "")));
        }
        assert_eq!(pages[0].0, pages[1].0);
        let main = |page: &str| page.split("<main").nth(1).unwrap().to_owned();
        assert_eq!(main(&pages[0].1), main(&pages[1].1), "the page tells who has an account");
    }

    async fn a_disabled_account_is_not_signed_in(server: TestServer) {
        let (server, provider) = with_provider(server, &[]);
        assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
        assert_eq!(server.run_cli(&["user", "disable", ADA], "").0, 0);
        let ada = server.visitor();
        let page = signs_in(&ada, &provider).await;
        assert_eq!(page.status, 403);
        tells_a_refusal(&page);
        logs_refusal(&server, "disabled", 1);
        assert!(!ada.is_signed_in().await);
        // Disabled while the sign-in is at the provider.
        assert_eq!(server.run_cli(&["user", "enable", ADA], "").0, 0);
        let answer = provider.answers(&begins(&ada, ACME).await);
        assert_eq!(server.run_cli(&["user", "disable", ADA], "").0, 0);
        tells_a_refusal(&comes_back(&ada, &answer).await);
        assert_eq!(server.run_cli(&["user", "enable", ADA], "").0, 0);
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        assert_eq!(server.run_cli(&["user", "delete", ADA], "").0, 0);
        assert_eq!(identities(&server).await, 0);
        assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303, "a new account");
    }

    async fn a_user_with_an_app_is_asked_for_its_code_after_the_provider(server: TestServer) {
        let (server, provider) = with_provider(server, &[("SECOND_FACTOR", "amr=mfa, acr=urn:two")]);
        let other = server.start_node();
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        let app = turns_on_an_app(&ada).await;
        let phone = server.visitor();
        let url = begins(&phone, "/account/with/acme?next=%2Faccount%2Fsessions").await;
        let page = comes_back(&phone, &provider.answers(&url)).await;
        assert_eq!((page.status, page.location()), (303, "/account/login/second-factor?next=%2Faccount%2Fsessions"));
        assert!(!phone.is_signed_in().await);
        let there = phone.at(&other.url);
        assert_eq!(there.submits(SECOND_FACTOR, &[("code", "000000")]).await.status, 422);
        let page = there.submits(SECOND_FACTOR, &[("code", &app.code(0)), ("next", "/account/sessions")]).await;
        assert_eq!((page.status, page.location()), (303, "/account/sessions"), "{}", page.body);
        assert_eq!((there.is_signed_in().await, level(&there).await), (true, 2));
        // The claims that count, and those that do not.
        for (claims, counts) in [
            (json!({ "amr": ["pwd", "mfa"] }), true),
            (json!({ "amr": null, "acr": "urn:two" }), true),
            (json!({ "acr": ["urn:two"] }), true),
            (json!({ "acr": null, "amr": ["pwd"] }), false),
            (json!({ "amr": ["mfa2"] }), false),
            (json!({ "amr": "pwd mfa" }), false),
            (json!({ "amr": null, "acr": "mfa" }), false),
            (json!({ "acr": null, "mfa": "amr" }), false),
        ] {
            provider.changes(json!({ "claims": claims.clone() }));
            let browser = server.visitor();
            let page = signs_in(&browser, &provider).await;
            let expected = if counts { "/account" } else { SECOND_FACTOR };
            assert_eq!((page.status, page.location()), (303, expected), "{claims}");
            assert_eq!(browser.is_signed_in().await, counts, "{claims}");
            if counts {
                assert_eq!(level(&browser).await, 2, "{claims}");
            }
        }
        // The userinfo endpoint is not signed, so it tells no factor.
        provider.changes(json!({ "claims": { "email": null, "acr": null, "amr": null }, "userinfo": { "amr": ["mfa"], "acr": "urn:two" } }));
        assert_eq!(signs_in(&server.visitor(), &provider).await.location(), SECOND_FACTOR);
    }

    async fn the_second_factor_of_a_provider_counts_by_a_setting_only(server: TestServer) {
        let (server, provider) = with_provider(server, &[]);
        let ada = server.ada().await;
        connects(&ada, &provider).await;
        turns_on_an_app(&ada).await;
        provider.changes(json!({ "claims": { "amr": ["mfa", "otp", "hwk"], "acr": "urn:two" } }));
        let phone = server.visitor();
        assert_eq!(signs_in(&phone, &provider).await.location(), SECOND_FACTOR);
        assert!(!phone.is_signed_in().await);
    }

    async fn a_required_second_factor_is_required_of_users_of_providers_too(mut server: TestServer) {
        server.set("HANDSTAMP_SECOND_FACTOR__REQUIRED", "everybody");
        let (server, provider) = with_provider(server, &[("SECOND_FACTOR", "amr=mfa")]);
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        let page = ada.opens("/account/sessions").await;
        assert!(page.status == 303 && page.location() != "/account/sessions", "{} {}", page.status, page.location());
        provider.changes(json!({ "claims": { "amr": ["mfa"] } }));
        let phone = server.visitor();
        assert_eq!(signs_in(&phone, &provider).await.status, 303);
        assert_eq!(phone.opens("/account/sessions").await.status, 200, "the provider's factor is one");
    }

    async fn groups_follow_a_claim_at_each_sign_in(server: TestServer) {
        let settings = [("GROUPS_CLAIM", "realm_access.roles"), ("GROUPS", "Employees=staff, it=admins, both=staff, both=writers")];
        let (server, provider) = with_provider(server, &settings);
        let groups = || {
            let shown = server.cli_json(&["user", "show", ADA]);
            let mut groups: Vec<_> = shown["groups"].as_array().unwrap().iter().map(|of| of.as_str().unwrap().to_owned()).collect();
            groups.sort();
            groups
        };
        let ada = server.visitor();
        provider.changes(json!({ "claims": { "realm_access": { "roles": ["Employees", "unknown"] } } }));
        assert_eq!(signs_in(&ada, &provider).await.status, 303, "{}", server.log());
        assert_eq!(groups(), ["staff"]);
        server.run_cli(&["user", "groups", ADA, "--add", "friends", "--add", "writers"], "");
        for (roles, expected) in [
            (json!(["it", "both"]), vec!["admins", "friends", "staff", "writers"]),
            (json!(["employees"]), vec!["admins", "friends"]),
            (json!("Employees"), vec!["admins", "friends", "staff"]),
            (json!([]), vec!["admins", "friends"]),
        ] {
            provider.changes(json!({ "claims": { "realm_access": { "roles": roles.clone() } } }));
            let browser = server.visitor();
            assert_eq!(signs_in(&browser, &provider).await.status, 303);
            // The last administrator stays one.
            assert_eq!(groups(), expected, "{roles}");
            let asked = browser.send(browser.request(Method::GET, "/auth/request")).await;
            let mut told: Vec<_> = asked.header("remote-groups").split(',').filter(|of| !of.is_empty()).collect();
            told.sort_unstable();
            assert_eq!(told, expected, "the session that has just begun has them");
        }
        assert!(ada.is_signed_in().await);
    }

    async fn a_group_that_is_taken_away_is_gone_on_every_node_for_sessions_of_before(server: TestServer) {
        let (server, provider) = with_provider(server, &[("GROUPS_CLAIM", "groups"), ("GROUPS", "staff=staff")]);
        let other = server.start_node();
        provider.changes(json!({ "claims": { "groups": ["staff"] } }));
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        let there = ada.at(&other.url);
        let groups = async |browser: &Visitor| {
            browser.send(browser.request(Method::GET, "/auth/request")).await.header("remote-groups").to_owned()
        };
        assert_eq!((groups(&ada).await.as_str(), groups(&there).await.as_str()), ("staff", "staff"));
        provider.changes(json!({ "claims": { "groups": [] } }));
        assert_eq!(signs_in(&other.visitor(), &provider).await.status, 303);
        assert_eq!((groups(&ada).await.as_str(), groups(&there).await.as_str()), ("", ""));
    }

    async fn the_last_way_in_cannot_be_disconnected(server: TestServer) {
        let (server, provider) = with_provider(server, &[]);
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        let page = ada.submits("/account/with/acme/remove", &[]).await;
        assert_eq!(page.status, 403, "{}", page.body);
        assert_eq!(identities(&server).await, 1);
        let set = ada.submits("/account/password", &[("password", ADAS_PASSWORD)]).await;
        assert_eq!(set.status, 303, "{}", set.body);
        let phone = server.visitor();
        assert_eq!(signs_in(&phone, &provider).await.status, 303);
        let page = ada.submits("/account/with/acme/remove", &[]).await;
        assert_eq!(page.status, 303, "{}", page.body);
        assert_eq!(identities(&server).await, 0);
        assert!(ada.is_signed_in().await && !phone.is_signed_in().await, "the session that rested on it has ended");
        assert_eq!(server.events("authn_identity_disconnected").len(), 1);
        tells_a_refusal(&signs_in(&server.visitor(), &provider).await);
        logs_refusal(&server, "account_exists", 1);
        assert_eq!(server.visitor().signs_in(ADA, ADAS_PASSWORD).await.status, 303);
        // Sent twice, and by a visitor who is not signed in.
        assert_eq!(ada.submits("/account/with/acme/remove", &[]).await.status, 303);
        let stranger = server.visitor().submits("/account/with/acme/remove", &[]).await;
        assert!(stranger.location().starts_with("/account/login"), "{} {}", stranger.status, stranger.location());
    }

    async fn of_two_ways_in_that_are_removed_at_once_one_stays(server: TestServer) {
        let (mut server, acme) = with_provider(server, &[]);
        let second = FakeProvider::start();
        for (setting, value) in [("KIND", "oidc"), ("ISSUER", second.url()), ("CLIENT_ID", FakeProvider::CLIENT), ("CLIENT_SECRET", FakeProvider::SECRET)] {
            server.set(&format!("HANDSTAMP_PROVIDERS__SECOND__{setting}"), value);
        }
        server.restart();
        let other = server.start_node();
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &acme).await.status, 303);
        for _ in 0..5 {
            for (provider, name) in [(&acme, "acme"), (&second, "second")] {
                let page = ada.opens("/account/security").await;
                if let Some(link) = link(&page.body, &format!("/account/with/{name}?start=")) {
                    assert_eq!(comes_back(&ada, &provider.answers(&begins(&ada, &link).await)).await.status, 303);
                }
            }
            assert_eq!(identities(&server).await, 2);
            let (here, there) = (ada.copy(), ada.at(&other.url));
            let removes = |path: &'static str| path;
            let pages = tokio::join!(
                here.submits(removes("/account/with/acme/remove"), &[]),
                there.submits(removes("/account/with/second/remove"), &[]),
            );
            assert_eq!(identities(&server).await, 1, "{} {}", pages.0.status, pages.1.status);
            // The session goes on in the browser that got the newer cookie; a new sign-in has any.
            let left = server.count("SELECT COUNT(*) FROM identities WHERE provider = 'acme'").await;
            let (provider, path) = if left == 1 { (&acme, ACME) } else { (&second, "/account/with/second") };
            ada.signs_out().await;
            let url = begins(&ada, path).await;
            assert_eq!(comes_back(&ada, &provider.answers(&url)).await.status, 303);
        }
    }

    async fn a_session_that_is_not_fresh_neither_connects_nor_disconnects(mut server: TestServer) {
        server.set("HANDSTAMP_SESSION__CONFIRM_AFTER", "1m");
        let (server, provider) = with_provider(server, &[]);
        let ada = server.ada().await;
        let page = ada.opens("/account/security").await;
        let link = link(&page.body, "/account/with/acme?start=").unwrap();
        let answer = provider.answers(&begins(&ada, &link).await);
        assert_eq!(server.execute("UPDATE sessions SET authenticated_at = authenticated_at - 3600").await, 1);
        // The node has the session in memory.
        let late = server.start_node();
        let there = ada.at(&late.url);
        let page = there.opens(&link).await;
        assert!(page.status == 303 && page.location().starts_with("/account/confirm"), "{} {}", page.status, page.location());
        let page = comes_back(&there, &answer).await;
        tells_a_refusal(&page);
        assert_eq!(late.events("provider_refused").last().unwrap()["reason"], "session");
        let page = there.submits("/account/with/acme/remove", &[]).await;
        assert!(page.status == 303 && page.location().starts_with("/account/confirm"), "{} {}", page.status, page.location());
        assert_eq!(identities(&server).await, 0);
        assert_eq!(there.submits("/account/confirm", &[("password", ADAS_PASSWORD), ("next", "/account/security")]).await.status, 303);
        connects(&there, &provider).await;
    }

    async fn a_user_without_another_way_confirms_at_the_provider(mut server: TestServer) {
        server.set("HANDSTAMP_SESSION__CONFIRM_AFTER", "1m");
        let (server, provider) = with_provider(server, &[]);
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        server.execute("UPDATE sessions SET authenticated_at = authenticated_at - 3600").await;
        let late = server.start_node();
        let ada = ada.at(&late.url);
        assert!(ada.opens("/account/export").await.location().starts_with("/account/confirm"));
        let now = FakeProvider::now();
        let right = json!({ "claims": { "auth_time": now, "sub": FakeProvider::SUBJECT, "email": ADA } });
        for (number, (change, reason)) in [
            (json!({ "claims": { "auth_time": now - 3600 } }), "authenticated_too_long_ago"),
            (json!({ "claims": { "auth_time": null } }), "no_authentication_time"),
            (json!({ "claims": { "auth_time": now + 3600 } }), "issued_in_future"),
            (json!({ "claims": { "auth_time": now, "sub": "of Mallory", "email": "mallory@example.com" } }), "user"),
        ].into_iter().enumerate() {
            let page = confirms(&ada, &provider, change.clone()).await;
            tells_a_refusal(&page);
            logs_refusal(&late, reason, number + 1);
            assert!(ada.opens("/account/export").await.location().starts_with("/account/confirm"), "{change}");
            provider.changes(right.clone());
        }
        let asked = provider.newest_request("authorize");
        assert_eq!((&asked["fields"]["prompt"], &asked["fields"]["max_age"]), (&"login".into(), &"0".into()));
        let page = confirms(&ada, &provider, right).await;
        assert_eq!((page.status, page.location()), (303, "/account/security"), "{}", page.body);
        assert_eq!(ada.opens("/account/export").await.status, 200);
        assert_eq!((users(&server).await, identities(&server).await), (1, 1));
        // A user with a password confirms with that.
        assert_eq!(ada.submits("/account/password", &[("password", ADAS_PASSWORD)]).await.status, 303);
        server.execute("UPDATE sessions SET authenticated_at = authenticated_at - 3600").await;
        let later = server.start_node();
        let page = ada.at(&later.url).opens("/account/confirm?next=%2Faccount%2Fexport").await;
        assert!(page.shows("name=\"password\"") && link(&page.body, "/account/with/acme?start=").is_none(), "{}", page.body);
    }

    async fn refused_sign_ins_from_one_network_are_throttled(mut server: TestServer) {
        server.set("HANDSTAMP_LIMITS__SIGN_IN_PER_NETWORK", "3");
        let (server, provider) = with_provider(server, &[]);
        // Right ones do not count.
        for _ in 0..5 {
            assert_eq!(signs_in(&server.visitor(), &provider).await.status, 303);
        }
        provider.changes(json!({ "claims": { "aud": "another" } }));
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(signs_in(&server.visitor(), &provider).await.status);
        }
        assert_eq!(statuses, [400, 400, 400, 429, 429]);
        assert!(server.events("provider_throttled").len() == 2);
        let asked = provider.requests("token");
        signs_in(&server.visitor(), &provider).await;
        assert_eq!(provider.requests("token"), asked, "the provider is not asked");
    }

    async fn a_killed_server_keeps_what_it_has_answered(server: TestServer) {
        let (mut server, provider) = with_provider(server, &[]);
        let ada = server.visitor();
        assert_eq!(signs_in(&ada, &provider).await.status, 303);
        server.kill_and_restart();
        assert!(ada.at(&server.url).is_signed_in().await);
        assert_eq!(signs_in(&server.visitor(), &provider).await.location(), "/account");
        assert_eq!((users(&server).await, identities(&server).await), (1, 1));
    }
}

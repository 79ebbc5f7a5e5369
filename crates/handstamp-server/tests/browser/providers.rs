//! Sign-in through a provider with a browser: the pages of oidc-provider, and those around them.

use fantoccini::Locator;
use handstamp_testing::{FakeProvider, OidcProvider, TempFolder, free_address, make_certificate};
use serde_json::json;

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

/// A site with these settings of a provider, at a port of its own that the provider knows.
fn opens(issuer: &str, port: u16, client: (&str, &str)) -> Site {
    let settings = [
        ("HANDSTAMP_PROVIDERS__ACME__KIND", "oidc"),
        ("HANDSTAMP_PROVIDERS__ACME__LABEL", "Acme"),
        ("HANDSTAMP_PROVIDERS__ACME__ISSUER", issuer),
        ("HANDSTAMP_PROVIDERS__ACME__CLIENT_ID", client.0),
        ("HANDSTAMP_PROVIDERS__ACME__CLIENT_SECRET", client.1),
        ("HANDSTAMP_PROVIDERS__ACME__TRUSTED_DOMAINS", "*"),
    ];
    Site::opens_at(port, &settings)
}

fn free_port() -> u16 {
    free_address().rsplit(':').next().unwrap().parse().unwrap()
}

/// A certified provider, which knows Ada, and the site.
fn with_oidc_provider() -> (OidcProvider, Site) {
    let port = free_port();
    let callback = format!("http://localhost:{port}/account/with/acme/callback");
    let ada = json!({ "name": ADA.name, "email": ADA.email, "email_verified": true });
    let provider = OidcProvider::start("ES256", &[&callback], &json!({ "ada": ada }));
    let site = opens(&provider.url(), port, (OidcProvider::CLIENT, OidcProvider::SECRET));
    (provider, site)
}

/// Signs in on the page of the provider, and consents.
async fn signs_in_at_the_provider(user: &BrowserUser, name: &str) {
    user.finds(Locator::Css("input[name=login]")).await.send_keys(name).await.unwrap();
    user.finds(Locator::Css("input[name=password]")).await.send_keys("any").await.unwrap();
    user.finds(Locator::Css("button.login-submit")).await.click().await.unwrap();
    user.finds(Locator::Css("input[name=prompt][value=consent] ~ button")).await.click().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_registers_and_signs_in_through_a_provider() {
    let (_provider, site) = with_oidc_provider();
    let ada = site.visitor().await;
    ada.goes_to("/account/sessions").await;
    ada.is_at("/account/login?next=%2Faccount%2Fsessions").await;
    ada.clicks("Continue with Acme").await;
    signs_in_at_the_provider(&ada, "ada").await;
    ada.is_at("/account/sessions").await;
    ada.is_signed_in_as(&ADA).await;
    ada.signs_out().await;
    ada.is_signed_out().await;
    // The browser is still signed in at the provider.
    ada.clicks("Continue with Acme").await;
    ada.is_welcomed_as(&ADA).await;
    // The button to go back leads to no error for the one who is signed in.
    ada.browser.back().await.unwrap();
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_connects_a_provider_and_disconnects_it() {
    let (_provider, site) = with_oidc_provider();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_welcomed_as(&ADA).await;
    ada.goes_to("/account/security").await;
    ada.clicks("Connect Acme").await;
    signs_in_at_the_provider(&ada, "ada").await;
    ada.sees("Acme is connected since").await;
    let phone = site.visitor().await;
    phone.goes_to("/account/login").await;
    phone.clicks("Continue with Acme").await;
    signs_in_at_the_provider(&phone, "ada").await;
    phone.is_welcomed_as(&ADA).await;
    ada.goes_to("/account/security").await;
    ada.clicks("Disconnect Acme").await;
    ada.sees("Connect Acme").await;
    phone.is_signed_out().await;
    phone.clicks("Continue with Acme").await;
    phone.sees_a_heading("You have an account here").await;
    phone.clicks("Sign in another way").await;
    phone.says_who_they_are(&ADA).await;
    phone.is_welcomed_as(&ADA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_cancels_at_the_provider_can_go_on() {
    let (_provider, site) = with_oidc_provider();
    let ada = site.visitor().await;
    ada.goes_to("/account/login?next=%2Faccount%2Fprofile").await;
    ada.clicks("Continue with Acme").await;
    ada.finds(Locator::LinkText("[ Cancel ]")).await.click().await.unwrap();
    ada.sees_a_heading("You have not signed in with Acme").await;
    ada.clicks("Try again").await;
    signs_in_at_the_provider(&ada, "ada").await;
    ada.is_at("/account/profile").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_around_a_provider_are_accessible() {
    let port = free_port();
    let provider = FakeProvider::start();
    let site = opens(provider.url(), port, (FakeProvider::CLIENT, FakeProvider::SECRET));
    let ada = site.visitor().await;
    ada.goes_to("/account/login").await;
    ada.looks_closely("sign-in-with-provider").await;
    ada.goes_to("/account/register").await;
    ada.looks_closely("register-with-provider").await;
    ada.registers_as(&ADA).await;
    ada.is_welcomed_as(&ADA).await;
    ada.goes_to("/account/security").await;
    ada.looks_closely("security-with-provider").await;
    ada.clicks("Connect Acme").await;
    ada.sees("Acme is connected since").await;
    ada.looks_closely("security-with-provider-connected").await;
    ada.signs_out().await;
    for (name, change, heading) in [
        ("provider-unavailable", json!({ "faults": { "token": { "status": 500 } } }), "Acme does not answer"),
        ("provider-account-exists", json!({ "claims": { "sub": "another" } }), "You have an account here"),
        (
            "provider-no-email",
            json!({ "claims": { "sub": "another", "email": "none" }, "userinfo": { "sub": "another" } }),
            "Acme told no address",
        ),
        ("provider-token-refused", json!({ "claims": { "exp": 1 } }), "Acme did not sign you in"),
    ] {
        let right = provider.behaviour();
        provider.changes(change);
        ada.goes_to("/account/login").await;
        ada.clicks("Continue with Acme").await;
        ada.sees_a_heading(heading).await;
        ada.looks_closely(name).await;
        provider.behaves(right);
    }
}

/// Apple's page posts its answer from another site. A browser sends no cookie of ours with that form, but with the request after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_brings_the_answer_of_apple_by_a_form() {
    let (folder, provider, port) = (TempFolder::new(), FakeProvider::start(), free_port());
    make_certificate(folder.path(), "site", "id.handstamp.test", 0);
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(folder.path().join("apple.p8"), FakeProvider::apple_key()).unwrap();
    let url = format!("https://id.handstamp.test:{port}");
    let site = Site::opens_at(
        port,
        &[
            ("HANDSTAMP_PUBLIC_URL", &url),
            ("HANDSTAMP_TLS__CERT_FILE", &file("site.pem")),
            ("HANDSTAMP_TLS__KEY_FILE", &file("site.key")),
            ("HANDSTAMP_PROVIDERS__APPLE__KIND", "apple"),
            ("HANDSTAMP_PROVIDERS__APPLE__ISSUER", provider.url()),
            ("HANDSTAMP_PROVIDERS__APPLE__CLIENT_ID", FakeProvider::CLIENT),
            ("HANDSTAMP_PROVIDERS__APPLE__TEAM_ID", "DEF123GHIJ"),
            ("HANDSTAMP_PROVIDERS__APPLE__KEY_ID", "ABC123DEFG"),
            ("HANDSTAMP_PROVIDERS__APPLE__KEY_FILE", &file("apple.p8")),
        ],
    );
    provider.changes(json!({
        "apple": { "team_id": "DEF123GHIJ", "key_id": "ABC123DEFG", "audience": provider.url() },
        "callback": { "iss": null },
        "discovery": { "authorization_response_iss_parameter_supported": null, "userinfo_endpoint": null },
        "claims": { "name": ADA.name, "email": ADA.email },
    }));
    let ada = site.visitor().await;
    for _ in 0..2 {
        ada.goes_to("/account/sessions").await;
        ada.clicks("Continue with Apple").await;
        ada.is_at("/account/sessions").await;
        ada.is_signed_in_as(&ADA).await;
        ada.signs_out().await;
    }
    ada.hears_no_complaint().await;
}

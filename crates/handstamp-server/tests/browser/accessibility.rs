//! Accessibility: axe-core checks every page, and a screenshot is kept, on a phone and a desktop, in light and dark mode.

use std::fs;
use std::path::Path;

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::browser::Extra;
use crate::browser_user::{ADA, BrowserUser, Person};
use crate::passkeys::PHONE;
use crate::site::Site;

const AXE: &str = include_str!("assets/axe.min.js");
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../screenshots");

#[tokio::test]
async fn the_public_pages_are_accessible() {
    let site = Site::opens();
    let visitor = site.visitor().await;
    for (name, path) in [
        ("home-stranger", "/"),
        ("register", "/account/register"),
        ("sign-in", "/account/login"),
        ("sign-in-form-not-sent", "/account/login?notice=form-not-sent"),
        ("not-found", "/account/nothing-here"),
    ] {
        visitor.goes_to(path).await;
        visitor.looks_closely(name).await;
    }
    visitor.registers_as(&Person { name: "", email: "ada at example.com", password: "password" }).await;
    visitor.is_told_beside("name", "").await;
    visitor.looks_closely("register-with-errors").await;
    visitor.signs_in_as(&ADA).await;
    visitor.is_told_beside("password", "wrong").await;
    visitor.looks_closely("sign-in-with-error").await;
    for _ in 1..10 {
        visitor.signs_in_as(&ADA).await;
        visitor.is_told_beside("password", "wrong").await;
    }
    visitor.signs_in_as(&ADA).await;
    visitor.sees_a_heading("Too many attempts").await;
    visitor.looks_closely("too-many-attempts").await;
    visitor.hears_no_complaint().await;
}

#[tokio::test]
async fn the_pages_for_signed_in_users_are_accessible() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    for (name, path) in [
        ("home-member", "/"),
        ("sign-out", "/account/logout"),
        ("account", "/account"),
        ("account-name-changed", "/account?done=name"),
        ("profile", "/account/profile"),
        ("password", "/account/password"),
        ("devices-one", "/account/sessions"),
        ("activity", "/account/activity"),
        ("activity-none", "/account/activity?before=00000000-0000-0000-0000-000000000000"),
        ("not-found-member", "/account/nothing-here"),
    ] {
        ada.goes_to(path).await;
        ada.looks_closely(name).await;
    }
    ada.goes_to("/account/profile").await;
    ada.fills_in("Name", "").await;
    ada.clicks("Save").await;
    ada.is_told_beside("name", "").await;
    ada.looks_closely("profile-with-error").await;
    ada.goes_to("/account/password").await;
    ada.fills_in("Current password", ADA.email).await;
    ada.clicks("Change password").await;
    ada.is_told_beside("password", "Use at least 8 characters.").await;
    ada.looks_closely("password-with-errors").await;
    let elsewhere = site.visitor().await;
    elsewhere.signs_in_as(&ADA).await;
    elsewhere.is_at("/account").await;
    ada.goes_to("/account/sessions").await;
    ada.sees("Sign out everywhere else").await;
    ada.looks_closely("devices-two").await;
    ada.signs_out().await;
    ada.sees("You are signed out.").await;
    ada.looks_closely("home-signed-out").await;
    ada.hears_no_complaint().await;
}

#[tokio::test]
async fn the_pages_of_second_factors_are_accessible() {
    let site = Site::opens_with(&[("HANDSTAMP_SESSION__CONFIRM_AFTER", "1m")]);
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.goes_to("/account/security").await;
    ada.looks_closely("security").await;
    ada.goes_to("/account/totp").await;
    ada.looks_closely("totp").await;
    ada.fills_in("Code", "1").await;
    ada.clicks("Turn on").await;
    ada.is_told_beside("code", "This code is wrong").await;
    ada.looks_closely("totp-with-error").await;
    let (app, _) = ada.sets_up_an_app().await;
    ada.looks_closely("recovery-codes").await;
    ada.goes_to("/account/security").await;
    ada.looks_closely("security-with-app").await;
    ada.goes_to("/account/confirm").await;
    ada.looks_closely("confirm-with-code").await;
    ada.fills_in("Code", "1").await;
    ada.clicks("Confirm").await;
    ada.is_told_beside("code", "This code is wrong").await;
    ada.looks_closely("confirm-with-error").await;
    ada.signs_out().await;
    ada.signs_in_as(&ADA).await;
    ada.is_at("/account/login/second-factor").await;
    ada.looks_closely("second-factor").await;
    ada.fills_in("Code", "1").await;
    ada.clicks("Sign in").await;
    ada.is_told_beside("code", "This code is wrong").await;
    ada.looks_closely("second-factor-with-error").await;
    ada.fills_in("Code", &app.code(0)).await;
    ada.clicks("Sign in").await;
    ada.is_at("/account").await;
    ada.looks_closely("account-with-app").await;
    ada.hears_no_complaint().await;
}

#[tokio::test]
async fn the_pages_of_passkeys_are_accessible() {
    let site = Site::opens_with(&[("HANDSTAMP_SECOND_FACTOR__REQUIRED", "everybody")]);
    let ada = site.visitor().await;
    ada.is_offered_no_list().await;
    ada.registers_as(&ADA).await;
    ada.goes_to("/account/passkeys").await;
    ada.looks_closely("passkeys-none").await;
    ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    ada.looks_closely("passkeys-added").await;
    ada.goes_to("/account/confirm?assurance=2&next=%2Faccount%2Fpasskeys").await;
    ada.looks_closely("confirm-by-passkey").await;
    ada.clicks("Use your passkey").await;
    ada.is_at("/account/passkeys").await;
    ada.clicks("Add a passkey").await;
    ada.is_told_by_the_script("This device has a passkey").await;
    ada.looks_closely("passkeys-known").await;
    ada.goes_to("/account/security").await;
    ada.looks_closely("security-with-passkey").await;
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.looks_closely("sign-in-with-passkeys").await;
    ada.signs_in_as(&ADA).await;
    ada.is_at("/account/login/second-factor").await;
    ada.looks_closely("second-factor-by-passkey").await;
    let visitor = site.visitor().await;
    visitor.has_authenticator(PHONE).await;
    visitor.goes_to("/account/login").await;
    visitor.fills_in("E-mail address", ADA.email).await;
    visitor.clicks("Sign in with a passkey").await;
    visitor.is_told_by_the_script("No passkey was used.").await;
    visitor.looks_closely("sign-in-without-passkey").await;
    ada.hears_no_complaint().await;
}

#[tokio::test]
async fn the_pages_of_administration_are_accessible() {
    let site = Site::opens();
    let (ada, bob) = (site.visitor().await, site.visitor().await);
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    let bobs = Person {
        name: "Bob the Builder of Very Long Bridges",
        email: "bob@example.com",
        password: "walnut trumpet glacier",
    };
    bob.registers_as(&bobs).await;
    bob.is_at("/account").await;
    site.runs(&["user", "groups", ADA.email, "--add", "admins"]);
    site.runs(&["user", "groups", bobs.email, "--add", "staff", "--add", "board-of-directors"]);
    ada.goes_to("/account").await;
    ada.looks_closely("account-administrator").await;
    ada.clicks("Administration").await;
    ada.is_at("/account/admin").await;
    for (name, path) in [
        ("admin", "/account/admin"),
        ("admin-30-days", "/account/admin?range=30d"),
        ("admin-users", "/account/admin/users"),
        ("admin-users-none", "/account/admin/users?q=nobody"),
        ("admin-events", "/account/admin/events"),
        ("admin-events-none", "/account/admin/events?event=user_deleted"),
        ("admin-cluster", "/account/admin/cluster"),
    ] {
        ada.goes_to(path).await;
        ada.looks_closely(name).await;
    }
    ada.goes_to("/account/admin").await;
    ada.finds(Locator::Css("summary")).await.click().await.unwrap();
    ada.looks_closely("admin-table").await;
    ada.goes_to("/account/admin/events?user=nobody%40example.com").await;
    ada.is_told_beside("user", "There is no account of this address.").await;
    ada.looks_closely("admin-events-with-error").await;
    ada.goes_to("/account/admin/users").await;
    ada.fills_in("E-mail address", "bob").await;
    ada.clicks("Send the invitation").await;
    ada.is_told_beside("email", "name@example.com").await;
    ada.looks_closely("admin-invite-with-error").await;
    ada.goes_to("/account/admin/users?q=ada").await;
    ada.clicks("ada@example.com").await;
    ada.sees("This is your own account").await;
    ada.looks_closely("admin-user-own").await;
    ada.goes_to("/account/admin/users?q=bob").await;
    ada.clicks("bob@example.com").await;
    ada.looks_closely("admin-user").await;
    ada.fills_in("Add to a group", "no group").await;
    ada.clicks("Add").await;
    ada.is_told_beside("group", "64 letters").await;
    ada.looks_closely("admin-user-with-error").await;
    ada.fills_in("Address of the user, to confirm", "eve@example.com").await;
    ada.clicks("Delete the account").await;
    ada.is_told_beside("email", "This is not the address of this account.").await;
    ada.clicks("Disable").await;
    ada.sees("The account is disabled, and the user is signed out everywhere.").await;
    ada.looks_closely("admin-user-disabled").await;
    bob.is_signed_out().await;
    ada.fills_in("Address of the user, to confirm", bobs.email).await;
    ada.clicks("Delete the account").await;
    ada.is_at("/account/admin/users?notice=deleted").await;
    ada.looks_closely("admin-users-deleted").await;
    ada.hears_no_complaint().await;
}

impl BrowserUser {
    /// Runs axe-core on the open page in each of its four renderings, and keeps a screenshot of each.
    pub(crate) async fn looks_closely(&self, name: &str) {
        self.browser.execute(AXE, Vec::new()).await.unwrap();
        for (device, width, height) in [("phone", 390, 844), ("desk", 1280, 1000)] {
            for scheme in ["light", "dark"] {
                let look = format!("{name}-{device}-{scheme}");
                self.prefers(scheme).await;
                self.looks_through_a_window(device, width, height).await;
                let violations = self.asks_axe().await;
                self.takes_a_picture(&look, device, width, height).await;
                assert!(violations.is_empty(), "{look}: {violations:#?}");
            }
        }
    }

    async fn prefers(&self, scheme: &str) {
        // axe-core would measure the colours of a transition half-way.
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.tells_the_browser("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn looks_through_a_window(&self, device: &str, width: u32, height: u32) {
        let parameters =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device == "phone" });
        self.tells_the_browser("Emulation.setDeviceMetricsOverride", parameters).await;
        let sticks_out = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let sticks_out = self.browser.execute(sticks_out, Vec::new()).await.unwrap();
        assert_eq!(sticks_out, 0, "the page is wider than the {device}");
    }

    async fn tells_the_browser(&self, command: &str, parameters: Value) {
        self.browser.issue_cmd(Extra::devtools(command, parameters)).await.unwrap();
    }

    async fn asks_axe(&self) -> Vec<Value> {
        // Preloading would fetch the stylesheet by script, which the page does not allow.
        let run = "return axe.run({ preload: false, resultTypes: ['violations'] }).then(({ violations }) => violations
            .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => ({ id, html, failureSummary }))))";
        self.browser.execute(run, Vec::new()).await.unwrap().as_array().unwrap().clone()
    }

    /// A screenshot of the whole page, whatever its length.
    async fn takes_a_picture(&self, look: &str, device: &str, width: u32, height: u32) {
        let length = self.browser.execute("return document.documentElement.scrollHeight", Vec::new()).await.unwrap();
        let length = u32::try_from(length.as_u64().unwrap()).unwrap();
        if length > height {
            self.looks_through_a_window(device, width, length).await;
        }
        fs::create_dir_all(SCREENSHOTS).unwrap();
        let picture = self.browser.screenshot().await.unwrap();
        fs::write(Path::new(SCREENSHOTS).join(format!("{look}.png")), picture).unwrap();
    }

    /// The console reports the rejected forms and missing pages that the test has caused, and nothing else.
    pub(crate) async fn hears_no_complaint(&self) {
        let is_expected = |said: &Value| {
            let message = said["message"].as_str().unwrap();
            said["source"] == "network"
                && [" 422 ", " 429 ", "/account/nothing-here"].iter().any(|expected| message.contains(expected))
        };
        let complaints: Vec<_> = self.console().await.into_iter().filter(|said| !is_expected(said)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

//! Second factors in a real browser: the QR code is scanned from the screen, and pyotp is the authenticator app.

use std::process::Command;
use std::time::Duration;

use fantoccini::Locator;
use fantoccini::key::Key;
use handstamp_testing::{Authenticator, TempFolder};

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

impl BrowserUser {
    /// Scans the QR code of the open page from a picture of the screen.
    pub(crate) async fn scans(&self) -> Authenticator {
        let folder = TempFolder::new();
        let file = folder.path().join("qr.png");
        let code = self.finds(Locator::Css(".qr")).await;
        let in_view = "document.querySelector('.qr').scrollIntoView({ block: 'center' })";
        self.browser.execute(in_view, Vec::new()).await.unwrap();
        std::fs::write(&file, code.screenshot().await.unwrap()).unwrap();
        Authenticator::scan(&file)
    }

    /// Sets up an authenticator app, and returns it with the recovery codes.
    pub(crate) async fn sets_up_an_app(&self) -> (Authenticator, Vec<String>) {
        self.goes_to("/account/totp").await;
        let app = self.scans().await;
        self.fills_in("Code", &app.code(-1)).await;
        self.clicks("Turn on").await;
        self.sees_a_heading("Your recovery codes").await;
        let mut codes = Vec::new();
        for code in self.browser.find_all(Locator::Css(".codes code")).await.unwrap() {
            codes.push(code.text().await.unwrap());
        }
        (app, codes)
    }
}

#[tokio::test]
async fn a_user_scans_the_code_signs_in_with_the_app_and_removes_it() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.clicks("Security").await;
    ada.is_at("/account/security").await;
    ada.clicks("Set up an authenticator app").await;
    ada.is_at("/account/totp").await;
    let (app, codes) = ada.sets_up_an_app().await;
    assert_eq!(codes.len(), 10);
    ada.clicks("I have saved them").await;
    ada.is_at("/account/security").await;
    ada.sees("10 are left").await;
    ada.signs_out().await;

    ada.signs_in_as(&ADA).await;
    ada.is_at("/account/login/second-factor").await;
    ada.fills_in("Code", "123").await;
    ada.clicks("Sign in").await;
    ada.is_told_beside("code", "This code is wrong").await;
    ada.fills_in("Code", &app.code(0)).await;
    ada.clicks("Sign in").await;
    ada.is_at("/account").await;
    ada.is_signed_in_as(&ADA).await;
    ada.signs_out().await;

    ada.signs_in_as(&ADA).await;
    ada.fills_in("Code", &codes[2]).await;
    ada.clicks("Sign in").await;
    ada.is_signed_in_as(&ADA).await;
    ada.goes_to("/account/security").await;
    ada.sees("9 are left").await;
    ada.clicks("Remove the authenticator app").await;
    ada.sees("The authenticator app was removed").await;
    ada.signs_out().await;
    ada.signs_in_as(&ADA).await;
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn a_double_click_on_the_code_signs_in_once_and_without_an_error() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    let (app, codes) = ada.sets_up_an_app().await;
    for (code, pause) in [(app.code(0), 0), (app.code(1), 20), (codes[0].clone(), 60)] {
        ada.goes_to("/account").await;
        ada.signs_out().await;
        ada.signs_in_as(&ADA).await;
        ada.is_at("/account/login/second-factor").await;
        ada.fills_in("Code", &code).await;
        ada.clicks_twice("Sign in", Duration::from_millis(pause)).await;
        ada.is_at("/account").await;
        ada.is_signed_in_as(&ADA).await;
    }
}

#[tokio::test]
async fn a_double_click_that_sets_the_app_up_shows_recovery_codes_or_leads_to_them() {
    for pause in [0, 20, 150] {
        let site = Site::opens();
        let ada = site.visitor().await;
        ada.registers_as(&ADA).await;
        ada.is_at("/account").await;
        ada.goes_to("/account/totp").await;
        let app = ada.scans().await;
        ada.fills_in("Code", &app.code(-1)).await;
        ada.clicks_twice("Turn on", Duration::from_millis(pause)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let end = "//h1[. = \"Your recovery codes\" or . = \"Security\" or . = \"Sign in\"]";
        let end = ada.finds(Locator::XPath(end)).await.text().await.unwrap();
        if end == "Sign in" {
            ada.sees("Sign in with it to get your recovery codes.").await;
            ada.says_who_they_are(&ADA).await;
            ada.fills_in("Code", &app.code(0)).await;
            ada.clicks("Sign in").await;
        }
        if end != "Your recovery codes" {
            ada.sees("if you have not seen and saved them, make ten new ones").await;
            ada.clicks("Make ten new recovery codes").await;
            ada.sees_a_heading("Your recovery codes").await;
        }
        assert_eq!(ada.browser.find_all(Locator::Css(".codes code")).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn a_user_without_a_password_sets_one() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    let database = site.folder().join("data/handstamp.db");
    let update = "UPDATE users SET password_hash = NULL";
    let without = Command::new("sqlite3").args(["-cmd", ".timeout 5000"]).arg(database).arg(update).status();
    assert!(without.unwrap().success());
    ada.goes_to("/account/security").await;
    ada.clicks("Set a password").await;
    ada.sees_a_heading("Set a password").await;
    ada.fills_in("Password", "short").await;
    ada.clicks("Set password").await;
    ada.is_told_beside("password", "at least").await;
    ada.fills_in("Password", ADA.password).await;
    ada.clicks("Set password").await;
    ada.sees("Your new password is set").await;
    ada.signs_out().await;
    ada.signs_in_as(&ADA).await;
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn a_user_without_a_mouse_sets_up_an_app_and_signs_in_with_it() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.goes_to("/account/security").await;
    ada.tabs_to("Set up an authenticator app").await;
    ada.presses(Key::Enter).await;
    ada.is_at("/account/totp").await;
    let app = ada.scans().await;
    ada.tabs_to("Code").await;
    ada.types(&app.code(-1)).await;
    ada.presses(Key::Enter).await;
    ada.sees_a_heading("Your recovery codes").await;
    ada.tabs_to("I have saved them").await;
    ada.presses(Key::Enter).await;
    ada.is_at("/account/security").await;
    ada.signs_out().await;
    ada.signs_in_as(&ADA).await;
    ada.is_at("/account/login/second-factor").await;
    ada.tabs_to("Code").await;
    ada.types(&app.code(0)).await;
    ada.presses(Key::Enter).await;
    ada.is_at("/account").await;
}

#[tokio::test]
async fn a_site_that_requires_a_second_factor_leads_to_it_and_then_on() {
    let site = Site::opens_with(&[("HANDSTAMP_SECOND_FACTOR__REQUIRED", "everybody")]);
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account/totp?next=%2Faccount").await;
    ada.sees("This site requires a second factor.").await;
    let app = ada.scans().await;
    ada.fills_in("Code", &app.code(-1)).await;
    ada.clicks("Turn on").await;
    ada.sees_a_heading("Your recovery codes").await;
    ada.clicks("I have saved them").await;
    ada.is_at("/account").await;
}

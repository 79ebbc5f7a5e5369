//! A browser that still has the session cookie of the framework that the site has left.

use std::io::Write;
use std::process::{Command, Stdio};

use handstamp_testing::{TempFolder, exchange_settings, handstamp_binary, store_express_session};

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

const FORMER_SECRET: &str = "Zr8vB2nQ5tW9yC3fH6kM1pS4uX7aD0gJ";
const FORMER: &str = "connect.sid";

/// A site that has left express-session with session-file-store, and imported Ada, whose id there is 42.
fn moved(former: &TempFolder) -> Site {
    let settings = exchange_settings("express-session", FORMER_SECRET);
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("HANDSTAMP_LEGACY__FOLDER", former.path().to_str().unwrap()));
    let site = Site::opens_with(&settings);
    let mut import = Command::new(handstamp_binary());
    import.current_dir(site.folder()).args(["import", "-", "--data-dir", "data"]).stdin(Stdio::piped());
    let mut import = import.stdout(Stdio::null()).spawn().unwrap();
    let users = format!("email,name,legacy_id\n{},{},42\n", ADA.email, ADA.name);
    import.stdin.take().unwrap().write_all(users.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    site
}

async fn takes_former_cookie(browser: &BrowserUser, value: &str) {
    let sets = format!("document.cookie = '{FORMER}={value}; path=/; max-age=86400'");
    browser.browser.execute(&sets, vec![]).await.unwrap();
    assert!(has_former_cookie(browser).await);
}

async fn has_former_cookie(browser: &BrowserUser) -> bool {
    browser.browser.get_named_cookie(FORMER).await.is_ok()
}

#[tokio::test]
async fn a_browser_with_a_former_cookie_is_signed_in_without_a_form_until_it_signs_out() {
    let former = TempFolder::new();
    let site = moved(&former);
    let cookie = store_express_session(former.path(), FORMER_SECRET, "first", "42");
    let ada = site.visitor().await;
    // A cookie can be set for a page only.
    ada.goes_to("/account/login").await;
    takes_former_cookie(&ada, &cookie).await;
    ada.goes_to("/account/sessions").await;
    ada.is_at("/account/sessions").await;
    ada.is_signed_in_as(&ADA).await;
    assert!(!has_former_cookie(&ada).await, "the browser forgets the cookie");

    ada.signs_out().await;
    ada.is_signed_out().await;
    takes_former_cookie(&ada, &cookie).await;
    for page in ["/account/sessions", "/account/resume", "/account"] {
        ada.goes_to(page).await;
        ada.sees("Sign in").await;
        ada.has_no_session_cookie().await;
    }
    let elsewhere = site.visitor().await;
    elsewhere.goes_to("/account/login").await;
    takes_former_cookie(&elsewhere, &cookie).await;
    elsewhere.goes_to("/account").await;
    elsewhere.is_at("/account/login?next=%2Faccount").await;
    assert!(!has_former_cookie(&elsewhere).await, "a cookie that is of no use is forgotten");
}

#[tokio::test]
async fn a_sign_out_before_the_exchange_ends_the_former_session() {
    let former = TempFolder::new();
    let site = moved(&former);
    let [first, second] = ["first", "second"].map(|id| store_express_session(former.path(), FORMER_SECRET, id, "42"));
    let ada = site.visitor().await;
    ada.goes_to("/account/login").await;
    takes_former_cookie(&ada, &first).await;
    ada.goes_to("/account").await;
    ada.is_signed_in_as(&ADA).await;
    // Another tab of the app that was left sets its cookie again.
    takes_former_cookie(&ada, &second).await;
    ada.signs_out().await;
    assert!(!has_former_cookie(&ada).await);
    let elsewhere = site.visitor().await;
    elsewhere.goes_to("/account/login").await;
    takes_former_cookie(&elsewhere, &second).await;
    elsewhere.is_signed_out().await;
}

//! Registration, and sessions that outlive the browser or the server.

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

const THIRTY_DAYS: i64 = 30 * 86_400;

#[tokio::test]
async fn a_new_user_is_welcomed_by_name() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    ada.sees_a_heading("Welcome, Ada Lovelace").await;
    ada.sees("ada@example.com").await;

    let cookie = ada.session_cookie().await;
    assert_eq!(cookie.http_only(), Some(true));
    assert!(cookie.same_site().unwrap().is_lax());
    let lasts = cookie.expires_datetime().unwrap().unix_timestamp() - now(&ada).await;
    assert!((THIRTY_DAYS - 60..=THIRTY_DAYS).contains(&lasts), "it lasts {lasts} seconds");
}

#[tokio::test]
async fn a_session_survives_a_closed_browser_and_a_server_restart() {
    let mut site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    let profile = ada.closes_the_browser().await;
    site.restarts();
    let ada = site.visitor_with(profile).await;
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn a_session_survives_a_server_restart_under_an_open_browser() {
    let mut site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    site.restarts();
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn without_remember_me_the_session_ends_when_the_browser_closes() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.unticks_keep_me_signed_in().await;
    ada.says_who_they_are(&ADA).await;
    ada.is_at("/account").await;
    assert_eq!(ada.session_cookie().await.expires(), None);
    let ada = site.visitor_with(ada.closes_the_browser().await).await;
    ada.is_signed_out().await;
}

/// The time by the browser's own clock.
async fn now(visitor: &BrowserUser) -> i64 {
    visitor.browser.execute("return Math.floor(Date.now() / 1000)", Vec::new()).await.unwrap().as_i64().unwrap()
}

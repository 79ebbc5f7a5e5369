//! Sign-out, and requests that then need a new sign-in.

use crate::browser_user::ADA;
use crate::site::Site;

#[tokio::test]
async fn the_home_page_offers_to_sign_in_after_a_sign_out() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.signs_out().await;
    ada.sees("You are signed out.").await;
    ada.sees("Register").await;
    ada.sees("Sign in").await;
    ada.has_no_session_cookie().await;
}

#[tokio::test]
async fn the_sign_out_page_signs_out_only_after_confirmation() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.goes_to("/account/logout").await;
    ada.clicks("Cancel").await;
    ada.is_signed_in_as(&ADA).await;
    ada.goes_to("/account/logout").await;
    ada.clicks("Sign out").await;
    ada.is_at("/").await;
    ada.is_signed_out().await;
}

#[tokio::test]
async fn a_sign_in_leads_back_to_the_requested_page() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    for (wanted, detour) in [
        ("/account", "/account/login?next=%2Faccount"),
        ("/account/sessions", "/account/login?next=%2Faccount%2Fsessions"),
    ] {
        ada.signs_out().await;
        ada.goes_to(wanted).await;
        ada.is_at(detour).await;
        ada.says_who_they_are(&ADA).await;
        ada.is_at(wanted).await;
    }
}

#[tokio::test]
async fn a_form_submitted_after_sign_out_leads_back_to_its_page() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.goes_to("/account/profile").await;
    ada.fills_in("Name", "Augusta").await;
    let elsewhere = site.visitor().await;
    elsewhere.signs_in_as(&ADA).await;
    elsewhere.is_at("/account").await;
    elsewhere.goes_to("/account/sessions").await;
    elsewhere.clicks("Sign out everywhere else").await;
    elsewhere.sees("nowhere else").await;
    ada.clicks("Save").await;
    ada.is_at("/account/login?next=%2Faccount%2Fprofile&notice=form-not-sent").await;
    ada.sees("Your form was not sent").await;
    ada.says_who_they_are(&ADA).await;
    ada.is_at("/account/profile").await;
    assert_eq!(ada.reads("Name").await, ADA.name);
}

#[tokio::test]
async fn the_back_button_shows_no_account_page_after_a_sign_out() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    for _ in 0..2 {
        ada.is_at("/account").await;
        ada.signs_out().await;
        ada.browser.back().await.unwrap();
        ada.is_at("/account/login?next=%2Faccount").await;
        ada.says_who_they_are(&ADA).await;
    }
}

//! Error messages beside the fields of forms.

use crate::browser_user::{ADA, Person};
use crate::site::Site;

#[tokio::test]
async fn an_address_that_differs_from_a_registered_one_only_in_case_is_refused() {
    let site = Site::opens();
    let (ada, again) = (site.visitor().await, site.visitor().await);
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    again
        .registers_as(&Person { name: "Ada King", email: "ADA@Example.COM", password: "seven looms hum at dusk" })
        .await;
    again.is_told_beside("email", "This e-mail address already has an account.").await;
    assert_eq!(again.reads("Name").await, "Ada King");
    assert_eq!(again.reads("E-mail address").await, "ADA@Example.COM");
    assert_eq!(again.reads("Password").await, "");
    again.has_no_session_cookie().await;
}

#[tokio::test]
async fn an_empty_form_gets_server_side_errors_and_focus_on_the_first_field() {
    let site = Site::opens();
    let visitor = site.visitor().await;
    visitor.goes_to("/account/register").await;
    visitor.clicks("Register").await;
    visitor.is_told_beside("name", "Enter your name.").await;
    visitor.sees("Enter your e-mail address.").await;
}

#[tokio::test]
async fn a_wrong_password_shows_an_error_and_sets_no_session_cookie() {
    let site = Site::opens();
    let (ada, stranger) = (site.visitor().await, site.visitor().await);
    ada.registers_as(&ADA).await;
    ada.is_at("/account").await;
    stranger.signs_in_as(&Person { password: "brass wheels weave geometry", ..ADA }).await;
    stranger.is_told_beside("password", "The e-mail address or the password is wrong.").await;
    assert_eq!(stranger.reads("E-mail address").await, ADA.email);
    assert_eq!(stranger.reads("Password").await, "");
    stranger.has_no_session_cookie().await;
}

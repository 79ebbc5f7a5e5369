//! Forms that a double click submits twice: the user ends on the expected page, whatever happens to the first response.

use std::time::Duration;

use crate::browser_user::{ADA, BrowserUser, Person};
use crate::site::Site;

/// The time between the clicks: that of a double click, or long enough for the first response to be on its way.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(150)];
const NEW: &str = "seven looms hum at dusk";

async fn fills_in_the_registration(visitor: &BrowserUser, person: &Person) {
    visitor.goes_to("/account/register").await;
    visitor.fills_in("Name", person.name).await;
    visitor.fills_in("E-mail address", person.email).await;
    visitor.fills_in("Password", person.password).await;
}

#[tokio::test]
async fn a_form_that_is_submitted_twice_ends_as_one_success() {
    for pause in PAUSES {
        let site = Site::opens();
        let ada = site.visitor().await;
        fills_in_the_registration(&ada, &ADA).await;
        ada.clicks_twice("Register", pause).await;
        ada.is_welcomed_as(&ADA).await;
        ada.is_signed_in_as(&ADA).await;

        ada.goes_to("/account/profile").await;
        ada.fills_in("Name", ADA.name).await;
        ada.clicks_twice("Save", pause).await;
        ada.sees("Your name was changed").await;

        // The registration may have begun two sessions, of which the browser has one.
        let phone = site.visitor().await;
        phone.signs_in_as(&ADA).await;
        phone.is_at("/account").await;
        ada.goes_to("/account/sessions").await;
        ada.clicks_twice("Sign out everywhere else", pause).await;
        ada.sees("You are signed in on this device and nowhere else.").await;
        phone.is_signed_out().await;

        phone.signs_in_as(&ADA).await;
        phone.is_at("/account").await;
        ada.goes_to("/account/sessions").await;
        ada.clicks_twice("Sign out Chrome on Linux at 127.0.0.1", pause).await;
        ada.sees("You are signed in on this device and nowhere else.").await;
        phone.is_signed_out().await;

        ada.goes_to("/account/password").await;
        ada.fills_in("Current password", ADA.password).await;
        ada.fills_in("New password", NEW).await;
        ada.clicks_twice("Change password", pause).await;
        ada.sees("Your new password is set").await;
        ada.is_signed_in_as(&ADA).await;

        ada.goes_to("/account/logout").await;
        ada.clicks_twice("Sign out", pause).await;
        ada.is_signed_out().await;

        ada.goes_to("/account/login").await;
        ada.fills_in("E-mail address", ADA.email).await;
        ada.fills_in("Password", NEW).await;
        ada.clicks_twice("Sign in", pause).await;
        ada.is_welcomed_as(&ADA).await;
        ada.is_signed_in_as(&ADA).await;
    }
}

//! The page of signed-in devices, and signing out others from it.

use crate::browser_user::{ADA, BrowserUser, Person};
use crate::site::Site;

/// Ada, signed in on two devices, with the page of devices open on the first.
async fn on_two_devices(site: &Site) -> (BrowserUser, BrowserUser) {
    let (laptop, phone) = (site.visitor().await, site.visitor().await);
    laptop.registers_as(&ADA).await;
    laptop.is_at("/account").await;
    phone.signs_in_as(&ADA).await;
    phone.is_at("/account").await;
    laptop.goes_to("/account/sessions").await;
    laptop.sees("This device").await;
    (laptop, phone)
}

#[tokio::test]
async fn one_device_signs_out_another() {
    let site = Site::opens();
    let (laptop, phone) = on_two_devices(&site).await;
    laptop.clicks("Sign out Chrome on Linux at 127.0.0.1").await;
    laptop.sees("You are signed in on this device and nowhere else.").await;
    phone.is_signed_out().await;
    laptop.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn one_device_signs_out_all_others() {
    let site = Site::opens();
    let (laptop, phone) = on_two_devices(&site).await;
    let tablet = site.visitor().await;
    tablet.signs_in_as(&ADA).await;
    tablet.is_at("/account").await;
    laptop.clicks("Sign out everywhere else").await;
    laptop.sees("You are signed in on this device and nowhere else.").await;
    phone.is_signed_out().await;
    tablet.is_signed_out().await;
    laptop.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn a_password_change_signs_out_the_other_devices_only() {
    let site = Site::opens();
    let (laptop, phone) = on_two_devices(&site).await;
    let before = laptop.session_cookie().await;
    laptop.goes_to("/account/password").await;
    laptop.fills_in("Current password", ADA.password).await;
    laptop.fills_in("New password", "seven looms hum at dusk").await;
    laptop.clicks("Change password").await;
    laptop.sees("Your new password is set").await;
    assert_ne!(laptop.session_cookie().await.value(), before.value());

    phone.is_signed_out().await;
    phone.signs_in_as(&ADA).await;
    phone.is_told_beside("password", "wrong").await;
    phone.signs_in_as(&Person { password: "seven looms hum at dusk", ..ADA }).await;
    phone.is_at("/account").await;
    laptop.is_signed_in_as(&ADA).await;
}

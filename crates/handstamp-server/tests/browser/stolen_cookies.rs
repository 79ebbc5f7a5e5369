//! Session cookies that are copied or forged.

use crate::browser_user::ADA;
use crate::site::Site;

#[tokio::test]
async fn a_copied_session_cookie_is_dead_after_sign_out() {
    let site = Site::opens();
    let (ada, thief) = (site.visitor().await, site.visitor().await);
    ada.registers_as(&ADA).await;
    let copy = ada.session_cookie().await;
    thief.goes_to("/").await;
    thief.takes_session_cookie(copy.clone()).await;
    thief.is_signed_in_as(&ADA).await;

    ada.signs_out().await;
    thief.is_signed_out().await;
    ada.takes_session_cookie(copy).await;
    ada.is_signed_out().await;
}

#[tokio::test]
async fn a_session_cookie_with_one_changed_character_is_rejected() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    let good = ada.session_cookie().await;
    let length = good.value().len();
    for place in [0, 1, length / 4, length / 2, length - 2, length - 1] {
        let other = if good.value().as_bytes()[place] == b'A' { "B" } else { "A" };
        let mut forged = good.clone();
        forged.set_value([&good.value()[..place], other, &good.value()[place + 1..]].concat());
        ada.takes_session_cookie(forged).await;
        ada.is_signed_out().await;
    }
    ada.takes_session_cookie(good).await;
    ada.is_signed_in_as(&ADA).await;
}

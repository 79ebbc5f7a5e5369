//! The pages used by keyboard alone.

use fantoccini::key::Key;

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

#[tokio::test]
async fn the_first_tab_stop_skips_to_the_content() {
    let site = Site::opens();
    let visitor = site.visitor().await;
    for (page, first) in [("/", "Sign in"), ("/account/register", "Name"), ("/account/login", "E-mail address")] {
        visitor.goes_to(page).await;
        visitor.presses(Key::Tab).await;
        assert_eq!(visitor.hears_the_focus().await, "Skip to the content");
        visitor.presses(Key::Enter).await;
        visitor.is_at(&format!("{page}#main")).await;
        visitor.presses(Key::Tab).await;
        assert_eq!(visitor.hears_the_focus().await, first);
    }
}

#[tokio::test]
async fn a_user_without_a_mouse_registers_signs_out_and_signs_in() {
    let site = Site::opens();
    let ada = site.visitor().await;
    ada.goes_to("/").await;
    ada.chooses("Register", Key::Enter).await;
    ada.is_at("/account/register").await;
    ada.tabs_through([("Name", ADA.name), ("E-mail address", ADA.email), ("Password", ADA.password)]).await;
    ada.presses(Key::Enter).await;
    ada.is_at("/account").await;

    ada.chooses("Sign out", Key::Space).await;
    ada.is_at("/").await;
    ada.chooses("Sign in", Key::Enter).await;
    ada.is_at("/account/login").await;
    ada.tabs_through([("E-mail address", ADA.email), ("Password", ADA.password)]).await;
    ada.chooses("Keep me signed in for 30 days on this device", Key::Space).await;
    ada.chooses("Sign in", Key::Space).await;
    ada.is_at("/account").await;
    assert_eq!(ada.session_cookie().await.expires(), None, "the space bar took the tick away");
}

impl BrowserUser {
    async fn chooses(&self, name: &str, key: Key) {
        self.tabs_to(name).await;
        self.presses(key).await;
    }

    async fn tabs_through<const N: usize>(&self, fields: [(&str, &str); N]) {
        for (name, text) in fields {
            self.tabs_to(name).await;
            self.types(text).await;
        }
    }
}

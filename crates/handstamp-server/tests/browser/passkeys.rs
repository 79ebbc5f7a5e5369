//! Passkeys, in Chromium with a virtual authenticator (WebAuthn Level 3, 11): every ceremony, by the pages alone.

use std::fs;

use axum::http::Method;
use fantoccini::Locator;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::browser::Extra;
use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

/// A command for virtual authenticators: its method, its path and its body.
#[derive(Debug)]
struct Authenticators(Method, String, Value);

impl WebDriverCompatibleCommand for Authenticators {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/webauthn/authenticator{}", session.unwrap_or_default(), self.1))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = (self.0 == Method::POST).then(|| self.2.to_string());
        (self.0.clone(), body)
    }
}

/// The abilities of an authenticator.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    resident_keys: bool,
    verifies_user: bool,
}

pub(crate) const PHONE: Abilities = Abilities { resident_keys: true, verifies_user: true };
/// A security key that notes a touch and no more.
const TOUCH: Abilities = Abilities { resident_keys: false, verifies_user: false };
/// A security key with a PIN, and no space for passkeys that it can list.
const KEY_WITH_PIN: Abilities = Abilities { resident_keys: false, verifies_user: true };

impl BrowserUser {
    async fn sends(&self, method: Method, path: String, body: Value) -> Value {
        self.browser.issue_cmd(Authenticators(method, path, body)).await.unwrap()
    }

    /// Gives the browser an authenticator, and returns its id.
    pub(crate) async fn has_authenticator(&self, abilities: Abilities) -> String {
        let Abilities { resident_keys, verifies_user } = abilities;
        let parameters = json!({
            "protocol": "ctap2_1", "transport": if resident_keys { "internal" } else { "usb" },
            "hasResidentKey": resident_keys, "hasUserVerification": verifies_user, "isUserVerified": verifies_user,
            "isUserConsenting": true,
        });
        self.sends(Method::POST, String::new(), parameters).await.as_str().unwrap().to_owned()
    }

    /// Turns the list in the field of the address off: the browser of a test takes the first passkey of it by itself.
    pub(crate) async fn is_offered_no_list(&self) {
        let script = "PublicKeyCredential.isConditionalMediationAvailable = async () => false";
        let off = Extra::devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        self.browser.issue_cmd(off).await.unwrap();
    }

    async fn loses_authenticator(&self, id: &str) {
        self.sends(Method::DELETE, format!("/{id}"), Value::Null).await;
    }

    async fn credentials(&self, id: &str) -> Vec<Value> {
        self.sends(Method::GET, format!("/{id}/credentials"), Value::Null).await.as_array().unwrap().clone()
    }

    async fn copies(&self, id: &str, credential: &Value) {
        self.sends(Method::POST, format!("/{id}/credential"), credential.clone()).await;
    }

    /// Whether the authenticator recognises its user.
    async fn is_recognised(&self, id: &str, recognised: bool) {
        self.sends(Method::POST, format!("/{id}/uv"), json!({ "isUserVerified": recognised })).await;
    }

    pub(crate) async fn adds_a_passkey(&self) {
        self.goes_to("/account/passkeys").await;
        self.clicks("Add a passkey").await;
        self.sees("Your passkey is added.").await;
    }

    async fn asks_for_the_passkey(&self) {
        self.goes_to("/account/login").await;
        self.clicks("Sign in with a passkey").await;
    }

    /// Waits for the words of the script beside the button.
    pub(crate) async fn is_told_by_the_script(&self, words: &str) {
        let told = format!("//*[@role = \"alert\"][not(@hidden)][contains(., \"{words}\")]");
        self.finds(Locator::XPath(&told)).await;
    }
}

/// Ada, who has registered.
async fn ada(site: &Site) -> BrowserUser {
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_welcomed_as(&ADA).await;
    ada
}

#[tokio::test]
async fn a_passkey_is_added_signs_in_by_the_button_and_is_removed() {
    let site = Site::opens();
    let ada = ada(&site).await;
    ada.is_offered_no_list().await;
    let phone = ada.has_authenticator(PHONE).await;
    ada.goes_to("/account/passkeys").await;
    ada.fills_in("Name", "My <b>phone</b>").await;
    ada.clicks("Add a passkey").await;
    ada.sees("Your passkey is added.").await;
    ada.sees("My <b>phone</b>").await;
    ada.finds(Locator::XPath("//dd[. = \"never\"]")).await;
    let made = ada.credentials(&phone).await;
    assert_eq!((made.len(), made[0]["isResidentCredential"].as_bool()), (1, Some(true)), "it can be discovered");

    ada.clicks("Add a passkey").await;
    ada.is_told_by_the_script("This device has a passkey for your account already.").await;

    ada.signs_out().await;
    ada.asks_for_the_passkey().await;
    ada.is_welcomed_as(&ADA).await;
    ada.goes_to("/account/passkeys").await;
    ada.sees("just now").await;
    ada.clicks("Remove").await;
    ada.sees("The passkey is removed.").await;
    assert!(!ada.browser.source().await.unwrap().contains("phone"));

    ada.signs_out().await;
    ada.asks_for_the_passkey().await;
    ada.is_told_by_the_script("This passkey was not accepted.").await;
    ada.is_signed_out().await;
}

#[tokio::test]
async fn the_field_of_the_address_offers_passkeys() {
    let site = Site::opens();
    let ada = ada(&site).await;
    let phone = ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    ada.signs_out().await;
    // The browser of the test takes the first passkey of the list by itself.
    ada.goes_to("/account/login?next=%2Faccount%2Fsessions").await;
    ada.is_at("/account/sessions").await;
    let field = "//input[@autocomplete = 'username webauthn']";
    ada.loses_authenticator(&phone).await;
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.finds(Locator::XPath(field)).await;
    ada.says_who_they_are(&ADA).await;
    ada.is_welcomed_as(&ADA).await;
}

#[tokio::test]
async fn remember_me_and_next_are_kept() {
    let site = Site::opens();
    let ada = ada(&site).await;
    let key = ada.has_authenticator(KEY_WITH_PIN).await;
    ada.adds_a_passkey().await;
    assert_eq!(ada.credentials(&key).await[0]["isResidentCredential"], false);
    ada.signs_out().await;
    // Without a list of its own the key needs the address.
    ada.goes_to("/account/login?next=%2Faccount%2Fprofile").await;
    ada.unticks_keep_me_signed_in().await;
    ada.fills_in("E-mail address", ADA.email).await;
    ada.clicks("Sign in with a passkey").await;
    ada.is_at("/account/profile").await;
    assert!(ada.session_cookie().await.expires().is_none_or(|expires| expires.is_session()), "until it is closed");
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.fills_in("E-mail address", ADA.email).await;
    ada.clicks("Sign in with a passkey").await;
    ada.is_at("/account").await;
    assert!(ada.session_cookie().await.expires_datetime().is_some(), "for thirty days");
}

#[tokio::test]
async fn an_unknown_address_is_asked_for_a_passkey_as_well() {
    let site = Site::opens();
    let ada = ada(&site).await;
    ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    ada.signs_out().await;
    let visitor = site.visitor().await;
    visitor.has_authenticator(PHONE).await;
    for email in ["nobody@example.com", ADA.email] {
        visitor.goes_to("/account/login").await;
        visitor.fills_in("E-mail address", email).await;
        visitor.clicks("Sign in with a passkey").await;
        visitor.is_told_by_the_script("No passkey was used.").await;
    }
    visitor.is_signed_out().await;
}

#[tokio::test]
async fn a_key_without_user_verification_does_not_sign_in_alone() {
    let site = Site::opens();
    let ada = ada(&site).await;
    ada.has_authenticator(TOUCH).await;
    ada.adds_a_passkey().await;
    ada.signs_out().await;
    ada.goes_to("/account/login").await;
    ada.fills_in("E-mail address", ADA.email).await;
    ada.clicks("Sign in with a passkey").await;
    ada.is_told_by_the_script("No passkey was used.").await;
    ada.is_signed_out().await;
    ada.signs_in_as(&ADA).await;
    ada.is_welcomed_as(&ADA).await;
}

#[tokio::test]
async fn a_finger_that_is_not_recognised_does_not_sign_in() {
    let site = Site::opens();
    let ada = ada(&site).await;
    ada.is_offered_no_list().await;
    let phone = ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    ada.signs_out().await;
    ada.is_recognised(&phone, false).await;
    ada.asks_for_the_passkey().await;
    ada.is_told_by_the_script("No passkey was used.").await;
    ada.is_recognised(&phone, true).await;
    ada.clicks("Sign in with a passkey").await;
    ada.is_welcomed_as(&ADA).await;
}

#[tokio::test]
async fn a_copy_of_a_passkey_is_refused_and_noted() {
    let site = Site::opens();
    let ada = ada(&site).await;
    ada.is_offered_no_list().await;
    let phone = ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    let copy = ada.credentials(&phone).await.remove(0);
    for _ in 0..2 {
        ada.signs_out().await;
        ada.asks_for_the_passkey().await;
        ada.is_welcomed_as(&ADA).await;
    }
    ada.signs_out().await;
    ada.loses_authenticator(&phone).await;
    let thief = ada.has_authenticator(PHONE).await;
    ada.copies(&thief, &copy).await;
    ada.asks_for_the_passkey().await;
    ada.is_told_by_the_script("This passkey was not accepted.").await;
    ada.is_signed_out().await;
    let log = fs::read_to_string(site.folder().join("server.log")).unwrap();
    assert!(log.contains("passkey_counter_regressed") && log.contains("\"reason\":\"counter\""), "{log}");
}

#[tokio::test]
async fn adding_a_passkey_signs_out_other_devices() {
    let site = Site::opens();
    let ada = ada(&site).await;
    let elsewhere = site.visitor().await;
    elsewhere.signs_in_as(&ADA).await;
    elsewhere.is_welcomed_as(&ADA).await;
    ada.has_authenticator(PHONE).await;
    ada.adds_a_passkey().await;
    elsewhere.is_signed_out().await;
    ada.is_signed_in_as(&ADA).await;
}

#[tokio::test]
async fn the_button_is_hidden_and_the_page_says_why_without_javascript() {
    let site = Site::opens();
    let visitor = site.visitor().await;
    let off = Extra::devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    visitor.browser.issue_cmd(off).await.unwrap();
    visitor.goes_to("/account/login").await;
    visitor.sees("Passkeys need JavaScript, which is off in this browser.").await;
    let button = visitor.finds(Locator::Css(".passkey button")).await;
    assert!(!button.is_displayed().await.unwrap());
    visitor.registers_as(&ADA).await;
    visitor.is_welcomed_as(&ADA).await;
    visitor.goes_to("/account/passkeys").await;
    visitor.sees("Passkeys need JavaScript").await;
}

#[tokio::test]
async fn a_passkey_confirms_that_it_is_the_user() {
    let site = Site::opens_with(&[("HANDSTAMP_SECOND_FACTOR__REQUIRED", "everybody")]);
    let ada = site.visitor().await;
    ada.is_offered_no_list().await;
    ada.registers_as(&ADA).await;
    ada.has_authenticator(TOUCH).await;
    ada.adds_a_passkey().await;
    // A new passkey has proved nothing yet.
    ada.goes_to("/account/profile").await;
    ada.is_at("/account/confirm?assurance=2&next=%2Faccount%2Fprofile").await;
    ada.clicks("Use your passkey").await;
    ada.is_at("/account/profile").await;
    ada.signs_out().await;

    ada.signs_in_as(&ADA).await;
    ada.is_at("/account/login/second-factor").await;
    ada.sees("Use your passkey to finish signing in.").await;
    ada.clicks("Use your passkey").await;
    ada.is_welcomed_as(&ADA).await;
}

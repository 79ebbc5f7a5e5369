//! A visitor with a browser: the actions of a user, and assertions about the pages.

use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::cookies::Cookie;
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::Value;

use crate::browser::{ComputedLabel, Extra, Profile};

/// The maximum wait for an element or a URL that should be there at once.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) password: &'static str,
}

pub(crate) const ADA: Person =
    Person { name: "Ada Lovelace", email: "ada@example.com", password: "brass wheels weave algebra" };

/// A visitor with a browser of their own.
pub(crate) struct BrowserUser {
    pub(crate) browser: Client,
    profile: Profile,
    site: String,
}

impl BrowserUser {
    pub(crate) fn new(browser: Client, profile: Profile, site: String) -> Self {
        Self { browser, profile, site }
    }

    /// Closes the browser; its profile stays.
    pub(crate) async fn closes_the_browser(self) -> Profile {
        self.browser.close().await.unwrap();
        self.profile
    }

    pub(crate) async fn goes_to(&self, path: &str) {
        self.browser.goto(&format!("{}{path}", self.site)).await.unwrap();
    }

    /// Opens a page, again and again until a server answers with a form.
    pub(crate) async fn comes_as_soon_as_there_is(&self, path: &str) {
        for _ in 0..200 {
            // Without a server Chromium shows an error page of its own and reports an error.
            if self.browser.goto(&format!("{}{path}", self.site)).await.is_ok()
                && self.browser.find(Locator::Css("main form")).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no server answers: {}", self.describes_the_page().await);
    }

    pub(crate) async fn is_at(&self, path: &str) {
        let url = format!("{}{path}", self.site).parse().unwrap();
        let waited = self.browser.wait().at_most(PATIENCE).every(Duration::from_millis(20)).for_url(&url).await;
        if waited.is_err() {
            panic!("not at {path}; instead {}", self.describes_the_page().await);
        }
    }

    /// Waits for this text in the main part of the page.
    pub(crate) async fn sees(&self, text: &str) {
        self.finds(Locator::XPath(&format!("//main[contains(normalize-space(), \"{text}\")]"))).await;
    }

    pub(crate) async fn sees_a_heading(&self, text: &str) {
        self.finds(Locator::XPath(&format!("//h1[normalize-space() = \"{text}\"]"))).await;
    }

    /// Waits for an element.
    pub(crate) async fn finds(&self, what: Locator<'_>) -> Element {
        let waiting = self.browser.wait().at_most(PATIENCE).every(Duration::from_millis(20));
        match waiting.for_element(what).await {
            Ok(element) => element,
            Err(error) => panic!("no {what:?} ({error}); instead {}", self.describes_the_page().await),
        }
    }

    async fn describes_the_page(&self) -> String {
        let url = self.browser.current_url().await.unwrap();
        let text = self.browser.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        format!("{url} says:\n{text}")
    }

    /// Clicks a link or a button in the main part of the page, by the beginning of its text.
    pub(crate) async fn clicks(&self, text: &str) {
        let xpath = format!("//main//*[self::a or self::button][starts-with(normalize-space(), \"{text}\")]");
        self.finds(Locator::XPath(&xpath)).await.click().await.unwrap();
    }

    /// Clicks a button in the main part of the page twice, with a pause between the clicks.
    pub(crate) async fn clicks_twice(&self, text: &str, pause: Duration) {
        let xpath = format!("//main//button[starts-with(normalize-space(), \"{text}\")]");
        let button = serde_json::to_value(self.finds(Locator::XPath(&xpath)).await).unwrap();
        let pause = u64::try_from(pause.as_millis()).unwrap();
        let script = "const [button, pause] = arguments; button.click(); setTimeout(() => button.click(), pause);";
        self.browser.execute(script, vec![button, pause.into()]).await.unwrap();
    }

    /// Types into a field, by its label.
    pub(crate) async fn fills_in(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// The value of a field.
    pub(crate) async fn reads(&self, label: &str) -> String {
        self.field(label).await.prop("value").await.unwrap().unwrap_or_default()
    }

    async fn field(&self, label: &str) -> Element {
        self.finds(Locator::XPath(&format!("//input[@id = //label[normalize-space() = \"{label}\"]/@for]"))).await
    }

    pub(crate) async fn unticks_keep_me_signed_in(&self) {
        let tick = self.finds(Locator::XPath("//label[contains(., \"Keep me signed in\")]/input")).await;
        assert!(tick.is_selected().await.unwrap(), "it is ticked by default");
        tick.click().await.unwrap();
    }

    pub(crate) async fn registers_as(&self, person: &Person) {
        self.goes_to("/account/register").await;
        self.fills_in("Name", person.name).await;
        self.fills_in("E-mail address", person.email).await;
        self.fills_in("Password", person.password).await;
        self.clicks("Register").await;
    }

    pub(crate) async fn signs_in_as(&self, person: &Person) {
        self.goes_to("/account/login").await;
        self.says_who_they_are(person).await;
    }

    /// Fills in and submits the sign-in form of the open page.
    pub(crate) async fn says_who_they_are(&self, person: &Person) {
        self.fills_in("E-mail address", person.email).await;
        self.fills_in("Password", person.password).await;
        self.clicks("Sign in").await;
    }

    pub(crate) async fn signs_out(&self) {
        self.finds(Locator::XPath("//header//button[. = \"Sign out\"]")).await.click().await.unwrap();
        self.is_at("/").await;
    }

    /// Asserts that the account page welcomes this person.
    pub(crate) async fn is_signed_in_as(&self, person: &Person) {
        self.goes_to("/account").await;
        self.is_welcomed_as(person).await;
    }

    /// Waits until the account page has been loaded, and no other request for a page is under way.
    pub(crate) async fn is_welcomed_as(&self, person: &Person) {
        self.is_at("/account").await;
        self.sees_a_heading(&format!("Welcome, {}", person.name)).await;
    }

    pub(crate) async fn is_signed_out(&self) {
        self.goes_to("/account").await;
        self.is_at("/account/login?next=%2Faccount").await;
    }

    /// Waits for an error beside a field (by its id) that has the focus.
    pub(crate) async fn is_told_beside(&self, id: &str, error: &str) {
        let beside = format!(
            "//div[label[@for = \"{id}\"]][input[@aria-invalid = \"true\"]]\
             /p[@id = \"{id}-error\"][contains(., \"{error}\")]"
        );
        self.finds(Locator::XPath(&beside)).await;
        self.finds(Locator::Css(&format!("#{id}:focus[aria-describedby~=\"{id}-error\"]"))).await;
        let title = self.browser.title().await.unwrap();
        assert!(title.starts_with("Error: "), "the title says it first: {title}");
    }

    /// The session cookie.
    pub(crate) async fn session_cookie(&self) -> Cookie<'static> {
        self.browser.get_named_cookie(&self.cookie_name()).await.unwrap()
    }

    /// The name of the session cookie, which ends with the port of the site on plain http.
    fn cookie_name(&self) -> String {
        format!("handstamp_session_{}", self.site.rsplit(':').next().unwrap())
    }

    pub(crate) async fn has_no_session_cookie(&self) {
        assert!(self.browser.get_named_cookie(&self.cookie_name()).await.unwrap_err().is_no_such_cookie());
    }

    /// Replaces the session cookie of the browser.
    pub(crate) async fn takes_session_cookie(&self, cookie: Cookie<'static>) {
        self.browser.add_cookie(cookie.clone()).await.unwrap();
        assert_eq!(self.session_cookie().await.value(), cookie.value());
    }

    /// Presses and releases one key after another.
    pub(crate) async fn types(&self, text: &str) {
        let press = |key| [KeyAction::Down { value: key }, KeyAction::Up { value: key }];
        let keys = text.chars().flat_map(press).fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        self.browser.perform_actions(keys).await.unwrap();
    }

    pub(crate) async fn presses(&self, key: Key) {
        self.types(&key.to_string()).await;
    }

    /// Presses Tab until the focus is on the element with this accessible name.
    pub(crate) async fn tabs_to(&self, name: &str) {
        let mut passed = Vec::new();
        while passed.len() < 12 {
            self.presses(Key::Tab).await;
            let focused = self.hears_the_focus().await;
            if focused == name {
                return;
            }
            passed.push(focused);
        }
        panic!("Tab never came to {name}, only to {passed:?}");
    }

    /// The accessible name of the element that has the focus.
    pub(crate) async fn hears_the_focus(&self) -> String {
        let id = self.browser.active_element().await.unwrap().element_id().to_string();
        let name = self.browser.issue_cmd(ComputedLabel(id)).await.unwrap();
        name.as_str().unwrap().to_owned()
    }

    /// The messages of the browser's console since the last call.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let said = self.browser.issue_cmd(Extra::console()).await.unwrap();
        said.as_array().unwrap().clone()
    }
}

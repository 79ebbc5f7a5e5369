//! The cookies of the site: their names, attributes and values.

use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use handstamp_core::DeviceTokens;
use handstamp_core::cookie::{self, CookieLookup};

use crate::config::Config;
#[cfg(feature = "federation")]
use crate::services::AttemptSecret;
use crate::services::{BrowserSecret, PendingSignIn, SignInCookies};
use crate::sessions::IssuedToken;

/// The names of our cookies, and all their attributes but `Max-Age`.
pub(crate) struct Cookies {
    session: String,
    device: String,
    signed_out: String,
    moved: String,
    exchanged: String,
    link: String,
    pending: String,
    #[cfg(feature = "federation")]
    attempt: String,
    #[cfg(feature = "federation")]
    answer: String,
    /// The attributes of cookies for our pages alone.
    of_pages: String,
    attributes: String,
    /// The attributes of a host-only cookie, where ours are for a domain.
    host_only: Option<String>,
}

impl Cookies {
    pub(crate) fn new(config: &Config) -> Self {
        let domain = config.session.cookie_domain.as_deref();
        let (prefix, secure) = match (config.public_url.is_https(), domain) {
            (true, None) => ("__Host-", "; Secure"),
            (true, Some(_)) => ("__Secure-", "; Secure"),
            (false, _) => ("", ""),
        };
        let port = config.public_url.port_of_cookies();
        let name = |what| format!("{prefix}handstamp_{what}{port}");
        #[cfg(feature = "federation")]
        let host_prefix = if config.public_url.is_https() { "__Host-" } else { "" };
        // `__Host-` requires the path `/`.
        let page_prefix = if config.public_url.is_https() { "__Secure-" } else { "" };
        let host_only = format!("Path=/; HttpOnly; SameSite=Lax{secure}");
        Self {
            session: name("session"),
            device: name("device"),
            signed_out: name("signed_out"),
            moved: name("moved"),
            exchanged: name("exchanged"),
            link: format!("{page_prefix}handstamp_link{port}"),
            pending: format!("{page_prefix}handstamp_pending{port}"),
            #[cfg(feature = "federation")]
            attempt: format!("{host_prefix}handstamp_with{port}"),
            #[cfg(feature = "federation")]
            answer: format!("{host_prefix}handstamp_answer{port}"),
            of_pages: format!("Path={}/account; HttpOnly; SameSite=Lax{secure}", config.prefix),
            attributes: domain.map_or_else(|| host_only.clone(), |domain| format!("{host_only}; Domain={domain}")),
            host_only: domain.map(|_| host_only),
        }
    }

    /// The cookies of a sign-in: sets the session and the device cookie, and removes a host-only session cookie beside them.
    pub(crate) fn sign_in_cookies(&self, cookies: &SignInCookies) -> impl Iterator<Item = HeaderValue> {
        let max_age = format!("; Max-Age={}", DeviceTokens::LIFETIME.as_secs());
        let given = [self.session(&cookies.token), self.set(&self.device, &cookies.device, &max_age)];
        self.remove_host_only().into_iter().chain(given)
    }

    /// Whether a response sets or removes the session cookie already.
    pub(crate) fn are_set_by(&self, headers: &HeaderMap) -> bool {
        let is_ours = |value: &HeaderValue| {
            value.as_bytes().strip_prefix(self.session.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        };
        headers.get_all(SET_COOKIE).iter().any(is_ours)
    }

    /// The cookie with the token of a session.
    pub(super) fn session(&self, token: &IssuedToken) -> HeaderValue {
        let max_age = token.max_age.map_or_else(String::new, |duration| format!("; Max-Age={}", duration.as_secs()));
        self.set(&self.session, token.text.expose(), &max_age)
    }

    /// Removes the session cookie, host-only and for the domain. The device cookie stays.
    pub(crate) fn remove_session(&self) -> impl Iterator<Item = HeaderValue> {
        self.remove_host_only().into_iter().chain([self.set(&self.session, "", "; Max-Age=0")])
    }

    /// Where the cookie is for a domain, a host-only one of the same name is removed as well, since a browser sends both.
    fn remove_host_only(&self) -> Option<HeaderValue> {
        let attributes = self.host_only.as_deref()?;
        Some(header(format!("{}=; {attributes}; Max-Age=0", self.session)))
    }

    /// A cookie that marks a recent sign-out, and nothing else. Chromium keeps pages for back navigation, and drops those whose
    /// cookies have changed since. But if the page was reached by the very sign-in that set the session cookie, Chromium sees no
    /// cookie then and none now. It keeps such pages for three minutes.
    pub(crate) fn signed_out(&self) -> HeaderValue {
        self.set(&self.signed_out, "1", "; Max-Age=600")
    }

    /// The same after the account was deleted.
    pub(super) fn account_deleted(&self) -> HeaderValue {
        self.set(&self.signed_out, "deleted", "; Max-Age=600")
    }

    /// Whether the browser has just deleted the account, and has loaded no page since.
    pub(super) fn has_deleted_account(&self, headers: &HeaderMap) -> bool {
        only(headers, &self.signed_out) == "deleted"
    }

    /// Replaces [`signed_out`](Self::signed_out) once a page has shown the notice.
    pub(super) fn sign_out_shown(&self) -> HeaderValue {
        self.set(&self.signed_out, "shown", "; Max-Age=600")
    }

    /// The notice for a browser that has just signed out or deleted the account, if no page has shown it yet.
    pub(super) fn notice_of_end(&self, headers: &HeaderMap) -> Option<&'static str> {
        match only(headers, &self.signed_out) {
            "1" => Some("You are signed out."),
            "deleted" => Some("Your account and all of its data are deleted."),
            _ => None,
        }
    }

    /// A cookie that marks a recent redirect from this name of the machine to another, and nothing else.
    pub(super) fn moved(&self) -> HeaderValue {
        self.set(&self.moved, "1", "; Max-Age=5")
    }

    pub(super) fn has_moved(&self, headers: &HeaderMap) -> bool {
        find(headers, &self.moved) != CookieLookup::Missing
    }

    /// A cookie that marks a browser whose session of the former framework was exchanged or refused, and nothing else.
    pub(super) fn exchanged(&self, for_how_long: Duration) -> HeaderValue {
        self.set(&self.exchanged, "1", &format!("; Max-Age={}", for_how_long.as_secs()))
    }

    pub(super) fn was_exchanged(&self, headers: &HeaderMap) -> bool {
        find(headers, &self.exchanged) != CookieLookup::Missing
    }

    /// The cookie with the token of a mailed link, which leaves the URL by it.
    pub(super) fn link(&self, token: &str) -> HeaderValue {
        header(format!("{}={token}; {}; Max-Age=3600", self.link, self.of_pages))
    }

    /// Removes the token of a mailed link, once it was used.
    pub(super) fn remove_link(&self) -> HeaderValue {
        header(format!("{}=; {}; Max-Age=0", self.link, self.of_pages))
    }

    /// The token of the mailed link that the browser has opened; empty where there is none, or more than one.
    pub(super) fn presented_link<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        only(headers, &self.link)
    }

    /// The cookie by which a browser that has asked for a mail is known again, for a day.
    pub(super) fn pending(&self, browser: &BrowserSecret) -> HeaderValue {
        header(format!("{}={}; {}; Max-Age=86400", self.pending, browser.expose(), self.of_pages))
    }

    /// The cookie of a sign-in that waits for its second factor.
    pub(super) fn pending_sign_in(&self, pending: &PendingSignIn) -> HeaderValue {
        header(format!("{}={}; {}; Max-Age=600", self.pending, pending.expose(), self.of_pages))
    }

    /// The value of the cookie of a sign-in that waits for its second factor; empty where there is none, or more than one.
    pub(super) fn presented_pending_sign_in<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        only(headers, &self.pending)
    }

    pub(super) fn remove_pending(&self) -> HeaderValue {
        header(format!("{}=; {}; Max-Age=0", self.pending, self.of_pages))
    }

    /// The attributes of a cookie that other hosts of the domain neither get nor set.
    #[cfg(feature = "federation")]
    fn of_this_host(&self) -> &str {
        self.host_only.as_deref().unwrap_or(&self.attributes)
    }

    /// The cookie that binds attempts at providers to this browser, for as long as one can be completed. A host of the same domain must not
    /// be able to set it: with its own secret, the browser would complete an attempt of an attacker.
    #[cfg(feature = "federation")]
    pub(super) fn attempt(&self, secret: &AttemptSecret) -> HeaderValue {
        header(format!("{}={}; {}; Max-Age=600", self.attempt, secret.expose(), self.of_this_host()))
    }

    /// The secret of that cookie; empty where there is none, or more than one.
    #[cfg(feature = "federation")]
    pub(super) fn presented_attempt<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        only(headers, &self.attempt)
    }

    /// The cookie with the answer of a provider that came by a form. Browsers send our other cookies only with the request after that.
    #[cfg(feature = "federation")]
    pub(super) fn answer(&self, fields: &str) -> HeaderValue {
        header(format!("{}={fields}; {}; Max-Age=60", self.answer, self.of_this_host()))
    }

    #[cfg(feature = "federation")]
    pub(super) fn presented_answer<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        only(headers, &self.answer)
    }

    #[cfg(feature = "federation")]
    pub(super) fn remove_answer(&self) -> HeaderValue {
        header(format!("{}=; {}; Max-Age=0", self.answer, self.of_this_host()))
    }

    /// The secret of a browser that has asked for a mail.
    pub(super) fn presented_pending(&self, headers: &HeaderMap) -> Option<BrowserSecret> {
        Some(only(headers, &self.pending)).filter(|value| !value.is_empty()).map(BrowserSecret::from_cookie)
    }

    /// The name of the session cookie.
    pub(crate) fn session_name(&self) -> &str {
        &self.session
    }

    /// Whether a request has a session cookie, valid or not.
    pub(super) fn has_session(&self, headers: &HeaderMap) -> bool {
        self.presented_session(headers) != CookieLookup::Missing
    }

    /// The values of all session cookies of a request.
    pub(super) fn all_sessions<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        cookie::all(lines(headers), &self.session)
    }

    pub(super) fn presented_session<'a>(&self, headers: &'a HeaderMap) -> CookieLookup<'a> {
        find(headers, &self.session)
    }

    /// The value of the device cookie; empty where there is none, or more than one.
    pub(super) fn presented_device<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        only(headers, &self.device)
    }

    fn set(&self, name: &str, value: &str, max_age: &str) -> HeaderValue {
        header(format!("{name}={value}; {}{max_age}", self.attributes))
    }
}

fn header(text: String) -> HeaderValue {
    let mut header = HeaderValue::try_from(text).expect("tokens, names and attributes are visible ASCII");
    header.set_sensitive(true);
    header
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> CookieLookup<'a> {
    cookie::find(lines(headers), name)
}

/// The value of the only cookie with this name; empty where there is none, or more than one.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    match find(headers, name) {
        CookieLookup::Found(text) => text,
        CookieLookup::Missing | CookieLookup::Ambiguous => "",
    }
}

pub(super) fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatabaseUrl, PublicUrl};
    use handstamp_core::SecretKey;

    fn cookies(url: &str, domain: Option<&str>) -> Cookies {
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let url = PublicUrl::parse(url).unwrap();
        let mut config = Config::new(url, DatabaseUrl::Sqlite("unused".into()), secret);
        config.session.cookie_domain = domain.map(str::to_owned);
        Cookies::new(&config)
    }

    #[test]
    fn cookies_have_the_name_prefix_and_attributes_that_browsers_enforce() {
        let removed = |url, domain| -> Vec<String> {
            cookies(url, domain).remove_session().map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            removed("https://example.com", None),
            ["__Host-handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"]
        );
        assert_eq!(
            removed("https://id.example.com", Some("example.com")),
            [
                "__Secure-handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0",
                "__Secure-handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Domain=example.com; Max-Age=0"
            ],
            "host-only, and for the domain"
        );
        assert_eq!(
            removed("http://localhost", None),
            ["handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"]
        );
    }

    #[cfg(feature = "federation")]
    #[test]
    fn no_other_host_of_the_domain_can_set_the_cookie_of_an_attempt() {
        for domain in [None, Some("example.com")] {
            let cookies = cookies("https://id.example.com", domain);
            let removed = cookies.remove_answer();
            let removed = removed.to_str().unwrap();
            assert_eq!(removed, "__Host-handstamp_answer=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
            assert_eq!(cookies.attempt, "__Host-handstamp_with");
        }
        assert_eq!(cookies("http://localhost:8080", None).attempt, "handstamp_with_8080");
    }

    #[test]
    fn on_plain_http_cookie_names_contain_the_port() {
        let laptop = cookies("http://localhost:8080", None);
        let names = [laptop.session, laptop.device, laptop.signed_out];
        assert_eq!(names, ["session", "device", "signed_out"].map(|what| format!("handstamp_{what}_8080")));
        assert_eq!(cookies("http://localhost:80", None).session, "handstamp_session");
        assert_eq!(cookies("https://localhost:8443", None).session, "__Host-handstamp_session");
    }
}

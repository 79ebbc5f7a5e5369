use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use handstamp_core::DeviceTokens;
use handstamp_core::cookie::{self, Presented};

use crate::config::Config;
use crate::services::Admitted;
use crate::sessions::SignedIn;

/// Our cookies: how they are called, and all their attributes but how long they are kept.
pub(crate) struct Cookies {
    session: String,
    device: String,
    signed_out: String,
    moved: String,
    attributes: String,
    /// Those of a cookie for this host alone, where ours is for a domain.
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
        let host_only = format!("Path=/; HttpOnly; SameSite=Lax{secure}");
        Self {
            session: name("session"),
            device: name("device"),
            signed_out: name("signed_out"),
            moved: name("moved"),
            attributes: domain.map_or_else(|| host_only.clone(), |domain| format!("{host_only}; Domain={domain}")),
            host_only: domain.map(|_| host_only),
        }
    }

    /// Gives a browser what it needs after a sign-in, and takes away what could stand beside it.
    pub(super) fn admit(&self, admitted: &Admitted) -> impl Iterator<Item = HeaderValue> {
        let max_age = format!("; Max-Age={}", DeviceTokens::LIFETIME.as_secs());
        let given = [self.session(&admitted.signed_in), self.set(&self.device, &admitted.device, &max_age)];
        self.remove_host_only().into_iter().chain(given)
    }

    /// Gives the browser the token of a session.
    pub(super) fn session(&self, signed_in: &SignedIn) -> HeaderValue {
        let max_age =
            signed_in.keep_for.map_or_else(String::new, |duration| format!("; Max-Age={}", duration.as_secs()));
        self.set(&self.session, signed_in.token.expose(), &max_age)
    }

    /// Makes the browser forget the session, host-only and for the domain. The device it goes on to be.
    pub(super) fn remove_session(&self) -> impl Iterator<Item = HeaderValue> {
        self.remove_host_only().into_iter().chain([self.set(&self.session, "", "; Max-Age=0")])
    }

    /// Where the cookie is for a domain, a host-only one of the same name is removed as well: a browser sends both.
    fn remove_host_only(&self) -> Option<HeaderValue> {
        let attributes = self.host_only.as_deref()?;
        Some(header(format!("{}=; {attributes}; Max-Age=0", self.session)))
    }

    /// A cookie that says nothing but that somebody has just signed out. Chromium keeps left pages to show them again on
    /// the way back, and gives up those whose cookies have changed since; but when the page was reached by the very
    /// sign-in that set our cookie, it finds none then and none now. It keeps such pages for three minutes.
    pub(super) fn signed_out(&self) -> HeaderValue {
        self.set(&self.signed_out, "1", "; Max-Age=600")
    }

    /// In place of [`signed_out`](Self::signed_out), once a page has said so.
    pub(super) fn sign_out_shown(&self) -> HeaderValue {
        self.set(&self.signed_out, "shown", "; Max-Age=600")
    }

    /// Whether the browser has just been signed out, and no page has said so yet.
    pub(super) fn has_just_signed_out(&self, headers: &HeaderMap) -> bool {
        find(headers, &self.signed_out) == Presented::One("1")
    }

    /// A cookie that says nothing but that a browser has just been sent from this name of the machine to another.
    pub(super) fn moved(&self) -> HeaderValue {
        self.set(&self.moved, "1", "; Max-Age=5")
    }

    pub(super) fn has_moved(&self, headers: &HeaderMap) -> bool {
        find(headers, &self.moved) != Presented::Nothing
    }

    /// What the session cookie is called.
    pub(super) fn session_name(&self) -> &str {
        &self.session
    }

    /// Whether a request carries a cookie of a session, good or not.
    pub(super) fn has_session(&self, headers: &HeaderMap) -> bool {
        self.presented_session(headers) != Presented::Nothing
    }

    /// The values of all cookies of the session's name.
    pub(super) fn all_sessions<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        cookie::all(lines(headers), &self.session)
    }

    pub(super) fn presented_session<'a>(&self, headers: &'a HeaderMap) -> Presented<'a> {
        find(headers, &self.session)
    }

    /// The device cookie; empty where there is none, or more than one.
    pub(super) fn presented_device<'a>(&self, headers: &'a HeaderMap) -> &'a str {
        match find(headers, &self.device) {
            Presented::One(text) => text,
            Presented::Nothing | Presented::Several => "",
        }
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

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Presented<'a> {
    cookie::find(lines(headers), name)
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
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
    fn a_cookie_has_the_name_and_the_attributes_that_browsers_guard() {
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

    #[test]
    fn on_plain_http_the_names_carry_the_port() {
        let laptop = cookies("http://localhost:8080", None);
        let names = [laptop.session, laptop.device, laptop.signed_out];
        assert_eq!(names, ["session", "device", "signed_out"].map(|what| format!("handstamp_{what}_8080")));
        assert_eq!(cookies("http://localhost:80", None).session, "handstamp_session");
        assert_eq!(cookies("https://localhost:8443", None).session, "__Host-handstamp_session");
    }
}

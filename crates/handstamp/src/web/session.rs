use axum::extract::{Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handstamp_core::cookie::{self, Presented};

use super::SharedSite;
use super::failure::Failure;
use super::user::Visitor;
use crate::config::Config;
use crate::error::Fault;
use crate::sessions::{Found, SignedIn};

/// Finds out, once for each request of a page, who asks. Whoever is in doubt is a stranger; when the database cannot be
/// asked, nobody is anybody.
pub(super) async fn load(State(site): State<SharedSite>, mut request: Request, next: Next) -> Response {
    let visitor = match find(&site, request.headers()).await {
        Ok(visitor) => visitor,
        Err(fault) => return Failure::from(fault).into_response(),
    };
    let stale = visitor.session().filter(|session| session.signed_by_fallback && *request.method() == Method::GET);
    let cookie = stale.map(|session| {
        tracing::info!(event = "session_token_reissued", user = %session.user.id, "signed with the current key");
        site.cookie.set(&site.accounts.sessions.issue_again(session))
    });
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

pub(super) async fn find(site: &SharedSite, headers: &HeaderMap) -> Result<Visitor, Fault> {
    let text = match site.cookie.read(headers) {
        Presented::Nothing => return Ok(Visitor::Stranger),
        Presented::Several => {
            tracing::info!(event = "session_token_refused", reason = "several_cookies", "refused a cookie");
            return Ok(Visitor::Stranger);
        }
        Presented::One(text) => text,
    };
    match site.accounts.sessions.find(text).await? {
        Found::Live(session) => return Ok(Visitor::Member(session.into())),
        Found::Refused(reason) => tracing::info!(event = "session_token_refused", %reason, "refused a token"),
        Found::Ended(id_hash, user) => {
            tracing::info!(event = "session_token_refused", reason = "ended", %user, "refused the token of an ended session");
            return Ok(Visitor::SignedOut(id_hash));
        }
    }
    Ok(Visitor::Stranger)
}

/// The cookie that carries the token: its name, and all its attributes but how long it is kept.
pub(crate) struct SessionCookie {
    name: &'static str,
    attributes: String,
}

impl SessionCookie {
    pub(crate) fn new(config: &Config) -> Self {
        let domain = config.session.cookie_domain.as_deref();
        let (name, secure) = match (config.public_url.is_https(), domain) {
            (true, None) => ("__Host-handstamp_session", "; Secure"),
            (true, Some(_)) => ("__Secure-handstamp_session", "; Secure"),
            (false, _) => ("handstamp_session", ""),
        };
        let domain = domain.map_or_else(String::new, |domain| format!("; Domain={domain}"));
        Self { name, attributes: format!("; Path=/; HttpOnly; SameSite=Lax{secure}{domain}") }
    }

    /// Gives the browser the token of a session.
    pub(super) fn set(&self, signed_in: &SignedIn) -> HeaderValue {
        let max_age =
            signed_in.keep_for.map_or_else(String::new, |duration| format!("; Max-Age={}", duration.as_secs()));
        let text = format!("{}={}{}{max_age}", self.name, signed_in.token.expose(), self.attributes);
        let mut value = HeaderValue::from_str(&text).expect("a token and the attributes are visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// Makes the browser forget it.
    pub(super) fn remove(&self) -> HeaderValue {
        let text = format!("{}={}; Max-Age=0", self.name, self.attributes);
        HeaderValue::from_str(&text).expect("the name and the attributes are visible ASCII")
    }

    /// A cookie that says nothing but that somebody has just signed out. Chromium keeps left pages to show them again on
    /// the way back, and gives up those whose cookies have changed since; but when the page was reached by the very
    /// sign-in that set our cookie, it finds none then and none now. It keeps such pages for three minutes.
    pub(super) fn signed_out(&self) -> HeaderValue {
        let name = self.name.replace("session", "signed_out");
        let text = format!("{name}=1{}; Max-Age=600", self.attributes);
        HeaderValue::from_str(&text).expect("the name and the attributes are visible ASCII")
    }

    /// Whether a request carries a cookie of the name, good or not.
    pub(super) fn is_present(&self, headers: &HeaderMap) -> bool {
        self.read(headers) != Presented::Nothing
    }

    fn read<'a>(&self, headers: &'a HeaderMap) -> Presented<'a> {
        cookie::find(headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatabaseUrl, PublicUrl};
    use handstamp_core::SecretKey;

    fn cookie(url: &str, domain: Option<&str>) -> SessionCookie {
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let url = PublicUrl::parse(url).unwrap();
        let mut config = Config::new(url, DatabaseUrl::Sqlite("unused".into()), secret);
        config.session.cookie_domain = domain.map(str::to_owned);
        SessionCookie::new(&config)
    }

    #[test]
    fn the_cookie_has_the_name_and_the_attributes_that_browsers_guard() {
        let removed = |url, domain| cookie(url, domain).remove().to_str().unwrap().to_owned();
        assert_eq!(
            removed("https://example.com", None),
            "__Host-handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
        );
        assert_eq!(
            removed("https://id.example.com", Some("example.com")),
            "__Secure-handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Secure; Domain=example.com; Max-Age=0"
        );
        assert_eq!(removed("http://localhost", None), "handstamp_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    }
}

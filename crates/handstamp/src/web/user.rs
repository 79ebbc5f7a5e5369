//! The visitor of a request, the page that it is for, and the redirect of an anonymous one to the sign-in page.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::header::{HOST, REFERER};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{Extensions, HeaderMap, Method, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;

use super::Site;
use super::negotiate::{is_navigation, wants_page};
use super::redirect::{see_other, url_with_next};
use super::urls::with_form_not_sent;
use crate::sessions::Session;

/// The visitor that a request comes from.
#[derive(Clone)]
pub(crate) enum Visitor {
    Anonymous,
    Authenticated(Arc<Session>),
}

impl Visitor {
    /// The session, if the visitor is signed in.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Anonymous => None,
            Self::Authenticated(session) => Some(session),
        }
    }
}

/// A signed-in user. As an extractor it rejects anonymous visitors.
pub(super) struct SignedInUser(pub(super) Arc<Session>);

/// The requested URI. Where an application nests its routes, its handlers see only the rest of the path, which would lead nowhere
/// as a link.
pub(crate) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |OriginalUri(uri)| uri)
}

/// The page that a request is for, and whether the client wants a page. It is cheap to keep for a handler that may refuse later.
#[derive(Clone)]
pub(crate) struct RequestedPage {
    target: Option<PathAndQuery>,
    wants_page: bool,
    /// None where the request only reads.
    form: Option<Box<SentForm>>,
}

/// The headers that tell the page with a form that was sent.
#[derive(Clone)]
struct SentForm {
    is_navigation: bool,
    referer: Option<String>,
    host: Option<String>,
    /// The return URL in the form.
    next: Option<ReturnTo>,
}

impl RequestedPage {
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let form = (!matches!(*method, Method::GET | Method::HEAD)).then(|| {
            let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            // HTTP/2 has the host in the target.
            let host = uri.authority().map(Authority::to_string).or_else(|| text(HOST));
            Box::new(SentForm {
                is_navigation: is_navigation(method, headers),
                referer: text(REFERER),
                host,
                next: None,
            })
        });
        Self { target: uri.path_and_query().cloned(), wants_page: wants_page(headers), form }
    }

    /// The same with the return URL in the form that was sent, which its page keeps.
    pub(super) fn with_next(mut self, next: Option<ReturnTo>) -> Self {
        if let Some(form) = &mut self.form {
            form.next = next;
        }
        self
    }

    /// Whether an error is a page, as [`wants_page`] says.
    pub(crate) fn wants_page(&self) -> bool {
        self.wants_page
    }

    /// Whether a browser navigates to it, as [`is_navigation`] says. For a request that only reads it is the same as
    /// [`wants_page`].
    pub(super) fn is_navigation(&self) -> bool {
        self.form.as_ref().map_or(self.wants_page, |form| form.is_navigation)
    }

    /// The return URL: the requested page, or for a form the page that contained it. The entered data is lost, and the target of a
    /// form need not be a page.
    pub(super) fn return_page(&self, site: &Site) -> ReturnTo {
        match &self.form {
            None => {
                let target = self.target.as_ref().and_then(|target| ReturnTo::parse(target.as_str()));
                target.unwrap_or_else(|| site.urls.account().clone())
            }
            Some(form) => {
                let own_form = self.target.as_ref().and_then(|target| page_of_own_form(site, target.path()));
                if let (Some(page), Some(next)) = (&own_form, &form.next)
                    && let Some(page) = ReturnTo::parse(&url_with_next(page.as_str(), next))
                {
                    return page;
                }
                site.urls.page_with_form(own_form, form.referer.as_deref(), form.host.as_deref())
            }
        }
    }
}

/// Redirects to the sign-in page, which leads back afterwards.
pub(super) fn redirect_to_sign_in(site: &Site, requested: &RequestedPage) -> Response {
    let url = site.urls.sign_in(&requested.return_page(site));
    see_other(&if requested.form.is_some() { with_form_not_sent(url) } else { url })
}

/// The page with the form that was sent to one of our URLs.
fn page_of_own_form(site: &Site, path: &str) -> Option<ReturnTo> {
    let path = path.strip_prefix(&site.urls.page("")).filter(|path| path.starts_with("/account/"))?;
    let page = match path {
        "/account/recovery-codes" | "/account/totp/remove" => "/account/security",
        "/account/passkeys/remove" | "/account/passkeys/options" => "/account/passkeys",
        "/account/sessions/revoke" | "/account/sessions/revoke-others" => "/account/sessions",
        "/account/verify/send" => "/account/verify",
        "/account/admin/users/invite" => "/account/admin/users",
        act if act.starts_with("/account/with/") => "/account/security",
        // The page of a user is one level above the acts on the user.
        act if act.starts_with("/account/admin/users/") => act.rsplit_once('/').map_or(act, |(user, _)| user),
        page => page,
    };
    ReturnTo::parse(&site.urls.page(page))
}

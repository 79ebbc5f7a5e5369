//! The visitor of a request, and the redirect of an anonymous one to the sign-in page.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::header::{HOST, REFERER};
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, Method, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;

use super::Site;
use super::redirect::see_other;
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

/// Redirects to the sign-in page. The return URL is the requested page, or for a form the page that contained it. The entered
/// data is lost, and the target of a form need not be a page.
pub(super) fn redirect_to_sign_in(site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if matches!(*method, Method::GET | Method::HEAD) {
        let return_target = uri.path_and_query().and_then(|url| ReturnTo::parse(url.as_str()));
        return see_other(&site.urls.sign_in(return_target.as_ref().unwrap_or(site.urls.account())));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has the host in the target.
    let host = uri.authority().map(Authority::as_str).or(text(HOST));
    let url = site.urls.sign_in_after_form(page_of_own_form(site, uri), text(REFERER), host);
    see_other(&url)
}

/// The page with the form that was sent to one of our URLs.
pub(super) fn page_of_own_form(site: &Site, uri: &Uri) -> Option<ReturnTo> {
    let is_ours = uri.path().starts_with(&site.urls.page("/account/"));
    let path = uri.path();
    if path == site.urls.page("/account/recovery-codes") || path == site.urls.page("/account/totp/remove") {
        return ReturnTo::parse(&site.urls.page("/account/security"));
    }
    path.split("/revoke").next().filter(|_| is_ours).and_then(ReturnTo::parse)
}

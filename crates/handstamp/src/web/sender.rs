//! The client that sent a form, for pages that also answer one whose session has just ended.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;

use super::SharedSite;
use super::authenticate::{confirmation_of, reject_anonymous, require_confirmation, to_sign_in};
use super::endpoint::RequestContext;
use super::user::{RequestedPage, original_uri};
use crate::context::Context;
use crate::sessions::PresentedSessions;

/// The client that sent a form, whether it is still signed in or not.
pub(super) struct Sender {
    pub(super) presented: PresentedSessions,
    pub(super) context: Context,
    method: Method,
    uri: Uri,
    pub(super) headers: HeaderMap,
}

impl Sender {
    /// The response to a sender who is not signed in.
    pub(super) fn reject_anonymous(&self, site: &SharedSite) -> Response {
        reject_anonymous(site, &self.method, &self.uri, &self.headers)
    }

    /// The same for the sender of a form with this return URL, which its page keeps.
    pub(super) fn reject_anonymous_with_next(&self, site: &SharedSite, next: Option<ReturnTo>) -> Response {
        to_sign_in(site, &self.requested().with_next(next))
    }

    /// The response to a sender who has to authenticate again.
    pub(super) fn require_confirmation(&self, site: &SharedSite) -> Response {
        require_confirmation(site, &self.method, &self.uri, &self.headers)
    }

    /// The same for the sender of a form with this return URL, which its page keeps.
    pub(super) fn require_confirmation_with_next(&self, site: &SharedSite, next: Option<ReturnTo>) -> Response {
        confirmation_of(site, &self.requested().with_next(next), None)
    }

    fn requested(&self) -> RequestedPage {
        RequestedPage::of(&self.method, &self.uri, &self.headers)
    }
}

impl FromRequestParts<RequestContext> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        Ok(Self {
            presented: PresentedSessions::from_request_parts(parts, context).await?,
            context: Context::from_request_parts(parts, context).await?,
            method: parts.method.clone(),
            uri: original_uri(&parts.uri, &parts.extensions).clone(),
            headers: parts.headers.clone(),
        })
    }
}

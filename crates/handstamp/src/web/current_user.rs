use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handstamp_core::UserId;

use super::failure::Failure;
use super::headers::keep_out_of_caches;
use super::user::{Visitor, is_navigation, wanted};
use super::{redirect, respond, session};
use crate::Handstamp;
use crate::sessions::Session;

/// Who is signed in, for the handlers of an application whose state holds a [`Handstamp`]. A stranger's navigation is sent
/// to sign in and back again; any other request of a stranger gets 401, as `application/problem+json` (RFC 9457). With
/// the session in memory, it costs no database statement.
///
/// What the handler answers depends on the cookie, so it should say `Cache-Control: no-store`.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use handstamp::{CurrentUser, Handstamp};
///
/// async fn notes(user: CurrentUser) -> String {
///     format!("The notes of {}", user.name())
/// }
///
/// # fn app(handstamp: Handstamp) -> Router {
/// Router::new().route("/notes", get(notes)).with_state(handstamp.clone()).merge(handstamp.routes())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CurrentUser(Arc<Session>);

impl CurrentUser {
    /// Who it is, for ever.
    pub fn id(&self) -> UserId {
        self.0.user.id
    }

    /// What they want to be called.
    pub fn name(&self) -> &str {
        self.0.user.name()
    }

    /// Their e-mail address.
    pub fn email(&self) -> &str {
        self.0.user.email()
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let mut response = match session::find(Handstamp::from_ref(state).shared_site(), &parts.headers).await {
            Ok(Visitor::Member(session)) => return Ok(Self(session)),
            Ok(_) if is_navigation(&parts.method, &parts.headers) => {
                redirect::to_sign_in(&wanted(&parts.method, &parts.uri))
            }
            Ok(_) => rejection(Failure::SignedOut),
            Err(fault) => rejection(Failure::from(fault)),
        };
        keep_out_of_caches(response.headers_mut());
        Err(response)
    }
}

/// A failure as programs read it: outside our own pages nobody dresses it.
fn rejection(failure: Failure) -> Response {
    let mut response = respond::problem(failure.status(), &failure.message());
    response.headers_mut().extend(failure.into_response().headers().clone());
    response
}

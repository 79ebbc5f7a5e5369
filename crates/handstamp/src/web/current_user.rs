//! The extractors with which the handlers of an application get the signed-in user and the session.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use handstamp_core::{Timestamp, UserId};
use minijinja::{Value, context};
use uuid::Uuid;

use super::headers::set_no_store;
use super::negotiate::is_navigation;
use super::user::{Visitor, original_uri, redirect_to_sign_in};
use super::web_error::{WebError, log_internal_error};
use super::{SharedSite, authenticate, respond};
use crate::Handstamp;
use crate::error::Error;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::sessions::Session;

/// The signed-in user: an extractor for the handlers of an application whose state holds a [`Handstamp`]. A navigation of an
/// anonymous visitor is redirected to the sign-in page, which leads back afterwards. Any other anonymous request gets 401, as
/// `application/problem+json` (RFC 9457). If the session is cached in memory, no database statement is needed.
///
/// `Option<CurrentUser>` is for pages that anonymous visitors see as well. If the database is needed and unavailable, both are
/// answered 503.
///
/// The response depends on the cookie, so a handler should set `Cache-Control: no-store`, as [`Handstamp::render`] does.
///
/// ```no_run
/// use axum::{Router, response::Response, routing::get};
/// use handstamp::{CurrentUser, Handstamp};
///
/// async fn notes(user: CurrentUser) -> String {
///     format!("The notes of {}", user.name())
/// }
///
/// async fn greeting(user: Option<CurrentUser>) -> String {
///     user.map_or_else(|| "Who are you?".to_owned(), |user| format!("Hello, {}", user.name()))
/// }
///
/// async fn everybody(user: CurrentUser) -> Result<String, Response> {
///     user.require("staff")?;
///     Ok("This is for the staff.".to_owned())
/// }
///
/// # fn app(handstamp: Handstamp) -> Router {
/// Router::new()
///     .route("/", get(greeting))
///     .route("/notes", get(notes))
///     .route("/everybody", get(everybody))
///     .with_state(handstamp.clone())
///     .merge(handstamp.routes())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CurrentUser(Arc<Session>);

impl CurrentUser {
    /// The permanent id of the user.
    pub fn id(&self) -> UserId {
        self.0.user.id
    }

    /// The display name.
    pub fn name(&self) -> &str {
        self.0.user.name()
    }

    /// The e-mail address: as the user typed it at the registration, unless it [is verified](Self::email_verified). Identify
    /// users by [`id`](Self::id), and grant rights by groups.
    pub fn email(&self) -> &str {
        self.0.user.email()
    }

    /// Whether the address is known to belong to the user: an operator created the account, or has verified the address
    /// ([`Users::verify`](crate::Users::verify)).
    pub fn email_verified(&self) -> bool {
        self.0.user.email_verified
    }

    /// When the account was created.
    pub fn created_at(&self) -> Timestamp {
        self.0.user.created_at
    }

    /// The groups of the user, sorted by name.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.user.group_names()
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.0.user.is_in(group)
    }

    /// Requires that the user is in a group.
    ///
    /// # Errors
    /// For every other user: 403, as `application/problem+json`.
    #[expect(clippy::result_large_err, reason = "a handler gives it back as it is")]
    pub fn require(&self, group: &str) -> Result<(), Response> {
        if self.is_in(group) {
            return Ok(());
        }
        Event::AuthzFail { user: self.id(), group: Some(group), origin: None }.record();
        Err(refusal(WebError::not_in_the_group()))
    }

    /// The session in which the user is signed in.
    pub fn session(&self) -> CurrentSession {
        let session = &self.0;
        CurrentSession { user_id: session.user.id, id: session.session_id, expires_at: session.claims.expires_at }
    }
}

/// The session of a request and its user: ids only. As an extractor it rejects anonymous visitors as [`CurrentUser`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentSession {
    /// The id of the signed-in user.
    pub user_id: UserId,
    /// The session id, as in lists of sessions. It grants no access, and stays the same for as long as the session lasts.
    pub id: Uuid,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let handstamp = Handstamp::from_ref(state);
        let site = handstamp.shared_site();
        match visitor(site, parts).await? {
            Visitor::Authenticated(session) => Ok(Self(session)),
            Visitor::Anonymous if is_navigation(&parts.method, &parts.headers) => {
                let uri = original_uri(&parts.uri, &parts.extensions);
                let mut response = redirect_to_sign_in(site, &parts.method, uri, &parts.headers);
                set_no_store(response.headers_mut());
                Err(response)
            }
            Visitor::Anonymous => Err(refusal(WebError::SignedOut)),
        }
    }
}

impl<S> OptionalFromRequestParts<S> for CurrentUser
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Response> {
        match visitor(Handstamp::from_ref(state).shared_site(), parts).await? {
            Visitor::Authenticated(session) => Ok(Some(Self(session))),
            Visitor::Anonymous => Ok(None),
        }
    }
}

impl<S> FromRequestParts<S> for CurrentSession
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        <CurrentUser as FromRequestParts<S>>::from_request_parts(parts, state).await.map(|user| user.session())
    }
}

async fn visitor(site: &SharedSite, parts: &Parts) -> Result<Visitor, Response> {
    authenticate::look_up(site, &parts.headers).await.map_err(|error| refusal(WebError::from(error)))
}

/// A failure as a problem document: outside our own routes no error page is rendered.
fn refusal(failure: WebError) -> Response {
    let mut response = respond::problem_response(failure);
    set_no_store(response.headers_mut());
    response
}

impl Handstamp {
    /// Renders a page of the application: a template of its own, from `templates` or `templates_dir`, which may extend
    /// `layout.html` as ours do. The template gets `values`, and those of every page: `site_name`, `prefix`, `stylesheet`,
    /// `registration_open`, and `visitor` with a `name` and an `email` if the user is signed in.
    ///
    /// ```no_run
    /// # use axum::response::Response;
    /// # use handstamp::{CurrentUser, Error, Handstamp};
    /// # fn page(handstamp: &Handstamp, user: &CurrentUser) -> Result<Response, Error> {
    /// // {% extends "layout.html" %}{% block main %}<h1>Notes</h1><p>{{ notes|length }} so far</p>{% endblock %}
    /// handstamp.render("notes.html", Some(user), std::collections::HashMap::from([("notes", ["milk", "bread"])]))
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there is no such template, or it cannot be rendered.
    pub fn render(
        &self,
        template: &str,
        user: Option<&CurrentUser>,
        values: impl serde::Serialize,
    ) -> Result<Response, Error> {
        let templates = &self.shared_site().templates;
        let visitor = templates.visitor(user.map(|user| &*user.0));
        let values = Value::from(minijinja::value::Serde(values));
        let html =
            templates.render(template, context! { nav => true, visitor, ..values }).map_err(InternalError::from)?;
        let mut response = Html(html).into_response();
        set_no_store(response.headers_mut());
        Ok(response)
    }
}

/// For handlers that return an error: the cause is logged, and not shown to the client.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let failure = match self.into_act_error() {
            Ok(error) => WebError::from(error),
            Err(error) => {
                log_internal_error(&error);
                WebError::refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong on our side. We have taken a note of it.",
                )
            }
        };
        refusal(failure)
    }
}

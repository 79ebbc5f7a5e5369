//! Who asks, for the handlers of an application.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use handstamp_core::{Timestamp, UserId};
use minijinja::{Value, context};
use uuid::Uuid;

use super::failure::{Failure, log_fault};
use super::headers::keep_out_of_caches;
use super::user::{Visitor, is_navigation, original_uri, to_sign_in};
use super::{SharedSite, respond, session};
use crate::Handstamp;
use crate::error::{Error, Fault};
use crate::log;
use crate::sessions::Session;

/// Who is signed in, for the handlers of an application whose state holds a [`Handstamp`]. A stranger's navigation is sent
/// to sign in and back again; any other request of a stranger gets 401, as `application/problem+json` (RFC 9457). With
/// the session in memory, it costs no database statement.
///
/// `Option<CurrentUser>` is for pages that strangers see as well. Where the database cannot be asked, either is answered 503.
///
/// What the handler answers depends on the cookie, so it should say `Cache-Control: no-store`, as [`Handstamp::render`] does.
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
    /// Who it is, for ever.
    pub fn id(&self) -> UserId {
        self.0.user.id
    }

    /// What they want to be called.
    pub fn name(&self) -> &str {
        self.0.user.name()
    }

    /// Their e-mail address: what they typed when they registered, unless it [is verified](Self::email_verified). Know
    /// people by [`id`](Self::id), and give rights by groups.
    pub fn email(&self) -> &str {
        self.0.user.email()
    }

    /// Whether the address is known to be theirs: an operator made the account, or has verified it
    /// ([`Handstamp::verify_user`]).
    pub fn email_verified(&self) -> bool {
        self.0.user.email_verified
    }

    /// Since when they have an account.
    pub fn created_at(&self) -> Timestamp {
        self.0.user.created_at
    }

    /// The groups that they are in, in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.user.group_names()
    }

    /// Whether they are in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.0.user.is_in(group)
    }

    /// Goes on for members of a group only.
    ///
    /// # Errors
    /// For everybody else: 403, as `application/problem+json`.
    #[expect(clippy::result_large_err, reason = "a handler gives it back as it is")]
    pub fn require(&self, group: &str) -> Result<(), Response> {
        if self.is_in(group) {
            return Ok(());
        }
        log::info!(event = "group_refused", user = %self.id(), group, "is not in the group");
        Err(refusal(Failure::not_in_the_group()))
    }

    /// The session in which they are signed in.
    pub fn session(&self) -> CurrentSession {
        let session = &self.0;
        CurrentSession { user_id: session.user.id, id: session.handle, expires_at: session.claims.expires_at }
    }
}

/// Which session a request belongs to, and whose it is: ids only. It refuses strangers as [`CurrentUser`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentSession {
    /// Who is signed in.
    pub user_id: UserId,
    /// What lists of sessions call this one; it opens nothing, and stays the same for as long as the session lasts.
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
            Visitor::Member(session) => Ok(Self(session)),
            Visitor::Stranger if is_navigation(&parts.method, &parts.headers) => {
                let uri = original_uri(&parts.uri, &parts.extensions);
                let mut response = to_sign_in(site, &parts.method, uri, &parts.headers);
                keep_out_of_caches(response.headers_mut());
                Err(response)
            }
            Visitor::Stranger => Err(refusal(Failure::SignedOut)),
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
            Visitor::Member(session) => Ok(Some(Self(session))),
            Visitor::Stranger => Ok(None),
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
    session::find(site, &parts.headers).await.map_err(|fault| refusal(Failure::from(fault)))
}

/// A failure as programs read it: outside our own pages nobody dresses it.
fn refusal(failure: Failure) -> Response {
    let mut response = respond::problem_of(failure);
    keep_out_of_caches(response.headers_mut());
    response
}

impl Handstamp {
    /// A page of the application: a template of its own, from `templates` or `templates_dir`, which may extend
    /// `layout.html` as ours do. It gets `values`, and what every page has: `site_name`, `prefix`, `stylesheet`,
    /// `registration_open`, and `visitor` with a `name` and an `email` where somebody is signed in.
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
        let views = &self.shared_site().views;
        let visitor = views.visitor(user.map(|user| &*user.0));
        let values = Value::from(minijinja::value::Serde(values));
        let html = views.render(template, context! { nav => true, visitor, ..values }).map_err(Fault::from)?;
        let mut response = Html(html).into_response();
        keep_out_of_caches(response.headers_mut());
        Ok(response)
    }
}

/// For handlers that pass an error on: what went wrong is logged, and not told.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let failure = match self.into_fault() {
            Ok(fault) => Failure::from(fault),
            Err(error) if error.is_no_such_account() => Failure::not_found(),
            Err(error) if error.is_refused() => Failure::refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            Err(error) => {
                log_fault(&error);
                Failure::refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong on our side. We have taken a note of it.",
                )
            }
        };
        refusal(failure)
    }
}

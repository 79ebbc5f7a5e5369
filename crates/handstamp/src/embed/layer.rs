//! Layers for the routes of an application: the session of each request, required sessions and groups, and CSRF protection.

use std::convert::Infallible;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use super::extract::{CurrentUser, SeenByLayer, require_user};
use crate::Handstamp;
use crate::web::{self, ErrorFormat, Visitor, add_no_store};

/// A tower layer of [`Handstamp::layer`], [`Handstamp::require_user`], [`Handstamp::require_group`],
/// [`Handstamp::require_assurance`], [`Handstamp::require_recent`] or [`Handstamp::csrf_layer`], for a `Router` with any state.
#[derive(Clone)]
pub struct HandstampLayer {
    handstamp: Handstamp,
    act: Act,
}

/// The act of a layer.
#[derive(Clone)]
enum Act {
    /// It serves the extractors within.
    Serve,
    Require(Requirement),
    RefuseCrossSite,
}

/// The requirement of a layer for each request.
#[derive(Clone)]
enum Requirement {
    User,
    Group(Arc<str>),
    Assurance(u8),
    /// The number is of minutes.
    Recent(u32),
}

impl Requirement {
    /// The response to a user who lacks it.
    fn refusal(&self, user: &CurrentUser) -> Option<Response> {
        match self {
            Self::User => None,
            Self::Group(group) => user.require(group).err().map(IntoResponse::into_response),
            Self::Assurance(level) => user.require_assurance(*level).err().map(IntoResponse::into_response),
            Self::Recent(minutes) => user.require_recent(*minutes).err().map(IntoResponse::into_response),
        }
    }
}

impl Handstamp {
    /// A layer that serves the extractors within it:
    ///
    /// - [`FromLayer`](crate::FromLayer) finds this [`Handstamp`], whatever the state of the router.
    /// - If the session of a request was looked up, the response gets `Cache-Control: no-store`, unless the handler has set that
    ///   header, and `Vary: Cookie`.
    /// - A session whose token an [earlier secret key](crate::Config::secret_key_fallbacks) has signed gets a token of the
    ///   current key, as on Handstamp's own pages.
    /// - An [`Error`](crate::Error) that a handler returns is a page for a browser's navigation.
    ///
    /// It does not look up a session itself.
    pub fn layer(&self) -> HandstampLayer {
        self.layer_with(Act::Serve)
    }

    /// A layer that requires a signed-in user. Anonymous visitors are answered as by [`CurrentUser`]. As a
    /// `route_layer` it leaves unknown URLs to the fallback:
    ///
    /// ```no_run
    /// # async fn members() {}
    /// # fn app(handstamp: handstamp::Handstamp) -> axum::Router {
    /// use axum::{Router, routing::get};
    ///
    /// Router::new().route("/members", get(members)).route_layer(handstamp.require_user())
    /// # }
    /// ```
    pub fn require_user(&self) -> HandstampLayer {
        self.layer_with(Act::Require(Requirement::User))
    }

    /// A layer that requires a user of this group. Anonymous visitors are answered as by [`CurrentUser`], and
    /// all other users as by [`CurrentUser::require`].
    pub fn require_group(&self, group: &str) -> HandstampLayer {
        self.layer_with(Act::Require(Requirement::Group(group.into())))
    }

    /// A layer that requires a session of this assurance level or a higher one. Anonymous visitors are answered as by
    /// [`CurrentUser`], and users whose session is weaker as by
    /// [`CurrentUser::require_assurance`].
    ///
    /// ```no_run
    /// # async fn payouts() {}
    /// # fn app(handstamp: handstamp::Handstamp) -> axum::Router {
    /// use axum::{Router, routing::get};
    ///
    /// Router::new().route("/payouts", get(payouts)).route_layer(handstamp.require_assurance(2))
    /// # }
    /// ```
    pub fn require_assurance(&self, level: u8) -> HandstampLayer {
        self.layer_with(Act::Require(Requirement::Assurance(level)))
    }

    /// A layer that requires a user who has authenticated within this many minutes. Anonymous visitors are answered as by
    /// [`CurrentUser`], and users who authenticated before as by
    /// [`CurrentUser::require_recent`].
    pub fn require_recent(&self, minutes: u32) -> HandstampLayer {
        self.layer_with(Act::Require(Requirement::Recent(minutes)))
    }

    /// A layer that protects an application's own routes against cross-site request forgery, as Handstamp's pages are: other
    /// sites get 403. All requests but GET, HEAD and OPTIONS, and every WebSocket, must come from this site or from one of
    /// [`Config::trusted_origins`](crate::Config::trusted_origins). A program that sends a session cookie has to send an `Origin`
    /// header as well.
    pub fn csrf_layer(&self) -> HandstampLayer {
        self.layer_with(Act::RefuseCrossSite)
    }

    fn layer_with(&self, act: Act) -> HandstampLayer {
        HandstampLayer { handstamp: self.clone(), act }
    }
}

impl<S> Layer<S> for HandstampLayer {
    type Service = HandstampService<S>;

    fn layer(&self, inner: S) -> HandstampService<S> {
        HandstampService { inner, layer: self.clone() }
    }
}

/// The service within a [`HandstampLayer`].
#[derive(Clone)]
pub struct HandstampService<S> {
    inner: S,
    layer: HandstampLayer,
}

impl<S> Service<Request> for HandstampService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The clone is not ready yet, and the service that is must not stay here.
        let clone = self.inner.clone();
        let inner = replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move { layer.run(request, inner).await })
    }
}

impl HandstampLayer {
    async fn run<S>(self, request: Request, mut inner: S) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let (mut parts, body) = request.into_parts();
        let refused = match &self.act {
            Act::Serve => return self.serve(Request::from_parts(parts, body), inner).await,
            Act::Require(requirement) => self.refusal(requirement, &mut parts).await,
            Act::RefuseCrossSite => {
                let request = Request::from_parts(parts, body);
                return match self.cross_site_refusal(&request) {
                    Some(refused) => Ok(refused),
                    None => inner.call(request).await,
                };
            }
        };
        match refused {
            None => inner.call(Request::from_parts(parts, body)).await,
            Some(refused) => Ok(refused),
        }
    }

    /// The response to a visitor who is not signed in, or lacks what else is required.
    async fn refusal(&self, requirement: &Requirement, parts: &mut Parts) -> Option<Response> {
        match require_user(self.handstamp.shared_site(), parts).await {
            Ok(user) => requirement.refusal(&user),
            Err(rejection) => Some(rejection.into_response()),
        }
    }

    fn cross_site_refusal(&self, request: &Request) -> Option<Response> {
        let site = self.handstamp.shared_site();
        let wants_page = web::wants_page(request.headers());
        let format = if wants_page { ErrorFormat::Negotiated } else { ErrorFormat::Problem };
        let refusal = web::cross_site_refusal(site, request, format)?;
        Some(web::render_embedded(site, refusal.into_response(), wants_page, None))
    }

    async fn serve<S>(&self, mut request: Request, mut inner: S) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let site = self.handstamp.shared_site();
        let wants_page = web::wants_page(request.headers());
        let seen = SeenByLayer::new(site);
        request.extensions_mut().insert(seen.clone());
        request.extensions_mut().insert(self.handstamp.clone());
        let mut response = inner.call(request).await?;
        if wants_page {
            response = web::with_error_page(site, response, seen.visitor().cloned());
        }
        if let Some(visitor) = seen.visitor() {
            self.after_look_up(visitor, &mut response);
        }
        Ok(response)
    }

    /// Adds what a response needs that depends on the session.
    fn after_look_up(&self, visitor: &Visitor, response: &mut Response) {
        let site = self.handstamp.shared_site();
        add_no_store(response.headers_mut());
        if !site.cookies.are_set_by(response.headers())
            && let Some(cookie) = visitor.session().and_then(|session| web::reissued_cookie(site, session))
        {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

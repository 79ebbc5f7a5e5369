//! All routes, each with the access that it requires.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any_service, on_service};
use tower::service_fn;

use super::endpoint::{Access, Endpoint, RequestContext, ResponseFuture};
use super::pages::{account, home, password, profile, register, sessions, sign_in, sign_out};
use super::{SharedSite, api, assets, csrf, forward_auth, health, respond};

/// The only path of ours that is at the root whatever the prefix.
pub(super) const WELL_KNOWN: &str = "/.well-known/change-password";

/// Pages for all visitors.
fn public(site: &SharedSite) -> Routes {
    Routes::new(site, Access::OptionalSession)
        .get("/account/register", register::show)
        .post("/account/register", register::submit)
        .get("/account/login", sign_in::show)
        .post("/account/login", sign_in::submit)
        .get("/account/logout", sign_out::show)
        .post("/account/logout", sign_out::submit)
}

/// Pages for signed-in users. A page belongs here unless all visitors may see it.
fn members(site: &SharedSite) -> Routes {
    Routes::new(site, Access::SessionRequired)
        .get("/account", account::show)
        .get("/account/profile", profile::show)
        .post("/account/profile", profile::submit)
        .get("/account/sessions", sessions::show)
        .post("/account/sessions/revoke", sessions::revoke)
        .post("/account/sessions/revoke-others", sessions::revoke_others)
}

/// Another page for signed-in users. Its handlers redirect anonymous visitors themselves, since a form that was sent twice comes
/// with a session that has ended.
fn password_page(site: &SharedSite) -> Routes {
    Routes::new(site, Access::OptionalSession)
        .get("/account/password", password::show)
        .post("/account/password", password::submit)
}

/// The same actions for programs.
fn api(site: &SharedSite) -> Routes {
    Routes::new(site, Access::OptionalSession)
        .get("/api/v1/session", api::show_session)
        .post("/api/v1/session", api::sign_in)
        .delete("/api/v1/session", api::sign_out)
        .post("/api/v1/users", api::register)
        .get("/api/v1/sessions", api::list_sessions)
        .delete("/api/v1/sessions/{id}", api::revoke_session)
        .post("/api/v1/sessions/revoke-others", api::revoke_other_sessions)
        .put("/api/v1/password", api::change_password)
}

/// Files, for which no cookie matters.
fn files(site: &SharedSite) -> Routes {
    Routes::new(site, Access::SameSite)
        .get(assets::ROUTE, assets::file)
        .get("/api/v1/openapi.json", api::description::openapi)
}

/// The URL at which browsers and password managers look for the page to change a password (W3C, "A Well-Known URL for Changing
/// Passwords"). It is at the root of an origin, whatever the prefix of our pages.
fn well_known(site: &SharedSite) -> Routes {
    Routes::new(site, Access::SameSite).get(WELL_KNOWN, password::well_known)
}

/// Authorization subrequests of proxies, for apps beside this site and under any host name.
fn forward_auth(site: &SharedSite) -> Routes {
    Routes::new(site, Access::Unchecked)
        .any("/auth/request", forward_auth::request)
        .any("/auth/forward", forward_auth::forward)
        .any("/auth/envoy", forward_auth::envoy)
        .any("/auth/envoy/", forward_auth::envoy)
        .any("/auth/envoy/{*path}", forward_auth::envoy)
        .get("/auth/jwks.json", forward_auth::keys)
}

/// Health checks, which monitors send to the address of the node instead of its host name.
fn health(site: &SharedSite) -> Routes {
    Routes::new(site, Access::Unchecked).get("/healthz", health::alive).get("/readyz", health::ready)
}

/// The home page, and the response to every unknown URL.
fn rest(site: &SharedSite) -> Router {
    let home = Routes::new(site, Access::OptionalSession).get("/", home::show);
    let files =
        Routes::new(site, Access::SameSite).get("/favicon.ico", assets::favicon).get("/robots.txt", assets::robots);
    let fallback = Routes::new(site, Access::OptionalSession).fallback(respond::not_found);
    home.router().merge(files.router()).merge(fallback.router())
}

/// Redirects a path with a trailing slash to the page itself.
async fn without_slash(State(site): State<SharedSite>, uri: Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let page = site.urls.page(uri.path().trim_end_matches('/'));
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{page}{query}"))]).into_response()
}

/// The routes that an application merges with its own.
pub(crate) fn routes(site: &SharedSite) -> Router {
    nested(pages(site), site).merge(well_known(site).router())
}

/// Protects an application's own routes against cross-site writes.
pub(crate) fn protect(router: Router, site: &SharedSite) -> Router {
    router.layer(from_fn_with_state(site.clone(), csrf::refuse))
}

/// The routes of a site without an application.
pub(crate) fn site(site: &SharedSite) -> Router {
    nested(pages(site).merge(health(site).router()).merge(rest(site)), site).merge(well_known(site).router())
}

fn pages(site: &SharedSite) -> Router {
    let pages = [public(site), members(site), password_page(site), api(site), files(site), forward_auth(site)];
    pages.into_iter().map(Routes::router).fold(Router::new(), Router::merge)
}

fn nested(router: Router, site: &SharedSite) -> Router {
    let prefix = site.urls.page("");
    if prefix.is_empty() { router } else { Router::new().nest(&prefix, router) }
}

/// Routes whose handlers all run behind a [`Endpoint`]. It wraps each handler rather than the router, since axum allocates and clones
/// for every layer with every request.
struct Routes {
    site: SharedSite,
    access: Access,
    router: Router,
    /// The paths that have a redirect from the same path with a trailing slash.
    slashed: HashSet<String>,
}

impl Routes {
    fn new(site: &SharedSite, access: Access) -> Self {
        Self { site: Arc::clone(site), access, router: Router::new(), slashed: HashSet::new() }
    }

    fn get<T: 'static>(self, path: &str, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        self.on(MethodFilter::GET, path, handler)
    }

    fn post<T: 'static>(self, path: &str, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        self.on(MethodFilter::POST, path, handler)
    }

    fn put<T: 'static>(self, path: &str, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        self.on(MethodFilter::PUT, path, handler)
    }

    fn delete<T: 'static>(self, path: &str, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        self.on(MethodFilter::DELETE, path, handler)
    }

    fn on<T: 'static>(
        mut self,
        method: MethodFilter,
        path: &str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        let endpoint = self.endpoint(handler);
        self.router =
            self.router.route(path, on_service(method, service_fn(move |request| endpoint.clone().call(request))));
        if path.starts_with("/account") && self.slashed.insert(path.to_owned()) {
            let endpoint = Self::new(&self.site, Access::SameSite).endpoint(without_slash);
            let slashed = any_service(service_fn(move |request| endpoint.clone().call(request)));
            self.router = self.router.route(&format!("{path}/"), slashed);
        }
        self
    }

    /// A route for every method.
    fn any<T: 'static>(
        mut self,
        path: &str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        let endpoint = self.endpoint(handler);
        self.router = self.router.route(path, any_service(service_fn(move |request| endpoint.clone().call(request))));
        self
    }

    fn fallback<T: 'static>(mut self, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        let endpoint = self.endpoint(handler);
        self.router = self.router.fallback_service(service_fn(move |request| endpoint.clone().call(request)));
        self
    }

    fn endpoint<T: 'static>(&self, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Endpoint {
        let handler = Arc::new(move |request, context| handler.clone().call(request, context));
        Endpoint { site: Arc::clone(&self.site), access: self.access, handler }
    }

    fn router(self) -> Router {
        let endpoint = self.endpoint(async || StatusCode::METHOD_NOT_ALLOWED);
        self.router.method_not_allowed_fallback(move |request: Request| endpoint.call(request))
    }
}

#[cfg(test)]
mod tests;

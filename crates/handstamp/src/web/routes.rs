//! Every URL, and whom each is for.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post, put};

use super::pages::{account, home, password, profile, register, sessions, sign_in, sign_out};
use super::request::{Admits, Door};
use super::{SharedSite, api, assets, cross_site, forward_auth, health, respond};

/// Pages for everybody.
fn public() -> Router<SharedSite> {
    Router::new()
        .route("/account/register", get(register::show).post(register::submit))
        .route("/account/login", get(sign_in::show).post(sign_in::submit))
        .route("/account/logout", get(sign_out::show).post(sign_out::submit))
}

/// Pages for whoever is signed in. A page belongs here unless everybody may see it.
fn members() -> Router<SharedSite> {
    Router::new()
        .route("/account", get(account::show))
        .route("/account/profile", get(profile::show).post(profile::submit))
        .route("/account/password", get(password::show).post(password::submit))
        .route("/account/sessions", get(sessions::show))
        .route("/account/sessions/revoke", post(sessions::revoke))
        .route("/account/sessions/revoke-others", post(sessions::revoke_others))
}

/// The same acts for programs.
fn api() -> Router<SharedSite> {
    Router::new()
        .route("/api/v1/session", get(api::show_session).post(api::sign_in).delete(api::sign_out))
        .route("/api/v1/users", post(api::register))
        .route("/api/v1/sessions", get(api::list_sessions))
        .route("/api/v1/sessions/{id}", delete(api::revoke_session))
        .route("/api/v1/sessions/revoke-others", post(api::revoke_other_sessions))
        .route("/api/v1/password", put(api::change_password))
}

/// What browsers fetch, and no cookie matters for.
fn files() -> Router<SharedSite> {
    Router::new()
        .route(assets::STYLESHEET_ROUTE, get(assets::stylesheet))
        .route("/api/v1/openapi.json", get(api::description::openapi))
}

/// What proxies ask, for apps beside us and by whatever name they call us.
fn forward_auth() -> Router<SharedSite> {
    Router::new()
        .route("/auth/request", any(forward_auth::request))
        .route("/auth/forward", any(forward_auth::forward))
        .route("/auth/envoy", any(forward_auth::envoy))
        .route("/auth/envoy/", any(forward_auth::envoy))
        .route("/auth/envoy/{*path}", any(forward_auth::envoy))
        .route("/auth/jwks.json", get(forward_auth::keys))
}

/// What watches over this process asks, by address.
fn health() -> Router<SharedSite> {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready))
}

/// What an application can be merged with that has pages of its own.
pub(crate) fn routes(site: SharedSite) -> Router {
    let router = pages(&site, public()).merge(behind(&site, Admits::Anybody, forward_auth()));
    whole(router, site)
}

/// An application's own routes, which other sites cannot make a browser write to.
pub(crate) fn protect(router: Router, site: &SharedSite) -> Router {
    router.layer(from_fn_with_state(site.clone(), cross_site::refuse))
}

/// A whole site: with a home page, and an answer to every other URL.
pub(crate) fn site(site: SharedSite) -> Router {
    let pages = pages(&site, public().route("/", get(home::show)));
    let anything_else = behind(&site, Admits::ForThisSite, Router::new().fallback(respond::not_found));
    let programs = behind(&site, Admits::Anybody, forward_auth().merge(health()));
    whole(pages.merge(anything_else).merge(programs), site)
}

/// Who asks is found out for the pages and for the API, and for nothing else.
fn pages(site: &SharedSite, public: Router<SharedSite>) -> Router<SharedSite> {
    let visitors = behind(site, Admits::Visitors, public.merge(api()));
    let members = behind(site, Admits::Members, members());
    visitors.merge(members).merge(behind(site, Admits::ForThisSite, files()))
}

/// Lets requests pass to these routes by the one door that there is. A single layer: with each request, axum makes boxes and
/// copies for every layer of all those beneath it.
fn behind(site: &SharedSite, admits: Admits, router: Router<SharedSite>) -> Router<SharedSite> {
    router.layer(Door { site: site.clone(), admits })
}

fn whole(router: Router<SharedSite>, site: SharedSite) -> Router {
    let prefix = site.places.page("");
    let router = router.with_state(site);
    if prefix.is_empty() { router } else { Router::new().nest(&prefix, router) }
}

#[cfg(test)]
mod tests;

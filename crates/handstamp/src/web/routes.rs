//! Every URL, and every layer around them in the order in which they run.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{any, delete, get, post, put};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::pages::{account, home, password, profile, register, sessions, sign_in, sign_out};
use super::{
    SharedSite, api, assets, cross_site, form, forward_auth, headers, health, host, request, respond, session, user,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages for everybody.
fn public() -> Router<SharedSite> {
    Router::new()
        .route("/account/register", get(register::show).post(register::submit))
        .route("/account/login", get(sign_in::show).post(sign_in::submit))
        .route("/account/logout", get(sign_out::show).post(sign_out::submit))
}

/// Pages for whoever is signed in. A page belongs here unless everybody may see it.
fn members(site: &SharedSite) -> Router<SharedSite> {
    Router::new()
        .route("/account", get(account::show))
        .route("/account/profile", get(profile::show).post(profile::submit))
        .route("/account/password", get(password::show).post(password::submit))
        .route("/account/sessions", get(sessions::show))
        .route("/account/sessions/revoke", post(sessions::revoke))
        .route("/account/sessions/revoke-others", post(sessions::revoke_others))
        .route_layer(from_fn_with_state(site.clone(), user::members_only))
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
    let ours = for_this_site(pages(&site, public()), &site);
    under_prefix(around(ours.merge(forward_auth()), site.clone()), &site)
}

/// An application's own routes, which other sites cannot make a browser write to.
pub(crate) fn protect(router: Router, site: &SharedSite) -> Router {
    against_other_sites(router, site).layer(map_response(respond::refusal_for_programs))
}

/// A whole site: with a home page, and an answer to every other URL.
pub(crate) fn site(site: SharedSite) -> Router {
    let public = public().route("/", get(home::show));
    let ours = for_this_site(pages(&site, public).fallback(respond::not_found), &site);
    under_prefix(around(ours.merge(forward_auth()).merge(health()), site.clone()), &site)
}

fn under_prefix(router: Router, site: &SharedSite) -> Router {
    let prefix = site.places.page("");
    if prefix.is_empty() { router } else { Router::new().nest(&prefix, router) }
}

/// All pages, and what they are dressed with. Who asks is found out for the pages, and for nothing else.
fn pages(site: &SharedSite, public: Router<SharedSite>) -> Router<SharedSite> {
    let acts = public.merge(members(site)).merge(api());
    acts.route_layer(from_fn_with_state(site.clone(), session::load)).merge(files())
}

/// What was meant for this site, and not sent by another one: from the first layer to the last.
fn for_this_site(router: Router<SharedSite>, site: &SharedSite) -> Router<SharedSite> {
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(site.clone(), host::refuse_others))
        .layer(from_fn_with_state(site.clone(), cross_site::refuse))
        .layer(cross_site_layer(site))
        .layer(RequestBodyLimitLayer::new(form::MAX_BODY_BYTES));
    router.layer(layers)
}

/// Refuses writes that other sites make a browser send.
fn against_other_sites(router: Router, site: &SharedSite) -> Router {
    let ours = from_fn_with_state(site.clone(), cross_site::refuse);
    router.layer(ServiceBuilder::new().layer(ours).layer(cross_site_layer(site)))
}

fn cross_site_layer(site: &SharedSite) -> CsrfLayer {
    let public_url = site.accounts.config.public_url.to_string();
    CsrfLayer::new().add_trusted_origin(public_url).expect("a public URL is an origin")
}

/// What every request passes through, from the first layer to the last. They are one stack of types: a router that is given
/// them one by one copies all those beneath for each, with each request.
fn around(router: Router<SharedSite>, site: SharedSite) -> Router {
    // A sign-out waits for a node that has died, and that takes a lease.
    let timeout = REQUEST_TIMEOUT + site.accounts.config.session.lease;
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(site.clone(), request::identify))
        .layer(from_fn_with_state(site.clone(), headers::add))
        .layer(from_fn_with_state(site.clone(), respond::dress))
        .layer(CatchPanicLayer::custom(respond::panicked as fn(_) -> _))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout))
        .layer(from_fn(request::see_it_through));
    router.layer(layers).with_state(site)
}

#[cfg(test)]
mod tests;

//! All routes, each with the access that it requires.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::header::{ALLOW, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any_service, on_service};
use tower::service_fn;

#[cfg(feature = "federation")]
use super::access::ErrorFormat;
use super::access::{Access, SessionAccess};
use super::api::v1 as api;
use super::endpoint::{Endpoint, RequestContext, ResponseFuture};
use super::headers::PagePolicy;
#[cfg(feature = "passkeys")]
use super::pages::passkeys;
#[cfg(feature = "federation")]
use super::pages::providers;
use super::pages::{
    account, activity, admin, confirm, delete, email, export, forgot, home, invitation, link, password, profile,
    recovery_codes, register, reset, resume, second_factor, security, sessions, sign_in, sign_in_by_code, sign_out,
    totp, verify,
};
use super::urls::WELL_KNOWN;
use super::{SharedSite, assets, forward_auth, health, respond};

/// Pages for all visitors.
fn public(site: &SharedSite) -> Routes {
    Routes::new(site, Access::PAGE)
        .get("/account/register", register::show)
        .post("/account/register", register::submit)
        .get("/account/resume", resume::show)
        .get("/account/logout", sign_out::show)
        .post("/account/logout", sign_out::submit)
        .get("/account/login/mail", sign_in_by_code::show_request)
        .post("/account/login/mail", sign_in_by_code::request)
        .get("/account/login/code", sign_in_by_code::show)
        .post("/account/login/code", sign_in_by_code::submit)
        .get("/account/forgot", forgot::show)
        .post("/account/forgot", forgot::submit)
        .get("/account/forgot/sent", forgot::sent)
}

/// The pages of a sign-in, on which the script of passkeys may run.
fn sign_in(site: &SharedSite) -> Routes {
    Routes::new(site, Access { policy: PagePolicy::PASSKEYS, ..Access::PAGE })
        .get("/account/login", sign_in::show)
        .post("/account/login", sign_in::submit)
        .get("/account/login/second-factor", second_factor::show)
        .post("/account/login/second-factor", second_factor::submit)
}

/// The requests of that script, of visitors and of signed-in users.
#[cfg(feature = "passkeys")]
fn passkey_use(site: &SharedSite) -> Routes {
    Routes::new(site, Access::AUTHENTICATION_API)
        .post("/account/login/passkey/options", passkeys::sign_in_options)
        .post("/account/login/passkey", passkeys::sign_in)
        .post("/account/login/second-factor/passkey/options", passkeys::second_factor_options)
        .post("/account/login/second-factor/passkey", passkeys::second_factor)
        .post("/account/confirm/passkey/options", passkeys::confirm_options)
        .post("/account/confirm/passkey", passkeys::confirm)
}

/// The passkeys of users who have authenticated within `session.confirm_after`.
#[cfg(feature = "passkeys")]
fn passkey_changes(site: &SharedSite) -> Routes {
    Routes::new(site, Access { policy: PagePolicy::PASSKEYS, ..Access::FACTOR_PAGE })
        .get("/account/passkeys", passkeys::show)
        .post("/account/passkeys", passkeys::add)
        .post("/account/passkeys/options", passkeys::add_options)
        .post("/account/passkeys/remove", passkeys::remove)
}

/// Sign-ins through other providers. Each provider is redirected to, and answers at the callback.
#[cfg(feature = "federation")]
fn providers(site: &SharedSite) -> Routes {
    Routes::new(site, Access::PAGE)
        .get("/account/with/{provider}", providers::begin)
        .get("/account/with/{provider}/callback", providers::complete)
        .with_access(Access::FACTOR_PAGE)
        .post("/account/with/{provider}/remove", providers::remove)
        // The page of the provider sends this form, and no cookie of ours comes with it.
        .with_access(Access { checks_csrf: false, ..Access::FILE })
        .post("/account/with/{provider}/callback", providers::receive)
        // The server of the provider sends this.
        .with_access(Access { checks_csrf: false, errors: ErrorFormat::Problem, ..Access::FILE })
        .post("/account/with/{provider}/back-channel-logout", providers::back_channel_logout)
}

/// Mailed links, and the pages that they lead to. A page of a link needs its cookie, and is the same for all visitors.
fn links(site: &SharedSite) -> Routes {
    Routes::new(site, Access::PAGE)
        .get("/account/link/{token}", link::open)
        .get("/account/reset", reset::show)
        .post("/account/reset", reset::submit)
        .get("/account/email/undo", email::show_undo)
        .post("/account/email/undo", email::undo)
        .get("/account/invitation", invitation::show)
        .post("/account/invitation", invitation::submit)
}

/// Pages for signed-in users. A page belongs here unless all visitors may see it.
fn members(site: &SharedSite) -> Routes {
    Routes::new(site, Access::MEMBERS_PAGE)
        .get("/account", account::show)
        .get("/account/activity", activity::show)
        .get("/account/security", security::show)
        .get("/account/profile", profile::show)
        .post("/account/profile", profile::submit)
        .get("/account/sessions", sessions::show)
        .post("/account/verify/send", verify::send)
        .get("/account/email/confirm", email::show_confirmation)
        .post("/account/email/confirm", email::confirm)
        // Ending sessions never needs more than a session.
        .with_access(Access { needs_required_factor: false, ..Access::MEMBERS_PAGE })
        .post("/account/sessions/revoke", sessions::revoke)
        .post("/account/sessions/revoke-others", sessions::revoke_others)
}

/// Other pages for signed-in users, whose handlers redirect anonymous visitors themselves. A form that was sent twice comes with a
/// session that has ended, and the address of a registration is confirmed before there is a session.
fn own_rejection(site: &SharedSite) -> Routes {
    Routes::new(site, Access { needs_required_factor: true, ..Access::PAGE })
        .get("/account/password", password::show)
        .post("/account/password", password::submit)
        .get("/account/delete", delete::show)
        .post("/account/delete", delete::submit)
        .get("/account/verify", verify::show)
        .post("/account/verify", verify::submit)
}

/// Pages for users who have authenticated within `session.confirm_after`.
fn confirmed(site: &SharedSite) -> Routes {
    Routes::new(site, Access::CONFIRMED_PAGE)
        .get("/account/email", email::show)
        .post("/account/email", email::submit)
        .get("/account/export", export::show)
}

/// The page on which users authenticate again, also to reach the second factor that the site requires, and on which
/// the script of passkeys may run.
fn confirmation(site: &SharedSite) -> Routes {
    Routes::new(site, Access { policy: PagePolicy::PASSKEYS, ..Access::PAGE })
        .get("/account/confirm", confirm::show)
        .post("/account/confirm", confirm::submit)
}

/// Pages on which users set up and change their second factors, for those who have authenticated within `session.confirm_after`.
fn factors(site: &SharedSite) -> Routes {
    Routes::new(site, Access::FACTOR_PAGE)
        .get("/account/totp", totp::show)
        .post("/account/totp/remove", totp::remove)
        .post("/account/recovery-codes", recovery_codes::submit)
        // A form that was sent twice comes with a session that has ended, so the handler checks the rest.
        .with_access(Access::PAGE)
        .post("/account/totp", totp::submit)
}

/// The administration of the site, for members of the group `admins`.
fn administration(site: &SharedSite) -> Routes {
    Routes::new(site, Access::ADMIN_PAGE)
        .get("/account/admin", admin::overview::show)
        .get("/account/admin/users", admin::users::show)
        .get("/account/admin/users/{id}", admin::user::show)
        .get("/account/admin/events", admin::events::show)
        .get("/account/admin/cluster", admin::cluster::show)
        .with_access(Access::ADMIN_ACT)
        .post("/account/admin/users/invite", admin::users::invite)
        .post("/account/admin/users/{id}/disable", admin::user::disable)
        .post("/account/admin/users/{id}/enable", admin::user::enable)
        .post("/account/admin/users/{id}/unlock", admin::user::unlock)
        .post("/account/admin/users/{id}/end-sessions", admin::user::end_sessions)
        .post("/account/admin/users/{id}/reset-link", admin::user::mail_reset_link)
        .post("/account/admin/users/{id}/reset-factors", admin::user::reset_factors)
        .post("/account/admin/users/{id}/groups", admin::user::change_groups)
        .post("/account/admin/users/{id}/delete", admin::user::delete)
}

/// The same actions for programs, and the response to every unknown URL of the API.
fn api(site: &SharedSite) -> Routes {
    Routes::new(site, Access::API)
        .get("/account/api/v1/session", api::session::show)
        .get("/account/api/v1/sessions", api::sessions::list)
        .put("/account/api/v1/password", api::password::change)
        .post("/account/api/v1/password/forgot", api::password::forgot)
        .post("/account/api/v1/email/verify", api::email::verify)
        .post("/account/api/v1/email/verify/send", api::email::send)
        .any("/account/api/{*path}", respond::not_found)
        .with_access(Access::AUTHENTICATION_API)
        .post("/account/api/v1/session", api::session::sign_in)
        .delete("/account/api/v1/session", api::session::sign_out)
        .post("/account/api/v1/session/second-factor", api::session::complete_sign_in)
        .post("/account/api/v1/session/confirm", api::session::confirm)
        .delete("/account/api/v1/sessions/{id}", api::sessions::revoke)
        .post("/account/api/v1/sessions/revoke-others", api::sessions::revoke_others)
        .post("/account/api/v1/users", api::users::register)
}

/// Actions for users who have authenticated within `session.confirm_after`.
fn confirmed_api(site: &SharedSite) -> Routes {
    Routes::new(site, Access { fresh: true, ..Access::API })
        .put("/account/api/v1/email", api::email::change)
        .get("/account/api/v1/export", api::user::export)
        .delete("/account/api/v1/user", api::user::delete)
}

/// The description of the API, for which no cookie matters.
fn api_description(site: &SharedSite) -> Routes {
    Routes::new(site, Access { session: SessionAccess::Ignored, ..Access::API })
        .get("/account/api/v1/openapi.json", api::description::openapi)
}

/// Static files, for which no cookie matters.
fn files(site: &SharedSite) -> Routes {
    Routes::new(site, Access::FILE).get(assets::ROUTE, assets::file)
}

/// The keys that verify assertions: for apps that reach Handstamp itself, and for those that reach it through their proxy.
fn keys(site: &SharedSite) -> Routes {
    Routes::new(site, Access::UNCHECKED)
        .get("/auth/jwks.json", forward_auth::keys)
        .get("/account/jwks.json", forward_auth::keys)
}

/// Authorization subrequests of proxies, for apps beside this site and under any host name.
fn forward_auth(site: &SharedSite) -> Routes {
    Routes::new(site, Access::UNCHECKED)
        .any("/auth/request", forward_auth::request)
        .any("/auth/forward", forward_auth::forward)
        .any("/auth/envoy", forward_auth::envoy)
        .any("/auth/envoy/", forward_auth::envoy)
        .any("/auth/envoy/{*path}", forward_auth::envoy)
}

/// The URL at which browsers and password managers look for the page to change a password (W3C, "A Well-Known URL for Changing
/// Passwords"). It is at the root of an origin, whatever the prefix of our pages.
fn well_known(site: &SharedSite) -> Routes {
    Routes::new(site, Access::FILE).get(WELL_KNOWN, password::well_known)
}

/// Health checks, which monitors send to the address of the node instead of its host name.
fn health(site: &SharedSite) -> Routes {
    Routes::new(site, Access::UNCHECKED).get("/healthz", health::alive).get("/readyz", health::ready)
}

/// The home page, and the response to every unknown URL.
fn home(site: &SharedSite) -> Routes {
    Routes::new(site, Access::PAGE).get("/", home::show).fallback(respond::not_found)
}

/// Files at the root that clients request without having read a page.
fn root_files(site: &SharedSite) -> Routes {
    Routes::new(site, Access::FILE).get("/favicon.ico", assets::favicon).get("/robots.txt", assets::robots)
}

/// The groups of routes beneath the prefix, in an application as well.
fn embedded(site: &SharedSite) -> Vec<Routes> {
    let pages = [public(site), sign_in(site), links(site), members(site), own_rejection(site), confirmed(site)];
    let factors = [
        confirmation(site),
        factors(site),
        #[cfg(feature = "federation")]
        providers(site),
        #[cfg(feature = "passkeys")]
        passkey_use(site),
        #[cfg(feature = "passkeys")]
        passkey_changes(site),
    ];
    let programs = [api(site), confirmed_api(site), api_description(site), files(site), keys(site), forward_auth(site)];
    // Where there is no administration, its paths are the application's, or those of no page.
    let administration = site.services.config.admin.then(|| administration(site));
    pages.into_iter().chain(factors).chain(administration).chain(programs).collect()
}

/// The groups of routes beneath the prefix of a site without an application.
fn standalone(site: &SharedSite) -> Vec<Routes> {
    embedded(site).into_iter().chain([health(site), home(site), root_files(site)]).collect()
}

/// The routes that an application merges with its own.
pub(crate) fn routes(site: &SharedSite) -> Router {
    nested(embedded(site), site).merge(well_known(site).router())
}

/// The routes of a site without an application.
pub(crate) fn site(site: &SharedSite) -> Router {
    nested(standalone(site), site).merge(well_known(site).router())
}

/// The pages of a site in front of an app. Every other path is the app's.
#[cfg(feature = "proxy")]
pub(crate) fn in_front(site: &SharedSite) -> Router {
    let unknown = Routes::new(site, Access::PAGE).fallback(respond::not_found);
    nested(embedded(site), site).merge(well_known(site).router()).merge(unknown.router())
}

/// The health checks alone, for an address that browsers do not reach.
pub(crate) fn health_checks(site: &SharedSite) -> Router {
    health(site).router()
}

fn nested(groups: Vec<Routes>, site: &SharedSite) -> Router {
    let router = groups.into_iter().map(Routes::router).fold(Router::new(), Router::merge);
    let prefix = site.urls.page("");
    if prefix.is_empty() { router } else { Router::new().nest(&prefix, router) }
}

/// Redirects a path with a trailing slash to the page itself.
async fn without_slash(State(site): State<SharedSite>, uri: Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let page = site.urls.page(uri.path().trim_end_matches('/'));
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{page}{query}"))]).into_response()
}

/// Routes, most of them with the same access, whose handlers all run behind an [`Endpoint`]. It wraps each handler rather than the router,
/// since axum allocates and clones for every layer with every request.
struct Routes {
    site: SharedSite,
    access: Access,
    routes: Vec<Route>,
    fallback: Option<Endpoint>,
}

/// A route, from which the router is built.
struct Route {
    /// None for every method.
    method: Option<MethodFilter>,
    path: &'static str,
    endpoint: Endpoint,
}

impl Routes {
    fn new(site: &SharedSite, access: Access) -> Self {
        Self { site: Arc::clone(site), access, routes: Vec::new(), fallback: None }
    }

    /// The same routes, and with another access those that follow.
    fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    fn get<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        self.on(Some(MethodFilter::GET), path, handler)
    }

    fn post<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        self.on(Some(MethodFilter::POST), path, handler)
    }

    fn put<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        self.on(Some(MethodFilter::PUT), path, handler)
    }

    fn delete<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        self.on(Some(MethodFilter::DELETE), path, handler)
    }

    /// A route for every method.
    fn any<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        self.on(None, path, handler)
    }

    fn on<T: 'static>(
        mut self,
        method: Option<MethodFilter>,
        path: &'static str,
        handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
    ) -> Self {
        let endpoint = endpoint(&self.site, self.access, Some(path), handler);
        self.routes.push(Route { method, path, endpoint });
        self
    }

    fn fallback<T: 'static>(mut self, handler: impl Handler<T, RequestContext, Future = ResponseFuture>) -> Self {
        self.fallback = Some(endpoint(&self.site, self.access, None, handler));
        self
    }

    /// The router. Each of our pages also has a redirect from its path with a trailing slash. That of a page for a group is only for its
    /// members as well.
    fn router(self) -> Router {
        let Self { site, access, routes, fallback } = self;
        let access_to_redirects = Access {
            session: if access.group.is_some() { access.session } else { SessionAccess::Ignored },
            fresh: false,
            needs_required_factor: false,
            ..access
        };
        let redirect = endpoint(&site, access_to_redirects, None, without_slash);
        let wrong_method = endpoint(&site, access, None, async || StatusCode::METHOD_NOT_ALLOWED);
        let (mut slashed, mut hidden) = (HashSet::new(), HashSet::new());
        let mut router = Router::new();
        let methods: Vec<_> = routes.iter().filter_map(|route| Some((route.path, route.method?))).collect();
        for Route { method, path, endpoint } in routes {
            if access.group.is_some() && !hidden.contains(path) {
                hidden.insert(path);
                router = router.route(path, wrong_methods_of_group(&site, access, allowed(&methods, path)));
            }
            router = router.route(path, service(method, endpoint));
            if method.is_some() && path.starts_with("/account") && slashed.insert(path) {
                router = router.route(&format!("{path}/"), service(None, redirect.clone()));
            }
        }
        if let Some(fallback) = fallback {
            router = router.fallback_service(service(None, fallback));
        }
        router.method_not_allowed_fallback(move |request: Request| wrong_method.call(request))
    }
}

fn endpoint<T: 'static>(
    site: &SharedSite,
    access: Access,
    route: Option<&str>,
    handler: impl Handler<T, RequestContext, Future = ResponseFuture>,
) -> Endpoint {
    Endpoint::new(site, access, route, move |request, context| handler.clone().call(request, context))
}

fn service(method: Option<MethodFilter>, endpoint: Endpoint) -> MethodRouter {
    let service = service_fn(move |request| endpoint.clone().call(request));
    match method {
        Some(method) => on_service(method, service),
        None => any_service(service),
    }
}

/// The methods of a path, as the header `Allow` lists them.
fn allowed(methods: &[(&str, MethodFilter)], path: &str) -> String {
    let of_path = methods.iter().filter(|(of, _)| *of == path);
    let names = of_path.map(|(_, method)| if *method == MethodFilter::GET { "GET,HEAD" } else { "POST" });
    names.collect::<Vec<_>>().join(",")
}

/// Answers other methods than those of a path for a group. axum would add the header `Allow` to every such answer, and so
/// show that there is such a path. Here only members get it.
fn wrong_methods_of_group(site: &SharedSite, access: Access, allowed: String) -> MethodRouter {
    let allowed: Arc<str> = allowed.into();
    let wrong_method = endpoint(site, access, None, async move || {
        (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed.to_string())]).into_response()
    });
    any_service(service_fn(move |request| wrong_method.clone().call(request)))
}

#[cfg(test)]
mod tests;

//! Tests of all routes, and of the checks in front of every handler.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use handstamp_core::{Claims, SessionSecret, SessionTokens, UserId};
use handstamp_testing::TempFolder;
use tower::ServiceExt;

use super::super::access::ErrorFormat;
use super::super::headers::PagePolicy;
use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::environment::{Environment, ManualClock};
use crate::store::Store;
use crate::{Handstamp, SecretKey, Timestamp};

mod account_life;
mod activity;
mod administration;
mod connections;
mod embedding;
#[cfg(feature = "passkeys")]
mod known_cases;
mod legacy;
#[cfg(feature = "passkeys")]
mod passkeys;
mod propagation;
mod second_factors;

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A site with a data folder and a clock of its own.
struct TestSite {
    handstamp: Handstamp,
    clock: Arc<ManualClock>,
    folder: TempFolder,
}

impl TestSite {
    /// The id of Ada, who has registered.
    async fn ada(&self) -> UserId {
        self.handstamp.users().find_by_email("ada@example.com").await.unwrap().unwrap().id
    }

    async fn execute(&self, sql: &'static str) {
        let Store::Sqlite(database) = &*self.handstamp.0.site.services.store else { panic!("this is SQLite") };
        database.execute(sql).await;
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let Store::Sqlite(database) = &*self.handstamp.0.site.services.store else { panic!("this is SQLite") };
        database.count(sql).await
    }

    async fn at(public_url: &str) -> Self {
        Self::with(public_url, |_| ()).await
    }

    /// The same with further settings.
    async fn with(public_url: &str, set: impl FnOnce(&mut Config)) -> Self {
        let folder = TempFolder::new();
        let secret = SecretKey::parse(SECRET).unwrap();
        let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
        let mut config = Config::new(PublicUrl::parse(public_url).unwrap(), database, secret);
        config.hashing.params = crate::Argon2Params::new(8, 1, 1).unwrap();
        config.mail.url = Some(crate::MailUrl::Folder(folder.path().join("mails")));
        // Tests take the mails out of the outbox.
        config.mail.send_outbox = false;
        set(&mut config);
        let clock = Arc::new(ManualClock::new(NOW));
        let environment = Environment { clock: clock.clone(), ..Environment::system() };
        Self { handstamp: Handstamp::open_with(config, environment).await.unwrap(), clock, folder }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.handstamp.standalone_router().oneshot(request).await.unwrap()
    }

    async fn opens(&self, path: &str, token: &str) -> Response<Body> {
        let cookie = format!("handstamp_session={token}");
        let request = Request::get(path).header("host", "localhost").header("accept", "text/html");
        self.send(request.header("cookie", cookie).body(Body::empty()).unwrap()).await
    }

    async fn submits(&self, path: &str, fields: &'static str) -> Response<Body> {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields)).unwrap()).await
    }

    /// Registers Ada, and returns the session token.
    async fn registers(&self) -> String {
        let fields = "name=Ada&email=ada@example.com&password=plum-octave-harbour";
        token_of(&self.submits("/account/register", fields).await)
    }

    /// Signs Ada in without "remember me", and returns the session token.
    async fn signs_in_for_now(&self) -> String {
        token_of(&self.submits("/account/login", "email=ada@example.com&password=plum-octave-harbour").await)
    }
}

fn token_of(response: &Response<Body>) -> String {
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(['=', ';']).nth(1).unwrap().to_owned()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

/// The methods, paths and accesses from which the router of a site is built.
fn all_routes(site: &SharedSite) -> Vec<(&'static str, &'static str, Access)> {
    let name = |method| match method {
        None => "ANY",
        Some(MethodFilter::GET) => "GET",
        Some(MethodFilter::POST) => "POST",
        Some(MethodFilter::PUT) => "PUT",
        Some(MethodFilter::DELETE) => "DELETE",
        Some(other) => panic!("{other:?}"),
    };
    let groups = standalone(site).into_iter().chain([well_known(site)]);
    let routes = groups.flat_map(|group| group.routes);
    routes.map(|route| (name(route.method), route.path, route.endpoint.access())).collect()
}

#[tokio::test]
async fn only_the_listed_routes_are_public() {
    let here = TestSite::at("http://localhost").await;
    let mut open = Vec::new();
    for (method, path, access) in all_routes(&here.handstamp.0.site) {
        let sent = if method == "ANY" { "GET" } else { method };
        let request = Request::builder().method(sent).uri(path).header("host", "localhost");
        let response = here.send(request.header("accept", "text/html").body(Body::empty()).unwrap()).await;
        let to = response.headers().get(header::LOCATION).map_or("", |to| to.to_str().unwrap());
        let is_closed = match response.status().as_u16() {
            401 => true,
            // It looks like no page.
            404 => access.group.is_some(),
            302 | 303 => to.contains("/account/login?next="),
            _ => false,
        };
        assert!(is_closed || access.session != SessionAccess::Required, "{method} {path}");
        if !is_closed {
            open.push(format!("{method} {path}"));
        }
    }
    let public = [
        "GET /account/register",
        "POST /account/register",
        "GET /account/resume",
        "GET /account/logout",
        "POST /account/logout",
        "GET /account/login/mail",
        "POST /account/login/mail",
        "GET /account/login/code",
        "POST /account/login/code",
        "GET /account/forgot",
        "POST /account/forgot",
        "GET /account/forgot/sent",
        "GET /account/login",
        "POST /account/login",
        "GET /account/login/second-factor",
        "POST /account/login/second-factor",
        "GET /account/link/{token}",
        "GET /account/reset",
        "POST /account/reset",
        "GET /account/email/undo",
        "POST /account/email/undo",
        "GET /account/invitation",
        "POST /account/invitation",
        "POST /account/verify",
        "GET /account/with/{provider}",
        "GET /account/with/{provider}/callback",
        "POST /account/with/{provider}/callback",
        "POST /account/with/{provider}/back-channel-logout",
        "POST /account/login/passkey/options",
        "POST /account/login/passkey",
        "POST /account/login/second-factor/passkey",
        "POST /account/api/v1/password/forgot",
        "ANY /account/api/{*path}",
        "POST /account/api/v1/session",
        "DELETE /account/api/v1/session",
        "POST /account/api/v1/session/second-factor",
        "POST /account/api/v1/users",
        "GET /account/api/v1/openapi.json",
        "GET /account/static/{file}",
        "GET /auth/jwks.json",
        "GET /account/jwks.json",
        "GET /healthz",
        "GET /readyz",
        "GET /",
        "GET /favicon.ico",
        "GET /robots.txt",
        "GET /.well-known/change-password",
    ];
    assert_eq!(open, public);
}

#[tokio::test]
async fn a_form_of_a_visitor_leads_to_the_sign_in_page_and_back_to_a_page() {
    let here = TestSite::at("http://localhost").await;
    let routes = all_routes(&here.handstamp.0.site);
    let mut forms = 0;
    for (_, path, _) in routes.iter().filter(|(method, ..)| *method == "POST") {
        let request = Request::post(*path).header("host", "localhost").header("sec-fetch-site", "same-origin");
        let request = request.header("accept", "text/html").header("sec-fetch-mode", "navigate");
        let response = here.send(request.body(Body::empty()).unwrap()).await;
        let Some(to) = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap()) else { continue };
        let Some(next) = to.strip_prefix("/account/login?next=") else { continue };
        let next = next.strip_suffix("&notice=form-not-sent").unwrap().replace("%2F", "/");
        assert!(routes.iter().any(|(method, page, _)| *method == "GET" && *page == next), "{path} leads to {next}");
        forms += 1;
    }
    assert!(forms >= 14, "{forms}");
}

#[tokio::test]
async fn all_our_routes_are_beneath_account_but_those_for_proxies_and_monitors() {
    let here = TestSite::at("http://localhost").await;
    let ours = |path: &str| path == "/account" || path.starts_with("/account/") || path.starts_with("/auth/");
    let mut embedded: Vec<_> = embedded(&here.handstamp.0.site).into_iter().flat_map(|group| group.routes).collect();
    embedded.retain(|route| !ours(route.path));
    assert!(embedded.is_empty(), "{:?}", embedded.iter().map(|route| route.path).collect::<Vec<_>>());
    for path in ["/api/v1/session", "/api/v1/openapi.json", "/jwks.json", "/static/handstamp.css"] {
        assert_eq!(here.opens(path, "").await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_openapi_description_covers_every_api_route() {
    let here = TestSite::at("http://localhost").await;
    let description = text(here.opens("/account/api/v1/openapi.json", "").await).await;
    let description: serde_json::Value = serde_json::from_str(&description).unwrap();
    assert_eq!(here.handstamp.openapi(), description, "an application gets the same");
    let base = description["servers"][0]["url"].as_str().unwrap().to_owned();
    let mut described = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        described.extend(operations.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let routes = all_routes(&here.handstamp.0.site).into_iter();
    let of_api = routes.filter_map(|(method, path, _)| Some((method.to_owned(), path.strip_prefix(&base)?.to_owned())));
    let mut of_api: Vec<_> = of_api.filter(|(_, path)| path != "/openapi.json").collect();
    described.sort();
    of_api.sort();
    assert!(of_api.len() >= 8, "{of_api:?}");
    assert_eq!(described, of_api);
}

/// The route `/page` with this access, whose handler answers with a page.
fn page_with(here: &TestSite, access: Access) -> Router {
    async fn page(State(site): State<SharedSite>) -> Response<Body> {
        respond::html_page(&site, StatusCode::OK, "<p>Shown</p>".to_owned())
    }
    Routes::new(&here.handstamp.0.site, access).get("/page", page).post("/page", page).router()
}

async fn asks_page(router: &Router, method: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri("/page");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_route_for_a_group_is_not_found_by_users_outside_it() {
    let here = TestSite::at("http://localhost").await;
    let cookie = format!("handstamp_session={}", here.registers().await);
    let signed_in = [("host", "localhost"), ("accept", "text/html"), ("cookie", cookie.as_str())];
    for session in [SessionAccess::Required, SessionAccess::Optional, SessionAccess::Ignored] {
        let admins = page_with(&here, Access { session, group: Some("admins"), ..Access::PAGE });
        let stranger = asks_page(&admins, "GET", &signed_in[..2]).await;
        let is_required = session == SessionAccess::Required;
        assert_eq!(stranger.status().as_u16(), if is_required { 303 } else { 404 }, "{session:?}");
        assert!(!text(stranger).await.contains("Shown"));
        let status_of_ada = async || asks_page(&admins, "GET", &signed_in).await.status().as_u16();
        let inside = if session == SessionAccess::Ignored { 404 } else { 200 };
        let users = here.handstamp.users().even_the_last_administrator();
        users.change_groups(here.ada().await, &["staff"], &["admins"]).await.unwrap();
        assert_eq!(status_of_ada().await, 404, "{session:?}");
        here.handstamp.users().change_groups(here.ada().await, &["admins"], &[]).await.unwrap();
        assert_eq!(status_of_ada().await, inside, "{session:?}");
    }
    let users = here.handstamp.users().even_the_last_administrator();
    users.change_groups(here.ada().await, &[], &["admins"]).await.unwrap();
    let admins = page_with(&here, Access { group: Some("admins"), ..Access::PAGE });
    let refused = text(asks_page(&admins, "GET", &signed_in).await).await;
    let unknown = text(here.opens("/nowhere", &cookie["handstamp_session=".len()..]).await).await;
    assert_eq!(refused, unknown, "it looks like a page that does not exist");
}

#[tokio::test]
async fn each_check_of_a_route_can_be_left_out() {
    let here = TestSite::at("http://localhost").await;
    let elsewhere = [("host", "evil.example")];
    let cross_site = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
    for (checks_host, checks_csrf) in [(true, true), (true, false), (false, true), (false, false)] {
        let router = page_with(&here, Access { checks_host, checks_csrf, ..Access::FILE });
        let status = asks_page(&router, "GET", &elsewhere).await.status().as_u16();
        assert_eq!(status, if checks_host { 421 } else { 200 }, "{checks_host} {checks_csrf}");
        let status = asks_page(&router, "POST", &cross_site).await.status().as_u16();
        assert_eq!(status, if checks_csrf { 403 } else { 200 }, "{checks_host} {checks_csrf}");
        let moved = asks_page(&router, "GET", &[("host", "127.0.0.1"), ("sec-fetch-mode", "navigate")]).await;
        assert_eq!(moved.status().as_u16(), if checks_host { 308 } else { 200 }, "to the name of public_url");
    }
}

#[tokio::test]
async fn errors_have_the_format_of_their_route_whatever_its_path() {
    let here = TestSite::at("http://localhost").await;
    let navigation = [("host", "localhost"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site")];
    let program = [("host", "localhost"), ("accept", "application/json"), ("cookie", "handstamp_session=x")];
    for (errors, to_browser) in
        [(ErrorFormat::Negotiated, "text/html; charset=utf-8"), (ErrorFormat::Problem, "application/problem+json")]
    {
        let router = page_with(&here, Access { errors, ..Access::PAGE });
        for (headers, kind) in [(navigation, to_browser), (program, "application/problem+json")] {
            let refused = asks_page(&router, "POST", &headers).await;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{errors:?}");
            assert_eq!(refused.headers()[header::CONTENT_TYPE], kind, "{errors:?}");
            let is_for_programs = text(refused).await.contains("without the header Origin");
            assert_eq!(is_for_programs, errors == ErrorFormat::Problem, "{errors:?}");
        }
    }
    for path in ["/account/api/v1", "/account/api/v1/nowhere", "/account/api/v1/sessions/a/b", "/account/api/v2/users"]
    {
        let unknown = here.opens(path, "").await;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(unknown.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn a_route_can_have_a_content_security_policy_of_its_own() {
    let set = |config: &mut Config| config.session.cookie_domain = Some("example.com".to_owned());
    let here = TestSite::with("https://id.example.com", set).await;
    let own = PagePolicy(&[("script-src", "'self'"), ("img-src", "'self' data:"), ("form-action", "'none'")]);
    let router = page_with(&here, Access { policy: own, ..Access::PAGE });
    let policy_of = async |router: &Router, method: &str| {
        let response = asks_page(router, method, &[("host", "id.example.com"), ("accept", "text/html")]).await;
        let policies = response.headers().get_all(header::CONTENT_SECURITY_POLICY).iter();
        (response.status().as_u16(), policies.map(|policy| policy.to_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let strict = "default-src 'none'; style-src 'self'; img-src 'self'; \
                  form-action 'self' https://example.com https://*.example.com; \
                  base-uri 'none'; frame-ancestors 'none'";
    let other = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; script-src 'self'; \
                 img-src 'self' data:; form-action 'none'";
    assert_eq!(policy_of(&router, "GET").await, (200, vec![other.to_owned()]));
    assert_eq!(policy_of(&router, "PATCH").await, (405, vec![strict.to_owned()]), "of an error page");
    assert_eq!(policy_of(&page_with(&here, Access::PAGE), "GET").await, (200, vec![strict.to_owned()]));
}

#[tokio::test]
async fn paths_with_a_trailing_slash_redirect_to_those_without() {
    let here = TestSite::at("http://localhost").await;
    let mut seen = 0;
    for (method, path, access) in all_routes(&here.handstamp.0.site) {
        if !path.starts_with("/account") || method == "ANY" || access.group.is_some() {
            continue;
        }
        let request = Request::builder().method(method).uri(format!("{path}/?a=b")).header("host", "localhost");
        let answer = here.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT, "{method} {path}");
        assert_eq!(answer.headers()[header::LOCATION], format!("{path}?a=b"), "{method}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test]
async fn a_panic_gives_an_error_page_and_the_server_keeps_running() {
    let here = TestSite::at("http://localhost").await;
    #[expect(unreachable_code, reason = "it panics, and a handler has to answer something")]
    async fn panics() -> &'static str {
        panic!("with a secret in its message");
        ""
    }
    let router = Routes::new(&here.handstamp.0.site, Access::FILE).any("/panic", panics).router();
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/panic").header("host", "localhost");
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let page = text(response).await;
        assert!(page.contains("<h1>Something went wrong</h1>") && page.contains(&id), "{page}");
        assert!(!page.contains("secret"));
    }
    assert_eq!(here.opens("/", "").await.status(), StatusCode::OK);
}

/// axum allocates the future of each request. glibc serves up to 1,032 bytes from a cache of the thread.
#[tokio::test]
async fn the_future_of_a_request_fits_into_the_thread_cache_of_the_allocator() {
    let here = TestSite::at("http://localhost").await;
    let endpoint = endpoint(&here.handstamp.0.site, Access::PAGE, Some("/"), async || StatusCode::OK);
    let request = Request::get("/").header("host", "localhost").body(Body::empty()).unwrap();
    let future = endpoint.call(request);
    assert!(size_of_val(&future) <= 1032, "{} bytes", size_of_val(&future));
    assert_eq!(future.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn every_request_has_a_unique_id() {
    let here = TestSite::at("http://localhost").await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let id = here.opens("/healthz", "").await.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn requests_are_aborted_after_the_timeout_plus_a_lease() {
    let here = TestSite::at("http://localhost").await;
    let slow = std::future::pending::<()>;
    let router = Routes::new(&here.handstamp.0.site, Access::UNCHECKED).any("/slow", slow).router();
    tokio::time::pause();
    for method in ["GET", "POST"] {
        let begun = tokio::time::Instant::now();
        let request = Request::builder().method(method).uri("/slow").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!((response.status(), begun.elapsed().as_secs()), (StatusCode::REQUEST_TIMEOUT, 35));
        assert!(text(response).await.contains("<h1>That took too long</h1>"));
    }
}

/// The current assertion about Ada, in its three parts: header, claims and signature.
async fn assertion_of(here: &TestSite, token: &str) -> (serde_json::Value, serde_json::Value, String) {
    let assertion =
        here.opens("/auth/request", token).await.headers()["handstamp-assertion"].to_str().unwrap().to_owned();
    let [header, claims, signature] = assertion.split('.').collect::<Vec<_>>().try_into().unwrap();
    let read = |part: &str| {
        let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(part).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    (read(header), read(claims), signature.to_owned())
}

#[tokio::test]
async fn assertions_are_signed_again_every_half_minute_with_a_published_key() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let (header, claims, signature) = assertion_of(&here, &token).await;
    let keys: serde_json::Value = serde_json::from_str(&text(here.opens("/auth/jwks.json", "").await).await).unwrap();
    assert!(header["kid"].is_string() && header["kid"] == keys["keys"][0]["kid"], "{header} {keys}");
    let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert_eq!(issued, NOW.unix_seconds() - 30, "it is not in the future for a clock that is behind");
    assert_eq!(expires, NOW.unix_seconds() + 60);
    here.clock.advance(Duration::from_secs(29));
    assert_eq!(assertion_of(&here, &token).await, (header, claims, signature), "it is not signed again");
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(assertion_of(&here, &token).await.1["exp"], NOW.unix_seconds() + 90);
}

#[tokio::test]
async fn assertion_keys_of_fallback_secrets_are_published_for_an_hour_after_the_start() {
    let earlier = SecretKey::parse("Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8").unwrap();
    let here = TestSite::with("http://localhost", |config| config.secret_key_fallbacks = vec![earlier]).await;
    let keys = async || {
        let set: serde_json::Value =
            serde_json::from_str(&text(here.opens("/auth/jwks.json", "").await).await).unwrap();
        set["keys"].as_array().unwrap().clone()
    };
    let both = keys().await;
    assert_eq!(both.len(), 2);
    here.clock.set(NOW.after(DAY));
    here.clock.advance(Duration::from_secs(3599));
    assert_eq!(keys().await, both, "setting the wall clock ends nothing");
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(keys().await, both[..1], "the current key stays");
}

/// For example, when the session is revoked while the user changes the password.
#[tokio::test]
async fn a_user_signed_out_meanwhile_returns_to_the_page_after_sign_in() {
    let here = TestSite::at("http://localhost").await;
    let to = here.handstamp.0.site.urls.sign_in_url("/account/password");
    assert_eq!(to, "/account/login?next=%2Faccount%2Fpassword");
    assert!(text(here.opens(&to, "").await).await.contains("name=\"next\" value=\"&#x2f;account&#x2f;password\""));
}

#[tokio::test]
async fn on_https_cookies_are_host_only_and_secure_and_hsts_is_sent() {
    let here = TestSite::at("https://id.example.com").await;
    let request = Request::post("/account/register")
        .header("host", "id.example.com")
        .header("origin", "https://id.example.com")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("name=Ada&email=ada@example.com&password=plum-octave-harbour"));
    let response = here.send(request.unwrap()).await;
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-handstamp_session="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000"), "{cookie}");
    assert!(response.headers()[header::SET_COOKIE].is_sensitive());
    assert!(response.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));

    let plain =
        Request::post("/account/login").header("host", "id.example.com").header("origin", "http://id.example.com");
    assert_eq!(here.send(plain.body(Body::empty()).unwrap()).await.status(), StatusCode::FORBIDDEN);
    let laptop = TestSite::at("http://localhost").await.opens("/", "").await;
    assert!(!laptop.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));
}

#[tokio::test]
async fn cross_site_writes_are_rejected() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let signs_out = async |headers: &[(&str, &str)], cookie: &str| {
        let mut request = Request::post("/account/logout").header("host", "localhost").header("cookie", cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        here.send(request.body(Body::empty()).unwrap()).await.status()
    };
    let adas = format!("handstamp_session={token}");
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://localhost")],
        &[("origin", "null")],
        &[],
    ] {
        assert_eq!(signs_out(headers, &adas).await, StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK, "{headers:?}");
    }
    assert_eq!(signs_out(&[], "none=of-ours").await, StatusCode::SEE_OTHER, "a program without a session cookie");
    for headers in [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", "http://localhost")] {
        assert_eq!(signs_out(&[headers], &adas).await, StatusCode::SEE_OTHER, "{headers:?}");
    }
}

#[tokio::test]
async fn on_a_laptop_writes_under_every_local_name_are_same_origin() {
    let here = TestSite::at("http://localhost").await;
    let answer = async |host: &str, origin: &str| {
        let request = Request::post("/account/login").header("host", host).header("origin", origin);
        here.send(request.body(Body::empty()).unwrap()).await.status()
    };
    for (host, origin) in [("127.0.0.1:8000", "http://127.0.0.1:8000"), ("localhost:8000", "http://localhost")] {
        assert_eq!(answer(host, origin).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{origin}: it passes the check");
    }
    assert_eq!(answer("127.0.0.1:8000", "http://127.0.0.1:9000").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn links_between_sign_in_and_registration_keep_the_return_url() {
    let here = TestSite::at("http://localhost").await;
    for (page, other) in [("login", "register"), ("register", "login")] {
        let shown = text(here.opens(&format!("/account/{page}?next=/notes%3Fa=b"), "").await).await;
        assert!(shown.contains(&format!("/account/{other}?next=%2Fnotes%3Fa%3Db\"")), "{shown}");
        let shown = text(here.opens(&format!("/account/{page}"), "").await).await;
        assert!(shown.contains(&format!("/account/{other}\"")), "{shown}");
    }
}

#[tokio::test]
async fn anonymous_navigations_are_redirected_to_sign_in_and_fetches_get_401() {
    let here = TestSite::at("http://localhost").await;
    for (method, path, header, status) in [
        ("GET", "/account", ("sec-fetch-mode", "navigate"), 303),
        ("POST", "/account/profile", ("sec-fetch-mode", "navigate"), 303),
        ("GET", "/account", ("accept", "text/html,*/*;q=0.8"), 303),
        ("HEAD", "/account", ("accept", "text/html"), 303),
        ("GET", "/account", ("sec-fetch-mode", "cors"), 401),
        ("GET", "/account", ("accept", "*/*"), 401),
        ("GET", "/account", ("x-nothing", "said"), 401),
        ("POST", "/account/profile", ("accept", "text/html"), 401),
        ("GET", "/account/api/v1/session", ("sec-fetch-mode", "navigate"), 401),
    ] {
        let request =
            Request::builder().method(method).uri(path).header("host", "localhost").header(header.0, header.1);
        let answer = here.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {header:?}");
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
        assert_eq!(kind == Some("application/problem+json"), status == 401, "{method} {path} {header:?}");
    }
}

#[tokio::test]
async fn request_bodies_are_limited_to_64_kib() {
    let here = TestSite::at("http://localhost").await;
    for (bytes, status) in
        [(64 * 1024, StatusCode::UNPROCESSABLE_ENTITY), (64 * 1024 + 1, StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let request = Request::post("/account/login").header("host", "localhost");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Body::from(format!("email={}", "a".repeat(bytes - "email=".len())))).unwrap();
        assert_eq!(here.send(request).await.status(), status, "{bytes}");
    }
}

#[tokio::test]
async fn requests_for_another_host_are_rejected() {
    let here = TestSite::at("http://localhost").await;
    for (target, hosts, status) in [
        ("/", &["localhost"][..], StatusCode::OK),
        ("/", &["evil.example"], StatusCode::MISDIRECTED_REQUEST),
        ("/", &["localhost.evil.example"], StatusCode::MISDIRECTED_REQUEST),
        ("/", &["localhost", "localhost"], StatusCode::MISDIRECTED_REQUEST),
        ("/", &[], StatusCode::MISDIRECTED_REQUEST),
        ("http://localhost/", &[], StatusCode::OK),
        ("http://localhost/", &["localhost"], StatusCode::OK),
        ("http://localhost/", &["evil.example"], StatusCode::MISDIRECTED_REQUEST),
        ("http://evil.example/", &["localhost"], StatusCode::MISDIRECTED_REQUEST),
        ("/healthz", &["192.0.2.1"], StatusCode::OK),
    ] {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let answer = here.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), status, "{target} {hosts:?}");
    }
}

#[tokio::test]
async fn a_sign_in_redirects_to_this_site_only() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    for (next, place) in [
        ("/account/profile?x=1", "/account/profile?x=1"),
        ("//evil.example", "/account"),
        ("https://evil.example", "/account"),
        ("/\\evil.example", "/account"),
    ] {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let fields = format!("email=ada@example.com&password=plum-octave-harbour&next={next}");
        let answer = here.submits("/account/login", fields.leak()).await;
        assert_eq!(answer.headers()[header::LOCATION], place);
        let link = here.opens(&format!("/account/login?next={next}"), &token_of(&answer)).await;
        assert_eq!(link.headers()[header::LOCATION], place, "of a link");
    }
}

#[tokio::test]
async fn a_remembered_session_lasts_for_30_days_to_the_second() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    here.clock.advance(30 * DAY - Duration::from_secs(1));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_that_is_not_remembered_lasts_for_a_day() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let token = here.signs_in_for_now().await;
    here.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn setting_the_clock_never_revives_an_expired_session() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    for _ in 0..10 {
        here.clock.advance(365 * DAY);
        assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
    }
    here.handstamp.0.site.services.purge_sessions().await.unwrap();
    for now in [NOW.unix_seconds(), NOW.unix_seconds() - 59, 0, u64::MAX] {
        here.clock.set(Timestamp::from_unix_seconds(now));
        assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER, "{now}");
        assert_eq!(here.opens("/account/sessions", &token).await.status(), StatusCode::SEE_OTHER, "{now}");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_deletes_no_session() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let sessions = &here.handstamp.0.site.services.sessions;
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    here.clock.set(NOW.after(40 * DAY));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(sessions.purge().await.unwrap(), None);
    here.clock.set(NOW.after(3 * DAY));
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    sessions.write_last_seen().await.unwrap();
    here.clock.set(NOW);
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    sessions.write_last_seen().await.unwrap();
    let listed = here.handstamp.sessions().of(here.ada().await).await.unwrap();
    assert_eq!(listed[0].last_seen_at, NOW, "no time of a clock that had jumped is written");
}

#[tokio::test]
async fn expired_sessions_are_purged_and_counted() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let sessions = &here.handstamp.0.site.services.sessions;
    assert_eq!(sessions.purge().await.unwrap(), Some(0));
    here.clock.advance(30 * DAY);
    assert_eq!(sessions.purge().await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_password_change_gives_the_session_a_new_secret_id_and_the_same_expiry() {
    let here = TestSite::at("http://localhost").await;
    let old = here.registers().await;
    here.clock.advance(DAY);
    let request = Request::post("/account/password")
        .header("host", "localhost")
        .header("cookie", format!("handstamp_session={old}"))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded");
    let fields = "current_password=plum-octave-harbour&password=walnut-trumpet-glacier";
    let new = token_of(&here.send(request.body(Body::from(fields)).unwrap()).await);
    let tokens = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap();
    let [before, after] = [&old, &new].map(|token| tokens.open(token, NOW.after(DAY)).unwrap().claims);
    assert_ne!(after.session_secret, before.session_secret);
    assert_eq!((after.issued_at, after.expires_at), (NOW.after(DAY), before.expires_at));
    assert_eq!(here.opens("/account", &old).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(here.opens("/account", &new).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_signed_with_our_key_is_worthless_without_its_session_row() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let tokens = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap();
    let claims = tokens.open(&token, NOW).unwrap().claims;
    let forged = tokens.issue(&Claims { session_secret: SessionSecret::from_bytes([7; 16]), ..claims.clone() });
    assert_eq!(here.opens("/account", forged.expose()).await.status(), StatusCode::SEE_OTHER);
    let for_another = tokens.issue(&Claims { user_id: UserId::new(NOW, [7; 10]), ..claims.clone() });
    assert_eq!(here.opens("/account", for_another.expose()).await.status(), StatusCode::SEE_OTHER);
    let longer = tokens.issue(&Claims { expires_at: NOW.after(90 * DAY), ..claims });
    assert_eq!(here.opens("/account", longer.expose()).await.status(), StatusCode::OK, "its row exists");
    here.clock.advance(30 * DAY);
    assert_eq!(here.opens("/account", longer.expose()).await.status(), StatusCode::SEE_OTHER, "its expiry counts");
}

#[tokio::test]
async fn the_database_contains_nothing_that_signs_a_user_in() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let claims = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap().open(&token, NOW).unwrap().claims;
    let files = std::fs::read_dir(here.folder.path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
    let holds = |bytes: &[u8]| kept.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(claims.session_secret.hash().as_bytes()), "the session is stored by the hash of its secret id");
    let id = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&token).unwrap()[23..39].to_vec();
    assert!(!holds(&id) && !holds(token.as_bytes()) && !holds(b"plum-octave-harbour") && !holds(SECRET.as_bytes()));
}

#[tokio::test]
async fn the_stylesheet_is_cached_for_ever_under_a_hashed_name() {
    let here = TestSite::at("http://localhost").await;
    let response = here.opens(&assets::stylesheet_path(), "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(!response.headers().contains_key(header::VARY));
    assert!(text(response).await.contains("MIT License"));
}

//! Tests of an axum application that merges our routes with its own.

use std::collections::HashMap;

use super::*;
use crate::{CurrentSession, CurrentUser, Error, Prefix, TrustedOrigin};
use axum::routing::get;

async fn ask(app: &Router, request: axum::http::request::Builder, token: &str) -> Response<Body> {
    let request = request.header("host", "localhost").header("cookie", format!("handstamp_session={token}"));
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// An application with pages of its own, `/` among them, beside ours.
fn app(here: &TestSite) -> Router {
    async fn home(user: Option<CurrentUser>) -> String {
        user.map_or_else(|| "Who are you?".to_owned(), |user| format!("Hello, {}", user.name()))
    }
    async fn notes(user: CurrentUser) -> String {
        format!("the notes of {} <{}>", user.name(), user.email())
    }
    async fn staff(user: CurrentUser) -> Result<String, Response<Body>> {
        user.require("staff")?;
        Ok(user.groups().collect::<Vec<_>>().join("+"))
    }
    async fn session(session: CurrentSession) -> String {
        format!("{} {} {}", session.user_id, session.id, session.expires_at.unix_seconds())
    }
    Router::new()
        .route("/", get(home))
        .route("/notes", get(notes))
        .route("/staff", get(staff).post(staff))
        .nest("/deep", Router::new().route("/session", get(session)))
        .with_state(here.handstamp.clone())
        .merge(here.handstamp.routes())
}

#[tokio::test]
async fn our_routes_can_be_merged_with_those_of_an_application() {
    let here = TestSite::at("http://localhost").await;
    for (path, status) in [
        ("/", 200),
        ("/account/login", 200),
        ("/auth/jwks.json", 200),
        ("/account/jwks.json", 200),
        ("/api/v1/session", 404),
        ("/nowhere", 404),
    ] {
        assert_eq!(ask(&app(&here), Request::get(path), "").await.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn the_well_known_url_for_changing_passwords_is_at_the_root_whatever_the_prefix() {
    for prefix in ["", "/members"] {
        let set = |config: &mut Config| config.prefix = Prefix::parse(prefix).unwrap_or_default();
        let here = TestSite::with("http://localhost", set).await;
        for app in [app(&here), here.handstamp.site()] {
            let answer = ask(&app, Request::get("/.well-known/change-password"), "").await;
            assert_eq!(answer.status(), StatusCode::SEE_OTHER);
            assert_eq!(answer.headers()[header::LOCATION], format!("{prefix}/account/password"));
            let post = Request::post("/.well-known/change-password").header("sec-fetch-site", "same-origin");
            let posted = ask(&app, post, "").await;
            assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_user_of_a_cached_session_needs_no_database_statement() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let app = app(&here);
    let request = |mode: &'static str| Request::get("/notes?page=2").header("sec-fetch-mode", mode);
    assert_eq!(ask(&app, request("navigate"), &token).await.status(), StatusCode::OK);

    // The session is cached now, so that no request needs the database.
    assert_eq!(here.handstamp.why_not_ready().await, None);
    here.handstamp.0.site.services.store.close().await;
    for _ in 0..100 {
        assert_eq!(text(ask(&app, request("cors"), &token).await).await, "the notes of Ada <ada@example.com>");
    }
    assert_eq!(here.handstamp.why_not_ready().await, Some("the database does not answer"));
    let stranger = ask(&app, request("navigate"), "junk").await;
    assert_eq!(stranger.status(), StatusCode::SEE_OTHER);
    assert_eq!(stranger.headers()[header::LOCATION], "/account/login?next=%2Fnotes%3Fpage%3D2");
    assert_eq!(stranger.headers()[header::CACHE_CONTROL], "no-store");
    let program = ask(&app, request("cors"), "junk").await;
    assert_eq!(program.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(program.headers()[header::CONTENT_TYPE], "application/problem+json");

    // A session that is not cached has to be looked up. Without the database the response is 503, even for pages that anonymous
    // visitors may see.
    let tokens = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap();
    let mut claims = tokens.open(&token, NOW).unwrap().claims;
    claims.session_secret = SessionSecret::from_bytes([7; 16]);
    for path in ["/notes", "/", "/deep/session"] {
        let unknown = ask(&app, Request::get(path), tokens.issue(&claims).expose()).await;
        assert_eq!(unknown.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(unknown.headers()[header::RETRY_AFTER], "5");
    }
}

#[tokio::test]
async fn a_handler_can_accept_anonymous_visitors() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let app = app(&here);
    assert_eq!(text(ask(&app, Request::get("/"), "").await).await, "Who are you?");
    assert_eq!(text(ask(&app, Request::get("/"), "junk").await).await, "Who are you?");
    assert_eq!(text(ask(&app, Request::get("/"), &token).await).await, "Hello, Ada");
}

#[tokio::test]
async fn a_handler_can_require_a_group() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let app = app(&here);
    let outside = ask(&app, Request::post("/staff"), &token).await;
    assert_eq!(outside.status(), StatusCode::FORBIDDEN);
    assert_eq!(outside.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(outside.headers()[header::CACHE_CONTROL], "no-store");
    here.handstamp.users().change_groups(here.ada().await, &["staff", "board"], &[]).await.unwrap();
    assert_eq!(text(ask(&app, Request::get("/staff"), &token).await).await, "board+staff");
    here.handstamp.users().change_groups(here.ada().await, &[], &["staff"]).await.unwrap();
    assert_eq!(ask(&app, Request::get("/staff"), &token).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(&app, Request::get("/staff"), "").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_current_session_has_the_id_that_the_list_of_sessions_shows() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let listed = &here.handstamp.sessions().of(here.ada().await).await.unwrap()[0];
    let ends = NOW.after(30 * DAY).unix_seconds();
    let told = text(ask(&app(&here), Request::get("/deep/session"), &token).await).await;
    assert_eq!(told, format!("{} {} {ends}", here.ada().await, listed.session_id));
    let navigation = Request::get("/deep/session?a=b").header("sec-fetch-mode", "navigate");
    let stranger = ask(&app(&here), navigation, "").await;
    assert_eq!(stranger.headers()[header::LOCATION], "/account/login?next=%2Fdeep%2Fsession%3Fa%3Db", "the whole path");
}

#[tokio::test]
async fn other_sites_cannot_make_a_browser_write_to_an_application() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let write = async |user: CurrentUser| format!("{} has written", user.name());
    let app = Router::new().route("/notes", get(write).post(write)).with_state(here.handstamp.clone());
    let app = here.handstamp.protect(app);
    for (name, value) in [("sec-fetch-site", "same-origin"), ("origin", "http://localhost"), ("sec-fetch-site", "none")]
    {
        let request = Request::post("/notes").header(name, value);
        assert_eq!(text(ask(&app, request, &token).await).await, "Ada has written", "{name}: {value}");
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "https://localhost"),
        ("origin", "null"),
        ("x-neither", "1"),
    ] {
        let refused = ask(&app, Request::post("/notes").header(name, value), &token).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    assert_eq!(ask(&app, Request::get("/notes").header("sec-fetch-site", "cross-site"), &token).await.status(), 200);
    assert_eq!(ask(&app, Request::get("/nowhere"), &token).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_sites_cannot_make_a_browser_open_a_websocket() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let talks = async |user: CurrentUser| format!("{} talks", user.name());
    let app = Router::new().route("/chat", get(talks)).with_state(here.handstamp.clone());
    let app = here.handstamp.protect(app);
    let handshake = |name, value| {
        Request::get("/chat").header("connection", "Upgrade").header("upgrade", "WebSocket").header(name, value)
    };
    for (name, value) in [("origin", "http://localhost"), ("sec-fetch-site", "same-origin")] {
        assert_eq!(text(ask(&app, handshake(name, value), &token).await).await, "Ada talks", "{name}: {value}");
    }
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "http://app.localhost"),
        ("origin", "null"),
        ("sec-fetch-site", "same-site"),
        ("x-neither", "1"),
    ] {
        let refused = ask(&app, handshake(name, value), &token).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_browser_application_on_a_trusted_origin_may_write() {
    let origins = ["https://app.example.com", "https://spa.example.net:8443"];
    let here = TestSite::with("https://id.example.com", |config| {
        config.trusted_origins = origins.map(|origin| TrustedOrigin::parse(origin).unwrap()).to_vec();
    })
    .await;
    let write = async || "written";
    let app = Router::new().route("/notes", get(write).post(write));
    let app = here.handstamp.protect(app).merge(here.handstamp.routes());
    let send = async |path: &str, origin: &str, site: &str| {
        let request = Request::post(path).header("host", "id.example.com").header("origin", origin);
        let request = request.header("sec-fetch-site", site).header("content-type", "application/json");
        app.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap().status().as_u16()
    };
    for origin in origins {
        for site in ["same-site", "cross-site", ""] {
            assert_eq!(send("/notes", origin, site).await, 200, "{origin} {site}");
            assert_eq!(
                send("/account/api/v1/session", origin, site).await,
                422,
                "{origin} {site}: it passes the check"
            );
        }
    }
    for origin in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://spa.example.net",
        "https://evil.app.example.com",
        "https://app.example.com.evil.test",
        "null",
    ] {
        assert_eq!(send("/notes", origin, "same-site").await, 403, "{origin}");
        assert_eq!(send("/account/api/v1/session", origin, "same-site").await, 403, "{origin}");
    }
    for bad in [
        "https://app.example.com/",
        "https://APP.example.com",
        "https://a.example:443",
        "http://a.example",
        "null",
        "*",
    ] {
        assert!(TrustedOrigin::parse(bad).is_err(), "{bad}");
    }
    assert!(TrustedOrigin::parse("http://localhost:5173").is_ok());
}

#[tokio::test]
async fn routes_nested_without_their_prefix_explain_the_fix() {
    let here = TestSite::at("http://localhost").await;
    let nested = Router::new().nest("/members", here.handstamp.routes());
    for path in
        ["/members/account", "/members/account/login", "/members/auth/forward", "/members/account/api/v1/session"]
    {
        let answer = ask(&nested, Request::get(path).header("sec-fetch-mode", "navigate"), "").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let says = text(answer).await.replace("&#x2f;", "/");
        assert!(says.contains(path) && says.contains("Set Config::prefix"), "{says}");
    }
    let merged = Router::new().nest("/api", Router::new()).merge(here.handstamp.routes());
    assert_eq!(ask(&merged, Request::get("/account/login"), "").await.status(), StatusCode::OK);

    let here = TestSite::with("http://localhost", |config| config.prefix = Prefix::parse("/members").unwrap()).await;
    let twice = Router::new().nest("/members", here.handstamp.routes());
    let answer = ask(&twice, Request::get("/members/members/account/login"), "").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "its links would lead to /members/account");
}

#[tokio::test]
async fn a_form_sent_after_the_session_ended_leads_back_to_its_page() {
    let here = TestSite::at("http://localhost:8000").await;
    let write = async |user: CurrentUser| user.name().to_owned();
    let app = Router::new().route("/upload", axum::routing::post(write)).with_state(here.handstamp.clone());
    let sent_from = async |host: &str, referer: &str| {
        let request = Request::post("/upload?x=y").header("host", host).header("sec-fetch-mode", "navigate");
        let request = request.header("referer", referer).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().headers()[header::LOCATION].to_str().unwrap().to_owned()
    };
    let sign_in = |next: &str| format!("/account/login?next={next}&notice=form-not-sent");
    for (host, referer, next) in [
        ("localhost:8000", "http://localhost:8000/notes/new?tab=1", "%2Fnotes%2Fnew%3Ftab%3D1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/notes/new", "%2Fnotes%2Fnew"),
        ("127.0.0.1:8000", "http://localhost:8000/notes/new", "%2Fnotes%2Fnew"),
        ("localhost:8000", "http://localhost:8000/account/login", "%2F"),
        ("localhost:8000", "http://localhost:8000", "%2F"),
        ("localhost:8000", "http://localhost:80001/notes", "%2F"),
        ("localhost:8000", "http://localhost:8000//evil.example/", "%2F"),
        ("localhost:8000", "https://localhost:8000/notes", "%2F"),
        ("localhost:8000", "https://evil.example/", "%2F"),
        ("localhost:8000", "", "%2F"),
    ] {
        assert_eq!(sent_from(host, referer).await, sign_in(next), "{referer}");
    }
}

#[tokio::test]
async fn all_pages_can_be_served_under_a_prefix() {
    let here =
        TestSite::with("http://localhost", |config| config.prefix = Prefix::parse("/club/members").unwrap()).await;
    let app = here.handstamp.routes();
    let form = "name=Ada&email=ada@example.com&password=plum-octave-harbour";
    let request = Request::post("/club/members/account/register").header("host", "localhost");
    let request =
        request.header("origin", "http://localhost").header("content-type", "application/x-www-form-urlencoded");
    let registered = app.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
    assert_eq!(registered.headers()[header::LOCATION], "/club/members/account");
    let token = token_of(&registered);
    let mut links = 0;
    for (path, token) in [
        ("account/login", ""),
        ("account/register", ""),
        ("account", &token),
        ("account/logout", &token),
        ("account/profile", &token),
        ("account/password", &token),
        ("account/sessions", &token),
        ("account/nothing", &token),
    ] {
        let request = Request::get(format!("/club/members/{path}")).header("accept", "text/html");
        let page = text(ask(&app, request, token).await).await;
        for link in ["href=\"/", "action=\"/"].iter().flat_map(|start| page.split(start).skip(1)) {
            assert!(link.starts_with("club/members/account") || link.starts_with('"'), "{path}: {link:.40}");
            links += 1;
        }
    }
    assert!(links > 30, "{links}");
    let slash = ask(&app, Request::get("/club/members/account/login/?next=%2Fa"), "").await;
    assert_eq!(slash.headers()[header::LOCATION], "/club/members/account/login?next=%2Fa");
    let members = Request::get("/club/members/account/sessions?a=b").header("sec-fetch-mode", "navigate");
    let next = "/club/members/account/login?next=%2Fclub%2Fmembers%2Faccount%2Fsessions%3Fa%3Db";
    assert_eq!(ask(&app, members, "").await.headers()[header::LOCATION], next);
    let signed_in = ask(&app, Request::get("/club/members/account/login"), &token).await;
    assert_eq!(signed_in.headers()[header::LOCATION], "/club/members/account");
    let asked = Request::get("/club/members/auth/forward").header("sec-fetch-mode", "navigate");
    let sign_in = "http://localhost/club/members/account/login?next=%2F";
    assert_eq!(ask(&app, asked, "").await.headers()[header::LOCATION], sign_in);
    assert_eq!(ask(&app, Request::get("/account/login"), "").await.status(), StatusCode::NOT_FOUND);
    for bad in ["members", "/", "/a/", "/a//b", "/a b", "/{a}", "/a?b"] {
        assert!(Prefix::parse(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn pages_of_an_application_use_our_layout_and_can_replace_our_pages() {
    let here = TestSite::with("http://localhost", |config| {
        let notes = "{% extends 'layout.html' %}{% block main %}<p>{{ notes|join(', ') }}</p>{% endblock %}";
        let home = "{% extends 'layout.html' %}{% block main %}<p>Mine</p>{% endblock %}";
        let broken = "{{ nothing }}";
        config.templates =
            [("notes.html", notes), ("account.html", home), ("broken.html", broken), ("profile.html", broken)]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .to_vec();
    })
    .await;
    async fn notes(
        axum::extract::State(handstamp): axum::extract::State<Handstamp>,
        user: Option<CurrentUser>,
    ) -> Result<Response<Body>, Error> {
        handstamp.render("notes.html", user.as_ref(), HashMap::from([("notes", ["milk", "<b>read"])]))
    }
    async fn broken(
        axum::extract::State(handstamp): axum::extract::State<Handstamp>,
        axum::extract::Path(name): axum::extract::Path<String>,
    ) -> Result<Response<Body>, Error> {
        handstamp.render(&name, None, ())
    }
    let app = Router::new().route("/notes", get(notes)).route("/broken/{name}", get(broken));
    let app = app.with_state(here.handstamp.clone()).merge(here.handstamp.routes());
    let token = here.registers().await;
    let page = ask(&app, Request::get("/notes"), &token).await;
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
    let page = text(page).await;
    assert!(page.contains("<p>milk, &lt;b&gt;read</p>") && page.contains(">Sign out</button>"), "{page}");
    assert!(text(ask(&app, Request::get("/notes"), "").await).await.contains(">Sign in</a>"));
    assert!(text(ask(&app, Request::get("/account"), &token).await).await.contains("<p>Mine</p>"), "it replaces ours");
    let profile = text(ask(&app, Request::get("/account/profile"), &token).await).await;
    assert!(profile.contains("<form"), "the embedded page is served where the replaced one is broken");
    for name in ["broken.html", "nowhere.html"] {
        let failed = ask(&app, Request::get(format!("/broken/{name}")), "").await;
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}");
        assert!(!text(failed).await.contains("nothing"), "the cause is not shown");
    }
}

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
    async fn staff(user: CurrentUser) -> axum::response::Result<String> {
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
        .merge(here.handstamp.router())
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
        for app in [app(&here), here.handstamp.standalone_router()] {
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
    assert_eq!(here.handstamp.readiness().await, Ok(()));
    here.handstamp.0.site.services.store.close().await;
    for _ in 0..100 {
        assert_eq!(text(ask(&app, request("cors"), &token).await).await, "the notes of Ada <ada@example.com>");
    }
    assert_eq!(here.handstamp.readiness().await, Err(crate::NotReady::DatabaseUnreachable));
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
    let app = app.layer(here.handstamp.csrf_layer());
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
    let app = app.layer(here.handstamp.csrf_layer());
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
    let app = app.layer(here.handstamp.csrf_layer()).merge(here.handstamp.router());
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
    let nested = Router::new().nest("/members", here.handstamp.router());
    for path in
        ["/members/account", "/members/account/login", "/members/auth/forward", "/members/account/api/v1/session"]
    {
        let answer = ask(&nested, Request::get(path).header("sec-fetch-mode", "navigate"), "").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let says = text(answer).await.replace("&#x2f;", "/");
        assert!(says.contains(path) && says.contains("Set Config::prefix"), "{says}");
    }
    let merged = Router::new().nest("/api", Router::new()).merge(here.handstamp.router());
    assert_eq!(ask(&merged, Request::get("/account/login"), "").await.status(), StatusCode::OK);

    let here = TestSite::with("http://localhost", |config| config.prefix = Prefix::parse("/members").unwrap()).await;
    let twice = Router::new().nest("/members", here.handstamp.router());
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
    let app = here.handstamp.router();
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
        config.templates = [
            ("notes.html", notes),
            ("account/index.html", home),
            ("broken.html", broken),
            ("account/profile.html", broken),
        ]
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
    let app = app.with_state(here.handstamp.clone()).merge(here.handstamp.router());
    let token = here.registers().await;
    let page = ask(&app, Request::get("/notes"), &token).await;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        // Scripts and images are the application's own business.
        (header::CONTENT_SECURITY_POLICY, "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    ] {
        assert_eq!(page.headers()[name], value);
    }
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

fn navigation(path: &str) -> axum::http::request::Builder {
    Request::get(path).header("sec-fetch-mode", "navigate").header("accept", "text/html")
}

fn is_page(response: &Response<Body>) -> bool {
    let is = |name, value: &str| response.headers().get(name).is_some_and(|header| header == value);
    let page = is(header::CONTENT_TYPE, "text/html; charset=utf-8");
    assert!(page || is(header::CONTENT_TYPE, "application/problem+json"), "{:?}", response.headers());
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    page
}

#[tokio::test]
async fn a_browser_gets_a_page_and_a_program_a_problem_document_with_each_refusal() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let app = app(&here);
    let outside = ask(&app, navigation("/staff"), &token).await;
    assert!(outside.status() == StatusCode::FORBIDDEN && is_page(&outside), "{outside:?}");
    assert!(outside.headers().contains_key(header::CONTENT_SECURITY_POLICY), "it is a page like ours");
    let page = text(outside).await;
    assert!(page.contains("a group that your account is not in") && page.contains(">Sign out</button>"), "{page}");
    assert!(!is_page(&ask(&app, Request::get("/staff").header("accept", "*/*"), &token).await));
    let old_browser = Request::get("/staff").header("accept", "text/html,application/xhtml+xml");
    assert!(is_page(&ask(&app, old_browser, &token).await));

    let protected = app.layer(here.handstamp.csrf_layer());
    let foreign = |mode: &'static str| {
        Request::post("/staff").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", mode)
    };
    let page = ask(&protected, foreign("navigate"), &token).await;
    assert!(page.status() == StatusCode::FORBIDDEN && is_page(&page));
    assert!(text(page).await.contains("came from another site"));
    assert!(!is_page(&ask(&protected, foreign("cors"), &token).await));

    here.handstamp.0.site.services.store.close().await;
    let tokens = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap();
    let mut claims = tokens.open(&token, NOW).unwrap().claims;
    claims.session_secret = SessionSecret::from_bytes([7; 16]);
    let unknown = tokens.issue(&claims);
    let page = ask(&protected, navigation("/notes"), unknown.expose()).await;
    assert!(page.status() == StatusCode::SERVICE_UNAVAILABLE && is_page(&page));
    assert_eq!(page.headers()[header::RETRY_AFTER], "5");
}

#[tokio::test]
async fn an_error_of_a_handler_is_a_page_within_the_layer() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    type Handle = axum::extract::State<Handstamp>;
    async fn nobody(axum::extract::State(handstamp): Handle, user: CurrentUser) -> Result<String, Error> {
        let nobody = UserId::new(NOW, [9; 10]);
        Ok(handstamp.users().get(nobody).await?.name + user.name())
    }
    let app = Router::new().route("/nobody", get(nobody)).with_state(here.handstamp.clone());
    let bare = ask(&app, navigation("/nobody"), &token).await;
    assert!(bare.status() == StatusCode::NOT_FOUND && !is_page(&bare));
    let app = app.merge(here.handstamp.router()).layer(here.handstamp.layer());
    let page = ask(&app, navigation("/nobody"), &token).await;
    assert!(page.status() == StatusCode::NOT_FOUND && is_page(&page));
    assert!(text(page).await.contains(">Sign out</button>"), "it has the navigation of a signed-in user");
    assert!(!is_page(&ask(&app, Request::get("/nobody"), &token).await));
    assert!(!is_page(&ask(&app, navigation("/account/api/v1/nothing"), &token).await), "the API stays as it is");
}

fn parts_of(token: &str) -> axum::http::request::Parts {
    let request = Request::get("/").header("host", "localhost").header("cookie", format!("handstamp_session={token}"));
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn a_request_looks_up_its_session_once() {
    use axum::extract::FromRequestParts;
    let (here, there) = (TestSite::at("http://localhost").await, TestSite::at("http://localhost").await);
    let token = here.registers().await;
    let mut parts = parts_of(&token);
    let user = <CurrentUser as FromRequestParts<_>>::from_request_parts(&mut parts, &here.handstamp).await.unwrap();
    here.handstamp.sessions().revoke_everyone().await.unwrap();
    let again = CurrentSession::from_request_parts(&mut parts, &here.handstamp).await.unwrap();
    assert_eq!((again.user_id, again.id), (user.id(), user.session().id), "the second extractor asks nobody");
    let elsewhere = Option::<CurrentUser>::from_request_parts(&mut parts, &there.handstamp).await.unwrap();
    assert!(elsewhere.is_none(), "another site has its own users: the session has no row there");
    let anew = CurrentSession::from_request_parts(&mut parts_of(&token), &here.handstamp).await;
    assert!(matches!(anew, Err(crate::CurrentUserRejection::Anonymous(_))), "another request looks it up anew");
}

#[tokio::test]
async fn any_state_can_be_used() {
    use crate::FromLayer;
    use axum::extract::{FromRef, State};
    struct App {
        handstamp: Handstamp,
        greeting: &'static str,
    }
    impl FromRef<App> for Handstamp {
        fn from_ref(app: &App) -> Self {
            app.handstamp.clone()
        }
    }
    async fn shared(State(app): State<Arc<App>>, user: CurrentUser) -> String {
        format!("{}, {}", app.greeting, user.name())
    }
    async fn layered(
        FromLayer(user): FromLayer<Option<CurrentUser>>,
        FromLayer(session): FromLayer<CurrentSession>,
    ) -> String {
        format!("{} {}", user.unwrap().name(), session.user_id)
    }
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let state = Arc::new(App { handstamp: here.handstamp.clone(), greeting: "Hi" });
    let app = Router::new().route("/", get(shared)).route_layer(here.handstamp.require_user()).with_state(state);
    assert_eq!(text(ask(&app, Request::get("/"), &token).await).await, "Hi, Ada");

    let bare: Router = Router::new().route("/", get(layered));
    let app = bare.clone().layer(here.handstamp.layer());
    assert_eq!(text(ask(&app, Request::get("/"), &token).await).await, format!("Ada {}", here.ada().await));
    assert_eq!(ask(&app, Request::get("/"), "").await.status(), StatusCode::UNAUTHORIZED);
    let missing = ask(&bare, Request::get("/"), &token).await;
    assert_eq!(missing.status(), StatusCode::INTERNAL_SERVER_ERROR, "without the layer");
}

#[tokio::test]
async fn the_layer_keeps_a_response_that_depends_on_the_session_out_of_caches() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let cached = async |_: CurrentUser| ([(header::CACHE_CONTROL, "private"), (header::VARY, "Accept")], "cached");
    let app = Router::new().route("/", get(async |user: Option<CurrentUser>| user.is_some().to_string()));
    let app = app.route("/cached", get(cached)).route("/public", get(async || "for all"));
    let app = app.with_state(here.handstamp.clone()).layer(here.handstamp.layer());
    for token in [token.as_str(), ""] {
        let response = ask(&app, Request::get("/"), token).await;
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::VARY], "Cookie");
    }
    let response = ask(&app, Request::get("/cached"), &token).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "private", "as the handler says");
    assert_eq!(response.headers().get_all(header::VARY).iter().collect::<Vec<_>>(), ["Accept", "Cookie"]);
    let response = ask(&app, Request::get("/public"), &token).await;
    assert!(!response.headers().contains_key(header::CACHE_CONTROL) && !response.headers().contains_key(header::VARY));
}

#[tokio::test]
async fn the_layer_gives_a_session_of_an_earlier_key_a_token_of_the_current_one() {
    let old = SecretKey::from_random(&[3; 32]);
    let here = TestSite::with("http://localhost", |config| config.secret_key_fallbacks = vec![old.clone()]).await;
    let token = here.registers().await;
    let claims = SessionTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap().open(&token, NOW).unwrap().claims;
    let earlier = SessionTokens::new(&old, &[]).unwrap().issue(&claims);
    let app = Router::new().route("/", get(async |user: CurrentUser| user.name().to_owned()));
    let app = app.with_state(here.handstamp.clone()).layer(here.handstamp.layer());
    let response = ask(&app, Request::get("/"), earlier.expose()).await;
    assert_eq!(token_of(&response), token, "the same session, signed with the current key");
    assert!(!ask(&app, Request::get("/"), &token).await.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_layer_guards_a_whole_router() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let members = Router::new().route("/members", get(async || "members"));
    let staff = Router::new().route("/staff", get(async || "staff"));
    let app: Router = members
        .route_layer(here.handstamp.require_user())
        .merge(staff.route_layer(here.handstamp.require_group("staff")));
    assert_eq!(text(ask(&app, Request::get("/members"), &token).await).await, "members");
    for path in ["/members", "/staff"] {
        assert_eq!(ask(&app, Request::get(path), "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
        let stranger = ask(&app, navigation(path), "").await;
        assert_eq!(stranger.headers()[header::LOCATION], format!("/account/login?next=%2F{}", &path[1..]));
    }
    let outside = ask(&app, navigation("/staff"), &token).await;
    assert!(outside.status() == StatusCode::FORBIDDEN && is_page(&outside));
    assert!(!is_page(&ask(&app, Request::get("/staff"), &token).await));
    assert_eq!(ask(&app, Request::get("/nowhere"), "").await.status(), StatusCode::NOT_FOUND);
    here.handstamp.users().change_groups(here.ada().await, &["staff"], &[]).await.unwrap();
    assert_eq!(text(ask(&app, Request::get("/staff"), &token).await).await, "staff");
}

/// An application that signs in and out by itself.
fn own_sign_in(here: &TestSite, user: UserId, remember: bool) -> Router {
    use axum::extract::State;
    let enter = async move |State(handstamp): State<Handstamp>, client: crate::ClientDetails| {
        let signed_in = handstamp.sign_in(user, &client).remember(remember).await?;
        Ok::<_, Error>((signed_in, format!("from {}", client.user_agent())))
    };
    let leave = async |State(handstamp): State<Handstamp>, user: CurrentUser| {
        Ok::<_, Error>((handstamp.sign_out(&user).await?, "bye"))
    };
    let app = Router::new().route("/enter", get(enter)).route("/leave", get(leave));
    app.with_state(here.handstamp.clone()).merge(self::app(here))
}

#[tokio::test]
async fn a_handler_signs_a_user_in_and_out() {
    let here = TestSite::at("http://localhost").await;
    let before = here.registers().await;
    let app = own_sign_in(&here, here.ada().await, true);
    let response = ask(&app, Request::get("/enter").header("user-agent", "Lynx"), &before).await;
    let cookies: Vec<_> =
        response.headers().get_all(header::SET_COOKIE).iter().map(|it| it.to_str().unwrap()).collect();
    assert!(cookies.iter().any(|cookie| cookie.contains("Max-Age=2592000")), "remembered: {cookies:?}");
    assert!(cookies.iter().any(|cookie| cookie.starts_with("handstamp_device=")), "{cookies:?}");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let token = token_of(&response);
    assert_eq!(text(response).await, "from Lynx");
    assert_eq!(ask(&app, Request::get("/notes"), &before).await.status(), 401, "the browser's earlier session");
    assert_eq!(text(ask(&app, Request::get("/"), &token).await).await, "Hello, Ada");
    let sessions = here.handstamp.sessions().of(here.ada().await).await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.user_agent.as_str()).collect::<Vec<_>>(), ["Lynx"]);

    let gone = ask(&app, Request::get("/leave"), &token).await;
    let cookies: Vec<_> = gone.headers().get_all(header::SET_COOKIE).iter().map(|it| it.to_str().unwrap()).collect();
    assert!(cookies[0].starts_with("handstamp_session=;") && cookies[0].contains("Max-Age=0"), "{cookies:?}");
    assert_eq!(ask(&app, Request::get("/notes"), &token).await.status(), 401, "a copy of the cookie is dead");

    let short = ask(&own_sign_in(&here, here.ada().await, false), Request::get("/enter"), "").await;
    assert!(!short.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age"), "until the browser is closed");
}

#[tokio::test]
async fn a_handler_cannot_sign_in_a_disabled_or_deleted_user() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let ada = here.ada().await;
    here.handstamp.users().disable(ada).await.unwrap();
    let client = crate::ClientDetails::default();
    let refused = here.handstamp.sign_in(ada, &client).await.unwrap_err();
    assert!(refused.is_refused() && refused.to_string().contains("disabled"), "{refused}");
    let refused = ask(&own_sign_in(&here, ada, true), Request::get("/enter"), "").await;
    assert!(refused.status() == 403 && !refused.headers().contains_key(header::SET_COOKIE));
    here.handstamp.users().delete(ada).await.unwrap();
    assert!(here.handstamp.sign_in(ada, &client).await.unwrap_err().is_not_found());
}

/// A site on which the only session is Ada's, and has these methods, this level and this age. No node has read it yet.
async fn ada_with(methods: &str, assurance: i64, age: Duration) -> (TestSite, String) {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let file = here.folder.path().join("data/handstamp.db");
    let database = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let update = sqlx::query("UPDATE sessions SET methods = $1, assurance = $2, authenticated_at = $3");
    let at = NOW.unix_seconds() - age.as_secs();
    let done = update.bind(methods).bind(assurance).bind(i64::try_from(at).unwrap()).execute(&database).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    database.close().await;
    (here, token)
}

/// Pages that require a level or a recent authentication, below `/handler` by the extractor, and below `/layer` by a layer.
fn demanding_app(here: &TestSite) -> Router {
    use axum::extract::Path;
    type Shown = axum::response::Result<&'static str>;
    async fn level(Path(level): Path<u8>, user: CurrentUser) -> Shown {
        user.require_assurance(level)?;
        Ok("shown")
    }
    async fn recent(Path(minutes): Path<u32>, user: CurrentUser) -> Shown {
        user.require_recent(minutes)?;
        Ok("shown")
    }
    let handlers = Router::new()
        .route("/assurance/{level}", get(level).post(level))
        .route("/recent/{minutes}", get(recent).post(recent));
    let page = || get(async || "shown").post(async || "shown");
    let mut layers = Router::new();
    for level in [0, 1, 2, 3, 4, 255] {
        let guard = here.handstamp.require_assurance(level);
        layers = layers.merge(Router::new().route(&format!("/assurance/{level}"), page()).route_layer(guard));
    }
    for minutes in [10, 15] {
        let guard = here.handstamp.require_recent(minutes);
        layers = layers.merge(Router::new().route(&format!("/recent/{minutes}"), page()).route_layer(guard));
    }
    let app = Router::new().nest("/handler", handlers).nest("/layer", layers);
    app.with_state(here.handstamp.clone()).merge(here.handstamp.router())
}

#[tokio::test]
async fn an_application_knows_how_and_when_its_user_authenticated() {
    async fn known(user: CurrentUser) -> String {
        let methods: Vec<_> = user.methods().collect();
        format!("{methods:?} {} {}", user.assurance().get(), user.authenticated_at().unix_seconds())
    }
    for (methods, names, level) in [
        ("pwd", r#"["pwd"]"#, 1),
        ("pwd otp mfa", r#"["pwd", "otp", "mfa"]"#, 2),
        ("mfa pop user", r#"["mfa", "pop", "user"]"#, 3),
        ("", "[]", 1),
    ] {
        let (here, token) = ada_with(methods, level, Duration::from_secs(100)).await;
        let app = Router::new().route("/", get(known)).with_state(here.handstamp.clone());
        let expected = format!("{names} {level} {}", NOW.unix_seconds() - 100);
        assert_eq!(text(ask(&app, Request::get("/"), &token).await).await, expected);
    }
}

async fn problem_type(response: Response<Body>) -> String {
    assert!(!is_page(&response));
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    problem["type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_weaker_session_than_an_application_requires_is_led_to_another_factor() {
    for reached in 1..=3 {
        let (here, token) = ada_with("pwd", reached, Duration::ZERO).await;
        let app = demanding_app(&here);
        for way in ["handler", "layer"] {
            for level in [0, 1, 2, 3, 4, 255] {
                let path = format!("/{way}/assurance/{level}?a=b");
                let (page, fetched) = (
                    ask(&app, navigation(&path), &token).await,
                    ask(
                        &app,
                        Request::get(&path).header("sec-fetch-mode", "cors").header("accept", "text/html"),
                        &token,
                    )
                    .await,
                );
                let statuses = (page.status().as_u16(), fetched.status().as_u16());
                if level <= reached {
                    assert_eq!(statuses, (200, 200), "{path} at {reached}");
                } else if level <= 3 {
                    assert_eq!(statuses, (303, 403), "{path} at {reached}");
                    let expected =
                        format!("/account/confirm?assurance={level}&next=%2F{way}%2Fassurance%2F{level}%3Fa%3Db");
                    assert_eq!(page.headers()[header::LOCATION], expected);
                    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
                    assert_eq!(problem_type(fetched).await, "reauthentication-required");
                } else {
                    assert_eq!(statuses, (403, 403), "{path} at {reached}: a redirect would lead back for ever");
                    assert!(is_page(&page) && !page.headers().contains_key(header::LOCATION));
                    assert!(text(page).await.contains(">Sign out</button>"), "with the navigation of a signed-in user");
                    assert_eq!(problem_type(fetched).await, "about:blank");
                }
                let stranger = ask(&app, navigation(&path), "").await;
                assert!(stranger.headers()[header::LOCATION].to_str().unwrap().starts_with("/account/login?next="));
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_an_application_finds_too_old_is_confirmed() {
    let (here, token) = ada_with("pwd", 1, Duration::from_secs(600)).await;
    let app = demanding_app(&here);
    let statuses = async |minutes: u32, token: &str| {
        let of =
            async |way: &str| ask(&app, navigation(&format!("/{way}/recent/{minutes}")), token).await.status().as_u16();
        (of("handler").await, of("layer").await)
    };
    assert_eq!(statuses(10, &token).await, (200, 200), "exactly ten minutes ago");
    here.clock.advance(Duration::from_secs(1));
    assert_eq!((statuses(10, &token).await, statuses(15, &token).await), ((303, 303), (200, 200)));
    for way in ["handler", "layer"] {
        let path = format!("/{way}/recent/10");
        let page = ask(&app, navigation(&path), &token).await;
        let expected = format!("/account/confirm?next=%2F{way}%2Frecent%2F10");
        assert_eq!(page.headers()[header::LOCATION], expected);
        assert_eq!(problem_type(ask(&app, Request::get(&path), &token).await).await, "reauthentication-required");
    }
    let form = Request::post("/account/confirm")
        .header("host", "localhost")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", format!("handstamp_session={token}"))
        .body(Body::from("password=plum-octave-harbour&next=%2Flayer%2Frecent%2F10"));
    let confirmed = app.clone().oneshot(form.unwrap()).await.unwrap();
    assert_eq!(confirmed.headers()[header::LOCATION], "/layer/recent/10");
    assert_eq!(statuses(10, &token_of(&confirmed)).await, (200, 200));
}

#[tokio::test]
async fn a_user_is_led_to_confirm_beneath_the_prefix() {
    let here = TestSite::with("http://localhost", |config| config.prefix = Prefix::parse("/members").unwrap()).await;
    let fields = "name=Ada&email=ada@example.com&password=plum-octave-harbour";
    let token = token_of(&here.submits("/members/account/register", fields).await);
    let led = ask(&demanding_app(&here), navigation("/handler/assurance/2"), &token).await;
    let expected = "/members/account/confirm?assurance=2&next=%2Fhandler%2Fassurance%2F2";
    assert_eq!(led.headers()[header::LOCATION], expected);
}

#[tokio::test]
async fn a_form_that_needs_another_factor_leads_back_to_its_page() {
    let (here, token) = ada_with("pwd", 1, Duration::from_secs(3600)).await;
    let app = demanding_app(&here);
    for (referer, next) in [
        (Some("http://localhost/transfer?to=Bob"), "%2Ftransfer%3Fto%3DBob"),
        (Some("http://evil.example/transfer"), "%2F"),
        (None, "%2F"),
    ] {
        for way in ["handler", "layer"] {
            for (path, page) in [("assurance/2", "?assurance=2&"), ("recent/10", "?")] {
                let form = Request::post(format!("/{way}/{path}")).header("accept", "text/html");
                let form = referer.into_iter().fold(form, |form, referer| form.header("referer", referer));
                let sent = form.header("sec-fetch-mode", "navigate");
                let answer = ask(&app, sent, &token).await;
                assert_eq!(answer.status(), StatusCode::SEE_OTHER);
                assert_eq!(answer.headers()[header::LOCATION], format!("/account/confirm{page}next={next}"), "{path}");
            }
        }
    }
    let program = Request::post("/handler/assurance/2").header("accept", "*/*");
    assert_eq!(problem_type(ask(&app, program, &token).await).await, "reauthentication-required");
    // Whether it is a form is not known of a browser that does not say so. It gets the page that says what to do.
    let old_browser = Request::post("/handler/assurance/2").header("accept", "text/html");
    let answer = ask(&app, old_browser, &token).await;
    assert!(answer.status() == StatusCode::FORBIDDEN && is_page(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_a_cached_session_needs_no_database_statement() {
    let (here, token) = ada_with("pwd otp mfa", 2, Duration::ZERO).await;
    let app = demanding_app(&here);
    assert_eq!(ask(&app, navigation("/layer/assurance/2"), &token).await.status(), StatusCode::OK);
    here.handstamp.0.site.services.store.close().await;
    for way in ["handler", "layer"] {
        for (path, status) in [("assurance/2", 200), ("assurance/3", 303), ("assurance/4", 403), ("recent/10", 200)] {
            let answer = ask(&app, navigation(&format!("/{way}/{path}")), &token).await;
            assert_eq!(answer.status().as_u16(), status, "{way} {path}");
        }
    }
}

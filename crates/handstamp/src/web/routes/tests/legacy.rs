//! Tests of the exchange of sessions of the framework that the site has left, and of their end.

use std::fs;

use axum::routing::get;
use handstamp_core::legacy_cookie::{LegacyKind, LegacySecret};
use handstamp_testing::{django_cookie, express_cookie, store_express_session};

use super::*;
use crate::context::Context;
use crate::model::LegacyRefusal;
use crate::services::LegacyExchanged;
use crate::{CurrentUser, Error, GroupName, ImportFields, SecondFactorRequired};

const FORMER_SECRET: &str = "Zr8vB2nQ5tW9yC3fH6kM1pS4uX7aD0gJ";
/// A hash as Django has it.
const HASH: &str =
    "argon2$argon2id$v=19$m=8,t=1,p=1$AwMDAwMDAwMDAwMDAwMDAw$bNAtXmQTyxyXCV5SufdPn/KJykax1do4gTakfsXcwIY";

/// The cookie of express-session for the session with this id.
fn express(id: &str) -> String {
    format!("connect.sid={}", express_cookie(FORMER_SECRET, id))
}

/// The cookie of Django for a session that is signed at this time, of a user with a password hash.
fn django(user: &str, at: u64, hash: &str) -> String {
    format!("sessionid={}", django_cookie(FORMER_SECRET, user, at, hash))
}

/// A site that has left a framework, with Ada, whose id there is 42, and Bob with 43.
struct Moved {
    here: TestSite,
    /// The sessions of express-session.
    former: TempFolder,
}

impl Moved {
    async fn from(kind: LegacyKind, set: impl FnOnce(&mut Config)) -> Self {
        Self::at("http://localhost", kind, set).await
    }

    async fn at(public_url: &str, kind: LegacyKind, set: impl FnOnce(&mut Config)) -> Self {
        let former = TempFolder::new();
        let folder = former.path().to_owned();
        let here = TestSite::with(public_url, |config| {
            config.legacy.kind = Some(kind);
            config.legacy.secrets = vec![LegacySecret::new(FORMER_SECRET.as_bytes()).unwrap()];
            config.legacy.until = Some(NOW.after(DAY * 30));
            if kind == LegacyKind::ExpressSession {
                config.legacy.folder = Some(folder);
            }
            set(config);
        })
        .await;
        let moved = Self { here, former };
        moved.imports("ada@example.com", "42", &[]).await;
        moved.imports("bob@example.com", "43", &[]).await;
        moved
    }

    async fn imports(&self, email: &str, legacy_id: &str, groups: &[String]) {
        let fields = ImportFields { email, legacy_id, groups, password_hash: HASH, ..ImportFields::default() };
        let mut import = self.here.handstamp.users().import(false);
        let user = import.parser().parse(&fields).unwrap();
        import.batch(&mut [user]).await.unwrap();
    }

    /// Writes a session of express-session for a user of the former system, and returns its cookie.
    fn stored(&self, id: &str, user: &str) -> String {
        format!("connect.sid={}", store_express_session(self.former.path(), FORMER_SECRET, id, user))
    }

    /// Navigates to a path with these cookies.
    async fn opens(&self, path: &str, cookies: &str) -> Response<Body> {
        self.asks("GET", path, &[("cookie", cookies), ("sec-fetch-mode", "navigate")]).await
    }

    async fn asks(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.here.send(request.body(Body::empty()).unwrap()).await
    }

    /// Exchanges the session of these cookies, and returns the session cookie.
    async fn exchanges(&self, cookies: &str) -> Option<String> {
        let answer = self.opens("/account/resume?next=%2Faccount%2Fsessions", cookies).await;
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let session = set_by(&answer, "handstamp_session");
        let to = if session.is_some() { "/account/sessions" } else { "/account/login?next=%2Faccount%2Fsessions" };
        assert_eq!(location(&answer), to, "{cookies}");
        session.map(|value| format!("handstamp_session={value}"))
    }

    async fn is_signed_in(&self, cookies: &str) -> bool {
        self.asks("GET", "/account/api/v1/session", &[("cookie", cookies)]).await.status() == StatusCode::OK
    }

    /// Why the session of these cookies is refused.
    async fn refusal(&self, cookie: &str) -> &'static str {
        let (_, value) = cookie.split_once('=').unwrap();
        let services = &self.here.handstamp.0.site.services;
        let exchanged = services.exchange_legacy_session(&Context::visitor(), std::iter::once(value), &[]).await;
        match exchanged.unwrap() {
            LegacyExchanged::Begun(_) => "none",
            LegacyExchanged::Refused(refusal) => refusal.name(),
        }
    }

    /// Signs out by the page, with these cookies.
    async fn signs_out(&self, cookies: &str) -> Response<Body> {
        self.asks("POST", "/account/logout", &[("cookie", cookies), ("sec-fetch-site", "same-origin")]).await
    }

    async fn ada(&self) -> UserId {
        self.here.ada().await
    }
}

fn location(response: &Response<Body>) -> String {
    response.headers().get(header::LOCATION).map_or_else(String::new, |to| to.to_str().unwrap().to_owned())
}

/// The value that a response gives a cookie, which is not empty.
fn set_by(response: &Response<Body>, name: &str) -> Option<String> {
    let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    let value = cookies.filter_map(|cookie| cookie.split(';').next()?.strip_prefix(name)?.strip_prefix('=')).next();
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

fn removes(response: &Response<Body>, name: &str) -> bool {
    let begins = format!("{name}=;");
    let mut cookies = response.headers().get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    cookies.any(|cookie| cookie.starts_with(&begins) && cookie.contains("Max-Age=0"))
}

#[tokio::test]
async fn a_navigation_with_a_former_session_is_signed_in_and_leads_on() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    let led = moved.opens("/account/sessions?x=1", &former).await;
    assert_eq!(
        (led.status(), location(&led)),
        (StatusCode::SEE_OTHER, "/account/resume?next=%2Faccount%2Fsessions%3Fx%3D1".into())
    );
    let answer = moved.opens(&location(&led), &former).await;
    assert_eq!(location(&answer), "/account/sessions?x=1");
    assert!(removes(&answer, "connect.sid"));
    let session = format!("handstamp_session={}", set_by(&answer, "handstamp_session").unwrap());
    assert!(moved.is_signed_in(&session).await);
    assert_eq!(moved.opens("/account/sessions", &session).await.status(), StatusCode::OK);
    assert_eq!(moved.here.count("SELECT COUNT(*) FROM outbox").await, 0, "no mail tells of a new device");
}

#[tokio::test]
async fn an_exchanged_session_is_one_of_an_old_authentication_by_password() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let session = moved.exchanges(&moved.stored("first", "42")).await.unwrap();
    let (_, token) = session.split_once('=').unwrap();
    let found = moved.here.handstamp.0.site.services.sessions.find(token).await.unwrap();
    let crate::sessions::SessionLookup::Active(found) = found else { panic!("it is live") };
    assert_eq!((found.user.email(), found.authentication.methods().to_string().as_str()), ("ada@example.com", "pwd"));
    assert_eq!(found.authentication.assurance(), crate::AssuranceLevel::ONE_FACTOR);
    assert!(NOW.since(found.authentication.at()) > DAY, "longer ago than every session.confirm_after");
    let export = moved.opens("/account/export", &session).await;
    assert!(location(&export).starts_with("/account/confirm"), "it is not recent");
    let activity = text(moved.opens("/account/activity", &session).await).await;
    assert!(activity.contains("Still signed in from before the site has moved"), "{activity}");
}

#[tokio::test]
async fn a_former_session_is_exchanged_once() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    assert!(moved.exchanges(&former).await.is_some());
    assert!(moved.exchanges(&former).await.is_none());
    assert_eq!(moved.refusal(&former).await, "used");
    assert_eq!(moved.refusal(&former.replace("%3A", ":")).await, "used", "another spelling");
    assert_eq!(moved.refusal(&moved.stored("second", "42")).await, "none", "another session of the same user");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_exchanges_of_one_session_on_two_nodes_one_begins_a_session() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let config = moved.here.handstamp.0.site.services.config.clone();
    let clock = moved.here.clock.clone();
    let other = Handstamp::open_with(config, Environment { clock, ..Environment::system() }).await.unwrap();
    let former = moved.stored("first", "42");
    let value = former.split_once('=').unwrap().1.to_owned();
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let node = if number % 2 == 0 { moved.here.handstamp.clone() } else { other.clone() };
            let value = value.clone();
            tokio::spawn(async move {
                let services = &node.0.site.services;
                let values = std::iter::once(value.as_str());
                match services.exchange_legacy_session(&Context::visitor(), values, &[]).await.unwrap() {
                    LegacyExchanged::Begun(_) => None,
                    LegacyExchanged::Refused(refusal) => Some(refusal),
                }
            })
        })
        .collect();
    let (mut begun, mut used) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            None => begun += 1,
            Some(LegacyRefusal::Used) => used += 1,
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((begun, used), (1, 49));
    let sessions = moved.here.handstamp.sessions().of(moved.ada().await).await.unwrap();
    assert_eq!(sessions.len(), 1);
    other.close().await;
}

#[tokio::test]
async fn only_users_without_more_than_a_password_are_exchanged() {
    let moved = Moved::from(LegacyKind::ExpressSession, |config| {
        config.second_factor.required = SecondFactorRequired::Groups(vec![GroupName::parse("board").unwrap()]);
    })
    .await;
    let users = moved.here.handstamp.users();
    let (ada, former) = (moved.ada().await, moved.stored("first", "42"));
    users.change_groups(ada, &["admins"], &[]).await.unwrap();
    assert_eq!(moved.refusal(&former).await, "administrator");
    users.clone().even_the_last_administrator().change_groups(ada, &["board"], &["admins"]).await.unwrap();
    assert_eq!(moved.refusal(&former).await, "factor_required");
    users.change_groups(ada, &[], &["board"]).await.unwrap();
    let factor = "INSERT INTO totp_secrets (user_id, sealed, session_id, created_at, confirmed_at)
        SELECT id, x'00', id, 0, 0 FROM users WHERE legacy_id = '42'";
    moved.here.execute(factor).await;
    assert_eq!(moved.refusal(&former).await, "has_factor");
    moved.here.execute("UPDATE totp_secrets SET confirmed_at = NULL").await;
    let passkey =
        "INSERT INTO passkeys (id, user_id, credential_id, name, credential, counter, backup_eligible, backed_up,
            user_verified, created_at)
        SELECT id, id, id, '', '', 0, 0, 0, 1, 0 FROM users WHERE legacy_id = '42'";
    moved.here.execute(passkey).await;
    assert_eq!(moved.refusal(&former).await, "has_factor");
    moved.here.execute("DELETE FROM passkeys").await;
    assert_eq!(moved.refusal(&moved.stored("unknown", "7")).await, "unknown_user");
    assert_eq!(moved.refusal(&express("never-stored")).await, "no_stored_session");
    assert_eq!(moved.refusal(&former).await, "none", "an app that is being set up is no factor");
}

#[tokio::test]
async fn users_whose_former_sessions_have_ended_are_not_exchanged() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let (users, sessions) = (moved.here.handstamp.users(), moved.here.handstamp.sessions());
    let (ada, former) = (moved.ada().await, moved.stored("first", "42"));
    users.disable(ada).await.unwrap();
    assert_eq!(moved.refusal(&former).await, "disabled");
    users.enable(ada).await.unwrap();
    assert_eq!(moved.refusal(&former).await, "sessions_ended");
    let of_bob = moved.stored("second", "43");
    let bob = users.find_by_email("bob@example.com").await.unwrap().unwrap().id;
    sessions.revoke_all_of(bob).await.unwrap();
    assert_eq!(moved.refusal(&of_bob).await, "sessions_ended");
    moved.imports("carol@example.com", "44", &[]).await;
    let of_carol = moved.stored("third", "44");
    sessions.revoke_everyone().await.unwrap();
    assert_eq!(moved.refusal(&of_carol).await, "sessions_ended");
}

#[tokio::test]
async fn changed_credentials_and_other_sessions_that_end_void_former_sessions() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let session = moved.exchanges(&moved.stored("first", "42")).await.unwrap();
    let token = session.split_once('=').unwrap().1.to_owned();
    let others = moved.here.sends(&token, "/account/sessions/revoke-others", "").await;
    assert_eq!(others.status(), StatusCode::SEE_OTHER);
    assert!(moved.is_signed_in(&session).await);
    assert_eq!(moved.refusal(&moved.stored("second", "42")).await, "sessions_ended");
    moved.here.execute("UPDATE users SET credentials_changed_at = 1 WHERE legacy_id = '43'").await;
    assert_eq!(moved.refusal(&moved.stored("third", "43")).await, "credentials_changed");
}

#[tokio::test]
async fn a_sign_out_ends_the_former_session_that_the_browser_still_sends() {
    for is_form in [true, false] {
        let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
        let former = moved.stored("first", "42");
        let headers = [("cookie", former.as_str()), ("sec-fetch-site", "same-origin")];
        let answer = if is_form {
            moved.signs_out(&former).await
        } else {
            moved.asks("DELETE", "/account/api/v1/session", &headers).await
        };
        assert!(answer.status().is_redirection() || answer.status() == StatusCode::NO_CONTENT, "{}", answer.status());
        assert!(removes(&answer, "connect.sid"));
        assert_eq!(moved.refusal(&former).await, "used", "form: {is_form}");
    }
}

#[tokio::test]
async fn a_sign_out_with_a_former_cookie_ends_the_session_that_it_was_exchanged_for() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    let elsewhere = moved.exchanges(&former).await.unwrap();
    let other = moved.exchanges(&moved.stored("second", "42")).await.unwrap();
    let answer = moved.here.waits_for_another_node(moved.signs_out(&former)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(!moved.is_signed_in(&elsewhere).await, "a copy of the cookie had begun it");
    assert!(moved.is_signed_in(&other).await, "another session of the user");
}

#[tokio::test]
async fn a_sign_out_after_the_window_or_by_a_wrong_clock_ends_the_former_session_all_the_same() {
    let moved = Moved::from(LegacyKind::Django, |_| ()).await;
    let former = django("42", NOW.unix_seconds() - 5, HASH);
    moved.here.clock.advance(DAY * 29);
    assert_eq!(moved.refusal(&former).await, "expired");
    assert_eq!(moved.signs_out(&former).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(moved.here.count("SELECT COUNT(*) FROM legacy_exchanges").await, 1);
}

#[tokio::test]
async fn made_up_keys_of_former_sessions_store_nothing_at_a_sign_out() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    for cookie in [express("never-stored"), "connect.sid=s%3Afirst.AAAA".to_owned(), "connect.sid=7".to_owned()] {
        assert_eq!(moved.signs_out(&cookie).await.status(), StatusCode::SEE_OTHER);
    }
    assert_eq!(moved.here.count("SELECT COUNT(*) FROM legacy_exchanges").await, 0);
}

#[tokio::test]
async fn copies_of_a_signed_session_end_with_the_one_that_is_exchanged() {
    let moved = Moved::from(LegacyKind::Django, |_| ()).await;
    let at = NOW.unix_seconds();
    let (older, newer) = (django("42", at - 600, HASH), django("42", at - 5, HASH));
    assert_eq!(moved.refusal(&django("42", at - 5, "another hash")).await, "password_changed");
    assert_eq!(moved.refusal(&newer).await, "none");
    assert_eq!(moved.refusal(&older).await, "sessions_ended");
    let of_bob = [django("43", at - 600, HASH), django("43", at - 5, HASH)];
    assert_eq!(moved.signs_out(&of_bob[1]).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(moved.refusal(&of_bob[0]).await, "sessions_ended", "an older copy of a session that was signed out");
}

#[tokio::test]
async fn nothing_is_exchanged_after_the_end_of_the_window() {
    let moved = Moved::from(LegacyKind::ExpressSession, |config| config.legacy.until = Some(NOW.after(DAY))).await;
    let former = moved.stored("first", "42");
    moved.here.clock.advance(DAY);
    assert_eq!(moved.refusal(&former).await, "window_over");
    assert_eq!(location(&moved.opens("/account", &former).await), "/account/login?next=%2Faccount");
}

#[tokio::test]
async fn a_window_is_at_most_180_days_long() {
    let open = async |days: u32| {
        let folder = TempFolder::new();
        let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
        let mut config =
            Config::new(PublicUrl::parse("http://localhost").unwrap(), database, SecretKey::parse(SECRET).unwrap());
        config.legacy.kind = Some(LegacyKind::Flask);
        config.legacy.secrets = vec![LegacySecret::new(FORMER_SECRET.as_bytes()).unwrap()];
        config.legacy.until = Some(NOW.after(DAY * days));
        let clock = Arc::new(ManualClock::new(NOW));
        Handstamp::open_with(config, Environment { clock, ..Environment::system() }).await.map(drop)
    };
    assert!(open(180).await.is_ok());
    let refused = open(181).await.unwrap_err();
    assert!(refused.is_config() && refused.to_string().contains("legacy.until must be at most 180 days"), "{refused}");
}

#[tokio::test]
async fn only_navigations_lead_to_the_exchange_and_only_once() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    let resumes = |response: &Response<Body>| location(response).contains("/account/resume");
    let asks = async |method: &str, more: (&str, &str)| {
        resumes(&moved.asks(method, "/account", &[("cookie", &former), ("sec-fetch-mode", "navigate"), more]).await)
    };
    assert!(asks("GET", ("x-nothing", "1")).await);
    assert!(!asks("HEAD", ("x-nothing", "1")).await);
    assert!(!asks("POST", ("sec-fetch-site", "same-origin")).await);
    assert!(!asks("GET", ("sec-purpose", "prefetch")).await);
    let fetch = moved.asks("GET", "/account", &[("cookie", &former), ("sec-fetch-mode", "cors")]).await;
    assert_eq!(fetch.status(), StatusCode::UNAUTHORIZED);
    for (method, more) in [("HEAD", ("x-nothing", "1")), ("GET", ("sec-purpose", "prefetch;prerender"))] {
        let headers = [("cookie", former.as_str()), ("sec-fetch-mode", "navigate"), more];
        let answer = moved.asks(method, "/account/resume", &headers).await;
        assert_eq!((location(&answer), set_by(&answer, "handstamp_session")), ("/account/login".to_owned(), None));
    }
    assert!(resumes(&moved.opens("/", &former).await), "the home page");
    assert_eq!(moved.opens("/account/login", &former).await.status(), StatusCode::OK, "the sign-in page stays");
    assert!(moved.exchanges(&former).await.is_some());
    let refused = moved.opens("/account/resume", &former).await;
    assert!(removes(&refused, "connect.sid"));
    let marked = format!("{former}; handstamp_exchanged={}", set_by(&refused, "handstamp_exchanged").unwrap());
    assert!(!resumes(&moved.opens("/account", &marked).await), "a browser that keeps the cookie");
}

#[tokio::test]
async fn cookies_that_are_none_of_the_framework_are_left_alone() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    for other in ["connect.sid=theirs", "connect.sid=s%3Afirst.AAAA", &express("never-stored")] {
        let answer = moved.opens("/account/resume", other).await;
        assert!(!removes(&answer, "connect.sid"), "{other}");
        assert_eq!(location(&answer), "/account/login");
    }
    let off = TestSite::at("http://localhost").await;
    let answer = off.opens("/account/resume", "").await;
    assert_eq!(location(&answer), "/account/login");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_leaves_the_session_for_later() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    let folder = moved.former.path();
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside).unwrap();
    let answer = moved.opens("/account/resume", &former).await;
    assert_eq!((location(&answer), removes(&answer, "connect.sid")), ("/account/login".to_owned(), false));
    assert_eq!(set_by(&answer, "handstamp_exchanged"), None);
    fs::rename(&aside, folder).unwrap();
    assert!(moved.exchanges(&former).await.is_some());
}

#[tokio::test]
async fn the_proxies_lead_a_former_session_to_its_exchange() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let former = moved.stored("first", "42");
    let base = [("cookie", former.as_str()), ("sec-fetch-mode", "navigate")];
    for (path, status) in [("/auth/request", 401), ("/auth/forward", 302), ("/auth/envoy/notes", 302)] {
        let answer = moved.asks("GET", path, &base).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert!(
            location(&answer).starts_with("http://localhost/account/resume?next="),
            "{path}: {}",
            location(&answer)
        );
    }
    let everybody = moved.asks("GET", "/auth/forward?access=everybody", &base).await;
    assert!(location(&everybody).starts_with("http://localhost/account/resume"));
    let elsewhere = [base[0], base[1], ("x-forwarded-host", "blog.example")];
    assert_eq!(moved.asks("GET", "/auth/forward?access=everybody", &elsewhere).await.status(), StatusCode::OK);
    let fetch = [("cookie", former.as_str()), ("sec-fetch-mode", "cors")];
    assert_eq!(moved.asks("GET", "/auth/forward?access=everybody", &fetch).await.status(), StatusCode::OK);
    let nginx = moved.asks("GET", "/auth/request", &fetch).await;
    assert!(location(&nginx).contains("/account/login"));
}

#[tokio::test]
async fn an_application_exchanges_and_signs_out_former_sessions() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let leave = async |axum::extract::State(handstamp): axum::extract::State<Handstamp>, user: CurrentUser| {
        Ok::<_, Error>((handstamp.sign_out(&user).await?, "bye"))
    };
    let app = Router::new().route("/leave", get(leave)).with_state(moved.here.handstamp.clone());
    let (former, second) = (moved.stored("first", "42"), moved.stored("second", "42"));
    let ask = async |cookies: &str| {
        let request = Request::get("/leave").header("host", "localhost").header("sec-fetch-mode", "navigate");
        app.clone().oneshot(request.header("cookie", cookies).body(Body::empty()).unwrap()).await.unwrap()
    };
    assert_eq!(location(&ask(&former).await), "/account/resume?next=%2Fleave");
    let session = moved.exchanges(&former).await.unwrap();
    let answer = ask(&format!("{session}; {second}")).await;
    assert!(answer.status() == StatusCode::OK && removes(&answer, "connect.sid"));
    assert!(!moved.is_signed_in(&session).await);
    assert_eq!(moved.refusal(&second).await, "used");
}

#[tokio::test]
async fn a_return_url_of_the_exchange_leads_to_this_site_only() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    let answer = moved.opens("/account/resume?next=https%3A%2F%2Fevil.example%2F", &moved.stored("first", "42")).await;
    assert_eq!(location(&answer), "/account");
    let refused = moved.opens("/account/resume?next=%2F%2Fevil.example", &moved.stored("first", "42")).await;
    assert_eq!(location(&refused), "/account/login");
}

#[tokio::test]
async fn digests_are_kept_beyond_the_window() {
    let moved = Moved::from(LegacyKind::ExpressSession, |_| ()).await;
    assert!(moved.exchanges(&moved.stored("first", "42")).await.is_some());
    let services = &moved.here.handstamp.0.site.services;
    let mut left = Vec::new();
    for until in [DAY * 119, DAY * 120] {
        services.store.purge_legacy_exchanges(NOW.after(until).before(DAY * 90), 10).await.unwrap();
        left.push(moved.here.count("SELECT COUNT(*) FROM legacy_exchanges").await);
    }
    assert_eq!(left, [1, 0]);
}

#[tokio::test]
async fn an_address_names_a_user_only_where_the_key_of_the_session_is_set() {
    for (user_key, outcome) in [(None, "unknown_user"), (Some("passport.user".to_owned()), "none")] {
        let moved = Moved::from(LegacyKind::ExpressSession, |config| config.legacy.user_key = user_key).await;
        assert_eq!(moved.refusal(&moved.stored("first", "\"nobody@example.com\"")).await, "unknown_user");
        assert_eq!(moved.refusal(&moved.stored("second", "\"ADA@example.com\"")).await, outcome);
    }
}

#[tokio::test]
async fn a_session_of_flask_security_names_its_user_by_the_session_key() {
    // Flask-Security has made this cookie.
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../handstamp-core/tests/legacy_cookies/flask_cookies.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(cases).unwrap()).unwrap();
    let case = cases.iter().find(|case| case["name"] == "flask-login-remember: Flask-Security").unwrap();
    let secret = LegacySecret::new(case["settings"]["secrets"][0].as_str().unwrap().as_bytes()).unwrap();
    let moved = Moved::from(LegacyKind::FlaskLoginRemember, |config| {
        config.legacy.secrets = vec![secret];
        config.legacy.user_key = Some("fs_uniquifier".to_owned());
    })
    .await;
    let cookie = format!("remember_token={}", case["cookie"].as_str().unwrap());
    assert_eq!(moved.refusal(&cookie).await, "unknown_user");
    let legacy_session_key = case["expect"]["user"]["fs_uniquifier"].as_str().unwrap();
    let fields = ImportFields { email: "carol@example.com", legacy_session_key, ..ImportFields::default() };
    let mut import = moved.here.handstamp.users().import(false);
    let carol = import.parser().parse(&fields).unwrap();
    import.batch(&mut [carol]).await.unwrap();
    let session = moved.exchanges(&cookie).await.unwrap();
    let found = text(moved.asks("GET", "/account/api/v1/session", &[("cookie", &session)]).await).await;
    assert!(found.contains("carol@example.com"), "{found}");
}

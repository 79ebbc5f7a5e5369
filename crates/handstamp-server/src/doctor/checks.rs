//! The checks of the doctor: attacks that must fail and uses that must work.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{COOKIE, DATE};
use axum::http::{Request, Uri};
use handstamp::environment::{Clock, SystemClock};
use handstamp::{Handstamp, UserId};
use tower_service::Service;

use super::Outcome::{self, Fail, Pass, Unknown};
use super::browser::{self, Answer, Browser};
use super::{ADDRESS, CheckResult, FORGED, Finding, app, clock};
use crate::cli::PassFlags;
use crate::proxy_config::Access;

/// More than nginx accepts by default.
const LONG_POST_BYTES: usize = 2 * 1024 * 1024;
const FORGED_HOST: &str = "forged-by-the-doctor.example";
const FORGED_USER: &str = "forged-by-the-doctor-too";
const IDENTITY: [&str; 5] = ["remote-user", "remote-name", "remote-email", "remote-groups", "handstamp-assertion"];
/// An address that is reserved for documentation (RFC 5737).
const FORGED_ADDRESS: &str = "203.0.113.77";
/// A loopback address that no other client uses.
const LOCAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
const NOT_LOOKED_AROUND: &str = "Requests that go around the proxy are not visible at this URL. Give --app the URL at which the app itself listens, as other machines reach it.";
/// Spellings that CGI and WSGI treat as X-Forwarded-Host and the like.
const FORWARDED_WITH_UNDERSCORES: [&str; 11] = [
    "x_forwarded_for",
    "x_forwarded_host",
    "x-forwarded_host",
    "x_forwarded-host",
    "x_forwarded_method",
    "x_forwarded_port",
    "x_forwarded_prefix",
    "x_forwarded_proto",
    "x_forwarded_server",
    "x_forwarded_uri",
    "x_real-ip",
];

/// The target of the checks, and the doctor's credentials there.
pub(super) struct Target<'a> {
    pub(super) handstamp: &'a Handstamp,
    /// The user of the doctor.
    pub(super) user: UserId,
    pub(super) browser: &'a Browser,
    /// A page of the app.
    pub(super) path: String,
    /// The requests that the proxy is meant to pass.
    pub(super) pass: PassFlags,
    /// Handstamp stands in front of the app, and no other proxy asks it.
    pub(super) in_front: bool,
    pub(super) password: String,
}

/// The result of a sign-in: the session cookie in the form of a Cookie header, and the response.
struct SignedIn {
    cookie: String,
    answer: Answer,
}

const NAVIGATION: (&str, &str) = ("sec-fetch-mode", "navigate");
const PROGRAM: (&str, &str) = ("sec-fetch-mode", "cors");

impl Target<'_> {
    pub(super) async fn findings(&self, app: Option<&Uri>) -> CheckResult<Vec<Finding>> {
        let mut findings = vec![self.anonymous_request().await?];
        findings.push(("the clocks of the site and of this machine agree", self.clocks().await?));
        if self.pass.access == Access::Members {
            findings.push(("an anonymous browser is sent to sign in and back", self.anonymous_navigation().await?));
        }
        findings.push(("the account pages have their security headers", self.headers_of_pages().await?));
        let member = self.signs_in(&[], "").await?;
        let Some(member) = member else {
            let remedy = "Signing in at this URL fails. Let the proxy forward /account and /account/… to Handstamp with the Host header, and set public_url to the URL that browsers use.";
            findings.push(("signing in works", Fail(remedy.to_owned())));
            return Ok(findings);
        };
        let page = self.page(&member.cookie, &[]).await?;
        let shows = page.body.contains(ADDRESS);
        let assertion = self.assertion(&member.cookie).await;
        findings.extend([
            ("signing in works", Pass),
            ("the session cookie has all attributes", self.attributes(&member.answer)),
            (
                "a signed-in request reaches the app",
                self.signed_in_request(&member.cookie, &page, shows, assertion.as_deref()).await?,
            ),
            ("a sign-in does not redirect to another site", self.a_sign_in_with_next_elsewhere().await?),
            ("an invalid session cookie is rejected", self.invalid_cookies(&member.cookie, shows).await?),
            ("forged identity headers grant no access", self.forged_identity_without_session(shows).await?),
            ("forged identity headers do not reach the app", self.forged_identity(&member.cookie, shows).await?),
            ("a client cannot remove identity headers", self.hop_by_hop(&member.cookie, shows).await?),
            ("the session cookie does not reach the app", self.our_cookie(&page, &member.cookie, shows)),
            ("forged X-Forwarded-… headers have no effect", self.forged_forwarding(&member.cookie, shows).await?),
            ("a forged host has no effect", self.forged_host(&member.cookie).await?),
            ("a forged client address is ignored", self.forged_address().await?),
            ("the address of a client is known", self.client_address().await?),
            ("browsers cannot send authorization subrequests", self.subrequests_of_browsers(&member.cookie).await?),
            ("the well-known URL for changing a password is served", self.well_known().await?),
            ("a large POST body is accepted", self.long_post(&member.cookie).await?),
            self.a_preflight(&member.cookie).await?,
        ]);
        if self.in_front {
            let writes = self.writes_of_other_sites(&member.cookie).await?;
            findings.push(("writes of other sites do not reach the app", writes));
        }
        let signed_out = self.signs_out(&member.cookie, shows).await?;
        let around = match app {
            Some(app) => app::around_the_proxy(app, assertion.as_deref()).await,
            None => Unknown(NOT_LOOKED_AROUND.to_owned()),
        };
        findings.extend([
            ("a session cookie is rejected after sign-out", signed_out),
            ("the app is reachable only through the proxy", around),
        ]);
        Ok(findings)
    }

    /// Whether this response is one to an anonymous client; where those reach the app, as far as the page shows.
    fn is_anonymous(&self, answer: &Answer) -> bool {
        answer.keeps_out()
            || self.pass.access == Access::Everybody && !answer.body.contains(ADDRESS) && !answer.body.contains(FORGED)
    }

    /// The assertion that the app gets about this user, directly from Handstamp.
    async fn assertion(&self, cookie: &str) -> Option<String> {
        let request = Request::get("/auth/request")
            .header(COOKIE, cookie)
            .header("x-forwarded-proto", self.browser.scheme())
            .header("x-forwarded-host", self.browser.authority())
            .extension(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let answer = self.handstamp.standalone_router().call(request.body(Body::empty()).ok()?).await.ok()?;
        answer.headers().get("handstamp-assertion")?.to_str().ok().map(str::to_owned)
    }

    async fn page(&self, cookie: &str, extra: &browser::Extra<'_>) -> CheckResult<Answer> {
        self.browser.get(&self.path, cookie, extra).await
    }

    async fn signs_in(&self, extra: &browser::Extra<'_>, next: &str) -> CheckResult<Option<SignedIn>> {
        self.signs_in_with(self.browser, extra, next).await
    }

    async fn signs_in_with(
        &self,
        browser: &Browser,
        extra: &browser::Extra<'_>,
        next: &str,
    ) -> CheckResult<Option<SignedIn>> {
        let fields = [("email", ADDRESS), ("password", &self.password), ("remember", "on"), ("next", next)];
        let answer = browser.submit("/account/login", "", extra, &fields).await?;
        let ours = |cookie: &str| cookie.split(';').next().filter(|pair| is_session_cookie(pair)).map(str::to_owned);
        let cookie = answer.set_cookies().find_map(ours).filter(|_| answer.status == 303);
        Ok(cookie.map(|cookie| SignedIn { cookie, answer }))
    }

    async fn anonymous_request(&self) -> CheckResult<(&'static str, Outcome)> {
        let answer = self.page("", &[PROGRAM]).await?;
        Ok(match self.pass.access {
            Access::Members => {
                let remedy = format!(
                    "{} answers an anonymous client with {}. Let the proxy ask Handstamp before it forwards a request.",
                    self.path, answer.status
                );
                ("an anonymous request is rejected", Outcome::bad_if(!answer.keeps_out(), &remedy))
            }
            Access::Everybody => {
                let remedy = format!(
                    "{} answers an anonymous client with {}. Let the proxy ask with access=everybody, and give the URL of a page of the app that is open to everybody.",
                    self.path, answer.status
                );
                let reaches_the_app = !answer.keeps_out() && self.is_anonymous(&answer);
                ("an anonymous request reaches the app without an identity", Outcome::bad_if(!reaches_the_app, &remedy))
            }
        })
    }

    async fn signed_in_request(
        &self,
        cookie: &str,
        page: &Answer,
        shows: bool,
        assertion: Option<&str>,
    ) -> CheckResult<Outcome> {
        if !page.keeps_out() {
            return Ok(self.good_if_seen(shows));
        }
        let navigating = self.page(cookie, &[NAVIGATION, ("accept", "text/html")]).await?;
        if page.refuses() && navigating.leads_to_sign_in() {
            return Ok(Fail("A signed-in request does not reach the app. Let the proxy send the Cookie header with its authorization subrequest.".to_owned()));
        }
        // A proxy that rejects anonymous clients redirects navigations to the sign-in page, and answers 401 to other requests.
        let claims = assertion.and_then(app::claims).unwrap_or_default();
        let said = |claim: &str| claims[claim].as_str().unwrap_or_default().to_owned();
        Ok(Fail(format!(
            "{} answers a signed-in user with {}, although Handstamp allows the request. Probably the app rejects the assertion: it must expect exactly the audience {} and the issuer {}, and the keys of this Handstamp. If the proxy requires a group: the doctor's user is in none.",
            self.path,
            navigating.status,
            said("aud"),
            said("iss"),
        )))
    }

    async fn anonymous_navigation(&self) -> CheckResult<Outcome> {
        let answer = self.page("", &[NAVIGATION, ("accept", "text/html")]).await?;
        let remedy = "An anonymous browser is not redirected to /account/login with a return URL. Let the proxy describe the original request in X-Forwarded-Proto, -Host, -Uri and -Method, and pass on Handstamp's redirect.";
        Ok(Outcome::bad_if(!answer.leads_to_sign_in() || !answer.location().contains("next="), remedy))
    }

    async fn clocks(&self) -> CheckResult<Outcome> {
        let answer = self.browser.get("/account/login", "", &[NAVIGATION]).await?;
        let now = SystemClock.wall();
        let Ok(date) = httpdate::parse_http_date(answer.header(DATE)) else {
            return Ok(Unknown("The response has no Date header.".to_owned()));
        };
        let there = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        // The header has no fraction of a second.
        let ahead =
            i64::try_from(there.as_secs()).unwrap_or(i64::MAX) - i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Ok(clock::agreement(ahead.saturating_mul(1000), "the site"))
    }

    async fn headers_of_pages(&self) -> CheckResult<Outcome> {
        let page = self.browser.get("/account/login", "", &[NAVIGATION]).await?;
        let wanted = [
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
        ];
        let missing: Vec<_> =
            wanted.iter().filter(|(name, value)| !page.header(*name).contains(value)).map(|(name, _)| *name).collect();
        let remedy = format!("These headers are missing from /account/login, or changed: {}.", missing.join(", "));
        Ok(Outcome::bad_if(!missing.is_empty(), &remedy))
    }

    fn attributes(&self, answer: &Answer) -> Outcome {
        let is_https = self.browser.origin().starts_with("https:");
        let cookie = answer.set_cookies().find(|cookie| is_session_cookie(cookie)).unwrap_or_default();
        let mut wanted = vec!["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="];
        if is_https {
            wanted.extend(["Secure", "__"]);
        }
        let missing: Vec<_> = wanted.into_iter().filter(|attribute| !cookie.contains(attribute)).collect();
        let remedy = format!(
            "The session cookie lacks {}. Check that public_url is https and that the proxy does not change Set-Cookie.",
            missing.join(", ")
        );
        Outcome::bad_if(!missing.is_empty(), &remedy)
    }

    async fn a_sign_in_with_next_elsewhere(&self) -> CheckResult<Outcome> {
        for next in [format!("https://{FORGED_HOST}/"), format!("//{FORGED_HOST}/"), format!("/\\{FORGED_HOST}/")] {
            let answer = self.signs_in(&[], &next).await?.map(|signed_in| signed_in.answer);
            if answer.is_none_or(|answer| answer.location().contains(FORGED_HOST)) {
                return Ok(Fail(format!("A sign-in with next={next} redirects there.")));
            }
        }
        Ok(Pass)
    }

    async fn invalid_cookies(&self, cookie: &str, shows: bool) -> CheckResult<Outcome> {
        let (name, token) = cookie.split_once('=').unwrap_or_default();
        let flipped = format!("{name}=B{}", token.get(1..).unwrap_or_default());
        for junk in [format!("{name}=junk"), format!("{name}="), flipped, format!("{cookie}; {cookie}")] {
            if !self.is_anonymous(&self.page(&junk, &[PROGRAM]).await?) {
                return Ok(Fail(
                    "The proxy accepts an invalid session cookie. Let it ask Handstamp about every request.".to_owned(),
                ));
            }
        }
        Ok(self.good_if_seen(shows))
    }

    async fn forged_identity_without_session(&self, shows: bool) -> CheckResult<Outcome> {
        for forged in spellings() {
            let extra: Vec<_> =
                forged.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([PROGRAM]).collect();
            if !self.is_anonymous(&self.page("", &extra).await?) {
                let remedy = format!(
                    "A request with a forged {} reaches the app. Let the proxy ask Handstamp about every request.",
                    forged[0].0
                );
                return Ok(Fail(remedy));
            }
        }
        Ok(self.good_if_seen(shows))
    }

    async fn forged_identity(&self, cookie: &str, shows: bool) -> CheckResult<Outcome> {
        for forged in spellings() {
            let extra: Vec<_> = forged.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if self.page(cookie, &extra).await?.body.contains(FORGED) {
                let (name, _) = &forged[0];
                let remedy = match name.contains('_') {
                    true => format!(
                        "{name} reaches the app, and CGI and WSGI treat it as Handstamp's header. Let the proxy remove it."
                    ),
                    false => format!(
                        "{name} reaches the app as the client sent it. Let the proxy copy it from every response of Handstamp."
                    ),
                };
                return Ok(Fail(remedy));
            }
        }
        Ok(if shows { Pass } else { self.not_observable() })
    }

    async fn hop_by_hop(&self, cookie: &str, shows: bool) -> CheckResult<Outcome> {
        let listed = "close, Remote-User, Remote-Name, Remote-Email, Remote-Groups, Handstamp-Assertion, X-Forwarded-For, X-Forwarded-Host";
        let wish = ("connection", listed);
        if !self.is_anonymous(&self.page("", &[wish, PROGRAM]).await?) {
            return Ok(Fail(
                "A Connection header that lists other headers lets an anonymous request through to the app.".to_owned(),
            ));
        }
        let answer = self.page(cookie, &[wish]).await?;
        let remedy = "A client that lists identity headers in Connection can have them removed before they reach the app. Let the proxy remove the client's Connection header first.";
        match shows {
            true => Ok(Outcome::bad_if(!answer.keeps_out() && !answer.body.contains(ADDRESS), remedy)),
            false => Ok(self.not_observable()),
        }
    }

    fn our_cookie(&self, page: &Answer, cookie: &str, shows: bool) -> Outcome {
        let token = cookie.split_once('=').map_or("", |(_, token)| token);
        let remedy = "The app gets the session cookie, so the app, its logs and an attacker who controls it can impersonate every visitor. Let the proxy copy the header Cookie from Handstamp's response.";
        match page.body.contains(token) {
            true => Fail(remedy.to_owned()),
            false if shows => Pass,
            false => self.not_observable(),
        }
    }

    async fn forged_forwarding(&self, cookie: &str, shows: bool) -> CheckResult<Outcome> {
        let forged_uri = format!("/{FORGED}");
        let mut forged = vec![
            ("x-forwarded-host", FORGED_HOST),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-uri", forged_uri.as_str()),
            ("x-forwarded-method", FORGED),
            ("forwarded", "host=forged-by-the-doctor.example"),
            ("x-real-ip", FORGED),
        ];
        forged.extend(FORWARDED_WITH_UNDERSCORES.map(|name| (name, FORGED_HOST)));
        let anonymous = self.page("", &[&forged, [NAVIGATION, ("accept", "text/html")].as_slice()].concat()).await?;
        let remedy = "X-Forwarded-… headers of a client reach Handstamp. Let the proxy set X-Forwarded-Proto, -Host, -Uri and -Method itself.";
        if !self.is_anonymous(&anonymous) || anonymous.location().contains(FORGED) {
            return Ok(Fail(remedy.to_owned()));
        }
        let member = self.page(cookie, &forged).await?;
        let remedy = "X-Forwarded-… headers of a client reach the app. Let the proxy remove them or set them itself.";
        Ok(match shows {
            _ if member.body.contains(FORGED)
                || app::audience(&member.body).is_some_and(|aud| aud != self.browser.origin()) =>
            {
                Fail(remedy.to_owned())
            }
            true => Pass,
            false => self.not_observable(),
        })
    }

    async fn forged_host(&self, cookie: &str) -> CheckResult<Outcome> {
        let host = ("host", FORGED_HOST);
        let anonymous = self.page("", &[host, NAVIGATION, ("accept", "text/html")]).await?;
        let member = self.page(cookie, &[host]).await?;
        let remedy = "Requests for any host reach the app, with an assertion for that host. Let the proxy accept only requests for your hosts: proxy-config --host NAME.";
        let reaches_the_app = member.body.contains(FORGED_HOST)
            || app::audience(&member.body).is_some_and(|aud| aud != self.browser.origin());
        let leads_there = [&anonymous, &member].iter().any(|answer| answer.location().contains(FORGED_HOST));
        Ok(Outcome::bad_if(reaches_the_app || leads_there, remedy))
    }

    async fn forged_address(&self) -> CheckResult<Outcome> {
        let forged =
            [("x-forwarded-for", FORGED_ADDRESS), ("forwarded", "for=203.0.113.77"), ("x-real-ip", FORGED_ADDRESS)];
        self.signs_in(&forged, "").await?;
        let remedy = "A client that sends X-Forwarded-For chooses the address under which its password guesses count. Let the proxy set this header itself for the account pages, and list only the proxy in trusted_proxies.";
        Ok(Outcome::bad_if(self.addresses().await?.iter().any(|address| address == FORGED_ADDRESS), remedy))
    }

    /// The addresses from which the doctor has signed in, as Handstamp knows them.
    async fn addresses(&self) -> CheckResult<Vec<String>> {
        let sessions = self.handstamp.sessions().of(self.user).await.map_err(|error| error.to_string())?;
        Ok(sessions.into_iter().map(|session| session.address).collect())
    }

    /// A proxy that is not trusted hides the addresses of all clients behind its own.
    async fn client_address(&self) -> CheckResult<Outcome> {
        let remedy = "All clients have one address for Handstamp, so they share their rate limits, and one attacker who guesses passwords keeps the others from signing in. List the proxy before Handstamp in trusted_proxies, and let it send X-Forwarded-For.";
        if !self.browser.is_local() {
            let is_loopback = |address: &String| address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            return Ok(Outcome::bad_if(self.addresses().await?.iter().any(is_loopback), remedy));
        }
        let browser = self.browser.at_address(LOCAL_ADDRESS)?;
        let local = LOCAL_ADDRESS.to_string();
        match self.signs_in_with(&browser, &[], "").await {
            Ok(_) => Ok(Outcome::bad_if(!self.addresses().await?.contains(&local), remedy)),
            Err(error) => Ok(Unknown(format!("The doctor cannot connect from {local}: {error}"))),
        }
    }

    /// In front of an app Handstamp refuses them by itself. Behind another proxy that is left to the app.
    async fn writes_of_other_sites(&self, cookie: &str) -> CheckResult<Outcome> {
        let other = [("origin", "http://forged-by-the-doctor.invalid"), ("sec-fetch-site", "cross-site")];
        let handshake = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "Zm9yZ2VkIGJ5IGRvY3RvcgA="),
        ];
        let write = self.browser.writes(&self.path, cookie, &other).await?;
        let websocket = self.browser.get(&self.path, cookie, &[other.as_slice(), &handshake].concat()).await?;
        let remedy = "Another site can make a browser send a form or open a WebSocket as the signed-in user. Set app.csrf to true, or let the app refuse them by Sec-Fetch-Site and Origin.";
        Ok(Outcome::bad_if([write, websocket].iter().any(|answer| !answer.refuses()), remedy))
    }

    async fn subrequests_of_browsers(&self, cookie: &str) -> CheckResult<Outcome> {
        for question in ["/auth/request", "/auth/forward", "/auth/envoy/"] {
            if !self.browser.get(question, cookie, &[PROGRAM]).await?.header("remote-user").is_empty() {
                return Ok(Fail(format!(
                    "{question} answers browsers, where scripts can read the app's cookies in the response. Forward only /account and /account/… to Handstamp."
                )));
            }
        }
        Ok(Pass)
    }

    async fn well_known(&self) -> CheckResult<Outcome> {
        let answer = self.browser.get("/.well-known/change-password", "", &[NAVIGATION]).await?;
        let remedy = "/.well-known/change-password, which password managers open, does not redirect to /account/password. Let the proxy forward it to Handstamp.";
        Ok(Outcome::bad_if(!answer.location().ends_with("/account/password"), remedy))
    }

    async fn long_post(&self, cookie: &str) -> CheckResult<Outcome> {
        let short = self.browser.posts(&self.path, cookie, 1).await?.status;
        let long = self.browser.posts(&self.path, cookie, LONG_POST_BYTES).await?.status;
        let why = format!(
            "A post of 2 MB to {} is answered with {long}, and a short one with {short}. Let the proxy forward long bodies, as nginx does with client_max_body_size 0 in its server block, which covers the authorization subrequest too.",
            self.path
        );
        Ok(match long.as_u16() {
            _ if long == short => Pass,
            413 => Unknown(format!("{why} The app itself may have sent this response.")),
            status => Outcome::bad_if(status >= 500, &why),
        })
    }

    async fn a_preflight(&self, cookie: &str) -> CheckResult<(&'static str, Outcome)> {
        let asking = [
            ("origin", "http://forged-by-the-doctor.invalid"),
            ("access-control-request-method", "POST"),
            ("remote-user", FORGED_USER),
            ("remote-email", FORGED_USER),
        ];
        let anonymous = self.browser.preflights(&self.path, "", &asking).await?;
        if self.pass.access == Access::Members && !self.pass.preflight {
            let remedy = "An anonymous preflight reaches the app, which may not expect it. If this is intended, pass --preflight here too.";
            return Ok(("an anonymous preflight request is rejected", Outcome::bad_if(!anonymous.keeps_out(), remedy)));
        }
        let member = self.browser.preflights(&self.path, cookie, &asking).await?;
        let check = "an anonymous preflight request reaches the app without an identity";
        if anonymous.status == 401 || anonymous.leads_to_sign_in() {
            let remedy =
                format!("A preflight is answered with {}. Let the proxy ask with preflight=pass.", anonymous.status);
            return Ok((check, Fail(remedy)));
        }
        let pretends = [asking.as_slice(), &[("x-forwarded-method", "OPTIONS"), PROGRAM]].concat();
        if self.pass.access == Access::Members && !self.page("", &pretends).await?.keeps_out() {
            let remedy = "A request that claims to be a preflight in X-Forwarded-Method reaches the app. Let the proxy set that header.";
            return Ok((check, Fail(remedy.to_owned())));
        }
        let has_forged_identity = |answer: &Answer| answer.body.contains(FORGED_USER);
        let is_member = self.pass.preflight && member.body.contains(ADDRESS);
        let remedy = "A preflight reaches the app with identity headers. Let the proxy copy the empty ones from Handstamp's response.";
        Ok((
            check,
            Outcome::bad_if(has_forged_identity(&anonymous) || has_forged_identity(&member) || is_member, remedy),
        ))
    }

    async fn signs_out(&self, cookie: &str, shows: bool) -> CheckResult<Outcome> {
        let answer = self.browser.submit("/account/logout", cookie, &[], &[]).await?;
        if answer.status != 303 {
            return Ok(Fail(format!("Signing out is answered with {}.", answer.status)));
        }
        let after = self.page(cookie, &[PROGRAM]).await?;
        let remedy =
            "The cookie of a revoked session is accepted. Check that the proxy does not cache Handstamp's responses.";
        Ok(if self.is_anonymous(&after) { self.good_if_seen(shows) } else { Fail(remedy.to_owned()) })
    }

    /// Good, unless only a page that shows the signed-in user could tell, since anonymous requests reach the app too.
    fn good_if_seen(&self, shows: bool) -> Outcome {
        if shows || self.pass.access == Access::Members { Pass } else { self.not_observable() }
    }

    /// Unknown, with the kind of page that would show the result.
    fn not_observable(&self) -> Outcome {
        Unknown(format!(
            "{} does not show that {ADDRESS} is signed in. Give the URL of a page that shows the address of the signed-in user, such as a profile, or run an app there temporarily that echoes the request headers.",
            self.path
        ))
    }
}

/// Every identity header, forged, in the spellings that programs behind proxies treat as the same.
fn spellings() -> Vec<Vec<(String, String)>> {
    let forged = |name: String| vec![(name.clone(), FORGED.to_owned()), (name, format!("{FORGED}-again"))];
    let spelled = IDENTITY.iter().flat_map(|name| [(*name).to_owned(), name.replace('-', "_")]);
    spelled.map(forged).collect()
}

/// Whether a cookie is the session cookie, whose name has a prefix on https and ends with the port on plain http.
fn is_session_cookie(cookie: &str) -> bool {
    cookie.split('=').next().is_some_and(|name| name.contains("handstamp_session"))
}

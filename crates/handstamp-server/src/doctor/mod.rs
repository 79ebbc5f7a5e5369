//! `handstamp doctor`: plays the attacker against a proxy, Handstamp and an app as they run, with an account of its own.

mod browser;

use std::io::{self, Write};

use axum::http::Uri;
use handstamp::Handstamp;
use handstamp::world::{Rng, SystemRng};
use serde_json::json;

use crate::Problem;
use crate::cli::OutputFlags;
use crate::operate::with_handstamp;
use crate::settings::Settings;
use browser::{Answer, Browser};

/// What stands in every forged header, so that it is known again where it turns up.
const FORGED: &str = "forged-by-the-doctor";
const FORGED_HOST: &str = "forged-by-the-doctor.example";
/// An address that nobody has (RFC 5737).
const FORGED_ADDRESS: &str = "203.0.113.77";

const IDENTITY: [&str; 5] = ["remote-user", "remote-name", "remote-email", "remote-groups", "handstamp-assertion"];

/// How an attack went, and what to mend.
enum Finding {
    Good,
    Bad(String),
    /// Nobody can tell from here, and why.
    Unknown(String),
}

use Finding::{Bad, Good, Unknown};

impl Finding {
    fn bad_if(is_bad: bool, mend: &str) -> Self {
        if is_bad { Bad(mend.to_owned()) } else { Good }
    }
}

/// What could not even be tried.
type Tried<T> = Result<T, String>;

/// Examines the chain that a URL leads through.
pub(crate) fn examine(settings: Settings, url: &str, app: Option<&str>, output: OutputFlags) -> Result<(), Problem> {
    let url: Uri = url.parse().map_err(|error| Problem::wrong(format!("{url}: {error}")))?;
    let app = app.map(str::parse::<Uri>).transpose().map_err(|error| Problem::wrong(format!("--app: {error}")))?;
    let browser = Browser::new(&url).map_err(|error| Problem::wrong(format!("{url}: {error}")))?;
    with_handstamp(settings, async |handstamp| {
        let mut random = [0; 16];
        SystemRng.fill(&mut random);
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let email = format!("doctor-{}@handstamp.invalid", &name[..16]);
        handstamp.add_user("The doctor of Handstamp", &email, &name).await?;
        let patient = Patient { handstamp, browser, path: path_of(&url), email, password: name };
        let findings = tokio::select! {
            findings = patient.findings(app.as_ref()) => findings.map_err(Problem::failed),
            _ = tokio::signal::ctrl_c() => Err(Problem::failed("interrupted")),
        };
        handstamp.delete_user(&patient.email).await?;
        tell(&findings?, output)
    })
}

fn path_of(url: &Uri) -> String {
    url.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned())
}

fn tell(findings: &[(&str, Finding)], output: OutputFlags) -> Result<(), Problem> {
    let bad = findings.iter().filter(|(_, finding)| matches!(finding, Bad(_))).count();
    print(findings, output).map_err(Problem::failed)?;
    match bad {
        0 => Ok(()),
        1 => Err(Problem::failed("one check failed")),
        _ => Err(Problem::failed(format!("{bad} checks failed"))),
    }
}

fn print(findings: &[(&str, Finding)], output: OutputFlags) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let told = findings.iter().map(|(check, finding)| match finding {
        Good => (check, "ok", None),
        Bad(mend) => (check, "FAIL", Some(mend)),
        Unknown(why) => (check, "?", Some(why)),
    });
    if output.json {
        let lines: Vec<_> =
            told.map(|(check, result, why)| json!({ "check": check, "result": result, "why": why })).collect();
        return writeln!(out, "{:#}", json!(lines));
    }
    for (check, result, why) in told {
        writeln!(out, "{result:<5} {check}")?;
        if let Some(why) = why {
            writeln!(out, "      {why}")?;
        }
    }
    Ok(())
}

/// What is examined, and by whom.
struct Patient<'a> {
    handstamp: &'a Handstamp,
    browser: Browser,
    /// A page of the app that only members see.
    path: String,
    email: String,
    password: String,
}

/// The session cookie of somebody who has just signed in, as it is sent back.
struct SignedIn {
    cookie: String,
    answer: Answer,
}

const NAVIGATION: (&str, &str) = ("sec-fetch-mode", "navigate");
const PROGRAM: (&str, &str) = ("sec-fetch-mode", "cors");

impl Patient<'_> {
    async fn findings(&self, app: Option<&Uri>) -> Tried<Vec<(&'static str, Finding)>> {
        let mut findings = vec![
            ("a stranger is kept out", self.a_stranger().await?),
            ("a stranger is sent to sign in, and back", self.a_stranger_who_navigates().await?),
            ("the account pages say what browsers must not do", self.headers_of_pages().await?),
        ];
        let member = self.signs_in(&[], "").await?;
        let Some(member) = member else {
            let mend = "Nobody can sign in by this URL. Let the proxy pass /account and /account/… on to Handstamp, with the Host header, and see that public_url is what people type.";
            findings.push(("somebody can sign in", Bad(mend.to_owned())));
            return Ok(findings);
        };
        let page = self.page(&member.cookie, &[]).await?;
        let shows = page.body.contains(&self.email);
        findings.extend([
            ("somebody can sign in", Good),
            ("the session cookie has all its attributes", self.attributes(&member.answer)),
            ("who is signed in gets through", Finding::bad_if(page.keeps_out(), "A signed-in request is kept from the app: let the proxy send the Cookie header along with its question.")),
            ("a sign-in leads to no other site", self.a_sign_in_with_next_elsewhere().await?),
            ("a cookie of junk opens nothing", self.cookies_of_junk(&member.cookie).await?),
            ("forged identity headers open nothing", self.forged_identity_of_a_stranger().await?),
            ("forged identity headers do not reach the app", self.forged_identity(&member.cookie, shows).await?),
            ("a client cannot have identity headers taken out", self.hop_by_hop(&member.cookie, shows).await?),
            ("the session cookie does not reach the app", self.our_cookie(&page, &member.cookie, shows)),
            ("forged X-Forwarded-… headers lead nowhere", self.forged_forwarding(&member.cookie, shows).await?),
            ("a forged address is not believed", self.forged_address().await?),
            ("the proxy's questions are not for browsers", self.questions(&member.cookie).await?),
            ("a signed-out cookie opens nothing", self.signs_out(&member.cookie).await?),
        ]);
        if let Some(app) = app {
            findings.push(("the app is not reached around the proxy", around_the_proxy(app, &self.email).await));
        }
        Ok(findings)
    }

    async fn page(&self, cookie: &str, extra: &browser::Extra<'_>) -> Tried<Answer> {
        self.browser.get(&self.path, cookie, extra).await
    }

    async fn signs_in(&self, extra: &browser::Extra<'_>, next: &str) -> Tried<Option<SignedIn>> {
        let fields = [("email", self.email.as_str()), ("password", &self.password), ("remember", "on"), ("next", next)];
        let answer = self.browser.submit("/account/login", "", extra, &fields).await?;
        let ours = |cookie: &str| cookie.split(';').next().filter(|pair| is_session_cookie(pair)).map(str::to_owned);
        let cookie = answer.set_cookies().find_map(ours).filter(|_| answer.status == 303);
        Ok(cookie.map(|cookie| SignedIn { cookie, answer }))
    }

    async fn a_stranger(&self) -> Tried<Finding> {
        let answer = self.page("", &[PROGRAM]).await?;
        let mend = format!(
            "{} is answered {} to a stranger. Let the proxy ask Handstamp before it passes anything on.",
            self.path, answer.status
        );
        Ok(Finding::bad_if(!answer.keeps_out(), &mend))
    }

    async fn a_stranger_who_navigates(&self) -> Tried<Finding> {
        let answer = self.page("", &[NAVIGATION, ("accept", "text/html")]).await?;
        let mend = "A stranger's browser is not sent to /account/login with the page to come back to. Let the proxy tell in X-Forwarded-Proto, -Host, -Uri and -Method what was asked, and hand Handstamp's redirect on.";
        Ok(Finding::bad_if(!answer.leads_to_sign_in() || !answer.location().contains("next="), mend))
    }

    async fn headers_of_pages(&self) -> Tried<Finding> {
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
        let mend = format!("These headers are missing from /account/login, or changed: {}.", missing.join(", "));
        Ok(Finding::bad_if(!missing.is_empty(), &mend))
    }

    fn attributes(&self, answer: &Answer) -> Finding {
        let is_https = self.browser.origin().starts_with("https:");
        let cookie = answer.set_cookies().find(|cookie| is_session_cookie(cookie)).unwrap_or_default();
        let mut wanted = vec!["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="];
        if is_https {
            wanted.extend(["Secure", "__"]);
        }
        let missing: Vec<_> = wanted.into_iter().filter(|attribute| !cookie.contains(attribute)).collect();
        let mend = format!(
            "The session cookie lacks {}: is public_url https, and does the proxy leave Set-Cookie as it is?",
            missing.join(", ")
        );
        Finding::bad_if(!missing.is_empty(), &mend)
    }

    async fn a_sign_in_with_next_elsewhere(&self) -> Tried<Finding> {
        for next in [format!("https://{FORGED_HOST}/"), format!("//{FORGED_HOST}/"), format!("/\\{FORGED_HOST}/")] {
            let answer = self.signs_in(&[], &next).await?.map(|signed_in| signed_in.answer);
            if answer.is_none_or(|answer| answer.location().contains(FORGED_HOST)) {
                return Ok(Bad(format!("After a sign-in with next={next} people are sent there.")));
            }
        }
        Ok(Good)
    }

    async fn cookies_of_junk(&self, cookie: &str) -> Tried<Finding> {
        let (name, token) = cookie.split_once('=').unwrap_or_default();
        let flipped = format!("{name}=B{}", token.get(1..).unwrap_or_default());
        for junk in [format!("{name}=junk"), format!("{name}="), flipped, format!("{cookie}; {cookie}")] {
            if !self.page(&junk, &[PROGRAM]).await?.keeps_out() {
                return Ok(Bad(
                    "The proxy lets a cookie pass that is not a session: let it ask Handstamp about every request."
                        .to_owned(),
                ));
            }
        }
        Ok(Good)
    }

    async fn forged_identity_of_a_stranger(&self) -> Tried<Finding> {
        for forged in spellings() {
            let extra: Vec<_> =
                forged.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([PROGRAM]).collect();
            if !self.page("", &extra).await?.keeps_out() {
                let mend = format!(
                    "Whoever sends {} is let in. Let the proxy ask Handstamp about every request.",
                    forged[0].0
                );
                return Ok(Bad(mend));
            }
        }
        Ok(Good)
    }

    async fn forged_identity(&self, cookie: &str, shows: bool) -> Tried<Finding> {
        for forged in spellings() {
            let extra: Vec<_> = forged.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if self.page(cookie, &extra).await?.body.contains(FORGED) {
                let (name, _) = &forged[0];
                let mend = match name.contains('_') {
                    true => format!(
                        "{name} reaches the app, and CGI and WSGI take it for Handstamp's own. Let the proxy drop it."
                    ),
                    false => format!(
                        "{name} reaches the app as the client sent it. Let the proxy copy it from every answer of Handstamp."
                    ),
                };
                return Ok(Bad(mend));
            }
        }
        Ok(if shows { Good } else { unseen() })
    }

    async fn hop_by_hop(&self, cookie: &str, shows: bool) -> Tried<Finding> {
        let listed = "close, Remote-User, Remote-Name, Remote-Email, Remote-Groups, Handstamp-Assertion, X-Forwarded-For, X-Forwarded-Host";
        let wish = ("connection", listed);
        if !self.page("", &[wish, PROGRAM]).await?.keeps_out() {
            return Ok(Bad("A Connection header that lists others lets a stranger in.".to_owned()));
        }
        let answer = self.page(cookie, &[wish]).await?;
        let mend = "A client that lists identity headers in Connection has them taken out before the app sees them. Let the proxy remove the client's Connection header first.";
        match shows {
            true => Ok(Finding::bad_if(!answer.keeps_out() && !answer.body.contains(&self.email), mend)),
            false => Ok(unseen()),
        }
    }

    fn our_cookie(&self, page: &Answer, cookie: &str, shows: bool) -> Finding {
        let token = cookie.split_once('=').map_or("", |(_, token)| token);
        let mend = "The app gets the session cookie, with which it, its logs and whoever breaks into it can be anybody who visits. Let the proxy copy the header Cookie from Handstamp's answer.";
        match page.body.contains(token) {
            true => Bad(mend.to_owned()),
            false if shows => Good,
            false => unseen(),
        }
    }

    async fn forged_forwarding(&self, cookie: &str, shows: bool) -> Tried<Finding> {
        let forged_uri = format!("/{FORGED}");
        let forged = [
            ("x-forwarded-host", FORGED_HOST),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-uri", forged_uri.as_str()),
            ("x-forwarded-method", FORGED),
            ("forwarded", "host=forged-by-the-doctor.example"),
            ("x_forwarded_host", FORGED_HOST),
            ("x-real-ip", FORGED),
        ];
        let stranger = self.page("", &[&forged, [NAVIGATION, ("accept", "text/html")].as_slice()].concat()).await?;
        let mend = "X-Forwarded-… headers of a client reach Handstamp. Let the proxy write X-Forwarded-Proto, -Host, -Uri and -Method itself.";
        if !stranger.keeps_out() || stranger.location().contains(FORGED) {
            return Ok(Bad(mend.to_owned()));
        }
        let member = self.page(cookie, &forged).await?;
        let mend = "X-Forwarded-… headers of a client reach the app. Let the proxy remove them, or write them itself.";
        Ok(match shows {
            _ if member.body.contains(FORGED)
                || audience(&member.body).is_some_and(|aud| aud != self.browser.origin()) =>
            {
                Bad(mend.to_owned())
            }
            true => Good,
            false => unseen(),
        })
    }

    async fn forged_address(&self) -> Tried<Finding> {
        let forged =
            [("x-forwarded-for", FORGED_ADDRESS), ("forwarded", "for=203.0.113.77"), ("x-real-ip", FORGED_ADDRESS)];
        self.signs_in(&forged, "").await?;
        let sessions = self.handstamp.sessions(&self.email).await.map_err(|error| error.to_string())?;
        let mend = "Whoever sends X-Forwarded-For counts as whom they like when they guess passwords. Let the proxy write it itself before the account pages, and name only the proxy in trusted_proxies.";
        Ok(Finding::bad_if(sessions.iter().any(|session| session.address == FORGED_ADDRESS), mend))
    }

    async fn questions(&self, cookie: &str) -> Tried<Finding> {
        for question in ["/auth/request", "/auth/forward", "/auth/envoy/"] {
            if !self.browser.get(question, cookie, &[PROGRAM]).await?.header("remote-user").is_empty() {
                return Ok(Bad(format!(
                    "{question} is answered to browsers, where scripts can read the cookies of the app in it. Pass only /account and /account/… on."
                )));
            }
        }
        Ok(Good)
    }

    async fn signs_out(&self, cookie: &str) -> Tried<Finding> {
        let answer = self.browser.submit("/account/logout", cookie, &[], &[]).await?;
        if answer.status != 303 {
            return Ok(Bad(format!("Signing out is answered {}.", answer.status)));
        }
        let after = self.page(cookie, &[PROGRAM]).await?;
        let mend = "The cookie of a session that has ended is let through: does the proxy keep Handstamp's answers in a cache?";
        Ok(Finding::bad_if(!after.keeps_out(), mend))
    }
}

/// Every identity header, forged, in the spellings that programs behind proxies take for the same.
fn spellings() -> Vec<Vec<(String, String)>> {
    let forged = |name: String| vec![(name.clone(), FORGED.to_owned()), (name, format!("{FORGED}-again"))];
    let spelled = IDENTITY.iter().flat_map(|name| [(*name).to_owned(), name.replace('-', "_")]);
    spelled.map(forged).collect()
}

fn unseen() -> Finding {
    Unknown("This page does not show who is signed in. Give the URL of one that shows the address of whoever looks at it, or put an app there for a moment that shows the headers it gets.".to_owned())
}

/// The audience of an assertion, if the page shows one.
fn audience(page: &str) -> Option<String> {
    let tokens = page.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'));
    let claims = tokens.filter(|text| text.starts_with("eyJ")).find_map(|token| token.split('.').nth(1))?;
    let claims = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["aud"].as_str().map(str::to_owned)
}

/// Asks the app itself, as if the proxy had said who this is.
async fn around_the_proxy(app: &Uri, email: &str) -> Finding {
    let forged = [("remote-user", FORGED), ("remote-name", FORGED), ("remote-email", email), ("remote-groups", FORGED)];
    let Ok(browser) = Browser::new(app) else {
        return Bad("--app must be a URL that begins with http:// or https://".to_owned());
    };
    match browser.get(&path_of(app), "", &forged).await {
        Err(_) => Good,
        Ok(answer) => Finding::bad_if(
            !answer.keeps_out(),
            "The app believes whoever reaches it, and can be reached without the proxy. Let it listen where only the proxy gets to, or verify Handstamp-Assertion.",
        ),
    }
}

/// Whether a cookie is that of the session, which has a prefix on https and on plain http the port after its name.
fn is_session_cookie(cookie: &str) -> bool {
    cookie.split('=').next().is_some_and(|name| name.contains("handstamp_session"))
}

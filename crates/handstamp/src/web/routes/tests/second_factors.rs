//! Tests of second factors by requests: setting one up, signing in with it, confirming with it, and what the site requires.

use axum::http::HeaderMap;
use handstamp_core::TotpSecret;

use super::*;
use crate::config::SecondFactorRequired;
use crate::services::SentMail;

pub(super) const PASSWORD: &str = "plum-octave-harbour";
pub(super) const STEP: Duration = Duration::from_secs(30);
pub(super) const SIGN_IN: &str = "email=ada@example.com&password=plum-octave-harbour";

/// A browser, which keeps its cookies.
pub(super) struct Browser<'a> {
    pub(super) here: &'a TestSite,
    pub(super) cookies: std::cell::RefCell<std::collections::BTreeMap<String, String>>,
}

/// An answer to a browser.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl<'a> Browser<'a> {
    pub(super) fn new(here: &'a TestSite) -> Self {
        Self { here, cookies: Default::default() }
    }

    pub(super) async fn answer(&self, request: axum::http::request::Builder, body: String) -> Answer {
        let cookies: Vec<_> = self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("host", "localhost").header("sec-fetch-site", "same-origin");
        let request = request.header("cookie", cookies.join("; "));
        let answered = self.here.send(request.body(Body::from(body)).unwrap()).await;
        for cookie in answered.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (answered.status().as_u16(), answered.headers().clone());
        let location = headers.get(header::LOCATION).map_or("", |to| to.to_str().unwrap()).to_owned();
        Answer { status, location, headers, text: text(answered).await }
    }

    pub(super) async fn opens(&self, path: &str) -> Answer {
        self.answer(Request::get(path).header("accept", "text/html"), String::new()).await
    }

    pub(super) async fn submits(&self, path: &str, fields: &str) -> Answer {
        let request = Request::post(path).header("accept", "text/html").header("sec-fetch-mode", "navigate");
        self.answer(request.header("content-type", "application/x-www-form-urlencoded"), fields.to_owned()).await
    }

    pub(super) async fn posts(&self, path: &str, json: &str) -> Answer {
        self.answer(Request::post(path).header("content-type", "application/json"), json.to_owned()).await
    }

    /// The browser with the cookies that it has now.
    fn copy(&self) -> Self {
        Self { here: self.here, cookies: self.cookies.clone() }
    }

    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.cookie("handstamp_session").is_some()
    }

    /// Registers Ada, or signs her in with her password.
    pub(super) async fn registers(&self) {
        let fields = "name=Ada&email=ada@example.com&password=plum-octave-harbour";
        assert_eq!(self.submits("/account/register", fields).await.status, 303);
    }

    /// Sets up an app as its user does, and returns its secret and the recovery codes.
    pub(super) async fn sets_up(&self) -> (TotpSecret, Vec<String>) {
        let page = self.opens("/account/totp").await;
        assert_eq!(page.status, 200, "{}", page.location);
        let secret = secret_of(&page.text);
        let code = secret.code_at(self.now());
        let codes = self.submits("/account/totp", &format!("code={code}")).await;
        assert_eq!(codes.status, 200, "{}", codes.text);
        (secret, codes_of(&codes.text))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.here.handstamp.0.site.services.sessions.now()
    }
}

/// The secret that a page shows for users who type it.
fn secret_of(page: &str) -> TotpSecret {
    let shown = page.split("<code class=\"secret\">").nth(1).unwrap().split('<').next().unwrap();
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for character in shown.bytes().filter(|byte| *byte != b' ') {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|byte| *byte == character).unwrap();
        (bits, count) = (bits << 5 | value as u32, count + 5);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    TotpSecret::from_bytes(bytes.try_into().unwrap())
}

pub(super) fn codes_of(page: &str) -> Vec<String> {
    page.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// A site with Ada, her browser with the app set up, the secret and the recovery codes. The code of this step is used.
pub(super) async fn with_app(here: &TestSite) -> (Browser<'_>, TotpSecret, Vec<String>) {
    let browser = Browser::new(here);
    browser.registers().await;
    let (secret, codes) = browser.sets_up().await;
    (browser, secret, codes)
}

/// The next mail of this template.
pub(super) async fn next_mail(here: &TestSite, template: &str) -> SentMail {
    loop {
        let mail = here.handstamp.0.site.services.next_mail().await.expect("there is such a mail");
        if let Some(mail) = mail.filter(|mail| mail.template == template) {
            return mail;
        }
    }
}

/// The claims of the session in an assertion.
pub(super) async fn claims(browser: &Browser<'_>) -> serde_json::Value {
    assertion_of(browser.here, &browser.cookie("handstamp_session").unwrap()).await.1
}

#[tokio::test]
async fn an_app_is_set_up_by_its_code_and_gives_ten_recovery_codes_and_level_2() {
    let here = TestSite::at("http://localhost").await;
    let browser = Browser::new(&here);
    browser.registers().await;
    let before = claims(&browser).await;
    assert_eq!((&before["acr"], &before["amr"]), (&"1".into(), &serde_json::json!(["pwd"])));
    let other = Browser::new(&here);
    other.submits("/account/login", SIGN_IN).await;

    let page = browser.opens("/account/totp").await;
    assert!(
        page.text.contains("<svg") && page.text.contains("otpauth:&#x2f;&#x2f;totp&#x2f;Handstamp:ada%40example.com?")
    );
    assert!(!page.text.contains("style="), "the policy allows none");
    let secret = secret_of(&page.text);
    assert_eq!(secret.expose(), secret_of(&browser.opens("/account/totp").await.text).expose(), "as it was scanned");
    let wrong = browser.submits("/account/totp", "code=000000").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("This code is wrong") && secret_of(&wrong.text).expose() == secret.expose());

    let former = browser.cookie("handstamp_session").unwrap();
    let code = secret.code_at(browser.now());
    let codes = browser.submits("/account/totp", &format!("code={code}")).await;
    assert_eq!(codes.status, 200);
    let shown = codes_of(&codes.text);
    assert_eq!(shown.iter().collect::<std::collections::BTreeSet<_>>().len(), 10, "{shown:?}");
    let after = claims(&browser).await;
    assert_eq!((&after["acr"], &after["amr"]), (&"2".into(), &serde_json::json!(["pwd", "otp", "mfa"])));
    assert_ne!(before["sid"], after["sid"], "one session id never means two levels");
    assert_eq!(here.opens("/account", &former).await.status(), StatusCode::SEE_OTHER, "the former token is dead");
    assert_eq!(other.opens("/account").await.status, 303, "other sessions have ended");
    let again = browser.opens("/account/totp").await.location;
    assert_eq!(again, "/account/security?notice=codes-shown-once", "the secret is never shown again");
    let security = browser.opens("/account/security").await.text;
    assert!(security.contains("Remove the authenticator app") && security.contains("10 are left"), "{security}");
}

const SIGN_IN_FOR_CODES: &str =
    "/account/login?notice=app-is-set-up&next=%2Faccount%2Fsecurity%3Fnotice%3Dcodes-shown-once";

#[tokio::test]
async fn a_set_up_that_is_sent_twice_does_not_hide_its_recovery_codes() {
    let here = TestSite::at("http://localhost").await;
    let browser = Browser::new(&here);
    browser.registers().await;
    let secret = secret_of(&browser.opens("/account/totp").await.text);
    let former = browser.copy();
    let fields = format!("code={}", secret.code_at(browser.now()));
    let unseen = codes_of(&browser.submits("/account/totp", &fields).await.text);
    assert_eq!(unseen.len(), 10);

    let ended = former.submits("/account/totp", &fields).await;
    assert_eq!((ended.status, ended.location.as_str()), (303, SIGN_IN_FOR_CODES));
    assert!(!ended.headers.contains_key(header::SET_COOKIE), "an ended session gives nothing");
    assert!(former.opens(&ended.location).await.text.contains("Sign in with it to get your recovery codes."));
    let led_on = browser.opens(&ended.location).await;
    assert_eq!(led_on.location, "/account/security?notice=codes-shown-once", "the browser may have kept the cookie");
    let security = browser.opens(&led_on.location).await.text;
    assert!(
        security.contains("if you have not seen and saved them") && security.contains("Make ten new recovery codes")
    );

    let other = browser.submits("/account/totp", "code=000000").await;
    assert_eq!(other.location, "/account/security?notice=codes-shown-once", "another code makes none");
    let again = browser.submits("/account/totp", &fields).await;
    let seen = codes_of(&again.text);
    assert_eq!((again.status, seen.len()), (200, 10));
    let confirms = async |code: &str| browser.submits("/account/confirm", &format!("code={code}")).await.status;
    assert_eq!((confirms(&unseen[0]).await, confirms(&seen[0]).await), (422, 303));

    here.clock.advance(Duration::from_secs(60));
    let late = former.submits("/account/totp", &fields).await.location;
    assert_eq!(late, "/account/login?next=%2Faccount%2Ftotp&notice=form-not-sent");
    let late = browser.submits("/account/totp", &fields).await.location;
    assert_eq!(late, "/account/security?notice=codes-shown-once");
    assert_eq!(confirms(&seen[1]).await, 303, "the codes stay");
}

#[tokio::test]
async fn of_two_forms_at_once_one_sets_the_app_up_and_the_other_leads_to_its_codes() {
    for _ in 0..10 {
        let here = TestSite::at("http://localhost").await;
        let browser = Browser::new(&here);
        browser.registers().await;
        let fields = format!("code={}", secret_of(&browser.opens("/account/totp").await.text).code_at(browser.now()));
        let [first, second] = [browser.copy(), browser.copy()];
        let answers = tokio::join!(first.submits("/account/totp", &fields), second.submits("/account/totp", &fields));
        let mut answers = [answers.0, answers.1].map(|answer| (answer.status, answer.location, codes_of(&answer.text)));
        answers.sort_by_key(|answer| answer.0);
        let [shown, led] = answers;
        assert_eq!((shown.0, shown.2.len()), (200, 10));
        assert_eq!((led.0, led.1.as_str()), (303, SIGN_IN_FOR_CODES));
    }
}

#[tokio::test]
async fn a_form_that_comes_too_late_keeps_its_return_url() {
    let here = TestSite::at("http://localhost").await;
    let (browser, secret, _) = with_app(&here).await;
    let (pending, stranger) = (Browser::new(&here), Browser::new(&here));
    pending.submits("/account/login", SIGN_IN).await;
    let set_up = Browser::new(&here);
    set_up.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await;
    here.clock.advance(Duration::from_secs(16 * 60));
    let fields = format!("code={}&next=/notes", secret.code_at(browser.now()));
    for (sender, path, to) in [
        (&pending, "/account/login/second-factor", "/account/login?next=%2Fnotes"),
        (&stranger, "/account/login/second-factor", "/account/login?next=%2Fnotes"),
        (
            &stranger,
            "/account/confirm",
            "/account/login?next=%2Faccount%2Fconfirm%3Fnext%3D%252Fnotes&notice=form-not-sent",
        ),
        (&stranger, "/account/totp", "/account/login?next=%2Faccount%2Ftotp%3Fnext%3D%252Fnotes&notice=form-not-sent"),
        (&set_up, "/account/totp", "/account/confirm?next=%2Faccount%2Ftotp%3Fnext%3D%252Fnotes"),
    ] {
        let led = sender.submits(path, &fields).await;
        assert_eq!((led.status, led.location.as_str()), (303, to), "{path}");
    }
}

#[tokio::test]
async fn a_changed_password_is_an_authentication_of_a_session_at_level_1_only() {
    let here = TestSite::at("http://localhost").await;
    let browser = Browser::new(&here);
    browser.registers().await;
    let changes = async |from: &str, to: &str| {
        here.clock.advance(STEP);
        let fields = format!("current_password={from}&password={to}");
        assert_eq!(browser.submits("/account/password", &fields).await.location, "/account?done=password");
        claims(&browser).await["auth_time"].as_u64().unwrap()
    };
    assert_eq!(changes(PASSWORD, "brass-wheels-weave").await, browser.now().unix_seconds());
    browser.sets_up().await;
    let set_up_at = browser.now().unix_seconds();
    assert_eq!(changes("brass-wheels-weave", PASSWORD).await, set_up_at);
}

#[tokio::test]
async fn between_the_password_and_the_code_there_is_no_session() {
    let here = TestSite::at("http://localhost").await;
    let (_, secret, _) = with_app(&here).await;
    here.clock.advance(STEP);
    let browser = Browser::new(&here);
    let first = browser.submits("/account/login", &format!("{SIGN_IN}&remember=on&next=/account/sessions")).await;
    assert_eq!(
        (first.status, first.location.as_str()),
        (303, "/account/login/second-factor?next=%2Faccount%2Fsessions")
    );
    assert!(!browser.is_signed_in());
    let pending = first.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        pending.starts_with("handstamp_pending=") && pending.contains("Max-Age=600; ")
            || pending.ends_with("Max-Age=600")
    );
    assert_eq!(browser.opens("/account").await.status, 303, "the pending cookie opens nothing");
    let page = browser.opens(&first.location).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("name=\"next\" value=\"&#x2f;account&#x2f;sessions\""), "{}", page.text);
    let wrong = browser.submits("/account/login/second-factor", "code=000000").await;
    assert_eq!(wrong.status, 422);
    assert!(!browser.is_signed_in());

    let code = secret.code_at(browser.now());
    let done = browser.submits("/account/login/second-factor", &format!("code={code}&next=/account/sessions")).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/account/sessions"));
    assert_eq!(browser.opens("/account").await.status, 200);
    assert_eq!(browser.cookie("handstamp_pending"), None);
    assert!(
        done.headers
            .get_all(header::SET_COOKIE)
            .iter()
            .any(|cookie| cookie.to_str().unwrap().contains("Max-Age=2592000")),
        "it is remembered, as the first form asked"
    );
    let claims = claims(&browser).await;
    assert_eq!((&claims["acr"], &claims["amr"]), (&"2".into(), &serde_json::json!(["pwd", "otp", "mfa"])));
}

#[tokio::test]
async fn a_code_is_accepted_once_and_a_sign_in_waits_for_ten_minutes() {
    let here = TestSite::at("http://localhost").await;
    let (_, secret, _) = with_app(&here).await;
    let [first, second] = [Browser::new(&here), Browser::new(&here)];
    for browser in [&first, &second] {
        browser.submits("/account/login", SIGN_IN).await;
    }
    let used = secret.code_at(first.now());
    assert_eq!(
        first.submits("/account/login/second-factor", &format!("code={used}")).await.status,
        422,
        "it set the app up"
    );
    here.clock.advance(STEP);
    let code = secret.code_at(first.now());
    assert_eq!(first.submits("/account/login/second-factor", &format!("code={code}")).await.status, 303);
    let late = second.submits("/account/login/second-factor", &format!("code={code}")).await;
    assert_eq!((late.status, late.location.as_str()), (303, "/account/login"), "the user has signed in");
    second.submits("/account/login", SIGN_IN).await;
    assert_eq!(second.submits("/account/login/second-factor", &format!("code={code}")).await.status, 422);
    here.clock.advance(Duration::from_secs(600));
    let code = secret.code_at(first.now());
    assert_eq!(
        second.submits("/account/login/second-factor", &format!("code={code}")).await.location,
        "/account/login"
    );
    assert_eq!(second.opens("/account/login/second-factor").await.location, "/account/login");
    assert!(!second.is_signed_in());
}

#[tokio::test]
async fn a_code_that_is_sent_twice_signs_the_same_browser_in() {
    let here = TestSite::at("http://localhost").await;
    let (_, secret, _) = with_app(&here).await;
    here.clock.advance(STEP);
    let browser = Browser::new(&here);
    browser.submits("/account/login", SIGN_IN).await;
    let pending = browser.cookie("handstamp_pending").unwrap();
    let (code, next) = (secret.code_at(browser.now()), "next=/account/sessions");
    // The browser has dropped the first response.
    let dropped = Browser::new(&here);
    dropped.cookies.borrow_mut().insert("handstamp_pending".to_owned(), pending.clone());
    assert_eq!(dropped.submits("/account/login/second-factor", &format!("code={code}")).await.status, 303);
    let stolen = Browser::new(&here);
    stolen.cookies.borrow_mut().insert("handstamp_pending".to_owned(), pending);
    let refused = stolen.submits("/account/login/second-factor", "code=123456").await;
    assert_eq!(refused.location, "/account/login");
    assert_eq!(stolen.opens("/account/login").await.status, 200, "the cookie alone is nothing");
    assert!(!stolen.is_signed_in());

    let second = browser.submits("/account/login/second-factor", &format!("code={code}&{next}")).await;
    assert_eq!(second.location, "/account/login?next=%2Faccount%2Fsessions");
    assert!(!browser.is_signed_in(), "the code has signed in once");
    let copy = browser.cookie("handstamp_pending").unwrap();
    let led = browser.opens(&second.location).await;
    assert_eq!((led.status, led.location.as_str()), (303, "/account/sessions"));
    assert_eq!(browser.opens("/account/sessions").await.status, 200);
    assert_eq!(claims(&browser).await["acr"], "2");
    stolen.cookies.borrow_mut().insert("handstamp_pending".to_owned(), copy);
    assert_eq!(stolen.opens("/account/login").await.status, 200, "once");
}

#[tokio::test]
async fn a_recovery_code_signs_in_once_and_the_user_is_told() {
    let here = TestSite::at("http://localhost").await;
    let (_, _, codes) = with_app(&here).await;
    while here.handstamp.0.site.services.next_mail().await.is_some() {}
    let browser = Browser::new(&here);
    browser.submits("/account/login", SIGN_IN).await;
    let typed = codes[3].to_uppercase().replace('-', "+");
    assert_eq!(browser.submits("/account/login/second-factor", &format!("code={typed}")).await.status, 303);
    assert!(browser.is_signed_in());
    let mail = next_mail(&here, "factor_changed").await;
    let values = |name| mail.values.get(name).map(String::as_str);
    assert_eq!(
        (mail.template, values("change"), values("codes_left")),
        ("factor_changed", Some("recovery_code_used"), Some("9"))
    );
    let again = Browser::new(&here);
    again.submits("/account/login", SIGN_IN).await;
    assert_eq!(again.submits("/account/login/second-factor", &format!("code={typed}")).await.status, 422);
    assert!(browser.opens("/account/security").await.text.contains("9 are left"));
    let renewed = browser.submits("/account/recovery-codes", "").await;
    assert_eq!((renewed.status, codes_of(&renewed.text).len()), (200, 10));
    assert_eq!(again.submits("/account/login/second-factor", &format!("code={}", codes[4])).await.status, 422, "void");
    let new = &codes_of(&renewed.text)[0];
    again.submits("/account/login", SIGN_IN).await;
    assert_eq!(again.submits("/account/login/second-factor", &format!("code={new}")).await.status, 303);
}

#[tokio::test]
async fn who_has_the_password_cannot_guess_the_code_in_however_many_browsers() {
    let here = TestSite::at("http://localhost").await;
    let (owner, secret, _) = with_app(&here).await;
    here.clock.advance(STEP);
    let (mut looked_at, mut throttled) = (0, 0);
    // The right code is among the guesses, after the limit.
    for guess in 0..15 {
        let browser = Browser::new(&here);
        if browser.submits("/account/login", SIGN_IN).await.status == 429 {
            throttled += 1;
            continue;
        }
        let code = if guess < 12 { "000000".to_owned() } else { secret.code_at(browser.now()) };
        match browser.submits("/account/login/second-factor", &format!("code={code}")).await.status {
            422 => looked_at += 1,
            429 => throttled += 1,
            other => panic!("{other}"),
        }
        assert!(!browser.is_signed_in());
    }
    assert_eq!((looked_at, throttled), (10, 5));
    let code = secret.code_at(owner.now());
    assert_eq!(
        owner.submits("/account/confirm", &format!("code={code}")).await.status,
        429,
        "of the account, wherever"
    );
    here.clock.advance(Duration::from_secs(3600));
    let code = secret.code_at(owner.now());
    assert_eq!(owner.submits("/account/confirm", &format!("code={code}")).await.status, 303, "the owner waits");
}

#[tokio::test]
async fn the_right_password_counts_until_the_code_is_right() {
    let here = TestSite::at("http://localhost").await;
    let (_, secret, _) = with_app(&here).await;
    for _ in 0..30 {
        here.clock.advance(STEP);
        let browser = Browser::new(&here);
        assert_eq!(browser.submits("/account/login", SIGN_IN).await.status, 303, "whoever has both is never throttled");
        let code = secret.code_at(browser.now());
        assert_eq!(browser.submits("/account/login/second-factor", &format!("code={code}")).await.status, 303);
    }
    let browser = Browser::new(&here);
    let mut begun = 0;
    while browser.submits("/account/login", SIGN_IN).await.status == 303 {
        begun += 1;
        assert!(begun <= 10);
    }
    assert_eq!(begun, 10);
}

#[tokio::test]
async fn a_session_confirms_with_what_is_not_weaker_than_itself() {
    let here = TestSite::at("http://localhost").await;
    let (browser, secret, _) = with_app(&here).await;
    here.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(browser.opens("/account/email").await.location, "/account/confirm?next=%2Faccount%2Femail");
    let page = browser.opens("/account/confirm?next=/account/email").await.text;
    assert!(page.contains("name=\"code\"") && !page.contains("name=\"password\""), "{page}");
    let weaker = browser.submits("/account/confirm", &format!("password={PASSWORD}")).await;
    assert_eq!(weaker.status, 422, "the password is not enough");
    let (sid, code) = (claims(&browser).await["sid"].clone(), secret.code_at(browser.now()));
    let former = browser.cookie("handstamp_session").unwrap();
    let done = browser.submits("/account/confirm", &format!("code={code}&next=/account/email")).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/account/email"));
    assert_eq!(browser.opens("/account/email").await.status, 200);
    let claims = claims(&browser).await;
    assert_eq!((&claims["sid"], &claims["acr"]), (&sid, &"2".into()), "the level is the same");
    assert_eq!(claims["auth_time"], browser.now().unix_seconds());
    assert_ne!(browser.cookie("handstamp_session").unwrap(), former);
    assert_eq!(browser.submits("/account/confirm", &format!("code={code}")).await.status, 422, "it was used");
}

#[tokio::test]
async fn a_removed_app_lowers_the_session_and_ends_the_others() {
    let here = TestSite::at("http://localhost").await;
    let (browser, secret, codes) = with_app(&here).await;
    here.clock.advance(STEP);
    let other = Browser::new(&here);
    other.submits("/account/login", SIGN_IN).await;
    other.submits("/account/login/second-factor", &format!("code={}", secret.code_at(other.now()))).await;
    assert_eq!(other.opens("/account").await.status, 200);
    let before = claims(&browser).await;
    let done = browser.submits("/account/totp/remove", "").await;
    assert_eq!((done.status, done.location.as_str()), (303, "/account/security?notice=totp-removed"));
    assert!(browser.opens(&done.location).await.text.contains("your other devices were signed out"));
    let after = claims(&browser).await;
    assert_eq!((&after["acr"], &after["amr"]), (&"1".into(), &serde_json::json!(["pwd"])));
    assert_ne!(before["sid"], after["sid"]);
    assert_eq!(other.opens("/account").await.status, 303, "its level rested on the app");
    assert_eq!(browser.submits("/account/totp/remove", "").await.status, 303, "a form that is sent twice");
    assert_eq!(browser.submits("/account/recovery-codes", "").await.status, 403);
    let signs_in = Browser::new(&here);
    signs_in.submits("/account/login", SIGN_IN).await;
    assert!(signs_in.is_signed_in(), "the password is enough");
    let (new, _) = browser.sets_up().await;
    assert_ne!(new.expose(), secret.expose());
    let code = &codes[0];
    signs_in.submits("/account/login", SIGN_IN).await;
    assert_eq!(signs_in.submits("/account/login/second-factor", &format!("code={code}")).await.status, 422);
}

#[tokio::test]
async fn changing_factors_needs_a_recent_authentication() {
    let here = TestSite::at("http://localhost").await;
    let (browser, ..) = with_app(&here).await;
    here.clock.advance(Duration::from_secs(16 * 60));
    for (path, back) in [
        ("/account/totp/remove", "%2Faccount%2Fsecurity"),
        ("/account/recovery-codes", "%2Faccount%2Fsecurity"),
        ("/account/totp", "%2Faccount%2Ftotp"),
    ] {
        let refused = browser.submits(path, "code=123456").await;
        assert_eq!((refused.status, refused.location), (303, format!("/account/confirm?next={back}")), "{path}");
    }
}

#[tokio::test]
async fn a_required_second_factor_comes_before_anything_else() {
    let set = |config: &mut Config| config.second_factor.required = SecondFactorRequired::Everybody;
    let here = TestSite::with("http://localhost", set).await;
    let browser = Browser::new(&here);
    browser.registers().await;
    for path in [
        "/account",
        "/account/sessions",
        "/account/password",
        "/account/export",
        "/account/security",
        "/account/delete",
    ] {
        let led = browser.opens(path).await;
        let encoded = path.replace('/', "%2F");
        assert_eq!((led.status, led.location), (303, format!("/account/confirm?assurance=2&next={encoded}")), "{path}");
    }
    let ends = browser.submits("/account/sessions/revoke-others", "").await;
    assert_eq!(ends.location, "/account/sessions", "ending sessions needs nothing");
    for path in ["/account/api/v1/session", "/account/api/v1/sessions", "/account/api/v1/export"] {
        let refused = browser.answer(Request::get(path), String::new()).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.text.contains("\"second-factor-required\""), "{}", refused.text);
    }
    let asks = async |path: &str| {
        browser
            .answer(Request::get(path).header("accept", "text/html").header("x-forwarded-uri", "/notes"), String::new())
            .await
    };
    let refused = asks("/auth/request").await;
    assert_eq!(
        (refused.status, refused.location.as_str()),
        (401, "http://localhost/account/confirm?assurance=2&next=%2Fnotes")
    );
    assert!(!refused.headers.contains_key("remote-user"));
    assert_eq!(asks("/auth/forward?access=everybody").await.status, 302);
    let set_up = browser.opens("/account/confirm?assurance=2&next=/account/sessions").await;
    assert_eq!(set_up.location, "/account/totp?next=%2Faccount%2Fsessions");
    let page = browser.opens(&set_up.location).await;
    assert!(
        page.text.contains("This site requires a second factor")
            && page.text.contains("value=\"&#x2f;account&#x2f;sessions\"")
    );
    browser.sets_up().await;
    assert_eq!(browser.opens("/account").await.status, 200);
    assert_eq!(asks("/auth/request").await.status, 200);
    let signs_out = Browser::new(&here);
    signs_out.submits("/account/register", "name=Bob&email=bob@example.com&password=plum-octave-harbour").await;
    assert_eq!(signs_out.submits("/account/logout", "").await.location, "/", "signing out needs nothing");
}

#[tokio::test]
async fn groups_can_need_a_second_factor() {
    let set = |config: &mut Config| {
        config.second_factor.required = SecondFactorRequired::Groups(vec![crate::GroupName::parse("staff").unwrap()]);
    };
    let here = TestSite::with("http://localhost", set).await;
    let browser = Browser::new(&here);
    browser.registers().await;
    assert_eq!(browser.opens("/account/sessions").await.status, 200);
    here.handstamp.users().change_groups(here.ada().await, &["staff"], &[]).await.unwrap();
    assert_eq!(browser.opens("/account/sessions").await.status, 303);
    here.handstamp.users().change_groups(here.ada().await, &[], &["staff"]).await.unwrap();
    assert_eq!(browser.opens("/account/sessions").await.status, 200);
}

#[tokio::test]
async fn programs_sign_in_and_confirm_with_a_code() {
    let here = TestSite::at("http://localhost").await;
    let (_, secret, _) = with_app(&here).await;
    here.clock.advance(STEP);
    let program = Browser::new(&here);
    let credentials = r#"{"email": "ada@example.com", "password": "plum-octave-harbour"}"#;
    let first = program.posts("/account/api/v1/session", credentials).await;
    assert_eq!(first.status, 401);
    assert!(first.text.contains("\"second-factor-required\"") && !program.is_signed_in(), "{}", first.text);
    let wrong = program.posts("/account/api/v1/session/second-factor", r#"{"code": "000000"}"#).await;
    assert_eq!(wrong.status, 422);
    let code = secret.code_at(program.now());
    let done = program.posts("/account/api/v1/session/second-factor", &format!(r#"{{"code": "{code}"}}"#)).await;
    assert_eq!(done.status, 201);
    assert!(done.text.contains("ada@example.com") && program.cookie("handstamp_pending").is_none());
    here.clock.advance(STEP);
    let weaker = program.posts("/account/api/v1/session/confirm", &format!(r#"{{"password": "{PASSWORD}"}}"#)).await;
    assert_eq!(weaker.status, 422);
    let code = secret.code_at(program.now());
    assert_eq!(program.posts("/account/api/v1/session/confirm", &format!(r#"{{"code": "{code}"}}"#)).await.status, 204);
    let nothing = Browser::new(&here).posts("/account/api/v1/session/second-factor", r#"{"code": "123456"}"#).await;
    assert_eq!(nothing.status, 401);
}

#[tokio::test]
async fn no_other_way_in_leads_around_the_second_factor() {
    let here = TestSite::with("http://localhost", |config| config.sign_in.mail = true).await;
    let (browser, ..) = with_app(&here).await;
    let ada = here.ada().await;
    here.handstamp.users().verify(ada).await.unwrap();
    while here.handstamp.0.site.services.next_mail().await.is_some() {}

    // A mailed code.
    let by_mail = Browser::new(&here);
    by_mail.submits("/account/login/mail", "email=ada@example.com").await;
    let mail = next_mail(&here, "sign_in_code").await;
    let answered = by_mail.submits("/account/login/code", &format!("code={}", mail.values["code"])).await;
    assert_eq!((answered.status, answered.location.as_str()), (303, "/account/login/second-factor"));
    assert!(!by_mail.is_signed_in());

    // A registration with the right password, which otherwise signs in.
    let again = Browser::new(&here);
    let registration = "name=Ada&email=ada@example.com&password=plum-octave-harbour";
    assert_eq!(again.submits("/account/register", registration).await.status, 422);
    assert!(!again.is_signed_in());

    // Forms that are sent twice, with a session that has just ended.
    let former = browser.cookie("handstamp_session").unwrap();
    let change = "current_password=plum-octave-harbour&password=violet-anchor-meadow";
    assert_eq!(browser.submits("/account/password", change).await.status, 303);
    let twice = Browser::new(&here);
    for (path, fields) in [("/account/password", change), ("/account/confirm", "password=violet-anchor-meadow")] {
        twice.cookies.borrow_mut().insert("handstamp_session".to_owned(), former.clone());
        let answered = twice.submits(path, fields).await;
        assert!(answered.location.starts_with("/account/login"), "{path}: {} {}", answered.status, answered.location);
        assert_eq!(twice.opens("/account").await.status, 303, "{path}");
    }

    // The application's own authentication.
    let site = &here.handstamp.0.site.services;
    assert!(site.sign_in_without_password(&crate::context::Context::visitor(), ada, true, &[]).await.is_err());

    // A new password by a link gives no session and removes no factor.
    let forgot = Browser::new(&here);
    forgot.submits("/account/forgot", "email=ada@example.com").await;
    let link = next_mail(&here, "reset_password").await.values["link"].clone();
    let path = link.strip_prefix("http://localhost").unwrap();
    assert_eq!(forgot.opens(path).await.location, "/account/reset");
    assert_eq!(forgot.submits("/account/reset", "password=copper-lantern-estuary").await.status, 303);
    assert!(!forgot.is_signed_in());
    let sign_in = "email=ada@example.com&password=copper-lantern-estuary";
    assert_eq!(forgot.submits("/account/login", sign_in).await.location, "/account/login/second-factor");
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn an_application_is_not_reached_without_a_required_second_factor() {
    use crate::CurrentUser;
    use crate::testing::TestSite;

    let set = |config: &mut Config| config.second_factor.required = SecondFactorRequired::Everybody;
    let site = TestSite::open_with(set).await;
    let app: Router = Router::new()
        .route("/notes", axum::routing::get(async |user: CurrentUser| user.name().to_owned()))
        .route(
            "/greeting",
            axum::routing::get(async |user: Option<CurrentUser>| {
                user.map_or("nobody".to_owned(), |_| "somebody".to_owned())
            }),
        )
        .with_state(site.handstamp().clone());
    let asks = async |path: &str, cookie: &str, mode: &str| {
        let request =
            Request::get(path).header("host", "localhost").header("cookie", cookie).header("sec-fetch-mode", mode);
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let cookie = site.signed_in("ada@example.com", &[]).await;
    for path in ["/notes", "/greeting"] {
        let led = asks(path, &cookie, "navigate").await;
        let to = format!("/account/confirm?assurance=2&next={}", path.replace('/', "%2F"));
        assert_eq!(
            (led.status(), led.headers()[header::LOCATION].to_str().unwrap()),
            (StatusCode::SEE_OTHER, to.as_str())
        );
        let refused = asks(path, &cookie, "cors").await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(text(refused).await.contains("second-factor-required"));
    }
    assert_eq!(text(asks("/greeting", "", "navigate").await).await, "nobody");
    let cookie = site.signed_in_at(2, "ada@example.com", &[]).await;
    assert_eq!(text(asks("/notes", &cookie, "navigate").await).await, "ada");
}

//! Tests of the life of an account: lost passwords, confirmed and changed addresses, invitations, mailed codes, authenticating again,
//! export and deletion. Each browser has its own cookies, and mails are taken out of the outbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use super::*;
use crate::config::Registration;
use crate::services::SentMail;

const PASSWORD: &str = "plum-octave-harbour";
const ANOTHER: &str = "velvet-anchor-twelve";

/// A browser: it keeps the cookies that it gets, and sends those of the path.
struct Browser<'a> {
    site: &'a TestSite,
    cookies: Mutex<BTreeMap<String, (String, String)>>,
}

/// A response as a browser sees it: the status, the redirect, and the page.
struct Got {
    status: u16,
    to: String,
    page: String,
}

impl<'a> Browser<'a> {
    fn new(site: &'a TestSite) -> Self {
        Self { site, cookies: Mutex::default() }
    }

    async fn sends(&self, method: &str, path: &str, form: Option<&str>) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        request = request.header("accept", "text/html").header("sec-fetch-site", "same-origin");
        request = request.header("sec-fetch-mode", "navigate");
        let cookies = self.cookies.lock().unwrap().clone();
        let cookies = cookies.into_iter().filter(|(_, (_, of))| path.starts_with(of));
        let cookies: Vec<_> = cookies.map(|(name, (value, _))| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let body = match form {
            Some(form) => {
                request = request.header("content-type", "application/x-www-form-urlencoded");
                Body::from(form.to_owned())
            }
            None => Body::empty(),
        };
        let response = self.site.send(request.body(body).unwrap()).await;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            self.keeps(cookie.to_str().unwrap());
        }
        let to = response.headers().get(header::LOCATION).map_or("", |to| to.to_str().unwrap()).to_owned();
        Got { status: response.status().as_u16(), to, page: text(response).await }
    }

    fn keeps(&self, cookie: &str) {
        let mut parts = cookie.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let path = parts.clone().find_map(|part| part.strip_prefix("Path=")).unwrap();
        let mut cookies = self.cookies.lock().unwrap();
        match parts.any(|part| part == "Max-Age=0") {
            true => cookies.remove(name),
            false => cookies.insert(name.to_owned(), (value.to_owned(), path.to_owned())),
        };
    }

    async fn opens(&self, path: &str) -> Got {
        self.sends("GET", path, None).await
    }

    async fn submits(&self, path: &str, form: &str) -> Got {
        self.sends("POST", path, Some(form)).await
    }

    /// Opens a mailed link, and returns the page that it leads to.
    async fn follows(&self, link: &str) -> String {
        let path = link.strip_prefix("http://localhost").unwrap();
        let got = self.opens(path).await;
        assert_eq!(got.status, 303, "{}", got.page);
        got.to
    }

    async fn registers(&self) {
        let form = format!("name=Ada&email=ada@example.com&password={PASSWORD}");
        let got = self.submits("/account/register", &form).await;
        assert_eq!((got.status, got.to.as_str()), (303, "/account"), "{}", got.page);
    }

    async fn signs_in(&self, email: &str, password: &str) -> bool {
        let got = self.submits("/account/login", &format!("email={email}&password={password}&remember=on")).await;
        got.status == 303
    }

    async fn is_signed_in(&self) -> bool {
        self.opens("/account").await.status == 200
    }
}

impl TestSite {
    /// The mails that are due, by the names of their templates.
    async fn mails(&self) -> Vec<SentMail> {
        let mut mails = Vec::new();
        while let Some(mail) = self.handstamp.0.site.services.next_mail().await {
            mails.extend(mail);
        }
        // Those of one second have no order.
        mails.sort_by_key(|mail| mail.template);
        mails
    }

    /// The only mail that is due.
    async fn mail(&self, template: &str) -> SentMail {
        let mut mails = self.mails().await;
        let names: Vec<_> = mails.iter().map(|mail| mail.template).collect();
        assert_eq!(names, [template]);
        mails.remove(0)
    }

    async fn is_verified(&self) -> bool {
        self.handstamp.users().find_by_email("ada@example.com").await.unwrap().unwrap().email_verified
    }
}

/// A site where Ada has registered and verified her address, in the returned browser.
async fn with_ada(site: &TestSite) -> Browser<'_> {
    let browser = Browser::new(site);
    browser.registers().await;
    let mail = site.mail("verify_email").await;
    let got = browser.submits("/account/verify", &format!("code={}", mail.values["code"])).await;
    assert_eq!(got.to, "/account?done=verified", "{}", got.page);
    browser
}

#[tokio::test]
async fn a_lost_password_is_reset_by_a_link_and_all_that_was_there_ends() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    let elsewhere = Browser::new(&site);
    assert!(elsewhere.signs_in("ada@example.com", PASSWORD).await);
    assert_eq!(site.mails().await.len(), 1, "of the new device");

    let other = Browser::new(&site);
    let got = other.submits("/account/forgot", "email=ADA@example.com").await;
    assert_eq!((got.status, got.to.as_str()), (303, "/account/forgot/sent"));
    let mail = site.mail("reset_password").await;
    assert_eq!(mail.recipient, "ada@example.com", "the stored address");
    assert_eq!(other.follows(&mail.values["link"]).await, "/account/reset");
    let form = other.opens("/account/reset").await;
    assert!(form.status == 200 && form.page.contains("ada@example.com"), "{}", form.page);

    // A refused password keeps the link.
    let refused = other.submits("/account/reset", "password=password").await;
    assert!(refused.status == 422 && refused.page.contains("easy to guess"), "{}", refused.page);
    let set = other.submits("/account/reset", &format!("password={ANOTHER}")).await;
    assert_eq!((set.status, set.to.as_str()), (303, "/account/login?notice=new-password"));
    assert!(other.opens(&set.to).await.page.contains("Your new password is set."));
    assert!(!other.is_signed_in().await, "a reset is no sign-in");

    assert!(!ada.is_signed_in().await && !elsewhere.is_signed_in().await, "all sessions have ended");
    assert!(!other.signs_in("ada@example.com", PASSWORD).await);
    assert!(other.signs_in("ada@example.com", ANOTHER).await);
    let notices: Vec<_> = site.mails().await.iter().map(|mail| mail.template).collect();
    assert_eq!(notices, ["new_device", "password_changed"]);

    // The link is used, in every browser.
    for browser in [&other, &ada] {
        let path = mail.values["link"].strip_prefix("http://localhost").unwrap();
        browser.opens(path).await;
        let again = browser.submits("/account/reset", &format!("password={PASSWORD}")).await;
        assert!(again.status == 404 && again.page.contains("no longer valid"), "{}", again.page);
    }
}

#[tokio::test]
async fn a_request_to_reset_is_the_same_whatever_the_address() {
    let site = TestSite::at("http://localhost").await;
    let browser = with_ada(&site).await;
    let stranger = Browser::new(&site);
    let mut seen = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let got = stranger.submits("/account/forgot", &format!("email={email}")).await;
        seen.push((got.status, got.to, got.page));
    }
    assert_eq!(seen[0], seen[1]);
    let rows = count(&site, "SELECT COUNT(*) FROM outbox").await;
    assert_eq!(rows, 2, "the request has written as much for an unknown address");
    assert_eq!(site.mails().await.len(), 1, "and no mail is sent to it");
    assert_eq!(count(&site, "SELECT COUNT(*) FROM outbox").await, 0);
    drop(browser);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_mailed_links_and_codes_are_applied_on_every_node_before_the_response() {
    let site = TestSite::with("http://localhost", |config| config.sign_in.mail = true).await;
    let changes = async |browser: &Browser<'_>, path: &str, form: &str| {
        let got = site.waits_for_another_node(browser.submits(path, form)).await;
        assert_eq!(got.status, 303, "{path}: {}", got.page);
    };
    let newest = async |template: &str, value: &str| {
        let mails = site.mails().await;
        let mail = mails.iter().rfind(|mail| mail.template == template).unwrap();
        mail.values[value].clone()
    };
    let ada = Browser::new(&site);
    ada.registers().await;
    let elsewhere = Browser::new(&site);
    elsewhere.follows(&newest("verify_email", "link").await).await;
    changes(&elsewhere, "/account/verify", "").await;
    changes(&elsewhere, "/account/reset", &format!("password={PASSWORD}")).await;
    assert!(ada.signs_in("ada@example.com", PASSWORD).await);
    changes(&ada, "/account/confirm", &format!("password={PASSWORD}")).await;
    ada.submits("/account/email", &format!("email=countess@example.com&password={PASSWORD}")).await;
    ada.follows(&newest("change_email", "link").await).await;
    changes(&ada, "/account/email/confirm", "").await;
    elsewhere.follows(&newest("email_changed", "link").await).await;
    changes(&elsewhere, "/account/email/undo", "").await;
    changes(&elsewhere, "/account/reset", &format!("password={PASSWORD}")).await;
    assert!(ada.signs_in("ada@example.com", PASSWORD).await);
    ada.submits("/account/login/mail", "email=ada@example.com").await;
    let code = newest("sign_in_code", "code").await;
    changes(&ada, "/account/login/code", &format!("code={code}")).await;
    changes(&ada, "/account/delete", &format!("password={PASSWORD}")).await;
}

/// Counts the statements of requests. Other metrics are dropped.
#[derive(Default)]
pub(super) struct Statements(pub(super) Arc<AtomicU64>);

impl metrics::Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let is_counted = key.name() == "handstamp_db_statements_total";
        let of_requests = key.labels().any(|label| label.value() == "request");
        if is_counted && of_requests { Counter::from_arc(Arc::clone(&self.0)) } else { Counter::noop() }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_request_costs_the_same_statements_and_hashes_whether_the_address_has_an_account_or_not() {
    let statements = Statements::default();
    let _recorder = metrics::set_default_local_recorder(&statements);
    let site = TestSite::with("http://localhost", |config| {
        config.registration = Registration::Confirm;
        config.sign_in.mail = true;
    })
    .await;
    for name in ["Ada", "Bob"] {
        let email = format!("{}@example.com", name.to_lowercase());
        site.handstamp.users().create(crate::NewUser { name, email: &email, password: PASSWORD }).await.unwrap();
    }
    let services = &site.handstamp.0.site.services;
    let register = format!("name=Eve&password={ANOTHER}&");
    for (path, more) in [("/account/forgot", ""), ("/account/login/mail", ""), ("/account/register", &*register)] {
        let mut costs = Vec::new();
        // The first of them fills caches.
        for email in ["bob@example.com", "ada@example.com", "nobody@example.com"] {
            let stranger = Browser::new(&site);
            let before = (statements.0.load(Ordering::Relaxed), services.hashing.work_kib());
            let got = stranger.submits(path, &format!("{more}email={email}")).await;
            assert_eq!(got.status, 303, "{path}: {}", got.page);
            let after = (statements.0.load(Ordering::Relaxed), services.hashing.work_kib());
            costs.push((after.0 - before.0, after.1 - before.1));
        }
        assert_eq!(costs[1], costs[2], "{path}");
        assert!(costs[1].0 >= 1 && (costs[1].1 > 0) == (path == "/account/register"), "{path}: {costs:?}");
    }
}

#[tokio::test]
async fn an_address_gets_three_mails_in_an_hour_and_the_answer_stays_the_same() {
    let site = TestSite::at("http://localhost").await;
    with_ada(&site).await;
    let stranger = Browser::new(&site);
    for _ in 0..5 {
        let got = stranger.submits("/account/forgot", "email=ada@example.com").await;
        assert_eq!((got.status, got.to.as_str()), (303, "/account/forgot/sent"));
    }
    // Of three requests the newest link counts.
    let mails = site.mails().await;
    assert!(!mails.is_empty() && mails.len() <= 3, "{}", mails.len());
    site.clock.advance(Duration::from_secs(3600));
    stranger.submits("/account/forgot", "email=ada@example.com").await;
    assert_eq!(site.mails().await.len(), 1);
}

#[tokio::test]
async fn a_newer_link_and_every_change_of_the_credentials_end_the_older_one() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    let stranger = Browser::new(&site);
    stranger.submits("/account/forgot", "email=ada@example.com").await;
    let first = site.mail("reset_password").await.values["link"].clone();
    site.clock.advance(Duration::from_secs(60));
    stranger.submits("/account/forgot", "email=ada@example.com").await;
    let second = site.mail("reset_password").await.values["link"].clone();
    stranger.follows(&first).await;
    assert_eq!(stranger.opens("/account/reset").await.status, 404, "the newer link has ended it");
    stranger.follows(&second).await;
    assert_eq!(stranger.opens("/account/reset").await.status, 200);
    let changed = ada.submits("/account/password", &format!("current_password={PASSWORD}&password={ANOTHER}")).await;
    assert_eq!(changed.to, "/account?done=password", "{}", changed.page);
    assert_eq!(stranger.submits("/account/reset", "password=tall-copper-meadow").await.status, 404);
    assert!(Browser::new(&site).signs_in("ada@example.com", ANOTHER).await);
}

#[tokio::test]
async fn a_link_is_valid_for_an_hour_after_it_was_sent() {
    let site = TestSite::at("http://localhost").await;
    with_ada(&site).await;
    let stranger = Browser::new(&site);
    stranger.submits("/account/forgot", "email=ada@example.com").await;
    // The mail server was away for a day.
    site.clock.advance(DAY);
    let mail = site.mail("reset_password").await;
    assert_eq!(mail.values["valid_for"], "1 hour");
    site.clock.advance(Duration::from_secs(3599));
    stranger.follows(&mail.values["link"]).await;
    assert_eq!(stranger.opens("/account/reset").await.status, 200);
    site.clock.advance(Duration::from_secs(1));
    let late = stranger.submits("/account/reset", &format!("password={ANOTHER}")).await;
    assert!(late.status == 404 && late.page.contains("no longer valid"));
}

#[tokio::test]
async fn used_expired_foreign_and_forged_links_get_one_page() {
    let site = TestSite::at("http://localhost").await;
    with_ada(&site).await;
    let pages: Vec<_> = {
        let foreign = handstamp_core::OneTimeTokens::new(&SecretKey::from_random(&[3; 32]), &[]).unwrap();
        let claims = handstamp_core::OneTimeClaims {
            purpose: handstamp_core::OneTimePurpose::ResetPassword,
            id: handstamp_core::OneTimeId::from_bytes([1; 16]),
            expires_at: NOW.after(DAY),
        };
        let ours = handstamp_core::OneTimeTokens::new(&SecretKey::parse(SECRET).unwrap(), &[]).unwrap();
        let sign_in = handstamp_core::OneTimeClaims { purpose: handstamp_core::OneTimePurpose::SignIn, ..claims };
        let expired = handstamp_core::OneTimeClaims { expires_at: NOW, ..claims };
        let texts = [
            "nonsense".to_owned(),
            foreign.issue(&claims),
            ours.issue(&expired),
            ours.issue(&sign_in),
            ours.issue(&claims),
        ];
        let mut pages = Vec::new();
        for text in texts {
            let stranger = Browser::new(&site);
            let mut got = stranger.opens(&format!("/account/link/{text}")).await;
            if got.status == 303 {
                got = stranger.opens("/account/reset").await;
            }
            pages.push((got.status, got.page));
        }
        pages
    };
    assert!(pages[0].0 == 404 && pages[0].1.contains("no longer valid"), "{}", pages[0].1);
    assert!(pages.iter().all(|page| *page == pages[0]));
}

#[tokio::test]
async fn a_link_of_one_purpose_opens_nothing_else() {
    let site = TestSite::at("http://localhost").await;
    let ada = Browser::new(&site);
    ada.registers().await;
    let verify = site.mail("verify_email").await.values["link"].clone();
    let stranger = Browser::new(&site);
    stranger.follows(&verify).await;
    for (path, form) in [
        ("/account/reset", "password=velvet-anchor-twelve"),
        ("/account/email/undo", ""),
        ("/account/invitation", "name=Eve&password=velvet-anchor-twelve"),
    ] {
        let got = stranger.submits(path, form).await;
        assert_eq!(got.status, 404, "{path}: {}", got.page);
        stranger.follows(&verify).await;
        assert_eq!(stranger.opens(path).await.status, 404, "{path}");
        stranger.follows(&verify).await;
    }
    assert!(!site.is_verified().await && ada.is_signed_in().await, "nothing has happened");
    assert_eq!(ada.submits("/account/email/confirm", "").await.status, 404);
}

#[tokio::test]
async fn getting_a_link_or_its_page_uses_nothing() {
    let site = TestSite::at("http://localhost").await;
    let ada = Browser::new(&site);
    ada.registers().await;
    let link = site.mail("verify_email").await.values["link"].clone();
    let scanner = Browser::new(&site);
    for _ in 0..3 {
        for method in ["HEAD", "GET"] {
            let got = scanner.sends(method, link.strip_prefix("http://localhost").unwrap(), None).await;
            assert_eq!(got.to, "/account/verify");
            assert_eq!(scanner.sends(method, "/account/verify", None).await.status, 200);
        }
    }
    assert!(!site.is_verified().await && ada.is_signed_in().await);
    ada.follows(&link).await;
    assert_eq!(ada.submits("/account/verify", "").await.to, "/account?done=verified");
    assert!(site.is_verified().await && ada.is_signed_in().await, "in the browser that registered all stays");
}

#[tokio::test]
async fn fifty_uses_of_a_link_at_once_succeed_once() {
    let site = TestSite::at("http://localhost").await;
    with_ada(&site).await;
    let stranger = Browser::new(&site);
    stranger.submits("/account/forgot", "email=ada@example.com").await;
    let link = site.mail("reset_password").await.values["link"].clone();
    stranger.follows(&link).await;
    let uses = (0..50).map(|number| {
        let stranger = &stranger;
        async move {
            // Each on its own, since a browser would drop the cookie with the first answer.
            let browser =
                Browser { site: stranger.site, cookies: Mutex::new(stranger.cookies.lock().unwrap().clone()) };
            let password = format!("password=velvet-anchor-{number}-twelve");
            (number, browser.submits("/account/reset", &password).await.status)
        }
    });
    let outcomes = futures_util::future::join_all(uses).await;
    let done: Vec<_> = outcomes.iter().filter(|(_, status)| *status == 303).collect();
    assert_eq!(done.len(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, status)| [303, 404, 429].contains(status)), "{outcomes:?}");
    let password = format!("velvet-anchor-{}-twelve", done[0].0);
    assert!(Browser::new(&site).signs_in("ada@example.com", &password).await);
}

#[tokio::test]
async fn the_first_confirmation_in_another_browser_ends_what_an_attacker_has_prepared() {
    let site = TestSite::at("http://localhost").await;
    // Eve registers with Ada's address.
    let eve = Browser::new(&site);
    eve.registers().await;
    let mail = site.mail("verify_email").await;
    eve.submits("/account/email", "email=eve@example.com").await;
    let eves = site.mail("change_email").await.values["link"].clone();
    // Ada gets the mail, and confirms the address in her own browser.
    let ada = Browser::new(&site);
    assert_eq!(ada.follows(&mail.values["link"]).await, "/account/verify");
    assert!(ada.opens("/account/verify").await.page.contains("choose a new password"));
    let confirmed = ada.submits("/account/verify", "").await;
    assert_eq!((confirmed.status, confirmed.to.as_str()), (303, "/account/reset"));
    assert!(!eve.is_signed_in().await, "her session has ended");
    assert!(!eve.signs_in("ada@example.com", PASSWORD).await, "so has her password");
    assert!(site.is_verified().await);
    let set = ada.submits("/account/reset", &format!("password={ANOTHER}")).await;
    assert_eq!(set.status, 303, "{}", set.page);
    assert!(ada.signs_in("ada@example.com", ANOTHER).await);
    ada.follows(&eves).await;
    assert_eq!(ada.submits("/account/email/confirm", "").await.status, 404, "her pending change has ended");
}

#[tokio::test]
async fn a_reset_is_the_first_confirmation_too() {
    let site = TestSite::at("http://localhost").await;
    let eve = Browser::new(&site);
    eve.registers().await;
    site.mails().await;
    let ada = Browser::new(&site);
    ada.submits("/account/forgot", "email=ada@example.com").await;
    ada.follows(&site.mail("reset_password").await.values["link"]).await;
    assert_eq!(ada.submits("/account/reset", &format!("password={ANOTHER}")).await.status, 303);
    assert!(site.is_verified().await && !eve.is_signed_in().await);
    assert!(!eve.signs_in("ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn five_wrong_codes_end_the_mail() {
    let site = TestSite::at("http://localhost").await;
    let ada = Browser::new(&site);
    ada.registers().await;
    let code = site.mail("verify_email").await.values["code"].clone();
    for _ in 0..5 {
        let got = ada.submits("/account/verify", "code=0000+0000").await;
        assert!(got.status == 422 && got.page.contains("This code is wrong"), "{}", got.page);
    }
    assert_eq!(ada.submits("/account/verify", &format!("code={code}")).await.status, 422, "the right one is too late");
    assert!(!site.is_verified().await);
    let again = ada.submits("/account/verify/send", "").await;
    assert_eq!(again.to, "/account/verify?notice=sent");
    let code = site.mail("verify_email").await.values["code"].clone();
    assert_eq!(ada.submits("/account/verify", &format!("code={code}")).await.to, "/account?done=verified");
}

#[tokio::test]
async fn a_new_address_counts_once_it_is_confirmed_and_the_former_one_can_undo_it() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    let elsewhere = Browser::new(&site);
    assert!(elsewhere.signs_in("ada@example.com", PASSWORD).await);
    site.mails().await;
    assert_eq!(ada.submits("/account/email", "email=ADA@example.com").await.status, 422, "it is the address already");
    let asked = ada.submits("/account/email", "email=ada@new.example").await;
    assert_eq!(asked.to, "/account/email?notice=sent");
    let mail = site.mail("change_email").await;
    assert_eq!(mail.recipient, "ada@new.example");
    assert!(Browser::new(&site).signs_in("ada@example.com", PASSWORD).await, "the former address still counts");
    site.mails().await;

    // A stranger who gets the mail by a typing error cannot use it.
    let stranger = Browser::new(&site);
    stranger.follows(&mail.values["link"]).await;
    let got = stranger.submits("/account/email/confirm", "").await;
    assert!(got.to.starts_with("/account/login?next="), "{}", got.to);

    assert_eq!(ada.follows(&mail.values["link"]).await, "/account/email/confirm");
    assert!(ada.opens("/account/email/confirm").await.page.contains("ada@new.example"));
    let changed = ada.submits("/account/email/confirm", "").await;
    assert_eq!(changed.to, "/account?done=email", "{}", changed.page);
    assert!(ada.is_signed_in().await && !elsewhere.is_signed_in().await, "only this session goes on");
    assert!(
        !stranger.signs_in("ada@example.com", PASSWORD).await && stranger.signs_in("ada@new.example", PASSWORD).await
    );
    let notice = site.mails().await.remove(0);
    assert_eq!((notice.template, notice.recipient.as_str()), ("email_changed", "ada@example.com"));
    assert_eq!(
        (notice.values["new_email"].as_str(), notice.values["valid_for"].as_str()),
        ("ada@new.example", "7 days")
    );

    // A reset by the new address does not end the link to undo the change.
    stranger.submits("/account/forgot", "email=ada@new.example").await;
    let mails = site.mails().await;
    stranger.follows(&mails.last().unwrap().values["link"]).await;
    assert_eq!(stranger.submits("/account/reset", &format!("password={ANOTHER}")).await.status, 303);
    let owner = Browser::new(&site);
    assert_eq!(owner.follows(&notice.values["link"]).await, "/account/email/undo");
    assert!(owner.opens("/account/email/undo").await.page.contains("ada@example.com"));
    let undone = owner.submits("/account/email/undo", "").await;
    assert_eq!(undone.to, "/account/reset", "{}", undone.page);
    assert!(!stranger.is_signed_in().await && !ada.is_signed_in().await);
    assert!(!stranger.signs_in("ada@example.com", ANOTHER).await, "the password of the other person has ended");
    assert_eq!(owner.submits("/account/reset", "password=tall-copper-meadow").await.status, 303);
    assert!(owner.signs_in("ada@example.com", "tall-copper-meadow").await);
}

#[tokio::test]
async fn nothing_shows_whether_a_new_address_has_an_account() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    let bob = Browser::new(&site);
    bob.submits("/account/register", &format!("name=Bob&email=bob@example.com&password={ANOTHER}")).await;
    site.mails().await;
    let mut seen = Vec::new();
    for email in ["bob@example.com", "free@example.com"] {
        let got = ada.submits("/account/email", &format!("email={email}")).await;
        seen.push((got.status, got.to, got.page));
    }
    assert_eq!(seen[0], seen[1]);
    let mails = site.mails().await;
    let told: Vec<_> = mails.iter().map(|mail| (mail.template, mail.recipient.as_str())).collect();
    assert_eq!(told, [("already_registered", "bob@example.com"), ("change_email", "free@example.com")]);

    // An address that is taken between the mail and its use.
    ada.follows(&mails[1].values["link"]).await;
    bob.submits("/account/register", &format!("name=Free&email=free@example.com&password={ANOTHER}")).await;
    assert_eq!(ada.submits("/account/email/confirm", "").await.status, 404);
    assert!(ada.is_signed_in().await && ada.signs_in("ada@example.com", PASSWORD).await, "nothing has changed");
}

#[tokio::test]
async fn an_address_that_was_never_verified_cannot_undo_its_change() {
    let site = TestSite::at("http://localhost").await;
    let ada = Browser::new(&site);
    ada.registers().await;
    site.mails().await;
    ada.submits("/account/email", "email=ada@new.example").await;
    ada.follows(&site.mail("change_email").await.values["link"]).await;
    assert_eq!(ada.submits("/account/email/confirm", "").await.to, "/account?done=email");
    assert_eq!(site.mails().await.len(), 0, "it may be the address of another person");
}

#[tokio::test]
async fn an_invitation_makes_an_account_in_its_groups() {
    let site = TestSite::with("http://localhost", |config| config.registration = Registration::Invite).await;
    let stranger = Browser::new(&site);
    let form = format!("name=Eve&email=eve@example.com&password={PASSWORD}");
    assert_eq!(stranger.submits("/account/register", &form).await.status, 403);
    let link = site.handstamp.users().invite("Ada", "ada@example.com", &["staff"]).await.unwrap();
    let mail = site.mail("invitation").await;
    assert_eq!((mail.recipient.as_str(), mail.values["name"].as_str()), ("ada@example.com", "Ada"));
    for used in [&link, &mail.values["link"]] {
        assert_eq!(Browser::new(&site).follows(used).await, "/account/invitation");
    }
    let ada = Browser::new(&site);
    ada.follows(&link).await;
    assert!(ada.opens("/account/invitation").await.page.contains("value=\"Ada\""));
    let weak = ada.submits("/account/invitation", "name=&password=password").await;
    assert!(weak.status == 422 && weak.page.contains("Enter your name."), "{}", weak.page);
    let accepted = ada.submits("/account/invitation", &format!("name=Ada+L&password={PASSWORD}")).await;
    assert_eq!((accepted.status, accepted.to.as_str()), (303, "/account"), "{}", accepted.page);
    assert!(ada.is_signed_in().await && site.is_verified().await);
    let user = site.handstamp.users().find_by_email("ada@example.com").await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.groups), ("Ada L", vec!["staff".to_owned()]));
    let other = Browser::new(&site);
    other.follows(&mail.values["link"]).await;
    let again = other.submits("/account/invitation", &format!("name=Eve&password={ANOTHER}")).await;
    assert_eq!(again.status, 404);
    assert!(site.handstamp.users().invite("", "ada@example.com", &[]).await.is_err(), "she has an account");
}

#[tokio::test]
async fn an_invitation_takes_over_an_account_that_was_never_verified() {
    let site = TestSite::at("http://localhost").await;
    let eve = Browser::new(&site);
    eve.registers().await;
    let link = site.handstamp.users().invite("", "ada@example.com", &[]).await.unwrap();
    let ada = Browser::new(&site);
    ada.follows(&link).await;
    let accepted = ada.submits("/account/invitation", &format!("name=Ada&password={ANOTHER}")).await;
    assert_eq!(accepted.status, 303, "{}", accepted.page);
    assert!(!eve.is_signed_in().await && !eve.signs_in("ada@example.com", PASSWORD).await);
    assert!(ada.is_signed_in().await && site.is_verified().await);
}

#[tokio::test]
async fn with_confirmation_the_account_exists_once_its_address_is_confirmed() {
    let site = TestSite::with("http://localhost", |config| config.registration = Registration::Confirm).await;
    let ada = Browser::new(&site);
    let form = format!("name=Ada&email=ada@example.com&password={PASSWORD}");
    let got = ada.submits("/account/register", &form).await;
    assert_eq!((got.status, got.to.as_str()), (303, "/account/verify"));
    assert!(!ada.is_signed_in().await && !ada.signs_in("ada@example.com", PASSWORD).await);
    assert!(site.handstamp.users().find_by_email("ada@example.com").await.unwrap().is_none());
    let mail = site.mail("confirm_registration").await;
    assert_eq!(ada.opens("/account/verify").await.status, 200);
    let stranger = Browser::new(&site);
    let got = stranger.submits("/account/verify", &format!("code={}", mail.values["code"])).await;
    assert!(got.to.starts_with("/account/login"), "the code works in the browser that registered only");
    let got = ada.submits("/account/verify", &format!("code={}", mail.values["code"])).await;
    assert_eq!(got.to, "/account?done=verified", "{}", got.page);
    assert!(ada.is_signed_in().await && site.is_verified().await);
    assert!(stranger.signs_in("ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn a_registration_that_is_confirmed_in_another_browser_has_no_password_of_the_first() {
    let site = TestSite::with("http://localhost", |config| config.registration = Registration::Confirm).await;
    let eve = Browser::new(&site);
    let form = format!("name=Ada&email=ada@example.com&password={PASSWORD}");
    eve.submits("/account/register", &form).await;
    let link = site.mail("confirm_registration").await.values["link"].clone();
    let ada = Browser::new(&site);
    assert_eq!(ada.follows(&link).await, "/account/verify");
    assert_eq!(ada.submits("/account/verify", "").await.to, "/account/reset");
    assert!(!eve.signs_in("ada@example.com", PASSWORD).await);
    assert_eq!(ada.submits("/account/reset", &format!("password={ANOTHER}")).await.status, 303);
    assert!(ada.signs_in("ada@example.com", ANOTHER).await);
}

#[tokio::test]
async fn with_confirmation_a_registration_of_an_address_with_an_account_looks_the_same() {
    let site = TestSite::with("http://localhost", |config| config.registration = Registration::Confirm).await;
    let ada = crate::NewUser { name: "Ada", email: "ada@example.com", password: PASSWORD };
    site.handstamp.users().create(ada).await.unwrap();
    let mut seen = Vec::new();
    for email in ["ada@example.com", "free@example.com"] {
        let stranger = Browser::new(&site);
        let got = stranger.submits("/account/register", &format!("name=Eve&email={email}&password={ANOTHER}")).await;
        let page = stranger.opens("/account/verify").await.page;
        seen.push((got.status, got.to, got.page, page));
    }
    assert_eq!(seen[0], seen[1]);
    let told: Vec<_> = site.mails().await.iter().map(|mail| (mail.template, mail.recipient.clone())).collect();
    assert_eq!(
        told,
        [("already_registered", "ada@example.com".to_owned()), ("confirm_registration", "free@example.com".to_owned())]
    );
}

#[tokio::test]
async fn a_mailed_code_signs_in_in_the_browser_that_asked_only() {
    let site = TestSite::with("http://localhost", |config| config.sign_in.mail = true).await;
    with_ada(&site).await;
    let phone = Browser::new(&site);
    assert!(phone.opens("/account/login").await.page.contains("/account/login/mail"));
    let asked = phone.submits("/account/login/mail", "email=ada@example.com&next=%2Faccount%2Fsessions").await;
    assert_eq!(asked.to, "/account/login/code?next=%2Faccount%2Fsessions");
    let mail = site.mail("sign_in_code").await;
    assert!(!mail.values["link"].is_empty());
    let code = mail.values["code"].replace(' ', "+");
    let thief = Browser::new(&site);
    thief.submits("/account/login/mail", "email=nobody@example.com").await;
    assert_eq!(thief.submits("/account/login/code", &format!("code={code}")).await.status, 422);
    assert_eq!(phone.submits("/account/login/code", "code=12345678").await.status, 422);
    let signed = phone.submits("/account/login/code", &format!("code={code}&next=%2Faccount%2Fsessions")).await;
    assert_eq!((signed.status, signed.to.as_str()), (303, "/account/sessions"), "{}", signed.page);
    assert!(phone.is_signed_in().await);
    let again = Browser { site: &site, cookies: Mutex::new(thief.cookies.lock().unwrap().clone()) };
    assert_eq!(again.submits("/account/login/code", &format!("code={code}")).await.status, 422);

    // Without the setting there are no such pages.
    let off = TestSite::at("http://localhost").await;
    for path in ["/account/login/mail", "/account/login/code"] {
        assert_eq!(Browser::new(&off).opens(path).await.status, 404);
        assert_eq!(Browser::new(&off).submits(path, "email=ada@example.com&code=1").await.status, 404);
    }
}

#[tokio::test]
async fn something_sensitive_asks_for_the_password_again_after_a_quarter_of_an_hour() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    assert_eq!(ada.opens("/account/email").await.status, 200);
    site.clock.advance(Duration::from_secs(15 * 60));
    for path in ["/account/email", "/account/export", "/account/delete"] {
        let got = ada.opens(path).await;
        assert_eq!((got.status, got.to), (303, format!("/account/confirm?next={}", path.replace('/', "%2F"))));
    }
    for path in ["/account/email", "/account/delete"] {
        let got = ada.submits(path, "email=eve@example.com").await;
        assert_eq!(
            (got.status, got.to),
            (303, format!("/account/confirm?next={}", path.replace('/', "%2F"))),
            "{path}"
        );
    }
    assert_eq!(site.mails().await.len(), 0);
    assert!(ada.is_signed_in().await, "it is a matter of the sensitive pages alone");
    let before = ada.cookies.lock().unwrap()["handstamp_session"].0.clone();
    let wrong = ada.submits("/account/confirm", "password=wrong&next=/account/email").await;
    assert!(wrong.status == 422 && wrong.page.contains("This is not your password."), "{}", wrong.page);
    let right = ada.submits("/account/confirm", &format!("password={PASSWORD}&next=/account/email")).await;
    assert_eq!((right.status, right.to.as_str()), (303, "/account/email"), "{}", right.page);
    assert_ne!(ada.cookies.lock().unwrap()["handstamp_session"].0, before, "the session has a new token");
    assert_eq!(ada.opens("/account/email").await.status, 200);
    let copy = Browser::new(&site);
    copy.keeps(&format!("handstamp_session={before}; Path=/"));
    assert!(!copy.is_signed_in().await, "the former token has ended");

    // The same form once more, as by a double click, whose sender still shows the former token.
    let twice = copy.submits("/account/confirm", &format!("password={PASSWORD}&next=/account/email")).await;
    assert_eq!((twice.status, twice.to.as_str()), (303, "/account/email"), "{}", twice.page);
    assert!(copy.is_signed_in().await);
    site.clock.advance(Duration::from_secs(61));
    let late = Browser::new(&site);
    late.keeps(&format!("handstamp_session={before}; Path=/"));
    let got = late.submits("/account/confirm", &format!("password={PASSWORD}")).await;
    assert!(got.to.starts_with("/account/login"), "{}", got.to);
}

#[tokio::test]
async fn a_program_is_told_that_it_has_to_authenticate_again() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    site.clock.advance(Duration::from_secs(15 * 60));
    let token = ada.cookies.lock().unwrap()["handstamp_session"].0.clone();
    let asks = |method: &str, path: &str, body: &str, token: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request =
            request.header("cookie", format!("handstamp_session={token}")).header("origin", "http://localhost");
        site.send(
            request
                .header("accept", "application/json")
                .header("content-type", "application/json")
                .body(Body::from(body.to_owned()))
                .unwrap(),
        )
    };
    let api = "/account/api/v1";
    let sensitive = [
        ("GET", "/account/export".to_owned(), ""),
        ("GET", format!("{api}/export"), ""),
        ("PUT", format!("{api}/email"), r#"{"email":"ada@new.example"}"#),
        ("DELETE", format!("{api}/user"), ""),
    ];
    for (method, path, body) in &sensitive {
        let response = asks(method, path, body, &token).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(problem["type"], "reauthentication-required");
        assert_eq!(asks(method, path, body, "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let wrong = asks("POST", &format!("{api}/session/confirm"), r#"{"password":"wrong"}"#, &token).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let right = asks("POST", &format!("{api}/session/confirm"), r#"{"password":"plum-octave-harbour"}"#, &token).await;
    assert_eq!(right.status(), StatusCode::NO_CONTENT);
    let token = token_of(&right);
    let statuses = [200, 200, 202, 204];
    for ((method, path, body), status) in sensitive.iter().zip(statuses) {
        assert_eq!(asks(method, path, body, &token).await.status().as_u16(), status, "{path}");
    }
    assert_eq!(asks("GET", &format!("{api}/session"), "", &token).await.status(), StatusCode::UNAUTHORIZED);
    let forgot = asks("POST", &format!("{api}/password/forgot"), r#"{"email":"nobody@example.com"}"#, "").await;
    assert_eq!(forgot.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_export_has_everything_that_is_held() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    ada.submits("/account/email", "email=ada@new.example").await;
    let got = ada.opens("/account/export").await;
    let export: serde_json::Value = serde_json::from_str(&got.page).unwrap();
    assert_eq!(export["account"]["email"], "ada@example.com");
    assert_eq!(export["account"]["email_verified"], true);
    assert_eq!(export["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(export["links"][0]["email"], "ada@new.example");
    let events: Vec<_> = export["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events, ["user_verified", "user_created"], "the newest first");
    assert_eq!(export["events"][0]["actor"], "user");
    for secret in ["$argon2", PASSWORD] {
        assert!(!got.page.contains(secret));
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_and_its_owner_is_told() {
    let site = TestSite::at("http://localhost").await;
    let ada = with_ada(&site).await;
    let id = site.ada().await;
    let elsewhere = Browser::new(&site);
    assert!(elsewhere.signs_in("ada@example.com", PASSWORD).await);
    assert!(!elsewhere.signs_in("ada@example.com", "wrong").await);
    ada.submits("/account/email", "email=ada@new.example").await;
    assert_eq!(ada.opens("/account/delete").await.status, 200);
    let before = ada.cookies.lock().unwrap().clone();
    let got = ada.submits("/account/delete", "").await;
    assert_eq!((got.status, got.to.as_str()), (303, "/"), "{}", got.page);
    // A double click: the second form comes with the cookies of the first response.
    assert_eq!(ada.submits("/account/delete", "").await.to, "/");
    assert!(ada.opens("/").await.page.contains("Your account and all of its data are deleted."));
    assert!(!elsewhere.is_signed_in().await && !elsewhere.signs_in("ada@example.com", PASSWORD).await);
    // Or it comes with the session that has ended.
    let again = Browser { site: &site, cookies: Mutex::new(before) };
    assert_eq!(again.submits("/account/delete", "").await.to, "/");

    let mails = site.mails().await;
    let told: Vec<_> = mails.iter().map(|mail| (mail.template, mail.recipient.as_str())).collect();
    assert_eq!(told, [("account_deleted", "ada@example.com")]);
    for trace in ["ada@example.com", "ada@new.example", "Ada", &id.to_string()] {
        assert_eq!(site.find_everywhere(trace.as_bytes()).await, Vec::<String>::new(), "{trace}");
    }
    assert_eq!(site.find_everywhere(id.as_uuid().as_bytes()).await, Vec::<String>::new());
}

async fn count(site: &TestSite, sql: &'static str) -> i64 {
    let path = site.folder.path().join("data/handstamp.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let count = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

impl TestSite {
    /// The columns of all tables in which these bytes occur. The invalidation log names users until every node has applied it.
    async fn find_everywhere(&self, bytes: &[u8]) -> Vec<String> {
        let path = self.folder.path().join("data/handstamp.db");
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        let tables = "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'";
        let columns: Vec<(String, String)> = sqlx::query_as(tables).fetch_all(&pool).await.unwrap();
        assert!(columns.len() > 60, "{columns:?}");
        let mut found = Vec::new();
        for (table, column) in columns {
            if table == "changes" {
                continue;
            }
            let sql = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL");
            let values: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
            if values.iter().any(|value| value.windows(bytes.len()).any(|part| part == bytes)) {
                found.push(format!("{table}.{column}"));
            }
        }
        pool.close().await;
        found
    }
}

#[tokio::test]
async fn a_site_that_sends_no_mail_says_so() {
    let site = TestSite::with("http://localhost", |config| config.mail.url = None).await;
    let ada = Browser::new(&site);
    ada.registers().await;
    let forgot = ada.opens("/account/forgot").await;
    assert!(forgot.status == 200 && forgot.page.contains("This site sends no mail."), "{}", forgot.page);
    let asked = ada.submits("/account/forgot", "email=ada@example.com").await;
    assert!(asked.status == 403 && asked.page.contains("This site sends no mail."), "{}", asked.page);
    let asked = ada.submits("/account/email", "email=ada@new.example").await;
    assert!(asked.status == 403 && asked.page.contains("This site sends no mail."), "{}", asked.page);
    assert_eq!(ada.submits("/account/verify/send", "").await.status, 403);
    assert!(!ada.opens("/account").await.page.contains("/account/verify"));
    assert!(ada.opens("/account/verify").await.page.contains("This site sends no mail."));
    assert_eq!(count(&site, "SELECT COUNT(*) FROM outbox").await, 0);
    // An invitation is printed all the same.
    assert!(site.handstamp.users().invite("", "bob@example.com", &[]).await.is_ok());
    assert_eq!(count(&site, "SELECT COUNT(*) FROM outbox").await, 0);
}

#[tokio::test]
async fn settings_that_need_mail_are_refused_without_it() {
    for (setting, set) in [
        ("registration", (|config| config.registration = Registration::Confirm) as fn(&mut Config)),
        ("sign_in.mail", |config| config.sign_in.mail = true),
    ] {
        let folder = TempFolder::new();
        let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        let mut config = Config::new(url, database, SecretKey::parse(SECRET).unwrap());
        set(&mut config);
        let error = Handstamp::open(config).await.err().unwrap();
        assert!(error.is_config() && error.to_string().contains(&format!("{setting} needs mail")), "{error}");
    }
}

//! Sign-in through other providers of identities: a certified one, and one that is wrong in whatever a test chooses.

mod account;
mod attempts;
mod back_channel_logout;
mod checks;
mod hostile_answers;
mod kinds;
mod linking;
mod whole_flow;

use handstamp_testing::{FakeProvider, OidcProvider, Page, TestServer, Visitor};
use reqwest::Method;

/// The path that begins a sign-in through the provider of these tests.
const ACME: &str = "/account/with/acme";
/// The redirect URI of that provider.
const CALLBACK: &str = "http://localhost/account/with/acme/callback";
/// The site, as the browser knows it.
const SITE: &str = "http://localhost";

/// Sets a setting of the provider, which takes effect at the next start.
fn set(server: &mut TestServer, setting: &str, value: &str) {
    server.set(&format!("HANDSTAMP_PROVIDERS__ACME__{setting}"), value);
}

/// Restarts a server with this provider, whose kind is `oidc`, and with more settings of it.
fn offer(server: &mut TestServer, provider: &FakeProvider, more: &[(&str, &str)]) {
    offer_at(server, provider.url(), (FakeProvider::CLIENT, FakeProvider::SECRET), more);
}

/// Restarts a server with this certified provider.
fn offer_certified(server: &mut TestServer, provider: &OidcProvider) {
    offer_at(server, &provider.url(), (OidcProvider::CLIENT, OidcProvider::SECRET), &[]);
}

fn offer_at(server: &mut TestServer, issuer: &str, (client, secret): (&str, &str), more: &[(&str, &str)]) {
    let settings =
        [("KIND", "oidc"), ("LABEL", "Acme"), ("ISSUER", issuer), ("CLIENT_ID", client), ("CLIENT_SECRET", secret)];
    for (setting, value) in settings.iter().chain(more) {
        set(server, setting, value);
    }
    server.restart();
}

/// Opens a page of the site that redirects to the provider, and returns the URL there.
async fn begins(visitor: &Visitor, path: &str) -> String {
    let page = visitor.opens(path).await;
    assert_eq!(page.status, 303, "{path}: {}", page.body);
    assert!(!page.location().starts_with(SITE), "{path} leads to {}", page.location());
    page.location().to_owned()
}

/// Follows a redirect of the provider to the site, as a browser does.
async fn comes_back(visitor: &Visitor, url: &str) -> Page {
    let path = url.strip_prefix(SITE).unwrap_or_else(|| panic!("{url} is not at the site"));
    let request = visitor.request(Method::GET, path).header("sec-fetch-mode", "navigate");
    visitor.send(request.header("sec-fetch-site", "cross-site")).await
}

/// Signs in through the provider, as its present user. Returns the answer of the site at the end.
async fn signs_in(visitor: &Visitor, provider: &FakeProvider) -> Page {
    let url = begins(visitor, ACME).await;
    comes_back(visitor, &provider.answers(&url)).await
}

/// The target of the first link of a page that begins so.
fn link<'a>(page: &'a str, start: &str) -> Option<String> {
    let unescape = |text: &'a str| text.replace("&#x2f;", "/").replace("&amp;", "&");
    let links = page.split("href=\"").skip(1).map(|rest| unescape(rest.split('"').next().unwrap_or_default()));
    links.into_iter().find(|link| link.starts_with(start))
}

/// Follows the link of the security page that connects the provider, and returns the URL there.
async fn begins_to_connect(visitor: &Visitor) -> String {
    let page = visitor.opens("/account/security").await;
    let link = link(&page.body, "/account/with/acme?start=");
    begins(visitor, &link.unwrap_or_else(|| panic!("{} has no link to connect", page.body))).await
}

/// Connects the present user of the provider with the account of a signed-in visitor.
async fn connects(visitor: &Visitor, provider: &FakeProvider) {
    let url = begins_to_connect(visitor).await;
    let page = comes_back(visitor, &provider.answers(&url)).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let page = visitor.opens("/account/security").await;
    assert!(link(&page.body, "/account/with/acme?start=").is_none(), "it is connected: {}", page.body);
}

/// Asserts that a page tells that a sign-in was refused, and has a way to go on.
#[track_caller]
fn tells_a_refusal(page: &Page) {
    assert!([400, 403, 503].contains(&page.status), "{} {}: {}", page.status, page.location(), page.body);
    let main = page.body.split("<main").nth(1).unwrap_or_default();
    assert!(main.contains("<h1"), "{}", page.body);
    let ways = ["/account/with/", "/account/login", "/account/security", "/account/register"];
    assert!(ways.iter().any(|way| link(main, way).is_some()), "{}", page.body);
}

/// Asserts that the newest refusal in the log has this reason, and how many there are.
#[track_caller]
fn logs_refusal(server: &TestServer, reason: &str, count: usize) {
    let refused = server.events("provider_refused");
    let newest = refused.last().unwrap_or_else(|| panic!("no refusal is logged, not {reason}: {}", server.log()));
    assert_eq!((&newest["provider"], &newest["reason"]), (&"acme".into(), &reason.into()), "{newest}");
    assert_eq!(refused.len(), count, "{refused:?}");
}

/// The number of users.
async fn users(server: &TestServer) -> i64 {
    server.count("SELECT COUNT(*) FROM users").await
}

/// The number of identities that are connected with accounts.
async fn identities(server: &TestServer) -> i64 {
    server.count("SELECT COUNT(*) FROM identities").await
}

/// The path of the link in the mail of this template with this number, from 1. Without a mail server the log shows links.
async fn mailed_link(server: &TestServer, template: &str, number: usize) -> String {
    let mut written = Vec::new();
    for _ in 0..500 {
        written = server.events("mail_written");
        if let Some(mail) = written.iter().filter(|event| event["mail"] == template).nth(number - 1) {
            return mail["link"].as_str().unwrap().strip_prefix(SITE).unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("there are no {number} mails {template}, only {written:?}")
}

/// Lets the owner of an address set a new password by a mailed link, and returns their browser.
async fn owner_resets_password(server: &TestServer, email: &str, password: &str) -> Visitor {
    let owner = server.visitor();
    owner.submits("/account/forgot", &[("email", email)]).await;
    assert_eq!(owner.opens(&mailed_link(server, "reset_password", 1).await).await.location(), "/account/reset");
    let page = owner.submits("/account/reset", &[("password", password)]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    owner
}

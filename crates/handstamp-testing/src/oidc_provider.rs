//! A certified OpenID Connect provider, for the whole flow: oidc-provider from npm.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::start_in_node;
use crate::{Page, Program, TempFolder, Visitor};

/// A running provider. It has two clients, [`OidcProvider::CLIENT`] and `other`, with the same secret.
///
/// Dropping it kills the process.
#[derive(Debug)]
pub struct OidcProvider {
    folder: TempFolder,
    program: Option<Program>,
    port: u16,
}

impl OidcProvider {
    /// The id of the client that is a site of a test.
    pub const CLIENT: &str = "handstamp";
    /// The secret of both clients. It has characters that HTTP Basic authentication of OAuth encodes (RFC 6749 §2.3.1).
    pub const SECRET: &str = "a secret: of 32 bytes & more + %";

    /// Starts a provider, which signs ID tokens by this algorithm, such as `ES256`. The site of the test has these redirect URIs.
    /// `accounts` are objects of claims by the names that sign in; the subject of each is its name.
    ///
    /// # Panics
    /// If it cannot be started, as where `script/test` has not installed oidc-provider.
    pub fn start(algorithm: &str, redirect_uris: &[&str], accounts: &Value) -> Self {
        Self::start_with(algorithm, redirect_uris, accounts, &json!({}))
    }

    /// The same, with more metadata of the client, such as `backchannel_logout_uri`.
    pub fn start_with(algorithm: &str, redirect_uris: &[&str], accounts: &Value, metadata: &Value) -> Self {
        let mut provider = Self { folder: TempFolder::new(), program: None, port: 0 };
        provider.start_again(algorithm, redirect_uris, accounts, metadata);
        provider
    }

    /// Starts the provider again, on the same port and with new keys.
    pub fn start_again(&mut self, algorithm: &str, redirect_uris: &[&str], accounts: &Value, metadata: &Value) {
        self.stop();
        let client = |id: &str| {
            let mut client = json!({
                "client_id": id,
                "client_secret": Self::SECRET,
                "redirect_uris": redirect_uris,
                "id_token_signed_response_alg": algorithm,
            });
            let fields = metadata.as_object().expect("metadata is an object").clone();
            client.as_object_mut().expect("it is written above as an object").extend(fields);
            client
        };
        let options = json!({ "clients": [client(Self::CLIENT), client("other")], "accounts": accounts }).to_string();
        let (program, port) = start_in_node("oidc_provider/provider.mjs", self.folder.path(), &[&options], self.port);
        (self.program, self.port) = (Some(program), port);
    }

    /// Kills the provider. Its port stays the same for [`start_again`](Self::start_again).
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// The URL of the provider, which is its issuer.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new browser at this provider.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.url())
    }

    /// Opens the URL that a site redirects to, signs in by this name and consents, as far as the provider asks. Returns the URL at
    /// the site that the provider redirects to at last.
    ///
    /// # Panics
    /// If the provider shows an error.
    pub async fn signs_in(browser: &Visitor, url: &str, name: &str) -> String {
        let mut page = browser.opens(path_at(browser, url).expect("the URL is at the provider")).await;
        for _ in 0..10 {
            while page.status == 303 {
                let Some(path) = path_at(browser, page.location()) else { return page.location().to_owned() };
                page = browser.opens(path).await;
            }
            let fields = match page.hidden("prompt").first().map(String::as_str) {
                Some("login") => vec![("prompt", "login"), ("login", name), ("password", "any")],
                Some("consent") => vec![("prompt", "consent")],
                _ => panic!("the provider answers {}: {}", page.status, page.body),
            };
            page = browser.submits(path_at(browser, action(&page)).unwrap(), &fields).await;
        }
        panic!("the provider asks again and again: {}", page.body)
    }

    /// Opens the URL that a site redirects to, and refuses. Returns the URL at the site that the provider redirects to.
    pub async fn refuses(browser: &Visitor, url: &str) -> String {
        let page = browser.opens(path_at(browser, url).expect("the URL is at the provider")).await;
        let interaction = path_at(browser, page.location()).unwrap().to_owned();
        let page = browser.opens(&format!("{interaction}/abort")).await;
        browser.opens(path_at(browser, page.location()).unwrap()).await.location().to_owned()
    }

    /// Signs out at the provider, which sends its logout tokens before it answers.
    pub async fn signs_out(browser: &Visitor) {
        let page = browser.opens("/session/end").await;
        let xsrf = page.hidden("xsrf").swap_remove(0);
        let page = browser.submits("/session/end/confirm", &[("xsrf", &xsrf), ("logout", "yes")]).await;
        assert_eq!(page.status, 303, "{}", page.body);
    }

    /// The answers to the logout tokens that were sent: objects with `url` and `status`.
    pub fn logouts(&self) -> Vec<Value> {
        lines_of_json(&self.folder.path().join("logouts"))
    }
}

fn lines_of_json(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The path of a URL at the site of this visitor, or none of another site.
fn path_at<'a>(browser: &Visitor, url: &'a str) -> Option<&'a str> {
    let rest = url.strip_prefix(&browser.url).unwrap_or(url);
    rest.starts_with('/').then_some(rest)
}

/// The URL that the form of a page is sent to.
fn action(page: &Page) -> &str {
    page.body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("the page has a form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_signs_in_once_and_can_refuse() {
        const CALLBACK: &str = "http://localhost/account/with/acme/callback";
        let provider = OidcProvider::start("ES256", &[CALLBACK], &json!({}));
        let fields = [
            ("response_type", "code"),
            ("client_id", OidcProvider::CLIENT),
            ("scope", "openid"),
            ("redirect_uri", CALLBACK),
            ("state", "s"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ];
        let url = url::Url::parse_with_params(&format!("{}/auth", provider.url()), fields).unwrap();
        let ada = provider.visitor();
        for _ in 0..2 {
            let back = OidcProvider::signs_in(&ada, url.as_str(), "ada").await;
            assert!(back.starts_with(CALLBACK) && back.contains("state=s") && back.contains("code="), "{back}");
        }
        let back = OidcProvider::refuses(&provider.visitor(), url.as_str()).await;
        assert!(back.contains("error=access_denied"), "{back}");
        OidcProvider::signs_out(&ada).await;
        assert!(provider.logouts().is_empty(), "the client has no URI for logout tokens");
    }
}

//! A visitor for tests: an HTTP client with the cookie jar and the headers of a browser.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, redirect};

/// The name of the session cookie of a site whose public URL names no port.
pub const COOKIE: &str = "handstamp_session";
/// The name of the device cookie, which names the accounts that have signed in with a browser.
pub const DEVICE_COOKIE: &str = "handstamp_device";
/// The `User-Agent` header of every visitor.
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// A visitor with a browser, which keeps cookies and sends the headers that browsers send.
///
/// Methods panic if the server cannot be reached, except [`Self::tries`].
#[derive(Debug)]
pub struct Visitor {
    client: Client,
    /// The URL of the site, without a path.
    pub url: String,
    cookies: Mutex<BTreeMap<String, String>>,
    /// The `X-Forwarded-For` header that a proxy adds to the requests.
    forwarded_for: Option<String>,
}

/// A response.
#[derive(Debug)]
pub struct Page {
    /// The status, such as 303.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, which must be text.
    pub body: String,
}

impl Visitor {
    /// A visitor of the site at this URL, with a new browser.
    pub fn new(url: &str) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).user_agent(FIREFOX);
        // Another process may listen on the same port over IPv6.
        let client = client.resolve("localhost", (Ipv4Addr::LOCALHOST, 0).into()).build().unwrap();
        Self { client, url: url.to_owned(), cookies: Mutex::default(), forwarded_for: None }
    }

    /// Another client with a copy of this visitor's cookies.
    pub fn copy(&self) -> Self {
        let copy = Self::new(&self.url);
        *copy.cookies.lock().unwrap() = self.cookies.lock().unwrap().clone();
        copy
    }

    /// The same browser behind a proxy that sends this `X-Forwarded-For` header.
    pub fn comes_from(mut self, forwarded_for: &str) -> Self {
        self.forwarded_for = Some(forwarded_for.to_owned());
        self
    }

    /// The same cookies sent to another node.
    pub fn at(&self, url: &str) -> Self {
        let mut copy = self.copy();
        copy.follows(url);
        copy
    }

    /// The same browser after the server has moved to another port.
    pub fn follows(&mut self, url: &str) {
        url.clone_into(&mut self.url);
    }

    /// A request without headers other than the cookies.
    pub fn bare_request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let cookies = self.cookies.lock().unwrap();
        if cookies.is_empty() {
            return request;
        }
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.header("cookie", pairs.join("; "))
    }

    /// A request with the cookies and the `Accept` header of a browser.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare_request(method, path).header("accept", "text/html");
        match &self.forwarded_for {
            Some(forwarded_for) => request.header("x-forwarded-for", forwarded_for),
            None => request,
        }
    }

    /// Sends a request, and keeps the cookies of the response. Redirects are not followed.
    pub async fn send(&self, request: RequestBuilder) -> Page {
        self.tries(request).await.unwrap()
    }

    /// The page, or an error if the connection broke before the whole response had arrived.
    pub async fn tries(&self, request: RequestBuilder) -> reqwest::Result<Page> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        Ok(Page { status, headers, body: response.text().await? })
    }

    fn keep(&self, cookie: &str) {
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        let mut cookies = self.cookies.lock().unwrap();
        if cookie.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Whether the browser holds a session cookie, of a live session or not.
    pub fn has_cookie(&self) -> bool {
        self.cookies.lock().unwrap().contains_key(COOKIE)
    }

    /// The session token in the cookie; panics without one.
    pub fn token(&self) -> String {
        self.cookies.lock().unwrap()[COOKIE].clone()
    }

    /// Replaces the session cookie by one with this token.
    pub fn presents(&self, token: &str) {
        self.presents_as(COOKIE, token);
    }

    /// Replaces a cookie.
    pub fn presents_as(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// The value of the device cookie; panics without one.
    pub fn device(&self) -> String {
        self.cookies.lock().unwrap()[DEVICE_COOKIE].clone()
    }

    /// Opens a page by its address.
    pub async fn opens(&self, path: &str) -> Page {
        let request = self.request(Method::GET, path).header("sec-fetch-mode", "navigate");
        self.send(request.header("sec-fetch-site", "none")).await
    }

    /// Submits a form of the site.
    pub async fn submits(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(self.form(path, fields)).await
    }

    /// A form, filled in and not yet sent.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.form_raw(path, body)
    }

    /// Submits a form with this body.
    pub async fn submits_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Page {
        self.send(self.form_raw(path, body)).await
    }

    fn form_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin")
            .header("origin", &self.url)
            .body(body)
    }

    /// Registers an account.
    pub async fn registers(&self, name: &str, email: &str, password: &str) -> Page {
        self.submits("/account/register", &[("name", name), ("email", email), ("password", password)]).await
    }

    /// Signs in, with the session remembered.
    pub async fn signs_in(&self, email: &str, password: &str) -> Page {
        self.submits("/account/login", &[("email", email), ("password", password), ("remember", "on")]).await
    }

    /// Signs out.
    pub async fn signs_out(&self) -> Page {
        self.submits("/account/logout", &[]).await
    }

    /// Signs out by the page or by the API, with these cookies instead of the browser's.
    pub async fn ends_with(&self, by_api: bool, cookies: &str) -> Page {
        let request = if by_api {
            self.request(Method::DELETE, "/account/api/v1/session").header("sec-fetch-site", "same-origin")
        } else {
            self.form("/account/logout", &[])
        };
        self.send(request.header("cookie", cookies)).await
    }

    /// Signs out and retries after a 503, which a busy disk causes once in some thousand requests. Only a confirmed sign-out
    /// counts.
    pub async fn signs_out_at_last(&self) {
        let mut page = self.signs_out().await;
        while page.status == 503 {
            page = self.signs_out().await;
        }
        assert_eq!(page.status, 303);
    }

    /// Changes the password on the password page.
    pub async fn changes_password(&self, current: &str, new: &str) -> Page {
        self.submits("/account/password", &[("current_password", current), ("password", new)]).await
    }

    /// Whether the account page is shown; otherwise it must redirect to sign in.
    pub async fn is_signed_in(&self) -> bool {
        let page = self.opens("/account").await;
        assert!(page.status == 200 || page.location() == "/account/login?next=%2Faccount", "{}", page.status);
        page.status == 200
    }
}

impl Page {
    /// A header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The URL of a redirect, or an empty text.
    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// The `Set-Cookie` line of the session cookie, or an empty text.
    pub fn set_cookie(&self) -> &str {
        let lines = self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        let ours: Vec<_> = lines.filter(|line| line.starts_with(COOKIE)).collect();
        assert!(ours.len() <= 1, "{ours:?}");
        ours.first().copied().unwrap_or_default()
    }

    /// Whether the body contains this text.
    pub fn shows(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// The values of all hidden fields of this name.
    pub fn hidden(&self, name: &str) -> Vec<String> {
        let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
        let values = self.body.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap());
        values.map(|value| value.replace("&#x2f;", "/")).collect()
    }

    /// The error message beside the field.
    pub fn error_of(&self, field: &str) -> Option<String> {
        let start = format!("id=\"{field}-error\"><span class=\"visually-hidden\">Error: </span>");
        let rest = self.body.split(&start).nth(1)?;
        Some(rest.split("</p>").next().unwrap().to_owned())
    }
}

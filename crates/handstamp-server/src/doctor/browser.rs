//! The HTTP client of the doctor: it sends headers unchanged and follows no redirects.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::AsHeaderName;
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum length of a response body. A longer one is an error, since the checks could not see what it shows.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A client for one site. It sends requests unchanged, follows no redirects and keeps no cookies.
pub(super) struct Browser {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: Scheme,
    authority: Authority,
}

/// A response with its whole body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Headers beyond those of every request.
pub(super) type Extra<'a> = [(&'a str, &'a str)];

impl Browser {
    /// A client for the site of this URL.
    pub(super) fn new(url: &Uri) -> Result<Self, String> {
        let (Some(scheme), Some(authority)) = (url.scheme().cloned(), url.authority().cloned()) else {
            return Err("must be a URL that begins with http:// or https://".to_owned());
        };
        Self::connecting(scheme, authority, None)
    }

    /// The same client with another address of this machine, if the site is on this machine.
    pub(super) fn at_address(&self, address: Ipv4Addr) -> Result<Self, String> {
        Self::connecting(self.scheme.clone(), self.authority.clone(), Some(address.into()))
    }

    fn connecting(scheme: Scheme, authority: Authority, from: Option<IpAddr>) -> Result<Self, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_local_address(from);
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("the certificates of this machine cannot be read: {error}"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).http1_title_case_headers(true).build(connector);
        Ok(Self { client, scheme, authority })
    }

    pub(super) fn scheme(&self) -> &str {
        self.scheme.as_str()
    }

    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Whether the site is at the loopback address.
    pub(super) fn is_local(&self) -> bool {
        let host = self.authority.host();
        host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// The scheme, the host and the port.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    pub(super) async fn get(&self, path: &str, cookie: &str, extra: &Extra<'_>) -> Result<Answer, String> {
        self.send(Method::GET, path, cookie, extra, Body::empty()).await
    }

    /// Sends a CORS preflight.
    pub(super) async fn preflights(&self, path: &str, cookie: &str, extra: &Extra<'_>) -> Result<Answer, String> {
        self.send(Method::OPTIONS, path, cookie, extra, Body::empty()).await
    }

    /// Posts a form with these headers instead of those of the site's own pages.
    pub(super) async fn writes(&self, path: &str, cookie: &str, extra: &Extra<'_>) -> Result<Answer, String> {
        let form = (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        self.send(Method::POST, path, cookie, &[extra, &[form]].concat(), "a=b".into()).await
    }

    /// Posts a body of this many zero bytes.
    pub(super) async fn posts(&self, path: &str, cookie: &str, bytes: usize) -> Result<Answer, String> {
        let origin = self.origin();
        let extra = [(ORIGIN.as_str(), origin.as_str()), (CONTENT_TYPE.as_str(), "application/octet-stream")];
        self.send(Method::POST, path, cookie, &extra, vec![0; bytes].into()).await
    }

    /// Submits a form of the account pages.
    pub(super) async fn submit(
        &self,
        path: &str,
        cookie: &str,
        extra: &Extra<'_>,
        fields: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let origin = self.origin();
        let mut headers =
            vec![(ORIGIN.as_str(), origin.as_str()), (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        headers.extend_from_slice(extra);
        self.send(Method::POST, path, cookie, &headers, body.into()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: &str,
        extra: &Extra<'_>,
        body: Body,
    ) -> Result<Answer, String> {
        let path = PathAndQuery::try_from(path).map_err(|error| error.to_string())?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        let mut request = Request::builder().method(method).uri(uri.build().map_err(|error| error.to_string())?);
        if !cookie.is_empty() {
            request = request.header(COOKIE, cookie);
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| explain(&error))?;
            let (parts, body) = response.into_parts();
            let body = to_bytes(Body::new(body), MAX_BODY_BYTES).await.map_err(|error| {
                format!("the body of the response cannot be read up to its end within 1 MiB: {}", explain(&error))
            })?;
            #[expect(clippy::disallowed_methods, reason = "it is searched for text that we sent, which is ASCII")]
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(TIMEOUT, answered).await.unwrap_or_else(|_| Err("there was no response".to_owned()))
    }
}

/// The error with its whole chain of causes, since the first only says that the request failed.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Answer {
    /// The first header of this name; empty if there is none or if it is not ASCII.
    pub(super) fn header(&self, name: impl AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn location(&self) -> &str {
        self.header(LOCATION)
    }

    /// The values of its Set-Cookie headers.
    pub(super) fn set_cookies(&self) -> impl Iterator<Item = &str> {
        self.headers.get_all(SET_COOKIE).iter().filter_map(|value: &HeaderValue| value.to_str().ok())
    }

    /// Whether access to a page is denied: by an error, or by a redirect to the sign-in page.
    pub(super) fn keeps_out(&self) -> bool {
        self.status == 400 || self.refuses() || self.leads_to_sign_in()
    }

    pub(super) fn refuses(&self) -> bool {
        matches!(self.status.as_u16(), 401 | 403)
    }

    pub(super) fn leads_to_sign_in(&self) -> bool {
        matches!(self.status.as_u16(), 302 | 303) && self.location().contains("/account/login")
    }
}

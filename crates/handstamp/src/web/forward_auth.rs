//! Forward authentication: before a reverse proxy passes a request on to an app, it sends an authorization subrequest.
//!
//! The response is 200 with all headers for the app, or a status that keeps the request from it. The session is always looked up
//! first, so that no field of the subrequest can skip it.

mod subrequest;

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, REFERER, SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use handstamp_core::{AssuranceLevel, GroupName, cookie};
use percent_encoding::{CONTROLS, percent_encode};
use url::Url;

use super::SharedSite;
use super::authenticate;
use super::client_address::comes_through_a_trusted_proxy;
use super::host;
use super::identity_headers;
use super::legacy::{self, RESUME};
use super::negotiate::is_navigation;
use super::urls::{Origin, confirmation_page, with_form_not_sent};
use super::user::Visitor;
use super::web_error::WebError;
use crate::events::Event;
use crate::sessions::Session;
pub(super) use subrequest::SubrequestOptions;

const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The path prefix of the subrequests of Envoy.
const ENVOY: &str = "/auth/envoy";

/// The original request that a subrequest is about.
pub(super) struct OriginalRequest<'a> {
    pub(super) method: Method,
    pub(super) origin: Origin,
    /// The path and query, in ASCII.
    pub(super) target: Cow<'a, str>,
}

/// The decision of the access rules about a request.
enum Decision {
    /// It may pass: the response has the identity headers.
    Allowed(Response),
    /// The visitor has to sign in first.
    SignIn,
    /// The visitor may have a session of the former framework, which has to be exchanged first.
    Exchange,
    /// The user has to authenticate again first, and to reach this assurance level.
    Confirm(Option<AssuranceLevel>),
}

/// For nginx's `auth_request`, which takes 200, 401 and 403, and treats any other status as an error. The `Location` of the 401
/// is the sign-in page.
pub(super) fn request(
    State(site): State<SharedSite>,
    request: Request,
) -> impl Future<Output = Result<Response, WebError>> + Send {
    with_visitor(site, request, |site, request, visitor| {
        let (original, options) = original_request(site, request)?;
        let (mut response, page) = match decide(site, request.headers(), visitor, &original, &options)? {
            Decision::Allowed(response) => return Ok(response),
            Decision::SignIn => (WebError::SignedOut.into_response(), SIGN_IN.to_owned()),
            Decision::Exchange => (WebError::SignedOut.into_response(), RESUME.to_owned()),
            Decision::Confirm(level) => (too_weak().into_response(), confirmation_page(level)),
        };
        response.headers_mut().insert(LOCATION, location(site, request.headers(), &original, &page)?);
        Ok(response)
    })
}

/// For Caddy's `forward_auth` and Traefik's ForwardAuth, which pass every response but 2xx on to the client.
pub(super) fn forward(
    State(site): State<SharedSite>,
    request: Request,
) -> impl Future<Output = Result<Response, WebError>> + Send {
    with_visitor(site, request, |site, request, visitor| {
        let (original, options) = original_request(site, request)?;
        answer(site, request.headers(), visitor, &original, &options)
    })
}

/// For Envoy's `ext_authz`, which sends the method and the path of the original request. So the query is the app's, and Envoy
/// cannot require more than a signed-in user.
pub(super) fn envoy(
    State(site): State<SharedSite>,
    request: Request,
) -> impl Future<Output = Result<Response, WebError>> + Send {
    with_visitor(site, request, |site, request, visitor| {
        let sent = request.uri().path_and_query().map_or("", |target| target.as_str());
        let target = sent.split_once(ENVOY).map_or("", |(_, target)| target);
        let target = if target.starts_with('/') { in_ascii(target.as_bytes()) } else { format!("/{target}").into() };
        let scheme = scheme(site, request)?;
        let host = host::asked_for(request).ok_or_else(malformed)?;
        let original = OriginalRequest { method: request.method().clone(), origin: origin(scheme, host)?, target };
        answer(site, request.headers(), visitor, &original, &SubrequestOptions::default())
    })
}

/// Looks up the visitor, and then answers the subrequest.
#[expect(clippy::manual_async_fn, reason = "an async fn would store the request twice, which is large")]
fn with_visitor(
    site: SharedSite,
    request: Request,
    answer: impl FnOnce(&SharedSite, &Request, &Visitor) -> Result<Response, WebError> + Send,
) -> impl Future<Output = Result<Response, WebError>> + Send {
    async move {
        let visitor = authenticate::look_up(&site, request.headers()).await?;
        answer(&site, &request, &visitor)
    }
}

/// The keys that verify assertions.
pub(super) async fn keys(State(site): State<SharedSite>) -> Response {
    let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, site.services.assertions.published_keys()).into_response()
}

/// The response: 200 if the request may pass. A navigation of an anonymous visitor is redirected to the sign-in page, and one of a
/// user who has to authenticate again to the page for it. Other requests get 401.
pub(super) fn answer(
    site: &SharedSite,
    headers: &HeaderMap,
    visitor: &Visitor,
    original: &OriginalRequest<'_>,
    options: &SubrequestOptions,
) -> Result<Response, WebError> {
    let (page, refusal) = match decide(site, headers, visitor, original, options)? {
        Decision::Allowed(allowed) => return Ok(allowed),
        Decision::SignIn => (SIGN_IN.to_owned(), WebError::SignedOut),
        Decision::Exchange => (RESUME.to_owned(), WebError::SignedOut),
        Decision::Confirm(level) => (confirmation_page(level), too_weak()),
    };
    if !is_navigation(&original.method, headers) {
        return Err(refusal);
    }
    let carries_over = matches!(original.method, Method::GET | Method::HEAD);
    let status = if carries_over { StatusCode::FOUND } else { StatusCode::SEE_OTHER };
    Ok((status, [(LOCATION, location(site, headers, original, &page)?)]).into_response())
}

const SIGN_IN: &str = "/account/login";

fn too_weak() -> WebError {
    WebError::refused(StatusCode::UNAUTHORIZED, "You are signed in, but for this you have to authenticate again.")
}

/// Decides about a request by the access rules.
fn decide(
    site: &SharedSite,
    headers: &HeaderMap,
    visitor: &Visitor,
    original: &OriginalRequest<'_>,
    options: &SubrequestOptions,
) -> Result<Decision, WebError> {
    let is_preflight = options.passes_preflights && is_preflight(&original.method, headers);
    let identity = match visitor.session().filter(|_| !is_preflight) {
        Some(session) => {
            if !options.allow_groups_of(&session.user) {
                Event::AuthzFail { user: session.user.id, group: None, origin: Some(original.origin.as_str()) }
                    .record();
                return Err(WebError::not_in_the_group());
            }
            let authentication = session.authentication;
            let is_too_old = |most| site.services.sessions.now().since(authentication.at()) > most;
            let required = site.services.required_assurance(&session.user);
            let is_strong = options.allow_assurance_of(authentication) && authentication.assurance() >= required;
            if !is_strong || options.max_age.is_some_and(is_too_old) {
                let wanted = options.assurance.map_or(required, |wanted| wanted.max(required));
                return Ok(Decision::Confirm((wanted > AssuranceLevel::ONE_FACTOR).then_some(wanted)));
            }
            identity_response_headers(site, headers, session, original, &options.groups)?
        }
        // The browser may send the cookie to this host alone, where a page for everybody needs no session.
        None if (!options.for_everybody || site.urls.is_own(&original.origin))
            && legacy::leads_to_exchange(site, &original.method, headers) =>
        {
            return Ok(Decision::Exchange);
        }
        None if is_preflight || options.for_everybody => {
            let mut identity = identity_headers::anonymous_identity_headers(site);
            identity.insert(COOKIE, cookies_of_the_app(headers)?);
            identity
        }
        None => return Ok(Decision::SignIn),
    };
    let mut response = Response::default();
    *response.headers_mut() = identity;
    Ok(Decision::Allowed(response))
}

/// Whether a request is a CORS preflight (Fetch Standard, "CORS-preflight request"). Browsers send no cookies with it.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response headers for a signed-in user: the identity headers, the cookies of the app, and a new session cookie if needed.
fn identity_response_headers(
    site: &SharedSite,
    sent: &HeaderMap,
    session: &Session,
    original: &OriginalRequest<'_>,
    groups: &[GroupName],
) -> Result<HeaderMap, WebError> {
    let mut headers =
        site.identity_headers.get_or_sign(session, &original.origin, groups, site).map_err(|_| malformed())?;
    headers.insert(COOKIE, cookies_of_the_app(sent)?);
    if let Some(cookie) = authenticate::reissued_cookie(site, session) {
        headers.insert(SET_COOKIE, cookie);
    }
    Ok(headers)
}

/// The app's own cookies, without ours. No proxy can remove one cookie from a header, but all can copy a whole header.
fn cookies_of_the_app(sent: &HeaderMap) -> Result<HeaderValue, WebError> {
    let cookies = cookie::strip_own(sent.get_all(COOKIE).iter().map(HeaderValue::as_bytes));
    HeaderValue::try_from(cookies).map_err(|_| malformed())
}

/// The URL of the sign-in page, or of another page of ours. The return URL is the target of the original request, or for a form the
/// page that contained it. The entered data is lost, and the target of a form need not be a page.
fn location(
    site: &SharedSite,
    headers: &HeaderMap,
    original: &OriginalRequest<'_>,
    page: &str,
) -> Result<HeaderValue, WebError> {
    let url = if matches!(original.method, Method::GET | Method::HEAD) {
        site.urls.page_url_for(page, &original.origin, &original.target)
    } else {
        let referer = headers.get(REFERER).and_then(|referer| referer.to_str().ok());
        let form = referer.and_then(|referer| original.origin.path_of(referer)).unwrap_or("/");
        with_form_not_sent(site.urls.page_url_for(page, &original.origin, form))
    };
    HeaderValue::try_from(url).map_err(|_| malformed())
}

/// The original request, and the access rules of the subrequest. Caddy and Traefik describe the request in `X-Forwarded` headers,
/// and nginx is configured to do so. Without them the original request is one to this site itself.
fn original_request<'a>(
    site: &SharedSite,
    request: &'a Request,
) -> Result<(OriginalRequest<'a>, SubrequestOptions), WebError> {
    let headers = request.headers();
    let method = match single_text(headers, FORWARDED_METHOD)? {
        Some(method) => Method::from_bytes(method.as_bytes()).map_err(|_| malformed())?,
        None => request.method().clone(),
    };
    let scheme = scheme(site, request)?;
    let origin = match single_text(headers, FORWARDED_HOST)? {
        Some(host) => origin(scheme, host)?,
        None => site.urls.origin(),
    };
    let target = in_ascii(single_header(headers, FORWARDED_URI)?.map_or(b"/", HeaderValue::as_bytes));
    if !target.starts_with('/') {
        return Err(malformed());
    }
    let query = in_ascii(request.uri().query().unwrap_or_default().as_bytes());
    let options = SubrequestOptions::parse(&query, &target)
        .map_err(|message| WebError::refused(StatusCode::BAD_REQUEST, message))?;
    Ok((OriginalRequest { method, origin, target }, options))
}

/// A target as its client should have encoded it: clients that are no browsers send bytes beyond ASCII unencoded, and proxies
/// pass them on.
pub(super) fn in_ascii(target: &[u8]) -> Cow<'_, str> {
    percent_encode(target, CONTROLS).into()
}

/// The value of a header as text, if it is present; an error if it is present more than once.
fn single_text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, WebError> {
    single_header(headers, name)?.map(HeaderValue::to_str).transpose().map_err(|_| malformed())
}

/// The value of a header, if it is present; an error if it is present more than once.
fn single_header(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, WebError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(malformed()) } else { Ok(value) }
}

/// The scheme of the original request. Where each of several proxies in a row has added its own, the first counts, if the proxies
/// are trusted: otherwise any client may have written it.
fn scheme(site: &SharedSite, request: &Request) -> Result<&'static str, WebError> {
    let lines = request.headers().get_all(FORWARDED_PROTO);
    let mut schemes = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(parse_scheme);
    let Some(first) = schemes.next().transpose()? else { return Ok(site.urls.scheme()) };
    let others: Vec<_> = schemes.collect::<Result<_, _>>()?;
    if others.is_empty() || comes_through_a_trusted_proxy(site, request) { Ok(first) } else { Err(malformed()) }
}

fn parse_scheme(text: &[u8]) -> Result<&'static str, WebError> {
    match text.trim_ascii() {
        b"https" | b"wss" => Ok("https"),
        b"http" | b"ws" => Ok("http"),
        _ => Err(malformed()),
    }
}

/// The longest host in characters (RFC 1035 §2.3.4 allows 255 bytes, two of which are not written), and the longest port with its
/// colon.
const MAX_HOST: usize = 253;
const MAX_PORT: usize = ":65535".len();

/// An origin as browsers serialize it (RFC 6454 §6.2).
pub(super) fn origin(scheme: &'static str, host: &str) -> Result<Origin, WebError> {
    if host.len() > MAX_HOST + MAX_PORT {
        return Err(malformed());
    }
    if is_canonical_host(host) {
        return Ok(Origin::new(scheme, host));
    }
    // The parser would take the text after or before these characters for another part of the URL.
    let is_authority =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#@".contains(&byte));
    let url = is_authority.then(|| Url::parse(&format!("{scheme}://{host}/")).ok()).flatten().ok_or_else(malformed)?;
    let name = url.host_str().filter(|name| name.len() <= MAX_HOST).ok_or_else(malformed)?;
    Ok(url.port().map_or_else(|| Origin::new(scheme, name), |port| Origin::new(scheme, &format!("{name}:{port}"))))
}

/// Whether a host is certainly spelled as browsers do, as nearly every host is. Parsing it would take 7,000 instructions.
fn is_canonical_host(host: &str) -> bool {
    let is_canonical_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut labels = host.split('.');
    let all_plain = labels.clone().all(|label| !label.starts_with("xn--") && label.bytes().all(is_canonical_host));
    // A last label that begins with a digit may be that of an IPv4 address.
    host.len() <= MAX_HOST
        && all_plain
        && labels.next_back().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_lowercase()))
}

fn malformed() -> WebError {
    WebError::refused(StatusCode::BAD_REQUEST, "The proxy's question is not one that we understand.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_at_most_253_characters_and_a_port() {
        let host = |length: usize| format!("{}a", "a.".repeat(length / 2));
        for (good, bad) in [
            (host(253), host(255)),
            (format!("{}:65535", host(253)), format!("{}:65535", host(255))),
            (host(253).to_uppercase(), host(255).to_uppercase()),
            (host(251), "a".repeat(25_000)),
        ] {
            assert!(origin("https", &good).is_ok(), "{good}");
            assert!(origin("https", &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_that_skip_the_url_parser_are_spelled_as_browsers_do() {
        // Enumerates the hosts of four pieces, which are valid in a host or look similar.
        let pieces = ["a", "7", "0x7f", ".", "-", "xn--", "a--b", "A", ":80", "_", "é", "%61"];
        let (mut plain, mut others) = (0, 0);
        for count in 0..pieces.len().pow(4) {
            let host: String = (0..4).map(|url| pieces[count / pieces.len().pow(url) % pieces.len()]).collect();
            if is_canonical_host(&host) {
                let url = Url::parse(&format!("https://{host}/")).unwrap();
                assert_eq!((url.host_str(), url.port()), (Some(host.as_str()), None));
                plain += 1;
            } else {
                others += 1;
            }
        }
        assert!(plain > 100 && others > 1000, "{plain} {others}");
    }
}

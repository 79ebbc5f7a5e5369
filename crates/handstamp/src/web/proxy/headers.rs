//! The headers that pass between a browser and an app, and those that do not.

use std::net::IpAddr;

use axum::http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue};
use handstamp_core::cookie;

use crate::web::identity_headers;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The headers of one connection (RFC 9110 §7.6.1), which are not passed on.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// The address of a client, and the scheme and host of its request. The app gets them as `X-Forwarded-…` and `Host`.
pub(super) struct Origin<'a> {
    /// The address of the peer of our connection.
    pub(super) peer: Option<IpAddr>,
    /// Whether the peer is a trusted proxy, so that its `X-Forwarded-For` goes on.
    pub(super) trusted: bool,
    pub(super) scheme: &'static str,
    /// The host and port as the client has written them.
    pub(super) host: &'a HeaderValue,
}

/// The headers for the app, from those of a client and from the response to the authorization subrequest, which has the identity
/// headers and the cookies of the app. `upgrade` is the protocol that the client offers to switch to.
pub(super) fn for_the_app(
    headers: &mut HeaderMap,
    origin: &Origin<'_>,
    identity: &mut HeaderMap,
    upgrade: Option<HeaderValue>,
) {
    let accepts_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    let forwarded_for = headers.get_all(FORWARDED_FOR).iter().filter(|_| origin.trusted).cloned().collect::<Vec<_>>();
    remove_hop_by_hop(headers);
    remove_forged(headers);
    for name in identity_headers::ALL {
        headers.insert(name.clone(), identity.remove(name).unwrap_or(HeaderValue::from_static("")));
    }
    match identity.remove(COOKIE) {
        Some(cookies) if !cookies.is_empty() => drop(headers.insert(COOKIE, cookies)),
        _ => drop(headers.remove(COOKIE)),
    }
    headers.insert(HOST, origin.host.clone());
    headers.insert(FORWARDED_HOST, origin.host.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(origin.scheme));
    for line in forwarded_for {
        headers.append(FORWARDED_FOR, line);
    }
    if let Some(peer) = origin.peer.and_then(|peer| HeaderValue::try_from(text_of(peer.to_canonical())).ok()) {
        headers.append(FORWARDED_FOR, peer);
    }
    match upgrade {
        Some(protocol) => {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol);
        }
        None if accepts_trailers => {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        None => {}
    }
}

/// An address as text. Its `Display` takes 1,300 instructions.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// The headers for the browser, from those of the app. The app can neither set nor remove our cookies.
pub(super) fn for_the_browser(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    if headers.get_all(SET_COOKIE).iter().any(sets_our_cookie) {
        let theirs: Vec<_> =
            headers.get_all(SET_COOKIE).iter().filter(|value| !sets_our_cookie(value)).cloned().collect();
        replace(headers, &SET_COOKIE, theirs);
    }
    if headers.contains_key(CLEAR_SITE_DATA) {
        let kept: Vec<_> = headers.get_all(CLEAR_SITE_DATA).iter().filter_map(without_cookies).collect();
        replace(headers, &CLEAR_SITE_DATA, kept);
    }
}

/// The trailer fields of a request that may pass. Programs merge them with the headers.
pub(super) fn trailers_for_the_app(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    remove_forged(trailers);
    for name in [COOKIE, HOST, EXPECT, ACCEPT, TRAILER] {
        trailers.remove(name);
    }
}

/// The trailer fields of a response that may pass.
pub(super) fn trailers_for_the_browser(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [SET_COOKIE, CLEAR_SITE_DATA] {
        trailers.remove(name);
    }
}

/// The protocol to which a client offers to switch (RFC 9110 §7.8). HTTP/2 and TLS are left out: requests within them would reach
/// the app without our rules.
pub(super) fn offered_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offers = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    let mut offered = headers.get_all(UPGRADE).iter();
    match (offers, offered.next(), offered.next()) {
        (true, Some(protocol), None) if is_for_one_connection(protocol) => Some(protocol.clone()),
        _ => None,
    }
}

/// Whether it is one protocol that carries no requests of HTTP.
fn is_for_one_connection(protocol: &HeaderValue) -> bool {
    let text = protocol.as_bytes().trim_ascii();
    let is_token = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(byte));
    let carries_http =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()));
    !text.is_empty() && is_token && !["h2", "h3", "http", "tls"].into_iter().any(carries_http)
}

/// Whether a list of tokens has this one, in any case.
fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Removes the headers of one connection, those that `Connection` names, and a length beside a transfer coding.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most responses have none of these, and to look each of them up takes longer.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    // Of two lengths this one does not count, and it would be the only one to go on (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        named.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
    }
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // The first letter rules out most headers.
    matches!(name.as_str().as_bytes().first(), Some(b'c' | b'k' | b'p' | b't' | b'u' | b'h'))
        && HOP_BY_HOP.contains(name)
}

/// Removes the headers by which a client could pretend to be this proxy, in every spelling that programs treat as the same: CGI
/// and WSGI read `Remote_User` as `Remote-User`.
fn remove_forged(headers: &mut HeaderMap) {
    let forged: Vec<_> = headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn is_forged(spelled: &str) -> bool {
    // The first letter rules out most headers. The fifth one is that of `Proxy`, which CGI programs read as HTTP_PROXY.
    if !matches!(spelled.as_bytes().first(), Some(b'r' | b'h' | b'x' | b'f' | b'p' | b'c' | b't')) {
        return false;
    }
    let name: String =
        spelled.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let is_identity = ["remote-user", "remote-name", "remote-email", "remote-groups"].contains(&name.as_str());
    let is_path = ["x-real-ip", "x-original-url", "x-original-uri", "x-rewrite-url"].contains(&name.as_str());
    let is_proxy = name == "forwarded" || name == "proxy" || name.starts_with("x-forwarded-");
    let is_length = name != spelled && ["content-length", "transfer-encoding"].contains(&name.as_str());
    is_identity || is_path || is_proxy || is_length || name.starts_with("handstamp-")
}

/// Whether a browser would store a cookie of ours. A cookie without a name is sent back as its value alone.
fn sets_our_cookie(value: &HeaderValue) -> bool {
    let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let skipped = pair.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b'=').count();
    cookie::is_own(&pair[skipped..])
}

/// The directives of `Clear-Site-Data` that leave cookies alone.
fn without_cookies(value: &HeaderValue) -> Option<HeaderValue> {
    let directives = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut kept = Vec::new();
    for directive in directives {
        match directive {
            b"\"*\"" => kept.extend([b"\"cache\"".as_slice(), b"\"storage\"", b"\"executionContexts\""]),
            _ if directive.to_ascii_lowercase().windows(6).any(|part| part == b"cookie") => {}
            _ => kept.push(directive),
        }
    }
    HeaderValue::from_bytes(&kept.join(b", ".as_slice())).ok().filter(|value| !value.is_empty())
}

fn replace(headers: &mut HeaderMap, name: &HeaderName, values: Vec<HeaderValue>) {
    headers.remove(name);
    for value in values {
        headers.append(name.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn passed(lines: &[(&str, &str)], trusted: bool) -> Vec<String> {
        let mut headers = map(lines);
        let host = HeaderValue::from_static("site.example");
        let origin = Origin { peer: Some([192, 0, 2, 1].into()), trusted, scheme: "https", host: &host };
        let mut identity = map(&[("remote-user", "ada"), ("handstamp-assertion", "signed"), ("cookie", "theme=dark")]);
        let upgrade = offered_protocol(&headers);
        for_the_app(&mut headers, &origin, &mut identity, upgrade);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const ALWAYS: [&str; 9] = [
        "cookie: theme=dark",
        "handstamp-assertion: signed",
        "host: site.example",
        "remote-email: ",
        "remote-groups: ",
        "remote-name: ",
        "remote-user: ada",
        "x-forwarded-host: site.example",
        "x-forwarded-proto: https",
    ];

    fn beyond_the_usual(lines: &[(&str, &str)], trusted: bool) -> Vec<String> {
        let passed = passed(lines, trusted);
        assert!(ALWAYS.iter().all(|line| passed.iter().any(|passed| passed == line)), "{passed:?}");
        passed.into_iter().filter(|line| !ALWAYS.contains(&line.as_str())).collect()
    }

    #[test]
    fn an_app_gets_all_identity_headers_and_none_of_the_client() {
        let mut forged = Vec::new();
        for name in ["remote-user", "remote-name", "remote-email", "remote-groups", "handstamp-assertion"] {
            for spelled in [name.to_owned(), name.replace('-', "_"), name.replace('-', "."), name.replacen('-', "_", 1)]
            {
                forged.push(spelled);
            }
        }
        for name in
            ["x_forwarded_for", "x-forwarded_host", "x-forwarded-uri", "x-forwarded-prefix", "forwarded", "x-real-ip"]
        {
            forged.push(name.to_owned());
        }
        for name in [
            "content_length",
            "transfer_encoding",
            "x_real_ip",
            "x-original-url",
            "x_rewrite_url",
            "proxy",
            "handstamp-anything",
            "x-forwarded-user",
        ] {
            forged.push(name.to_owned());
        }
        let lines: Vec<_> = forged.iter().map(|name| (name.as_str(), "forged")).collect();
        assert_eq!(beyond_the_usual(&lines, true), ["x-forwarded-for: 192.0.2.1"]);
        assert_eq!(beyond_the_usual(&[("x-forwarded", "kept"), ("remote-control", "kept")], false).len(), 3);
    }

    #[test]
    fn hop_by_hop_headers_end_here_and_take_no_header_of_ours_along() {
        let lines = [
            ("connection", "close, x-mine, Remote-User, cookie, x-forwarded-for"),
            ("connection", "X-Other"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-kept", "1"),
        ];
        assert_eq!(beyond_the_usual(&lines, false), ["x-forwarded-for: 192.0.2.1", "x-kept: 1"]);
        let trailers = beyond_the_usual(&[("te", "deflate, trailers"), ("connection", "te")], false);
        assert_eq!(trailers, ["connection: te", "te: trailers", "x-forwarded-for: 192.0.2.1"]);
    }

    #[test]
    fn the_chain_of_addresses_goes_on_only_from_trusted_proxies() {
        let chain = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(beyond_the_usual(&chain, false), ["x-forwarded-for: 192.0.2.1"]);
        let mut all =
            vec!["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 198.51.100.7", "x-forwarded-for: 203.0.113.9"];
        all.sort_unstable();
        assert_eq!(beyond_the_usual(&chain, true), all);
    }

    #[test]
    fn protocols_that_carry_requests_are_not_offered_to_the_app() {
        let offered = |protocol: &str, connection: &str| {
            offered_protocol(&map(&[("upgrade", protocol), ("connection", connection)])).is_some()
        };
        assert!(
            offered("websocket", "keep-alive, Upgrade") && offered("WebSocket", "upgrade") && offered("x/1", "upgrade")
        );
        for (protocol, connection) in [
            ("websocket", "keep-alive"),
            ("h2c", "upgrade, http2-settings"),
            ("H2C", "upgrade"),
            ("HTTP/2.0", "upgrade"),
            ("TLS/1.2", "upgrade"),
            ("websocket, h2c", "upgrade"),
            ("", "upgrade"),
        ] {
            assert!(!offered(protocol, connection), "{protocol} {connection}");
        }
        let twice = [("upgrade", "websocket"), ("upgrade", "h2c"), ("connection", "upgrade")];
        assert!(offered_protocol(&map(&twice)).is_none());
    }

    #[test]
    fn an_app_cannot_set_or_remove_our_cookies() {
        let mut headers = map(&[
            ("set-cookie", "session=theirs; Path=/"),
            ("set-cookie", "handstamp_session=x; Path=/"),
            ("set-cookie", "__Host-handstamp_session=; Max-Age=0; Path=/; Secure"),
            ("set-cookie", "__secure-HANDSTAMP_device=x"),
            ("set-cookie", "=handstamp_session=x; Path=/"),
            ("set-cookie", " = handstamp_session=x"),
            ("set-cookie", "handstamp_session"),
            ("set-cookie", "csrftoken=handstamp_session"),
            ("clear-site-data", "\"cache\", \"cookies\""),
            ("clear-site-data", "\"*\""),
            ("clear-site-data", "\"Cookies\""),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("etag", "\"1\""),
        ]);
        for_the_browser(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let mut expected = [
            "set-cookie: session=theirs; Path=/",
            "set-cookie: csrftoken=handstamp_session",
            "clear-site-data: \"cache\"",
            "clear-site-data: \"cache\", \"storage\", \"executionContexts\"",
            "etag: \"1\"",
        ];
        let mut left: Vec<_> = left.iter().map(String::as_str).collect();
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn trailers_carry_no_header_that_counts() {
        let mut trailers = map(&[("remote_user", "x"), ("cookie", "a=b"), ("x-checksum", "1"), ("host", "evil.test")]);
        trailers_for_the_app(&mut trailers);
        assert_eq!(trailers, map(&[("x-checksum", "1")]));
        let mut trailers = map(&[("set-cookie", "handstamp_session=x"), ("grpc-status", "0")]);
        trailers_for_the_browser(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }
}

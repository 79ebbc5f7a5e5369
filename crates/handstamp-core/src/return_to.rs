//! Return URLs: where a user may be redirected to, on this site or on a host that the operator has named.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use percent_encoding::{AsciiSet, utf8_percent_encode};

use crate::InvalidSetting;

/// A return URL: on this site, or on a host that the operator has named.
///
/// Only [`parse`](Self::parse) and [`ReturnHosts::parse`] create one, and it is sent exactly as it was checked. Characters are
/// percent-encoded before the check. Between the check and the `Location` header there is no decoding, cleaning or joining,
/// so the two cannot disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The most bytes a return URL may have, once it is encoded.
    pub const MAX_BYTES: usize = 8192;

    /// Parses a path with an optional query: one leading `/`, no control character, no backslash, no dot segments, at most
    /// [`MAX_BYTES`](Self::MAX_BYTES). The sign-in and the sign-out page are refused, since returning to them is a loop.
    /// Spaces and characters outside ASCII are percent-encoded as by browsers; all else stays as it is.
    pub fn parse(text: &str) -> Option<Self> {
        path(text).map(|path| Self(path.into_owned()))
    }

    /// The URL, exactly as it was checked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ASCII characters that a browser percent-encodes in a path, beside all characters outside ASCII. A percent sign stays,
/// so that nothing is encoded twice.
const RAW: &AsciiSet = &AsciiSet::EMPTY.add(b' ');

/// A text as the path that a browser would request, if a redirect there is allowed.
fn path(text: &str) -> Option<Cow<'_, str>> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let path = Cow::from(utf8_percent_encode(text, RAW));
    is_path(&path).then_some(path)
}

fn is_path(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    text.len() <= ReturnTo::MAX_BYTES
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !path.split('/').any(is_dot_segment)
        && !["/account/login", "/account/logout"].iter().any(|page| path.trim_end_matches('/').ends_with(page))
}

/// A host that users may be redirected back to: a name in lower case, and a port where it is not 443. The scheme is https,
/// except for a loopback host, which a site on a laptop may name: there it is the scheme of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnHost(String);

impl ReturnHost {
    /// Parses a host as browsers spell it, such as `app.example.com` or `app.example.com:8443`.
    ///
    /// # Errors
    /// When it is no host name, or is spelled otherwise.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let (name, port) = name_and_port(text);
        let good_port = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|number| number != 0 && number != 443 && number.to_string() == port)
        });
        if is_host_name(name) && good_port {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidSetting::new(
            "must be a host in lower case, such as app.example.com, with a port only where it is not 443",
        ))
    }

    /// Whether it is a loopback host, such as `localhost:15000`.
    pub fn is_loopback(&self) -> bool {
        let (name, _) = name_and_port(&self.0);
        name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
    }

    fn origin(&self, site: &str) -> String {
        let scheme = if self.is_loopback() && site.starts_with("http://") { "http" } else { "https" };
        format!("{scheme}://{self}")
    }
}

impl FromStr for ReturnHost {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

fn name_and_port(host: &str) -> (&str, Option<&str>) {
    host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)))
}

impl fmt::Display for ReturnHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origins that users may be redirected back to: this site, and other hosts.
#[derive(Clone, Debug, Default)]
pub struct ReturnHosts {
    /// The origin of this site.
    site: String,
    /// The domain of the session cookie, whose hosts all share the sign-in.
    domain: Option<String>,
    /// The origins of the hosts that are listed.
    listed: Vec<String>,
}

impl ReturnHosts {
    /// This site by its origin, such as `https://id.example.com`, all hosts of the domain of the session cookie, if it has one,
    /// and the listed hosts.
    pub fn new(site: &str, cookie_domain: Option<&str>, listed: &[ReturnHost]) -> Self {
        let listed = listed.iter().map(|host| host.origin(site)).collect();
        Self { site: site.to_owned(), domain: cookie_domain.map(str::to_owned), listed }
    }

    /// Parses what [`ReturnTo::parse`] accepts, and such a path after the exact origin of one of these hosts. An absolute URL of
    /// this site becomes its path.
    pub fn parse(&self, text: &str) -> Option<ReturnTo> {
        let is_here = |rest: &&str| rest.is_empty() || rest.starts_with('/');
        if let Some(here) = text.strip_prefix(self.site.as_str()).filter(|_| !self.site.is_empty()).filter(is_here) {
            return ReturnTo::parse(if here.is_empty() { "/" } else { here });
        }
        let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
            return ReturnTo::parse(text);
        };
        let (origin, rest) = text.split_at(text.len() - rest.len() + rest.find('/')?);
        let place = format!("{origin}{}", path(rest)?);
        (place.len() <= ReturnTo::MAX_BYTES && self.includes(origin)).then_some(ReturnTo(place))
    }

    /// Whether users may be redirected to this origin.
    pub fn includes(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("https://").filter(|host| is_host_name(host));
        let in_domain = |domain: &String| {
            let rest = host.and_then(|host| host.strip_suffix(domain.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.domain.as_ref().is_some_and(in_domain) || self.listed.iter().any(|listed| listed == origin)
    }

    /// The hosts as sources of a Content-Security-Policy, each after a space.
    pub fn csp_sources(&self) -> String {
        let domain = self.domain.iter().map(|domain| format!(" https://{domain} https://*.{domain}"));
        domain.chain(self.listed.iter().map(|origin| format!(" {origin}"))).collect()
    }
}

/// Labels as in RFC 1123 §2.1, in lower case, with full stops between them.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// `.` and `..`, also percent-encoded, which the URL Standard treats alike.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_path_on_this_site_is_unchanged() {
        for path in
            ["/", "/account", "/notes/7?tab=all&q=a%20b", "/a//b", "/%5Cexample.com", "/...", "/a?next=//x", "/a#b"]
        {
            assert_eq!(ReturnTo::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn a_return_path_is_percent_encoded_once() {
        for (typed, place) in [
            ("/wiki/café", "/wiki/caf%C3%A9"),
            ("/wiki/caf%C3%A9", "/wiki/caf%C3%A9"),
            ("/wiki/caf%C3%A9 au lait?q=größe#é", "/wiki/caf%C3%A9%20au%20lait?q=gr%C3%B6%C3%9Fe#%C3%A9"),
            ("/100%", "/100%"),
            ("/\u{FF0F}evil.example", "/%EF%BC%8Fevil.example"),
            ("/a\u{A0}b", "/a%C2%A0b"),
            ("/account ", "/account%20"),
            ("/\u{2028}", "/%E2%80%A8"),
        ] {
            let parsed = ReturnTo::parse(typed).unwrap();
            assert_eq!(parsed.as_str(), place);
            assert_eq!(ReturnTo::parse(place), Some(parsed), "a checked URL stays as it is");
        }
    }

    #[test]
    fn every_return_path_that_leaves_the_site_is_refused() {
        for trick in [
            "",
            "account",
            "//example.com",
            "///example.com",
            "/\\example.com",
            "\\/example.com",
            "https://example.com",
            "https:/example.com",
            "javascript:alert(1)",
            " /account",
            "/\t/example.com",
            "/a\r\nSet-Cookie: x",
            "/a\0",
            "/\u{7F}/example.com",
            "/\u{85}/example.com",
            " //example.com",
            "/é/../..//example.com",
            "//é.example",
            "/é\\example.com",
            "/account/login?next=/é",
            "/..//example.com",
            "/a/../b",
            "/a/..",
            "/.",
            "/%2e%2E/b",
            "/a/.%2e/b",
            "/account/login",
            "/account/login?next=/",
            "/account/logout",
            "/account/logout/",
            "/prefix/account/login?next=/",
            "/account/login#x",
        ] {
            assert_eq!(ReturnTo::parse(trick), None, "{trick:?}");
        }
    }

    #[test]
    fn a_return_url_has_at_most_8_kib_once_it_is_encoded() {
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(8191))).is_some());
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(8192))).is_none());
        assert!(ReturnTo::parse(&format!("/{}", " ".repeat(2730))).is_some());
        assert!(ReturnTo::parse(&format!("/{}", " ".repeat(2731))).is_none());
    }

    fn hosts() -> ReturnHosts {
        let listed = ["app.example.org", "notes.example.net:8443"].map(|host| ReturnHost::parse(host).unwrap());
        ReturnHosts::new("https://id.example.com", Some("example.com"), &listed)
    }

    #[test]
    fn return_urls_may_be_on_hosts_of_the_cookie_domain_and_on_listed_hosts() {
        for place in [
            "/notes",
            "https://example.com/",
            "https://app.example.com/notes?a=b&c=%2F#d",
            "https://a.b.example.com/",
            "https://app.example.org/",
            "https://notes.example.net:8443/x",
        ] {
            assert_eq!(hosts().parse(place).unwrap().as_str(), place);
        }
    }

    #[test]
    fn every_return_url_on_another_host_is_refused() {
        for trick in [
            "http://app.example.com/",
            "HTTPS://app.example.com/",
            "https:/app.example.com/",
            "https:///app.example.com/",
            "https://app.example.com",
            "https://app.example.com?x",
            "https://APP.example.com/",
            "https://app.example.com:443/",
            "https://app.example.com:8443/",
            "https://app.example.com./",
            "https://evilexample.com/",
            "https://.example.com/",
            "https://a..example.com/",
            "https://-.example.com/",
            "https://example.com.evil.test/",
            "https://evil.test/app.example.com/",
            "https://evil.test\\.example.com/",
            "https://evil.test#.example.com/",
            "https://evil.test?.example.com/",
            "https://evil.test@app.example.com/",
            "https://app.example.com@evil.test/",
            "https://evil.test%2f.example.com/",
            "https://evil.test\t.example.com/",
            "https://app.example.org:8443/",
            "https://x.app.example.org/",
            "https://notes.example.net/",
            "https://app.example.com//evil.test",
            "https://app.example.com/../x",
            "https://app.example.com/\\x",
            "https://app.example.com/account/login",
            "https://app.example.com/\r\nSet-Cookie: x",
            "//app.example.com/",
        ] {
            assert_eq!(hosts().parse(trick), None, "{trick:?}");
        }
        assert_eq!(ReturnHosts::default().parse("https://app.example.com/"), None);
        assert!(hosts().parse(&format!("https://example.com/{}", "a".repeat(8172))).is_some());
        assert!(hosts().parse(&format!("https://example.com/{}", "a".repeat(8173))).is_none());
    }

    #[test]
    fn a_return_host_is_spelled_as_browsers_spell_it() {
        for good in ["localhost", "a.b-c.d", "app.example.com:8443", "127.0.0.1:9000"] {
            assert_eq!(good.parse::<ReturnHost>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "-a",
            "a-",
            "A",
            "é.com",
            "*.example.com",
            "https://a",
            "a/b",
            "a:",
            "a:0",
            "a:443",
            "a:080",
            "a:+80",
            "a:65536",
            "a:b",
            "a:1:2",
            "a b",
            "a;b",
            "a'b",
            "[::1]",
            &"a.".repeat(127),
        ] {
            assert!(ReturnHost::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_csp_sources_are_the_return_hosts() {
        let sources =
            " https://example.com https://*.example.com https://app.example.org https://notes.example.net:8443";
        assert_eq!(hosts().csp_sources(), sources);
        assert_eq!(ReturnHosts::default().csp_sources(), "");
    }

    #[test]
    fn an_absolute_return_url_of_this_site_becomes_its_path() {
        for (url, place) in [
            ("https://id.example.com/notes?a=b", "/notes?a=b"),
            ("https://id.example.com/wiki/café", "/wiki/caf%C3%A9"),
            ("https://id.example.com/", "/"),
            ("https://id.example.com", "/"),
        ] {
            assert_eq!(hosts().parse(url).unwrap().as_str(), place);
        }
        let alone = ReturnHosts::new("https://id.example.org", None, &[]);
        for trick in [
            "http://id.example.org/",
            "https://id.example.org:8443/",
            "https://id.example.org.evil.test/",
            "https://id.example.org@evil.test/",
            "https://id.example.org//evil.test",
            "https://id.example.org\\evil.test",
            "https://id.example.org/account/login",
            "https://ID.example.org/",
        ] {
            assert_eq!(alone.parse(trick), None, "{trick:?}");
        }
    }

    #[test]
    fn a_site_on_a_laptop_returns_to_loopback_hosts_by_http() {
        let listed = ["localhost:15000", "app.localhost", "127.0.0.1:81", "app.example.com"]
            .map(|host| ReturnHost::parse(host).unwrap());
        let laptop = ReturnHosts::new("http://localhost:8080", None, &listed);
        for url in
            ["http://localhost:15000/a?b", "http://app.localhost/", "http://127.0.0.1:81/é", "https://app.example.com/"]
        {
            assert_eq!(laptop.parse(url).unwrap().as_str(), url.replace('é', "%C3%A9"));
        }
        for trick in [
            "https://localhost:15000/",
            "http://localhost:15001/",
            "http://app.example.com/",
            "http://localhost:150000/",
            "http://localhost:15000.evil.test/",
            "http://localhost:15000@evil.test/",
            "http://localhost:15000",
        ] {
            assert_eq!(laptop.parse(trick), None, "{trick:?}");
        }
        let sources = " http://localhost:15000 http://app.localhost http://127.0.0.1:81 https://app.example.com";
        assert_eq!(laptop.csp_sources(), sources);
        assert!(!listed[3].is_loopback() && !ReturnHost::parse("localhost.example.com").unwrap().is_loopback());
    }
}

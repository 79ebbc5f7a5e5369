use std::fmt;

/// A place to go next: on this site, or on a host that the operator has named.
///
/// It can only be made by [`parse`](Self::parse) and [`ReturnHosts::parse`], and what was checked is what is sent: there is
/// no decoding, cleaning or joining between the check and the `Location` header, so there is nothing for the two to
/// disagree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The most bytes a place may have.
    pub const MAX_BYTES: usize = 2048;

    /// Takes a path with an optional query: one leading `/`, only visible ASCII (what a browser percent-encodes is
    /// expected so), no backslash, no dot segments, at most [`MAX_BYTES`](Self::MAX_BYTES), and neither the sign-in
    /// nor the sign-out page, where one would go in circles.
    pub fn parse(text: &str) -> Option<Self> {
        is_path(text).then(|| Self(text.to_owned()))
    }

    /// The place, exactly as it was checked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

/// A host that people may be sent back to, by https: a name in lower case, and a port where it is not 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnHost(String);

impl ReturnHost {
    /// Takes a host as browsers spell it, such as `app.example.com` or `app.example.com:8443`.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let good_port = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|number| number != 0 && number != 443 && number.to_string() == port)
        });
        if is_host_name(name) && good_port {
            return Ok(Self(text.to_owned()));
        }
        Err("must be a host in lower case, such as app.example.com, with a port only where it is not 443".to_owned())
    }
}

impl fmt::Display for ReturnHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hosts that people may be sent back to beside this site.
#[derive(Clone, Debug, Default)]
pub struct ReturnHosts {
    /// All of whose hosts share the sign-in.
    domain: Option<String>,
    listed: Vec<ReturnHost>,
}

impl ReturnHosts {
    /// All hosts of the domain of the session cookie, if it has one, and those that are listed.
    pub fn new(cookie_domain: Option<&str>, listed: &[ReturnHost]) -> Self {
        Self { domain: cookie_domain.map(str::to_owned), listed: listed.to_vec() }
    }

    /// Takes what [`ReturnTo::parse`] takes, and such a path after `https://` and one of these hosts, spelled exactly so.
    pub fn parse(&self, text: &str) -> Option<ReturnTo> {
        let Some(rest) = text.strip_prefix("https://") else { return ReturnTo::parse(text) };
        let (host, path) = rest.split_at(rest.find('/')?);
        (text.len() <= ReturnTo::MAX_BYTES && self.includes(host) && is_path(path)).then(|| ReturnTo(text.to_owned()))
    }

    /// Whether people may be sent to this host, which may have a port.
    pub fn includes(&self, host: &str) -> bool {
        let in_domain = |domain: &String| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        is_host_name(host) && self.domain.as_ref().is_some_and(in_domain)
            || self.listed.iter().any(|listed| listed.0 == host)
    }

    /// The hosts as sources of a Content-Security-Policy, each after a space.
    pub fn sources(&self) -> String {
        let domain = self.domain.iter().map(|domain| format!(" https://{domain} https://*.{domain}"));
        domain.chain(self.listed.iter().map(|host| format!(" https://{host}"))).collect()
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
    fn a_path_on_this_site_is_sent_as_it_is() {
        for path in
            ["/", "/account", "/notes/7?tab=all&q=a%20b", "/a//b", "/%5Cexample.com", "/...", "/a?next=//x", "/a#b"]
        {
            assert_eq!(ReturnTo::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn every_way_off_the_site_is_refused() {
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
            "/account ",
            "/a b",
            "/\t/example.com",
            "/a\r\nSet-Cookie: x",
            "/a\0",
            "/..//example.com",
            "/a/../b",
            "/a/..",
            "/.",
            "/%2e%2E/b",
            "/a/.%2e/b",
            "/é",
            "/a\u{00A0}b",
            "/\u{2028}",
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
    fn a_place_has_at_most_2048_bytes() {
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(2047))).is_some());
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(2048))).is_none());
    }

    fn hosts() -> ReturnHosts {
        let listed = ["app.example.org", "notes.example.net:8443"].map(|host| ReturnHost::parse(host).unwrap());
        ReturnHosts::new(Some("example.com"), &listed)
    }

    #[test]
    fn people_are_sent_back_to_hosts_of_the_domain_and_to_those_that_are_listed() {
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
    fn every_way_to_another_host_is_refused() {
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
        assert!(hosts().parse(&format!("https://example.com/{}", "a".repeat(2028))).is_some());
        assert!(hosts().parse(&format!("https://example.com/{}", "a".repeat(2029))).is_none());
    }

    #[test]
    fn a_host_that_no_browser_spells_so_is_none() {
        for good in ["localhost", "a.b-c.d", "app.example.com:8443", "127.0.0.1:9000"] {
            assert_eq!(ReturnHost::parse(good).unwrap().to_string(), good);
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
    fn forms_may_lead_where_people_may_be_sent() {
        let sources =
            " https://example.com https://*.example.com https://app.example.org https://notes.example.net:8443";
        assert_eq!(hosts().sources(), sources);
        assert_eq!(ReturnHosts::default().sources(), "");
    }
}

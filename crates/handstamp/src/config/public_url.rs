//! The public URL: where browsers reach the site, and which requests are for it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use handstamp_core::InvalidSetting;
use url::{Host, Position, Url};

use super::setting::parse;
use super::{Config, Setting};

/// The URL at which browsers reach this site: a scheme, a host and a port. Plain http is allowed for loopback hosts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    loopback: bool,
}

impl PublicUrl {
    /// Parses a URL without a path, such as `https://id.example.com`.
    ///
    /// # Errors
    /// When it is not a URL, has a path, or is plain http for another machine.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = Url::parse(text).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        let host = url.host().ok_or(InvalidSetting::new("has no host"))?;
        let loopback = is_loopback(&host);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => {
                let message = format!("must be https: a cookie sent in the clear to {host} can be stolen");
                return Err(InvalidSetting::new(message));
            }
            other => return Err(InvalidSetting::new(format!("must begin with https://, not {other}://"))),
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(InvalidSetting::new("must be a scheme, a host and a port, and nothing more"));
        }
        Ok(Self { url, loopback })
    }

    /// Whether cookies are sent over TLS only.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the host is a name or an address of this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The host, in lower-case ASCII (punycode).
    pub fn host(&self) -> &str {
        self.url.host_str().expect("parse rejects a URL without a host")
    }

    /// Whether the host is a name, and no address.
    pub(super) fn has_name(&self) -> bool {
        self.url.domain().is_some()
    }

    /// The host, and the port if it is not the scheme's default.
    pub(crate) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https() { "https" } else { "http" }
    }

    /// The suffix of cookie names: on plain http the port unless it is 80, as `_8080`, since browsers send the cookies of one
    /// port to all ports of a host.
    pub(crate) fn port_of_cookies(&self) -> String {
        let port = self.url.port().filter(|_| !self.is_https());
        port.map_or_else(String::new, |port| format!("_{port}"))
    }

    /// Whether a request for this authority (a host and an optional port) is for this site. If the site is on a loopback host,
    /// every loopback name is accepted.
    pub(crate) fn answers_to(&self, authority: &str) -> bool {
        if authority == self.authority() {
            return true;
        }
        // The URL parser would assign text after or before these characters to another part of the URL.
        if authority.contains(['/', '\\', '?', '#', '@']) {
            return false;
        }
        let Ok(asked) = Url::parse(&format!("{}://{authority}/", self.scheme())) else { return false };
        if self.loopback && asked.host().is_some_and(|host| is_loopback(&host)) {
            return true;
        }
        asked.host() == self.url.host() && asked.port() == self.url.port()
    }

    /// Whether an authority that [`answers_to`](Self::answers_to) accepts is another name of this machine: `localhost` or an
    /// address, with the same port and so the same program behind it. A name such as `app.localhost` may be another app.
    pub(crate) fn is_other_name(&self, authority: &str) -> bool {
        if !self.loopback || authority == self.authority() {
            return false;
        }
        let Ok(asked) = Url::parse(&format!("{}://{authority}/", self.scheme())) else { return false };
        let is_of_the_machine = !matches!(asked.host(), Some(Host::Domain(name)) if name != "localhost");
        is_of_the_machine && asked.host() != self.url.host() && asked.port() == self.url.port()
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// Whether a host is a name or an address of this machine.
pub(super) fn is_loopback(host: &Host<impl AsRef<str>>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost" || name.as_ref().ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => IpAddr::from(*ip).to_canonical().is_loopback(),
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("public_url", |config: &mut Config, text| {
            config.public_url = parse(text)?;
            Ok(())
        })
        .values("a URL without a path; https, except for the local machine")
        .default_is("required")
        .about("Where browsers reach the site."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_hosts() {
        for url in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:3000",
            "http://app.localhost",
            "https://example.com",
        ] {
            assert!(url.parse::<PublicUrl>().is_ok(), "{url}");
        }
        for url in [
            "http://example.com",
            "http://192.168.1.5:8080",
            "http://localhost.example.com",
            "ftp://localhost",
            "localhost:8080",
            "https://example.com/path",
            "https://example.com?x",
            "https://user@example.com",
            "https://",
            "",
        ] {
            assert!(PublicUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_the_host_of_the_site_is_answered() {
        let public = PublicUrl::parse("https://id.example.com").unwrap();
        assert!(public.answers_to("id.example.com") && public.answers_to("ID.example.com:443"));
        for other in [
            "example.com",
            "id.example.com:8443",
            "id.example.com.evil.test",
            "evil.test",
            "",
            "id.example.com/",
            "id.example.com?x",
            "id.example.com#x",
            "id.example.com\\x",
            "127.0.0.1",
            "a@id.example.com",
        ] {
            assert!(!public.answers_to(other), "{other}");
        }
        let laptop = PublicUrl::parse("http://localhost:8080").unwrap();
        assert!(
            laptop.answers_to("127.0.0.1:8080")
                && laptop.answers_to("localhost:9000")
                && laptop.answers_to("[::1]:8080")
        );
        assert!(!laptop.answers_to("evil.test:8080"), "a name that was rebound to 127.0.0.1");
    }

    #[test]
    fn a_loopback_site_has_other_names_on_the_same_port() {
        let laptop = PublicUrl::parse("http://localhost:8080").unwrap();
        assert!(["127.0.0.1:8080", "[::1]:8080"].iter().all(|name| laptop.is_other_name(name)));
        assert!(PublicUrl::parse("http://app.localhost:8080").unwrap().is_other_name("localhost:8080"));
        for same in ["localhost:8080", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:8081", "app.localhost:8080", ""] {
            assert!(!laptop.is_other_name(same), "{same}");
        }
        assert!(PublicUrl::parse("http://localhost").unwrap().is_other_name("127.0.0.1"));
        assert!(!PublicUrl::parse("https://id.example.com").unwrap().is_other_name("127.0.0.1"));
    }
}

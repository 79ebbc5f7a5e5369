//! The other URLs of a site: the prefix of its pages, the hosts that visitors return to, trusted origins and trusted proxies.

use std::fmt;
use std::str::FromStr;

use handstamp_core::{InvalidSetting, ReturnHost, TrustedProxies};

use super::setting::parse;
use super::{Config, PublicUrl, Setting};

/// The path beneath which the pages are served: empty, or segments of ASCII letters, digits, hyphens and underscores, each after
/// a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Parses a path such as `/members`, or an empty text.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let good = text.is_empty() || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidSetting::new("must be a path such as /members")) }
    }
}

impl FromStr for Prefix {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An origin as browsers write it in the header `Origin` (RFC 6454 §6.2): a scheme, a host, and a port if it is not the
/// scheme's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedOrigin(String);

impl TrustedOrigin {
    /// Parses an origin such as `https://app.example.com` or, for loopback hosts only, `http://localhost:5173`.
    ///
    /// # Errors
    /// When [`PublicUrl::parse`] rejects it, or browsers write it otherwise.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = PublicUrl::parse(text)?;
        if url.to_string() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSetting::new(format!("must be written as {url}")))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustedOrigin {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::list(
            "trusted_proxies",
            |config: &mut Config| config.trusted_proxies = TrustedProxies::default(),
            |config, text| {
                let proxy = TrustedProxies::parse([text])?;
                config.trusted_proxies = std::mem::take(&mut config.trusted_proxies).extend(proxy);
                Ok(())
            },
        )
        .values("a list of addresses and networks, such as `10.0.0.0/8`")
        .about("Proxies whose `X-Forwarded-For` is trusted."),
        Setting::list(
            "return_hosts",
            |config: &mut Config| config.return_hosts.clear(),
            |config, text| {
                config.return_hosts.push(parse(text)?);
                Ok(())
            },
        )
        .check_items(|config| {
            let check = |host| check_return_host(host, &config.public_url).err().map(|error| (host.to_string(), error));
            config.return_hosts.iter().filter_map(check).collect()
        })
        .values("a list of hosts, such as `app.example.com`")
        .about(
            "Further hosts that `next` may name, by https. If `public_url` is on the local machine, `localhost:15000` names \
             another port of it, by http.",
        ),
    ]
}

/// Checks that a return URL of this site may name a host: a loopback host only if the site is on a loopback host too.
fn check_return_host(host: &ReturnHost, public_url: &PublicUrl) -> Result<(), InvalidSetting> {
    if host.is_loopback() && !public_url.is_loopback() {
        let message = format!("names this machine, but users who sign in at {public_url} are on other machines");
        return Err(InvalidSetting::new(message));
    }
    if host.to_string().ends_with(":80") && !public_url.is_https() && host.is_loopback() {
        return Err(InvalidSetting::new("must be written without the port 80, as browsers do"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_return_hosts_are_accepted_for_loopback_sites_only() {
        let check = |host, url| check_return_host(&ReturnHost::parse(host).unwrap(), &PublicUrl::parse(url).unwrap());
        for host in ["localhost:15000", "app.localhost", "127.0.0.1:3000", "app.example.com"] {
            assert_eq!(check(host, "http://localhost:8080"), Ok(()), "{host}");
        }
        assert_eq!(check("app.example.com", "https://id.example.com"), Ok(()));
        for host in ["localhost:15000", "app.localhost", "127.0.0.1:3000"] {
            assert!(
                check(host, "https://id.example.com").unwrap_err().to_string().contains("https://id.example.com"),
                "{host}"
            );
        }
        assert!(check("localhost:80", "http://localhost:8080").is_err());
    }
}

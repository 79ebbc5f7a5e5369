//! The section `webhooks`: the URL that gets events of accounts, the secret that signs them, and which events they are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use handstamp_core::{InvalidSetting, WebhookSecret};
use url::{Host, Position, Url};

use super::public_url::is_loopback;
use super::setting::parse;
use super::{Config, Setting};
use crate::events::ACTS;

/// The events of accounts that are sent to an application, as Standard Webhooks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebhooksConfig {
    /// The URL that gets them. None by default: then nothing is sent.
    pub url: Option<WebhookUrl>,
    /// The secret that signs them, which is required with a URL.
    pub secret: Option<WebhookSecret>,
    /// The names of the events that are sent: by default those that change what an application sees of a user.
    pub events: Vec<String>,
}

impl WebhooksConfig {
    /// The events that are sent by default.
    const DEFAULT: [&str; 9] = [
        "authz_change",
        "user_created",
        "user_deleted",
        "user_disabled",
        "user_email_change",
        "user_email_change_undo",
        "user_enabled",
        "user_updated",
        "user_verified",
    ];

    /// Whether an event of this name is sent.
    pub(crate) fn sends(&self, event: &str) -> bool {
        self.url.is_some() && self.events.iter().any(|name| name == event)
    }
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self { url: None, secret: None, events: Self::DEFAULT.map(ToOwned::to_owned).to_vec() }
    }
}

/// The URL that gets webhooks: https, or http within this machine or a private network.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Parses a URL such as `https://app.example.com/webhooks` or `http://app:5000/webhooks`.
    ///
    /// # Errors
    /// When it is not a URL, is plain http over the internet, or has credentials or a fragment. The message does not contain the
    /// text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = Url::parse(text).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        let host = url.host().ok_or(InvalidSetting::new("has no host"))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) || is_private(&host) => {}
            "http" => {
                return Err(InvalidSetting::new(
                    "must be https: plain http is for this machine, private addresses, and names without a dot or below .internal",
                ));
            }
            _ => return Err(InvalidSetting::new("must begin with https:// or http://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSetting::new("must have no credentials: the signature shows who has sent a webhook"));
        }
        if url.fragment().is_some() {
            return Err(InvalidSetting::new("must not have a fragment"));
        }
        Ok(Self(url))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a host is in a private network: a private or link-local address, a name that only a local resolver knows, or one below
/// `internal`.
fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.contains('.') || name.ends_with(".internal"),
        Host::Ipv4(ip) => ip.is_private() || ip.is_link_local(),
        Host::Ipv6(ip) => match IpAddr::from(*ip).to_canonical() {
            IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

impl FromStr for WebhookUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

/// Without the query, which may hold a secret.
impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({})", &self.0[..Position::AfterPath])
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("webhooks.url", |config: &mut Config, text| {
            config.webhooks.url = Some(parse(text)?);
            Ok(())
        })
        .secret()
        .values("a URL; https, except for this machine and private networks")
        .about("The URL of the application that gets [webhooks](../guide/webhooks.md). Without it none are sent."),
        Setting::text("webhooks.secret", |config: &mut Config, text| {
            config.webhooks.secret = Some(parse(text)?);
            Ok(())
        })
        .secret()
        .check(|config| match (&config.webhooks.url, &config.webhooks.secret) {
            (Some(_), None) => Err(InvalidSetting::new("must be set, since webhooks.url is")),
            _ => Ok(()),
        })
        .values("`whsec_` and 24 to 64 bytes in base64")
        .default_is("required with `webhooks.url`")
        .about("The secret that signs webhooks, by which the application knows that they come from here."),
        Setting::list(
            "webhooks.events",
            |config: &mut Config| config.webhooks.events.clear(),
            |config, name| {
                config.webhooks.events.push(name.to_owned());
                Ok(())
            },
        )
        .check_items(|config| {
            let unknown = config.webhooks.events.iter().filter(|name| !ACTS.contains(&name.as_str()));
            let error = || InvalidSetting::new("is no event of an account: see the audit log in the documentation");
            unknown.map(|name| (name.clone(), error())).collect()
        })
        .values("names of events of the [audit log](../guide/audit-log.md)")
        .shown(|config| config.webhooks.events.join(", "))
        .about("The events that are sent."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_within_this_machine_and_private_networks() {
        for good in [
            "https://app.example.com/webhooks?key=1",
            "http://localhost:5000/webhooks",
            "http://127.0.0.1:5000",
            "http://[::1]:5000/",
            "http://app:5000/webhooks",
            "http://app.internal/webhooks",
            "http://10.1.2.3/",
            "http://192.168.0.7:8080/",
            "http://169.254.1.1/",
            "http://[fd00::7]/",
            "http://[fe80::7]/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(WebhookUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "app.example.com",
            "/webhooks",
            "ftp://localhost/hunter2",
            "mailto:hunter2@example.com",
            "http://app.example.com/hunter2",
            "http://8.8.8.8/hunter2",
            "http://[2001:db8::1]/hunter2",
            "http://[::ffff:8.8.8.8]/hunter2",
            "http://internal.example.com/hunter2",
            "https://hunter2@app.example.com/",
            "https://user:hunter2@app.example.com/",
            "https://:hunter2@app.example.com/",
            "https://app.example.com/#hunter2",
        ] {
            let error = WebhookUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{bad}: {error}");
        }
        let printed = format!("{:?}", WebhookUrl::parse("https://app.example.com/webhooks?key=hunter2").unwrap());
        assert_eq!(printed, "WebhookUrl(https://app.example.com/webhooks)");
    }
}

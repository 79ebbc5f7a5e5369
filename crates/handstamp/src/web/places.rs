use std::fmt::Write as _;

use axum::http::HeaderValue;
use handstamp_core::{ReturnHosts, ReturnTo};

use super::redirect::leading_to;
use crate::config::{Config, PublicUrl};

/// Where people can be sent.
pub(crate) struct Places {
    public_url: PublicUrl,
    return_hosts: ReturnHosts,
    policy: HeaderValue,
}

impl Places {
    pub(crate) fn new(config: &Config) -> Self {
        let return_hosts = ReturnHosts::new(config.session.cookie_domain.as_deref(), &config.return_hosts);
        // Chromium applies form-action to where a form leads in the end: after a sign-in, to an app on another host.
        let policy = format!(
            "default-src 'none'; style-src 'self'; form-action 'self'{}; base-uri 'none'; frame-ancestors 'none'",
            return_hosts.sources()
        );
        let policy = HeaderValue::from_str(&policy).expect("hosts are visible ASCII");
        Self { public_url: config.public_url.clone(), return_hosts, policy }
    }

    /// The Content-Security-Policy of every response: our stylesheet and our forms, and nothing else.
    pub(super) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// This site itself.
    pub(super) fn here(&self) -> Origin {
        let url = self.public_url.to_string();
        let host = url.split_once("://").map_or("", |(_, host)| host);
        Origin { scheme: self.public_url.scheme(), host: host.to_owned() }
    }

    /// A place to go next that somebody asks for, if it is one.
    pub(super) fn parse(&self, text: &str) -> Option<ReturnTo> {
        self.return_hosts.parse(text)
    }

    /// The sign-in page, and on from there to this path of an origin, if people may be sent there.
    ///
    /// Where the origin is this site, by whichever of its names, its own sign-in page is meant; otherwise the one at the
    /// public URL. It is an absolute URL, since some proxies resolve others against an address of their own.
    pub(super) fn sign_in_from(&self, origin: &Origin, path: &str) -> String {
        let is_here = origin.scheme == self.public_url.scheme() && self.public_url.answers_to(&origin.host);
        let (base, next) = match is_here {
            true => (origin.to_string(), self.parse(path)),
            false => (self.public_url.to_string(), self.parse(&format!("{origin}{path}"))),
        };
        if next.is_none() && !is_here {
            tracing::warn!(
                event = "return_refused",
                %origin,
                "cannot send people back to this host: it is not under session.cookie_domain, nor in return_hosts"
            );
        }
        let mut url = base;
        let page = next.map_or_else(|| "/account/login".to_owned(), |next| leading_to("/account/login", &next));
        write!(url, "{page}").expect("a String takes whatever is written");
        url
    }
}

/// A scheme, and a host with a port where it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: &'static str,
    pub(super) host: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

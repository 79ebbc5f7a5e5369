use std::fmt::Write as _;

use axum::http::HeaderValue;
use handstamp_core::{ReturnHosts, ReturnTo};

use super::redirect::leading_to;
use crate::config::{Config, Prefix, PublicUrl};
use crate::log;

/// Where people can be sent.
pub(crate) struct Places {
    public_url: PublicUrl,
    prefix: Prefix,
    account: ReturnTo,
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
        let prefix = config.prefix.clone();
        let account = ReturnTo::parse(&format!("{prefix}/account")).expect("a prefix is a path");
        Self { public_url: config.public_url.clone(), prefix, account, return_hosts, policy }
    }

    /// Where a page of ours is, or one of the files that it needs.
    pub(super) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Where people go next who have no other wish.
    pub(super) fn account(&self) -> &ReturnTo {
        &self.account
    }

    /// Our sign-in page, and on from there to another page of ours.
    pub(super) fn sign_in_before(&self, path: &str) -> String {
        self.sign_in(&ReturnTo::parse(&self.page(path)).unwrap_or_else(|| self.account.clone()))
    }

    /// Our sign-in page, and on from there.
    pub(super) fn sign_in(&self, next: &ReturnTo) -> String {
        leading_to(&self.page("/account/login"), next)
    }

    /// The Content-Security-Policy of every response: our stylesheet and our forms, and nothing else.
    pub(super) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// This site itself.
    pub(super) fn here(&self) -> Origin {
        Origin::new(self.scheme(), self.public_url.authority())
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.public_url.scheme()
    }

    /// A place to go next that somebody asks for, if it is one.
    pub(super) fn parse(&self, text: &str) -> Option<ReturnTo> {
        self.return_hosts.parse(text)
    }

    /// The sign-in page, and on from there to this path of an origin, if people may be sent there.
    ///
    /// Where the origin is this site, its own sign-in page is meant; otherwise the one at the public URL, and also for another
    /// name of a laptop on the same port, where a cookie of the public URL would be missing. It is an absolute URL, since some
    /// proxies resolve others against an address of their own.
    pub(super) fn sign_in_from(&self, origin: &Origin, path: &str) -> String {
        let is_here = self.is_here(origin);
        let base = if is_here && !self.public_url.is_other_name(origin.host()) {
            origin.text.clone()
        } else {
            self.public_url.to_string()
        };
        let next = if is_here { self.parse(path) } else { self.parse(&format!("{}{path}", origin.text)) };
        if next.is_none() && !is_here {
            log::warn!(
                event = "return_refused",
                origin = origin.text,
                "cannot send people back to this host: it is not under session.cookie_domain, nor in return_hosts"
            );
        }
        let mut url = base;
        let page = next.map_or_else(|| self.page("/account/login"), |next| self.sign_in(&next));
        write!(url, "{page}").expect("a String takes whatever is written");
        url
    }

    /// Whether an app at this origin is one of this site's: at its own address, or at a host that people may be sent back to.
    pub(super) fn serves(&self, origin: &Origin) -> bool {
        origin.scheme == "https" && self.return_hosts.includes(origin.host()) || self.is_here(origin)
    }

    /// Whether an origin is this site, by whichever of its names.
    fn is_here(&self, origin: &Origin) -> bool {
        origin.scheme == self.scheme() && self.public_url.answers_to(origin.host())
    }
}

/// A scheme, and a host with a port where it is not the usual one, as browsers spell them (RFC 6454 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: &'static str,
    text: String,
}

const AFTER_SCHEME: &str = "://";

impl Origin {
    pub(super) fn new(scheme: &'static str, host: &str) -> Self {
        Self { scheme, text: [scheme, AFTER_SCHEME, host].concat() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn host(&self) -> &str {
        &self.text[self.scheme.len() + AFTER_SCHEME.len()..]
    }
}

//! The URLs of this site, its origin, and the return URLs that it accepts.

use std::fmt::Write as _;

use handstamp_core::{AssuranceLevel, ReturnHosts, ReturnTo};

use super::legacy::RESUME;
use super::redirect::url_with_next;
use crate::config::{Config, Prefix, PublicUrl};
use crate::events::Event;

/// The only path of ours that is at the root whatever the prefix.
pub(super) const WELL_KNOWN: &str = "/.well-known/change-password";

/// The URLs of this site, and the return URLs that it accepts.
pub(crate) struct Urls {
    public_url: PublicUrl,
    prefix: Prefix,
    account: ReturnTo,
    home: ReturnTo,
    return_hosts: ReturnHosts,
}

impl Urls {
    pub(crate) fn new(config: &Config) -> Self {
        let site = config.public_url.to_string();
        let return_hosts = ReturnHosts::new(&site, config.session.cookie_domain.as_deref(), &config.return_hosts);
        let prefix = config.prefix.clone();
        let account = ReturnTo::parse(&format!("{prefix}/account")).expect("a prefix is a path");
        let home = ReturnTo::parse("/").expect("it is a path");
        Self { public_url: config.public_url.clone(), prefix, account, home, return_hosts }
    }

    /// The path of one of our pages or files, with the prefix.
    pub(super) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The URL of one of our pages, with this return URL if there is one.
    pub(super) fn page_with_next(&self, path: &str, next: Option<&ReturnTo>) -> String {
        let page = self.page(path);
        match next {
            Some(next) => url_with_next(&page, next),
            None => page,
        }
    }

    /// The account page: the return URL where a request names none.
    pub(super) fn account(&self) -> &ReturnTo {
        &self.account
    }

    /// The home page: the return URL after a sign-out that names none.
    pub(super) fn home(&self) -> &ReturnTo {
        &self.home
    }

    /// The URL of the sign-in page, with another page of ours as its return URL.
    pub(super) fn sign_in_url(&self, path: &str) -> String {
        self.sign_in(&ReturnTo::parse(&self.page(path)).unwrap_or_else(|| self.account.clone()))
    }

    /// The URL of the sign-in page, with this return URL.
    pub(super) fn sign_in(&self, next: &ReturnTo) -> String {
        url_with_next(&self.page("/account/login"), next)
    }

    /// The URL of the page that exchanges a session of the former framework, with this return URL.
    pub(super) fn resume(&self, next: &ReturnTo) -> String {
        url_with_next(&self.page(RESUME), next)
    }

    /// The URL of the page on which a user authenticates again, to reach this assurance level, with this return URL.
    pub(super) fn confirm(&self, level: Option<AssuranceLevel>, next: &ReturnTo) -> String {
        url_with_next(&self.page(&confirmation_page(level)), next)
    }

    /// The page with a form that was sent: the `referer`, if its origin is this site or the `host` of the request. Otherwise it
    /// is `own_form`, or else the home page.
    pub(super) fn page_with_form(
        &self,
        own_form: Option<ReturnTo>,
        referer: Option<&str>,
        host: Option<&str>,
    ) -> ReturnTo {
        let asked_for = host.map(|host| Origin::new(self.scheme(), host));
        let origins = [Some(self.origin()), asked_for];
        let came_from = || origins.iter().flatten().find_map(|origin| ReturnTo::parse(origin.path_of(referer?)?));
        came_from().or(own_form).unwrap_or_else(|| self.home.clone())
    }

    /// The sources of a Content-Security-Policy that match the hosts that a form may lead to, beside this site: empty, or each
    /// after a space.
    pub(super) fn csp_sources(&self) -> String {
        self.return_hosts.csp_sources()
    }

    /// The origin of this site.
    pub(super) fn origin(&self) -> Origin {
        Origin::new(self.scheme(), self.public_url.authority())
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.public_url.scheme()
    }

    /// Parses a return URL; none if redirects to it are not allowed.
    pub(super) fn parse(&self, text: &str) -> Option<ReturnTo> {
        self.return_hosts.parse(text)
    }

    /// The URL of a page of ours, such as the sign-in page, with this path of an origin as its return URL if redirects to it are
    /// allowed.
    ///
    /// Where the origin is this site, the page is on that origin; otherwise it is at the public URL. Another name of a
    /// laptop on the same port also gets the public URL, as its browser would lack the cookie of the public URL. The URL is
    /// absolute, since some proxies resolve relative ones against an address of their own.
    pub(super) fn page_url_for(&self, page: &str, origin: &Origin, path: &str) -> String {
        let is_own = self.is_own(origin);
        let base = if is_own && !self.public_url.is_other_name(origin.host()) {
            origin.text.clone()
        } else {
            self.public_url.to_string()
        };
        let next = if is_own { self.parse(path) } else { self.parse(&format!("{}{path}", origin.text)) };
        if next.is_none() && !is_own {
            Event::ReturnUrlRejected { origin: &origin.text }.record();
        }
        let mut url = base;
        let page = self.page_with_next(page, next.as_ref());
        write!(url, "{page}").expect("a String takes whatever is written");
        url
    }

    /// Whether an app at this origin belongs to this site: it is at the origin of the site, or at an allowed return host.
    pub(super) fn serves(&self, origin: &Origin) -> bool {
        self.return_hosts.includes(origin.as_str()) || self.is_own(origin)
    }

    /// Whether an origin is this site, under any of its names.
    pub(super) fn is_own(&self, origin: &Origin) -> bool {
        origin.scheme == self.scheme() && self.public_url.answers_to(origin.host())
    }
}

/// The page on which a user authenticates again, to reach this assurance level if there is one: its path without the prefix, and
/// its query.
pub(super) fn confirmation_page(level: Option<AssuranceLevel>) -> String {
    let query = level.map(|level| format!("?assurance={}", level.get()));
    format!("/account/confirm{}", query.unwrap_or_default())
}

/// The `notice` in the URL of the sign-in page when a form was not sent.
pub(super) const FORM_NOT_SENT: &str = "form-not-sent";

/// Adds the notice about a form that was not sent to a URL of the sign-in page.
pub(super) fn with_form_not_sent(mut url: String) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    write!(url, "{separator}notice={FORM_NOT_SENT}").expect("a String takes whatever is written");
    url
}

/// A scheme and a host, with a port unless it is the default one, as browsers serialize them (RFC 6454 §6.2).
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

    /// The path and query of a URL of this origin.
    pub(super) fn path_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(self.text.as_str()).filter(|path| path.starts_with('/'))
    }

    /// The host and the port.
    pub(super) fn host(&self) -> &str {
        &self.text[self.scheme.len() + AFTER_SCHEME.len()..]
    }
}

//! The section `session`: lifetime, cookie and cache of sessions.

use std::ops::RangeInclusive;
use std::time::Duration;

use handstamp_core::InvalidSetting;

use super::{Config, PublicUrl, Setting};

/// Lifetime, cookie and cache of sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The lifetime of a remembered session, within [`LIFETIME_RANGE`](Self::LIFETIME_RANGE); 30 days by default
    /// (NIST SP 800-63B-4 §2.1.3).
    pub lifetime: Duration,
    /// A domain all of whose hosts share the session cookie, such as `example.com`. None by default.
    pub cookie_domain: Option<String>,
    /// How long a node may serve sessions from its cache without an answer from the database, within
    /// [`LEASE_RANGE`](Self::LEASE_RANGE); 5 seconds by default. A sign-out takes up to as much longer when a node has died; a
    /// longer lease bridges a longer fail-over of the database.
    pub lease: Duration,
    /// How many sessions are cached in memory, so that their requests cost no database statement; 1,000,000 by default, and
    /// within [`CACHE_ENTRIES_RANGE`](Self::CACHE_ENTRIES_RANGE). With 0 each request reads its row. An entry takes 200 bytes;
    /// one with a long name or many groups counts as several.
    pub cache_entries: usize,
    /// Whether nodes are notified of changes where that works, by PostgreSQL's LISTEN and NOTIFY or for SQLite by inotify; true by
    /// default. Without it nodes poll, ten times a second on PostgreSQL and 25 times on SQLite.
    pub notify: bool,
    /// Whether a sign-out makes browsers clear their storage for the origin (`Clear-Site-Data: "storage"`); false by default,
    /// because an application on the same origin loses its localStorage too, with any drafts.
    pub clear_site_data: bool,
    /// How long after signing in a user can change the address, export the data or delete the account without authenticating again,
    /// within [`CONFIRM_AFTER_RANGE`](Self::CONFIRM_AFTER_RANGE); 15 minutes by default.
    pub confirm_after: Duration,
}

impl SessionConfig {
    /// The bounds of [`lifetime`](Self::lifetime): 1 minute to 30 days.
    pub const LIFETIME_RANGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
    /// The lifetime of a session that is not remembered, if the browser stays open: 1 day.
    pub const UNREMEMBERED_LIFETIME: Duration = Duration::from_secs(86_400);
    /// The bounds of [`lease`](Self::lease): 1 second to 1 minute.
    pub const LEASE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
    /// The bounds of [`confirm_after`](Self::confirm_after): 1 minute to 1 day.
    pub const CONFIRM_AFTER_RANGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);
    /// The bounds of [`cache_entries`](Self::cache_entries): 0 to 1,000,000,000.
    pub const CACHE_ENTRIES_RANGE: RangeInclusive<usize> = 0..=1_000_000_000;
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            lifetime: *Self::LIFETIME_RANGE.end(),
            cookie_domain: None,
            lease: Duration::from_secs(5),
            cache_entries: 1_000_000,
            notify: true,
            clear_site_data: false,
            confirm_after: Duration::from_secs(15 * 60),
        }
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::bounded(
            "session.lifetime",
            SessionConfig::LIFETIME_RANGE,
            |config: &Config| config.session.lifetime,
            |config, lifetime| config.session.lifetime = lifetime,
        )
        .about("How long a remembered session lasts."),
        Setting::text("session.cookie_domain", |config: &mut Config, domain| {
            config.session.cookie_domain = Some(domain.to_owned());
            Ok(())
        })
        .check(|config| {
            let domain = config.session.cookie_domain.as_deref();
            domain.map_or(Ok(()), |domain| check_cookie_domain(domain, &config.public_url))
        })
        .values("a domain that the host of `public_url` belongs to; needs https")
        .about("All hosts of this domain share one session cookie, and so one sign-in."),
        Setting::bounded(
            "session.lease",
            SessionConfig::LEASE_RANGE,
            |config: &Config| config.session.lease,
            |config, lease| config.session.lease = lease,
        )
        .about(
            "How long a node trusts its cache without an answer from the database. A longer lease bridges a longer fail-over, \
             and delays a sign-out as long when a node has died.",
        ),
        Setting::bounded(
            "session.cache_entries",
            SessionConfig::CACHE_ENTRIES_RANGE,
            |config: &Config| config.session.cache_entries,
            |config, entries| config.session.cache_entries = entries,
        )
        .about(
            "Sessions kept in memory, of 200 bytes each, 300 at most; long names and many groups count as several. With 0 \
             each request reads its row.",
        ),
        Setting::flag(
            "session.notify",
            |config: &Config| config.session.notify,
            |config, notify| config.session.notify = notify,
        )
        .about(
            "Whether nodes are notified of changes where that works: by PostgreSQL's LISTEN and NOTIFY, or for SQLite by inotify. \
             Without it nodes poll, ten times a second on PostgreSQL and 25 times on SQLite.",
        ),
        Setting::flag(
            "session.clear_site_data",
            |config: &Config| config.session.clear_site_data,
            |config, clear| config.session.clear_site_data = clear,
        )
        .about(
            "Whether a sign-out makes the browser clear its storage for the origin. An app on the same origin loses its \
             localStorage.",
        ),
        Setting::bounded(
            "session.confirm_after",
            SessionConfig::CONFIRM_AFTER_RANGE,
            |config: &Config| config.session.confirm_after,
            |config, duration| config.session.confirm_after = duration,
        )
        .about("How long after signing in a user can do something sensitive without entering the password again."),
    ]
}

/// Whether browsers send a cookie for a domain to a host: it is that domain, or belongs to it (RFC 6265 §5.1.3).
pub(super) fn is_within(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Checks that browsers send a cookie for `domain` to the site, and only over TLS.
fn check_cookie_domain(domain: &str, public_url: &PublicUrl) -> Result<(), InvalidSetting> {
    let host = public_url.host();
    if !public_url.is_https() {
        Err(InvalidSetting::new("needs a public_url with https"))
    } else if !is_within(host, domain) || !domain.contains('.') || domain.starts_with('.') {
        Err(InvalidSetting::new(format!("must be a domain that {host} belongs to, such as example.com")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_domain_must_cover_the_site() {
        let public = PublicUrl::parse("https://id.example.com").unwrap();
        assert!(check_cookie_domain("example.com", &public).is_ok());
        assert!(check_cookie_domain("id.example.com", &public).is_ok());
        for bad in ["com", ".example.com", "ample.com", "other.com", "", "www.id.example.com"] {
            assert!(check_cookie_domain(bad, &public).is_err(), "{bad}");
        }
        assert!(check_cookie_domain("localhost", &PublicUrl::parse("http://localhost:1").unwrap()).is_err());
    }
}

//! The settings of a [`Handstamp`](crate::Handstamp): plain values, checked by [`Config::validate`].

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handstamp_core::{Argon2Params, DisplayName, Limit, PasswordPolicy, ReturnHost, SecretKey, TrustedProxies};
use url::{Host, Position, Url};

use crate::Error;

/// All settings of a [`Handstamp`](crate::Handstamp).
#[derive(Clone, Debug)]
pub struct Config {
    /// The URL at which browsers reach this site.
    pub public_url: PublicUrl,
    /// The database of accounts and sessions.
    pub database: DatabaseUrl,
    /// The connections to PostgreSQL.
    pub pool: PoolConfig,
    /// The secret from which the signing keys are derived.
    pub secret_key: SecretKey,
    /// Earlier secrets, whose tokens are still accepted. None by default.
    pub secret_key_fallbacks: Vec<SecretKey>,
    /// The name of this site on the pages: 1 to 100 visible characters, `Handstamp` by default.
    pub site_name: String,
    /// A folder whose files replace Handstamp's templates of the same name. None by default.
    pub templates_dir: Option<PathBuf>,
    /// Whether visitors may create accounts; open by default.
    pub registration: Registration,
    /// Lifetime, cookie and cache of sessions.
    pub session: SessionConfig,
    /// The requirements for a new password: by default at least 8 code points, and strength 3 of 0 to 4.
    pub password: PasswordPolicy,
    /// The cost of hashing passwords, and how many are hashed at once.
    pub hashing: HashingConfig,
    /// The rate limits of sign-ins and registrations.
    pub limits: LimitsConfig,
    /// The proxies whose `X-Forwarded-For` is trusted for the client's address; none by default. Without the address of the peer,
    /// which `into_make_service_with_connect_info::<SocketAddr>()` provides, all requests count as one network.
    pub trusted_proxies: TrustedProxies,
    /// The prefix of the paths of all pages, as `/members` in `/members/account/login`. Empty by default.
    pub prefix: Prefix,
    /// Your own templates as pairs of name and text, which replace Handstamp's templates or add to them. Files in
    /// `templates_dir` take precedence. None by default.
    pub templates: Vec<(String, String)>,
    /// The hosts that a return URL may name, beside this site and the hosts of `session.cookie_domain`. The URL must be https; on
    /// loopback hosts it has the scheme of `public_url`. None by default.
    pub return_hosts: Vec<ReturnHost>,
    /// Other origins whose browser applications may write to this site and to routes inside
    /// [`protect`](crate::Handstamp::protect), for example sign in by the API. They also need CORS with credentials, which the
    /// application sets up. Their requests carry the session cookie only from hosts of the same site, as `app.example.com` and
    /// `id.example.com` are. None by default.
    pub trusted_origins: Vec<TrustedOrigin>,
    /// The identity that apps behind a proxy receive.
    pub forward_auth: ForwardAuthConfig,
}

impl Config {
    /// The defaults, with the three settings that have none.
    pub fn new(public_url: PublicUrl, database: DatabaseUrl, secret_key: SecretKey) -> Self {
        Self {
            public_url,
            database,
            pool: PoolConfig::default(),
            secret_key,
            secret_key_fallbacks: Vec::new(),
            site_name: "Handstamp".to_owned(),
            templates_dir: None,
            registration: Registration::Open,
            session: SessionConfig::default(),
            password: PasswordPolicy { min_length: 8, min_strength: 3 },
            hashing: HashingConfig::default(),
            limits: LimitsConfig::default(),
            trusted_proxies: TrustedProxies::default(),
            prefix: Prefix::default(),
            templates: Vec::new(),
            return_hosts: Vec::new(),
            trusted_origins: Vec::new(),
            forward_auth: ForwardAuthConfig::default(),
        }
    }

    /// Checks what the types cannot: that numbers are within their bounds, and that hosts and domains match the public URL.
    /// [`Handstamp::open`](crate::Handstamp::open) calls it.
    ///
    /// # Errors
    /// One message with all wrong settings, each by its name.
    pub fn validate(&self) -> Result<(), Error> {
        let (session, hashing) = (&self.session, &self.hashing);
        let domain =
            session.cookie_domain.as_deref().map_or(Ok(()), |domain| check_cookie_domain(domain, &self.public_url));
        let hosts = self
            .return_hosts
            .iter()
            .try_for_each(|host| check_return_host(host, &self.public_url).map_err(|error| format!("{host} {error}")));
        let checks = [
            ("site_name", check_site_name(&self.site_name)),
            ("session.lifetime", within(&SessionConfig::LIFETIMES, &session.lifetime, "between 1m and 30d")),
            ("session.lease", within(&SessionConfig::LEASES, &session.lease, "between 1s and 1m")),
            ("session.cookie_domain", domain),
            (
                "database.connections",
                within(&(PoolConfig::MIN_CONNECTIONS..=1000), &self.pool.connections, "between 4 and 1000"),
            ),
            ("password.min_length", within(&(8..=256), &self.password.min_length, "between 8 and 256")),
            ("password.min_strength", within(&(0..=4), &self.password.min_strength, "between 0 and 4")),
            ("hashing.concurrency", within(&(1..=1024), &hashing.concurrency, "between 1 and 1024")),
            ("hashing.queue", within(&(0..=1_000_000), &hashing.queue, "at most 1000000")),
            (
                "limits.sign_in_per_account",
                within(&(0..=LimitsConfig::MAX_PER_ACCOUNT), &self.limits.sign_in_per_account, "between 0 and 100"),
            ),
            ("return_hosts", hosts),
        ];
        let wrong = checks.into_iter().filter_map(|(name, check)| check.err().map(|error| format!("{name} {error}")));
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::config(wrong.join("; "))) }
    }
}

fn within<T: PartialOrd>(bounds: &RangeInclusive<T>, value: &T, words: &str) -> Result<(), String> {
    if bounds.contains(value) { Ok(()) } else { Err(format!("must be {words}")) }
}

/// Checks the name of a site: 1 to 100 visible characters.
///
/// # Errors
/// A message for the operator.
pub fn check_site_name(name: &str) -> Result<(), String> {
    DisplayName::parse(name).map(drop).map_err(|_| "must be 1 to 100 visible characters".to_owned())
}

/// An origin as browsers write it in the header `Origin` (RFC 6454 §6.2): a scheme, a host, and a port if it is not the
/// scheme's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedOrigin(String);

impl TrustedOrigin {
    /// Parses an origin such as `https://app.example.com` or, for loopback hosts only, `http://localhost:5173`.
    ///
    /// # Errors
    /// A message for the programmer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = PublicUrl::parse(text)?;
        if url.to_string() == text { Ok(Self(text.to_owned())) } else { Err(format!("must be written as {url}")) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The connections to PostgreSQL. SQLite ignores these settings.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// The maximum number of connections of this node, from [`MIN_CONNECTIONS`](Self::MIN_CONNECTIONS) to 1000; 13 by default.
    /// Three of them are reserved for its lease. The node works with fewer if the server grants no more.
    pub connections: u32,
    /// How long [`Handstamp::open`](crate::Handstamp::open) waits for a server that does not answer or accepts no more
    /// connections; 60 seconds by default.
    pub wait: Duration,
}

impl PoolConfig {
    /// The connections reserved for the lease: two for heartbeats and for requests that wait for the other nodes, one for LISTEN.
    pub(crate) const LEASE_CONNECTIONS: u32 = 3;
    /// The three connections reserved for the lease, and one for everything else.
    pub const MIN_CONNECTIONS: u32 = Self::LEASE_CONNECTIONS + 1;
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { connections: 13, wait: Duration::from_secs(60) }
    }
}

/// The path beneath which the pages are served: empty, or segments of ASCII letters, digits, hyphens and underscores, each after
/// a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Parses a path such as `/members`, or an empty text.
    ///
    /// # Errors
    /// A message for the programmer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let good = text.is_empty() || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        if good { Ok(Self(text.to_owned())) } else { Err("must be a path such as /members".to_owned()) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether visitors may create accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Every visitor.
    Open,
    /// Operators only, by [`Handstamp::add_user`](crate::Handstamp::add_user).
    Closed,
}

/// Lifetime, cookie and cache of sessions.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The lifetime of a remembered session, from 1 minute to 30 days; 30 days by default (NIST SP 800-63B-4 §2.1.3).
    pub lifetime: Duration,
    /// A domain all of whose hosts share the session cookie, such as `example.com`. None by default.
    pub cookie_domain: Option<String>,
    /// How long a node may serve sessions from its cache without an answer from the database, from 1 second to 1 minute; 5 seconds
    /// by default. A sign-out takes up to as much longer when a node has died; a longer lease bridges a longer fail-over of the
    /// database.
    pub lease: Duration,
    /// How many sessions are cached in memory, so that their requests cost no database statement; 1,000,000 by default. With 0
    /// each request reads its row. An entry takes 200 bytes; one with a long name or many groups counts as several.
    pub cache_entries: usize,
    /// Whether to use PostgreSQL's LISTEN and NOTIFY where they work; true by default. Without them nodes poll ten times a second.
    pub notify: bool,
    /// Whether a sign-out makes browsers clear their storage for the origin (`Clear-Site-Data: "storage"`); false by default,
    /// because an application on the same origin loses its localStorage too, with any drafts.
    pub clear_site_data: bool,
}

impl SessionConfig {
    /// The maximum lifetime of a session: 30 days.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
    /// The bounds of [`lifetime`](Self::lifetime): 1 minute to 30 days.
    pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Self::MAX_LIFETIME;
    /// The lifetime of a session that is not remembered, if the browser stays open: 1 day.
    pub const UNREMEMBERED_LIFETIME: Duration = Duration::from_secs(86_400);
    /// The bounds of [`lease`](Self::lease): 1 second to 1 minute.
    pub const LEASES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            lifetime: Self::MAX_LIFETIME,
            cookie_domain: None,
            lease: Duration::from_secs(5),
            cache_entries: 1_000_000,
            notify: true,
            clear_site_data: false,
        }
    }
}

/// The identity that apps behind a proxy receive.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardAuthConfig {
    /// Whether apps also receive unverified addresses, which are what users typed at registration; false by default.
    pub unverified_email: bool,
}

/// The cost of hashing passwords, and how many are hashed at once.
#[derive(Clone, Copy, Debug)]
pub struct HashingConfig {
    /// The parameters of Argon2id: by default 19,456 KiB of memory, 2 passes and 1 lane.
    pub settings: Argon2Params,
    /// How many hashes are computed at once, 1 to 1024; by default the number of cores. More than that slows down all hashes and
    /// all other requests.
    pub concurrency: usize,
    /// How many passwords may wait to be hashed, 0 to 1,000,000; 64 by default. Beyond that the response is 503, after a second.
    pub queue: usize,
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self {
            settings: Argon2Params::new(19_456, 2, 1).expect("the defaults are within the bounds"),
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 64,
        }
    }
}

/// Rate limits: how many attempts are allowed in 15 minutes. 0 means no limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// Wrong passwords for one account, at most [`MAX_PER_ACCOUNT`](Self::MAX_PER_ACCOUNT); 10 by default. All devices on which
    /// the account has not signed in yet share one count, and each device on which it has is counted by itself. Beyond the limit
    /// one attempt is allowed after a minute, and each further wait is twice as long, up to an hour. An account has a hundred
    /// wrong passwords a day at most.
    pub sign_in_per_account: u32,
    /// Wrong passwords for any account from one network, which is an IPv4 address or the first 64 bits of an IPv6 address; 100 by
    /// default.
    pub sign_in_per_network: u32,
    /// Attempts to register from one network; 20 by default.
    pub register_per_network: u32,
}

impl LimitsConfig {
    /// The maximum of [`sign_in_per_account`](Self::sign_in_per_account): 100, which is also the limit of a day
    /// (NIST SP 800-63B-4 §3.2.2).
    pub const MAX_PER_ACCOUNT: u32 = Limit::PER_DAY;
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { sign_in_per_account: 10, sign_in_per_network: 100, register_per_network: 20 }
    }
}

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
    /// A message for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        let host = url.host().ok_or("has no host")?;
        let loopback = is_loopback(&host);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(format!("must be https: a cookie sent in the clear to {host} can be stolen")),
            other => return Err(format!("must begin with https://, not {other}://")),
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("must be a scheme, a host and a port, and nothing more".to_owned());
        }
        Ok(Self { url, loopback })
    }

    /// Whether cookies are sent over TLS only.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host, in lower-case ASCII (punycode).
    pub fn host(&self) -> &str {
        self.url.host_str().expect("parse rejects a URL without a host")
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

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => IpAddr::from(*ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::from(*ip).is_loopback(),
    }
}

/// The database of accounts and sessions. The features `sqlite` and `postgres` enable its variants.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// SQLite: the path of the database file.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    /// PostgreSQL: a URL, which may contain a password.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl DatabaseUrl {
    /// Parses `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    /// A message for the operator, without the text, which may contain a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Self::sqlite(path.strip_prefix("//").unwrap_or(path));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::postgres(text);
        }
        Err("must begin with sqlite: or postgres://".to_owned())
    }

    /// SQLite, in the file `handstamp.db` of this folder.
    #[cfg(feature = "sqlite")]
    pub fn in_folder(folder: &Path) -> Self {
        Self::Sqlite(folder.join("handstamp.db"))
    }

    /// The path of the SQLite file, for a pool of your own on the same database; none for PostgreSQL.
    pub fn path(&self) -> Option<&Path> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => Some(path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }

    #[cfg(feature = "sqlite")]
    fn sqlite(path: &str) -> Result<Self, String> {
        if path.is_empty() || path.contains(['?', '#']) || path == ":memory:" {
            return Err("must be sqlite: followed by the path of a file".to_owned());
        }
        Ok(Self::Sqlite(path.into()))
    }

    #[cfg(not(feature = "sqlite"))]
    fn sqlite(_: &str) -> Result<Self, String> {
        Err("needs the feature `sqlite`, which this build does not have".to_owned())
    }

    #[cfg(feature = "postgres")]
    fn postgres(url: &str) -> Result<Self, String> {
        Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        Ok(Self::Postgres(url.to_owned()))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_: &str) -> Result<Self, String> {
        Err("needs the feature `postgres`, which this build does not have".to_owned())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => write!(f, "Sqlite({})", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// Checks that browsers send a cookie for `domain` to the site, and only over TLS.
///
/// # Errors
/// A message for the operator.
pub fn check_cookie_domain(domain: &str, public_url: &PublicUrl) -> Result<(), String> {
    let host = public_url.host();
    let covers = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !public_url.is_https() {
        Err("needs a public_url with https".to_owned())
    } else if !covers || !domain.contains('.') || domain.starts_with('.') {
        Err(format!("must be a domain that {host} belongs to, such as example.com"))
    } else {
        Ok(())
    }
}

/// Checks that a return URL of this site may name a host: a loopback host only if the site is on a loopback host too.
///
/// # Errors
/// A message for the operator.
pub fn check_return_host(host: &ReturnHost, public_url: &PublicUrl) -> Result<(), String> {
    if host.is_loopback() && !public_url.loopback {
        return Err(format!("names this machine, but users who sign in at {public_url} are on other machines"));
    }
    if host.to_string().ends_with(":80") && !public_url.is_https() && host.is_loopback() {
        return Err("must be written without the port 80, as browsers do".to_owned());
    }
    Ok(())
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
            assert!(PublicUrl::parse(url).is_ok(), "{url}");
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

    #[test]
    fn a_database_url_is_never_printed() {
        let url = DatabaseUrl::parse("postgres://me:hunter2@db/handstamp").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(DatabaseUrl::parse("sqlite:///var/lib/h.db"), Ok(DatabaseUrl::Sqlite("/var/lib/h.db".into())));
        assert_eq!(DatabaseUrl::parse("sqlite:h.db"), Ok(DatabaseUrl::Sqlite("h.db".into())));
        for bad in ["", "sqlite:", "sqlite::memory:", "sqlite:h.db?mode=ro", "mysql://db", "h.db"] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_return_hosts_are_accepted_for_loopback_sites_only() {
        let check = |host, url| check_return_host(&ReturnHost::parse(host).unwrap(), &PublicUrl::parse(url).unwrap());
        for host in ["localhost:15000", "app.localhost", "127.0.0.1:3000", "app.example.com"] {
            assert_eq!(check(host, "http://localhost:8080"), Ok(()), "{host}");
        }
        assert_eq!(check("app.example.com", "https://id.example.com"), Ok(()));
        for host in ["localhost:15000", "app.localhost", "127.0.0.1:3000"] {
            assert!(check(host, "https://id.example.com").unwrap_err().contains("https://id.example.com"), "{host}");
        }
        assert!(check("localhost:80", "http://localhost:8080").is_err());
    }

    #[tokio::test]
    async fn validation_reports_every_setting_that_is_out_of_bounds() {
        let config = || {
            let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
            let url = PublicUrl::parse("https://id.example.com").unwrap();
            Config::new(url, DatabaseUrl::parse("sqlite:unused").unwrap(), secret)
        };
        assert!(config().validate().is_ok());
        type InternalError = (&'static str, fn(&mut Config));
        let faults: [InternalError; 10] = [
            ("site_name", |config| config.site_name = "\u{200B}".to_owned()),
            ("session.lifetime", |config| config.session.lifetime = Duration::from_secs(31 * 86_400)),
            ("session.lease", |config| config.session.lease = Duration::ZERO),
            ("session.cookie_domain", |config| config.session.cookie_domain = Some("exämple.com".to_owned())),
            ("password.min_length", |config| config.password.min_length = 7),
            ("password.min_strength", |config| config.password.min_strength = 5),
            ("hashing.concurrency", |config| config.hashing.concurrency = 0),
            ("hashing.queue", |config| config.hashing.queue = 1_000_001),
            ("limits.sign_in_per_account", |config| config.limits.sign_in_per_account = 101),
            ("return_hosts", |config| config.return_hosts = vec![ReturnHost::parse("localhost:3000").unwrap()]),
        ];
        let mut all = config();
        for (name, set) in faults {
            let mut wrong = config();
            set(&mut wrong);
            let error = wrong.validate().unwrap_err();
            assert!(error.is_config() && error.to_string().starts_with(name), "{error}");
            set(&mut all);
        }
        let told = all.validate().unwrap_err().to_string();
        assert!(faults.iter().all(|(name, _)| told.contains(name)), "all at once: {told}");
        let refused = crate::Handstamp::open(all).await.err();
        assert_eq!(refused.map(|error| error.to_string()), Some(told), "and nothing is opened");
    }

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

//! What a [`Handstamp`](crate::Handstamp) opens with: plain values, which [`Config::validate`] checks.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handstamp_core::{DisplayName, HashSettings, Limit, PasswordPolicy, ReturnHost, SecretKey, TrustedProxies};
use url::{Host, Position, Url};

use crate::Error;

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where people reach this site.
    pub public_url: PublicUrl,
    /// Where accounts and sessions are kept.
    pub database: DatabaseUrl,
    /// How PostgreSQL is connected to.
    pub pool: PoolConfig,
    /// The secret that signs.
    pub secret_key: SecretKey,
    /// Earlier secrets, whose tokens are still accepted.
    pub secret_key_fallbacks: Vec<SecretKey>,
    /// What the pages call this site.
    pub site_name: String,
    /// A folder whose files replace the pages' templates of the same name.
    pub templates_dir: Option<PathBuf>,
    /// Who may make an account.
    pub registration: Registration,
    /// How long people stay signed in, and where.
    pub session: SessionConfig,
    /// What a new password must be.
    pub password: PasswordPolicy,
    /// What hashing a password may cost.
    pub hashing: HashingConfig,
    /// How often somebody may guess.
    pub limits: LimitsConfig,
    /// The proxies whose `X-Forwarded-For` tells where a request comes from. Without the address of the peer, which
    /// `into_make_service_with_connect_info::<SocketAddr>()` gives, all requests count as one network.
    pub trusted_proxies: TrustedProxies,
    /// What stands before the paths of all pages, as `/members` in `/members/account/login`. Nothing by default.
    pub prefix: Prefix,
    /// Templates of your own by name, which replace ours or stand beside them. Files in `templates_dir` come before them.
    pub templates: Vec<(String, String)>,
    /// The hosts that people are sent back to after a sign-in, beside this site and the hosts of `session.cookie_domain`: by
    /// https, and to other ports of the machine itself by the scheme of `public_url`.
    pub return_hosts: Vec<ReturnHost>,
    /// Other origins whose browser applications may write here and to what [`protect`](crate::Handstamp::protect) surrounds:
    /// sign in by the API, for one. They need CORS as well, with credentials, which is the application's own affair; and their
    /// requests carry the session cookie only from hosts of the same site, as `app.example.com` and `id.example.com` are.
    pub trusted_origins: Vec<TrustedOrigin>,
    /// What apps behind a proxy are told.
    pub forward_auth: ForwardAuthConfig,
}

impl Config {
    /// The defaults, with the three things that have none.
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

    /// Checks what types cannot: that all numbers are within their bounds, and that hosts and domains fit the public URL.
    /// [`Handstamp::open`](crate::Handstamp::open) does it.
    ///
    /// # Errors
    /// All that is wrong, each with the name of its setting.
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

/// Checks what the pages are to call a site.
///
/// # Errors
/// In words for the operator.
pub fn check_site_name(name: &str) -> Result<(), String> {
    DisplayName::parse(name).map(drop).map_err(|_| "must be 1 to 100 visible characters".to_owned())
}

/// An origin as browsers spell it in the header `Origin` (RFC 6454 §6.2): a scheme, a host, and a port where it is not the
/// usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedOrigin(String);

impl TrustedOrigin {
    /// Takes an origin such as `https://app.example.com` or, of this machine, `http://localhost:5173`.
    ///
    /// # Errors
    /// In words for the programmer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = PublicUrl::parse(text)?;
        if url.to_string() == text { Ok(Self(text.to_owned())) } else { Err(format!("must be written as {url}")) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How PostgreSQL is connected to. SQLite needs none of it.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// The most connections that this node has at once, from [`MIN_CONNECTIONS`](Self::MIN_CONNECTIONS) on. Three of them keep
    /// its lease. It works with fewer, if the server grants no more.
    pub connections: u32,
    /// How long opening waits for a server that does not answer, or does not take more connections.
    pub wait: Duration,
}

impl PoolConfig {
    /// Of these a node keeps its lease: two for its heartbeats and for those who wait for the other nodes, one that listens.
    pub(crate) const KEEPING_CONNECTIONS: u32 = 3;
    /// Those that keep the lease, and one for everything else.
    pub const MIN_CONNECTIONS: u32 = Self::KEEPING_CONNECTIONS + 1;
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { connections: 13, wait: Duration::from_secs(60) }
    }
}

/// A path under which the pages stand: empty, or segments of letters, digits, hyphens and underscores, each after a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Takes a path such as `/members`.
    ///
    /// # Errors
    /// In words for the programmer.
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

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Nobody.
    Closed,
}

/// How long people stay signed in, and where.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// How long a session lasts that is remembered: 30 days, and never more (NIST SP 800-63B-4 §2.1.3).
    pub lifetime: Duration,
    /// A domain all of whose hosts share one sign-in.
    pub cookie_domain: Option<String>,
    /// For how long a node may believe its cache without word from the database, and so how much longer a sign-out takes
    /// when a node has died. Longer rides through a longer fail-over of the database.
    pub lease: Duration,
    /// How many sessions are kept in memory, so that their requests cost no statement; with none, each request reads its
    /// row. 200 bytes each; those with a long name or many groups count as several.
    pub cache_entries: usize,
    /// Whether to use PostgreSQL's LISTEN and NOTIFY where they work. Without them nodes ask ten times a second.
    pub notify: bool,
    /// Whether a sign-out has browsers clear what they store for the origin (`Clear-Site-Data: "storage"`). An application on
    /// the same origin loses its own localStorage by it, drafts and all: so not by default.
    pub clear_site_data: bool,
}

impl SessionConfig {
    /// The longest that a session may last.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
    /// The shortest and the longest lifetime.
    pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Self::MAX_LIFETIME;
    /// How long a session lasts that is not remembered, if its browser stays open.
    pub const UNREMEMBERED_LIFETIME: Duration = Duration::from_secs(86_400);
    /// The shortest and the longest lease.
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

/// What apps behind a proxy are told.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardAuthConfig {
    /// Whether they get addresses that are not verified: what people typed when they registered.
    pub unverified_email: bool,
}

/// What hashing a password may cost.
#[derive(Clone, Copy, Debug)]
pub struct HashingConfig {
    /// The parameters of Argon2id.
    pub settings: HashSettings,
    /// How many hashes are computed at once. More than there are cores makes all of them, and everything else, slower.
    pub concurrency: usize,
    /// How many may wait for their turn; beyond that the answer is 503, after a second.
    pub queue: usize,
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self {
            settings: HashSettings::new(19_456, 2, 1).expect("the defaults are within the bounds"),
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 64,
        }
    }
}

/// How often somebody may guess in a quarter of an hour. 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// Wrong passwords for one account from devices that it has not been signed in to on, and for each that it has: at most
    /// [`MAX_PER_ACCOUNT`](Self::MAX_PER_ACCOUNT). What follows has to wait, a minute at first and twice as long each time
    /// up to an hour; and in a day there are a hundred at most.
    pub sign_in_per_account: u32,
    /// Wrong passwords for any account from one network: an IPv4 address, or the first 64 bits of an IPv6 address.
    pub sign_in_per_network: u32,
    /// Attempts to register from one network.
    pub register_per_network: u32,
}

impl LimitsConfig {
    /// What a day has (NIST SP 800-63B-4 §3.2.2), a quarter of an hour cannot have more of.
    pub const MAX_PER_ACCOUNT: u32 = Limit::PER_DAY;
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { sign_in_per_account: 10, sign_in_per_network: 100, register_per_network: 20 }
    }
}

/// Where people reach this site: a scheme, a host and a port. Plain http is for loopback hosts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    loopback: bool,
}

impl PublicUrl {
    /// Parses a URL without a path.
    ///
    /// # Errors
    /// In words for the operator.
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

    /// The host, in ASCII.
    pub fn host(&self) -> &str {
        self.url.host_str().expect("a host was there when it was parsed")
    }

    /// The host, and the port where it is not the usual one.
    pub(crate) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https() { "https" } else { "http" }
    }

    /// What the names of cookies end with: on plain http the port unless it is 80, as `_8080`, since browsers send the
    /// cookies of one port to all ports of a host.
    pub(crate) fn port_of_cookies(&self) -> String {
        let port = self.url.port().filter(|_| !self.is_https());
        port.map_or_else(String::new, |port| format!("_{port}"))
    }

    /// Whether a request for this authority (a host and perhaps a port) is meant for us. On a laptop, every name of the
    /// machine itself will do.
    pub(crate) fn answers_to(&self, authority: &str) -> bool {
        if authority == self.authority() {
            return true;
        }
        // The parser would take what follows these, or stands before them, for another part of the URL.
        if authority.contains(['/', '\\', '?', '#', '@']) {
            return false;
        }
        let Ok(asked) = Url::parse(&format!("{}://{authority}/", self.scheme())) else { return false };
        if self.loopback && asked.host().is_some_and(|host| is_loopback(&host)) {
            return true;
        }
        asked.host() == self.url.host() && asked.port() == self.url.port()
    }

    /// Whether an authority that is [answered to](Self::answers_to) is another name of this machine: `localhost` or an address,
    /// with the same port and so the same program behind it. A name such as `app.localhost` may be an app of its own.
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

/// Where accounts and sessions are kept. Which databases there are is for the features `sqlite` and `postgres` to say.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// The path of a file.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    /// A URL of PostgreSQL, which may hold a password.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl DatabaseUrl {
    /// Parses `sqlite:PATH` or `postgres://…`.
    ///
    /// # Errors
    /// In words for the operator, without the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Self::sqlite(path.strip_prefix("//").unwrap_or(path));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::postgres(text);
        }
        Err("must begin with sqlite: or postgres://".to_owned())
    }

    /// SQLite in the file `handstamp.db` of this folder.
    #[cfg(feature = "sqlite")]
    pub fn in_folder(folder: &Path) -> Self {
        Self::Sqlite(folder.join("handstamp.db"))
    }

    /// The file of SQLite, for a pool of your own on the same tables; none for PostgreSQL.
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
        Err("needs the feature `sqlite`, without which this was built".to_owned())
    }

    #[cfg(feature = "postgres")]
    fn postgres(url: &str) -> Result<Self, String> {
        Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        Ok(Self::Postgres(url.to_owned()))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_: &str) -> Result<Self, String> {
        Err("needs the feature `postgres`, without which this was built".to_owned())
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

/// Checks that a cookie for `domain` reaches the site and is sent over TLS only.
///
/// # Errors
/// In words for the operator.
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

/// Checks that people of the site can be sent to a host: to the machine itself only where the site is on it as well.
///
/// # Errors
/// In words for the operator.
pub fn check_return_host(host: &ReturnHost, public_url: &PublicUrl) -> Result<(), String> {
    if host.is_loopback() && !public_url.loopback {
        return Err(format!("is a host of this machine, and people who sign in at {public_url} are on another"));
    }
    if host.to_string().ends_with(":80") && !public_url.is_https() && host.is_loopback() {
        return Err("must be without the port, as browsers spell it".to_owned());
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
    fn a_laptop_has_other_names_on_the_same_port() {
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
    fn the_machine_itself_is_a_host_to_go_back_to_for_a_site_on_it_only() {
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
    async fn an_application_is_held_to_the_bounds_of_the_binary() {
        let config = || {
            let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
            let url = PublicUrl::parse("https://id.example.com").unwrap();
            Config::new(url, DatabaseUrl::parse("sqlite:unused").unwrap(), secret)
        };
        assert!(config().validate().is_ok());
        type Fault = (&'static str, fn(&mut Config));
        let faults: [Fault; 10] = [
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

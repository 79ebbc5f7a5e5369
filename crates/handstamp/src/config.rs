//! What a [`Handstamp`](crate::Handstamp) is told when it opens: plain values that have been checked.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handstamp_core::{HashSettings, Limit, PasswordPolicy, ReturnHost, SecretKey, TrustedProxies};
use url::{Host, Position, Url};

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
    /// The hosts that people are sent back to after a sign-in, beside this site and the hosts of `session.cookie_domain`.
    pub return_hosts: Vec<ReturnHost>,
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
        }
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
    /// row. 200 bytes each.
    pub cache_entries: usize,
    /// Whether to use PostgreSQL's LISTEN and NOTIFY where they work. Without them nodes ask ten times a second.
    pub notify: bool,
}

impl SessionConfig {
    /// The longest that a session may last.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
    /// How long a session lasts that is not remembered, if its browser stays open.
    pub const UNREMEMBERED_LIFETIME: Duration = Duration::from_secs(86_400);
    /// The shortest and the longest lease.
    pub const LEASES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            lifetime: Self::MAX_LIFETIME,
            cookie_domain: None,
            lease: Duration::from_secs(5),
            cache_entries: 1_000_000,
            notify: true,
        }
    }
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

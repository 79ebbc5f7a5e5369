//! Settings from `handstamp.toml`, the environment and flags; a later source wins. All errors are reported at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use handstamp::{
    Argon2Params, DatabaseUrl, ForwardAuthConfig, HashingConfig, LimitsConfig, PasswordPolicy, PoolConfig, PublicUrl,
    Registration, ReturnHost, SecretKey, SessionConfig, TrustedProxies, check_cookie_domain, check_return_host,
    check_site_name, private_files,
};
use tracing::Level;

use crate::cli::{AddressArgs, DataArgs};
use crate::log_format::LogFormat;

const DEFAULT_FILE: &str = "handstamp.toml";
const PREFIX: &str = "HANDSTAMP_";

/// All settings. Values of secret ones are never shown, and can be read from a file.
const KEYS: [(&str, Secrecy); 34] = [
    ("listen", Secrecy::Public),
    ("public_url", Secrecy::Public),
    ("data_dir", Secrecy::Public),
    ("database_url", Secrecy::Secret),
    ("database.connections", Secrecy::Public),
    ("secret_key", Secrecy::Secret),
    ("secret_key_fallbacks", Secrecy::Secret),
    ("site_name", Secrecy::Public),
    ("templates_dir", Secrecy::Public),
    ("registration", Secrecy::Public),
    ("session.lifetime", Secrecy::Public),
    ("session.cookie_domain", Secrecy::Public),
    ("session.lease", Secrecy::Public),
    ("session.cache_entries", Secrecy::Public),
    ("session.notify", Secrecy::Public),
    ("session.clear_site_data", Secrecy::Public),
    ("password.min_length", Secrecy::Public),
    ("password.min_strength", Secrecy::Public),
    ("hashing.memory_kib", Secrecy::Public),
    ("hashing.iterations", Secrecy::Public),
    ("hashing.parallelism", Secrecy::Public),
    ("hashing.concurrency", Secrecy::Public),
    ("hashing.queue", Secrecy::Public),
    ("limits.sign_in_per_account", Secrecy::Public),
    ("limits.sign_in_per_network", Secrecy::Public),
    ("limits.register_per_network", Secrecy::Public),
    ("trusted_proxies", Secrecy::Public),
    ("return_hosts", Secrecy::Public),
    ("forward_auth.unverified_email", Secrecy::Public),
    ("limits.connections", Secrecy::Public),
    ("limits.connections_per_network", Secrecy::Public),
    ("metrics.listen", Secrecy::Public),
    ("log.format", Secrecy::Public),
    ("log.level", Secrecy::Public),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Public,
    Secret,
}

/// The validated settings of a command.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// None for `http://localhost` and the port of `listen`.
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) data_dir: PathBuf,
    /// None for the one in the data folder.
    pub(crate) database: Option<DatabaseUrl>,
    pub(crate) pool: PoolConfig,
    /// None for the one in the data folder.
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) secret_key_fallbacks: Vec<SecretKey>,
    pub(crate) site_name: String,
    pub(crate) templates_dir: Option<PathBuf>,
    pub(crate) registration: Registration,
    pub(crate) session: SessionConfig,
    pub(crate) password: PasswordPolicy,
    pub(crate) hashing: HashingConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) return_hosts: Vec<ReturnHost>,
    pub(crate) forward_auth: ForwardAuthConfig,
    /// The limit on concurrent connections.
    pub(crate) connections: usize,
    /// The same for one network; 0 for any number, None for a default that depends on `connections`.
    pub(crate) connections_per_network: Option<usize>,
    /// None for no metrics.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) log_format: Option<LogFormat>,
    /// None for the default of the command.
    pub(crate) log_level: Option<Level>,
    /// Messages about the settings, for the log once it has started.
    pub(crate) notes: Vec<Note>,
}

/// A message about the settings for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A possible mistake or risk.
    Warning(String),
    Information(String),
}

impl Note {
    /// Logs it; the log must have started.
    pub(crate) fn say(&self) {
        match self {
            Self::Warning(text) => tracing::warn!(event = "settings", "{text}"),
            Self::Information(text) => tracing::info!(event = "settings", "{text}"),
        }
    }
}

/// All errors in the settings.
#[derive(Debug)]
pub(crate) struct SettingsErrors(Vec<String>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start with these settings:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A value as it was given, and its source.
struct RawValue {
    value: Value,
    origin: String,
}

enum Value {
    Text(String),
    List(Vec<String>),
}

impl Settings {
    /// Reads the settings from all sources.
    ///
    /// # Errors
    /// All errors, as messages for the operator without the values of secrets.
    pub(crate) fn load(
        data: &DataArgs,
        address: &AddressArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsErrors> {
        let mut reader = Reader::default();
        reader.take_file(data.config.as_deref());
        reader.take_environment(environment);
        reader.take_flags(data, address);
        reader.read_secret_files();
        let mut settings = reader.settings();
        reader.refuse_unknown();
        settings.notes = reader.notes;
        if reader.faults.is_empty() { Ok(settings) } else { Err(SettingsErrors(reader.faults)) }
    }
}

#[derive(Default)]
struct Reader {
    given: BTreeMap<String, RawValue>,
    faults: Vec<String>,
    notes: Vec<Note>,
}

impl Reader {
    fn take_file(&mut self, chosen: Option<&Path>) {
        let path = chosen.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if chosen.is_none() && error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.faults.push(private_files::cannot("read", path, &error)),
        };
        let origin = path.display().to_string();
        match toml::Table::from_str(&text) {
            Ok(table) => self.take_table("", table, &origin),
            // The message of the parser quotes the line, which may hold a secret.
            Err(error) => {
                let line = error.span().map(|span| format!("line {}: ", line_of(&text, span.start)));
                self.faults.push(format!("{origin}: {}{}", line.unwrap_or_default(), error.message()));
            }
        }
        let is_secret = |key: &&(&str, Secrecy)| key.1 == Secrecy::Secret && self.given.contains_key(key.0);
        self.look_at_rights(path, KEYS.iter().any(|key| is_secret(&key)));
        if chosen.is_none() {
            let path = std::path::absolute(path).unwrap_or(path.to_owned());
            self.notes.push(Note::Information(format!("reading {}, which is in the current folder", path.display())));
        }
    }

    /// Checks which other users may write or read a settings file. A secret that every user can write is refused, since
    /// another user may have chosen it. The group and another owner only cause a warning: they may be intended, and a
    /// container shows files of its host under the host's user ids.
    fn look_at_rights(&mut self, path: &Path, holds_secret: bool) {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        let path = path.display();
        if metadata.mode() & 0o002 != 0 && holds_secret {
            self.faults
                .push(format!("everybody can write {path}, which holds a secret; close it with: chmod 600 {path}"));
        } else if let Some(who) = who_else_writes(&metadata) {
            self.notes.push(Note::Warning(format!("{who} can write {path} and so change the settings")));
        } else if metadata.mode() & 0o004 != 0 && holds_secret {
            let warning = format!("everybody can read {path}, which holds a secret; close it with: chmod 600 {path}");
            self.notes.push(Note::Warning(warning));
        }
    }

    fn take_table(&mut self, prefix: &str, table: toml::Table, origin: &str) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let value = match value {
                toml::Value::Table(table) => {
                    self.take_table(&format!("{key}."), table, origin);
                    continue;
                }
                toml::Value::Array(items) => Value::List(items.into_iter().map(text_of).collect()),
                other => Value::Text(text_of(other)),
            };
            self.given.insert(key, RawValue { value, origin: origin.to_owned() });
        }
    }

    fn take_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut of_kubernetes = Vec::new();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            match value.into_string() {
                // `${VARIABLE:-}` in a compose file or a shell leaves it so.
                Ok(value) if value.is_empty() => {}
                Ok(value) if is_of_kubernetes(&name[PREFIX.len()..], &value) => of_kubernetes.push(name.to_owned()),
                Ok(value) => {
                    self.given.insert(key, RawValue { value: Value::Text(value), origin: name.to_owned() });
                }
                Err(_) => self.faults.push(format!("{name} is not valid UTF-8")),
            }
        }
        if !of_kubernetes.is_empty() {
            let names = of_kubernetes.join(", ");
            self.notes.push(Note::Information(format!(
                "ignoring the variables that Kubernetes sets for its Services: {names}"
            )));
        }
    }

    fn take_flags(&mut self, data: &DataArgs, address: &AddressArgs) {
        let flags = [("listen", &address.listen), ("public_url", &address.public_url), ("data_dir", &data.data_dir)];
        for (key, value) in flags {
            if let Some(value) = value {
                let origin = format!("--{}", key.replace('_', "-"));
                self.given.insert(key.to_owned(), RawValue { value: Value::Text(value.clone()), origin });
            }
        }
        if !address.trusted_proxy.is_empty() {
            let given =
                RawValue { value: Value::List(address.trusted_proxy.clone()), origin: "--trusted-proxy".to_owned() };
            self.given.insert("trusted_proxies".to_owned(), given);
        }
    }

    /// Replaces the path of each secret that is given as a file by the text of that file.
    fn read_secret_files(&mut self) {
        for (key, _) in KEYS.iter().filter(|(_, secrecy)| *secrecy == Secrecy::Secret) {
            let Some(RawValue { value: Value::Text(path), origin }) = self.given.remove(&format!("{key}_file")) else {
                continue;
            };
            if let Some(other) = self.given.get(*key) {
                self.faults.push(format!("{key}: given by {} and by {origin}", other.origin));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    self.look_at_rights(Path::new(&path), true);
                    let value = Value::Text(text.trim_end().to_owned());
                    self.given.insert((*key).to_owned(), RawValue { value, origin: format!("{origin}={path}") });
                }
                Err(error) => {
                    let cause = private_files::cannot("read", Path::new(&path), &error);
                    self.faults.push(format!("{key} (from {origin}): {cause}"));
                }
            }
        }
    }

    fn settings(&mut self) -> Settings {
        let public_url = self.parse("public_url", PublicUrl::parse);
        let session = self.session(public_url.as_ref());
        Settings {
            listen: self.parse("listen", address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            data_dir: self.parse("data_dir", path).unwrap_or("handstamp-data".into()),
            database: self.parse("database_url", DatabaseUrl::parse),
            pool: self.pool(),
            secret_key: self.parse("secret_key", secret),
            secret_key_fallbacks: self.list("secret_key_fallbacks", secret),
            site_name: self.parse("site_name", site_name).unwrap_or("Handstamp".to_owned()),
            templates_dir: self.templates_dir(),
            registration: self.parse("registration", registration).unwrap_or(Registration::Open),
            password: PasswordPolicy {
                min_length: self.parse("password.min_length", |text| between(text, 8, 256)).unwrap_or(8),
                min_strength: self.parse("password.min_strength", |text| between(text, 0, 4)).unwrap_or(3),
            },
            hashing: self.hashing(),
            limits: self.limits(),
            return_hosts: self.list("return_hosts", |text| return_host(text, public_url.as_ref())),
            forward_auth: ForwardAuthConfig {
                unverified_email: self.parse("forward_auth.unverified_email", parse).unwrap_or(false),
            },
            trusted_proxies: self
                .list("trusted_proxies", |text| TrustedProxies::parse([text]))
                .into_iter()
                .fold(TrustedProxies::default(), TrustedProxies::extend),
            connections: self.parse("limits.connections", |text| between(text, 10, 1_000_000)).unwrap_or(10_000),
            connections_per_network: self.parse("limits.connections_per_network", |text| between(text, 0, 1_000_000)),
            metrics_listen: self.metrics_listen(),
            log_format: self.parse("log.format", LogFormat::from_str),
            log_level: self.parse("log.level", level),
            public_url,
            session,
            notes: Vec::new(),
        }
    }

    fn templates_dir(&mut self) -> Option<PathBuf> {
        let path = self.parse("templates_dir", folder)?;
        if let Some(who) = std::fs::metadata(&path).ok().and_then(|metadata| who_else_writes(&metadata)) {
            let warning = format!("{who} can write templates_dir, {}, and so change the pages", path.display());
            self.notes.push(Note::Warning(warning));
        }
        Some(path)
    }

    fn metrics_listen(&mut self) -> Option<SocketAddr> {
        let address = self.parse("metrics.listen", address)?;
        if is_public(address.ip()) {
            let warning =
                format!("metrics.listen is {address}: every client that can reach this address can read the metrics");
            self.notes.push(Note::Warning(warning));
        }
        Some(address)
    }

    fn session(&mut self, public_url: Option<&PublicUrl>) -> SessionConfig {
        let default = SessionConfig::default();
        SessionConfig {
            lifetime: self.parse("session.lifetime", lifetime).unwrap_or(default.lifetime),
            cookie_domain: self.parse("session.cookie_domain", |domain| match public_url {
                Some(public_url) => check_cookie_domain(domain, public_url).map(|()| domain.to_owned()),
                None => Err("needs a public_url".to_owned()),
            }),
            lease: self.parse("session.lease", lease).unwrap_or(default.lease),
            cache_entries: self
                .parse("session.cache_entries", |text| between(text, 0, 1_000_000_000))
                .unwrap_or(default.cache_entries),
            notify: self.parse("session.notify", parse).unwrap_or(default.notify),
            clear_site_data: self.parse("session.clear_site_data", parse).unwrap_or(default.clear_site_data),
        }
    }

    fn pool(&mut self) -> PoolConfig {
        let default = PoolConfig::default();
        let connections = |text: &str| between(text, PoolConfig::MIN_CONNECTIONS, 1000);
        PoolConfig {
            connections: self.parse("database.connections", connections).unwrap_or(default.connections),
            ..default
        }
    }

    fn hashing(&mut self) -> HashingConfig {
        let default = HashingConfig::default();
        let memory_kib = self.parse("hashing.memory_kib", parse).unwrap_or(19_456);
        let iterations = self.parse("hashing.iterations", parse).unwrap_or(2);
        let parallelism = self.parse("hashing.parallelism", parse).unwrap_or(1);
        let settings = Argon2Params::new(memory_kib, iterations, parallelism).unwrap_or_else(|error| {
            self.faults.push(format!("hashing: {error}"));
            default.settings
        });
        HashingConfig {
            settings,
            concurrency: self
                .parse("hashing.concurrency", |text| between(text, 1, 1024))
                .unwrap_or(default.concurrency),
            queue: self.parse("hashing.queue", |text| between(text, 0, 1_000_000)).unwrap_or(default.queue),
        }
    }

    fn limits(&mut self) -> LimitsConfig {
        let default = LimitsConfig::default();
        let most = LimitsConfig::MAX_PER_ACCOUNT;
        LimitsConfig {
            sign_in_per_account: self
                .parse("limits.sign_in_per_account", |text| between(text, 0, most))
                .unwrap_or(default.sign_in_per_account),
            sign_in_per_network: self.parse("limits.sign_in_per_network", parse).unwrap_or(default.sign_in_per_network),
            register_per_network: self
                .parse("limits.register_per_network", parse)
                .unwrap_or(default.register_per_network),
        }
    }

    fn parse<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let given = self.given.remove(key)?;
        let parsed = match &given.value {
            Value::Text(text) => parse(text).map_err(|error| (error, text.as_str())),
            Value::List(_) => Err(("is a list and must be one value".to_owned(), "")),
        };
        parsed.map_err(|(error, value)| self.fault(key, value, &given.origin, &error)).ok()
    }

    fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(given) = self.given.remove(key) else { return Vec::new() };
        let items: Vec<&str> = match &given.value {
            Value::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
            Value::List(items) => items.iter().map(String::as_str).collect(),
        };
        let parsed: Vec<_> = items.into_iter().map(|item| parse(item).map_err(|error| (error, item))).collect();
        let keep = |item: Result<T, (String, &str)>| {
            item.map_err(|(error, value)| self.fault(key, value, &given.origin, &error)).ok()
        };
        parsed.into_iter().filter_map(keep).collect()
    }

    fn fault(&mut self, key: &str, value: &str, origin: &str, error: &str) {
        let is_secret = KEYS.contains(&(key, Secrecy::Secret));
        let value = if is_secret || value.is_empty() { String::new() } else { format!(" {value:?}") };
        self.faults.push(format!("{key}{value} (from {origin}): {error}"));
    }

    /// Reports the values that belong to no setting.
    fn refuse_unknown(&mut self) {
        for (key, given) in std::mem::take(&mut self.given) {
            self.faults.push(format!("{key} (from {}): there is no such setting", given.origin));
        }
    }
}

/// The number of the line that contains this byte of a text.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

/// The users that may write a file or folder, besides root and the user of this process.
fn who_else_writes(metadata: &Metadata) -> Option<String> {
    match (private_files::other_owner(metadata), metadata.mode()) {
        (_, mode) if mode & 0o002 != 0 => Some("everybody".to_owned()),
        (Some(owner), _) => Some(format!("the user {owner}")),
        (None, mode) if mode & 0o020 != 0 => Some(format!("the group {}", metadata.gid())),
        (None, _) => None,
    }
}

/// Whether Kubernetes sets this variable (given without our prefix) in every container, for a Service whose name is or begins
/// with handstamp. Such a variable ends with `PORT`, `PORT_80_TCP`, `PORT_80_TCP_ADDR`, `SERVICE_HOST`, `SERVICE_PORT` or
/// `SERVICE_PORT_HTTP`, after the rest of that name.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_one = |name: &str| match name {
        "PORT" => value.contains("://"),
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        _ => {
            name.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                || name.starts_with("SERVICE_PORT_")
        }
    };
    is_one(name) || name.match_indices('_').any(|(at, _)| is_one(&name[at + 1..]))
}

/// Whether an address can be reached from outside this machine and private networks.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// An address and port to listen on. A name resolves to its first IPv4 address if it has one, since most clients look for
/// `localhost` there.
fn address(text: &str) -> Result<SocketAddr, String> {
    const FORM: &str = "must be an address and a port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let has_name = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_name {
        return Err(FORM.to_owned());
    }
    let addresses: Vec<_> = text.to_socket_addrs().map_err(|error| format!("{FORM}: {error}"))?.collect();
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    v4.or(addresses.first()).copied().ok_or_else(|| FORM.to_owned())
}

fn text_of(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(_) | toml::Value::Table(_) => String::new(),
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn between<T: FromStr<Err: fmt::Display> + PartialOrd + fmt::Display>(
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    let number: T = parse(text)?;
    if number < least || number > most { Err(format!("must be between {least} and {most}")) } else { Ok(number) }
}

fn secret(text: &str) -> Result<SecretKey, String> {
    SecretKey::parse(text).map_err(|weakness| weakness.to_string())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must be the path of a folder".to_owned()) } else { Ok(text.into()) }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    if path.is_dir() { Ok(path) } else { Err("is not a folder".to_owned()) }
}

fn site_name(text: &str) -> Result<String, String> {
    check_site_name(text.trim()).map(|()| text.trim().to_owned())
}

fn return_host(text: &str, public_url: Option<&PublicUrl>) -> Result<ReturnHost, String> {
    let host = ReturnHost::parse(text)?;
    // Without a public_url the site is at localhost.
    public_url.map_or(Ok(()), |public_url| check_return_host(&host, public_url)).map(|()| host)
}

fn registration(text: &str) -> Result<Registration, String> {
    match text {
        "open" => Ok(Registration::Open),
        "closed" => Ok(Registration::Closed),
        _ => Err("must be open or closed".to_owned()),
    }
}

fn level(text: &str) -> Result<Level, String> {
    text.parse().map_err(|_| "must be error, warn, info, debug or trace".to_owned())
}

fn lease(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if SessionConfig::LEASES.contains(&duration) { Ok(duration) } else { Err("must be between 1s and 1m".to_owned()) }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if SessionConfig::LIFETIMES.contains(&duration) {
        Ok(duration)
    } else {
        Err("must be between 1m and 30d".to_owned())
    }
}

#[cfg(test)]
mod tests;

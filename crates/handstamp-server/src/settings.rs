//! Settings from `handstamp.toml`, the environment and flags; a later source wins. All errors are reported at once.
//!
//! The library defines its own settings ([`Config::settings`]); this module adds those of the server.

mod example;
mod sources;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use handstamp::environment::{Rng, SystemRng};
use handstamp::{
    Config, DataDir, DatabaseUrl, InvalidSetting, MailUrl, PublicUrl, SecretKey, Setting, Timestamp, private_files,
};
use tracing::Level;
use zeroize::Zeroizing;

use crate::CliError;
use crate::cli::{AddressArgs, DataArgs};
use crate::log_format::LogFormat;
use crate::tls::TlsFiles;
use crate::traces::OtlpUrl;
use sources::{Sources, who_else_writes};

pub(crate) use example::example;
pub(crate) use sources::InForce;

/// The bounds of the limit on concurrent connections.
const CONNECTIONS_RANGE: RangeInclusive<usize> = 10..=1_000_000;
/// The bounds of the limit on concurrent connections of one network.
const CONNECTIONS_PER_NETWORK_RANGE: RangeInclusive<usize> = 0..=1_000_000;

/// The validated settings of a command.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// The limit on concurrent connections.
    pub(crate) connections: usize,
    /// The same for one network; 0 for any number, None for a default that depends on `connections`.
    pub(crate) connections_per_network: Option<usize>,
    /// None for no metrics.
    pub(crate) metrics_listen: Option<SocketAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Where plain http is redirected to https; None for nowhere.
    pub(crate) redirect_listen: Option<SocketAddr>,
    /// Where traces are sent; None for nowhere.
    pub(crate) traces: Option<OtlpUrl>,
    /// None for a default that depends on standard error.
    pub(crate) log_format: Option<LogFormat>,
    /// None for the default of the command.
    pub(crate) log_level: Option<Level>,
    /// Messages about the settings, for the log once it has started.
    pub(crate) notes: Vec<Note>,
    /// The settings of the library. Those that were not [`given`](Self::given) are placeholders, which
    /// [`into_config`](Self::into_config) replaces.
    config: Config,
    given: Given,
}

/// Which settings were given whose defaults depend on the port or the data folder.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    public_url: bool,
    database: bool,
    secret_key: bool,
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

/// Whether a command may create the data folder, or needs an existing one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataDirMode {
    Create,
    MustExist,
    /// It uses neither the database nor the secret key.
    Unused,
}

impl Settings {
    /// Whether Handstamp stands in front of apps itself.
    pub(crate) fn has_apps(&self) -> bool {
        self.config.has_apps()
    }

    /// The settings of the library, with placeholders for those that were not given.
    pub(crate) fn library(&self) -> &Config {
        &self.config
    }

    /// Reads the settings from all sources.
    ///
    /// # Errors
    /// All errors, as messages for the operator without the values of secrets.
    pub(crate) fn load(
        data: &DataArgs,
        address: &AddressArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsErrors> {
        let known = definitions();
        let sources = Sources::read(&known, data, address, environment);
        let given = Given {
            public_url: sources.gives("public_url"),
            database: sources.gives("database_url"),
            secret_key: sources.gives("secret_key"),
        };
        let mut settings = Self { given, ..Self::defaults() };
        settings.notes = sources.store(&mut settings).map_err(SettingsErrors)?;
        let warnings = settings.warnings();
        settings.notes.extend(warnings);
        Ok(settings)
    }

    /// Each setting with its value and its source, in the order of their definitions, and all errors.
    pub(crate) fn in_force(
        data: &DataArgs,
        address: &AddressArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Vec<InForce>, Result<(), SettingsErrors>) {
        let known = definitions();
        let sources = Sources::read(&known, data, address, environment);
        let mut settings = Self::defaults();
        let in_force = sources.in_force(&settings);
        (in_force, sources.store(&mut settings).map(drop).map_err(SettingsErrors))
    }

    /// The defaults. The placeholder of the secret key is random, so that it protects what it signs.
    fn defaults() -> Self {
        let mut random = Zeroizing::new([0; SecretKey::MIN_BYTES]);
        SystemRng.fill(random.as_mut());
        let (listen, data_dir) = (SocketAddr::from(([127, 0, 0, 1], 8080)), PathBuf::from("handstamp-data"));
        let public_url = on_port(listen.port());
        let config = Config::new(public_url, DatabaseUrl::in_folder(&data_dir), SecretKey::from_random(&random));
        Self {
            listen,
            data_dir,
            connections: 10_000,
            connections_per_network: None,
            metrics_listen: None,
            tls_certificate: None,
            tls_key: None,
            redirect_listen: None,
            traces: None,
            log_format: None,
            log_level: None,
            notes: Vec::new(),
            config,
            given: Given::default(),
        }
    }

    fn warnings(&self) -> Vec<Note> {
        let templates = self.config.templates_dir.as_ref().and_then(|path| {
            let who = who_else_writes(&std::fs::metadata(path).ok()?)?;
            Some(format!("{who} can write templates_dir, {}, and so change the pages", path.display()))
        });
        let metrics = self.metrics_listen.filter(|address| is_public(address.ip())).map(|address| {
            format!("metrics.listen is {address}: every client that can reach this address can read the metrics")
        });
        let traces = self.traces.as_ref().filter(|url| !url.is_https() && url.address().is_some_and(is_public));
        let traces = traces.map(|_| {
            "telemetry.otlp is plain http to an address outside of private networks: every network in between can read the traces"
                .to_owned()
        });
        templates.into_iter().chain(metrics).chain(traces).map(Note::Warning).collect()
    }

    /// The certificate for TLS and its key; None where connections are plain.
    pub(crate) fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_certificate.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { certificate, key })
    }

    /// The framework whose sessions are exchanged, and until when.
    pub(crate) fn legacy_window(&self) -> Option<(&'static str, Timestamp)> {
        let legacy = &self.config.legacy;
        Some((legacy.kind?.name(), legacy.until?))
    }

    /// The database: by default SQLite in the data folder.
    pub(crate) fn database(&self) -> DatabaseUrl {
        if self.given.database { self.config.database.clone() } else { DatabaseUrl::in_folder(&self.data_dir) }
    }

    /// Whether a setting gives the secret key, and not a file in the data folder.
    pub(crate) fn gives_secret_key(&self) -> bool {
        self.given.secret_key
    }

    /// The filter of breached passwords.
    pub(crate) fn blocklist(&self) -> Option<&PathBuf> {
        self.config.password_blocklist.as_ref()
    }

    /// The configuration of the library. The public URL is that of `port` on this machine if none was given. Files in the data
    /// folder stand in for a missing database URL and secret key.
    ///
    /// # Errors
    /// When a file or folder is missing, cannot be created, or can be read by others. Also when a mail server was given, and no
    /// public URL for the links in mails.
    pub(crate) fn into_config(self, port: u16, mode: DataDirMode) -> Result<Config, CliError> {
        let Self { data_dir, mut config, given, .. } = self;
        if !given.public_url {
            config.public_url = on_port(port);
        }
        config.mail.local_folder = Some(data_dir.join("outbox"));
        if mode == DataDirMode::Unused {
            return Ok(config);
        }
        if mode == DataDirMode::Create && !given.public_url && matches!(config.mail.url, Some(MailUrl::Smtp(_))) {
            return Err(CliError::usage(
                "public_url must be set when mail.url names a server: the links in mails lead there",
            ));
        }
        let needs_folder = !given.database || !given.secret_key;
        if needs_folder && data_dir.is_file() {
            return Err(CliError::failure(format!(
                "data_dir, {}, is a file, and must be the folder that holds the data",
                data_dir.display()
            )));
        }
        if !given.database {
            config.database = DatabaseUrl::in_folder(&data_dir);
        }
        let needed = config.database.path().or((!given.secret_key).then_some(data_dir.as_path()));
        if mode == DataDirMode::MustExist && needed.map_or(Ok(false), is_missing)? {
            return Err(CliError::failure(format!(
                "there are no accounts in {}; name another folder with --data-dir, or create one with: handstamp serve",
                data_dir.display()
            )));
        }
        if needs_folder {
            let folder = DataDir::open(&data_dir).map_err(CliError::failure)?;
            config.state_file = Some(folder.state_file());
            if !given.secret_key {
                config.secret_key = folder.secret_key().map_err(CliError::failure)?;
                let of_folder = folder.secret_key_fallbacks().map_err(CliError::failure)?;
                let of_settings = std::mem::replace(&mut config.secret_key_fallbacks, of_folder);
                let known: Vec<_> = config.secret_key_fallbacks.iter().map(SecretKey::id).collect();
                let new = of_settings.into_iter().filter(|secret| !known.contains(&secret.id()));
                config.secret_key_fallbacks.extend(new);
            }
        }
        // Nothing else needs the folder, so it is not made for this file.
        if !needs_folder && data_dir.is_dir() {
            let folder = DataDir::open(&data_dir).map_err(CliError::failure)?;
            config.state_file = Some(folder.state_file());
        }
        Ok(config)
    }
}

/// The defaults of the settings that the library requires, in words.
const DEFAULTS: [(&str, &str); 3] = [
    ("public_url", "`http://localhost` and the port"),
    ("database_url", "SQLite in `data_dir`"),
    ("secret_key", "generated once and kept in `data_dir`"),
];

/// The definitions of all settings: of the library, and of the server.
fn definitions() -> Vec<Setting<Settings>> {
    let of_library = Config::settings().into_iter().map(|setting| {
        let default = DEFAULTS.iter().find(|(name, _)| *name == setting.name());
        let setting = setting.within(|settings: &Settings| &settings.config, |settings| &mut settings.config);
        match default {
            Some((_, default)) => setting.default_is(default),
            None => setting,
        }
    });
    let mut all = general();
    all.extend(of_library);
    all.extend(tls());
    all.extend(operation());
    all
}

/// The section of a setting, such as `session`; none for those at the top.
fn section_of(setting: &Setting<Settings>) -> Option<String> {
    setting.name().rsplit_once('.').map(|(section, _)| section.to_owned())
}

/// All sections in the order in which they are defined, those at the top first.
fn sections(settings: &[Setting<Settings>]) -> Vec<Option<String>> {
    let mut sections = vec![None];
    for section in settings.iter().map(section_of) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections
}

fn general() -> Vec<Setting<Settings>> {
    vec![
        Setting::text("listen", |settings: &mut Settings, text| {
            settings.listen = address(text)?;
            Ok(())
        })
        .values("an address or a host name, and a port")
        .shown(|settings| settings.listen.to_string())
        .about("Where the server accepts connections."),
        Setting::text("data_dir", |settings: &mut Settings, text| {
            if text.is_empty() {
                return Err(InvalidSetting::new("must be the path of a folder"));
            }
            settings.data_dir = text.into();
            Ok(())
        })
        .values("a folder")
        .shown(|settings| settings.data_dir.display().to_string())
        .about("The folder of the SQLite database and the generated secret key."),
    ]
}

fn tls() -> Vec<Setting<Settings>> {
    let needs_other = |is_alone: bool, other: &str| match is_alone {
        true => Err(InvalidSetting::new(format!("needs {other}"))),
        false => Ok(()),
    };
    vec![
        Setting::text("tls.cert_file", |settings: &mut Settings, text| {
            settings.tls_certificate = Some(text.into());
            Ok(())
        })
        .check(move |settings| {
            needs_other(settings.tls_certificate.is_some() && settings.tls_key.is_none(), "tls.key_file")
        })
        .check(|settings| match settings.tls_certificate.is_none() || settings.config.public_url.is_https() {
            true => Ok(()),
            false => Err(InvalidSetting::new("needs a public_url that begins with https://")),
        })
        .values("a PEM file: the certificate and its chain")
        .about("The certificate, with which the server speaks TLS. It is loaded anew when the file changes."),
        Setting::text("tls.key_file", |settings: &mut Settings, text| {
            settings.tls_key = Some(text.into());
            Ok(())
        })
        .check(move |settings| {
            needs_other(settings.tls_key.is_some() && settings.tls_certificate.is_none(), "tls.cert_file")
        })
        .values("a PEM file")
        .about("The private key of the certificate."),
        Setting::text("tls.redirect_listen", |settings: &mut Settings, text| {
            settings.redirect_listen = Some(address(text)?);
            Ok(())
        })
        .check(move |settings| {
            needs_other(settings.redirect_listen.is_some() && settings.tls_certificate.is_none(), "tls.cert_file")
        })
        .values("an address or a host name, and a port")
        .about("Where requests by plain http are redirected to https, as `0.0.0.0:80`."),
    ]
}

fn operation() -> Vec<Setting<Settings>> {
    vec![
        Setting::bounded(
            "limits.connections",
            CONNECTIONS_RANGE,
            |settings: &Settings| settings.connections,
            |settings, connections| settings.connections = connections,
        )
        .about("Connections at once. One more is closed."),
        Setting::bounded(
            "limits.connections_per_network",
            CONNECTIONS_PER_NETWORK_RANGE,
            |settings: &Settings| settings.connections_per_network.unwrap_or_default(),
            |settings, connections| settings.connections_per_network = Some(connections),
        )
        .default_is("`256`, or half of `limits.connections` if that is less")
        .about("Connections at once from one network. 0 is no limit, and `trusted_proxies` have none."),
        Setting::text("metrics.listen", |settings: &mut Settings, text| {
            settings.metrics_listen = Some(address(text)?);
            Ok(())
        })
        .values("an address or a host name, and a port")
        .about("Where Prometheus finds `/metrics`."),
        Setting::text("telemetry.otlp", |settings: &mut Settings, text| {
            settings.traces = Some(text.parse()?);
            Ok(())
        })
        .values("a URL, as `http://127.0.0.1:4318`")
        .about("The collector that gets traces, by OTLP over HTTP. `/v1/traces` is added to a URL without a path."),
        Setting::text("log.format", |settings: &mut Settings, text| {
            settings.log_format = Some(text.parse()?);
            Ok(())
        })
        .values("`text` or `json`")
        .default_is("`text` on a terminal, otherwise `json`")
        .about("How the log is written."),
        Setting::text("log.level", |settings: &mut Settings, text| {
            settings.log_level = Some(level(text)?);
            Ok(())
        })
        .values("`error`, `warn`, `info`, `debug` or `trace`")
        .default_is("`info` for `serve`, `warn` for commands")
        .about("The least severe level that is logged. Other crates log warnings and errors only."),
    ]
}

/// The URL of a site on this machine.
fn on_port(port: u16) -> PublicUrl {
    PublicUrl::parse(&format!("http://localhost:{port}")).expect("plain http is allowed for localhost")
}

/// Whether a file or folder is missing; an error if it is inaccessible, since it may exist then.
fn is_missing(path: &Path) -> Result<bool, CliError> {
    let is_there = path.try_exists();
    is_there.map(|is_there| !is_there).map_err(|error| CliError::failure(private_files::cannot("access", path, &error)))
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
fn address(text: &str) -> Result<SocketAddr, InvalidSetting> {
    const FORM: &str = "must be an address and a port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let has_name = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_name {
        return Err(InvalidSetting::new(FORM));
    }
    let addresses = text.to_socket_addrs().map_err(|error| InvalidSetting::new(format!("{FORM}: {error}")))?;
    let addresses: Vec<_> = addresses.collect();
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    v4.or(addresses.first()).copied().ok_or(InvalidSetting::new(FORM))
}

fn level(text: &str) -> Result<Level, InvalidSetting> {
    Level::from_str(text).map_err(|_| InvalidSetting::new("must be error, warn, info, debug or trace"))
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

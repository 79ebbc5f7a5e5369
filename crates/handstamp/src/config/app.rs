//! The sections `app` and `apps.NAME`: the apps that Handstamp stands in front of.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use handstamp_core::{AssuranceLevel, GroupName, InvalidSetting};
use url::{Position, Url};

use super::session::is_within;
use super::setting::{invalid, parse};
use super::{Config, Setting};

/// An app that Handstamp stands in front of, and who may reach it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppConfig {
    /// The address of the app; none where Handstamp stands in front of no app.
    pub url: Option<AppUrl>,
    /// The host that browsers reach the app at. None for the host of the public URL.
    pub host: Option<AppHost>,
    /// The path beneath which requests go to this app. None for every path that no other app has.
    pub path: Option<AppPath>,
    /// Whether visitors who are not signed in reach the app; they do not by default.
    pub access: AppAccess,
    /// The user has to be in one of these groups; empty where every signed-in user may reach the app.
    pub groups: Vec<GroupName>,
    /// The assurance level that the session has to have reached. None by default.
    pub assurance: Option<AssuranceLevel>,
    /// How long ago the user may have authenticated. None, by default, for any time.
    pub max_age: Option<Duration>,
    /// Paths that visitors reach who are not signed in, with everything beneath them. None by default.
    pub public_paths: Vec<AppPath>,
}

/// How requests are passed on to all apps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AppProxyConfig {
    /// Whether writes and WebSocket handshakes of other sites are refused; true by default.
    pub csrf: bool,
    /// How long an app may take until the head of its response, within [`TIMEOUT_RANGE`](Self::TIMEOUT_RANGE); 60 seconds by
    /// default.
    pub timeout: Duration,
    /// The connections to each app at once, within [`CONNECTIONS_RANGE`](Self::CONNECTIONS_RANGE); 10,000 by default.
    pub connections: usize,
    /// How long a WebSocket or another upgraded connection may be silent, within
    /// [`IDLE_TIMEOUT_RANGE`](Self::IDLE_TIMEOUT_RANGE); 1 hour by default.
    pub idle_timeout: Duration,
}

impl AppProxyConfig {
    /// The bounds of [`timeout`](Self::timeout): 1 second to 1 day.
    pub const TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
    /// The bounds of [`connections`](Self::connections): 1 to 1,000,000.
    pub const CONNECTIONS_RANGE: RangeInclusive<usize> = 1..=1_000_000;
    /// The bounds of [`idle_timeout`](Self::idle_timeout): 1 second to 30 days.
    pub const IDLE_TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
}

impl Default for AppProxyConfig {
    fn default() -> Self {
        Self {
            csrf: true,
            timeout: Duration::from_secs(60),
            connections: 10_000,
            idle_timeout: Duration::from_secs(3600),
        }
    }
}

/// Whether visitors who are not signed in reach an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppAccess {
    /// Only signed-in users do.
    #[default]
    Members,
    /// Everybody does; the identity headers of anonymous visitors are empty.
    Everybody,
}

/// `members` or `everybody`.
impl FromStr for AppAccess {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text {
            "members" => Ok(Self::Members),
            "everybody" => Ok(Self::Everybody),
            _ => Err(InvalidSetting::new("must be members or everybody")),
        }
    }
}

impl fmt::Display for AppAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Members => "members",
            Self::Everybody => "everybody",
        })
    }
}

/// The address of an app: `http`, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUrl(Url);

impl AppUrl {
    /// Parses a URL such as `http://127.0.0.1:5000`.
    ///
    /// # Errors
    /// When it is no URL, is not of http, or has a path.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = Url::parse(text).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(InvalidSetting::new("must begin with http://, and the network in between must be trusted"));
        }
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSetting::new(
                "must be a scheme, a host and a port, and nothing more: paths are passed on as they are",
            ));
        }
        Ok(Self(url))
    }

    /// The host and the port.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }
}

impl FromStr for AppUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl fmt::Display for AppUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// The host that browsers reach an app at, in lower case, with a port unless it is the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppHost(String);

impl AppHost {
    /// Parses a host such as `wiki.example.com`.
    ///
    /// # Errors
    /// When it is no host, or browsers write it otherwise.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let form = || InvalidSetting::new("must be a host in lower case, such as wiki.example.com");
        let url = Url::parse(&format!("https://{text}")).map_err(|_| form())?;
        if url[Position::BeforeHost..Position::AfterPort] == *text { Ok(Self(text.to_owned())) } else { Err(form()) }
    }

    /// The host and the port.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    pub fn name(&self) -> &str {
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        self.0.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(&self.0, |(name, _)| name)
    }
}

impl FromStr for AppHost {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

/// A path of an app, which stands for everything beneath it as well: segments, each after a slash, or `/` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPath(String);

impl AppPath {
    /// Parses a path such as `/static`.
    ///
    /// # Errors
    /// When it has characters that programs read differently, an empty segment, or one of dots.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let form = || InvalidSetting::new("must be a path such as /static, without a slash at the end");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
        let is_segment =
            |segment: &str| !segment.is_empty() && segment.bytes().all(is_plain) && !matches!(segment, "." | "..");
        let rest = text.strip_prefix('/').ok_or_else(form)?;
        match rest.is_empty() || rest.split('/').all(is_segment) {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(form()),
        }
    }

    /// Whether a path is this one, or beneath it.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The same path in lower case.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn to_lower_case(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }

    /// The number of its bytes: of the paths of apps that cover a request, the longest counts.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }
}

impl FromStr for AppPath {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl Config {
    /// Whether Handstamp stands in front of an app.
    pub fn has_apps(&self) -> bool {
        self.app.url.is_some() || !self.apps.is_empty()
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    let one = app("app.").into_iter();
    let one = one.map(|setting| setting.within(|config: &Config| &config.app, |config| &mut config.app));
    let named = app("").into_iter().map(|setting| match setting.name() {
        "url" => setting.check(|app| if app.url.is_some() { Ok(()) } else { Err(InvalidSetting::new("must be set")) }),
        "access" => setting.check(check_access),
        _ => setting,
    });
    let named = named.chain(of_named_apps());
    let named = named.map(|setting| setting.in_each("apps", |config: &Config| &config.apps, |config| &mut config.apps));
    let named = named.map(|setting| match setting.name() {
        "apps.NAME.host" => setting.check_entries(check_hosts),
        "apps.NAME.path" => setting.check_entries(check_places),
        _ => setting,
    });
    one.chain(of_all_apps()).chain(named).collect()
}

/// The settings that the only app and named apps have.
fn app(prefix: &str) -> Vec<Setting<AppConfig>> {
    let name = |name| format!("{prefix}{name}");
    vec![
        Setting::text(name("url"), |app: &mut AppConfig, text| {
            app.url = Some(parse(text)?);
            Ok(())
        })
        .values("a URL such as `http://127.0.0.1:5000`")
        .about("The app that Handstamp stands in front of. It must not be reachable around Handstamp."),
        Setting::text(name("access"), |app: &mut AppConfig, text| {
            app.access = parse(text)?;
            Ok(())
        })
        .values("`members` or `everybody`")
        .shown(|app| app.access.to_string())
        .about("Whether visitors who are not signed in reach the app; its identity headers are empty then."),
        Setting::list(
            name("public_paths"),
            |app: &mut AppConfig| app.public_paths.clear(),
            |app, text| {
                app.public_paths.push(parse(text)?);
                Ok(())
            },
        )
        .values("a list of paths, such as `/static`")
        .about("Paths that visitors reach without signing in, with everything beneath them."),
    ]
}

/// The settings that only named apps have.
fn of_named_apps() -> Vec<Setting<AppConfig>> {
    vec![
        Setting::text("host", |app: &mut AppConfig, text| {
            app.host = Some(parse(text)?);
            Ok(())
        })
        .values("a host that gets the session cookie")
        .default_is("that of `public_url`")
        .about("The host that browsers reach the app at."),
        Setting::text("path", |app: &mut AppConfig, text| {
            app.path = Some(parse(text)?);
            Ok(())
        })
        .values("a path such as `/wiki`")
        .default_is("every path that no other app has")
        .about("The path beneath which requests go to this app, unchanged. The longest path counts."),
        Setting::list(
            "groups",
            |app: &mut AppConfig| app.groups.clear(),
            |app, text| {
                app.groups.push(GroupName::parse(text).map_err(invalid)?);
                Ok(())
            },
        )
        .values("a list of groups")
        .about("Only members of one of these groups reach the app."),
        Setting::text("assurance", |app: &mut AppConfig, text| {
            app.assurance = Some(AssuranceLevel::parse(text)?);
            Ok(())
        })
        .values("`1`, `2` or `3`")
        .about("The assurance level that a session must have reached: 2 is two factors, 3 is phishing-resistant."),
        Setting::text("max_age", |app: &mut AppConfig, text| {
            app.max_age = Some(humantime::parse_duration(text).map_err(invalid)?);
            Ok(())
        })
        .values("a duration such as `12h`")
        .about("How long ago the user may have authenticated."),
    ]
}

/// The settings of the connections to all apps.
fn of_all_apps() -> Vec<Setting<Config>> {
    vec![
        Setting::flag("app.csrf", |config: &Config| config.app_proxy.csrf, |config, csrf| config.app_proxy.csrf = csrf)
            .about("Whether writes and WebSocket handshakes of other sites are refused before they reach an app."),
        Setting::bounded(
            "app.timeout",
            AppProxyConfig::TIMEOUT_RANGE,
            |config: &Config| config.app_proxy.timeout,
            |config, timeout| config.app_proxy.timeout = timeout,
        )
        .about("How long an app may take until the head of its response; later is 504."),
        Setting::bounded(
            "app.connections",
            AppProxyConfig::CONNECTIONS_RANGE,
            |config: &Config| config.app_proxy.connections,
            |config, connections| config.app_proxy.connections = connections,
        )
        .about("Connections to an app at once. One more request waits for `app.timeout` at most."),
        Setting::bounded(
            "app.idle_timeout",
            AppProxyConfig::IDLE_TIMEOUT_RANGE,
            |config: &Config| config.app_proxy.idle_timeout,
            |config, timeout| config.app_proxy.idle_timeout = timeout,
        )
        .about("How long a WebSocket or another upgraded connection may be silent in both directions."),
    ]
}

/// The apps at a host to which browsers do not send the session cookie.
fn check_hosts(config: &Config) -> Vec<(String, InvalidSetting)> {
    let gets_cookie = |host: &AppHost| {
        let domain = config.session.cookie_domain.as_deref();
        host.as_str() == config.public_url.authority() || domain.is_some_and(|domain| is_within(host.name(), domain))
    };
    let error = || InvalidSetting::new("must be the host of public_url, or belong to session.cookie_domain");
    let others = config.apps.iter().filter(|(_, app)| app.host.as_ref().is_some_and(|host| !gets_cookie(host)));
    others.map(|(name, _)| (name.clone(), error())).collect()
}

/// The apps at a host and path that another app has too.
fn check_places(config: &Config) -> Vec<(String, InvalidSetting)> {
    let place = |app: &AppConfig| {
        let host = app.host.as_ref().map_or(config.public_url.authority(), AppHost::as_str).to_owned();
        (host, app.path.as_ref().map_or_else(String::new, |path| path.0.clone()))
    };
    let mut taken: Vec<_> = config.app.url.is_some().then(|| place(&config.app)).into_iter().collect();
    let mut doubles = Vec::new();
    for (name, app) in &config.apps {
        let place = place(app);
        if taken.contains(&place) {
            doubles.push((name.clone(), InvalidSetting::new("must differ from that of the other apps at this host")));
        }
        taken.push(place);
    }
    doubles
}

/// Checks that an app is not for everybody and for some users only.
fn check_access(app: &AppConfig) -> Result<(), InvalidSetting> {
    let is_restricted = !app.groups.is_empty() || app.assurance.is_some() || app.max_age.is_some();
    match app.access == AppAccess::Everybody && is_restricted {
        true => Err(InvalidSetting::new("everybody contradicts groups, assurance and max_age; use public_paths")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use handstamp_core::SecretKey;

    use super::super::{DatabaseUrl, PublicUrl};
    use super::*;

    #[test]
    fn an_app_has_an_address_without_a_path() {
        for good in ["http://127.0.0.1:5000", "http://localhost:5000/", "http://app", "http://[::1]:3000"] {
            assert!(AppUrl::parse(good).is_ok(), "{good}");
        }
        assert_eq!(AppUrl::parse("http://LOCALHOST:5000/").unwrap().authority(), "localhost:5000");
        for bad in [
            "127.0.0.1:5000",
            "localhost:5000",
            "https://app",
            "http://app/x",
            "http://app?x",
            "http://a@app",
            "",
            "http://",
        ] {
            assert!(AppUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_is_beneath_it() {
        let path = AppPath::parse("/static").unwrap();
        assert!(["/static", "/static/", "/static/a/b"].iter().all(|beneath| path.covers(beneath)));
        assert!(["/statics", "/", "", "/Static", "/a/static"].iter().all(|other| !path.covers(other)));
        assert!(AppPath::parse("/").unwrap().covers("/anything"));
        for bad in ["", "static", "/static/", "//", "/a//b", "/a/../b", "/.", "/a%2Fb", "/a;b", "/ä", "/a?b", "/a\\b"]
        {
            assert!(AppPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_written_as_browsers_do() {
        for good in ["wiki.example.com", "wiki.example.com:8443", "[::1]:81"] {
            assert!(AppHost::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Wiki.example.com", "wiki.example.com:443", "wiki.example.com/", "a@b", "https://b", "a b"] {
            assert!(AppHost::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_host_of_an_app_gets_the_session_cookie() {
        let mut config = Config::new(
            PublicUrl::parse("https://id.example.com").unwrap(),
            DatabaseUrl::parse("sqlite:unused").unwrap(),
            SecretKey::from_random(&[1; 32]),
        );
        let at = |host| AppConfig { host: Some(AppHost::parse(host).unwrap()), ..AppConfig::default() };
        config.apps.insert("wiki".to_owned(), at("wiki.example.com"));
        assert_eq!(check_hosts(&config).len(), 1);
        config.session.cookie_domain = Some("example.com".to_owned());
        assert_eq!(check_hosts(&config).len(), 0);
        config.apps.insert("other".to_owned(), at("wiki.badexample.com"));
        assert_eq!(check_hosts(&config)[0].0, "other");
    }
}

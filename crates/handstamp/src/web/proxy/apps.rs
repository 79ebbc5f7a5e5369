//! The apps behind this site, and which of them a request is for.

use std::sync::Arc;

use axum::http::uri::Authority;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;

use super::connections::Connections;
use super::metrics::AppMetrics;
use crate::config::{AppAccess, AppConfig, AppPath, Config};
use crate::web::forward_auth::SubrequestOptions;
use crate::web::urls::{Origin, Urls, WELL_KNOWN};

/// An app with its rules.
pub(super) struct App {
    /// The address that requests go to.
    pub(super) authority: Authority,
    /// The access rules for its members.
    pub(super) options: SubrequestOptions,
    /// How many connections to it may be used at once.
    pub(super) permits: Arc<Semaphore>,
    pub(super) connections: Arc<Connections>,
    pub(super) metrics: AppMetrics,
    /// The host and port that browsers reach it at; none for those of the public URL.
    host: Option<String>,
    path: Option<AppPath>,
    /// The same in lower case, as some apps ignore case.
    folded_path: Option<AppPath>,
    public_paths: Vec<AppPath>,
}

/// All apps.
pub(super) struct Apps {
    apps: Vec<App>,
    /// The path of our own pages.
    account: String,
    /// Whether the rules depend on the path.
    by_path: bool,
}

/// Whom a request is for.
pub(super) enum Owner<'a> {
    /// Our own pages.
    Site,
    App {
        app: &'a App,
        is_public: bool,
    },
    /// No app is at this host.
    NoHost,
    /// No app has this path.
    NoPath,
    /// Programs read the path differently, and different rules would apply.
    Ambiguous,
}

impl Apps {
    pub(super) fn new(config: &Config, urls: &Urls) -> Self {
        let only = config.app.url.is_some().then_some(("app", &config.app));
        let named = config.apps.iter().map(|(name, app)| (name.as_str(), app));
        let apps: Vec<_> = named.chain(only).filter_map(|(name, app)| App::new(name, app, config)).collect();
        let by_path = apps.iter().any(|app| app.path.is_some() || !app.public_paths.is_empty());
        Self { apps, account: urls.page("/account"), by_path }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &App> {
        self.apps.iter()
    }

    /// The path of our own pages.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Whether a path is one of ours, which no app gets.
    pub(super) fn is_of_the_site(&self, path: &str) -> bool {
        path == WELL_KNOWN
            || path.strip_prefix(self.account.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whom a request for this path of an origin is for. `is_ours` tells whether the origin is that of the public URL.
    pub(super) fn owner(&self, origin: &Origin, is_ours: bool, path: &str) -> Owner<'_> {
        if self.is_of_the_site(path) {
            return Owner::Site;
        }
        let here = || self.apps.iter().filter(|app| app.host.as_deref().map_or(is_ours, |host| host == origin.host()));
        if here().next().is_none() {
            return Owner::NoHost;
        }
        let longest = |path: &str, of: fn(&App) -> Option<&AppPath>| {
            let covers = |app: &&App| of(app).is_none_or(|own| own.covers(path));
            here().filter(covers).max_by_key(|app| of(app).map_or(0, AppPath::length))
        };
        let Some(app) = longest(path, |app| app.path.as_ref()) else { return Owner::NoPath };
        if !self.by_path {
            return Owner::App { app, is_public: false };
        }
        let Some(readings) = readings(path) else { return Owner::Ambiguous };
        let is_the_app = |reading: &String| {
            let other = longest(&reading.to_ascii_lowercase(), |app| app.folded_path.as_ref());
            other.is_some_and(|other| std::ptr::eq(app, other))
        };
        if !readings.iter().all(is_the_app) {
            return Owner::Ambiguous;
        }
        let is_public = |path: &str| app.public_paths.iter().any(|public| public.covers(path));
        Owner::App { app, is_public: is_public(path) && readings.iter().all(|reading| is_public(reading)) }
    }
}

impl App {
    fn new(name: &str, app: &AppConfig, config: &Config) -> Option<Self> {
        let AppConfig { url, host, path, access, groups, assurance, max_age, public_paths } = app;
        let options = SubrequestOptions {
            groups: groups.clone(),
            assurance: *assurance,
            max_age: *max_age,
            for_everybody: *access == AppAccess::Everybody,
            passes_preflights: false,
        };
        let authority = url.as_ref()?.authority().parse().ok()?;
        Some(Self {
            connections: Arc::new(Connections::new(&authority)),
            authority,
            options,
            permits: Arc::new(Semaphore::new(config.app_proxy.connections)),
            metrics: AppMetrics::new(name),
            host: host.as_ref().map(|host| host.as_str().to_owned()),
            path: path.clone(),
            folded_path: path.as_ref().map(AppPath::to_lower_case),
            public_paths: public_paths.clone(),
        })
    }
}

/// How often a path is decoded: programs decode once, and some by mistake twice.
const MAX_DECODINGS: usize = 4;

/// The paths that programs may read where they are sent this one: with dot segments resolved or not, and without empty segments
/// and parameters. A program may also stop at a character that ends a path once it is decoded. None if it is encoded more often than
/// any program decodes it.
fn readings(path: &str) -> Option<Vec<String>> {
    let mut text = path.to_owned();
    let mut readings = Vec::new();
    for _ in 0..MAX_DECODINGS {
        let first = text.split(['?', '#', '\0']).next().unwrap_or_default();
        for text in [text.as_str(), first] {
            readings.extend([Dots::Kept, Dots::Resolved].map(|dots| read(text, dots)));
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return Some(readings);
        }
        text = decoded;
    }
    None
}

/// Whether a program resolves dot segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    Kept,
    Resolved,
}

fn read(path: &str, dots: Dots) -> String {
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" => {}
            "." if dots == Dots::Resolved => {}
            ".." if dots == Dots::Resolved => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use handstamp_core::SecretKey;

    use super::*;
    use crate::config::{DatabaseUrl, PublicUrl};

    /// An app at `/`, and another at `/admin`, with public paths each.
    fn apps() -> Apps {
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        let mut config = Config::new(url, DatabaseUrl::Sqlite("unused".into()), SecretKey::from_random(&[1; 32]));
        let app = |path: Option<&str>, public: &str| AppConfig {
            url: Some("http://127.0.0.1:5000".parse().unwrap()),
            path: path.map(|path| path.parse().unwrap()),
            public_paths: vec![public.parse().unwrap()],
            ..AppConfig::default()
        };
        config.app = app(None, "/static");
        config.apps.insert("admin".to_owned(), app(Some("/admin"), "/admin/help"));
        Apps::new(&config, &Urls::new(&config))
    }

    fn owner(path: &str) -> &'static str {
        let apps = apps();
        match apps.owner(&Origin::new("https", "id.example.com"), true, path) {
            Owner::Site => "site",
            Owner::App { app, is_public } => match (app.path.is_some(), is_public) {
                (true, false) => "admin",
                (true, true) => "admin, public",
                (false, false) => "app",
                (false, true) => "app, public",
            },
            Owner::NoHost | Owner::NoPath => "none",
            Owner::Ambiguous => "ambiguous",
        }
    }

    #[test]
    fn a_path_is_for_the_site_or_for_the_app_with_the_longest_path() {
        for (path, expected) in [
            ("/", "app"),
            ("/auth/request", "app"),
            ("/favicon.ico", "app"),
            ("/accounts", "app"),
            ("/.well-known/other", "app"),
            ("/account", "site"),
            ("/account/login", "site"),
            ("/account/../admin", "site"),
            ("/.well-known/change-password", "site"),
            ("/admin", "admin"),
            ("/admin/", "admin"),
            ("/admin/users/%2F/é", "admin"),
            ("/administration", "app"),
            ("/static/site.css", "app, public"),
            ("/static", "app, public"),
            ("/statics", "app"),
            ("/admin/help/a%20b", "admin, public"),
        ] {
            assert_eq!(owner(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_programs_read_differently_gets_no_laxer_rules() {
        for (path, expected) in [
            ("/static/../notes", "app"),
            ("/static/%2e%2e/notes", "app"),
            ("/static/..%2fnotes", "app"),
            ("/static/%252e%252e%252fnotes", "app"),
            ("/static\\..\\notes", "app"),
            ("/static/..;/notes", "app"),
            ("/static/..;x=y/notes", "app"),
            ("/static/a/../../notes", "app"),
            ("/static/..%5cnotes", "app"),
            ("//admin", "ambiguous"),
            ("/x/../admin", "ambiguous"),
            ("/x/..;/admin/users", "ambiguous"),
            ("/./admin", "ambiguous"),
            ("/%61dmin", "ambiguous"),
            ("/%2561dmin", "ambiguous"),
            ("/x/%2e%2e/admin", "ambiguous"),
            ("/ADMIN", "ambiguous"),
            ("/Admin/users", "ambiguous"),
            ("/admin;x=y", "ambiguous"),
            ("/x\\..\\admin", "ambiguous"),
            ("/admin/../static/x", "ambiguous"),
            ("/static/../admin", "ambiguous"),
            ("/admin/%2e%2e/", "ambiguous"),
            ("/admin%2f..%2f", "ambiguous"),
            ("/admin%2fusers", "ambiguous"),
            ("/admin%3fx", "ambiguous"),
            ("/admin%23x", "ambiguous"),
            ("/admin%00", "ambiguous"),
            ("/x/..%2fadmin%253f/static", "ambiguous"),
            ("/static%23/../admin", "ambiguous"),
            ("/static/..%23/notes", "app"),
            ("/notes%3f/static", "app"),
            ("/admin/help/../users", "admin"),
            ("/%2525252525252561dmin", "ambiguous"),
        ] {
            assert_eq!(owner(path), expected, "{path}");
        }
    }

    #[test]
    fn an_app_at_a_host_of_its_own_gets_no_request_for_another_host() {
        let apps = apps();
        assert!(matches!(apps.owner(&Origin::new("https", "evil.test"), false, "/"), Owner::NoHost));
    }
}

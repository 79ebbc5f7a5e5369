//! The settings of a [`Handstamp`](crate::Handstamp): plain values, checked by [`Config::validate`].

mod admin;
mod app;
mod database;
mod errors;
mod forward_auth;
mod hashing;
mod import;
mod legacy;
mod limits;
mod mail;
mod passkeys;
mod password;
mod providers;
mod public_url;
mod second_factor;
mod secrets;
mod session;
mod setting;
mod sign_in;
mod site;
mod urls;
mod webhooks;

use std::collections::BTreeMap;
use std::path::PathBuf;

use handstamp_core::{ImportSecrets, PasswordPolicy, ReturnHost, SecretKey, TrustedProxies};

pub use app::{AppAccess, AppConfig, AppHost, AppPath, AppProxyConfig, AppUrl};
pub use database::{DatabaseUrl, PoolConfig};
pub use errors::{ConfigError, ConfigErrors};
pub use forward_auth::ForwardAuthConfig;
pub use hashing::HashingConfig;
pub use legacy::LegacyConfig;
pub use limits::LimitsConfig;
#[cfg(test)]
pub(crate) use mail::SmtpCredentials;
pub(crate) use mail::SmtpSecurity;
pub use mail::{MailAddress, MailConfig, MailUrl, SmtpServer};
pub use passkeys::PasskeysConfig;
pub use providers::{
    ClientSecret, FactorClaim, GroupOfClaim, ProviderConfig, ProviderKind, ProviderUrl, Tenant, TrustedDomain,
};
pub use public_url::PublicUrl;
pub use second_factor::{SecondFactorConfig, SecondFactorRequired};
pub use session::SessionConfig;
pub use setting::{BoundedValue, Setting, SettingValue};
pub use sign_in::SignInConfig;
pub use site::Registration;
pub use urls::{Prefix, TrustedOrigin};
pub use webhooks::{WebhookUrl, WebhooksConfig};

/// All settings of a [`Handstamp`](crate::Handstamp). Start with [`new`](Self::new) or [`in_folder`](Self::in_folder), and
/// assign the fields that differ from the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The URL at which browsers reach this site.
    pub public_url: PublicUrl,
    /// The database of accounts and sessions.
    pub database: DatabaseUrl,
    /// The file in which this node notes how far the database has come. With it the node notices that the folder or the database was put back
    /// from a copy, and begins a new epoch. None by default, and `node.state` in the folder of [`Config::in_folder`](Self::in_folder).
    pub state_file: Option<PathBuf>,
    /// The connections to PostgreSQL.
    pub pool: PoolConfig,
    /// The secret from which the signing keys are derived.
    pub secret_key: SecretKey,
    /// Earlier secrets, whose tokens are still accepted. None by default.
    pub secret_key_fallbacks: Vec<SecretKey>,
    /// The name of this site on the pages: 1 to 100 visible characters, `Handstamp` by default.
    pub site_name: String,
    /// A folder whose files replace Handstamp's templates of the same name; it must exist. None by default.
    pub templates_dir: Option<PathBuf>,
    /// Whether visitors may create accounts; open by default.
    pub registration: Registration,
    /// Lifetime, cookie and cache of sessions.
    pub session: SessionConfig,
    /// The ways to sign in beside the password.
    pub sign_in: SignInConfig,
    /// Passkeys.
    pub passkeys: PasskeysConfig,
    /// The users who need a second factor.
    pub second_factor: SecondFactorConfig,
    /// The requirements for a new password: by default at least 8 code points, and strength 3 of 0 to 4.
    pub password: PasswordPolicy,
    /// A filter of breached passwords, which no new password may be in: a file that `handstamp passwords build` makes, and that
    /// [`Blocklist`](crate::Blocklist) opens; it must exist. None by default.
    pub password_blocklist: Option<PathBuf>,
    /// The cost of hashing passwords, and how many are hashed at once.
    pub hashing: HashingConfig,
    /// The secrets by which a former system hashed the passwords of imported users. None by default.
    pub import_secrets: ImportSecrets,
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
    /// Values for all of your own templates, by their names: a version, a link. None by default.
    pub globals: BTreeMap<String, String>,
    /// The hosts that a return URL may name, beside this site and the hosts of `session.cookie_domain`. The URL must be https; on
    /// loopback hosts it has the scheme of `public_url`. None by default.
    pub return_hosts: Vec<ReturnHost>,
    /// Other origins whose browser applications may write to this site and to routes inside
    /// [`csrf_layer`](crate::Handstamp::csrf_layer), for example sign in by the API. They also need CORS with credentials, which the
    /// application sets up. Their requests carry the session cookie only from hosts of the same site, as `app.example.com` and
    /// `id.example.com` are. None by default.
    pub trusted_origins: Vec<TrustedOrigin>,
    /// The identity that apps behind a proxy receive.
    pub forward_auth: ForwardAuthConfig,
    /// The mail server, and the addresses in mails.
    pub mail: MailConfig,
    /// The app that Handstamp stands in front of, at the host of the public URL: it gets what no app in [`apps`](Self::apps) gets.
    /// `Handstamp::reverse_proxy`, of the feature `proxy`, passes requests on.
    pub app: AppConfig,
    /// Further apps that Handstamp stands in front of, by name. None by default.
    pub apps: BTreeMap<String, AppConfig>,
    /// How requests are passed on to all apps.
    pub app_proxy: AppProxyConfig,
    /// The events of accounts that an application gets.
    pub webhooks: WebhooksConfig,
    /// The cookies of the framework that the site has left.
    pub legacy: LegacyConfig,
    /// The providers through which users sign in, by their names in URLs. None by default. The feature `federation` has the code.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Whether this process is a node of the site, whose secret keys the other nodes must share; true by default. Commands that end at
    /// once are none.
    pub node: bool,
    /// Whether members of the group `admins` administer the site at `/account/admin`; true by default. The last of them who can sign
    /// in cannot be removed.
    pub admin: bool,
}

impl Config {
    /// The defaults, with the three settings that have none.
    pub fn new(public_url: PublicUrl, database: DatabaseUrl, secret_key: SecretKey) -> Self {
        Self {
            public_url,
            database,
            state_file: None,
            pool: PoolConfig::default(),
            secret_key,
            secret_key_fallbacks: Vec::new(),
            site_name: "Handstamp".to_owned(),
            templates_dir: None,
            registration: Registration::default(),
            session: SessionConfig::default(),
            sign_in: SignInConfig::default(),
            passkeys: PasskeysConfig::default(),
            second_factor: SecondFactorConfig::default(),
            password: PasswordPolicy::default(),
            password_blocklist: None,
            hashing: HashingConfig::default(),
            import_secrets: ImportSecrets::default(),
            limits: LimitsConfig::default(),
            trusted_proxies: TrustedProxies::default(),
            prefix: Prefix::default(),
            templates: Vec::new(),
            globals: BTreeMap::new(),
            return_hosts: Vec::new(),
            trusted_origins: Vec::new(),
            forward_auth: ForwardAuthConfig::default(),
            mail: MailConfig::default(),
            app: AppConfig::default(),
            apps: BTreeMap::new(),
            app_proxy: AppProxyConfig::default(),
            webhooks: WebhooksConfig::default(),
            legacy: LegacyConfig::default(),
            providers: BTreeMap::new(),
            node: true,
            admin: true,
        }
    }

    /// The definitions of the settings, for programs that read them from files or the environment. [`prefix`](Self::prefix),
    /// [`templates`](Self::templates), [`globals`](Self::globals), [`trusted_origins`](Self::trusted_origins), [`PoolConfig::wait`],
    /// [`MailConfig::local_folder`], [`MailConfig::send_outbox`] and [`node`](Self::node) have none.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use handstamp::{Config, SettingValue};
    ///
    /// let mut config = Config::in_folder("handstamp-data", "http://localhost:3000")?;
    /// for setting in Config::settings() {
    ///     let variable = format!("ACCOUNTS_{}", setting.name().to_uppercase().replace('.', "_"));
    ///     if let Ok(text) = std::env::var(variable) {
    ///         setting.set(&mut config, "", &SettingValue::Text(text))?;
    ///     }
    /// }
    /// config.validate()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settings() -> Vec<Setting<Self>> {
        [
            public_url::settings(),
            database::settings(),
            secrets::settings(),
            site::settings(),
            session::settings(),
            sign_in::settings(),
            passkeys::settings(),
            second_factor::settings(),
            password::settings(),
            hashing::settings(),
            import::settings(),
            limits::settings(),
            urls::settings(),
            forward_auth::settings(),
            mail::settings(),
            app::settings(),
            webhooks::settings(),
            legacy::settings(),
            providers::settings(),
            admin::settings(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Checks what the types cannot: that numbers are within their bounds, and that hosts and domains match the public URL.
    /// [`Handstamp::open`](crate::Handstamp::open) calls it.
    ///
    /// # Errors
    /// All settings whose values are invalid.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let errors = Self::settings().into_iter().filter_map(|setting| setting.validate(self).err());
        ConfigErrors::check(errors.flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use handstamp_core::legacy_cookie::{LegacyKind, LegacySecret};
    use handstamp_core::{GroupName, Timestamp};

    use super::*;

    const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";

    fn config() -> Config {
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        Config::new(url, DatabaseUrl::parse("sqlite:unused").unwrap(), SecretKey::parse(SECRET).unwrap())
    }

    /// The app of this name, with an address.
    fn app<'a>(config: &'a mut Config, name: &str) -> &'a mut AppConfig {
        let app = config.apps.entry(name.to_owned()).or_default();
        app.url = Some(AppUrl::parse("http://localhost:5000").unwrap());
        app
    }

    /// The provider `wiki`, complete for this kind. Changes after an earlier call stay.
    fn provider(config: &mut Config, kind: ProviderKind) -> &mut ProviderConfig {
        let provider = config.providers.entry("wiki".to_owned()).or_default();
        (provider.kind, provider.client_id) = (Some(kind), "handstamp".to_owned());
        let secret = Some(ClientSecret::parse("Nf6kQ0sE3vXw").unwrap());
        match kind {
            ProviderKind::Apple => {
                provider.team_id = Some("T4X8".to_owned());
                provider.key_id = Some("K2Y9".to_owned());
                provider.key_file = Some("key.p8".into());
            }
            ProviderKind::Microsoft => {
                (provider.client_secret, provider.tenants) = (secret, vec!["consumers".parse().unwrap()]);
            }
            ProviderKind::Oidc => {
                provider.client_secret = secret;
                provider.issuer = Some(ProviderUrl::parse("https://sso.example.com").unwrap());
            }
            _ => provider.client_secret = secret,
        }
        provider
    }

    /// The section `legacy` of this framework. Changes after an earlier call stay.
    fn legacy(config: &mut Config, kind: LegacyKind) -> &mut LegacyConfig {
        let legacy = &mut config.legacy;
        if legacy.kind.is_none() {
            legacy.secrets = vec![LegacySecret::new(SECRET.as_bytes()).unwrap()];
            legacy.until = Some(Timestamp::from_unix_seconds(1_800_000_000));
        }
        legacy.kind = Some(kind);
        legacy
    }

    const DAY: Duration = Duration::from_secs(86_400);
    const ALMOST: Duration = Duration::from_millis(59_999);

    type Change = fn(&mut Config);

    /// For each setting that is checked: values just beyond its bounds, and the last valid ones if it has bounds.
    fn bounds() -> Vec<(&'static str, Vec<Change>, Vec<Change>)> {
        vec![
            (
                "site_name",
                vec![|config| config.site_name = "\u{200B}".to_owned(), |config| config.site_name = "é".repeat(101)],
                vec![|config| config.site_name = "é".repeat(100)],
            ),
            ("templates_dir", vec![|config| config.templates_dir = Some("/nonexistent".into())], vec![]),
            (
                "secret_key_fallbacks",
                vec![|config| config.secret_key_fallbacks = vec![config.secret_key.clone()], |config| {
                    config.secret_key_fallbacks = vec![SecretKey::from_random(&[1; 32]); 2]
                }],
                vec![|config| config.secret_key_fallbacks = vec![SecretKey::from_random(&[1; 32])]],
            ),
            (
                "session.lifetime",
                vec![
                    |config| config.session.lifetime = DAY * 3652,
                    |config| config.session.lifetime = DAY * 30 + Duration::from_nanos(1),
                    |config| config.session.lifetime = ALMOST,
                ],
                vec![|config| config.session.lifetime = DAY * 30, |config| config.session.lifetime = DAY / 1440],
            ),
            (
                "session.lease",
                vec![
                    |config| config.session.lease = Duration::ZERO,
                    |config| config.session.lease = Duration::from_millis(999),
                    |config| config.session.lease = Duration::from_millis(60_001),
                ],
                vec![|config| config.session.lease = Duration::from_secs(1), |config| {
                    config.session.lease = Duration::from_secs(60)
                }],
            ),
            (
                "session.confirm_after",
                vec![|config| config.session.confirm_after = ALMOST, |config| {
                    config.session.confirm_after = DAY + Duration::from_secs(1)
                }],
                vec![|config| config.session.confirm_after = DAY / 1440, |config| config.session.confirm_after = DAY],
            ),
            (
                "session.cookie_domain",
                vec![
                    |config| config.session.cookie_domain = Some("exämple.com".to_owned()),
                    |config| config.session.cookie_domain = Some("com".to_owned()),
                    |config| config.session.cookie_domain = Some("example.com; Path=/".to_owned()),
                ],
                vec![|config| config.session.cookie_domain = Some("example.com".to_owned())],
            ),
            (
                "passkeys.rp_id",
                vec![|config| config.passkeys.rp_id = Some("com".to_owned()), |config| {
                    config.passkeys.rp_id = Some("other.example".to_owned())
                }],
                vec![|config| config.passkeys.rp_id = Some("example.com".to_owned())],
            ),
            (
                "session.cache_entries",
                vec![|config| config.session.cache_entries = 1_000_000_001],
                vec![|config| config.session.cache_entries = 0, |config| config.session.cache_entries = 1_000_000_000],
            ),
            (
                "database.connections",
                vec![|config| config.pool.connections = 3, |config| config.pool.connections = 1001],
                vec![|config| config.pool.connections = 4, |config| config.pool.connections = 1000],
            ),
            (
                "password.min_length",
                vec![|config| config.password.min_length = 7, |config| config.password.min_length = 257],
                vec![|config| config.password.min_length = 8, |config| config.password.min_length = 256],
            ),
            (
                "password.min_strength",
                vec![|config| config.password.min_strength = 5],
                vec![|config| config.password.min_strength = 0, |config| config.password.min_strength = 4],
            ),
            (
                "password.blocklist",
                vec![|config| config.password_blocklist = Some("/nonexistent".into()), |config| {
                    config.password_blocklist = Some("/".into())
                }],
                vec![],
            ),
            (
                "hashing.concurrency",
                vec![|config| config.hashing.concurrency = 0, |config| config.hashing.concurrency = 1025],
                vec![|config| config.hashing.concurrency = 1, |config| config.hashing.concurrency = 1024],
            ),
            (
                "hashing.queue",
                vec![|config| config.hashing.queue = 1_000_001],
                vec![|config| config.hashing.queue = 0, |config| config.hashing.queue = 1_000_000],
            ),
            (
                "limits.sign_in_per_account",
                vec![|config| config.limits.sign_in_per_account = 101],
                vec![|config| config.limits.sign_in_per_account = 0, |config| config.limits.sign_in_per_account = 100],
            ),
            (
                "mail.from",
                vec![|config| config.mail.url = Some(MailUrl::parse("smtp://localhost").unwrap())],
                vec![|config| config.mail.url = Some(MailUrl::parse("file:mails").unwrap()), |config| {
                    config.mail.url = Some(MailUrl::parse("smtp://localhost").unwrap());
                    config.mail.from = Some(MailAddress::parse("accounts@example.com").unwrap());
                }],
            ),
            (
                "app.timeout",
                vec![|config| config.app_proxy.timeout = Duration::ZERO],
                vec![|config| config.app_proxy.timeout = DAY / 86_400, |config| config.app_proxy.timeout = DAY],
            ),
            (
                "app.connections",
                vec![|config| config.app_proxy.connections = 0, |config| config.app_proxy.connections = 1_000_001],
                vec![|config| config.app_proxy.connections = 1],
            ),
            (
                "app.idle_timeout",
                vec![|config| config.app_proxy.idle_timeout = Duration::ZERO],
                vec![|config| config.app_proxy.idle_timeout = DAY * 30],
            ),
            (
                "apps.NAME.host",
                vec![|config| app(config, "wiki").host = Some(AppHost::parse("wiki.example.com").unwrap())],
                vec![|config| app(config, "wiki").host = Some(AppHost::parse("id.example.com").unwrap()), |config| {
                    config.session.cookie_domain = Some("example.com".to_owned());
                    app(config, "wiki").host = Some(AppHost::parse("wiki.example.com").unwrap());
                }],
            ),
            (
                "apps.NAME.path",
                vec![
                    |config| {
                        let host = app(config, "wiki").host.clone();
                        app(config, "a").host = host;
                    },
                    |config| {
                        config.app.url = Some(AppUrl::parse("http://localhost:1").unwrap());
                        app(config, "wiki");
                    },
                ],
                vec![|config| {
                    config.app.url = Some(AppUrl::parse("http://localhost:1").unwrap());
                    app(config, "wiki").path = Some(AppPath::parse("/wiki").unwrap());
                }],
            ),
            (
                "apps.NAME.access",
                vec![|config| {
                    app(config, "wiki").access = AppAccess::Everybody;
                    app(config, "wiki").groups = vec![GroupName::parse("staff").unwrap()];
                }],
                vec![|config| app(config, "wiki").access = AppAccess::Everybody],
            ),
            (
                "webhooks.secret",
                vec![|config| config.webhooks.url = Some(WebhookUrl::parse("http://localhost:5000").unwrap())],
                vec![|config| {
                    config.webhooks.url = Some(WebhookUrl::parse("http://localhost:5000").unwrap());
                    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
                    config.webhooks.secret = Some(secret.parse().unwrap());
                }],
            ),
            (
                "webhooks.events",
                vec![|config| config.webhooks.events = vec!["user_created".to_owned(), "created".to_owned()]],
                vec![|config| config.webhooks.events = vec!["user_created".to_owned()], |config| {
                    config.webhooks.events.clear();
                }],
            ),
            (
                "legacy.kind",
                vec![|config| legacy(config, LegacyKind::Flask).cookie = Some("a;b".to_owned()), |config| {
                    legacy(config, LegacyKind::Rails).max_age = Some(DAY);
                }],
                vec![|config| legacy(config, LegacyKind::Rails).cookie = Some("_app_session".to_owned()), |config| {
                    legacy(config, LegacyKind::Django).max_age = Some(DAY);
                }],
            ),
            (
                "legacy.secret",
                vec![|config| legacy(config, LegacyKind::Flask).secrets.clear()],
                vec![|config| legacy(config, LegacyKind::Flask).secrets.truncate(1)],
            ),
            (
                "legacy.until",
                vec![|config| legacy(config, LegacyKind::Flask).until = None],
                vec![|config| legacy(config, LegacyKind::Flask).until = Some(Timestamp::from_unix_seconds(1))],
            ),
            (
                "legacy.table",
                vec![
                    |config| config.legacy.table = Some("a b".to_owned()),
                    |config| legacy(config, LegacyKind::Django).table = Some("a;b".to_owned()),
                    |config| legacy(config, LegacyKind::ExpressSession).table = None,
                    |config| legacy(config, LegacyKind::BetterAuth).table = None,
                    |config| legacy(config, LegacyKind::Flask).table = Some("sessions".to_owned()),
                ],
                vec![
                    |config| legacy(config, LegacyKind::Django).table = Some("django_session".to_owned()),
                    |config| legacy(config, LegacyKind::BetterAuth).table = Some("auth.session".to_owned()),
                    |config| legacy(config, LegacyKind::ExpressSession).table = Some("session".to_owned()),
                ],
            ),
            (
                "legacy.folder",
                vec![|config| config.legacy.folder = Some("sessions".into()), |config| {
                    let legacy = legacy(config, LegacyKind::ExpressSession);
                    (legacy.folder, legacy.table) = (Some("sessions".into()), Some("session".to_owned()));
                }],
                vec![|config| legacy(config, LegacyKind::ExpressSession).folder = Some("sessions".into())],
            ),
            (
                "return_hosts",
                vec![|config| config.return_hosts = vec![ReturnHost::parse("localhost:3000").unwrap()]],
                vec![|config| config.return_hosts = vec![ReturnHost::parse("app.example.com").unwrap()]],
            ),
            ("apps.NAME.url", vec![|config| config.apps.entry("wiki".to_owned()).or_default().url = None], vec![]),
            ("providers.NAME.kind", vec![|config| provider(config, ProviderKind::Gitlab).kind = None], vec![]),
            (
                "providers.NAME.issuer",
                vec![|config| provider(config, ProviderKind::Oidc).issuer = None],
                vec![|config| provider(config, ProviderKind::Gitlab).issuer = None],
            ),
            (
                "providers.NAME.client_id",
                vec![|config| provider(config, ProviderKind::Gitlab).client_id.clear()],
                vec![],
            ),
            (
                "providers.NAME.client_secret",
                vec![|config| provider(config, ProviderKind::Gitlab).client_secret = None, |config| {
                    provider(config, ProviderKind::Apple).client_secret = Some(ClientSecret::parse("a").unwrap());
                }],
                vec![|config| provider(config, ProviderKind::Apple).client_secret = None],
            ),
            (
                "providers.NAME.scopes",
                vec![|config| provider(config, ProviderKind::Gitlab).scopes = vec!["email".to_owned()]],
                vec![|config| provider(config, ProviderKind::Github).scopes = vec!["read:user".to_owned()]],
            ),
            (
                "providers.NAME.groups_claim",
                vec![|config| {
                    let provider = provider(config, ProviderKind::Github);
                    (provider.groups_claim, provider.groups) = (Some("a".to_owned()), vec!["b".parse().unwrap()]);
                }],
                vec![],
            ),
            (
                "providers.NAME.groups",
                vec![|config| provider(config, ProviderKind::Oidc).groups = vec!["staff".parse().unwrap()], |config| {
                    provider(config, ProviderKind::Oidc).groups_claim = Some("groups".to_owned())
                }],
                vec![|config| {
                    let provider = provider(config, ProviderKind::Oidc);
                    (provider.groups_claim, provider.groups) = (Some("a".to_owned()), vec!["b".parse().unwrap()]);
                }],
            ),
            (
                "providers.NAME.second_factor",
                vec![|config| provider(config, ProviderKind::Github).second_factor = vec!["amr=mfa".parse().unwrap()]],
                vec![|config| provider(config, ProviderKind::Google).second_factor = vec!["amr=mfa".parse().unwrap()]],
            ),
            (
                "providers.NAME.hosted_domains",
                vec![|config| provider(config, ProviderKind::Gitlab).hosted_domains = vec!["a.example".to_owned()]],
                vec![|config| provider(config, ProviderKind::Google).hosted_domains = vec!["a.example".to_owned()]],
            ),
            (
                "providers.NAME.tenants",
                vec![|config| provider(config, ProviderKind::Microsoft).tenants.clear(), |config| {
                    provider(config, ProviderKind::Gitlab).tenants = vec!["consumers".parse().unwrap()];
                }],
                vec![],
            ),
            ("providers.NAME.team_id", vec![|config| provider(config, ProviderKind::Apple).team_id = None], vec![]),
            ("providers.NAME.key_id", vec![|config| provider(config, ProviderKind::Apple).key_id = None], vec![]),
            (
                "providers.NAME.key_file",
                vec![|config| provider(config, ProviderKind::Apple).key_file = None, |config| {
                    provider(config, ProviderKind::Gitlab).key_file = Some("key.p8".into());
                }],
                vec![],
            ),
        ]
    }

    #[test]
    fn values_beyond_the_bounds_are_invalid() {
        assert_eq!(config().validate(), Ok(()));
        for (name, invalid, valid) in bounds() {
            for (place, change) in invalid.iter().enumerate() {
                let mut config = config();
                change(&mut config);
                let errors: Vec<_> = config.validate().unwrap_err().into_iter().map(|error| error.setting).collect();
                assert_eq!(errors, [name.replace("NAME", "wiki")], "the invalid value {place} of {name}");
            }
            for (place, change) in valid.iter().enumerate() {
                let mut config = config();
                change(&mut config);
                assert_eq!(config.validate(), Ok(()), "the valid value {place} of {name}");
            }
        }
    }

    #[test]
    fn every_check_of_a_setting_is_tested() {
        let tested: BTreeSet<_> = bounds().into_iter().map(|(name, ..)| name.to_owned()).collect();
        // Any number is valid as these.
        let unbounded = ["limits.sign_in_per_network", "limits.register_per_network"];
        let settings = Config::settings();
        let checked = settings.iter().filter(|setting| setting.is_checked() && !unbounded.contains(&setting.name()));
        assert_eq!(checked.map(|setting| setting.name().to_owned()).collect::<BTreeSet<_>>(), tested);
    }

    #[tokio::test]
    async fn open_reports_all_invalid_settings_at_once() {
        let mut all = config();
        // The settings of a provider depend on its kind, so not all of them can be invalid at once.
        let bounds = || bounds().into_iter().filter(|(name, ..)| !name.starts_with("providers."));
        bounds().for_each(|(_, invalid, _)| invalid[0](&mut all));
        let errors = all.validate().unwrap_err();
        let named = errors.iter().map(|error| error.setting.clone());
        let named: BTreeSet<_> = named.filter(|name| !name.starts_with("apps.a.")).collect();
        assert_eq!(named, bounds().map(|(name, ..)| name.replace("NAME", "wiki")).collect());
        let error = crate::Handstamp::open(all).await.err().unwrap();
        assert!(error.is_config());
        assert_eq!(error.to_string(), errors.to_string());
        let (told, host) = (error.to_string(), "return_hosts localhost:3000 names this machine");
        assert!(told.contains("session.lifetime must be between 1m and 30d; ") && told.contains(host), "{told}");
    }

    #[test]
    fn the_documented_default_of_each_setting_is_its_default() {
        let mut config = config();
        let defaults = format!("{config:?}");
        for setting in Config::settings() {
            let default = setting.default_in_words(&config);
            assert!(!setting.values_in_words().is_empty() && !setting.documentation().is_empty(), "{setting:?}");
            // Words such as `the number of cores` or `none` are no value.
            if let Some(text) = default.strip_prefix('`').and_then(|text| text.strip_suffix('`'))
                && !setting.name().contains(".NAME.")
            {
                setting.set(&mut config, "", &SettingValue::Text(text.to_owned())).unwrap();
                assert_eq!(format!("{config:?}"), defaults, "{setting:?}");
            }
        }
    }
}

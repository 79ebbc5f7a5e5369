//! Tests of the settings: defaults, sources, error messages and warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use handstamp::{
    AppAccess, AppPath, AppUrl, Argon2Params, GroupName, ImportSecrets, LegacyKind, LegacySecret, MailAddress,
    Registration, ReturnHost, TrustedProxies, WebhookSecret, WebhookUrl,
};

use handstamp_core::legacy_cookie::LegacySettings;

use super::reference::variable;
use super::sources::{PREFIX, is_of_kubernetes};
use super::*;

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: AddressArgs) -> Result<Settings, String> {
    let thread = std::thread::current().id();
    let folder = std::env::temp_dir().join(format!("handstamp-settings-{}-{thread:?}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("handstamp.toml");
    std::fs::write(&path, file.unwrap_or_default()).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let data = DataArgs { config: Some(path), ..DataArgs::default() };
    let loaded = Settings::load(&data, &flags, environment).map_err(|faults| faults.to_string());
    std::fs::remove_dir_all(&folder).unwrap();
    loaded
}

#[test]
fn every_setting_has_a_default() {
    let settings = load(None, &[("PATH", "/bin")], AddressArgs::default()).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.data_dir, PathBuf::from("handstamp-data"));
    let given = settings.given;
    assert!(!given.database && !given.secret_key && !given.public_url);
    let config = &settings.config;
    assert_eq!(config.session.lifetime, Duration::from_secs(2_592_000));
    assert_eq!(config.session.lease, Duration::from_secs(5));
    assert_eq!((config.session.cache_entries, config.session.notify), (1_000_000, true));
    assert!(settings.metrics_listen.is_none());
    assert_eq!((config.pool.connections, config.pool.wait), (13, Duration::from_secs(60)));
    assert_eq!((config.password.min_length, config.password.min_strength), (8, 3));
    assert_eq!(config.hashing.params, Argon2Params::new(19_456, 2, 1).unwrap());
    assert_eq!(config.hashing.queue, 64);
    let limits = config.limits;
    let limits = (limits.sign_in_per_account, limits.sign_in_per_network, limits.register_per_network);
    assert_eq!((limits, &config.trusted_proxies), ((10, 100, 20), &TrustedProxies::default()));
    assert_eq!((settings.connections, settings.connections_per_network), (10_000, None));
    assert!(!config.forward_auth.unverified_email);
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let file =
        "listen = '127.0.0.1:1'\nsite_name = 'Notes'\npublic_url = 'https://a.example'\n[session]\nlifetime = '1h'";
    let environment = [("HANDSTAMP_LISTEN", "127.0.0.1:2"), ("HANDSTAMP_SESSION__LIFETIME", "7d")];
    let flags = AddressArgs { listen: Some("127.0.0.1:3".into()), ..AddressArgs::default() };
    let settings = load(Some(file), &environment, flags).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.config.site_name, "Notes");
    assert_eq!(settings.config.session.lifetime, Duration::from_secs(7 * 86_400));
}

#[test]
fn all_errors_in_the_settings_are_reported_at_once() {
    let file = "lissten = 1\nsecret_key = 'short-and-well-known'\n[hashing]\nqueue = -1\nmemory_kib = 4\n[session]\nlifetime = '31d'";
    let environment = [
        ("HANDSTAMP_PUBLIC_URL", "http://example.com"),
        ("HANDSTAMP_REGISTRATION", "maybe"),
        ("HANDSTAMP_SESION__LIFETIME", "1d"),
        ("HANDSTAMP_SECRET_KEY_FALLBACKS", "changemechangemechangemechangemechangeme"),
        ("HANDSTAMP_DATABASE_URL", "mysql://me:hunter2@db"),
        ("HANDSTAMP_DATABASE__CONNECTIONS", "3"),
        ("HANDSTAMP_LOG__LEVEL", "loud"),
        ("HANDSTAMP_SESSION__LEASE", "2m"),
        ("HANDSTAMP_SESSION__CACHE_ENTRIES", "-1"),
        ("HANDSTAMP_SESSION__NOTIFY", "sometimes"),
        ("HANDSTAMP_METRICS__LISTEN", "9100"),
        ("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "101"),
        ("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "few"),
        ("HANDSTAMP_TRUSTED_PROXIES", "10.0.0.0/8, localhost"),
        ("HANDSTAMP_FORWARD_AUTH__UNVERIFIED_EMAIL", "yes"),
    ];
    let faults = load(Some(file), &environment, AddressArgs::default()).unwrap_err();
    for part in [
        "lissten (from",
        "no such setting",
        "sesion.lifetime (from HANDSTAMP_SESION__LIFETIME)",
        "secret_key (from",
        "20 bytes long",
        "secret_key_fallbacks (from",
        "can be guessed",
        "hashing.queue \"-1\"",
        "hashing.memory_kib \"4\" (from ",
        "memory_kib must be 8 times",
        "session.lifetime \"31d\"",
        "session.lease \"2m\" (from HANDSTAMP_SESSION__LEASE): must be between 1s and 1m",
        "session.cache_entries \"-1\"",
        "forward_auth.unverified_email \"yes\"",
        "session.notify \"sometimes\"",
        "metrics.listen \"9100\"",
        "limits.sign_in_per_account \"101\" (from HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT): must be between 0 and 100",
        "limits.register_per_network \"few\"",
        "trusted_proxies \"localhost\" (from HANDSTAMP_TRUSTED_PROXIES): must be an address",
        "between 1m and 30d",
        "public_url \"http://example.com\"",
        "must be https",
        "registration \"maybe\"",
        "database.connections \"3\" (from HANDSTAMP_DATABASE__CONNECTIONS): must be between 4 and 1000",
        "log.level \"loud\"",
        "database_url (from HANDSTAMP_DATABASE_URL): must begin with",
    ] {
        assert!(faults.contains(part), "{part:?} is missing in:\n{faults}");
    }
    for secret in ["short-and-well-known", "changeme", "hunter2"] {
        assert!(!faults.contains(secret), "{secret:?} is shown in:\n{faults}");
    }
}

#[test]
fn a_syntax_error_is_reported_without_the_line_that_may_hold_a_secret() {
    let faults = load(Some("listen = '127.0.0.1:1'\nsecret_key = \"hunter2"), &[], AddressArgs::default()).unwrap_err();
    assert!(faults.contains("line 2") && !faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_syntax_error_is_reported_with_its_line_number() {
    for (file, line) in [("liste", 1), ("listen = '127.0.0.1:1'\n= 3", 2), ("\n\n[session]\nlifetime = =", 4)] {
        let faults = load(Some(file), &[], AddressArgs::default()).unwrap_err();
        assert!(faults.contains(&format!("line {line}: ")), "{file:?}: {faults}");
    }
}

#[test]
fn variables_that_kubernetes_sets_for_services_are_ignored() {
    let of_kubernetes = [
        ("HANDSTAMP_PORT", "tcp://10.0.0.1:80"),
        ("HANDSTAMP_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HANDSTAMP_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("HANDSTAMP_SERVICE_HOST", "10.0.0.1"),
        ("HANDSTAMP_SERVICE_PORT", "80"),
        ("HANDSTAMP_SERVICE_PORT_HTTP", "80"),
        ("HANDSTAMP_POSTGRES_PORT", "tcp://10.0.0.2:5432"),
        ("HANDSTAMP_POSTGRES_SERVICE_HOST", "10.0.0.2"),
        ("HANDSTAMP_POSTGRES_PORT_5432_TCP_PROTO", "tcp"),
    ];
    let settings = load(None, &of_kubernetes, AddressArgs::default()).unwrap();
    let [Note::Information(note)] = settings.notes.as_slice() else { panic!("{:?}", settings.notes) };
    assert!(of_kubernetes.iter().all(|(name, _)| note.contains(name)), "{note}");

    let faults = load(None, &[("HANDSTAMP_PORT", "8080")], AddressArgs::default()).unwrap_err();
    assert!(faults.contains("HANDSTAMP_PORT"), "it may be meant as a setting: {faults}");
    assert!(
        definitions()
            .iter()
            .all(|setting| !is_of_kubernetes(variable(setting.name()).strip_prefix(PREFIX).unwrap(), "tcp://"))
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let empty = definitions().iter().map(|setting| variable(setting.name())).collect::<Vec<_>>().into_iter();
    let files = ["HANDSTAMP_SECRET_KEY_FILE", "HANDSTAMP_DATABASE_URL_FILE"].map(str::to_owned);
    let names: Vec<_> = empty.chain(files).collect();
    let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let file = "site_name = 'Notes'\ntrusted_proxies = ['10.0.0.1']";
    let settings = load(Some(file), &environment, AddressArgs::default()).unwrap();
    let proxies = TrustedProxies::parse(["10.0.0.1"]).unwrap();
    assert_eq!((settings.config.site_name.as_str(), settings.config.trusted_proxies), ("Notes", proxies));
}

#[test]
fn listen_accepts_a_host_name() {
    let listen = |text: &str| {
        let flags = AddressArgs { listen: Some(text.to_owned()), ..AddressArgs::default() };
        load(None, &[], flags).map(|settings| settings.listen.to_string())
    };
    assert_eq!(listen("localhost:8081").unwrap(), "127.0.0.1:8081");
    assert_eq!(listen("[::1]:8081").unwrap(), "[::1]:8081");
    for wrong in ["8080", ":8080", "localhost", "localhost:http", "127.0.0.1", "http://localhost:8080/"] {
        let faults = listen(wrong).unwrap_err();
        assert!(faults.contains("such as 127.0.0.1:8080") && faults.contains("--listen"), "{wrong}: {faults}");
    }
}

#[test]
fn the_trusted_proxy_flag_overrides_the_environment() {
    let trusted_proxy = vec!["127.0.0.1".to_owned(), "10.0.0.0/8".to_owned()];
    let flags = AddressArgs { trusted_proxy, ..AddressArgs::default() };
    let settings = load(None, &[("HANDSTAMP_TRUSTED_PROXIES", "192.0.2.1")], flags).unwrap();
    assert_eq!(settings.config.trusted_proxies, TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap());

    let flags = AddressArgs { trusted_proxy: vec!["localhost".to_owned()], ..AddressArgs::default() };
    let faults = load(None, &[], flags).unwrap_err();
    assert!(faults.contains("\"localhost\" (from --trusted-proxy)"), "{faults}");
}

/// The errors or the notes about a settings file with this text and this mode.
fn said_of(text: &str, mode: u32) -> Result<Vec<Note>, String> {
    let path = std::env::temp_dir().join(format!("handstamp-rights-{}-{mode:o}-{}", std::process::id(), text.len()));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let data = DataArgs { config: Some(path.clone()), ..DataArgs::default() };
    let settings = Settings::load(&data, &AddressArgs::default(), []);
    std::fs::remove_file(path).unwrap();
    settings.map(|settings| settings.notes).map_err(|faults| faults.to_string())
}

#[test]
fn a_settings_file_that_others_can_write_or_read_is_refused_or_warned_of() {
    let (open, secret) = ("site_name = 'Notes'", format!("secret_key = '{SECRET}'"));
    let is_warned = |notes: Vec<Note>, says: &str| match notes.as_slice() {
        [Note::Warning(warning)] => warning.contains(says),
        _ => false,
    };
    for (text, mode) in [(open, 0o644), (open, 0o640), (&secret, 0o600), (&secret, 0o640)] {
        assert_eq!(said_of(text, mode), Ok(vec![]), "{mode:o}");
    }
    assert!(is_warned(said_of(open, 0o666).unwrap(), "everybody can write"));
    assert!(is_warned(said_of(open, 0o664).unwrap(), "the group"));
    assert!(is_warned(said_of(&secret, 0o644).unwrap(), "everybody can read"));
    let fault = said_of(&secret, 0o666).unwrap_err();
    assert!(fault.contains("everybody can write") && fault.contains("chmod 600"), "{fault}");
}

#[test]
fn a_secret_file_that_others_can_write_or_read_is_refused_or_warned_of() {
    let path = std::env::temp_dir().join(format!("handstamp-secret-rights-{}", std::process::id()));
    std::fs::write(&path, SECRET).unwrap();
    let environment = [("HANDSTAMP_SECRET_KEY_FILE", path.to_str().unwrap())];
    let load_with = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        load(None, &environment, AddressArgs::default())
    };
    assert!(load_with(0o400).unwrap().notes.is_empty());
    assert_eq!(load_with(0o444).unwrap().notes.len(), 1);
    assert!(load_with(0o666).unwrap_err().contains("everybody can write"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn public_metrics_and_templates_that_others_can_write_are_warned_of() {
    let told = |name, value| load(None, &[(name, value)], AddressArgs::default()).unwrap().notes;
    for address in ["127.0.0.1:9100", "[::1]:9100", "10.0.0.5:9100", "[fd00::1]:9100"] {
        assert_eq!(told("HANDSTAMP_METRICS__LISTEN", address), [], "{address}");
    }
    for address in ["0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100", "[2001:db8::1]:9100"] {
        assert!(matches!(told("HANDSTAMP_METRICS__LISTEN", address).as_slice(), [Note::Warning(_)]), "{address}");
    }
    let folder = std::env::temp_dir().join(format!("handstamp-templates-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    for (mode, warnings) in [(0o755, 0), (0o775, 1), (0o777, 1)] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(told("HANDSTAMP_TEMPLATES_DIR", folder.to_str().unwrap()).len(), warnings, "{mode:o}");
    }
    std::fs::remove_dir(folder).unwrap();
}

#[test]
fn a_config_file_given_by_a_flag_must_exist() {
    let data = DataArgs { config: Some("/nonexistent/handstamp.toml".into()), ..DataArgs::default() };
    assert!(
        Settings::load(&data, &AddressArgs::default(), [])
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/handstamp.toml")
    );
}

#[test]
fn a_secret_can_be_read_from_a_file() {
    let path = std::env::temp_dir().join(format!("handstamp-secret-{}", std::process::id()));
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.to_str().unwrap();
    let settings = load(None, &[("HANDSTAMP_SECRET_KEY_FILE", path)], AddressArgs::default()).unwrap();
    assert!(settings.given.secret_key);

    let both = [("HANDSTAMP_SECRET_KEY_FILE", path), ("HANDSTAMP_SECRET_KEY", SECRET)];
    let faults = load(None, &both, AddressArgs::default()).unwrap_err();
    assert!(faults.contains("HANDSTAMP_SECRET_KEY and by HANDSTAMP_SECRET_KEY_FILE"), "{faults}");

    let missing = [("HANDSTAMP_SECRET_KEY_FILE", "/nonexistent/key")];
    let faults = load(None, &missing, AddressArgs::default()).unwrap_err();
    assert!(faults.contains("cannot read /nonexistent/key"), "{faults}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn lists_are_arrays_or_separated_by_commas() {
    let other = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";
    let file = format!("secret_key_fallbacks = ['{SECRET}', '{other}']");
    assert_eq!(load(Some(&file), &[], AddressArgs::default()).unwrap().config.secret_key_fallbacks.len(), 2);
    let commas = format!("{SECRET}, {other},");
    let environment = [("HANDSTAMP_SECRET_KEY_FALLBACKS", commas.as_str())];
    assert_eq!(load(None, &environment, AddressArgs::default()).unwrap().config.secret_key_fallbacks.len(), 2);
}

#[test]
fn localhost_is_a_return_host_only_for_a_site_on_localhost() {
    let hosts = [("HANDSTAMP_RETURN_HOSTS", "localhost:15000,app.example.com")];
    assert_eq!(load(None, &hosts, AddressArgs::default()).unwrap().config.return_hosts.len(), 2);
    let refusal = load(Some("public_url = 'https://id.example.com'"), &hosts, AddressArgs::default()).unwrap_err();
    assert!(refusal.contains("return_hosts \"localhost:15000\" (from HANDSTAMP_RETURN_HOSTS)"), "{refusal}");
    assert!(refusal.contains("https://id.example.com") && !refusal.contains("app.example.com"), "{refusal}");
}

#[test]
fn a_fallback_differs_from_the_secret_key() {
    let environment = [("HANDSTAMP_SECRET_KEY", SECRET), ("HANDSTAMP_SECRET_KEY_FALLBACKS", SECRET)];
    let faults = load(None, &environment, AddressArgs::default()).unwrap_err();
    let says = "secret_key_fallbacks (from HANDSTAMP_SECRET_KEY_FALLBACKS): must differ from secret_key";
    assert!(faults.contains(says) && !faults.contains(SECRET), "{faults}");
}

/// How the library refuses a value.
enum Refusal {
    /// Its type cannot hold the value.
    Type(fn(&str) -> bool),
    /// `Config::validate` rejects the value.
    Check(fn(&mut Config)),
}

/// For each setting of the library a value that is just invalid, and how the library refuses it.
fn invalid_values() -> Vec<(&'static str, &'static str, Refusal)> {
    use Refusal::{Check, Type};
    let is_no_flag: fn(&str) -> bool = |text| text.parse::<bool>().is_err();
    let is_no_number: fn(&str) -> bool = |text| text.parse::<u32>().is_err();
    vec![
        ("public_url", "http://example.com", Type(|text| text.parse::<PublicUrl>().is_err())),
        ("database_url", "mysql://db", Type(|text| text.parse::<DatabaseUrl>().is_err())),
        ("database.connections", "3", Check(|config| config.pool.connections = 3)),
        ("database.connections", "1001", Check(|config| config.pool.connections = 1001)),
        ("secret_key", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4I", Type(|text| text.parse::<SecretKey>().is_err())),
        ("secret_key_fallbacks", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4I", Type(|text| text.parse::<SecretKey>().is_err())),
        ("site_name", "\u{200B}", Check(|config| config.site_name = "\u{200B}".to_owned())),
        ("templates_dir", "/nonexistent", Check(|config| config.templates_dir = Some("/nonexistent".into()))),
        ("registration", "maybe", Type(|text| text.parse::<Registration>().is_err())),
        ("session.lifetime", "3650d", Check(|config| config.session.lifetime = Duration::from_secs(315_360_000))),
        ("session.lifetime", "59s", Check(|config| config.session.lifetime = Duration::from_secs(59))),
        (
            "session.cookie_domain",
            "other.com",
            Check(|config| config.session.cookie_domain = Some("other.com".to_owned())),
        ),
        (
            "session.cookie_domain",
            "exämple.com",
            Check(|config| config.session.cookie_domain = Some("exämple.com".to_owned())),
        ),
        ("session.lease", "999ms", Check(|config| config.session.lease = Duration::from_millis(999))),
        ("session.lease", "61s", Check(|config| config.session.lease = Duration::from_secs(61))),
        ("session.cache_entries", "1000000001", Check(|config| config.session.cache_entries = 1_000_000_001)),
        ("database.prepared_statements", "sometimes", Type(is_no_flag)),
        ("session.notify", "sometimes", Type(is_no_flag)),
        ("session.clear_site_data", "1", Type(is_no_flag)),
        ("password.min_length", "7", Check(|config| config.password.min_length = 7)),
        ("password.min_length", "257", Check(|config| config.password.min_length = 257)),
        ("password.min_strength", "5", Check(|config| config.password.min_strength = 5)),
        ("password.blocklist", "/nonexistent", Check(|config| config.password_blocklist = Some("/nonexistent".into()))),
        ("hashing.memory_kib", "7", Type(|text| Argon2Params::new(text.parse().unwrap(), 2, 1).is_err())),
        ("hashing.iterations", "0", Type(|text| Argon2Params::new(19_456, text.parse().unwrap(), 1).is_err())),
        ("hashing.parallelism", "65", Type(|text| Argon2Params::new(19_456, 2, text.parse().unwrap()).is_err())),
        ("hashing.concurrency", "0", Check(|config| config.hashing.concurrency = 0)),
        ("hashing.concurrency", "1025", Check(|config| config.hashing.concurrency = 1025)),
        ("hashing.queue", "1000001", Check(|config| config.hashing.queue = 1_000_001)),
        ("limits.sign_in_per_account", "101", Check(|config| config.limits.sign_in_per_account = 101)),
        ("limits.sign_in_per_network", "4294967296", Type(is_no_number)),
        ("limits.register_per_network", "-1", Type(is_no_number)),
        ("trusted_proxies", "localhost", Type(|text| text.parse::<TrustedProxies>().is_err())),
        ("return_hosts", "App.example.com", Type(|text| text.parse::<ReturnHost>().is_err())),
        (
            "return_hosts",
            "localhost:3000",
            Check(|config| config.return_hosts = vec!["localhost:3000".parse().unwrap()]),
        ),
        ("forward_auth.unverified_email", "yes", Type(is_no_flag)),
        ("mail.url", "http://mail.example.com", Type(|text| text.parse::<MailUrl>().is_err())),
        ("mail.from", "Example", Type(|text| text.parse::<MailAddress>().is_err())),
        ("mail.reply_to", "help@localhost.", Type(|text| text.parse::<MailAddress>().is_err())),
        ("mail.new_device", "yes", Type(is_no_flag)),
        ("app.url", "https://app", Type(|text| text.parse::<AppUrl>().is_err())),
        ("app.access", "anybody", Type(|text| text.parse::<AppAccess>().is_err())),
        ("app.public_paths", "/static/", Type(|text| text.parse::<AppPath>().is_err())),
        ("app.csrf", "yes", Type(is_no_flag)),
        ("app.timeout", "0s", Check(|config| config.app_proxy.timeout = Duration::ZERO)),
        ("app.connections", "0", Check(|config| config.app_proxy.connections = 0)),
        ("app.idle_timeout", "0s", Check(|config| config.app_proxy.idle_timeout = Duration::ZERO)),
        ("session.confirm_after", "59s", Check(|config| config.session.confirm_after = Duration::from_secs(59))),
        ("session.confirm_after", "25h", Check(|config| config.session.confirm_after = Duration::from_secs(90_000))),
        ("sign_in.mail", "yes", Type(is_no_flag)),
        ("admin", "yes", Type(is_no_flag)),
        ("passkeys.rp_id", "com", Check(|config| config.passkeys.rp_id = Some("com".to_owned()))),
        ("second_factor.required", "the staff", Type(|text| GroupName::parse(text).is_err())),
        ("webhooks.url", "http://app.example.com", Type(|text| text.parse::<WebhookUrl>().is_err())),
        ("webhooks.secret", "whsec_", Type(|text| text.parse::<WebhookSecret>().is_err())),
        ("import.bcrypt_pepper", "a\tb", Type(|text| text.contains(char::is_control))),
        (
            "import.firebase_signer_key",
            "c2hvcnQ=",
            Type(|text| ImportSecrets::default().with_firebase_signer_key(text).is_err()),
        ),
        ("import.flask_security_salt", "a\tb", Type(|text| text.contains(char::is_control))),
        ("webhooks.events", "created", Check(|config| config.webhooks.events = vec!["created".to_owned()])),
        ("legacy.kind", "cobol", Type(|text| text.parse::<LegacyKind>().is_err())),
        ("legacy.secret", "too short a one", Type(|text| LegacySecret::new(text.as_bytes()).is_err())),
        ("legacy.until", "never", Type(|text| !text.starts_with(|first: char| first.is_ascii_digit()))),
        ("legacy.cookie", "a b", Type(|text| !LegacySettings::is_cookie_name(text))),
        ("legacy.user_key", "a\tb", Type(|text| text.contains(char::is_control))),
        ("legacy.max_age", "soon", Type(|text| <Duration as handstamp::BoundedValue>::parse(text).is_err())),
        ("legacy.table", "a b", Check(|config| config.legacy.table = Some("a b".to_owned()))),
        ("legacy.database", "mysql://db", Type(|text| text.parse::<DatabaseUrl>().is_err())),
        ("legacy.folder", "sessions", Check(|config| config.legacy.folder = Some("sessions".into()))),
        ("legacy.allow_missing_purpose", "yes", Type(is_no_flag)),
    ]
}

#[test]
fn the_library_refuses_what_the_binary_refuses() {
    const URL: &str = "https://id.example.com";
    for (name, text, refusal) in invalid_values() {
        let variable = variable(name);
        let environment = [("HANDSTAMP_PUBLIC_URL", URL), (variable.as_str(), text)];
        let faults = load(None, &environment, AddressArgs::default()).unwrap_err();
        let faults: Vec<_> = faults.lines().skip(1).map(str::trim).collect();
        let [fault] = faults.as_slice() else { panic!("{name} {text:?}: {faults:?}") };
        assert!(fault.starts_with(name) && fault.contains(&format!("(from {variable}): ")), "{fault}");
        match refusal {
            Refusal::Type(is_invalid) => assert!(is_invalid(text), "the type of {name} takes {text:?}"),
            Refusal::Check(set) => {
                let secret = SecretKey::parse(SECRET).unwrap();
                let mut config = Config::new(URL.parse().unwrap(), DatabaseUrl::Sqlite("unused".into()), secret);
                set(&mut config);
                let errors: Vec<_> = config.validate().unwrap_err().into_iter().collect();
                let [error] = errors.as_slice() else { panic!("{name} {text:?}: {errors:?}") };
                assert!(error.setting == name && fault.ends_with(&error.message), "{fault}, but {error}");
            }
        }
    }
    let tested: BTreeSet<_> = invalid_values().iter().map(|(name, ..)| (*name).to_owned()).collect();
    // The settings of the entries of tables have the same types and checks, which the library tests.
    let settings = Config::settings();
    let names = settings.iter().map(handstamp::Setting::name).filter(|name| !name.contains("NAME"));
    assert_eq!(tested, names.map(str::to_owned).collect());
}

#[test]
fn the_settings_of_the_server_are_checked() {
    let invalid = [
        ("listen", "8080"),
        ("limits.connections", "9"),
        ("limits.connections", "1000001"),
        ("limits.connections_per_network", "1000001"),
        ("metrics.listen", "9100"),
        ("log.format", "xml"),
        ("log.level", "loud"),
    ];
    for (name, text) in invalid {
        let variable = variable(name);
        let faults = load(None, &[(variable.as_str(), text)], AddressArgs::default()).unwrap_err();
        assert!(faults.contains(&format!("  {name} {text:?} (from {variable}): must be ")), "{faults}");
    }
    let faults = load(Some("data_dir = ''"), &[], AddressArgs::default()).unwrap_err();
    assert!(faults.contains("data_dir (from ") && faults.contains("the path of a folder"), "{faults}");

    let valid = [
        ("HANDSTAMP_LIMITS__CONNECTIONS", "10"),
        ("HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK", "0"),
        ("HANDSTAMP_LOG__FORMAT", "json"),
        ("HANDSTAMP_LOG__LEVEL", "debug"),
        ("HANDSTAMP_DATA_DIR", "elsewhere"),
    ];
    let settings = load(None, &valid, AddressArgs::default()).unwrap();
    assert_eq!((settings.connections, settings.connections_per_network), (10, Some(0)));
    assert_eq!((settings.log_format, settings.log_level), (Some(LogFormat::Json), Some(Level::DEBUG)));
    assert_eq!(settings.data_dir, PathBuf::from("elsewhere"));
}

#[test]
fn the_configuration_is_completed_with_the_port_and_the_data_folder() {
    let folder = std::env::temp_dir().join(format!("handstamp-complete-{}", std::process::id()));
    let flags = || AddressArgs { public_url: Some("https://id.example.com".into()), ..AddressArgs::default() };
    let environment = [("HANDSTAMP_DATA_DIR", folder.to_str().unwrap()), ("HANDSTAMP_SITE_NAME", "Notes")];
    let config = |environment: &[(&str, &str)], flags: AddressArgs, mode| {
        load(None, environment, flags).unwrap().into_config(15_000, mode)
    };
    let missing = config(&environment, AddressArgs::default(), DataDirMode::MustExist).unwrap_err();
    assert!(format!("{missing:?}").contains("there are no accounts in") && !folder.exists(), "{missing:?}");

    let made = config(&environment, AddressArgs::default(), DataDirMode::Create).unwrap();
    assert_eq!((made.public_url.to_string().as_str(), made.site_name.as_str()), ("http://localhost:15000", "Notes"));
    assert_eq!(made.database.path(), Some(folder.join("handstamp.db").as_path()));
    let kept = std::fs::read_to_string(folder.join("secret.key")).unwrap();
    let mut same = made;
    same.secret_key_fallbacks = vec![SecretKey::parse(kept.trim_end()).unwrap()];
    assert!(same.validate().is_err(), "the secret key is the one in the folder");
    assert_eq!(config(&environment, flags(), DataDirMode::Create).unwrap().public_url.host(), "id.example.com");
    std::fs::remove_dir_all(&folder).unwrap();

    let database = format!("sqlite:{}", folder.join("other.db").display());
    let given = [environment[0], ("HANDSTAMP_DATABASE_URL", database.as_str()), ("HANDSTAMP_SECRET_KEY", SECRET)];
    let mut config = config(&given, flags(), DataDirMode::Create).unwrap();
    assert_eq!(config.database.path(), Some(folder.join("other.db").as_path()));
    config.secret_key_fallbacks = vec![SecretKey::parse(SECRET).unwrap()];
    assert!(config.validate().is_err(), "the secret key is the given one");
    assert!(!folder.exists(), "the folder is not needed");
}

/// An entry of a table of apps.
#[derive(Debug, Default, PartialEq)]
struct App {
    url: String,
    groups: Vec<String>,
    token: String,
}

type Apps = BTreeMap<String, App>;

/// The settings of a table of apps.
fn settings_of_apps() -> Vec<Setting<Apps>> {
    let url = Setting::text("url", |app: &mut App, text| {
        app.url = text.to_owned();
        Ok(())
    });
    let url =
        url.check(
            |app| {
                if app.url.starts_with("http") { Ok(()) } else { Err(InvalidSetting::new("must be an http URL")) }
            },
        );
    let groups = Setting::list(
        "groups",
        |app: &mut App| app.groups.clear(),
        |app, group| {
            app.groups.push(group.to_owned());
            Ok(())
        },
    );
    let token = Setting::text("token", |app: &mut App, text| match text {
        "hunter2" => Err(InvalidSetting::new("can be guessed")),
        text => {
            app.token = text.to_owned();
            Ok(())
        }
    });
    [url, groups, token.secret()].map(|setting| setting.in_each("apps", |apps: &Apps| apps, |apps| apps)).into()
}

fn load_apps(file: &str, environment: &[(&str, &str)]) -> Result<Apps, String> {
    let path = std::env::temp_dir().join(format!("handstamp-apps-{}-{}", std::process::id(), file.len()));
    std::fs::write(&path, file).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let data = DataArgs { config: Some(path.clone()), ..DataArgs::default() };
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let (settings, mut apps) = (settings_of_apps(), Apps::new());
    let stored = Sources::read(&settings, &data, &AddressArgs::default(), environment).store(&mut apps);
    std::fs::remove_file(path).unwrap();
    stored.map(|_| apps).map_err(|faults| faults.join("\n"))
}

#[test]
fn a_table_of_tables_has_settings_for_each_entry() {
    let token = std::env::temp_dir().join(format!("handstamp-app-token-{}", std::process::id()));
    std::fs::write(&token, format!("{SECRET}\n")).unwrap();
    let file = "apps.notes.url = 'http://localhost:3000'\n[apps.notes]\ngroups = ['staff', 'board']\n[apps.wiki]\nurl = 'http://a'";
    let environment = [
        ("HANDSTAMP_APPS__WIKI__URL", "http://localhost:4000"),
        ("HANDSTAMP_APPS__WIKI__TOKEN_FILE", token.to_str().unwrap()),
        ("HANDSTAMP_APPS__BLOG__URL", "http://localhost:5000"),
        ("HANDSTAMP_APPS__BLOG__GROUPS", "readers, writers"),
    ];
    let file = file.replace(
        "apps.notes.url = 'http://localhost:3000'\n[apps.notes]\n",
        "[apps.notes]\nurl = 'http://localhost:3000'\n",
    );
    let app = |url: &str, groups: &[&str], token: &str| App {
        url: url.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        token: token.to_owned(),
    };
    let expected = [
        ("notes", app("http://localhost:3000", &["staff", "board"], "")),
        ("wiki", app("http://localhost:4000", &[], SECRET)),
        ("blog", app("http://localhost:5000", &["readers", "writers"], "")),
    ];
    let expected = expected.into_iter().map(|(name, app)| (name.to_owned(), app)).collect();
    assert_eq!(load_apps(&file, &environment), Ok(expected));
    assert_eq!(load_apps("apps.notes.url = 'http://a'", &[]).unwrap()["notes"].url, "http://a");
    std::fs::remove_file(token).unwrap();
}

#[test]
fn the_entries_of_an_array_of_tables_are_numbered() {
    let file = "[[apps]]\nurl = 'http://a'\n[[apps]]\nurl = 'http://b'";
    let apps = load_apps(file, &[("HANDSTAMP_APPS__1__URL", "http://c")]).unwrap();
    let urls: Vec<_> = apps.iter().map(|(name, app)| (name.as_str(), app.url.as_str())).collect();
    assert_eq!(urls, [("0", "http://a"), ("1", "http://c")]);
}

#[test]
fn errors_in_a_table_of_tables_are_reported_with_the_entry() {
    let file = "[apps.notes]\nurl = 'localhost'\ncolour = 'red'\n[apps.Wiki]\nurl = 'http://a'\n[apps.blog]\nurl = ['http://a']\n[apps]\nurl = 'http://a'";
    let faults = load_apps(file, &[("HANDSTAMP_APPS__NOTES__TOKEN", "hunter2")]).unwrap_err();
    for part in [
        "apps.notes.url \"localhost\" (from ",
        ": must be an http URL",
        "apps.notes.token (from HANDSTAMP_APPS__NOTES__TOKEN): can be guessed",
        "apps.Wiki.url \"http://a\" (from ",
        "must have a name of lower-case",
        "apps.blog.url (from ",
        "is a list and must be one value",
        "apps.notes.colour (from ",
        "apps.url (from ",
    ] {
        assert!(faults.contains(part), "{part:?} is missing in:\n{faults}");
    }
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn tls_needs_a_certificate_a_key_and_https() {
    let public = ("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
    let both = [("HANDSTAMP_TLS__CERT_FILE", "cert.pem"), ("HANDSTAMP_TLS__KEY_FILE", "key.pem")];
    let redirect = ("HANDSTAMP_TLS__REDIRECT_LISTEN", "0.0.0.0:80");
    let settings = load(None, &[public, both[0], both[1], redirect], AddressArgs::default()).unwrap();
    assert_eq!(settings.tls(), Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() }));
    assert_eq!(settings.redirect_listen, Some(([0, 0, 0, 0], 80).into()));
    assert_eq!(load(None, &[public], AddressArgs::default()).unwrap().tls(), None);
    for (given, fault) in [
        (vec![public, both[0]], "tls.cert_file \"cert.pem\" (from HANDSTAMP_TLS__CERT_FILE): needs tls.key_file"),
        (vec![public, both[1]], "tls.key_file \"key.pem\" (from HANDSTAMP_TLS__KEY_FILE): needs tls.cert_file"),
        (
            vec![public, redirect],
            "tls.redirect_listen \"0.0.0.0:80\" (from HANDSTAMP_TLS__REDIRECT_LISTEN): needs tls.cert_file",
        ),
        (both.to_vec(), "needs a public_url that begins with https://"),
        (
            vec![("HANDSTAMP_PUBLIC_URL", "http://localhost"), both[0], both[1]],
            "needs a public_url that begins with https://",
        ),
    ] {
        let faults = load(None, &given, AddressArgs::default()).unwrap_err();
        assert!(faults.contains(fault) && faults.lines().count() == 2, "{faults}");
    }
}

#[test]
fn the_key_file_is_checked_as_other_secrets_are() {
    let folder = handstamp_testing::TempFolder::new();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, "").unwrap();
    let with_mode = |mode| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let key = ("HANDSTAMP_TLS__KEY_FILE", key.to_str().unwrap());
        let given = [("HANDSTAMP_PUBLIC_URL", "https://id.example.com"), ("HANDSTAMP_TLS__CERT_FILE", "cert.pem"), key];
        load(None, &given, AddressArgs::default()).map(|settings| settings.notes)
    };
    assert_eq!(with_mode(0o600).unwrap(), []);
    assert!(
        matches!(&with_mode(0o644).unwrap()[..], [Note::Warning(warning)] if warning.contains("everybody can read"))
    );
    assert!(with_mode(0o622).unwrap_err().contains("everybody can write"));
}

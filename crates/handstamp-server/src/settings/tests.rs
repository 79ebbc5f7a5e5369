//! Tests of the settings: defaults, sources, error messages and warnings.

use std::os::unix::fs::PermissionsExt;

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
    assert!(settings.database.is_none() && settings.secret_key.is_none() && settings.public_url.is_none());
    assert_eq!(settings.session.lifetime, Duration::from_secs(2_592_000));
    assert_eq!(settings.session.lease, Duration::from_secs(5));
    assert_eq!((settings.session.cache_entries, settings.session.notify), (1_000_000, true));
    assert!(settings.metrics_listen.is_none());
    assert_eq!((settings.pool.connections, settings.pool.wait), (13, Duration::from_secs(60)));
    assert_eq!((settings.password.min_length, settings.password.min_strength), (8, 3));
    assert_eq!(settings.hashing.settings, Argon2Params::new(19_456, 2, 1).unwrap());
    assert_eq!(settings.hashing.queue, 64);
    let limits = settings.limits;
    let limits = (limits.sign_in_per_account, limits.sign_in_per_network, limits.register_per_network);
    assert_eq!((limits, settings.trusted_proxies), ((10, 100, 20), TrustedProxies::default()));
    assert_eq!((settings.connections, settings.connections_per_network), (10_000, None));
    assert!(!settings.forward_auth.unverified_email);
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let file =
        "listen = '127.0.0.1:1'\nsite_name = 'Notes'\npublic_url = 'https://a.example'\n[session]\nlifetime = '1h'";
    let environment = [("HANDSTAMP_LISTEN", "127.0.0.1:2"), ("HANDSTAMP_SESSION__LIFETIME", "7d")];
    let flags = AddressArgs { listen: Some("127.0.0.1:3".into()), ..AddressArgs::default() };
    let settings = load(Some(file), &environment, flags).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.site_name, "Notes");
    assert_eq!(settings.session.lifetime, Duration::from_secs(7 * 86_400));
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
        "hashing: memory_kib",
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
    assert!(KEYS.iter().all(|(key, _)| !is_of_kubernetes(&key.to_uppercase().replace('.', "__"), "tcp://")));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let empty = KEYS.iter().map(|(key, _)| format!("{PREFIX}{}", key.to_uppercase().replace('.', "__")));
    let files = ["HANDSTAMP_SECRET_KEY_FILE", "HANDSTAMP_DATABASE_URL_FILE"].map(str::to_owned);
    let names: Vec<_> = empty.chain(files).collect();
    let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let file = "site_name = 'Notes'\ntrusted_proxies = ['10.0.0.1']";
    let settings = load(Some(file), &environment, AddressArgs::default()).unwrap();
    let proxies = TrustedProxies::parse(["10.0.0.1"]).unwrap();
    assert_eq!((settings.site_name.as_str(), settings.trusted_proxies), ("Notes", proxies));
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
    assert_eq!(settings.trusted_proxies, TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap());

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
    assert!(settings.secret_key.is_some());

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
    assert_eq!(load(Some(&file), &[], AddressArgs::default()).unwrap().secret_key_fallbacks.len(), 2);
    let commas = format!("{SECRET}, {other},");
    let environment = [("HANDSTAMP_SECRET_KEY_FALLBACKS", commas.as_str())];
    assert_eq!(load(None, &environment, AddressArgs::default()).unwrap().secret_key_fallbacks.len(), 2);
}

#[test]
fn localhost_is_a_return_host_only_for_a_site_on_localhost() {
    let hosts = [("HANDSTAMP_RETURN_HOSTS", "localhost:15000,app.example.com")];
    assert_eq!(load(None, &hosts, AddressArgs::default()).unwrap().return_hosts.len(), 2);
    let refusal = load(Some("public_url = 'https://id.example.com'"), &hosts, AddressArgs::default()).unwrap_err();
    assert!(refusal.contains("return_hosts \"localhost:15000\" (from HANDSTAMP_RETURN_HOSTS)"), "{refusal}");
    assert!(refusal.contains("https://id.example.com") && !refusal.contains("app.example.com"), "{refusal}");
}

use super::*;

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: AddressFlags) -> Result<Settings, String> {
    let thread = std::thread::current().id();
    let folder = std::env::temp_dir().join(format!("handstamp-settings-{}-{thread:?}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("handstamp.toml");
    std::fs::write(&path, file.unwrap_or_default()).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let place = PlaceFlags { config: Some(path), ..PlaceFlags::default() };
    let loaded = Settings::load(&place, &flags, environment).map_err(|faults| faults.to_string());
    std::fs::remove_dir_all(&folder).unwrap();
    loaded
}

#[test]
fn nothing_is_needed_to_start() {
    let settings = load(None, &[("PATH", "/bin")], AddressFlags::default()).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.data_dir, PathBuf::from("handstamp-data"));
    assert!(settings.database.is_none() && settings.secret_key.is_none() && settings.public_url.is_none());
    assert_eq!(settings.session.lifetime, Duration::from_secs(2_592_000));
    assert_eq!(settings.session.lease, Duration::from_secs(5));
    assert_eq!((settings.session.cache_entries, settings.session.notify), (1_000_000, true));
    assert!(settings.metrics_listen.is_none());
    assert_eq!((settings.password.min_length, settings.password.min_strength), (8, 3));
    assert_eq!(settings.hashing.settings, HashSettings::new(19_456, 2, 1).unwrap());
    assert_eq!(settings.hashing.queue, 64);
    let limits = settings.limits;
    let limits = (limits.sign_in_per_account, limits.sign_in_per_network, limits.register_per_network);
    assert_eq!((limits, settings.trusted_proxies), ((10, 100, 20), TrustedProxies::default()));
    assert_eq!((settings.connections, settings.connections_per_network), (10_000, None));
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let file =
        "listen = '127.0.0.1:1'\nsite_name = 'Notes'\npublic_url = 'https://a.example'\n[session]\nlifetime = '1h'";
    let environment = [("HANDSTAMP_LISTEN", "127.0.0.1:2"), ("HANDSTAMP_SESSION__LIFETIME", "7d")];
    let flags = AddressFlags { listen: Some("127.0.0.1:3".into()), ..AddressFlags::default() };
    let settings = load(Some(file), &environment, flags).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.site_name, "Notes");
    assert_eq!(settings.session.lifetime, Duration::from_secs(7 * 86_400));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let file = "lissten = 1\nsecret_key = 'short-and-well-known'\n[hashing]\nqueue = -1\nmemory_kib = 4\n[session]\nlifetime = '31d'";
    let environment = [
        ("HANDSTAMP_PUBLIC_URL", "http://example.com"),
        ("HANDSTAMP_REGISTRATION", "maybe"),
        ("HANDSTAMP_SESION__LIFETIME", "1d"),
        ("HANDSTAMP_SECRET_KEY_FALLBACKS", "changemechangemechangemechangemechangeme"),
        ("HANDSTAMP_DATABASE_URL", "mysql://me:hunter2@db"),
        ("HANDSTAMP_LOG__LEVEL", "loud"),
        ("HANDSTAMP_SESSION__LEASE", "2m"),
        ("HANDSTAMP_SESSION__CACHE_ENTRIES", "-1"),
        ("HANDSTAMP_SESSION__NOTIFY", "sometimes"),
        ("HANDSTAMP_METRICS__LISTEN", "9100"),
        ("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "101"),
        ("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "few"),
        ("HANDSTAMP_TRUSTED_PROXIES", "10.0.0.0/8, localhost"),
    ];
    let faults = load(Some(file), &environment, AddressFlags::default()).unwrap_err();
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
        "session.notify \"sometimes\"",
        "metrics.listen \"9100\"",
        "limits.sign_in_per_account \"101\" (from HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT): must be between 0 and 100",
        "limits.register_per_network \"few\"",
        "trusted_proxies \"localhost\" (from HANDSTAMP_TRUSTED_PROXIES): must be an address",
        "between 1m and 30d",
        "public_url \"http://example.com\"",
        "must be https",
        "registration \"maybe\"",
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
fn a_broken_file_is_told_without_the_line_that_may_hold_a_secret() {
    let faults =
        load(Some("listen = '127.0.0.1:1'\nsecret_key = \"hunter2"), &[], AddressFlags::default()).unwrap_err();
    assert!(faults.contains("line 2") && !faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let place = PlaceFlags { config: Some("/nonexistent/handstamp.toml".into()), ..PlaceFlags::default() };
    assert!(
        Settings::load(&place, &AddressFlags::default(), [])
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/handstamp.toml")
    );
}

#[test]
fn a_secret_is_read_from_a_file() {
    let path = std::env::temp_dir().join(format!("handstamp-secret-{}", std::process::id()));
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.to_str().unwrap();
    let settings = load(None, &[("HANDSTAMP_SECRET_KEY_FILE", path)], AddressFlags::default()).unwrap();
    assert!(settings.secret_key.is_some());

    let both = [("HANDSTAMP_SECRET_KEY_FILE", path), ("HANDSTAMP_SECRET_KEY", SECRET)];
    let faults = load(None, &both, AddressFlags::default()).unwrap_err();
    assert!(faults.contains("HANDSTAMP_SECRET_KEY and by HANDSTAMP_SECRET_KEY_FILE"), "{faults}");

    let missing = [("HANDSTAMP_SECRET_KEY_FILE", "/nonexistent/key")];
    let faults = load(None, &missing, AddressFlags::default()).unwrap_err();
    assert!(faults.contains("cannot read /nonexistent/key"), "{faults}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn lists_come_as_arrays_or_with_commas() {
    let other = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";
    let file = format!("secret_key_fallbacks = ['{SECRET}', '{other}']");
    assert_eq!(load(Some(&file), &[], AddressFlags::default()).unwrap().secret_key_fallbacks.len(), 2);
    let commas = format!("{SECRET}, {other},");
    let environment = [("HANDSTAMP_SECRET_KEY_FALLBACKS", commas.as_str())];
    assert_eq!(load(None, &environment, AddressFlags::default()).unwrap().secret_key_fallbacks.len(), 2);
}

//! Cookies that the real frameworks made, opened; and the laws that hold for each of them.
//!
//! The files of cases in `legacy_cookies/` were printed by the programs beside them. `script/legacy-cookies` prints new ones and
//! runs these tests with them: `HANDSTAMP_LEGACY_COOKIES` names their folder.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use handstamp_core::Timestamp;
use handstamp_core::legacy_cookie::{
    LegacyCookie, LegacyCookieError, LegacyCookies, LegacyDigest, LegacyKind, LegacySecret, LegacySession,
    LegacySettings, LegacyUser, StoredSession, UnverifiedSession,
};
use proptest::prelude::*;
use serde_json::Value;

const FILES: [&str; 4] = ["flask_cookies.json", "django_cookies.json", "node_cookies.json", "rails_cookies.json"];
const UNRELATED_SECRET: &[u8] = b"u5Jp0sWq7Yd3Kf9Lr1Xv6Zb4Nc8Mt2Gh";

/// One cookie and what must come of it.
struct Case {
    name: String,
    settings: LegacySettings,
    cookie: String,
    cookie_name: Option<String>,
    now: Timestamp,
    stored: Option<Stored>,
    password_hash: Option<String>,
    /// Whether the framework ties its sessions to the password.
    tied: bool,
    expected: Result<Expected, String>,
    same_session_as: Option<String>,
}

struct Stored {
    key: String,
    content: String,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, PartialEq)]
struct Expected {
    user: LegacyUser,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl Case {
    fn parse(case: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let settings = &case["settings"];
        let secrets = settings["secrets"].as_array().unwrap();
        let expect = &case["expect"];
        let stored = case.get("stored").map(|stored| Stored {
            key: text(&stored["key"]).unwrap(),
            content: text(&stored["content"]).unwrap(),
            expires_at: time(&stored["expires_at"]),
        });
        Self {
            name: text(&case["name"]).unwrap(),
            settings: LegacySettings {
                kind: settings["kind"].as_str().unwrap().parse().unwrap(),
                secrets: secrets.iter().map(|secret| self::secret(secret.as_str().unwrap().as_bytes())).collect(),
                cookie: text(&settings["cookie"]),
                user_key: text(&settings["user_key"]),
                max_age: settings["max_age"].as_u64().map(Duration::from_secs),
                allow_missing_purpose: settings["allow_missing_purpose"].as_bool().unwrap_or_default(),
            },
            cookie: text(&case["cookie"]).unwrap(),
            cookie_name: text(&case["cookie_name"]),
            now: time(&case["now"]).unwrap(),
            stored,
            password_hash: text(&case["password_hash"]),
            tied: case["tied"].as_bool().unwrap_or_default(),
            expected: match expect.as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(Expected {
                    user: user(&expect["user"]),
                    issued_at: time(&expect["issued_at"]),
                    expires_at: time(&expect["expires_at"]),
                }),
            },
            same_session_as: text(&case["same_session_as"]),
        }
    }

    fn cookies(&self) -> LegacyCookies {
        LegacyCookies::new(&self.settings).unwrap()
    }

    /// Does with a cookie what an exchange does, up to the check of the password.
    fn read(
        &self,
        cookies: &LegacyCookies,
        cookie: &str,
        now: Timestamp,
    ) -> Result<UnverifiedSession, LegacyCookieError> {
        match cookies.open(cookie, now)? {
            LegacyCookie::Session(session) => Ok(session),
            LegacyCookie::Stored(key) => {
                let stored = self.stored.as_ref().expect("the case has a stored session");
                assert_eq!(key.expose(), stored.key, "{}", self.name);
                cookies.open_stored(&key, &stored.row(), now)
            }
        }
    }

    fn open(&self, cookies: &LegacyCookies, cookie: &str, now: Timestamp) -> Result<LegacySession, LegacyCookieError> {
        self.read(cookies, cookie, now)?.verify(self.password_hash.as_deref())
    }

    fn digest(&self) -> LegacyDigest {
        self.open(&self.cookies(), &self.cookie, self.now).unwrap().digest
    }
}

impl Stored {
    fn row(&self) -> StoredSession<'_> {
        StoredSession { content: &self.content, expires_at: self.expires_at }
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_u64().map(Timestamp::from_unix_seconds)
}

fn user(value: &Value) -> LegacyUser {
    let (column, text) = value.as_object().unwrap().iter().next().unwrap();
    let text = text.as_str().unwrap().to_owned();
    match column.as_str() {
        "id" => LegacyUser::Id(text),
        "fs_uniquifier" => LegacyUser::FsUniquifier(text),
        other => panic!("unknown column {other}"),
    }
}

/// The secret. Each is judged once, since that takes a second in a debug build.
fn secret(bytes: &[u8]) -> LegacySecret {
    static JUDGED: LazyLock<Mutex<HashMap<Vec<u8>, LegacySecret>>> = LazyLock::new(Mutex::default);
    let mut judged = JUDGED.lock().unwrap();
    judged.entry(bytes.to_vec()).or_insert_with(|| LegacySecret::new(bytes).unwrap()).clone()
}

fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/legacy_cookies");
        let folder = std::env::var_os("HANDSTAMP_LEGACY_COOKIES").map_or(beside, PathBuf::from);
        let read = |file| -> Value { serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap() };
        FILES.map(read).iter().flat_map(|cases| cases.as_array().unwrap()).map(Case::parse).collect()
    });
    &CASES
}

fn good_cases() -> impl Iterator<Item = &'static Case> {
    cases().iter().filter(|case| case.expected.is_ok())
}

/// The cookie with another character in the place of one.
fn altered(cookie: &str) -> impl Iterator<Item = String> {
    cookie.char_indices().flat_map(move |(at, original)| {
        let others = ['A', 'B', '0', '.', '%', 'é'];
        let changed = others.into_iter().filter(move |other| *other != original);
        changed.map(move |other| format!("{}{other}{}", &cookie[..at], &cookie[at + original.len_utf8()..]))
    })
}

#[test]
fn each_cookie_opens_as_its_framework_means_it() {
    for case in cases() {
        let opened = case.open(&case.cookies(), &case.cookie, case.now);
        let found =
            opened.map(|LegacySession { user, issued_at, expires_at, .. }| Expected { user, issued_at, expires_at });
        assert_eq!(found.map_err(|error| error.name().to_owned()), case.expected, "{}", case.name);
    }
}

#[test]
fn every_kind_and_every_error_of_a_cookie_has_a_case() {
    for kind in LegacyKind::ALL {
        let good = cases().iter().filter(|case| case.settings.kind == kind && case.expected.is_ok());
        assert!(good.count() >= 3, "{kind:?}");
        let mut refused = cases().iter().filter(|case| case.settings.kind == kind);
        assert!(refused.any(|case| case.expected == Err("bad_signature".to_owned())), "{kind:?}");
    }
}

#[test]
fn an_altered_cookie_opens_no_session_or_the_same() {
    for case in good_cases() {
        let (cookies, digest) = (case.cookies(), case.digest());
        let mut refused = 0;
        for cookie in altered(&case.cookie) {
            // A session key of Django is not signed: another one names another row.
            let is_django_key = case.settings.kind == LegacyKind::Django && case.stored.is_some();
            match cookies.open(&cookie, case.now) {
                Err(_) => refused += 1,
                Ok(LegacyCookie::Stored(key)) if is_django_key => {
                    assert_ne!(key.digest(), digest, "{}: {cookie}", case.name)
                }
                Ok(opened) => assert_eq!(opened.digest(), digest, "{}: {cookie}", case.name),
            }
        }
        assert!(refused > case.cookie.len() * 2, "{}", case.name);
        for end in (0..case.cookie.len()).filter(|end| case.cookie.is_char_boundary(*end)) {
            assert!(cookies.open(&case.cookie[..end], case.now).is_err(), "{}, the first {end} bytes", case.name);
        }
        for longer in ["", "=", "A", ".", "--", "%00", ";"].map(|more| format!("{}{more}", case.cookie)).iter().skip(1)
        {
            assert!(cookies.open(longer, case.now).is_err(), "{}: {longer}", case.name);
        }
    }
}

#[test]
fn another_percent_encoding_of_a_cookie_has_the_same_digest() {
    for case in good_cases() {
        let spelled: String = case
            .cookie
            .bytes()
            .map(|byte| match byte {
                b'%' => "%".to_owned(),
                _ if case.cookie.contains('%') => (byte as char).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect();
        if let Ok(opened) = case.cookies().open(&spelled.to_lowercase(), case.now) {
            assert_eq!(opened.digest(), case.digest(), "{}", case.name);
        }
    }
    let case = good_cases().find(|case| case.name == "express-session: Passport").unwrap();
    let plain = case.cookie.replace("%3A", ":").replace("%2B", "+").replace("%2F", "/");
    assert_ne!(plain, case.cookie);
    assert_eq!(case.open(&case.cookies(), &plain, case.now).unwrap().digest, case.digest());
}

#[test]
fn a_cookie_opens_under_any_of_the_secrets_and_under_no_other() {
    for case in good_cases() {
        let under = |secrets: Vec<LegacySecret>| {
            let cookies = LegacyCookies::new(&LegacySettings { secrets, ..case.settings.clone() }).unwrap();
            case.open(&cookies, &case.cookie, case.now).map(|session| session.digest)
        };
        let unrelated = secret(UNRELATED_SECRET);
        let with_fallback = [vec![unrelated.clone()], case.settings.secrets.clone()].concat();
        assert_eq!(under(with_fallback), Ok(case.digest()), "{}", case.name);
        // Nothing signs the key of a session in Django's database. Its content is signed.
        assert_eq!(under(vec![unrelated]), Err(LegacyCookieError::BadSignature), "{}", case.name);
    }
}

#[test]
fn a_session_is_valid_from_its_issue_to_its_expiry_and_can_always_be_ended() {
    let mut bounded = 0;
    for case in good_cases() {
        let cookies = case.cookies();
        let at = |seconds| {
            case.open(&cookies, &case.cookie, Timestamp::from_unix_seconds(seconds)).map(|session| session.digest)
        };
        let expected = case.expected.as_ref().unwrap();
        if let Some(expires_at) = expected.expires_at.map(Timestamp::unix_seconds) {
            bounded += 1;
            assert_eq!(at(expires_at - 1), Ok(case.digest()), "{}", case.name);
            assert_eq!(at(expires_at), Err(LegacyCookieError::Expired), "{}", case.name);
        }
        if let Some(issued_at) = expected.issued_at.map(Timestamp::unix_seconds) {
            assert_eq!(at(issued_at - 60), Ok(case.digest()), "{}", case.name);
            assert_eq!(at(issued_at - 61), Err(LegacyCookieError::NotYetValid), "{}", case.name);
        }
        assert_eq!(cookies.digest_to_end(&case.cookie), Ok(case.digest()), "{}", case.name);
    }
    assert!(bounded >= 20);
}

#[test]
fn a_session_that_is_tied_to_the_password_needs_the_hash_from_its_sign_in() {
    let mut tied = 0;
    for case in good_cases() {
        let cookies = case.cookies();
        let verified = |hash: Option<&str>| {
            case.read(&cookies, &case.cookie, case.now).unwrap().verify(hash).map(|session| session.user)
        };
        let user = case.expected.as_ref().unwrap().user.clone();
        assert_eq!(case.read(&cookies, &case.cookie, case.now).unwrap().user_to_look_up(), &user);
        if !case.tied {
            assert_eq!(verified(None), Ok(user), "{}", case.name);
            continue;
        }
        tied += 1;
        let hash = case.password_hash.as_deref().unwrap();
        assert_eq!(verified(Some(hash)), Ok(user), "{}", case.name);
        assert_eq!(verified(None), Err(LegacyCookieError::NoPasswordHash), "{}", case.name);
        for at in [0, 5, 28] {
            let other = format!("{}~{}", &hash[..at], &hash[at + 1..]);
            assert_eq!(verified(Some(&other)), Err(LegacyCookieError::PasswordChanged), "{}: {other}", case.name);
        }
        for other in ["", "!", &hash[..28], "é", &"é".repeat(20)] {
            assert_eq!(verified(Some(other)), Err(LegacyCookieError::PasswordChanged), "{}: {other}", case.name);
        }
    }
    assert!(tied >= 15);
}

#[test]
fn copies_of_a_session_have_one_digest_and_sessions_differ() {
    let digests: Vec<_> = good_cases().map(|case| (case.digest(), case)).collect();
    // The signed cookies of Rails here hold the same user and nothing else.
    let session = |case: &Case| match case.name.contains("signed") && case.settings.kind == LegacyKind::Rails {
        true => "rails, signed".to_owned(),
        false => case.same_session_as.clone().unwrap_or_else(|| case.name.clone()),
    };
    for (index, (digest, case)) in digests.iter().enumerate() {
        for (other_digest, other) in &digests[..index] {
            let is_same = session(case) == session(other) || case.cookie == other.cookie;
            assert_eq!(digest == other_digest, is_same, "{} and {}", case.name, other.name);
        }
    }
    for name in ["flask: compressed, with tags", "rails 6: Devise, changed session"] {
        assert!(digests.iter().any(|(_, case)| case.name == name && case.same_session_as.is_some()), "{name}");
    }
}

#[test]
fn a_cookie_of_one_kind_is_none_of_another() {
    for case in good_cases() {
        for kind in LegacyKind::ALL.into_iter().filter(|kind| *kind != case.settings.kind) {
            let cookie = (kind == LegacyKind::Rails).then(|| "_session".to_owned());
            let settings = LegacySettings {
                kind,
                cookie,
                user_key: None,
                max_age: None,
                allow_missing_purpose: false,
                ..case.settings.clone()
            };
            let opened = LegacyCookies::new(&settings).unwrap().open(&case.cookie, case.now);
            // The two kinds of signed session ids have the same signature, and name rows of different stores.
            let is_key = |opened: &LegacyCookie| matches!(opened, LegacyCookie::Stored(key) if kind == LegacyKind::Django && key.expose() == case.cookie);
            assert!(opened.as_ref().map_or(true, is_key), "{} as {kind:?}: {opened:?}", case.name);
        }
    }
}

#[test]
fn a_cookie_and_a_stored_session_are_limited_in_length() {
    for case in good_cases() {
        let cookies = case.cookies();
        let long = format!("{}{}", case.cookie, "A".repeat(LegacyCookies::MAX_BYTES + 1 - case.cookie.len()));
        assert_eq!(cookies.open(&long, case.now).unwrap_err(), LegacyCookieError::TooLong, "{}", case.name);
        assert_eq!(cookies.digest_to_end(&long), Err(LegacyCookieError::TooLong), "{}", case.name);
        assert_ne!(cookies.open(&long[..LegacyCookies::MAX_BYTES], case.now).unwrap_err(), LegacyCookieError::TooLong);
        if let (Some(stored), Ok(LegacyCookie::Stored(key))) = (&case.stored, cookies.open(&case.cookie, case.now)) {
            let content = stored.content.clone() + &" ".repeat(LegacyCookies::MAX_STORED_BYTES);
            let long = StoredSession { content: &content, expires_at: stored.expires_at };
            assert_eq!(cookies.open_stored(&key, &long, case.now).unwrap_err(), LegacyCookieError::TooLong);
        }
    }
}

#[test]
fn kinds_without_a_store_open_no_stored_session() {
    let cases: Vec<_> = good_cases().collect();
    let express = cases.iter().find(|case| case.settings.kind == LegacyKind::ExpressSession).unwrap();
    let Ok(LegacyCookie::Stored(key)) = express.cookies().open(&express.cookie, express.now) else {
        panic!("it is stored")
    };
    let row = express.stored.as_ref().unwrap().row();
    for case in cases.iter().filter(|case| case.stored.is_none()) {
        let opened = case.cookies().open_stored(&key, &row, case.now).map(|_| ());
        let expected = match case.settings.kind {
            LegacyKind::Django => LegacyCookieError::NoExpiry,
            _ => LegacyCookieError::NotStored,
        };
        assert_eq!(opened, Err(expected), "{}", case.name);
    }
}

#[test]
fn better_auth_has_two_names_for_its_cookie() {
    for case in good_cases() {
        let names = case.cookies().cookie_names();
        if let Some(name) = &case.cookie_name {
            assert_eq!(names, ["better-auth.session_token", "__Secure-better-auth.session_token"]);
            assert!(names.contains(name));
        } else {
            assert_eq!(names.len(), 1, "{}", case.name);
        }
    }
}

#[test]
fn settings_that_mean_nothing_for_the_kind_are_refused() {
    let valid = |kind| LegacySettings {
        kind,
        secrets: vec![secret(UNRELATED_SECRET)],
        cookie: Some("old_session".to_owned()),
        user_key: None,
        max_age: None,
        allow_missing_purpose: false,
    };
    for kind in LegacyKind::ALL {
        let accepts = |change: &dyn Fn(&mut LegacySettings)| {
            let mut settings = valid(kind);
            change(&mut settings);
            LegacyCookies::new(&settings).is_ok()
        };
        assert!(accepts(&|_| ()), "{kind:?}");
        assert!(!accepts(&|settings| settings.secrets.clear()));
        assert!(accepts(&|settings| settings.secrets = vec![secret(UNRELATED_SECRET); 8]));
        assert!(!accepts(&|settings| settings.secrets = vec![secret(UNRELATED_SECRET); 9]));
        assert_eq!(accepts(&|settings| settings.cookie = None), kind != LegacyKind::Rails, "{kind:?}");
        for name in ["", "a b", "a=b", "a;b", "é"] {
            assert!(!accepts(&|settings| settings.cookie = Some(name.to_owned())), "{name}");
        }
        let has_key = matches!(kind, LegacyKind::Flask | LegacyKind::Rails | LegacyKind::ExpressSession);
        assert_eq!(accepts(&|settings| settings.user_key = Some("user_id".to_owned())), has_key, "{kind:?}");
        let is_remember = kind == LegacyKind::FlaskLoginRemember;
        assert_eq!(accepts(&|settings| settings.user_key = Some("fs_uniquifier".to_owned())), has_key || is_remember);
        assert!(!accepts(&|settings| settings.user_key = Some(String::new())), "{kind:?}");
        let has_age = matches!(kind, LegacyKind::Flask | LegacyKind::Django);
        assert_eq!(accepts(&|settings| settings.max_age = Some(Duration::from_secs(60))), has_age, "{kind:?}");
        assert_eq!(accepts(&|settings| settings.allow_missing_purpose = true), kind == LegacyKind::Rails, "{kind:?}");
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert!("laravel".parse::<LegacyKind>().unwrap_err().to_string().contains("flask-login-remember"));
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_and_none_is_printed() {
    for bad in [
        b"dev".as_slice(),
        b"keyboard cat",
        b"keyboard cat keyboard cat",
        b"django-insecure-",
        b"django-insecure-change-me-please-now",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"my secret key for the session cookies",
        &[0xff; 32],
        b"\xf0\x9d\x84\x12\x7e\x03\x99\xab\xcd\x41\x5a\x6b\x07\xe8\xfe",
        b"\xff\x01\x02\x03\x04\x05\xff\x01\x02\x03\x04\x05\xff\x01\x02\x03\x04\x05",
    ] {
        let error = LegacySecret::new(bad).unwrap_err().to_string();
        assert!(!error.contains("cat"), "{error}");
    }
    for good in [
        UNRELATED_SECRET,
        b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        b"django-insecure-v7t2#q@l9z$w4x!k8p^m1r&n5(b3e-6y=0u_jhgc",
        b"\xf0\x9d\x84\x12\x7e\x03\x99\xab\xcd\x41\x5a\x6b\x07\xe8\xfe\x31",
    ] {
        assert_eq!(format!("{:?}", LegacySecret::new(good).unwrap()), "LegacySecret(…)");
    }
    let case = good_cases().next().unwrap();
    assert!(!format!("{:?}", case.settings).contains("8f42a7"));
    let opened = case.cookies().open(&case.cookie, case.now).unwrap();
    assert_eq!(format!("{opened:?}"), "Session(UnverifiedSession(…))");
    assert_eq!(format!("{:?}", case.cookies()), "LegacyCookies(…)");
}

/// The cookies of every kind, under a secret that has signed none.
static COOKIES: LazyLock<Vec<(LegacyKind, LegacyCookies)>> = LazyLock::new(|| {
    let settings = |kind| LegacySettings {
        kind,
        secrets: vec![secret(UNRELATED_SECRET)],
        cookie: Some("_session".to_owned()),
        user_key: None,
        max_age: None,
        allow_missing_purpose: kind == LegacyKind::Rails,
    };
    LegacyKind::ALL.map(|kind| (kind, LegacyCookies::new(&settings(kind)).unwrap())).into()
});

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(
        text in prop_oneof![
            ".{0,80}",
            "[a-z0-9]{32}",
            "[A-Za-z0-9_=+/.:|%-]{0,200}",
            "s%3A[a-z]{0,9}\\.[A-Za-z0-9+/]{43}",
            "([A-Za-z0-9+/]{0,40}={0,2}--){0,3}[A-Za-z0-9+/=]{0,30}",
        ],
        content in ".{0,80}",
        now in any::<u64>(),
    ) {
        let now = Timestamp::from_unix_seconds(now);
        for (kind, cookies) in COOKIES.iter() {
            match cookies.open(&text, now) {
                Ok(LegacyCookie::Stored(key)) => {
                    prop_assert_eq!(*kind, LegacyKind::Django);
                    let expires_at = Some(Timestamp::from_unix_seconds(u64::MAX));
                    let row = StoredSession { content: &content, expires_at };
                    prop_assert!(cookies.open_stored(&key, &row, now).is_err());
                }
                opened => prop_assert!(opened.is_err()),
            }
        }
    }
}

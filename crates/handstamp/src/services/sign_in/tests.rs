//! Tests that the time of a sign-in reveals nothing: every attempt costs the same work, whether or not the account exists.

use std::collections::BTreeMap;

use handstamp_core::{Argon2Params, DisplayName, ImportedHash};
use handstamp_testing::TempFolder;

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::services::RegisterRequest;
use crate::{Handstamp, ImportFields, ImportOutcome, SecretKey, WeakFormat};

const PASSWORD: &str = "plum-octave-harbour";

async fn open(folder: &TempFolder, memory_kib: u32) -> Handstamp {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
    let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
    let mut config = Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secret);
    config.hashing.params = Argon2Params::new(memory_kib, 2, 1).unwrap();
    config.hashing.concurrency = 1;
    Handstamp::open(config).await.unwrap()
}

async fn register(handstamp: &Handstamp, email: &str) {
    let request = RegisterRequest {
        name: DisplayName::parse("Ada").unwrap(),
        email: EmailAddress::parse(email).unwrap(),
        password: Password::parse(PASSWORD).unwrap(),
    };
    handstamp.0.site.services.register(&Context::visitor(), request, &[]).await.unwrap();
}

/// Whether the attempt succeeds, and how many KiB of memory its hashes pass over.
async fn attempt(handstamp: &Handstamp, email: &str, password: &str) -> (bool, u64) {
    let accounts = &handstamp.0.site.services;
    let before = accounts.hashing.work_kib();
    let request = SignInRequest {
        email: EmailAddress::parse(email).unwrap(),
        password: Password::parse(password).unwrap(),
        remember: true,
    };
    let token = accounts.sign_in(&Context::visitor(), request, &[], "").await.is_ok();
    (token, accounts.hashing.work_kib() - before)
}

async fn execute(handstamp: &Handstamp, sql: &'static str) {
    let crate::store::Store::Sqlite(database) = &*handstamp.0.site.services.store else { panic!("this is SQLite") };
    database.execute(sql).await;
}

#[tokio::test]
async fn every_wrong_sign_in_costs_the_same_work() {
    let folder = TempFolder::new();
    let cheaper = open(&folder, 64).await;
    register(&cheaper, "older@example.com").await;
    cheaper.close().await;

    let handstamp = open(&folder, 256).await;
    for email in ["known@example.com", "disabled@example.com", "without@example.com"] {
        register(&handstamp, email).await;
    }
    execute(&handstamp, "UPDATE users SET disabled_at = 1 WHERE email_key = 'disabled@example.com'").await;
    execute(&handstamp, "UPDATE users SET password_hash = NULL WHERE email_key = 'without@example.com'").await;

    for email in
        ["known@example.com", "unknown@example.com", "older@example.com", "disabled@example.com", "without@example.com"]
    {
        assert_eq!(attempt(&handstamp, email, "wrong").await, (false, 512), "{email}");
    }
    assert_eq!(attempt(&handstamp, "disabled@example.com", PASSWORD).await, (false, 512));
    assert_eq!(attempt(&handstamp, "known@example.com", PASSWORD).await, (true, 512));
    assert_eq!(attempt(&handstamp, "older@example.com", PASSWORD).await, (true, 1024), "hashed again");
    assert_eq!(attempt(&handstamp, "older@example.com", PASSWORD).await, (true, 512), "once");
}

/// A hash of [`PASSWORD`] by each scheme, as the libraries of other systems have made them, with the name of the scheme.
fn imported_hashes() -> BTreeMap<String, String> {
    const VECTORS: &str = include_str!("../../../../handstamp-core/tests/imported_hashes/vectors.jsonl");
    let mut hashes = BTreeMap::new();
    for line in VECTORS.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let (kind, hash) = (vector["kind"].as_str().unwrap(), vector["hash"].as_str().unwrap_or_default());
        if kind == "prefixed" && vector["password"] == PASSWORD {
            let parsed = ImportedHash::parse(hash).unwrap();
            if parsed.cost().estimated_milliseconds() <= 3 {
                hashes.insert(parsed.to_string().split(',').next().unwrap().to_owned(), hash.to_owned());
            }
        }
    }
    assert!(hashes.len() > 8, "{hashes:?}");
    hashes
}

#[tokio::test]
async fn a_user_of_each_imported_scheme_signs_in_and_costs_what_every_other_costs() {
    let folder = TempFolder::new();
    let handstamp = open(&folder, 256).await;
    register(&handstamp, "native@example.com").await;
    let hashes = imported_hashes();
    let mut import = handstamp.users().import(false);
    let parse = |(number, hash): (usize, &String)| {
        let email = format!("u{number}@example.com");
        import.parser().parse(&ImportFields { email: &email, password_hash: hash, ..ImportFields::default() }).unwrap()
    };
    let mut users: Vec<_> = hashes.values().enumerate().map(parse).collect();
    assert_eq!(import.batch(&mut users).await.unwrap(), vec![ImportOutcome::Imported; hashes.len()]);

    let hashing = &handstamp.0.site.services.hashing;
    let mut work = Vec::new();
    for email in ["native@example.com", "nobody@example.com"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..hashes.len()).map(|number| format!("u{number}@example.com")))
    {
        hashing.take_imported_work();
        assert!(!attempt(&handstamp, &email, "wrong").await.0, "{email}");
        work.push((email, hashing.work_kib(), hashing.take_imported_work()));
    }
    for (email, kib, imported) in &work {
        assert_eq!((kib, imported), (&work[0].1, &work[0].2), "{email} is another kind of account");
    }
    for (number, scheme) in hashes.keys().enumerate() {
        let email = EmailAddress::parse(&format!("u{number}@example.com")).unwrap();
        assert!(attempt(&handstamp, email.as_str(), PASSWORD).await.0, "{scheme}");
        let (credentials, _) = handstamp.0.site.services.store.credentials_by_email(&email).await.unwrap();
        assert!(credentials.unwrap().password_hash.unwrap().is_own(), "{scheme} is replaced");
        assert!(attempt(&handstamp, email.as_str(), PASSWORD).await.0, "{scheme}");
    }
    handstamp.0.site.services.lower_hash_costs().await.unwrap();
    hashing.take_imported_work();
    assert!(attempt(&handstamp, "native@example.com", PASSWORD).await.0);
    assert_eq!(
        hashing.take_imported_work(),
        [handstamp_core::HashWork::default()],
        "nobody pays for schemes that are gone"
    );
}

#[tokio::test]
async fn a_weak_hash_is_stored_hashed_once_more_and_the_user_signs_in() {
    let folder = TempFolder::new();
    let handstamp = open(&folder, 256).await;
    // `printf plum-octave-harbour | md5sum`
    const MD5: &str = "c878c546e172f0abd0d771eb68461769";
    let email = EmailAddress::parse("ada@example.com").unwrap();
    let stored = async || {
        let (credentials, _) = handstamp.0.site.services.store.credentials_by_email(&email).await.unwrap();
        credentials.unwrap().password_hash.unwrap().expose().to_owned()
    };
    let mut import = handstamp.users().import(false);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let parser = import.parser().with_weak_hashes(WeakFormat::Hex);
        let fields = ImportFields { email: email.as_str(), password_hash: MD5, ..ImportFields::default() };
        outcomes.extend(import.batch(&mut [parser.parse(&fields).unwrap()]).await.unwrap());
        let text = stored().await;
        assert!(text.starts_with("handstamp-digest$") && !text.contains("c878"), "{text}");
    }
    assert_eq!(outcomes, [ImportOutcome::Imported, ImportOutcome::AlreadyThere]);
    assert!(!attempt(&handstamp, email.as_str(), MD5).await.0, "the digest is no password");
    assert!(attempt(&handstamp, email.as_str(), PASSWORD).await.0);
    assert!(stored().await.starts_with("$argon2id$"));
    let parser = import.parser().with_weak_hashes(WeakFormat::Hex);
    let fields = ImportFields { email: email.as_str(), password_hash: MD5, ..ImportFields::default() };
    let repeated = import.batch(&mut [parser.parse(&fields).unwrap()]).await.unwrap();
    assert_eq!(repeated, [ImportOutcome::AlreadyThere], "the hash was replaced at the sign-in");
}

//! Tests that the time of a sign-in reveals nothing: every attempt costs the same work, whether or not the account exists.

use handstamp_core::{Argon2Params, DisplayName};
use handstamp_testing::TempFolder;

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::services::RegisterRequest;
use crate::{Handstamp, SecretKey};

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

//! Tests of the keys that nodes announce, on a SQLite database that one site after the other opens.

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{Argon2Params, SecretKey, Timestamp};
use handstamp_testing::TempFolder;
use uuid::Uuid;

use super::BEAT;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::context::Context;
use crate::environment::{Environment, ManualClock};
use crate::model::SecretRole;
use crate::services::{CreateUser, Services};
use crate::{Error, Handstamp};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const A: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const B: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

/// A database, and the clock of the nodes.
struct Database {
    folder: TempFolder,
    clock: Arc<ManualClock>,
}

impl Database {
    fn new() -> Self {
        Self { folder: TempFolder::new(), clock: Arc::new(ManualClock::new(NOW)) }
    }

    /// A node with these secrets, whose jobs have run once and do not run again.
    async fn opens(&self, secrets: &[&str]) -> Result<Handstamp, Error> {
        let secrets: Vec<_> = secrets.iter().map(|text| SecretKey::parse(text).unwrap()).collect();
        let database = DatabaseUrl::Sqlite(self.folder.path().join("data/handstamp.db"));
        let mut config = Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secrets[0].clone());
        config.secret_key_fallbacks = secrets[1..].to_vec();
        config.session.cache_entries = 0;
        config.hashing.params = Argon2Params::new(8, 1, 1).unwrap();
        let environment = Environment { clock: self.clock.clone(), ..Environment::system() };
        let handstamp = Handstamp::open_with(config, environment).await?;
        let mut jobs = std::mem::take(&mut *handstamp.0.jobs.lock().unwrap());
        jobs.drain().await;
        Ok(handstamp)
    }
}

fn services(node: &Handstamp) -> &Arc<Services> {
    &node.0.site.services
}

fn published(node: &Handstamp) -> usize {
    let keys: serde_json::Value = serde_json::from_str(&services(node).assertions.published_keys()).unwrap();
    keys["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_assertion_key_of_a_secret_that_has_never_signed_is_published_for_as_long_as_the_node_runs() {
    let database = Database::new();
    database.opens(&[A]).await.unwrap().close().await;
    let node = database.opens(&[A, B]).await.unwrap();
    database.clock.advance(Duration::from_secs(3600));
    assert_eq!(published(&node), 2, "apps find the key before it signs");
    node.close().await;
    let node = database.opens(&[B, A]).await.unwrap();
    assert_eq!(published(&node), 2);
    database.clock.advance(Duration::from_secs(3600));
    assert_eq!(published(&node), 1, "a former secret verifies no assertions for long");
}

#[tokio::test]
async fn a_former_secret_is_needed_until_its_sessions_have_ended_and_nothing_is_sealed_with_it() {
    let database = Database::new();
    let node = database.opens(&[A]).await.unwrap();
    let user = CreateUser::parse("Ada", "ada@example.com", "a password of this very test").unwrap();
    let user = services(&node).create_user(&Context::operator(), user).await.unwrap();
    let sealed = services(&node).factor_sealer.seal(&[7; 24], b"a secret", user.as_uuid().as_bytes());
    node.close().await;

    let node = database.opens(&[B, A]).await.unwrap();
    services(&node).store.begin_totp((user, Uuid::nil()), &sealed, NOW, NOW).await.unwrap();
    let former = async || node.secrets().status().await.unwrap().keys[1].clone();
    let key = former().await;
    assert_eq!((key.role, key.sealed, key.can_be_dropped), (SecretRole::Former, 1, false));
    let needed_until = key.needed_until.unwrap();
    assert!(needed_until >= NOW.after(30 * DAY) && needed_until <= NOW.after(31 * DAY), "{needed_until}");
    database.clock.set(needed_until);
    assert!(!former().await.can_be_dropped, "an authenticator app is sealed with it");
    services(&node).reseal_totp().await.unwrap();
    assert_eq!(former().await.sealed, 0);
    database.clock.set(Timestamp::from_unix_seconds(needed_until.unix_seconds() - 1));
    assert!(!former().await.can_be_dropped, "a session may be signed with it");
    database.clock.set(needed_until);
    assert!(former().await.can_be_dropped);
}

#[tokio::test]
async fn a_secret_that_a_running_node_signs_with_is_needed() {
    let database = Database::new();
    let other = database.opens(&[A, B]).await.unwrap();
    let node = database.opens(&[B, A]).await.unwrap();
    database.clock.advance(100 * DAY);
    services(&other).announce_secrets().await.unwrap();
    services(&node).announce_secrets().await.unwrap();
    let status = node.secrets().status().await.unwrap();
    assert_eq!((status.nodes.len(), status.keys[1].needed_until, status.keys[1].can_be_dropped), (2, None, false));
}

#[tokio::test]
async fn a_node_does_not_start_beside_a_running_one_that_does_not_share_its_secrets() {
    let database = Database::new();
    let running = database.opens(&[A]).await.unwrap();
    let beats = tokio::spawn({
        let services = Arc::clone(services(&running));
        async move {
            loop {
                services.announce_secrets().await.unwrap();
                tokio::time::sleep(BEAT / 10).await;
            }
        }
    });
    for secrets in [&[B][..], &[B, A]] {
        let refused = database.opens(secrets).await.map(drop).unwrap_err();
        assert!(refused.is_config() && refused.to_string().contains("(process "), "{refused}");
    }
    assert_eq!(services(&running).store.key_nodes().await.unwrap().len(), 1, "the refused nodes are gone");
    database.opens(&[A, B]).await.unwrap().close().await;
    beats.abort();
    drop(running);
}

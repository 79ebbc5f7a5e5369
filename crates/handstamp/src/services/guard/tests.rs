//! What is looked at, and when: by a clock that is turned.

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{DisplayName, Timestamp};

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::services::{Admitted, NotRegistered, NotSignedIn, Register, SignIn};
use crate::world::{Clock, ManualClock, World};
use crate::{Handstamp, SecretKey};

const PASSWORD: &str = "plum-octave-harbour";
const MINUTE: Duration = Duration::from_secs(60);

/// Accounts in a folder and at a time of their own, and the browser in which Ada has registered.
struct Here {
    handstamp: Handstamp,
    known: Device,
    clock: Arc<ManualClock>,
    folder: std::path::PathBuf,
}

impl Drop for Here {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What came of an attempt to sign in.
#[derive(Debug, PartialEq)]
enum Outcome {
    SignedIn,
    Wrong,
    Waits(Duration),
    Overloaded,
}

impl Here {
    async fn opens() -> Self {
        let name: [u8; 8] = World::system().random();
        let folder = std::env::temp_dir().join(format!("handstamp-guard-{:016x}", u64::from_be_bytes(name)));
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let database = DatabaseUrl::Sqlite(folder.join("handstamp.db"));
        let mut config = Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secret);
        config.hashing.settings = crate::HashSettings::new(8, 1, 1).unwrap();
        (config.hashing.concurrency, config.hashing.queue) = (1, 0);
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let world = World { clock: clock.clone(), ..World::system() };
        let handstamp = Handstamp::open_in(config, world).await.unwrap();
        let mut here = Self { handstamp, known: Device::default(), clock, folder };
        here.known.cookie = here.registers().await.unwrap().device;
        here
    }

    async fn registers(&self) -> Result<Admitted, NotRegistered> {
        let wish = Register {
            name: DisplayName::parse("Ada").unwrap(),
            email: EmailAddress::parse("ada@example.com").unwrap(),
            password: Password::parse(PASSWORD).unwrap(),
        };
        self.accounts().register(wish, None, &Device::default()).await
    }

    fn accounts(&self) -> &Accounts {
        &self.handstamp.0.site.accounts
    }

    async fn tries(&self, password: &str) -> Outcome {
        self.tries_as("ada@example.com", password, &Device::default()).await
    }

    async fn tries_as(&self, email: &str, password: &str, device: &Device) -> Outcome {
        let wish = SignIn {
            email: EmailAddress::parse(email).unwrap(),
            password: Password::parse(password).unwrap(),
            remember: true,
        };
        match self.accounts().sign_in(wish, None, device).await {
            Ok(_) => Outcome::SignedIn,
            Err(NotSignedIn::Wrong) => Outcome::Wrong,
            Err(NotSignedIn::TooMany(Wait(wait))) => Outcome::Waits(wait),
            Err(NotSignedIn::Fault(Fault::Overloaded)) => Outcome::Overloaded,
            Err(NotSignedIn::Fault(fault)) => panic!("{fault}"),
        }
    }

    async fn tries_ten_times(&self) {
        for _ in 0..10 {
            assert_eq!(self.tries("wrong").await, Outcome::Wrong);
        }
    }

    /// What all hashes have cost so far, in KiB.
    fn hashed(&self) -> u64 {
        self.accounts().hashing.passed_kib()
    }
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_is_looked_at_again() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    for wait in [MINUTE, 2 * MINUTE, 4 * MINUTE] {
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(wait));
        here.clock.advance(wait - Duration::from_secs(1));
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(Duration::from_secs(1)));
        here.clock.advance(Duration::from_secs(1));
        assert_eq!(here.tries("wrong").await, Outcome::Wrong);
    }
    here.clock.advance(8 * MINUTE);
    assert_eq!(here.tries(PASSWORD).await, Outcome::SignedIn);
}

#[tokio::test]
async fn whoever_has_to_wait_costs_no_hash() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    let before = here.hashed();
    for _ in 0..100 {
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    }
    assert_eq!(here.hashed(), before);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_its_second_and_no_longer() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert!(here.handstamp.unlock_user("ada@example.com").await.unwrap());
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE), "nobody was asked");
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(here.tries(PASSWORD).await, Outcome::SignedIn);
}

#[tokio::test]
async fn whoever_was_refused_is_refused_again_without_a_word_to_the_database() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    here.accounts().store.close().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn a_refusal_is_not_remembered_for_those_who_share_a_network() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert_eq!(
        here.tries_as("bob@example.com", PASSWORD, &Device::default()).await,
        Outcome::Wrong,
        "he has no account, and no wait either"
    );
}

#[tokio::test]
async fn what_was_right_is_taken_back() {
    let here = Here::opens().await;
    for _ in 0..15 {
        assert_eq!(here.tries(PASSWORD).await, Outcome::SignedIn);
    }
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn where_somebody_signed_in_before_they_are_counted_apart() {
    let here = Here::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert_eq!(here.tries_as("ada@example.com", PASSWORD, &here.known).await, Outcome::SignedIn);
    for _ in 0..10 {
        assert_eq!(here.tries_as("ada@example.com", "wrong", &here.known).await, Outcome::Wrong);
    }
    assert_eq!(here.tries_as("ada@example.com", PASSWORD, &here.known).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn registrations_from_a_network_are_counted_whatever_comes_of_them() {
    let here = Here::opens().await;
    for _ in 1..20 {
        assert!(matches!(here.registers().await, Err(NotRegistered::AddressTaken)));
    }
    assert!(matches!(here.registers().await, Err(NotRegistered::TooMany(Wait(wait))) if wait == 15 * MINUTE));
    here.clock.advance(15 * MINUTE);
    assert!(matches!(here.registers().await, Err(NotRegistered::AddressTaken)));
}

#[tokio::test]
async fn where_there_is_no_place_for_a_hash_nothing_is_counted() {
    let here = Here::opens().await;
    let place = here.accounts().hashing.reserve().await.unwrap();
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(here.tries("wrong").await, Outcome::Overloaded);
    }
    assert!(begun.elapsed() >= Duration::from_secs(20), "who is refused at once tries again at once");
    tokio::time::resume();
    drop(place);
    here.tries_ten_times().await;
}

#[tokio::test]
async fn counts_that_nothing_depends_on_are_purged() {
    let here = Here::opens().await;
    let crate::store::Store::Sqlite(database) = &*here.accounts().store else { panic!("this is SQLite") };
    here.tries_ten_times().await;
    // More than are removed at once, and older than those.
    database
        .execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
             INSERT INTO attempts SELECT CAST(n AS BLOB), 1, 0, 0, 1, 0 FROM numbers",
        )
        .await;
    here.accounts().purge_attempts().await;
    assert_eq!(database.count("SELECT COUNT(*) FROM attempts WHERE last_at = 0").await, 0);
    let now = here.clock.wall();
    here.clock.set(Timestamp::from_unix_seconds(now.as_secs() + 30 * 86_400));
    here.accounts().purge_attempts().await;
    assert!(database.count("SELECT COUNT(*) FROM attempts").await > 0, "a clock that has jumped ahead");
    here.clock.set(Timestamp::from_unix_seconds(now.as_secs()));
    here.clock.advance(Duration::from_secs(86_399));
    here.accounts().purge_attempts().await;
    assert!(database.count("SELECT COUNT(*) FROM attempts").await > 0);
    here.clock.advance(Duration::from_secs(1));
    here.accounts().purge_attempts().await;
    assert_eq!(database.count("SELECT COUNT(*) FROM attempts").await, 0);
}

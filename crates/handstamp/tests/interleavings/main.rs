//! Explores every interleaving of operations of the session cache with loom.
//!
//! The scenarios are a fill during an invalidation, two concurrent fills, the end of a lease during a look-up, and rejoining
//! during a fill. Tests that begin with `wrong_order_` run the steps in a wrong order, which must serve a stale session.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../../src/environment.rs"]
mod environment;

#[path = "../simulation/store.rs"]
mod store;

mod sessions;

use std::time::Duration;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;

use environment::ClockReading;
use sessions::{Cache, SessionKey};
use store::{Invalidation, InvalidationScope, Position};

const LEASE: Duration = Duration::from_secs(100);
const SESSION: SessionSecretHash = SessionSecretHash::from_bytes([1; 32]);
const USER: UserId = UserId::from_uuid(uuid::Uuid::from_u128(2));
const KEY: SessionKey =
    SessionKey { secret_hash: SESSION, user_id: USER, expires_at: Timestamp::from_unix_seconds(1_000) };

fn at(seconds: u64) -> ClockReading {
    ClockReading { wall: Duration::from_secs(seconds), monotonic: Duration::from_secs(seconds) }
}

fn change(position: i64, scope: InvalidationScope) -> Invalidation {
    Invalidation { position: Position(position), scope }
}

/// The row of the session: the version of its user's name, or 0 once it is gone.
struct World {
    row: AtomicU64,
    cache: Mutex<Arc<Cache>>,
}

impl World {
    fn new() -> Arc<Self> {
        let cache = Cache::new(0);
        cache.renew(at(0), LEASE);
        Arc::new(Self { row: AtomicU64::new(1), cache: Mutex::new(Arc::new(cache)) })
    }

    fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache.lock().unwrap())
    }

    /// Handles a request that misses the cache.
    fn misses(&self) {
        let cache = self.cache();
        let read_position = cache.position();
        self.fills(&cache, read_position);
    }

    fn fills(&self, cache: &Cache, read_position: Position) {
        let row = self.row.load(SeqCst);
        if row > 0 {
            cache.insert(read_position, &KEY, row);
        }
    }

    /// A wrong order: notes the position after the row was read.
    fn misses_and_notes_afterwards(&self) {
        let cache = self.cache();
        let row = self.row.load(SeqCst);
        if row > 0 {
            cache.insert(cache.position(), &KEY, row);
        }
    }

    /// A wrong order: inserts the entry into the cache that is current after the row was read.
    fn misses_and_fills_another_cache(&self) {
        let read_position = self.cache().position();
        let row = self.row.load(SeqCst);
        if row > 0 {
            self.cache().insert(read_position, &KEY, row);
        }
    }

    /// Handles a request that begins after the change was confirmed. Returns whether it is served the old state.
    fn serves_what_was(&self) -> bool {
        self.serves_what_was_at(1)
    }

    fn serves_what_was_at(&self, seconds: u64) -> bool {
        self.cache().look_up(&KEY, at(seconds)) == Some(1)
    }
}

/// Whether any interleaving of the scene serves the old state. A scene does not panic, since loom cannot clean up after that.
fn finds_a_stale_read(scene: impl Fn() -> bool + Sync + Send + 'static) -> bool {
    let found = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&found);
    loom::model(move || {
        if scene() {
            seen.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    found.load(std::sync::atomic::Ordering::Relaxed)
}

/// Runs a cache miss concurrently with a change of the session, which is confirmed when `happens` returns. Returns whether the
/// old state is served after that, before or after the miss has filled the cache.
fn miss_while(miss: fn(&World), happens: impl Fn(&World) + Send + Sync + 'static) -> bool {
    finds_a_stale_read(move || {
        let world = World::new();
        let other = Arc::clone(&world);
        let filling = thread::spawn(move || miss(&other));
        happens(&world);
        let stale = world.serves_what_was();
        filling.join().unwrap();
        stale || world.serves_what_was()
    })
}

fn fill_against_evict(miss: fn(&World)) -> bool {
    miss_while(miss, |world| {
        world.row.store(0, SeqCst);
        world.cache().apply(&[change(1, InvalidationScope::Session(SESSION))]);
    })
}

#[test]
fn a_fill_during_an_invalidation_serves_no_ended_session() {
    assert!(!fill_against_evict(World::misses));
}

#[test]
fn wrong_order_noting_the_position_after_the_read_serves_an_ended_session() {
    assert!(fill_against_evict(World::misses_and_notes_afterwards));
}

#[test]
fn wrong_order_confirming_before_the_invalidation_serves_an_ended_session() {
    assert!(finds_a_stale_read(|| {
        let world = World::new();
        world.misses();
        let other = Arc::clone(&world);
        let following = thread::spawn(move || other.cache().apply(&[change(1, InvalidationScope::Session(SESSION))]));
        world.row.store(0, SeqCst);
        let stale = world.serves_what_was();
        following.join().unwrap();
        stale
    }));
}

/// The user changes their name while one request reads the row, and a second request reads it afterwards. Once the change is
/// confirmed, no request may see the old name, whichever fill comes last.
fn two_fills(miss: fn(&World)) -> bool {
    miss_while(miss, move |world| {
        world.row.store(2, SeqCst);
        world.cache().apply(&[change(1, InvalidationScope::User(USER))]);
        miss(world);
    })
}

#[test]
fn two_concurrent_fills_serve_no_old_name() {
    assert!(!two_fills(World::misses));
}

#[test]
fn wrong_order_two_fills_that_note_the_position_after_the_read_serve_an_old_name() {
    assert!(two_fills(World::misses_and_notes_afterwards));
}

/// A renewal was sent at 0, and its response arrives at any time. At 100 the node is evicted, so from then on sign-outs are
/// confirmed although nothing was invalidated in this cache.
fn lease_end_against_look_up(counted_from: fn(sent: u64, now: u64) -> u64) -> bool {
    finds_a_stale_read(move || {
        let world = World::new();
        world.misses();
        let clock = Arc::new(AtomicU64::new(50));
        let (other, its_clock) = (Arc::clone(&world), Arc::clone(&clock));
        let renewing = thread::spawn(move || {
            other.cache().renew(at(counted_from(0, its_clock.load(SeqCst))), LEASE);
        });
        clock.store(100, SeqCst);
        let stale = world.serves_what_was_at(clock.load(SeqCst));
        renewing.join().unwrap();
        stale || world.serves_what_was_at(clock.load(SeqCst))
    })
}

#[test]
fn a_look_up_during_the_end_of_a_lease_serves_no_ended_session() {
    assert!(!lease_end_against_look_up(|sent, _| sent));
}

#[test]
fn wrong_order_counting_a_lease_from_the_response_serves_an_ended_session() {
    assert!(lease_end_against_look_up(|_, now| now));
}

/// The node was evicted, and rejoins while a fill is under way.
fn rejoin_with_a_fill_under_way(miss: fn(&World)) -> bool {
    miss_while(miss, |world| {
        world.row.store(0, SeqCst);
        let cache = Cache::new(1);
        cache.renew(at(0), LEASE);
        *world.cache.lock().unwrap() = Arc::new(cache);
    })
}

#[test]
fn rejoining_during_a_fill_serves_no_ended_session() {
    assert!(!rejoin_with_a_fill_under_way(World::misses));
}

#[test]
fn wrong_order_filling_the_cache_of_the_next_membership_serves_an_ended_session() {
    assert!(rejoin_with_a_fill_under_way(World::misses_and_fills_another_cache));
}

//! Every interleaving of the session cache with itself, explored by loom: fill against evict, two fills, the end of a lease
//! against a look-up, joining anew with a fill under way. Beside each right order stand the wrong ones, which must be seen to
//! serve somebody who was signed out.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../../src/world.rs"]
mod world;

#[path = "../simulation/store.rs"]
mod store;

mod sessions;

use std::time::Duration;

use handstamp_core::{SessionIdHash, Timestamp, UserId};
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;

use sessions::{Cache, SessionKey};
use store::{Change, Position, Subject};
use world::Moment;

const LEASE: Duration = Duration::from_secs(100);
const SESSION: SessionIdHash = SessionIdHash::from_bytes([1; 32]);
const USER: UserId = UserId::from_uuid(uuid::Uuid::from_u128(2));
const KEY: SessionKey = SessionKey { id_hash: SESSION, user_id: USER, expires_at: Timestamp::from_unix_seconds(1_000) };

fn at(seconds: u64) -> Moment {
    Moment { wall: Duration::from_secs(seconds), uptime: Duration::from_secs(seconds) }
}

fn change(position: i64, subject: Subject) -> Change {
    Change { position: Position(position), subject }
}

/// The row of the session: the version of its user's name, or 0 once it is gone.
struct World {
    row: AtomicU64,
    cache: Mutex<Arc<Cache>>,
}

impl World {
    fn new() -> Arc<Self> {
        let cache = Cache::new(0);
        cache.renewed(at(0), LEASE);
        Arc::new(Self { row: AtomicU64::new(1), cache: Mutex::new(Arc::new(cache)) })
    }

    fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache.lock().unwrap())
    }

    /// A request that does not find the session in the cache.
    fn misses(&self) {
        let cache = self.cache();
        let noted = cache.position();
        self.fills(&cache, noted);
    }

    fn fills(&self, cache: &Cache, noted: Position) {
        let row = self.row.load(SeqCst);
        if row > 0 {
            cache.fill(noted, &KEY, row);
        }
    }

    /// A wrong order: the position is noted after the row was read.
    fn misses_and_notes_afterwards(&self) {
        let cache = self.cache();
        let row = self.row.load(SeqCst);
        if row > 0 {
            cache.fill(cache.position(), &KEY, row);
        }
    }

    /// A wrong order: the entry goes into whichever cache there is once the row was read.
    fn misses_and_fills_another_cache(&self) {
        let noted = self.cache().position();
        let row = self.row.load(SeqCst);
        if row > 0 {
            self.cache().fill(noted, &KEY, row);
        }
    }

    /// A request that begins after the change was answered: whether it is served by what was before.
    fn serves_what_was(&self) -> bool {
        self.serves_what_was_at(1)
    }

    fn serves_what_was_at(&self, seconds: u64) -> bool {
        self.cache().look_up(&KEY, at(seconds)) == Some(1)
    }
}

/// Whether any interleaving of the scene serves what was. A scene does not panic: loom cannot clean up after that.
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

/// A request misses while something happens to the session, which is answered when `happens` returns: whether what was
/// is served after that, before the request has filled the cache or afterwards.
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
        world.cache().apply(&[change(1, Subject::Session(SESSION))]);
    })
}

#[test]
fn a_fill_against_an_eviction() {
    assert!(!fill_against_evict(World::misses));
}

#[test]
fn wrong_a_position_noted_after_the_row_was_read() {
    assert!(fill_against_evict(World::misses_and_notes_afterwards));
}

#[test]
fn wrong_an_answer_before_the_eviction() {
    assert!(finds_a_stale_read(|| {
        let world = World::new();
        world.misses();
        let other = Arc::clone(&world);
        let following = thread::spawn(move || other.cache().apply(&[change(1, Subject::Session(SESSION))]));
        world.row.store(0, SeqCst);
        let stale = world.serves_what_was();
        following.join().unwrap();
        stale
    }));
}

/// The user takes another name while one request reads the row, and another request reads it then: once that is answered,
/// nobody sees the old name, whichever fill comes last.
fn two_fills(miss: fn(&World)) -> bool {
    miss_while(miss, move |world| {
        world.row.store(2, SeqCst);
        world.cache().apply(&[change(1, Subject::User(USER))]);
        miss(world);
    })
}

#[test]
fn two_fills_of_different_age() {
    assert!(!two_fills(World::misses));
}

#[test]
fn wrong_two_fills_that_note_the_position_afterwards() {
    assert!(two_fills(World::misses_and_notes_afterwards));
}

/// A renewal was sent at 0, and its answer comes whenever it does. At 100 the node is given up, so from then on whoever
/// signs out is answered though nothing was evicted here.
fn lease_end_against_look_up(counted_from: fn(sent: u64, now: u64) -> u64) -> bool {
    finds_a_stale_read(move || {
        let world = World::new();
        world.misses();
        let clock = Arc::new(AtomicU64::new(50));
        let (other, its_clock) = (Arc::clone(&world), Arc::clone(&clock));
        let renewing = thread::spawn(move || {
            other.cache().renewed(at(counted_from(0, its_clock.load(SeqCst))), LEASE);
        });
        clock.store(100, SeqCst);
        let stale = world.serves_what_was_at(clock.load(SeqCst));
        renewing.join().unwrap();
        stale || world.serves_what_was_at(clock.load(SeqCst))
    })
}

#[test]
fn the_end_of_a_lease_against_a_look_up() {
    assert!(!lease_end_against_look_up(|sent, _| sent));
}

#[test]
fn wrong_a_lease_that_is_counted_from_the_answer() {
    assert!(lease_end_against_look_up(|_, now| now));
}

/// The node was given up, and joins anew while a fill is under way.
fn rejoin_with_a_fill_under_way(miss: fn(&World)) -> bool {
    miss_while(miss, |world| {
        world.row.store(0, SeqCst);
        let cache = Cache::new(1);
        cache.renewed(at(0), LEASE);
        *world.cache.lock().unwrap() = Arc::new(cache);
    })
}

#[test]
fn joining_anew_with_a_fill_under_way() {
    assert!(!rejoin_with_a_fill_under_way(World::misses));
}

#[test]
fn wrong_a_fill_of_the_cache_that_came_after() {
    assert!(rejoin_with_a_fill_under_way(World::misses_and_fills_another_cache));
}

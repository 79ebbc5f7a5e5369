//! Tests of the cache, the lease and the node, one step after the other.
//!
//! Interleavings of the steps are tested in `tests/interleavings/` and `tests/simulation/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handstamp_core::{Authentication, SessionSecretHash, Timestamp, UserId};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::cache::{Cache, SessionKey};
use super::lease::Lease;
use super::node::{Node, NodeStatus};
use super::sync::Weighs;
use crate::environment::{ClockReading, Environment, ManualClock};
use crate::model::{LiveSession, SessionUser};
use crate::store::{Invalidation, InvalidationLog, InvalidationScope, NoLease, NodeId, NodeRow, Position, StaleRead};

const LEASE: Duration = Duration::from_secs(5);

impl Weighs for &'static str {}

fn at(wall: u64, monotonic: u64) -> ClockReading {
    ClockReading { wall: Duration::from_secs(wall), monotonic: Duration::from_secs(monotonic) }
}

fn key(number: u8) -> SessionKey {
    SessionKey {
        secret_hash: SessionSecretHash::from_bytes([number; 32]),
        user_id: UserId::from_uuid(Uuid::from_u64_pair(u64::from(number), u64::from(number))),
        expires_at: Timestamp::from_unix_seconds(2_000),
    }
}

/// A cache at position 0 with two sessions.
fn cache() -> Cache<&'static str> {
    let cache = Cache::new(Position(0), 100);
    cache.lease().renew(at(1_000, 0), LEASE);
    cache.insert(Position(0), &key(1), "Ada");
    cache.insert(Position(0), &key(2), "Bob");
    cache
}

fn known(cache: &Cache<&'static str>) -> Vec<&'static str> {
    [1, 2].into_iter().filter_map(|number| cache.look_up(&key(number), at(1_001, 1))).collect()
}

fn change(position: i64, scope: InvalidationScope) -> Invalidation {
    Invalidation { position: Position(position), scope }
}

#[test]
fn a_cache_holds_its_capacity_and_fewer_sessions_with_longer_names_and_groups() {
    let groups = vec!["g".repeat(64); 50].join(",");
    for (name, email, groups, most) in [
        ("Ada Lovelace".to_owned(), "ada.lovelace@example.com".to_owned(), String::new(), 10_000),
        ("\u{10400}".repeat(100), "a".repeat(254), String::new(), 10_000 / 6),
        ("\u{10400}".repeat(100), "a".repeat(254), groups, 10_000 / 31),
    ] {
        let cache = Cache::new(Position(0), 10_000);
        for number in 0..20_000 {
            let user_id = UserId::from_uuid(Uuid::from_u128(number));
            let user = SessionUser::new(user_id, &name, &email, &groups, Timestamp::from_unix_seconds(0));
            let id = [number.to_be_bytes(), number.to_be_bytes()].concat();
            let secret_hash = SessionSecretHash::from_bytes(id.try_into().unwrap());
            let expires_at = Timestamp::from_unix_seconds(2_000);
            let live = LiveSession {
                session_id: Uuid::nil(),
                authentication: Authentication::by_password(user.created_at),
                user,
            };
            cache.insert(Position(0), &SessionKey { secret_hash, user_id, expires_at }, live);
        }
        assert!(cache.len() <= most && cache.len() > most * 8 / 10, "{} and {} at most", cache.len(), most);
    }
}

#[test]
fn an_invalidation_removes_exactly_the_sessions_that_it_concerns() {
    for (subject, left) in [
        (InvalidationScope::Session(key(1).secret_hash), &["Bob"][..]),
        (InvalidationScope::User(key(1).user_id), &["Bob"]),
        (InvalidationScope::All, &[]),
        (InvalidationScope::Expired(Timestamp::from_unix_seconds(1_999)), &["Ada", "Bob"]),
        (InvalidationScope::Expired(Timestamp::from_unix_seconds(2_000)), &[]),
    ] {
        let cache = cache();
        assert_eq!(known(&cache), ["Ada", "Bob"]);
        assert!(cache.apply(&[change(1, subject)]));
        assert_eq!((known(&cache).as_slice(), cache.position()), (left, Position(1)), "{subject:?}");
    }
}

#[test]
fn an_invalidated_session_is_cached_again_only_from_a_later_read() {
    let cache = cache();
    assert!(cache.apply(&[change(1, InvalidationScope::User(key(1).user_id))]));
    cache.insert(Position(0), &key(1), "Ada");
    assert_eq!(known(&cache), ["Bob"], "a row that was read before the invalidation is ignored");
    cache.insert(Position(1), &key(1), "Augusta");
    assert_eq!(known(&cache), ["Augusta", "Bob"]);
}

#[test]
fn a_gap_in_the_invalidation_log_is_detected() {
    let cache = cache();
    let [one, two, three] = [1, 2, 3].map(|position| change(position, InvalidationScope::User(key(1).user_id)));
    assert!(!cache.apply(&[two]) && !cache.apply(&[one, three]));
    assert_eq!((known(&cache), cache.position()), (vec!["Ada", "Bob"], Position(0)), "nothing was applied");
    assert!(cache.apply(&[one, two]) && cache.apply(&[]) && cache.apply(&[three]));
    assert_eq!(cache.position(), Position(3));
}

#[test]
fn a_cache_without_a_lease_returns_no_session() {
    let cache = Cache::new(Position(0), 100);
    cache.insert(Position(0), &key(1), "Ada");
    assert_eq!(cache.look_up(&key(1), at(1_000, 0)), None);
}

#[test]
fn a_lease_ends_by_the_clock_that_has_advanced_further() {
    let lease = Lease::ended();
    assert!(!lease.holds(at(0, 0)));
    lease.renew(at(1_000, 10), LEASE);
    assert!(lease.holds(at(1_000, 10)) && lease.holds(at(1_004, 14)));
    assert!(!lease.holds(at(1_005, 15)));
    assert!(!lease.holds(at(1_005, 11)), "the monotonic clock stood still");
    assert!(!lease.holds(at(1_001, 15)), "the wall clock stood still");
    assert!(!lease.holds(at(0, 15)) && lease.holds(at(0, 14)), "the wall clock was set back");
    assert_eq!(lease.age(at(0, 13), LEASE), Duration::from_secs(3));
}

#[test]
fn a_renewal_that_is_processed_late_does_not_shorten_a_lease() {
    let lease = Lease::ended();
    lease.renew(at(1_000, 10), LEASE);
    lease.renew(at(1_000, 8), LEASE);
    assert!(lease.holds(at(1_000, 14)));
}

#[test]
fn a_clock_that_is_one_percent_slow_does_not_extend_a_lease() {
    let lease = Lease::ended();
    lease.renew(at(0, 0), Duration::from_secs(60));
    assert!(lease.holds(at(59, 59)));
    assert!(lease.remaining(at(0, 0)) <= Duration::from_secs(60) * 99 / 100);
}

/// An invalidation log that does not grow, of a database whose clock stands still. It counts the statements.
#[derive(Default)]
struct QuietLog {
    newest: AtomicI64,
    clock: Option<Duration>,
    /// Whether writes fail.
    fails: AtomicBool,
    may_be_superseded: bool,
    confirmations: AtomicU64,
    joins: AtomicU64,
    renewals: AtomicU64,
    readings: AtomicU64,
}

impl QuietLog {
    fn write(&self, counter: &AtomicU64) -> Result<Position, &'static str> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) { Err("it is read-only") } else { Ok(self.newest()) }
    }

    fn newest(&self) -> Position {
        Position(self.newest.load(Ordering::SeqCst))
    }
}

impl InvalidationLog for QuietLog {
    type Error = &'static str;

    async fn join(&self, _: NodeId, _: Duration) -> Result<Position, &'static str> {
        self.write(&self.joins)
    }

    async fn renew(&self, _: NodeId, _: Position) -> Result<Option<Position>, &'static str> {
        self.write(&self.renewals).map(Some)
    }

    async fn leave(&self, _: NodeId) -> Result<(), &'static str> {
        Ok(())
    }

    async fn invalidations_after(&self, _: Position) -> Result<Vec<Invalidation>, &'static str> {
        self.readings.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }

    async fn nodes(&self) -> Result<(Position, Vec<NodeRow>), &'static str> {
        Ok((self.newest(), Vec::new()))
    }

    async fn evict(&self, _: NodeRow) -> Result<(), &'static str> {
        Ok(())
    }

    async fn forget(&self, _: Position) -> Result<(), &'static str> {
        Ok(())
    }

    async fn clock(&self) -> Result<Option<Duration>, &'static str> {
        Ok(self.clock)
    }

    async fn confirm(&self) -> Result<Position, &'static str> {
        self.write(&self.confirmations)
    }

    fn may_be_superseded(&self) -> bool {
        self.may_be_superseded
    }

    async fn notify(&self) {}
}

/// A node of such a log at position 7. Its wall clock shows 1000 seconds, its monotonic clock 0.
fn node(capacity: usize, clock: Option<Duration>) -> Node<QuietLog, &'static str> {
    node_of(&Arc::new(QuietLog { newest: 7.into(), clock, ..QuietLog::default() }), capacity, Duration::from_secs(60))
}

fn node_of(log: &Arc<QuietLog>, capacity: usize, lease: Duration) -> Node<QuietLog, &'static str> {
    let wall = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
    Node::new(Arc::clone(log), Environment { clock: wall, ..Environment::system() }, lease, capacity)
}

/// Why a row is rejected.
#[derive(Debug, PartialEq)]
enum Refused {
    StaleRead,
    NoLease,
}

impl From<StaleRead> for Refused {
    fn from(_: StaleRead) -> Self {
        Self::StaleRead
    }
}

impl From<NoLease> for Refused {
    fn from(_: NoLease) -> Self {
        Self::NoLease
    }
}

async fn soon(is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(10), waited).await.expect("the condition becomes true in time");
}

/// Runs `act` while a node follows, and checks that the node stops when it is told to.
async fn while_following(node: &Node<QuietLog, &'static str>, act: impl Future<Output = ()>) {
    let told = async {
        node.wait_until_joined().await;
        act.await;
        node.stop();
    };
    let both = async { tokio::join!(node.run(), told) };
    timeout(Duration::from_secs(10), both).await.expect("it stops when it is told to");
}

#[tokio::test]
async fn a_row_behind_the_known_log_position_is_rejected() {
    let node = node(100, None);
    while_following(&node, async {
        for (position, counts) in [(6, false), (7, true), (8, true)] {
            let row = async { Ok::<_, Refused>(Some(("Ada", Position(position)))) };
            assert_eq!(node.read_through(&key(1), row).await.is_ok(), counts, "{position}");
        }
    })
    .await;
}

/// Reads the row of a session at this log position.
async fn read(node: &Node<QuietLog, &'static str>, position: i64) -> Result<Option<&'static str>, Refused> {
    node.read_through(&key(1), async { Ok(Some(("Ada", Position(position)))) }).await
}

#[tokio::test]
async fn a_node_without_a_lease_rejects_rows_where_another_server_may_lead() {
    for may_be_superseded in [true, false] {
        let log = Arc::new(QuietLog { newest: 7.into(), may_be_superseded, ..QuietLog::default() });
        let node = Node::new(Arc::clone(&log), Environment::system(), Duration::from_millis(300), 100);
        while_following(&node, async {
            assert_eq!(read(&node, 7).await, Ok(Some("Ada")));
            log.fails.store(true, Ordering::SeqCst);
            soon(|| matches!(node.status(), NodeStatus::Joined { lease_left, .. } if lease_left.is_zero())).await;
            let outcome = read(&node, 7).await;
            assert_eq!(outcome, if may_be_superseded { Err(Refused::NoLease) } else { Ok(Some("Ada")) });
            log.fails.store(false, Ordering::SeqCst);
            soon(|| matches!(node.status(), NodeStatus::Joined { lease_left, .. } if !lease_left.is_zero())).await;
            assert_eq!(read(&node, 7).await, Ok(Some("Ada")), "it recovers by itself");
        })
        .await;
    }
}

#[tokio::test]
async fn a_lease_that_lapsed_during_a_pause_is_renewed_before_the_row_is_read() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
    let log = Arc::new(QuietLog { newest: 7.into(), may_be_superseded: true, ..QuietLog::default() });
    let environment = Environment { clock: clock.clone(), ..Environment::system() };
    let node = Node::new(Arc::clone(&log), environment, Duration::from_secs(60), 100);
    while_following(&node, async {
        // As after a pause of the process, which its own timers do not notice.
        clock.advance(Duration::from_secs(61));
        assert!(matches!(node.status(), NodeStatus::Joined { lease_left, .. } if lease_left.is_zero()));
        let outcome = timeout(Duration::from_secs(5), read(&node, 7)).await.expect("it renews at once");
        assert_eq!(outcome, Ok(Some("Ada")));
        assert_eq!(log.renewals.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test]
async fn a_node_without_a_cache_has_the_leader_confirmed_for_each_row() {
    let log = Arc::new(QuietLog { newest: 7.into(), may_be_superseded: true, ..QuietLog::default() });
    let node = node_of(&log, 0, Duration::from_secs(60));
    assert_eq!(read(&node, 7).await, Ok(Some("Ada")));
    assert_eq!(read(&node, 6).await, Err(Refused::StaleRead), "the row of a server that lacks the last change");
    assert_eq!(log.confirmations.load(Ordering::SeqCst), 2);
    log.fails.store(true, Ordering::SeqCst);
    assert_eq!(read(&node, 7).await, Err(Refused::NoLease));
}

#[tokio::test]
async fn a_node_does_not_join_a_database_that_is_older_than_what_it_has_seen() {
    let log = Arc::new(QuietLog { newest: 7.into(), may_be_superseded: true, ..QuietLog::default() });
    for capacity in [100, 0] {
        log.newest.store(7, Ordering::SeqCst);
        let node = node_of(&log, capacity, Duration::from_secs(60));
        node.note_seen(Position(8));
        let told = async {
            // A node without a cache finds out when it reads a row.
            assert_eq!(read(&node, 8).await, Err(Refused::NoLease));
            node.database_put_back().await;
            assert!(!matches!(node.status(), NodeStatus::Joined { .. }));
            log.newest.store(9, Ordering::SeqCst);
            soon(|| capacity == 0 || matches!(node.status(), NodeStatus::Joined { .. })).await;
            assert_eq!(read(&node, 9).await, Ok(Some("Ada")));
            assert_eq!(node.seen(), Position(9));
            node.stop();
        };
        let both = async { tokio::join!(node.run(), told) };
        timeout(Duration::from_secs(10), both).await.expect("it goes on once the log has come further");
    }
}

#[tokio::test]
async fn a_server_that_lacks_a_change_cannot_confirm_its_propagation() {
    let log = Arc::new(QuietLog { newest: 7.into(), ..QuietLog::default() });
    let node = node_of(&log, 0, Duration::from_secs(60));
    assert!(node.wait_until_applied(Position(7)).await.is_ok(), "there is no node to wait for");
    assert!(node.wait_until_applied(Position(8)).await.is_err(), "it may lack the nodes too");
}

#[tokio::test]
async fn a_node_reports_its_membership_status() {
    assert!(matches!(node(0, None).status(), NodeStatus::CacheDisabled));
    let node = node(100, None);
    assert!(matches!(node.status(), NodeStatus::NotJoined));
    while_following(&node, async {
        assert!(matches!(node.status(), NodeStatus::Joined { position: Position(7), entries: 0, .. }));
        let row = async { Ok::<_, Refused>(Some(("Ada", Position(7)))) };
        assert!(node.read_through(&key(1), row).await.is_ok());
        assert!(matches!(node.status(), NodeStatus::Joined { entries: 1, .. }));
    })
    .await;
    assert!(matches!(node.status(), NodeStatus::NotJoined), "it has left");
}

#[tokio::test]
async fn nodes_agree_on_the_time_of_the_database() {
    for (clock, cluster_time) in [(None, 1_030), (Some(Duration::from_secs(5_000)), 5_030)] {
        let node = node(100, clock);
        while_following(&node, async {
            assert_eq!(node.cluster_time(at(1_030, 30)), Timestamp::from_unix_seconds(cluster_time));
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_renews_every_third_of_a_lease_and_reads_the_log_once_for_each_renewal() {
    let log = Arc::new(QuietLog { newest: 7.into(), ..QuietLog::default() });
    let node = node_of(&log, 100, Duration::from_millis(900));
    let begun = Instant::now();
    while_following(&node, async {
        soon(|| log.renewals.load(Ordering::SeqCst) >= 5).await;
        let lasted = begun.elapsed();
        assert!(lasted >= Duration::from_millis(1_350) && lasted < Duration::from_millis(3_600), "{lasted:?}");
        let (renewals, readings) = (log.renewals.load(Ordering::SeqCst), log.readings.load(Ordering::SeqCst));
        assert!(readings <= renewals + 1, "{readings} for {renewals}");
        assert_eq!(log.joins.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_has_missed_invalidations_rejoins() {
    let log = Arc::new(QuietLog { newest: 7.into(), ..QuietLog::default() });
    let node = node_of(&log, 100, Duration::from_millis(300));
    while_following(&node, async {
        log.newest.store(9, Ordering::SeqCst);
        soon(|| matches!(node.status(), NodeStatus::Joined { position: Position(9), .. })).await;
        assert_eq!(log.joins.load(Ordering::SeqCst), 2);
    })
    .await;
}

#[tokio::test]
async fn a_failing_node_retries_after_a_delay() {
    let log = Arc::new(QuietLog { newest: 7.into(), fails: true.into(), ..QuietLog::default() });
    let node = node_of(&log, 100, Duration::from_millis(300));
    let told = async {
        sleep(Duration::from_millis(400)).await;
        assert!((1..=10).contains(&log.joins.load(Ordering::SeqCst)), "{:?}", log.joins);
        log.fails.store(false, Ordering::SeqCst);
        soon(|| matches!(node.status(), NodeStatus::Joined { .. })).await;
        log.fails.store(true, Ordering::SeqCst);
        let before = log.renewals.load(Ordering::SeqCst);
        soon(|| log.renewals.load(Ordering::SeqCst) > before).await;
        sleep(Duration::from_millis(400)).await;
        let tried = log.renewals.load(Ordering::SeqCst) - before;
        assert!(tried <= 11, "{tried}");
        node.stop();
    };
    let both = async { tokio::join!(node.run(), told) };
    timeout(Duration::from_secs(20), both).await.expect("it stops when it is told to");
}

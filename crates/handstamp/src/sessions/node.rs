//! A node of the cluster: it joins, follows the invalidation log, renews its lease, and waits for changes to reach all nodes.
//!
//! `tests/lease_model.rs` checks the protocol, `tests/simulation/` this code.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use handstamp_core::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::cache::{Cache, SessionKey};
use super::sync::Weighs;
use super::watches::{Watch, Watches};
use crate::environment::{ClockReading, Environment};
use crate::events::Event;
use crate::store::{Invalidation, InvalidationLog, NoLease, NodeId, NodeRow, Position, PropagationUnknown, StaleRead};

/// The delay before the retry of a failed statement.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// The first and the longest interval at which a caller that waits for the other nodes reads their positions.
const FIRST_POLL_AFTER: Duration = Duration::from_millis(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The longest that such a caller waits for the database to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(2500);
/// The number of leases without a renewal after which a node is evicted even if no caller waits for it.
const EVICT_AFTER_LEASES: u32 = 12;

/// The longest that the node waits for the connections of a session that has ended, unless a third of a lease is less.
const WATCHES_TIMEOUT: Duration = Duration::from_secs(1);

/// One of the nodes that share a database.
pub(crate) struct Node<L: InvalidationLog, V: Clone + Weighs> {
    log: Arc<L>,
    environment: Environment,
    lease: Duration,
    /// How many sessions it caches. With 0 the node does not join, since no revocation has to wait for it.
    capacity: usize,
    /// The cache of the current membership. Each membership has its own.
    cache: ArcSwapOption<Cache<V>>,
    wake: Notify,
    joined: Notify,
    /// Notified after each attempt to join or to renew, successful or not.
    tried: Notify,
    /// Whether the last of these attempts failed.
    failing: AtomicBool,
    stopping: AtomicBool,
    /// By how many milliseconds the database's clock is ahead of this node's monotonic clock; negative while unknown.
    database_ahead: AtomicI64,
    heartbeats: Mutex<HeartbeatMonitor>,
    /// The lowest position that all nodes had applied, and when it was read. Shared by concurrent waiters for
    /// [`POLL_INTERVAL`]; not longer, because a restored database reuses positions.
    applied: tokio::sync::Mutex<(Position, Duration)>,
    /// The newest log position when the database last confirmed that it leads, and when that statement was sent. One
    /// statement serves all requests that came before it was sent.
    confirmed: tokio::sync::Mutex<Option<(Position, Duration)>>,
    watches: Watches,
    /// The highest log position that this node has seen, also before its start.
    seen: AtomicI64,
    /// Notified when the database turns out to be older than that.
    put_back: Notify,
}

/// Whether this node is still a member.
enum Membership {
    Active {
        /// Whether the lease was renewed just now.
        renewed: bool,
    },
    /// Another node has evicted this one, or this one has missed invalidations.
    Lost,
}

/// The membership status of a node, for health checks and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeStatus {
    /// The node caches nothing, so no revocation has to wait for it.
    CacheDisabled,
    /// The node has not joined yet, or was evicted and is rejoining.
    NotJoined,
    Joined {
        /// How much longer the lease lasts; zero when it has ended.
        lease_left: Duration,
        /// How long ago the last renewal was sent.
        lease_age: Duration,
        /// The position up to which it has applied the invalidation log.
        position: Position,
        /// How many sessions it caches.
        entries: usize,
    },
}

impl<L: InvalidationLog, V: Clone + Weighs + Send + Sync + 'static> Node<L, V> {
    pub(crate) fn new(log: Arc<L>, environment: Environment, lease: Duration, capacity: usize) -> Self {
        Self {
            log,
            environment,
            lease,
            capacity,
            cache: ArcSwapOption::empty(),
            wake: Notify::new(),
            joined: Notify::new(),
            tried: Notify::new(),
            failing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            database_ahead: AtomicI64::new(-1),
            heartbeats: Mutex::default(),
            applied: tokio::sync::Mutex::new((Position(0), Duration::ZERO)),
            confirmed: tokio::sync::Mutex::default(),
            watches: Watches::default(),
            seen: AtomicI64::new(0),
            put_back: Notify::new(),
        }
    }

    /// The watches of sessions by open connections.
    pub(crate) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// The highest log position that this node has seen.
    pub(crate) fn seen(&self) -> Position {
        Position(self.seen.load(Ordering::SeqCst))
    }

    /// Notes a log position that this node has seen.
    pub(crate) fn note_seen(&self, position: Position) {
        self.seen.fetch_max(position.0, Ordering::SeqCst);
    }

    /// Completes when the database turns out to be older than what this node has seen. The node does not join it, and trusts none of its
    /// rows where it needs a lease, until the log has come further.
    pub(crate) async fn database_put_back(&self) {
        self.put_back.notified().await;
    }

    /// Whether the database is older than what this node has seen: it was restored, or has lost what was committed.
    fn is_put_back(&self, newest: Position) -> bool {
        let is_put_back = newest < self.seen();
        if is_put_back {
            self.put_back.notify_one();
        } else {
            self.note_seen(newest);
        }
        is_put_back
    }

    /// Begins to watch a session.
    pub(crate) fn watch(&self, key: SessionKey) -> Arc<Watch> {
        self.watches.watch(key, self.needs_lease() || self.holds_lease())
    }

    /// Whether bytes may pass on a connection that watches a session: nothing is known of its end. A process that was paused finds
    /// its lease ended here before any timer can tell it. A doubt stops no bytes, as the node waits until it is settled, unless the
    /// node has waited in vain.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn may_pass(&self, watch: &Watch) -> bool {
        !watch.has_ended() && !watch.is_overdue() && (!watch.is_under_lease || self.holds_lease())
    }

    /// Whether rows count only under a lease, since another server may lead.
    fn needs_lease(&self) -> bool {
        self.capacity > 0 && self.log.may_be_superseded()
    }

    pub(super) fn clock_reading(&self) -> ClockReading {
        self.environment.clock_reading()
    }

    /// The session, if it is cached as live. Sends no statement.
    pub(crate) fn look_up(&self, key: &SessionKey, now: ClockReading) -> Option<V> {
        self.cache.load().as_ref()?.look_up(key, now)
    }

    /// The cluster time, on which all nodes agree whatever their wall clocks show: the database's, once it is known.
    pub(crate) fn cluster_time(&self, now: ClockReading) -> Timestamp {
        Timestamp::from_unix_seconds(self.cluster_clock(now).as_secs())
    }

    /// The same with its fraction of a second, since the Unix epoch.
    pub(crate) fn cluster_clock(&self, now: ClockReading) -> Duration {
        let ahead = u64::try_from(self.database_ahead.load(Ordering::SeqCst)).ok();
        ahead.map_or(now.wall, |ahead| now.monotonic + Duration::from_millis(ahead))
    }

    /// Reads the row of a session and caches it for the next look-up. `read` is polled only after the position was noted; it
    /// returns the newest log position together with the row.
    ///
    /// # Errors
    /// Those of `read`, [`NoLease`] and [`StaleRead`].
    pub(crate) async fn read_through<E: From<NoLease> + From<StaleRead>>(
        &self,
        key: &SessionKey,
        read: impl Future<Output = Result<Option<(V, Position)>, E>>,
    ) -> Result<Option<V>, E> {
        let confirmed = self.confirmed_position().await?;
        let cache = self.cache.load_full();
        let read_position = cache.as_ref().map(|cache| cache.position());
        let Some((value, position)) = read.await? else { return Ok(None) };
        if Some(position) < read_position.max(confirmed) {
            return Err(StaleRead.into());
        }
        if let (Some(cache), Some(read_position)) = (cache, read_position)
            && cache.lease().holds(self.environment.clock_reading())
        {
            cache.insert(read_position, key, value.clone());
        }
        Ok(Some(value))
    }

    /// Makes sure that the leader answers before a row is trusted, where a deposed leader might answer reads. A member relies
    /// on its lease. A node without a cache commits a statement, which returns the newest log position.
    async fn confirmed_position(&self) -> Result<Option<Position>, NoLease> {
        match self.log.may_be_superseded() {
            false => Ok(None),
            true if self.capacity > 0 => self.wait_for_lease().await.map(|()| None),
            true => timeout(ANSWER_TIMEOUT, self.confirm()).await.unwrap_or(Err(NoLease)).map(Some),
        }
    }

    async fn confirm(&self) -> Result<Position, NoLease> {
        let asked = self.environment.clock_reading().monotonic;
        let mut confirmed = self.confirmed.lock().await;
        if let Some((position, sent)) = *confirmed
            && sent > asked
        {
            return Ok(position);
        }
        let sent = self.environment.clock_reading().monotonic;
        let position = self.log.confirm().await.map_err(|error| {
            tracing::debug!(%error, "the database did not confirm that it leads");
            NoLease
        })?;
        if self.is_put_back(position) {
            return Err(NoLease);
        }
        *confirmed = Some((position, sent));
        Ok(position)
    }

    /// Returns as soon as the lease holds. If it has lapsed without a failure, as after a pause of the process, this waits for
    /// the renewal that is due. If renewals fail, it returns [`NoLease`] at once.
    async fn wait_for_lease(&self) -> Result<(), NoLease> {
        let renewed = async {
            loop {
                let mut tried = pin!(self.tried.notified());
                tried.as_mut().enable();
                if self.holds_lease() {
                    return Ok(());
                }
                if self.failing.load(Ordering::SeqCst) {
                    return Err(NoLease);
                }
                self.wake();
                tried.await;
            }
        };
        timeout(ANSWER_TIMEOUT, renewed).await.unwrap_or(Err(NoLease))
    }

    fn holds_lease(&self) -> bool {
        self.cache.load().as_ref().is_some_and(|cache| cache.lease().holds(self.environment.clock_reading()))
    }

    /// Records the outcome of an attempt to join or to renew and notifies its waiters. Returns whether the previous attempt
    /// had failed.
    fn record_attempt(&self, failed: bool) -> bool {
        let failed_before = self.failing.swap(failed, Ordering::SeqCst);
        self.tried.notify_waiters();
        failed_before
    }

    /// Makes the node read the invalidation log now, since it may have grown.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until the node has joined for the first time, but no longer than a lease.
    pub(crate) async fn wait_until_joined(&self) {
        if self.capacity > 0 {
            let _ = timeout(self.lease, self.joined.notified()).await;
        }
    }

    /// Makes [`follow`](Self::run) leave the cluster and return.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn status(&self) -> NodeStatus {
        match self.cache.load_full() {
            _ if self.capacity == 0 => NodeStatus::CacheDisabled,
            None => NodeStatus::NotJoined,
            Some(cache) => {
                let (now, lease) = (self.environment.clock_reading(), cache.lease());
                let (lease_left, lease_age) = (lease.remaining(now), lease.age(now, self.lease));
                NodeStatus::Joined { lease_left, lease_age, position: cache.position(), entries: cache.len() }
            }
        }
    }

    /// Keeps this node a member until it is told to stop, through any failure of the database. Without a cache it only
    /// follows the database's clock.
    pub(crate) async fn run(&self) {
        tokio::select! {
            biased;
            () = self.end_watches_with_the_lease() => {}
            () = self.run_memberships() => {}
        }
    }

    /// Ends the watches of open connections whenever the lease ends. It does so before another node can evict this one, and so
    /// before a sign-out is confirmed without it.
    async fn end_watches_with_the_lease(&self) {
        loop {
            let mut tried = pin!(self.tried.notified());
            tried.as_mut().enable();
            let now = self.environment.clock_reading();
            let left = self.cache.load().as_ref().map_or(Duration::ZERO, |cache| cache.lease().remaining(now));
            if left.is_zero() {
                self.watches.end_with_the_lease();
                tried.await;
            } else {
                sleep(left).await;
            }
        }
    }

    async fn run_memberships(&self) {
        let mut before = None;
        while !self.is_stopping() {
            if let Err(reason) = self.with_timeout(self.sync_clock()).await {
                tracing::debug!(%reason, "the database's clock could not be read");
            }
            if self.capacity == 0 {
                self.wait(Instant::now() + self.lease / 3).await;
                continue;
            }
            let id = NodeId(Uuid::from_bytes(self.environment.random()));
            let joined = self.join(id, before).await;
            before = Some(id);
            match joined {
                Ok(cache) => {
                    self.record_attempt(false);
                    self.run_membership(id, &cache).await;
                    self.cache.store(None);
                    self.watches.end_with_the_lease();
                }
                Err(reason) => {
                    if !self.record_attempt(true) {
                        Event::NodeNotJoined { reason: &reason }.record();
                    }
                    self.wait(Instant::now() + RETRY_INTERVAL).await;
                }
            }
        }
        self.record_attempt(true);
        let watched = self.watches.end_all();
        self.wait_for_watches(&watched).await;
        if let Some(id) = before
            && let Err(reason) = self.with_timeout(self.log.leave(id)).await
        {
            Event::NodeNotLeft { reason: &reason }.record();
        }
    }

    /// Joins with a new, empty cache. The row of the previous membership is deleted first, so that no revocation waits for it.
    async fn join(&self, id: NodeId, before: Option<NodeId>) -> Result<Arc<Cache<V>>, String> {
        if let Some(before) = before {
            self.with_timeout(self.log.leave(before)).await?;
        }
        let sent = self.environment.clock_reading();
        let position = self.with_timeout(self.log.join(id, self.lease)).await?;
        if self.is_put_back(position) {
            return Err("the database is older than what this node has seen".to_owned());
        }
        let cache = Arc::new(Cache::new(position, self.capacity));
        cache.lease().renew(sent, self.lease);
        self.cache.store(Some(Arc::clone(&cache)));
        self.watches.doubt_all();
        self.joined.notify_one();
        tracing::debug!(event = "node_joined", node = %id.0, position = position.0, "caching sessions");
        Ok(cache)
    }

    /// Follows the log and renews until another node evicts this one, it has missed invalidations, or it is told to stop.
    async fn run_membership(&self, id: NodeId, cache: &Cache<V>) {
        let mut renew_at = Instant::now() + self.lease / 3;
        let mut truncated = cache.position();
        loop {
            self.wait(renew_at).await;
            if self.is_stopping() {
                return;
            }
            // A lapsed lease is renewed at once, since requests may be waiting for it.
            let due = Instant::now() >= renew_at || !cache.lease().holds(self.environment.clock_reading());
            match self.follow_and_renew(id, cache, due).await {
                Ok(Membership::Lost) => {
                    Event::LeaseLost { node: &id.0 }.record();
                    return;
                }
                Ok(Membership::Active { renewed }) => {
                    // A deposed leader may answer that the log has not grown, so only a renewal ends a failure.
                    if renewed && self.record_attempt(false) {
                        Event::LeaseRenewed { node: &id.0 }.record();
                    }
                    if due {
                        renew_at = Instant::now() + self.lease / 3;
                        match self.with_timeout(self.maintain_cluster(truncated)).await {
                            Ok(position) => truncated = position,
                            Err(reason) => tracing::debug!(%reason, "the other nodes could not be observed"),
                        }
                    }
                }
                Err(reason) => {
                    if !self.record_attempt(true) {
                        Event::LeaseNotRenewed { node: &id.0, reason: &reason }.record();
                    }
                    renew_at = Instant::now() + RETRY_INTERVAL;
                }
            }
        }
    }

    /// Applies new invalidations and reports the position by renewing. If there are none, it renews only where that is due.
    async fn follow_and_renew(&self, id: NodeId, cache: &Cache<V>, due: bool) -> Result<Membership, String> {
        let mut newest = cache.position();
        let mut renewed = false;
        loop {
            let changes = self.with_timeout(self.log.invalidations_after(cache.position())).await?;
            let gap = changes.is_empty() && newest != cache.position();
            if gap || !cache.apply(&changes) {
                return Ok(Membership::Lost);
            }
            if changes.is_empty() && (renewed || !due) {
                return Ok(Membership::Active { renewed });
            }
            self.tell_watches(&changes).await;
            let sent = self.environment.clock_reading();
            match self.with_timeout(self.log.renew(id, cache.position())).await? {
                Some(position) => newest = position,
                None => return Ok(Membership::Lost),
            }
            if newest < cache.position() {
                return Ok(Membership::Lost);
            }
            self.note_seen(newest);
            cache.lease().renew(sent, self.lease);
            renewed = true;
            if newest == cache.position() {
                return Ok(Membership::Active { renewed });
            }
        }
    }

    /// Tells the connections of sessions that have ended, and waits until they are closed: after the invalidations are applied,
    /// and before they are reported as applied.
    async fn tell_watches(&self, changes: &[Invalidation]) {
        let told = self.watches.tell(changes);
        self.wait_for_watches(&told).await;
    }

    async fn wait_for_watches(&self, told: &[Arc<Watch>]) {
        if told.is_empty() {
            return;
        }
        let overdue = self.watches.wait_until_settled(told, WATCHES_TIMEOUT.min(self.lease / 3)).await;
        if overdue > 0 {
            Event::SessionHoldOverdue { connections: overdue }.record();
        }
    }

    /// Reads the database's clock, so that nodes agree on the time whatever their own clocks show.
    async fn sync_clock(&self) -> Result<(), L::Error> {
        if let Some(clock) = self.log.clock().await? {
            let ahead = clock.saturating_sub(self.environment.clock_reading().monotonic);
            self.database_ahead.store(i64::try_from(ahead.as_millis()).unwrap_or(-1), Ordering::SeqCst);
        }
        Ok(())
    }

    /// Reads the database's clock, observes the other nodes, evicts those that are long gone, and deletes the invalidations
    /// that no node needs any more. Those up to `truncated` are deleted already.
    async fn maintain_cluster(&self, truncated: Position) -> Result<Position, L::Error> {
        self.sync_clock().await?;
        let (_, rows) = self.log.nodes().await?;
        self.record_heartbeats(&rows);
        for row in rows.iter().filter(|row| self.is_expired(row, EVICT_AFTER_LEASES)) {
            Event::NodeForgotten { node: &row.id.0 }.record();
            self.log.evict(*row).await?;
        }
        let needed = rows.iter().map(|row| row.position).min().unwrap_or(truncated);
        if needed > truncated {
            self.log.forget(needed).await?;
        }
        Ok(needed.max(truncated))
    }

    /// Waits until every node has applied the invalidation at this position.
    ///
    /// # Errors
    /// When the positions of the nodes cannot be read from the database.
    pub(crate) async fn wait_until_applied(&self, position: Position) -> Result<(), PropagationUnknown> {
        self.wake();
        self.log.notify().await;
        let mut poll_after = FIRST_POLL_AFTER;
        // The task that holds the lock may wait for a database that does not answer, and many tasks may queue for the lock.
        while !timeout(ANSWER_TIMEOUT, self.is_applied(position))
            .await
            .map_err(|_| PropagationUnknown("no answer in time".to_owned()))??
        {
            sleep(poll_after).await;
            poll_after = (poll_after * 2).min(POLL_INTERVAL);
        }
        Ok(())
    }

    async fn is_applied(&self, position: Position) -> Result<bool, PropagationUnknown> {
        let fault = |error: L::Error| PropagationUnknown(error.to_string());
        let mut applied = self.applied.lock().await;
        let (found, when) = *applied;
        if found >= position && self.environment.clock_reading().monotonic < when + POLL_INTERVAL {
            return Ok(true);
        }
        let (newest, rows) = self.log.nodes().await.map_err(fault)?;
        if newest < position {
            return Err(PropagationUnknown("the server that answered no longer leads".to_owned()));
        }
        self.record_heartbeats(&rows);
        for row in rows.iter().filter(|row| row.position < position && self.is_expired(row, 1)) {
            Event::NodeEvicted { node: &row.id.0 }.record();
            self.log.evict(*row).await.map_err(fault)?;
        }
        let found = rows.iter().map(|row| row.position).min().unwrap_or(position);
        *applied = (found, self.environment.clock_reading().monotonic);
        Ok(found >= position)
    }

    /// For how long this node has seen no renewal of each of these leases.
    pub(crate) fn silences_of(&self, rows: &[NodeRow]) -> Vec<Duration> {
        self.record_heartbeats(rows);
        let now = self.environment.clock_reading().monotonic;
        let heartbeats = self.heartbeats.lock().expect("nothing panics while it holds the watch");
        rows.iter().map(|row| heartbeats.silence_of(row, now)).collect()
    }

    fn record_heartbeats(&self, rows: &[NodeRow]) {
        self.heartbeats
            .lock()
            .expect("nothing panics while it holds the watch")
            .record(rows, self.environment.clock_reading().monotonic);
    }

    fn is_expired(&self, row: &NodeRow, leases: u32) -> bool {
        let now = self.environment.clock_reading().monotonic;
        self.heartbeats.lock().expect("nothing panics while it holds the watch").is_expired(
            row,
            row.lease * leases,
            now,
        )
    }

    /// Limits a statement to a third of a lease, the interval of renewals: so at least two are sent before a lease ends.
    async fn with_timeout<T>(&self, statement: impl Future<Output = Result<T, L::Error>>) -> Result<T, String> {
        match timeout(self.lease / 3, statement).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn wait(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.wake.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Since when the row of each node has not been renewed, as observed by this node. It needs no clock but this node's.
#[derive(Default)]
struct HeartbeatMonitor(BTreeMap<NodeId, (i64, Duration)>);

impl HeartbeatMonitor {
    /// Records the rows that were received at `now`, and forgets nodes whose row is gone.
    fn record(&mut self, rows: &[NodeRow], now: Duration) {
        let before = std::mem::take(&mut self.0);
        for row in rows {
            let since = match before.get(&row.id) {
                Some((renewals, since)) if *renewals == row.renewals => *since,
                _ => now,
            };
            self.0.insert(row.id, (row.renewals, since));
        }
    }

    /// For how long the row has not been renewed, as far as it is known.
    fn silence_of(&self, row: &NodeRow, now: Duration) -> Duration {
        self.0.get(&row.id).map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since))
    }

    /// Whether the row is known not to have been renewed for `duration`.
    fn is_expired(&self, row: &NodeRow, duration: Duration, now: Duration) -> bool {
        self.0.get(&row.id).is_some_and(|(renewals, since)| *renewals == row.renewals && now >= *since + duration)
    }
}

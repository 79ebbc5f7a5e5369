//! A node: it joins, follows the log of changes, renews its lease, and waits for the other nodes on behalf of whoever has
//! changed something. `tests/lease_model.rs` checks the protocol, `tests/simulation/` this code.

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
use crate::log;
use crate::store::{ChangeLog, NodeId, NodeRow, Position};
use crate::world::{Moment, World};

/// How long to wait after a statement failed.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How soon, and how seldom, whoever waits for the other nodes asks whether they have come so far.
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest that they wait for the database to answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);
/// After how many leases without a renewal a node is given up that nobody waits for.
const GONE_AFTER_LEASES: u32 = 12;

/// A node of all those that share a database.
pub(crate) struct Node<L: ChangeLog, V: Clone + Weighs> {
    log: Arc<L>,
    world: World,
    lease: Duration,
    /// How many sessions it caches; none, and it is no member: there is nothing that anybody would have to wait for.
    capacity: usize,
    /// The cache of this membership. Another membership has another.
    cache: ArcSwapOption<Cache<V>>,
    wake: Notify,
    joined: Notify,
    /// Told after each attempt to join or to renew, whatever came of it.
    tried: Notify,
    /// Whether the last of these attempts failed.
    failing: AtomicBool,
    stopping: AtomicBool,
    /// By how many milliseconds the database's clock is ahead of the one here that nobody sets; negative while unknown.
    database_ahead: AtomicI64,
    watch: Mutex<Watch>,
    /// Up to where everything was found to be in force everywhere, and when. Whoever asks the database asks for all who
    /// wait; but not for longer, since a database that was restored gives positions again.
    in_force: tokio::sync::Mutex<(Position, Duration)>,
    /// How far the log had come when the database last confirmed that it leads, and when it was asked. One question serves all
    /// who asked before it was sent.
    confirmed: tokio::sync::Mutex<Option<(Position, Duration)>>,
}

/// The database knows less than it did: a leader that was given up and has come back, or a standby that leads and lacks
/// what was answered. What it says of a session may have been undone.
#[derive(Debug)]
pub(crate) struct Outdated;

/// This node does not hold its lease, and the database may be one that no longer leads: what it says of a session is no
/// authority.
#[derive(Debug)]
pub(crate) struct NoLease;

/// What was changed is done, but some node may not know it yet.
#[derive(Debug)]
pub(crate) struct NotInForce(pub(crate) String);

/// Whether the row of a node is still there.
enum Membership {
    Lasts {
        /// Whether the database has confirmed that just now.
        renewed: bool,
    },
    /// Somebody has given us up, or we have missed changes.
    Lost,
}

/// How a node stands, for whoever looks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It caches nothing, so nobody has to wait for it.
    NoCache,
    /// It has not joined yet, or was given up and joins anew.
    Outside,
    Member {
        /// How much longer the lease lasts; nothing when it has ended.
        lease_left: Duration,
        /// How long ago the last renewal was sent.
        lease_age: Duration,
        /// Up to where it has followed the log of changes.
        position: Position,
        /// How many sessions it caches.
        entries: usize,
    },
}

impl<L: ChangeLog, V: Clone + Weighs + Send + Sync + 'static> Node<L, V> {
    pub(crate) fn new(log: Arc<L>, world: World, lease: Duration, capacity: usize) -> Self {
        Self {
            log,
            world,
            lease,
            capacity,
            cache: ArcSwapOption::empty(),
            wake: Notify::new(),
            joined: Notify::new(),
            tried: Notify::new(),
            failing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            database_ahead: AtomicI64::new(-1),
            watch: Mutex::default(),
            in_force: tokio::sync::Mutex::new((Position(0), Duration::ZERO)),
            confirmed: tokio::sync::Mutex::default(),
        }
    }

    /// The session, if it is known to be live: no statement.
    pub(crate) fn look_up(&self, key: &SessionKey, now: Moment) -> Option<V> {
        self.cache.load().as_ref()?.look_up(key, now)
    }

    /// The time on which all nodes agree, however their clocks on the wall are set: the database's, once it is known.
    pub(crate) fn agreed(&self, now: Moment) -> Timestamp {
        let ahead = u64::try_from(self.database_ahead.load(Ordering::SeqCst)).ok();
        let database = ahead.map(|ahead| now.uptime + Duration::from_millis(ahead));
        database.map_or(now.timestamp(), |clock| Timestamp::from_unix_seconds(clock.as_secs()))
    }

    /// The session as its row says, which is kept for the next look-up. `read` is begun after the position was noted, and
    /// tells how far the log had come with the row.
    ///
    /// # Errors
    /// Those of the reading, [`NoLease`] and [`Outdated`].
    pub(crate) async fn read_through<E: From<NoLease> + From<Outdated>>(
        &self,
        key: &SessionKey,
        read: impl Future<Output = Result<Option<(V, Position)>, E>>,
    ) -> Result<Option<V>, E> {
        let confirmed = self.confirmed_position().await?;
        let cache = self.cache.load_full();
        let noted = cache.as_ref().map(|cache| cache.position());
        let Some((value, position)) = read.await? else { return Ok(None) };
        if Some(position) < noted.max(confirmed) {
            return Err(Outdated.into());
        }
        if let (Some(cache), Some(noted)) = (cache, noted)
            && cache.lease().holds(self.world.moment())
        {
            cache.fill(noted, key, value.clone());
        }
        Ok(Some(value))
    }

    /// Sees that the leader is heard before a row is believed, where another server might answer: a member by its lease, and a
    /// node without a cache by a commit, which tells how far the log has come.
    async fn confirmed_position(&self) -> Result<Option<Position>, NoLease> {
        match self.log.may_be_superseded() {
            false => Ok(None),
            true if self.capacity > 0 => self.lease_or_refusal().await.map(|()| None),
            true => timeout(ANSWER_WITHIN, self.confirm()).await.unwrap_or(Err(NoLease)).map(Some),
        }
    }

    async fn confirm(&self) -> Result<Position, NoLease> {
        let asked = self.world.moment().uptime;
        let mut confirmed = self.confirmed.lock().await;
        if let Some((position, sent)) = *confirmed
            && sent > asked
        {
            return Ok(position);
        }
        let sent = self.world.moment().uptime;
        let position = self.log.confirm().await.map_err(|error| {
            tracing::debug!(%error, "the database does not confirm that it leads");
            NoLease
        })?;
        *confirmed = Some((position, sent));
        Ok(position)
    }

    /// Returns while the lease holds. Where it has lapsed without a failure, as after a pause of the process, it waits for the
    /// renewal that is due; where renewals fail, it refuses at once.
    async fn lease_or_refusal(&self) -> Result<(), NoLease> {
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
        timeout(ANSWER_WITHIN, renewed).await.unwrap_or(Err(NoLease))
    }

    fn holds_lease(&self) -> bool {
        self.cache.load().as_ref().is_some_and(|cache| cache.lease().holds(self.world.moment()))
    }

    /// Notes what came of an attempt to join or to renew, for those who wait for it. Gives whether the one before had failed.
    fn attempted(&self, failed: bool) -> bool {
        let failed_before = self.failing.swap(failed, Ordering::SeqCst);
        self.tried.notify_waiters();
        failed_before
    }

    /// Something may have changed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until it is a member for the first time, but no longer than a lease.
    pub(crate) async fn joined(&self) {
        if self.capacity > 0 {
            let _ = timeout(self.lease, self.joined.notified()).await;
        }
    }

    /// Makes [`follow`](Self::follow) leave and return.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.cache.load_full() {
            _ if self.capacity == 0 => Standing::NoCache,
            None => Standing::Outside,
            Some(cache) => {
                let (now, lease) = (self.world.moment(), cache.lease());
                let (lease_left, lease_age) = (lease.left(now), lease.age(now, self.lease));
                Standing::Member { lease_left, lease_age, position: cache.position(), entries: cache.len() }
            }
        }
    }

    /// Is a member until told to stop, whatever happens to the database; without a cache it only keeps to the time.
    pub(crate) async fn follow(&self) {
        let mut before = None;
        while !self.is_stopping() {
            if let Err(reason) = self.ask(self.look_at_the_clock()).await {
                tracing::debug!(%reason, "the database's clock is not known");
            }
            if self.capacity == 0 {
                self.pause(Instant::now() + self.lease / 3).await;
                continue;
            }
            let id = NodeId(Uuid::from_bytes(self.world.random()));
            let joined = self.join(id, before).await;
            before = Some(id);
            match joined {
                Ok(cache) => {
                    self.attempted(false);
                    self.stay(id, &cache).await;
                    self.cache.store(None);
                }
                Err(reason) => {
                    if !self.attempted(true) {
                        log::warn!(event = "node_not_joined", %reason, "this node holds no lease, and caches no session");
                    }
                    self.pause(Instant::now() + AGAIN_AFTER).await;
                }
            }
        }
        self.attempted(true);
        if let Some(id) = before
            && let Err(reason) = self.ask(self.log.leave(id)).await
        {
            log::warn!(event = "node_not_left", %reason, "sign-outs elsewhere may wait for this node's lease");
        }
    }

    /// Becomes a member, with a cache of its own that is empty. Of the membership before, no row is left to wait for.
    async fn join(&self, id: NodeId, before: Option<NodeId>) -> Result<Arc<Cache<V>>, String> {
        if let Some(before) = before {
            self.ask(self.log.leave(before)).await?;
        }
        let sent = self.world.moment();
        let position = self.ask(self.log.join(id, self.lease)).await?;
        let cache = Arc::new(Cache::new(position, self.capacity));
        cache.lease().renewed(sent, self.lease);
        self.cache.store(Some(Arc::clone(&cache)));
        self.joined.notify_one();
        tracing::debug!(event = "node_joined", node = %id.0, position = position.0, "caching sessions");
        Ok(cache)
    }

    /// Follows and renews until somebody has given this node up, it has missed changes, or it is told to stop.
    async fn stay(&self, id: NodeId, cache: &Cache<V>) {
        let mut renew_at = Instant::now() + self.lease / 3;
        let mut forgotten = cache.position();
        loop {
            self.pause(renew_at).await;
            if self.is_stopping() {
                return;
            }
            // A lease that has lapsed is due whatever was planned: requests may be waiting for it.
            let due = Instant::now() >= renew_at || !cache.lease().holds(self.world.moment());
            match self.follow_and_renew(id, cache, due).await {
                Ok(Membership::Lost) => {
                    log::info!(event = "lease_lost", node = %id.0, "joining anew with an empty cache");
                    return;
                }
                Ok(Membership::Lasts { renewed }) => {
                    // That nothing has changed may be the word of a server that no longer leads: only a renewal ends a failure.
                    if renewed && self.attempted(false) {
                        log::info!(event = "lease_renewed", node = %id.0, "the database answers again");
                    }
                    if due {
                        renew_at = Instant::now() + self.lease / 3;
                        match self.ask(self.look_around(forgotten)).await {
                            Ok(position) => forgotten = position,
                            Err(reason) => tracing::debug!(%reason, "the other nodes could not be looked after"),
                        }
                    }
                }
                Err(reason) => {
                    if !self.attempted(true) {
                        log::warn!(event = "lease_not_renewed", node = %id.0, %reason, "trying again");
                    }
                    renew_at = Instant::now() + AGAIN_AFTER;
                }
            }
        }
    }

    /// Evicts what has changed and reports that by renewing; if nothing has changed, it renews where that is due.
    async fn follow_and_renew(&self, id: NodeId, cache: &Cache<V>, due: bool) -> Result<Membership, String> {
        let mut newest = cache.position();
        let mut renewed = false;
        loop {
            let changes = self.ask(self.log.changes_after(cache.position())).await?;
            let gap = changes.is_empty() && newest != cache.position();
            if gap || !cache.apply(&changes) {
                return Ok(Membership::Lost);
            }
            if changes.is_empty() && (renewed || !due) {
                return Ok(Membership::Lasts { renewed });
            }
            let sent = self.world.moment();
            match self.ask(self.log.renew(id, cache.position())).await? {
                Some(position) => newest = position,
                None => return Ok(Membership::Lost),
            }
            cache.lease().renewed(sent, self.lease);
            renewed = true;
            if newest == cache.position() {
                return Ok(Membership::Lasts { renewed });
            }
        }
    }

    /// Takes the time from the database, so that nodes agree on it however their clocks are set.
    async fn look_at_the_clock(&self) -> Result<(), L::Error> {
        if let Some(clock) = self.log.clock().await? {
            let ahead = clock.saturating_sub(self.world.moment().uptime);
            self.database_ahead.store(i64::try_from(ahead.as_millis()).unwrap_or(-1), Ordering::SeqCst);
        }
        Ok(())
    }

    /// Looks at the clock, watches the other nodes, gives up those that are long gone, and forgets the changes that nobody
    /// needs any more, beyond those up to `forgotten`.
    async fn look_around(&self, forgotten: Position) -> Result<Position, L::Error> {
        self.look_at_the_clock().await?;
        let (_, rows) = self.log.nodes().await?;
        self.note(&rows);
        for row in rows.iter().filter(|row| self.is_silent(row, GONE_AFTER_LEASES)) {
            log::info!(event = "node_given_up", node = %row.id.0, "a node has been gone for long");
            self.log.give_up(*row).await?;
        }
        let needed = rows.iter().map(|row| row.position).min().unwrap_or(forgotten);
        if needed > forgotten {
            self.log.forget(needed).await?;
        }
        Ok(needed.max(forgotten))
    }

    /// Waits until the change at this position is in force on every node.
    ///
    /// # Errors
    /// When the database cannot be asked for that.
    pub(crate) async fn in_force(&self, position: Position) -> Result<(), NotInForce> {
        self.wake();
        self.log.announce().await;
        let mut look_after = FIRST_LOOK_AFTER;
        // Whoever holds the lock may be waiting for a database that does not answer, and many may stand behind them.
        while !timeout(ANSWER_WITHIN, self.is_in_force(position))
            .await
            .map_err(|_| NotInForce("no answer in time".to_owned()))??
        {
            sleep(look_after).await;
            look_after = (look_after * 2).min(LOOK_EVERY);
        }
        Ok(())
    }

    async fn is_in_force(&self, position: Position) -> Result<bool, NotInForce> {
        let fault = |error: L::Error| NotInForce(error.to_string());
        let mut in_force = self.in_force.lock().await;
        let (found, when) = *in_force;
        if found >= position && self.world.moment().uptime < when + LOOK_EVERY {
            return Ok(true);
        }
        let (newest, rows) = self.log.nodes().await.map_err(fault)?;
        if newest < position {
            return Err(NotInForce("the server that was asked for the nodes no longer leads".to_owned()));
        }
        self.note(&rows);
        for row in rows.iter().filter(|row| row.position < position && self.is_silent(row, 1)) {
            log::warn!(event = "node_given_up", node = %row.id.0, "a node did not renew its lease in time");
            self.log.give_up(*row).await.map_err(fault)?;
        }
        let found = rows.iter().map(|row| row.position).min().unwrap_or(position);
        *in_force = (found, self.world.moment().uptime);
        Ok(found >= position)
    }

    fn note(&self, rows: &[NodeRow]) {
        self.watch.lock().expect("nothing panics while it holds the watch").note(rows, self.world.moment().uptime);
    }

    fn is_silent(&self, row: &NodeRow, leases: u32) -> bool {
        let now = self.world.moment().uptime;
        self.watch.lock().expect("nothing panics while it holds the watch").is_silent(row, row.lease * leases, now)
    }

    /// Waits for an answer no longer than for a renewal: so at least two are sent before a lease ends.
    async fn ask<T>(&self, statement: impl Future<Output = Result<T, L::Error>>) -> Result<T, String> {
        match timeout(self.lease / 3, statement).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn pause(&self, until: Instant) {
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

/// Since when the rows of nodes have stood still, as seen from here. It needs nobody else's clock.
#[derive(Default)]
struct Watch(BTreeMap<NodeId, (i64, Duration)>);

impl Watch {
    /// Notes rows that came at `now`, and forgets those that are gone.
    fn note(&mut self, rows: &[NodeRow], now: Duration) {
        let before = std::mem::take(&mut self.0);
        for row in rows {
            let since = match before.get(&row.id) {
                Some((renewals, since)) if *renewals == row.renewals => *since,
                _ => now,
            };
            self.0.insert(row.id, (row.renewals, since));
        }
    }

    /// Whether the row has been seen to stand still for so long.
    fn is_silent(&self, row: &NodeRow, duration: Duration, now: Duration) -> bool {
        self.0.get(&row.id).is_some_and(|(renewals, since)| *renewals == row.renewals && now >= *since + duration)
    }
}

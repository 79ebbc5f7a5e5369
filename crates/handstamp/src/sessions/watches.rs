//! Watches of sessions by connections that outlive their request, such as WebSockets and streams.
//!
//! When an invalidation may have ended a watched session, the node waits before it reports the invalidation as applied. The wait
//! ends when the connection is closed, or has found its session live. So a sign-out is confirmed only after the connections of the
//! session are closed on every node. The wait is limited, since a connection may never answer. A connection for which the node has
//! waited in vain passes no bytes until it has found its session live.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::cache::SessionKey;
use crate::store::{Invalidation, InvalidationScope};

/// The watches of a node.
#[derive(Default)]
pub(crate) struct Watches {
    /// Their number, so that a node without watches looks no further.
    count: AtomicUsize,
    watched: Mutex<HashMap<u64, Arc<Watch>>>,
    newest: AtomicU64,
    /// Notified when a watch has ended its doubt, or is dropped.
    settled: Notify,
}

/// A watch of one session.
pub(crate) struct Watch {
    id: u64,
    pub(super) key: SessionKey,
    /// How often the session may have ended, and up to which of these doubts it was found live. A new watch has a doubt, since
    /// the session was looked up before.
    doubts: AtomicU64,
    settled_doubts: AtomicU64,
    /// Whether the watch ends with the lease of the node, as other nodes then no longer wait for this one. Without a lease, the row
    /// of the session is read time and again.
    pub(super) is_under_lease: bool,
    has_ended: AtomicBool,
    /// It ended because of this node, so the session may be live.
    is_of_the_node: AtomicBool,
    is_dropped: AtomicBool,
    /// The node waited in vain for this watch, and waits for it no more until its session is found live.
    is_overdue: AtomicBool,
    changed: Notify,
}

impl Watches {
    /// Begins to watch a session.
    pub(super) fn watch(&self, key: SessionKey, is_under_lease: bool) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            id: self.newest.fetch_add(1, Ordering::SeqCst),
            key,
            doubts: AtomicU64::new(1),
            settled_doubts: AtomicU64::new(0),
            is_under_lease,
            has_ended: AtomicBool::new(false),
            is_of_the_node: AtomicBool::new(false),
            is_dropped: AtomicBool::new(false),
            is_overdue: AtomicBool::new(false),
            changed: Notify::new(),
        });
        self.lock().insert(watch.id, Arc::clone(&watch));
        self.count.fetch_add(1, Ordering::SeqCst);
        watch
    }

    /// Ends a watch, as its connection is closed.
    pub(crate) fn drop_watch(&self, watch: &Watch) {
        if self.lock().remove(&watch.id).is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        watch.is_dropped.store(true, Ordering::SeqCst);
        self.settled.notify_waiters();
    }

    /// The session was found live: this settles the doubts up to `doubt`, and no later ones.
    pub(super) fn found_live(&self, watch: &Watch, doubt: u64) {
        {
            // Under the lock, so that no doubt comes meanwhile for which the node does not wait.
            let _watched = self.lock();
            watch.settled_doubts.fetch_max(doubt, Ordering::SeqCst);
            if watch.open_doubt().is_none() {
                watch.is_overdue.store(false, Ordering::SeqCst);
            }
        }
        self.settled.notify_waiters();
    }

    /// The session could not be looked up, and no lease limits how long that may last.
    pub(super) fn could_not_look_up(&self, watch: &Watch) {
        let _watched = self.lock();
        watch.is_overdue.store(true, Ordering::SeqCst);
    }

    /// Tells the watches of the sessions that these invalidations concern, and returns those whose answer is worth a wait.
    pub(super) fn tell(&self, invalidations: &[Invalidation]) -> Vec<Arc<Watch>> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let watched = self.lock();
        let told = watched.values().filter(|watch| {
            let mut concerns = false;
            for invalidation in invalidations {
                concerns |= watch.learn(invalidation.scope);
            }
            concerns && !watch.is_overdue.load(Ordering::SeqCst)
        });
        told.cloned().collect()
    }

    /// Makes every watch look up its session anew, as after a time in which the node has missed invalidations.
    pub(super) fn doubt_all(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.lock().values().for_each(|watch| watch.doubt());
        }
    }

    /// Ends every watch that began under a lease, as the lease has ended.
    pub(super) fn end_with_the_lease(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.lock().values().filter(|watch| watch.is_under_lease).for_each(|watch| watch.end_here());
        }
    }

    /// Ends every watch, as the node stops, and returns them.
    pub(super) fn end_all(&self) -> Vec<Arc<Watch>> {
        let watched: Vec<_> = self.lock().values().cloned().collect();
        watched.iter().for_each(|watch| watch.end_here());
        watched
    }

    /// Waits until these watches are settled, but no longer than `limit`. Returns the number of those that are not.
    pub(super) async fn wait_until_settled(&self, told: &[Arc<Watch>], limit: Duration) -> u64 {
        let all = async {
            loop {
                let mut settled = pin!(self.settled.notified());
                settled.as_mut().enable();
                if told.iter().all(|watch| watch.is_settled()) {
                    return;
                }
                settled.await;
            }
        };
        if timeout(limit, all).await.is_ok() {
            return 0;
        }
        // Under the lock, so that none is settled meanwhile.
        let _watched = self.lock();
        let overdue = told.iter().filter(|watch| !watch.is_settled());
        overdue.map(|watch| watch.is_overdue.store(true, Ordering::SeqCst)).count() as u64
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Watch>>> {
        self.watched.lock().expect("nothing panics while it holds the watches")
    }
}

impl Watch {
    /// Whether the invalidation concerns this session: then it has ended, or may have.
    fn learn(&self, scope: InvalidationScope) -> bool {
        match scope {
            InvalidationScope::Session(secret_hash) if secret_hash == self.key.secret_hash => self.end(),
            InvalidationScope::Expired(until) if self.key.expires_at <= until => self.end(),
            InvalidationScope::All => self.end(),
            InvalidationScope::User(id) if id == self.key.user_id => self.doubt(),
            InvalidationScope::Session(_) | InvalidationScope::Expired(_) | InvalidationScope::User(_) => return false,
        }
        true
    }

    /// The session has ended.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The node stops, or has lost its lease.
    fn end_here(&self) {
        if !self.has_ended() {
            self.is_of_the_node.store(true, Ordering::SeqCst);
            self.end();
        }
    }

    /// Whether the session may be live, and the connection may be opened again. A connection may notice that the lease has ended
    /// before the watch does.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn is_of_the_node(&self) -> bool {
        self.is_of_the_node.load(Ordering::SeqCst) || !self.has_ended()
    }

    /// Whether the session has to be looked up before anything is passed.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.open_doubt().is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.is_overdue.load(Ordering::SeqCst)
    }

    /// The session may have ended.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The newest doubt, unless the session was found live since.
    pub(super) fn open_doubt(&self) -> Option<u64> {
        let doubt = self.doubts.load(Ordering::SeqCst);
        (doubt > self.settled_doubts.load(Ordering::SeqCst)).then_some(doubt)
    }

    /// Notified when the session has ended or may have.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn is_settled(&self) -> bool {
        self.is_dropped.load(Ordering::SeqCst) || (!self.has_ended() && self.open_doubt().is_none())
    }
}

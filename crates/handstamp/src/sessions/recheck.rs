//! Looks the session of a watch up whenever it may have ended, until it has.

use std::pin::pin;
use std::time::Duration;

use handstamp_core::Timestamp;
use tokio::time::timeout;

use super::node::Node;
use super::sync::Weighs;
use super::watches::Watch;
use crate::store::{InvalidationLog, NoLease, Position, StaleRead};

/// How often a watch compares the expiry of its session with the clock, which may be set.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// How often it reads the row of the session, where the node holds no lease.
const WATCH_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The delay before it reads the row again, where that failed.
const WATCH_RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl<L: InvalidationLog, V: Clone + Weighs + Send + Sync + 'static> Node<L, V> {
    /// Completes when a watched session has ended on this node, or no longer `satisfies` a rule. `read` reads its row at a time, and
    /// returns the newest log position together with the row.
    pub(crate) async fn ended<
        E: From<NoLease> + From<StaleRead>,
        R: Future<Output = Result<Option<(V, Position)>, E>>,
    >(
        &self,
        watch: &Watch,
        read: impl Fn(Timestamp) -> R,
        satisfies: impl Fn(&V) -> bool,
    ) {
        while !watch.has_ended() {
            let mut changed = pin!(watch.changed());
            changed.as_mut().enable();
            let now_reading = self.clock_reading();
            let now = self.cluster_time(now_reading).max(now_reading.timestamp());
            let left = watch.key.expires_at.since(now);
            if left.is_zero() {
                watch.end();
            } else if let Some(doubt) = watch.open_doubt() {
                let cached = self.look_up(&watch.key, now_reading);
                let live = tokio::select! {
                    biased;
                    () = changed.as_mut() => continue,
                    live = async {
                        match cached {
                            Some(live) => Ok(Some(live)),
                            None => Box::pin(self.read_through(&watch.key, read(now))).await,
                        }
                    } => live,
                };
                match live {
                    Ok(Some(live)) if satisfies(&live) => self.watches().found_live(watch, doubt),
                    Ok(_) => watch.end(),
                    // Without the database nothing is known of the session. The node does not wait for longer than its limit.
                    Err(_) => {
                        if !watch.is_under_lease {
                            self.watches().could_not_look_up(watch);
                        }
                        drop(timeout(WATCH_RETRY_INTERVAL, changed).await);
                    }
                }
            } else if !watch.has_ended() {
                let follows_the_log = watch.is_under_lease;
                let interval = if follows_the_log { WATCH_INTERVAL } else { WATCH_POLL_INTERVAL };
                if timeout(interval.min(left), changed).await.is_err() && !follows_the_log {
                    watch.doubt();
                }
            }
        }
    }
}

//! A node writes which secret keys it knows, and compares them with those of the other nodes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handstamp_core::Timestamp;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{FORGET, GONE, OBSERVE_EVERY, UNSHARED};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::KeyNode;
use crate::services::{JobOutcome, Services};

/// For how long ahead a key is noted to sign, so that the note is renewed twice an hour only.
const NOTED_FOR: Duration = Duration::from_secs(3600);

impl Services {
    /// Announces the keys of this node at its start, and looks for running nodes that do not share them. A node that has crashed is
    /// told from a running one by its row, which stands still.
    ///
    /// # Errors
    /// The names of the running nodes that do not share the keys, with this node's row deleted.
    pub(crate) async fn join_secrets(&self) -> Result<(), Vec<String>> {
        if !self.config.node {
            return Ok(());
        }
        let begun = Instant::now();
        let mut first: Option<BTreeMap<Uuid, i64>> = None;
        loop {
            let unshared = match self.announce_and_compare().await {
                Ok(unshared) => unshared,
                Err(error) => {
                    self.tell_of_failure(&error);
                    return Ok(());
                }
            };
            let beats = first.get_or_insert_with(|| unshared.iter().map(|node| (node.id, node.beats)).collect());
            let is_running = |node: &&KeyNode| beats.get(&node.id).is_some_and(|beats| *beats != node.beats);
            let running: Vec<_> = unshared.iter().filter(is_running).map(|node| node.name.clone()).collect();
            if !running.is_empty() {
                self.leave_secrets().await;
                return Err(running);
            }
            if unshared.is_empty() || begun.elapsed() >= GONE {
                if let Err(error) = self.note_signing().await {
                    self.tell_of_failure(&error);
                }
                return Ok(());
            }
            for node in &unshared {
                beats.entry(node.id).or_insert(node.beats);
            }
            sleep(OBSERVE_EVERY).await;
        }
    }

    /// The job tries again, and tells of nodes that do not share the keys.
    fn tell_of_failure(&self, error: &InternalError) {
        Event::JobFailed { job: "announce_secrets", error }.record();
    }

    async fn announce_and_compare(&self) -> Result<Vec<KeyNode>, InternalError> {
        self.announce().await?;
        let nodes = self.store.key_nodes().await?;
        let known = &self.known_keys;
        Ok(nodes.into_iter().filter(|node| node.id != known.id && !node.shares(&known.keys)).collect())
    }

    /// Writes the row of this node.
    async fn announce(&self) -> Result<(), InternalError> {
        let known = &self.known_keys;
        Ok(self.store.announce_keys(known.id, &known.name, &known.keys, self.sessions.now()).await?)
    }

    /// Notes that the current key of this node signs. A node that is refused at its start signs nothing.
    async fn note_signing(&self) -> Result<(), InternalError> {
        let (known, now) = (&self.known_keys, self.sessions.now());
        if known.noted_until.load(Ordering::Relaxed) < now.after(NOTED_FOR / 2).unix_seconds() {
            let until = now.after(NOTED_FOR);
            let signed = self.store.signing_times().await?;
            // Of a database that has no notes yet, it is not known which fallbacks have signed.
            let signing = if signed.is_empty() { known.keys.as_slice() } else { &known.keys[..1] };
            let has_signed = |key| signing.contains(key) || signed.iter().any(|times| times.key == *key);
            let fallbacks = known.keys.iter().skip(1).enumerate();
            self.assertions.note_next(fallbacks.filter(|(_, key)| !has_signed(key)).map(|(index, _)| index).collect());
            self.store.note_signing(signing, now, until).await?;
            known.noted_until.store(until.unix_seconds(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Announces the keys of this node, tells the log and the metrics of running nodes that do not share them, and deletes the rows
    /// of nodes that are gone.
    pub(crate) async fn announce_secrets(&self) -> Result<JobOutcome, InternalError> {
        if !self.config.node {
            return Ok(JobOutcome::Done);
        }
        self.announce().await?;
        self.note_signing().await?;
        let nodes = self.store.key_nodes().await?;
        let (mut unshared, mut forgotten) = (Vec::new(), Vec::new());
        for (node, unchanged_for) in self.observe(nodes) {
            if unchanged_for >= FORGET {
                forgotten.push(node);
            } else if unchanged_for < GONE && !node.shares(&self.known_keys.keys) {
                unshared.push(node.name);
            }
        }
        for node in forgotten {
            self.store.forget_key_node(&node).await?;
        }
        metrics::gauge!(UNSHARED).set(unshared.len() as f64);
        self.tell_of(unshared);
        Ok(JobOutcome::Done)
    }

    /// The other nodes, each with how long this node has seen its row unchanged.
    fn observe(&self, nodes: Vec<KeyNode>) -> Vec<(KeyNode, Duration)> {
        let now = self.environment.clock_reading().monotonic;
        let mut observed = self.known_keys.observed.lock().expect("nothing panics while it holds the rows");
        let before = std::mem::take(&mut *observed);
        let others = nodes.into_iter().filter(|node| node.id != self.known_keys.id);
        let observe = |node: KeyNode| {
            let same = before.get(&node.id).filter(|(beats, _)| *beats == node.beats);
            let since = same.map_or(now, |(_, since)| *since);
            observed.insert(node.id, (node.beats, since));
            (node, now.saturating_sub(since))
        };
        others.map(observe).collect()
    }

    /// Logs the nodes that do not share the keys, whenever they are others than before.
    fn tell_of(&self, unshared: Vec<String>) {
        let mut told = self.known_keys.told.lock().expect("nothing panics while it holds the names");
        if *told != unshared {
            if !unshared.is_empty() {
                Event::SecretKeyUnshared { nodes: &unshared.join(", ") }.record();
            }
            *told = unshared;
        }
    }

    /// Deletes the row of this node, which stops.
    pub(crate) async fn leave_secrets(&self) {
        if self.config.node
            && let Err(error) = self.store.forget_keys_of(self.known_keys.id).await
        {
            // The other nodes delete it within a minute.
            Event::JobFailed { job: "leave_secrets", error: &InternalError::from(error) }.record();
        }
    }

    /// The nodes that run now. One whose row was not written lately is observed for as long as it takes to know.
    pub(super) async fn running_key_nodes(&self) -> Result<Vec<KeyNode>, InternalError> {
        let mut nodes = self.store.key_nodes().await?;
        let now = self.sessions.now();
        let mut silent: Vec<_> = nodes.iter().filter(|node| distance(node.seen_at, now) > GONE).cloned().collect();
        let begun = Instant::now();
        while !silent.is_empty() && begun.elapsed() < GONE {
            sleep(OBSERVE_EVERY).await;
            nodes = self.store.key_nodes().await?;
            silent.retain(|node| nodes.iter().any(|now| (now.id, now.beats) == (node.id, node.beats)));
        }
        for node in &silent {
            self.store.forget_key_node(node).await?;
        }
        nodes.retain(|node| silent.iter().all(|gone| gone.id != node.id));
        Ok(nodes)
    }
}

/// How far two times are apart.
fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

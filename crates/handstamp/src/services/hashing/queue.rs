//! The fair queue of passwords to hash: networks take turns, and within a network accounts take turns.
//!
//! So neither a flood from one address nor one account keeps the others waiting. If the queue is full, the party over its share
//! loses a permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use handstamp_core::{AttemptKey, Network};
use tokio::sync::oneshot;

/// The network and the account for which a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Share {
    pub(crate) network: Network,
    pub(crate) account: AttemptKey,
}

/// All permits that are held. Operations scan the whole list, since there are some sixty.
pub(super) struct Queue(Mutex<QueueState>);

struct QueueState {
    capacity: usize,
    /// How many more hashes may start now.
    free_slots: usize,
    newest: u64,
    entries: Vec<Entry>,
    /// How many turns each network and each account of a network has had. A new party begins with the fewest that the others have
    /// had, and is kept only while it holds a permit.
    turns: HashMap<Party, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Network(Network),
    Account(Share),
}

struct Entry {
    number: u64,
    share: Share,
    state: State,
}

enum State {
    /// The permit is held, but there is nothing to hash yet.
    Reserved,
    /// The sender is notified when its turn comes, and dropped when the permit is taken away.
    Waiting(oneshot::Sender<()>),
    Hashing,
}

/// A permit, returned when dropped.
pub(super) struct QueuePermit {
    queue: Arc<Queue>,
    number: u64,
}

/// There is no permit, or it was taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Queue {
    /// A queue for `turns` hashes at once and `waiting` more that wait.
    pub(super) fn new(turns: usize, waiting: usize) -> Self {
        let capacity = turns.saturating_add(waiting);
        Self(Mutex::new(QueueState {
            capacity,
            free_slots: turns,
            newest: 0,
            entries: Vec::new(),
            turns: HashMap::new(),
        }))
    }

    /// Acquires a permit. If all are held, it takes one from a network or an account that has more than its share.
    pub(super) fn reserve(self: &Arc<Self>, share: Share) -> Result<QueuePermit, QueueFull> {
        let mut entries = self.entries();
        if entries.entries.len() >= entries.capacity {
            let evicted = entries.over_its_share(share).ok_or(QueueFull)?;
            entries.remove(evicted);
        }
        Ok(QueuePermit { queue: Arc::clone(self), number: entries.add(share) })
    }

    /// How many permits are held.
    pub(super) fn len(&self) -> usize {
        self.entries().entries.len()
    }

    fn entries(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().expect("nothing panics while it holds the queue")
    }
}

impl QueuePermit {
    /// Waits for the turn of this permit, which lasts until the permit is dropped.
    pub(super) async fn turn(&self) -> Result<(), QueueFull> {
        let called = {
            let (call, called) = oneshot::channel();
            let mut entries = self.queue.entries();
            let index = entries.index_of(self.number).ok_or(QueueFull)?;
            entries.entries[index].state = State::Waiting(call);
            entries.call();
            called
        };
        called.await.map_err(|_| QueueFull)
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        let mut entries = self.queue.entries();
        if let Some(index) = entries.index_of(self.number) {
            entries.remove(index);
            entries.call();
        }
    }
}

impl QueueState {
    fn index_of(&self, number: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.number == number)
    }

    fn add(&mut self, share: Share) -> u64 {
        // A new network begins with the fewest turns of the others, so that it goes neither before nor behind all of them.
        let fewest = |turns: &HashMap<Party, u64>, among: &dyn Fn(&Party) -> bool| {
            turns.iter().filter(|(party, _)| among(party)).map(|(_, turns)| *turns).min().unwrap_or(0)
        };
        let of_networks = fewest(&self.turns, &|party| matches!(party, Party::Network(_)));
        let of_accounts =
            fewest(&self.turns, &|party| matches!(party, Party::Account(other) if other.network == share.network));
        self.turns.entry(Party::Network(share.network)).or_insert(of_networks);
        self.turns.entry(Party::Account(share)).or_insert(of_accounts);
        self.newest += 1;
        self.entries.push(Entry { number: self.newest, share, state: State::Reserved });
        self.newest
    }

    fn remove(&mut self, index: usize) {
        let Entry { share, state, .. } = self.entries.remove(index);
        if matches!(state, State::Hashing) {
            self.free_slots += 1;
        }
        if self.held_by_network(share.network) == 0 {
            self.turns.remove(&Party::Network(share.network));
        }
        if self.held_by(share) == 0 {
            self.turns.remove(&Party::Account(share));
        }
    }

    /// Gives free turns to waiting permits: those of the network with the fewest turns first, within it those of the account with
    /// the fewest, and of that account the oldest.
    fn call(&mut self) {
        while self.free_slots > 0 {
            let waiting = self.entries.iter_mut().filter(|entry| matches!(entry.state, State::Waiting(_)));
            let turns = &self.turns;
            let had = |party| turns.get(&party).copied().unwrap_or(0);
            let order = |entry: &&mut Entry| {
                (had(Party::Network(entry.share.network)), had(Party::Account(entry.share)), entry.number)
            };
            let Some(next) = waiting.min_by_key(order) else { return };
            let share = next.share;
            if let State::Waiting(call) = std::mem::replace(&mut next.state, State::Hashing) {
                // If the waiter was cancelled, dropping its permit returns the turn.
                let _ = call.send(());
            }
            self.free_slots -= 1;
            for party in [Party::Network(share.network), Party::Account(share)] {
                *self.turns.entry(party).or_default() += 1;
            }
        }
    }

    fn held_by_network(&self, network: Network) -> usize {
        self.entries.iter().filter(|entry| entry.share.network == network).count()
    }

    fn held_by(&self, share: Share) -> usize {
        self.entries.iter().filter(|entry| entry.share == share).count()
    }

    /// The permit to take away for one of `share`, never one whose hash is running. It is the newest of the largest account: of the
    /// network with the most permits, if that has more than the network of `share` would have. Otherwise it is of the network of
    /// `share`, if its largest account has more than the account of `share` would have.
    fn over_its_share(&self, share: Share) -> Option<usize> {
        let capacity =
            self.entries.iter().map(|entry| entry.share.network).max_by_key(|one| self.held_by_network(*one))?;
        if self.held_by_network(capacity) > self.held_by_network(share.network) + 1 {
            return self.newest_of_the_largest_account(capacity);
        }
        let index = self.newest_of_the_largest_account(share.network)?;
        (self.held_by(self.entries[index].share) > self.held_by(share) + 1).then_some(index)
    }

    fn newest_of_the_largest_account(&self, network: Network) -> Option<usize> {
        let gives_way = |entry: &Entry| entry.share.network == network && !matches!(entry.state, State::Hashing);
        let (index, _) = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| gives_way(entry))
            .max_by_key(|(_, entry)| (self.held_by(entry.share), entry.number))?;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use handstamp_core::{Timestamp, UserId};

    use super::*;

    fn share(network: u8, account: u8) -> Share {
        Share {
            network: Network::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, network))),
            account: AttemptKey::user(UserId::new(Timestamp::from_unix_seconds(0), [account; 10])),
        }
    }

    fn queue(turns: usize, waiting: usize) -> Arc<Queue> {
        Arc::new(Queue::new(turns, waiting))
    }

    /// Acquires permits of a share that wait for their turns, and records each turn in `turns`.
    fn wait(
        queue: &Arc<Queue>,
        share: Share,
        count: usize,
        turns: &Arc<Mutex<Vec<Share>>>,
    ) -> Vec<Result<(), QueueFull>> {
        (0..count)
            .map(|_| {
                queue.reserve(share).map(|held| {
                    let turns = Arc::clone(turns);
                    tokio::spawn(async move {
                        if held.turn().await.is_ok() {
                            turns.lock().unwrap().push(share);
                        }
                    });
                })
            })
            .collect()
    }

    #[tokio::test]
    async fn networks_take_turns_and_so_do_the_accounts_of_a_network() {
        let (queue, turns) = (queue(1, 100), Arc::default());
        let first = queue.reserve(share(9, 9)).unwrap();
        first.turn().await.unwrap();
        wait(&queue, share(1, 1), 10, &turns);
        wait(&queue, share(1, 2), 2, &turns);
        wait(&queue, share(2, 1), 3, &turns);
        tokio::task::yield_now().await;
        drop(first);
        while turns.lock().unwrap().len() < 15 {
            tokio::task::yield_now().await;
        }
        let turns = turns.lock().unwrap();
        let entry = |wanted| turns.iter().rposition(|share| *share == wanted);
        assert_eq!(entry(share(2, 1)), Some(5), "every other turn: {turns:?}");
        assert_eq!(entry(share(1, 2)), Some(6), "every other turn of its network: {turns:?}");
    }

    #[tokio::test]
    async fn a_new_network_waits_one_turn_at_most_behind_the_flood_of_another() {
        let (queue, turns) = (queue(1, 100), Arc::default());
        let first = queue.reserve(share(1, 1)).unwrap();
        first.turn().await.unwrap();
        wait(&queue, share(1, 1), 50, &turns);
        tokio::task::yield_now().await;
        wait(&queue, share(2, 7), 1, &turns);
        tokio::task::yield_now().await;
        drop(first);
        while turns.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(turns.lock().unwrap()[..2].contains(&share(2, 7)));
    }

    #[tokio::test]
    async fn a_full_queue_takes_permits_only_from_parties_over_their_share() {
        let queue = queue(1, 3);
        let flood: Vec<_> = (0..4).map(|_| queue.reserve(share(1, 1)).unwrap()).collect();
        flood[0].turn().await.unwrap();
        assert!(queue.reserve(share(1, 1)).is_err(), "it holds all permits itself");
        let of_the_network = queue.reserve(share(1, 2)).unwrap();
        let of_another = queue.reserve(share(2, 1)).unwrap();
        let one_more = queue.reserve(share(1, 3)).unwrap();
        assert!(queue.reserve(share(1, 4)).is_err(), "every account has one");
        for evicted in flood[1..].iter() {
            assert_eq!(evicted.turn().await, Err(QueueFull), "all but the one whose hash is running");
        }
        drop((flood, one_more));
        of_another.turn().await.unwrap();
        drop(of_another);
        of_the_network.turn().await.unwrap();
    }

    #[tokio::test]
    async fn a_cancelled_waiter_returns_its_turn() {
        let queue = queue(1, 3);
        let first = queue.reserve(share(1, 1)).unwrap();
        first.turn().await.unwrap();
        let gone = queue.reserve(share(1, 1)).unwrap();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), gone.turn()).await.is_err());
        drop(first);
        drop(gone);
        queue.reserve(share(1, 1)).unwrap().turn().await.unwrap();
        assert!(
            queue.entries().turns.is_empty() && queue.entries().entries.is_empty(),
            "parties without a permit are forgotten"
        );
    }
}

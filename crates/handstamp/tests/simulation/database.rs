use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{SessionIdHash, UserId};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Tally;
use crate::chance::Chance;
use crate::machine::LEASE;
use crate::store::{CHANGES_AT_ONCE, Change, ChangeLog, NodeId, NodeRow, Position, Subject};

/// What is stored. Statements run one after the other, each as a whole.
#[derive(Default)]
pub struct Tables {
    /// Whose each session is.
    pub sessions: BTreeMap<[u8; 32], UserId>,
    /// The version of each user's name.
    pub names: BTreeMap<UserId, u64>,
    position: i64,
    changes: BTreeMap<i64, Change>,
    nodes: BTreeMap<NodeId, NodeRow>,
    pub tally: Tally,
}

impl Tables {
    pub fn log(&mut self, subject: Subject) -> Position {
        self.position += 1;
        let position = Position(self.position);
        self.changes.insert(self.position, Change { position, subject });
        position
    }

    /// The version of the name of whose session this is, while it is live.
    pub fn name_of(&self, session: SessionIdHash, user: UserId) -> Option<(u64, Position)> {
        let owner = self.sessions.get(session.as_bytes()).filter(|owner| **owner == user)?;
        Some((self.names[owner], Position(self.position)))
    }
}

/// The database as one process reaches it: through a network.
#[derive(Clone)]
pub struct Database {
    pub tables: Arc<Mutex<Tables>>,
    pub chance: Chance,
    /// Until then it answers nobody.
    pub frozen_until: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
pub struct Lost;

impl From<crate::sessions::Outdated> for Lost {
    fn from(_: crate::sessions::Outdated) -> Self {
        Self
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost")
    }
}

impl Database {
    pub fn new(chance: Chance) -> Self {
        Self { tables: Arc::default(), chance, frozen_until: Arc::default() }
    }

    /// Sends a statement. Whether anybody still waits for its answer does not matter to it.
    pub async fn run<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (there, back) = (self.delay(), self.delay());
        self.run_after(there, back, statement).await
    }

    async fn run_after<T: Send + 'static>(
        &self,
        there: Duration,
        back: Duration,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (lost_there, lost_back) = (self.chance.happens(15), self.chance.happens(15));
        let (answer, answered) = oneshot::channel();
        let database = self.clone();
        tokio::spawn(async move {
            sleep(there).await;
            let frozen_until = *database.frozen_until.lock().unwrap();
            if let Some(until) = frozen_until {
                sleep_until(until).await;
            }
            if lost_there {
                database.tables.lock().unwrap().tally.statements_lost += 1;
                return;
            }
            let result = {
                let mut tables = database.tables.lock().unwrap();
                tables.tally.statements += 1;
                tables.tally.steps += 1;
                tables.tally.statements_late += u64::from(answer.is_closed());
                tables.tally.statements_lost += u64::from(lost_back);
                statement(&mut tables)
            };
            sleep(back).await;
            if !lost_back {
                let _ = answer.send(result);
            }
        });
        answered.await.map_err(|_| Lost)
    }

    /// Mostly as on a good network; now and then longer than anybody waits.
    fn delay(&self) -> Duration {
        match self.chance.below(100) {
            0..80 => self.chance.up_to(Duration::from_millis(5)),
            80..97 => self.chance.up_to(LEASE / 4),
            _ => self.chance.up_to(LEASE * 2),
        }
    }
}

impl ChangeLog for Database {
    type Error = Lost;

    async fn join(&self, node: NodeId, lease: Duration) -> Result<Position, Lost> {
        // Joining is rare, and what can go wrong with it takes a late one.
        let there = if self.chance.happens(250) { self.chance.up_to(LEASE * 2) } else { self.delay() };
        self.run_after(there, self.delay(), move |tables| {
            let position = Position(tables.position);
            tables.nodes.insert(node, NodeRow { id: node, position, renewals: 0, lease });
            position
        })
        .await
    }

    async fn renew(&self, node: NodeId, position: Position) -> Result<Option<Position>, Lost> {
        self.run(move |tables| {
            let row = tables.nodes.get_mut(&node)?;
            row.renewals += 1;
            row.position = row.position.max(position);
            Some(Position(tables.position))
        })
        .await
    }

    async fn leave(&self, node: NodeId) -> Result<(), Lost> {
        self.run(move |tables| {
            tables.nodes.remove(&node);
        })
        .await
    }

    async fn changes_after(&self, position: Position) -> Result<Vec<Change>, Lost> {
        self.run(move |tables| {
            let changes = tables.changes.range(position.0 + 1..);
            changes.map(|(_, change)| *change).take(CHANGES_AT_ONCE).collect()
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, Lost> {
        self.run(|tables| tables.nodes.values().copied().collect()).await
    }

    async fn give_up(&self, node: NodeRow) -> Result<(), Lost> {
        self.run(move |tables| {
            if tables.nodes.get(&node.id).is_some_and(|row| row.renewals == node.renewals) {
                tables.nodes.remove(&node.id);
                tables.tally.nodes_given_up += 1;
            }
        })
        .await
    }

    async fn forget(&self, position: Position) -> Result<(), Lost> {
        self.run(move |tables| tables.changes.retain(|at, _| *at > position.0)).await
    }

    async fn clock(&self) -> Result<Option<Duration>, Lost> {
        Ok(None)
    }

    async fn announce(&self) {}
}

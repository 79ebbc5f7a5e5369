//! A simulated database: slow, lossy and frozen connections, and a deposed leader that still answers reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{SessionSecretHash, UserId};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Tally;
use crate::machine::LEASE;
use crate::store::{Invalidation, InvalidationLog, InvalidationScope, MAX_INVALIDATIONS, NodeId, NodeRow, Position};
use handstamp_testing::SeededRng;

/// A session: its user, its session id and its assurance level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub user: UserId,
    pub session_id: u64,
    pub level: u8,
}

/// A session as a request is served by it, with the version of the name of its user.
#[derive(Clone, Debug)]
pub struct Served {
    pub name: u64,
    pub session: Row,
}

/// The stored data. Statements run one at a time, each atomically.
#[derive(Clone, Default)]
pub struct Tables {
    /// The sessions by their secrets.
    pub sessions: BTreeMap<[u8; 32], Row>,
    /// The version of each user's name.
    pub names: BTreeMap<UserId, u64>,
    position: i64,
    changes: BTreeMap<i64, Invalidation>,
    nodes: BTreeMap<NodeId, NodeRow>,
    pub tally: Tally,
}

impl Tables {
    pub fn log(&mut self, scope: InvalidationScope) -> Position {
        self.position += 1;
        let position = Position(self.position);
        self.changes.insert(self.position, Invalidation { position, scope });
        position
    }

    /// The session with the version of the user's name, and the newest position, if the session is live.
    pub fn read(&self, session: SessionSecretHash, user: UserId) -> Option<(Served, Position)> {
        let row = self.sessions.get(session.as_bytes()).filter(|row| row.user == user)?;
        Some((Served { name: self.names[&row.user], session: *row }, Position(self.position)))
    }
}

/// The database as one process reaches it over a network.
#[derive(Clone)]
pub struct Database {
    pub tables: Arc<Mutex<Tables>>,
    pub rng: SeededRng,
    /// The time until which it answers no statement.
    pub frozen_until: Arc<Mutex<Option<Instant>>>,
    /// A deposed leader to which some connections of this process still go.
    old_leader: Arc<Mutex<Option<OldLeader>>>,
}

/// A deposed leader: it answers reads from its old data and can commit nothing.
struct OldLeader {
    tables: Tables,
    until: Instant,
    /// How many of a thousand statements it receives.
    share: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

#[derive(Debug)]
pub struct Lost;

impl From<crate::store::NoLease> for Lost {
    fn from(_: crate::store::NoLease) -> Self {
        Self
    }
}

impl From<crate::store::StaleRead> for Lost {
    fn from(_: crate::store::StaleRead) -> Self {
        Self
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost")
    }
}

impl Database {
    pub fn new(rng: SeededRng) -> Self {
        Self { tables: Arc::default(), rng, frozen_until: Arc::default(), old_leader: Arc::default() }
    }

    /// The same database as another process reaches it.
    pub fn for_another_process(&self) -> Self {
        Self { old_leader: Arc::default(), ..self.clone() }
    }

    /// For the given time, some or all connections go to a deposed leader that has the current data but no later changes.
    pub fn has_an_old_leader(&self, lasts: Duration, share: u64) {
        let tables = self.tables.lock().unwrap().clone();
        *self.old_leader.lock().unwrap() = Some(OldLeader { tables, until: Instant::now() + lasts, share });
    }

    /// Sends a statement that writes. It is run even if its caller no longer waits.
    pub async fn write<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (there, back) = (self.delay(), self.delay());
        self.run_after(Kind::Write, there, back, statement).await
    }

    /// Sends a statement that reads.
    pub async fn read<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (there, back) = (self.delay(), self.delay());
        self.run_after(Kind::Read, there, back, statement).await
    }

    /// The result of a statement that reaches the deposed leader, or the statement back if it reaches the leader.
    fn at_the_old_leader<T, S: FnOnce(&mut Tables) -> T>(&self, kind: Kind, statement: S) -> Result<Option<T>, S> {
        let mut old_leader = self.old_leader.lock().unwrap();
        match old_leader.as_mut().filter(|old| Instant::now() < old.until && self.rng.happens(old.share)) {
            None => Err(statement),
            Some(_) if kind == Kind::Write => Ok(None),
            Some(old) => Ok(Some(statement(&mut old.tables))),
        }
    }

    async fn run_after<T: Send + 'static>(
        &self,
        kind: Kind,
        there: Duration,
        back: Duration,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (lost_there, lost_back) = (self.rng.happens(15), self.rng.happens(15));
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
            let result = match database.at_the_old_leader(kind, statement) {
                Ok(result) => {
                    database.tables.lock().unwrap().tally.statements_astray += 1;
                    let Some(result) = result else { return };
                    result
                }
                Err(statement) => {
                    let mut tables = database.tables.lock().unwrap();
                    tables.tally.statements += 1;
                    tables.tally.steps += 1;
                    tables.tally.statements_late += u64::from(answer.is_closed());
                    tables.tally.statements_lost += u64::from(lost_back);
                    statement(&mut tables)
                }
            };
            sleep(back).await;
            if !lost_back {
                let _ = answer.send(result);
            }
        });
        answered.await.map_err(|_| Lost)
    }

    /// A network delay: mostly that of a good network, now and then longer than any caller waits.
    fn delay(&self) -> Duration {
        match self.rng.below(100) {
            0..80 => self.rng.up_to(Duration::from_millis(5)),
            80..97 => self.rng.up_to(LEASE / 4),
            _ => self.rng.up_to(LEASE * 2),
        }
    }
}

impl InvalidationLog for Database {
    type Error = Lost;

    async fn join(&self, node: NodeId, lease: Duration) -> Result<Position, Lost> {
        // Joins are rare, and their failure modes need a late one, so many are delayed.
        let there = if self.rng.happens(250) { self.rng.up_to(LEASE * 2) } else { self.delay() };
        self.run_after(Kind::Write, there, self.delay(), move |tables| {
            let position = Position(tables.position);
            tables.nodes.insert(node, NodeRow { id: node, position, renewals: 0, lease });
            position
        })
        .await
    }

    async fn renew(&self, node: NodeId, position: Position) -> Result<Option<Position>, Lost> {
        self.write(move |tables| {
            let row = tables.nodes.get_mut(&node)?;
            row.renewals += 1;
            row.position = row.position.max(position);
            Some(Position(tables.position))
        })
        .await
    }

    async fn leave(&self, node: NodeId) -> Result<(), Lost> {
        self.write(move |tables| {
            tables.nodes.remove(&node);
        })
        .await
    }

    async fn invalidations_after(&self, position: Position) -> Result<Vec<Invalidation>, Lost> {
        self.read(move |tables| {
            let changes = tables.changes.range(position.0 + 1..);
            changes.map(|(_, change)| *change).take(MAX_INVALIDATIONS).collect()
        })
        .await
    }

    async fn nodes(&self) -> Result<(Position, Vec<NodeRow>), Lost> {
        self.read(|tables| (Position(tables.position), tables.nodes.values().copied().collect())).await
    }

    async fn evict(&self, node: NodeRow) -> Result<(), Lost> {
        self.write(move |tables| {
            if tables.nodes.get(&node.id).is_some_and(|row| row.renewals == node.renewals) {
                tables.nodes.remove(&node.id);
                tables.tally.nodes_given_up += 1;
            }
        })
        .await
    }

    async fn forget(&self, position: Position) -> Result<(), Lost> {
        self.write(move |tables| tables.changes.retain(|at, _| *at > position.0)).await
    }

    async fn clock(&self) -> Result<Option<Duration>, Lost> {
        Ok(None)
    }

    async fn confirm(&self) -> Result<Position, Lost> {
        self.write(|tables| Position(tables.position)).await
    }

    fn may_be_superseded(&self) -> bool {
        true
    }

    async fn notify(&self) {}
}

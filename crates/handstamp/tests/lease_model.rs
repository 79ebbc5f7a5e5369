//! A model checker for the lease protocol (ARCHITECTURE.md, "The lease"): explores all states of a small instance.
//!
//! The instance has one caching node, one session and one revocation. Every interleaving is explored, breadth first, so that
//! a violation comes with a shortest trace. Each rule of the protocol has a mutant that leaves it out, and each mutant serves
//! an ended session.
//!
//! Nodes do not communicate with each other, and a revocation waits for each in the same way, so one node is the general
//! case. Time is in ticks. The database runs one statement at a time; a statement that timed out on the node may still be
//! run later. The database's clock is not used: the revoking node evicts the other after *observing* that its row was not
//! renewed for a whole lease. A row may also be read from a deposed leader, which lacks the revocation and can commit nothing.
//!
//! The check takes 14 s optimised, which is how `script/test` runs it; a debug build skips it.

#![allow(clippy::print_stdout, reason = "the number of states and the traces are the result")]

use std::collections::HashMap;

const LEASE: u8 = 2;
const HORIZON: u8 = 6;
const INCARNATIONS: u8 = 3;
/// The newest log position on the deposed leader.
const OLD_POSITION: u8 = 0;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The confirmation waits for no node.
    NoWait,
    /// The cache is used without a lease.
    NoLease,
    /// A look-up does not compare the position of the entry with that of the last invalidation.
    NoStamp,
    /// The position of an entry is noted after its row was read.
    StampAfterRead,
    /// The node reports a position before it has applied the invalidation.
    ReportBeforeEvict,
    /// The lease is counted from when the response came instead of when the renewal was sent.
    LeaseFromAnswer,
    /// Rejoining keeps the cache.
    KeepCache,
    /// A fill that began in an earlier membership is inserted into the cache of the current one.
    StaleFill,
    /// A node that has not renewed is no longer waited for, but its row stays.
    NotDeleted,
    /// A node is evicted before a whole lease without a renewal has passed.
    DeleteEarly,
    /// The observation counts from when the row was queried instead of when it was received.
    WatchFromQuestion,
    /// A node is evicted although its row has changed since.
    DeleteRenewed,
    /// Rejoining keeps the node's id.
    SameId,
    /// A row is trusted without a lease.
    RowWithoutLease,
    /// A row is trusted although the log position read with it is behind that of the node.
    RowOfAnOldLeader,
}

const MUTANTS: [Mutant; 15] = [
    Mutant::NoWait,
    Mutant::NoLease,
    Mutant::NoStamp,
    Mutant::StampAfterRead,
    Mutant::ReportBeforeEvict,
    Mutant::LeaseFromAnswer,
    Mutant::KeepCache,
    Mutant::StaleFill,
    Mutant::NotDeleted,
    Mutant::DeleteEarly,
    Mutant::WatchFromQuestion,
    Mutant::DeleteRenewed,
    Mutant::SameId,
    Mutant::RowWithoutLease,
    Mutant::RowOfAnOldLeader,
];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Database {
    session: bool,
    position: u8,
    /// The row of the node: whether it exists, its id, and the position that it reports as applied.
    node: bool,
    id: u8,
    reported: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Statement {
    Join { id: u8 },
    Renew { id: u8, position: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    UnderWay { statement: Statement, sent: u8 },
    Answered { statement: Statement, sent: u8, found: bool, position: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Fill {
    /// The position is noted, but the row is not read yet.
    Noted {
        position: u8,
    },
    Read {
        position: u8,
        live: bool,
    },
}

/// The progress of the node in applying the invalidation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Following {
    Idle,
    Read,
    /// Applied but not yet reported; in the mutant, reported but not yet applied.
    Half,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    id: u8,
    lease_end: u8,
    /// The position under which the session is cached.
    entry: Option<u8>,
    /// The position of the last invalidation that concerns the session.
    changed: u8,
    position: u8,
    following: Following,
    message: Option<Message>,
    late: Option<Statement>,
    fill: Option<Fill>,
    /// A request under way, and whether it began after the revocation was confirmed.
    request: Option<bool>,
}

/// How the revoking node observes the row of the other node.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Watch {
    Not,
    Asked {
        at: u8,
    },
    /// The database has read the row; the response is under way.
    Coming {
        asked: u8,
        changed: bool,
    },
    Since {
        at: u8,
        changed: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Revocation {
    NotBegun,
    Committed(Watch),
    Answered,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    database: Database,
    node: Node,
    revocation: Revocation,
}

const START: State = State {
    now: 0,
    database: Database { session: true, position: 0, node: false, id: 0, reported: 0 },
    node: Node {
        id: 0,
        lease_end: 0,
        entry: None,
        changed: 0,
        position: 0,
        following: Following::Idle,
        message: None,
        late: None,
        fill: None,
        request: None,
    },
    revocation: Revocation::NotBegun,
};

impl State {
    /// Runs a statement in the database. Returns whether it took effect.
    fn run(&mut self, statement: Statement, mutant: Mutant) -> bool {
        let database = &mut self.database;
        let done = match statement {
            Statement::Renew { id, position } => {
                let found = database.node && database.id == id;
                if found {
                    database.reported = database.reported.max(position);
                }
                found
            }
            // The id was evicted long ago: the row belongs to no cache, and revocations wait for it in vain.
            Statement::Join { id } if id < database.id => return true,
            Statement::Join { id } => {
                let fresh = id > database.id || mutant == Mutant::SameId;
                if fresh {
                    (database.node, database.id, database.reported) = (true, id, database.position);
                }
                fresh
            }
        };
        if let Revocation::Committed(Watch::Coming { changed, .. } | Watch::Since { changed, .. }) =
            &mut self.revocation
        {
            *changed |= done;
        }
        done
    }

    fn join(mut self, mutant: Mutant) -> Self {
        let node = &mut self.node;
        node.id = if mutant == Mutant::SameId && node.id > 0 { node.id } else { node.id + 1 };
        (node.lease_end, node.following) = (0, Following::Idle);
        if mutant != Mutant::KeepCache {
            (node.entry, node.changed) = (None, 0);
        }
        if mutant != Mutant::KeepCache && mutant != Mutant::StaleFill {
            node.fill = None;
        }
        node.message = Some(Message::UnderWay { statement: Statement::Join { id: node.id }, sent: self.now });
        self
    }
}

/// The steps of the revoking node: commit, observe, evict, confirm.
fn revoking(s: State, mutant: Mutant, out: &mut Vec<(&'static str, State)>) {
    let with = |revocation| State { revocation, ..s };
    let watch = match s.revocation {
        Revocation::NotBegun => {
            let database = Database { session: false, position: 1, ..s.database };
            out.push(("commit", State { database, ..with(Revocation::Committed(Watch::Not)) }));
            return;
        }
        Revocation::Answered => return,
        Revocation::Committed(watch) => watch,
    };
    let behind = s.database.node && s.database.reported < 1;
    if !behind || mutant == Mutant::NoWait {
        out.push(("answer", with(Revocation::Answered)));
        return;
    }
    match watch {
        Watch::Not => out.push(("ask", with(Revocation::Committed(Watch::Asked { at: s.now })))),
        Watch::Asked { at } => {
            out.push(("look", with(Revocation::Committed(Watch::Coming { asked: at, changed: false }))));
        }
        Watch::Coming { asked, changed } => {
            let at = if mutant == Mutant::WatchFromQuestion { asked } else { s.now };
            out.push(("see", with(Revocation::Committed(Watch::Since { at, changed }))));
        }
        Watch::Since { at, changed } => {
            let silent = s.now >= at + LEASE || mutant == Mutant::DeleteEarly;
            if silent && mutant == Mutant::NotDeleted {
                out.push(("answer", with(Revocation::Answered)));
            } else if silent && (!changed || mutant == Mutant::DeleteRenewed) {
                out.push(("delete", State { database: Database { node: false, ..s.database }, ..s }));
            }
            if changed {
                out.push(("again", with(Revocation::Committed(Watch::Not))));
            }
        }
    }
}

/// The node joins, and renews its lease.
fn leasing(s: State, mutant: Mutant, out: &mut Vec<(&'static str, State)>) {
    let node = |change: &dyn Fn(&mut Node)| {
        let mut after = s;
        change(&mut after.node);
        after
    };
    match s.node.message {
        None => {
            // A lapsed lease can be renewed as long as the node was not evicted; the node may also rejoin. A node whose join
            // got no response does not know its position either, so it can only rejoin.
            if s.node.lease_end > 0 {
                let statement = Statement::Renew { id: s.node.id, position: s.node.position };
                out.push(("renew", node(&|n| n.message = Some(Message::UnderWay { statement, sent: s.now }))));
            }
            if s.node.lease_end <= s.now && s.node.id < INCARNATIONS {
                out.push(("join", s.join(mutant)));
            }
        }
        Some(Message::UnderWay { statement, sent }) => {
            let mut after = s;
            let found = after.run(statement, mutant);
            let position = after.database.position;
            after.node.message = None;
            out.push(("lost", after));
            after.node.message = Some(Message::Answered { statement, sent, found, position });
            out.push(("run", after));
            if s.node.late.is_none() {
                out.push(("give up", node(&|n| (n.message, n.late) = (None, Some(statement)))));
            }
        }
        Some(Message::Answered { statement, sent, found, position }) => {
            let counted_from = if mutant == Mutant::LeaseFromAnswer { s.now } else { sent };
            let lease_end = s.node.lease_end.max(counted_from + LEASE);
            match statement {
                _ if !found => {
                    let lost = node(&|n| (n.message, n.lease_end, n.entry, n.fill) = (None, 0, None, None));
                    if mutant == Mutant::KeepCache {
                        out.push(("refused", node(&|n| (n.message, n.lease_end) = (None, 0))));
                    } else {
                        out.push(("refused", lost));
                    }
                }
                Statement::Renew { .. } => {
                    out.push(("renewed", node(&|n| (n.message, n.lease_end) = (None, lease_end))));
                }
                Statement::Join { .. } => {
                    out.push(("joined", node(&|n| (n.message, n.lease_end, n.position) = (None, lease_end, position))));
                }
            }
        }
    }
    if let Some(statement) = s.node.late {
        let mut after = s;
        after.run(statement, mutant);
        after.node.late = None;
        out.push(("late", after));
    }
}

/// The node follows the log: it reads the invalidation, applies it, and only then advances and may report.
fn following(s: State, mutant: Mutant, out: &mut Vec<(&'static str, State)>) {
    let mut after = s;
    let node = &mut after.node;
    let evict_first = mutant != Mutant::ReportBeforeEvict;
    match s.node.following {
        Following::Idle if s.node.lease_end > 0 && s.database.position > s.node.position => {
            node.following = Following::Read;
            out.push(("read", after));
        }
        Following::Idle => {}
        Following::Read if evict_first => {
            (node.changed, node.following) = (1, Following::Half);
            out.push(("evict", after));
        }
        Following::Half if evict_first => {
            (node.position, node.following) = (1, Following::Idle);
            out.push(("advance", after));
        }
        Following::Read => {
            (node.position, node.following) = (1, Following::Half);
            out.push(("advance", after));
        }
        Following::Half => {
            (node.changed, node.following) = (1, Following::Idle);
            out.push(("evict", after));
        }
    }
}

/// The steps of a request, and of the fill that a miss begins.
fn asking(s: State, mutant: Mutant, out: &mut Vec<(&'static str, State)>) -> Result<(), ()> {
    let node = |change: &dyn Fn(&mut Node)| {
        let mut after = s;
        change(&mut after.node);
        after
    };
    let (n, holds) = (s.node, s.node.lease_end > s.now);
    match n.fill {
        Some(Fill::Noted { position }) => {
            let fill = Fill::Read { position, live: s.database.session };
            out.push(("read row", node(&|n| n.fill = Some(fill))));
            if position == OLD_POSITION || mutant == Mutant::RowOfAnOldLeader {
                out.push(("read old row", node(&|n| n.fill = Some(Fill::Read { position, live: true }))));
            }
        }
        Some(Fill::Read { live: false, .. }) => out.push(("no row", node(&|n| n.fill = None))),
        Some(Fill::Read { position, live: true }) => {
            let stamp = if mutant == Mutant::StampAfterRead { n.position } else { position };
            out.push(("fill", node(&|n| (n.entry, n.fill) = (Some(stamp), None))));
        }
        None => {}
    }
    let hit = n.entry.is_some_and(|stamp| stamp >= n.changed || mutant == Mutant::NoStamp);
    match n.request {
        None => out.push(("begin", node(&|n| n.request = Some(s.revocation == Revocation::Answered)))),
        Some(after_answer) if hit && (holds || mutant == Mutant::NoLease) => {
            if after_answer {
                return Err(());
            }
            out.push(("hit", node(&|n| n.request = None)));
        }
        Some(after_answer) => {
            // The row also serves this request. That the leader no longer has the row is known only from reading it.
            let old_row = (holds || mutant == Mutant::RowWithoutLease)
                && (n.position == OLD_POSITION || mutant == Mutant::RowOfAnOldLeader);
            if after_answer && (old_row || (s.database.session && holds)) {
                return Err(());
            }
            let fill = n.fill.or(holds.then_some(Fill::Noted { position: n.position }));
            out.push(("miss", node(&|n| (n.request, n.fill) = (None, fill))));
        }
    }
    Ok(())
}

fn steps(s: State, mutant: Mutant) -> Result<Vec<(&'static str, State)>, ()> {
    let mut out = Vec::with_capacity(12);
    if s.now < HORIZON {
        out.push(("tick", State { now: s.now + 1, ..s }));
    }
    revoking(s, mutant, &mut out);
    leasing(s, mutant, &mut out);
    following(s, mutant, &mut out);
    asking(s, mutant, &mut out)?;
    Ok(out)
}

/// Returns the number of states if none serves an ended session, or else a shortest trace to one that does.
fn explore(mutant: Mutant) -> Result<usize, String> {
    let mut states = vec![(START, 0, "")];
    let mut seen = HashMap::from([(START, ())]);
    let mut next = 0;
    while next < states.len() {
        let Ok(steps) = steps(states[next].0, mutant) else { return Err(trace(&states, next)) };
        for (name, state) in steps {
            if seen.insert(state, ()).is_none() {
                states.push((state, next, name));
            }
        }
        next += 1;
    }
    Ok(states.len())
}

fn trace(states: &[(State, usize, &'static str)], mut at: usize) -> String {
    let mut names = Vec::new();
    while at != 0 {
        names.push(states[at].2);
        at = states[at].1;
    }
    names.reverse();
    names.join(", ")
}

#[test]
#[cfg_attr(debug_assertions, ignore = "script/test runs it optimised")]
fn no_ended_session_is_served() {
    let states = explore(Mutant::None).unwrap_or_else(|trace| panic!("an ended session is served: {trace}"));
    println!("holds in all {states} states");
    assert!(states > 100_000, "only {states} states: the model is nearly idle");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "script/test runs it optimised")]
fn every_rule_of_the_lease_protocol_is_needed() {
    for mutant in MUTANTS {
        let trace = explore(mutant).expect_err(&format!("{mutant:?} serves no ended session"));
        println!("{mutant:?}: {trace}");
    }
}

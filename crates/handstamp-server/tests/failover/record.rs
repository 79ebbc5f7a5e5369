//! What everybody did and what they were answered, with the times.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::visitor::Page;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Registers,
    SignsIn,
    SignsOut,
    /// Opens the account with a live session.
    Browses,
    /// Opens the account with the copied cookie of a session whose end was answered.
    Replays,
}

impl Act {
    pub const ALL: [Self; 5] = [Self::Registers, Self::SignsIn, Self::SignsOut, Self::Browses, Self::Replays];

    /// What it is answered when all is well.
    fn good_answer(self) -> (u16, &'static str) {
        match self {
            Self::Registers | Self::SignsIn => (303, "/account"),
            Self::SignsOut => (303, "/"),
            Self::Browses => (200, ""),
            Self::Replays => (303, "/account/login?next=%2Faccount"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As when all is well.
    Good,
    /// 503, which promises nothing.
    ComeBack,
    /// What nobody may ever be told.
    Wrong(u16, String),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub act: Act,
    /// The number of the node that was asked.
    pub node: usize,
    pub begun: Instant,
    pub answered: Instant,
    pub answer: Answer,
}

/// The entries of all.
#[derive(Default)]
pub struct Record(Mutex<Vec<Entry>>);

impl Record {
    /// Notes what an act was answered just now, and says whether that was good.
    pub fn note(&self, act: Act, node: usize, begun: Instant, page: &Page) -> bool {
        let answer = match (page.status, page.location()) {
            told if told == act.good_answer() => Answer::Good,
            (503, _) => Answer::ComeBack,
            (status, location) => Answer::Wrong(status, location.to_owned()),
        };
        let is_good = answer == Answer::Good;
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry { act, node, begun, answered: Instant::now(), answer });
        is_good
    }

    /// The entries so far, in the order of their answers.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }
}

/// What the entries say of one act.
pub struct Figures {
    act: Act,
    /// How many good answers came before the leader failed, until there was another, and from then on.
    good: [usize; 3],
    come_back: usize,
    /// From the first request that was told to come back until the last was.
    trouble: Duration,
    /// The longest time without a good answer of any node.
    longest_wait: Duration,
    slowest: Duration,
    /// When each node first gave a good answer again, counted from when there was another leader.
    healed: BTreeMap<usize, Duration>,
}

impl Figures {
    pub fn new(act: Act, entries: &[Entry], failed: Instant, replaced: Instant) -> Self {
        let entries = entries.iter().filter(|entry| entry.act == act);
        let slowest = entries.clone().map(|entry| entry.answered - entry.begun).max().unwrap_or_default();
        let bad: Vec<_> = entries.clone().filter(|entry| entry.answer == Answer::ComeBack).collect();
        let good: Vec<_> = entries.filter(|entry| entry.answer == Answer::Good).collect();
        let good_until = |time: Instant| good.partition_point(|entry| entry.answered < time);
        let (before, meanwhile) = (good_until(failed), good_until(replaced));
        let troubled = bad.iter().map(|entry| entry.begun).min().zip(bad.iter().map(|entry| entry.answered).max());
        let mut healed = BTreeMap::new();
        for entry in &good[meanwhile..] {
            healed.entry(entry.node).or_insert(entry.answered - replaced);
        }
        Self {
            act,
            good: [before, meanwhile - before, good.len() - meanwhile],
            come_back: bad.len(),
            trouble: troubled.map_or(Duration::ZERO, |(first, last)| last - first),
            longest_wait: good.windows(2).map(|pair| pair[1].answered - pair[0].answered).max().unwrap_or_default(),
            slowest,
            healed,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { act, good: [before, meanwhile, after], come_back, trouble, longest_wait, slowest, healed } = self;
        write!(f, "{:9} {before:4} before {meanwhile:4} meanwhile {after:4} after, ", format!("{act:?}"))?;
        write!(f, "{come_back:4} x 503 within {trouble:.1?}, none well answered for {longest_wait:.1?}, ")?;
        write!(f, "slowest {slowest:.1?}, each node again after ")?;
        write!(f, "{:.2?}", healed.values())
    }
}

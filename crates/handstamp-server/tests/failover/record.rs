//! The record of a failover test: every request and its response, with their times.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use handstamp_testing::Page;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Registers,
    SignsIn,
    SignsOut,
    /// Opens the account page with a live session.
    Browses,
    /// Opens the account page with the copied cookie of a session whose sign-out was acknowledged.
    Replays,
}

impl Act {
    pub const ALL: [Self; 5] = [Self::Registers, Self::SignsIn, Self::SignsOut, Self::Browses, Self::Replays];

    /// The status and location of a normal response.
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
    /// The normal response.
    Good,
    /// 503, which promises nothing.
    ComeBack,
    /// Any other response, which must never occur.
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

/// The entries of all users.
#[derive(Default)]
pub struct Record(Mutex<Vec<Entry>>);

impl Record {
    /// Records the response to an act, and gives whether it is good.
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

    /// The entries so far, in the order of the responses.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }
}

/// The figures of one act.
pub struct Figures {
    act: Act,
    /// The number of good responses before the leader failed, until it was replaced, and after that.
    good: [usize; 3],
    come_back: usize,
    /// The time from the start of the first request that got 503 to the last 503.
    trouble: Duration,
    /// The longest time without a good response from any node.
    longest_wait: Duration,
    slowest: Duration,
    /// The time of each node's first good response, counted from when there was a new leader.
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
        write!(f, "{come_back:4} x 503 within {trouble:.1?}, no good response for {longest_wait:.1?}, ")?;
        write!(f, "slowest {slowest:.1?}, good responses of each node again after ")?;
        write!(f, "{:.2?}", healed.values())
    }
}

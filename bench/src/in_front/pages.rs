//! The cost of a small page, and its latency at a fixed rate.

use std::time::Duration;

use handstamp_bench::client::{Client, get};
use handstamp_bench::figures::{Latencies, median};
use handstamp_bench::load::{load_at_rate, load_for};

use crate::Options;
use crate::systems::{Kind, Parts, System};

/// Requests per second at the fixed rate: far fewer than the slowest system can answer.
pub const RATE: u32 = 1000;
/// The number of pieces of a turn. The systems alternate after each, since disturbances of a machine come and go within seconds.
const PIECES: u32 = 4;
const WARMING_UP: Duration = Duration::from_millis(500);

/// The measurements of one system, round by round.
#[derive(Default)]
pub struct Turns {
    /// Processor time per request, in microseconds, while the server never waits.
    pub busy: Vec<Parts>,
    pub a_second: Vec<f64>,
    /// Processor time per request at the fixed rate, over all rounds: the system counts in units of 10 ms, which is too coarse
    /// for one round.
    pub at_rate: Parts,
    /// In milliseconds, at the fixed rate.
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
}

/// Work that was done for requests.
#[derive(Default)]
struct Work {
    spent: Parts,
    latencies: Latencies,
}

impl Work {
    fn of(&mut self, system: &System, load: impl FnOnce() -> Latencies) {
        let before = system.processor_time();
        let latencies = load();
        self.add(system.processor_time().minus(before), latencies);
    }

    fn add(&mut self, spent: Parts, latencies: Latencies) {
        self.spent = self.spent.plus(spent);
        self.latencies = std::mem::take(&mut self.latencies).and(latencies);
    }

    fn microseconds(&self) -> Parts {
        let each = |seconds: f64| seconds * 1e6 / self.latencies.count() as f64;
        let Parts { handstamp, nginx, app } = self.spent;
        Parts { handstamp: each(handstamp), nginx: each(nginx), app: each(app) }
    }
}

pub struct Pages(pub Vec<(Kind, Turns)>);

impl Pages {
    /// # Panics
    /// When a system does not answer as it should.
    pub fn measure(options: &Options, cores: &str) -> Self {
        let systems = Kind::ALL.map(|kind| System::start(kind, options, cores));
        let requests: Vec<_> = systems.iter().map(|system| get("/", &system.cookies)).collect();
        for (system, request) in systems.iter().zip(&requests) {
            let mut client = Client::new(system.address);
            assert_eq!(client.ask(request).expect("it answers").status, 200);
            assert!(client.received().ends_with(b" "), "{} answers with the page of the app", system.kind.name());
            load_for(system.address, WARMING_UP, || request);
        }
        let mut all: Vec<_> = systems.iter().map(|system| (system.kind, Turns::default())).collect();
        let piece = options.lasting / PIECES;
        let mut at_rate_in_all: Vec<_> = systems.iter().map(|_| Work::default()).collect();
        for round in 0..options.rounds {
            eprintln!("pages: round {} of {}", round + 1, options.rounds);
            let mut busy: Vec<_> = systems.iter().map(|_| Work::default()).collect();
            let mut at_rate: Vec<_> = systems.iter().map(|_| Work::default()).collect();
            for first in 0..PIECES as usize {
                // Each is the first as often as the others.
                for place in (0..systems.len()).map(|place| (first + place) % systems.len()) {
                    let (system, request) = (&systems[place], &requests[place]);
                    busy[place].of(system, || load_for(system.address, piece, || request));
                    at_rate[place].of(system, || load_at_rate(system.address, RATE, piece, request));
                }
            }
            for (place, (_, turns)) in all.iter_mut().enumerate() {
                turns.busy.push(busy[place].microseconds());
                turns.a_second.push(busy[place].latencies.count() as f64 / (piece * PIECES).as_secs_f64());
                turns.p50.push(at_rate[place].latencies.per_mille(500));
                turns.p99.push(at_rate[place].latencies.per_mille(990));
            }
            for (all, round) in at_rate_in_all.iter_mut().zip(at_rate) {
                all.add(round.spent, round.latencies);
            }
        }
        for ((_, turns), work) in all.iter_mut().zip(at_rate_in_all) {
            turns.at_rate = work.microseconds();
        }
        Self(all)
    }

    fn of(&self, kind: Kind) -> &Turns {
        &self.0.iter().find(|(other, _)| *other == kind).expect("it is among them").1
    }

    /// A figure of Handstamp in front as a multiple of another system's, round by round.
    pub fn ratio(&self, other: Kind, figure: impl Fn(&Turns) -> Vec<f64>) -> f64 {
        let pairs = figure(self.of(Kind::InFront)).into_iter().zip(figure(self.of(other)));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// The totals of these rounds.
pub fn totals(rounds: &[Parts]) -> Vec<f64> {
    rounds.iter().map(|parts| parts.total()).collect()
}

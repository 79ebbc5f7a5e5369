//! A deterministic simulation of a cluster that runs the unmodified code of `sessions/`.
//!
//! Several nodes share a database. Statements are slow, get lost or run late. Nodes freeze, die and come back. Clocks drift
//! and are set. Deposed leaders still answer reads. A seed determines all of it.
//!
//! Four invariants must always hold. No request is served that began after the end of its session was confirmed. No request
//! sees an older name than one whose change was confirmed. No byte of an open stream passes after the end of its session was
//! confirmed. No session id means two assurance levels. A session whose level changes continues under another id and another secret,
//! and the end of the former one is confirmed like any other. `mutants.py` leaves out each rule of the protocol and checks that
//! the simulation catches it.
//!
//! `HANDSTAMP_SEED=7` replays a seed, `HANDSTAMP_STEPS=10000000` runs more steps.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    clippy::print_stdout
)]

#[path = "../../src/context.rs"]
mod context;
#[path = "../../src/environment.rs"]
mod environment;
#[path = "../../src/events.rs"]
mod events;
#[path = "../../src/log.rs"]
mod log;

mod database;
mod machine;
mod people;
mod sessions;
mod store;

use people::People;

/// Counts of events in a simulation, which show that it was not idle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub steps: u64,
    pub statements: u64,
    pub statements_lost: u64,
    pub statements_late: u64,
    pub statements_astray: u64,
    pub hits: u64,
    pub misses: u64,
    pub refused: u64,
    pub bytes_passed: u64,
    pub streams_cut: u64,
    pub levels_changed: u64,
    pub revocations_answered: u64,
    pub revocations_not_answered: u64,
    pub nodes_given_up: u64,
    pub pauses: u64,
    pub deaths: u64,
}

fn simulate(seed: u64, steps: u64) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(People::new(seed).live(steps)).map_err(|violation| {
        format!("{violation}\nreplay it: HANDSTAMP_SEED={seed} cargo test -p handstamp --test simulation")
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

const STEPS_A_SEED: u64 = 50_000;

#[test]
fn no_ended_session_is_served() {
    let steps = number("HANDSTAMP_STEPS").unwrap_or(1_000_000);
    let seeds = match number("HANDSTAMP_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=steps.div_ceil(STEPS_A_SEED),
    };
    for seed in seeds {
        match simulate(seed, STEPS_A_SEED) {
            Ok(tally) => {
                println!("seed {seed}: {tally:?}");
                let happened = [
                    tally.statements_lost,
                    tally.statements_late,
                    tally.statements_astray,
                    tally.hits,
                    tally.misses,
                    tally.refused,
                    tally.bytes_passed,
                    tally.streams_cut,
                    tally.levels_changed,
                    tally.revocations_answered,
                    tally.nodes_given_up,
                    tally.pauses,
                    tally.deaths,
                ];
                assert!(happened.iter().all(|count| *count > 10), "the simulation was nearly idle: {tally:?}");
                assert!(tally.hits > tally.misses / 3, "the cache was hardly used: {tally:?}");
            }
            Err(violation) => panic!("{violation}"),
        }
    }
}

#[test]
fn a_seed_can_be_replayed() {
    assert_eq!(simulate(7, 5_000), simulate(7, 5_000));
    assert_ne!(simulate(7, 5_000), simulate(8, 5_000));
}

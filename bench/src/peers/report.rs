//! The report of the peers: the tables, and the page around them.

use std::fmt::Write;

use handstamp_bench::figures::{Goal, median, number, with_spread};
use handstamp_bench::load::CONNECTIONS;
use handstamp_bench::machine::{Machine, version};
use handstamp_bench::ratios::{self, Ratio};

use crate::Options;
use crate::contest::{AXUM_LOGIN, BARE, EXTRACTOR, FLASK, FORWARD_AUTH, HANDSTAMP, Results, USERS};

/// The ratios of processor times, with their goals.
pub fn ratios(results: &Results) -> Vec<Ratio> {
    [
        ("`/account`, times bare axum", results.times_limit(HANDSTAMP), Goal::AtMost(1.5)),
        ("`/auth/request`, times bare axum", results.times_limit(FORWARD_AUTH), Goal::AtMost(1.15)),
        ("the extractor, times bare axum", results.times_limit(EXTRACTOR), Goal::AtMost(1.12)),
        ("axum-login with SQLite, times `/account`", results.ratio(AXUM_LOGIN, HANDSTAMP), Goal::AtLeast(5.0)),
        ("Flask, times `/account`", results.ratio(FLASK, HANDSTAMP), Goal::AtLeast(80.0)),
    ]
    .map(|(name, measured, goal)| Ratio { name, measured, goal })
    .into()
}

fn table(results: &Results) -> String {
    let mut table = "| | processor time, µs a request | × bare | × Handstamp | requests a second | p50, ms | p99, ms | MiB at rest | \
                     MiB under load | start, ms |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (entrant, turns) in results.each() {
        let times_bare = entrant.limit.map_or_else(String::new, |_| number(results.times_limit(entrant.name)));
        let is_peer = entrant.limit == Some(BARE) && entrant.name != HANDSTAMP;
        let times_ours = if is_peer { number(results.ratio(entrant.name, HANDSTAMP)) } else { String::new() };
        let middle = |values: &Vec<f64>| number(median(values.clone()));
        writeln!(
            table,
            "| {} | {} | {times_bare} | {times_ours} | {} | {} | {} | {} | {} | {} |",
            entrant.name,
            with_spread(&turns.microseconds),
            with_spread(&turns.a_second),
            middle(&turns.p50),
            middle(&turns.p99),
            middle(&turns.at_rest),
            middle(&turns.under_load),
            middle(&turns.started_in),
        )
        .expect("writing to a String never fails");
    }
    table
}

pub fn page(results: &Results, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let version = version();
    let (goals, table) = (ratios::table("processor time a request", &ratios(results)), table(results));
    format!(
        "# Side by side\n\n\
         Written by `script/bench`. `handstamp serve` as it is shipped, version {version}, beside common alternatives, and \
         beside bare axum that sends the same bytes and headers and does nothing else.\n\n\
         {description} Medians of {rounds} turns of \
         {seconds} seconds, with the least and the greatest value.\n\n\
         ![The processor time of a request, for each](peers.svg)\n\n\
         {goals}\n{table}\n\
         ## How it is measured\n\n\
         Each program is started on its own core, has {USERS} accounts in SQLite, and registers one more. The page of that account \
         is requested on {CONNECTIONS} connections, each again as soon as it is answered. The programs take turns, and each shares its turn with bare \
         axum, piece by piece, so that a disturbance affects both. A ratio to Handstamp is the quotient of two ratios to bare axum. \
         Processor time is what the system has counted for all processes of a program, including its own work for them. Memory is \
         the share of each in what is resident (`Pss`). A start lasts from the command to the line that \
         says where it listens, with all accounts there.\n\n\
         The peers are in `bench/peers`, each written as the documentation of its library recommends. They send a page of a heading \
         and none of our headers, so the comparison favours them: Handstamp sends ten times the bytes. `/auth/request` is requested with the \
         headers that our configuration of nginx sends, and the greeting is plain text from a handler of its own. The Python peers \
         run three workers of gunicorn on a core, as its documentation advises; gunicorn closes each connection after its answer.\n\n\
         Clients and server run on one machine. Where the clients have a core of their own, they cost the server only caches, \
         memory and the kernel’s work on their side of a connection. They never sleep until an answer comes: \
         waking them would be the server’s work, and as much as half of the rest of a request.\n"
    )
}

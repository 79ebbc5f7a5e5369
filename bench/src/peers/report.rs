//! The tables, and the page around them.

use std::fmt::Write;

use handstamp_bench::figures::{Goal, median, number};
use handstamp_bench::load::CONNECTIONS;
use handstamp_bench::machine::{Machine, version};
use handstamp_bench::ratios::{self, Ratio};

use crate::Options;
use crate::contest::{AXUM_LOGIN, BARE, EXTRACTOR, FLASK, FORWARD_AUTH, HANDSTAMP, Results, USERS};

/// Of processor times: what was promised of them.
pub fn ratios(results: &Results) -> Vec<Ratio> {
    [
        ("`/account`, times bare axum", results.times_limit(HANDSTAMP), Goal::AtMost(1.5)),
        ("`/auth/request`, times bare axum", results.times_limit(FORWARD_AUTH), Goal::AtMost(1.15)),
        ("the extractor, times bare axum", results.times_limit(EXTRACTOR), Goal::AtMost(1.12)),
        ("axum-login with SQLite, times `/account`", results.ratio(AXUM_LOGIN, HANDSTAMP), Goal::AtLeast(7.0)),
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
        .expect("memory takes all");
    }
    table
}

/// The median, and between which values it lies.
fn with_spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{} ({}–{})", number(median(values.to_vec())), number(least), number(most))
}

pub fn page(results: &Results, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let version = version();
    let (goals, table) = (ratios::table("processor time a request", &ratios(results)), table(results));
    format!(
        "# Side by side\n\n\
         Written by `script/bench`. `handstamp serve` as it is shipped, version {version}, beside what people would use otherwise, and \
         beside bare axum that sends the same bytes and headers and does nothing else.\n\n\
         {description} Medians of {rounds} turns of \
         {seconds} seconds, and the least and the most of them.\n\n\
         ![The processor time of a request, for each](peers.svg)\n\n\
         {goals}\n{table}\n\
         ## How it is measured\n\n\
         Each is started on its own core, has {USERS} accounts in SQLite, registers one more, and is asked for that one’s page \
         on {CONNECTIONS} connections, each again as soon as it is answered. They take turns, and each shares its turn with bare axum, piece by \
         piece: what disturbs one disturbs the other. Ratios to Handstamp are those of these ratios. Processor time is what the system has counted for all processes of a program, its own work for them \
         included; memory is the share of each in what is resident (`Pss`). A start lasts from the command to the line that \
         says where it listens, with all accounts there.\n\n\
         The peers are in `bench/peers`, each as the documentation of its library would have it. They send a page of a heading and \
         none of our headers, so what is compared favours them: Handstamp sends ten times the bytes. `/auth/request` is asked with the \
         headers that our configuration of nginx sends, and the greeting is plain text from a handler of its own. gunicorn runs three \
         workers on a core, as its documentation advises, and closes each connection after its answer.\n\n\
         Clients and server run on one machine. What the clients do costs the server nothing where they have a core of their own, \
         except caches, memory and the work of the kernel on their side of a connection. They never sleep until an answer comes: \
         to wake them would be the server’s work, and as much as half of the rest of a request.\n"
    )
}

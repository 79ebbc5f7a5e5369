//! The report of sign-ins: the figures, and the page around them.

use std::fmt::Write;

use handstamp_bench::figures::{Goal, median, number, with_spread};
use handstamp_bench::machine::{Machine, version};
use handstamp_bench::ratios::{self, Ratio};

use crate::{BROWSERS, Options, Results};

/// Sign-ins by passkey, for each by password: of turns that followed one another.
pub fn ratio(results: &Results) -> Ratio {
    let turns = results.passkey.a_second.iter().zip(&results.password.a_second);
    let measured = median(turns.map(|(passkey, password)| passkey / password).collect());
    Ratio { name: "by passkey, times those by password", measured, goal: Goal::AtLeast(3.0) }
}

pub fn page(results: &Results, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let version = version();
    let mut table = "| | sign-ins a second | processor time, ms a sign-in | p50, ms | p99, ms |\n\
                     | --- | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (name, turns) in [("by password", &results.password), ("by passkey", &results.passkey)] {
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} |",
            with_spread(&turns.a_second),
            with_spread(&turns.processor_time),
            number(turns.latencies.per_mille(500)),
            number(turns.latencies.per_mille(990)),
        )
        .expect("writing to a String never fails");
    }
    let goal = ratios::table("sign-ins a second", &[ratio(results)]);
    format!(
        "# Sign-ins\n\n\
         Written by `script/bench-sign-ins`. `handstamp serve` as it is shipped, version {version}, on SQLite in a new folder.\n\n\
         {description} Medians of {rounds} turns of {seconds} seconds, with the least and the greatest value.\n\n\
         {goal}\n{table}\n\
         ## How it is measured\n\n\
         {BROWSERS} browsers sign in at once, each in an account of its own, and again as soon as it is signed in. They take turns: all sign in \
         by password, then all by passkey. Each sends its cookies, so a sign-in ends the session before it. A sign-in by password is \
         one request, whose hash is that of the default settings. A sign-in by passkey is two: one for the options, and one with \
         the answer. The latency counts from the first request, and includes the signature of the client.\n\n\
         The passkeys are those of an authenticator in software, which signs each challenge with a key of its own (ES256) and counts its \
         signatures. Processor time is what the system has counted for the server. Clients and server run on one machine; a wait for the \
         disk, which both ways have, is part of the latency and not of the processor time.\n"
    )
}

//! The report of the floods: the table, and the page around it.

use std::fmt::Write;

use crate::Options;
use handstamp_bench::figures::{Figure, Goal, number, verdict};
use handstamp_bench::machine::{Machine, version};

pub fn table(figures: &[Figure]) -> String {
    let mut table = String::from("| | unloaded | loaded | promised | |\n| --- | ---: | ---: | ---: | --- |\n");
    for figure in figures {
        let Figure { name, unit, .. } = figure;
        let unloaded = figure.unloaded.map_or_else(|| "–".to_owned(), |value| format!("{} {unit}", number(value)));
        let said = |goal: Goal| (format!("{} {} {unit}", goal.word(), number(goal.limit())), verdict(figure.is_met()));
        let (promised, met) = figure.goal.map(said).unwrap_or_default();
        let loaded = number(figure.loaded);
        writeln!(table, "| {name} | {unloaded} | {loaded} {unit} | {promised} | {met} |")
            .expect("writing to a String never fails");
    }
    table
}

pub fn page(table: &str, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let version = version();
    format!(
        "# Floods and slow clients\n\n\
         Written by `script/bench-floods`. `handstamp serve` as it is shipped, version {version}, on SQLite in a new folder; \
         the clients count as a trusted proxy.\n\n\
         {description} Medians of {rounds} rounds \
         of {seconds} seconds.\n\n\
         ![Each figure, unloaded and loaded, with what was promised](floods.svg)\n\n\
         {table}\n\
         ## How it is measured\n\n\
         A signed-in visitor requests `/account` twenty-five times a second on a kept connection. The latency of each counts \
         from when it was due, not from when the last answer had come. Meanwhile a flood submits the \
         sign-in form with a wrong password on 64 connections, each again as soon as it is answered. Each guess is for another \
         account and from another address. All of them need a hash, and the server computes as many at once as it has cores. \
         Unloaded is the same visitor alone; for the rate of hashing, it is as many connections as the server has cores. \
         The hash alone is computed on the cores of the server while the server is idle, in turns of two seconds with a flood.\n\n\
         The queue holds fewer than 192 connections, so the rest are refused, a second after they ask. Another 64 connections \
         guess at one account, that of the signed-in visitor, and are refused at once when it is throttled. A refusal counts from when \
         the form is sent until its page has come; this includes the turns of 64 clients on one core.\n\n\
         One account takes more than its share in two ways. On 80 connections, each in a session of its own, it changes its \
         password without a pause, to the hundred characters for which the strength estimate takes longest. Each change revokes \
         the other sessions, which sign in again. On 150 connections it signs in with the right password and one of twenty device \
         cookies. Meanwhile another user signs in twice a second: from another network than the first load, and from the same \
         network as the second. The latency counts from when each was due.\n\n\
         Memory is the peak that the system has counted for the process (`VmHWM`), beside the value before the first password was \
         hashed (`VmRSS`). Allowed are 19 MiB for each concurrent hash, and 64 MiB.\n\n\
         Slow connections send a byte every ten seconds: of a head, of a form, or of a second head after an answer. `/healthz` is \
         requested twenty-five times a second, each time on a new connection, from before they open until they are cut.\n\n\
         Clients and server run on one machine. Where the clients have a core of their own, they cost the server only caches, \
         memory and the kernel’s work on their side of a connection. `--together` lets them share all cores.\n"
    )
}

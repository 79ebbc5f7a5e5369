//! The table, and the page around it.

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
        writeln!(table, "| {name} | {unloaded} | {loaded} {unit} | {promised} | {met} |").expect("memory takes all");
    }
    table
}

pub fn page(table: &str, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let version = version();
    format!(
        "# Floods and slow clients\n\n\
         Written by `script/bench-floods`. `handstamp serve` as it is shipped, version {version}, on SQLite in a new folder, \
         behind what it takes for a proxy.\n\n\
         {description} Medians of {rounds} rounds \
         of {seconds} seconds.\n\n\
         ![Each figure, unloaded and loaded, with what was promised](floods.svg)\n\n\
         {table}\n\
         ## How it is measured\n\n\
         The one who is signed in asks for `/account` twenty-five times a second on a kept connection, each time when it is due \
         and not when the last answer has come, and the time counts from when it was due. Meanwhile a flood submits the form of \
         the sign-in with a wrong password, on 64 connections, each again as soon as it is answered. Its guesses are of another \
         account and from another address each time: they all want a hash, and get as many at once as the server has cores. \
         Unloaded is the same visitor alone, and for the rate of the hashing as many connections as the server has cores. \
         Hashes by themselves are computed on the cores of the server while it has nothing to do, in turns of two seconds with a \
         flood. \
         192 connections are more than the queue holds, so the rest are refused, a second after they ask; and 64 that guess at one \
         account, that of the one who is signed in, are refused at once when it is blocked. A refusal counts from when \
         the form is sent until its page has come; 64 clients that take turns on one core are in it.\n\n\
         An account that wants more than its share does it in two ways. On 80 connections, each in a session of its own, it changes \
         its password without a pause, to the hundred characters that the strength estimate takes longest for: each change ends \
         the other sessions, which sign in again. And on 150 connections it signs in with the right password and one of twenty \
         device cookies. Meanwhile another person \
         signs in twice a second, from another network beside the first and from the same beside the second; the time counts \
         from when each was due.\n\n\
         Memory is what the system has counted for the process (`VmHWM`) beside what it was before the first password was hashed \
         (`VmRSS`); allowed are 19 MiB for each hash at once, and 64 MiB.\n\n\
         The slow send a byte every ten seconds: of a head, of a form, or of a second head after an answer. `/healthz` is asked \
         twenty-five times a second, each time on a new connection, from before they come until they are gone.\n\n\
         Clients and server run on one machine. What the clients do costs the server nothing where they have a core of their own, \
         except caches, memory and the work of the kernel on their side of a connection. `--together` lets them share all cores.\n"
    )
}

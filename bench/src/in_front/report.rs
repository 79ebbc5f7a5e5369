//! The report: the tables, and the page around them.

use std::fmt::Write;

use handstamp_bench::figures::{Goal, median, number, with_spread};
use handstamp_bench::load::CONNECTIONS;
use handstamp_bench::machine::{Machine, says, version};
use handstamp_bench::ratios::{self, Ratio};

use crate::Options;
use crate::bodies::{Bodies, STALL, Transfers};
use crate::pages::{Pages, RATE, totals};
use crate::sockets::{SIGN_OUTS, SignOuts, Sockets, postgres_version};
use crate::systems::{Kind, Parts};

/// The heading of the notes that a new report keeps.
pub const BY_HAND: &str = "\n## Where the processor time goes";

/// The figures with goals.
pub fn ratios(pages: &Pages, sockets: &Sockets) -> Vec<Ratio> {
    let processor_time = |other| pages.ratio(other, |turns| totals(&turns.busy));
    let p99 = |other| pages.ratio(other, |turns| turns.p99.clone());
    [
        ("processor time, times nginx and Handstamp beside", processor_time(Kind::Beside), Goal::AtMost(0.7)),
        ("processor time, times nginx without sign-in", processor_time(Kind::Nginx), Goal::AtMost(1.5)),
        ("p99, times nginx and Handstamp beside", p99(Kind::Beside), Goal::AtMost(0.7)),
        ("p99, times nginx without sign-in", p99(Kind::Nginx), Goal::AtMost(1.5)),
        ("sign-out that cuts a WebSocket, p50 in ms", sockets.among_many.answered.per_mille(500), Goal::Under(10.0)),
    ]
    .map(|(name, measured, goal)| Ratio { name, measured, goal })
    .into()
}

/// The medians of each program.
fn middle(rounds: &[Parts], part: impl Fn(&Parts) -> f64) -> String {
    let value = median(rounds.iter().map(part).collect());
    if value == 0.0 { "–".to_owned() } else { number(value) }
}

fn pages_table(pages: &Pages) -> String {
    let mut table = format!(
        "| | processor time, µs a request | of Handstamp | of nginx | of the app | requests a second | \
         at {RATE} a second, µs a request | p50, ms | p99, ms |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for (kind, turns) in &pages.0 {
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.name(),
            with_spread(&totals(&turns.busy)),
            middle(&turns.busy, |parts| parts.handstamp),
            middle(&turns.busy, |parts| parts.nginx),
            middle(&turns.busy, |parts| parts.app),
            number(median(turns.a_second.clone())),
            number(turns.at_rate.total()),
            with_spread(&turns.p50),
            with_spread(&turns.p99),
        )
        .expect("writing to a String never fails");
    }
    table
}

fn bodies_table(bodies: &Bodies) -> String {
    let mut table = "| | direction | MiB a second | processor time, s a GiB | of Handstamp | of nginx | of the app |\n\
                     | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let mut rows = |direction: &str, all: &[(Kind, Transfers)]| {
        for (kind, Transfers { a_second, spent }) in all {
            writeln!(
                table,
                "| {} | {direction} | {} | {} | {} | {} | {} |",
                kind.name(),
                with_spread(a_second),
                with_spread(&totals(spent)),
                middle(spent, |parts| parts.handstamp),
                middle(spent, |parts| parts.nginx),
                middle(spent, |parts| parts.app),
            )
            .expect("writing to a String never fails");
        }
    };
    rows("download", &bodies.downloads);
    rows("upload", &bodies.uploads);
    table
}

fn sign_outs_table(sockets: &Sockets) -> String {
    let mut table =
        "| sign-outs | answered, p50 ms | p99 ms | socket closed, p50 ms | p99 ms | closed before the answer |\n\
                     | --- | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    let mut row = |name: String, sign_outs: &SignOuts| {
        let of = |latencies: &handstamp_bench::figures::Latencies, rank| number(latencies.per_mille(rank));
        let SignOuts { answered, cut, cut_first } = sign_outs;
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {cut_first} of {} |",
            of(answered, 500),
            of(answered, 990),
            of(cut, 500),
            of(cut, 990),
            answered.count() - cut.count()
        )
        .expect("writing to a String never fails");
    };
    row("without other sockets".to_owned(), &sockets.without);
    row(format!("**among {} idle sockets**", sockets.count), &sockets.among_many);
    table
}

pub fn page(pages: &Pages, sockets: &Sockets, bodies: &Bodies, machine: &Machine, options: &Options) -> String {
    let (description, rounds, seconds) = (machine.description(), options.rounds, options.lasting.as_secs());
    let (version, postgres) = (version(), postgres_version());
    let nginx = says("sh", &["-c", "nginx -v 2>&1"]).replace("nginx version: ", "");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(2).unwrap_or_default();
    let goals = ratios::table("a small page, and a sign-out", &ratios(pages, sockets));
    let (pages, transfers, sign_outs) = (pages_table(pages), bodies_table(bodies), sign_outs_table(sockets));
    let Sockets { count, memory_each, before, with_sockets, .. } = sockets;
    let memory_each = number(*memory_each);
    let (before, with_sockets) = (number(*before), number(*with_sockets));
    let (at_rest, most) = (number(bodies.at_rest), number(bodies.most));
    let stall = STALL.as_secs();
    format!(
        "# In front of an app\n\n\
         Written by `script/bench-proxy`. `handstamp serve --app` as it is shipped, version {version}, beside {nginx}, on {postgres} \
         where there are several nodes.\n\n\
         {description} Load average of fifteen minutes at the end: {load}. The measurement itself makes that about 1.5.\n\n\
         {goals}\n\
         ## A small page of a signed-in user\n\n\
         Medians of {rounds} rounds of {seconds} seconds, with the least and the greatest value.\n\n\
         {pages}\n\
         ## Idle WebSockets, and sign-outs that cut one\n\n\
         {count} WebSockets of as many sessions are open through one of three nodes. Each takes {memory_each} KiB of \
         Handstamp: {before} MiB are resident before, and {with_sockets} MiB with them.\n\n\
         {sign_outs}\n\
         ## Bodies of a gibibyte\n\n\
         {transfers}\n\
         Handstamp in front had at most {at_rest} MiB resident before, with the 19 MiB of a password hash, and {most} MiB at most afterwards. \
         That includes a client that reads or sends nothing for {stall} seconds in the middle of a body.\n\n\
         ## How it is measured\n\n\
         The app in `bench/peers/app` is axum: it sends a page of one KiB, echoes the messages of a WebSocket, and streams bodies. Each system \
         has an app of its own. nginx has the configuration that `handstamp proxy-config nginx` prints, and without sign-in what is left of it \
         without the authorization (`bench/src/in_front/nginx.conf`). All programs of a system share the core of the server. \
         Processor time is what the system has counted for all of their processes, workers of nginx included, in user and in system mode.\n\n\
         The processor time of a page, and the requests a second, are those of {CONNECTIONS} connections, each of which asks again as soon as it \
         is answered. Latencies are those of {RATE} requests a second, sent whether or not others are answered, and count from when \
         a request was due. The systems take turns, four times in a round, and a ratio is the median of those of the rounds. \
         So a disturbance of the machine affects all systems alike. The processor time at {RATE} a second is that of all rounds together. The client never sleeps until an answer comes.\n\n\
         Before the WebSockets are opened, the nodes are started anew, so the memory of a socket has that of its session in the cache. Over \
         each socket one message has come and gone. Two open files are needed for each, which limits their number where the system \
         allows fewer than 20,400. The memory of the kernel is not counted. Then {SIGN_OUTS} times a user signs in, opens a WebSocket through \
         the node with all the others, and signs out on each of the three nodes in turn. Of half of the sign-outs it is measured when the socket is closed, and of the \
         others the socket is looked at as soon as the answer is there. The clients and PostgreSQL share \
         a core, and all nodes and the app the other. PostgreSQL does not wait for a disk (`fsync = off`). At the end all other sockets \
         are still open.\n"
    )
}

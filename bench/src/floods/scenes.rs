//! The scenes of the floods: each load on the server, beside the same measurement without it.
//!
//! Several rounds are played and the median counts, so that a disturbance of the machine does not.

use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::Options;
use crate::load::{Flood, Flooded, Guesses, Kept, dawdle, is_blocked_after_a_while, probe, sign_ins};
use crate::server::Server;
use handstamp_bench::client::{Answer, Client, change_password, get, post, post_with};
use handstamp_bench::figures::{Figure, Goal, Latencies, median};
use handstamp_bench::machine::{Machine, keep_this_thread_to};

/// Connections of wrong sign-ins: the number that the goals are for.
const FLOOD: usize = 64;
/// More connections than the queue of 64 holds.
const TOO_MANY: usize = 192;
const SLOW: usize = 2000;
/// The hash alone and a flood take turns in each round, since disturbances of a machine come and go within seconds.
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(2);
/// Rare enough that one connection keeps up though every answer takes a while.
const PROBE_EVERY: Duration = Duration::from_millis(40);
const WRONG: u16 = 422;
/// Connections that change the password of one account without a pause, each in a session of its own.
const CHANGING: usize = 80;
/// Connections of one account that sign in with the right password and its device cookies.
const RIGHT: usize = 150;
const DEVICES: usize = 20;
/// How often another user signs in.
const SIGN_IN_EVERY: Duration = Duration::from_millis(500);
/// The password of a hundred characters, of those that a search has found, for which the strength estimate takes longest.
const COSTLY: &str =
    "4@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<3";

pub struct Scenes<'a> {
    server: &'a Server,
    options: &'a Options,
    machine: &'a Machine,
    cookie: String,
    before: f64,
}

#[derive(Default)]
struct Rounds {
    quiet: Vec<Latencies>,
    flooded: Vec<Latencies>,
    rate: Vec<f64>,
    flooded_rate: Vec<f64>,
    /// The rates of the hash alone, and of sign-ins in the turn after each.
    hashes_alone: Vec<f64>,
    beside_hashes: Vec<f64>,
    overloaded: Vec<Latencies>,
    overloaded_rate: Vec<f64>,
    overloaded_visitor: Vec<Latencies>,
    blocked_alone: Vec<Latencies>,
    blocked: Vec<Latencies>,
    blocked_visitor: Vec<Latencies>,
    errors: u64,
}

impl<'a> Scenes<'a> {
    pub fn new(server: &'a Server, options: &'a Options, machine: &'a Machine) -> Self {
        let before = server.memory("VmRSS");
        Self { server, options, machine, cookie: server.member(), before }
    }

    pub fn play(&self) -> Vec<Figure> {
        let mut rounds = Rounds::default();
        for round in 1..=self.options.rounds {
            eprintln!("round {round} of {}", self.options.rounds);
            self.play_round(&mut rounds);
        }
        let peak = self.server.memory("VmHWM");
        self.wait_until_idle();
        let mut figures = Vec::from(self.visitor(&rounds));
        figures.extend(self.hashing(&rounds));
        figures.extend(refusals(&rounds));
        figures.push(self.memory(peak));
        eprintln!("one account that takes more than its share");
        figures.extend(self.shares());
        eprintln!("slow connections");
        figures.extend(self.slow());
        if rounds.errors > 0 {
            eprintln!("{} connections of floods broke", rounds.errors);
        }
        figures
    }

    fn play_round(&self, rounds: &mut Rounds) {
        self.wait_until_idle();
        rounds.quiet.push(self.visit());
        let few = self.machine.server_count();
        rounds.rate.push(rate(&self.flood(few, &Guesses::OfAnybody).0, self.options.lasting));
        for _ in 0..TURNS {
            rounds.hashes_alone.push(self.hashes_alone());
            let (flooded, ()) = self.flood_during(FLOOD, &Guesses::OfAnybody, || thread::sleep(TURN));
            rounds.errors += flooded.errors;
            rounds.beside_hashes.push(rate(&flooded, TURN));
        }

        let (flooded, visitor) = self.flood(FLOOD, &Guesses::OfAnybody);
        rounds.errors += flooded.errors;
        rounds.flooded_rate.push(rate(&flooded, self.options.lasting));
        rounds.flooded.push(visitor);

        let (overloaded, visitor) = self.flood(TOO_MANY, &Guesses::OfAnybody);
        rounds.errors += overloaded.errors;
        rounds.overloaded.push(overloaded.latencies(503));
        rounds.overloaded_rate.push(rate(&overloaded, self.options.lasting));
        rounds.overloaded_visitor.push(visitor);

        // The flood guesses at the account of the signed-in visitor.
        let ada = "ada%40example.com";
        if is_blocked_after_a_while(self.server.address, ada) {
            rounds.blocked_alone.push(self.flood(1, &Guesses::Of(ada)).0.latencies(429));
            let (blocked, visitor) = self.flood(FLOOD, &Guesses::Of(ada));
            rounds.errors += blocked.errors;
            rounds.blocked.push(blocked.latencies(429));
            rounds.blocked_visitor.push(visitor);
        }
    }

    /// The latencies of the signed-in visitor.
    fn visit(&self) -> Latencies {
        let request = get("/account", &self.cookie);
        probe(self.server.address, &request, PROBE_EVERY, self.options.lasting, Kept::Yes)
    }

    /// A flood, and the latencies of the signed-in visitor during it.
    fn flood(&self, connections: usize, guesses: &Guesses) -> (Flooded, Latencies) {
        self.flood_during(connections, guesses, || self.visit())
    }

    fn flood_during<T>(&self, connections: usize, guesses: &Guesses, meanwhile: impl FnOnce() -> T) -> (Flooded, T) {
        let flood = Flood::start(self.server.address, connections, guesses);
        thread::sleep(Duration::from_secs(1));
        flood.count();
        let noticed = meanwhile();
        flood.stop_counting();
        let flooded = flood.stop();
        self.wait_until_idle();
        (flooded, noticed)
    }

    /// Hashes per second on the cores of the server, which is idle meanwhile.
    fn hashes_alone(&self) -> f64 {
        let cores = self.machine.server_cores();
        thread::scope(|scope| {
            let one = |_| {
                scope.spawn(|| {
                    keep_this_thread_to(&cores);
                    hash_for(TURN)
                })
            };
            let all: Vec<_> = (0..self.machine.server_count()).map(one).collect();
            all.into_iter().map(|one| one.join().expect("hashes do not panic")).sum()
        })
    }

    /// Returns when no request waits for a hash any more.
    fn wait_until_idle(&self) {
        loop {
            let alone = Flood::start(self.server.address, 1, &Guesses::OfAnybody);
            let begun = Instant::now();
            alone.count();
            thread::sleep(Duration::from_millis(300));
            let answered = alone.stop().latencies(WRONG).count();
            if answered > 1 || begun.elapsed() > Duration::from_secs(10) {
                return;
            }
        }
    }

    fn visitor(&self, rounds: &Rounds) -> [Figure; 4] {
        let quiet = |of| middle(&rounds.quiet, of);
        let p99 = Goal::Under(2.0 * quiet(990) + 5.0);
        let figure = |name: &str, of, loaded: &[Latencies], goal| Figure {
            name: format!("/account of a signed-in visitor, {name}"),
            unit: "ms",
            unloaded: Some(quiet(of)),
            loaded: middle(loaded, of),
            goal,
        };
        [
            figure("half of the requests (p50)", 500, &rounds.flooded, None),
            figure("99 of 100 (p99)", 990, &rounds.flooded, Some(p99)),
            figure(&format!("p99 under {TOO_MANY} connections"), 990, &rounds.overloaded_visitor, None),
            figure("p99 while the account is throttled", 990, &rounds.blocked_visitor, None),
        ]
    }

    fn hashing(&self, rounds: &Rounds) -> [Figure; 3] {
        let figure = |connections, beside: &str, alone: &[f64], loaded: &[f64], share| Figure {
            name: format!("wrong sign-ins, {connections} connections beside {beside}"),
            unit: "/s",
            unloaded: Some(median(alone.to_vec())),
            loaded: median(loaded.to_vec()),
            goal: Some(Goal::AtLeast(share * median(alone.to_vec()))),
        };
        let few = self.machine.server_count().to_string();
        [
            figure(FLOOD, "the hash alone", &rounds.hashes_alone, &rounds.beside_hashes, 0.9),
            figure(FLOOD, &few, &rounds.rate, &rounds.flooded_rate, 0.8),
            figure(TOO_MANY, &few, &rounds.rate, &rounds.overloaded_rate, 0.8),
        ]
    }

    fn memory(&self, peak: f64) -> Figure {
        let bound = (self.machine.server_count() * 19 + 64) as f64;
        Figure {
            name: "peak memory, beside that before the first hash".to_owned(),
            unit: "MiB",
            unloaded: Some(self.before),
            loaded: peak,
            goal: Some(Goal::Under(self.before + bound)),
        }
    }

    /// The sign-ins of another user beside one account that takes more than its share.
    fn shares(&self) -> Vec<Figure> {
        let address = self.server.address;
        let (eve, bob) = ("eve%40example.com", "bob%40example.com");
        let costly: String = COSTLY.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (email, password) in [(eve, costly.as_str()), (bob, "plum-octave-harbour")] {
            let form = format!("name=Somebody&email={email}&password={password}");
            let answer = Client::new(address).ask(&post("/account/register", "192.0.2.9", &form));
            assert_eq!(answer.expect("it answers").status, 303, "registration");
        }
        let sign_in = format!("email={eve}&password={costly}");
        let quiet = sign_ins(address, "198.51.100.7", bob, SIGN_IN_EVERY, self.options.lasting).0;
        let noticed = |name: &str, flood: Flood, from: &str| {
            thread::sleep(Duration::from_secs(1));
            flood.count();
            let noticed = sign_ins(address, from, bob, SIGN_IN_EVERY, self.options.lasting);
            flood.stop_counting();
            let flooded = flood.stop();
            let answered = |status| flooded.latencies(status).count();
            eprintln!(
                "{name}: {} changed, {} signed in, {} of 401, {} of 429, {} of 503",
                answered(204),
                answered(303),
                answered(401),
                answered(429),
                answered(503)
            );
            self.wait_until_idle();
            noticed
        };
        let changing = {
            let (sign_in, mut cookies) = (sign_in.clone(), String::new());
            // Each change revokes the other sessions, which sign in again.
            Flood::of(address, CHANGING, move |_, last| {
                let given = last.map(Answer::cookies).unwrap_or_default();
                if !given.is_empty() {
                    cookies = given;
                }
                if matches!(last.map(|answer| answer.status), None | Some(401 | 429)) {
                    cookies.clear();
                }
                if cookies.is_empty() {
                    return post("/account/login", "192.0.2.9", &sign_in);
                }
                change_password(&cookies, "192.0.2.9", COSTLY, COSTLY)
            })
        };
        let changing = noticed("changing", changing, "198.51.100.7");
        let devices: Vec<String> = (0..DEVICES)
            .map(|_| {
                let answer = Client::new(address).ask(&post("/account/login", "192.0.2.9", &sign_in));
                let cookies = answer.expect("it answers").cookies();
                cookies.split("; ").find(|cookie| cookie.contains("device")).unwrap_or_default().to_owned()
            })
            .collect();
        let right = Flood::of(address, RIGHT, move |number, _| {
            post_with("/account/login", "192.0.2.9", &devices[number % devices.len()], &sign_in)
        });
        // From the same network, so that only the account distinguishes them.
        let right = noticed("signing in", right, "192.0.2.9");
        [
            (format!("{CHANGING} connections that change the password of one account"), changing),
            (format!("{RIGHT} connections with {DEVICES} device cookies of one account"), right),
        ]
        .into_iter()
        .flat_map(|(beside, (latencies, refused))| {
            let figure = |name: String, unit, unloaded, loaded, goal| Figure { name, unit, unloaded, loaded, goal };
            [
                figure(
                    format!("sign-in of another user beside {beside}, p99"),
                    "ms",
                    Some(quiet.per_mille(990)),
                    latencies.per_mille(990),
                    Some(Goal::Under(500.0)),
                ),
                figure(
                    format!("refused sign-ins of another user beside {beside}"),
                    "",
                    None,
                    refused as f64,
                    Some(Goal::AtMost(0.0)),
                ),
            ]
        })
        .collect()
    }

    fn slow(&self) -> [Figure; 4] {
        let health = get("/healthz", "");
        let lasting = Duration::from_secs(15);
        let ask = || probe(self.server.address, &health, PROBE_EVERY, lasting, Kept::No);
        let quiet = ask();
        let (cut, loaded) = thread::scope(|scope| {
            let slow = scope.spawn(|| dawdle(self.server.address, SLOW));
            let loaded = ask();
            (slow.join().expect("slow connections do not panic"), loaded)
        });
        let figure = |name: &str, of, goal| Figure {
            name: format!("/healthz beside {SLOW} slow connections, {name}"),
            unit: "ms",
            unloaded: Some(quiet.per_mille(of)),
            loaded: loaded.per_mille(of),
            goal,
        };
        let missing = SLOW - cut.count;
        let last = if missing == 0 { cut.last.as_secs_f64() } else { f64::NAN };
        [
            figure("p50", 500, None),
            figure("p99", 990, None),
            figure("the slowest", 1000, Some(Goal::Under(50.0))),
            Figure {
                name: format!("time until the last of {SLOW} slow connections was cut"),
                unit: "s",
                unloaded: None,
                loaded: last,
                goal: Some(Goal::Under(30.0)),
            },
        ]
    }
}

fn refusals(rounds: &Rounds) -> Vec<Figure> {
    let kinds = [
        ("503 when the queue is full", &rounds.overloaded, None),
        ("429 when the account is throttled", &rounds.blocked, Some(&rounds.blocked_alone)),
    ];
    let mut figures = Vec::new();
    for (kind, loaded, alone) in kinds.into_iter().filter(|(_, loaded, _)| !loaded.is_empty()) {
        // The goal is for the connections that guess at a throttled account, which are fewer than fill the queue.
        let promised = alone.is_some().then_some(Goal::Under(20.0));
        let percentiles = [("p50", 500, None), ("p99", 990, promised), ("the slowest", 1000, None)];
        figures.extend(percentiles.map(|(name, of, goal)| Figure {
            name: format!("{kind}, {name}"),
            unit: "ms",
            unloaded: alone.map(|alone| middle(alone, of)),
            loaded: middle(loaded, of),
            goal,
        }));
    }
    figures
}

fn middle(rounds: &[Latencies], of_a_thousand: usize) -> f64 {
    median(rounds.iter().map(|latencies| latencies.per_mille(of_a_thousand)).collect())
}

/// Sign-ins per second for which a hash was computed.
fn rate(flooded: &Flooded, lasting: Duration) -> f64 {
    flooded.latencies(WRONG).count() as f64 / lasting.as_secs_f64()
}

/// Hashes per second of one thread, at the settings of a sign-in: 19 MiB, twice.
fn hash_for(lasting: Duration) -> f64 {
    let params = Params::new(19_456, 2, 1, Some(32)).expect("RFC 9106 allows it");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = || {
        let done = argon2.hash_password_into_with_memory(b"plum-octave-harbour", &[3; 16], &mut [0; 32], &mut memory);
        done.expect("the parameters are right");
    };
    // From the second hash on the memory is allocated.
    hash();
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < lasting {
        hash();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

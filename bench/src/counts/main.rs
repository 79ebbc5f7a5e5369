//! Counts the instructions that a request takes outside the kernel, by callgrind, and compares them with `instructions.txt`.
//!
//! A difference of more than a tenth is a change that its author intended, or should know of. Run by script/test-all:
//!
//! `counts [--binary PATH] [--into FOLDER] [--keep]`

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use handstamp_bench::client::{self, Client, get, post};
use handstamp_bench::flags::Flags;
use handstamp_bench::folder::Folder;
use handstamp_bench::program::Program;

/// The number of requests before counting begins, as the first ones take more, and the number of those counted.
const REQUESTS: (u64, u64) = (200, 1000);
const TOLERANCE: f64 = 0.1;
/// The same for requests with passwords: fewer than any rate limit allows.
const PASSWORDS: (u64, u64) = (1, 3);
/// The most that a new password may cost, its own hash included, in hashes.
const MOST_HASHES: f64 = 4.0;
/// Passwords for which the strength estimate takes longest. The first three are those that an attacker would try; a search that
/// changed their characters has found the others (hill climbing, 25 s each). Only the first 20 characters are read.
const COSTLY: [&str; 6] = [
    "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~!\"#$%",
    "4@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<369&#!1|/0$57+%24@8({[<3",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv",
    "!\"{$<8i()*+<1K)|)254567[9ovR1!;@",
    "4@8({[9369~#!1|/0$57+%24@8({[<26",
    "4@{'{[<4+9S#!1|+s$57+HH4+8({H'36",
];
const PATHS: [&str; 4] = ["/account", "/auth/request", "/account/login", "/healthz"];

struct Options {
    binary: PathBuf,
    folder: PathBuf,
    keep: bool,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self { binary: "../target/release/handstamp".into(), folder: ".".into(), keep: false };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--keep" => options.keep = true,
                _ => return Err(flags.unknown()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether no count has changed by more than the tolerance.
fn run(options: &Options) -> Result<bool, String> {
    let file = options.folder.join("instructions.txt");
    let kept = if options.keep { BTreeMap::new() } else { kept(&file)? };
    let folder = Folder::new("counts");
    let cookies = register(&options.binary, folder.path());
    let mut counted =
        "# Instructions of a request outside the kernel; script/bench-counts --keep rewrites this file.\n".to_owned();
    let mut is_well = true;
    // Background jobs do what the registration has left to them: they send its mail, and seal its events.
    instructions(&options.binary, folder.path(), PATHS[0], &cookies, REQUESTS.1);
    for path in PATHS {
        let count = |requests| instructions(&options.binary, folder.path(), path, &cookies, requests);
        let each = (count(REQUESTS.0 + REQUESTS.1) - count(REQUESTS.0)) / REQUESTS.1;
        writeln!(counted, "{path} {each}").expect("writing to a String never fails");
        let Some(&before) = kept.get(path) else {
            println!("{path}: {each} instructions a request");
            is_well &= options.keep;
            continue;
        };
        let change = each as f64 / before as f64 - 1.0;
        let said = if change.abs() <= TOLERANCE { "unchanged" } else { "CHANGED" };
        println!("{path}: {each} instructions a request, {:+.1} % of {before}: {said}", change * 100.0);
        is_well &= change.abs() <= TOLERANCE;
    }
    is_well &= passwords_are_bounded(options, folder.path());
    if options.keep {
        std::fs::write(&file, counted).map_err(|error| format!("{}: {error}", file.display()))?;
    } else if !is_well {
        println!("If this change is intended, keep it: script/bench-counts --keep");
    }
    Ok(is_well)
}

/// Whether no new password costs more than a few hashes. Work whose size a client chooses would keep others from signing in.
fn passwords_are_bounded(options: &Options, folder: &Path) -> bool {
    let act = |make: &dyn Fn() -> Vec<u8>| {
        let count = |requests| instructions_of(&options.binary, folder, requests, &[303, 422], make);
        (count(PASSWORDS.0 + PASSWORDS.1) - count(PASSWORDS.0)) / PASSWORDS.1
    };
    let wrong = "email=ada%40example.com&password=wrong-octave-harbour";
    let hash = act(&|| post("/account/login", "", wrong));
    println!("one hash, in a wrong sign-in: {hash} instructions");
    let mut is_well = true;
    // Each address is new: for one that has an account no password is evaluated.
    let newest = Cell::new(0);
    for (number, password) in COSTLY.iter().enumerate() {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let each = act(&|| {
            newest.set(newest.get() + 1);
            let form = format!("name=Eve&email=eve{}%40example.com&password={encoded}", newest.get());
            post("/account/register", "", &form)
        });
        let hashes = each as f64 / hash as f64;
        let said = if hashes <= MOST_HASHES { "at most" } else { "MORE than" };
        println!("costly password {}: {hashes:.1} hashes, {said} {MOST_HASHES}", number + 1);
        is_well &= hashes <= MOST_HASHES;
    }
    is_well
}

fn kept(file: &Path) -> Result<BTreeMap<String, u64>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| line.split_once(' ').and_then(|(path, count)| Some((path.to_owned(), count.parse().ok()?)));
    lines.map(|line| pair(line).ok_or_else(|| format!("{}: {line:?} is not a count", file.display()))).collect()
}

fn arguments(data: &str) -> [&str; 5] {
    ["serve", "--listen", "127.0.0.1:0", "--data-dir", data]
}

/// The cookies of a newly registered user.
fn register(binary: &Path, folder: &Path) -> String {
    let data = folder.join("data");
    let program = Program::start("0", binary, &arguments(data.to_str().expect("a plain name")), &[]);
    client::register(program.address, "", "Ada+Lovelace", "ada%40example.com")
}

/// The instructions of this many requests on one connection, including the start and the end of the program.
fn instructions(binary: &Path, folder: &Path, path: &str, cookies: &str, requests: u64) -> u64 {
    instructions_of(binary, folder, requests, &[200, 303], &|| get(path, cookies))
}

/// The same for requests that are made one after the other, and answered with one of these statuses.
fn instructions_of(binary: &Path, folder: &Path, requests: u64, statuses: &[u16], make: &dyn Fn() -> Vec<u8>) -> u64 {
    let (data, out) = (folder.join("data"), folder.join("callgrind.out"));
    let out_flag = format!("--callgrind-out-file={}", out.display());
    let binary = binary.to_str().expect("a plain name");
    let valgrind = ["--tool=callgrind", "--quiet", &out_flag, binary];
    let all = [valgrind.as_slice(), &arguments(data.to_str().expect("a plain name"))].concat();
    let program = Program::start("0", Path::new("valgrind"), &all, &[("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "0")]);
    let mut client = Client::new(program.address);
    for _ in 0..requests {
        let answer = client.ask(&make()).expect("it answers");
        assert!(statuses.contains(&answer.status), "{}", answer.status);
    }
    drop(client);
    program.end();
    let text = std::fs::read_to_string(&out).expect("callgrind writes what it counted");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    total.and_then(|count| count.parse().ok()).expect("it counts")
}

//! Measures the filter of breached passwords: how long it takes to make, in which memory, its size, its false positives, and
//! the time of a look-up.
//!
//! Run by script/bench-blocklist: `blocklist BINARY FOLDER NUMBER …` makes a list of each number of passwords in the folder, and
//! prints a report in Markdown. The disk needs 55 bytes for each password of the largest list.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handstamp::{Blocklist, Password};
use handstamp_bench::machine::Machine;
use handstamp_core::blocklist::HEADER_BYTES;
use sha1::{Digest, Sha1};

/// How many passwords that are in no list are looked up.
const OTHERS: u64 = 20_000_000;
/// How many passwords of a list are looked up.
const LISTED: u64 = 1_000_000;
/// The look-ups after which each of the 4,096 shards has been verified, but for one in a thousand runs.
const FIRST: u64 = 80_000;
/// The shards of a larger list have more keys. So the first 82 shards of this many passwords are made as well.
const BILLION: u64 = 1_000_000_000;
const PART_OF_BILLION: u64 = 20_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As the lists of the downloader are.
    Sorted,
    /// The keys of a shard are scattered over the disk.
    Scattered,
    /// The beginning of a sorted list.
    PartOfBillion,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Sorted => "sorted",
            Self::Scattered => "none",
            Self::PartOfBillion => "the first of a billion",
        }
    }
}

/// The text of a password: those of a list have numbers below its length.
fn text(number: u64) -> String {
    format!("password {number}")
}

/// Writes a list of so many passwords as the downloader does. A sorted list has digits that are no SHA-1 of `text`.
fn write_list(path: &Path, passwords: u64, order: Order) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..passwords {
        let mut sha1: [u8; 20] = Sha1::digest(text(number)).into();
        if order != Order::Scattered {
            let of = if order == Order::Sorted { passwords } else { BILLION };
            let first = (u128::from(number) << 64) / u128::from(of);
            sha1[..8].copy_from_slice(&(first as u64).to_be_bytes());
        }
        let mut line = [0; 40];
        for (digits, byte) in line.chunks_exact_mut(2).zip(sha1) {
            digits[0] = b"0123456789ABCDEF"[usize::from(byte >> 4)];
            digits[1] = b"0123456789ABCDEF"[usize::from(byte & 15)];
        }
        file.write_all(&line)?;
        write!(file, ":{}\r\n", 1 + number % 50)?;
    }
    file.flush()
}

/// The making of a filter.
struct Made {
    seconds: f64,
    /// Of the processor, which other work on the machine does not prolong as much.
    processor_seconds: f64,
    peak_mib: f64,
    /// The most that the files beside the list took.
    disk_bytes: u64,
}

fn make(binary: &str, list: &Path, filter: &Path) -> Made {
    let begun = Instant::now();
    let mut command = Command::new(binary);
    command.args(["passwords", "build"]).arg(list).arg("--output").arg(filter).stdout(Stdio::null());
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{binary}: {error}"));
    let (mut peak_kib, mut disk_bytes, mut processor_seconds) = (0, 0, 0.0);
    let work = filter.with_file_name("filter.partial");
    while process.try_wait().expect("it can be waited for").is_none() {
        peak_kib = peak_kib.max(peak_kib_of(&process));
        disk_bytes = disk_bytes.max(bytes_in(&work));
        processor_seconds = processor_seconds_of(&process).max(processor_seconds);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(process.wait().is_ok_and(|status| status.success()), "it makes the filter");
    let (seconds, peak_mib) = (begun.elapsed().as_secs_f64(), peak_kib as f64 / 1024.0);
    Made { seconds, processor_seconds, peak_mib, disk_bytes }
}

/// The time that a process has used so far, in and outside the kernel. Linux counts it in hundredths of a second.
fn processor_seconds_of(process: &Child) -> f64 {
    let fields = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    // The name of the program, which may have spaces, ends with the parenthesis.
    let fields = fields.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn peak_kib_of(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// How many of these passwords a filter has, and how long a look-up takes.
fn look_up(filter: &Blocklist, numbers: impl Iterator<Item = u64>) -> (u64, Duration) {
    let (mut found, mut taken, mut looked_up) = (0, Duration::ZERO, 0);
    for number in numbers {
        let password = Password::parse(&text(number)).expect("it is short");
        let begun = Instant::now();
        let contains = black_box(filter.contains(&password)).expect("the filter can be read");
        taken += begun.elapsed();
        found += u64::from(contains);
        looked_up += 1;
    }
    (found, taken / looked_up)
}

fn read_whole(path: &Path) -> Duration {
    let (begun, mut chunk) = (Instant::now(), vec![0; 1 << 20]);
    let mut file = File::open(path).expect("it was written");
    while file.read(&mut chunk).expect("it can be read") > 0 {}
    begun.elapsed()
}

fn main() {
    let machine = Machine::divide(true);
    let mut arguments = std::env::args().skip(1);
    let (binary, folder) = (arguments.next(), arguments.next().map(PathBuf::from));
    let (binary, folder) = (binary.expect("the binary is named"), folder.expect("the folder is named"));
    let numbers: Vec<u64> = arguments.map(|number| number.parse().expect("it is a number")).collect();
    let (list, filter) = (folder.join("list"), folder.join("filter"));
    let (mut making, mut looking_up) = (String::new(), String::new());
    let mut measure = |passwords: u64, order: Order| {
        write_list(&list, passwords, order).expect("the list can be written");
        let list_bytes = fs::metadata(&list).expect("it was written").len();
        let reading = read_whole(&list).as_secs_f64();
        let Made { seconds, processor_seconds, peak_mib, disk_bytes } = make(&binary, &list, &filter);
        // The header has the same length for any number of passwords, and is left out.
        let bytes = fs::metadata(&filter).expect("it was made").len();
        writeln!(
            making,
            "| {passwords} | {} | {:.2} GB | {reading:.1} s | {seconds:.1} s | {processor_seconds:.1} s | {:.0} ns | {peak_mib:.0} MiB | {:.2} GB | {:.3} GB | {:.2} |",
            order.name(),
            list_bytes as f64 / 1e9,
            1e9 * processor_seconds / passwords as f64,
            disk_bytes as f64 / 1e9,
            bytes as f64 / 1e9,
            8.0 * (bytes - HEADER_BYTES as u64) as f64 / passwords as f64
        )
        .expect("a string grows");
    };
    measure(PART_OF_BILLION, Order::PartOfBillion);
    for passwords in numbers {
        measure(passwords, Order::Sorted);
        // Last, as this list has the passwords whose texts are known.
        measure(passwords, Order::Scattered);
        let open = Blocklist::open(&filter).expect("it can be opened");
        let (_, first) = look_up(&open, passwords..passwords + FIRST);
        let (listed, _) = look_up(&open, (0..LISTED).map(|step| step * (passwords / LISTED).max(1) % passwords));
        let (false_positives, later) = look_up(&open, passwords + FIRST..passwords + FIRST + OTHERS);
        writeln!(
            looking_up,
            "| {passwords} | {listed} of {LISTED} | {false_positives} of {OTHERS} | {:.5} % | {:.2} µs | {:.2} µs |",
            100.0 * false_positives as f64 / OTHERS as f64,
            first.as_secs_f64() * 1e6,
            later.as_secs_f64() * 1e6
        )
        .expect("a string grows");
    }
    for file in [list, filter] {
        fs::remove_file(file).expect("it was written");
    }
    println!(
        "# The filter of breached passwords\n\nWritten by `script/bench-blocklist`.\n\n{}\n",
        machine.description()
    );
    println!("## Making it\n");
    println!(
        "The lists have lines like those of the downloader. Each is read once before, by itself. The first {PART_OF_BILLION} of a billion make shards of the size that a billion make.\n"
    );
    println!(
        "| passwords | order | list | reading it | making the filter | of the processor | a password | peak memory | peak disk | filter | bits a password |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n{making}");
    println!("## Looking passwords up\n");
    println!(
        "A filter finds all that are in it, and by chance one of 65,536 others (0.00153 %). The first {FIRST} look-ups verify the checksums of the 4,096 shards as well.\n"
    );
    println!(
        "| passwords | found of those in it | found of others | false positives | the first look-ups, each | later ones, each |"
    );
    println!("| --- | --- | --- | --- | --- | --- |\n{looking_up}");
}

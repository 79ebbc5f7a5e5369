//! `handstamp passwords build`: what it reads, and what remains when it fails or is killed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use handstamp_testing::{SeededRng, TempFolder, TestServer, handstamp_binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::disk::SmallDisk;

fn digits(password: &str) -> String {
    Sha1::digest(password).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02X}").unwrap();
        digits
    })
}

/// The list of these passwords as the downloader writes it, but for their order.
pub fn list_of<'a>(passwords: impl Iterator<Item = &'a str>) -> String {
    passwords.map(|password| digits(password) + ":7\r\n").collect()
}

/// Lines of so many passwords, sorted as those of the downloader are.
fn lines(passwords: u32) -> BTreeSet<String> {
    (0..passwords).map(|number| format!("{}:{}", digits(&format!("password {number}")), 1 + number % 3)).collect()
}

/// A folder in which filters are made.
struct Builder(TempFolder);

impl Builder {
    fn new() -> Self {
        Self(TempFolder::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(handstamp_binary());
        command
            .args(["passwords", "build"])
            .args(arguments)
            .env_clear()
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The filter of an input.
    fn makes(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(&[arguments, &["--output", "filter"]].concat());
        assert!(output.status.success(), "{}", error_of(&output));
        assert!(!self.path("filter.partial").exists());
        fs::read(self.path("filter")).unwrap()
    }

    fn fails(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        error_of(&output)
    }

    /// Writes a file of the folder in which the filter is made.
    fn leaves(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write(&format!("filter.partial/{name}"), content);
        fs::set_permissions(self.path("filter.partial"), Permissions::from_mode(0o700)).unwrap();
    }

    /// Kills a run once its stored progress is so, and returns what it said. The progress is null while none is stored. A run that
    /// ends before that is noticed begins again.
    fn is_killed_once(&self, arguments: &[&str], is_so: impl Fn(&Value) -> bool) -> String {
        let mut runs = (0..20).map(|_| self.is_killed_in_time(arguments, &is_so));
        runs.find_map(|told| told).expect("one of the runs is killed in time")
    }

    /// The same for one run; none if it ends before.
    fn is_killed_in_time(&self, arguments: &[&str], is_so: impl Fn(&Value) -> bool) -> Option<String> {
        let mut process = self.runs_until(arguments, is_so)?;
        process.kill().unwrap();
        Some(error_of(&process.wait_with_output().unwrap()))
    }

    /// A run whose stored progress is so, and which is stopped (SIGSTOP); none if it has ended before.
    fn runs_until(&self, arguments: &[&str], is_so: impl Fn(&Value) -> bool) -> Option<Child> {
        let mut process = self.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        loop {
            // It is stopped while its progress is read, so it goes no further, however busy the machine is.
            std::thread::sleep(Duration::from_millis(1));
            send(&process, Signal::STOP);
            let stored = fs::read(self.path("filter.partial/progress.json")).unwrap_or_default();
            if is_so(&serde_json::from_slice(&stored).unwrap_or_default()) {
                return Some(process);
            }
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not come so far");
            send(&process, Signal::CONT);
        }
    }
}

fn send(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

/// Whether some of the input is stored, but not all.
fn reads(progress: &Value) -> bool {
    progress["bytes"].as_u64() > Some(0) && progress["is_read"] == false
}

/// Whether some shards are stored.
fn builds(progress: &Value) -> bool {
    progress["shards"].as_u64() > Some(0)
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_same_passwords_make_the_same_filter_in_every_form() {
    let here = Builder::new();
    let lines = lines(5000);
    let mut scattered: Vec<&String> = lines.iter().collect();
    let rng = SeededRng::new(1);
    for place in (1..scattered.len()).rev() {
        scattered.swap(place, rng.below(place as u64 + 1) as usize);
    }
    here.write("sorted", lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
    let scattered: Vec<String> = scattered.into_iter().map(|line| line.to_lowercase()).collect();
    here.write("scattered", format!("\u{FEFF}\n{}\n\n{}", scattered.join("\n"), scattered[..100].join("\n")));
    for line in &lines {
        let file = here.path("folder").join(format!("{}.txt", &line[..5]));
        let before = fs::read_to_string(&file).unwrap_or_default();
        let separator = if before.is_empty() { "" } else { "\r\n" };
        here.write(&format!("folder/{}.txt", &line[..5]), format!("{before}{separator}{}", &line[5..]));
    }
    let expected = here.makes(&["sorted"]);
    assert!(here.makes(&["scattered"]) == expected);
    assert!(here.makes(&["folder"]) == expected);
    assert!(here.makes(&["folder", "sorted", "--min-count", "1"]) == expected);
    let output = here.run(&["scattered", "--min-count", "2", "--output", "filter", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (rare, kept) = (1667 + scattered[..100].iter().filter(|line| line.ends_with(":1")).count(), 3333);
    assert_eq!((&report["passwords"], &report["seen_too_rarely"]), (&kept.into(), &rare.into()), "{report}");
    assert_eq!(report["duplicates"], 5100 - rare - kept);
    let told = error_of(&here.run(&["folder", "--output", "filter"]));
    assert!(told.contains("of 1048576 files: the download is not complete"), "{told}");
}

#[test]
fn an_input_that_is_no_list_is_reported_with_its_file_and_line() {
    let here = Builder::new();
    let good = list_of(["plum-octave-harbour"].into_iter());
    let sha1 = digits("plum-octave-harbour");
    for (line, says) in [
        ("plum-octave-harbour", "has no colon"),
        (&sha1, "has no colon"),
        (&format!("{}:1", &sha1[5..]), "has 35 characters before the colon, where lists of SHA-1 have 40"),
        (&format!("{}:1", &sha1[8..]), "has 32 characters"),
        (&format!("{}G:1", &sha1[1..]), "has a character before the colon that is no hexadecimal digit"),
        (&format!("{sha1}:"), "has no number after the colon"),
        (&format!("{sha1}:one"), "has no number after the colon"),
        (&format!("{sha1}:-1"), "has no number after the colon"),
        (&format!("{sha1}:99999999999999999999"), "has no number after the colon"),
        (&"0".repeat(5000), "is too long"),
        (&"0".repeat(3_000_000), "is too long"),
    ] {
        for end in ["", "\n", &format!("\n{good}")] {
            here.write("list", format!("{good}\n{line}{end}"));
            let error = here.fails(&["list", "--output", "filter"], 1);
            assert!(error.contains(&format!("list, line 3: {says}")), "{error}");
        }
    }
    here.write("folder/ABCDE.txt", format!("{}:1", sha1));
    let error = here.fails(&["folder", "--output", "filter"], 1);
    assert!(error.contains("folder/ABCDE.txt, line 1: has 40 characters"), "{error}");
    here.write("folder/readme.txt", "");
    let error = here.fails(&["folder", "--output", "filter"], 1);
    assert!(error.contains("folder/readme.txt") && error.contains("00000.txt to FFFFF.txt"), "{error}");
    here.write("list", &good);
    let error = here.fails(&["list", "--min-count", "8", "--output", "filter"], 1);
    assert!(error.contains("no password that was seen 8 times or more"), "{error}");
    assert!(here.fails(&["nowhere", "--output", "filter"], 1).contains("nowhere: No such file"));
    assert!(here.fails(&["/dev/null", "--output", "filter"], 1).contains("neither a file nor a folder"));
    fs::create_dir(here.path("empty")).unwrap();
    assert!(here.fails(&["empty", "--output", "filter"], 1).contains("empty is empty"));
    here.fails(&["list", "--min-count", "0", "--output", "filter"], 2);
    assert!(!here.path("filter").exists());
}

/// How many passwords are in a list of which progress is stored while it is read, after 16 MiB.
const MANY: u32 = 400_000;

/// A folder with such a list, and the filter of it.
fn with_a_long_list() -> (Builder, &'static [u8]) {
    static MADE: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| {
        let list: String = lines(MANY).iter().map(|line| format!("{line}\r\n")).collect();
        let here = Builder::new();
        here.write("list", &list);
        let filter = here.makes(&["list"]);
        (list, filter)
    });
    let here = Builder::new();
    let (list, filter) = &*MADE;
    here.write("list", list);
    here.write("filter", filter);
    (here, filter)
}

const RUN: [&str; 3] = ["list", "--output", "filter"];

#[test]
fn a_killed_build_goes_on_and_makes_the_same_bytes() {
    let (here, expected) = with_a_long_list();
    here.write("filter", &expected[..16]);
    let mut runs = (0..20).map(|_| {
        here.is_killed_once(&RUN, reads);
        let told = here.is_killed_in_time(&RUN, builds);
        if told.is_none() {
            here.write("filter", &expected[..16]);
        }
        told
    });
    let told = runs.find_map(|told| told).expect("one of the runs is killed in time");
    assert!(told.contains("going on where an earlier run stopped") && told.contains("MB are read"), "{told}");
    assert_eq!(fs::read(here.path("filter")).unwrap(), &expected[..16], "an earlier filter stays until the end");
    let output = here.run(&RUN);
    let told = error_of(&output);
    assert!(output.status.success() && told.contains("of 4096 shards are built"), "{told}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.split(',').next().unwrap(), format!("made filter: {MANY} passwords"));
    assert!(!told.contains("duplicates"), "no line is read twice: {told}");
    assert!(fs::read(here.path("filter")).unwrap() == expected);
    assert!(!here.path("filter.partial").exists());
}

#[test]
fn a_build_of_another_input_begins_anew() {
    let (here, expected) = with_a_long_list();
    let other_flag = [&RUN[..], &["--min-count", "2"]].concat();
    here.is_killed_once(&RUN, reads);
    // From the moment at which it overwrites the files of the first run, nothing says that they are those.
    let told = here.is_killed_once(&other_flag, Value::is_null);
    assert!(told.is_empty() || told.contains("beginning anew"), "{told}");
    assert!(fs::read(here.path("filter")).unwrap() == expected, "it was killed at its end");
    assert!(here.makes(&["list"]) == expected);

    // As if it had been killed between putting the filter in its place and removing its folder.
    here.is_killed_once(&RUN, builds);
    fs::rename(here.path("filter.partial/filter"), here.path("filter")).unwrap();
    let output = here.run(&RUN);
    assert!(output.status.success() && error_of(&output).contains("beginning anew"), "{}", error_of(&output));
    assert!(fs::read(here.path("filter")).unwrap() == expected);

    here.is_killed_once(&other_flag, reads);
    let list = fs::read(here.path("list")).unwrap();
    let half = list[..list.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    here.write("list", &list[..half]);
    let output = here.run(&other_flag);
    assert!(output.status.success() && error_of(&output).contains("beginning anew"), "{}", error_of(&output));
    let filter = fs::read(here.path("filter")).unwrap();
    assert!(here.makes(&["list", "--min-count", "2"]) == filter && filter != expected);
}

#[test]
fn a_list_that_grows_while_it_is_read_makes_no_filter() {
    let (here, _) = with_a_long_list();
    let mut runs = (0..20).map(|_| {
        fs::remove_file(here.path("filter")).unwrap();
        here.runs_until(&RUN, reads)
    });
    let process = runs.find_map(|process| process).expect("one of the runs is stopped in time");
    let mut list = OpenOptions::new().append(true).open(here.path("list")).unwrap();
    std::io::Write::write_all(&mut list, list_of(["plum-octave-harbour"].into_iter()).as_bytes()).unwrap();
    send(&process, Signal::CONT);
    let output = process.wait_with_output().unwrap();
    assert!(!output.status.success() && error_of(&output).contains("changed while it was read"), "{output:?}");
    assert!(!here.path("filter").exists());
}

#[test]
fn what_an_earlier_run_left_is_not_mixed_with_another() {
    let here = Builder::new();
    here.write("list", list_of(["plum-octave-harbour"].into_iter()));
    let expected = here.makes(&["list"]);
    here.leaves("progress.json", "{}");
    assert!(here.makes(&["list"]) == expected);
    here.leaves("keys", vec![7; 100_000]);
    here.leaves("filter", vec![7; 1_000_000]);
    assert!(here.makes(&["list"]) == expected);
}

#[test]
fn one_run_at_a_time_makes_a_filter() {
    let here = Builder::new();
    here.write("list", list_of(["plum-octave-harbour"].into_iter()));
    here.leaves("lock", "");
    let lock = File::open(here.path("filter.partial/lock")).unwrap();
    lock.lock().unwrap();
    let error = here.fails(&["list", "--output", "filter"], 1);
    assert!(error.contains("another run is making filter"), "{error}");
    lock.unlock().unwrap();
    here.makes(&["list"]);
}

#[test]
fn other_files_and_folders_are_not_replaced() {
    let here = Builder::new();
    let list = list_of(["plum-octave-harbour"].into_iter());
    here.write("list", &list);
    for output in ["list", "."] {
        let error = here.fails(&["list", "--output", output], if output == "." { 2 } else { 1 });
        assert!(error.contains("name another file") || error.contains("no name of a file"), "{error}");
    }
    fs::create_dir(here.path("folder")).unwrap();
    assert!(here.fails(&["list", "--output", "folder"], 1).contains("exists and is no filter"));
    assert!(here.fails(&["list", "--output", "nowhere/filter"], 1).contains("there is no folder nowhere"));
    assert_eq!(fs::read_to_string(here.path("list")).unwrap(), list);
    assert!(!here.path("nowhere").exists() && !here.path("list.partial").exists());
}

#[tokio::test]
async fn a_filter_is_made_where_its_user_may_write_and_is_readable_by_all() {
    let here = Builder::new();
    here.write("list", list_of(["plum-octave-harbour"].into_iter()));
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$0\" passwords build list --output filter"]).arg(handstamp_binary());
    assert!(shell.current_dir(here.0.path()).status().unwrap().success());
    let mode = fs::metadata(here.path("filter")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run commands as another user");
        return;
    }
    let server = TestServer::on_sqlite();
    let output = here.path("other");
    let build = ["passwords", "build", here.path("list").to_str().unwrap(), "--output", output.to_str().unwrap()]
        .map(str::to_owned);
    let (status, error) = server.run_cli_as(65_534, &build.each_ref().map(String::as_str));
    assert!(status == 1 && error.contains("Permission denied") && error.contains("belongs to the user 0"), "{error}");
    assert!(!output.exists());
}

#[test]
fn a_full_disk_leaves_the_earlier_filter_as_it_was() {
    let Some(disk) = SmallDisk::mount() else { return };
    let here = Builder::new();
    here.write("few", list_of(["plum-octave-harbour"].into_iter()));
    here.write("many", lines(200_000).iter().map(|line| format!("{line}\n")).collect::<String>());
    let filter = disk.data().join("filter");
    let filter = filter.to_str().unwrap();
    assert!(here.run(&["few", "--output", filter]).status.success());
    let before = fs::read(filter).unwrap();
    let error = here.fails(&["many", "--output", filter], 1);
    assert!(error.contains("No space left on device") && error.contains("the same command goes on"), "{error}");
    assert!(error.contains("of free space, and up to"), "{error}");
    assert!(fs::read(filter).unwrap() == before);
    disk.grow();
    let output = here.run(&["many", "--output", filter]);
    assert!(output.status.success(), "{}", error_of(&output));
    assert!(fs::read(filter).unwrap() == here.makes(&["many"]));
    assert!(!Path::new(&format!("{filter}.partial")).exists());
}

"""Leaves out each rule of the lease protocol in the code of sessions/, and checks that the simulation catches it.

Usage: mutants.py [NAME ...]. Run by script/test-all. A mutant whose text is no longer in the code is an error, too.
mutants.py --bare FOLDER copies the protocol and its tests there as a separate package, which builds in seconds: script/mutants
mutates that copy.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

CRATE = pathlib.Path(__file__).resolve().parents[2]
ROOT = CRATE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PLACE = TARGET / "lease-mutants"
FOLLOWER, CACHE, DATABASE = "src/sessions/node.rs", "src/sessions/cache.rs", "tests/simulation/database.rs"
WATCHES, RECHECK = "src/sessions/watches.rs", "src/sessions/recheck.rs"
DEPENDENCIES = "arc-swap axum getrandom handstamp-core handstamp-testing quick_cache rustix serde_json tracing uuid".split()
SESSIONS = [f"src/sessions/{name}.rs" for name in "cache lease node recheck sync watches".split()]
FILES = ["src/context.rs", "src/environment.rs", "src/events.rs", "src/log.rs", "src/store/protocol.rs", *SESSIONS]

LOOK = "        let (newest, rows) = self.log.nodes().await.map_err(fault)?;"
LOOKED = "        self.record_heartbeats(&rows);\n        for row in rows.iter().filter(|row| row.position < position"
WAIT = """        let mut poll_after = FIRST_POLL_AFTER;"""
RENEWED = "            cache.lease().renew(sent, self.lease);\n            renewed = true;"

# Each rule that is left out, with the texts that are replaced to do so.
MUTANTS = {
    "no_wait": [(FOLLOWER, WAIT, "        if true {\n            return Ok(());\n        }\n" + WAIT)],
    "no_lease": [(CACHE, "if !self.lease.holds(now)", "if false && !self.lease.holds(now)")],
    "no_stamp": [(CACHE, "entry.position >= invalidated_at", "(entry.position >= invalidated_at || true)")],
    "stamp_after_read": [(FOLLOWER, "cache.insert(read_position, key", "cache.insert(read_position.max(cache.position()), key")],
    "report_before_evict": [
        (FOLLOWER, "gap || !cache.apply(&changes)", "gap"),
        (FOLLOWER, "self.log.renew(id, cache.position())",
         "self.log.renew(id, changes.last().map_or(cache.position(), |last| last.position))"),
        (FOLLOWER, RENEWED, "            cache.apply(&changes);\n" + RENEWED),
    ],
    "lease_from_answer": [(FOLLOWER, RENEWED, RENEWED.replace("sent", "self.environment.clock_reading()"))],
    "keep_cache": [
        (FOLLOWER, "                    self.cache.store(None);\n", ""),
        (FOLLOWER, "Arc::new(Cache::new(position, self.capacity))",
         "self.cache.load_full().unwrap_or_else(|| Arc::new(Cache::new(position, self.capacity)))"),
        (FOLLOWER, "        cache.lease().renew(sent, self.lease);\n        self.cache",
         "        cache.skip_to(position);\n        cache.lease().renew(sent, self.lease);\n        self.cache"),
        (CACHE, "    pub(super) fn lease(&self)",
         "    pub(super) fn skip_to(&self, position: Position) {\n        self.position.store(position.0, Ordering::SeqCst);\n"
         "    }\n\n    pub(super) fn lease(&self)"),
    ],
    "stale_fill": [
        (FOLLOWER, "if let (Some(cache), Some(read_position)) = (cache, read_position)",
         "if let (Some(cache), Some(read_position)) = (self.cache.load_full(), read_position)"),
    ],
    "not_deleted": [
        (FOLLOWER, "            self.log.evict(*row).await.map_err(fault)?;\n", ""),
        (FOLLOWER, "let found = rows.iter().map", "let found = rows.iter().filter(|row| !self.is_expired(row, 1)).map"),
    ],
    "delete_early": [(FOLLOWER, "self.is_expired(row, 1)", "(true || self.is_expired(row, 1))")],
    "watch_from_question": [
        (FOLLOWER, LOOK, "        let asked = self.environment.clock_reading().monotonic;\n" + LOOK),
        (FOLLOWER, LOOKED, LOOKED.replace("self.record_heartbeats(&rows)", 'self.heartbeats.lock().expect("").record(&rows, asked)')),
    ],
    "delete_renewed": [
        (FOLLOWER, "Some((renewals, since)) if *renewals == row.renewals => *since", "Some((_, since)) => *since"),
    ],
    "delete_renewed_meanwhile": [
        (DATABASE, "if tables.nodes.get(&node.id).is_some_and(|row| row.renewals == node.renewals)",
         "if tables.nodes.contains_key(&node.id)"),
    ],
    "row_without_lease": [(FOLLOWER, "                if self.holds_lease() {", "                if true || self.holds_lease() {")],
    "row_of_an_old_leader": [
        (FOLLOWER, "if Some(position) < read_position.max(confirmed)", "if false && Some(position) < read_position.max(confirmed)"),
    ],
    "row_without_confirmation": [
        (FOLLOWER, "let confirmed = self.confirmed_position().await?;",
         "let confirmed = if self.capacity > 0 { self.confirmed_position().await? } else { None };"),
    ],
    # Streams: connections that outlive their request.
    "report_before_cut": [
        (FOLLOWER, "            self.tell_watches(&changes).await;\n", ""),
        (FOLLOWER, RENEWED, RENEWED + "\n            self.tell_watches(&changes).await;"),
    ],
    "no_wait_for_streams": [(FOLLOWER, "if told.is_empty() {", "if true || told.is_empty() {")],
    "stream_without_lease": [(FOLLOWER, " && (!watch.is_under_lease || self.holds_lease())", "")],
    "stream_outlives_the_membership": [(WATCHES, "filter(|watch| watch.is_under_lease)", "filter(|_| false)")],
    "later_doubt_settled": [
        (RECHECK, "                    () = changed.as_mut() => continue,\n", ""),
        (WATCHES, "fetch_max(doubt,", "fetch_max(watch.doubts.load(Ordering::SeqCst).max(doubt),"),
    ],
    "stream_begun_without_lease": [(FOLLOWER, "self.needs_lease() || self.holds_lease()", "self.holds_lease()")],
    "no_first_doubt": [(WATCHES, "doubts: AtomicU64::new(1)", "doubts: AtomicU64::new(0)")],
    "overdue_stream_passes": [(FOLLOWER, " && !watch.is_overdue()", "")],
    "same_id": [(FOLLOWER, "NodeId(Uuid::from_bytes(self.environment.random()))",
                 "before.unwrap_or_else(|| NodeId(Uuid::from_bytes(self.environment.random())))")],
}


def dependencies(*more):
    own = (CRATE / "Cargo.toml").read_text()
    lines = [re.search(rf"^{name} = .*$", own, re.M)[0] for name in [*DEPENDENCIES, *more]]
    lines = [line.replace('"../', f'"{ROOT}/crates/') for line in lines]
    lines.append('tokio = { version = "1.54", features = ["macros", "rt", "sync", "time", "test-util"] }')
    return lines


def manifest(names):
    lines = dependencies()
    tests = "".join(f'\n[[test]]\nname = "{name}"\npath = "{name}/tests/simulation/main.rs"\n' for name in names)
    return ('[package]\nname = "lease-mutants"\nversion = "0.0.0"\nedition = "2024"\nautotests = false\n\n[lib]\npath = "lib.rs"\n'
            "\n[workspace]\n\n[dependencies]\n" + "\n".join(lines) + "\n" + tests
            + "\n[profile.dev]\nopt-level = 1\ndebug = false\n")


def plant(name, replacements):
    place = PLACE / name
    for file in FILES:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CRATE / file, place / file)
    shutil.copytree(CRATE / "tests/simulation", place / "tests/simulation")
    for file, old, new in replacements:
        text = (place / file).read_text()
        if text.count(old) != 1:
            sys.exit(f"{name}: the text to mutate is in {file} {text.count(old)} times:\n{old}")
        (place / file).write_text(text.replace(old, new))


BARE_LIBRARY = """#![allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
mod context;
mod environment;
mod events;
mod log;
mod model;
mod store {
    mod protocol;
    pub(crate) use protocol::*;
}
mod sessions {
    mod cache;
    mod node;
    mod lease;
    mod recheck;
    mod sync;
    mod watches;
    #[cfg(test)]
    mod tests;
    use crate::model::LiveSession;
    use sync::Weighs;
    WEIGHT
}
"""


def bare(folder):
    crate = folder / "crates/handstamp"
    models = [f"src/model/{file.name}" for file in sorted((CRATE / "src/model").iterdir())]
    for file in [*FILES, *models, "src/sessions/tests.rs"]:
        (crate / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CRATE / file, crate / file)
    for tests in ["tests/interleavings", "tests/simulation"]:
        shutil.copytree(CRATE / tests, crate / tests)
    weight = re.search(r"^const USUAL_TEXT_BYTES.*?^}$", (CRATE / "src/sessions/mod.rs").read_text(), re.M | re.S)[0]
    (crate / "src/lib.rs").write_text(BARE_LIBRARY.replace("WEIGHT", weight))
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "bare"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
        + "\n".join(dependencies("loom")) + "\n")
    (folder / "Cargo.toml").write_text(
        '[workspace]\nresolver = "3"\nmembers = ["crates/handstamp"]\n\n[profile.dev]\nopt-level = 1\ndebug = false\n')
    shutil.copy(ROOT / "Cargo.lock", folder)


def main():
    if sys.argv[1:2] == ["--bare"]:
        return bare(pathlib.Path(sys.argv[2]))
    names = sys.argv[1:] or list(MUTANTS)
    shutil.rmtree(PLACE, ignore_errors=True)
    for name in names:
        plant(name, MUTANTS[name])
    (PLACE / "lib.rs").write_text("")
    (PLACE / "Cargo.toml").write_text(manifest(names))
    shutil.copy(ROOT / "Cargo.lock", PLACE)
    cargo = ["cargo", "test", "--quiet", "--offline", "--no-fail-fast", "--manifest-path", str(PLACE / "Cargo.toml")]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(TARGET), RUSTFLAGS="-Awarnings", RUST_BACKTRACE="0")
    environment.setdefault("HANDSTAMP_STEPS", "2000000")
    subprocess.run([*cargo, "--no-run"], env=environment, check=True)
    survivors = []
    for name in names:
        run = subprocess.run([*cargo, "--test", name, "no_ended_session_is_served"], env=environment, capture_output=True, text=True)
        caught = re.search(r"^(violation: .*)$", run.stdout, re.M)
        print(f"{name}: {caught[1] if caught else 'SURVIVED'}", flush=True)
        if not caught:
            survivors.append(name)
            print(run.stdout[-3000:], run.stderr[-3000:])
    if survivors:
        sys.exit(f"not caught: {' '.join(survivors)}")


if __name__ == "__main__":
    main()

//! The database's leader loses its power or freezes while users are active: every acknowledged change survives.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use handstamp_testing::TestServer;

use crate::crowd::Crowd;
use crate::machine::{Machine, database_url, writes_again};
use crate::record::{Act, Answer, Entry, Figures};

const NODES: usize = 3;
const SECRET_KEY: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
/// Longer than a fail-over, so signed-in users notice nothing of it. A node renews every third of its lease, so it can rely
/// on two thirds of it.
const LEASE: &str = "45s";
/// The time between the loss of the other server and the failure of the leader.
const A_MOMENT: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_secs(5);
/// There is a new leader within this time. Patroni gives up the old one after ten seconds, or twenty from version 3.1 on.
const IS_REPLACED_WITHIN: Duration = Duration::from_secs(60);
/// After that, every node answers normally within this time.
const HEALS_WITHIN: Duration = Duration::from_secs(3);
/// The maximum time for any response. A sign-out waits up to three times for the database, 2.5 seconds each; the rest is for
/// a busy machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by script/test-failover"]
async fn acknowledged_changes_survive_a_power_loss_of_the_leader() {
    no_answer_is_taken_back_when_it(Machine::dies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by script/test-failover"]
async fn acknowledged_changes_survive_a_freeze_of_the_leader() {
    no_answer_is_taken_back_when_it(Machine::freezes).await;
}

async fn no_answer_is_taken_back_when_it(fails: impl FnOnce(&Machine)) {
    let servers: Vec<_> = (0..NODES).map(|_| node()).collect();
    let crowd = Crowd::gathers(servers.iter().map(|server| server.url.clone()).collect()).await;
    let mut tasks = crowd.comes_and_goes().await;
    let leader = Machine::of_the_leader().await;
    leader.outpaces_the_other();
    tokio::time::sleep(A_WHILE).await;
    leader.loses_the_other().await;
    crowd.rushes_in(&mut tasks);
    tokio::time::sleep(A_MOMENT).await;
    let failed = Instant::now();
    fails(&leader);
    let replaced = writes_again(IS_REPLACED_WITHIN).await;
    tokio::time::sleep(HEALS_WITHIN + A_WHILE).await;
    crowd.goes_home();
    tasks.join_all().await;

    let entries = crowd.record.entries();
    tell(&entries, failed, replaced, &servers);
    none(&entries, "are wrong", |entry| matches!(entry.answer, Answer::Wrong(..)));
    none(&entries, "are not what signed-in users get", |entry| {
        entry.act == Act::Browses && entry.answer != Answer::Good
    });
    none(&entries, "took too long", |entry| entry.answered - entry.begun > ANSWERS_WITHIN);
    let healed: Vec<_> = entries.into_iter().filter(|entry| entry.begun > replaced + HEALS_WITHIN).collect();
    none(&healed, "are not normal again", |entry| entry.answer != Answer::Good);
    for (node, act) in (0..NODES).flat_map(|node| Act::ALL.map(|act| (node, act))) {
        assert!(healed.iter().any(|entry| (entry.node, entry.act) == (node, act)), "{act:?} again at node {node}");
    }
    assert_eq!(crowd.broken_promises().await, []);
}

/// A node of the site; all share the database and the secret key.
fn node() -> TestServer {
    let mut server = TestServer::on_database(database_url());
    server.set("HANDSTAMP_SESSION__LEASE", LEASE);
    server.restart_with("HANDSTAMP_SECRET_KEY", SECRET_KEY);
    server
}

/// Asserts that no entry is of this kind.
fn none(entries: &[Entry], what: &str, is: impl Fn(&Entry) -> bool) {
    let found: Vec<_> = entries.iter().filter(|entry| is(entry)).collect();
    assert!(found.is_empty(), "of {} answers, {} {what}: {:?} …", entries.len(), found.len(), found[0]);
}

/// Prints the figures of the test, and the faults in the nodes' logs.
fn tell(entries: &[Entry], failed: Instant, replaced: Instant, servers: &[TestServer]) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "The database accepted no writes for {:.1?}.", replaced - failed).unwrap();
    for act in Act::ALL {
        writeln!(out, "{}", Figures::new(act, entries, failed, replaced)).unwrap();
    }
    let mut faults = BTreeMap::<String, usize>::new();
    for line in servers.iter().map(TestServer::log).collect::<String>().lines() {
        let line = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
        if line["event"] == "internal_error" {
            *faults.entry(line["error"].to_string()).or_default() += 1;
        }
    }
    for (fault, count) in faults {
        writeln!(out, "{count:4} x {fault}").unwrap();
    }
}

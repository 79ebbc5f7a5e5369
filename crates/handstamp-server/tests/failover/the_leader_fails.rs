use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::house::House;
use crate::machine::{Machine, database_url, writes_again};
use crate::record::{Act, Answer, Entry, Figures};

const NODES: usize = 3;
const SECRET_KEY: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
/// Longer than a fail-over, so whoever is signed in notices nothing of it. A node that renews every third of its lease can
/// count on two thirds of it.
const LEASE: &str = "45s";
/// For the link to the other server to be slow before the leader fails.
const A_MOMENT: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_secs(5);
/// There is another leader within this time. Patroni gives up the old one after ten seconds, or twenty from its 3.1 on.
const IS_REPLACED_WITHIN: Duration = Duration::from_secs(60);
/// From then on, it takes every node no longer than this until all is well.
const HEALS_WITHIN: Duration = Duration::from_secs(3);
/// Nobody waits longer for any answer: at most three times for the database, 2.5 seconds each, as whoever signs out, and for
/// a busy machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by script/test-failover"]
async fn by_losing_its_power() {
    no_answer_is_taken_back_when_it(Machine::dies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by script/test-failover"]
async fn by_freezing() {
    no_answer_is_taken_back_when_it(Machine::freezes).await;
}

async fn no_answer_is_taken_back_when_it(fails: impl FnOnce(&Machine)) {
    let houses: Vec<_> = (0..NODES).map(|_| node()).collect();
    let crowd = Crowd::gathers(houses.iter().map(|house| house.url.clone()).collect()).await;
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
    tell(&entries, failed, replaced, &houses);
    none(&entries, "is wrong", |entry| matches!(entry.answer, Answer::Wrong(..)));
    none(&entries, "is not what the signed in get", |entry| entry.act == Act::Browses && entry.answer != Answer::Good);
    none(&entries, "took too long", |entry| entry.answered - entry.begun > ANSWERS_WITHIN);
    let healed: Vec<_> = entries.into_iter().filter(|entry| entry.begun > replaced + HEALS_WITHIN).collect();
    none(&healed, "is not what it was before", |entry| entry.answer != Answer::Good);
    for (node, act) in (0..NODES).flat_map(|node| Act::ALL.map(|act| (node, act))) {
        assert!(healed.iter().any(|entry| (entry.node, entry.act) == (node, act)), "{act:?} again at node {node}");
    }
    assert_eq!(crowd.broken_promises().await, []);
}

/// A node of the site: they share the database and the secret.
fn node() -> House {
    let mut house = House::on(database_url());
    house.set("HANDSTAMP_SESSION__LEASE", LEASE);
    house.restart_with("HANDSTAMP_SECRET_KEY", SECRET_KEY);
    house
}

/// No answer is of this kind.
fn none(entries: &[Entry], what: &str, is: impl Fn(&Entry) -> bool) {
    let found: Vec<_> = entries.iter().filter(|entry| is(entry)).collect();
    assert!(found.is_empty(), "of {} answers, {} {what}: {:?} …", entries.len(), found.len(), found[0]);
}

/// Tells what happened, in figures, and what the nodes wrote down of it.
fn tell(entries: &[Entry], failed: Instant, replaced: Instant, houses: &[House]) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "The database could not be written for {:.1?}.", replaced - failed).unwrap();
    for act in Act::ALL {
        writeln!(out, "{}", Figures::new(act, entries, failed, replaced)).unwrap();
    }
    let mut faults = BTreeMap::<String, usize>::new();
    for line in houses.iter().map(House::log).collect::<String>().lines() {
        let line = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
        if line["event"] == "fault" {
            *faults.entry(line["fault"].to_string()).or_default() += 1;
        }
    }
    for (fault, count) in faults {
        writeln!(out, "{count:4} x {fault}").unwrap();
    }
}

//! Several nodes with one database: revocations, frozen and dead nodes, notifications, and the cost of requests.

use std::time::{Duration, Instant};

use crate::between::Between;
use crate::house::{ADAS_PASSWORD, House};
use crate::postgres_server;
use crate::visitor::Visitor;

const LEASE: Duration = Duration::from_secs(5);

/// Copies of `visitor`, one at each node; every node has the session in its cache.
pub async fn known_to(nodes: &[&House], visitor: &Visitor) -> Vec<Visitor> {
    let copies: Vec<Visitor> = nodes.iter().map(|node| visitor.at(&node.url)).collect();
    for copy in &copies {
        assert!(copy.is_signed_in().await);
    }
    copies
}

pub async fn nobody_is_signed_in(copies: &[Visitor]) -> bool {
    for copy in copies {
        if copy.is_signed_in().await {
            return false;
        }
    }
    true
}

/// How often a test repeats a sign-out. `HANDSTAMP_ROUNDS=10000` takes some minutes.
fn rounds() -> u32 {
    std::env::var("HANDSTAMP_ROUNDS").map_or(100, |rounds| rounds.parse().unwrap())
}

async fn signs_out_time_and_again(nodes: &[&House]) {
    let ada = nodes[0].ada().await;
    for round in 0..rounds() {
        while ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status == 503 {}
        let copies = known_to(nodes, &ada).await;
        // Each node in turn handles the sign-out.
        let here = ada.at(&nodes[round as usize % nodes.len()].url);
        here.signs_out_at_last().await;
        assert!(!here.has_cookie());
        assert!(nobody_is_signed_in(&copies).await, "round {round}");
    }
}

crate::stories! {
    async fn a_sign_out_takes_effect_on_all_nodes(house: House) {
        let (second, third) = (house.another(), house.another());
        signs_out_time_and_again(&[&house, &second, &third]).await;
    }

    async fn a_sign_out_takes_effect_on_all_nodes_without_notifications(mut house: House) {
        house.restart_with("HANDSTAMP_SESSION__NOTIFY", "false");
        let (second, third) = (house.another(), house.another());
        signs_out_time_and_again(&[&house, &second, &third]).await;
    }

    async fn every_kind_of_revocation_takes_effect_on_all_nodes(house: House) {
        let (second, third) = (house.another(), house.another());
        let nodes = [&house, &second, &third];
        let ada = house.ada().await;
        let signs_in_elsewhere = async || {
            let phone = Visitor::new(&second.url);
            phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
            known_to(&nodes, &phone).await
        };

        let copies = signs_in_elsewhere().await;
        let handle = ada.opens("/account/sessions").await.hidden("session")[0].clone();
        ada.submits("/account/sessions/revoke", &[("session", &handle)]).await;
        assert!(nobody_is_signed_in(&copies).await, "revoke");

        let copies = signs_in_elsewhere().await;
        ada.submits("/account/sessions/revoke-others", &[]).await;
        assert!(nobody_is_signed_in(&copies).await, "revoke others");

        let copies = signs_in_elsewhere().await;
        let own = known_to(&nodes, &ada).await;
        assert_eq!(ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await.status, 303);
        assert!(nobody_is_signed_in(&copies).await && nobody_is_signed_in(&own).await, "change of password");

        let own = known_to(&nodes, &ada).await;
        ada.signs_in("ada@example.com", "walnut-trumpet-glacier").await;
        assert!(nobody_is_signed_in(&own).await, "signing in again");
    }

    async fn operator_commands_take_effect_on_all_nodes_before_they_return(house: House) {
        let (second, third) = (house.another(), house.another());
        let nodes = [&house, &second, &third];
        let ada = house.ada().await;
        for command in [
            &["session", "revoke", "--user", "ada@example.com"][..],
            &["session", "revoke", "--all"],
            &["user", "disable", "ada@example.com"],
            &["user", "delete", "ada@example.com"],
        ] {
            house.types(&["user", "enable", "ada@example.com"], "");
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            let copies = known_to(&nodes, &ada).await;
            let begun = Instant::now();
            assert_eq!(house.types(command, "").0, 0);
            assert!(nobody_is_signed_in(&copies).await, "{command:?}");
            assert!(begun.elapsed() < LEASE / 2, "{command:?} waited for a node: {:?}", begun.elapsed());
        }
    }

    async fn a_name_change_is_visible_on_all_nodes(house: House) {
        let second = house.another();
        let ada = house.ada().await;
        let there = ada.at(&second.url);
        assert!(there.opens("/account").await.shows("Welcome, Ada"));
        for name in ["Countess Lovelace", "Augusta"] {
            ada.submits("/account/profile", &[("name", name)]).await;
            assert!(there.opens("/account").await.shows(&format!("Welcome, {name}")));
        }
    }

    async fn a_node_that_was_frozen_refuses_a_revoked_session_at_once(house: House) {
        let second = house.another();
        let ada = house.ada().await;
        let copies = known_to(&[&second], &ada).await;
        second.freezes().await;
        let begun = Instant::now();
        assert_eq!(ada.signs_out().await.status, 303);
        let waited = begun.elapsed();
        second.signal("CONT");
        assert!(nobody_is_signed_in(&copies).await);
        assert!(waited > LEASE / 2 && waited < LEASE + Duration::from_secs(1), "{waited:?}");
        // The node has joined again: the next sign-out waits for no node.
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let copies = known_to(&[&second], &ada).await;
        let begun = Instant::now();
        ada.signs_out().await;
        assert!(begun.elapsed() < LEASE / 2 && nobody_is_signed_in(&copies).await);
    }

    async fn a_sign_out_waits_for_a_dead_node_until_its_lease_ends(house: House) {
        let (mut second, ada) = (house.another(), house.ada().await);
        known_to(&[&second], &ada).await;
        second.dies();
        let begun = Instant::now();
        assert_eq!(ada.signs_out().await.status, 303);
        assert!(begun.elapsed() < LEASE + Duration::from_secs(1), "{:?}", begun.elapsed());
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let begun = Instant::now();
        ada.signs_out().await;
        assert!(begun.elapsed() < LEASE / 2, "a dead node delays one sign-out only");
    }

    async fn a_sign_out_does_not_wait_for_a_stopped_node(house: House) {
        let ada = house.ada().await;
        // A terminal sends the last one when it closes.
        for signal in ["TERM", "INT", "HUP"] {
            let mut second = house.another();
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            known_to(&[&second], &ada).await;
            assert!(second.stop_by(signal).success(), "{signal}");
            assert_eq!(house.count("SELECT COUNT(*) FROM nodes").await, 1);
            let begun = Instant::now();
            ada.signs_out().await;
            assert!(begun.elapsed() < LEASE / 2, "{signal} {:?}", begun.elapsed());
        }
    }

    async fn a_concurrent_second_sign_out_waits_for_the_frozen_node_too(house: House) {
        let second = house.another();
        let ada = house.ada().await;
        let (copies, again) = (known_to(&[&second], &ada).await, ada.copy());
        second.freezes().await;
        let first = tokio::spawn(async move { ada.signs_out().await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        assert_eq!(again.signs_out().await.status, 303);
        assert!(begun.elapsed() > LEASE / 2, "the sign-out was confirmed while the frozen node could still accept the session");
        second.signal("CONT");
        assert!(nobody_is_signed_in(&copies).await);
        first.await.unwrap();
    }

    async fn a_request_with_a_live_session_costs_no_database_statement(mut house: House) {
        house.measures();
        let ada = house.ada().await;
        assert!(ada.is_signed_in().await);
        let statements = async |purpose: &str| house.metric(&format!("handstamp_db_statements_total{{for=\"{purpose}\"}}")).await;
        let (before, begun, leases) = (statements("request").await, Instant::now(), statements("lease").await);
        assert!(before > 0.0);
        for _ in 0..10_000 {
            assert_eq!(ada.opens("/account").await.status, 200);
        }
        assert_eq!(statements("request").await, before);
        // Heartbeats only: four statements every third of a lease. SQLite is also polled for changes ten times a second, and
        // more often after a change.
        let heartbeats = statements("lease").await - leases;
        let most = 20.0 * (1.0 + begun.elapsed().as_secs_f64());
        assert!(heartbeats < most, "{heartbeats} statements and not {most}");
        assert!(house.metric("handstamp_session_cache_hits_total").await >= 10_000.0);
        assert_eq!(house.metric("handstamp_session_cache_misses_total").await, 1.0);
        assert_eq!(house.metric("handstamp_session_cache_entries").await, 1.0);
        assert!(house.metric("handstamp_lease_age_seconds").await < LEASE.as_secs_f64() / 2.0);
        ada.signs_out().await;
        assert_eq!(house.metric("handstamp_revocation_wait_seconds_count").await, 1.0);
        assert_eq!(house.metric("handstamp_invalidation_log_position").await, 1.0);
    }

    async fn a_forged_token_costs_no_database_statement(mut house: House) {
        house.measures();
        let ada = house.ada().await;
        let before = house.metric("handstamp_db_statements_total{for=\"request\"}").await;
        let thief = house.visitor();
        for position in 0..116 {
            let mut token = ada.token().into_bytes();
            token[position] = if token[position] == b'A' { b'B' } else { b'A' };
            thief.presents(&String::from_utf8(token).unwrap());
            assert!(!thief.is_signed_in().await);
        }
        assert_eq!(house.metric("handstamp_db_statements_total{for=\"request\"}").await, before);
    }

    async fn a_sign_out_without_session_caches_waits_for_no_node(mut house: House) {
        house.restart_with("HANDSTAMP_SESSION__CACHE_ENTRIES", "0");
        let ada = house.ada().await;
        assert_eq!(house.count("SELECT COUNT(*) FROM nodes").await, 0);
        let copies = known_to(&[&house], &ada).await;
        assert_eq!(house.visitor().opens("/readyz").await.status, 200);
        ada.signs_out_at_last().await;
        assert!(nobody_is_signed_in(&copies).await);
    }
}

/// The duration of a sign-out from a session that all these nodes have cached; it must take effect on all of them.
async fn sign_out_takes(nodes: &[&House]) -> Duration {
    let ada = nodes[0].visitor();
    ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let copies = known_to(nodes, &ada).await;
    let begun = Instant::now();
    assert_eq!(ada.signs_out().await.status, 303);
    let taken = begun.elapsed();
    assert!(nobody_is_signed_in(&copies).await);
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_polls_when_notifications_are_lost() {
    let database = postgres_server::new_database();
    let between = Between::new(&database);
    let (mut house, mut second) = (House::on(database), House::on(between.url.clone()));
    for node in [&mut house, &mut second] {
        node.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
    }
    house.ada().await;
    for _ in 0..5 {
        assert!(sign_out_takes(&[&house, &second]).await < Duration::from_millis(500));
    }
    between.is_deaf();
    let taken = sign_out_takes(&[&house, &second]).await;
    assert!(taken < LEASE / 2, "{taken:?}");
    // The node detects that it gets no notifications, and polls.
    assert_eq!(second.events("notify_unavailable").await.len(), 1);
    for _ in 0..5 {
        assert!(sign_out_takes(&[&house, &second]).await < Duration::from_millis(500));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_poll_where_listen_fails() {
    let between = Between::new(&postgres_server::new_database());
    between.refuses_to_listen();
    let house = House::on(between.url.clone());
    let second = house.another();
    house.ada().await;
    for _ in 0..5 {
        let taken = sign_out_takes(&[&house, &second]).await;
        assert!(taken < Duration::from_millis(500), "{taken:?}");
    }
    assert!(house.events("notify_unavailable").await[0]["reason"].as_str().unwrap().contains("LISTEM"));
}

//! Several nodes with one database: revocations, frozen and dead nodes, notifications, and the cost of requests.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, FaultyTcpProxy, Postgres, TestServer, Visitor};

const LEASE: Duration = Duration::from_secs(5);

/// Copies of `visitor`, one at each node; every node has the session in its cache.
pub async fn known_to(nodes: &[&TestServer], visitor: &Visitor) -> Vec<Visitor> {
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

async fn signs_out_time_and_again(nodes: &[&TestServer]) {
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

handstamp_testing::stories! {
    async fn a_sign_out_takes_effect_on_all_nodes(server: TestServer) {
        let (second, third) = (server.start_node(), server.start_node());
        signs_out_time_and_again(&[&server, &second, &third]).await;
    }

    async fn a_sign_out_takes_effect_on_all_nodes_without_notifications(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SESSION__NOTIFY", "false");
        let (second, third) = (server.start_node(), server.start_node());
        signs_out_time_and_again(&[&server, &second, &third]).await;
    }

    async fn every_kind_of_revocation_takes_effect_on_all_nodes(server: TestServer) {
        let (second, third) = (server.start_node(), server.start_node());
        let nodes = [&server, &second, &third];
        let ada = server.ada().await;
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

    async fn operator_commands_take_effect_on_all_nodes_before_they_return(server: TestServer) {
        let (second, third) = (server.start_node(), server.start_node());
        let nodes = [&server, &second, &third];
        let ada = server.ada().await;
        for command in [
            &["session", "revoke", "--user", "ada@example.com"][..],
            &["session", "revoke", "--all"],
            &["user", "disable", "ada@example.com"],
            &["user", "delete", "ada@example.com"],
        ] {
            server.run_cli(&["user", "enable", "ada@example.com"], "");
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            let copies = known_to(&nodes, &ada).await;
            let begun = Instant::now();
            assert_eq!(server.run_cli(command, "").0, 0);
            assert!(nobody_is_signed_in(&copies).await, "{command:?}");
            assert!(begun.elapsed() < LEASE / 2, "{command:?} waited for a node: {:?}", begun.elapsed());
        }
    }

    async fn a_name_change_is_visible_on_all_nodes(server: TestServer) {
        let second = server.start_node();
        let ada = server.ada().await;
        let there = ada.at(&second.url);
        assert!(there.opens("/account").await.shows("Welcome, Ada"));
        for name in ["Countess Lovelace", "Augusta"] {
            ada.submits("/account/profile", &[("name", name)]).await;
            assert!(there.opens("/account").await.shows(&format!("Welcome, {name}")));
        }
    }

    async fn a_node_that_was_frozen_refuses_a_revoked_session_at_once(server: TestServer) {
        let second = server.start_node();
        let ada = server.ada().await;
        let copies = known_to(&[&second], &ada).await;
        second.freeze().await;
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

    async fn a_sign_out_waits_for_a_dead_node_until_its_lease_ends(server: TestServer) {
        let (mut second, ada) = (server.start_node(), server.ada().await);
        known_to(&[&second], &ada).await;
        second.kill();
        let begun = Instant::now();
        assert_eq!(ada.signs_out().await.status, 303);
        assert!(begun.elapsed() < LEASE + Duration::from_secs(1), "{:?}", begun.elapsed());
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let begun = Instant::now();
        ada.signs_out().await;
        assert!(begun.elapsed() < LEASE / 2, "a dead node delays one sign-out only");
    }

    async fn a_sign_out_does_not_wait_for_a_stopped_node(server: TestServer) {
        let ada = server.ada().await;
        // A terminal sends the last one when it closes.
        for signal in ["TERM", "INT", "HUP"] {
            let mut second = server.start_node();
            ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
            known_to(&[&second], &ada).await;
            assert!(second.stop_with_signal(signal).success(), "{signal}");
            assert_eq!(server.count("SELECT COUNT(*) FROM nodes").await, 1);
            let begun = Instant::now();
            ada.signs_out().await;
            assert!(begun.elapsed() < LEASE / 2, "{signal} {:?}", begun.elapsed());
        }
    }

    async fn a_concurrent_second_sign_out_waits_for_the_frozen_node_too(server: TestServer) {
        let second = server.start_node();
        let ada = server.ada().await;
        let (copies, again) = (known_to(&[&second], &ada).await, ada.copy());
        second.freeze().await;
        let first = tokio::spawn(async move { ada.signs_out().await });
        // The first sign-out has deleted the session, and waits for the frozen node.
        while server.count("SELECT COUNT(*) FROM sessions").await > 0 {}
        let begun = Instant::now();
        assert_eq!(again.signs_out().await.status, 303);
        assert!(begun.elapsed() > LEASE / 2, "the sign-out was confirmed while the frozen node could still accept the session");
        second.signal("CONT");
        assert!(nobody_is_signed_in(&copies).await);
        first.await.unwrap();
    }

    async fn a_request_with_a_live_session_costs_no_database_statement(mut server: TestServer) {
        server.enable_metrics();
        let ada = server.ada().await;
        assert!(ada.is_signed_in().await);
        let (before, begun, leases) = (server.db_statements("request").await, Instant::now(), server.db_statements("lease").await);
        for _ in 0..2000 {
            assert_eq!(ada.opens("/account").await.status, 200);
        }
        assert_eq!(server.db_statements("request").await, before);
        // Heartbeats only: four statements every third of a lease, and some more at SQLite, which each commit leads to.
        let heartbeats = server.db_statements("lease").await - leases;
        let most = 20.0 * (1.0 + begun.elapsed().as_secs_f64());
        assert!(heartbeats < most, "{heartbeats} statements and not {most}");
        assert!(server.metric("handstamp_session_cache_hits_total").await >= 2000.0);
        assert_eq!(server.metric("handstamp_session_cache_misses_total").await, 1.0);
        assert_eq!(server.metric("handstamp_session_cache_entries").await, 1.0);
        assert!(server.metric("handstamp_lease_age_seconds").await < LEASE.as_secs_f64() / 2.0);
        ada.signs_out().await;
        assert_eq!(server.metric("handstamp_change_propagation_seconds_count").await, 1.0);
        assert_eq!(server.metric("handstamp_invalidation_log_position").await, 1.0);
    }

    async fn an_idle_node_sends_its_heartbeats_and_little_else(mut server: TestServer) {
        server.enable_metrics();
        let ada = server.ada().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (begun, before) = (Instant::now(), server.db_statements("lease").await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let statements = server.db_statements("lease").await - before;
        let most = 7.0 * begun.elapsed().as_secs_f64();
        assert!(statements < most, "{statements} statements and not {most}");
        // A node that waits for the file notices what another process does to it.
        let (status, _, error) = server.run_cli(&["session", "revoke", "--user", "ada@example.com"], "");
        assert_eq!((status, ada.is_signed_in().await), (0, false), "{error}");
    }

    async fn a_forged_token_costs_no_database_statement(mut server: TestServer) {
        server.enable_metrics();
        let ada = server.ada().await;
        let before = server.db_statements("request").await;
        let thief = server.visitor();
        for position in 0..116 {
            let mut token = ada.token().into_bytes();
            token[position] = if token[position] == b'A' { b'B' } else { b'A' };
            thief.presents(&String::from_utf8(token).unwrap());
            assert!(!thief.is_signed_in().await);
        }
        assert_eq!(server.db_statements("request").await, before);
    }

    async fn a_sign_out_without_session_caches_waits_for_no_node(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SESSION__CACHE_ENTRIES", "0");
        let ada = server.ada().await;
        assert_eq!(server.count("SELECT COUNT(*) FROM nodes").await, 0);
        let copies = known_to(&[&server], &ada).await;
        assert_eq!(server.visitor().opens("/readyz").await.status, 200);
        ada.signs_out_at_last().await;
        assert!(nobody_is_signed_in(&copies).await);
    }
}

/// The duration of a sign-out from a session that all these nodes have cached; it must take effect on all of them.
async fn sign_out_takes(nodes: &[&TestServer]) -> Duration {
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
    let database = Postgres::shared().new_database();
    let proxy = FaultyTcpProxy::new(&database);
    let secret = ("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
    let server = TestServer::on_database_with(database, &[secret]);
    let second = TestServer::on_database_with(proxy.url.clone(), &[secret]);
    server.ada().await;
    for _ in 0..5 {
        assert!(sign_out_takes(&[&server, &second]).await < Duration::from_millis(500));
    }
    proxy.drop_notifications();
    let taken = sign_out_takes(&[&server, &second]).await;
    assert!(taken < LEASE / 2, "{taken:?}");
    // The node detects that it gets no notifications, and polls.
    second.wait_for_event("notify_unavailable").await;
    assert_eq!(second.events("notify_unavailable").len(), 1);
    for _ in 0..5 {
        assert!(sign_out_takes(&[&server, &second]).await < Duration::from_millis(500));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_poll_where_listen_fails() {
    let proxy = FaultyTcpProxy::new(&Postgres::shared().new_database());
    proxy.refuse_listen();
    let server = TestServer::on_database(proxy.url.clone());
    let second = server.start_node();
    server.ada().await;
    for _ in 0..5 {
        let taken = sign_out_takes(&[&server, &second]).await;
        assert!(taken < Duration::from_millis(500), "{taken:?}");
    }
    assert!(server.wait_for_event("notify_unavailable").await["reason"].as_str().unwrap().contains("LISTEM"));
}

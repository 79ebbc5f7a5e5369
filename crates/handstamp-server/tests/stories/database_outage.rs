//! Outages of the database: frozen, crashed, gone, rolled back, out of connections, or replaced by another leader.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, Page, Postgres, TestServer, Visitor, wait_for_events};
use sqlx::{Connection, PgConnection};

use crate::database_lock::{PEOPLE, many_register, many_sign_in};

/// Responses of pages that need the database, and the time of the slowest.
async fn asks_for_everything(ada: &Visitor) -> (Vec<Page>, Duration) {
    let mut slowest = Duration::ZERO;
    let mut pages = Vec::new();
    let anonymous = Visitor::new(&ada.url);
    for number in 0..5 {
        let begun = Instant::now();
        pages.push(match number {
            0 => ada.opens("/account").await,
            1 => ada.signs_out().await,
            2 => anonymous.signs_in("ada@example.com", ADAS_PASSWORD).await,
            3 => anonymous.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await,
            _ => anonymous.opens("/readyz").await,
        });
        slowest = slowest.max(begun.elapsed());
    }
    (pages, slowest)
}

async fn heals(ada: &Visitor) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        if ada.opens("/account").await.status == 200 {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_frozen_database_are_answered_503_in_time() {
    let postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    let ada = server.ada().await;
    postgres.signal("STOP");
    let (pages, slowest) = asks_for_everything(&ada).await;
    postgres.signal("CONT");
    assert!(
        pages.iter().all(|page| page.status == 503),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert!(pages[..4].iter().all(|page| page.header("retry-after") == "5" && page.set_cookie().is_empty()));
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert!(heals(&ada).await, "the session is live after the outage, since no sign-out was confirmed");
    let strangers = server.visitor();
    assert_eq!(strangers.opens("/healthz").await.status, 200);
}

/// Opens the account page repeatedly until `done`. Returns the time of the first refusal, and of the slowest response.
async fn browses(ada: &Visitor, mut done: impl FnMut(Duration, u16) -> bool) -> (Option<Duration>, Duration) {
    let begun = Instant::now();
    let (mut refused, mut slowest) = (None, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let status = ada.opens("/account").await.status;
        slowest = slowest.max(asked.elapsed());
        if status != 200 {
            refused.get_or_insert(begun.elapsed());
        }
        if done(begun.elapsed(), status) {
            return (refused, slowest);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_sessions_continue_until_the_lease_ends_in_an_outage() {
    let postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    let ada = server.ada().await;
    assert!(ada.is_signed_in().await);
    postgres.signal("STOP");
    let (refused, slowest) = browses(&ada, |_, status| status != 200).await;
    let (refused, ready) = (refused.unwrap(), server.visitor().opens("/readyz").await);
    postgres.signal("CONT");
    assert!(refused > Duration::from_secs(3) && refused < Duration::from_secs(8), "{refused:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (503, "not ready (database_unreachable): the database does not answer\n")
    );
    assert!(heals(&ada).await);
    while server.visitor().opens("/readyz").await.status != 200 {}
    assert_eq!(ada.signs_out().await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_sessions_are_unaffected_by_a_database_crash_within_the_lease() {
    let postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    let ada = server.ada().await;
    assert!(ada.is_signed_in().await);
    postgres.crash();
    let (refused, slowest) = browses(&ada, |elapsed, _| elapsed > Duration::from_secs(8)).await;
    assert!(refused.is_none() && slowest < Duration::from_secs(1), "{refused:?} {slowest:?}");
    let copy = ada.copy();
    assert_eq!(ada.signs_out().await.status, 303);
    assert!(!copy.is_signed_in().await);
}

handstamp_testing::stories! {
    async fn a_database_that_lost_invalidations_ends_all_sessions(server: TestServer) {
        let ada = server.ada().await;
        for name in ["Augusta", "Ada"] {
            ada.submits("/account/profile", &[("name", name)]).await;
        }
        let phone = server.visitor();
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        server.execute("DELETE FROM changes").await;
        server.execute("UPDATE change_counter SET position = 0").await;
        // A sign-out of the phone may be among the lost invalidations.
        let copy = phone.copy();
        assert_ne!(phone.opens("/account").await.status, 200);
        assert_eq!(server.wait_for_event("epoch_begun").await["reason"], "database_older");
        while ada.opens("/account").await.status == 503 {}
        for ended in [&ada, &phone, &copy] {
            assert!(!ended.is_signed_in().await);
        }
        assert_eq!(server.events("epoch_begun").len(), 1);
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        assert!(ada.is_signed_in().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_lease_ends_sooner_in_an_outage() {
    let postgres = Postgres::start();
    let mut server = TestServer::on_database(postgres.new_database());
    server.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
    let ada = server.ada().await;
    assert!(ada.is_signed_in().await);
    postgres.signal("STOP");
    let (refused, _) = browses(&ada, |_, status| status != 200).await;
    postgres.signal("CONT");
    assert!(refused.unwrap() < Duration::from_secs(4), "{refused:?}");
    assert!(heals(&ada).await);
}

/// A new leader takes over. The old one was not fenced, and still answers the reads of a node that did not switch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_from_a_deposed_leader_are_not_trusted() {
    let old_leader = Postgres::start();
    let url = old_leader.new_database();
    for cache_entries in ["1000", "0"] {
        let mut left_behind = TestServer::on_database(url.clone());
        left_behind.set("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        left_behind.set("HANDSTAMP_SESSION__LEASE", "1s");
        left_behind.restart_with("HANDSTAMP_SESSION__CACHE_ENTRIES", cache_entries);
        let phone = left_behind.visitor();
        let name = format!("ada{cache_entries}@example.com");
        assert_eq!(phone.registers("Ada", &name, ADAS_PASSWORD).await.status, 303);
        assert!(phone.is_signed_in().await);

        let leader = old_leader.copy();
        old_leader.block_commits();
        let mut node = TestServer::on_database(leader.database_of(&url));
        node.restart_with("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        let desk = phone.at(&node.url);
        assert_eq!(desk.signs_out().await.status, 303);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            let status = phone.opens("/account").await.status;
            assert_eq!(status, 503, "signed out {:?} ago, with {cache_entries} entries", begun.elapsed());
        }
        assert!(!left_behind.log().contains("lease_renewed"), "the lease was not renewed");
        left_behind.kill();
        old_leader.unblock_commits();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_accepted_without_a_database() {
    let postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    let ada = server.ada().await;
    drop(postgres);
    let (pages, slowest) = asks_for_everything(&ada).await;
    assert!(
        pages.iter().all(|page| page.status == 503),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_eq!(server.visitor().opens("/").await.status, 200, "this page needs no session");
}

/// Starts the server in the background.
fn begins_to_start(mut server: TestServer) -> tokio::task::JoinHandle<TestServer> {
    tokio::task::spawn_blocking(move || {
        server.start();
        server
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_waits_for_its_database_at_the_start() {
    let mut postgres = Postgres::start();
    let url = postgres.new_database().replace("postgres@", "postgres:hunter2@");
    let address = url.split('@').nth(1).unwrap().replace('/', ", database ");
    let mut server = TestServer::on_database(url);
    server.ada().await;
    assert!(server.stop().success());
    postgres.stop();
    let (status, _, error) = server.run_cli(&["user", "list"], "");
    let is_away = ["refused", "shutting down"].iter().any(|words| error.contains(words));
    assert!(status == 1 && error.contains(&address) && is_away, "{error}");
    let log = server.folder().join("log");
    let starting = begins_to_start(server);
    let told = wait_for_events(&log, "database_awaited", 2).await;
    assert_eq!(told[0]["server"], format!("PostgreSQL at {address}"));
    assert!(told[0]["error"].as_str().unwrap().contains("refused") && !format!("{told:?}{error}").contains("hunter2"));
    let seconds: Vec<_> = told.iter().map(|line| line["seconds"].as_u64().unwrap()).collect();
    assert!(seconds[0] > 50 && (4..=7).contains(&(seconds[0] - seconds[1])), "a line every five seconds: {seconds:?}");
    postgres.start_again();
    let server = starting.await.unwrap();
    assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_serving_when_the_database_has_no_free_connections() {
    let postgres = Postgres::with_connections(24);
    let url = postgres.new_database();
    let server = TestServer::on_database(url.clone());
    let ada = server.ada().await;
    many_register(&server).await;
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect(&url).await {
        others.push(other);
    }
    assert!(others.len() > 10, "one node alone takes {}", 24 - others.len());
    let statuses: Vec<_> = many_sign_in(&server).await.iter().map(|(page, _)| page.status).collect();
    assert_eq!(statuses, vec![303; PEOPLE]);
    assert!(ada.is_signed_in().await && server.visitor().opens("/readyz").await.status == 200);

    // The node closes a connection whose statement took too long, which leaves one for others; on a busy machine more than once.
    let mut tried = 0;
    let (status, error) = loop {
        while let Ok(other) = PgConnection::connect(&url).await {
            others.push(other);
        }
        let (status, _, error) = server.run_cli(&["user", "list"], "");
        tried += 1;
        if status != 0 || tried == 10 {
            break (status, error);
        }
    };
    assert!(status == 1 && error.contains("too many clients"), "{error}");
    let mut second = server.new_node();
    second.set("HANDSTAMP_DATABASE__CONNECTIONS", "4");
    let log = second.log_file();
    std::fs::write(&log, "").unwrap();
    let starting = begins_to_start(second);
    assert!(
        wait_for_events(&log, "database_awaited", 1).await[0]["error"].as_str().unwrap().contains("too many clients")
    );
    drop(others);
    let second = starting.await.unwrap();
    assert!(ada.at(&second.url).is_signed_in().await);
    assert!(many_sign_in(&second).await.iter().all(|(page, _)| page.status == 303));
    let of_both = second.count("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'handstamp'").await;
    assert!(of_both <= 13 + 4, "{of_both}");
}

//! Wall clocks that differ between nodes, or are set while a node runs.

use handstamp_testing::{ADAS_PASSWORD, COOKIE, TestServer};

use crate::multiple_nodes::{known_to, nobody_is_signed_in};

/// A sign-in on any node is accepted by all nodes, and a sign-out there takes effect on all.
async fn agree(nodes: &[&TestServer]) {
    for node in nodes {
        let ada = node.visitor();
        let page = ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(page.status, 303);
        assert!(page.set_cookie().contains("Max-Age=2592000"), "{}", page.set_cookie());
        let copies = known_to(nodes, &ada).await;
        ada.signs_out_at_last().await;
        assert!(nobody_is_signed_in(&copies).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_different_clocks_agree_on_sessions() {
    let server = TestServer::on_postgres();
    server.ada().await;
    let (fast, slow) = (server.start_node_with_clock("+120s"), server.start_node_with_clock("-120s"));
    let (faster, slower) = (server.start_node_with_clock("+3d"), server.start_node_with_clock("-400d"));
    agree(&[&server, &fast, &slow, &faster, &slower]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_expires_early_on_a_node_whose_clock_is_ahead() {
    let server = TestServer::on_postgres();
    let ada = server.ada().await;
    let later = server.start_node_with_clock("+31d");
    assert!(!ada.at(&later.url).is_signed_in().await, "a session in doubt counts as signed out");
    assert!(ada.is_signed_in().await);
}

/// A node revokes a session even if its own clock takes it for expired or not yet valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_on_a_node_with_a_wrong_clock_takes_effect_on_all_nodes() {
    let server = TestServer::on_postgres();
    server.ada().await;
    for (offset, by_api) in [("+31d", false), ("+31d", true), ("-31d", false), ("-31d", true)] {
        let ada = server.visitor();
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let other = server.start_node_with_clock(offset);
        let page = other.visitor().ends_with(by_api, &format!("{COOKIE}={}", ada.token())).await;
        assert_eq!(page.status, if by_api { 204 } else { 303 });
        assert!(!ada.is_signed_in().await, "signed out at a node whose clock is at {offset}, by API: {by_api}");
    }
    for offset in ["+31d", "-31d"] {
        let ada = server.visitor();
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let other = server.start_node_with_clock(offset);
        assert_eq!(ada.at(&other.url).signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        assert!(!ada.is_signed_in().await, "replaced by a sign-in at a node whose clock is at {offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_purged_while_the_database_clock_is_ahead() {
    let server = TestServer::on_postgres();
    let ada = server.ada().await;
    // For this node, the clock of the database is forty days ahead.
    let mut earlier = server.start_node_with_clock("-40d");
    server.execute("UPDATE sessions SET expires_at = expires_at - 31 * 86400").await;
    server.execute("UPDATE jobs SET due_at = 0").await;
    earlier.restart();
    assert!(earlier.wait_for_event("purge_paused").await["seconds"].as_u64().unwrap() > 39 * 86_400);
    assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 1);
    let later = server.start_node();
    assert_eq!(later.wait_for_event("sessions_purged").await["sessions"], 1, "purged where the clocks agree");
    assert!(!ada.at(&later.url).is_signed_in().await);
}

handstamp_testing::stories! {
    async fn setting_the_wall_clock_does_not_prolong_a_lease(server: TestServer) {
        let ada = server.ada().await;
        let second = server.start_node_with_clock("+0s");
        for offset in ["+3600s", "+0s", "-30s"] {
            assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
            let copies = known_to(&[&server, &second], &ada).await;
            second.set_wall_clock(offset);
            let again = known_to(&[&second], &ada).await;
            ada.signs_out_at_last().await;
            assert!(nobody_is_signed_in(&copies).await && nobody_is_signed_in(&again).await, "{offset}");
        }
    }

    async fn a_frozen_node_whose_clock_is_set_back_loses_its_lease(server: TestServer) {
        let ada = server.ada().await;
        let second = server.start_node_with_clock("+0s");
        let copies = known_to(&[&second], &ada).await;
        second.freeze().await;
        second.set_wall_clock("-30s");
        ada.signs_out_at_last().await;
        second.signal("CONT");
        assert!(nobody_is_signed_in(&copies).await, "the monotonic clock has advanced");
    }
}

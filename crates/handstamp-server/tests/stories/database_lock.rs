//! Locks in the database that block sign-ins, and the log lines about them.

use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, Page, TestServer};
use tokio::task::JoinSet;

/// More users than there are database connections.
pub const PEOPLE: usize = 25;

/// Registers the users that sign in later.
pub async fn many_register(server: &TestServer) {
    for number in 0..PEOPLE {
        server.visitor().registers("Bob", &format!("person{number}@example.com"), ADAS_PASSWORD).await;
    }
}

/// Signs in all these users at once. Returns the responses, and how long each took.
pub async fn many_sign_in(server: &TestServer) -> Vec<(Page, Duration)> {
    let mut tasks = JoinSet::new();
    for number in 0..PEOPLE {
        let visitor = server.visitor();
        tasks.spawn(async move {
            let begun = Instant::now();
            (visitor.signs_in(&format!("person{number}@example.com"), ADAS_PASSWORD).await, begun.elapsed())
        });
    }
    tasks.join_all().await
}

handstamp_testing::stories! {
    async fn requests_to_a_locked_database_are_answered_503_in_time(mut server: TestServer) {
        server.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
        let (ada, phone) = (server.ada().await, server.visitor());
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        many_register(&server).await;
        let thief = phone.copy();
        phone.signs_out().await;
        assert!(ada.is_signed_in().await);
        let lock = server.lock_database().await;
        let mut crowd = std::pin::pin!(many_sign_in(&server));
        let pages = loop {
            tokio::select! {
                pages = &mut crowd => break pages,
                signed_in = ada.is_signed_in() => assert!(signed_in, "a live session is unaffected"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for (page, took) in &pages {
            assert_eq!((page.status, page.header("retry-after"), page.set_cookie()), (503, "5", ""));
            assert!(*took < Duration::from_secs(5), "the limit is 2.5 seconds: {took:?}");
        }
        assert!([303, 503].contains(&thief.opens("/account").await.status));
        drop(lock);
        let begun = Instant::now();
        while server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status != 303 {
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        assert!(many_sign_in(&server).await.iter().all(|(page, _)| page.status == 303));
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 2 + 2 * i64::try_from(PEOPLE).unwrap());
        assert!(ada.is_signed_in().await && !thief.is_signed_in().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_reports_a_process_that_holds_the_write_lock() {
    let server = TestServer::on_sqlite();
    let ada = server.ada().await;
    let lock = server.lock_database().await;
    let pages = tokio::join!(ada.submits("/account/profile", &[("name", "Augusta")]), many_sign_in(&server));
    assert_eq!((pages.0.status, pages.1[0].0.status), (503, 503));
    drop(lock);
    let faults = server.events("internal_error");
    let says =
        |line: &serde_json::Value| line["error"].as_str().unwrap().contains("holds the write lock of the database");
    assert!(faults.len() > PEOPLE / 2 && faults.iter().all(says), "{faults:?}");
}

//! Connections to PostgreSQL that are reset or break within a message, and restarts of PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, FaultyTcpProxy, Page, Postgres, TestServer, Visitor};
use tokio::task::JoinSet;

const NEW: &str = "walnut-trumpet-glacier";
/// More messages than the database sends for any of these acts.
const MESSAGES: i64 = 80;

/// Whether the act was confirmed; otherwise the response must be a 503 that asks for a retry.
fn is_done(page: &Page) -> bool {
    assert!(page.status == 303 || page.status == 503, "{} {}", page.status, page.body);
    if page.status == 503 {
        assert_eq!((page.header("retry-after"), page.set_cookie()), ("5", ""));
    }
    page.status == 303
}

/// A user who has just registered.
async fn somebody(server: &TestServer, name: &str) -> (String, Visitor) {
    let (email, visitor) = (format!("{name}@example.com"), server.visitor());
    let begun = Instant::now();
    // The act before has broken a connection, and a busy machine may still be without its lease.
    while !is_done(&visitor.registers("Ada", &email, ADAS_PASSWORD).await) {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody can register any more");
    }
    (email, visitor)
}

/// Signs in, signs out and changes the password; each time, the database's message with this number is cut in half. Returns
/// the number of acts that failed because of that.
async fn acts_on_half_an_answer(server: &TestServer, proxy: &FaultyTcpProxy, messages: i64) -> usize {
    let (email, ada) = somebody(server, &format!("ada{messages}")).await;
    let (phone, computer, mut refused) = (server.visitor(), server.visitor(), 0);
    assert!(is_done(&computer.signs_in(&email, ADAS_PASSWORD).await));

    proxy.cut_after(messages);
    let signed_in = is_done(&phone.signs_in(&email, ADAS_PASSWORD).await);
    refused += usize::from(proxy.resume() && !signed_in);
    assert_eq!(phone.has_cookie() && phone.is_signed_in().await, signed_in);

    let copy = computer.copy();
    proxy.cut_after(messages);
    let signed_out = is_done(&computer.signs_out().await);
    refused += usize::from(proxy.resume() && !signed_out);
    assert!(signed_out || is_done(&computer.signs_out().await), "a repeated sign-out succeeds");
    assert!(!copy.is_signed_in().await);

    let copy = ada.copy();
    proxy.cut_after(messages);
    let changed = is_done(&ada.changes_password(ADAS_PASSWORD, NEW).await);
    refused += usize::from(proxy.resume() && !changed);
    let by_the_new = server.visitor().signs_in(&email, NEW).await.status == 303;
    assert!(by_the_new || !changed);
    let by_the_old = server.visitor().signs_in(&email, ADAS_PASSWORD).await.status == 303;
    assert_ne!(by_the_new, by_the_old, "exactly one of them is the password");
    assert_eq!(copy.is_signed_in().await, by_the_old);
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_database_response_counts_as_a_failure() {
    let proxy = FaultyTcpProxy::new(&Postgres::shared().new_database());
    let server = TestServer::on_database(proxy.url.clone());
    let mut refused = 0;
    for messages in (0..MESSAGES).step_by(2) {
        refused += acts_on_half_an_answer(&server, &proxy, messages).await;
    }
    assert!(refused > 20, "only {refused} acts failed");
}

/// Users who sign in continuously until `done`; each counts its confirmed and its refused sign-ins.
async fn sign_in_all_the_time(server: &TestServer, done: &Arc<AtomicBool>) -> JoinSet<[usize; 2]> {
    let mut tasks = JoinSet::new();
    for number in 0..4 {
        let (email, _) = somebody(server, &format!("person{number}")).await;
        let (url, done, mut counts) = (server.url.clone(), Arc::clone(done), [0; 2]);
        tasks.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let page = Visitor::new(&url).signs_in(&email, ADAS_PASSWORD).await;
                counts[usize::from(!is_done(&page))] += 1;
            }
            counts
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_resets_of_all_database_connections() {
    let proxy = FaultyTcpProxy::new(&Postgres::shared().new_database());
    let mut server = TestServer::on_database(proxy.url.clone());
    // A sign-in whose success cannot be recorded counts as a failure, so there is no limit here.
    server.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "0");
    let (ada, phone, done) = (server.ada().await, server.visitor(), Arc::default());
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let thief = phone.copy();
    phone.signs_out().await;
    assert!(ada.is_signed_in().await);
    let tasks = sign_in_all_the_time(&server, &done).await;
    for _ in 0..30 {
        proxy.reset_connections();
        assert!(ada.is_signed_in().await, "a cached session needs no connection");
        assert!([303, 503].contains(&thief.opens("/account").await.status));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    done.store(true, Ordering::SeqCst);
    let counts = tasks.join_all().await;
    assert!(counts.iter().all(|[answered, _]| *answered > 0), "{counts:?}");
    assert!(counts.iter().any(|[_, told_to_come_back]| *told_to_come_back > 0), "no sign-in was refused: {counts:?}");
    assert!(!thief.is_signed_in().await);
    for _ in 0..15 {
        assert!(
            is_done(&server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await),
            "sign-ins succeed at once"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_a_database_restart() {
    let mut postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    let (ada, phone) = (server.ada().await, server.visitor());
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let thief = phone.copy();
    phone.signs_out().await;
    assert!(ada.is_signed_in().await);
    for _ in 0..2 {
        postgres.stop();
        assert!(ada.is_signed_in().await, "a cached session needs no database");
        assert!(!is_done(&server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await));
        assert!(!is_done(&ada.changes_password(ADAS_PASSWORD, NEW).await));
        assert_eq!(thief.opens("/account").await.status, 503, "an unknown session cannot be looked up");
        postgres.start_again();
        let begun = Instant::now();
        while !is_done(&server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await) {
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        while server.visitor().opens("/readyz").await.status != 200 {}
        assert!(ada.is_signed_in().await && !thief.is_signed_in().await);
    }
    assert!(is_done(&ada.signs_out().await));
}

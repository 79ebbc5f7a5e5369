//! Connections to PostgreSQL that are reset or break within a message, and restarts of PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::between::Between;
use crate::house::{ADAS_PASSWORD, House};
use crate::postgres_server::{self, Server};
use crate::visitor::{Page, Visitor};

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
async fn somebody(house: &House, name: &str) -> (String, Visitor) {
    let (email, visitor) = (format!("{name}@example.com"), house.visitor());
    assert_eq!(visitor.registers("Ada", &email, ADAS_PASSWORD).await.status, 303);
    (email, visitor)
}

/// Signs in, signs out and changes the password; each time, the database's message with this number is cut in half. Returns
/// the number of acts that failed because of that.
async fn acts_on_half_an_answer(house: &House, between: &Between, messages: i64) -> usize {
    let (email, ada) = somebody(house, &format!("ada{messages}")).await;
    let (phone, computer, mut refused) = (house.visitor(), house.visitor(), 0);
    assert!(is_done(&computer.signs_in(&email, ADAS_PASSWORD).await));

    between.breaks_off_after(messages);
    let signed_in = is_done(&phone.signs_in(&email, ADAS_PASSWORD).await);
    refused += usize::from(between.goes_on() && !signed_in);
    assert_eq!(phone.has_cookie() && phone.is_signed_in().await, signed_in);

    let copy = computer.copy();
    between.breaks_off_after(messages);
    let signed_out = is_done(&computer.signs_out().await);
    refused += usize::from(between.goes_on() && !signed_out);
    assert!(signed_out || is_done(&computer.signs_out().await), "a repeated sign-out succeeds");
    assert!(!copy.is_signed_in().await);

    let copy = ada.copy();
    between.breaks_off_after(messages);
    let changed = is_done(&ada.changes_password(ADAS_PASSWORD, NEW).await);
    refused += usize::from(between.goes_on() && !changed);
    let by_the_new = house.visitor().signs_in(&email, NEW).await.status == 303;
    assert!(by_the_new || !changed);
    let by_the_old = house.visitor().signs_in(&email, ADAS_PASSWORD).await.status == 303;
    assert_ne!(by_the_new, by_the_old, "exactly one of them is the password");
    assert_eq!(copy.is_signed_in().await, by_the_old);
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_database_response_counts_as_a_failure() {
    let between = Between::new(&postgres_server::new_database());
    let house = House::on(between.url.clone());
    let mut refused = 0;
    for messages in (0..MESSAGES).step_by(2) {
        refused += acts_on_half_an_answer(&house, &between, messages).await;
    }
    assert!(refused > 20, "only {refused} acts failed");
}

/// Users who sign in continuously until `done`; each counts its confirmed and its refused sign-ins.
async fn sign_in_all_the_time(house: &House, done: &Arc<AtomicBool>) -> JoinSet<[usize; 2]> {
    let mut tasks = JoinSet::new();
    for number in 0..4 {
        let (email, _) = somebody(house, &format!("person{number}")).await;
        let (url, done, mut counts) = (house.url.clone(), Arc::clone(done), [0; 2]);
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
    let between = Between::new(&postgres_server::new_database());
    let mut house = House::on(between.url.clone());
    // A sign-in whose success cannot be recorded counts as a failure, so there is no limit here.
    house.restart_with("HANDSTAMP_LIMITS__SIGN_IN_PER_ACCOUNT", "0");
    let (ada, phone, done) = (house.ada().await, house.visitor(), Arc::default());
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let thief = phone.copy();
    phone.signs_out().await;
    assert!(ada.is_signed_in().await);
    let tasks = sign_in_all_the_time(&house, &done).await;
    for _ in 0..30 {
        between.resets_all();
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
        assert!(is_done(&house.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await), "sign-ins succeed at once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_recovers_from_a_database_restart() {
    let mut server = Server::start();
    let house = House::on(server.new_database());
    let (ada, phone) = (house.ada().await, house.visitor());
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let thief = phone.copy();
    phone.signs_out().await;
    assert!(ada.is_signed_in().await);
    for _ in 0..2 {
        server.stops();
        assert!(ada.is_signed_in().await, "a cached session needs no database");
        assert!(!is_done(&house.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await));
        assert!(!is_done(&ada.changes_password(ADAS_PASSWORD, NEW).await));
        assert_eq!(thief.opens("/account").await.status, 503, "an unknown session cannot be looked up");
        server.starts();
        let begun = Instant::now();
        while !is_done(&house.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await) {
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        while house.visitor().opens("/readyz").await.status != 200 {}
        assert!(ada.is_signed_in().await && !thief.is_signed_in().await);
    }
    assert!(is_done(&ada.signs_out().await));
}

//! Tests of what connections that outlive their request learn: the end of their session. And of the events of a process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::FromRequestParts;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{AccountEvent, ClientDetails, CurrentUser};

/// With a third of it a node reads the log, as SQLite sends no notifications, and waits for connections.
const LEASE: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(300);

async fn signed_in(handstamp: &Handstamp, token: &str) -> CurrentUser {
    let request = Request::get("/").header("host", "localhost").header("cookie", format!("handstamp_session={token}"));
    let mut parts = request.body(()).unwrap().into_parts().0;
    <CurrentUser as FromRequestParts<_>>::from_request_parts(&mut parts, handstamp).await.unwrap()
}

impl TestSite {
    async fn with_short_leases() -> Self {
        Self::with("http://localhost", |config| config.session.lease = LEASE).await
    }

    /// A second node on the same database.
    async fn second_node(&self, set: impl FnOnce(&mut Config)) -> Handstamp {
        let services = &self.handstamp.0.site.services;
        let mut config = services.config.clone();
        set(&mut config);
        Handstamp::open_with(config, services.environment.clone()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_is_confirmed_after_the_connections_on_another_node_are_closed() {
    let here = TestSite::with_short_leases().await;
    let token = here.registers().await;
    let there = here.second_node(|_| ()).await;
    let hold = signed_in(&there, &token).await.session().hold();
    let is_closed = Arc::new(AtomicBool::new(false));
    let connection = tokio::spawn({
        let is_closed = Arc::clone(&is_closed);
        async move {
            hold.ended().await;
            sleep(MOMENT).await;
            is_closed.store(true, Ordering::SeqCst);
            drop(hold);
        }
    });
    sleep(MOMENT).await;
    assert!(!connection.is_finished(), "the session is live");
    let user = signed_in(&here.handstamp, &token).await;
    let _ = here.handstamp.sign_out(&user).await.unwrap();
    assert!(is_closed.load(Ordering::SeqCst), "the sign-out was confirmed with an open connection");
    timeout(LONG, connection).await.unwrap().unwrap();
    there.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_answer_delays_one_sign_out_for_a_third_of_a_lease() {
    let here = TestSite::with_short_leases().await;
    let token = here.registers().await;
    let there = here.second_node(|_| ()).await;
    let user = signed_in(&there, &token).await;
    let hold = user.session().hold();
    let begun = Instant::now();
    let _ = here.handstamp.sign_out(&user).await.unwrap();
    let waited = begun.elapsed();
    assert!(LEASE / 3 <= waited && waited < LEASE * 2, "{waited:?}");
    assert_eq!(there.readiness().await, Ok(()), "the lease was renewed meanwhile");
    timeout(LONG, hold.ended()).await.expect("it has ended");
    let found = there.0.site.services.sessions.find(&token).await.unwrap();
    assert!(matches!(found, crate::sessions::SessionLookup::Revoked(_)), "the other node does not serve it");
    there.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_user_ends_no_connection_unless_it_ends_the_session() {
    let here = TestSite::with_short_leases().await;
    let token = here.registers().await;
    let there = here.second_node(|_| ()).await;
    let session = signed_in(&there, &token).await.session();
    let ended = tokio::spawn(session.ended());
    here.handstamp.users().change_groups(here.ada().await, &["staff"], &[]).await.unwrap();
    sleep(MOMENT).await;
    assert!(!ended.is_finished(), "the session is live");
    here.handstamp.users().disable(here.ada().await).await.unwrap();
    timeout(MOMENT, ended).await.expect("before the act returned").unwrap();
    timeout(MOMENT, session.ended()).await.expect("a session that has ended before is found out at once");
    there.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_the_lifetime_of_its_session() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let hold = signed_in(&here.handstamp, &token).await.session().hold();
    here.clock.advance(29 * DAY);
    assert!(timeout(MOMENT, hold.ended()).await.is_err(), "it is live");
    here.clock.advance(DAY);
    timeout(MOMENT, hold.ended()).await.expect("it has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_cache_finds_out_within_seconds() {
    let here = TestSite::with_short_leases().await;
    let token = here.registers().await;
    let there = here.second_node(|config| config.session.cache_entries = 0).await;
    let ended = tokio::spawn(signed_in(&there, &token).await.session().ended());
    sleep(MOMENT).await;
    assert!(!ended.is_finished(), "the session is live");
    here.handstamp.sessions().revoke_everyone().await.unwrap();
    timeout(Duration::from_secs(5), ended).await.expect("it reads the row every second").unwrap();
    there.close().await;
}

#[tokio::test]
async fn an_application_receives_the_acts_of_its_process() {
    let here = TestSite::at("http://localhost").await;
    let mut events = here.handstamp.events();
    let token = here.registers().await;
    let user = here.ada().await;
    let groups = here.handstamp.users();
    groups.change_groups(user, &["staff"], &[]).await.unwrap();
    assert!(groups.change_groups(user, &["no group"], &[]).await.is_err());
    let _ = here.handstamp.sign_out(&signed_in(&here.handstamp, &token).await).await.unwrap();
    here.submits("/account/login", "email=ada@example.com&password=wrong-octave-harbour").await;
    here.signs_in_for_now().await;
    let _ = here.handstamp.sign_in(user, &ClientDetails::default()).await.unwrap();
    groups.disable(user).await.unwrap();
    groups.delete(user).await.unwrap();
    let mut received = Vec::new();
    while let Ok(event) = events.try_recv() {
        received.push(event);
    }
    let expected = [
        AccountEvent::UserCreated { user },
        AccountEvent::GroupsChanged { user },
        AccountEvent::SignedOut { user },
        AccountEvent::SignedIn { user },
        AccountEvent::SignedIn { user },
        AccountEvent::UserDisabled { user },
        AccountEvent::UserDeleted { user },
    ];
    assert_eq!(received, expected);
}

//! Revocations of sessions that many concurrent requests use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};
use tokio::task::JoinSet;

const NEW: &str = "walnut-trumpet-glacier";
const CONNECTIONS: usize = 50;
const REQUESTS: usize = 1000;

/// The start of each request, and its status.
type Requests = Vec<(Instant, u16)>;

/// Concurrent clients that use one cookie without a pause, at several nodes, until they are stopped.
struct ConcurrentRequests {
    tasks: JoinSet<Requests>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl ConcurrentRequests {
    fn start(cookie_of: &Visitor, nodes: &[&TestServer]) -> Self {
        let mut load = Self { tasks: JoinSet::new(), count: Arc::default(), stop: Arc::default() };
        for number in 0..CONNECTIONS {
            let browser = cookie_of.at(&nodes[number % nodes.len()].url);
            let (count, stop, mut requests) = (Arc::clone(&load.count), Arc::clone(&load.stop), Requests::new());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    requests.push((begun, browser.opens("/account").await.status));
                    count.fetch_add(1, Ordering::SeqCst);
                }
                requests
            });
        }
        load
    }

    /// Waits until this many more requests were answered.
    async fn wait_for(&self, requests: usize) {
        let end = self.count.load(Ordering::SeqCst) + requests;
        while self.count.load(Ordering::SeqCst) < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) -> Requests {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.concat()
    }
}

/// Signs in, sends a thousand requests in that session, and revokes it. Requests that begin after the confirmation are refused
/// on all nodes.
async fn assert_none_is_served_after(nodes: &[&TestServer], ends: impl AsyncFnOnce(&Visitor)) {
    let phone = nodes[0].visitor();
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let load = ConcurrentRequests::start(&phone, nodes);
    load.wait_for(REQUESTS).await;
    ends(&phone).await;
    let answered = Instant::now();
    load.wait_for(REQUESTS / 2).await;
    let requests = load.stop().await;
    assert!(requests.iter().all(|(_, status)| [200, 303].contains(status)), "served, or told to sign in");
    assert!(requests.iter().filter(|(_, status)| *status == 200).count() >= REQUESTS);
    let late = requests.iter().filter(|(begun, _)| *begun > answered);
    assert!(late.clone().count() >= REQUESTS / 2 - CONNECTIONS);
    assert_eq!(late.filter(|(_, status)| *status == 200).count(), 0);
}

/// Signs in with the old password until it is refused. Returns all browsers that were signed in.
async fn signs_in_with_the_old_one(url: String, email: String) -> Vec<Visitor> {
    let mut browsers = Vec::new();
    loop {
        let browser = Visitor::new(&url);
        match browser.signs_in(&email, ADAS_PASSWORD).await.status {
            303 => browsers.push(browser),
            refused => {
                // An attempt is throttled while ten others are being evaluated.
                assert!([422, 429].contains(&refused) && !browser.has_cookie(), "{refused}");
                return browsers;
            }
        }
    }
}

handstamp_testing::stories! {
    async fn no_request_is_served_after_a_revocation_under_load(server: TestServer) {
        let (second, ada) = (server.start_node(), server.ada().await);
        let nodes = [&server, &second];
        assert_none_is_served_after(&nodes, async |phone| {
            assert_eq!(phone.copy().signs_out().await.status, 303);
        }).await;
        assert_none_is_served_after(&nodes, async |_| {
            assert_eq!(ada.submits("/account/sessions/revoke-others", &[]).await.status, 303);
        }).await;
        assert_none_is_served_after(&nodes, async |_| {
            let typed = || server.run_cli(&["session", "revoke", "--user", "ada@example.com"], "");
            assert_eq!(tokio::task::block_in_place(typed).0, 0);
        }).await;
    }

    async fn sign_ins_that_race_a_password_change_leave_no_session(server: TestServer) {
        let (second, mut sessions) = (server.start_node(), 0);
        for round in 0..8 {
            let (ada, email) = (server.visitor(), format!("ada{round}@example.com"));
            ada.registers("Ada", &email, ADAS_PASSWORD).await;
            let mut others = JoinSet::new();
            for node in [&server, &second].repeat(3) {
                others.spawn(signs_in_with_the_old_one(node.url.clone(), email.clone()));
            }
            tokio::time::sleep(Duration::from_millis(10 * round)).await;
            assert_eq!(ada.changes_password(ADAS_PASSWORD, NEW).await.status, 303);
            for browser in others.join_all().await.iter().flatten() {
                sessions += 1;
                for url in [&server.url, &second.url] {
                    assert!(!browser.at(url).is_signed_in().await);
                }
            }
            assert!(ada.is_signed_in().await && server.visitor().signs_in(&email, NEW).await.status == 303);
        }
        assert!(sessions > 0, "no sign-in came before the change");
    }
}

//! Revocations of sessions that many concurrent requests use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::house::{ADAS_PASSWORD, House};
use crate::visitor::Visitor;

const NEW: &str = "walnut-trumpet-glacier";
const CONNECTIONS: usize = 50;
const REQUESTS: usize = 1000;

/// The start of each request, and its status.
type Requests = Vec<(Instant, u16)>;

/// Concurrent clients that use one cookie without a pause, at several nodes, until they are stopped.
struct Crowd {
    tasks: JoinSet<Requests>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Crowd {
    fn uses(cookie_of: &Visitor, nodes: &[&House]) -> Self {
        let mut crowd = Self { tasks: JoinSet::new(), count: Arc::default(), stop: Arc::default() };
        for number in 0..CONNECTIONS {
            let browser = cookie_of.at(&nodes[number % nodes.len()].url);
            let (count, stop, mut requests) = (Arc::clone(&crowd.count), Arc::clone(&crowd.stop), Requests::new());
            crowd.tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    requests.push((begun, browser.opens("/account").await.status));
                    count.fetch_add(1, Ordering::SeqCst);
                }
                requests
            });
        }
        crowd
    }

    /// Waits until this many more requests were answered.
    async fn goes_on_for(&self, requests: usize) {
        let end = self.count.load(Ordering::SeqCst) + requests;
        while self.count.load(Ordering::SeqCst) < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stops(self) -> Requests {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.concat()
    }
}

/// Signs in, sends a thousand requests in that session, and revokes it. Requests that begin after the confirmation are refused
/// on all nodes.
async fn nobody_is_served_after(nodes: &[&House], ends: impl AsyncFnOnce(&Visitor)) {
    let phone = nodes[0].visitor();
    phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
    let crowd = Crowd::uses(&phone, nodes);
    crowd.goes_on_for(REQUESTS).await;
    ends(&phone).await;
    let answered = Instant::now();
    crowd.goes_on_for(REQUESTS / 2).await;
    let requests = crowd.stops().await;
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

crate::stories! {
    async fn no_request_is_served_after_a_revocation_under_load(house: House) {
        let (second, ada) = (house.another(), house.ada().await);
        let nodes = [&house, &second];
        nobody_is_served_after(&nodes, async |phone| {
            assert_eq!(phone.copy().signs_out().await.status, 303);
        }).await;
        nobody_is_served_after(&nodes, async |_| {
            assert_eq!(ada.submits("/account/sessions/revoke-others", &[]).await.status, 303);
        }).await;
        nobody_is_served_after(&nodes, async |_| {
            let typed = || house.types(&["session", "revoke", "--user", "ada@example.com"], "");
            assert_eq!(tokio::task::block_in_place(typed).0, 0);
        }).await;
    }

    async fn sign_ins_that_race_a_password_change_leave_no_session(house: House) {
        let (second, mut sessions) = (house.another(), 0);
        for round in 0..8 {
            let (ada, email) = (house.visitor(), format!("ada{round}@example.com"));
            ada.registers("Ada", &email, ADAS_PASSWORD).await;
            let mut others = JoinSet::new();
            for node in [&house, &second].repeat(3) {
                others.spawn(signs_in_with_the_old_one(node.url.clone(), email.clone()));
            }
            tokio::time::sleep(Duration::from_millis(10 * round)).await;
            assert_eq!(ada.changes_password(ADAS_PASSWORD, NEW).await.status, 303);
            for browser in others.join_all().await.iter().flatten() {
                sessions += 1;
                for url in [&house.url, &second.url] {
                    assert!(!browser.at(url).is_signed_in().await);
                }
            }
            assert!(ada.is_signed_in().await && house.visitor().signs_in(&email, NEW).await.status == 303);
        }
        assert!(sessions > 0, "no sign-in came before the change");
    }
}

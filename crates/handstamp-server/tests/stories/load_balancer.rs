//! Requests of signed-in users to several nodes, which restart one after the other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use handstamp_testing::{TestServer, Visitor};
use reqwest::Method;
use tokio::task::JoinHandle;

/// The nodes that a load balancer sends requests to.
#[derive(Clone, Default)]
pub struct LoadBalancer {
    urls: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU32>,
}

impl LoadBalancer {
    /// Sends requests to these nodes.
    pub fn of(nodes: &[&TestServer]) -> Self {
        let balancer = Self::default();
        *balancer.urls.lock().unwrap() = nodes.iter().map(|node| node.url.clone()).collect();
        balancer
    }

    /// Restarts a node, which gets no requests meanwhile.
    pub async fn restarts(&self, node: &mut TestServer) {
        self.urls.lock().unwrap().retain(|url| *url != node.url);
        node.restart();
        self.urls.lock().unwrap().push(node.url.clone());
        let served = self.requests.load(Ordering::SeqCst);
        while self.requests.load(Ordering::SeqCst) < served + 20 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Sends no further requests.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// The number of requests so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Opens a page of the account again and again, at one node after the other. Gives the visitor back at the end.
    pub fn sends(&self, mut visitor: Visitor) -> JoinHandle<Visitor> {
        let balancer = self.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                if balancer.stop.load(Ordering::SeqCst) {
                    break;
                }
                let url = {
                    let urls = balancer.urls.lock().unwrap();
                    urls[turn % urls.len()].clone()
                };
                visitor.follows(&url);
                let page = visitor.tries(visitor.request(Method::GET, "/account")).await;
                let is_drained = !balancer.urls.lock().unwrap().contains(&url);
                match page {
                    Ok(page) => assert_eq!(page.status, 200, "a live session is served: {}", page.body),
                    Err(error) => assert!(is_drained, "a node that is not restarted answers: {error}"),
                }
                balancer.requests.fetch_add(1, Ordering::SeqCst);
            }
            visitor
        })
    }
}

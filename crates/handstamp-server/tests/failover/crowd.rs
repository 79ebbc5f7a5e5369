//! Many people who come, go and stay, at several nodes at once, for as long as a story lasts.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::house::ADAS_PASSWORD;
use crate::record::{Act, Record};
use crate::visitor::Visitor;

/// How many have registered before a story begins: enough for those who sign out of them in the meantime.
const AT_FIRST: usize = 120;
/// How many stay signed in at each node.
const STAYING: usize = 4;
/// How many of the latest cookies of those who have signed out are tried again and again, before they all are in the end.
const LATEST: usize = 20;
const RUSH: usize = 15;
const PAUSE: Duration = Duration::from_millis(60);

/// Somebody whose registration was answered, with the cookie that they got.
#[derive(Clone)]
struct Member {
    email: String,
    token: String,
}

/// The people of a story.
pub struct Crowd {
    /// The URLs of the nodes.
    nodes: Vec<String>,
    pub record: Record,
    people: Mutex<People>,
    count: AtomicUsize,
    goes_home: AtomicBool,
}

#[derive(Default)]
struct People {
    /// Whose registration was answered.
    registered: Vec<Member>,
    /// Who of them will sign out one day.
    signed_in: VecDeque<Member>,
    /// Whose sign-out was answered.
    signed_out: Vec<Member>,
    /// Who asked to be signed out and was not answered: they may be, or not.
    in_doubt: Vec<Member>,
}

impl Crowd {
    /// Some who have registered at these nodes already.
    pub async fn gathers(nodes: Vec<String>) -> Arc<Self> {
        let crowd = Self {
            nodes,
            record: Record::default(),
            people: Mutex::default(),
            count: AtomicUsize::new(0),
            goes_home: AtomicBool::new(false),
        };
        for number in 0..AT_FIRST {
            let member = crowd.somebody_registers(number % crowd.nodes.len()).await.unwrap();
            crowd.people.lock().unwrap().signed_in.push_back(member);
        }
        Arc::new(crowd)
    }

    /// What they do at each node, until they all go home.
    pub async fn comes_and_goes(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for node in 0..self.nodes.len() {
            for _ in 0..STAYING {
                let member = self.somebody_registers(node).await.unwrap();
                tasks.spawn(Arc::clone(self).stays(node, member));
            }
            tasks.spawn(Arc::clone(self).come(node));
            tasks.spawn(Arc::clone(self).come_back(node));
            tasks.spawn(Arc::clone(self).go(node));
            tasks.spawn(Arc::clone(self).steals(node));
        }
        tasks
    }

    /// So many sign in at each node at once that each of its connections to the database has something to do.
    pub fn rushes_in(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for number in 0..RUSH * self.nodes.len() {
            let crowd = Arc::clone(self);
            tasks.spawn(async move {
                let member = crowd.people.lock().unwrap().registered[number].clone();
                crowd.signs_in(number % crowd.nodes.len(), &member).await;
            });
        }
    }

    pub fn goes_home(&self) {
        self.goes_home.store(true, Ordering::SeqCst);
    }

    /// A pause, and whether to go on after it.
    async fn goes_on(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        !self.goes_home.load(Ordering::SeqCst)
    }

    async fn somebody_registers(&self, node: usize) -> Option<Member> {
        let somebody = Visitor::new(&self.nodes[node]);
        let email = format!("person{}@example.com", self.count.fetch_add(1, Ordering::SeqCst));
        let begun = Instant::now();
        let page = somebody.registers("Ada", &email, ADAS_PASSWORD).await;
        if !self.record.note(Act::Registers, node, begun, &page) {
            return None;
        }
        let member = Member { email, token: somebody.token() };
        self.people.lock().unwrap().registered.push(member.clone());
        Some(member)
    }

    async fn come(self: Arc<Self>, node: usize) {
        while self.goes_on().await {
            if let Some(member) = self.somebody_registers(node).await {
                self.people.lock().unwrap().signed_in.push_back(member);
            }
        }
    }

    async fn come_back(self: Arc<Self>, node: usize) {
        let mut number = 0;
        while self.goes_on().await {
            let member = self.people.lock().unwrap().registered[number].clone();
            self.signs_in(node, &member).await;
            number += 1;
        }
    }

    async fn signs_in(&self, node: usize, member: &Member) -> bool {
        let begun = Instant::now();
        let page = Visitor::new(&self.nodes[node]).signs_in(&member.email, ADAS_PASSWORD).await;
        self.record.note(Act::SignsIn, node, begun, &page)
    }

    async fn stays(self: Arc<Self>, node: usize, member: Member) {
        let visitor = Visitor::new(&self.nodes[node]);
        while self.goes_on().await {
            self.opens_the_account(Act::Browses, node, &visitor, &member).await;
        }
    }

    async fn opens_the_account(&self, act: Act, node: usize, visitor: &Visitor, member: &Member) -> bool {
        visitor.presents(&member.token);
        let begun = Instant::now();
        let page = visitor.opens("/account").await;
        self.record.note(act, node, begun, &page)
    }

    /// Signs people out, and asks again until that is answered. Whoever has their cookies tries them everywhere at once.
    async fn go(self: Arc<Self>, node: usize) {
        let visitor = Visitor::new(&self.nodes[node]);
        let copies: Vec<_> = self.nodes.iter().map(|url| Visitor::new(url)).collect();
        while self.goes_on().await {
            let Some(member) = self.people.lock().unwrap().signed_in.pop_front() else { continue };
            visitor.presents(&member.token);
            loop {
                let begun = Instant::now();
                let page = visitor.signs_out().await;
                if self.record.note(Act::SignsOut, node, begun, &page) {
                    break;
                }
                if !self.goes_on().await {
                    self.people.lock().unwrap().in_doubt.push(member);
                    return;
                }
            }
            for (node, copy) in copies.iter().enumerate() {
                self.opens_the_account(Act::Replays, node, copy, &member).await;
            }
            self.people.lock().unwrap().signed_out.push(member);
        }
    }

    /// Tries the cookies of those who have signed out, from the latest back, again and again.
    async fn steals(self: Arc<Self>, node: usize) {
        let thief = Visitor::new(&self.nodes[node]);
        for number in (0..LATEST).cycle() {
            if !self.goes_on().await {
                return;
            }
            let member = self.people.lock().unwrap().signed_out.iter().rev().nth(number).cloned();
            if let Some(member) = member {
                self.opens_the_account(Act::Replays, node, &thief, &member).await;
            }
        }
    }

    /// Looks at everybody once more: at which address, by what, an answer was not kept.
    pub async fn broken_promises(&self) -> Vec<(String, Act)> {
        let People { registered, signed_out, in_doubt, .. } = std::mem::take(&mut *self.people.lock().unwrap());
        let gone: HashSet<_> = signed_out.iter().chain(&in_doubt).map(|member| &member.email).collect();
        let mut broken = Vec::new();
        for (number, member) in registered.iter().enumerate() {
            let node = number % self.nodes.len();
            if !self.signs_in(node, member).await {
                broken.push((member.email.clone(), Act::SignsIn));
            }
            let visitor = Visitor::new(&self.nodes[node]);
            if !gone.contains(&member.email) && !self.opens_the_account(Act::Browses, node, &visitor, member).await {
                broken.push((member.email.clone(), Act::Browses));
            }
        }
        for member in &signed_out {
            for (node, url) in self.nodes.iter().enumerate() {
                if !self.opens_the_account(Act::Replays, node, &Visitor::new(url), member).await {
                    broken.push((member.email.clone(), Act::Replays));
                }
            }
        }
        broken
    }
}

//! Many simulated users who register, sign in, browse and sign out at several nodes at once during a test.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, Visitor};
use tokio::task::JoinSet;

use crate::record::{Act, Record};

/// Users that are registered before a test begins: enough for all sign-outs during the test.
const AT_FIRST: usize = 120;
/// Users that stay signed in at each node.
const STAYING: usize = 4;
/// The latest cookies of signed-out users that are replayed repeatedly during the test. All are replayed at its end.
const LATEST: usize = 20;
const RUSH: usize = 15;
const PAUSE: Duration = Duration::from_millis(60);

/// A user whose registration was answered, with the session token from the response.
#[derive(Clone)]
struct Member {
    email: String,
    token: String,
}

/// The users of a test.
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
    /// Users whose registration was answered.
    registered: Vec<Member>,
    /// Those of them that will sign out later.
    signed_in: VecDeque<Member>,
    /// Users whose sign-out was answered.
    signed_out: Vec<Member>,
    /// Users whose sign-out was requested but not answered; they may be signed in or out.
    in_doubt: Vec<Member>,
}

impl Crowd {
    /// A crowd whose first users have registered at these nodes.
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

    /// Starts the tasks of the users at each node, which end after [`Crowd::goes_home`].
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

    /// Starts so many concurrent sign-ins at each node that all its database connections are busy.
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

    /// Pauses, and gives whether to continue.
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

    /// Signs users out, and repeats each request until it is answered. Then replays their cookies at every node.
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

    /// Replays the cookies of signed-out users repeatedly, from the latest back.
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

    /// Checks every user once more, and gives the e-mail address and the act of each answer that no longer holds.
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

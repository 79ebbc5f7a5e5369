//! A simulated machine: a process that can be frozen and killed, and clocks that drift and are set.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::database::{Database, Served};
use crate::environment::{Clock, Environment, Rng};
use crate::sessions::Node;
use handstamp_testing::SeededRng;

pub const LEASE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A machine with one process that can be frozen and killed.
pub struct Machine {
    pub database: Database,
    /// How many sessions its node caches.
    pub capacity: usize,
    pub node: Arc<Node<Database, Served>>,
    pub clock: Arc<MachineClock>,
    pub environment: Environment,
    freezer: Freezer,
    tasks: JoinSet<()>,
}

impl Machine {
    /// Starts a node. With capacity 0 it does not cache, like a command in a shell.
    pub fn start(database: &Database, rng: &SeededRng, capacity: usize) -> Self {
        let clock = Arc::new(MachineClock::new(rng));
        let environment = Environment { clock: clock.clone(), rng: Arc::new(rng.clone()), mail: None, traces: None };
        let database = database.for_another_process();
        let node = Arc::new(Node::new(Arc::new(database.clone()), environment.clone(), LEASE, capacity));
        let mut machine = Self {
            database,
            capacity,
            node: Arc::clone(&node),
            clock,
            environment,
            freezer: Freezer::default(),
            tasks: JoinSet::new(),
        };
        machine.runs(async move { node.run().await });
        machine
    }

    /// Runs a task in the process: it is suspended while the process is frozen, and ends with it.
    pub fn runs(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(Freezable { task: Box::pin(task), freezer: self.freezer.clone() });
        while self.tasks.try_join_next().is_some() {}
    }

    /// Freezes the process for `duration`.
    pub fn freeze(&self, duration: Duration) {
        let freezer = self.freezer.clone();
        freezer.0.lock().unwrap().frozen = true;
        tokio::spawn(async move {
            sleep(duration).await;
            let mut state = freezer.0.lock().unwrap();
            state.frozen = false;
            state.waiting.drain(..).for_each(Waker::wake);
        });
    }
}

#[derive(Clone, Default)]
struct Freezer(Arc<Mutex<Frozen>>);

#[derive(Default)]
struct Frozen {
    frozen: bool,
    waiting: Vec<Waker>,
}

struct Freezable<F> {
    task: Pin<Box<F>>,
    freezer: Freezer,
}

impl<F: Future<Output = ()>> Future for Freezable<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.freezer.0.lock().unwrap();
            if state.frozen {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.task.as_mut().poll(context)
    }
}

/// The clocks of a machine: a monotonic clock that runs slightly too fast or too slow, and a wall clock that can be set.
pub struct MachineClock {
    begun: Instant,
    /// How much too fast the clocks run, in parts per thousand.
    drift: i64,
    /// The offset of the wall clock, in milliseconds.
    set_by: Mutex<i64>,
}

impl MachineClock {
    fn new(rng: &SeededRng) -> Self {
        let drift = i64::try_from(rng.below(11)).unwrap() - 5;
        Self { begun: Instant::now(), drift, set_by: Mutex::new(0) }
    }

    /// Sets the wall clock by up to a day forward or back.
    pub fn is_set(&self, rng: &SeededRng) {
        let span = i64::try_from(DAY.as_millis()).unwrap();
        *self.set_by.lock().unwrap() = i64::try_from(rng.below(2 * DAY.as_millis() as u64)).unwrap() - span;
    }
}

impl Clock for MachineClock {
    fn wall(&self) -> Duration {
        let wall = 20_000 * DAY + self.monotonic();
        let set_by = *self.set_by.lock().unwrap();
        let by = Duration::from_millis(set_by.unsigned_abs());
        if set_by < 0 { wall - by } else { wall + by }
    }

    fn monotonic(&self) -> Duration {
        let micros = i64::try_from(self.begun.elapsed().as_micros()).unwrap();
        Duration::from_micros(u64::try_from(micros + micros * self.drift / 1000).unwrap())
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

//! The doors to the world outside: the clocks and the randomness of the operating system. Nothing else in the house
//! asks for either, so whoever holds a [`World`] decides what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Tells the time, by two clocks.
pub trait Clock: Send + Sync + 'static {
    /// Since the Unix epoch, by the clock on the wall. Somebody may set it, forward or back.
    fn wall(&self) -> Duration;

    /// Since some moment of its own, by a clock that nobody sets and that goes on while the machine sleeps.
    fn uptime(&self) -> Duration;
}

/// What both clocks showed at once. By two of these one knows how much time has passed at least, whatever was done to the
/// clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock on the wall, since the Unix epoch.
    pub wall: Duration,
    /// By the clock that nobody sets.
    pub uptime: Duration,
}

impl Moment {
    /// The moment on the wall, in whole seconds.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_unix_seconds(self.wall.as_secs())
    }

    /// What both clocks show once `duration` has passed.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self { wall: self.wall + duration, uptime: self.uptime + duration }
    }
}

/// Gives random bytes that nobody can foresee.
pub trait Rng: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// What the house knows of the world outside.
#[derive(Clone)]
pub struct World {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
}

impl World {
    /// The clocks and the randomness of the operating system.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.moment().timestamp()
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { wall: self.clock.wall(), uptime: self.clock.uptime() }
    }

    pub(crate) fn random<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        self.rng.fill(&mut bytes);
        bytes
    }
}

/// The clocks of the operating system.
pub struct SystemClock;

/// The clock that goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const UPTIME: ClockId = ClockId::Boottime;
/// The clock that nobody sets; on Apple's systems it goes on while the machine sleeps, elsewhere it may not.
#[cfg(not(target_os = "linux"))]
const UPTIME: ClockId = ClockId::Monotonic;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door through which time comes in")]
    fn wall(&self) -> Duration {
        // Before 1970 nothing of ours can be valid, and at its beginning nothing is.
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    fn uptime(&self) -> Duration {
        clock_gettime(UPTIME).try_into().expect("a machine has not run for less than no time")
    }
}

/// The random number generator of the operating system.
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "this is the one door through which randomness comes in")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes; without them nothing here is safe");
    }
}

/// Clocks that stand still until they are turned, for tests. In whole seconds.
pub struct ManualClock {
    wall: AtomicU64,
    uptime: AtomicU64,
}

impl ManualClock {
    /// Clocks of a machine that started now.
    pub fn new(now: Timestamp) -> Self {
        Self { wall: AtomicU64::new(now.unix_seconds()), uptime: AtomicU64::new(0) }
    }

    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        self.wall.fetch_add(duration.as_secs(), Ordering::SeqCst);
        self.uptime.fetch_add(duration.as_secs(), Ordering::SeqCst);
    }

    /// Sets the clock on the wall, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.wall.store(now.unix_seconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.wall.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime.load(Ordering::SeqCst))
    }
}

//! Sources of time and randomness. No other code reads the clocks or the random number generator of the operating system, so a
//! test that passes its own [`Environment`] decides what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A wall clock and a monotonic clock.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: the time since the Unix epoch. An operator or NTP may set it, forward or back.
    fn wall(&self) -> Duration;

    /// The monotonic clock: the time since an arbitrary start. It cannot be set, and runs on while the machine sleeps.
    fn monotonic(&self) -> Duration;
}

/// A simultaneous reading of both clocks. Two readings show how much time has passed at least, even if the wall clock was set
/// in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock: the time since the Unix epoch.
    pub wall: Duration,
    /// The monotonic clock: the time since an arbitrary start.
    pub monotonic: Duration,
}

impl ClockReading {
    /// The reading of the wall clock, in whole seconds.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_unix_seconds(self.wall.as_secs())
    }

    /// The reading of both clocks once `duration` has passed.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self { wall: self.wall + duration, monotonic: self.monotonic + duration }
    }
}

/// A cryptographically secure random number generator.
pub trait Rng: Send + Sync + 'static {
    /// Fills `bytes` with unpredictable random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The clocks and the source of randomness that an instance uses.
#[derive(Clone)]
pub struct Environment {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
}

impl Environment {
    /// The clocks and the randomness of the operating system.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock_reading().timestamp()
    }

    pub(crate) fn clock_reading(&self) -> ClockReading {
        ClockReading { wall: self.clock.wall(), monotonic: self.clock.monotonic() }
    }

    pub(crate) fn random<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        self.rng.fill(&mut bytes);
        bytes
    }
}

/// The clocks of the operating system.
pub struct SystemClock;

/// A monotonic clock that runs on while the machine sleeps.
#[cfg(target_os = "linux")]
const MONOTONIC: ClockId = ClockId::Boottime;
/// A monotonic clock; on Apple's systems it runs on while the machine sleeps, elsewhere it may not.
#[cfg(not(target_os = "linux"))]
const MONOTONIC: ClockId = ClockId::Monotonic;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads the wall clock")]
    fn wall(&self) -> Duration {
        // A clock before 1970 reads as the epoch, at which no token and no session is valid.
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        clock_gettime(MONOTONIC).try_into().expect("a monotonic clock is never negative")
    }
}

/// The random number generator of the operating system.
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads random bytes")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes; without them nothing here is safe");
    }
}

/// Clocks for tests, which stand still until they are advanced or set. Their resolution is one second.
pub struct ManualClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// Clocks of a machine that started at `now`: the monotonic clock begins at zero.
    pub fn new(now: Timestamp) -> Self {
        Self { wall: AtomicU64::new(now.unix_seconds()), monotonic: AtomicU64::new(0) }
    }

    /// Advances both clocks, by the whole seconds of `duration`.
    pub fn advance(&self, duration: Duration) {
        self.wall.fetch_add(duration.as_secs(), Ordering::SeqCst);
        self.monotonic.fetch_add(duration.as_secs(), Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back; the monotonic clock stays.
    pub fn set(&self, now: Timestamp) {
        self.wall.store(now.unix_seconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.monotonic.load(Ordering::SeqCst))
    }
}

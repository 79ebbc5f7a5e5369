//! Sources of time and randomness, and the way out for mails. No other code reads the clocks or the random number generator of the
//! operating system, so a test that passes its own [`Environment`] decides what time it is.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use handstamp_core::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tracing::Span;

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

/// Sends mails. By default they go to the server or the folder of [`Config::mail`](crate::Config::mail). An application replaces
/// it to send by the HTTP API of a provider, and a test to read the mails.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use handstamp::environment::{Environment, MailFuture, MailTransport, OutgoingMail};
///
/// #[derive(Default)]
/// struct Inbox(Mutex<Vec<String>>);
///
/// impl MailTransport for Inbox {
///     fn send<'a>(&'a self, mail: &'a OutgoingMail) -> MailFuture<'a, String> {
///         self.0.lock().unwrap().push(format!("{}: {}", mail.recipient, mail.subject));
///         Box::pin(async { Ok("kept".to_owned()) })
///     }
/// }
///
/// let inbox = Arc::new(Inbox::default());
/// let environment = Environment { mail: Some(inbox.clone()), ..Environment::system() };
/// ```
pub trait MailTransport: Send + Sync + 'static {
    /// Sends a mail, and returns the words of the receiver once that is responsible for the mail. A mail may come several times,
    /// with the same [`message_id`](OutgoingMail::message_id): it is sent again after an error, and after a node died that was
    /// sending it. The future is dropped after two minutes, which counts as an error.
    ///
    /// # Errors
    /// When the mail was not taken. [`MailErrorKind`] decides whether it is sent again.
    fn send<'a>(&'a self, mail: &'a OutgoingMail) -> MailFuture<'a, String>;

    /// Whether mails can be sent now. It is called once at the start, and an error is only logged. By default it does nothing.
    ///
    /// # Errors
    /// When the receiver does not answer, or refuses this site.
    fn check(&self) -> MailFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// The future of a [`MailTransport`].
pub type MailFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, MailError>> + Send + 'a>>;

/// A mail that is ready to be sent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingMail {
    /// The id of the mail, without the angle brackets around it. It stays the same when the mail is sent again.
    pub message_id: String,
    /// The address of the sender, to which errors are returned: that of `mail.from`, without the name.
    pub sender: String,
    /// The address of the recipient.
    pub recipient: String,
    /// The subject: one line.
    pub subject: String,
    /// The content as text.
    pub text: String,
    /// The content as HTML.
    pub html: String,
    /// The whole message (RFC 5322), with all its headers and both contents. Its lines end with CR LF, and all of it is ASCII.
    pub message: Vec<u8>,
}

/// Redacted: the content may hold a link that signs in.
impl fmt::Debug for OutgoingMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMail").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailError {
    kind: MailErrorKind,
    summary: String,
    reply: Option<String>,
}

/// The consequence of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailErrorKind {
    /// The receiver does not answer, or asks to try later. The mail is sent again, with growing waits for two days.
    Temporary,
    /// The receiver refuses this recipient or this mail for good. It is not sent again.
    Refused,
    /// The receiver refuses this site, or cannot be trusted: credentials, certificate, sender. The mail is sent again like after a
    /// temporary error, and the log has an error for the operator.
    Configuration,
}

impl MailError {
    /// An error. The log shows `summary`, so it must hold no address and no part of the mail.
    pub fn new(kind: MailErrorKind, summary: impl Into<String>) -> Self {
        Self { kind, summary: summary.into(), reply: None }
    }

    /// The same with the words of the receiver, which `handstamp mail test` shows and the log does not: they often quote the
    /// recipient.
    #[must_use]
    pub fn with_reply(self, reply: impl Into<String>) -> Self {
        Self { reply: Some(reply.into()), ..self }
    }

    /// Its consequence.
    pub fn kind(&self) -> MailErrorKind {
        self.kind
    }

    /// The error as the log shows it.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The words of the receiver, if it answered.
    pub fn reply(&self) -> Option<&str> {
        self.reply.as_deref()
    }
}

/// The summary, and the words of the receiver if it answered.
impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.reply.as_ref().map_or(Ok(()), |reply| write!(f, ": {reply}"))
    }
}

impl std::error::Error for MailError {}

/// Connects the spans of this crate, whose target is [`TRACE_TARGET`](crate::TRACE_TARGET), with the traces of other services. The
/// headers are those of a tracing system, such as `traceparent` of W3C Trace Context.
///
/// An application whose layers already do so for its own requests needs it only for [`Handstamp::reverse_proxy`](crate::Handstamp::reverse_proxy)
/// and webhooks.
pub trait TracePropagator: Send + Sync + 'static {
    /// Makes a new span continue the trace that the headers of a request name. It is called for requests of trusted proxies only.
    fn extract(&self, headers: &HeaderMap, span: &Span);

    /// Writes the trace of a span into the headers of a request, in place of what a client has sent.
    fn inject(&self, span: &Span, headers: &mut HeaderMap);

    /// The id of the trace of a span, for the log; none if it is not recorded.
    fn trace_id(&self, span: &Span) -> Option<String>;
}

/// The clocks, the source of randomness, the way out for mails and the traces that an instance uses.
#[derive(Clone)]
pub struct Environment {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// The way out for mails; none for that of [`Config::mail`](crate::Config::mail).
    pub mail: Option<Arc<dyn MailTransport>>,
    /// Connects its spans with the traces of other services; none if they begin and end here.
    pub traces: Option<Arc<dyn TracePropagator>>,
}

impl Environment {
    /// The clocks and the randomness of the operating system, mail as the settings say, and no traces of other services.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng), mail: None, traces: None }
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

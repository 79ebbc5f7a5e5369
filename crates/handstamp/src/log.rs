//! Logging: every event is recorded within the span of the request that caused it.
//!
//! A span costs a twentieth of a request's time, and most requests log nothing. So the span is created with the first event of a
//! request. For that reason only this module calls the macros of `tracing` for events. The spans of traces are in `trace.rs`.

use std::cell::OnceCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::Method;
use tracing::{Span, field};

tokio::task_local! {
    static REQUEST: Request;
}

/// The fields of a request's span, which is created on first use.
#[derive(Clone)]
pub(crate) struct Request {
    id: RequestId,
    address: Option<IpAddr>,
    method: Method,
    span: OnceCell<Span>,
}

impl Request {
    /// A request, with the client's address if it is known.
    pub(crate) fn new(id: RequestId, address: Option<IpAddr>, method: Method) -> Self {
        Self { id, address, method, span: OnceCell::new() }
    }

    fn span(&self) -> Span {
        self.span.get_or_init(|| self.new_span(None)).clone()
    }

    /// The same request, whose lines have the id of its trace. Its span is created at once.
    pub(crate) fn of_trace(self, id: Option<&str>) -> Self {
        Self { span: self.new_span(id).into(), ..self }
    }

    fn new_span(&self, trace_id: Option<&str>) -> Span {
        let (id, address) = (self.id.as_str(), self.address.map(field::display));
        tracing::info_span!("request", id, address, method = in_short(&self.method), trace_id)
    }
}

/// The method, truncated for the log. Any token is a method, however long.
fn in_short(method: &Method) -> &str {
    const MOST: usize = 20;
    // A token is ASCII, so every index is a character boundary.
    method.as_str().get(..MOST).unwrap_or(method.as_str())
}

/// Limits a log message to once a minute, and counts the suppressed ones.
#[derive(Default)]
pub(crate) struct OnceAMinute(Mutex<Option<Said>>);

struct Said {
    at: Duration,
    /// How many messages were suppressed since.
    unsaid: u64,
}

impl OnceAMinute {
    const MINUTE: Duration = Duration::from_secs(60);

    /// The number of messages suppressed since the last one, if one is due at this uptime; none if it is to be suppressed.
    pub(crate) fn is_due(&self, monotonic: Duration) -> Option<u64> {
        let mut said = self.0.lock().expect("nothing panics while it holds this");
        match &mut *said {
            Some(said) if monotonic.saturating_sub(said.at) < Self::MINUTE => {
                said.unsaid += 1;
                None
            }
            before => Some(before.replace(Said { at: monotonic, unsaid: 0 }).map_or(0, |said| said.unsaid)),
        }
    }
}

/// The id of a request in the log, which error pages show for users to report: sixteen hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

/// Generates request ids that look random and do not repeat within some billions.
#[derive(Default)]
pub(crate) struct RequestIds {
    count: AtomicU64,
    key: RandomState,
}

impl RequestIds {
    pub(crate) fn next(&self) -> RequestId {
        let number = self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed));
        // Formatted by hand, since `format!` takes five times the instructions.
        RequestId(std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize % 16]))
    }
}

/// Runs a future within this request: its events are recorded in the request's span.
pub(crate) fn within<F: Future>(request: Request, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(request, work)
}

/// The same for a future that is spawned from the current request and outlives it.
pub(crate) fn within_current<F: Future>(work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(REQUEST.get(), work)
}

/// The id of the current request, if there is one.
pub(crate) fn request_id() -> Option<RequestId> {
    REQUEST.try_with(|request| request.id).ok()
}

/// Records an event in the span of the current request, if there is one.
pub(crate) fn say(event: impl FnOnce()) {
    REQUEST.try_with(Request::span).unwrap_or_else(|_| Span::none()).in_scope(event);
}

macro_rules! log_info {
    ($($event:tt)*) => { $crate::log::say(|| ::tracing::info!($($event)*)) };
}

macro_rules! log_warn {
    ($($event:tt)*) => { $crate::log::say(|| ::tracing::warn!($($event)*)) };
}

macro_rules! log_error {
    ($($event:tt)*) => { $crate::log::say(|| ::tracing::error!($($event)*)) };
}

// The macros have other names because `warn` is a built-in attribute, and a macro of that name cannot be imported.
pub(crate) use {log_error as error, log_info as info, log_warn as warn};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All files in a folder and its subfolders.
    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn long_methods_are_truncated_in_the_log() {
        assert_eq!(in_short(&Method::GET), "GET");
        assert_eq!(in_short(&Method::from_bytes("A".repeat(20_000).as_bytes()).unwrap()), "A".repeat(20));
    }

    #[test]
    fn a_frequent_message_is_logged_once_a_minute() {
        let line = OnceAMinute::default();
        let at = |seconds| line.is_due(Duration::from_secs(seconds));
        assert_eq!([at(7), at(7), at(66), at(67), at(68), at(500)], [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn only_the_log_module_calls_the_macros_of_tracing() {
        let house = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let says = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            ["info", "warn", "error"].iter().any(|level| text.contains(&format!("tracing::{level}!")))
        };
        let who: Vec<_> = house.iter().filter(|path| says(path)).collect();
        assert!(house.len() > 50 && who.len() == 1 && who[0].ends_with("src/log.rs"), "{who:?}");
    }
}

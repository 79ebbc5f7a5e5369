//! Connections that were upgraded, as WebSockets are: bytes in both directions until one side ends, the session ends or both are
//! silent for too long.

use std::future::poll_fn;
use std::io;
use std::mem::{MaybeUninit, take};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use super::binding::Binding;
use super::metrics::OpenStream;
use super::websocket::{CloseCode, Frames, close_frame};

type Io = TokioIo<Upgraded>;

/// How many bytes are read at once. They are on the stack: an idle connection has no buffer.
const CHUNK: usize = 16 * 1024;
/// How long the two connections may take until they are handed over.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a browser may take to receive a close frame, before the node reports the session as ended.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the browser's own close frame is awaited afterwards, so that ours is not lost in a reset.
const LINGER: Duration = Duration::from_secs(1);

/// An upgrade that both sides have agreed to.
pub(super) struct Upgrade {
    pub(super) browser: OnUpgrade,
    pub(super) app: OnUpgrade,
    pub(super) is_websocket: bool,
    pub(super) idle_timeout: Duration,
    /// None where the request is not for a session.
    pub(super) binding: Option<Binding>,
    pub(super) stream: Arc<OpenStream>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Why an upgraded connection ends.
enum End {
    /// A side has ended it, or broke.
    Closed,
    Idle,
    SessionEnded,
}

impl Upgrade {
    /// Passes the bytes on until the connection ends.
    pub(super) async fn run(self) {
        let Self { browser, app, is_websocket, idle_timeout, binding, stream, _permit } = self;
        let both = async { tokio::try_join!(browser, app) };
        let Ok(Ok((browser, app))) = timeout(HANDOVER_TIMEOUT, both).await else { return };
        let (mut browser, mut app) = (TokioIo::new(browser), TokioIo::new(app));
        let mut pump = Pump::new(is_websocket);
        let end = pump.run(&mut browser, &mut app, binding.as_ref(), idle_timeout).await;
        // From here on no byte reaches the app.
        drop(app);
        let code = match end {
            End::Closed => return,
            End::Idle => CloseCode::GoingAway,
            End::SessionEnded => {
                stream.was_cut();
                match binding.as_ref().is_some_and(Binding::is_of_the_node) {
                    true => CloseCode::TryAgainLater,
                    false => CloseCode::PolicyViolation,
                }
            }
        };
        let is_closed = pump.close(&mut browser, code).await;
        // The node may report the end of the session now.
        drop(binding);
        if is_closed {
            linger(&mut browser).await;
        }
    }
}

/// Reads on until the browser ends the connection, and passes nothing on.
async fn linger(browser: &mut Io) {
    let mut dropped = [0; 512];
    let ends = async { while browser.read(&mut dropped).await.is_ok_and(|read| read > 0) {} };
    // Whether it ended by itself does not matter.
    let _ = timeout(LINGER, ends).await;
}

/// Both directions of a connection.
struct Pump {
    to_browser: Direction,
    to_app: Direction,
    /// The frames that the browser receives, if it is a WebSocket.
    frames: Option<Frames>,
    last_used: Instant,
}

/// One direction of a connection.
#[derive(Default)]
struct Direction {
    /// Bytes that were read and are not written yet.
    waiting: Vec<u8>,
    written: usize,
    has_ended: bool,
    is_shut_down: bool,
}

impl Pump {
    fn new(is_websocket: bool) -> Self {
        Self {
            to_browser: Direction::default(),
            to_app: Direction::default(),
            frames: is_websocket.then(Frames::default),
            last_used: Instant::now(),
        }
    }

    async fn run(&mut self, browser: &mut Io, app: &mut Io, binding: Option<&Binding>, idle_timeout: Duration) -> End {
        let mut ended = pin!(async {
            match binding {
                Some(binding) => binding.ended().await,
                None => std::future::pending().await,
            }
        });
        let may_pass = || binding.is_none_or(Binding::may_pass);
        let mut idle = pin!(sleep_until(self.last_used + idle_timeout));
        poll_fn(|context| {
            if ended.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::SessionEnded);
            }
            let Self { to_browser, to_app, frames, last_used } = self;
            let mut passes = |frames: Option<&mut Frames>, bytes: &[u8]| {
                if !may_pass() {
                    return false;
                }
                if !bytes.is_empty() {
                    *last_used = Instant::now();
                }
                if let Some(frames) = frames {
                    frames.pass(bytes);
                }
                true
            };
            let there = to_browser.poll(context, app, browser, |bytes| passes(frames.as_mut(), bytes));
            let back = to_app.poll(context, browser, app, |bytes| passes(None, bytes));
            let end = match (there, back) {
                (Poll::Ready(Err(PumpError::SessionEnded)), _) | (_, Poll::Ready(Err(PumpError::SessionEnded))) => {
                    End::SessionEnded
                }
                (Poll::Ready(Err(PumpError::Broken)), _) | (_, Poll::Ready(Err(PumpError::Broken))) => End::Closed,
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => End::Closed,
                _ => {
                    while idle.as_mut().poll(context).is_ready() {
                        let due = *last_used + idle_timeout;
                        if due <= Instant::now() {
                            return Poll::Ready(End::Idle);
                        }
                        idle.as_mut().reset(due);
                    }
                    return Poll::Pending;
                }
            };
            Poll::Ready(end)
        })
        .await
    }

    /// Sends a close frame where that is possible, and ends the connection. Returns whether the browser got it.
    async fn close(&mut self, browser: &mut Io, code: CloseCode) -> bool {
        let is_possible = self.frames.as_ref().is_some_and(Frames::is_between_frames)
            && self.to_browser.waiting.is_empty()
            && !self.to_browser.has_ended;
        let close = async {
            if is_possible {
                browser.write_all(&close_frame(code)).await?;
            }
            browser.shutdown().await
        };
        is_possible && timeout(CLOSE_TIMEOUT, close).await.is_ok_and(|closed: io::Result<()>| closed.is_ok())
    }
}

enum PumpError {
    Broken,
    SessionEnded,
}

impl From<io::Error> for PumpError {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Direction {
    /// Passes bytes on, if `may_pass` accepts them, until both sides are done for now. It is asked without bytes before those that
    /// were accepted earlier are written.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Io,
        to: &mut Io,
        mut may_pass: impl FnMut(&[u8]) -> bool,
    ) -> Poll<Result<(), PumpError>> {
        if !self.waiting.is_empty() && !may_pass(&[]) {
            return Poll::Ready(Err(PumpError::SessionEnded));
        }
        loop {
            while self.written < self.waiting.len() {
                let rest = &self.waiting[self.written..];
                self.written += match ready!(Pin::new(&mut *to).poll_write(context, rest))? {
                    0 => return Poll::Ready(Err(PumpError::Broken)),
                    written => written,
                };
            }
            drop(take(&mut self.waiting));
            self.written = 0;
            if self.has_ended {
                if !self.is_shut_down {
                    ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                    self.is_shut_down = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            match Pin::new(&mut *from).poll_read(context, &mut chunk) {
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(context))?;
                    return Poll::Pending;
                }
                Poll::Ready(read) => read?,
            }
            let bytes = chunk.filled();
            if bytes.is_empty() {
                self.has_ended = true;
            } else if !may_pass(bytes) {
                return Poll::Ready(Err(PumpError::SessionEnded));
            } else {
                match Pin::new(&mut *to).poll_write(context, bytes)? {
                    Poll::Ready(written) => self.waiting.extend_from_slice(&bytes[written..]),
                    Poll::Pending => self.waiting.extend_from_slice(bytes),
                }
            }
        }
    }
}

//! The bodies that stream through, in both directions, until they end or their session does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::binding::{Bond, Cut, Gate, Side};
use super::headers::{trailers_for_the_app, trailers_for_the_browser};
use super::metrics::OpenStream;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a client waits for `100 Continue` at most: apps of HTTP/1.0 never say it (RFC 9110 §10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a body ends early.
#[derive(Debug)]
pub(super) struct SessionEnded;

impl std::fmt::Display for SessionEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the session of this request has ended")
    }
}

impl std::error::Error for SessionEnded {}

/// How far the body of a request has come.
#[derive(Default)]
pub(super) struct Progress {
    steps: AtomicU64,
    is_broken: AtomicBool,
}

impl Progress {
    const ENDED: u64 = u64::MAX;

    /// A number that differs from the last one if something was sent since.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.steps() == Self::ENDED
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.steps.store(Self::ENDED, Ordering::Relaxed);
    }

    /// Whether the client has sent no valid body, or only a part of it.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn is_found_broken(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

/// The body of a request on its way to the app.
pub(super) struct RequestBody {
    body: Body,
    cut: Arc<Cut>,
    progress: Arc<Progress>,
    /// Closed until the app has said `100 Continue`.
    gate: Option<ClosedGate>,
}

/// A gate that is not open yet, and the timer after which the body goes on all the same.
struct ClosedGate {
    gate: Arc<Gate>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(body: Body, cut: &Arc<Cut>, progress: &Arc<Progress>, gate: Option<Arc<Gate>>) -> Self {
        if body.is_end_stream() {
            progress.end();
        }
        let gate = gate.map(|gate| ClosedGate { gate, timer: None });
        Self { body, cut: Arc::clone(cut), progress: Arc::clone(progress), gate }
    }

    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(ClosedGate { gate, timer }) = &mut self.gate else { return Poll::Ready(()) };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(CONTINUE_TIMEOUT)));
        if timer.as_mut().poll(context).is_pending() {
            ready!(gate.poll_open(context));
        }
        self.gate = None;
        Poll::Ready(())
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.cut.poll(Side::Request, context.waker()) {
            return Poll::Ready(Some(Err(SessionEnded.into())));
        }
        ready!(self.poll_gate(context));
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.cut.is_cut() {
            return Poll::Ready(Some(Err(SessionEnded.into())));
        }
        match polled {
            Some(Ok(frame)) => {
                self.progress.step();
                Poll::Ready(Some(Ok(filtered(frame, trailers_for_the_app))))
            }
            Some(Err(error)) => {
                self.progress.is_found_broken();
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.progress.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.progress.end();
    }
}

/// The body of an app's response on its way to the browser.
pub(super) struct ResponseBody {
    pub(super) body: Incoming,
    pub(super) cut: Arc<Cut>,
    /// None where the request is not for a session.
    pub(super) _bond: Option<Bond>,
    pub(super) stream: Arc<OpenStream>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl ResponseBody {
    fn end(&self) -> SessionEnded {
        self.stream.was_cut();
        self.cut.cut();
        SessionEnded
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_cut = match polled {
            Poll::Ready(_) => self.cut.is_cut(),
            Poll::Pending => self.cut.poll(Side::Response, context.waker()),
        };
        if is_cut {
            return Poll::Ready(Some(Err(self.end().into())));
        }
        Poll::Ready(ready!(polled).map(|frame| match frame {
            Ok(frame) => Ok(filtered(frame, trailers_for_the_browser)),
            Err(error) => Err(error.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A frame whose trailer fields are filtered, if it has any.
fn filtered(frame: Frame<Bytes>, filter: fn(&mut axum::http::HeaderMap)) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            filter(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

//! A TCP connection with timeouts for request heads, for idle time and for responses that the client does not read.
//!
//! hyper's own timeout for the head sets a timer for each request, which costs a ninth of a request's overhead over bare axum.
//! So a connection records its phase here, and has one timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use crate::connection_limit::ConnectionPermit;

/// The maximum time for the head of a request to arrive, and for a connection to be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The write timeout, counted from when the socket's send buffer is full.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The time in which a client of HTTP/2 has to take a part of a response, which may be 128 KiB, and how often that is checked. Such a
/// client tells for each response how much it takes, so the socket does not show it.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// The phase of a connection: how many of its requests are at work, from their head until the end of their response. HTTP/2 has
/// several at once.
#[derive(Clone, Default)]
struct Phase(Arc<State>);

#[derive(Default)]
struct State {
    at_work: AtomicUsize,
    /// All responses have ended, and the last one is being written.
    is_writing: AtomicBool,
    /// The connection has another protocol now, such as that of WebSockets, which has limits of its own.
    is_upgraded: AtomicBool,
}

impl Phase {
    /// Whether the client has to send the head of a request.
    fn is_reading_head(&self) -> bool {
        let State { at_work, is_writing, is_upgraded } = &*self.0;
        at_work.load(Ordering::SeqCst) == 0 && !is_writing.load(Ordering::SeqCst) && !is_upgraded.load(Ordering::SeqCst)
    }

    /// A head has arrived. The limits of forms cover the rest of the request, and apps have their own.
    fn begin(&self) -> AtWork {
        self.0.at_work.fetch_add(1, Ordering::SeqCst);
        AtWork(self.clone())
    }

    /// Everything is written. Returns whether a response was.
    fn flushed(&self) -> bool {
        self.0.at_work.load(Ordering::SeqCst) == 0 && self.0.is_writing.swap(false, Ordering::SeqCst)
    }
}

/// A request at work, until it is dropped.
pub(crate) struct AtWork(Phase);

impl Drop for AtWork {
    fn drop(&mut self) {
        let Phase(state) = &self.0;
        state.is_writing.store(true, Ordering::SeqCst);
        state.at_work.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that fails when its client is too slow.
pub(crate) struct TimeoutStream {
    stream: TcpStream,
    phase: Phase,
    /// Since when the head of a request is due, while it is.
    since: Instant,
    /// The timer for [`HEAD_TIMEOUT`].
    timer: Option<Pin<Box<Sleep>>>,
    /// When the client must have read the response. None while the send buffer takes everything that is written.
    deadline: Option<Pin<Box<Sleep>>>,
    _permit: ConnectionPermit,
}

impl TimeoutStream {
    /// A connection that holds its permit, and the service that answers on it.
    pub(crate) fn new<S>(stream: TcpStream, service: S, permit: ConnectionPermit) -> (Self, TimeoutService<S>) {
        let phase = Phase::default();
        let answers = TimeoutService { service, phase: phase.clone() };
        (Self { stream, phase, since: Instant::now(), timer: None, deadline: None, _permit: permit }, answers)
    }

    /// Fails if the client has had longer than [`HEAD_TIMEOUT`] to send the head of a request.
    fn poll_head_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ends = self.since + HEAD_TIMEOUT;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        loop {
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            match self.phase.is_reading_head() {
                true if ends <= now => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                true => timer.as_mut().reset(ends),
                false => timer.as_mut().reset(now + HEAD_TIMEOUT),
            }
        }
    }

    fn poll_write_timeout(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(ANSWER_TIMEOUT)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimeoutStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, bytes) {
            Poll::Pending => self.poll_head_timeout(context),
            read => read,
        }
    }
}

impl AsyncWrite for TimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_write_timeout(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.poll_write_timeout(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Ends the write timeout, since hyper flushes after it has written everything. If each write ended it, a client could hold
    /// a connection for ever by reading single bytes.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.deadline = None;
        if self.phase.flushed() {
            self.since = Instant::now();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The service of a connection. hyper calls it with the head of each request.
#[derive(Clone)]
pub(crate) struct TimeoutService<S> {
    service: S,
    phase: Phase,
}

impl<S, R, B> Service<Request<R>> for TimeoutService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: HttpBody + Send + Unpin + 'static,
{
    type Response = Response<TimeoutBody<B>>;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let is_one_of_many = request.version() == Version::HTTP_2;
        let at_work = Some(self.phase.begin());
        TimeoutFuture { answer: self.service.call(request), at_work, is_one_of_many }
    }
}

pin_project! {
    pub(crate) struct TimeoutFuture<F> {
        #[pin]
        answer: F,
        at_work: Option<AtWork>,
        is_one_of_many: bool,
    }
}

impl<F, B, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody + Send + Unpin + 'static,
{
    type Output = Result<Response<TimeoutBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        let at_work = this.at_work.take();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(AtWork(Phase(state))) = &at_work
        {
            state.is_upgraded.store(true, Ordering::SeqCst);
        }
        let is_one_of_many = *this.is_one_of_many;
        Poll::Ready(Ok(response.map(|body| match is_one_of_many && !body.is_end_stream() {
            false => TimeoutBody::Alone { body, _at_work: at_work },
            true => {
                TimeoutBody::OneOfMany { body: Arc::new(Mutex::new(Some(StreamBody::new(body, at_work)))), check: None }
            }
        })))
    }
}

/// The body of a response, whose request is at work until the body is dropped.
pub(crate) enum TimeoutBody<B> {
    /// The connection has no other response meanwhile.
    Alone { body: B, _at_work: Option<AtWork> },
    /// HTTP/2 has several. The timeout of one must not end the others, so this body alone is dropped then.
    OneOfMany {
        body: Arc<Mutex<Option<StreamBody<B>>>>,
        /// The task that checks whether the client takes what it was given.
        check: Option<AbortHandle>,
    },
}

/// The body of a response of HTTP/2.
pub(crate) struct StreamBody<B> {
    body: B,
    /// When the client was given a part that it has not taken yet.
    given: Option<Instant>,
    _at_work: Option<AtWork>,
}

/// The client has not taken a part of a response in time.
#[derive(Debug)]
struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client does not take the response")
    }
}

impl std::error::Error for TooSlow {}

impl<B> StreamBody<B> {
    fn new(body: B, at_work: Option<AtWork>) -> Self {
        Self { body, given: None, _at_work: at_work }
    }

    fn is_stalled(&self) -> bool {
        self.given.is_some_and(|given| given.elapsed() >= STREAM_TIMEOUT)
    }
}

/// Drops the body when its client is too slow, and with it what it holds: the permit of its app, and its session.
async fn drop_when_stalled<B>(body: Arc<Mutex<Option<StreamBody<B>>>>) {
    loop {
        sleep(STREAM_TIMEOUT).await;
        let stalled = locked(&body).take_if(|body| body.is_stalled());
        if stalled.is_some() {
            return;
        }
    }
}

fn locked<B>(body: &Mutex<Option<StreamBody<B>>>) -> MutexGuard<'_, Option<StreamBody<B>>> {
    body.lock().expect("a body that panics ends its request")
}

impl<B> Drop for TimeoutBody<B> {
    fn drop(&mut self) {
        if let Self::OneOfMany { body, check } = self {
            // The task may hold it for longer.
            drop(locked(body).take());
            check.take().inspect(AbortHandle::abort);
        }
    }
}

impl<B> HttpBody for TimeoutBody<B>
where
    B: HttpBody + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let (shared, check) = match self.get_mut() {
            Self::Alone { body, .. } => return Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::OneOfMany { body, check } => (body, check),
        };
        let mut guard = locked(shared);
        let Some(stream) = &mut *guard else { return Poll::Ready(Some(Err(TooSlow.into()))) };
        // hyper asks for the next part only when the client has taken the last one.
        stream.given = None;
        let polled = ready!(Pin::new(&mut stream.body).poll_frame(context));
        if matches!(polled, Some(Ok(_))) && !stream.body.is_end_stream() {
            stream.given = Some(Instant::now());
            check.get_or_insert_with(|| tokio::spawn(drop_when_stalled(Arc::clone(shared))).abort_handle());
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Alone { body, .. } => body.is_end_stream(),
            Self::OneOfMany { body, .. } => locked(body).as_ref().is_some_and(|stream| stream.body.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Alone { body, .. } => body.size_hint(),
            Self::OneOfMany { body, .. } => {
                locked(body).as_ref().map(|stream| stream.body.size_hint()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, poll_fn, ready};

    use axum::body::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::connection_limit::ConnectionLimit;

    struct Echo;

    impl Service<Request<u16>> for Echo {
        type Response = Response<String>;
        type Error = io::Error;
        type Future = Ready<io::Result<Response<String>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<u16>) -> Self::Future {
            let mut response = Response::new("a body".to_owned());
            *response.status_mut() = StatusCode::from_u16(request.into_body()).unwrap();
            ready(Ok(response))
        }
    }

    /// A body that never ends, and that tells when it is dropped.
    struct Endless(Arc<AtomicBool>);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a part")))))
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Service<Request<Endless>> for Echo {
        type Response = Response<Endless>;
        type Error = io::Error;
        type Future = Ready<io::Result<Response<Endless>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Endless>) -> Self::Future {
            ready(Ok(Response::new(request.into_body())))
        }
    }

    /// The seconds until reading from a silent client times out; None if that takes a minute or more.
    async fn patience(connection: &mut TimeoutStream) -> Option<u64> {
        let begun = Instant::now();
        let heard = tokio::time::timeout(Duration::from_secs(60), connection.read_u8()).await.ok()?;
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::TimedOut);
        Some(begun.elapsed().as_secs())
    }

    async fn connection() -> (TcpStream, TimeoutStream, TimeoutService<Echo>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let permit = ConnectionLimit::at_most(1).acquire([127, 0, 0, 1].into()).unwrap();
        let stream = listener.accept().await.unwrap().0;
        tokio::time::pause();
        let (connection, answers) = TimeoutStream::new(stream, Echo, permit);
        (client, connection, answers)
    }

    #[tokio::test]
    async fn a_silent_client_times_out_only_while_a_request_head_is_due() {
        let (_client, mut connection, mut answers) = connection().await;
        assert_eq!(patience(&mut connection).await, Some(10));

        let answer = answers.call(Request::new(200));
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None, "the handler runs");
        let response = answer.await.unwrap();
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None, "the body has not ended");
        drop(response);
        assert_eq!(patience(&mut connection).await, None, "the response is not written yet");
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, Some(10));
    }

    #[tokio::test]
    async fn a_connection_with_two_requests_waits_for_both() {
        let (_client, mut connection, mut answers) = connection().await;
        let (first, second) =
            (answers.call(Request::new(200)).await.unwrap(), answers.call(Request::new(200)).await.unwrap());
        drop(first);
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None);
        drop(second);
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, Some(10));
    }

    #[tokio::test]
    async fn an_upgraded_connection_may_be_silent() {
        let (_client, mut connection, mut answers) = connection().await;
        drop(answers.call(Request::new(101)).await.unwrap());
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None);
    }

    #[tokio::test]
    async fn a_response_of_http_2_that_its_client_does_not_take_is_dropped_alone() {
        let (_client, mut connection, mut answers) = connection().await;
        let mut requests = Vec::new();
        for version in [Version::HTTP_2, Version::HTTP_2, Version::HTTP_11] {
            let is_dropped = Arc::new(AtomicBool::new(false));
            let mut request = Request::new(Endless(Arc::clone(&is_dropped)));
            *request.version_mut() = version;
            requests.push((answers.call(request).await.unwrap().into_body(), is_dropped));
        }
        let next =
            async |body: &mut TimeoutBody<Endless>| poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        for (body, _) in &mut requests {
            assert!(next(body).await.unwrap().is_ok());
        }
        for _ in 0..10 {
            sleep(STREAM_TIMEOUT / 3).await;
            assert!(next(&mut requests[1].0).await.unwrap().is_ok(), "it is taken, if slowly");
        }
        let dropped: Vec<_> = requests.iter().map(|(_, is_dropped)| is_dropped.load(Ordering::SeqCst)).collect();
        assert_eq!(dropped, [true, false, false]);
        assert_eq!(next(&mut requests[0].0).await.unwrap().unwrap_err().to_string(), TooSlow.to_string());
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None, "the others are at work");
        requests.drain(..).for_each(|(body, is_dropped)| {
            drop(body);
            assert!(is_dropped.load(Ordering::SeqCst));
        });
    }
}

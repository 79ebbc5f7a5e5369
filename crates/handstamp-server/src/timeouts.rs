//! A TCP connection with timeouts for request heads, for idle time and for responses that the client does not read.
//!
//! hyper's own timeout for the head sets a timer for each request, which costs a ninth of a request's overhead over bare axum.
//! So a connection records its phase here, and has one timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use crate::connection_limit::ConnectionPermit;

/// The maximum time for the head of a request to arrive, and for a connection to be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The write timeout, counted from when the socket's send buffer is full.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The phase of a connection. A connection runs in one task, so no reader sees an outdated phase.
#[derive(Clone, Default)]
struct Phase(Arc<AtomicU8>);

impl Phase {
    /// The client has to send the head of a request.
    const READING_HEAD: u8 = 0;
    /// The head has arrived and the handler runs. The limits of forms cover the rest of the request.
    const HANDLING: u8 = 1;
    /// The response is ready and is being written.
    const WRITING: u8 = 2;

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}

/// A connection that fails when its client is too slow.
pub(crate) struct TimeoutStream {
    stream: TcpStream,
    phase: Phase,
    /// The start of the phase [`Phase::READING_HEAD`], while the connection is in it.
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
            match self.phase.is(Phase::READING_HEAD) {
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
        if self.phase.is(Phase::WRITING) {
            self.phase.set(Phase::READING_HEAD);
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

impl<S: Service<R>, R> Service<R> for TimeoutService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.phase.set(Phase::HANDLING);
        TimeoutFuture { answer: self.service.call(request), phase: self.phase.clone() }
    }
}

pin_project! {
    pub(crate) struct TimeoutFuture<F> {
        #[pin]
        answer: F,
        phase: Phase,
    }
}

impl<F: Future> Future for TimeoutFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        this.phase.set(Phase::WRITING);
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::connection_limit::ConnectionLimit;

    struct Echo;

    impl Service<u8> for Echo {
        type Response = u8;
        type Error = io::Error;
        type Future = Ready<io::Result<u8>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: u8) -> Self::Future {
            ready(Ok(request))
        }
    }

    /// The seconds until reading from a silent client times out; None if that takes a minute or more.
    async fn patience(connection: &mut TimeoutStream) -> Option<u64> {
        let begun = Instant::now();
        let heard = tokio::time::timeout(Duration::from_secs(60), connection.read_u8()).await.ok()?;
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::TimedOut);
        Some(begun.elapsed().as_secs())
    }

    #[tokio::test]
    async fn a_silent_client_times_out_only_while_a_request_head_is_due() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let permit = ConnectionLimit::at_most(1).acquire([127, 0, 0, 1].into()).unwrap();
        tokio::time::pause();
        let (mut connection, mut answers) = TimeoutStream::new(listener.accept().await.unwrap().0, Echo, permit);
        assert_eq!(patience(&mut connection).await, Some(10));

        let answer = answers.call(7);
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, None, "the handler runs");
        assert_eq!(answer.await.unwrap(), 7);
        assert_eq!(patience(&mut connection).await, None, "the response is not written yet");
        connection.flush().await.unwrap();
        assert_eq!(patience(&mut connection).await, Some(10));
    }
}

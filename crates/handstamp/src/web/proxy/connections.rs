//! The connections to an app, and the requests that are sent on them.
//!
//! The task of a request drives the connection itself. The client of hyper-util spawns a task for each connection, and exchanges
//! messages with it: a small page then wakes two tasks more, often on another thread.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::http::uri::Authority;
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tower::ServiceExt;

use super::body::{Progress, RequestBody};

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an unused connection is kept: less than the two seconds of gunicorn. So apps rarely close a connection just when a
/// request is sent on it.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_millis(1500);
const MAX_IDLE_CONNECTIONS: usize = 1024;
/// The maximum length of the head of a response, and of what is read at once.
const MAX_HEAD_BYTES: usize = 128 * 1024;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request has no response.
pub(super) enum SendError {
    /// There is no connection.
    Unreachable(BoxError),
    /// The connection broke, or what came is no response.
    Broken(hyper::Error),
    /// Nothing was sent or received for too long.
    Timeout,
}

/// The connections to one app.
pub(super) struct Connections {
    address: Uri,
    connector: HttpConnector,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one used last is the last.
    connections: Vec<Connection>,
    /// Whether a task closes those that are unused for too long.
    is_swept: bool,
}

/// A connection. It reads and writes only while it is polled.
struct Connection {
    sender: SendRequest<RequestBody>,
    /// None once the connection is closed, or has another protocol.
    driver: Option<Driver>,
    /// The timer of its requests. It is set anew only when it fires: a timer of each request takes N instructions.
    timer: Pin<Box<Sleep>>,
    last_used: Instant,
}

impl Connections {
    pub(super) fn new(authority: &Authority) -> Self {
        let address = Uri::builder().scheme("http").authority(authority.clone()).path_and_query("/").build();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let address = address.expect("an authority is an address");
        Self { address, connector, idle: Mutex::default() }
    }

    /// Sends a request, and returns its response. An idle connection that proves to be closed before the request is sent is
    /// replaced.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        progress: &Progress,
        limit: Duration,
    ) -> Result<Response<AppBody>, SendError> {
        loop {
            let (mut connection, is_new) = match self.take() {
                Some(connection) => (connection, false),
                None => (timeout(limit, self.connect()).await.unwrap_or(Err(SendError::Timeout))?, true),
            };
            match connection.exchange(request, progress, limit).await {
                Ok(Ok(response)) => return Ok(self.begin(connection, response)),
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(SendError::Broken(error.into_error())),
                },
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let connector = self.connector.clone();
        let stream =
            connector.oneshot(self.address.clone()).await.map_err(|error| SendError::Unreachable(error.into()))?;
        let mut builder = http1::Builder::new();
        let (sender, driver) =
            builder.max_buf_size(MAX_HEAD_BYTES).handshake(stream).await.map_err(SendError::Broken)?;
        let now = Instant::now();
        let driver: Driver = Box::pin(driver.with_upgrades());
        Ok(Connection { sender, driver: Some(driver), timer: Box::pin(sleep_until(now)), last_used: now })
    }

    /// Takes the part of a body that has come with the head, and gives the connection back when it is free.
    fn begin(self: &Arc<Self>, mut connection: Connection, response: Response<Incoming>) -> Response<AppBody> {
        let response = response.map(|mut rest| {
            let mut first = None;
            if !rest.is_end_stream()
                && let Poll::Ready(frame) = Pin::new(&mut rest).poll_frame(&mut unwoken())
            {
                first = frame;
            }
            AppBody { first, rest }
        });
        match connection.state() {
            State::Idle => self.put(connection),
            State::Busy => drop(tokio::spawn(Arc::clone(self).drive(connection))),
            State::Closed => {}
        }
        response
    }

    /// Drives a connection until its request and its response have ended.
    async fn drive(self: Arc<Self>, mut connection: Connection) {
        if connection.is_free().await && matches!(connection.state(), State::Idle) {
            self.put(connection);
        }
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        // Those below were used earlier. The task that closes them is on its way.
        idle.connections.pop_if(|connection| connection.last_used.elapsed() < IDLE_CONNECTION)
    }

    fn put(self: &Arc<Self>, mut connection: Connection) {
        connection.last_used = Instant::now();
        let mut idle = self.lock();
        if idle.connections.len() < MAX_IDLE_CONNECTIONS {
            idle.connections.push(connection);
        }
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Closes the connections that are unused for too long, until there are none.
    async fn sweep(self: Arc<Self>) {
        loop {
            sleep(IDLE_CONNECTION).await;
            let mut idle = self.lock();
            let old = idle.connections.partition_point(|connection| connection.last_used.elapsed() >= IDLE_CONNECTION);
            idle.connections.drain(..old);
            if idle.connections.is_empty() {
                idle.is_swept = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().expect("nothing panics while it holds the connections")
    }
}

/// Whether a connection can take a request.
enum State {
    Idle,
    Busy,
    Closed,
}

impl Connection {
    /// Sends a request, and waits for the head of its response.
    async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        progress: &Progress,
        limit: Duration,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>, SendError> {
        // Without the budget of the task, at whose end the response would ask for a wake-up that never comes.
        let mut response = pin!(unconstrained(self.sender.try_send_request(request)));
        let (mut due, mut steps) = (Instant::now() + limit, progress.steps());
        poll_fn(|context| {
            // Only the driver makes the response ready, so no other wake-up is needed.
            let _ = poll_driver(&mut self.driver, context);
            if let Poll::Ready(response) = response.as_mut().poll(&mut unwoken()) {
                return Poll::Ready(Ok(response));
            }
            while self.timer.as_mut().poll(context).is_ready() {
                let now = Instant::now();
                if due <= now {
                    if progress.steps() == steps {
                        return Poll::Ready(Err(SendError::Timeout));
                    }
                    steps = progress.steps();
                    due = now + limit;
                }
                self.timer.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await
    }

    /// Drives the connection until it can take another request. Returns false if it never can.
    async fn is_free(&mut self) -> bool {
        poll_fn(|context| match poll_driver(&mut self.driver, context) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => self.sender.poll_ready(context).map(|ready| ready.is_ok()),
        })
        .await
    }

    /// The state of the connection, which wakes no task from now on.
    fn state(&mut self) -> State {
        match poll_driver(&mut self.driver, &mut unwoken()) {
            Poll::Ready(()) => State::Closed,
            Poll::Pending if self.sender.is_ready() => State::Idle,
            Poll::Pending => State::Busy,
        }
    }
}

/// Reads and writes what it can, until the connection is closed. The driver is dropped then, so that the sender learns it.
fn poll_driver(driver: &mut Option<Driver>, context: &mut Context<'_>) -> Poll<()> {
    if let Some(running) = driver {
        // The sender is told of an error.
        let _ = ready!(running.as_mut().poll(context));
        *driver = None;
    }
    Poll::Ready(())
}

/// A context for what is polled again without being woken.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The body of a response: the part that has come with the head, and the rest.
pub(super) struct AppBody {
    first: Option<Result<Frame<Bytes>, hyper::Error>>,
    rest: Incoming,
}

impl AppBody {
    /// Whether the whole body is here.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_end_stream()
    }
}

impl HttpBody for AppBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref()).map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut both = SizeHint::new();
        both.set_lower(first + rest.lower());
        if let Some(most) = rest.upper() {
            both.set_upper(first + most);
        }
        both
    }
}

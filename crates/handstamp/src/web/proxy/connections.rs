//! The connections to an app, and the requests that are sent on them.
//!
//! The task of a request drives the connection itself. The client of hyper-util has a task for each connection, and exchanges
//! messages with it. A small page then takes some 10,000 instructions more, a tenth of all.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use axum::http::uri::Authority;
use axum::http::{Request, Response, Uri};
use futures_util::task::AtomicWaker;
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

/// A response.
pub(super) struct Received {
    pub(super) response: Response<Incoming>,
    /// Whether its whole body is here.
    pub(super) is_whole: bool,
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
    task: Arc<DrivingTask>,
    /// Wakes that task.
    waker: Waker,
    /// The timer of its requests. It is set anew only when it fires: each request would otherwise register one and remove it.
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
    ) -> Result<Received, SendError> {
        loop {
            let (mut connection, is_new) = match self.take() {
                Some(connection) => (connection, false),
                None => (timeout(limit, self.connect()).await.unwrap_or(Err(SendError::Timeout))?, true),
            };
            let response = match connection.exchange(request, progress, limit).await? {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(SendError::Broken(error.into_error())),
                },
            };
            connection.task.forget();
            let is_whole = connection.is_free();
            if is_whole {
                self.put(connection);
            } else if connection.driver.is_some() {
                tokio::spawn(Arc::clone(self).drive(connection));
            }
            return Ok(Received { response, is_whole });
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
        let task = Arc::<DrivingTask>::default();
        let waker = Arc::clone(&task).into();
        Ok(Connection { sender, driver: Some(driver), task, waker, timer: Box::pin(sleep_until(now)), last_used: now })
    }

    /// Drives a connection until its request and its response have ended.
    async fn drive(self: Arc<Self>, mut connection: Connection) {
        poll_fn(|context| match connection.poll_driver(context) {
            Poll::Pending if !connection.is_free() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        connection.task.forget();
        if connection.is_free() {
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
            let _ = self.poll_driver(context);
            if let Poll::Ready(response) = response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Poll::Ready(Ok(response));
            }
            while self.timer.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
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

    /// Reads and writes what it can, until the connection is closed. The driver is dropped then, so that the sender learns it.
    fn poll_driver(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.task.0.register(context.waker());
        if let Some(driver) = &mut self.driver {
            // The sender is told of an error.
            let _ = ready!(driver.as_mut().poll(&mut Context::from_waker(&self.waker)));
            self.driver = None;
        }
        Poll::Ready(())
    }

    /// Whether it can take another request: the last one was sent, and its response was received as a whole.
    fn is_free(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// The task that drives a connection now. The connection keeps one waker for all of them, so that none is woken for the next one.
#[derive(Default)]
struct DrivingTask(AtomicWaker);

impl DrivingTask {
    /// Wakes no task from now on.
    fn forget(&self) {
        drop(self.0.take());
    }
}

impl Wake for DrivingTask {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";

    /// An app that answers so many requests of each connection and then ends it, or keeps it open without an answer. Returns it
    /// with the number of its connections.
    async fn app(answers: usize, ends: bool) -> (Arc<Connections>, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let accepted = Arc::<Mutex<usize>>::default();
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                tokio::spawn(async move {
                    let mut read = [0; 1024];
                    for _ in 0..answers {
                        if stream.read(&mut read).await.unwrap_or(0) == 0 {
                            return;
                        }
                        stream.write_all(ANSWER).await.unwrap();
                    }
                    if ends {
                        // The connection is idle before it ends.
                        sleep(Duration::from_millis(50)).await;
                    } else {
                        while stream.read(&mut read).await.is_ok_and(|read| read > 0) {}
                    }
                });
            }
        });
        (Arc::new(Connections::new(&address)), accepted)
    }

    async fn post(connections: &Arc<Connections>, limit: Duration) -> Result<Received, SendError> {
        let progress = Arc::default();
        let body = RequestBody::new(Body::empty(), &Arc::default(), &progress, None);
        let request = Request::post("/").header("host", "app").body(body).unwrap();
        connections.send(request, &progress, limit).await
    }

    #[tokio::test]
    async fn requests_share_a_connection_and_no_task_drives_it() {
        let (connections, accepted) = app(3, false).await;
        for _ in 0..3 {
            assert!(post(&connections, CONNECT_TIMEOUT).await.is_ok_and(|received| received.is_whole));
            assert!(
                connections.lock().connections[0].task.0.take().is_none(),
                "no task is woken for an idle connection"
            );
        }
        assert_eq!(*accepted.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_connection_that_the_app_has_ended_is_replaced_before_anything_is_sent() {
        let (connections, accepted) = app(1, true).await;
        for number in 1..4 {
            assert!(post(&connections, CONNECT_TIMEOUT).await.is_ok());
            assert_eq!((*accepted.lock().unwrap(), connections.lock().connections.len()), (number, 1));
            sleep(Duration::from_millis(200)).await;
        }
    }

    #[tokio::test]
    async fn a_request_that_is_not_answered_in_time_has_no_response() {
        let (connections, accepted) = app(1, false).await;
        // The timer of the connection fires first for the earlier request.
        assert!(post(&connections, Duration::from_millis(100)).await.is_ok());
        let begun = Instant::now();
        let late = post(&connections, Duration::from_millis(400)).await;
        assert!(matches!(late, Err(SendError::Timeout)) && begun.elapsed() >= Duration::from_millis(400));
        assert_eq!(*accepted.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn unused_connections_are_closed() {
        let (connections, _) = app(2, false).await;
        assert!(post(&connections, CONNECT_TIMEOUT).await.is_ok());
        assert_eq!(connections.lock().connections.len(), 1);
        sleep(2 * IDLE_CONNECTION + Duration::from_millis(200)).await;
        let idle = connections.lock();
        assert!(idle.connections.is_empty() && !idle.is_swept);
    }
}

//! The bond between what an app sends and the session that it is sent for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::metrics::OpenStream;
use crate::log;
use crate::sessions::{Session, Watch};
use crate::web::SharedSite;
use crate::web::forward_auth::SubrequestOptions;

/// How often a request looks whether its session was found live.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A watched session. Until it is dropped, the end of the session is not reported as done.
pub(super) struct Binding {
    site: SharedSite,
    watch: Arc<Watch>,
    options: SubrequestOptions,
}

impl Binding {
    /// Watches a session, which has to satisfy the rules of the app all the time.
    pub(super) fn new(site: &SharedSite, session: &Session, options: &SubrequestOptions) -> Self {
        let watch = site.services.sessions.watch(session);
        Self { site: Arc::clone(site), watch, options: options.clone() }
    }

    /// Completes when the session has ended, or no longer satisfies the rules.
    pub(super) async fn ended(&self) {
        let sessions = &self.site.services.sessions;
        let satisfies = |user: &_, authentication| {
            self.options.allow_groups_of(user) && self.options.allow_assurance_of(authentication)
        };
        sessions.ended_unless(&self.watch, satisfies).await;
    }

    /// Waits until the session was found live after the watch began. It was looked up before, and may have ended in between.
    pub(super) async fn found_live(&self) {
        while self.watch.is_in_doubt() {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Whether bytes may pass.
    pub(super) fn may_pass(&self) -> bool {
        self.site.services.sessions.may_pass(&self.watch)
    }

    /// Whether the session may be live, and this node alone is the reason that it ended here.
    pub(super) fn is_of_the_node(&self) -> bool {
        self.watch.is_of_the_node()
    }

    /// Spawns a task that cuts the bodies of a request when the session ends. It does so even while the browser does not read.
    pub(super) fn guard(self, cut: &Arc<Cut>, stream: &Arc<OpenStream>) -> Guard {
        let binding = Arc::new(self);
        let task = {
            let (binding, cut, stream) = (Arc::clone(&binding), Arc::clone(cut), Arc::clone(stream));
            tokio::spawn(log::within_current(async move {
                binding.ended().await;
                cut.cut();
                stream.was_cut();
                binding.site.services.sessions.drop_watch(&binding.watch);
            }))
        };
        Guard { binding, task: task.abort_handle() }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.site.services.sessions.drop_watch(&self.watch);
    }
}

/// A session that is watched by a task of its own, for as long as this value is kept.
pub(super) struct Guard {
    binding: Arc<Binding>,
    task: AbortHandle,
}

impl Guard {
    /// Whether bytes may pass.
    pub(super) fn may_pass(&self) -> bool {
        self.binding.may_pass()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
        self.binding.site.services.sessions.drop_watch(&self.binding.watch);
    }
}

/// Whether the bodies of a request are cut, and the tasks that have to learn it.
#[derive(Default)]
pub(super) struct Cut {
    is_cut: AtomicBool,
    request: AtomicWaker,
    response: AtomicWaker,
}

/// The body of a request, or that of its response.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Request,
    Response,
}

impl Cut {
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.request.wake();
        self.response.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    /// Whether it is cut; otherwise the task is woken when it is.
    pub(super) fn poll(&self, side: Side, waker: &Waker) -> bool {
        if self.is_cut() {
            return true;
        }
        let place = match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        };
        place.register(waker);
        self.is_cut()
    }
}

/// A gate before the body of a request whose client waits for `100 Continue`: it opens when the app has said so.
#[derive(Default)]
pub(super) struct Gate {
    is_open: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn poll_open(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_open.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

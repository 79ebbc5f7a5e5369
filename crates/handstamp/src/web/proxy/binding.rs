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
    passage: Passage,
    options: SubrequestOptions,
}

/// Tells whether bytes may pass. It does not keep the watch from being dropped.
#[derive(Clone)]
pub(super) struct Passage {
    site: SharedSite,
    watch: Arc<Watch>,
}

impl Passage {
    fn is_open(&self) -> bool {
        self.site.services.sessions.may_pass(&self.watch)
    }

    fn drop_watch(&self) {
        self.site.services.sessions.drop_watch(&self.watch);
    }
}

impl Binding {
    /// Watches a session, which has to satisfy the rules of the app all the time.
    pub(super) fn new(site: &SharedSite, session: &Session, options: &SubrequestOptions) -> Self {
        let watch = site.services.sessions.watch(session);
        Self { passage: Passage { site: Arc::clone(site), watch }, options: options.clone() }
    }

    /// Completes when the session has ended, or no longer satisfies the rules.
    pub(super) async fn ended(&self) {
        let Passage { site, watch } = &self.passage;
        let satisfies = |user: &_, authentication| {
            self.options.allow_groups_of(user)
                && self.options.allow_assurance_of(authentication)
                && site.services.has_required_assurance(user, authentication)
        };
        site.services.sessions.ended_unless(watch, satisfies).await;
    }

    /// Waits until the session was found live after the watch began. It was looked up before, and may have ended in between.
    pub(super) async fn found_live(&self) {
        while self.is_in_doubt() {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Whether the session was not found live since it may have ended.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.passage.watch.is_in_doubt()
    }

    /// Whether bytes may pass.
    pub(super) fn may_pass(&self) -> bool {
        self.passage.is_open()
    }

    /// The means to cut the bodies of the request.
    pub(super) fn cut(&self) -> Cut {
        Cut { passage: Some(self.passage.clone()), ..Cut::default() }
    }

    /// Whether the session may be live, and this node alone is the reason that it ended here.
    pub(super) fn is_of_the_node(&self) -> bool {
        self.passage.watch.is_of_the_node()
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
                binding.passage.drop_watch();
            }))
        };
        Guard { binding, task: task.abort_handle() }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.passage.drop_watch();
    }
}

/// The bond of a response to its session.
pub(super) enum Bond {
    /// Nothing more, as the whole body is taken at once. A task takes 4,000 instructions, which is a twentieth of a small page,
    /// and it wakes another thread.
    Held(#[expect(dead_code, reason = "it is kept until the body is dropped")] Binding),
    /// A task, since the body may not be asked for a part for long.
    Guarded(#[expect(dead_code, reason = "it is kept until the body is dropped")] Guard),
}

/// A session that is watched by a task of its own, for as long as this value is kept.
pub(super) struct Guard {
    binding: Arc<Binding>,
    task: AbortHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
        self.binding.passage.drop_watch();
    }
}

/// Whether the bodies of a request are cut, and the tasks that have to learn it.
#[derive(Default)]
pub(super) struct Cut {
    /// None where the request is not for a session.
    passage: Option<Passage>,
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

    /// Whether no byte may pass. A process that was paused for longer than its lease finds it here before any timer.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst) || self.passage.as_ref().is_some_and(|passage| !passage.is_open())
    }

    /// Whether it is cut; otherwise the task is woken when it is.
    pub(super) fn poll(&self, side: Side, waker: &Waker) -> bool {
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

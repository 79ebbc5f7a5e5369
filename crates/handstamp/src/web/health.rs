//! The liveness and readiness endpoints.

use std::fmt;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::SharedSite;
use super::respond::NoErrorPage;
use crate::events::Event;
use crate::sessions::NodeStatus;

/// Liveness: the process runs.
pub(super) async fn alive() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Readiness: the database answers, and this node holds its lease. Everybody may ask, so the reason has no detail.
pub(super) async fn ready(State(site): State<SharedSite>) -> Response {
    let (status, text) = match readiness(&site).await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => {
            let word = reason.word();
            Event::NotReady { reason: &word }.record();
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready ({word}): {reason}\n"))
        }
    };
    (status, [(CACHE_CONTROL, "no-store")], Extension(NoErrorPage), text).into_response()
}

/// Why a node cannot answer requests now. `Display` gives the reason as a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReady {
    /// This process is about to end, and finishes the requests under way.
    Stopping,
    /// The database does not answer.
    DatabaseUnreachable,
    /// The lease of this node has ended, so it must not serve sessions from its cache.
    LeaseEnded,
    /// This node has not joined the others yet, or was evicted and joins anew.
    NotJoined,
}

impl NotReady {
    /// The reason as a word for programs, which stays the same in later versions.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::DatabaseUnreachable => "database_unreachable",
            Self::LeaseEnded => "lease_ended",
            Self::NotJoined => "not_joined",
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopping => "this node is stopping",
            Self::DatabaseUnreachable => "the database does not answer",
            Self::LeaseEnded => "this node's lease has ended",
            Self::NotJoined => "this node has not joined the others yet",
        })
    }
}

impl std::error::Error for NotReady {}

pub(crate) async fn readiness(site: &SharedSite) -> Result<(), NotReady> {
    if site.stopping.load(Ordering::Relaxed) {
        return Err(NotReady::Stopping);
    }
    if let Err(error) = site.services.store.ping().await {
        Event::DatabasePingFailed { error: &error }.record();
        return Err(NotReady::DatabaseUnreachable);
    }
    match site.services.sessions.status() {
        NodeStatus::Joined { lease_left, .. } if lease_left.is_zero() => Err(NotReady::LeaseEnded),
        NodeStatus::NotJoined => Err(NotReady::NotJoined),
        NodeStatus::Joined { .. } | NodeStatus::CacheDisabled => Ok(()),
    }
}

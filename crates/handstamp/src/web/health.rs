//! The liveness and readiness endpoints.

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

/// Readiness: the database answers, and this node holds its lease.
pub(super) async fn ready(State(site): State<SharedSite>) -> Response {
    let (status, text) = match why_not_ready(&site).await {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => {
            Event::NotReady { reason }.record();
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n"))
        }
    };
    (status, [(CACHE_CONTROL, "no-store")], Extension(NoErrorPage), text).into_response()
}

pub(crate) async fn why_not_ready(site: &SharedSite) -> Option<&'static str> {
    if let Err(error) = site.services.store.ping().await {
        Event::DatabasePingFailed { error: &error }.record();
        return Some("the database does not answer");
    }
    match site.services.sessions.status() {
        NodeStatus::Joined { lease_left, .. } if lease_left.is_zero() => Some("this node's lease has ended"),
        NodeStatus::NotJoined => Some("this node has not joined the others yet"),
        NodeStatus::Joined { .. } | NodeStatus::CacheDisabled => None,
    }
}

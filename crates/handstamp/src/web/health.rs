use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::SharedSite;

/// The process runs.
pub(super) async fn alive() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// The database answers.
pub(super) async fn ready(State(site): State<SharedSite>) -> Response {
    match site.accounts.store.ping().await {
        Ok(()) => ([(CACHE_CONTROL, "no-store")], "ready\n").into_response(),
        Err(error) => {
            tracing::warn!(event = "not_ready", %error, "the database does not answer");
            let headers = [(CACHE_CONTROL, "no-store")];
            (StatusCode::SERVICE_UNAVAILABLE, headers, "not ready: the database does not answer\n").into_response()
        }
    }
}

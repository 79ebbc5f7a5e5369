//! A check that an application has mounted our routes at the path that their links lead to.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::StatusCode;

use super::Site;
use super::urls::WELL_KNOWN;
use super::user::original_uri;
use super::web_error::WebError;
use crate::events::Event;

/// Set by the first request with the right path, which ends the check.
#[derive(Default)]
pub(crate) struct Mount(AtomicBool);

/// Rejects a request whose path differs from the one that our links lead to. That happens if the application has nested the
/// routes beneath a path that is not the prefix.
pub(super) fn refusal(site: &Site, request: &Request) -> Option<WebError> {
    let Mount(is_right) = &site.mount;
    if is_right.load(Ordering::Relaxed) {
        return None;
    }
    if request.uri().path() == WELL_KNOWN {
        return None;
    }
    let asked_for = original_uri(request.uri(), request.extensions()).path();
    let ours = site.urls.page(request.uri().path());
    if asked_for == ours {
        is_right.store(true, Ordering::Relaxed);
        return None;
    }
    let message = format!(
        "This page is at {asked_for}, and its links lead to {ours}. Set Config::prefix to the path beneath which the pages are to \
         stand, and merge Handstamp::router() into the router instead of nesting it: they stand beneath the prefix already."
    );
    Event::PrefixWrong { reason: &message }.record();
    Some(WebError::refused(StatusCode::INTERNAL_SERVER_ERROR, message))
}

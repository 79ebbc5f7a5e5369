//! The pages of administration, for members of the group `admins`.

pub(in crate::web) mod cluster;
mod event_rows;
pub(in crate::web) mod events;
pub(in crate::web) mod overview;
mod plot;
pub(in crate::web) mod user;
pub(in crate::web) mod users;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::Timestamp;
use minijinja::Value;
use percent_encoding::utf8_percent_encode;

use crate::format::{format_datetime, format_rfc3339};
use crate::sessions::Session;
use crate::web::redirect::QUERY_VALUE;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, Site};

/// Renders a page for an administrator.
fn admin_page(
    site: &Site,
    session: &Arc<Session>,
    status: StatusCode,
    template: &'static str,
    values: Value,
) -> Result<Response, WebError> {
    page(site, &Visitor::Authenticated(Arc::clone(session)), status, template, values)
}

/// A page of administration with a query of these fields, without those that are empty, as a link.
fn link(site: &SharedSite, path: &str, fields: &[(&str, &str)]) -> Value {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, QUERY_VALUE));
    let pairs: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).map(pair).collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&amp;")) };
    Value::from_safe_string(format!("{}{query}", site.urls.page(path)))
}

/// A time for people and for programs.
fn time(time: Timestamp) -> Value {
    minijinja::context! { text => format_datetime(time), iso => format_rfc3339(time) }
}

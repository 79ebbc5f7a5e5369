//! The first page of administration: a search, and plots of what has happened.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::{Value, context};

use super::plot::{label, plot};
use super::{admin_page, time};
use crate::model::EventCounts;
use crate::web::SharedSite;
use crate::web::extract::Administrator;
use crate::web::form::QueryFields;
use crate::web::web_error::WebError;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    Administrator { session, .. }: Administrator,
    QueryFields(fields): QueryFields,
) -> Result<Response, WebError> {
    let is_day = fields.get("range")? != "30d";
    let (period, periods) = if is_day { (HOUR, 24) } else { (DAY, 30) };
    let counts = site.services.event_counts(period, periods).await?;
    let numbers = |of: fn(&EventCounts) -> u64| counts.iter().map(|(_, counts)| of(counts)).collect::<Vec<_>>();
    let plots = vec![
        plot("Sign-ins", "sign-ins", &numbers(|counts| counts.sign_ins)),
        plot("Refused sign-ins", "refusals", &numbers(|counts| counts.refusals)),
        plot("New accounts", "registrations", &numbers(|counts| counts.registrations)),
    ];
    let rows: Vec<Value> = counts
        .iter()
        .rev()
        .map(|(begins, counts)| {
            context! {
                begins => time(*begins), label => label(*begins, is_day), sign_ins => counts.sign_ins,
                refusals => counts.refusals, registrations => counts.registrations,
            }
        })
        .collect();
    let ends = [counts.first(), counts.last()];
    let [first, last] = ends.map(|end| end.map(|(begins, _)| label(*begins, is_day)).unwrap_or_default());
    let values = context! { is_day, plots, rows, first, last };
    admin_page(&site, &session, StatusCode::OK, "admin/overview.html", values)
}

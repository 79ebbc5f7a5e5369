use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use minijinja::context;

use super::see_other_with;
use crate::web::SharedSite;
use crate::web::failure::Failure;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;

/// Asks first: a link that somebody follows changes nothing.
pub(in crate::web) async fn show(State(site): State<SharedSite>, visitor: Visitor) -> Result<Response, Failure> {
    if visitor.session().is_none() {
        return Ok(see_other("/"));
    }
    page(&site, &visitor, StatusCode::OK, "sign_out.html", context! {})
}

pub(in crate::web) async fn submit(State(site): State<SharedSite>, visitor: Visitor) -> Result<Response, Failure> {
    match &visitor {
        Visitor::Member(session) => site.accounts.sign_out(session).await?,
        Visitor::SignedOut(session) => site.accounts.end_everywhere(*session).await?,
        Visitor::Stranger => {}
    }
    let mut response = see_other_with([site.cookies.remove_session(), site.cookies.signed_out()], "/");
    // Not "cookies": that would reach the cookies of sibling domains as well.
    let name = HeaderName::from_static("clear-site-data");
    response.headers_mut().insert(name, HeaderValue::from_static("\"storage\""));
    Ok(response)
}

//! The home page.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use super::{notice_of_sign_out, with_notice_shown};
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, legacy};

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, WebError> {
    if visitor.session().is_none() && legacy::leads_to_exchange(&site, request.method(), request.headers()) {
        return Ok(see_other(&site.urls.resume(site.urls.home())));
    }
    let notice = notice_of_sign_out(&site, &visitor, request.headers());
    let response = page(&site, &visitor, StatusCode::OK, "home.html", context! { notice })?;
    Ok(with_notice_shown(&site, response, notice))
}

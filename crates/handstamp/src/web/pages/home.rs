use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use crate::web::SharedSite;
use crate::web::failure::Failure;
use crate::web::respond::page;
use crate::web::user::Visitor;

pub(in crate::web) async fn show(State(site): State<SharedSite>, visitor: Visitor) -> Result<Response, Failure> {
    page(&site, &visitor, StatusCode::OK, "home.html", context! {})
}

//! The page to change the display name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::DisplayName;
use minijinja::context;

use super::FieldError;
use crate::web::SharedSite;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{Member, Visitor};

pub(in crate::web) async fn show(State(site): State<SharedSite>, member: Member) -> Result<Response, Failure> {
    let name = member.0.user.name().to_owned();
    form_page(&site, member, StatusCode::OK, &name, None)
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    member: Member,
    fields: Fields,
) -> Result<Response, Failure> {
    let typed = fields.get("name")?;
    match DisplayName::parse(typed) {
        Ok(name) => {
            site.accounts.change_name(&member.0, &name).await?;
            Ok(see_other(&site.places.page("/account?done=name")))
        }
        Err(error) => form_page(&site, member, StatusCode::UNPROCESSABLE_ENTITY, typed, Some(error.to_string())),
    }
}

fn form_page(
    site: &SharedSite,
    Member(session): Member,
    status: StatusCode,
    name: &str,
    error: FieldError,
) -> Result<Response, Failure> {
    let values = context! { values => context! { name }, errors => context! { name => error } };
    page(site, &Visitor::Member(session), status, "profile.html", values)
}

//! The page to change the display name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::DisplayName;
use minijinja::context;

use super::messages;
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(State(site): State<SharedSite>, user: SignedInUser) -> Result<Response, WebError> {
    let name = user.0.user.name().to_owned();
    form_page(&site, user, StatusCode::OK, &name, &FieldErrors::default())
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    context: Context,
    user: SignedInUser,
    fields: FormFields,
) -> Result<Response, WebError> {
    let typed = fields.get("name")?;
    match DisplayName::parse(typed) {
        Ok(name) => {
            site.services.change_name(&context, &user.0, &name).await?;
            Ok(see_other(&site.urls.page("/account?done=name")))
        }
        Err(error) => {
            let errors = FieldErrors::of(Field::Name, error);
            form_page(&site, user, StatusCode::UNPROCESSABLE_ENTITY, typed, &errors)
        }
    }
}

fn form_page(
    site: &SharedSite,
    SignedInUser(session): SignedInUser,
    status: StatusCode,
    name: &str,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! { values => context! { name }, errors => messages(errors, &[Field::Name]) };
    page(site, &Visitor::Authenticated(session), status, "account/profile.html", values)
}

//! The registration page.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::context;

use super::{link_with_next, messages, next_from_form, next_from_query, next_value, provider_links, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, RegisterRequest, Registered};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::{see_other, url_with_next};
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

/// The submitted values and their errors.
#[derive(Default)]
struct Form {
    name: String,
    email: String,
    next: Option<ReturnTo>,
    errors: FieldErrors,
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, WebError> {
    let next = next_from_query(&site, &uri);
    if visitor.session().is_some() {
        return Ok(see_other(next.as_ref().unwrap_or(site.urls.account()).as_str()));
    }
    form_page(&site, &visitor, StatusCode::OK, &Form { next, ..Form::default() })
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    fields: FormFields,
) -> Result<Response, WebError> {
    let mut form = Form {
        name: fields.get("name")?.to_owned(),
        email: fields.get("email")?.to_owned(),
        next: next_from_form(&site, &fields)?,
        errors: FieldErrors::default(),
    };
    let policy = &site.services.config.password;
    let registered = match RegisterRequest::parse(&form.name, &form.email, fields.get("password")?, policy) {
        Ok(request) => site.services.register_or_sign_in(&context, request, &presented.sessions).await,
        Err(errors) => Err(errors.into()),
    };
    match registered {
        Ok(Registered::SignedIn(cookies)) => Ok(see_other_with(
            site.cookies.sign_in_cookies(&cookies),
            form.next.as_ref().unwrap_or(site.urls.account()).as_str(),
        )),
        Ok(Registered::Pending(browser)) => {
            let page = site.urls.page("/account/verify");
            let page = form.next.as_ref().map_or_else(|| page.clone(), |next| url_with_next(&page, next));
            Ok(see_other_with([site.cookies.pending(&browser)], &page))
        }
        // The page says that registration is closed.
        Err(ActError::Forbidden(_)) => form_page(&site, &visitor, StatusCode::FORBIDDEN, &form),
        Err(ActError::Fields(errors)) => {
            form.errors = errors;
            form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

fn form_page(site: &SharedSite, visitor: &Visitor, status: StatusCode, form: &Form) -> Result<Response, WebError> {
    let values = context! {
        values => context! { name => form.name.as_str(), email => form.email.as_str() },
        errors => messages(&form.errors, &[Field::Name, Field::Email, Field::Password]),
        next => next_value(form.next.as_ref()),
        min_length => site.services.config.password.min_length,
        sign_in_url => link_with_next(site, "/account/login", form.next.as_ref()),
        register_url => link_with_next(site, "/account/register", form.next.as_ref()),
        providers => provider_links(site, form.next.as_ref()),
    };
    page(site, visitor, status, "authentication/register.html", values)
}

//! The registration page.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::{DisplayName, EmailAddress, PasswordPolicy, ReturnTo};
use minijinja::context;

use super::{
    FieldError, link_with_next, next_from_form, next_from_query, next_value, parse_new_password, see_other_with,
};
use crate::context::Context;
use crate::services::{RegisterError, RegisterRequest};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

/// The submitted values and their errors.
#[derive(Default)]
struct Form {
    name: String,
    email: String,
    next: Option<ReturnTo>,
    errors: Errors,
}

#[derive(Default)]
struct Errors {
    name: FieldError,
    email: FieldError,
    password: FieldError,
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
        errors: Errors::default(),
    };
    let outcome = match form.parse(fields.get("password")?, &site.services.config.password) {
        Some(request) => site.services.register_or_sign_in(&context, request, &presented.sessions).await,
        None => return form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &form),
    };
    match outcome {
        Ok(cookies) => {
            return Ok(see_other_with(
                site.cookies.sign_in_cookies(&cookies),
                form.next.as_ref().unwrap_or(site.urls.account()).as_str(),
            ));
        }
        Err(RegisterError::Throttled(wait)) => return Err(WebError::Throttled(wait)),
        Err(RegisterError::Internal(error)) => return Err(error.into()),
        Err(RegisterError::Closed) => return form_page(&site, &visitor, StatusCode::FORBIDDEN, &form),
        Err(RegisterError::EmailTaken) => {
            form.errors.email = Some("This e-mail address already has an account. You can sign in instead.".to_owned());
        }
        Err(RegisterError::Password(refusal)) => form.errors.password = Some(refusal.to_string()),
    }
    form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &form)
}

impl Form {
    /// Parses all fields, and records every error.
    fn parse(&mut self, password: &str, policy: &PasswordPolicy) -> Option<RegisterRequest> {
        let name = DisplayName::parse(&self.name).map_err(|error| self.errors.name = Some(error.to_string())).ok();
        let email = EmailAddress::parse(&self.email).map_err(|error| self.errors.email = Some(error.to_string())).ok();
        let password = parse_new_password(password, policy).map_err(|error| self.errors.password = Some(error)).ok();
        Some(RegisterRequest { name: name?, email: email?, password: password? })
    }
}

fn form_page(site: &SharedSite, visitor: &Visitor, status: StatusCode, form: &Form) -> Result<Response, WebError> {
    let values = context! {
        values => context! { name => form.name.as_str(), email => form.email.as_str() },
        errors => context! {
            name => form.errors.name.as_deref(),
            email => form.errors.email.as_deref(),
            password => form.errors.password.as_deref(),
        },
        next => next_value(form.next.as_ref()),
        min_length => site.services.config.password.min_length,
        sign_in_url => link_with_next(site, "/account/login", form.next.as_ref()),
        register_url => link_with_next(site, "/account/register", form.next.as_ref()),
    };
    page(site, visitor, status, "register.html", values)
}

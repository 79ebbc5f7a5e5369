use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::{Password, PasswordPolicy};
use minijinja::context;

use super::{FieldError, parse_new_password, see_other_with};
use crate::services::{ChangePassword, PasswordNotChanged};
use crate::web::SharedSite;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{Member, Visitor};

pub(in crate::web) const WRONG: &str = "This is not your current password.";

#[derive(Default)]
struct Errors {
    current_password: FieldError,
    password: FieldError,
}

pub(in crate::web) async fn show(State(site): State<SharedSite>, member: Member) -> Result<Response, Failure> {
    form_page(&site, member, StatusCode::OK, &Errors::default())
}

/// The way here from the well-known URL.
pub(in crate::web) async fn well_known(State(site): State<SharedSite>) -> Response {
    see_other(&site.places.page("/account/password"))
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    member: Member,
    fields: Fields,
) -> Result<Response, Failure> {
    let mut errors = Errors::default();
    if let Some(wish) =
        errors.parse(fields.get("current_password")?, fields.get("password")?, &site.accounts.config.password)
    {
        match site.accounts.change_password(&member.0, wish).await {
            Ok(signed_in) => {
                return Ok(see_other_with(
                    [site.cookies.session(&signed_in)],
                    &site.places.page("/account?done=password"),
                ));
            }
            Err(PasswordNotChanged::TooMany(wait)) => return Err(Failure::TooMany(wait)),
            Err(PasswordNotChanged::Fault(fault)) => return Err(fault.into()),
            Err(PasswordNotChanged::SignedOut) => {
                return Ok(see_other(&site.places.sign_in_before("/account/password")));
            }
            Err(PasswordNotChanged::WrongPassword) => errors.current_password = Some(WRONG.to_owned()),
            Err(PasswordNotChanged::Password(refusal)) => errors.password = Some(refusal.to_string()),
        }
    }
    form_page(&site, member, StatusCode::UNPROCESSABLE_ENTITY, &errors)
}

impl Errors {
    /// Both passwords, or every error there is.
    fn parse(&mut self, current: &str, new: &str, policy: &PasswordPolicy) -> Option<ChangePassword> {
        let current = Password::parse(current).map_err(|_| self.current_password = Some(WRONG.to_owned())).ok();
        let new = parse_new_password(new, policy).map_err(|error| self.password = Some(error)).ok();
        Some(ChangePassword { current: current?, new: new? })
    }
}

fn form_page(
    site: &SharedSite,
    Member(session): Member,
    status: StatusCode,
    errors: &Errors,
) -> Result<Response, Failure> {
    let errors = context! {
        current_password => errors.current_password.as_deref(),
        password => errors.password.as_deref(),
    };
    let values = context! { errors, min_length => site.accounts.config.password.min_length };
    page(site, &Visitor::Member(session), status, "password.html", values)
}

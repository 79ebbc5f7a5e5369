//! The pages, one act a file: `show` gives the page, `submit` does what its form asks.

pub(super) mod account;
pub(super) mod home;
pub(super) mod password;
pub(super) mod profile;
pub(super) mod register;
pub(super) mod sessions;
pub(super) mod sign_in;
pub(super) mod sign_out;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use handstamp_core::{Password, PasswordPolicy, ReturnTo};

use super::form::Fields;
use super::redirect::see_other;

/// What is wrong with a field, in words for whoever filled it in.
type FieldError = Option<String>;

/// A new password as far as it can be judged without a wait: not too long, not too short.
fn parse_new_password(text: &str, policy: &PasswordPolicy) -> Result<Password, String> {
    let password = Password::parse(text).map_err(|error| error.to_string())?;
    policy.check_length(&password).map_err(|error| error.to_string())?;
    Ok(password)
}

/// Where a link to this page said to go next; empty when it did not, or not to a place on this site.
fn next_of(uri: &Uri) -> String {
    let query = Fields::parse(uri.query().unwrap_or_default().as_bytes());
    let next = query.as_ref().ok().and_then(|query| query.get("next").ok()).and_then(ReturnTo::parse);
    next.map(|next| next.as_str().to_owned()).unwrap_or_default()
}

/// On to another page, with a cookie.
fn see_other_with(cookie: HeaderValue, place: &str) -> Response {
    let mut response = see_other(place);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

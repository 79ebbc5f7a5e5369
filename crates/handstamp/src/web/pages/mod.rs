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
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use handstamp_core::{Password, PasswordPolicy, ReturnTo};
use minijinja::Value;

use super::Site;
use super::failure::Failure;
use super::form::Fields;
use super::redirect::{leading_to, see_other};
use super::user::Visitor;

/// What is wrong with a field, in words for whoever filled it in.
type FieldError = Option<String>;

/// A new password as far as it can be judged without a wait: not too long, not too short.
pub(super) fn parse_new_password(text: &str, policy: &PasswordPolicy) -> Result<Password, String> {
    let password = Password::parse(text).map_err(|error| error.to_string())?;
    policy.check_length(&password).map_err(|error| error.to_string())?;
    Ok(password)
}

/// Where a link to this page said to go next, if people may be sent there.
fn next_of_link(site: &Site, uri: &Uri) -> Option<ReturnTo> {
    Fields::parse(uri.query()?.as_bytes()).ok().and_then(|query| next_of_form(site, &query).ok()?)
}

/// Where a form said to go next, if people may be sent there.
fn next_of_form(site: &Site, fields: &Fields) -> Result<Option<ReturnTo>, Failure> {
    Ok(site.places.parse(fields.get("next")?))
}

/// A place to go next as a hidden field carries it: empty for none.
fn next_value(next: Option<&ReturnTo>) -> &str {
    next.map_or("", ReturnTo::as_str)
}

/// A link to a page that leads on to `next`. Prefix and query are percent-encoded, so there is nothing in it to escape.
fn with_next(site: &Site, page: &str, next: Option<&ReturnTo>) -> Value {
    let page = site.places.page(page);
    Value::from_safe_string(next.map_or_else(|| page.clone(), |next| leading_to(&page, next)))
}

/// What the first page of ours says to a stranger who has just signed out.
fn notice_of_sign_out(site: &Site, visitor: &Visitor, headers: &HeaderMap) -> Option<&'static str> {
    let is_news = visitor.session().is_none() && site.cookies.has_just_signed_out(headers);
    is_news.then_some("You are signed out.")
}

/// A page with that notice, which the next page does not repeat.
fn with_notice_shown(site: &Site, mut response: Response, notice: Option<&str>) -> Response {
    if notice.is_some() {
        response.headers_mut().append(SET_COOKIE, site.cookies.sign_out_shown());
    }
    response
}

/// On to another page, with cookies.
fn see_other_with(cookies: impl IntoIterator<Item = HeaderValue>, place: &str) -> Response {
    let mut response = see_other(place);
    response.headers_mut().extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
    response
}

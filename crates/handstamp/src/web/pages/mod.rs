//! The HTML pages, one action per file: `show` renders the page, `submit` handles its form.

pub(super) mod account;
pub(super) mod activity;
pub(super) mod admin;
pub(super) mod confirm;
pub(super) mod delete;
pub(super) mod email;
pub(super) mod export;
pub(super) mod forgot;
pub(super) mod home;
pub(super) mod invitation;
pub(super) mod link;
#[cfg(feature = "passkeys")]
pub(super) mod passkeys;
pub(super) mod password;
pub(super) mod profile;
#[cfg(feature = "federation")]
pub(super) mod providers;
pub(super) mod recovery_codes;
pub(super) mod register;
pub(super) mod reset;
pub(super) mod resume;
pub(super) mod second_factor;
pub(super) mod security;
pub(super) mod sessions;
pub(super) mod sign_in;
pub(super) mod sign_in_by_code;
pub(super) mod sign_out;
pub(super) mod totp;
pub(super) mod verify;

use std::collections::BTreeMap;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::Value;
#[cfg(feature = "federation")]
use minijinja::context;

use crate::model::{Field, FieldErrors};

use super::Site;
use super::form::FormFields;
use super::redirect::see_other;
use super::respond::with_cookies;
use super::user::Visitor;
use super::web_error::WebError;

/// The messages beside the fields of a form, by the names of the fields.
fn messages(errors: &FieldErrors, fields: &[Field]) -> Value {
    let message = |field: &Field| (field.name(), errors.get(*field).map(ToString::to_string));
    Value::from(fields.iter().map(message).collect::<BTreeMap<_, _>>())
}

/// The return URL in the query of a link, if redirects to it are allowed.
fn next_from_query(site: &Site, uri: &Uri) -> Option<ReturnTo> {
    FormFields::parse(uri.query()?.as_bytes()).ok().and_then(|query| next_from_form(site, &query).ok()?)
}

/// Whether the query of a URL of ours asks for this notice: one of our own sentences, never text from the URL.
fn has_notice(uri: &Uri, name: &str) -> bool {
    let query = uri.query().and_then(|query| FormFields::parse(query.as_bytes()).ok());
    query.is_some_and(|query| query.get("notice").is_ok_and(|notice| notice == name))
}

/// The return URL in a form, if redirects to it are allowed.
fn next_from_form(site: &Site, fields: &FormFields) -> Result<Option<ReturnTo>, WebError> {
    Ok(site.urls.parse(fields.get("next")?))
}

/// A return URL as the value of a hidden field: empty for none.
fn next_value(next: Option<&ReturnTo>) -> &str {
    next.map_or("", ReturnTo::as_str)
}

/// A link to a page with `next` as its return URL. Prefix and query are percent-encoded, so nothing in it needs escaping.
fn link_with_next(site: &Site, page: &str, next: Option<&ReturnTo>) -> Value {
    Value::from_safe_string(site.urls.page_with_next(page, next))
}

/// The links that sign a visitor in through a provider, each with its label.
fn provider_links(site: &Site, next: Option<&ReturnTo>) -> Value {
    #[cfg(feature = "federation")]
    let links = site.services.provider_names().into_iter().map(|provider| {
        let url = link_with_next(site, &format!("/account/with/{}", provider.name), next);
        context! { url, label => provider.label }
    });
    #[cfg(not(feature = "federation"))]
    let links = {
        let _ = (site, next);
        std::iter::empty::<Value>()
    };
    Value::from_iter(links)
}

/// The notice for an anonymous visitor on the first page after a sign-out, or after the account was deleted.
fn notice_of_sign_out(site: &Site, visitor: &Visitor, headers: &HeaderMap) -> Option<&'static str> {
    if visitor.session().is_some() { None } else { site.cookies.notice_of_end(headers) }
}

/// Marks the notice of a page as shown, so that the next page does not repeat it.
fn with_notice_shown(site: &Site, mut response: Response, notice: Option<&str>) -> Response {
    if notice.is_some() {
        response.headers_mut().append(SET_COOKIE, site.cookies.sign_out_shown());
    }
    response
}

/// A 303 redirect that sets cookies.
fn see_other_with(cookies: impl IntoIterator<Item = HeaderValue>, url: &str) -> Response {
    with_cookies(see_other(url), cookies)
}

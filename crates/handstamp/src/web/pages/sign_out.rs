//! The sign-out page.

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use minijinja::context;

use super::{next_from_form, next_from_query, next_value, see_other_with};
use crate::context::Context;
use crate::sessions::PresentedSessions;
use crate::web::authenticate::end_presented;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, legacy};

/// Asks for confirmation, since a link must not change anything.
pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, WebError> {
    let next = next_from_query(&site, &uri);
    if visitor.session().is_none() {
        return Ok(see_other(next.as_ref().unwrap_or(site.urls.home()).as_str()));
    }
    page(
        &site,
        &visitor,
        StatusCode::OK,
        "authentication/sign_out.html",
        context! { next => next_value(next.as_ref()) },
    )
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    context: Context,
    presented: PresentedSessions,
    request: Request,
) -> Result<Response, WebError> {
    let forgotten = legacy::removal(&site, request.headers());
    // A form that cannot be read has no return URL, and signs out all the same.
    let fields = FormFields::from_request(request, &()).await.ok();
    let next = fields.and_then(|fields| next_from_form(&site, &fields).ok().flatten());
    end_presented(&site, &context, &presented).await?;
    let place = next.as_ref().unwrap_or(site.urls.home()).as_str();
    let mut response =
        see_other_with(site.cookies.remove_session().chain([site.cookies.signed_out()]).chain(forgotten), place);
    if site.services.config.session.clear_site_data {
        // Not "cookies", which would delete the cookies of sibling domains as well.
        let name = HeaderName::from_static("clear-site-data");
        response.headers_mut().insert(name, HeaderValue::from_static("\"storage\""));
    }
    Ok(response)
}

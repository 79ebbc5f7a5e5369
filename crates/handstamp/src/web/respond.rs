//! Renders responses: pages, error pages, and problem documents (RFC 9457) for programs.

use std::any::Any;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use minijinja::{Value, context};

use super::Site;
use super::headers::set_no_store;
use super::user::Visitor;
use super::web_error::{ErrorMessage, NO_TYPE, WebError, log_internal_error};
use crate::events::Event;
use crate::log::RequestId;
use crate::model::FieldErrors;

/// The response to an unknown URL.
pub(super) async fn not_found() -> WebError {
    WebError::not_found()
}

/// The response of a handler that panicked. The log gets the kind of the panic only, since its message may contain secrets.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Response {
    let kind = if panic.is::<String>() || panic.is::<&str>() { "message" } else { "value" };
    Event::Panic { kind }.record();
    let message = "Something went wrong on our side. We have taken a note of it.";
    WebError::refused(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
}

/// Adds cookies to a response.
pub(super) fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    response.headers_mut().extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
    response
}

/// Renders a page of the site for this visitor.
pub(super) fn page(
    site: &Site,
    visitor: &Visitor,
    status: StatusCode,
    template: &'static str,
    values: Value,
) -> Result<Response, WebError> {
    let html = site
        .templates
        .render(template, context! { nav => true, visitor => site.templates.visitor(visitor.session()), ..values })?;
    Ok(html_page(site, status, html))
}

/// The response with a rendered page.
pub(super) fn html_page(site: &Site, status: StatusCode, html: String) -> Response {
    let headers = site.headers.for_html(html.len());
    let mut response = Response::new(html.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Renders every error response as a page, or for a program as a problem document (RFC 9457), wherever it was created.
pub(super) fn render_error(site: &Site, bare: Response, is_program: bool, id: Option<RequestId>) -> Response {
    let status = bare.status();
    if !status.is_client_error() && !status.is_server_error() {
        return bare;
    }
    let is_page = bare.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page || bare.extensions().get::<NoErrorPage>().is_some() {
        return bare;
    }
    let content = bare.extensions().get::<ErrorMessage>().cloned().unwrap_or_else(|| ErrorMessage::usual(status));
    let wants_page = status != StatusCode::UNAUTHORIZED && !is_program;
    let rendered = if wants_page { error_page(site, &bare, &content.message, id) } else { problem(status, &content) };
    let (mut parts, _) = bare.into_parts();
    let (rendered_parts, body) = rendered.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(rendered_parts.headers);
    Response::from_parts(parts, body)
}

/// The visitor whom an error page is for; such a page has the navigation of every other page.
#[derive(Clone)]
pub(super) struct ErrorPageVisitor(pub(super) Visitor);

/// Marks an error response whose body stays as it is, whatever the client accepts.
#[derive(Clone)]
pub(super) struct NoErrorPage;

/// Marks an error response whose page is loaded again after this many seconds.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "proxy"), allow(dead_code))]
pub(super) struct RetryByItself(pub(super) u32);

/// Marks an error response of an application's handler, which [`with_error_page`] renders for browsers.
#[derive(Clone)]
struct Embedded;

/// An error as a problem document, where the request is not known. [`with_error_page`] can replace it.
pub(crate) fn problem_response(error: WebError) -> Response {
    let (status, bare) = (error.status(), error.into_response());
    let content = bare.extensions().get::<ErrorMessage>().cloned().unwrap_or_else(|| ErrorMessage::usual(status));
    let rendered = problem(status, &content);
    let (mut parts, _) = bare.into_parts();
    let (rendered_parts, body) = rendered.into_parts();
    parts.headers.extend(rendered_parts.headers);
    parts.extensions.insert(Embedded);
    set_no_store(&mut parts.headers);
    Response::from_parts(parts, body)
}

/// The response of an application's handler, with a page instead of an error that [`problem_response`] has made.
pub(crate) fn with_error_page(site: &Site, mut response: Response, visitor: Option<Visitor>) -> Response {
    if response.extensions_mut().remove::<Embedded>().is_none() {
        return response;
    }
    render_embedded(site, response, true, visitor)
}

/// Renders a response to a request of an application's route, as [`render_error`] does on our own.
pub(crate) fn render_embedded(site: &Site, mut bare: Response, wants_page: bool, visitor: Option<Visitor>) -> Response {
    if let Some(visitor) = visitor {
        bare.extensions_mut().insert(ErrorPageVisitor(visitor));
    }
    let mut response = render_error(site, bare, !wants_page, None);
    site.headers.add_to(response.headers_mut());
    response
}

/// A problem document (RFC 9457), with the errors of fields in the member `errors`.
fn problem(status: StatusCode, content: &ErrorMessage) -> Response {
    let ErrorMessage { problem_type, message, fields } = content;
    let title = status.canonical_reason().unwrap_or("Error");
    let mut body =
        serde_json::json!({ "type": problem_type, "title": title, "status": status.as_u16(), "detail": message });
    let errors: Vec<_> = fields
        .iter()
        .map(|(field, message)| serde_json::json!({ "field": field.name(), "message": message.to_string() }))
        .collect();
    if !errors.is_empty() {
        body["errors"] = errors.into();
    }
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn error_page(site: &Site, bare: &Response, message: &str, id: Option<RequestId>) -> Response {
    let status = bare.status();
    // After a server error the page shows no visitor, as the lookup of the visitor may be what failed.
    let error_page_visitor = bare.extensions().get::<ErrorPageVisitor>().filter(|_| status.is_client_error());
    let retry_after = bare.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse::<u32>().ok());
    let values = context! {
        nav => error_page_visitor.is_some(),
        visitor => error_page_visitor.and_then(|ErrorPageVisitor(visitor)| site.templates.visitor(visitor.session())),
        status => status.as_u16(),
        heading => heading(status),
        message,
        retry_after,
        refresh => bare.extensions().get::<RetryByItself>().map(|RetryByItself(seconds)| seconds),
        reference => id.as_ref().filter(|_| status.is_server_error()).map(RequestId::as_str),
        link_href => "/",
        link_text => "Go to the home page",
    };
    match site.templates.render("error.html", values) {
        Ok(html) => html_page(site, status, html),
        Err(error) => {
            log_internal_error(&format!("the error page: {error:#}"));
            (status, message.to_owned()).into_response()
        }
    }
}

fn heading(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "This request was refused",
        404 => "Page not found",
        405 => "This cannot be done here",
        408 => "That took too long",
        413 => "That was too much",
        421 => "This is not the right place",
        429 => "Too many attempts",
        500 => "Something went wrong",
        502 | 503 => "We will be right back",
        504 => "That takes too long",
        _ => "That did not work",
    }
}

impl ErrorMessage {
    /// The content of an error that a layer returned without one.
    fn usual(status: StatusCode) -> Self {
        Self { problem_type: NO_TYPE, message: usual_message(status).into(), fields: FieldErrors::default() }
    }
}

fn usual_message(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "There is nothing here. It may have been moved, or the address mistyped.",
        405 => "This page exists, but it does not do what was asked of it.",
        408 => "The request took too long. Please try again.",
        413 => "What was sent is longer than any form here.",
        _ if status.is_server_error() => "Something went wrong on our side. We have taken a note of it.",
        _ => "The request was not one that we understand.",
    }
}

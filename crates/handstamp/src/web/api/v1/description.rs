//! The OpenAPI 3.1 description of the API, generated from the handlers.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::ServerBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problems::{
    CrossSite, FieldError, Invalid, InvalidProblem, Malformed, NotFound, NotJson, Problem, ReauthenticationRequired,
    Throttled, TooLong, Unauthorized, Unavailable,
};
use crate::web::{SharedSite, Site};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Handstamp",
        description = "Accounts and sessions. A session is a cookie. A program that sends it with anything but GET also sends the header \
                       `Origin` with the address of this site, as browsers do: requests that another site makes a browser send are refused.",
    ),
    paths(
        super::session::show,
        super::session::sign_in,
        super::session::sign_out,
        super::users::register,
        super::sessions::list,
        super::sessions::revoke,
        super::sessions::revoke_others,
        super::session::complete_sign_in,
        super::session::confirm,
        super::password::change,
        super::password::forgot,
        super::email::change,
        super::email::verify,
        super::email::send,
        super::user::export,
        super::user::delete,
    ),
    components(schemas(Problem, InvalidProblem, FieldError), responses(Malformed, Unauthorized, ReauthenticationRequired, CrossSite, NotFound, TooLong, NotJson, Invalid, Throttled, Unavailable)),
    modifiers(&NoLicence),
)]
struct Description;

/// Removes the licence, since the description is of a site, whose content belongs to its operator.
struct NoLicence;

impl Modify for NoLicence {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        openapi.info.license = None;
    }
}

pub(in crate::web) async fn openapi(State(site): State<SharedSite>) -> Response {
    Json(description(&site)).into_response()
}

/// The OpenAPI document of this site.
pub(crate) fn description(site: &Site) -> utoipa::openapi::OpenApi {
    let mut openapi = Description::openapi();
    openapi.servers = Some(vec![ServerBuilder::new().url(site.urls.page("/account/api/v1")).build()]);
    let cookie = ApiKey::Cookie(ApiKeyValue::new(site.cookies.session_name()));
    openapi.components.get_or_insert_default().add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    openapi
}

//! The page of what protects an account: the password, second factors, and where to see its activity.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use minijinja::context;

use super::has_notice;
#[cfg(feature = "federation")]
use super::providers;
use crate::format::{format_datetime, format_rfc3339};
use crate::web::SharedSite;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    uri: Uri,
) -> Result<Response, WebError> {
    let factors = site.services.factors_of(session.user.id).await?;
    let notices = [
        ("totp-removed", "The authenticator app was removed, and your other devices were signed out."),
        (
            "codes-shown-once",
            "The authenticator app is set up. Its recovery codes were shown once: if you have not seen and saved them, \
             make ten new ones.",
        ),
    ];
    let notice = notices.into_iter().find_map(|(name, text)| has_notice(&uri, name).then_some(text));
    #[cfg(feature = "federation")]
    let (notice, providers) =
        (notice.or_else(|| providers::notice(&uri)), providers::of_security(&site, &session).await?);
    #[cfg(not(feature = "federation"))]
    let providers = ();
    let values = context! {
        notice,
        has_password => factors.has_password,
        totp => factors.totp_since.map(|since| context! {
            since => format_datetime(since),
            since_iso => format_rfc3339(since),
        }),
        recovery_codes => factors.recovery_codes,
        passkeys => factors.passkeys,
        providers,
    };
    page(&site, &Visitor::Authenticated(session), StatusCode::OK, "factors/security.html", values)
}

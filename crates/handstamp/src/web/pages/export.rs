//! The download of all data of the account.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::context::Context;
use crate::web::SharedSite;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    let export = site.services.export_account(&context, &session).await?;
    let headers = [(CONTENT_TYPE, "application/json"), (CONTENT_DISPOSITION, "attachment; filename=\"account.json\"")];
    Ok((headers, format!("{export:#}\n")).into_response())
}

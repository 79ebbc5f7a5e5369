//! The page that deletes the account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use super::see_other_with;
use crate::web::SharedSite;
use crate::web::respond::page;
use crate::web::sender::Sender;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
) -> Result<Response, WebError> {
    match visitor.session() {
        Some(session) if site.services.is_fresh(session) => {
            page(&site, &visitor, StatusCode::OK, "account/delete.html", context! {})
        }
        Some(_) => Ok(sender.require_confirmation(&site)),
        None => Ok(sender.reject_anonymous(&site)),
    }
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
) -> Result<Response, WebError> {
    match visitor.session() {
        Some(session) if site.services.is_fresh(session) => {
            site.services.delete_account(&sender.context, session).await?;
            Ok(deleted(&site))
        }
        Some(_) => Ok(sender.require_confirmation(&site)),
        // Of a form that is sent twice, the first has deleted the account. The second comes with the session that has ended, or with
        // the cookies of the first response.
        None => {
            let is_done = match *sender.presented.sessions.as_slice() {
                [former] => site.services.is_deleted(&sender.context, former.user_id).await?,
                _ => site.cookies.has_deleted_account(&sender.headers),
            };
            if is_done { Ok(deleted(&site)) } else { Ok(sender.reject_anonymous(&site)) }
        }
    }
}

fn deleted(site: &SharedSite) -> Response {
    let cookies = site.cookies.remove_session().chain([site.cookies.account_deleted()]);
    see_other_with(cookies, site.urls.home().as_str())
}

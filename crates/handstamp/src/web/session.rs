use std::ops::ControlFlow::{self, Break, Continue};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use handstamp_core::cookie::Presented;

use super::SharedSite;
use super::failure::Failure;
use super::user::{Visitor, is_navigation, original_uri, to_sign_in};
use crate::error::Fault;
use crate::log;
use crate::sessions::{Found, Session};

/// Finds out, once for each request of a page, who asks, and whether they need another cookie. Whoever is in doubt is a
/// stranger; when the database cannot be asked, nobody is anybody.
pub(super) async fn load(
    site: &SharedSite,
    request: &mut Request,
) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
    match find(site, request.headers()).await {
        Ok(visitor) => Continue(with_cookie(visitor, site)),
        Err(fault) => Break(Failure::from(fault).into_response()),
    }
}

/// The same for pages that strangers do not see: they are sent to sign in, and back afterwards; programs are told 401.
pub(super) async fn load_member(
    site: &SharedSite,
    request: &mut Request,
) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
    match find(site, request.headers()).await {
        Ok(visitor @ Visitor::Member(_)) => Continue(with_cookie(visitor, site)),
        Ok(_) if is_navigation(request.method(), request.headers()) => Break(to_sign_in(
            site,
            request.method(),
            original_uri(request.uri(), request.extensions()),
            request.headers(),
        )),
        Ok(_) => Break(Failure::SignedOut.into_response()),
        Err(fault) => Break(Failure::from(fault).into_response()),
    }
}

fn with_cookie(visitor: Visitor, site: &SharedSite) -> (Visitor, Option<HeaderValue>) {
    let cookie = visitor.session().and_then(|session| renewed(site, session));
    (visitor, cookie)
}

/// Another cookie for a session whose token an earlier key has signed.
pub(super) fn renewed(site: &SharedSite, session: &Session) -> Option<HeaderValue> {
    session.signed_by_fallback.then(|| {
        log::info!(event = "session_token_reissued", user = %session.user.id, "signed with the current key");
        site.cookies.session(&site.accounts.sessions.issue_again(session))
    })
}

pub(super) async fn find(site: &SharedSite, headers: &HeaderMap) -> Result<Visitor, Fault> {
    let text = match site.cookies.presented_session(headers) {
        Presented::Nothing => return Ok(Visitor::Stranger),
        Presented::Several => {
            log::info!(event = "session_token_refused", reason = "several_cookies", "refused a cookie");
            return Ok(Visitor::Stranger);
        }
        Presented::One(text) => text,
    };
    match site.accounts.sessions.find(text).await? {
        Found::Live(session) => return Ok(Visitor::Member(session)),
        Found::Refused(reason) => log::info!(event = "session_token_refused", %reason, "refused a token"),
        Found::Ended(id_hash, user) => {
            log::info!(event = "session_token_refused", reason = "ended", %user, "refused the token of an ended session");
            return Ok(Visitor::SignedOut(id_hash));
        }
    }
    Ok(Visitor::Stranger)
}

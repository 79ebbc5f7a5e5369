//! The page to which a navigation with a cookie of the former framework leads: it exchanges the session, and leads on.

use axum::extract::{Request, State};
use axum::response::Response;

use super::{next_from_query, see_other_with};
use crate::context::Context;
use crate::model::LegacyRefusal;
use crate::services::LegacyExchanged;
use crate::sessions::PresentedSessions;
use crate::web::redirect::see_other;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, legacy};

/// Leads to `next` with a session, or to the sign-in page. The browser comes here once: it forgets the cookie, and a cookie of ours
/// keeps it from coming back where it cannot forget.
pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    request: Request,
) -> Result<Response, WebError> {
    let (headers, uri) = (request.headers(), request.uri());
    let next = next_from_query(&site, uri);
    let goes_on_to = next.as_ref().unwrap_or(site.urls.account()).as_str();
    if visitor.session().is_some() {
        return Ok(see_other_with(legacy::removal(&site, headers), goes_on_to));
    }
    let sign_in = next.as_ref().map_or_else(|| site.urls.page("/account/login"), |next| site.urls.sign_in(next));
    let services = &site.services;
    let (Some(former), true) = (&services.legacy, legacy::may_exchange(request.method(), headers)) else {
        return Ok(see_other(&sign_in));
    };
    let cookies: Vec<&str> = legacy::cookies(former, headers).collect();
    let exchanged = services.exchange_legacy_session(&context, cookies.into_iter(), &presented.sessions).await?;
    let refusal = match &exchanged {
        LegacyExchanged::Begun(_) => None,
        LegacyExchanged::Refused(refusal) => Some(*refusal),
    };
    let forgotten = match refusal.is_some_and(LegacyRefusal::keeps_cookie) {
        true => Vec::new(),
        false => legacy::removal(&site, headers),
    };
    let rest = former.rest(services.sessions.now());
    let marked = (!refusal.is_some_and(LegacyRefusal::is_temporary)).then(|| site.cookies.exchanged(rest));
    let aside = forgotten.into_iter().chain(marked);
    Ok(match &exchanged {
        LegacyExchanged::Begun(cookies) => {
            see_other_with(site.cookies.sign_in_cookies(cookies).chain(aside), goes_on_to)
        }
        LegacyExchanged::Refused(_) => see_other_with(aside, &sign_in),
    })
}

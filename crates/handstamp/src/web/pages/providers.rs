//! Signing in through other providers: the way there, the way back, and the connection of identities with an account.

use axum::extract::{Path, RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use handstamp_core::ReturnTo;
use minijinja::{Value, context};
use url::form_urlencoded::Serializer;

use super::{has_notice, link_with_next, next_from_form, second_factor, see_other_with};
use crate::context::Context;
use crate::format::{format_datetime, format_rfc3339};
use crate::services::{Answer, Callback, Completed, Failure, Provider, Purpose, Refusal};
use crate::sessions::{PresentedSessions, Session};
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::{page, with_cookies};
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

const SECURITY: &str = "/account/security";

/// The most bytes of an answer that is kept in a cookie.
const LONGEST_ANSWER: usize = 3500;

/// The fields of an answer.
const ANSWER: [&str; 5] = ["state", "code", "error", "iss", "user"];

/// Redirects to a provider.
pub(in crate::web) async fn begin(
    State(site): State<SharedSite>,
    visitor: Visitor,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let provider = site.services.provider(&name)?;
    let query = FormFields::parse(query.unwrap_or_default().as_bytes())?;
    let (start, next) = (query.get("start")?, next_from_form(&site, &query)?);
    let purpose = match (start, visitor.session()) {
        ("", None) => Purpose::SignIn,
        // As on the sign-in page.
        ("", Some(_)) => return Ok(see_other(next.as_ref().unwrap_or(site.urls.account()).as_str())),
        (start, session) => {
            let purpose = session.and_then(|session| site.services.purpose_of_link_to(provider, start, session));
            match (purpose, session) {
                (Some(Purpose::Connect(_)), Some(session)) if !site.services.is_fresh(session) => {
                    return Ok(see_other(&site.urls.confirm(None, &security(&site))));
                }
                (Some(purpose), _) => purpose,
                // The link has expired, or the session of its page has ended.
                (None, _) => return Ok(see_other(&site.urls.page(SECURITY))),
            }
        }
    };
    let secret = site.cookies.presented_attempt(&headers);
    let next = next.as_ref();
    match site.services.begin_attempt(provider, purpose, next.map(ReturnTo::as_str), secret).await {
        Ok((url, secret)) => Ok(see_other_with([site.cookies.attempt(&secret)], &url)),
        Err(failure) => refused(&site, &visitor, provider, next, failure),
    }
}

fn security(site: &SharedSite) -> ReturnTo {
    ReturnTo::parse(&site.urls.page(SECURITY)).expect("a prefix is a path")
}

/// Completes an attempt by the answer of the provider, in the query or in the cookie of [`receive`].
pub(in crate::web) async fn complete(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let provider = site.services.provider(&name)?;
    let query = query.unwrap_or_default();
    let is_in_cookie = query.is_empty();
    let answer = if is_in_cookie { site.cookies.presented_answer(&headers) } else { &query };
    let fields = FormFields::parse(answer.as_bytes())?;
    let [state, code, error, issuer, user] = ANSWER.map(|field| fields.get(field));
    let callback = Callback {
        answer: Answer { state: state?, code: code?, error: error?, issuer: issuer?, user: user? },
        secret: site.cookies.presented_attempt(&headers),
        session: visitor.session(),
        previous_sessions: &presented.sessions,
        presented_pending: site.cookies.presented_pending_sign_in(&headers),
    };
    let (completed, next) = site.services.complete_attempt(&context, provider, &callback).await;
    let next = next.and_then(|next| site.urls.parse(&next));
    let next = next.as_ref();
    let target = next.unwrap_or(site.urls.account()).as_str();
    let response = match completed {
        Ok(Completed::SignedIn(cookies)) => see_other_with(site.cookies.sign_in_cookies(&cookies), target),
        Ok(Completed::NeedsSecondFactor(pending)) => second_factor::redirect_to(&site, &pending, next),
        Ok(Completed::Connected(cookies)) => {
            let notice = site.urls.page("/account/security?notice=provider-connected");
            see_other_with(site.cookies.sign_in_cookies(&cookies), &notice)
        }
        Ok(Completed::Confirmed(token)) => see_other_with([site.cookies.session(&token)], target),
        // Of two requests with one answer, as after a click on the button to go back, the first has signed the user in.
        Err(Failure::Refused(Refusal::Replayed)) if visitor.session().is_some() => see_other(target),
        Err(failure) => refused(&site, &visitor, provider, next, failure)?,
    };
    let used = is_in_cookie.then(|| site.cookies.remove_answer());
    Ok(with_cookies(response, used))
}

/// Receives an answer by a form of the provider's page. Browsers send our cookies with the GET after it, and not with this form, so that
/// is all that it does.
pub(in crate::web) async fn receive(
    State(site): State<SharedSite>,
    Path(name): Path<String>,
    fields: FormFields,
) -> Result<Response, WebError> {
    site.services.provider(&name)?;
    let mut answer = Serializer::new(String::new());
    for field in ANSWER {
        match fields.get(field)? {
            "" => {}
            value => {
                answer.append_pair(field, value);
            }
        }
    }
    let answer = answer.finish();
    if answer.len() > LONGEST_ANSWER {
        return Err(WebError::refused(StatusCode::BAD_REQUEST, "The answer of the provider is too long."));
    }
    let callback = site.urls.page(&format!("/account/with/{name}/callback"));
    Ok(see_other_with([site.cookies.answer(&answer)], &callback))
}

/// Disconnects the identity of a provider.
pub(in crate::web) async fn remove(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    Path(name): Path<String>,
) -> Result<Response, WebError> {
    let provider = site.services.provider(&name)?;
    Ok(match site.services.disconnect_identity(&context, &session, provider).await? {
        Some(cookies) => see_other_with(
            site.cookies.sign_in_cookies(&cookies),
            &site.urls.page("/account/security?notice=provider-removed"),
        ),
        // A form that is sent twice finds it disconnected.
        None => see_other(&site.urls.page(SECURITY)),
    })
}

/// Ends the sessions that a logout token is about (OpenID Connect Back-Channel Logout 1.0, section 2.8).
pub(in crate::web) async fn back_channel_logout(
    State(site): State<SharedSite>,
    context: Context,
    Path(name): Path<String>,
    fields: FormFields,
) -> Result<Response, WebError> {
    let provider = site.services.provider(&name)?;
    let ended = site.services.end_sessions_of_provider(&context, provider, fields.get("logout_token")?).await;
    let mut response = match ended {
        Ok(()) => StatusCode::OK.into_response(),
        // The keys of the provider are needed to know, so it has to send the token again.
        Err(Failure::Refused(Refusal::Unavailable(_))) => {
            return Err(WebError::refused(StatusCode::SERVICE_UNAVAILABLE, "The provider does not answer."));
        }
        Err(Failure::Refused(refusal)) => {
            let message = format!("The logout token was not accepted: {}.", refusal.name());
            return Err(WebError::refused(StatusCode::BAD_REQUEST, message));
        }
        Err(Failure::Act(error)) => return Err(error.into()),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The page of a refusal.
fn refused(
    site: &SharedSite,
    visitor: &Visitor,
    provider: &Provider,
    next: Option<&ReturnTo>,
    failure: Failure,
) -> Result<Response, WebError> {
    let refusal = match failure {
        Failure::Refused(refusal) => refusal,
        Failure::Act(error) => return Err(error.into()),
    };
    let status = match &refusal {
        Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::State | Refusal::Replayed | Refusal::Issuer | Refusal::Provider(_) | Refusal::Token(_) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::FORBIDDEN,
    };
    let values = context! {
        label => provider.label.as_str(),
        reason => refusal.name(),
        is_of_a_clock => refusal.is_of_a_clock(),
        retry_url => link_with_next(site, &format!("/account/with/{}", provider.name), next),
        sign_in_url => link_with_next(site, "/account/login", next),
    };
    page(site, visitor, status, "providers/refused.html", values)
}

/// The providers on the page of what protects an account: those that are connected, and how the others are.
pub(super) async fn of_security(site: &SharedSite, session: &Session) -> Result<Value, WebError> {
    let identities = site.services.identities_of(session).await?;
    let providers = site.services.provider_names().into_iter().map(|provider| {
        let identity = identities.iter().find(|identity| identity.provider == provider.name);
        let connect = || start_url(site, &provider.name, Purpose::Connect(session.session_id), None);
        context! {
            url => if identity.is_none() { connect() } else { ().into() },
            connected => identity.map(|identity| context! {
                since => format_datetime(identity.created_at),
                since_iso => format_rfc3339(identity.created_at),
                email => identity.email.as_str(),
            }),
            name => provider.name,
            label => provider.label,
        }
    });
    Ok(Value::from_iter(providers))
}

/// The providers by which a user confirms who has no other way: those that are connected.
pub(super) async fn of_confirmation(
    site: &SharedSite,
    session: &Session,
    next: Option<&ReturnTo>,
) -> Result<Value, WebError> {
    let identities = site.services.identities_of(session).await?;
    let names = site.services.provider_names().into_iter();
    let connected = names.filter(|provider| identities.iter().any(|identity| identity.provider == provider.name));
    Ok(Value::from_iter(connected.map(|provider| {
        let url = start_url(site, &provider.name, Purpose::Confirm(session.session_id), next);
        context! { url, label => provider.label }
    })))
}

/// A link that begins an attempt for more than a sign-in. All of it is percent-encoded or base64.
fn start_url(site: &SharedSite, name: &str, purpose: Purpose, next: Option<&ReturnTo>) -> Value {
    let start = site.services.link_to_provider(name, purpose).unwrap_or_default();
    link_with_next(site, &format!("/account/with/{name}?start={start}"), next)
}

/// The notice on the page of what protects an account.
pub(super) fn notice(uri: &Uri) -> Option<&'static str> {
    let notices = [
        ("provider-connected", "It is connected, and signs you in from now on. Your other devices were signed out."),
        ("provider-removed", "It was disconnected, and your other devices were signed out."),
    ];
    notices.into_iter().find_map(|(name, text)| has_notice(uri, name).then_some(text))
}

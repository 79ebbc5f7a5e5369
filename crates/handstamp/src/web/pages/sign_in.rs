//! The sign-in page.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::{Value, context};

use super::{
    has_notice, link_with_next, messages, next_from_form, next_from_query, next_value, notice_of_sign_out,
    provider_links, second_factor, see_other_with, with_notice_shown,
};
use crate::context::Context;
use crate::format::lasting;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, SignInRequest, SignedIn};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::urls::FORM_NOT_SENT;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

/// The value of `notice` with which the page of a reset link redirects here.
const NEW_PASSWORD: &str = "new-password";

/// The value of `notice` with which the form of an authenticator app that is sent twice redirects here.
pub(super) const APP_IS_SET_UP: &str = "app-is-set-up";

/// The submitted values and their errors.
struct Form {
    email: String,
    remember: bool,
    next: Option<ReturnTo>,
    errors: FieldErrors,
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    request: Request,
) -> Result<Response, WebError> {
    let next = next_from_query(&site, request.uri());
    let goes_on_to = next.as_ref().unwrap_or(site.urls.account()).as_str();
    if visitor.session().is_some() {
        return Ok(see_other(goes_on_to));
    }
    let pending = site.cookies.presented_pending_sign_in(request.headers());
    if let Some(cookies) = site.services.repeat_sign_in(&context, pending, &presented.sessions).await? {
        let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_pending()]);
        return Ok(see_other_with(cookies, goes_on_to));
    }
    let form = Form { email: String::new(), remember: true, next, errors: FieldErrors::default() };
    let (form_not_sent, notice) =
        (says_form_not_sent(request.uri()), notice_of_sign_out(&site, &visitor, request.headers()));
    let notice = notice.or_else(|| notice_of_redirect(request.uri())).filter(|_| !form_not_sent);
    let response = form_page(&site, &visitor, StatusCode::OK, &form, context! { form_not_sent, notice })?;
    Ok(with_notice_shown(&site, response, notice))
}

/// Whether the request was redirected here from a form that was not sent.
fn says_form_not_sent(uri: &Uri) -> bool {
    has_notice(uri, FORM_NOT_SENT)
}

/// The notice about what the page that redirected here has done.
fn notice_of_redirect(uri: &Uri) -> Option<&'static str> {
    let notices = [
        (NEW_PASSWORD, "Your new password is set. Sign in with it."),
        (APP_IS_SET_UP, "The authenticator app is set up. Sign in with it to get your recovery codes."),
    ];
    notices.into_iter().find_map(|(name, text)| has_notice(uri, name).then_some(text))
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    fields: FormFields,
) -> Result<Response, WebError> {
    let mut form = Form {
        email: fields.get("email")?.to_owned(),
        remember: !fields.get("remember")?.is_empty(),
        next: next_from_form(&site, &fields)?,
        errors: FieldErrors::default(),
    };
    let request = SignInRequest::parse(&form.email, fields.get("password")?, form.remember);
    let signed_in = match request {
        Ok(request) => {
            let pending = site.cookies.presented_pending_sign_in(&headers);
            site.services.sign_in(&context, request, &presented.sessions, pending).await
        }
        Err(errors) => Err(errors.into()),
    };
    match signed_in {
        Ok(SignedIn::Begun(cookies)) => {
            return Ok(see_other_with(
                site.cookies.sign_in_cookies(&cookies),
                form.next.as_ref().unwrap_or(site.urls.account()).as_str(),
            ));
        }
        Ok(SignedIn::NeedsSecondFactor(pending)) => {
            return Ok(second_factor::redirect_to(&site, &pending, form.next.as_ref()));
        }
        Err(ActError::Fields(errors)) => form.errors = errors,
        Err(error) => return Err(error.into()),
    }
    form_page(
        &site,
        &visitor,
        StatusCode::UNPROCESSABLE_ENTITY,
        &form,
        context! { form_not_sent => false, notice => () },
    )
}

fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    form: &Form,
    notices: Value,
) -> Result<Response, WebError> {
    let values = context! {
        values => context! { email => form.email.as_str(), remember => form.remember },
        errors => messages(&form.errors, &[Field::Email, Field::Password]),
        next => next_value(form.next.as_ref()),
        lifetime => lasting(site.services.config.session.lifetime),
        sign_in_url => link_with_next(site, "/account/login", form.next.as_ref()),
        register_url => link_with_next(site, "/account/register", form.next.as_ref()),
        providers => provider_links(site, form.next.as_ref()),
        code_url => site.services.sign_in_by_code_is_on()
            .then(|| link_with_next(site, "/account/login/mail", form.next.as_ref())),
        ..notices
    };
    page(site, visitor, status, "authentication/sign_in.html", values)
}

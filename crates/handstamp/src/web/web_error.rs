//! The error responses of the web layer.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use handstamp_core::RetryAfter;

use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{FieldErrors, Message};
use crate::services::ActError;
use crate::store;

/// The `Retry-After` of a temporary failure, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The type of a problem document whose status says all (RFC 9457).
pub(super) const NO_TYPE: &str = "about:blank";

/// An error response: rejected, unauthorized, throttled or failed.
#[derive(Debug)]
pub(crate) enum WebError {
    /// The request needs a live session.
    SignedOut,
    /// The user has to authenticate again first.
    ReauthenticationRequired,
    /// The user needs a second factor in this session: `second_factor.required`.
    SecondFactorRequired,
    /// The password was right, and the sign-in waits for the second factor.
    SignInNeedsSecondFactor,
    /// A mailed link cannot be used.
    LinkInvalid,
    /// The request is rejected with this status and message.
    Refused(StatusCode, Cow<'static, str>),
    /// The attempt is throttled; how long to wait before the next one.
    Throttled(RetryAfter),
    /// Fields of the input were rejected. Pages show the messages beside the fields; the API lists them.
    Fields(FieldErrors),
    Internal(InternalError),
}

impl WebError {
    pub(crate) fn refused(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(status, message.into())
    }

    pub(super) fn not_found() -> Self {
        Self::refused(StatusCode::NOT_FOUND, "There is nothing here. It may have been moved, or the address mistyped.")
    }

    pub(crate) fn not_in_the_group() -> Self {
        let message = "You are signed in, but this is for members of a group that your account is not in.";
        Self::refused(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn no_such_assurance() -> Self {
        let message = "You are signed in, but no way of signing in is strong enough for this.";
        Self::refused(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn unknown_key() -> Self {
        Event::SessionKeyUnknown {}.record();
        let message = "You are not signed out everywhere: this server does not know the key of your session, so it could not end \
                       it. Please try again in a moment. If that does not help, sign in and change your password, which \
                       ends all your sessions.";
        Self::refused(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut | Self::SignInNeedsSecondFactor => StatusCode::UNAUTHORIZED,
            Self::ReauthenticationRequired | Self::SecondFactorRequired => StatusCode::FORBIDDEN,
            Self::LinkInvalid => StatusCode::NOT_FOUND,
            Self::Refused(status, _) => *status,
            Self::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Fields(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal(
                InternalError::Store(_)
                | InternalError::StaleRead
                | InternalError::NoLease
                | InternalError::PropagationUnknown(_)
                | InternalError::Blocklist(_)
                | InternalError::Overloaded,
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(InternalError::Hash(_) | InternalError::Template(_) | InternalError::Task(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The value of `Retry-After` in seconds, where a retry makes sense.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Throttled(RetryAfter(wait)) => Some(wait.as_secs().max(1)),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    /// The type of the problem document (RFC 9457), where a program has to tell it from others of the same status.
    fn problem_type(&self) -> &'static str {
        match self {
            Self::ReauthenticationRequired => "reauthentication-required",
            Self::SecondFactorRequired | Self::SignInNeedsSecondFactor => "second-factor-required",
            _ => NO_TYPE,
        }
    }

    pub(super) fn message(&self) -> Cow<'static, str> {
        match self {
            Self::SignedOut => "Please sign in first.".into(),
            Self::ReauthenticationRequired => Message::ReauthenticationRequired.to_string().into(),
            Self::SecondFactorRequired => {
                "This site requires a second factor. Set one up, or confirm with it, first.".into()
            }
            Self::SignInNeedsSecondFactor => "The password is right. Now send a code of the second factor.".into(),
            Self::LinkInvalid => Message::LinkInvalid.to_string().into(),
            Self::Refused(_, message) => message.clone(),
            Self::Fields(errors) => {
                errors.iter().next().map_or_else(String::new, |(_, message)| message.to_string()).into()
            }
            Self::Throttled(_) => "There were too many attempts for this account, or from your network. \
                 Devices on which you have signed in before are not affected."
                .into(),
            Self::Internal(InternalError::Overloaded) => {
                "Many people are signing in right now. Please try again in a moment.".into()
            }
            Self::Internal(
                InternalError::Store(_)
                | InternalError::StaleRead
                | InternalError::NoLease
                | InternalError::PropagationUnknown(_)
                | InternalError::Blocklist(_),
            ) => "We cannot do this right now. Please try again in a moment.".into(),
            Self::Internal(_) => "Something went wrong on our side. We have taken a note of it.".into(),
        }
    }
}

impl From<InternalError> for WebError {
    fn from(error: InternalError) -> Self {
        Self::Internal(error)
    }
}

impl From<minijinja::Error> for WebError {
    fn from(error: minijinja::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<store::Error> for WebError {
    fn from(error: store::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<ActError> for WebError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Fields(errors) => Self::Fields(errors),
            ActError::Throttled(wait) => Self::Throttled(wait),
            ActError::SignedOut => Self::SignedOut,
            ActError::ReauthenticationRequired => Self::ReauthenticationRequired,
            ActError::LinkInvalid => Self::LinkInvalid,
            ActError::Forbidden(message) => Self::refused(StatusCode::FORBIDDEN, message.to_string()),
            ActError::NotFound(_) => Self::not_found(),
            ActError::Internal(error) => Self::Internal(error),
        }
    }
}

impl From<FieldErrors> for WebError {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors)
    }
}

/// The content of an error response, for [`render_error`](super::respond::render_error): the type of a problem document, the message,
/// and the errors of fields.
#[derive(Clone)]
pub(super) struct ErrorMessage {
    pub(super) problem_type: &'static str,
    pub(super) message: Cow<'static, str>,
    pub(super) fields: FieldErrors,
}

/// Logs an internal error, whose details stay out of the response.
pub(crate) fn log_internal_error(error: &(dyn fmt::Display + Sync)) {
    Event::InternalError { error }.record();
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(InternalError::Overloaded) => Event::HashQueueFull {}.record(),
            Self::Internal(error) => log_internal_error(error),
            _ => {}
        }
        let problem_type = self.problem_type();
        let mut response = self.status().into_response();
        let message = self.message();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        let fields = if let Self::Fields(errors) = self { errors } else { FieldErrors::default() };
        response.extensions_mut().insert(ErrorMessage { problem_type, message, fields });
        response
    }
}

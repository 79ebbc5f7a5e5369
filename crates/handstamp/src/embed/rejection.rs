//! The rejections of the extractors and layers, and the error of the crate, as responses.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::error::Error;
use crate::web::{self, WebError, log_internal_error};

const OUR_FAULT: &str = "Something went wrong on our side. We have taken a note of it.";

/// The response to a request that is refused, made when the request was known.
pub struct Refusal(Box<Response>);

impl Refusal {
    pub(super) fn new(response: Response) -> Self {
        Self(Box::new(response))
    }

    /// The status: 303 for a redirect to the sign-in page.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.status()).finish()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Why the extractor [`CurrentUser`](crate::CurrentUser) or [`CurrentSession`](crate::CurrentSession) has no user. A browser's navigation gets a page
/// of Handstamp's, and any other request a problem document (RFC 9457).
#[derive(Debug)]
#[non_exhaustive]
pub enum CurrentUserRejection {
    /// The visitor is not signed in: a redirect to the sign-in page for a navigation, and 401 otherwise.
    Anonymous(Refusal),
    /// The user needs a second factor in this session, by
    /// [`SecondFactorConfig::required`](crate::SecondFactorConfig::required): a redirect to the page that leads to one for a
    /// navigation, and 403 otherwise.
    SecondFactorRequired(Refusal),
    /// The session could not be looked up, as the database does not answer: 503.
    Unavailable(Refusal),
}

impl fmt::Display for CurrentUserRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous(_) => "the visitor is not signed in",
            Self::SecondFactorRequired(_) => "the user needs a second factor in this session",
            Self::Unavailable(_) => "the session could not be looked up",
        })
    }
}

impl std::error::Error for CurrentUserRejection {}

impl IntoResponse for CurrentUserRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Anonymous(refusal) | Self::SecondFactorRequired(refusal) | Self::Unavailable(refusal) => {
                refusal.into_response()
            }
        }
    }
}

/// The user is not in a group that is required, by [`CurrentUser::require`](crate::CurrentUser::require) or
/// [`Handstamp::require_group`](crate::Handstamp::require_group): 403. A browser's navigation gets a page, and any other request a
/// problem document (RFC 9457).
#[derive(Debug)]
#[non_exhaustive]
pub struct Forbidden {
    /// The group.
    pub group: String,
    refusal: Refusal,
}

impl Forbidden {
    pub(super) fn new(group: &str, response: Response) -> Self {
        Self { group: group.to_owned(), refusal: Refusal::new(response) }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the user is not in the group {}", self.group)
    }
}

impl std::error::Error for Forbidden {}

impl IntoResponse for Forbidden {
    fn into_response(self) -> Response {
        self.refusal.into_response()
    }
}

/// The session is too weak, or its user authenticated too long ago, by
/// [`CurrentUser::require_assurance`](crate::CurrentUser::require_assurance),
/// [`CurrentUser::require_recent`](crate::CurrentUser::require_recent) or the layers of these names. A browser's navigation is
/// redirected (303) to the page on which the user authenticates again. Any other request gets 403, as a problem document (RFC 9457)
/// of the type `reauthentication-required`.
#[derive(Debug)]
pub struct ReauthenticationRequired(Refusal);

impl ReauthenticationRequired {
    pub(super) fn new(response: Response) -> Self {
        Self(Refusal::new(response))
    }

    /// The status: 303 for a redirect to the page on which the user authenticates again, and 403 otherwise.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl fmt::Display for ReauthenticationRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the user has to authenticate again")
    }
}

impl std::error::Error for ReauthenticationRequired {}

impl IntoResponse for ReauthenticationRequired {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The rejection of [`FromLayer`](crate::FromLayer).
#[derive(Debug)]
#[non_exhaustive]
pub enum FromLayerRejection<R> {
    /// The request did not pass [`Handstamp::layer`](crate::Handstamp::layer): 500.
    MissingLayer,
    /// The extractor itself rejected the request.
    Rejected(R),
}

impl<R: IntoResponse> IntoResponse for FromLayerRejection<R> {
    fn into_response(self) -> Response {
        match self {
            Self::MissingLayer => {
                log_internal_error(&"a handler extracts FromLayer, but its router lacks the layer Handstamp::layer()");
                web::problem_response(WebError::refused(StatusCode::INTERNAL_SERVER_ERROR, OUR_FAULT))
            }
            Self::Rejected(rejection) => rejection.into_response(),
        }
    }
}

/// For handlers that return an error: the cause is logged, and not shown to the client. The response is a problem document
/// (RFC 9457); within [`Handstamp::layer`](crate::Handstamp::layer) a browser's navigation gets a page.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let error = match self.into_act_error() {
            Ok(error) => WebError::from(error),
            Err(error) => {
                log_internal_error(&error);
                WebError::refused(StatusCode::INTERNAL_SERVER_ERROR, OUR_FAULT)
            }
        };
        web::problem_response(error)
    }
}

//! The error of an act, which pages, the API and the public handles render each in one place.

use handstamp_core::RetryAfter;

use crate::internal_error::InternalError;
use crate::model::{Field, FieldErrors, Message};

/// Why an act was not done.
#[derive(Debug)]
pub(crate) enum ActError {
    /// Fields of the input were rejected.
    Fields(FieldErrors),
    /// There were too many attempts, so this one was not evaluated.
    Throttled(RetryAfter),
    /// The session of the user has ended.
    SignedOut,
    /// The user has to authenticate again first.
    ReauthenticationRequired,
    /// The link or the cookie with its token cannot be used: forged, expired, used, or of another purpose.
    LinkInvalid,
    /// The act is not allowed here.
    Forbidden(Message),
    /// There is no such user or session.
    NotFound(Message),
    Internal(InternalError),
}

impl ActError {
    /// One field was rejected.
    pub(super) fn field(field: Field, message: impl Into<Message>) -> Self {
        Self::Fields(FieldErrors::of(field, message))
    }
}

impl From<FieldErrors> for ActError {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors)
    }
}

impl<E: Into<InternalError>> From<E> for ActError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

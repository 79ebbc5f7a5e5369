//! Why a sign-in through a provider was refused.

use handstamp_core::federation::IdTokenError;

use crate::services::ActError;

/// Why a sign-in through a provider was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The attempt did not begin in this browser or at this provider, or has expired.
    State,
    /// The attempt has been completed before.
    Replayed,
    /// The answer names another provider (RFC 9207).
    Issuer,
    /// The person has cancelled at the provider.
    Cancelled,
    /// The provider has answered with this error of OAuth 2.
    Provider(String),
    /// The provider does not answer, or answers what it should not. The text is for the log.
    Unavailable(String),
    /// The ID token is not accepted.
    Token(IdTokenError),
    /// The person is of an organisation that may not sign in.
    Organisation,
    /// The provider tells no address, and an account needs one.
    NoEmail,
    /// An account needs a verified address here, and this one is not.
    EmailUnverified,
    /// The address has an account, which is not connected.
    AccountExists,
    /// The visitor is signed in, and the identity is not connected with any account.
    NotConnected,
    /// The identity is not connected with any account, and no accounts can be made.
    RegistrationClosed,
    /// The identity is connected with another account.
    Taken,
    /// The account is connected with another identity of this provider.
    ProviderTaken,
    /// The session in which the attempt began has ended, or is too old.
    Session,
    /// The identity is that of another user than the one who is signed in.
    User,
    /// The account is disabled.
    Disabled,
    /// The provider has ended the session, or the account was changed meanwhile.
    Ended,
}

impl Refusal {
    /// The word in the log, in metrics and in the template of the page.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Replayed => "replayed",
            Self::Issuer => "issuer",
            Self::Cancelled => "cancelled",
            Self::Provider(_) => "provider",
            Self::Unavailable(_) => "unavailable",
            Self::Token(error) => error.name(),
            Self::Organisation => "organisation",
            Self::NoEmail => "no_email",
            Self::EmailUnverified => "email_unverified",
            Self::AccountExists => "account_exists",
            Self::NotConnected => "not_connected",
            Self::RegistrationClosed => "registration_closed",
            Self::Taken => "taken",
            Self::ProviderTaken => "provider_taken",
            Self::Session => "session",
            Self::User => "user",
            Self::Disabled => "disabled",
            Self::Ended => "ended",
        }
    }

    /// The details for the log, if there are any.
    pub(super) fn detail(&self) -> Option<&str> {
        match self {
            Self::Provider(detail) | Self::Unavailable(detail) => Some(detail),
            _ => None,
        }
    }

    /// Whether the clock of this machine may be the reason.
    pub(crate) fn is_of_a_clock(&self) -> bool {
        matches!(self, Self::Token(error) if error.is_clock())
    }
}

impl From<IdTokenError> for Refusal {
    fn from(error: IdTokenError) -> Self {
        Self::Token(error)
    }
}

/// Why an act through a provider was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Act(ActError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: Into<ActError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Act(error.into())
    }
}

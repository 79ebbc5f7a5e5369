//! The public error of the crate.

use std::fmt;

use crate::blocklist::BlocklistError;
use crate::config::ConfigErrors;
use crate::environment::MailError;
use crate::internal_error::InternalError;
use crate::model::{FieldErrors, Message};
use crate::services::ActError;
use crate::store::OpenError;

/// Why a [`Handstamp`](crate::Handstamp) could not be opened, or an act was not done.
///
/// `Display` and `Debug` give the same text, so a `main` that returns it prints a message for the operator.
pub struct Error(Kind);

enum Kind {
    Open(OpenError),
    Blocklist(BlocklistError),
    Config(String),
    Act(ActError),
    Mail(MailError),
}

impl Error {
    /// A setting is wrong.
    pub fn is_config(&self) -> bool {
        matches!(self.0, Kind::Config(_) | Kind::Open(OpenError::Unencrypted(_)))
    }

    /// A file or folder is accessible to other users, or cannot be created or read. For [`Blocklist`](crate::Blocklist) that
    /// includes a file that is damaged.
    pub fn is_file(&self) -> bool {
        matches!(
            self.0,
            Kind::Open(OpenError::File(_))
                | Kind::Blocklist(_)
                | Kind::Act(ActError::Internal(InternalError::Blocklist(_)))
        )
    }

    /// The database does not answer, its tables cannot be used, or it is not known whether every node has applied the change.
    pub fn is_database(&self) -> bool {
        matches!(
            self.0,
            Kind::Open(OpenError::Database(_) | OpenError::Unreachable(..) | OpenError::Migration(_))
                | Kind::Act(ActError::Internal(
                    InternalError::Store(_)
                        | InternalError::StaleRead
                        | InternalError::NoLease
                        | InternalError::PropagationUnknown(_)
                ))
        )
    }

    /// There is no such user or session.
    pub fn is_not_found(&self) -> bool {
        matches!(self.0, Kind::Act(ActError::NotFound(_)))
    }

    /// A value was rejected: an address that is not valid or already has an account, or a password that is easy to guess or was
    /// breached. The message is for the person who gave it.
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Act(ActError::Fields(_)))
    }

    /// The act is not allowed: the user to be signed in is disabled, or the last administrator would go.
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Kind::Act(ActError::Forbidden(_)))
    }

    /// Why a mail was not sent, if that is the error.
    pub fn mail(&self) -> Option<&MailError> {
        match &self.0 {
            Kind::Mail(error) => Some(error),
            _ => None,
        }
    }

    /// The name of the first field that was rejected, such as `email`, if a value was.
    pub fn field(&self) -> Option<&'static str> {
        self.fields().next().map(|(field, _)| field)
    }

    /// The fields that were rejected, each with its message for the person who gave it.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let errors = match &self.0 {
            Kind::Act(ActError::Fields(errors)) => Some(errors),
            _ => None,
        };
        errors.into_iter().flat_map(FieldErrors::iter).map(|(field, message)| (field.name(), message.to_string()))
    }

    /// The error of the act, or this error unchanged if there is none.
    pub(crate) fn into_act_error(self) -> Result<ActError, Self> {
        match self.0 {
            Kind::Act(error) => Ok(error),
            other => Err(Self(other)),
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self(Kind::Config(message.into()))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self(Kind::Open(error))
    }
}

impl From<BlocklistError> for Error {
    fn from(error: BlocklistError) -> Self {
        Self(Kind::Blocklist(error))
    }
}

impl From<ActError> for Error {
    fn from(error: ActError) -> Self {
        Self(Kind::Act(error))
    }
}

impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        ActError::from(errors).into()
    }
}

impl From<MailError> for Error {
    fn from(error: MailError) -> Self {
        Self(Kind::Mail(error))
    }
}

impl From<InternalError> for Error {
    fn from(error: InternalError) -> Self {
        ActError::Internal(error).into()
    }
}

impl From<ConfigErrors> for Error {
    fn from(errors: ConfigErrors) -> Self {
        Self::config(errors.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Open(error) => error.fmt(f),
            Kind::Blocklist(error) => write!(f, "password.blocklist: {error}"),
            Kind::Config(message) => f.write_str(message),
            Kind::Act(error) => error.fmt(f),
            Kind::Mail(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Open(error) => error.source(),
            Kind::Blocklist(error) => Some(error),
            Kind::Act(ActError::Internal(error)) => error.source(),
            Kind::Config(_) | Kind::Act(_) | Kind::Mail(_) => None,
        }
    }
}

impl fmt::Display for ActError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(errors) => {
                let messages: Vec<String> = errors.iter().map(|(_, message)| message.to_string()).collect();
                f.write_str(&messages.join(" "))
            }
            Self::Throttled(wait) => write!(f, "throttled for {} seconds", wait.0.as_secs()),
            Self::SignedOut => f.write_str("the session has ended"),
            Self::ReauthenticationRequired => Message::ReauthenticationRequired.fmt(f),
            Self::LinkInvalid => Message::LinkInvalid.fmt(f),
            Self::Forbidden(message) | Self::NotFound(message) => message.fmt(f),
            Self::Internal(error) => error.fmt(f),
        }
    }
}

//! Messages to users as keys: what is wrong with a field, or why an act was refused. `messages.rs` has the words.

use handstamp_core::{EmailError, GroupNameError, NameError, PasswordError, PasswordTooLong};

/// A message to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "passkeys"), allow(dead_code, reason = "some messages are about passkeys"))]
pub(crate) enum Message {
    Email(EmailError),
    EmailTaken,
    Name(NameError),
    NewPassword(PasswordError),
    PasswordTooLong,
    /// The address or the password is wrong; which of them is not revealed.
    WrongCredentials,
    WrongCurrentPassword,
    /// The password that a signed-in user entered again is wrong.
    WrongPassword,
    WrongCode,
    /// A code of a second factor is wrong, or was used before.
    WrongFactorCode,
    /// The application signs in a user with a second factor.
    HasSecondFactor,
    /// The password is not enough to confirm here.
    FactorRequired,
    /// Recovery codes need a second factor.
    NoSecondFactor,
    /// Something failed that a second try may solve.
    TryAgain,
    EmailUnchanged,
    /// The site sends no mails.
    NoMail,
    LinkInvalid,
    /// A passkey cannot be used for this; the log has the reason.
    PasskeyRefused,
    PasskeyExpired,
    /// The authenticator has not verified the user.
    PasskeyUnverified,
    PasskeyTaken,
    TooManyPasskeys,
    LastWayIn,
    /// Without this identity the user could not sign in any more.
    LastIdentity,
    NoSuchProvider,
    ReauthenticationRequired,
    GroupName(GroupNameError),
    TooManyGroups,
    RegistrationClosed,
    UserDisabled,
    NoSuchUser,
    NoSuchSession,
    /// An operator acts on the own account in a way that could lock them out.
    OwnAccount,
    /// Without this user no member of the group `admins` could sign in.
    LastAdministrator,
    /// An operator would have a mail sent, but the site sends none.
    NoMailForOperators,
    /// The user has no second factor to remove.
    NoFactors,
    /// The user has no session to end.
    NoSessions,
    /// The typed address is not that of the user who would be deleted.
    OtherAddress,
    /// No account has this address.
    NoAccount,
    /// A time is none.
    TimeMalformed,
}

impl From<EmailError> for Message {
    fn from(error: EmailError) -> Self {
        Self::Email(error)
    }
}

impl From<NameError> for Message {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<PasswordError> for Message {
    fn from(error: PasswordError) -> Self {
        Self::NewPassword(error)
    }
}

impl From<PasswordTooLong> for Message {
    fn from(_: PasswordTooLong) -> Self {
        Self::PasswordTooLong
    }
}

impl From<GroupNameError> for Message {
    fn from(error: GroupNameError) -> Self {
        Self::GroupName(error)
    }
}

/// A field of a form, of a JSON document or of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "passkeys"), allow(dead_code, reason = "one field is for passkeys"))]
pub(crate) enum Field {
    Name,
    Email,
    Password,
    CurrentPassword,
    Group,
    Code,
    /// The answer of an authenticator.
    Credential,
    /// Of a search: the user, and the first and the last time.
    User,
    From,
    Until,
}

impl Field {
    /// The name of the field, the same in forms and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Password => "password",
            Self::CurrentPassword => "current_password",
            Self::Group => "group",
            Self::Code => "code",
            Self::Credential => "credential",
            Self::User => "user",
            Self::From => "from",
            Self::Until => "until",
        }
    }
}

/// The errors in the fields of an input: at most one message for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldErrors(Vec<(Field, Message)>);

impl FieldErrors {
    /// One error.
    pub(crate) fn of(field: Field, message: impl Into<Message>) -> Self {
        Self(vec![(field, message.into())])
    }

    /// The value, or none after recording the error.
    pub(crate) fn check<T, E: Into<Message>>(&mut self, field: Field, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.0.push((field, error.into()))).ok()
    }

    /// The message for a field, if there is one.
    pub(crate) fn get(&self, field: Field) -> Option<&Message> {
        self.0.iter().find(|(wrong, _)| *wrong == field).map(|(_, message)| message)
    }

    /// All errors, in the order in which they were found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Field, &Message)> {
        self.0.iter().map(|(field, message)| (*field, message))
    }
}

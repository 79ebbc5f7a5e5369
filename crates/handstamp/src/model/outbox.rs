//! The messages of the outbox: each kind and its channel, a new one, and one that is due.

use handstamp_core::{OneTimeId, Timestamp, UserId};
use uuid::Uuid;

/// The kind of a message. The first ones are requests, which must not differ by whether an address has an account. Whether a mail is
/// sent, and which, is decided when they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutboxKind {
    /// A visitor has asked to reset the password of the account with this address.
    ResetRequest,
    /// A visitor has registered this address, where it must be confirmed before the account exists.
    RegistrationRequest,
    /// A visitor has asked for a code to sign in to the account with this address.
    SignInRequest,
    /// A user has asked to make this address that of the account.
    EmailChangeRequest,
    /// An operator has a link to set a new password sent to a user.
    OperatorReset,
    /// The link to verify the address of an account, with a code.
    VerifyEmail,
    /// The link of an invitation.
    Invitation,
    /// Notice: the password was changed.
    PasswordChanged,
    /// Notice to the former address: the address was changed. It has a link to undo it.
    EmailChanged,
    /// Notice: a second factor or a passkey was added, removed or used up.
    FactorChanged,
    /// Notice: the account signed in in a browser in which it had not signed in before.
    NewDevice,
    /// Notice: the account was deleted.
    AccountDeleted,
    /// An event of an account, for the application that gets webhooks.
    Webhook,
}

/// The way by which a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutboxChannel {
    Mail,
    Webhook,
}

impl OutboxChannel {
    pub(crate) const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// The name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

impl OutboxKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 13] = [
        Self::ResetRequest,
        Self::RegistrationRequest,
        Self::SignInRequest,
        Self::EmailChangeRequest,
        Self::OperatorReset,
        Self::VerifyEmail,
        Self::Invitation,
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::FactorChanged,
        Self::NewDevice,
        Self::AccountDeleted,
        Self::Webhook,
    ];

    /// The channel of messages of this kind.
    pub(crate) fn channel(self) -> OutboxChannel {
        if self == Self::Webhook { OutboxChannel::Webhook } else { OutboxChannel::Mail }
    }

    /// The name in the database, which never changes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResetRequest => "reset_request",
            Self::RegistrationRequest => "registration_request",
            Self::SignInRequest => "sign_in_request",
            Self::EmailChangeRequest => "email_change_request",
            Self::OperatorReset => "operator_reset",
            Self::VerifyEmail => "verify_email",
            Self::Invitation => "invitation",
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::FactorChanged => "factor_changed",
            Self::NewDevice => "new_device",
            Self::AccountDeleted => "account_deleted",
            Self::Webhook => "webhook",
        }
    }

    /// The kind with this name; none for one of a newer version.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A message that an act causes.
#[derive(Clone, Debug)]
pub(crate) struct NewOutboxMessage {
    /// A UUID of version 7, from which the Message-ID of a mail is made. A webhook has the id of its event.
    pub(crate) id: Uuid,
    pub(crate) kind: OutboxKind,
    /// None where the user is not known yet, or the account is gone.
    pub(crate) user_id: Option<UserId>,
    /// An e-mail address; empty for a webhook.
    pub(crate) recipient: String,
    /// The values that a mail shows, or the body of a webhook, as JSON.
    pub(crate) content: String,
    /// The one-time token of the link in it.
    pub(crate) token_id: Option<OneTimeId>,
    pub(crate) created_at: Timestamp,
}

/// A message of the outbox that this node has claimed.
#[derive(Clone, Debug)]
pub(crate) struct OutboxMessage {
    pub(crate) id: Uuid,
    /// None for a kind of a newer version, which a node of that version sends.
    pub(crate) kind: Option<OutboxKind>,
    pub(crate) user_id: Option<UserId>,
    pub(crate) recipient: String,
    pub(crate) content: String,
    pub(crate) token_id: Option<OneTimeId>,
    pub(crate) created_at: Timestamp,
    /// How often it was tried, with this time.
    pub(crate) attempts: u32,
}

//! The context of an act: who acts, and from where. It is the first argument of every act.

use handstamp_core::{Network, UserId};
use uuid::Uuid;

/// The actor of an act, and the client that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) actor: Actor,
    pub(crate) client: ClientInfo,
}

/// The actor of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A visitor who is not signed in, or whose session does not matter for the act.
    Visitor,
    /// A signed-in user, in this session.
    User { id: UserId, session_id: Uuid },
    /// An operator, by the command line or by the application that embeds Handstamp.
    Operator,
    /// An operator at the pages of administration: a user of the group `admins`, in this session.
    Administrator { id: UserId, session_id: Uuid },
    /// Handstamp itself, in a background job.
    System,
}

impl Context {
    /// The context of an operator's act.
    pub(crate) fn operator() -> Self {
        Self { actor: Actor::Operator, client: ClientInfo::default() }
    }

    /// The context of a background job.
    pub(crate) fn system() -> Self {
        Self { actor: Actor::System, client: ClientInfo::default() }
    }
}

#[cfg(test)]
impl Context {
    /// The context of a visitor without a device cookie.
    pub(crate) fn visitor() -> Self {
        Self::of(&ClientInfo::default())
    }

    /// The context of a visitor with this client.
    pub(crate) fn of(client: &ClientInfo) -> Self {
        Self { actor: Actor::Visitor, client: client.clone() }
    }
}

impl Actor {
    /// The actor in the log, where an event does not name the user anyway.
    pub(crate) fn name(self) -> Option<&'static str> {
        matches!(self, Self::Operator | Self::Administrator { .. }).then_some("operator")
    }

    /// The user who acts as an operator, if it is one.
    pub(crate) fn administrator(self) -> Option<UserId> {
        match self {
            Self::Administrator { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// The client that sent a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientInfo {
    /// The User-Agent header.
    pub(crate) user_agent: String,
    /// The address; empty where it is not known.
    pub(crate) address: String,
    pub(crate) network: Network,
    /// The device cookie, which names the accounts that have signed in there before; empty if there is none.
    pub(crate) device_cookie: String,
}

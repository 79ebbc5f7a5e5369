//! Passkeys: adding, listing and removing them, and the acts that they allow.

mod add;
mod check;
mod confirm;
mod remove;
mod second_factor;
mod sign_in;
mod webauthn;

pub(crate) use add::AddPasskey;
use webauthn::CeremonyOptions;
pub(crate) use webauthn::{Ceremonies, PasskeyAssertion, PasskeyAttestation};

use super::{ActError, Services};
use crate::model::{Field, Message};

/// The key of a passkey in events.
const PASSKEY: &str = "passkey";

/// The answer of a browser to a ceremony in which a passkey is used.
pub(crate) struct PasskeyAnswer {
    /// The sealed state of the ceremony.
    pub(crate) ceremony: String,
    pub(crate) credential: PasskeyAssertion,
}

impl Services {
    fn ceremonies(&self) -> Result<&Ceremonies, ActError> {
        self.ceremonies.as_ref().ok_or_else(|| ActError::NotFound(Message::PasskeyRefused))
    }
}

/// The error of a passkey that is not accepted, for the page.
fn not_accepted(message: Message) -> ActError {
    ActError::field(Field::Credential, message)
}

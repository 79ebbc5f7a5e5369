//! Adds a passkey to the account of a signed-in user.

use handstamp_core::DisplayName;

use super::webauthn::{Purpose, Refusal};
use super::{CeremonyOptions, PASSKEY, PasskeyAttestation, not_accepted};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, Message, Passkey, PasskeyAdded};
use crate::services::factors::recipient;
use crate::services::{ActError, Services, SignInCookies};
use crate::sessions::Session;
use crate::user_agent::describe;

/// A request to add a passkey.
pub(crate) struct AddPasskey {
    pub(crate) ceremony: String,
    pub(crate) credential: PasskeyAttestation,
    /// The name for lists; empty for that of the browser.
    pub(crate) name: String,
}

impl Services {
    /// Options to make a passkey for the signed-in user.
    pub(crate) async fn begin_passkey_registration(&self, session: &Session) -> Result<CeremonyOptions, ActError> {
        let ceremonies = self.ceremonies()?;
        self.check_may_change_factors(session).await?;
        let (user, now) = (&session.user, self.sessions.now());
        let existing = self.store.passkeys_of(user.id).await?;
        let purpose = Purpose::Register(session.secret_hash);
        let user = (user.id, user.email(), user.name());
        Ok(ceremonies.begin_registration(&self.environment, now, purpose, user, &existing))
    }

    /// Adds a passkey. This session continues at its level, since a new passkey has proved nothing yet. The other sessions, one-time
    /// tokens and device cookies of the user end.
    pub(crate) async fn add_passkey(
        &self,
        context: &Context,
        session: &Session,
        request: &AddPasskey,
    ) -> Result<SignInCookies, ActError> {
        self.check_may_change_factors(session).await?;
        let name = passkey_name(&request.name, &context.client.user_agent)?;
        let (user, now) = (&session.user, self.sessions.now());
        let purpose = Purpose::Register(session.secret_hash);
        let finished = self.ceremonies()?.finish_registration(&request.ceremony, purpose, &request.credential, now);
        let (ceremony, new) = match finished {
            Ok(finished) => finished,
            Err(refusal) => return Err(self.refuse_registration(session, refusal)),
        };
        let passkey = Passkey {
            id: uuid::Builder::from_random_bytes(self.environment.random()).into_uuid(),
            user_id: user.id,
            name,
            credential: new.credential,
            backup_eligible: new.backup_eligible,
            backed_up: new.backed_up,
            user_verified: new.user_verified,
            created_at: now,
            used_at: None,
            credential_id: new.credential_id,
            counter: new.counter,
        };
        let event = Event::FactorAdded { user: user.id, factor: PASSKEY };
        let (continued, token) = self.sessions.continue_as(session, session.authentication);
        let notice = self.factor_notice(context, recipient(session), "passkey_added", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let added = self.store.add_passkey(&passkey, ceremony, &continued, entry).await?;
        match self.sessions.wait_until_applied(added).await? {
            PasskeyAdded::Added => {}
            PasskeyAdded::Replayed => return Err(self.refuse_registration(session, Refusal::Replayed)),
            PasskeyAdded::Taken => return Err(not_accepted(Message::PasskeyTaken)),
            PasskeyAdded::TooMany => return Err(not_accepted(Message::TooManyPasskeys)),
            PasskeyAdded::SignedOut => return Err(ActError::SignedOut),
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(self.complete_sign_in(continued.owned(), Some(now), token, &context.client))
    }

    fn refuse_registration(&self, session: &Session, refusal: Refusal) -> ActError {
        Event::PasskeyRefused { user: Some(session.user.id), reason: refusal.name() }.record();
        not_accepted(if refusal == Refusal::Expired { Message::PasskeyExpired } else { Message::PasskeyRefused })
    }
}

/// The name of a passkey: what the user has typed, or else the browser in words.
fn passkey_name(typed: &str, user_agent: &str) -> Result<String, ActError> {
    if typed.trim().is_empty() {
        return Ok(describe(user_agent));
    }
    let name = DisplayName::parse(typed).map_err(|error| ActError::field(Field::Name, error))?;
    Ok(name.as_str().to_owned())
}

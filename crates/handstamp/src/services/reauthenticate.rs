//! Has a signed-in user authenticate again before something sensitive.

use handstamp_core::{AttemptKey, Password};

use super::hashing::{Share, Verification};
use super::throttle::PasswordAttempt;
use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, Message, OwnedSession};
use crate::sessions::{IssuedToken, Session};

impl Services {
    /// Whether the user of a session has authenticated recently enough for something sensitive.
    pub(crate) fn is_fresh(&self, session: &Session) -> bool {
        self.sessions.now().since(session.authentication.at()) < self.config.session.confirm_after
    }

    /// Checks the password of the signed-in user once more, and gives the session a new token.
    pub(crate) async fn reauthenticate(
        &self,
        context: &Context,
        session: &Session,
        password: &str,
    ) -> Result<IssuedToken, ActError> {
        let user = session.user.id;
        let wrong = || ActError::field(Field::Password, Message::WrongPassword);
        let password = Password::parse(password).map_err(|_| wrong())?;
        let stored = self.store.credentials_by_id(user).await?.and_then(|account| account.password_hash);
        let share = Share { network: context.client.network, account: AttemptKey::user(user) };
        let permit = self.hashing.reserve(share).await?;
        let attempt = PasswordAttempt::Reauthenticate { session, client: &context.client };
        if let Verification::Invalid = self.check_password(permit, &attempt, stored, password).await? {
            Event::AuthnReauthenticationFail { user }.record();
            return Err(wrong());
        }
        let (rotated, token) = self.sessions.rotate_secret(session);
        let current = OwnedSession { secret_hash: session.secret_hash, user_id: user };
        let event = Event::AuthnReauthentication { user };
        let entry = self.new_event(context, &event);
        let done = self.store.reauthenticate(current, rotated, self.sessions.now(), entry).await?;
        if !self.sessions.wait_until_applied(done).await? {
            return Err(ActError::SignedOut);
        }
        self.record(context, &event);
        Ok(token)
    }
}

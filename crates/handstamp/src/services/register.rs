//! Creates an account at a visitor's request, and handles a form that was submitted twice.

use handstamp_core::{AttemptKey, DisplayName, EmailAddress, Password, PasswordRefusal, UserId, Wait};

use super::hashing::Share;
use super::{Accounts, Admitted, NotSignedIn, SENT_TWICE_WITHIN, SignIn};
use crate::config::Registration;
use crate::error::Fault;
use crate::log;
use crate::sessions::Device;
use crate::store::{AddressTaken, NewUser, OwnedSession};

/// A request to create an account.
pub(crate) struct Register {
    pub(crate) name: DisplayName,
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
}

/// Why no account was created.
#[derive(Debug)]
pub(crate) enum NotRegistered {
    Closed,
    /// Throttled: there were too many attempts from this network.
    TooMany(Wait),
    AddressTaken,
    Password(PasswordRefusal),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for NotRegistered {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl Accounts {
    /// Creates an account and begins a remembered session of it; the earlier sessions of this browser are revoked.
    pub(crate) async fn register(
        &self,
        wish: Register,
        before: &[OwnedSession],
        device: &Device,
    ) -> Result<Admitted, NotRegistered> {
        if self.config.registration == Registration::Closed {
            return Err(NotRegistered::Closed);
        }
        let share = Share { network: device.network, account: AttemptKey::account(&wish.email) };
        let place = self.hashing.reserve(share).await?;
        // Counted before the response can reveal whether the address has an account.
        self.count_registration(device).await?.map_err(NotRegistered::TooMany)?;
        if self.store.has_account(&wish.email).await? {
            return Err(Self::taken());
        }
        let hashed = self.hash_new_password(place, wish.password, wish.name.as_str(), wish.email.as_str()).await?;
        let password_hash = hashed.map_err(|refusal| {
            log::info!(event = "register_refused", reason = "password", "refused a registration");
            NotRegistered::Password(refusal)
        })?;

        let id = UserId::new(self.world.now(), self.world.random());
        let (session, signed_in) = self.sessions.begin(id, self.lasts(true), device);
        let created_at = session.created_at;
        let (name, email) = (wish.name, wish.email);
        let user = NewUser { id, name, email, password_hash, created_at, email_verified_at: None };
        let made = self.store.create_user(&user, Some(&session), before).await?;
        match self.sessions.in_force(made).await? {
            Ok(()) => {
                log::info!(event = "user_created", user = %id, "created an account");
                Ok(self.admit(session.owned(), None, signed_in, device))
            }
            Err(AddressTaken) => Err(Self::taken()),
        }
    }

    /// The same, but if the address has an account already, its password signs in. A form that is submitted twice, as by a double
    /// click, finds the account that it has just created. The attempt counts as any sign-in does.
    pub(crate) async fn register_or_sign_in(
        &self,
        wish: Register,
        before: &[OwnedSession],
        device: &Device,
    ) -> Result<Admitted, NotRegistered> {
        let instead = SignIn { email: wish.email.clone(), password: wish.password.clone(), remember: true };
        match self.register(wish, before, device).await {
            Err(NotRegistered::AddressTaken) => {}
            outcome => return outcome,
        }
        match self.sign_in(instead, before, device).await {
            Ok(admitted) => {
                if self.sessions.now().since(admitted.session.user_id.made_at()) < SENT_TWICE_WITHIN {
                    self.end_all_but(&admitted).await?;
                }
                Ok(admitted)
            }
            Err(NotSignedIn::Fault(fault)) => Err(fault.into()),
            Err(NotSignedIn::Wrong | NotSignedIn::TooMany(_)) => Err(NotRegistered::AddressTaken),
        }
    }

    fn taken() -> NotRegistered {
        log::info!(event = "register_refused", reason = "address_taken", "refused a registration");
        NotRegistered::AddressTaken
    }
}

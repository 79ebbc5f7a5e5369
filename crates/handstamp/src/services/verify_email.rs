//! Verifies the address of an account, by a mailed link or by the code beside it.

use handstamp_core::{EmailAddress, OneTimePurpose};

use super::mail::MessageContent;
use super::one_time::refused_link;
use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::OneTimeToken;
use crate::sessions::Session;
use crate::store::{TokenUse, Verified};

/// The outcome of an act that may end the password of the account.
pub(crate) enum AfterLink {
    /// The account is as it was.
    Kept,
    /// Its sessions and its password have ended. This is the text of a link to set a new one.
    ChoosePassword(String),
}

impl Services {
    /// Verifies the address of an account by its link. In another browser than the one that is signed in to the account, the first
    /// verification ends what was there before: another person may have registered with this address.
    pub(crate) async fn verify_email(
        &self,
        context: &Context,
        link: &str,
        session: Option<&Session>,
    ) -> Result<AfterLink, ActError> {
        let token = self.find_link(link, OneTimePurpose::VerifyEmail).await?;
        let used = self.open_link(link, OneTimePurpose::VerifyEmail)?;
        self.verify_email_with(context, &token, used, session).await
    }

    /// Verifies the address of the signed-in user by the code of the mail.
    pub(crate) async fn verify_email_by_code(
        &self,
        context: &Context,
        session: &Session,
        code: &str,
    ) -> Result<(), ActError> {
        let now = self.sessions.now();
        let token = self.store.token_of(session.user.id, OneTimePurpose::VerifyEmail, now).await?;
        let used = self.check_code(token.as_ref(), code).await?;
        let token = token.ok_or_else(|| refused_link("used"))?;
        self.verify_email_with(context, &token, used, Some(session)).await.map(drop)
    }

    async fn verify_email_with(
        &self,
        context: &Context,
        token: &OneTimeToken,
        used: TokenUse,
        session: Option<&Session>,
    ) -> Result<AfterLink, ActError> {
        let user_id = token.user_id.ok_or_else(|| refused_link("used"))?;
        let reset = self.follow_up_reset(user_id, &token.email);
        let keep = session.map(|session| session.user.id);
        let event = Event::UserVerified { user: user_id };
        let entry = self.new_event(context, &event);
        let verified = self.store.verify_email_by_token(used, keep, &reset, entry).await?;
        let verified = self.sessions.wait_until_applied(verified).await?.ok_or_else(|| refused_link("used"))?;
        if verified != Verified::Before {
            self.record(context, &event);
        }
        Ok(match verified {
            Verified::Before | Verified::Kept => AfterLink::Kept,
            Verified::Emptied => AfterLink::ChoosePassword(self.text_of(&reset)),
        })
    }

    /// Mails another link and code to verify the address of the signed-in user.
    pub(crate) async fn send_verification(&self, context: &Context, session: &Session) -> Result<(), ActError> {
        self.require_mail()?;
        let user = &session.user;
        let Ok(email) = EmailAddress::parse(user.email()) else { return Ok(()) };
        if !user.email_verified && self.count_mail_request(&context.client, &email).await? {
            let (token, message) = self.verification(user.id, &email, &MessageContent::of(context, user.name()));
            self.store.enqueue_with_token(&token, &message).await?;
            self.outbox_changed();
        }
        Ok(())
    }
}

//! The checks that all acts of mailed links and codes share.

use handstamp_core::{EmailAddress, OneTimeClaims, OneTimeId, OneTimePurpose, OneTimeTokenError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ActError, Services};
use crate::context::ClientInfo;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{BrowserHash, Field, Message, NewOneTimeToken, NewOutboxMessage, OneTimeToken};
use crate::store::TokenUse;

/// The wrong codes after which a token is deleted.
const MAX_CODES: u32 = 5;

/// The secret in the pending cookie of a browser, by which a code is bound to the browser that asked for it.
#[derive(Clone)]
pub(crate) struct BrowserSecret(String);

impl BrowserSecret {
    fn new(random: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(random).simple().to_string())
    }

    /// The secret in the value of a cookie.
    pub(crate) fn from_cookie(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The value of the cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> BrowserHash {
        BrowserHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl Services {
    pub(super) fn new_browser_secret(&self) -> BrowserSecret {
        BrowserSecret::new(self.environment.random())
    }

    /// Checks the token of a link, without a statement: whether it is one of ours, of this purpose, and not expired.
    pub(super) fn open_link(&self, text: &str, purpose: OneTimePurpose) -> Result<TokenUse, ActError> {
        let now = self.sessions.now();
        match self.one_time.open(text, now) {
            Ok(claims) if claims.purpose == purpose => Ok(TokenUse { id: claims.id, now }),
            Ok(_) => Err(refused_link("purpose")),
            Err(OneTimeTokenError::Expired) => Err(refused_link("expired")),
            Err(OneTimeTokenError::Invalid) => Err(refused_link("invalid")),
        }
    }

    /// The purpose of the token of a link, if it is one of ours and not expired.
    pub(crate) fn purpose_of_link(&self, text: &str) -> Option<OneTimePurpose> {
        self.one_time.open(text, self.sessions.now()).ok().map(|claims| claims.purpose)
    }

    /// The token of a link that can still be used. It stays.
    pub(crate) async fn find_link(&self, text: &str, purpose: OneTimePurpose) -> Result<OneTimeToken, ActError> {
        let TokenUse { id, now } = self.open_link(text, purpose)?;
        let found = self.store.token(id, purpose, now).await?;
        found.ok_or_else(|| refused_link("used"))
    }

    /// The text of a stored token, for a cookie or a link.
    pub(super) fn text_of(&self, token: &NewOneTimeToken) -> String {
        let NewOneTimeToken { purpose, id, expires_at, .. } = *token;
        self.one_time.issue(&OneTimeClaims { purpose, id, expires_at })
    }

    /// The link of a stored token.
    pub(super) fn link(&self, token: &NewOneTimeToken) -> String {
        self.url(&format!("/account/link/{}", self.text_of(token)))
    }

    /// Checks a code against the token that it must belong to. It is counted first, and too many wrong ones delete the token.
    pub(super) async fn check_code(&self, token: Option<&OneTimeToken>, typed: &str) -> Result<TokenUse, ActError> {
        // Without a token the work is the same, so that the time does not show whether a mail was sent.
        let id = token.map_or(OneTimeId::from_bytes([0; 16]), |token| token.id);
        let may_try = self.store.count_code(id, MAX_CODES).await?;
        let is_right = self.one_time.is_code_of(id, typed);
        if token.is_some() && may_try && is_right {
            return Ok(TokenUse { id, now: self.sessions.now() });
        }
        Event::OneTimeCodeRefused { user: token.and_then(|token| token.user_id) }.record();
        Err(ActError::field(Field::Code, Message::WrongCode))
    }

    /// Refuses an act that needs a mail, where this site sends none.
    pub(super) fn require_mail(&self) -> Result<(), ActError> {
        if self.mail_is_on() { Ok(()) } else { Err(ActError::Forbidden(Message::NoMail)) }
    }

    /// Counts a visitor's request for a mail to this address. Returns false if the address has had enough mails: then nothing is sent,
    /// and the answer is the same.
    pub(super) async fn count_mail_request(&self, client: &ClientInfo, email: &EmailAddress) -> Result<bool, ActError> {
        self.count_mails_from(client).await?;
        Ok(self.count_mail_to(email).await?)
    }

    /// Has a message of a visitor's request sent, if the address may have one.
    pub(super) async fn enqueue(&self, message: &NewOutboxMessage) -> Result<(), InternalError> {
        self.store.enqueue(message).await?;
        self.outbox_changed();
        Ok(())
    }
}

/// The error of a link that cannot be used, whatever the reason: the log has it.
pub(super) fn refused_link(reason: &'static str) -> ActError {
    Event::OneTimeTokenRefused { reason }.record();
    ActError::LinkInvalid
}

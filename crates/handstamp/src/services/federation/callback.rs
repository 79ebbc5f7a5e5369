//! The answer of a provider: opens its attempt, asks the provider who it is, and does what the attempt is for.

use handstamp_core::federation::known_error_code;

use super::attempt::Attempt;
use super::provider::{Answer, Person, Provider};
use super::{Failure, Purpose, Refusal, count};
use crate::context::Context;
use crate::model::{Identity, IdentityUse, OwnedSession, SessionProvider};
use crate::services::{PendingSignIn, Services, SignInCookies};
use crate::sessions::{IssuedToken, Session};

/// An answer of a provider with the browser that brings it.
pub(crate) struct Callback<'a> {
    pub(crate) answer: Answer<'a>,
    /// The cookie of the attempt.
    pub(crate) secret: &'a str,
    /// The session of the browser, if it is signed in.
    pub(crate) session: Option<&'a Session>,
    pub(crate) previous_sessions: &'a [OwnedSession],
    /// The cookie of a sign-in that waits for its second factor.
    pub(crate) presented_pending: &'a str,
}

/// The outcome of an answer.
pub(crate) enum Completed {
    SignedIn(SignInCookies),
    NeedsSecondFactor(PendingSignIn),
    Connected(SignInCookies),
    Confirmed(IssuedToken),
}

/// An answer whose attempt and person are known.
pub(super) struct Answered<'a> {
    pub(super) provider: &'a Provider,
    pub(super) attempt: &'a Attempt,
    pub(super) person: Person,
    pub(super) callback: &'a Callback<'a>,
}

impl Answered<'_> {
    /// The use of the attempt, which allows one act.
    pub(super) fn used(&self, services: &Services) -> IdentityUse {
        let email = self.person.email.as_ref().map_or_else(String::new, |email| email.as_str().to_owned());
        IdentityUse { attempt: self.attempt.used, email, now: services.sessions.now() }
    }

    /// The session at the provider, for one of ours that rests on it.
    pub(super) fn session_of(&self, identity: &Identity) -> SessionProvider {
        SessionProvider {
            identity_id: identity.id,
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            session_id: self.person.session_id.clone(),
            issued_at: self.person.issued_at,
        }
    }
}

impl Services {
    /// Completes an attempt. Returns the outcome, and the return URL of the attempt, which is to be parsed again. The return URL is known for
    /// a refusal too, if the attempt is one of this browser.
    pub(crate) async fn complete_attempt(
        &self,
        context: &Context,
        provider: &Provider,
        callback: &Callback<'_>,
    ) -> (Result<Completed, Failure>, Option<String>) {
        let (sealer, now) = match self.http_of_providers() {
            Ok((_, sealer)) => (sealer, self.sessions.now()),
            Err(error) => return (Err(error.into()), None),
        };
        let opened = Attempt::open(sealer, &provider.name, callback.secret, callback.answer.state, now);
        let attempt = match opened {
            Ok(attempt) => attempt,
            Err(refusal) => return (Err(self.refuse_provider(provider, None, refusal)), None),
        };
        let completed = self.complete_opened(context, provider, &attempt, callback).await;
        if completed.is_ok() {
            count(provider, "success");
        }
        (completed, attempt.next)
    }

    async fn complete_opened(
        &self,
        context: &Context,
        provider: &Provider,
        attempt: &Attempt,
        callback: &Callback<'_>,
    ) -> Result<Completed, Failure> {
        let refused = |refusal| self.refuse_provider(provider, None, refusal);
        let (http, _) = self.http_of_providers()?;
        // Before anything is asked: an answer of one provider must not reach another (RFC 9207).
        provider.check_issuer(http, &callback.answer).await.map_err(refused)?;
        check_error(&callback.answer).map_err(refused)?;
        // A code must not reach the provider twice: some end the session there, or do not tell when it ends.
        let is_used = async || self.store.is_ceremony_used(attempt.used.id).await;
        if is_used().await? {
            return Err(refused(Refusal::Replayed));
        }
        self.check_session(attempt.purpose, callback.session).map_err(refused)?;
        let counted = self.count_provider_sign_in(&context.client).await?;
        let person = match provider.identify(http, &callback.answer, attempt, self.sessions.now()).await {
            Ok(person) => person,
            // Another request with the same answer, as of a second click, was quicker.
            Err(Refusal::Provider(_)) if is_used().await? => return Err(refused(Refusal::Replayed)),
            Err(refusal) => return Err(refused(refusal)),
        };
        let answered = Answered { provider, attempt, person, callback };
        let completed = match (attempt.purpose, callback.session) {
            (Purpose::SignIn, _) => self.sign_in_through(context, &answered).await?,
            (Purpose::Connect(_), Some(session)) => {
                Completed::Connected(self.connect_identity(context, &answered, session).await?)
            }
            (Purpose::Confirm(_), Some(session)) => {
                Completed::Confirmed(self.confirm_through(context, &answered, session).await?)
            }
            (Purpose::Connect(_) | Purpose::Confirm(_), None) => return Err(refused(Refusal::Session)),
        };
        self.refund(&counted).await;
        Ok(completed)
    }

    /// An attempt that is not a sign-in is for the session in which it began. To connect an identity that has to be a fresh one.
    fn check_session(&self, purpose: Purpose, session: Option<&Session>) -> Result<(), Refusal> {
        let (Purpose::Connect(of) | Purpose::Confirm(of)) = purpose else { return Ok(()) };
        let session = session.filter(|session| session.session_id == of).ok_or(Refusal::Session)?;
        match purpose {
            Purpose::Connect(_) if !self.is_fresh(session) => Err(Refusal::Session),
            _ => Ok(()),
        }
    }
}

/// The error in an answer, if it is one. Its words come from outside.
fn check_error(answer: &Answer<'_>) -> Result<(), Refusal> {
    match answer.error {
        "" if answer.code.is_empty() => Err(Refusal::Provider("the answer has neither a code nor an error".to_owned())),
        "" => Ok(()),
        // The second is Apple's.
        "access_denied" | "user_cancelled_authorize" => Err(Refusal::Cancelled),
        "temporarily_unavailable" | "server_error" => Err(Refusal::Unavailable(answer.error.to_owned())),
        error => Err(Refusal::Provider(known_error_code(error).to_owned())),
    }
}

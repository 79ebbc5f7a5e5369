//! Signs users in and out from the handlers of an application.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};
use handstamp_core::UserId;

use super::extract::{ClientDetails, CurrentSession};
use crate::Handstamp;
use crate::context::{Actor, ClientInfo, Context};
use crate::error::Error;
use crate::model::OwnedSession;
use crate::web::{SharedSite, set_no_store};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

impl Handstamp {
    /// Signs in a user whom the application has authenticated, as by a link in an e-mail: begins a session, and revokes the
    /// earlier sessions of the browser. Await the [`SignIn`], and return the [`SignedIn`] with the response.
    ///
    /// ```no_run
    /// use axum::{extract::State, response::Redirect};
    /// use handstamp::{ClientDetails, Error, Handstamp, NewUser, SignedIn};
    ///
    /// async fn accept(
    ///     State(handstamp): State<Handstamp>,
    ///     client: ClientDetails,
    ///     // The invitation …
    /// ) -> Result<(SignedIn, Redirect), Error> {
    ///     let new = NewUser { name: "Ada", email: "ada@example.com", password: "plum-octave-harbour" };
    ///     let id = handstamp.users().create(new).await?;
    ///     Ok((handstamp.sign_in(id, &client).remember(false).await?, Redirect::to("/")))
    /// }
    /// ```
    ///
    /// The session has no authentication method: assertions for apps name none.
    ///
    /// # Errors
    /// Those of the future: [not found](Error::is_not_found); [refused](Error::is_refused) for a user who is disabled or has a second
    /// factor; or the database cannot be written. A user with a second factor has to use the sign-in page.
    pub fn sign_in(&self, user: UserId, client: &ClientDetails) -> SignIn {
        SignIn { site: Arc::clone(self.shared_site()), user, client: client.clone(), remember: true }
    }

    /// Signs a session out: when it returns, the session is revoked on every node. Return the [`SignedOut`] with the response,
    /// which removes the cookie. [`Sessions::revoke`](crate::Sessions::revoke) revokes any session by its id.
    ///
    /// ```no_run
    /// use axum::{extract::State, response::Redirect};
    /// use handstamp::{CurrentUser, Error, Handstamp, SignedOut};
    ///
    /// async fn leave(State(handstamp): State<Handstamp>, user: CurrentUser) -> Result<(SignedOut, Redirect), Error> {
    ///     Ok((handstamp.sign_out(&user).await?, Redirect::to("/")))
    /// }
    /// ```
    ///
    /// # Errors
    /// When the database cannot be written, or it is not known whether every node has applied the revocation.
    pub async fn sign_out(&self, session: impl Into<CurrentSession>) -> Result<SignedOut, Error> {
        let (site, session) = (self.shared_site(), session.into());
        let actor = Actor::User { id: session.user_id, session_id: session.id };
        let secret_hash = session.user.live_session().secret_hash;
        let context = Context { actor, client: ClientInfo::default() };
        let former = session.user.former_sessions();
        let (legacy, forgotten) = former.map_or((&[][..], &[][..]), |former| (&former.presented, &former.removal));
        let owned = OwnedSession { secret_hash, user_id: session.user_id };
        site.services.sign_out(&context, &[owned], legacy).await?;
        let removed = site.cookies.remove_session().chain([site.cookies.signed_out()]);
        Ok(SignedOut {
            cookies: removed.chain(forgotten.iter().cloned()).collect(),
            clears_site_data: site.services.config.session.clear_site_data,
        })
    }
}

/// A sign-in that begins when it is awaited: [`Handstamp::sign_in`].
#[must_use = "a sign-in begins when it is awaited"]
pub struct SignIn {
    site: SharedSite,
    user: UserId,
    client: ClientDetails,
    remember: bool,
}

impl SignIn {
    /// Whether the session lasts for [`SessionConfig::lifetime`](crate::SessionConfig::lifetime), as by default, rather than
    /// until the browser is closed and for a day at most.
    pub fn remember(self, remember: bool) -> Self {
        Self { remember, ..self }
    }
}

impl IntoFuture for SignIn {
    type Output = Result<SignedIn, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { site, user, client, remember } = self;
            let context = Context { actor: Actor::Visitor, client: client.client };
            let previous_sessions = &client.presented.sessions;
            let begun = site.services.sign_in_without_password(&context, user, remember, previous_sessions).await?;
            Ok(SignedIn { cookies: site.cookies.sign_in_cookies(&begun).collect() })
        })
    }
}

/// A session that has begun: the part of a response that sets its cookies. Return it beside the rest of the response.
#[derive(Clone, Debug)]
#[must_use = "without its cookies the browser is not signed in"]
pub struct SignedIn {
    cookies: Vec<HeaderValue>,
}

/// A session that was revoked: the part of a response that removes its cookie. Return it beside the rest of the response.
#[derive(Clone, Debug)]
#[must_use = "without it the browser keeps a dead cookie"]
pub struct SignedOut {
    cookies: Vec<HeaderValue>,
    clears_site_data: bool,
}

impl IntoResponseParts for SignedIn {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        add_cookies(self.cookies, &mut parts);
        Ok(parts)
    }
}

impl IntoResponseParts for SignedOut {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        add_cookies(self.cookies, &mut parts);
        if self.clears_site_data {
            // Not "cookies", which would delete the cookies of sibling domains as well.
            parts.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
        }
        Ok(parts)
    }
}

fn add_cookies(cookies: Vec<HeaderValue>, parts: &mut ResponseParts) {
    cookies.into_iter().for_each(|cookie| _ = parts.headers_mut().append(SET_COOKIE, cookie));
    set_no_store(parts.headers_mut());
}

//! The extractors with which the handlers of an application get the signed-in user, the session and the client.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handstamp_core::{AssuranceLevel, Timestamp, UserId};
use uuid::Uuid;

use super::rejection::{CurrentUserRejection, Forbidden, FromLayerRejection, ReauthenticationRequired, Refusal};
use crate::Handstamp;
use crate::context::ClientInfo;
use crate::events::Event;
use crate::sessions::{PresentedSessions, Session};
use crate::web::{self, FormerSessions, RequestedPage, SharedSite, Visitor, WebError};

/// The signed-in user: an extractor for the handlers of an application. A navigation of an anonymous visitor is redirected to the
/// sign-in page, which leads back afterwards. Any other anonymous request gets 401, as `application/problem+json` (RFC 9457). If
/// the session is cached in memory, no database statement is needed; and however many extractors a handler has, the session is
/// looked up once.
///
/// `Option<CurrentUser>` is for pages that anonymous visitors see as well. If the database is needed and unavailable, both are
/// answered 503.
///
/// The state of the router is a [`Handstamp`], or gives one by axum's `FromRef`; an `Arc` of such a state does too. For any other
/// state there is [`FromLayer`].
///
/// The response depends on the cookie, so a handler should set `Cache-Control: no-store`, as [`Handstamp::render`] and
/// [`Handstamp::layer`] do.
///
/// ```no_run
/// use axum::{Router, response, routing::get};
/// use handstamp::{CurrentUser, Handstamp};
///
/// async fn notes(user: CurrentUser) -> String {
///     format!("The notes of {}", user.name())
/// }
///
/// async fn greeting(user: Option<CurrentUser>) -> String {
///     user.map_or_else(|| "Who are you?".to_owned(), |user| format!("Hello, {}", user.name()))
/// }
///
/// async fn reports(user: CurrentUser) -> response::Result<String> {
///     user.require("staff")?;
///     Ok("This is for the staff.".to_owned())
/// }
///
/// # fn app(handstamp: Handstamp) -> Router {
/// Router::new()
///     .route("/", get(greeting))
///     .route("/notes", get(notes))
///     .route("/reports", get(reports))
///     .with_state(handstamp.clone())
///     .merge(handstamp.router())
/// # }
/// ```
#[derive(Clone)]
pub struct CurrentUser {
    session: Arc<Session>,
    site: SharedSite,
    /// For the response to a user who lacks what the handler requires.
    requested: RequestedPage,
    /// The sessions of the former framework, which a sign-out ends as well.
    former: Option<Arc<FormerSessions>>,
}

/// The visitor of a request, among its extensions once one extractor has looked up the session.
#[derive(Clone)]
struct LookedUp {
    site: SharedSite,
    visitor: Visitor,
}

/// The same for the layer around a handler, which learns whether the session was looked up.
#[derive(Clone)]
pub(super) struct SeenByLayer {
    site: SharedSite,
    visitor: Arc<OnceLock<Visitor>>,
}

impl SeenByLayer {
    pub(super) fn new(site: &SharedSite) -> Self {
        Self { site: Arc::clone(site), visitor: Arc::default() }
    }

    /// The visitor, if the session was looked up.
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        self.visitor.get()
    }
}

impl CurrentUser {
    /// The permanent id of the user.
    pub fn id(&self) -> UserId {
        self.session.user.id
    }

    /// The display name.
    pub fn name(&self) -> &str {
        self.session.user.name()
    }

    /// The e-mail address: as the user typed it at the registration, unless it [is verified](Self::email_verified). Identify
    /// users by [`id`](Self::id), and grant rights by groups.
    pub fn email(&self) -> &str {
        self.session.user.email()
    }

    /// Whether the address is known to belong to the user: an operator created the account, or has verified the address
    /// ([`Users::verify`](crate::Users::verify)).
    pub fn email_verified(&self) -> bool {
        self.session.user.email_verified
    }

    /// When the account was created.
    pub fn created_at(&self) -> Timestamp {
        self.session.user.created_at
    }

    /// The id of the user in the system that the user was imported from, if there is one.
    pub fn legacy_id(&self) -> Option<&str> {
        self.session.user.legacy_id()
    }

    /// The groups of the user, sorted by name.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.session.user.group_names()
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.session.user.is_in(group)
    }

    /// Requires that the user is in a group. [`Handstamp::require_group`] does it for a whole router.
    ///
    /// # Errors
    /// For every other user [`Forbidden`], which is a response: 403, as a page for a browser's navigation and as a problem
    /// document for any other request. A handler returns it by `?` as [`axum::response::Result`].
    pub fn require(&self, group: &str) -> Result<(), Forbidden> {
        if self.is_in(group) {
            return Ok(());
        }
        Event::AuthzFail { user: self.id(), group: Some(group), origin: None }.record();
        Err(Forbidden::new(group, self.refusal(WebError::not_in_the_group().into_response())))
    }

    /// The assurance level that the session has reached: 1 for one factor, 2 for two factors, 3 for phishing-resistant ones (NIST
    /// SP 800-63B-4).
    pub fn assurance(&self) -> AssuranceLevel {
        self.session.authentication.assurance()
    }

    /// When the user last proved who they are in this session: at the sign-in, or by authenticating again.
    pub fn authenticated_at(&self) -> Timestamp {
        self.session.authentication.at()
    }

    /// How the user authenticated, by the names of RFC 8176, such as `pwd` for a password. A session that
    /// [`Handstamp::sign_in`] began has none.
    pub fn methods(&self) -> impl Iterator<Item = &'static str> {
        self.session.authentication.methods().names()
    }

    /// Requires that the session has reached this assurance level or a higher one. [`Handstamp::require_assurance`] does it for a
    /// whole router. Levels 0 and 1 let every session pass; no session reaches a level above 3.
    ///
    /// ```no_run
    /// use axum::response;
    /// use handstamp::CurrentUser;
    ///
    /// async fn payouts(user: CurrentUser) -> response::Result<String> {
    ///     user.require_assurance(2)?;
    ///     Ok("This is for users who have proved two factors.".to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    /// For a weaker session [`ReauthenticationRequired`], which is a response. A browser's navigation is redirected to the page on
    /// which the user proves another factor. That page leads back to this one, or for a form to the page that contained it. Any
    /// other request gets 403, and so does each request for a level above 3. A handler returns it by `?` as
    /// [`axum::response::Result`].
    pub fn require_assurance(&self, level: u8) -> Result<(), ReauthenticationRequired> {
        if self.assurance().get() >= level {
            return Ok(());
        }
        let response = match AssuranceLevel::parse(&level.to_string()) {
            Ok(level) => web::confirmation_of(&self.site, &self.requested, Some(level)),
            // A redirect would lead back here for ever.
            Err(_) => WebError::no_such_assurance().into_response(),
        };
        Err(ReauthenticationRequired::new(self.refusal(response)))
    }

    /// Requires that the user has authenticated within this many minutes, in this session. [`Handstamp::require_recent`] does it
    /// for a whole router.
    ///
    /// ```no_run
    /// use axum::response;
    /// use handstamp::CurrentUser;
    ///
    /// async fn close_account(user: CurrentUser) -> response::Result<String> {
    ///     user.require_recent(10)?;
    ///     Ok(format!("Closed, {}", user.name()))
    /// }
    /// ```
    ///
    /// # Errors
    /// Otherwise [`ReauthenticationRequired`], as [`require_assurance`](Self::require_assurance) has it.
    pub fn require_recent(&self, minutes: u32) -> Result<(), ReauthenticationRequired> {
        let most = Duration::from_secs(60 * u64::from(minutes));
        if self.site.services.sessions.now().since(self.authenticated_at()) <= most {
            return Ok(());
        }
        let response = web::confirmation_of(&self.site, &self.requested, None);
        Err(ReauthenticationRequired::new(self.refusal(response)))
    }

    /// A response that refuses the request, with the headers of ours, and as a page if the client wants one.
    fn refusal(&self, response: Response) -> Response {
        let visitor = Some(Visitor::Authenticated(Arc::clone(&self.session)));
        web::render_embedded(&self.site, response, self.requested.wants_page(), visitor)
    }

    /// The session in which the user is signed in.
    pub fn session(&self) -> CurrentSession {
        CurrentSession {
            user_id: self.id(),
            id: self.session.session_id,
            expires_at: self.session.claims.expires_at,
            user: self.clone(),
        }
    }

    pub(super) fn live_session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(super) fn former_sessions(&self) -> Option<&FormerSessions> {
        self.former.as_deref()
    }

    pub(super) fn site(&self) -> &SharedSite {
        &self.site
    }
}

impl fmt::Debug for CurrentUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentUser")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("session", &self.session.session_id)
            .finish_non_exhaustive()
    }
}

/// The session of a request and its user. As an extractor it rejects anonymous visitors as [`CurrentUser`] does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CurrentSession {
    /// The id of the signed-in user.
    pub user_id: UserId,
    /// The session id, as in lists of sessions. It grants no access, and stays the same for as long as the session lasts.
    pub id: Uuid,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
    pub(super) user: CurrentUser,
}

impl From<&CurrentUser> for CurrentSession {
    fn from(user: &CurrentUser) -> Self {
        user.session()
    }
}

impl From<&Self> for CurrentSession {
    fn from(session: &Self) -> Self {
        session.clone()
    }
}

/// The client that sent a request: what a sign-in notes of it. An extractor for [`Handstamp::sign_in`]. The default is a client
/// of which nothing is known.
#[derive(Clone, Debug, Default)]
pub struct ClientDetails {
    pub(super) client: ClientInfo,
    /// The sessions that the browser had before, which a sign-in revokes.
    pub(super) presented: Arc<PresentedSessions>,
}

impl ClientDetails {
    /// The `User-Agent` header, at most 256 characters of it; empty if there is none.
    pub fn user_agent(&self) -> &str {
        &self.client.user_agent
    }

    /// The address: that of the peer, or the one that [trusted proxies](crate::Config::trusted_proxies) name. None if the
    /// application is served without `into_make_service_with_connect_info::<SocketAddr>()`.
    pub fn address(&self) -> Option<IpAddr> {
        self.client.address.parse().ok()
    }
}

/// Another extractor of this crate, for a router whose state gives no [`Handstamp`]: it takes the one of [`Handstamp::layer`].
/// A request that did not pass that layer is answered 500.
///
/// The state decides at compile time whether [`CurrentUser`] can be extracted; a layer only at run time. So prefer a state that
/// gives a [`Handstamp`] by `FromRef`: a struct, or an `Arc` of it.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use handstamp::{CurrentUser, FromLayer, Handstamp};
///
/// async fn hello(FromLayer(user): FromLayer<Option<CurrentUser>>) -> String {
///     user.map_or_else(|| "Hello".to_owned(), |user| format!("Hello, {}", user.name()))
/// }
///
/// # fn app(handstamp: Handstamp) -> Router {
/// Router::new().route("/", get(hello)).layer(handstamp.layer()).merge(handstamp.router())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromLayer<T>(pub T);

/// An `Arc` of a state that gives a [`Handstamp`] gives it too, as axum's own rules do not allow an application to say.
impl<T> FromRef<Arc<T>> for Handstamp
where
    Self: FromRef<T>,
{
    fn from_ref(state: &Arc<T>) -> Self {
        Self::from_ref(&**state)
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = CurrentUserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, CurrentUserRejection> {
        require_user(Handstamp::from_ref(state).shared_site(), parts).await
    }
}

impl<S> OptionalFromRequestParts<S> for CurrentUser
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = CurrentUserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, CurrentUserRejection> {
        current_user(Handstamp::from_ref(state).shared_site(), parts).await
    }
}

impl<S> FromRequestParts<S> for CurrentSession
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = CurrentUserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, CurrentUserRejection> {
        <CurrentUser as FromRequestParts<S>>::from_request_parts(parts, state).await.map(|user| user.session())
    }
}

impl<S> FromRequestParts<S> for ClientDetails
where
    Handstamp: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, std::convert::Infallible> {
        let handstamp = Handstamp::from_ref(state);
        let site = handstamp.shared_site();
        let client = web::client_info(site, &parts.extensions, &parts.headers);
        Ok(Self { client, presented: Arc::new(web::presented_sessions(site, &parts.headers)) })
    }
}

impl<S, T> FromRequestParts<S> for FromLayer<T>
where
    T: FromRequestParts<Handstamp>,
    S: Sync,
{
    type Rejection = FromLayerRejection<T::Rejection>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let handstamp = parts.extensions.get::<Handstamp>().cloned().ok_or(FromLayerRejection::MissingLayer)?;
        T::from_request_parts(parts, &handstamp).await.map(Self).map_err(FromLayerRejection::Rejected)
    }
}

/// The signed-in user of a request, or the response to an anonymous visitor.
pub(super) async fn require_user(site: &SharedSite, parts: &mut Parts) -> Result<CurrentUser, CurrentUserRejection> {
    match current_user(site, parts).await? {
        Some(user) => Ok(user),
        None => Err(CurrentUserRejection::Anonymous(anonymous(site, parts))),
    }
}

/// The signed-in user of a request, if there is one.
async fn current_user(site: &SharedSite, parts: &mut Parts) -> Result<Option<CurrentUser>, CurrentUserRejection> {
    let session = match look_up(site, parts).await? {
        Visitor::Authenticated(session) => session,
        Visitor::Anonymous => return Ok(None),
    };
    let uri = web::original_uri(&parts.uri, &parts.extensions);
    let requested = RequestedPage::of(&parts.method, uri, &parts.headers);
    let has_required = site.services.has_required_assurance(&session.user, session.authentication);
    let former = FormerSessions::of(site, &parts.headers);
    let user = CurrentUser { session, site: Arc::clone(site), requested, former };
    if !has_required {
        let response = user.refusal(web::require_second_factor(site, &user.requested));
        return Err(CurrentUserRejection::SecondFactorRequired(Refusal::new(response)));
    }
    Ok(Some(user))
}

/// The response to an anonymous visitor.
fn anonymous(site: &SharedSite, parts: &Parts) -> Refusal {
    let uri = web::original_uri(&parts.uri, &parts.extensions);
    let response = web::reject_anonymous(site, &parts.method, uri, &parts.headers);
    Refusal::new(web::render_embedded(site, response, web::wants_page(&parts.headers), None))
}

/// Looks up the visitor of a request, once for all extractors.
async fn look_up(site: &SharedSite, parts: &mut Parts) -> Result<Visitor, CurrentUserRejection> {
    if let Some(found) = parts.extensions.get::<LookedUp>()
        && Arc::ptr_eq(&found.site, site)
    {
        return Ok(found.visitor.clone());
    }
    let visitor = web::look_up(site, &parts.headers).await.map_err(|error| {
        let response = WebError::from(error).into_response();
        let response = web::render_embedded(site, response, web::wants_page(&parts.headers), None);
        CurrentUserRejection::Unavailable(Refusal::new(response))
    })?;
    if let Some(seen) = parts.extensions.get::<SeenByLayer>()
        && Arc::ptr_eq(&seen.site, site)
    {
        // Another extractor of the same request cannot have set it, as it would have been found above.
        let _ = seen.visitor.set(visitor.clone());
    }
    parts.extensions.insert(LookedUp { site: Arc::clone(site), visitor: visitor.clone() });
    Ok(visitor)
}

//! The end of a session, for connections that outlive their request.

use std::fmt;
use std::sync::Arc;

use super::CurrentSession;
use crate::sessions::Watch;
use crate::web::SharedSite;

/// Holds the confirmation of a sign-out until a connection of the session is closed: [`CurrentSession::hold`].
///
/// When the session ends, on any node, [`ended`](Self::ended) completes. Close the connection then, and drop this value: until
/// that, a sign-out is not confirmed. So a user who sees “signed out” has no open connection left. A node waits for a second at
/// most, or for a third of [`SessionConfig::lease`](crate::SessionConfig::lease) if that is less, and logs that it did not wait
/// longer. So await `ended` all the time: a change of the user's name or groups makes it look up the session anew, and is not
/// confirmed before that. A handler that holds a session and signs it out waits for itself.
pub struct SessionHold {
    site: SharedSite,
    watch: Arc<Watch>,
}

impl CurrentSession {
    /// Holds the session for as long as a connection is open.
    ///
    /// ```no_run
    /// # struct Socket;
    /// # impl Socket { async fn recv(&mut self) -> Option<String> { None } }
    /// use handstamp::CurrentUser;
    ///
    /// async fn chat(user: CurrentUser, mut socket: Socket) {
    ///     let session = user.session().hold();
    ///     loop {
    ///         tokio::select! {
    ///             () = session.ended() => break,
    ///             message = socket.recv() => match message {
    ///                 Some(message) => println!("{} says {message}", user.name()),
    ///                 None => break,
    ///             },
    ///         }
    ///     }
    ///     drop(socket);
    ///     // Now the sign-out may be confirmed.
    ///     drop(session);
    /// }
    /// ```
    pub fn hold(&self) -> SessionHold {
        let site = self.user.site();
        let watch = site.services.sessions.watch(self.user.live_session());
        SessionHold { site: Arc::clone(site), watch }
    }

    /// A future that completes when the session has ended on this node: it was revoked or has expired, or its user was disabled
    /// or deleted. A change of the password ends it as well, since the session goes on with another token. To delay the
    /// confirmation of a sign-out until a connection is closed, [hold](Self::hold) the session.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let hold = self.hold();
        async move { hold.ended().await }
    }
}

impl SessionHold {
    /// Completes when the session has ended on this node, as [`CurrentSession::ended`] tells. It may be dropped and awaited anew, as
    /// `tokio::select!` in a loop does.
    ///
    /// It completes as well when the user needs a second factor that the session lacks. The same happens when this node stops or loses its lease, since the other nodes then no longer wait for this one. That
    /// happens when the database is away for longer than [`SessionConfig::lease`](crate::SessionConfig::lease).
    ///
    /// With [`SessionConfig::cache_entries`](crate::SessionConfig::cache_entries) 0, no revocation waits for this node. It then
    /// reads the session from the database every second, and completes so much later.
    pub async fn ended(&self) {
        let services = &self.site.services;
        let satisfies = |user: &_, authentication| services.has_required_assurance(user, authentication);
        services.sessions.ended_unless(&self.watch, satisfies).await;
    }
}

impl Drop for SessionHold {
    fn drop(&mut self) {
        self.site.services.sessions.drop_watch(&self.watch);
    }
}

impl fmt::Debug for SessionHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHold").finish_non_exhaustive()
    }
}

//! Sessions: issuing, authenticating, listing and revoking them, consistently across all nodes.
//!
//! The row in the database is the authority. The token's MAC is a filter: a token that we did not sign never reaches the
//! database. A cache of live sessions replaces the row while this node holds its lease. The end of a session is confirmed
//! only when no node serves it from its cache any more.

mod cache;
mod expected_time;
mod last_seen;
mod lease;
#[cfg(test)]
mod memory;
mod metrics;
mod node;
mod recheck;
mod sync;
#[cfg(test)]
mod tests;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{
    Authentication, Claims, OpenedToken, SessionSecret, SessionSecretHash, SessionTokens, Timestamp, TokenError,
    TokenText, TokenToEnd, UserId,
};
use uuid::Uuid;

use crate::config::SessionConfig;
use crate::context::ClientInfo;
use crate::environment::Environment;
use crate::internal_error::InternalError;
use crate::model::{
    ContinuedSession, ListedSession, LiveSession, NewEvent, NewSession, OwnedSession, PresentedLegacy, SessionUser,
};
use crate::store::{self, Committed, InvalidationLog, NodeRow, Position, Store};

use cache::SessionKey;
use expected_time::ExpectedTime;
use last_seen::LastSeen;
use metrics::Metrics;
use node::Node;
use sync::Weighs;

pub(crate) use node::NodeStatus;
pub(crate) use watches::Watch;

/// The most rows that one transaction writes, so that none takes long.
const ROWS_AT_ONCE: usize = 1000;

/// Authenticates, begins, lists and ends sessions.
pub(crate) struct Sessions {
    tokens: SessionTokens,
    store: Arc<Store>,
    environment: Environment,
    node: Node<Store, LiveSession>,
    last_seen: LastSeen,
    expected_time: ExpectedTime,
    metrics: Metrics,
}

/// The usual length of a name, address and groups together: with them, an entry of the cache takes 300 bytes at most.
const USUAL_TEXT_BYTES: usize = 128;

impl Weighs for LiveSession {
    fn weight(&self) -> u64 {
        1 + (self.user.text_bytes() / USUAL_TEXT_BYTES) as u64
    }
}

/// A live session and its user.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) user: SessionUser,
    /// The session id that lists and forms show.
    pub(crate) session_id: Uuid,
    pub(crate) authentication: Authentication,
    /// The claims of the token; they contain the session's secret.
    pub(crate) claims: Claims,
    pub(crate) secret_hash: SessionSecretHash,
    /// An earlier key signed the token: the browser should get a new token.
    pub(crate) signed_by_fallback: bool,
}

/// The token of a session and how long the browser keeps it.
pub(crate) struct IssuedToken {
    pub(crate) text: TokenText,
    /// The max-age of the cookie; none for a cookie that lasts until the browser is closed.
    pub(crate) max_age: Option<Duration>,
}

/// The result of looking up the session of a token.
pub(crate) enum SessionLookup {
    Active(Arc<Session>),
    /// The token was not issued by us, or is no longer valid.
    InvalidToken(TokenError),
    /// The token is valid, but its session has ended.
    Revoked(UserId),
}

/// The sessions whose tokens a browser presented, live or not: a token too old to authenticate can still end its session.
#[derive(Debug, Default)]
pub(crate) struct PresentedSessions {
    pub(crate) sessions: Vec<OwnedSession>,
    /// Whether the browser keeps one of the cookies after it is closed.
    pub(crate) remembered: bool,
    /// The sessions of the former framework whose cookies the browser presented. A sign-out ends them too.
    pub(crate) legacy: Vec<PresentedLegacy>,
    /// One of the tokens was signed with a key that this node does not have. Another node may have it, so the session may
    /// be live.
    pub(crate) of_unknown_key: bool,
}

impl Sessions {
    pub(crate) fn new(
        tokens: SessionTokens,
        store: Arc<Store>,
        environment: Environment,
        config: &SessionConfig,
    ) -> Self {
        let node = Node::new(Arc::clone(&store), environment.clone(), config.lease, config.cache_entries);
        let expected_time = ExpectedTime::new(environment.clock_reading());
        Self {
            tokens,
            store,
            environment,
            node,
            last_seen: LastSeen::default(),
            expected_time,
            metrics: Metrics::new(),
        }
    }

    /// Runs this node until it is told to stop, and wakes it when the invalidation log has grown.
    pub(crate) async fn run_node(&self) {
        tokio::select! {
            biased;
            () = self.node.run() => {}
            () = self.store.watch_changes(|| self.node.wake()) => {}
        }
    }

    /// Waits for the first lease, but no longer than the duration of one.
    pub(crate) async fn wait_until_joined(&self) {
        self.node.wait_until_joined().await;
    }

    /// Makes [`follow`](Self::run_node) leave the cluster and return.
    pub(crate) fn stop_node(&self) {
        self.node.stop();
    }

    /// The highest position of the invalidation log that this node has seen.
    pub(crate) fn seen(&self) -> Position {
        self.node.seen()
    }

    /// Notes a position that this node has seen before its start.
    pub(crate) fn note_seen(&self, position: Position) {
        self.node.note_seen(position);
    }

    /// Completes when the database turns out to be older than what this node has seen.
    pub(crate) async fn database_put_back(&self) {
        self.node.database_put_back().await;
    }

    /// The membership status of this node.
    pub(crate) fn status(&self) -> NodeStatus {
        self.node.status()
    }

    /// For how long this node has seen no renewal of each of these leases.
    pub(crate) fn silences_of(&self, nodes: &[NodeRow]) -> Vec<Duration> {
        self.node.silences_of(nodes)
    }

    /// Waits until every node has applied the change, then returns the result.
    pub(crate) async fn wait_until_applied<T>(&self, committed: Committed<T>) -> Result<T, InternalError> {
        if let Some(position) = committed.position {
            let begun = self.environment.clock_reading().monotonic;
            self.node.wait_until_applied(position).await?;
            self.metrics.waits.record(self.environment.clock_reading().monotonic.saturating_sub(begun));
        }
        Ok(committed.value)
    }

    /// Updates the gauges.
    pub(crate) fn record_gauges(&self) {
        self.metrics.record_gauges(self.status());
    }

    /// Looks up the session of a token. A forged token costs no statement, nor does a live session once its row was read.
    pub(crate) async fn find(&self, text: &str) -> Result<SessionLookup, InternalError> {
        let now_reading = self.environment.clock_reading();
        // Where the clocks differ, a token has expired as soon as one of them is past its expiry.
        let cluster_time = self.node.cluster_time(now_reading);
        let now = cluster_time.max(now_reading.timestamp());
        let OpenedToken { claims, signed_by_fallback } = match self.tokens.open(text, now) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(SessionLookup::InvalidToken(refusal)),
        };
        let (secret_hash, user_id) = (claims.session_secret.hash(), claims.user_id);
        let key = SessionKey { secret_hash, user_id, expires_at: claims.expires_at };
        let live = match self.node.look_up(&key, now_reading) {
            Some(live) => {
                self.metrics.hits.increment(1);
                Some(live)
            }
            None => {
                self.metrics.misses.increment(1);
                // Boxed because it is rare and large: otherwise the future of every request would be as large.
                Box::pin(self.read(&key, now)).await?
            }
        };
        let Some(LiveSession { session_id, authentication, user }) = live.filter(|live| live.user.id == user_id) else {
            return Ok(SessionLookup::Revoked(user_id));
        };
        self.last_seen.note(secret_hash, cluster_time);
        Ok(SessionLookup::Active(Arc::new(Session {
            user,
            session_id,
            authentication,
            claims,
            secret_hash,
            signed_by_fallback,
        })))
    }

    /// Reads the row of a session, and caches it.
    async fn read(&self, key: &SessionKey, now: Timestamp) -> Result<Option<LiveSession>, InternalError> {
        let read = async { Ok(self.store.live_session(key.secret_hash, key.user_id, now).await?) };
        self.node.read_through(key, read).await
    }

    /// Begins to watch a session, for a connection that outlives its request.
    pub(crate) fn watch(&self, session: &Session) -> Arc<Watch> {
        let Session { secret_hash, claims, user, .. } = session;
        let key = SessionKey { secret_hash: *secret_hash, user_id: user.id, expires_at: claims.expires_at };
        self.node.watch(key)
    }

    /// Whether bytes may pass on a connection that watches a session.
    #[cfg_attr(not(feature = "proxy"), allow(dead_code))]
    pub(crate) fn may_pass(&self, watch: &Watch) -> bool {
        self.node.may_pass(watch)
    }

    pub(crate) fn drop_watch(&self, watch: &Watch) {
        self.node.watches().drop_watch(watch);
    }

    /// Completes when a watched session has ended on this node, and once the user or the authentication of it no longer `satisfy` a rule.
    pub(crate) async fn ended_unless(&self, watch: &Watch, satisfy: impl Fn(&SessionUser, Authentication) -> bool) {
        let (hash, user) = (watch.key.secret_hash, watch.key.user_id);
        let read = move |now| async move { Ok::<_, InternalError>(self.store.live_session(hash, user, now).await?) };
        self.node.ended(watch, read, |live: &LiveSession| satisfy(&live.user, live.authentication)).await;
    }

    /// The sessions of tokens that are to be ended. The times in the tokens are not checked.
    pub(crate) fn presented<'a>(&self, texts: impl Iterator<Item = &'a str>) -> PresentedSessions {
        let mut presented = PresentedSessions::default();
        for text in texts {
            match self.tokens.open_to_end(text) {
                Ok(TokenToEnd { user_id, secret_hash, remembered }) => {
                    let session = OwnedSession { secret_hash, user_id };
                    presented.remembered |= remembered;
                    if !presented.sessions.contains(&session) {
                        presented.sessions.push(session);
                    }
                }
                Err(reason) => presented.of_unknown_key |= reason == TokenError::UnknownKey,
            }
        }
        presented
    }

    /// A new session of this account: the row to store, and the token that opens it once it is stored.
    pub(crate) fn begin(
        &self,
        user_id: UserId,
        lifetime: SessionLifetime,
        client: &ClientInfo,
    ) -> (NewSession, IssuedToken) {
        let now = self.now();
        let claims = Claims {
            user_id,
            session_secret: self.new_secret(),
            issued_at: now,
            expires_at: now.after(lifetime.duration),
            remembered: lifetime.remembered,
        };
        let session = NewSession {
            secret_hash: claims.session_secret.hash(),
            session_id: self.new_session_id(),
            user_id,
            authentication: Authentication::by_password(now),
            created_at: now,
            expires_at: claims.expires_at,
            user_agent: client.user_agent.clone(),
            address: client.address.clone(),
            provider: None,
        };
        (session, self.sign(&claims, now))
    }

    /// The same session under a new secret: the hash to store, and the token that opens it once it is stored.
    pub(crate) fn rotate_secret(&self, session: &Session) -> (SessionSecretHash, IssuedToken) {
        let now = self.now();
        let claims = Claims { session_secret: self.new_secret(), issued_at: now, ..session.claims.clone() };
        (claims.session_secret.hash(), self.sign(&claims, now))
    }

    /// The same session after its user has authenticated again or has changed a factor: how to store it, and the token that opens it
    /// once it is stored. It has a new secret, and if its level changes a new session id, so that one id never means two levels.
    pub(crate) fn continue_as(
        &self,
        session: &Session,
        authentication: Authentication,
    ) -> (ContinuedSession, IssuedToken) {
        let (secret_hash, token) = self.rotate_secret(session);
        let same_level = authentication.assurance() == session.authentication.assurance();
        let session_id = if same_level { session.session_id } else { self.new_session_id() };
        let current = OwnedSession { secret_hash: session.secret_hash, user_id: session.user.id };
        (ContinuedSession { current, secret_hash, session_id, authentication }, token)
    }

    fn new_session_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.environment.random()).into_uuid()
    }

    /// The token of a live session, signed with the current key.
    pub(crate) fn reissue(&self, session: &Session) -> IssuedToken {
        self.sign(&session.claims, self.now())
    }

    fn sign(&self, claims: &Claims, now: Timestamp) -> IssuedToken {
        let max_age = claims.remembered.then(|| claims.expires_at.since(now));
        IssuedToken { text: self.tokens.issue(claims), max_age }
    }

    /// The live sessions of an account, with the last-seen times that are not yet in the database.
    pub(crate) async fn list(&self, user_id: UserId) -> store::Result<Vec<ListedSession>> {
        let mut sessions = self.store.sessions_of(user_id, self.now()).await?;
        for session in &mut sessions {
            session.last_seen_at = session.last_seen_at.max(self.last_seen.of(session.secret_hash));
        }
        Ok(sessions)
    }

    /// Writes the last-seen times since the last call, many in one transaction. While the clock has jumped ahead, none is
    /// written: a time in the future would stay until the clock has caught up with it.
    pub(crate) async fn write_last_seen(&self) -> store::Result<()> {
        let mut seen = self.last_seen.take();
        let Some(now) = self.believed_now() else { return Ok(()) };
        for (_, time) in &mut seen {
            *time = now.min(*time);
        }
        while !seen.is_empty() {
            let rest = seen.split_off(seen.len().min(ROWS_AT_ONCE));
            if let Err(error) = self.store.note_last_seen(&seen).await {
                self.last_seen.put_back(seen);
                self.last_seen.put_back(rest);
                return Err(error);
            }
            seen = rest;
        }
        Ok(())
    }

    /// Ends all sessions of all users and returns how many. It takes several transactions, each with an event of its own.
    pub(crate) async fn end_all(&self, new_event: impl Fn() -> NewEvent) -> Result<u64, InternalError> {
        let mut sessions = 0;
        loop {
            let some = self.store.end_some_sessions(ROWS_AT_ONCE, new_event()).await?;
            if some.value == 0 {
                return Ok(sessions + self.wait_until_applied(some).await?);
            }
            sessions += some.value;
        }
    }

    /// Deletes the expired sessions and returns how many. Expiry is measured by the database's clock, since one node with a
    /// wrong clock must not sign all users out. While that clock has jumped ahead, nothing is deleted for the same reason, and it
    /// returns none.
    pub(crate) async fn purge(&self) -> store::Result<Option<u64>> {
        let clock = self.store.clock().await?;
        let now = clock.map_or(self.environment.now(), |clock| Timestamp::from_unix_seconds(clock.as_secs()));
        let Some(now) = self.expected_time.believe(now, self.environment.clock_reading().monotonic) else {
            return Ok(None);
        };
        let mut purged = 0;
        loop {
            let some = self.store.purge_expired_sessions(now, ROWS_AT_ONCE).await?.value;
            purged += some;
            if some == 0 {
                return Ok(Some(purged));
            }
        }
    }

    /// The cluster time, on which all nodes agree: a token issued by one node never lies in the future of another.
    pub(crate) fn now(&self) -> Timestamp {
        self.node.cluster_time(self.environment.clock_reading())
    }

    /// The cluster time with its fraction of a second, since the Unix epoch.
    pub(crate) fn clock(&self) -> Duration {
        self.node.cluster_clock(self.environment.clock_reading())
    }

    /// The cluster time for changes that cannot be undone, such as deletions; none while it has jumped ahead.
    pub(crate) fn believed_now(&self) -> Option<Timestamp> {
        self.expected_time.believe(self.now(), self.environment.clock_reading().monotonic)
    }

    fn new_secret(&self) -> SessionSecret {
        SessionSecret::from_bytes(self.environment.random())
    }
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLifetime {
    pub(crate) duration: Duration,
    /// Whether the browser keeps the cookie after it is closed.
    pub(crate) remembered: bool,
}

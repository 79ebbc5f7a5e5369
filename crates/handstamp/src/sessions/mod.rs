//! Sessions: from a token to whoever is signed in, and back.
//!
//! The row in the database is the authority. The token's MAC is a filter: what we did not sign never reaches the
//! database. A cache of live sessions stands in for the row while this node holds its lease, and whoever ends a session
//! is answered only when no node believes it any more.

mod cache;
mod expected_time;
mod follower;
mod last_seen;
mod lease;
#[cfg(test)]
mod memory;
mod metrics;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{
    Assurance, Claims, Network, OpenedToken, SessionId, SessionIdHash, SessionTokens, Timestamp, TokenRefusal,
    TokenText, TokenToEnd, UserId,
};
use uuid::Uuid;

use crate::config::SessionConfig;
use crate::error::Fault;
use crate::store::{ChangeLog, ListedSession, LiveSession, Logged, NewSession, OwnedSession, Store, User};
use crate::world::World;

use cache::SessionKey;
use expected_time::ExpectedTime;
use follower::Node;
use last_seen::LastSeen;
use metrics::Metrics;
use sync::Weighs;

pub(crate) use follower::{NoLease, NotInForce, Outdated, Standing};

/// So many rows are written in one transaction, so that none takes long.
const ROWS_AT_ONCE: usize = 1000;

/// Finds, begins and lists sessions.
pub(crate) struct Sessions {
    tokens: SessionTokens,
    store: Arc<Store>,
    world: World,
    node: Node<Store, LiveSession>,
    last_seen: LastSeen,
    expected_time: ExpectedTime,
    metrics: Metrics,
}

/// Names, addresses and groups of this length are of the usual size: with them, an entry of the cache has 300 bytes at most.
const USUAL_TEXT_BYTES: usize = 128;

impl Weighs for LiveSession {
    fn weight(&self) -> u64 {
        1 + (self.user.text_bytes() / USUAL_TEXT_BYTES) as u64
    }
}

/// Where somebody signs in from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    /// What the browser calls itself.
    pub(crate) user_agent: String,
    pub(crate) address: String,
    pub(crate) network: Network,
    /// The device cookie, which says who has signed in there before; empty where there is none.
    pub(crate) cookie: String,
}

/// A live session and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) user: User,
    /// What lists and forms call it.
    pub(crate) handle: Uuid,
    /// What the token says; the session's secret id is in it.
    pub(crate) claims: Claims,
    pub(crate) id_hash: SessionIdHash,
    /// An earlier key signed the token: the browser should have a new one.
    pub(crate) signed_by_fallback: bool,
}

/// What a browser needs to keep a session.
pub(crate) struct SignedIn {
    pub(crate) token: TokenText,
    /// How long it keeps it; none for as long as it runs.
    pub(crate) keep_for: Option<Duration>,
}

/// What a token turned out to be.
pub(crate) enum Found {
    Live(Arc<Session>),
    /// Not a token of ours, or no longer.
    Refused(TokenRefusal),
    /// A token of ours, whose session has ended.
    Ended(UserId),
}

/// The sessions that a browser showed the tokens of, live or not: what refuses reading must not refuse ending.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) sessions: Vec<OwnedSession>,
    /// Whether the browser keeps one of them after it is closed.
    pub(crate) remembered: bool,
    /// There was a token that no key here opens. Another node may know its key, so its session may be live.
    pub(crate) of_unknown_key: bool,
}

impl Sessions {
    pub(crate) fn new(tokens: SessionTokens, store: Arc<Store>, world: World, config: &SessionConfig) -> Self {
        let node = Node::new(Arc::clone(&store), world.clone(), config.lease, config.cache_entries);
        let expected_time = ExpectedTime::new(world.moment());
        Self { tokens, store, world, node, last_seen: LastSeen::default(), expected_time, metrics: Metrics::new() }
    }

    /// Is a node among others until told to stop, and woken when something has changed.
    pub(crate) async fn follow(&self) {
        tokio::select! {
            biased;
            () = self.node.follow() => {}
            () = self.store.watch_changes(|| self.node.wake()) => {}
        }
    }

    /// Waits for the first lease, for as long as one lasts at most.
    pub(crate) async fn joined(&self) {
        self.node.joined().await;
    }

    /// Makes [`follow`](Self::follow) leave the other nodes and return.
    pub(crate) fn stop_following(&self) {
        self.node.stop();
    }

    /// How this node stands among the others.
    pub(crate) fn standing(&self) -> Standing {
        self.node.standing()
    }

    /// Hands over what was done once it is in force on every node: whoever acts on it now meets nobody who believes
    /// what was.
    pub(crate) async fn in_force<T>(&self, logged: Logged<T>) -> Result<T, Fault> {
        if let Some(position) = logged.position {
            let begun = self.world.moment().uptime;
            self.node.in_force(position).await?;
            self.metrics.waits.record(self.world.moment().uptime.saturating_sub(begun));
        }
        Ok(logged.done)
    }

    /// Brings the gauges up to date.
    pub(crate) fn measure(&self) {
        self.metrics.measure(self.standing());
    }

    /// The session of a token, if it is live. A forged token costs no statement, and a live session none either once
    /// its row was read.
    pub(crate) async fn find(&self, text: &str) -> Result<Found, Fault> {
        let moment = self.world.moment();
        // Where the clocks differ, a token has expired as soon as one of them says so.
        let agreed = self.node.agreed(moment);
        let now = agreed.max(moment.timestamp());
        let OpenedToken { claims, signed_by_fallback } = match self.tokens.open(text, now) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Found::Refused(refusal)),
        };
        let (id_hash, user_id) = (claims.session_id.hash(), claims.user_id);
        let key = SessionKey { id_hash, user_id, expires_at: claims.expires_at };
        let live = match self.node.look_up(&key, moment) {
            Some(live) => {
                self.metrics.hits.increment(1);
                Some(live)
            }
            None => {
                self.metrics.misses.increment(1);
                let read = async { Ok::<_, Fault>(self.store.live_session(id_hash, user_id, now).await?) };
                // By itself, as it is rare and large: every request would make room for it.
                Box::pin(self.node.read_through(&key, read)).await?
            }
        };
        let Some(LiveSession { handle, user }) = live.filter(|live| live.user.id == user_id) else {
            return Ok(Found::Ended(user_id));
        };
        self.last_seen.note(id_hash, agreed);
        Ok(Found::Live(Arc::new(Session { user, handle, claims, id_hash, signed_by_fallback })))
    }

    /// The sessions of tokens that are to end, whatever their times say.
    pub(crate) fn shown<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Shown {
        let mut shown = Shown::default();
        for text in texts {
            match self.tokens.open_to_end(text) {
                Ok(TokenToEnd { user_id, id_hash, remembered }) => {
                    let session = OwnedSession { id_hash, user_id };
                    shown.remembered |= remembered;
                    if !shown.sessions.contains(&session) {
                        shown.sessions.push(session);
                    }
                }
                Err(reason) => shown.of_unknown_key |= reason == TokenRefusal::UnknownKey,
            }
        }
        shown
    }

    /// A new session of this account: the row to store, and the token that opens it once it is stored.
    pub(crate) fn begin(&self, user_id: UserId, lasts: Lasts, device: &Device) -> (NewSession, SignedIn) {
        let now = self.now();
        let claims = Claims {
            user_id,
            session_id: self.new_id(),
            issued_at: now,
            expires_at: now.after(lasts.duration),
            remembered: lasts.remembered,
            assurance: Assurance::Password,
        };
        let session = NewSession {
            id_hash: claims.session_id.hash(),
            handle: uuid::Builder::from_random_bytes(self.world.random()).into_uuid(),
            user_id,
            created_at: now,
            expires_at: claims.expires_at,
            user_agent: device.user_agent.clone(),
            address: device.address.clone(),
        };
        (session, self.sign(&claims, now))
    }

    /// The same session under a new secret id: the hash to store, and the token that opens it once it is stored.
    pub(crate) fn rename(&self, session: &Session) -> (SessionIdHash, SignedIn) {
        let now = self.now();
        let claims = Claims { session_id: self.new_id(), issued_at: now, ..session.claims.clone() };
        (claims.session_id.hash(), self.sign(&claims, now))
    }

    /// The token of a live session, signed with the current key.
    pub(crate) fn issue_again(&self, session: &Session) -> SignedIn {
        self.sign(&session.claims, self.now())
    }

    fn sign(&self, claims: &Claims, now: Timestamp) -> SignedIn {
        let keep_for = claims.remembered.then(|| claims.expires_at.since(now));
        SignedIn { token: self.tokens.issue(claims), keep_for }
    }

    /// The live sessions of an account, with the times that are not yet in the database.
    pub(crate) async fn list(&self, user_id: UserId) -> sqlx::Result<Vec<ListedSession>> {
        let mut sessions = self.store.sessions_of(user_id, self.now()).await?;
        for session in &mut sessions {
            session.last_seen_at = session.last_seen_at.max(self.last_seen.of(session.id_hash));
        }
        Ok(sessions)
    }

    /// Writes the times of the sessions seen since the last call, many at once. A time of a clock that has jumped ahead would
    /// stay for as long as it lies ahead, so none is written.
    pub(crate) async fn write_last_seen(&self) -> sqlx::Result<()> {
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

    /// Ends all sessions of everybody, and says how many those were.
    pub(crate) async fn end_all(&self) -> Result<u64, Fault> {
        let mut sessions = 0;
        loop {
            let some = self.store.end_some_sessions(ROWS_AT_ONCE).await?;
            if some.done == 0 {
                return Ok(sessions + self.in_force(some).await?);
            }
            sessions += some.done;
        }
    }

    /// Removes the sessions that have expired, by the database's own clock: one node whose clock is wrong must not sign
    /// everybody out. None while that clock has jumped ahead: it would do the same. How many those were.
    pub(crate) async fn purge(&self) -> sqlx::Result<u64> {
        let clock = self.store.clock().await?;
        let now = clock.map_or(self.world.now(), |clock| Timestamp::from_unix_seconds(clock.as_secs()));
        let Some(now) = self.expected_time.believe(now, self.world.moment().uptime) else { return Ok(0) };
        let mut purged = 0;
        loop {
            let some = self.store.purge_expired_sessions(now, ROWS_AT_ONCE).await?.done;
            purged += some;
            if some == 0 {
                return Ok(purged);
            }
        }
    }

    /// The time on which all nodes agree: a token that one issues now is never one of the future to another.
    pub(crate) fn now(&self) -> Timestamp {
        self.node.agreed(self.world.moment())
    }

    /// The same, for what is deleted for good or cannot be put right; none while it has jumped ahead.
    pub(crate) fn believed_now(&self) -> Option<Timestamp> {
        self.expected_time.believe(self.now(), self.world.moment().uptime)
    }

    fn new_id(&self) -> SessionId {
        SessionId::from_bytes(self.world.random())
    }
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasts {
    pub(crate) duration: Duration,
    /// Beyond the end of the browser.
    pub(crate) remembered: bool,
}

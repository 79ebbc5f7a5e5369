//! The table of sessions.

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::statement::{Pool, Sql, Tx, limit, maintenance, request};
use super::{Committed, Error, InvalidationScope, Result, Store, from_db_time};
use crate::model::{LegacyEnd, ListedSession, NewEvent, NewSession, OwnedSession, RevokeOutcome};

/// The most sessions that an account has at once. One more ends the one that was unused for longest.
pub(crate) const SESSIONS_PER_USER: usize = 100;

/// The invalidations for the end of these sessions. If there are several, their users are invalidated instead: a browser can
/// present a hundred tokens of one user, and each invalidation is a row of the log.
pub(super) fn scopes_of(ended: &[OwnedSession]) -> Vec<InvalidationScope> {
    if let [session] = ended {
        return vec![InvalidationScope::Session(session.secret_hash)];
    }
    users_of(ended).into_iter().map(InvalidationScope::User).collect()
}

/// The users of these sessions, each once.
fn users_of(sessions: &[OwnedSession]) -> Vec<UserId> {
    let mut users: Vec<UserId> = sessions.iter().map(|session| session.user_id).collect();
    users.sort_unstable_by_key(UserId::as_uuid);
    users.dedup();
    users
}

impl Tx<'_> {
    /// Deletes sessions.
    pub(super) async fn end_sessions(&mut self, ended: &[OwnedSession]) -> Result<()> {
        for session in ended {
            self.execute(request("DELETE FROM sessions WHERE id_hash = $1"), &[(&session.secret_hash).into()]).await?;
        }
        Ok(())
    }

    /// Deletes all sessions of a user but one, and returns how many.
    pub(super) async fn end_other_sessions(&mut self, user_id: UserId, kept: SessionSecretHash) -> Result<u64> {
        const SQL: Sql = request("DELETE FROM sessions WHERE user_id = $1 AND id_hash <> $2");
        self.execute(SQL, &[user_id.into(), (&kept).into()]).await
    }

    /// Writes the event of a revocation with the number of sessions that have ended, if any has.
    pub(super) async fn write_revocation(&mut self, ended: u64, event: NewEvent) -> Result<()> {
        if ended > 0 { self.write_event(event.with("sessions", ended)).await } else { Ok(()) }
    }

    /// Deletes the `ended` sessions, inserts another, and deletes the longest unused of the account beyond
    /// [`SESSIONS_PER_USER`]. Returns the scopes to invalidate, and how many unused sessions were deleted.
    pub(super) async fn replace_sessions(
        &mut self,
        ended: &[OwnedSession],
        session: &NewSession,
    ) -> Result<(Vec<InvalidationScope>, u64)> {
        const DELETE_UNUSED: Sql = request(
            "DELETE FROM sessions WHERE user_id = $1 AND id_hash NOT IN
             (SELECT id_hash FROM sessions WHERE user_id = $1
              ORDER BY last_seen_at DESC, created_at DESC, id_hash LIMIT $2)",
        );
        const INSERT: Sql = request(
            "INSERT INTO sessions (id_hash, handle, user_id, created_at, expires_at, last_seen_at, user_agent, address,
                methods, assurance, authenticated_at, identity_id, provider_session_id)
             VALUES ($1, $2, $3, $4, $5, $4, $6, $7, $8, $9, $10, $11, $12)",
        );
        let authentication = session.authentication;
        let methods = authentication.methods().to_string();
        self.end_sessions(ended).await?;
        let mut changed = scopes_of(ended);
        let unused = self.execute(DELETE_UNUSED, &[session.user_id.into(), limit(SESSIONS_PER_USER - 1)]).await?;
        if unused > 0 {
            changed.push(InvalidationScope::User(session.user_id));
        }
        let columns = [
            (&session.secret_hash).into(),
            session.session_id.into(),
            session.user_id.into(),
            session.created_at.into(),
            session.expires_at.into(),
            session.user_agent.as_str().into(),
            session.address.as_str().into(),
            methods.as_str().into(),
            i64::from(authentication.assurance().get()).into(),
            authentication.at().into(),
            session.provider.as_ref().map(|provider| provider.identity_id).into(),
            session.provider.as_ref().and_then(|provider| provider.session_id.as_deref()).into(),
        ];
        self.execute(INSERT, &columns).await?;
        Ok((changed, unused))
    }
}

type ListedRow = (Vec<u8>, Uuid, i64, i64, String, String, Option<String>);

fn listed(row: ListedRow) -> Result<ListedSession> {
    let (secret_hash, session_id, created_at, last_seen_at, user_agent, address, provider) = row;
    let secret_hash = secret_hash.try_into().map_err(|_| Error::decode("a session id hash of wrong length"))?;
    Ok(ListedSession {
        secret_hash: SessionSecretHash::from_bytes(secret_hash),
        session_id,
        created_at: from_db_time(created_at),
        last_seen_at: from_db_time(last_seen_at),
        user_agent,
        address,
        provider,
    })
}

impl Store {
    /// The live sessions of an account, newest first.
    pub(crate) async fn sessions_of(&self, user_id: UserId, now: Timestamp) -> Result<Vec<ListedSession>> {
        const SQL: &str = "SELECT id_hash, handle, created_at, last_seen_at, user_agent, address,
                (SELECT provider FROM identities WHERE identities.id = sessions.identity_id)
             FROM sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, handle";
        let rows: Vec<ListedRow> = self.fetch_all(Pool::Read, request(SQL), &[user_id.into(), now.into()]).await?;
        rows.into_iter().map(listed).collect()
    }

    /// Ends sessions, each with its event. A session that had already ended is invalidated once more, since some node may still
    /// cache it, but without an event.
    pub(crate) async fn end_sessions(&self, ended: Vec<(OwnedSession, NewEvent)>) -> Result<Committed<()>> {
        self.end_sessions_and_legacy(ended, &LegacyEnd::default()).await
    }

    /// The same, which also ends sessions of the former system.
    pub(crate) async fn end_sessions_and_legacy(
        &self,
        ended: Vec<(OwnedSession, NewEvent)>,
        legacy: &LegacyEnd,
    ) -> Result<Committed<()>> {
        const SQL: Sql = request("DELETE FROM sessions WHERE id_hash = $1 RETURNING handle");
        let (sessions, events): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        let mut tx = self.begin().await?;
        let mut changed = tx.end_legacy(legacy).await?;
        for (session, event) in sessions.iter().zip(events) {
            let row: Option<(Uuid,)> = tx.fetch_optional(SQL, &[(&session.secret_hash).into()]).await?;
            if let Some((session_id,)) = row {
                tx.write_event(event.in_session(session_id)).await?;
            }
        }
        for user_id in users_of(&sessions) {
            tx.delete_sign_ins_under_way(user_id).await?;
        }
        changed.extend(scopes_of(&sessions));
        tx.commit_invalidating((), &changed).await
    }

    /// Ends a session of this account by its id. If it had already ended, it is invalidated once more, since some node may
    /// still cache it.
    pub(crate) async fn end_session_by_id(
        &self,
        user_id: UserId,
        session_id: Uuid,
        event: NewEvent,
    ) -> Result<Committed<RevokeOutcome>> {
        let mut tx = self.begin().await?;
        let ended = tx
            .execute(
                request("DELETE FROM sessions WHERE user_id = $1 AND handle = $2"),
                &[user_id.into(), session_id.into()],
            )
            .await?;
        let of_others: Option<(i64,)> = tx
            .fetch_optional(request("SELECT CAST(1 AS BIGINT) FROM sessions WHERE handle = $1"), &[session_id.into()])
            .await?;
        if of_others.is_some() {
            return tx.rollback_with(RevokeOutcome::OfAnotherUser).await;
        }
        let value = if ended == 0 {
            RevokeOutcome::AlreadyEnded
        } else {
            tx.write_event(event.with("revoked", session_id.to_string())).await?;
            RevokeOutcome::Revoked
        };
        tx.commit_invalidating(value, &[InvalidationScope::User(user_id)]).await
    }

    /// Ends a session by its id, and returns its user; none if there is no such session.
    pub(crate) async fn end_session(&self, session_id: Uuid, event: NewEvent) -> Result<Committed<Option<UserId>>> {
        const SQL: &str = "DELETE FROM sessions WHERE handle = $1 RETURNING user_id";
        let mut tx = self.begin().await?;
        let ended: Option<(Uuid,)> = tx.fetch_optional(request(SQL), &[session_id.into()]).await?;
        match ended.map(|(id,)| UserId::from_uuid(id)) {
            Some(id) => {
                tx.write_event(event.about(id).with("revoked", session_id.to_string())).await?;
                tx.commit_invalidating(Some(id), &[InvalidationScope::User(id)]).await
            }
            None => tx.rollback_with(None).await,
        }
    }

    /// Ends all sessions of an account but one and returns how many.
    pub(crate) async fn end_other_sessions(
        &self,
        user_id: UserId,
        kept: SessionSecretHash,
        event: NewEvent,
    ) -> Result<Committed<u64>> {
        let mut tx = self.begin().await?;
        tx.end_legacy_sessions_of(user_id, event.time).await?;
        let ended = tx.end_other_sessions(user_id, kept).await?;
        tx.delete_sign_ins_under_way(user_id).await?;
        tx.write_revocation(ended, event).await?;
        tx.commit_invalidating(ended, &[InvalidationScope::User(user_id)]).await
    }

    /// Ends all sessions of an account and returns how many.
    pub(crate) async fn end_sessions_of(&self, user_id: UserId, event: NewEvent) -> Result<Committed<u64>> {
        let mut tx = self.begin().await?;
        tx.end_legacy_sessions_of(user_id, event.time).await?;
        let ended = tx.execute(request("DELETE FROM sessions WHERE user_id = $1"), &[user_id.into()]).await?;
        tx.delete_sign_ins_under_way(user_id).await?;
        tx.write_revocation(ended, event).await?;
        tx.commit_invalidating(ended, &[InvalidationScope::User(user_id)]).await
    }

    /// Ends up to `most` sessions of any users and returns how many.
    pub(crate) async fn end_some_sessions(&self, most: usize, event: NewEvent) -> Result<Committed<u64>> {
        const SQL: &str = "DELETE FROM sessions WHERE id_hash IN (SELECT id_hash FROM sessions LIMIT $1)";
        let mut tx = self.begin().await?;
        tx.end_all_legacy_sessions(event.time).await?;
        let ended = tx.execute(request(SQL), &[limit(most)]).await?;
        tx.delete_all_sign_ins_under_way().await?;
        tx.write_revocation(ended, event).await?;
        tx.commit_invalidating(ended, &[InvalidationScope::All]).await
    }

    /// Stores when sessions were last seen. It only updates rows, so a session that has ended meanwhile stays ended.
    pub(crate) async fn note_last_seen(&self, seen: &[(SessionSecretHash, Timestamp)]) -> Result<()> {
        let mut tx = self.begin().await?;
        for (secret_hash, time) in seen {
            tx.execute(
                maintenance("UPDATE sessions SET last_seen_at = $2 WHERE id_hash = $1 AND last_seen_at < $2"),
                &[secret_hash.into(), (*time).into()],
            )
            .await?;
        }
        tx.commit().await
    }

    /// Deletes up to `most` expired sessions and returns how many. Callers need not wait for propagation, since expired tokens
    /// are rejected anyway. The invalidation keeps a clock that is set back later from reviving a session.
    pub(crate) async fn purge_expired_sessions(&self, now: Timestamp, most: usize) -> Result<Committed<u64>> {
        const SQL: &str = "DELETE FROM sessions WHERE id_hash IN
             (SELECT id_hash FROM sessions WHERE expires_at <= $1 LIMIT $2)";
        let mut tx = self.begin().await?;
        let purged = tx.execute(maintenance(SQL), &[now.into(), limit(most)]).await?;
        if purged == 0 {
            return tx.rollback_with(0).await;
        }
        tx.commit_invalidating(purged, &[InvalidationScope::Expired(now)]).await
    }
}

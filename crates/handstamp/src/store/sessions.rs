//! The table of sessions.

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::invalidations::log_invalidations;
use super::{
    Committed, InvalidationScope, Store, for_maintenance, for_request, from_db_time, read_with, to_db_time, write_with,
};

/// The most sessions that an account has at once. One more ends the one that was unused for longest.
pub(crate) const SESSIONS_PER_USER: usize = 100;

/// A session that is about to begin.
#[derive(Clone)]
pub(crate) struct NewSession {
    pub(crate) secret_hash: SessionSecretHash,
    pub(crate) session_id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) user_agent: String,
    pub(crate) address: String,
}

/// The result of ending a session by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevokeOutcome {
    Revoked,
    /// There is no such session, or it had ended before.
    AlreadyEnded,
    /// The session belongs to another user and was not ended.
    OfAnotherUser,
}

/// A session and its user, as its token names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnedSession {
    pub(crate) secret_hash: SessionSecretHash,
    pub(crate) user_id: UserId,
}

impl NewSession {
    /// The session and its user, as its token will name them.
    pub(crate) fn owned(&self) -> OwnedSession {
        OwnedSession { secret_hash: self.secret_hash, user_id: self.user_id }
    }
}

/// The invalidations for the end of these sessions. If there are several, their users are invalidated instead: a browser can
/// present a hundred tokens of one user, and each invalidation is a row of the log.
pub(super) fn scopes_of(ended: &[OwnedSession]) -> Vec<InvalidationScope> {
    if let [session] = ended {
        return vec![InvalidationScope::Session(session.secret_hash)];
    }
    let mut users: Vec<UserId> = ended.iter().map(|session| session.user_id).collect();
    users.sort_unstable_by_key(UserId::as_uuid);
    users.dedup();
    users.into_iter().map(InvalidationScope::User).collect()
}

/// A live session in a list of sessions.
#[derive(Clone, Debug)]
pub struct ListedSession {
    pub(crate) secret_hash: SessionSecretHash,
    /// The session id for lists and forms; it does not authenticate.
    pub session_id: Uuid,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When the last request of the session came, to within five minutes.
    pub last_seen_at: Timestamp,
    /// The User-Agent header of the sign-in.
    pub user_agent: String,
    /// The address that the sign-in came from.
    pub address: String,
}

/// Within a transaction of either database: deletes these sessions.
macro_rules! end {
    ($ended:expr, $transaction:expr) => {{
        let ended: &[OwnedSession] = $ended;
        for session in ended {
            sqlx::query($crate::store::for_request("DELETE FROM sessions WHERE id_hash = $1"))
                .bind(session.secret_hash.as_bytes().as_slice())
                .execute(&mut *$transaction)
                .await?;
        }
    }};
}

/// Within a transaction of either database: deletes the `$ended` sessions, inserts `$session`, and deletes the longest unused
/// of the account beyond [`SESSIONS_PER_USER`]. Returns the invalidations to log, and how many unused sessions were deleted.
macro_rules! replace {
    ($ended:expr, $session:expr, $transaction:expr) => {{
        const ROOM: i64 = ($crate::store::sessions::SESSIONS_PER_USER - 1) as i64;
        let session: &NewSession = $session;
        let ended: &[OwnedSession] = $ended;
        $crate::store::sessions::end!(ended, $transaction);
        let mut changed = $crate::store::sessions::scopes_of(ended);
        let unused = sqlx::query($crate::store::for_request(
            "DELETE FROM sessions WHERE user_id = $1 AND id_hash NOT IN
             (SELECT id_hash FROM sessions WHERE user_id = $1
              ORDER BY last_seen_at DESC, created_at DESC, id_hash LIMIT $2)",
        ))
        .bind(session.user_id.as_uuid())
        .bind(ROOM)
        .execute(&mut *$transaction)
        .await?;
        if unused.rows_affected() > 0 {
            changed.push($crate::store::InvalidationScope::User(session.user_id));
        }
        sqlx::query($crate::store::for_request(
            "INSERT INTO sessions (id_hash, handle, user_id, created_at, expires_at, last_seen_at, user_agent, address)
             VALUES ($1, $2, $3, $4, $5, $4, $6, $7)",
        ))
        .bind(session.secret_hash.as_bytes().as_slice())
        .bind(session.session_id)
        .bind(session.user_id.as_uuid())
        .bind(to_db_time(session.created_at))
        .bind(to_db_time(session.expires_at))
        .bind(session.user_agent.as_str())
        .bind(session.address.as_str())
        .execute(&mut *$transaction)
        .await?;
        (changed, unused.rows_affected())
    }};
}

pub(super) use {end, replace};

type ListedRow = (Vec<u8>, Uuid, i64, i64, String, String);

fn listed(row: ListedRow) -> sqlx::Result<ListedSession> {
    let (secret_hash, session_id, created_at, last_seen_at, user_agent, address) = row;
    let secret_hash =
        secret_hash.try_into().map_err(|_| sqlx::Error::Decode("a session id hash of wrong length".into()))?;
    Ok(ListedSession {
        secret_hash: SessionSecretHash::from_bytes(secret_hash),
        session_id,
        created_at: from_db_time(created_at),
        last_seen_at: from_db_time(last_seen_at),
        user_agent,
        address,
    })
}

impl Store {
    /// The live sessions of an account, newest first.
    pub(crate) async fn sessions_of(&self, user_id: UserId, now: Timestamp) -> sqlx::Result<Vec<ListedSession>> {
        const SQL: &str = "SELECT id_hash, handle, created_at, last_seen_at, user_agent, address
             FROM sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, handle";
        let rows: Vec<ListedRow> = read_with!(self, |pool| {
            sqlx::query_as(for_request(SQL)).bind(user_id.as_uuid()).bind(to_db_time(now)).fetch_all(pool).await
        })?;
        rows.into_iter().map(listed).collect()
    }

    /// Ends sessions. A session that had already ended is invalidated once more, since some node may still cache it.
    pub(crate) async fn end_sessions(&self, ended: &[OwnedSession]) -> sqlx::Result<Committed<()>> {
        write_with!(self, |transaction| {
            end!(ended, transaction);
            Committed { value: (), position: log_invalidations!(transaction, &scopes_of(ended)) }
        })
    }

    /// Ends a session of this account by its id. If it had already ended, it is invalidated once more, since some node may
    /// still cache it.
    pub(crate) async fn end_session_by_id(
        &self,
        user_id: UserId,
        session_id: Uuid,
    ) -> sqlx::Result<Committed<RevokeOutcome>> {
        write_with!(self, |transaction| {
            let ended = sqlx::query(for_request("DELETE FROM sessions WHERE user_id = $1 AND handle = $2"))
                .bind(user_id.as_uuid())
                .bind(session_id)
                .execute(&mut *transaction)
                .await?;
            let of_others = sqlx::query(for_request("SELECT 1 FROM sessions WHERE handle = $1"))
                .bind(session_id)
                .fetch_optional(&mut *transaction)
                .await?;
            if of_others.is_some() {
                return Ok(Committed { value: RevokeOutcome::OfAnotherUser, position: None });
            }
            let value = if ended.rows_affected() == 0 { RevokeOutcome::AlreadyEnded } else { RevokeOutcome::Revoked };
            Committed { value, position: log_invalidations!(transaction, &[InvalidationScope::User(user_id)]) }
        })
    }

    /// Ends all sessions of an account but one and returns how many.
    pub(crate) async fn end_other_sessions(
        &self,
        user_id: UserId,
        kept: SessionSecretHash,
    ) -> sqlx::Result<Committed<u64>> {
        write_with!(self, |transaction| {
            let ended = sqlx::query(for_request("DELETE FROM sessions WHERE user_id = $1 AND id_hash <> $2"))
                .bind(user_id.as_uuid())
                .bind(kept.as_bytes().as_slice())
                .execute(&mut *transaction)
                .await?;
            let position = log_invalidations!(transaction, &[InvalidationScope::User(user_id)]);
            Committed { value: ended.rows_affected(), position }
        })
    }

    /// Ends all sessions of an account and returns how many.
    pub(crate) async fn end_sessions_of(&self, user_id: UserId) -> sqlx::Result<Committed<u64>> {
        write_with!(self, |transaction| {
            let ended = sqlx::query(for_request("DELETE FROM sessions WHERE user_id = $1"))
                .bind(user_id.as_uuid())
                .execute(&mut *transaction)
                .await?;
            let position = log_invalidations!(transaction, &[InvalidationScope::User(user_id)]);
            Committed { value: ended.rows_affected(), position }
        })
    }

    /// Ends up to `most` sessions of any users and returns how many.
    pub(crate) async fn end_some_sessions(&self, most: usize) -> sqlx::Result<Committed<u64>> {
        const SQL: &str = "DELETE FROM sessions WHERE id_hash IN (SELECT id_hash FROM sessions LIMIT $1)";
        write_with!(self, |transaction| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let ended = sqlx::query(for_request(SQL)).bind(most).execute(&mut *transaction).await?;
            Committed {
                value: ended.rows_affected(),
                position: log_invalidations!(transaction, &[InvalidationScope::All]),
            }
        })
    }

    /// Stores when sessions were last seen. It only updates rows, so a session that has ended meanwhile stays ended.
    pub(crate) async fn note_last_seen(&self, seen: &[(SessionSecretHash, Timestamp)]) -> sqlx::Result<()> {
        write_with!(self, |transaction| {
            for (secret_hash, time) in seen {
                sqlx::query(for_maintenance(
                    "UPDATE sessions SET last_seen_at = $2 WHERE id_hash = $1 AND last_seen_at < $2",
                ))
                .bind(secret_hash.as_bytes().as_slice())
                .bind(to_db_time(*time))
                .execute(&mut *transaction)
                .await?;
            }
        })
    }

    /// Deletes up to `most` expired sessions and returns how many. Callers need not wait for propagation, since expired tokens
    /// are rejected anyway. The invalidation keeps a clock that is set back later from reviving a session.
    pub(crate) async fn purge_expired_sessions(&self, now: Timestamp, most: usize) -> sqlx::Result<Committed<u64>> {
        const SQL: &str = "DELETE FROM sessions WHERE id_hash IN
             (SELECT id_hash FROM sessions WHERE expires_at <= $1 LIMIT $2)";
        write_with!(self, |transaction| {
            let purged = sqlx::query(for_maintenance(SQL))
                .bind(to_db_time(now))
                .bind(i64::try_from(most).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
            if purged.rows_affected() == 0 {
                return Ok(Committed { value: 0, position: None });
            }
            Committed {
                value: purged.rows_affected(),
                position: log_invalidations!(transaction, &[InvalidationScope::Expired(now)]),
            }
        })
    }
}

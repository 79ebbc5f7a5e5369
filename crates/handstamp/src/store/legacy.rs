//! The tables of the exchange of former sessions: each is exchanged once, and what ends it here ends it for good.

use handstamp_core::{PasswordHash, Timestamp, UserId};
use uuid::Uuid;

use super::groups::{groups_column, groups_of};
use super::statement::{Pool, Sql, Tx, limit, maintenance, request};
use super::{Committed, InvalidationScope, Result, Store, from_db_time};
use crate::model::{
    CredentialsVersion, LegacyAccount, LegacyColumn, LegacyEnd, LegacyExchange, LegacyRefusal, NewSession,
    OwnedSession, SignInEvents,
};

/// The query for the account of a former session; `$1` is the value of the column.
macro_rules! account_where {
    ($column:literal) => {
        request(concat!(
            "SELECT id, credentials_version, password_hash, imported_at, disabled_at, credentials_changed_at,
                legacy_ended_at, (SELECT ended_at FROM legacy_end WHERE id = 1),
                (SELECT COUNT(*) FROM totp_secrets WHERE user_id = users.id AND confirmed_at IS NOT NULL)
                    + (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id), ",
            groups_column!(),
            " FROM users WHERE imported_at IS NOT NULL AND ",
            $column,
            " = $1"
        ))
    };
}

type AccountRow = (Uuid, i64, Option<String>, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, i64, String);

impl From<AccountRow> for LegacyAccount {
    fn from(row: AccountRow) -> Self {
        let (id, version, hash, imported_at, disabled_at, changed_at, ended_at, all_ended_at, factors, groups) = row;
        Self {
            user_id: UserId::from_uuid(id),
            version: CredentialsVersion(version),
            password_hash: hash.map(PasswordHash::from_stored),
            imported_at: from_db_time(imported_at),
            disabled: disabled_at.is_some(),
            credentials_changed: changed_at.is_some(),
            sessions_ended: ended_at.is_some() || all_ended_at.is_some_and(|ended_at| ended_at >= imported_at),
            has_factor: factors > 0,
            groups: groups_of(&groups),
        }
    }
}

impl Tx<'_> {
    /// Ends the former sessions of a user: none is exchanged any more. It comes before the end of the sessions here: it waits for an
    /// exchange that is under way, whose session is then seen.
    pub(super) async fn end_legacy_sessions_of(&mut self, user_id: UserId, now: Timestamp) -> Result<()> {
        const SQL: Sql = request("UPDATE users SET legacy_ended_at = $2 WHERE id = $1 AND imported_at IS NOT NULL");
        self.execute(SQL, &[user_id.into(), now.into()]).await.map(drop)
    }

    /// The same for all users who were imported up to now.
    pub(super) async fn end_all_legacy_sessions(&mut self, now: Timestamp) -> Result<()> {
        const SQL: Sql = request(
            "INSERT INTO legacy_end (id, ended_at) VALUES (1, $1)
             ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at",
        );
        self.execute(SQL, &[now.into()]).await.map(drop)
    }

    /// Uses up a former session. Returns false if it was used up before.
    async fn use_legacy_session(&mut self, digest: &[u8; 32], kept_until: Timestamp) -> Result<bool> {
        const SQL: Sql = request(
            "INSERT INTO legacy_exchanges (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
        );
        Ok(self.execute(SQL, &[digest.as_slice().into(), kept_until.into()]).await? > 0)
    }

    /// Ends former sessions for good, and the sessions that they were exchanged for. Returns the scopes to invalidate.
    pub(super) async fn end_legacy(&mut self, end: &LegacyEnd) -> Result<Vec<InvalidationScope>> {
        const DELETE: Sql = request("DELETE FROM sessions WHERE legacy_digest = $1 RETURNING user_id");
        let mut changed = Vec::new();
        for user in &end.users {
            self.end_legacy_sessions_of(*user, end.at).await?;
        }
        for digest in &end.digests {
            // It waits for an exchange that is under way, whose session the next statement then sees.
            self.use_legacy_session(digest.as_bytes(), end.kept_until).await?;
            let ended: Vec<(Uuid,)> = self.fetch_all(DELETE, &[digest.as_bytes().as_slice().into()]).await?;
            changed.extend(ended.into_iter().map(|(id,)| InvalidationScope::User(UserId::from_uuid(id))));
        }
        Ok(changed)
    }
}

impl Store {
    /// The imported account with this value in a column.
    pub(crate) async fn legacy_account(&self, column: LegacyColumn, value: &str) -> Result<Option<LegacyAccount>> {
        const BY_ID: Sql = account_where!("legacy_id");
        const BY_SESSION_KEY: Sql = account_where!("legacy_session_key");
        const BY_EMAIL_KEY: Sql = account_where!("email_key");
        let sql = match column {
            LegacyColumn::Id => BY_ID,
            LegacyColumn::SessionKey => BY_SESSION_KEY,
            LegacyColumn::EmailKey => BY_EMAIL_KEY,
        };
        let row: Option<AccountRow> = self.fetch_optional(Pool::Read, sql, &[value.into()]).await?;
        Ok(row.map(LegacyAccount::from))
    }

    /// When the former sessions of all users have ended, if they have.
    pub(crate) async fn all_legacy_sessions_ended_at(&self) -> Result<Option<Timestamp>> {
        const SQL: Sql = request("SELECT ended_at FROM legacy_end WHERE id = 1");
        let row: Option<(i64,)> = self.fetch_optional(Pool::Read, SQL, &[]).await?;
        Ok(row.map(|(at,)| from_db_time(at)))
    }

    /// Exchanges a former session for a session of ours, unless it was used up, or the account was changed since it was read. `ended`
    /// are the previous sessions of the browser. Returns how many unused sessions were ended to stay within the limit.
    ///
    /// The former sessions of all users may end meanwhile. The caller reads that afterwards, with
    /// [`all_legacy_sessions_ended_at`](Self::all_legacy_sessions_ended_at), before it gives the session away.
    pub(crate) async fn exchange_legacy_session(
        &self,
        exchange: LegacyExchange,
        session: &NewSession,
        ended: &[OwnedSession],
        events: SignInEvents,
    ) -> Result<Committed<Result<u64, LegacyRefusal>>> {
        // The row comes first: a change of the account that is under way is waited for, and then seen.
        const NOTE: Sql = request(
            "UPDATE users SET signed_in_at = $3, legacy_ended_at = CASE WHEN $4 = 1 THEN $3 ELSE legacy_ended_at END
             WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL AND imported_at IS NOT NULL
               AND credentials_changed_at IS NULL AND legacy_ended_at IS NULL",
        );
        const MARK: Sql = request("UPDATE sessions SET legacy_digest = $2 WHERE id_hash = $1");
        let LegacyExchange { digest, kept_until, checked } = exchange;
        let mut tx = self.begin().await?;
        // Where copies of a session count by themselves, the exchange of one ends the others.
        let ends_copies = i64::from(digest.is_of_a_copy());
        let args = [session.user_id.into(), checked.0.into(), session.created_at.into(), ends_copies.into()];
        if tx.execute(NOTE, &args).await? == 0 {
            return tx.rollback_with(Err(LegacyRefusal::Changing)).await;
        }
        if !tx.use_legacy_session(digest.as_bytes(), kept_until).await? {
            return tx.rollback_with(Err(LegacyRefusal::Used)).await;
        }
        let (changed, unused) = tx.replace_sessions(ended, session).await?;
        tx.execute(MARK, &[(&session.secret_hash).into(), digest.as_bytes().as_slice().into()]).await?;
        tx.write_sign_in_events(events, unused).await?;
        tx.commit_invalidating(Ok(unused), &changed).await
    }

    /// Deletes up to `most` digests that need not be kept since this time, and returns how many.
    pub(crate) async fn purge_legacy_exchanges(&self, until: Timestamp, most: usize) -> Result<u64> {
        const SQL: Sql = maintenance(
            "DELETE FROM legacy_exchanges WHERE digest IN
             (SELECT digest FROM legacy_exchanges WHERE expires_at <= $1 LIMIT $2)",
        );
        let mut tx = self.begin().await?;
        let purged = tx.execute(SQL, &[until.into(), limit(most)]).await?;
        tx.commit().await?;
        Ok(purged)
    }
}

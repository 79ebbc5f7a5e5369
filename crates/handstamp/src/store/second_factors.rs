//! The tables of second factors: the secrets of authenticator apps, and recovery codes. A right code is used up in the transaction of
//! the act that it allows, so of many requests at once one succeeds.

use handstamp_core::{OneTimeId, OneTimePurpose, RecoveryCodeHash, Timestamp, TotpStep, UserId};
use uuid::Uuid;

use super::statement::{Arg, Pool, Sql, Tx, limit, maintenance, request};
use super::{Committed, InvalidationScope, Result, Store, TokenUse, from_db_time};
use crate::model::{
    CodeUse, ContinuedSession, CredentialsVersion, FactorRefused, Factors, NewEvent, NewOneTimeToken, NewSession,
    OwnedSession, RightCode, SignInEvents, StoredTotp,
};

/// The completion of a sign-in that waits for its second factor.
pub(crate) struct SecondFactorUse {
    /// The sign-in that waits.
    pub(crate) token: TokenUse,
    /// The credentials that the first factor was checked against.
    pub(crate) checked: CredentialsVersion,
    pub(crate) code: CodeUse,
    /// The token that signs in once more, for a form that is sent twice.
    pub(crate) repeated: NewOneTimeToken,
}

/// The purposes of the tokens of sign-ins under way.
const SIGN_INS_UNDER_WAY: [i64; 2] =
    [OneTimePurpose::PendingSignIn.number() as i64, OneTimePurpose::RepeatedSignIn.number() as i64];

type TotpRow = (Vec<u8>, i64, Option<i64>);

const SELECT_TOTP: Sql = request("SELECT sealed, last_step, confirmed_at FROM totp_secrets WHERE user_id = $1");

fn stored((sealed, last_step, confirmed_at): TotpRow) -> StoredTotp {
    StoredTotp {
        sealed,
        last_step: TotpStep(last_step.try_into().unwrap_or(0)),
        confirmed_at: confirmed_at.map(from_db_time),
    }
}

fn number(step: TotpStep) -> i64 {
    i64::try_from(step.0).unwrap_or(i64::MAX)
}

impl Tx<'_> {
    /// Uses up a code. Returns false if it was used before, on this node or another.
    async fn use_code(&mut self, user_id: UserId, used: CodeUse) -> Result<bool> {
        const STEP: Sql = request(
            "UPDATE totp_secrets SET last_step = $2 WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2",
        );
        const RECOVERY: Sql = request("DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2");
        let changed = match used.code {
            RightCode::Totp(step) => self.execute(STEP, &[user_id.into(), number(step).into()]).await?,
            RightCode::Recovery(hash) => {
                self.execute(RECOVERY, &[user_id.into(), hash.as_bytes().as_slice().into()]).await?
            }
        };
        if let Some(event) = used.event.filter(|_| changed > 0) {
            self.write_event(event).await?;
        }
        Ok(changed > 0)
    }

    /// Continues a session under its new secret, id and authentication. Returns false if it has ended.
    pub(super) async fn continue_session(&mut self, session: &ContinuedSession) -> Result<bool> {
        const SQL: Sql = request(
            "UPDATE sessions SET id_hash = $3, handle = $4, methods = $5, assurance = $6, authenticated_at = $7
             WHERE user_id = $1 AND id_hash = $2",
        );
        let authentication = session.authentication;
        let methods = authentication.methods().to_string();
        let args = [
            session.current.user_id.into(),
            (&session.current.secret_hash).into(),
            (&session.secret_hash).into(),
            session.session_id.into(),
            methods.as_str().into(),
            i64::from(authentication.assurance().get()).into(),
            authentication.at().into(),
        ];
        Ok(self.execute(SQL, &args).await? > 0)
    }

    /// Notes a change of the factors of a user: other sessions, one-time tokens and device cookies end, and this session continues.
    /// Returns false if it has ended, or the account is disabled.
    pub(super) async fn change_factors(&mut self, session: &ContinuedSession, now: Timestamp) -> Result<bool> {
        let user_id = session.current.user_id;
        let changed = self.raise_credentials_version(user_id, now).await?;
        self.end_other_sessions(user_id, session.current.secret_hash).await?;
        let continued = self.continue_session(session).await?;
        self.delete_tokens_of(user_id).await?;
        Ok(changed && continued)
    }

    /// Raises the version of the credentials of an account that is enabled, and voids its device cookies. Returns false otherwise.
    async fn raise_credentials_version(&mut self, user_id: UserId, now: Timestamp) -> Result<bool> {
        const SQL: Sql = request(
            "UPDATE users SET credentials_changed_at = $2, credentials_version = credentials_version + 1
             WHERE id = $1 AND disabled_at IS NULL",
        );
        Ok(self.execute(SQL, &[user_id.into(), now.into()]).await? > 0)
    }

    /// Uses up a sign-in that waits for its second factor. Returns false if it has ended, the credentials were changed since version
    /// `checked`, or the account is disabled.
    pub(super) async fn use_pending_sign_in(
        &mut self,
        token: TokenUse,
        checked: CredentialsVersion,
        session: &NewSession,
    ) -> Result<bool> {
        let is_unchanged = self.note_sign_in(checked, session).await?;
        let pending = self.consume_token(token.id, OneTimePurpose::PendingSignIn, token.now).await?;
        Ok(is_unchanged && pending.and_then(|pending| pending.user_id) == Some(session.user_id))
    }

    async fn replace_codes(&mut self, user_id: UserId, codes: &[RecoveryCodeHash]) -> Result<()> {
        const INSERT: Sql = request("INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)");
        self.delete_codes(user_id).await?;
        for hash in codes {
            self.execute(INSERT, &[user_id.into(), hash.as_bytes().as_slice().into()]).await?;
        }
        Ok(())
    }

    async fn delete_codes(&mut self, user_id: UserId) -> Result<()> {
        self.execute(request("DELETE FROM recovery_codes WHERE user_id = $1"), &[user_id.into()]).await.map(drop)
    }

    /// Whether a user has an authenticator app.
    pub(super) async fn has_totp(&mut self, user_id: UserId) -> Result<bool> {
        let row: Option<TotpRow> = self.fetch_optional(SELECT_TOTP, &[user_id.into()]).await?;
        Ok(row.map(stored).is_some_and(|stored| stored.confirmed_at.is_some()))
    }

    /// Deletes all second factors of a user.
    pub(super) async fn delete_factors(&mut self, user_id: UserId) -> Result<()> {
        self.execute(request("DELETE FROM totp_secrets WHERE user_id = $1"), &[user_id.into()]).await?;
        self.delete_codes(user_id).await
    }

    /// Ends the sign-ins of a user that wait for their second factor, and those that a form that is sent twice may repeat.
    pub(super) async fn delete_sign_ins_under_way(&mut self, user_id: UserId) -> Result<()> {
        const SQL: Sql = request("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose IN ($2, $3)");
        let [waiting, repeated] = SIGN_INS_UNDER_WAY;
        self.execute(SQL, &[user_id.into(), waiting.into(), repeated.into()]).await.map(drop)
    }

    /// The same for all users.
    pub(super) async fn delete_all_sign_ins_under_way(&mut self) -> Result<()> {
        const SQL: Sql = request("DELETE FROM one_time_tokens WHERE purpose IN ($1, $2)");
        self.execute(SQL, &SIGN_INS_UNDER_WAY.map(Arg::from)).await.map(drop)
    }

    /// Locks the row of a user. Returns false if the credentials were changed since version `checked`, or the account is disabled.
    pub(super) async fn check_credentials(&mut self, user_id: UserId, checked: CredentialsVersion) -> Result<bool> {
        const CHECK: Sql = request(
            "UPDATE users SET signed_in_at = signed_in_at WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL",
        );
        Ok(self.execute(CHECK, &[user_id.into(), checked.0.into()]).await? > 0)
    }

    /// Stores a sign-in that waits for its second factor, in place of the one with the id `replaced` and of those of the user that began
    /// before `stale`.
    pub(super) async fn store_pending_sign_in(
        &mut self,
        token: &NewOneTimeToken,
        user_id: UserId,
        replaced: Option<OneTimeId>,
        stale: Timestamp,
    ) -> Result<()> {
        const REPLACE: Sql = request("DELETE FROM one_time_tokens WHERE id = $1 AND purpose = $2");
        if let Some(id) = replaced {
            let purpose = i64::from(OneTimePurpose::PendingSignIn.number());
            self.execute(REPLACE, &[id.as_bytes().as_slice().into(), purpose.into()]).await?;
        }
        self.delete_pending_sign_ins(user_id, stale).await?;
        self.store_token(token).await
    }

    /// Deletes the sign-ins of a user that wait for their second factor, and began before this time.
    pub(super) async fn delete_pending_sign_ins(&mut self, user_id: UserId, before: Timestamp) -> Result<()> {
        const SQL: Sql = request("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose = $2 AND created_at < $3");
        let purpose = i64::from(OneTimePurpose::PendingSignIn.number());
        self.execute(SQL, &[user_id.into(), purpose.into(), before.into()]).await.map(drop)
    }
}

impl Store {
    /// The secret of a user's authenticator app, or the one that is being set up.
    pub(crate) async fn totp_of(&self, user_id: UserId) -> Result<Option<StoredTotp>> {
        let row: Option<TotpRow> = self.fetch_optional(Pool::Read, SELECT_TOTP, &[user_id.into()]).await?;
        Ok(row.map(stored))
    }

    /// Begins to set up an authenticator app in a session. A secret that was begun in it after `fresh_since` stays, so that a page that is
    /// loaded again shows the same one. Returns the secret that counts.
    pub(crate) async fn begin_totp(
        &self,
        (user_id, session_id): (UserId, Uuid),
        sealed: &[u8],
        now: Timestamp,
        fresh_since: Timestamp,
    ) -> Result<Option<StoredTotp>> {
        const BEGIN: Sql = request(
            "INSERT INTO totp_secrets (user_id, sealed, created_at, session_id) VALUES ($1, $2, $3, $5)
             ON CONFLICT (user_id) DO UPDATE
                SET sealed = excluded.sealed, created_at = excluded.created_at, session_id = excluded.session_id
             WHERE totp_secrets.confirmed_at IS NULL AND (totp_secrets.created_at < $4 OR totp_secrets.session_id <> $5)",
        );
        let mut tx = self.begin().await?;
        if !tx.lock_user(user_id).await? {
            return tx.rollback().await.map(|()| None);
        }
        let args = [user_id.into(), sealed.into(), now.into(), fresh_since.into(), session_id.into()];
        tx.execute(BEGIN, &args).await?;
        let row: Option<TotpRow> = tx.fetch_optional(SELECT_TOTP, &[user_id.into()]).await?;
        tx.commit().await?;
        Ok(row.map(stored))
    }

    /// Turns the secret `sealed` on that was set up in a session, as its user has typed the code of this step. Recovery codes are
    /// replaced, and the session continues; all others end.
    pub(crate) async fn confirm_totp(
        &self,
        session: &ContinuedSession,
        (sealed, set_up_in): (&[u8], Uuid),
        step: TotpStep,
        codes: &[RecoveryCodeHash],
        now: Timestamp,
        event: NewEvent,
    ) -> Result<Committed<Result<(), FactorRefused>>> {
        const CONFIRM: Sql = request(
            "UPDATE totp_secrets SET confirmed_at = $3, last_step = $4
             WHERE user_id = $1 AND sealed = $2 AND session_id = $5 AND confirmed_at IS NULL",
        );
        let user_id = session.current.user_id;
        let mut tx = self.begin().await?;
        if !tx.change_factors(session, now).await? {
            return tx.rollback_with(Err(FactorRefused::Ended)).await;
        }
        let args = [user_id.into(), sealed.into(), now.into(), number(step).into(), set_up_in.into()];
        if tx.execute(CONFIRM, &args).await? == 0 {
            return tx.rollback_with(Err(FactorRefused::CodeUsed)).await;
        }
        tx.replace_codes(user_id, codes).await?;
        tx.write_event(event).await?;
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(user_id)]).await
    }

    /// Removes the authenticator app of a user, and the recovery codes with it. The session continues; all others end.
    pub(crate) async fn remove_totp(
        &self,
        session: &ContinuedSession,
        now: Timestamp,
        event: NewEvent,
    ) -> Result<Committed<Result<(), FactorRefused>>> {
        let user_id = session.current.user_id;
        let mut tx = self.begin().await?;
        if !tx.change_factors(session, now).await? {
            return tx.rollback_with(Err(FactorRefused::Ended)).await;
        }
        tx.delete_factors(user_id).await?;
        tx.write_event(event).await?;
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(user_id)]).await
    }

    /// Replaces the recovery codes of a user in this session. Returns false if it has ended.
    pub(crate) async fn replace_recovery_codes(
        &self,
        session: OwnedSession,
        codes: &[RecoveryCodeHash],
        event: NewEvent,
    ) -> Result<bool> {
        const RAISE: Sql = request(
            "UPDATE users SET credentials_version = credentials_version + 1 WHERE id = $1 AND disabled_at IS NULL
               AND EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND id_hash = $2)",
        );
        let mut tx = self.begin().await?;
        if tx.execute(RAISE, &[session.user_id.into(), (&session.secret_hash).into()]).await? == 0 {
            return tx.rollback().await.map(|()| false);
        }
        tx.replace_codes(session.user_id, codes).await?;
        tx.write_event(event).await?;
        tx.commit().await.map(|()| true)
    }

    /// The password and the second factors of a user; none if there is no such user.
    pub(crate) async fn factors_of(&self, user_id: UserId) -> Result<Option<Factors>> {
        const SQL: Sql = request(
            "SELECT CASE WHEN password_hash IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END,
                (SELECT confirmed_at FROM totp_secrets WHERE user_id = users.id),
                (SELECT COUNT(*) FROM recovery_codes WHERE user_id = users.id),
                (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id)
             FROM users WHERE id = $1",
        );
        type Row = (i64, Option<i64>, i64, i64);
        let row: Option<Row> = self.fetch_optional(Pool::Read, SQL, &[user_id.into()]).await?;
        Ok(row.map(|(has_password, totp, codes, passkeys)| Factors {
            has_password: has_password > 0,
            totp_since: totp.map(from_db_time),
            recovery_codes: codes.try_into().unwrap_or(0),
            passkeys: passkeys.try_into().unwrap_or(0),
        }))
    }

    /// Whether this is a recovery code of the user that was not used.
    pub(crate) async fn has_recovery_code(&self, user_id: UserId, hash: RecoveryCodeHash) -> Result<bool> {
        const SQL: Sql = request("SELECT CAST(1 AS BIGINT) FROM recovery_codes WHERE user_id = $1 AND hash = $2");
        let args = [user_id.into(), hash.as_bytes().as_slice().into()];
        let found: Option<(i64,)> = self.fetch_optional(Pool::Read, SQL, &args).await?;
        Ok(found.is_some())
    }

    /// Removes all second factors and passkeys of a user, and ends all sessions and one-time tokens.
    pub(crate) async fn reset_factors(
        &self,
        user_id: UserId,
        now: Timestamp,
        event: NewEvent,
    ) -> Result<Committed<()>> {
        const RAISE: Sql = request(
            "UPDATE users SET credentials_changed_at = $2, credentials_version = credentials_version + 1 WHERE id = $1",
        );
        let mut tx = self.begin().await?;
        if tx.execute(RAISE, &[user_id.into(), now.into()]).await? > 0 {
            tx.delete_factors(user_id).await?;
            tx.delete_passkeys_of(user_id).await?;
            tx.end_all_sessions_of(user_id).await?;
            tx.delete_tokens_of(user_id).await?;
            tx.write_event(event).await?;
        }
        tx.commit_invalidating((), &[InvalidationScope::User(user_id)]).await
    }

    /// Stores a sign-in that waits for its second factor, unless the credentials were changed since version `checked` or the account
    /// was disabled. It replaces the one that the browser had before, and those of the user that began before `stale`. With
    /// `first_factor`, a mailed code is used up. Returns false if it was not stored.
    pub(crate) async fn begin_pending_sign_in(
        &self,
        token: &NewOneTimeToken,
        user_id: UserId,
        checked: CredentialsVersion,
        first_factor: Option<TokenUse>,
        replaced: Option<OneTimeId>,
        stale: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !tx.check_credentials(user_id, checked).await? {
            return tx.rollback().await.map(|()| false);
        }
        if let Some(code) = first_factor
            && tx.consume_token(code.id, OneTimePurpose::SignIn, code.now).await?.is_none()
        {
            return tx.rollback().await.map(|()| false);
        }
        tx.store_pending_sign_in(token, user_id, replaced, stale).await?;
        tx.commit().await.map(|()| true)
    }

    /// Completes a sign-in that waits for its second factor: uses up the code, and begins the session. The other sign-ins of the user
    /// that wait end. Returns how many longest unused sessions were ended to stay within the limit.
    pub(crate) async fn complete_pending_sign_in(
        &self,
        SecondFactorUse { token, checked, code, repeated }: SecondFactorUse,
        session: &NewSession,
        ended: &[OwnedSession],
        events: SignInEvents,
    ) -> Result<Committed<Result<u64, FactorRefused>>> {
        let user_id = session.user_id;
        let mut tx = self.begin().await?;
        if !tx.use_pending_sign_in(token, checked, session).await? {
            return tx.rollback_with(Err(FactorRefused::Ended)).await;
        }
        if !tx.use_code(user_id, code).await? {
            return tx.rollback_with(Err(FactorRefused::CodeUsed)).await;
        }
        tx.delete_sign_ins_under_way(user_id).await?;
        tx.store_token(&repeated).await?;
        let (changed, unused) = tx.replace_sessions(ended, session).await?;
        tx.write_sign_in_events(events, unused).await?;
        tx.commit_invalidating(Ok(unused), &changed).await
    }

    /// Begins a session by the token of a form that was sent twice, which is used up. None if it was used or has ended, or the
    /// credentials were changed since version `checked`.
    pub(crate) async fn repeat_sign_in(
        &self,
        token: TokenUse,
        checked: CredentialsVersion,
        session: &NewSession,
        ended: &[OwnedSession],
        events: SignInEvents,
    ) -> Result<Committed<Option<u64>>> {
        let user_id = session.user_id;
        let mut tx = self.begin().await?;
        let is_unchanged = tx.note_sign_in(checked, session).await?;
        let repeated = tx.consume_token(token.id, OneTimePurpose::RepeatedSignIn, token.now).await?;
        if !is_unchanged || repeated.and_then(|repeated| repeated.user_id) != Some(user_id) {
            return tx.rollback_with(None).await;
        }
        let (changed, unused) = tx.replace_sessions(ended, session).await?;
        tx.write_sign_in_events(events, unused).await?;
        tx.commit_invalidating(Some(unused), &changed).await
    }

    /// Has a user authenticate again in a session, which continues. A code is used up.
    pub(crate) async fn reauthenticate(
        &self,
        session: &ContinuedSession,
        code: Option<CodeUse>,
        event: NewEvent,
    ) -> Result<Committed<Result<(), FactorRefused>>> {
        let current = session.current;
        let mut tx = self.begin().await?;
        if !tx.continue_session(session).await? {
            return tx.rollback_with(Err(FactorRefused::Ended)).await;
        }
        if let Some(code) = code
            && !tx.use_code(current.user_id, code).await?
        {
            return tx.rollback_with(Err(FactorRefused::CodeUsed)).await;
        }
        tx.write_event(event).await?;
        tx.commit_invalidating(Ok(()), &[InvalidationScope::Session(current.secret_hash)]).await
    }

    /// Up to `most` users after this one whose sealed secrets do not begin with this key id, with those secrets.
    pub(crate) async fn totp_not_sealed_by(
        &self,
        key: [u8; 4],
        after: UserId,
        most: usize,
    ) -> Result<Vec<(UserId, Vec<u8>)>> {
        const SQL: Sql = maintenance(
            "SELECT user_id, sealed FROM totp_secrets WHERE substr(sealed, 1, 4) <> $1 AND user_id > $2
             ORDER BY user_id LIMIT $3",
        );
        let rows: Vec<(Uuid, Vec<u8>)> =
            self.fetch_all(Pool::Read, SQL, &[key.as_slice().into(), after.into(), limit(most)]).await?;
        Ok(rows.into_iter().map(|(id, sealed)| (UserId::from_uuid(id), sealed)).collect())
    }

    /// Replaces a sealed secret by the same one under another key.
    pub(crate) async fn replace_sealed_totp(&self, user_id: UserId, old: &[u8], new: &[u8]) -> Result<()> {
        const SQL: Sql = maintenance("UPDATE totp_secrets SET sealed = $3 WHERE user_id = $1 AND sealed = $2");
        let mut tx = self.begin().await?;
        tx.execute(SQL, &[user_id.into(), old.into(), new.into()]).await?;
        tx.commit().await
    }
}

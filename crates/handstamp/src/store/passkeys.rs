//! The table of passkeys: what a passkey allows, once for each ceremony.

use handstamp_core::UserId;
use uuid::Uuid;

use super::statement::{Pool, Sql, Tx, request};
use super::{Error, Result, Store, from_db_time};
use crate::model::Passkey;

/// The most passkeys that a user has.
#[cfg(feature = "passkeys")]
pub(crate) const PASSKEYS_PER_USER: i64 = 20;

/// A query for the columns of a [`Row`].
macro_rules! select_passkeys {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, credential_id, name, credential, counter, backup_eligible, backed_up, user_verified,
                created_at, used_at
             FROM passkeys ",
            $rest
        )
    };
}

type Row = (Uuid, Uuid, Vec<u8>, String, String, i64, i64, i64, i64, i64, Option<i64>);

fn passkey(row: Row) -> Result<Passkey> {
    let (id, user_id, credential_id, name, credential, counter, eligible, backed_up, verified, created_at, used_at) =
        row;
    Ok(Passkey {
        id,
        user_id: UserId::from_uuid(user_id),
        credential_id,
        name,
        credential,
        counter: counter.try_into().map_err(|_| Error::decode("a signature counter has 32 bits"))?,
        backup_eligible: eligible != 0,
        backed_up: backed_up != 0,
        user_verified: verified != 0,
        created_at: from_db_time(created_at),
        used_at: used_at.map(from_db_time),
    })
}

impl Tx<'_> {
    /// Deletes all passkeys of a user.
    pub(super) async fn delete_passkeys_of(&mut self, user_id: UserId) -> Result<u64> {
        const SQL: Sql = request("DELETE FROM passkeys WHERE user_id = $1");
        self.execute(SQL, &[user_id.into()]).await
    }
}

impl Store {
    /// The passkeys of a user, the oldest first.
    pub(crate) async fn passkeys_of(&self, user_id: UserId) -> Result<Vec<Passkey>> {
        const SQL: &str = select_passkeys!("WHERE user_id = $1 ORDER BY created_at, id");
        let rows: Vec<Row> = self.fetch_all(Pool::Read, request(SQL), &[user_id.into()]).await?;
        rows.into_iter().map(passkey).collect()
    }
}

/// The statements of the ceremonies.
#[cfg(feature = "passkeys")]
mod ceremonies {
    use handstamp_core::{EmailAddress, Timestamp};

    use super::super::TokenUse;
    use super::super::{Committed, InvalidationScope};
    use super::*;
    use crate::model::{
        ContinuedSession, CredentialsVersion, FactorRefused, NewEvent, NewSession, OwnedSession, PasskeyAdded,
        PasskeyOutcome, PasskeyRemoved, PasskeyUse, SignInEvents, UsedCeremony,
    };

    fn flag(value: bool) -> super::super::statement::Arg<'static> {
        i64::from(value).into()
    }

    impl Tx<'_> {
        /// Uses a ceremony and its passkey, if there is such a passkey and its signature counter grows (WebAuthn Level 3, 7.2, step 22).
        /// Two answers that were verified at once count in the order of the counter. An authenticator that does not count leaves it at
        /// zero.
        pub(in crate::store) async fn use_passkey(&mut self, used: &PasskeyUse) -> Result<PasskeyOutcome<()>> {
            const SQL: Sql = request(
                "UPDATE passkeys SET counter = $2, credential = $3, backed_up = $4, used_at = $6,
                    user_verified = CASE WHEN user_verified = 1 THEN user_verified ELSE $5 END
                 WHERE id = $1 AND (counter < $2 OR (counter = 0 AND $2 = 0))",
            );
            if !self.use_ceremony(used.ceremony).await? {
                return Ok(PasskeyOutcome::Replayed);
            }
            let args = [
                used.passkey.into(),
                i64::from(used.counter).into(),
                used.credential.as_str().into(),
                flag(used.backed_up),
                flag(used.user_verified),
                used.now.into(),
            ];
            let changed = self.execute(SQL, &args).await?;
            Ok(if changed > 0 { PasskeyOutcome::Done(()) } else { PasskeyOutcome::Changed })
        }
    }

    impl Store {
        /// The account with this address, and the ids of its passkeys as their authenticators know them.
        pub(crate) async fn credential_ids_by_email(
            &self,
            email: &EmailAddress,
        ) -> Result<(Option<UserId>, Vec<Vec<u8>>)> {
            // A row is returned in any case, so that an unknown address takes as long.
            const SQL: &str = "SELECT users.id, passkeys.credential_id FROM (SELECT 1) AS one
                 LEFT JOIN users ON users.email_key = $1 LEFT JOIN passkeys ON passkeys.user_id = users.id
                 ORDER BY passkeys.created_at, passkeys.id";
            type Row = (Option<Uuid>, Option<Vec<u8>>);
            let rows: Vec<Row> = self.fetch_all(Pool::Read, request(SQL), &[email.key().into()]).await?;
            let user = rows.first().and_then(|(user, _)| *user).map(UserId::from_uuid);
            Ok((user, rows.into_iter().filter_map(|(_, id)| id).collect()))
        }

        /// The passkey that an authenticator knows by this id.
        pub(crate) async fn passkey_by_credential_id(&self, credential_id: &[u8]) -> Result<Option<Passkey>> {
            const SQL: &str = select_passkeys!("WHERE credential_id = $1");
            let row: Option<Row> = self.fetch_optional(Pool::Read, request(SQL), &[credential_id.into()]).await?;
            row.map(passkey).transpose()
        }

        /// Signs a user in by a passkey, like [`sign_in`](Self::sign_in), and uses the passkey and its ceremony in the same
        /// transaction.
        pub(crate) async fn sign_in_by_passkey(
            &self,
            used: &PasskeyUse,
            checked: CredentialsVersion,
            session: &NewSession,
            ended: &[OwnedSession],
            events: SignInEvents,
        ) -> Result<Committed<PasskeyOutcome<u64>>> {
            let mut tx = self.begin().await?;
            if !tx.note_sign_in(checked, session).await? {
                return tx.rollback_with(PasskeyOutcome::Changed).await;
            }
            match tx.use_passkey(used).await? {
                PasskeyOutcome::Done(()) => {}
                PasskeyOutcome::Replayed => return tx.rollback_with(PasskeyOutcome::Replayed).await,
                PasskeyOutcome::Changed => return tx.rollback_with(PasskeyOutcome::Changed).await,
            }
            let (changed, unused) = tx.replace_sessions(ended, session).await?;
            tx.write_sign_in_events(events, unused).await?;
            tx.commit_invalidating(PasskeyOutcome::Done(unused), &changed).await
        }

        /// Completes a sign-in that waits for its second factor, like
        /// [`complete_pending_sign_in`](Self::complete_pending_sign_in), by a passkey.
        pub(crate) async fn complete_pending_sign_in_by_passkey(
            &self,
            token: TokenUse,
            checked: CredentialsVersion,
            used: &PasskeyUse,
            session: &NewSession,
            ended: &[OwnedSession],
            events: SignInEvents,
        ) -> Result<Committed<Result<PasskeyOutcome<u64>, FactorRefused>>> {
            let mut tx = self.begin().await?;
            if !tx.use_pending_sign_in(token, checked, session).await? {
                return tx.rollback_with(Err(FactorRefused::Ended)).await;
            }
            match tx.use_passkey(used).await? {
                PasskeyOutcome::Done(()) => {}
                PasskeyOutcome::Replayed => return tx.rollback_with(Ok(PasskeyOutcome::Replayed)).await,
                PasskeyOutcome::Changed => return tx.rollback_with(Ok(PasskeyOutcome::Changed)).await,
            }
            tx.delete_sign_ins_under_way(session.user_id).await?;
            let (changed, unused) = tx.replace_sessions(ended, session).await?;
            tx.write_sign_in_events(events, unused).await?;
            tx.commit_invalidating(Ok(PasskeyOutcome::Done(unused)), &changed).await
        }

        /// Has a user authenticate again by a passkey in a session, which continues.
        pub(crate) async fn confirm_by_passkey(
            &self,
            used: &PasskeyUse,
            session: &ContinuedSession,
            event: NewEvent,
        ) -> Result<Committed<PasskeyOutcome<()>>> {
            let current = session.current;
            let mut tx = self.begin().await?;
            if !tx.lock_user(current.user_id).await? || !tx.continue_session(session).await? {
                return tx.rollback_with(PasskeyOutcome::Changed).await;
            }
            let used = tx.use_passkey(used).await?;
            if used != PasskeyOutcome::Done(()) {
                return tx.rollback_with(used).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(used, &[InvalidationScope::Session(current.secret_hash)]).await
        }

        /// Adds a passkey of the user of a session, which continues. All others end.
        pub(crate) async fn add_passkey(
            &self,
            new: &Passkey,
            ceremony: UsedCeremony,
            session: &ContinuedSession,
            event: NewEvent,
        ) -> Result<Committed<PasskeyAdded>> {
            const COUNT: Sql = request("SELECT COUNT(*) FROM passkeys WHERE user_id = $1");
            const INSERT: Sql = request(
                "INSERT INTO passkeys (id, user_id, credential_id, name, credential, counter, backup_eligible, backed_up,
                    user_verified, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (credential_id) DO NOTHING",
            );
            let user_id = new.user_id;
            let mut tx = self.begin().await?;
            if !tx.change_factors(session, new.created_at).await? {
                return tx.rollback_with(PasskeyAdded::SignedOut).await;
            }
            if !tx.use_ceremony(ceremony).await? {
                return tx.rollback_with(PasskeyAdded::Replayed).await;
            }
            let (count,): (i64,) = tx.fetch_one(COUNT, &[user_id.into()]).await?;
            if count >= PASSKEYS_PER_USER {
                return tx.rollback_with(PasskeyAdded::TooMany).await;
            }
            let columns = [
                new.id.into(),
                user_id.into(),
                new.credential_id.as_slice().into(),
                new.name.as_str().into(),
                new.credential.as_str().into(),
                i64::from(new.counter).into(),
                flag(new.backup_eligible),
                flag(new.backed_up),
                flag(new.user_verified),
                new.created_at.into(),
            ];
            if tx.execute(INSERT, &columns).await? == 0 {
                return tx.rollback_with(PasskeyAdded::Taken).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(PasskeyAdded::Added, &[InvalidationScope::User(user_id)]).await
        }

        /// Removes a passkey, if its user can still sign in without it: by a password, by another passkey whose authenticator
        /// verifies the user, or at one of the `configured` providers. The session continues; all others end.
        pub(crate) async fn remove_passkey(
            &self,
            id: Uuid,
            configured: &[&str],
            session: &ContinuedSession,
            now: Timestamp,
            event: NewEvent,
        ) -> Result<Committed<PasskeyRemoved>> {
            const DELETE: Sql = request("DELETE FROM passkeys WHERE id = $1 AND user_id = $2");
            let user_id = session.current.user_id;
            let mut tx = self.begin().await?;
            // It locks the row of the user, so that two removals do not each count on what the other removes.
            if !tx.change_factors(session, now).await? {
                return tx.rollback_with(PasskeyRemoved::SignedOut).await;
            }
            if tx.execute(DELETE, &[id.into(), user_id.into()]).await? == 0 {
                return tx.rollback_with(PasskeyRemoved::NotFound).await;
            }
            if !tx.has_way_in(user_id, configured).await? {
                return tx.rollback_with(PasskeyRemoved::LastWayIn).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(PasskeyRemoved::Removed, &[InvalidationScope::User(user_id)]).await
        }
    }
}

//! The tables of passkeys and of used ceremonies: what a passkey allows, once for each ceremony.

use handstamp_core::{Timestamp, UserId};
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
    let (id, user_id, credential_id, name, credential, counter, eligible, backed_up, verified, created_at, used_at) = row;
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
    use handstamp_core::{EmailAddress, SessionSecretHash};

    use super::super::statement::{limit, maintenance};
    use super::super::{Committed, InvalidationScope};
    use super::*;
    use crate::model::{
        CredentialsVersion, NewEvent, NewSession, OwnedSession, PasskeyAdded, PasskeyOutcome, PasskeyRemoved,
        PasskeyUse, SignInEvents, UsedCeremony,
    };

    fn flag(value: bool) -> super::super::statement::Arg<'static> {
        i64::from(value).into()
    }

    impl Tx<'_> {
        /// Uses a ceremony. Returns false if it was used before: of many at once one is the first.
        pub(in crate::store) async fn use_ceremony(&mut self, ceremony: UsedCeremony) -> Result<bool> {
            const SQL: Sql = request(
                "INSERT INTO used_ceremonies (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
            );
            let args = [ceremony.id.0.as_slice().into(), ceremony.expires_at.into()];
            Ok(self.execute(SQL, &args).await? > 0)
        }

        /// Uses a ceremony and its passkey, if the passkey is as it was read. Otherwise another node has used it meanwhile.
        pub(in crate::store) async fn use_passkey(&mut self, used: &PasskeyUse) -> Result<PasskeyOutcome<()>> {
            const SQL: Sql = request(
                "UPDATE passkeys SET counter = $3, credential = $4, backup_eligible = $5, backed_up = $6,
                    user_verified = $7, used_at = $8
                 WHERE id = $1 AND counter = $2",
            );
            if !self.use_ceremony(used.ceremony).await? {
                return Ok(PasskeyOutcome::Replayed);
            }
            let args = [
                used.passkey.into(),
                i64::from(used.counter_before).into(),
                i64::from(used.counter).into(),
                used.credential.as_str().into(),
                flag(used.backup_eligible),
                flag(used.backed_up),
                flag(used.user_verified),
                used.now.into(),
            ];
            let changed = self.execute(SQL, &args).await?;
            Ok(if changed > 0 { PasskeyOutcome::Done(()) } else { PasskeyOutcome::Changed })
        }
    }

    impl Store {
        /// The ids of the passkeys of the account with this address, as its authenticators know them; none if there is no such
        /// account, or no passkey.
        pub(crate) async fn credential_ids_by_email(&self, email: &EmailAddress) -> Result<Vec<Vec<u8>>> {
            // A row is returned in any case, so that an unknown address takes as long.
            const SQL: &str = "SELECT passkeys.credential_id FROM (SELECT 1) AS one
                 LEFT JOIN users ON users.email_key = $1 LEFT JOIN passkeys ON passkeys.user_id = users.id
                 ORDER BY passkeys.created_at, passkeys.id";
            let rows: Vec<(Option<Vec<u8>>,)> = self.fetch_all(Pool::Read, request(SQL), &[email.key().into()]).await?;
            Ok(rows.into_iter().filter_map(|(id,)| id).collect())
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
            const SIGN_IN: Sql = request(
                "UPDATE users SET signed_in_at = $3
                 WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL",
            );
            let mut tx = self.begin().await?;
            let args = [session.user_id.into(), checked.0.into(), session.created_at.into()];
            if tx.execute(SIGN_IN, &args).await? == 0 {
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

        /// Deletes up to `most` ceremonies that have expired, and returns how many.
        pub(crate) async fn purge_ceremonies(&self, now: Timestamp, most: usize) -> Result<u64> {
            const SQL: Sql = maintenance(
                "DELETE FROM used_ceremonies WHERE id IN
                    (SELECT id FROM used_ceremonies WHERE expires_at <= $1 LIMIT $2)",
            );
            let mut tx = self.begin().await?;
            let purged = tx.execute(SQL, &[now.into(), limit(most)]).await?;
            tx.commit().await?;
            Ok(purged)
        }
    }
}

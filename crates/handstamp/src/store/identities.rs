//! The table of identities: the accounts at providers that are connected with users, and what they allow, once for each attempt.

use handstamp_core::UserId;
use uuid::Uuid;

use super::statement::{Pool, Sql, Tx, request};
use super::{Result, Store, from_db_time};
use crate::model::{Identity, SessionProvider};

/// A query for the columns of a [`Row`].
macro_rules! select_identities {
    ($rest:literal) => {
        concat!("SELECT id, user_id, provider, issuer, subject, email, created_at, used_at FROM identities ", $rest)
    };
}

type Row = (Uuid, Uuid, String, String, String, String, i64, Option<i64>);

fn identity((id, user_id, provider, issuer, subject, email, created_at, used_at): Row) -> Identity {
    Identity {
        id,
        user_id: UserId::from_uuid(user_id),
        provider,
        issuer,
        subject,
        email,
        created_at: from_db_time(created_at),
        used_at: used_at.map(from_db_time),
    }
}

impl Tx<'_> {
    /// Whether the identity of a session is still connected with this user.
    pub(super) async fn is_connected(&mut self, user_id: UserId, provider: &SessionProvider) -> Result<bool> {
        const SQL: Sql = request(
            "SELECT CAST(1 AS BIGINT) FROM identities WHERE id = $1 AND user_id = $2 AND issuer = $3 AND subject = $4",
        );
        let (issuer, subject) = (provider.issuer.as_str(), provider.subject.as_str());
        let args = [provider.identity_id.into(), user_id.into(), issuer.into(), subject.into()];
        let found: Option<(i64,)> = self.fetch_optional(SQL, &args).await?;
        Ok(found.is_some())
    }

    /// Disconnects all identities of a user.
    pub(super) async fn delete_identities_of(&mut self, user_id: UserId) -> Result<()> {
        self.execute(request("DELETE FROM identities WHERE user_id = $1"), &[user_id.into()]).await.map(drop)
    }
}

impl Store {
    /// The identities of a user, the oldest first.
    pub(crate) async fn identities_of(&self, user_id: UserId) -> Result<Vec<Identity>> {
        const SQL: &str = select_identities!("WHERE user_id = $1 ORDER BY created_at, id");
        let rows: Vec<Row> = self.fetch_all(Pool::Read, request(SQL), &[user_id.into()]).await?;
        Ok(rows.into_iter().map(identity).collect())
    }
}

/// The statements of attempts at providers.
#[cfg(feature = "federation")]
mod attempts {
    use handstamp_core::{OneTimeId, Timestamp};

    use super::super::{Committed, InvalidationScope};
    use super::*;
    use crate::model::{
        ContinuedSession, CredentialsVersion, IdentityConnected, IdentityCreated, IdentityRemoved, IdentitySignIn,
        IdentityUse, NewEvent, NewOneTimeToken, NewSession, NewUser, OwnedSession, SignInEvents,
    };

    impl Tx<'_> {
        /// Notes the use of an identity of a user, with the address that its provider tells now. Returns false if the user has no such
        /// identity any more.
        async fn note_use(&mut self, id: Uuid, user_id: UserId, used: &IdentityUse) -> Result<bool> {
            const SQL: Sql = request("UPDATE identities SET email = $3, used_at = $4 WHERE id = $1 AND user_id = $2");
            let args = [id.into(), user_id.into(), used.email.as_str().into(), used.now.into()];
            Ok(self.execute(SQL, &args).await? > 0)
        }

        /// Inserts an identity. Returns false if it is connected with a user already, or its user has one of its provider.
        pub(in crate::store) async fn insert_identity(&mut self, new: &Identity) -> Result<bool> {
            const SQL: Sql = request(
                "INSERT INTO identities (id, user_id, provider, issuer, subject, email, created_at, used_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            );
            let columns = [
                new.id.into(),
                new.user_id.into(),
                new.provider.as_str().into(),
                new.issuer.as_str().into(),
                new.subject.as_str().into(),
                new.email.as_str().into(),
                new.created_at.into(),
                new.used_at.into(),
            ];
            Ok(self.execute(SQL, &columns).await? > 0)
        }

        /// Whether an identity is connected with a user.
        async fn is_identity_taken(&mut self, new: &Identity) -> Result<bool> {
            const SQL: Sql = request("SELECT CAST(1 AS BIGINT) FROM identities WHERE issuer = $1 AND subject = $2");
            let args = [new.issuer.as_str().into(), new.subject.as_str().into()];
            let found: Option<(i64,)> = self.fetch_optional(SQL, &args).await?;
            Ok(found.is_some())
        }
    }

    impl Store {
        /// The identity of a subject of an issuer.
        pub(crate) async fn identity_of_subject(&self, issuer: &str, subject: &str) -> Result<Option<Identity>> {
            const SQL: &str = select_identities!("WHERE issuer = $1 AND subject = $2");
            let row: Option<Row> =
                self.fetch_optional(Pool::Read, request(SQL), &[issuer.into(), subject.into()]).await?;
            Ok(row.map(identity))
        }

        /// Signs a user in by an identity, like [`sign_in`](Self::sign_in), and uses the attempt in the same transaction.
        pub(crate) async fn sign_in_by_identity(
            &self,
            used: &IdentityUse,
            checked: CredentialsVersion,
            session: &NewSession,
            ended: &[OwnedSession],
            events: SignInEvents,
        ) -> Result<Committed<IdentitySignIn>> {
            let mut tx = self.begin().await?;
            if !tx.use_ceremony(used.attempt).await? {
                return tx.rollback_with(IdentitySignIn::Replayed).await;
            }
            let Some(provider) = &session.provider else {
                return tx.rollback_with(IdentitySignIn::Changed).await;
            };
            if !tx.note_sign_in(checked, session).await?
                || !tx.note_use(provider.identity_id, session.user_id, used).await?
            {
                return tx.rollback_with(IdentitySignIn::Changed).await;
            }
            let (changed, unused) = tx.replace_sessions(ended, session).await?;
            tx.write_sign_in_events(events, unused).await?;
            tx.commit_invalidating(IdentitySignIn::Done(unused), &changed).await
        }

        /// Stores a sign-in by an identity that waits for its second factor, like
        /// [`begin_pending_sign_in`](Self::begin_pending_sign_in), and uses the attempt in the same transaction.
        #[expect(
            clippy::too_many_arguments,
            reason = "they are those of a sign-in that waits, and those of an attempt"
        )]
        pub(crate) async fn begin_pending_sign_in_by_identity(
            &self,
            used: &IdentityUse,
            token: &NewOneTimeToken,
            provider: &SessionProvider,
            user_id: UserId,
            version: CredentialsVersion,
            replaced: Option<OneTimeId>,
            stale: Timestamp,
        ) -> Result<IdentitySignIn> {
            let mut tx = self.begin().await?;
            if !tx.use_ceremony(used.attempt).await? {
                return tx.rollback().await.map(|()| IdentitySignIn::Replayed);
            }
            if !tx.check_credentials(user_id, version).await?
                || !tx.may_begin_at(provider, user_id, used.now).await?
                || !tx.note_use(provider.identity_id, user_id, used).await?
            {
                return tx.rollback().await.map(|()| IdentitySignIn::Changed);
            }
            tx.store_pending_sign_in(token, user_id, replaced, stale).await?;
            tx.commit().await.map(|()| IdentitySignIn::Done(0))
        }

        /// Creates an account that is connected with an identity, with its first session. `ended` are the previous sessions of the
        /// browser. If both the identity and the address are taken, the outcome is the identity, which signs in.
        #[expect(clippy::too_many_arguments, reason = "they are those of a new account, and those of an attempt")]
        pub(crate) async fn create_user_with_identity(
            &self,
            user: &NewUser,
            identity: &Identity,
            used: &IdentityUse,
            session: &NewSession,
            ended: &[OwnedSession],
            event: NewEvent,
            connected: NewEvent,
        ) -> Result<Committed<IdentityCreated>> {
            let mut tx = self.begin().await?;
            if !tx.use_ceremony(used.attempt).await? {
                return tx.rollback_with(IdentityCreated::Replayed).await;
            }
            if !tx.insert_user(user, Some(session.created_at)).await? {
                let is_taken = tx.is_identity_taken(identity).await?;
                let outcome = if is_taken { IdentityCreated::IdentityTaken } else { IdentityCreated::EmailTaken };
                return tx.rollback_with(outcome).await;
            }
            if let Some(provider) = &session.provider
                && tx.is_ended_by_provider(provider, used.now).await?
            {
                return tx.rollback_with(IdentityCreated::LoggedOut).await;
            }
            if !tx.insert_identity(identity).await? {
                return tx.rollback_with(IdentityCreated::IdentityTaken).await;
            }
            let (changed, _) = tx.replace_sessions(ended, session).await?;
            tx.write_event(event).await?;
            tx.write_event(connected).await?;
            tx.commit_invalidating(IdentityCreated::Created, &changed).await
        }

        /// Connects an identity with the user of a session, which continues. All others end.
        pub(crate) async fn connect_identity(
            &self,
            identity: &Identity,
            used: &IdentityUse,
            session: &ContinuedSession,
            event: NewEvent,
        ) -> Result<Committed<IdentityConnected>> {
            let mut tx = self.begin().await?;
            if !tx.change_factors(session, used.now).await? {
                return tx.rollback_with(IdentityConnected::SignedOut).await;
            }
            if !tx.use_ceremony(used.attempt).await? {
                return tx.rollback_with(IdentityConnected::Replayed).await;
            }
            if !tx.insert_identity(identity).await? {
                let is_taken = tx.is_identity_taken(identity).await?;
                let outcome = if is_taken { IdentityConnected::Taken } else { IdentityConnected::ProviderTaken };
                return tx.rollback_with(outcome).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(IdentityConnected::Connected, &[InvalidationScope::User(identity.user_id)]).await
        }

        /// Disconnects the identity of a provider, if its user can still sign in without it, also at another one of the `configured`
        /// providers. The session continues; all others end.
        pub(crate) async fn remove_identity(
            &self,
            provider: &str,
            configured: &[&str],
            session: &ContinuedSession,
            now: Timestamp,
            event: NewEvent,
        ) -> Result<Committed<IdentityRemoved>> {
            const DELETE: Sql = request("DELETE FROM identities WHERE user_id = $1 AND provider = $2");
            let user_id = session.current.user_id;
            let mut tx = self.begin().await?;
            // It locks the row of the user, so that two removals do not each count on what the other removes.
            if !tx.change_factors(session, now).await? {
                return tx.rollback_with(IdentityRemoved::SignedOut).await;
            }
            if tx.execute(DELETE, &[user_id.into(), provider.into()]).await? == 0 {
                return tx.rollback_with(IdentityRemoved::NotFound).await;
            }
            if !tx.has_way_in(user_id, configured).await? {
                return tx.rollback_with(IdentityRemoved::LastWayIn).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(IdentityRemoved::Removed, &[InvalidationScope::User(user_id)]).await
        }

        /// Has a user authenticate again by an identity in a session, which continues.
        pub(crate) async fn confirm_by_identity(
            &self,
            identity: Uuid,
            used: &IdentityUse,
            session: &ContinuedSession,
            event: NewEvent,
        ) -> Result<Committed<IdentitySignIn>> {
            let current = session.current;
            let mut tx = self.begin().await?;
            if !tx.use_ceremony(used.attempt).await? {
                return tx.rollback_with(IdentitySignIn::Replayed).await;
            }
            if !tx.lock_user(current.user_id).await?
                || !tx.continue_session(session).await?
                || !tx.note_use(identity, current.user_id, used).await?
            {
                return tx.rollback_with(IdentitySignIn::Changed).await;
            }
            tx.write_event(event).await?;
            tx.commit_invalidating(IdentitySignIn::Done(0), &[InvalidationScope::Session(current.secret_hash)]).await
        }
    }
}

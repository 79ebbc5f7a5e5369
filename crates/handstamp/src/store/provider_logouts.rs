//! The table of what providers have ended. A sign-in at a provider and a logout by it may come at the same time; whichever locks the
//! row of their key second sees what the other has done.

use handstamp_core::Timestamp;
use sha2::{Digest, Sha256};

use super::statement::{Sql, Tx, request};
use super::{Result, to_db_time};
use crate::model::SessionProvider;

/// The sessions at one issuer that a logout ends. All transactions lock their rows in this order, so that no two wait for each other.
#[derive(Clone, Copy)]
enum Ended<'a> {
    /// One session, by its id at the provider.
    Session(&'a str),
    /// Those of a subject that have no id.
    WithoutId(&'a str),
    /// All sessions of a subject.
    Subject(&'a str),
}

impl Ended<'_> {
    /// The key of the row.
    fn key(self, issuer: &str) -> [u8; 32] {
        let (kind, value) = match self {
            Self::Session(id) => ("session", id),
            Self::WithoutId(subject) => ("subject, without id", subject),
            Self::Subject(subject) => ("subject", subject),
        };
        let mut hash = Sha256::new();
        for part in [kind, issuer, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl Tx<'_> {
    /// Whether the provider has ended a sign-in that is about to be completed. It has by any logout of its session, and by one of its
    /// subject that was issued no earlier than the ID token. It waits for a logout that is under way, and one that comes later waits for this
    /// transaction.
    pub(super) async fn is_ended_by_provider(&mut self, provider: &SessionProvider, now: Timestamp) -> Result<bool> {
        // Reading would lock nothing where there is no row yet.
        const LOCK: Sql = request(
            "INSERT INTO provider_logouts (key, issued_at, expires_at) VALUES ($1, 0, $2)
             ON CONFLICT (key) DO UPDATE SET issued_at = provider_logouts.issued_at RETURNING issued_at",
        );
        let SessionProvider { issuer, subject, session_id, issued_at, .. } = provider;
        let ended_by = match session_id {
            Some(id) => [Ended::Session(id), Ended::Subject(subject)],
            None => [Ended::WithoutId(subject), Ended::Subject(subject)],
        };
        let mut is_ended = false;
        for ended in ended_by {
            let key = ended.key(issuer);
            let (logged_out_at,): (i64,) = self.fetch_one(LOCK, &[key.as_slice().into(), now.into()]).await?;
            let is_later = matches!(ended, Ended::Session(_)) || logged_out_at >= to_db_time(*issued_at);
            is_ended |= logged_out_at > 0 && is_later;
        }
        Ok(is_ended)
    }
}

/// The statements of logouts.
#[cfg(feature = "federation")]
mod logouts {
    use std::collections::BTreeMap;

    use handstamp_core::UserId;
    use uuid::Uuid;

    use super::super::statement::{limit, maintenance};
    use super::super::{Committed, InvalidationScope, Store};
    use super::*;
    use crate::model::{NewEvent, ProviderLogout};

    impl Tx<'_> {
        /// Remembers what a logout ends. It waits for sign-ins that are under way, whose sessions the next statements then see.
        pub(in crate::store) async fn remember_logout(&mut self, logout: &ProviderLogout) -> Result<()> {
            const REMEMBER: Sql = request(
                "INSERT INTO provider_logouts (key, issued_at, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (key) DO UPDATE SET
                    issued_at = CASE WHEN provider_logouts.issued_at < excluded.issued_at
                        THEN excluded.issued_at ELSE provider_logouts.issued_at END,
                    expires_at = CASE WHEN provider_logouts.expires_at < excluded.expires_at
                        THEN excluded.expires_at ELSE provider_logouts.expires_at END",
            );
            let ended = match (logout.session_id.as_deref(), logout.subject.as_deref()) {
                (Some(id), Some(subject)) => vec![Ended::Session(id), Ended::WithoutId(subject)],
                (Some(id), None) => vec![Ended::Session(id)],
                (None, Some(subject)) => vec![Ended::Subject(subject)],
                (None, None) => Vec::new(),
            };
            // Zero means that nothing has ended.
            let issued_at = to_db_time(logout.issued_at).max(1);
            for ended in ended {
                let key = ended.key(&logout.issuer);
                self.execute(REMEMBER, &[key.as_slice().into(), issued_at.into(), logout.expires_at.into()]).await?;
            }
            Ok(())
        }

        /// Deletes the sessions that a logout ends. Returns the user of each.
        async fn end_sessions_by_provider(&mut self, logout: &ProviderLogout) -> Result<Vec<UserId>> {
            const BY_ID: Sql = request(
                "DELETE FROM sessions WHERE provider_session_id = $2
                   AND identity_id IN (SELECT id FROM identities WHERE issuer = $1) RETURNING user_id",
            );
            const BY_SUBJECT: Sql = request(
                "DELETE FROM sessions
                 WHERE identity_id IN (SELECT id FROM identities WHERE issuer = $1 AND subject = $2) RETURNING user_id",
            );
            const WITHOUT_ID: Sql = request(
                "DELETE FROM sessions WHERE provider_session_id IS NULL
                   AND identity_id IN (SELECT id FROM identities WHERE issuer = $1 AND subject = $2) RETURNING user_id",
            );
            let mut ended: Vec<(Uuid,)> = match logout.session_id.as_deref() {
                Some(id) => self.fetch_all(BY_ID, &[logout.issuer.as_str().into(), id.into()]).await?,
                None => Vec::new(),
            };
            if let Some(subject) = logout.subject.as_deref() {
                let sql = if logout.session_id.is_some() { WITHOUT_ID } else { BY_SUBJECT };
                let args = [logout.issuer.as_str().into(), subject.into()];
                ended.extend(self.fetch_all::<(Uuid,)>(sql, &args).await?);
            }
            Ok(ended.into_iter().map(|(id,)| UserId::from_uuid(id)).collect())
        }

        /// The user with whom the subject of a logout is connected.
        async fn user_of_logout(&mut self, logout: &ProviderLogout) -> Result<Option<UserId>> {
            const SQL: Sql = request("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2");
            let Some(subject) = logout.subject.as_deref() else { return Ok(None) };
            let user: Option<(Uuid,)> =
                self.fetch_optional(SQL, &[logout.issuer.as_str().into(), subject.into()]).await?;
            Ok(user.map(|(id,)| UserId::from_uuid(id)))
        }
    }

    impl Store {
        /// Ends what a provider has ended: its sessions here, the sign-ins of their users that are under way, and for good those at the
        /// provider that are not completed yet. Each user of these sessions gets the event. Returns how many sessions have ended.
        pub(crate) async fn end_provider_sessions(
            &self,
            logout: &ProviderLogout,
            event: NewEvent,
        ) -> Result<Committed<u64>> {
            let mut tx = self.begin().await?;
            tx.remember_logout(logout).await?;
            let mut ended_of: BTreeMap<Uuid, u64> = BTreeMap::new();
            for user in tx.end_sessions_by_provider(logout).await? {
                *ended_of.entry(user.as_uuid()).or_default() += 1;
            }
            if let Some(user) = tx.user_of_logout(logout).await? {
                ended_of.entry(user.as_uuid()).or_default();
            }
            let users: Vec<UserId> = ended_of.keys().copied().map(UserId::from_uuid).collect();
            for user in &users {
                tx.delete_sign_ins_under_way(*user).await?;
            }
            for (event, ended) in event.about_each(&users).into_iter().zip(ended_of.values()) {
                tx.write_revocation(*ended, event).await?;
            }
            let ended = ended_of.values().sum();
            if users.is_empty() {
                // An earlier try may have ended the sessions, which some node may still cache.
                return tx.commit_at_newest(ended).await;
            }
            let changed: Vec<_> = users.into_iter().map(InvalidationScope::User).collect();
            tx.commit_invalidating(ended, &changed).await
        }

        /// Deletes up to `most` logouts before which no sign-in can be under way any more, and returns how many.
        pub(crate) async fn purge_provider_logouts(&self, now: Timestamp, most: usize) -> Result<u64> {
            // A row may be renewed while it is waited for: its time is compared again.
            const SQL: Sql = maintenance(
                "DELETE FROM provider_logouts WHERE expires_at <= $1 AND key IN
                    (SELECT key FROM provider_logouts WHERE expires_at <= $1 LIMIT $2)",
            );
            let mut tx = self.begin().await?;
            let purged = tx.execute(SQL, &[now.into(), limit(most)]).await?;
            tx.commit().await?;
            Ok(purged)
        }
    }
}

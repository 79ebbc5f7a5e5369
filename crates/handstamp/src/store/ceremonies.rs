//! The table of used ceremonies: each ceremony of passkeys, and each attempt at a provider, allows one act.

use handstamp_core::Timestamp;

#[cfg(feature = "federation")]
use super::statement::Pool;
use super::statement::{Sql, Tx, limit, maintenance, request};
use super::{Result, Store};
#[cfg(feature = "federation")]
use crate::model::CeremonyId;
use crate::model::UsedCeremony;

impl Tx<'_> {
    /// Uses a ceremony. Returns false if it was used before, or began in an earlier epoch, whose used ceremonies are not all known: of
    /// many at once one is the first.
    pub(super) async fn use_ceremony(&mut self, ceremony: UsedCeremony) -> Result<bool> {
        const SQL: Sql = request(
            "INSERT INTO used_ceremonies (id, expires_at) SELECT $1, $2 FROM change_counter
             WHERE id = 1 AND (epoch_began_at IS NULL OR epoch_began_at < $3) ON CONFLICT (id) DO NOTHING",
        );
        let args = [ceremony.id.0.as_slice().into(), ceremony.expires_at.into(), ceremony.began_at.into()];
        Ok(self.execute(SQL, &args).await? > 0)
    }
}

impl Store {
    /// Whether a ceremony was used. A request that uses it at the same time is not seen.
    #[cfg(feature = "federation")]
    pub(crate) async fn is_ceremony_used(&self, id: CeremonyId) -> Result<bool> {
        const SQL: Sql = request("SELECT CAST(1 AS BIGINT) FROM used_ceremonies WHERE id = $1");
        let row: Option<(i64,)> = self.fetch_optional(Pool::Read, SQL, &[id.0.as_slice().into()]).await?;
        Ok(row.is_some())
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

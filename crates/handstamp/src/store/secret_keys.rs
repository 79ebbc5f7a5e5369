//! The tables of the secret keys that nodes know, and of the times until which each key may have signed.

use handstamp_core::{SecretKeyId, Timestamp};
use uuid::Uuid;

use super::statement::{Pool, Sql, maintenance};
use super::{Result, Store, from_db_time};
use crate::model::{KeyNode, SigningTimes};

type NodeColumns = (Uuid, String, String, i64, i64);

fn node((id, name, keys, beats, seen_at): NodeColumns) -> KeyNode {
    // A newer version may write ids in another form. Those keys count as unknown.
    let keys = keys.split(',').filter_map(|key| key.parse().ok()).collect();
    KeyNode { id, name, keys, beats, seen_at: from_db_time(seen_at) }
}

/// The stored form of the ids.
fn joined(keys: &[SecretKeyId]) -> String {
    keys.iter().map(SecretKeyId::to_string).collect::<Vec<_>>().join(",")
}

impl Store {
    /// Writes the row of a node, and counts that it did.
    pub(crate) async fn announce_keys(&self, id: Uuid, name: &str, keys: &[SecretKeyId], now: Timestamp) -> Result<()> {
        const SQL: Sql = maintenance(
            "INSERT INTO secret_key_nodes (id, name, keys, beats, seen_at) VALUES ($1, $2, $3, 1, $4)
             ON CONFLICT (id) DO UPDATE
                SET keys = excluded.keys, beats = secret_key_nodes.beats + 1, seen_at = excluded.seen_at",
        );
        let mut tx = self.begin().await?;
        tx.execute(SQL, &[id.into(), name.into(), joined(keys).as_str().into(), now.into()]).await?;
        tx.commit().await
    }

    /// The rows of all nodes, by their names.
    pub(crate) async fn key_nodes(&self) -> Result<Vec<KeyNode>> {
        const SQL: Sql = maintenance("SELECT id, name, keys, beats, seen_at FROM secret_key_nodes ORDER BY name, id");
        let rows: Vec<NodeColumns> = self.fetch_all(Pool::Read, SQL, &[]).await?;
        Ok(rows.into_iter().map(node).collect())
    }

    /// Deletes the row of a node that stops.
    pub(crate) async fn forget_keys_of(&self, id: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.execute(maintenance("DELETE FROM secret_key_nodes WHERE id = $1"), &[id.into()]).await?;
        tx.commit().await
    }

    /// Deletes the row of a node that is gone, unless it has written the row since it was read.
    pub(crate) async fn forget_key_node(&self, node: &KeyNode) -> Result<()> {
        const SQL: Sql = maintenance("DELETE FROM secret_key_nodes WHERE id = $1 AND beats = $2");
        let mut tx = self.begin().await?;
        tx.execute(SQL, &[node.id.into(), node.beats.into()]).await?;
        tx.commit().await
    }

    /// Notes that these keys sign from a time, unless they did before, until another, unless a later one is noted.
    pub(crate) async fn note_signing(&self, keys: &[SecretKeyId], since: Timestamp, until: Timestamp) -> Result<()> {
        const SQL: Sql = maintenance(
            "INSERT INTO secret_keys (id, signed_since, signed_until) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET signed_until = excluded.signed_until
             WHERE secret_keys.signed_until < excluded.signed_until",
        );
        let mut tx = self.begin().await?;
        for key in keys {
            tx.execute(SQL, &[key.to_string().as_str().into(), since.into(), until.into()]).await?;
        }
        tx.commit().await
    }

    /// When each key that has ever signed did so.
    pub(crate) async fn signing_times(&self) -> Result<Vec<SigningTimes>> {
        const SQL: Sql = maintenance("SELECT id, signed_since, signed_until FROM secret_keys ORDER BY id");
        let rows: Vec<(String, i64, i64)> = self.fetch_all(Pool::Read, SQL, &[]).await?;
        let times = |(id, since, until): (String, i64, i64)| {
            Some(SigningTimes { key: id.parse().ok()?, since: from_db_time(since), until: from_db_time(until) })
        };
        Ok(rows.into_iter().filter_map(times).collect())
    }

    /// How many secrets of authenticator apps begin with this key id.
    pub(crate) async fn count_totp_sealed_by(&self, key: [u8; 4]) -> Result<u64> {
        const SQL: Sql = maintenance("SELECT COUNT(*) FROM totp_secrets WHERE substr(sealed, 1, 4) = $1");
        let count: Option<(i64,)> = self.fetch_optional(Pool::Read, SQL, &[key.as_slice().into()]).await?;
        Ok(count.and_then(|(count,)| count.try_into().ok()).unwrap_or(0))
    }
}

//! The table of the outbox: messages that wait to be sent.

use std::sync::LazyLock;
use std::time::Duration;

use handstamp_core::{OneTimeId, Timestamp, UserId};
use uuid::Uuid;

use super::statement::{Pool, Sql, Tx, maintenance, request};
use super::status::COUNTED_MESSAGES;
use super::{Error, Result, Store, from_db_time};
use crate::model::{NewOneTimeToken, NewOutboxMessage, OutboxChannel, OutboxKind, OutboxMessage};

type Row = (Uuid, String, Option<Uuid>, String, String, Option<Vec<u8>>, i64, i64);

fn message(row: Row) -> Result<OutboxMessage> {
    let (id, kind, user_id, recipient, content, token_id, created_at, attempts) = row;
    let token_id = token_id.map(|bytes| bytes.try_into().map(OneTimeId::from_bytes)).transpose();
    Ok(OutboxMessage {
        id,
        kind: OutboxKind::from_name(&kind),
        user_id: user_id.map(UserId::from_uuid),
        recipient,
        content,
        token_id: token_id.map_err(|_| Error::decode("the id of a one-time token has 16 bytes"))?,
        created_at: from_db_time(created_at),
        attempts: attempts.try_into().unwrap_or(u32::MAX),
    })
}

impl Tx<'_> {
    /// Adds a message, which is due at once.
    pub(super) async fn enqueue(&mut self, message: &NewOutboxMessage) -> Result<()> {
        const SQL: Sql = request(
            "INSERT INTO outbox (id, kind, user_id, recipient, content, token_id, created_at, due_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        );
        let token_id = message.token_id;
        let columns = [
            message.id.into(),
            message.kind.name().into(),
            message.user_id.into(),
            message.recipient.as_str().into(),
            message.content.as_str().into(),
            token_id.as_ref().map(|id| id.as_bytes().as_slice()).into(),
            message.created_at.into(),
        ];
        self.execute(SQL, &columns).await.map(drop)
    }
}

impl Store {
    /// Adds a message by itself, without an act.
    pub(crate) async fn enqueue(&self, message: &NewOutboxMessage) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.enqueue(message).await?;
        tx.commit().await
    }

    /// Adds a message with the token of its link.
    pub(crate) async fn enqueue_with_token(&self, token: &NewOneTimeToken, message: &NewOutboxMessage) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.store_token(token).await?;
        tx.enqueue(message).await?;
        tx.commit().await
    }

    /// Claims the message of a channel that has been due for longest, until `until`: another node may try it then. A due time further
    /// ahead than `longest` was set by a clock that was wrong and does not count. A message of a kind that this version does not know
    /// is left to a node of a newer one.
    pub(crate) async fn claim_message(
        &self,
        channel: OutboxChannel,
        now: Timestamp,
        longest: Duration,
        until: Timestamp,
    ) -> Result<Option<OutboxMessage>> {
        static FIND: LazyLock<[String; 2]> = LazyLock::new(|| {
            OutboxChannel::ALL.map(|channel| {
                format!(
                    "SELECT id, due_at FROM outbox WHERE (due_at <= $1 OR due_at > $2) AND {} ORDER BY due_at, id LIMIT 1",
                    is_of(channel)
                )
            })
        });
        const CLAIM: Sql = maintenance(
            "UPDATE outbox SET due_at = $3, attempts = attempts + 1 WHERE id = $1 AND due_at = $2
             RETURNING id, kind, user_id, recipient, content, token_id, created_at, attempts",
        );
        let due = [now.into(), now.after(longest).into()];
        loop {
            let found: Option<(Uuid, i64)> =
                self.fetch_optional(Pool::Read, maintenance(&FIND[channel as usize]), &due).await?;
            let Some((id, due_at)) = found else { return Ok(None) };
            let mut tx = self.begin().await?;
            let claimed: Option<Row> = tx.fetch_optional(CLAIM, &[id.into(), due_at.into(), until.into()]).await?;
            tx.commit().await?;
            if let Some(row) = claimed {
                return message(row).map(Some);
            }
        }
    }

    /// Deletes a message: it was sent, or never will be.
    pub(crate) async fn finish_message(&self, id: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.execute(maintenance("DELETE FROM outbox WHERE id = $1"), &[id.into()]).await?;
        tx.commit().await
    }

    /// Has a message tried again at this time, if the claim until `claimed_until` is still the last one, and notes why it failed.
    pub(crate) async fn postpone_message(
        &self,
        id: Uuid,
        claimed_until: Timestamp,
        due_at: Timestamp,
        error: &str,
    ) -> Result<()> {
        const SQL: Sql = maintenance("UPDATE outbox SET due_at = $3, last_error = $4 WHERE id = $1 AND due_at = $2");
        let mut tx = self.begin().await?;
        tx.execute(SQL, &[id.into(), claimed_until.into(), due_at.into(), error.into()]).await?;
        tx.commit().await
    }

    /// How many messages are due and not claimed.
    #[cfg(test)]
    pub(crate) async fn due_messages(&self, now: Timestamp) -> Result<i64> {
        const SQL: Sql = maintenance("SELECT COUNT(*) FROM outbox WHERE due_at <= $1");
        let (count,): (i64,) = self.fetch_one(Pool::Read, SQL, &[now.into()]).await?;
        Ok(count)
    }

    /// The number of messages of a channel up to one more than [`COUNTED_MESSAGES`], and when the oldest was written.
    pub(crate) async fn waiting_messages(&self, channel: OutboxChannel) -> Result<(u64, Option<Timestamp>)> {
        static COUNT: LazyLock<[String; 2]> = LazyLock::new(|| {
            OutboxChannel::ALL.map(|channel| {
                format!("SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE {} LIMIT $1) AS counted", is_of(channel))
            })
        });
        static OLDEST: LazyLock<[String; 2]> = LazyLock::new(|| {
            OutboxChannel::ALL
                .map(|channel| format!("SELECT created_at FROM outbox WHERE {} ORDER BY id LIMIT 1", is_of(channel)))
        });
        let most = i64::try_from(COUNTED_MESSAGES + 1).unwrap_or(i64::MAX);
        let (count,): (i64,) = self.fetch_one(Pool::Read, request(&COUNT[channel as usize]), &[most.into()]).await?;
        let oldest: Option<(i64,)> = self.fetch_optional(Pool::Read, request(&OLDEST[channel as usize]), &[]).await?;
        Ok((count.try_into().unwrap_or(0), oldest.map(|(at,)| from_db_time(at))))
    }

    /// The number of messages of a channel, and when the oldest was written.
    pub(crate) async fn outbox_size(&self, channel: OutboxChannel) -> Result<(u64, Option<Timestamp>)> {
        static SIZE: LazyLock<[String; 2]> = LazyLock::new(|| {
            OutboxChannel::ALL
                .map(|channel| format!("SELECT COUNT(*), MIN(created_at) FROM outbox WHERE {}", is_of(channel)))
        });
        let sql = maintenance(&SIZE[channel as usize]);
        let (count, oldest): (i64, Option<i64>) = self.fetch_one(Pool::Read, sql, &[]).await?;
        Ok((count.try_into().unwrap_or(0), oldest.map(from_db_time)))
    }
}

/// The condition that a message is of a kind of this channel.
fn is_of(channel: OutboxChannel) -> String {
    let kinds = OutboxKind::ALL.into_iter().filter(|kind| kind.channel() == channel);
    format!("kind IN ({})", kinds.map(|kind| format!("'{}'", kind.name())).collect::<Vec<_>>().join(", "))
}

//! The outbox: claims messages that are due, finishes them, and has those that could not be delivered tried again later. The
//! channels are `mail` and `webhooks`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{JobOutcome, Services};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{OutboxChannel, OutboxMessage};

/// How long a node may take for one message before another may try it: the limit of sending, and what preparing and finishing may
/// take.
const CLAIM: Duration = Duration::from_secs(180);
/// The wait after the first failure. It doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3600);
/// How long a message is tried.
const TRIED_FOR: Duration = Duration::from_secs(2 * 86_400);
/// No right clock sets a due time further ahead: that is the longest wait with its random part.
const LONGEST_DUE: Duration = Duration::from_secs(5 * 3600);
/// The wait before a message that was delivered is deleted once more, when the database did not answer.
const FINISH_AGAIN: Duration = Duration::from_secs(1);

const MESSAGES: &str = "handstamp_outbox_messages";
const OLDEST: &str = "handstamp_outbox_oldest_seconds";

/// The outbox as this node knows it.
pub(crate) struct Outbox {
    pub(crate) mails: Queue,
    pub(crate) webhooks: Queue,
}

/// The messages of one channel as this node knows them.
pub(crate) struct Queue {
    /// Whether this process delivers them.
    pub(super) is_delivered: bool,
    /// Wakes one of the jobs that deliver them.
    changed: Notify,
    messages: AtomicU64,
    /// When the oldest message was written, in seconds since the Unix epoch; 0 if there is none.
    oldest: AtomicU64,
}

impl Outbox {
    /// The outbox of a process that delivers mails, webhooks, both or none.
    pub(super) fn new(mails: bool, webhooks: bool) -> Self {
        metrics::describe_gauge!(MESSAGES, "Messages in the outbox that are not delivered yet, by channel");
        metrics::describe_gauge!(OLDEST, "Seconds since the oldest of them was written, by channel");
        Self { mails: Queue::new(mails), webhooks: Queue::new(webhooks) }
    }

    pub(super) fn of(&self, channel: OutboxChannel) -> &Queue {
        match channel {
            OutboxChannel::Mail => &self.mails,
            OutboxChannel::Webhook => &self.webhooks,
        }
    }
}

impl Queue {
    fn new(is_delivered: bool) -> Self {
        Self { is_delivered, changed: Notify::new(), messages: AtomicU64::new(0), oldest: AtomicU64::new(0) }
    }

    /// The signal that there may be a message to deliver.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Has the messages looked at now. Every act that has committed one calls it; without it the message waits for some seconds.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// A message that this node has claimed, and until when.
pub(super) struct Claimed {
    pub(super) message: OutboxMessage,
    pub(super) until: Timestamp,
}

/// The fate of a message that was not delivered.
pub(super) enum Undelivered {
    /// It is tried again after so many seconds.
    Deferred { seconds: u64 },
    /// It was tried for two days, and is not tried again.
    GivenUp,
}

impl Services {
    /// Measures the outbox, and wakes a job if there are messages: of other processes, or due again.
    pub(crate) async fn watch_outbox(&self) -> Result<JobOutcome, InternalError> {
        for channel in OutboxChannel::ALL {
            let queue = self.outbox.of(channel);
            if !queue.is_delivered {
                continue;
            }
            let (messages, oldest) = self.store.outbox_size(channel).await?;
            queue.messages.store(messages, Ordering::Relaxed);
            queue.oldest.store(oldest.map_or(0, Timestamp::unix_seconds), Ordering::Relaxed);
            if messages > 0 {
                queue.wake();
            }
        }
        Ok(JobOutcome::Done)
    }

    /// Updates the gauges of the outbox.
    pub(crate) fn record_outbox_gauges(&self) {
        let now = self.sessions.now().unix_seconds();
        for channel in OutboxChannel::ALL {
            let queue = self.outbox.of(channel);
            let oldest = Some(queue.oldest.load(Ordering::Relaxed)).filter(|oldest| *oldest > 0);
            metrics::gauge!(MESSAGES, "channel" => channel.name()).set(queue.messages.load(Ordering::Relaxed) as f64);
            metrics::gauge!(OLDEST, "channel" => channel.name())
                .set(oldest.map_or(0, |oldest| now.saturating_sub(oldest)) as f64);
        }
    }

    /// Claims the message of a channel that has been due for longest. Another job is woken, since there may be more.
    pub(super) async fn claim_next_message(&self, channel: OutboxChannel) -> Result<Option<Claimed>, InternalError> {
        let now = self.sessions.now();
        let until = now.after(CLAIM);
        let claimed = self.store.claim_message(channel, now, LONGEST_DUE, until).await?;
        if claimed.is_some() {
            self.outbox.of(channel).wake();
        }
        Ok(claimed.map(|message| Claimed { message, until }))
    }

    /// Has a message that could not be delivered, and why, tried again, unless it was tried for long enough.
    pub(super) async fn try_again_later(&self, claimed: &Claimed, error: &str) -> Result<Undelivered, InternalError> {
        let Claimed { message, until } = claimed;
        let now = self.sessions.now();
        let last = message.created_at.after(TRIED_FOR);
        if now >= last {
            self.store.finish_message(message.id).await?;
            return Ok(Undelivered::GivenUp);
        }
        let [random] = self.environment.random();
        let due_at = now.after(wait_after(message.attempts, random)).min(last);
        self.store.postpone_message(message.id, *until, due_at, &shortened(error)).await?;
        Ok(Undelivered::Deferred { seconds: due_at.since(now).as_secs() })
    }

    /// Deletes a message that was delivered, for as long as it takes: otherwise it would be delivered again.
    pub(super) async fn finish_delivered(&self, message: &OutboxMessage, job: &'static str) {
        while let Err(error) = self.store.finish_message(message.id).await {
            Event::JobFailed { job, error: &error }.record();
            sleep(FINISH_AGAIN).await;
        }
    }
}

/// The beginning of an error, which a server may have written.
fn shortened(error: &str) -> String {
    const MOST: usize = 500;
    error.chars().filter(|character| *character != '\0').take(MOST).collect()
}

/// The wait after so many attempts. Up to an eighth is added at random, so that what failed together is not tried together again.
fn wait_after(attempts: u32, random: u8) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    wait + wait / 8 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_half_a_minute_to_four_hours() {
        let waits = [1, 2, 3, 4, 9, 10, 11, u32::MAX].map(|attempts| wait_after(attempts, 0).as_secs());
        assert_eq!(waits, [30, 60, 120, 240, 7680, 14_400, 14_400, 14_400]);
        assert_eq!(wait_after(2, 255), Duration::from_millis(67_500));
        assert!(wait_after(u32::MAX, 255) < LONGEST_DUE);
    }
}

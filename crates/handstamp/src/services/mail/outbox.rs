//! Sends the messages of the outbox: claims one, has it prepared, sends it, and finishes it or tries it again later.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use handstamp_core::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Mail;
use super::mailer::{Mailer, SEND_LIMIT};
use crate::environment::{MailError, MailErrorKind};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::OutboxMessage;
use crate::services::{JobOutcome, Services};

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
/// The wait before a mail that was sent is deleted from the outbox once more, when the database did not answer.
const FINISH_AGAIN: Duration = Duration::from_secs(1);

/// The end of addresses that lead nowhere (RFC 2606 §2), such as that of the user whom `handstamp doctor` creates. They get no
/// mail, and no server a reason to think little of this site.
const NOWHERE: &str = ".invalid";

const MAILS: &str = "handstamp_mails_total";
const MESSAGES: &str = "handstamp_outbox_messages";
const OLDEST: &str = "handstamp_outbox_oldest_seconds";

/// The outbox as this node knows it.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Wakes one of the jobs that send.
    changed: Notify,
    messages: AtomicU64,
    /// When the oldest message was written, in seconds since the Unix epoch; 0 if there is none.
    oldest: AtomicU64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        metrics::describe_counter!(MAILS, "Mails, by what became of the attempt to send them");
        metrics::describe_gauge!(MESSAGES, "Messages in the outbox that are not sent yet");
        metrics::describe_gauge!(OLDEST, "Seconds since the oldest of them was written");
        Self::default()
    }

    /// The signal that there may be a message to send.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }
}

/// A message that this node has claimed, and until when.
pub(super) struct Claimed {
    pub(super) message: OutboxMessage,
    until: Timestamp,
}

impl Services {
    /// Whether mails can be sent: a server or a folder is set, or the application sends them itself.
    pub(crate) fn mail_is_on(&self) -> bool {
        self.mailer.is_some()
    }

    /// Has the outbox looked at now. Every act that has committed a message calls it; without it the message waits for some
    /// seconds.
    pub(crate) fn outbox_changed(&self) {
        self.outbox.changed.notify_one();
    }

    /// The mailer, if this process sends the outbox.
    fn sender(&self) -> Option<&Mailer> {
        self.mailer.as_ref().filter(|_| self.config.mail.send_outbox)
    }

    /// Warns if no mail can be sent now, at the start.
    pub(crate) async fn check_mail(&self) {
        let Some(mailer) = self.sender() else { return };
        if let Err(error) = mailer.check().await {
            Event::MailServerUnavailable { error: error.summary() }.record();
        }
    }

    /// Measures the outbox, and wakes a job if there are messages: of other processes, or due again.
    pub(crate) async fn watch_outbox(&self) -> Result<JobOutcome, InternalError> {
        if self.sender().is_some() {
            let (messages, oldest) = self.store.outbox_size().await?;
            self.outbox.messages.store(messages, Ordering::Relaxed);
            self.outbox.oldest.store(oldest.map_or(0, Timestamp::unix_seconds), Ordering::Relaxed);
            if messages > 0 {
                self.outbox_changed();
            }
        }
        Ok(JobOutcome::Done)
    }

    /// Updates the gauges of the outbox.
    pub(crate) fn record_outbox_gauges(&self) {
        let now = self.sessions.now().unix_seconds();
        let oldest = Some(self.outbox.oldest.load(Ordering::Relaxed)).filter(|oldest| *oldest > 0);
        metrics::gauge!(MESSAGES).set(self.outbox.messages.load(Ordering::Relaxed) as f64);
        metrics::gauge!(OLDEST).set(oldest.map_or(0, |oldest| now.saturating_sub(oldest)) as f64);
    }

    /// Sends the message that has been due for longest, if one is due.
    pub(crate) async fn send_next_message(&self) -> Result<JobOutcome, InternalError> {
        let Some(mailer) = self.sender() else { return Ok(JobOutcome::Done) };
        let Some(claimed) = self.claim_next_message().await? else { return Ok(JobOutcome::Done) };
        let prepared = match AssertUnwindSafe(self.prepare(&claimed.message)).catch_unwind().await {
            Ok(prepared) => prepared.map_err(|error| temporary(error.to_string())),
            Err(_) => Err(temporary("preparing the mail panicked")),
        };
        self.deliver(mailer, claimed, prepared).await?;
        Ok(JobOutcome::Again)
    }

    /// Claims the message that has been due for longest. Another job is woken, since there may be more.
    pub(super) async fn claim_next_message(&self) -> Result<Option<Claimed>, InternalError> {
        let now = self.sessions.now();
        let until = now.after(CLAIM);
        let claimed = self.store.claim_message(now, LONGEST_DUE, until).await?;
        if claimed.is_some() {
            self.outbox_changed();
        }
        Ok(claimed.map(|message| Claimed { message, until }))
    }

    /// Sends what a message has become, and finishes the message or has it tried again.
    pub(super) async fn deliver(
        &self,
        mailer: &Mailer,
        claimed: Claimed,
        prepared: Result<Option<Mail>, MailError>,
    ) -> Result<(), InternalError> {
        let message = &claimed.message;
        let mut name = message.kind.map_or("unknown", |kind| kind.name());
        let sent = match prepared {
            Ok(None) => return Ok(self.store.finish_message(message.id).await?),
            Ok(Some(mail)) if mail.recipient.key().ends_with(NOWHERE) => {
                return Ok(self.store.finish_message(message.id).await?);
            }
            Ok(Some(mail)) => {
                name = mail.template.name();
                self.send_in_time(mailer, &claimed, &mail).await
            }
            Err(error) => Err(error),
        };
        let error = match sent {
            Ok(()) => {
                count("sent");
                Event::MailSent {
                    mail: name,
                    message: &message.id,
                    user: message.user_id,
                    attempts: message.attempts.into(),
                }
                .record();
                self.finish_sent(message).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let now = self.sessions.now();
        let last = message.created_at.after(TRIED_FOR);
        let (id, user, attempts) = (&message.id, message.user_id, u64::from(message.attempts));
        let error_in_short = error.summary();
        if error.kind() == MailErrorKind::Refused {
            self.store.finish_message(message.id).await?;
            count("refused");
            Event::MailRefused { mail: name, message: id, user, attempts, error: error_in_short }.record();
        } else if now >= last {
            self.store.finish_message(message.id).await?;
            count("given_up");
            Event::MailGivenUp { mail: name, message: id, user, attempts, error: error_in_short }.record();
        } else {
            let [random] = self.environment.random();
            let due_at = now.after(wait_after(message.attempts, random)).min(last);
            self.store.postpone_message(message.id, claimed.until, due_at).await?;
            count("deferred");
            let seconds = due_at.since(now).as_secs();
            if error.kind() == MailErrorKind::Configuration {
                Event::MailMisconfigured { mail: name, message: id, user, attempts, seconds, error: error_in_short }
                    .record();
            } else {
                Event::MailDeferred { mail: name, message: id, user, attempts, seconds, error: error_in_short }
                    .record();
            }
        }
        Ok(())
    }

    /// Sends a mail, unless too little of the claim is left: this process may have been frozen, and another node may send it soon.
    async fn send_in_time(&self, mailer: &Mailer, claimed: &Claimed, mail: &Mail) -> Result<(), MailError> {
        let Claimed { message, until } = claimed;
        if until.since(self.sessions.now()) < SEND_LIMIT {
            return Err(temporary("preparing the mail took too long"));
        }
        let sending = mailer.send(message.id, message.created_at, message.user_id, mail);
        let sent = AssertUnwindSafe(sending).catch_unwind().await;
        sent.unwrap_or_else(|_| Err(temporary("sending the mail panicked"))).map(drop)
    }

    /// Deletes a message whose mail was sent, for as long as it takes: otherwise the mail would be sent again.
    async fn finish_sent(&self, message: &OutboxMessage) {
        while let Err(error) = self.store.finish_message(message.id).await {
            Event::JobFailed { job: "send_outbox", error: &error }.record();
            sleep(FINISH_AGAIN).await;
        }
    }
}

fn temporary(summary: impl Into<String>) -> MailError {
    MailError::new(MailErrorKind::Temporary, summary)
}

fn count(outcome: &'static str) {
    metrics::counter!(MAILS, "outcome" => outcome).increment(1);
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

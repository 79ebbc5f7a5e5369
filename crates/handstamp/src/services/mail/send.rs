//! Sends the mails of the outbox: has a message prepared, sends its mail, and finishes the message or has it tried again later.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::Mail;
use super::mailer::{Mailer, SEND_LIMIT};
use crate::environment::{MailError, MailErrorKind};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::OutboxChannel;
use crate::services::outbox::{Claimed, Undelivered};
use crate::services::{JobOutcome, Services};
use crate::trace;

/// The end of addresses that lead nowhere (RFC 2606 §2), such as that of the user whom `handstamp doctor` creates. They get no
/// mail, and no server a reason to think little of this site.
const NOWHERE: &str = ".invalid";

const MAILS: &str = "handstamp_mails_total";

pub(in crate::services) fn describe_metrics() {
    metrics::describe_counter!(MAILS, "Mails, by what became of the attempt to send them");
}

impl Services {
    /// Whether mails can be sent: a server or a folder is set, or the application sends them itself.
    pub(crate) fn mail_is_on(&self) -> bool {
        self.mailer.is_some()
    }

    /// Has the mails of the outbox looked at now. Every act that has committed one calls it.
    pub(crate) fn outbox_changed(&self) {
        self.outbox.mails.wake();
    }

    /// The mailer, if this process sends mails.
    fn sender(&self) -> Option<&Mailer> {
        self.mailer.as_ref().filter(|_| self.outbox.mails.is_delivered)
    }

    /// Warns if no mail can be sent now, at the start.
    pub(crate) async fn check_mail(&self) {
        let Some(mailer) = self.sender() else { return };
        if let Err(error) = mailer.check().await {
            Event::MailServerUnavailable { error: error.summary() }.record();
        }
    }

    /// Sends the mail that has been due for longest, if one is due.
    pub(crate) async fn send_next_mail(&self) -> Result<JobOutcome, InternalError> {
        let Some(mailer) = self.sender() else { return Ok(JobOutcome::Done) };
        let Some(claimed) = self.claim_next_message(OutboxChannel::Mail).await? else { return Ok(JobOutcome::Done) };
        let span = trace::delivery("mail", claimed.message.attempts);
        let delivered = async {
            let prepared = match AssertUnwindSafe(self.prepare(&claimed.message)).catch_unwind().await {
                Ok(prepared) => prepared.map_err(|error| temporary(error.to_string())),
                Err(_) => Err(temporary("preparing the mail panicked")),
            };
            self.deliver(mailer, claimed, prepared).await
        };
        trace::within(span, delivered, trace::record_failure).await?;
        Ok(JobOutcome::Again)
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
                count(name, "sent");
                Event::MailSent {
                    mail: name,
                    message: &message.id,
                    user: message.user_id,
                    attempts: message.attempts.into(),
                }
                .record();
                self.finish_delivered(message, "send_mails").await;
                return Ok(());
            }
            Err(error) => error,
        };
        let (id, user, attempts) = (&message.id, message.user_id, u64::from(message.attempts));
        let (kind, error) = (error.kind(), error.summary());
        if kind == MailErrorKind::Refused {
            self.store.finish_message(message.id).await?;
            count(name, "refused");
            Event::MailRefused { mail: name, message: id, user, attempts, error }.record();
            return Ok(());
        }
        match self.try_again_later(&claimed, error).await? {
            Undelivered::GivenUp => {
                count(name, "given_up");
                Event::MailGivenUp { mail: name, message: id, user, attempts, error }.record();
            }
            Undelivered::Deferred { seconds } if kind == MailErrorKind::Configuration => {
                count(name, "deferred");
                Event::MailMisconfigured { mail: name, message: id, user, attempts, seconds, error }.record();
            }
            Undelivered::Deferred { seconds } => {
                count(name, "deferred");
                Event::MailDeferred { mail: name, message: id, user, attempts, seconds, error }.record();
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
}

fn temporary(summary: impl Into<String>) -> MailError {
    MailError::new(MailErrorKind::Temporary, summary)
}

fn count(mail: &str, outcome: &'static str) {
    trace::record_delivery(mail, outcome);
    metrics::counter!(MAILS, "outcome" => outcome).increment(1);
}

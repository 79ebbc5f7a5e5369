//! Webhooks: sends events of accounts to the application, by the specification Standard Webhooks 1.0.0.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::http::{Request, StatusCode, Uri};
use handstamp_core::WebhookSecret;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::outbox::{Claimed, Undelivered};
use super::outgoing_http::{self, OutgoingClient, summary};
use super::{JobOutcome, Services};
use crate::config::{Config, ConfigError, ConfigErrors};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{OutboxChannel, OutboxMessage};
use crate::trace;

/// How long the application may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// The longest response that is read, so that its connection can be used again. Nothing looks at it.
const LONGEST_RESPONSE: usize = 16 * 1024;

const WEBHOOKS: &str = "handstamp_webhooks_total";

/// Sends webhooks to the URL of the settings.
pub(crate) struct WebhookSender {
    client: OutgoingClient,
    uri: Uri,
    secret: WebhookSecret,
}

/// Why a webhook was not taken.
enum Refusal {
    /// It may be taken later.
    Temporary(String),
    /// The application never wants it.
    Gone,
}

impl WebhookSender {
    /// None if no URL is set.
    ///
    /// # Errors
    /// When the certificates of the authorities that the system trusts cannot be read.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, ConfigErrors> {
        let (Some(url), Some(secret)) = (&config.webhooks.url, &config.webhooks.secret) else { return Ok(None) };
        metrics::describe_counter!(WEBHOOKS, "Webhooks, by what became of the attempt to send them");
        let unusable = |error: String| {
            let (setting, message) = ("webhooks.url".to_owned(), format!("cannot be used: {error}"));
            ConfigErrors::of(ConfigError { setting, value: None, message })
        };
        let uri: Uri = url.as_str().parse().map_err(|error| unusable(format!("{error}")))?;
        let client = outgoing_http::client(uri.scheme_str() == Some("https"));
        let client = client.map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Self { client, uri, secret: secret.clone() }))
    }

    /// Sends a webhook. It is taken when the application answers with a status of 200 to 299.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(), Refusal> {
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| Refusal::Temporary(summary(&error, "the application")))?;
            let status = response.status();
            let _ = Limited::new(response.into_body(), LONGEST_RESPONSE).collect().await;
            match status {
                StatusCode::GONE => Err(Refusal::Gone),
                status if status.is_success() => Ok(()),
                status => Err(Refusal::Temporary(format!("the application answered {}", status.as_u16()))),
            }
        };
        let late = || Refusal::Temporary(format!("the application did not answer within {} seconds", LIMIT.as_secs()));
        timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Services {
    /// Sends the webhook that has been due for longest, if one is due.
    pub(crate) async fn send_next_webhook(&self) -> Result<JobOutcome, InternalError> {
        let sender = self.webhooks.as_ref().filter(|_| self.outbox.webhooks.is_delivered);
        let Some(sender) = sender else { return Ok(JobOutcome::Done) };
        let claimed = self.claim_next_message(OutboxChannel::Webhook).await?;
        let Some(claimed) = claimed else { return Ok(JobOutcome::Done) };
        let span = trace::delivery("webhook", claimed.message.attempts);
        trace::within(span, self.send_claimed_webhook(sender, &claimed), trace::record_failure).await?;
        Ok(JobOutcome::Again)
    }

    /// Sends a webhook, and finishes it or has it tried again.
    async fn send_claimed_webhook(&self, sender: &WebhookSender, claimed: &Claimed) -> Result<(), InternalError> {
        let message = &claimed.message;
        let mut body: Value = serde_json::from_str(&message.content).unwrap_or_default();
        body["data"]["account"] = self.account_of(message).await?;
        let name = body["type"].as_str().unwrap_or_default().to_owned();
        let sent = if claimed.until.since(self.sessions.now()) < LIMIT {
            // This process may have been frozen, and another node may send it soon.
            Err(Refusal::Temporary("reading the account took too long".to_owned()))
        } else {
            sender.send(self.webhook_request(sender, message, &body.to_string())).await
        };
        self.settle_webhook(claimed, &name, sent).await
    }

    fn webhook_request(&self, sender: &WebhookSender, message: &OutboxMessage, body: &str) -> Request<Full<Bytes>> {
        let now = self.sessions.now();
        let request = Request::post(&sender.uri)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Handstamp/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", now.unix_seconds())
            .header("webhook-signature", sender.secret.sign(message.id, now, body));
        let mut request =
            request.body(Full::from(body.to_owned())).expect("ids, numbers and base64 are valid in headers");
        if let Some(span) = trace::current() {
            trace::inject(&self.environment, &span, request.headers_mut());
        }
        request
    }

    /// The account of the user whom a webhook is about, as it is now; null if there is none.
    async fn account_of(&self, message: &OutboxMessage) -> Result<Value, InternalError> {
        let Some(id) = message.user_id else { return Ok(Value::Null) };
        let user = self.store.user_by_id(id, self.sessions.now()).await?;
        Ok(user.map_or(Value::Null, |user| {
            json!({
                "name": user.name,
                "email": user.email,
                "email_verified": user.email_verified,
                "groups": user.groups,
                "disabled": user.disabled,
            })
        }))
    }

    /// Finishes a webhook, or has it tried again later.
    async fn settle_webhook(
        &self,
        claimed: &Claimed,
        webhook: &str,
        sent: Result<(), Refusal>,
    ) -> Result<(), InternalError> {
        let message = &claimed.message;
        let (id, user, attempts) = (&message.id, message.user_id, u64::from(message.attempts));
        match sent {
            Ok(()) => {
                count(webhook, "sent");
                Event::WebhookSent { webhook, message: id, user, attempts }.record();
                self.finish_delivered(message, "send_webhooks").await;
            }
            Err(Refusal::Gone) => {
                self.store.finish_message(message.id).await?;
                count(webhook, "refused");
                Event::WebhookRefused { webhook, message: id, user, attempts }.record();
            }
            Err(Refusal::Temporary(error)) => {
                let error = error.as_str();
                match self.try_again_later(claimed, error).await? {
                    Undelivered::Deferred { seconds } => {
                        count(webhook, "deferred");
                        Event::WebhookDeferred { webhook, message: id, user, attempts, seconds, error }.record();
                    }
                    Undelivered::GivenUp => {
                        count(webhook, "given_up");
                        Event::WebhookGivenUp { webhook, message: id, user, attempts, error }.record();
                    }
                }
            }
        }
        Ok(())
    }
}

fn count(webhook: &str, outcome: &'static str) {
    trace::record_delivery(webhook, outcome);
    metrics::counter!(WEBHOOKS, "outcome" => outcome).increment(1);
}

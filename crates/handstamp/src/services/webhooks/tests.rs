//! Webhooks to a real application: while it is well, away, failing, slow or gone.

use std::sync::Arc;

use handstamp_core::{SecretKey, Timestamp, UserId};
use handstamp_testing::{TempFolder, WebhookReceiver};

use super::*;
use crate::config::{DatabaseUrl, PublicUrl};
use crate::context::Context;
use crate::environment::{Environment, ManualClock};
use crate::services::SignInRequest;
use crate::{Handstamp, NewUser};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A site whose clock is turned by the test, and whose jobs do not send by themselves.
struct Site {
    handstamp: Handstamp,
    clock: Arc<ManualClock>,
    _folder: TempFolder,
}

impl Site {
    async fn open(receiver: &WebhookReceiver) -> Self {
        let folder = TempFolder::new();
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
        let mut config = Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secret);
        config.mail.send_outbox = false;
        config.webhooks.url = Some(receiver.url().parse().unwrap());
        config.webhooks.secret = Some(WebhookReceiver::SECRET.parse().unwrap());
        let clock = Arc::new(ManualClock::new(NOW));
        let environment = Environment { clock: clock.clone(), ..Environment::system() };
        let handstamp = Handstamp::open_with(config, environment).await.unwrap();
        Self { handstamp, clock, _folder: folder }
    }

    fn services(&self) -> &Services {
        &self.handstamp.shared_site().services
    }

    async fn creates_ada(&self) -> UserId {
        let new = NewUser { name: "Ada", email: "ada@example.com", password: "plum-octave-harbour" };
        self.handstamp.users().create(new).await.unwrap()
    }

    /// Tries all webhooks that are due, one after the other, and returns how many attempts that were.
    async fn sends(&self) -> usize {
        let services = self.services();
        let mut attempts = 0;
        while let Some(claimed) = services.claim_next_message(OutboxChannel::Webhook).await.unwrap() {
            attempts += 1;
            services.send_claimed_webhook(services.webhooks.as_ref().unwrap(), &claimed).await.unwrap();
        }
        attempts
    }

    /// Turns the clock on by this time in steps of ten seconds, as the job polls, and returns the number of attempts.
    async fn sends_for(&self, time: Duration) -> usize {
        let mut attempts = 0;
        for _ in 0..time.as_secs() / 10 {
            self.clock.advance(Duration::from_secs(10));
            attempts += self.sends().await;
        }
        attempts
    }

    async fn waiting(&self) -> u64 {
        self.services().store.outbox_size(OutboxChannel::Webhook).await.unwrap().0
    }
}

#[tokio::test]
async fn an_event_is_sent_once_with_the_account_and_a_signature() {
    let receiver = WebhookReceiver::start("accept", &["--any-time"]);
    let site = Site::open(&receiver).await;
    let ada = site.creates_ada().await;
    assert_eq!((site.waiting().await, site.sends().await, site.waiting().await), (1, 1, 0));
    let [webhook] = &receiver.received()[..] else { panic!("there is one") };
    assert_eq!(webhook["verified"], true);
    assert_eq!(webhook["path"], "/webhooks?of=handstamp");
    assert_eq!(webhook["headers"]["content-type"], "application/json");
    assert_eq!(webhook["headers"]["webhook-timestamp"], NOW.unix_seconds().to_string());
    let id = webhook["headers"]["webhook-id"].as_str().unwrap();
    let body = json!({
        "type": "user_created",
        "timestamp": "2027-01-15T08:00:00Z",
        "data": {
            "id": id,
            "user": ada.to_string(),
            "account": { "name": "Ada", "email": "ada@example.com", "email_verified": true, "groups": [], "disabled": false },
            "actor": "operator",
            "operator": null,
            "address": "",
            "user_agent": "",
            "session_id": null,
            "request_id": "",
            "fields": {},
        },
    });
    assert_eq!(webhook["body"], body);
    assert_eq!(site.sends_for(HOUR).await, 0);
}

#[tokio::test]
async fn only_chosen_events_are_sent() {
    let receiver = WebhookReceiver::start("accept", &["--any-time"]);
    let site = Site::open(&receiver).await;
    let ada = site.creates_ada().await;
    let users = site.handstamp.users();
    users.change_groups(ada, &["staff"], &[]).await.unwrap();
    let request = SignInRequest::parse("ada@example.com", "plum-octave-harbour", true).unwrap();
    site.services().sign_in(&Context::visitor(), request, &[], "").await.unwrap();
    users.disable(ada).await.unwrap();
    assert_eq!(site.sends().await, 3, "the sign-in is an event too, which is not chosen");
    let types: Vec<_> = receiver.received().iter().map(|webhook| webhook["body"]["type"].clone()).collect();
    assert_eq!(types, ["user_created", "authz_change", "user_disabled"]);
    let last = &receiver.received()[2]["body"]["data"]["account"];
    assert_eq!((&last["groups"], &last["disabled"]), (&json!(["staff"]), &true.into()));
}

#[tokio::test]
async fn a_webhook_that_was_not_taken_is_sent_again_with_the_same_id() {
    for (behaviour, error) in [("fail", "the application answered 500"), ("redirect", "the application answered 302")] {
        let mut receiver = WebhookReceiver::start(behaviour, &["--any-time"]);
        let site = Site::open(&receiver).await;
        site.creates_ada().await;
        let claimed = site.services().claim_next_message(OutboxChannel::Webhook).await.unwrap().unwrap();
        let sender = site.services().webhooks.as_ref().unwrap();
        let request = site.services().webhook_request(sender, &claimed.message, "{}");
        let Err(Refusal::Temporary(words)) = sender.send(request).await else { panic!("{behaviour} is no refusal") };
        assert_eq!(words, error);
        site.clock.advance(HOUR);
        assert_eq!((site.sends().await, site.sends().await, site.waiting().await), (1, 0, 1), "{behaviour}: it waits");
        receiver.start_again("accept");
        assert_eq!(site.sends_for(Duration::from_secs(100)).await, 1);
        let received = receiver.received();
        let ids: Vec<_> = received.iter().map(|webhook| &webhook["headers"]["webhook-id"]).collect();
        assert_eq!(ids.len(), 3, "a redirect is not followed");
        assert!(ids.iter().all(|id| *id == ids[0]) && received.iter().all(|webhook| webhook["verified"] == true));
        assert_eq!(site.waiting().await, 0);
    }
}

#[tokio::test]
async fn an_application_that_was_down_for_an_hour_gets_each_webhook_once() {
    let mut receiver = WebhookReceiver::start("accept", &["--any-time"]);
    receiver.stop();
    let site = Site::open(&receiver).await;
    site.creates_ada().await;
    let attempts = site.sends_for(HOUR).await;
    assert!((5..=8).contains(&attempts), "the waits grow: {attempts}");
    receiver.start_again("accept");
    assert_eq!(site.sends_for(HOUR).await, 1);
    assert_eq!((receiver.received().len(), site.waiting().await), (1, 0));
}

#[tokio::test]
async fn a_webhook_is_given_up_after_two_days_or_when_the_application_is_gone() {
    let mut receiver = WebhookReceiver::start("accept", &["--any-time"]);
    receiver.stop();
    let site = Site::open(&receiver).await;
    site.creates_ada().await;
    for _ in 0..48 {
        assert_eq!(site.waiting().await, 1);
        site.clock.advance(HOUR);
        site.sends().await;
    }
    assert_eq!(site.waiting().await, 0);

    let receiver = WebhookReceiver::start("gone", &["--any-time"]);
    let site = Site::open(&receiver).await;
    site.creates_ada().await;
    assert_eq!((site.sends().await, site.waiting().await), (1, 0));
}

#[tokio::test]
async fn a_deleted_user_is_named_by_the_last_webhook_and_the_others_are_deleted() {
    let receiver = WebhookReceiver::start("accept", &["--any-time"]);
    let site = Site::open(&receiver).await;
    let ada = site.creates_ada().await;
    site.handstamp.users().delete(ada).await.unwrap();
    assert_eq!((site.sends().await, site.waiting().await), (1, 0));
    let [webhook] = &receiver.received()[..] else { panic!("there is one") };
    assert_eq!(webhook["body"]["type"], "user_deleted");
    let data = &webhook["body"]["data"];
    assert_eq!((&data["user"], &data["account"]), (&ada.to_string().into(), &Value::Null));
}

#[tokio::test]
async fn a_connection_is_used_again_unless_a_response_is_long() {
    for (behaviour, connections) in [("accept", 1), ("accept_at_length", 2)] {
        let receiver = WebhookReceiver::start(behaviour, &["--any-time"]);
        let site = Site::open(&receiver).await;
        let ada = site.creates_ada().await;
        site.handstamp.users().disable(ada).await.unwrap();
        assert_eq!(site.sends().await, 2);
        let clients: std::collections::BTreeSet<_> =
            receiver.received().iter().map(|webhook| webhook["client"].as_u64()).collect();
        assert_eq!(clients.len(), connections, "{behaviour}");
    }
}

#[tokio::test]
async fn an_application_that_does_not_answer_is_left_after_the_limit() {
    let receiver = WebhookReceiver::start("hang", &["--any-time"]);
    let site = Site::open(&receiver).await;
    site.creates_ada().await;
    let claimed = site.services().claim_next_message(OutboxChannel::Webhook).await.unwrap().unwrap();
    let sender = site.services().webhooks.as_ref().unwrap();
    let request = site.services().webhook_request(sender, &claimed.message, "{}");
    let hanging = async {
        while receiver.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::pause();
    };
    let (sent, ()) = tokio::join!(sender.send(request), hanging);
    assert!(
        matches!(sent, Err(Refusal::Temporary(words)) if words == "the application did not answer within 20 seconds")
    );
}

//! Whoever ends a session is answered once it is over on every node, and not before.

use std::cell::Cell;

use handstamp_core::{SessionIdHash, Timestamp, UserId};
use tokio::time::{sleep, timeout};

use super::*;
use crate::store::{ChangeLog, NodeId, OwnedSession, Position};

const LEASE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(10);

impl Here {
    /// A form that somebody signed in sends.
    async fn sends(&self, token: &str, path: &str, fields: &str) -> Response<Body> {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("cookie", format!("handstamp_session={token}"))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields.to_owned())).unwrap()).await
    }

    /// Does it beside another node that takes its time: whoever changes something has to tell it, and to wait for it.
    async fn waits_for_another_node<T>(&self, act: impl Future<Output = T>) -> T {
        let store = &self.handstamp.0.site.accounts.store;
        let other = NodeId(uuid::Uuid::from_bytes(World::system().random()));
        let mut known = store.join(other, LEASE).await.unwrap();
        let knows = Cell::new(false);
        let follows = async {
            loop {
                if let Some(last) = store.changes_after(known).await.unwrap().last() {
                    known = last.position;
                    sleep(MOMENT * 10).await;
                    knows.set(true);
                    store.renew(other, known).await.unwrap();
                }
                sleep(MOMENT).await;
            }
        };
        let done = tokio::select! { done = act => done, () = follows => unreachable!("it follows for ever") };
        assert!(knows.get(), "it was done before the other node knew");
        store.leave(other).await.unwrap();
        done
    }

    /// What a form is answered that changes something.
    async fn changes(&self, token: &str, path: &str, fields: &str) -> Response<Body> {
        let answer = self.waits_for_another_node(self.sends(token, path, fields)).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_member_changes_is_in_force_everywhere_when_it_is_answered() {
    let here = Here::at("http://localhost").await;
    let ada = here.registers().await;
    here.changes(&ada, "/account/profile", "name=Augusta").await;

    here.clock.advance(Duration::from_secs(1));
    here.signs_in_for_now().await;
    let other = here.handstamp.sessions("ada@example.com").await.unwrap()[0].handle;
    here.changes(&ada, "/account/sessions/revoke", &format!("session={other}")).await;
    here.changes(&ada, "/account/sessions/revoke-others", "").await;

    let passwords = "current_password=plum-octave-harbour&password=walnut-trumpet-glacier";
    let ada = token_of(&here.changes(&ada, "/account/password", passwords).await);
    let again = "email=ada@example.com&password=walnut-trumpet-glacier";
    let ada = token_of(&here.changes(&ada, "/account/login", again).await);
    let somebody_else = "name=Bob&email=bob@example.com&password=plum-octave-harbour";
    let bob = token_of(&here.changes(&ada, "/account/register", somebody_else).await);
    here.changes(&bob, "/account/logout", "").await;
    here.changes(&bob, "/account/logout", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_operator_changes_is_in_force_everywhere_when_it_returns() {
    let here = Here::at("http://localhost").await;
    let ada = "ada@example.com";
    here.registers().await;
    assert_eq!(here.waits_for_another_node(here.handstamp.revoke_sessions(Some(ada))).await.unwrap(), 1);
    here.signs_in_for_now().await;
    here.signs_in_for_now().await;
    assert_eq!(here.waits_for_another_node(here.handstamp.revoke_sessions(None)).await.unwrap(), 2);
    assert_eq!(here.handstamp.revoke_sessions(None).await.unwrap(), 0, "there is none left");
    let token = here.signs_in_for_now().await;
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    here.waits_for_another_node(here.handstamp.change_groups(ada, &["staff"], &[])).await.unwrap();
    here.waits_for_another_node(here.handstamp.change_groups(ada, &[], &["staff"])).await.unwrap();
    let verified = here.waits_for_another_node(here.handstamp.verify_user(ada)).await.unwrap();
    assert!(verified.email_verified && here.handstamp.user(ada).await.unwrap().email_verified);
    here.waits_for_another_node(here.handstamp.disable_user(ada)).await.unwrap();
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
    here.waits_for_another_node(here.handstamp.enable_user(ada)).await.unwrap();
    here.waits_for_another_node(here.handstamp.delete_user(ada)).await.unwrap();
    assert!(here.handstamp.user(ada).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_node_knows_is_forgotten() {
    let here = Here::at("http://localhost").await;
    let accounts = &here.handstamp.0.site.accounts;
    let session = OwnedSession {
        id_hash: SessionIdHash::from_bytes([7; 32]),
        user_id: UserId::new(Timestamp::from_unix_seconds(0), [7; 10]),
    };
    let ended = accounts.store.end_sessions(&[session]).await.unwrap();
    accounts.sessions.in_force(ended).await.unwrap();
    let forgotten = async {
        while !accounts.store.changes_after(Position(0)).await.unwrap().is_empty() {
            sleep(MOMENT).await;
        }
    };
    timeout(LEASE, forgotten).await.expect("a node looks around with each renewal");
}

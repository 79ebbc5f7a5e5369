//! Tests that a change is answered only after every node has applied it.

use std::cell::Cell;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use tokio::time::{sleep, timeout};

use super::*;
use crate::context::Context;
use crate::events::Event;
use crate::model::OwnedSession;
use crate::sessions::SessionLookup;
use crate::store::{InvalidationLog, NodeId, Position};

const LEASE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(10);

impl TestSite {
    /// Sends a form with a session token.
    pub(super) async fn sends(&self, token: &str, path: &str, fields: &str) -> Response<Body> {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("cookie", format!("handstamp_session={token}"))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields.to_owned())).unwrap()).await
    }

    /// Runs `act` beside another node that applies changes slowly, and checks that `act` notifies that node and waits for it.
    pub(super) async fn waits_for_another_node<T>(&self, act: impl Future<Output = T>) -> T {
        let store = &self.handstamp.0.site.services.store;
        let other = NodeId(uuid::Uuid::from_bytes(Environment::system().random()));
        let mut known = store.join(other, LEASE).await.unwrap();
        let knows = Cell::new(false);
        let follows = async {
            loop {
                if let Some(last) = store.invalidations_after(known).await.unwrap().last() {
                    known = last.position;
                    sleep(MOMENT * 10).await;
                    knows.set(true);
                    store.renew(other, known).await.unwrap();
                }
                sleep(MOMENT).await;
            }
        };
        let done = tokio::select! { done = act => done, () = follows => unreachable!("it follows the log for ever") };
        assert!(knows.get(), "it returned before the other node had applied it");
        store.leave(other).await.unwrap();
        done
    }

    /// Sends a form that changes something, and returns the response.
    async fn changes(&self, token: &str, path: &str, fields: &str) -> Response<Body> {
        let answer = self.waits_for_another_node(self.sends(token, path, fields)).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_users_are_applied_on_every_node_before_the_response() {
    let here = TestSite::at("http://localhost").await;
    let ada = here.registers().await;
    here.changes(&ada, "/account/profile", "name=Augusta").await;

    here.clock.advance(Duration::from_secs(1));
    here.signs_in_for_now().await;
    let other = here.handstamp.sessions().of(here.ada().await).await.unwrap()[0].session_id;
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

    let eve = "name=Eve&email=eve@example.com&password=plum-octave-harbour";
    let eve = token_of(&here.changes(&bob, "/account/register", eve).await);
    here.changes(&eve, "/account/delete", "").await;
    here.changes(&eve, "/account/delete", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_finds_the_account_deleted_waits_for_every_node() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let accounts = &here.handstamp.0.site.services;
    let SessionLookup::Active(session) = accounts.sessions.find(&token).await.unwrap() else { panic!("it has begun") };
    let visitor = Context::visitor();
    // Both of two concurrent requests have found the session live.
    for _ in 0..2 {
        here.waits_for_another_node(accounts.delete_account(&visitor, &session)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_operators_are_applied_on_every_node_before_they_return() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let ada = here.ada().await;
    let (users, sessions) = (here.handstamp.users(), here.handstamp.sessions());
    assert_eq!(here.waits_for_another_node(sessions.revoke_all_of(ada)).await.unwrap(), 1);
    here.signs_in_for_now().await;
    let session = sessions.of(ada).await.unwrap()[0].session_id;
    here.waits_for_another_node(sessions.revoke(session)).await.unwrap();
    assert!(sessions.revoke(session).await.unwrap_err().is_not_found(), "it has ended");
    here.signs_in_for_now().await;
    here.signs_in_for_now().await;
    assert_eq!(here.waits_for_another_node(sessions.revoke_everyone()).await.unwrap(), 2);
    assert_eq!(sessions.revoke_everyone().await.unwrap(), 0, "no session is left");
    let token = here.signs_in_for_now().await;
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::OK);
    here.waits_for_another_node(users.change_groups(ada, &["staff"], &[])).await.unwrap();
    here.waits_for_another_node(users.change_groups(ada, &[], &["staff"])).await.unwrap();
    here.waits_for_another_node(users.verify(ada)).await.unwrap();
    assert!(users.get(ada).await.unwrap().email_verified);
    here.waits_for_another_node(users.disable(ada)).await.unwrap();
    assert_eq!(here.opens("/account", &token).await.status(), StatusCode::SEE_OTHER);
    here.waits_for_another_node(users.enable(ada)).await.unwrap();
    here.waits_for_another_node(users.delete(ada)).await.unwrap();
    assert!(users.get(ada).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn changes_of_credentials_by_operators_are_applied_on_every_node_before_they_return() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let (ada, users) = (here.ada().await, here.handstamp.users());
    let name = crate::UserChanges { name: Some("Countess"), ..Default::default() };
    here.waits_for_another_node(Box::pin(users.edit(ada, name))).await.unwrap();
    let email = crate::UserChanges { email: Some("countess@example.com"), ..Default::default() };
    here.waits_for_another_node(Box::pin(users.edit(ada, email))).await.unwrap();
    here.waits_for_another_node(Box::pin(users.set_password(ada, "walnut-trumpet-glacier"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn invalidations_that_every_node_has_applied_are_deleted() {
    let here = TestSite::at("http://localhost").await;
    let accounts = &here.handstamp.0.site.services;
    let session = OwnedSession {
        secret_hash: SessionSecretHash::from_bytes([7; 32]),
        user_id: UserId::new(Timestamp::from_unix_seconds(0), [7; 10]),
    };
    let event = accounts.new_event(&Context::visitor(), &Event::SessionEnded { user: session.user_id });
    let ended = accounts.store.end_sessions(vec![(session, event)]).await.unwrap();
    accounts.sessions.wait_until_applied(ended).await.unwrap();
    let forgotten = async {
        while !accounts.store.invalidations_after(Position(0)).await.unwrap().is_empty() {
            sleep(MOMENT).await;
        }
    };
    timeout(LEASE, forgotten).await.expect("a node trims the invalidation log with each renewal");
}

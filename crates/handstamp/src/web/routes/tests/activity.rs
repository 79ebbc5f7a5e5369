//! Tests of what users and applications see of the audit log.

use super::*;
use crate::{AuditEvent, EventActor, ListEvents};

const HOUR: Duration = Duration::from_secs(3600);

impl TestSite {
    /// The events that a query lists, the newest first.
    async fn lists(&self, user: Option<UserId>, event: &str) -> Vec<AuditEvent> {
        let query = ListEvents { user, event: Some(event.to_owned()), ..ListEvents::default() };
        self.handstamp.audit_log().list(&query).await.unwrap()
    }

    /// Runs the job that makes events of failed sign-ins.
    async fn writes_failed_sign_ins(&self) {
        self.handstamp.0.site.services.write_failed_sign_ins().await.unwrap();
    }
}

#[tokio::test]
async fn failed_sign_ins_are_on_the_activity_page_when_their_hour_is_over() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    for _ in 0..3 {
        let response = here.submits("/account/login", "email=ada@example.com&password=wrong").await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    here.writes_failed_sign_ins().await;
    assert!(!text(here.opens("/account/activity", &token).await).await.contains("failed"), "the hour is not over");
    here.clock.advance(HOUR);
    here.writes_failed_sign_ins().await;
    here.writes_failed_sign_ins().await;
    let page = text(here.opens("/account/activity", &token).await).await;
    assert_eq!(page.matches("<strong>3 failed sign-ins between 08:00 and 09:00 UTC</strong>").count(), 1, "{page}");
    assert!(page.contains("15 January 2027, 08:00 UTC"), "{page}");
}

#[tokio::test]
async fn a_failed_sign_in_is_counted_whether_or_not_the_account_exists() {
    let here = TestSite::at("http://localhost").await;
    here.registers().await;
    let ada = here.ada().await;
    for form in ["email=ada@example.com&password=wrong", "email=eve@example.com&password=wrong"] {
        here.submits("/account/login", form).await;
        here.submits("/account/login", form).await;
    }
    here.submits("/account/login", "email=eve@example.com&password=wrong").await;
    here.clock.advance(HOUR);
    here.writes_failed_sign_ins().await;
    let events = here.lists(None, "authn_login_fail").await;
    let mut counts: Vec<_> = events.iter().map(|event| (event.user, event.fields["failures"].as_u64())).collect();
    counts.sort_unstable();
    assert_eq!(counts, [(None, Some(3)), (Some(ada), Some(2))]);
    assert!(
        events.iter().all(|event| event.actor == EventActor::System && event.fields["from"] == "2027-01-15T08:00:00Z")
    );
}

#[tokio::test]
async fn the_events_of_a_user_name_no_other_user_of_the_browser() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    let adas = here.handstamp.sessions().of(here.ada().await).await.unwrap()[0].session_id;
    let form = "name=Bob&email=bob@example.com&password=walnut-trumpet-glacier";
    assert_eq!(here.sends(&token, "/account/register", form).await.status(), StatusCode::SEE_OTHER);
    let created = here.lists(None, "user_created").await;
    let [bobs, _] = created.as_slice() else { panic!("{created:?}") };
    assert!(bobs.actor == EventActor::Visitor && bobs.session_id != Some(adas), "{bobs:?}");
    assert!(!format!("{bobs:?}").contains(&here.ada().await.to_string()), "{bobs:?}");
}

#[tokio::test]
async fn an_application_lists_the_events_of_a_user_and_verifies_the_log() {
    let here = TestSite::at("http://localhost").await;
    let token = here.registers().await;
    here.signs_in_for_now().await;
    let ada = here.ada().await;
    let log = here.handstamp.audit_log();
    let listed = here.lists(Some(ada), "authn_login_success").await;
    let [event] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((event.user, event.time, event.actor), (Some(ada), NOW, EventActor::Visitor));
    let sessions = here.handstamp.sessions().of(ada).await.unwrap();
    assert!(sessions.iter().any(|session| Some(session.session_id) == event.session_id));
    here.handstamp.0.site.services.seal_events().await.unwrap();
    let head = log.head().await.unwrap();
    assert_eq!(head.position, 2);
    here.sends(&token, "/account/profile", "name=Augusta").await;
    let report = log.verify(Some(head), |_, _| {}).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
}

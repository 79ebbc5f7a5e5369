//! Tests of the pages of administration: who sees them, what each act does and records, and what no operator learns.

use super::second_factors::{Answer, Browser, STEP};
use super::*;
use crate::config::SecondFactorRequired;
use crate::{EventActor, ListEvents, NewUser};

const PATHS: [&str; 5] = [
    "/account/admin",
    "/account/admin/users",
    "/account/admin/users/{id}",
    "/account/admin/events",
    "/account/admin/cluster",
];
const ACTS: [&str; 9] = [
    "invite",
    "{id}/disable",
    "{id}/enable",
    "{id}/unlock",
    "{id}/end-sessions",
    "{id}/reset-link",
    "{id}/reset-factors",
    "{id}/groups",
    "{id}/delete",
];

impl TestSite {
    /// A user with a password whom an operator has created.
    async fn has(&self, email: &str) -> UserId {
        let new = NewUser { name: "Bob", email, password: super::second_factors::PASSWORD };
        self.handstamp.users().create(new).await.unwrap()
    }

    async fn makes_an_administrator(&self, id: UserId) {
        self.handstamp.users().change_groups(id, &["admins"], &[]).await.unwrap();
    }

    /// The newest event about a user: its name, its actor and the operator.
    async fn newest_event(&self, user: UserId) -> (String, EventActor, Option<UserId>) {
        let query = ListEvents { user: Some(user), limit: 1, ..ListEvents::default() };
        let newest = self.handstamp.audit_log().list(&query).await.unwrap().remove(0);
        (newest.event, newest.actor, newest.operator)
    }
}

impl Browser<'_> {
    /// Ada registers, and is an administrator.
    async fn is_administrator(&self) -> UserId {
        self.registers().await;
        let ada = self.here.ada().await;
        self.here.makes_an_administrator(ada).await;
        ada
    }

    async fn acts(&self, user: UserId, act: &str, fields: &str) -> Answer {
        self.submits(&format!("/account/admin/users/{user}/{act}"), fields).await
    }
}

/// The answer as a client sees it, without the headers that differ between any two answers.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, &str) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status, headers.collect(), &answer.text)
}

#[tokio::test]
async fn administration_looks_like_no_page_to_all_but_administrators() {
    for admin in [true, false] {
        let here = TestSite::with("http://localhost", |config| config.admin = admin).await;
        let (stranger, member, ada) = (Browser::new(&here), Browser::new(&here), Browser::new(&here));
        let id = here.has("bob@example.com").await;
        member.submits("/account/login", "email=bob@example.com&password=plum-octave-harbour").await;
        assert!(member.is_signed_in());
        ada.is_administrator().await;
        for (who, browser) in [("a stranger", &stranger), ("a member", &member), ("an administrator", &ada)] {
            if admin && who == "an administrator" {
                continue;
            }
            let nothing = browser.opens("/account/nothing").await;
            let nothing_to_send = browser.submits("/account/nothing", "group=admins").await;
            let paths = PATHS.iter().map(|path| (*path).to_owned());
            let acts = ACTS.iter().map(|act| format!("/account/admin/users/{act}"));
            for path in paths.chain(acts) {
                let path = path.replace("{id}", &id.to_string());
                for path in [path.clone(), format!("{path}/")] {
                    assert_eq!(seen(&browser.opens(&path).await), seen(&nothing), "{who} at {path}");
                    let sent = browser.submits(&path, "group=admins").await;
                    assert_eq!(seen(&sent), seen(&nothing_to_send), "{who} sends to {path}");
                }
                let options = |path: &str| browser.answer(Request::options(path.to_owned()), String::new());
                assert_eq!(seen(&options(&path).await), seen(&options("/account/nothing").await), "{who} at {path}");
            }
        }
        let user = here.handstamp.users().get(id).await.unwrap();
        assert!(!user.disabled && user.groups.is_empty());
    }
}

#[tokio::test]
async fn a_required_second_factor_does_not_show_that_there_is_an_administration() {
    let everybody = SecondFactorRequired::Everybody;
    let here = TestSite::with("http://localhost", |config| config.second_factor.required = everybody).await;
    let ada = Browser::new(&here);
    ada.registers().await;
    assert_eq!(ada.opens("/account/profile").await.status, 303);
    assert_eq!(ada.opens("/account/admin").await.status, 404);
    here.makes_an_administrator(here.ada().await).await;
    let led = ada.opens("/account/admin").await;
    assert_eq!((led.status, led.location.as_str()), (303, "/account/confirm?assurance=2&next=%2Faccount%2Fadmin"));
}

#[tokio::test]
async fn administrators_authenticate_again_before_an_act_and_at_level_1_before_a_look() {
    let here = TestSite::at("http://localhost").await;
    let bob = here.has("bob@example.com").await;
    let ada = Browser::new(&here);
    ada.is_administrator().await;
    let page = format!("/account/admin/users/{bob}");
    assert_eq!(ada.opens(&page).await.status, 200);
    let moved = ada.opens(&format!("{page}/?notice=x")).await;
    assert_eq!((moved.status, moved.location), (308, format!("{page}?notice=x")), "for members the redirect stays");
    let wrong = ada.submits("/account/admin/cluster", "").await;
    assert_eq!((wrong.status, wrong.headers[header::ALLOW].to_str().unwrap()), (405, "GET,HEAD"));
    here.clock.advance(Duration::from_secs(16 * 60));
    let led = ada.opens("/account/admin/users?q=bob").await;
    assert_eq!(
        (led.status, led.location.as_str()),
        (303, "/account/confirm?next=%2Faccount%2Fadmin%2Fusers%3Fq%3Dbob")
    );
    let back = format!("/account/confirm?next=%2Faccount%2Fadmin%2Fusers%2F{bob}");
    for act in ACTS.iter().filter_map(|act| act.strip_prefix("{id}/")) {
        let led = ada.acts(bob, act, "group=staff&email=bob@example.com").await;
        assert_eq!((led.status, led.location.as_str()), (303, back.as_str()), "{act}");
    }
    let led = ada.submits("/account/admin/users/invite", "email=eve@example.com").await;
    assert_eq!(led.location, "/account/confirm?next=%2Faccount%2Fadmin%2Fusers");
    assert!(!here.handstamp.users().get(bob).await.unwrap().disabled);
    ada.submits("/account/confirm", "password=plum-octave-harbour").await;
    let (app, _) = ada.sets_up().await;
    here.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(ada.opens(&page).await.status, 200, "level 2 is enough to look");
    assert_eq!(ada.acts(bob, "disable", "").await.location, back, "but not to act");
    here.clock.advance(STEP);
    ada.submits("/account/confirm", &format!("code={}", app.code_at(ada.now()))).await;
    assert!(ada.acts(bob, "disable", "").await.location.ends_with("?notice=disabled"));
}

#[tokio::test]
async fn each_act_of_an_administrator_is_done_and_recorded_under_their_name() {
    let here = TestSite::at("http://localhost").await;
    let users = here.handstamp.users();
    let bob = here.has("bob@example.com").await;
    let (ada, bobs) = (Browser::new(&here), Browser::new(&here));
    let operator = ada.is_administrator().await;
    let sign_in = "email=bob@example.com&password=plum-octave-harbour";
    bobs.submits("/account/login", sign_in).await;
    bobs.sets_up().await;
    for (act, fields, event, notice) in [
        ("groups", "group=staff", "authz_change", "groups-changed"),
        ("groups", "remove=staff", "authz_change", "groups-changed"),
        ("groups", "group=board", "authz_change", "groups-changed"),
        ("reset-link", "", "authn_token_created", "link-mailed"),
        ("end-sessions", "", "session_revoked", "sessions-ended"),
        ("reset-factors", "", "authn_factors_reset", "factors-reset"),
        ("disable", "", "user_disabled", "disabled"),
        ("enable", "", "user_enabled", "enabled"),
    ] {
        let answer = ada.acts(bob, act, fields).await;
        let to = format!("/account/admin/users/{bob}?notice={notice}");
        assert_eq!((answer.status, answer.location), (303, to.clone()), "{act}: {}", answer.text);
        assert_eq!(here.newest_event(bob).await, (event.to_owned(), EventActor::Operator, Some(operator)), "{act}");
        let page = ada.opens(&to).await.text;
        assert!(page.contains("role=\"status\"") && page.contains("By the administrator"), "{act}: {page}");
    }
    let user = users.get(bob).await.unwrap();
    assert_eq!((user.groups, user.disabled, user.sessions), (vec!["board".to_owned()], false, 0));
    assert_eq!(users.factors(bob).await.unwrap().totp_since, None);
    assert_eq!(bobs.opens("/account").await.status, 303, "the session has ended");
    // A browser in which Bob has signed in is counted by itself, and stays throttled.
    let bobs = Browser::new(&here);
    for _ in 0..10 {
        bobs.submits("/account/login", "email=bob@example.com&password=wrong").await;
    }
    assert_eq!(bobs.submits("/account/login", sign_in).await.status, 429);
    assert!(ada.acts(bob, "unlock", "").await.location.ends_with("?notice=unlocked"));
    // A node caches a refusal for a second.
    here.clock.advance(Duration::from_secs(2));
    assert_eq!(here.newest_event(bob).await, ("user_unlocked".to_owned(), EventActor::Operator, Some(operator)));
    assert!(ada.acts(bob, "unlock", "").await.location.ends_with("?notice=nothing-to-unlock"));
    assert_eq!(bobs.submits("/account/login", sign_in).await.status, 303);
    for typed in ["", "eve@example.com", "bob"] {
        let refused = ada.acts(bob, "delete", &format!("email={typed}")).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains("This is not the address of this account."), "{}", refused.text);
    }
    for _ in 0..2 {
        let deleted = ada.acts(bob, "delete", "email=%20BOB@example.com").await;
        let to = "/account/admin/users?notice=deleted";
        assert_eq!((deleted.status, deleted.location.as_str()), (303, to), "also of a form that is sent twice");
    }
    let query = ListEvents { event: Some("user_deleted".to_owned()), ..ListEvents::default() };
    let deletions = here.handstamp.audit_log().list(&query).await.unwrap();
    assert_eq!(deletions.len(), 1);
    assert_eq!((deletions[0].actor, deletions[0].operator), (EventActor::Operator, Some(operator)));
    assert_eq!(bobs.opens("/account").await.status, 303);
    assert_eq!(ada.opens(&format!("/account/admin/users/{bob}")).await.status, 404);
    assert_eq!(ada.acts(bob, "disable", "").await.status, 404);
}

#[tokio::test]
async fn administrators_do_not_lock_themselves_out() {
    let here = TestSite::at("http://localhost").await;
    let ada = Browser::new(&here);
    let id = ada.is_administrator().await;
    let page = ada.opens(&format!("/account/admin/users/{id}")).await;
    assert!(page.text.matches("This is your own account").count() >= 4, "{}", page.text);
    for (act, fields) in [
        ("disable", ""),
        ("end-sessions", ""),
        ("reset-factors", ""),
        ("groups", "remove=admins"),
        ("delete", "email=ada@example.com"),
    ] {
        let refused = ada.acts(id, act, fields).await;
        assert_eq!(refused.status, 422, "{act}: {}", refused.location);
        assert!(refused.text.contains("role=\"alert\"><span class=\"visually-hidden\">Error: </span>This is your own"));
    }
    assert!(ada.acts(id, "groups", "group=staff").await.location.ends_with("groups-changed"), "the rest is harmless");
    assert_eq!(ada.acts(id, "groups", "group=no%20group").await.status, 422);
    assert_eq!(ada.opens("/account/admin").await.status, 200);
}

#[tokio::test]
async fn the_last_administrator_is_removed_only_if_that_is_said() {
    let here = TestSite::at("http://localhost").await;
    let ada = Browser::new(&here);
    let id = ada.is_administrator().await;
    let users = here.handstamp.users();
    for refused in [users.disable(id).await, users.delete(id).await, users.change_groups(id, &[], &["admins"]).await] {
        assert!(refused.unwrap_err().is_refused());
    }
    let refused = ada.submits("/account/delete", "").await;
    assert!(refused.status == 403 && refused.text.contains("the last member of the group admins"), "{}", refused.text);
    assert_eq!(ada.opens("/account/admin").await.status, 200);
    users.even_the_last_administrator().disable(id).await.unwrap();
    assert_eq!(ada.opens("/account/admin").await.status, 404);
    let without = TestSite::with("http://localhost", |config| config.admin = false).await;
    let id = Browser::new(&without).is_administrator().await;
    without.handstamp.users().delete(id).await.unwrap();
}

#[tokio::test]
async fn users_do_not_learn_the_client_of_an_operator() {
    let here = TestSite::at("http://localhost").await;
    let bob = here.has("bob@example.com").await;
    let (ada, bobs) = (Browser::new(&here), Browser::new(&here));
    ada.is_administrator().await;
    let request = Request::post(format!("/account/admin/users/{bob}/groups"))
        .header("user-agent", "AdasBrowser/1.0 Firefox/145.0")
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(ada.answer(request, "group=staff".to_owned()).await.status, 303);
    bobs.submits("/account/login", "email=bob@example.com&password=plum-octave-harbour").await;
    let page = bobs.opens("/account/activity").await.text;
    assert!(page.contains("Added to the groups staff") && page.contains("By an operator of this site"), "{page}");
    assert!(!page.contains("Firefox"), "{page}");
    let export = bobs.opens("/account/export").await.text;
    assert!(export.contains("authz_change") && !export.contains("AdasBrowser"), "{export}");
    assert!(!export.contains(&here.ada().await.to_string()), "{export}");
    let page = ada.opens(&format!("/account/admin/users/{bob}")).await.text;
    assert!(page.contains("Firefox") && page.contains("ada@example.com"), "operators do: {page}");
}

#[tokio::test]
async fn links_for_users_are_mailed_and_not_shown_to_the_operator() {
    let here = TestSite::at("http://localhost").await;
    let bob = here.has("bob@example.com").await;
    let ada = Browser::new(&here);
    ada.is_administrator().await;
    while here.handstamp.0.site.services.next_mail().await.is_some() {}
    let sent = ada.acts(bob, "reset-link", "").await;
    let mail = here.handstamp.0.site.services.next_mail().await.unwrap().unwrap();
    assert_eq!((mail.template, mail.recipient.as_str()), ("reset_password", "bob@example.com"));
    assert_eq!((mail.values["by_operator"].as_str(), mail.values["address"].as_str()), ("yes", "an unknown address"));
    let invited = ada.submits("/account/admin/users/invite", "email=eve@example.com&group=staff").await;
    assert_eq!((invited.status, invited.location.as_str()), (303, "/account/admin/users?notice=invited"));
    let invitation = here.handstamp.0.site.services.next_mail().await.unwrap().unwrap();
    assert_eq!((invitation.template, invitation.recipient.as_str()), ("invitation", "eve@example.com"));
    let pages =
        [sent.text, invited.text, ada.opens(&sent.location).await.text, ada.opens(&invited.location).await.text];
    for link in [&mail.values["link"], &invitation.values["link"]] {
        let token = link.rsplit('/').next().unwrap();
        assert!(token.len() > 20 && pages.iter().all(|page| !page.contains(token)));
    }
    let eves = Browser::new(&here);
    let path = invitation.values["link"].strip_prefix("http://localhost").unwrap();
    assert_eq!(eves.opens(path).await.location, "/account/invitation");
    assert_eq!(eves.submits("/account/invitation", "name=Eve&password=velvet-anchor-twelve").await.status, 303);
    let eve = here.handstamp.users().find_by_email("eve@example.com").await.unwrap().unwrap();
    assert_eq!(eve.groups, ["staff"]);
    for (fields, error) in [
        ("email=bob@example.com", "already has an account"),
        ("email=bob", "name@example.com"),
        ("email=new@example.com&group=no group", "64 letters"),
    ] {
        let refused = ada.submits("/account/admin/users/invite", fields).await;
        assert!(refused.status == 422 && refused.text.contains(error), "{fields}: {}", refused.text);
    }
    here.handstamp.users().disable(bob).await.unwrap();
    assert_eq!(ada.acts(bob, "reset-link", "").await.status, 422, "a disabled user gets no link");
}

#[tokio::test]
async fn a_site_without_mail_says_how_links_are_made() {
    let here = TestSite::with("https://localhost", |config| config.mail.url = None).await;
    let bob = here.has("bob@example.com").await;
    let ada = here.has("ada@example.com").await;
    here.makes_an_administrator(ada).await;
    let browser = Browser::new(&here);
    browser.submits("/account/login", "email=ada@example.com&password=plum-octave-harbour").await;
    let page = browser.opens(&format!("/account/admin/users/{bob}")).await;
    assert!(page.text.contains("This site sends no mail."), "{}", page.text);
    assert_eq!(browser.acts(bob, "reset-link", "").await.status, 422);
    let refused = browser.submits("/account/admin/users/invite", "email=eve@example.com").await;
    assert!(refused.status == 422 && refused.text.contains("This site sends no mail."), "{}", refused.text);
}

#[tokio::test]
async fn the_account_page_leads_administrators_to_the_administration() {
    let here = TestSite::at("http://localhost").await;
    let ada = Browser::new(&here);
    ada.registers().await;
    let has_link = async || ada.opens("/account").await.text.contains("/account/admin\"");
    assert!(!has_link().await);
    here.makes_an_administrator(here.ada().await).await;
    assert!(has_link().await);
    here.handstamp
        .users()
        .even_the_last_administrator()
        .change_groups(here.ada().await, &[], &["admins"])
        .await
        .unwrap();
    assert!(!has_link().await);
}

#[tokio::test]
async fn users_are_listed_in_pages_and_hostile_queries_are_answered() {
    let here = TestSite::at("http://localhost").await;
    let ada = Browser::new(&here);
    ada.is_administrator().await;
    here.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
         INSERT INTO users (id, name, email, email_key, created_at)
         SELECT randomblob(16), 'User ' || i, printf('u%03d@example.com', i), printf('u%03d@example.com', i), 1 FROM n",
    )
    .await;
    let (mut path, mut addresses, mut pages) = ("/account/admin/users?q=u".to_owned(), Vec::new(), 0);
    loop {
        let page = ada.opens(&path).await.text;
        addresses.extend(page.split("<bdi>u").skip(1).map(|rest| rest.split('@').next().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page.split("Next page").next().filter(|_| page.contains("Next page")) else { break };
        let href = next.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
        path = href.replace("&amp;", "&");
    }
    assert_eq!((pages >= 3, addresses.len()), (true, 120));
    addresses.dedup();
    assert_eq!(addresses.len(), 120);
    for query in [
        "q=%00",
        "q=%FF",
        "q=group:%00",
        "after=address:%00",
        "after=name:x",
        "after=x",
        "q=a&q=b",
        "q=%27%22%3E%3Cb%3E",
    ] {
        let answer = ada.opens(&format!("/account/admin/users?{query}")).await;
        assert!([200, 400, 404].contains(&answer.status) && !answer.text.contains("<b>"), "{query}: {}", answer.status);
    }
    for id in ["x", "%00", "0", "../users"] {
        assert_eq!(ada.opens(&format!("/account/admin/users/{id}")).await.status, 404, "{id}");
    }
}

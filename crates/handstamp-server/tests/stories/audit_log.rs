//! The audit log end to end: what users see of it, and what operators list and verify.

use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};
use reqwest::Method;

const UNSEALED: &str = "SELECT COUNT(*) FROM events WHERE position IS NULL";

/// How often a test asks whether all events are sealed, every 50 ms. That is less than the interval at which nodes look for the
/// events of others.
const CHECKS: u32 = 100;

/// Waits until all events are sealed.
async fn wait_until_sealed(server: &TestServer) {
    for _ in 0..CHECKS {
        if server.count(UNSEALED).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("an event was not sealed: {}", server.log());
}

/// The names of the events about a user, the newest first.
fn names(server: &TestServer, user: &str) -> Vec<String> {
    let events = server.cli_json(&["events", "list", "--user", user]);
    events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

fn head(server: &TestServer) -> String {
    let (status, output, error) = server.run_cli(&["events", "head"], "");
    assert_eq!(status, 0, "{error}");
    output.trim().to_owned()
}

handstamp_testing::stories! {
    async fn the_activity_page_shows_users_their_own_events(server: TestServer) {
        let ada = server.ada().await;
        let bob = server.visitor();
        bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        ada.submits("/account/profile", &[("name", "Augusta")]).await;
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        let page = ada.opens("/account/activity").await;
        for text in ["Account created", "Signed in", "Name changed", "Added to the groups staff", "By an operator", "Firefox on Linux", "127.0.0.1", "just now", "This device"] {
            assert!(page.shows(text), "{text}: {}", page.body);
        }
        let order = ["Added to the groups", "Name changed", "Signed in", "Account created"].map(|text| page.body.find(&format!("<strong>{text}")).unwrap());
        assert!(order.is_sorted(), "the newest is first: {order:?}");
        assert_eq!(page.body.matches("Account created").count(), 1, "the events of others are not shown");
        for path in ["/account", "/account/sessions"] {
            assert!(ada.opens(path).await.body.contains("href=\"/account/activity\""), "{path}");
        }
        let stranger = server.visitor().opens("/account/activity").await;
        assert_eq!((stranger.status, stranger.location()), (303, "/account/login?next=%2Faccount%2Factivity"));
    }

    async fn the_activity_page_leads_to_older_events(server: TestServer) {
        let ada = server.ada().await;
        for number in 0..30 {
            assert_eq!(ada.submits("/account/profile", &[("name", &format!("Ada {number}"))]).await.status, 303);
        }
        let page = ada.opens("/account/activity").await;
        assert_eq!((page.body.matches("Name changed").count(), page.shows("Account created")), (25, false));
        let link = page.body.split("href=\"").find(|rest| rest.starts_with("/account/activity?before=")).unwrap();
        let older = ada.opens(link.split('"').next().unwrap()).await;
        assert_eq!((older.body.matches("Name changed").count(), older.shows("Account created")), (5, true));
        assert!(!older.body.contains("?before=") && older.shows("Newest"));
        assert!(ada.opens("/account/activity?before=00000000-0000-0000-0000-000000000000").await.shows("There is nothing older"));
        assert_eq!(ada.opens("/account/activity?before=yesterday").await.status, 404);
        assert_eq!(ada.opens("/account/activity?before=a&before=b").await.status, 400);
    }

    async fn the_text_of_a_strange_client_is_not_on_the_activity_page(server: TestServer) {
        let ada = server.ada().await;
        let client = server.visitor();
        let request = client.request(Method::POST, "/account/login").header("sec-fetch-site", "same-origin");
        let request = request.header("user-agent", "<script>alert(1)</script>");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let form = format!("email=ada%40example.com&password={ADAS_PASSWORD}");
        assert_eq!(client.send(request.body(form)).await.status, 303);
        let page = ada.opens("/account/activity").await;
        assert!(page.shows("An unknown browser") && !page.body.contains("alert(1)"), "{}", page.body);
        let events = server.cli_json(&["events", "list", "--name", "authn_login_success"]);
        assert_eq!(events[0]["user_agent"], "<script>alert(1)</script>");
    }

    async fn an_account_from_before_the_audit_log_has_no_events_yet(server: TestServer) {
        let ada = server.ada().await;
        wait_until_sealed(&server).await;
        server.execute("DELETE FROM events").await;
        let page = ada.opens("/account/activity").await;
        assert!(page.status == 200 && page.shows("There is nothing yet"), "{}", page.body);
    }

    async fn every_act_of_a_user_and_of_an_operator_is_listed(server: TestServer) {
        let ada = server.ada().await;
        let phone = server.visitor();
        phone.signs_in("ada@example.com", ADAS_PASSWORD).await;
        ada.submits("/account/profile", &[("name", "Augusta")]).await;
        ada.submits("/account/sessions/revoke-others", &[]).await;
        ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await;
        ada.signs_out().await;
        for arguments in [["user", "verify", "ada@example.com"], ["user", "disable", "ada@example.com"], ["user", "enable", "ada@example.com"]] {
            assert_eq!(server.run_cli(&arguments, "").0, 0);
        }
        let expected = [
            "user_enabled", "user_disabled", "user_verified", "session_ended", "authn_password_change", "session_revoked",
            "user_updated", "authn_login_success", "user_created",
        ];
        assert_eq!(names(&server, "ada@example.com"), expected);
        let events = server.cli_json(&["events", "list", "--after", "0"]);
        let positions: Vec<_> = events.as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect();
        assert_eq!(positions, (1..=expected.len() as u64).collect::<Vec<_>>());
        let (created, disabled) = (&events[0], &events[7]);
        assert_eq!((&created["actor"], &created["address"], &disabled["actor"]), (&"visitor".into(), &"127.0.0.1".into(), &"operator".into()));
        assert_eq!(created["request_id"].as_str().unwrap().len(), 16);
        assert_eq!(server.events("user_created")[0]["spans"][0]["id"], created["request_id"], "the log has the same request");
        let limited = server.cli_json(&["events", "list", "--limit", "2"]);
        assert_eq!((limited.as_array().unwrap().len(), &limited[0]["event"]), (2, &"user_enabled".into()));
        let (_, table, _) = server.run_cli(&["events", "list", "--name", "session_revoked"], "");
        assert!(table.starts_with("POSITION") && table.contains("ada@example.com") && table.contains("sessions=1"), "{table}");
        assert_eq!(server.run_cli(&["events", "list", "--user", "eve@example.com"], "").0, 3);
        assert!(server.run_cli(&["events", "list", "--name", "none_such"], "").1.contains("no such events"));
    }

    async fn an_act_is_sealed_soon_and_the_log_is_verified(server: TestServer) {
        assert_eq!(head(&server), format!("0:{}", "0".repeat(64)));
        let ada = server.ada().await;
        wait_until_sealed(&server).await;
        let kept = head(&server);
        ada.submits("/account/profile", &[("name", "Augusta")]).await;
        wait_until_sealed(&server).await;
        let (status, output, error) = server.run_cli(&["events", "verify", "--since", &kept], "");
        assert!(status == 0 && output.contains("intact: 2 events") && output.contains(&head(&server)), "{output} {error}");
        let report = server.cli_json(&["events", "verify"]);
        assert_eq!((&report["problem"], report["head"].as_str().unwrap()), (&serde_json::Value::Null, head(&server).as_str()));
        let parts = server.cli_json(&["events", "head"]);
        assert_eq!(format!("{}:{}", parts["position"], parts["link"].as_str().unwrap()), parts["head"].as_str().unwrap());
        assert_eq!(server.run_cli(&["events", "verify", "--since", "2:short"], "").0, 2);
    }

    async fn verify_finds_what_was_changed_in_the_database(server: TestServer) {
        let ada = server.ada().await;
        ada.submits("/account/profile", &[("name", "Augusta")]).await;
        ada.signs_out().await;
        wait_until_sealed(&server).await;
        let kept = head(&server);
        server.execute("UPDATE events SET content = '{\"actor\":\"operator\"}' WHERE name = 'user_updated'").await;
        let (status, output, error) = server.run_cli(&["events", "verify"], "");
        assert!(status == 5 && output.is_empty() && error.contains("not intact: position 2: the event was changed"), "{output} {error}");
        let (status, output, _) = server.run_cli(&["events", "verify", "--json"], "");
        let report: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!((status, &report["problem"]["position"], &report["problem"]["kind"]), (5, &2.into(), &"changed".into()));
        server.execute("DELETE FROM events WHERE position = 2").await;
        assert!(server.run_cli(&["events", "verify"], "").2.contains("position 2: the event was removed"));
        server.execute("DELETE FROM events WHERE position = 3").await;
        server.execute("UPDATE event_head SET position = 1").await;
        let (status, _, error) = server.run_cli(&["events", "verify", "--since", &kept], "");
        assert!(status == 5 && error.contains("not intact: position"), "{error}");
    }

    async fn a_deleted_user_is_erased_from_the_log_which_still_verifies(server: TestServer) {
        let ada = server.ada().await;
        ada.submits("/account/profile", &[("name", "Augusta")]).await;
        server.visitor().signs_in("ada@example.com", "wrong-password").await;
        let bob = server.visitor();
        bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        wait_until_sealed(&server).await;
        let kept = head(&server);
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        assert_eq!(server.cli_json(&["events", "list", "--user", &id]).as_array().unwrap().len(), 2);
        assert_eq!(server.run_cli(&["user", "delete", "ada@example.com"], "").0, 0);
        let (status, output, error) = server.run_cli(&["events", "verify", "--since", &kept], "");
        assert!(status == 0 && output.contains("2 events erased when their users were deleted"), "{output} {error}");
        assert!(server.cli_json(&["events", "list", "--user", &id]).as_array().unwrap().is_empty());
        let listed = server.cli_json(&["events", "list"]);
        assert_eq!((&listed[0]["event"], &listed[0]["user"], &listed[0]["fields"]["erased"]), (&"user_deleted".into(), &serde_json::Value::Null, &2.into()));
        assert!(!listed.to_string().contains(&id));
        assert_eq!(server.count("SELECT COUNT(*) FROM failed_sign_ins").await, 0);
        assert_eq!(server.count("SELECT COUNT(*) FROM events WHERE content LIKE '%address%'").await, 1, "that of Bob");
    }

    async fn an_event_of_a_killed_node_is_sealed_by_another(mut server: TestServer) {
        let second = server.start_node();
        let ada = server.ada().await;
        // The node is killed as soon as the event is there, and so before it seals, except where this test was slower than the node.
        for _ in 0..20 {
            let here = ada.at(&server.url);
            let renaming = tokio::spawn(async move { here.form("/account/profile", &[("name", "Augusta")]).send().await.is_ok() });
            while second.count(UNSEALED).await == 0 && !renaming.is_finished() {}
            server.kill();
            if second.count(UNSEALED).await > 0 {
                break;
            }
            server.start();
        }
        assert!(second.count(UNSEALED).await > 0, "no kill came before the seal");
        let mut checks = 0;
        while second.count(UNSEALED).await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            checks += 1;
            assert!(checks < 300, "the other node does not seal: {}", second.log());
        }
        let (status, output, error) = second.run_cli(&["events", "verify"], "");
        assert_eq!(status, 0, "{output} {error}");
    }

    async fn nodes_that_write_events_at_once_seal_one_log(server: TestServer) {
        let nodes = [&server, &server.start_node(), &server.start_node()];
        let ada = server.ada().await;
        let copies: Vec<Visitor> = nodes.iter().map(|node| ada.at(&node.url)).collect();
        let renames = async |copy: &Visitor| {
            for number in 0..10 {
                assert_eq!(copy.submits("/account/profile", &[("name", &format!("Ada {number}"))]).await.status, 303);
            }
        };
        tokio::join!(renames(&copies[0]), renames(&copies[1]), renames(&copies[2]));
        wait_until_sealed(&server).await;
        assert_eq!(server.count("SELECT MAX(position) FROM events").await, 31);
        assert_eq!(server.count("SELECT COUNT(*) FROM events").await, 31);
        assert_eq!(server.run_cli(&["events", "verify"], "").0, 0);
    }

    async fn the_log_verifies_after_a_rotation_of_the_secret(mut server: TestServer) {
        const OLD: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
        const NEW: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";
        server.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        server.ada().await;
        wait_until_sealed(&server).await;
        let kept = head(&server);
        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", OLD);
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        let report = server.cli_json(&["events", "verify"]);
        assert_eq!((&report["problem"], &report["unknown_keys"]), (&serde_json::Value::Null, &0.into()));
        server.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "");
        server.restart();
        let (status, _, error) = server.run_cli(&["events", "verify"], "");
        assert!(status == 5 && error.contains("secret_key_fallbacks"), "nothing proves the newest seal: {error}");
        assert_eq!(server.run_cli(&["events", "verify", "--since", &kept], "").0, 0, "but the head does");
        server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        wait_until_sealed(&server).await;
        let report = server.cli_json(&["events", "verify"]);
        assert_eq!((&report["problem"], &report["unknown_keys"]), (&serde_json::Value::Null, &1.into()));
    }

    async fn an_event_of_an_attacker_is_not_sealed_but_reported(mut server: TestServer) {
        server.enable_metrics();
        server.ada().await;
        wait_until_sealed(&server).await;
        assert!(server.metric("handstamp_events_sealed_total").await >= 1.0);
        assert!(server.metric("handstamp_events_written_total{event=\"user_created\"}").await >= 1.0);
        assert_eq!(server.metric("handstamp_oldest_unsealed_event_seconds").await, 0.0);
        server.execute("INSERT INTO events (commitment, tag, id, time, name, user_id, content, salt)
            SELECT tag, tag, NULL, 1, name, user_id, content, salt FROM events").await;
        let line = server.wait_for_event("events_refused").await;
        assert_eq!((&line["events"], &line["level"]), (&1.into(), &"ERROR".into()));
        assert!(server.metric("handstamp_oldest_unsealed_event_seconds").await > 1.0);
        let (status, _, error) = server.run_cli(&["events", "verify"], "");
        assert!(status == 5 && error.contains("was not written by this site"), "{error}");
    }
}

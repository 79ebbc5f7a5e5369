//! Administration in the browser on two nodes: acts are in force everywhere, the last administrator stays, and the pages tell the state.

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};

use crate::multiple_nodes::{known_to, nobody_is_signed_in};

const BOB: &str = "bob@example.com";
const BOBS_PASSWORD: &str = "walnut-trumpet-glacier";

/// The id of a user.
fn id(server: &TestServer, email: &str) -> String {
    server.cli_json(&["user", "show", email])["id"].as_str().unwrap().to_owned()
}

/// Ada, who is an administrator.
async fn administrator(server: &TestServer) -> Visitor {
    let ada = server.ada().await;
    assert_eq!(ada.opens("/account/admin").await.status, 404);
    assert_eq!(server.run_cli(&["user", "groups", "ada@example.com", "--add", "admins"], "").0, 0);
    ada
}

async fn bob(server: &TestServer) -> Visitor {
    let bob = server.visitor();
    assert_eq!(bob.registers("Bob", BOB, BOBS_PASSWORD).await.status, 303);
    bob
}

handstamp_testing::stories! {
    async fn acts_of_administrators_are_in_force_on_every_node_when_the_page_answers(server: TestServer) {
        let second = server.start_node();
        let (ada, bob) = (administrator(&server).await, bob(&server).await);
        let path = format!("/account/admin/users/{}", id(&server, BOB));
        let nodes = [&server, &second];
        for act in ["end-sessions", "disable"] {
            let copies = known_to(&nodes, &bob).await;
            assert_eq!(ada.submits(&format!("{path}/{act}"), &[]).await.status, 303);
            assert!(nobody_is_signed_in(&copies).await, "{act}");
            let there = bob.at(&second.url);
            let signs_in = there.signs_in(BOB, BOBS_PASSWORD).await.status;
            assert_eq!(signs_in, if act == "disable" { 422 } else { 303 });
            bob.presents(if there.has_cookie() { there.token() } else { String::new() }.as_str());
        }
        assert_eq!(ada.submits(&format!("{path}/enable"), &[]).await.status, 303);
        bob.signs_in(BOB, BOBS_PASSWORD).await;
        known_to(&nodes, &bob).await;
        for (fields, status) in [([("group", "admins")], 200), ([("remove", "admins")], 404)] {
            assert_eq!(ada.submits(&format!("{path}/groups"), &fields).await.status, 303);
            for node in nodes {
                assert_eq!(bob.at(&node.url).opens("/account/admin").await.status, status);
            }
        }
        let copies = known_to(&nodes, &bob).await;
        assert_eq!(ada.submits(&format!("{path}/delete"), &[("email", BOB)]).await.location(), "/account/admin/users?notice=deleted");
        assert!(nobody_is_signed_in(&copies).await);
        let events = server.cli_json(&["events", "list", "--name", "user_deleted"]);
        assert_eq!((events[0]["actor"].as_str(), events[0]["operator"].as_str()), (Some("operator"), Some(id(&server, "ada@example.com").as_str())));
    }

    async fn two_administrators_who_disable_each_other_at_once_leave_one(server: TestServer) {
        let second = server.start_node();
        let (ada, bob) = (administrator(&server).await, bob(&server).await);
        let users = ["ada@example.com", BOB].map(|email| format!("/account/admin/users/{}", id(&server, email)));
        assert_eq!(ada.submits(&format!("{}/groups", users[1]), &[("group", "admins")]).await.status, 303);
        for _ in 0..5 {
            let (ada, bob) = (ada.copy(), bob.at(&second.url));
            let (of_bob, of_ada) = (format!("{}/disable", users[1]), format!("{}/disable", users[0]));
            let (by_ada, by_bob) = tokio::join!(ada.submits(&of_bob, &[]), bob.submits(&of_ada, &[]));
            let done = [by_ada.status, by_bob.status].into_iter().filter(|status| *status == 303).count();
            assert_eq!(done, 1, "{} {}", by_ada.status, by_bob.status);
            let disabled = |email: &str| server.cli_json(&["user", "show", email])["disabled"].as_bool().unwrap();
            assert_ne!(disabled("ada@example.com"), disabled(BOB));
            for email in ["ada@example.com", BOB] {
                assert_eq!(server.run_cli(&["user", "enable", email], "").0, 0);
            }
            // The one who was disabled signs in again.
            if by_ada.status == 303 {
                self::signs_in_again(&bob, BOB, BOBS_PASSWORD).await;
            } else {
                self::signs_in_again(&ada, "ada@example.com", ADAS_PASSWORD).await;
            }
        }
    }

    async fn the_last_administrator_stays_unless_the_command_says_otherwise(server: TestServer) {
        let ada = administrator(&server).await;
        let refused = [vec!["user", "disable", "ada@example.com"], vec!["user", "delete", "ada@example.com"], vec!["user", "groups", "ada@example.com", "--remove", "admins"]];
        for command in &refused {
            let (status, _, error) = server.run_cli(command, "");
            assert!(status == 4 && error.contains("the last member of the group admins"), "{status} {error}");
        }
        let page = ada.submits("/account/delete", &[]).await;
        assert!(page.status == 403 && page.shows("the last member of the group admins"), "{}", page.status);
        assert_eq!(ada.opens("/account/admin").await.status, 200);
        let (status, output, _) = server.run_cli(&["user", "groups", "ada@example.com", "--remove", "admins", "--even-the-last-admin"], "");
        assert_eq!((status, output.as_str()), (0, "ada@example.com is in no group\n"));
        assert_eq!(ada.opens("/account/admin").await.status, 404);
    }

    async fn the_pages_tell_what_has_happened_and_the_state_of_the_site(server: TestServer) {
        let second = server.start_node();
        let (ada, bob) = (administrator(&server).await, bob(&second).await);
        for _ in 0..3 {
            assert_eq!(bob.signs_in(BOB, BOBS_PASSWORD).await.status, 303);
        }
        let mut page = ada.opens("/account/admin").await;
        for _ in 0..100 {
            if page.shows("3, at most 3 an hour") && page.shows("2, at most 2 an hour") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            page = ada.opens("/account/admin").await;
        }
        assert!(page.shows("3, at most 3 an hour"), "the sign-ins are counted once they are sealed: {}", page.body);
        assert!(page.shows("2, at most 2 an hour"), "and the registrations: {}", page.body);
        assert!(ada.opens("/account/admin?range=30d").await.shows("3, at most 3 a day"));
        let cluster = ada.opens("/account/admin/cluster").await;
        assert_eq!(cluster.body.matches("data-label=\"Version\">").count(), 2, "{}", cluster.body);
        assert!(cluster.shows("It holds its lease.") && cluster.shows(env!("CARGO_PKG_VERSION")), "{}", cluster.body);
        assert!(cluster.shows("SQLite 3") || cluster.shows("PostgreSQL 1"), "{}", cluster.body);
        for (filter, finds) in [
            ("", true),
            ("event=authn_login_success", true),
            ("user=bob%40example.com", true),
            ("actor=operator", false),
            ("event=authn_login_success&actor=user&user=bob%40example.com", true),
            ("event=authn_login_success&actor=system", false),
            ("until=2020-01-01T00%3A00", false),
            ("from=2020-01-01T00%3A00", true),
        ] {
            let page = ada.opens(&format!("/account/admin/events?{filter}")).await;
            assert_eq!((page.status, page.shows("<strong>Signed in</strong>")), (200, finds), "{filter}: {}", page.body);
        }
        for wrong in ["user=nobody%40example.com", "from=yesterday"] {
            assert_eq!(ada.opens(&format!("/account/admin/events?{wrong}")).await.status, 422);
        }
        assert_eq!(ada.opens("/account/admin/events?before=x").await.status, 404);
    }

    async fn a_site_without_administration_has_no_such_pages(mut server: TestServer) {
        server.restart_with("HANDSTAMP_ADMIN", "false");
        let ada = administrator(&server).await;
        assert_eq!(ada.opens("/account/admin").await.status, 404);
        assert!(!ada.opens("/account").await.shows("/account/admin"));
        assert_eq!(server.run_cli(&["user", "delete", "ada@example.com"], "").0, 0, "the group has no meaning");
    }
}

async fn signs_in_again(visitor: &Visitor, email: &str, password: &str) {
    assert_eq!(visitor.signs_in(email, password).await.status, 303);
}

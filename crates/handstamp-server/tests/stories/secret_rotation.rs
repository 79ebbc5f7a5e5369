//! Rotation of the secret key over two nodes: by files of the data folder, and by settings.

use handstamp_testing::TestServer;

use super::load_balancer::LoadBalancer;

const OLD: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const NEW: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

/// How a node is named.
fn process(node: &TestServer) -> String {
    format!("(process {})", node.pid())
}

handstamp_testing::stories! {
    async fn two_nodes_are_rotated_without_a_failed_request_or_a_user_signed_out(server: TestServer) {
        let mut first = server;
        let mut second = first.start_node();
        let before = first.ada().await.token();
        let users = [first.visitor(), first.visitor(), first.visitor()];
        for user in &users {
            user.signs_in("ada@example.com", handstamp_testing::ADAS_PASSWORD).await;
        }
        let balancer = LoadBalancer::of(&[&first, &second]);
        let requests = users.map(|user| balancer.sends(user));

        let (status, added, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 0 && added.contains("restart every node"), "{added} {error}");
        let (status, _, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 1 && error.contains(&process(&first)) && error.contains(&process(&second)), "{error}");
        balancer.restarts(&mut first).await;
        let (status, _, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 1 && !error.contains(&process(&first)) && error.contains(&process(&second)), "{error}");
        balancer.restarts(&mut second).await;
        let (status, checked, error) = first.run_cli(&["secret", "check"], "");
        assert!(status == 0 && checked.contains("2 of 2 nodes") && checked.contains("next step: handstamp secret rotate"), "{checked} {error}");
        let (status, promoted, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 0 && promoted.contains("one node after the other"), "{promoted} {error}");
        balancer.restarts(&mut first).await;
        let (status, _, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 1 && error.contains(&process(&second)), "it still signs with the former secret: {error}");
        balancer.restarts(&mut second).await;

        balancer.stop();
        for user in requests {
            let user = user.await.unwrap();
            assert!(user.at(&first.url).is_signed_in().await && user.at(&second.url).is_signed_in().await);
            assert_ne!(user.token(), before, "its token was signed anew");
            user.at(&second.url).signs_out().await;
            assert!(!user.at(&first.url).is_signed_in().await);
        }
        assert!(balancer.requests() >= 80);
        assert_eq!(first.events("secret_key_unshared").len() + second.events("secret_key_unshared").len(), 0);
        let checked = first.cli_json(&["secret", "check"]);
        let (keys, nodes) = (checked["keys"].as_array().unwrap(), checked["nodes"].as_array().unwrap());
        assert_eq!((&keys[0]["role"], &keys[1]["role"], nodes.len()), (&"current".into(), &"former".into(), 2));
        assert!(nodes.iter().all(|node| node["keys"][0] == keys[0]["id"]), "{checked:#}");
        let (status, _, error) = first.run_cli(&["secret", "rotate", "--drop-former"], "");
        assert!(status == 1 && error.contains("is needed until"), "{error}");
        let (_, events, _) = first.run_cli(&["events", "list", "--name", "secret_key_changed"], "");
        assert!(events.contains("added") && events.contains("promoted"), "{events}");
    }

    async fn a_node_that_does_not_know_the_new_secret_holds_the_rotation(server: TestServer) {
        let mut first = server;
        first.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        let mut second = first.start_node();
        let (status, begun, _) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 0 && begun.contains("HANDSTAMP_SECRET_KEY_FALLBACKS"), "{begun}");
        first.restart_with("HANDSTAMP_SECRET_KEY_FALLBACKS", NEW);
        let (status, _, error) = first.run_cli(&["secret", "rotate"], "");
        assert!(status == 1 && error.contains(&process(&second)) && error.contains("secret_key_fallbacks"), "{error}");

        assert!(first.stop().success());
        first.set("HANDSTAMP_SECRET_KEY", NEW);
        first.set("HANDSTAMP_SECRET_KEY_FALLBACKS", OLD);
        let refused = first.serve_command().output().unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{error}");
        assert!(error.contains(&process(&second)) && error.contains("secret_key_fallbacks first"), "{error}");

        second.restart_with("HANDSTAMP_SECRET_KEY_FALLBACKS", NEW);
        let (status, step, error) = second.run_cli(&["secret", "rotate"], "");
        assert!(status == 0 && step.contains("set secret_key"), "{step} {error}");
        first.start();
        for node in [&first, &second] {
            let (status, _, error) = node.run_cli(&["secret", "rotate"], "");
            assert!(status == 1 && error.contains("set secret_key") && error.contains(&process(&second)), "{error}");
        }
        second.set("HANDSTAMP_SECRET_KEY_FALLBACKS", OLD);
        second.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        let (status, checked, error) = second.run_cli(&["secret", "check"], "");
        assert!(status == 0 && checked.contains("is needed until"), "{checked} {error}");

        assert!(second.stop().success());
        second.set("HANDSTAMP_SECRET_KEY", OLD);
        second.set("HANDSTAMP_SECRET_KEY_FALLBACKS", "");
        let refused = second.serve_command().output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "it cannot open what the other node signs");
    }

    async fn a_node_whose_keys_another_does_not_share_is_told_of(mut server: TestServer) {
        server.enable_metrics();
        server.restart_with("HANDSTAMP_SECRET_KEY", OLD);
        let second = server.start_node();
        second.freeze().await;
        // The frozen node counts as gone after a while.
        server.restart_with("HANDSTAMP_SECRET_KEY", NEW);
        second.signal("CONT");
        for node in [&server, &second] {
            assert_eq!(node.wait_for_event("secret_key_unshared").await["level"], "ERROR");
            assert_eq!(node.metric("handstamp_secret_key_unshared_nodes").await, 1.0);
        }
        let (status, _, error) = server.run_cli(&["secret", "check"], "");
        assert!(status == 1 && error.contains(&process(&second)), "{error}");
    }

    async fn a_node_that_has_crashed_does_not_hold_a_rotation(mut server: TestServer) {
        server.start_node().kill();
        assert_eq!(server.run_cli(&["secret", "rotate"], "").0, 0);
        server.restart();
        let begun = std::time::Instant::now();
        while server.run_cli(&["secret", "rotate"], "").0 != 0 {
            assert!(begun.elapsed().as_secs() < 60, "{:?}", server.run_cli(&["secret", "check"], ""));
        }
    }
}

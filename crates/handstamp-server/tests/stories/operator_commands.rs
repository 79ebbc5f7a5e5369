//! Commands of the operator that manage users and sessions.

use std::os::unix::fs::PermissionsExt;

use handstamp_testing::ADAS_PASSWORD;

handstamp_testing::stories! {
    async fn config_shows_checks_and_prints_settings(mut server: TestServer) {
        server.set("HANDSTAMP_SESSION__LIFETIME", "7d");
        server.set("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
        std::fs::write(server.folder().join("handstamp.toml"), "site_name = \"Plum\"\n").unwrap();
        let (status, shown, error) = server.run_cli(&["config", "show"], "");
        assert_eq!(status, 0, "{error}");
        let row = |name: &str| {
            shown.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(row("session.lifetime "), ["session.lifetime", "7d", "HANDSTAMP_SESSION__LIFETIME"]);
        assert_eq!(row("site_name "), ["site_name", "Plum", "handstamp.toml"]);
        assert_eq!(row("secret_key "), ["secret_key", "(secret)", "HANDSTAMP_SECRET_KEY"]);
        assert_eq!(row("session.lease ").last(), Some(&"default"));
        assert!(!shown.contains("n4bQ") && !server.cli_json(&["config", "show"]).to_string().contains("n4bQ"));
        let (status, checked, error) = server.run_cli(&["config", "check"], "");
        assert!(status == 0 && checked.contains("the settings are valid"), "{checked} {error}");

        let example = server.cli_command_without_settings(&["config", "example"]).output().unwrap();
        let example = String::from_utf8(example.stdout).unwrap();
        std::fs::write(
            server.folder().join("handstamp.toml"),
            example.replace("#[session]", "[session]").replace("#confirm_after = \"15m\"", "confirm_after = \"20m\""),
        )
        .unwrap();
        let (_, shown, error) = server.run_cli(&["config", "show"], "");
        assert!(shown.contains("session.confirm_after") && shown.contains("20m"), "{shown} {error}");
        server.restart();

        std::fs::write(server.folder().join("handstamp.toml"), "[session]\nlease = \"2m\"\n").unwrap();
        for command in ["show", "check"] {
            let (status, output, error) = server.run_cli(&["config", command], "");
            assert!(
                status == 2 && error.contains("session.lease \"2m\" (from handstamp.toml): must be between 1s and 1m"),
                "{error}"
            );
            assert_eq!(output.contains("session.lease"), command == "show", "what is wrong is shown as well");
        }
        std::fs::write(server.folder().join("handstamp.toml"), "[password]\nblocklist = \"/nonexistent\"\n").unwrap();
        let (status, _, error) = server.run_cli(&["config", "check"], "");
        assert!(status != 0 && error.contains("/nonexistent"), "{error}");
    }

    async fn user_add_creates_an_account(server: TestServer) {
        let (status, output, error) = server.run_cli(&["user", "add", "Bob@Example.com", "--name", "Bob"], "walnut-trumpet-glacier\n");
        assert!(status == 0 && output.starts_with("created user "), "{output} {error}");
        let bob = server.visitor();
        assert_eq!(bob.signs_in("bob@example.com", "walnut-trumpet-glacier").await.status, 303);
        assert!(bob.opens("/account").await.shows("Welcome, Bob"));
        let (status, _, error) = server.run_cli(&["user", "add", "bob@example.COM"], "walnut-trumpet-glacier");
        assert!(status == 4 && error.contains("already has an account"), "{error}");
        for (email, password, says) in [("eve@example.com", "password", "easy to guess"), ("eve@example.com", "", "at least 8"), ("eve", "walnut-trumpet-glacier", "name@example.com")] {
            let (status, _, error) = server.run_cli(&["user", "add", email], password);
            assert!(status == 4 && error.contains(says), "{error}");
        }
    }

    async fn user_list_and_session_list_show_accounts_and_sessions(server: TestServer) {
        assert!(server.run_cli(&["user", "list"], "").1.contains("no accounts yet"));
        let ada = server.ada().await;
        server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
        let listed = server.cli_json(&["user", "list"]);
        assert_eq!(listed.as_array().unwrap().len(), 1);
        let mut shown = server.cli_json(&["user", "show", "ADA@example.com"]);
        let factors = shown.as_object_mut().unwrap().remove("factors").expect("what the user can authenticate with");
        let identities = shown.as_object_mut().unwrap().remove("identities");
        assert_eq!(identities, Some(serde_json::json!([])));
        assert_eq!((&factors["has_password"], &factors["totp_since"]), (&true.into(), &serde_json::Value::Null));
        assert_eq!((&shown, shown["sessions"].as_u64(), shown["disabled"].as_bool()), (&listed[0], Some(2), Some(false)));
        assert!(shown["signed_in_at"].as_str().unwrap().ends_with('Z') && shown["name"] == "Ada");
        let (_, table, _) = server.run_cli(&["user", "list"], "");
        assert!(table.starts_with("EMAIL") && table.contains("ada@example.com") && table.contains("enabled"), "{table}");

        let sessions = server.cli_json(&["session", "list", "--user", "ada@example.com"]);
        assert_eq!(sessions.as_array().unwrap().len(), 2);
        assert_eq!(sessions[0]["address"], "127.0.0.1");
        assert!(!sessions.to_string().contains(&ada.token()));
        assert!(server.run_cli(&["session", "list", "--user", "ada@example.com"], "").1.contains("Firefox"));
    }

    async fn user_verify_marks_an_email_address_as_verified(server: TestServer) {
        server.ada().await;
        server.run_cli(&["user", "add", "bob@example.com"], "walnut-trumpet-glacier\n");
        let verified = || server.cli_json(&["user", "list"]).as_array().unwrap().iter().map(|user| user["email_verified"].clone()).collect::<Vec<_>>();
        assert_eq!(verified(), [false, true], "an address is unverified from a registration, and verified from an operator");
        assert_eq!(server.run_cli(&["user", "verify", "ADA@example.com"], "").1, "verified the address ada@example.com\n");
        assert_eq!(verified(), [true, true]);
        let (_, table, _) = server.run_cli(&["user", "list"], "");
        assert!(table.starts_with("EMAIL") && table.contains("VERIFIED"), "{table}");
    }

    async fn user_edit_changes_the_name_and_the_address_on_every_node(server: TestServer) {
        let second = server.start_node();
        let (ada, elsewhere) = (server.ada().await, second.visitor());
        elsewhere.signs_in("ada@example.com", ADAS_PASSWORD).await;
        let (status, said, error) = server.run_cli(&["user", "edit", "ada@example.com", "--name", "Countess"], "");
        assert!(status == 0 && said.contains("Countess <ada@example.com>"), "{said} {error}");
        assert!(ada.opens("/account").await.shows("Welcome, Countess"));
        assert!(elsewhere.opens("/account").await.shows("Welcome, Countess"), "a new name ends no session");

        server.run_cli(&["user", "add", "bob@example.com"], "walnut-trumpet-glacier\n");
        for (arguments, expected, says) in [
            (["--email", "BOB@example.com", "--name", "Ada"], 4, "already has an account"),
            (["--email", "ada", "--name", "Ada"], 4, "name@example.com"),
            (["--email", "new@example.com", "--name", ""], 4, "name"),
        ] {
            let (status, _, error) = server.run_cli(&[&["user", "edit", "ada@example.com"], arguments.as_slice()].concat(), "");
            assert!(status == expected && error.contains(says), "{error}");
        }
        assert_eq!(server.run_cli(&["user", "edit", "ada@example.com"], "").0, 2, "nothing is to be changed");
        assert!(ada.opens("/account").await.shows("Welcome, Countess"), "what is refused changes nothing");

        let (status, said, error) = server.run_cli(&["user", "edit", "ada@example.com", "--email", "countess@example.com"], "");
        assert!(status == 0 && said.contains("countess@example.com") && said.contains("revoked 2 sessions"), "{said} {error}");
        assert!(!ada.is_signed_in().await && !elsewhere.is_signed_in().await);
        assert_eq!(second.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(second.visitor().signs_in("countess@example.com", ADAS_PASSWORD).await.status, 303);
        assert_eq!(server.cli_json(&["user", "show", "countess@example.com"])["email_verified"], true);

        server.run_cli(&["user", "edit", "countess@example.com", "--email", "third@example.com", "--unverified"], "");
        assert_eq!(server.cli_json(&["user", "show", "third@example.com"])["email_verified"], false);
        let undo = loop {
            let written = [server.events("mail_written"), second.events("mail_written")].concat();
            if let Some(mail) = written.iter().find(|event| event["mail"] == "email_changed") {
                break mail["link"].as_str().unwrap().split_once("/account").unwrap().1.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let written = [server.events("mail_written"), second.events("mail_written")].concat();
        let changed = written.iter().filter(|event| event["mail"] == "email_changed").count();
        assert_eq!(changed, 1, "an address that was never verified gets no link to undo the change");
        let former = server.visitor();
        former.opens(&format!("/account{undo}")).await;
        assert_eq!(former.submits("/account/email/undo", &[]).await.status, 303);
        assert_eq!(server.run_cli(&["user", "show", "countess@example.com"], "").0, 0);
        let (_, events, _) = server.run_cli(&["events", "list", "--user", "countess@example.com"], "");
        assert!(events.contains("user_email_change") && events.contains("user_updated") && events.contains("operator"), "{events}");
    }

    async fn user_set_password_ends_all_sessions_on_every_node(server: TestServer) {
        let second = server.start_node();
        let ada = second.visitor();
        server.ada().await;
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        for (password, says) in [("password", "easy to guess"), ("short", "at least 8")] {
            let (status, _, error) = server.run_cli(&["user", "set-password", "ada@example.com"], password);
            assert!(status == 4 && error.contains(says), "{error}");
        }
        assert!(ada.is_signed_in().await, "a password that is refused changes nothing");
        for _ in 0..12 {
            second.visitor().signs_in("ada@example.com", "a wrong password").await;
        }
        let (status, said, error) = server.run_cli(&["user", "set-password", "ada@example.com"], "walnut-trumpet-glacier\n");
        assert!(status == 0 && said.contains("revoked 2 sessions"), "{said} {error}");
        assert!(!ada.is_signed_in().await);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(second.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422, "the counts of wrong passwords were cleared");
        assert_eq!(second.visitor().signs_in("ada@example.com", "walnut-trumpet-glacier").await.status, 303);
        assert_eq!(server.run_cli(&["user", "set-password", "eve@example.com"], "walnut-trumpet-glacier\n").0, 3);
        let (_, events, _) = server.run_cli(&["events", "list", "--user", "ada@example.com"], "");
        assert!(events.contains("authn_password_set") && events.contains("operator"), "{events}");
        assert!(!server.log().contains("walnut-trumpet-glacier"));
    }

    async fn user_disable_revokes_all_sessions_at_once(server: TestServer) {
        let ada = server.ada().await;
        let (status, output, _) = server.run_cli(&["user", "disable", "ada@example.com"], "");
        assert_eq!((status, output.as_str()), (0, "disabled ada@example.com, and revoked 1 session\n"));
        assert!(!ada.is_signed_in().await);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 422);
        assert_eq!(server.cli_json(&["user", "show", "ada@example.com"])["disabled"], true);
        assert_eq!(server.run_cli(&["user", "enable", "ada@example.com"], "").1, "enabled ada@example.com\n");
        assert!(!ada.is_signed_in().await, "revoked sessions stay revoked");
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    }

    async fn user_delete_removes_the_account_and_its_sessions(server: TestServer) {
        let ada = server.ada().await;
        assert_eq!(server.run_cli(&["user", "delete", "ada@example.com"], "").0, 0);
        assert!(!ada.is_signed_in().await);
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 0);
        server.ada().await;
    }

    async fn session_revoke_ends_the_sessions_of_one_user_or_all(server: TestServer) {
        let (ada, bob) = (server.ada().await, server.visitor());
        bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
        assert_eq!(server.run_cli(&["session", "revoke", "--user", "ada@example.com"], "").1, "revoked 1 session\n");
        assert!(!ada.is_signed_in().await && bob.is_signed_in().await);
        ada.signs_in("ada@example.com", ADAS_PASSWORD).await;
        assert_eq!(server.run_cli(&["session", "revoke", "--all"], "").1, "revoked 2 sessions\n");
        assert!(!ada.is_signed_in().await && !bob.is_signed_in().await);
    }

    async fn operator_mistakes_have_their_own_exit_statuses(server: TestServer) {
        for arguments in [
            ["user", "show", "nobody@example.com"], ["user", "disable", "nobody@example.com"], ["user", "enable", "nobody@example.com"],
            ["user", "delete", "nobody@example.com"], ["user", "verify", "nobody@example.com"],
        ] {
            let (status, output, error) = server.run_cli(&arguments, "");
            assert_eq!((status, output.as_str()), (3, ""), "{arguments:?}");
            assert!(error.contains("there is no account of that address"), "{error}");
        }
        assert_eq!(server.run_cli(&["session", "revoke", "--user", "nobody@example.com"], "").0, 3);
        assert_eq!(server.run_cli(&["session", "revoke"], "").0, 2, "a user or --all is required");
        assert_eq!(server.run_cli(&["session", "revoke", "--all", "--user", "ada@example.com"], "").0, 2);
        assert_eq!(server.run_cli(&["user", "show", "nonsense"], "").0, 4);
    }
}

#[tokio::test]
async fn operator_commands_fail_without_a_database() {
    let server = handstamp_testing::TestServer::on_sqlite();
    let elsewhere = server.folder().join("elsewhere");
    let folder = elsewhere.to_str().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_handstamp"))
        .args(["user", "list", "--data-dir", folder])
        .env_clear()
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && error.contains("there are no accounts in") && error.contains(folder),
        "{error}"
    );
    assert!(!elsewhere.exists(), "the command creates no data folder");
}

#[tokio::test]
async fn permission_errors_name_the_owner_of_the_data() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run commands as another user");
        return;
    }
    let server = handstamp_testing::TestServer::on_sqlite();
    server.ada().await;
    let data = server.folder().join("data");
    let data = data.to_str().unwrap();
    for command in [
        &["user", "list"][..],
        &["user", "show", "ada@example.com"],
        &["session", "revoke", "--all"],
        &["doctor", "http://127.0.0.1:1/"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let (status, error) = server.run_cli_as(65_534, &[command, &["--data-dir", data]].concat());
        assert_eq!(status, 1, "{error}");
        for part in ["Permission denied", data, "belongs to the user 0", "runs as the user 65534"] {
            assert!(error.contains(part), "{command:?} {part}: {error}");
        }
    }
    std::fs::write(server.folder().join("handstamp.toml"), "").unwrap();
    std::fs::set_permissions(server.folder().join("handstamp.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (status, error) = server.run_cli_as(65_534, &["user", "list"]);
    assert!(status == 2 && error.contains("cannot read handstamp.toml") && error.contains("user 0"), "{error}");
}

#[tokio::test]
async fn a_file_in_place_of_the_data_folder_is_refused() {
    let server = handstamp_testing::TestServer::on_sqlite();
    let file = server.folder().join("data/handstamp.db");
    for command in [&["user", "list"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let output = server.cli_command_without_settings(command).arg("--data-dir").arg(&file).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let says = error.contains("is a file, and must be the folder") && error.contains(file.to_str().unwrap());
        assert!(output.status.code() == Some(1) && says, "{error}");
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let run = |arguments: &[&str]| {
        let output =
            std::process::Command::new(handstamp_testing::handstamp_binary()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("reset-link") && script.contains("proxy-config"), "{shell}");
    }
    assert!(run(&["man"]).contains(".TH handstamp 1"));
    let folder = handstamp_testing::TempFolder::new();
    run(&["man", "--output", folder.path().to_str().unwrap()]);
    assert!(folder.path().join("handstamp-user-add.1").is_file());
    // Bash reads the script, and completes a command with it.
    let script = folder.path().join("completions");
    std::fs::write(&script, run(&["completions", "bash"])).unwrap();
    let completes = format!(
        "source {}; COMP_WORDS=(handstamp us); COMP_CWORD=1; _handstamp handstamp us handstamp; echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let completed = std::process::Command::new("bash").args(["-c", &completes]).output().unwrap();
    assert_eq!(std::str::from_utf8(&completed.stdout).unwrap().trim(), "user", "{completed:?}");
}

//! Common and breached passwords: refused when they are new, and accepted at a sign-in.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use handstamp_testing::{ADAS_PASSWORD, TestServer};

use crate::blocklist_build::list_of;

const BREACHED: &str = "walnut-trumpet-glacier";
const OTHER: &str = "copper-lantern-meadow";

/// Restarts the server with a filter of these passwords.
fn restart_with_blocklist(server: &mut TestServer, passwords: &[&str]) -> PathBuf {
    let (list, filter) = (server.folder().join("list.txt"), server.folder().join("filter"));
    fs::write(&list, list_of(passwords.iter().copied())).unwrap();
    let build = ["passwords", "build", list.to_str().unwrap(), "--output", filter.to_str().unwrap()];
    let output = server.cli_command_without_settings(&build).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    server.restart_with("HANDSTAMP_PASSWORD__BLOCKLIST", filter.to_str().unwrap());
    filter
}

handstamp_testing::stories! {
    async fn a_breached_password_is_refused_when_it_is_new_and_accepted_at_a_sign_in(mut server: TestServer) {
        let ada = server.ada().await;
        restart_with_blocklist(&mut server, &[ADAS_PASSWORD, BREACHED, "cre\u{300}me-octave-harbour"]);
        let (ada, visitor) = (ada.at(&server.url), server.visitor());
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        for new in [BREACHED, "cre\u{300}me-octave-harbour"] {
            let page = visitor.registers("Bob", "bob@example.com", new).await;
            let error = page.error_of("password").unwrap();
            assert!(page.status == 422 && error.contains("data breaches") && error.contains("cannot tell it from"), "{error}");
            let page = ada.changes_password(ADAS_PASSWORD, new).await;
            assert_eq!((page.status, page.error_of("password").unwrap()), (422, error));
            let (status, _, error) = server.run_cli(&["user", "add", "bob@example.com"], &format!("{new}\n"));
            assert!(status == 4 && error.contains("data breaches"), "{error}");
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(server.events("register_refused").len(), 2);
        assert!(ada.is_signed_in().await);
        let page = ada.changes_password(ADAS_PASSWORD, "cr\u{e8}me-octave-harbour").await;
        assert_eq!(page.status, 303, "only the other spelling is in the list");
        assert_eq!(visitor.registers("Bob", "bob@example.com", OTHER).await.status, 303);
        let again = server.visitor().registers("Bob", "bob@example.com", OTHER).await;
        assert_eq!(again.status, 303, "a form that is sent twice signs in");
    }

    async fn a_common_password_is_refused_without_a_required_strength(mut server: TestServer) {
        let ada = server.ada().await;
        server.restart_with("HANDSTAMP_PASSWORD__MIN_STRENGTH", "0");
        let ada = ada.at(&server.url);
        for common in ["password1", "PassWord1", "12345678"] {
            let page = server.visitor().registers("Bob", "bob@example.com", common).await;
            let error = page.error_of("password").unwrap();
            assert!(page.status == 422 && error.contains("one of the most common passwords"), "{error}");
            let page = ada.changes_password(ADAS_PASSWORD, common).await;
            assert_eq!((page.status, page.error_of("password").unwrap()), (422, error));
            assert_eq!(server.run_cli(&["user", "add", "bob@example.com"], &format!("{common}\n")).0, 4);
        }
        assert_eq!(server.visitor().registers("Bob", "bob@example.com", "password 1").await.status, 303);
    }

    async fn a_new_password_that_cannot_be_looked_up_is_answered_503(mut server: TestServer) {
        let ada = server.ada().await;
        let filter = restart_with_blocklist(&mut server, &[BREACHED]);
        let (ada, visitor) = (ada.at(&server.url), server.visitor());
        // Another password than the one in the list would be in a shard without passwords, which is not read.
        OpenOptions::new().write(true).open(&filter).unwrap().set_len(300).unwrap();
        for page in [visitor.registers("Bob", "bob@example.com", BREACHED).await, ada.changes_password(ADAS_PASSWORD, BREACHED).await] {
            assert_eq!((page.status, page.header("retry-after"), page.set_cookie()), (503, "5", ""), "{}", page.body);
            assert!(!page.shows(filter.to_str().unwrap()));
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let logged = server.events("internal_error");
        assert_eq!(logged.len(), 2);
        assert!(logged.iter().all(|line| line["error"].as_str().unwrap().contains(filter.to_str().unwrap())), "{logged:?}");
    }
}

#[tokio::test]
async fn an_unusable_blocklist_prevents_the_start() {
    let mut server = TestServer::on_sqlite();
    let filter = restart_with_blocklist(&mut server, &[BREACHED]);
    let refusal = || {
        let (status, _, error) = server.run_cli(&["serve", "--listen", "127.0.0.1:0"], "");
        let (of_commands, _, told) = server.run_cli(&["user", "list"], "");
        assert!(told.contains("password.blocklist") && told.contains(filter.to_str().unwrap()), "{told}");
        assert!(error.ends_with(&told), "{told} {error}");
        assert_eq!(status, of_commands);
        (status, told)
    };
    let healthy = fs::read(&filter).unwrap();
    fs::set_permissions(&filter, Permissions::from_mode(0o664)).unwrap();
    assert!(matches!(refusal(), (1, error) if error.contains("chmod go-w")));
    fs::set_permissions(&filter, Permissions::from_mode(0o644)).unwrap();
    fs::write(&filter, &healthy[..healthy.len() - 1]).unwrap();
    assert!(matches!(refusal(), (1, error) if error.contains("is cut off; make it with: handstamp passwords build")));
    fs::write(&filter, "0000000000000000000000000000000000000000:1\n").unwrap();
    assert!(matches!(refusal(), (1, error) if error.contains("is no filter of breached passwords")));
    fs::remove_file(&filter).unwrap();
    assert!(matches!(refusal(), (2, error) if error.contains("is not a file")));
    fs::write(&filter, healthy).unwrap();
    assert_eq!(server.run_cli(&["user", "list"], "").0, 0);
}

#[tokio::test]
async fn a_password_is_looked_up_in_the_shell() {
    let mut server = TestServer::on_sqlite();
    let filter = restart_with_blocklist(&mut server, &[BREACHED]);
    let filter = filter.to_str().unwrap();
    let check = |arguments: &[&str], password: &str| {
        let mut arguments = [&["passwords", "check"], arguments].concat();
        arguments.extend(["--blocklist", filter]);
        let mut command = server.cli_command_without_settings(&arguments);
        let mut process = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut process.stdin.take().unwrap(), format!("{password}\n").as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (status, output, error) = check(&[], OTHER);
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(output.contains("neither a common one nor in") && output.contains(filter), "{output}");
    let (status, output, error) = check(&[], BREACHED);
    assert_eq!((status, output.as_str()), (4, ""));
    assert!(error.contains(filter) && error.contains("cannot be told from"), "{error}");
    assert!(matches!(check(&[], "Password1"), (4, _, error) if error.contains("one of the most common")));
    assert_eq!(check(&[], &"x".repeat(257)).0, 4);
    for (password, common, breached) in [(OTHER, false, false), (BREACHED, false, true), ("password1", true, false)] {
        let (status, output, _) = check(&["--json"], password);
        let report: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!(status, if common || breached { 4 } else { 0 });
        let expected = serde_json::json!({ "blocklist": filter, "breached": breached, "common": common, "found": common || breached });
        assert_eq!(report, expected);
    }
    let without = server.cli_command_without_settings(&["passwords", "check"]).output().unwrap();
    assert!(String::from_utf8(without.stdout).unwrap().contains("password.blocklist names no filter"));
    fs::write(server.folder().join("handstamp.toml"), format!("password.blocklist = {filter:?}")).unwrap();
    let by_setting = server.cli_command_without_settings(&["passwords", "check"]).output().unwrap();
    assert!(String::from_utf8(by_setting.stdout).unwrap().contains(filter));
}

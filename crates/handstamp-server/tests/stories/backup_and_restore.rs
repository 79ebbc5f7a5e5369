//! Backup and restore with the commands of the guide, run as they are printed there.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use handstamp_testing::{ADAS_PASSWORD, TestServer};

/// The blocks of commands under a heading of the guide.
fn commands_under(heading: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/guide/backup.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rest = guide.split_once(&format!("### {heading}\n")).unwrap().1;
    let section = rest.split("\n### ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Runs an operator's commands in the folder that contains `handstamp-data`.
fn types(server: &TestServer, commands: &str) {
    let mut shell = Command::new("sh");
    let path = format!("{}:/usr/bin:/bin", Path::new(env!("CARGO_BIN_EXE_handstamp")).parent().unwrap().display());
    shell.args(["-euc", commands]).current_dir(server.folder()).env_clear().env("PATH", path);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_leaves_no_session_signed_in() {
    let blocks = commands_under("Backup");
    let [backup, restore] = blocks.as_slice() else { panic!("{} blocks of commands", blocks.len()) };
    let mut server = TestServer::on_sqlite();
    symlink("data", server.folder().join("handstamp-data")).unwrap();
    let ada = server.ada().await;
    let thief = ada.copy();
    types(&server, backup);

    // The restore undoes all of these changes.
    assert_eq!(ada.changes_password(ADAS_PASSWORD, "walnut-trumpet-glacier").await.status, 303);
    ada.signs_out().await;
    let bob = server.visitor();
    bob.registers("Bob", "bob@example.com", "walnut-trumpet-glacier").await;
    assert!(!thief.is_signed_in().await);

    let (without_the_last, last) = restore.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "handstamp session revoke --all");
    assert!(server.stop().success());
    types(&server, without_the_last);
    server.start();
    assert!(thief.at(&server.url).is_signed_in().await, "without the last line, the old session is live again");

    assert!(server.stop().success());
    types(&server, restore);
    server.start();
    assert!(!thief.at(&server.url).is_signed_in().await);
    assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
}

#[tokio::test]
async fn a_backup_without_the_write_ahead_log_is_incomplete() {
    let server = TestServer::on_sqlite();
    server.ada().await;
    let (data, elsewhere) = (server.folder().join("data"), server.folder().join("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    let copy = elsewhere.join("handstamp.db");
    std::fs::copy(data.join("handstamp.db"), &copy).unwrap();
    let count = |file: &Path| {
        let output = Command::new("sqlite3").arg(file).arg("SELECT COUNT(*) FROM users").output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(count(&data.join("handstamp.db")), (true, "1\n".to_owned()));
    assert_ne!(count(&copy), (true, "1\n".to_owned()), "the guide warns of this");
}

//! Backup and restore: the commands of the guide, as they are printed there, on sites that run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use handstamp_testing::{ADAS_PASSWORD, TestServer, Visitor};

use crate::multiple_nodes::{known_to, nobody_is_signed_in};

const OTHER_PASSWORD: &str = "walnut-trumpet-glacier";

/// The blocks of commands under a heading of the guide.
fn commands_under(heading: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/guide/backup.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rest = guide.split_once(&format!("### {heading}\n")).unwrap().1;
    let section = rest.split("\n### ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Runs an operator's commands in the folder that contains `handstamp-data`, and returns what they print.
fn types(server: &TestServer, commands: &str, environment: &[(&str, &str)]) -> String {
    let mut shell = Command::new("sh");
    let path = format!("{}:/usr/bin:/bin", handstamp_testing::handstamp_binary().parent().unwrap().display());
    shell.args(["-euc", commands]).current_dir(server.folder()).env_clear().env("PATH", path);
    shell.env("HANDSTAMP_HASHING__MEMORY_KIB", "8").envs(environment.iter().copied());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{commands}: {}", String::from_utf8(output.stderr).unwrap());
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with this status, and returns its message.
fn fails(server: &TestServer, status: i32, arguments: &[&str]) -> String {
    let (found, output, error) = server.run_cli(arguments, "");
    assert_eq!(found, status, "{arguments:?}: {output}{error}");
    error
}

/// Ada, and a copy of her cookie whose session she has ended after `copied`, which the restore would undo.
async fn with_a_thief(server: &TestServer, copied: impl FnOnce()) -> Visitor {
    let ada = server.ada().await;
    let thief = ada.copy();
    copied();
    assert_eq!(ada.changes_password(ADAS_PASSWORD, OTHER_PASSWORD).await.status, 303);
    ada.signs_out().await;
    assert!(!thief.is_signed_in().await);
    thief
}

fn data(server: &TestServer) -> PathBuf {
    server.folder().join("data")
}

/// A copy of the data folder, as an operator makes it.
fn copy_of(server: &TestServer, name: &str) -> PathBuf {
    let copy = server.folder().join(name);
    shell(&format!("cp -a '{}' '{}'", data(server).display(), copy.display()));
    copy
}

fn shell(commands: &str) {
    let output = Command::new("sh").args(["-euc", commands]).output().unwrap();
    assert!(output.status.success(), "{commands}: {}", String::from_utf8(output.stderr).unwrap());
}

fn epochs(server: &TestServer) -> Vec<String> {
    let reasons = server.events("epoch_begun").into_iter();
    reasons.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_leaves_no_session_signed_in() {
    let (backup, restore) = (commands_under("Backup"), commands_under("Restore"));
    let ([backup], [restore]) = (backup.as_slice(), restore.as_slice()) else { panic!("one block of commands each") };
    let mut server = TestServer::on_sqlite();
    symlink("data", server.folder().join("handstamp-data")).unwrap();
    let ada = server.ada().await;
    let thief = ada.copy();
    types(&server, backup, &[]);

    // The restore undoes all of these changes.
    assert_eq!(ada.changes_password(ADAS_PASSWORD, OTHER_PASSWORD).await.status, 303);
    ada.signs_out().await;
    let bob = server.visitor();
    bob.registers("Bob", "bob@example.com", OTHER_PASSWORD).await;
    assert!(!thief.is_signed_in().await);

    assert!(server.stop().success());
    let said = types(&server, restore, &[]);
    assert!(said.contains("ended 1 session") && said.contains("the former file is "), "{said}");
    server.start();
    assert!(!thief.at(&server.url).is_signed_in().await && !bob.at(&server.url).is_signed_in().await);
    assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
    assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 1);
    assert!(server.passes_integrity_check().await);
    assert_eq!(epochs(&server), [] as [String; 0], "the epoch has begun before the start");
    let events = server.cli_json(&["events", "list", "--name", "epoch_begun"]);
    assert_eq!(events[0]["fields"]["reason"], "restored", "{events}");
    assert_eq!(server.run_cli(&["events", "verify"], "").0, 0);
    // The former database is whole.
    let former = std::fs::read_dir(data(&server)).unwrap().map(|entry| entry.unwrap().path());
    let former = former.into_iter().find(|path| path.to_str().unwrap().contains(".before-")).unwrap();
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(former)
        .arg("SELECT COUNT(*) FROM users")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_with_its_secret_key_on_another_machine() {
    let server = TestServer::on_sqlite();
    let ada = server.ada().await;
    let file = server.folder().join("backup");
    assert_eq!(server.run_cli(&["backup", file.to_str().unwrap(), "--with-secrets"], "").0, 0);
    let key = std::fs::read(data(&server).join("secret.key")).unwrap();
    let elsewhere = server.folder().join("elsewhere");
    let command = format!("handstamp restore backup --data-dir {}", elsewhere.display());
    types(&server, &command, &[]);
    assert_eq!(std::fs::read(elsewhere.join("secret.key")).unwrap(), key);
    // Another key is kept unless the operator wants that of the backup.
    let other = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n";
    std::fs::write(elsewhere.join("secret.key"), other).unwrap();
    types(&server, &command, &[]);
    assert_eq!(std::fs::read_to_string(elsewhere.join("secret.key")).unwrap(), other);
    let said = types(&server, &format!("{command} --with-secrets"), &[]);
    assert_eq!(std::fs::read(elsewhere.join("secret.key")).unwrap(), key);
    let kept = said
        .lines()
        .filter_map(|line| line.strip_prefix("the former file is "))
        .any(|path| std::fs::read_to_string(path).is_ok_and(|text| text == other));
    assert!(kept, "{said}");
    assert!(ada.is_signed_in().await, "the site that was backed up is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_refused_if_it_is_damaged_or_of_a_newer_version() {
    let mut server = TestServer::on_sqlite();
    server.ada().await;
    let file = server.folder().join("backup");
    let path = file.to_str().unwrap();
    assert_eq!(server.run_cli(&["backup", path], "").0, 0);
    assert_eq!(server.run_cli(&["backup", "--check", path], "").0, 0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // SQLite's own tools read it.
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(path)
        .arg("PRAGMA integrity_check; SELECT email FROM users")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ok\nada@example.com\n");
    assert!(fails(&server, 2, &["backup", path]).contains("--force"));
    assert_eq!(server.run_cli(&["backup", path, "--force"], "").0, 0);

    assert!(server.stop().success());
    let before = std::fs::read(data(&server).join("handstamp.db")).unwrap();
    let whole = std::fs::read(path).unwrap();
    for damaged in [[&whole[..5000], b"x", &whole[5001..]].concat(), whole[..whole.len() - 4096].to_vec()] {
        std::fs::write(path, damaged).unwrap();
        assert!(fails(&server, 1, &["backup", "--check", path]).contains("is damaged"));
        assert!(fails(&server, 1, &["restore", path]).contains("is damaged"));
    }
    assert_eq!(std::fs::read(data(&server).join("handstamp.db")).unwrap(), before);

    server.execute("INSERT INTO handstamp_migrations VALUES (99, 'later', '2030-01-01 00:00:00', 1, x'00', 1)").await;
    assert_eq!(server.run_cli(&["backup", path, "--force"], "").0, 0);
    assert!(fails(&server, 1, &["restore", path]).contains("newer version of Handstamp (it has migration 99)"));
    server.execute("DELETE FROM handstamp_migrations WHERE version = 99").await;
    server.start();
    let left: Vec<_> = std::fs::read_dir(data(&server)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_left = |name: &std::ffi::OsString| name.to_str().unwrap().contains("restoring");
    assert!(!left.iter().any(is_left), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_refused_while_a_server_runs() {
    let mut server = TestServer::on_sqlite();
    let mut second = server.start_node();
    let ada = server.ada().await;
    let copies = known_to(&[&server, &second], &ada).await;
    let file = server.folder().join("backup");
    let path = file.to_str().unwrap();
    assert_eq!(server.run_cli(&["backup", path], "").0, 0);
    let is_refused = |pids: &[String]| {
        let error = fails(&server, 1, &["restore", path]);
        assert!(pids.iter().any(|pid| error.contains(&format!("is open in the process {pid}"))), "{error}");
    };
    is_refused(&[server.pid(), second.pid()]);
    for copy in &copies {
        assert!(copy.is_signed_in().await);
    }
    let pids = [second.pid()];
    server.stop();
    let error = fails(&server, 1, &["restore", path]);
    assert!(error.contains(&format!("is open in the process {}", pids[0])), "{error}");
    second.kill();
    assert_eq!(server.run_cli(&["restore", path], "").0, 0);
    server.start();
    second.start();
    assert!(nobody_is_signed_in(&[ada.at(&server.url), ada.at(&second.url)]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sign_in_fails_during_a_backup() {
    let server = TestServer::on_sqlite();
    server.ada().await;
    let path = server.folder().join("backup");
    for _ in 0..5 {
        let mut command = server.cli_command(&["backup", path.to_str().unwrap(), "--force"]);
        let backup = tokio::task::spawn_blocking(move || command.output().unwrap());
        for _ in 0..10 {
            let page = server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
            assert_eq!(page.status, 303, "{}", page.body);
        }
        assert!(backup.await.unwrap().status.success());
    }
    assert_eq!(server.run_cli(&["backup", "--check", path.to_str().unwrap()], "").0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_copied_back_begins_a_new_epoch() {
    let ways = [
        ("to a new folder", "rm -rf DATA && cp -a COPY DATA"),
        ("in place", "cp -r COPY/. DATA/"),
        (
            "as rsync does",
            "for file in handstamp.db node.state secret.key; do cp COPY/$file DATA/.new && mv DATA/.new DATA/$file; done",
        ),
    ];
    for (name, commands) in ways {
        let mut server = TestServer::on_sqlite();
        // The copy is that of a stopped server, and may have the inode of any file since.
        assert!(server.stop().success());
        server.start();
        let ada = server.ada().await;
        let thief = ada.copy();
        assert!(server.stop().success());
        let copy = copy_of(&server, "copy");
        server.start();
        let ada = ada.at(&server.url);
        assert_eq!(ada.changes_password(ADAS_PASSWORD, OTHER_PASSWORD).await.status, 303, "{name}");
        ada.signs_out().await;
        assert!(server.stop().success());
        assert_eq!(epochs(&server), [] as [String; 0], "{name}");
        let commands = commands.replace("DATA", data(&server).to_str().unwrap());
        shell(&commands.replace("COPY", copy.to_str().unwrap()));
        server.start();
        assert_eq!(epochs(&server), ["folder_copied"], "{name}");
        assert!(!thief.at(&server.url).is_signed_in().await, "{name}");
        assert_eq!(server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303, "{name}");
        server.restart();
        assert_eq!(epochs(&server).len(), 1, "{name}: one epoch for one copy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_put_back_alone_begins_a_new_epoch() {
    let mut server = TestServer::on_sqlite();
    let copy = server.folder().join("copy.db");
    let copied = format!("sqlite3 '{}' '.backup {}'", data(&server).join("handstamp.db").display(), copy.display());
    let thief = with_a_thief(&server, || shell(&copied)).await;
    assert!(server.stop().success());
    let (database, copy) = (data(&server).join("handstamp.db"), copy.display().to_string());
    shell(&format!("rm -f '{0}-wal' '{0}-shm' && cp '{copy}' '{0}'", database.display()));
    server.start();
    assert_eq!(epochs(&server), ["database_older"]);
    assert!(!thief.at(&server.url).is_signed_in().await);
}

handstamp_testing::stories! {
    async fn a_site_that_was_not_put_back_begins_no_epoch(server: TestServer) {
        let mut server = server;
        let ada = server.ada().await;
        let stays = async |server: &TestServer, what: &str| {
            assert_eq!(epochs(server), [] as [String; 0], "{what}");
            assert!(ada.at(&server.url).is_signed_in().await, "{what}");
        };
        server.restart();
        stays(&server, "a restart").await;
        for _ in 0..5 {
            let page = server.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await;
            assert_eq!(page.status, 303);
            let visitor = server.visitor();
            visitor.signs_in("ada@example.com", ADAS_PASSWORD).await;
            visitor.signs_out().await;
            server.kill_and_restart();
            stays(&server, "a kill").await;
        }
        let mut second = server.start_node();
        stays(&second, "a second node").await;
        second.restart();
        second.kill_and_restart();
        server.restart();
        stays(&second, "two nodes").await;
        stays(&server, "two nodes").await;
        assert!(second.stop().success());
        assert!(server.stop().success());
        let (here, there) = (data(&server), server.folder().join("moved"));
        std::fs::rename(&here, &there).unwrap();
        std::fs::rename(&there, &here).unwrap();
        server.start();
        stays(&server, "a moved folder").await;
        assert!(server.stop().success());
        std::fs::remove_file(here.join("node.state")).unwrap();
        server.start();
        stays(&server, "a folder of a version without a state file, or a new one").await;
        assert!(here.join("node.state").exists());
    }

    async fn a_new_epoch_ends_live_sessions_on_two_nodes(server: TestServer) {
        let second = server.start_node();
        let ada = server.ada().await;
        let copies = known_to(&[&server, &second], &ada).await;
        let (status, said, error) = server.run_cli(&["restore", "--database"], "");
        assert_eq!(status, 0, "{error}");
        assert!(said.starts_with("began a new epoch, and ended 1 session;"), "{said}");
        assert!(nobody_is_signed_in(&copies).await);
        assert_eq!(ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
        let copies = known_to(&[&server, &second], &ada).await;
        ada.signs_out().await;
        assert!(nobody_is_signed_in(&copies).await, "the protocol goes on in the new epoch");
    }
}

mod postgres_alone {
    use super::*;

    /// Whether no visitor is served as signed in. A node that is about to begin an epoch answers 503.
    async fn nobody_is_served(copies: &[Visitor]) -> bool {
        for copy in copies {
            if copy.opens("/account").await.status == 200 {
                return false;
            }
        }
        true
    }

    fn dump(server: &TestServer, file: &Path) {
        shell(&format!("pg_dump --format=custom --file='{}' '{}'", file.display(), server.database_url()));
    }

    fn put_back(server: &TestServer, file: &Path) {
        let options = "--clean --if-exists --single-transaction";
        shell(&format!("pg_restore {options} --dbname='{}' '{}'", server.database_url(), file.display()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_older_dump_begins_a_new_epoch_under_running_nodes() {
        let server = TestServer::on_postgres();
        let second = server.start_node();
        let file = server.folder().join("dump");
        let thief = with_a_thief(&server, || dump(&server, &file)).await;
        let copies = [thief.at(&server.url), thief.at(&second.url)];
        let bob = server.visitor();
        bob.registers("Bob", "bob@example.com", OTHER_PASSWORD).await;
        let bobs = known_to(&[&server, &second], &bob).await;
        put_back(&server, &file);
        // At no time is the session live that the dump brings back.
        for _ in 0..200 {
            assert!(nobody_is_served(&copies).await);
            if !epochs(&server).is_empty() || !epochs(&second).is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let begun = [epochs(&server), epochs(&second)].concat();
        assert!(!begun.is_empty() && begun.iter().all(|reason| reason == "database_older"), "{begun:?}");
        assert_eq!(server.run_cli(&["restore", "--database"], "").0, 0);
        assert!(nobody_is_served(&copies).await && nobody_is_served(&bobs).await);
        let ada = server.visitor();
        while ada.signs_in("ada@example.com", ADAS_PASSWORD).await.status == 503 {}
        let copies = known_to(&[&server, &second], &ada).await;
        ada.signs_out().await;
        assert!(nobody_is_signed_in(&copies).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_older_dump_begins_a_new_epoch_at_the_next_start() {
        let mut server = TestServer::on_postgres();
        let file = server.folder().join("dump");
        let thief = with_a_thief(&server, || dump(&server, &file)).await;
        assert!(server.stop().success());
        put_back(&server, &file);
        server.start();
        assert_eq!(epochs(&server), ["database_older"]);
        assert!(!thief.at(&server.url).is_signed_in().await);
        server.restart();
        assert_eq!(epochs(&server).len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_backup_of_postgres_is_left_to_pg_dump_and_checked() {
        let server = TestServer::on_postgres();
        server.ada().await;
        let with_password = server.database_url().replace("postgres@", "postgres:plum-octave@");
        let mut command = server.cli_command(&["backup", "it's a dump"]);
        let output = command.env("HANDSTAMP_DATABASE_URL", with_password).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains("nothing was backed up") && !said.contains("plum-octave"), "{said}");
        let commands: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        let [dumps, checks] = commands.as_slice() else { panic!("{said}") };
        types(&server, &format!("{dumps}\n{checks}"), &[]);

        let file = server.folder().join("it's a dump");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 200]).unwrap();
        assert!(fails(&server, 1, &["backup", "--check", file.to_str().unwrap()]).contains("is damaged"));
        let database = sqlx::PgPool::connect(server.database_url()).await.unwrap();
        let all = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'";
        let tables: Vec<String> = sqlx::query_scalar(all).fetch_all(&database).await.unwrap();
        assert!(tables.len() > 15, "{tables:?}");
        for table in tables {
            let partial = server.folder().join(format!("without {table}"));
            let options = format!("--format=custom --exclude-table-data={table}");
            shell(&format!("pg_dump {options} --file='{}' '{}'", partial.display(), server.database_url()));
            let error = fails(&server, 1, &["backup", "--check", partial.to_str().unwrap()]);
            assert!(error.contains(&format!("no data of the tables {table};")), "{error}");
        }
        assert!(fails(&server, 2, &["restore", file.to_str().unwrap()]).contains("handstamp restore --database"));
    }
}

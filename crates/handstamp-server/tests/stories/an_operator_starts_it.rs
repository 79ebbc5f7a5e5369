use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::visitor::Visitor;

/// What it says when it does not start.
fn refusal(house: &House, name: &str, value: &str) -> String {
    let mut process = house.command().env(name, value).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut says = String::new();
    // A line here is the announcement of a server that has started.
    let announced = BufReader::new(process.stdout.take().unwrap()).read_line(&mut says).unwrap();
    if announced > 0 {
        process.kill().unwrap();
    }
    let output = process.wait_with_output().unwrap();
    assert!(announced == 0 && !output.status.success(), "it started: {says}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn and_nothing_has_to_be_there_before() {
    let house = House::on_sqlite();
    assert_eq!(house.visitor().opens("/").await.status, 200);
    let data = house.folder.join("data");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        files.iter().any(|file| file.ends_with("secret.key"))
            && files.iter().any(|file| file.ends_with("handstamp.db"))
    );
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn and_the_umask_does_not_matter() {
    for umask in ["000", "777"] {
        let mut house = House::on_sqlite();
        house.stop();
        let data = house.folder.join("elsewhere");
        let binary = house.command().get_program().to_owned();
        let script = format!("umask {umask}; exec timeout 2 \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\"");
        let status =
            std::process::Command::new("sh").args(["-c", &script]).arg(binary).arg(&data).env_clear().output().unwrap();
        // `timeout` asks it to stop, which it does properly.
        assert!(String::from_utf8(status.stdout).unwrap().contains("Handstamp is at"), "{umask}");
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        for name in ["secret.key", "handstamp.db", "handstamp.db-lock"] {
            assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name} {umask}");
        }
    }
}

#[tokio::test]
async fn but_not_with_files_that_others_may_read() {
    let mut house = House::on_sqlite();
    house.stop();
    for (name, mode, chmod) in
        [("", 0o755, "chmod 700"), ("secret.key", 0o644, "chmod 600"), ("handstamp.db", 0o660, "chmod 600")]
    {
        let path = house.folder.join("data").join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let refusal = refusal(&house, "HANDSTAMP_SITE_NAME", "Notes");
        assert!(refusal.contains(chmod) && refusal.contains("can be read or written by others"), "{refusal}");
        fs::set_permissions(&path, before).unwrap();
    }
    house.restart();
}

#[tokio::test]
async fn but_not_with_settings_that_are_wrong() {
    let house = House::on_sqlite();
    for (name, value, says) in [
        ("HANDSTAMP_PUBLIC_URL", "http://example.com", "must be https"),
        ("HANDSTAMP_SECRET_KEY", "too-short", "9 bytes long"),
        ("HANDSTAMP_SECRET_KEY", "changemechangemechangemechangeme", "can be guessed"),
        ("HANDSTAMP_RETURN_HOSTS", "localhost:80", "without the port"),
        ("HANDSTAMP_COLOUR", "red", "there is no such setting"),
        ("HANDSTAMP_DATABASE_URL", "mysql://root:hunter2@db", "must begin with sqlite: or postgres://"),
    ] {
        let refusal = refusal(&house, name, value);
        assert!(refusal.contains(says) && refusal.contains(name), "{refusal}");
        assert!(!refusal.contains("changeme") && !refusal.contains("hunter2"), "{refusal}");
    }
}

#[tokio::test]
async fn but_not_without_its_database() {
    let house = House::on_sqlite();
    let refusal = refusal(&house, "HANDSTAMP_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/nothing");
    assert!(refusal.contains("the database cannot be opened") && !refusal.contains("hunter2"), "{refusal}");
}

#[tokio::test]
async fn and_replaces_a_page_while_it_runs() {
    let mut house = House::on_sqlite();
    let templates = house.folder.join("templates");
    fs::create_dir(&templates).unwrap();
    house.restart_with("HANDSTAMP_TEMPLATES_DIR", templates.to_str().unwrap());
    let visitor = house.visitor();
    assert!(visitor.opens("/").await.shows("Good to see you"));
    fs::write(
        templates.join("home.html"),
        "{% extends 'layout.html' %}{% block main %}<h1>Our own {{ site_name }}</h1>{% endblock %}",
    )
    .unwrap();
    assert!(visitor.opens("/").await.shows("<h1>Our own Handstamp</h1>"));
    fs::write(templates.join("home.html"), "{% block main %}{{ no_such_thing.at_all }}").unwrap();
    let page = visitor.opens("/").await;
    assert!(page.status == 200 && page.shows("Good to see you"), "a broken one is not served");
    assert_eq!(house.events("template_broken").await.len(), 1);
    fs::remove_file(templates.join("home.html")).unwrap();
    assert!(visitor.opens("/").await.shows("Good to see you"));
}

#[tokio::test]
async fn and_asks_how_it_is() {
    let house = House::on_postgres();
    let visitor = house.visitor();
    let page = visitor.send(visitor.request(reqwest::Method::GET, "/healthz").header("host", "10.0.0.7")).await;
    assert_eq!((page.status, page.body.as_str()), (200, "ok\n"));
    assert_eq!(visitor.opens("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn and_stops_it_while_requests_are_under_way() {
    let mut house = House::on_sqlite();
    house.set("HANDSTAMP_HASHING__ITERATIONS", "16");
    house.restart_with("HANDSTAMP_HASHING__MEMORY_KIB", "131072");
    let visitor = house.visitor();
    let registering =
        tokio::spawn(async move { visitor.registers("Ada", "ada@example.com", crate::house::ADAS_PASSWORD).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::task::block_in_place(|| house.stop());
    assert!(stopped.success());
    assert_eq!(registering.await.unwrap().status, 303, "it is finished first");
}

#[tokio::test]
async fn and_closes_the_pipe_that_it_logs_to() {
    let mut house = House::on_sqlite();
    house.stop();
    let mut process = house.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    drop(process.stdout.take());
    let mut line = String::new();
    while !line.contains("listening") && !line.contains("\"address\"") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it stopped");
    }
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    drop(log);
    let visitor = Visitor::new(&format!("http://{}", line["address"].as_str().unwrap()));
    for _ in 0..3 {
        assert_eq!(visitor.signs_in("ada@example.com", "wrong").await.status, 422, "which is an event");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn and_stops_it_though_somebody_never_finishes() {
    let mut house = House::on_sqlite();
    let host = house.url.trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&host).unwrap();
    let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9";
    write!(slow, "POST /account/login HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\nemail").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    assert!(tokio::task::block_in_place(|| house.stop()).success());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(13), "the deadline is ten seconds: {took:?}");
}

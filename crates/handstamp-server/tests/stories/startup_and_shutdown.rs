//! Start and stop of the server: data files, settings, the database, signals, templates and health checks.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use handstamp_testing::{ADAS_PASSWORD, Program, TestServer, Visitor};

/// The error message of a server that does not start.
pub fn refusal(server: &TestServer, name: &str, value: &str) -> String {
    let mut process =
        server.serve_command().env(name, value).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut says = String::new();
    // A line on standard output means that the server has started.
    let announced = BufReader::new(process.stdout.take().unwrap()).read_line(&mut says).unwrap();
    if announced > 0 {
        process.kill().unwrap();
    }
    let output = process.wait_with_output().unwrap();
    assert!(announced == 0 && !output.status.success(), "it started: {says}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_first_start_creates_private_data_files() {
    let server = TestServer::on_sqlite();
    assert_eq!(server.visitor().opens("/").await.status, 200);
    let data = server.folder().join("data");
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
async fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let mut server = TestServer::on_sqlite();
    let path = server.folder().join("systemd");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let receive = || {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    server.restart_with("NOTIFY_SOCKET", path.to_str().unwrap());
    assert_eq!(receive(), "READY=1\n");
    assert_eq!(server.visitor().opens("/readyz").await.status, 200);
    assert!(server.stop().success());
    assert_eq!(receive(), "STOPPING=1\n");
    fs::remove_file(&path).unwrap();
    server.start();
    assert_eq!(server.visitor().opens("/readyz").await.status, 200, "systemd is not needed");
    assert_eq!(server.events("systemd_unreachable").len(), 1);
}

#[tokio::test]
async fn data_files_are_private_under_any_umask() {
    for umask in ["000", "777"] {
        let mut server = TestServer::on_sqlite();
        server.stop();
        let data = server.folder().join("elsewhere");
        let binary = server.serve_command().get_program().to_owned();
        let script = format!("umask {umask}; exec timeout 2 \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\"");
        let status =
            std::process::Command::new("sh").args(["-c", &script]).arg(binary).arg(&data).env_clear().output().unwrap();
        // `timeout` sends a signal, and the server shuts down cleanly.
        assert!(String::from_utf8(status.stdout).unwrap().contains("Handstamp is at"), "{umask}");
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        for name in ["secret.key", "handstamp.db", "handstamp.db-lock"] {
            assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name} {umask}");
        }
    }
}

#[tokio::test]
async fn files_that_others_may_read_prevent_the_start() {
    let mut server = TestServer::on_sqlite();
    server.stop();
    for (name, mode, chmod) in
        [("", 0o755, "chmod 700"), ("secret.key", 0o644, "chmod 600"), ("handstamp.db", 0o660, "chmod 600")]
    {
        let path = server.folder().join("data").join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let refusal = refusal(&server, "HANDSTAMP_SITE_NAME", "Notes");
        assert!(refusal.contains(chmod) && refusal.contains("can be read or written by others"), "{refusal}");
        assert!(refusal.contains("StateDirectoryMode=0700") && refusal.contains("fsGroup"), "{refusal}");
        fs::set_permissions(&path, before).unwrap();
    }
    server.restart();
}

#[tokio::test]
async fn an_open_data_folder_prevents_the_first_start() {
    for mode in [0o755, 0o750, 0o2770, 0o777] {
        let mut server = TestServer::on_sqlite();
        server.stop();
        let data = server.folder().join("data");
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        for _ in 0..2 {
            let refusal = refusal(&server, "HANDSTAMP_SITE_NAME", "Notes");
            assert!(refusal.contains("chmod 700") && refusal.contains("StateDirectoryMode=0700"), "{refusal}");
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "the server creates nothing in it");
    }
}

#[tokio::test]
async fn files_that_belong_to_others_prevent_the_start() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files to other users");
        return;
    }
    let mut server = TestServer::on_sqlite();
    server.stop();
    for name in ["", "secret.key", "handstamp.db", "handstamp.db-lock"] {
        let path = server.folder().join("data").join(name);
        chown(&path, Some(65_534), None).unwrap();
        let refusal = refusal(&server, "HANDSTAMP_SITE_NAME", "Notes");
        let path = path.display().to_string();
        assert!(
            refusal.contains("belongs to the user 65534") && refusal.contains(path.trim_end_matches('/')),
            "{refusal}"
        );
        chown(path, Some(0), None).unwrap();
    }
    server.restart();
}

#[tokio::test]
async fn the_log_names_the_settings_that_were_found() {
    let mut server = TestServer::on_sqlite();
    server.no_event("settings", "sys_startup").await;
    let file = server.folder().join("handstamp.toml");
    fs::write(&file, "site_name = 'Notes'").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    server.set("HANDSTAMP_PORT", "tcp://10.0.0.1:80");
    server.restart();
    assert!(server.visitor().opens("/").await.shows("Notes"));
    let told = server.events("settings");
    let told: Vec<_> =
        told.iter().map(|line| (line["level"].as_str().unwrap(), line["message"].as_str().unwrap())).collect();
    let says = |level, text| told.iter().filter(|(of, says)| *of == level && says.contains(text)).count();
    assert_eq!(
        (says("INFO", "handstamp.toml"), says("WARN", "everybody can write"), says("INFO", "HANDSTAMP_PORT")),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn git_ignores_the_data_folder() {
    let server = TestServer::on_sqlite();
    assert_eq!(fs::read_to_string(server.folder().join("data/.gitignore")).unwrap(), "*\n");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).current_dir(server.folder()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "--quiet"]);
    let others = git(&["status", "--porcelain", "--untracked-files=all"]);
    assert!(others.contains("log") && !others.contains("data"), "{others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_survives_a_hangup_under_nohup() {
    let mut server = TestServer::on_sqlite();
    server.stop();
    let serve = server.serve_command();
    let mut command = std::process::Command::new("nohup");
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(server.folder()).env_clear();
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let program = Program::start(command.stderr(Stdio::null()), "listening on ");
    // The kernel discards a signal that a process ignores, so nothing comes later.
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    assert_eq!(u64::from_str_radix(ignored.trim(), 16).unwrap() & 1, 1, "it ignores SIGHUP");
    program.signal("HUP");
    assert_eq!(Visitor::new(&format!("http://{}", program.address())).opens("/healthz").await.status, 200);
    program.signal("TERM");
    assert!(program.wait().success());
}

#[tokio::test]
async fn invalid_settings_prevent_the_start() {
    let server = TestServer::on_sqlite();
    for (name, value, says) in [
        ("HANDSTAMP_PUBLIC_URL", "http://example.com", "must be https"),
        ("HANDSTAMP_SECRET_KEY", "too-short", "9 bytes long"),
        ("HANDSTAMP_SECRET_KEY", "changemechangemechangemechangeme", "can be guessed"),
        ("HANDSTAMP_RETURN_HOSTS", "localhost:80", "without the port"),
        ("HANDSTAMP_COLOUR", "red", "there is no such setting"),
        ("HANDSTAMP_DATABASE_URL", "mysql://root:hunter2@db", "must begin with sqlite: or postgres://"),
    ] {
        let refusal = refusal(&server, name, value);
        assert!(refusal.contains(says) && refusal.contains(name), "{refusal}");
        assert!(!refusal.contains("changeme") && !refusal.contains("hunter2"), "{refusal}");
    }
}

#[tokio::test]
async fn an_unreachable_database_prevents_the_start_after_a_minute() {
    let server = TestServer::on_sqlite();
    let begun = Instant::now();
    let refusal = refusal(&server, "HANDSTAMP_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/nothing");
    let says = "the database cannot be opened: PostgreSQL at 127.0.0.1:1, database nothing: ";
    assert!(refusal.contains(says) && refusal.contains("refused") && !refusal.contains("hunter2"), "{refusal}");
    let took = begun.elapsed().as_secs();
    assert!((59..70).contains(&took), "it waits for a minute: {took}");
    let lines = refusal.matches("database_awaited").count();
    assert!((11..=12).contains(&lines), "a log line every five seconds: {lines}");
}

#[tokio::test]
async fn a_template_is_replaced_while_the_server_runs() {
    let mut server = TestServer::on_sqlite();
    let templates = server.folder().join("templates");
    fs::create_dir(&templates).unwrap();
    server.restart_with("HANDSTAMP_TEMPLATES_DIR", templates.to_str().unwrap());
    let visitor = server.visitor();
    assert!(visitor.opens("/").await.shows("Good to see you"));
    fs::write(
        templates.join("home.html"),
        "{% extends 'layout.html' %}{% block main %}<h1>Our own {{ site_name }}</h1>{% endblock %}",
    )
    .unwrap();
    assert!(visitor.opens("/").await.shows("<h1>Our own Handstamp</h1>"));
    fs::write(templates.join("home.html"), "{% block main %}{{ no_such_thing.at_all }}").unwrap();
    let page = visitor.opens("/").await;
    assert!(page.status == 200 && page.shows("Good to see you"), "a broken template is not used");
    assert_eq!(server.events("template_error").len(), 1);
    fs::remove_file(templates.join("home.html")).unwrap();
    assert!(visitor.opens("/").await.shows("Good to see you"));
}

#[tokio::test]
async fn health_and_readiness_are_reported() {
    let server = TestServer::on_postgres();
    let visitor = server.visitor();
    let page = visitor.send(visitor.request(reqwest::Method::GET, "/healthz").header("host", "10.0.0.7")).await;
    assert_eq!((page.status, page.body.as_str()), (200, "ok\n"));
    assert_eq!(visitor.opens("/readyz").await.status, 200);
}

/// Waits until the server computes a hash that takes 128 MiB, compared with its resident memory before.
pub async fn wait_until_it_hashes(server: &TestServer, before_kib: u64) {
    while server.resident_kib() < before_kib + 16 * 1024 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_requests_in_progress() {
    let mut server = TestServer::on_sqlite();
    server.set("HANDSTAMP_HASHING__ITERATIONS", "16");
    server.restart_with("HANDSTAMP_HASHING__MEMORY_KIB", "131072");
    let (visitor, before) = (server.visitor(), server.resident_kib());
    let registering = tokio::spawn(async move { visitor.registers("Ada", "ada@example.com", ADAS_PASSWORD).await });
    wait_until_it_hashes(&server, before).await;
    let stopped = tokio::task::block_in_place(|| server.stop());
    assert!(stopped.success());
    assert_eq!(registering.await.unwrap().status, 303, "the request completes before the server stops");
}

#[tokio::test]
async fn a_closed_log_pipe_does_not_stop_the_server() {
    let mut server = TestServer::on_sqlite();
    server.stop();
    let mut process = server.serve_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
        assert_eq!(visitor.signs_in("ada@example.com", "wrong").await.status, 422, "each failure writes to the log");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_cuts_off_a_slow_client_after_10_seconds() {
    let mut server = TestServer::on_sqlite();
    let host = server.url.trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&host).unwrap();
    let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\nExpect: 100-continue";
    write!(slow, "POST /account/login HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n").unwrap();
    // This is sent when the handler begins to read the body.
    let mut answer = [0; 25];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    write!(slow, "email").unwrap();
    let begun = Instant::now();
    assert!(tokio::task::block_in_place(|| server.stop()).success());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(13), "the deadline is ten seconds: {took:?}");
}

//! TLS for browsers: curl and OpenSSL as clients, certificates that cannot be used or are replaced, and the redirect of plain http.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handstamp_testing::{EchoApp, TestServer, make_certificate};

use super::startup_and_shutdown::refusal;

/// How long a new certificate may take until it is in use.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with TLS for `https://localhost`, which listens on another port.
pub fn with_tls(mut server: TestServer) -> TestServer {
    make_certificate(server.folder(), "first", "localhost", 0);
    for (name, file) in [("cert.pem", "first.pem"), ("key.pem", "first.key")] {
        fs::rename(server.folder().join(file), server.folder().join(name)).unwrap();
    }
    fs::copy(server.folder().join("cert.pem"), server.folder().join("ca.pem")).unwrap();
    server.set("HANDSTAMP_PUBLIC_URL", "https://localhost");
    server.set("HANDSTAMP_TLS__CERT_FILE", "cert.pem");
    server.restart_with("HANDSTAMP_TLS__KEY_FILE", "key.pem");
    server
}

pub fn port(server: &TestServer) -> String {
    server.address().rsplit(':').next().unwrap().to_owned()
}

/// The output of curl: the heads of all responses and the last body.
fn curl(server: &TestServer, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert", "ca.pem"]);
    command.args([
        "--connect-to",
        &format!("localhost:443:{}", server.address()),
        "--cookie-jar",
        "jar",
        "--cookie",
        "jar",
    ]);
    let output = command.args(arguments).current_dir(server.folder()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    text(output.stdout) + &text(output.stderr)
}

/// The output of OpenSSL's client about a connection.
fn s_client(server: &TestServer, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address(), "-servername", "localhost", "-CAfile", "ca.pem"]);
    let output = command.args(arguments).current_dir(server.folder()).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The name of the file with the certificate that is in use.
fn in_use(server: &TestServer, names: &[&str]) -> String {
    let shown = s_client(server, &["-showcerts"]);
    let certificate = |text: &str| {
        let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
        Some(rest.split_once("-----END CERTIFICATE-----")?.0.trim().to_owned())
    };
    let found = certificate(&shown);
    let is_it =
        |name: &&&str| certificate(&fs::read_to_string(server.folder().join(format!("{name}.pem"))).unwrap()) == found;
    names.iter().find(is_it).map_or_else(|| panic!("{shown}"), ToString::to_string)
}

async fn waits_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !tokio::task::block_in_place(&condition) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const REGISTERS: [&str; 5] = [
    "https://localhost/account/register",
    "--data",
    "name=Ada&email=ada@example.com&password=plum-octave-harbour",
    "--header",
    "Origin: https://localhost",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_signs_in_over_tls_by_http_1_and_by_http_2() {
    let server = with_tls(TestServer::on_sqlite());
    let page = curl(&server, &["--http1.1", "https://localhost/account/login"]);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("\r\nstrict-transport-security: "), "{page}");
    let answer = curl(&server, &[["--http2"].as_slice(), &REGISTERS].concat());
    assert!(answer.starts_with("HTTP/2 303 "), "{answer}");
    let cookie = answer.lines().find(|line| line.contains("handstamp_session")).unwrap();
    assert!(cookie.starts_with("set-cookie: __Host-handstamp_session=") && cookie.contains("; Secure"), "{cookie}");
    for (version, status) in [("--http1.1", "HTTP/1.1 200 OK"), ("--http2", "HTTP/2 200")] {
        let page = curl(&server, &[version, "https://localhost/account"]);
        assert!(page.starts_with(status) && page.contains("Welcome, Ada"), "{version} {page}");
    }
    fs::write(server.folder().join("long"), format!("X-Long: {}", "x".repeat(40_000))).unwrap();
    let long = curl(&server, &["--http2", "--header", "@long", "https://localhost/account"]);
    assert!(long.starts_with("HTTP/2 431 "), "{long}");
    let elsewhere = curl(&server, &["--http2", "--header", "Host: evil.test", "https://localhost/account"]);
    assert!(elsewhere.starts_with("HTTP/2 421 "), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_behind_tls_learns_that_the_browser_uses_https() {
    let app = EchoApp::start().await;
    let mut server = with_tls(TestServer::on_sqlite());
    server.restart_with("HANDSTAMP_APP__URL", &app.url);
    curl(&server, &REGISTERS);
    for version in ["--http1.1", "--http2"] {
        let body = "x".repeat(300_000);
        fs::write(server.folder().join("body"), &body).unwrap();
        let args =
            [version, "https://localhost/notes?a=%2F", "--data", "@body", "--header", "Origin: https://localhost"];
        let echoed = curl(&server, &args);
        let told = [("x-forwarded-proto", "https"), ("host", "localhost"), ("x-forwarded-host", "localhost")];
        for (name, value) in told {
            assert!(echoed.contains(&format!("[\"{name}\",\"{value}\"]")), "{version} {echoed}");
        }
        assert!(echoed.contains("\"target\":\"/notes?a=%2F\"") && echoed.contains("\"length\":300000"), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_negotiates_modern_versions_and_protocols_only() {
    let server = with_tls(TestServer::on_sqlite());
    for version in ["1_2", "1_3"] {
        let session = server.folder().join(version).display().to_string();
        let shown = s_client(&server, &[&format!("-tls{version}"), "-alpn", "h2,http/1.1", "-sess_out", &session]);
        assert!(shown.contains("ALPN protocol: h2") && shown.contains("Verify return code: 0 (ok)"), "{shown}");
        assert!(
            !shown.contains("Early data was accepted")
                && !shown.contains("Secure Renegotiation IS supported\nCompression: zlib"),
            "{shown}"
        );
        // A ticket of TLS 1.3 comes after the handshake, when the client may be gone.
        if Path::new(&session).exists() {
            let again = s_client(&server, &[&format!("-tls{version}"), "-sess_in", &session]);
            assert!(again.contains("Reused, "), "{again}");
        }
    }
    for version in ["-tls1", "-tls1_1"] {
        let shown = s_client(&server, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(shown.contains("Cipher is (NONE)") && shown.contains("SSL alert number"), "{version} {shown}");
    }
    let shown = s_client(&server, &["-alpn", "spdy/3"]);
    assert!(shown.contains("alert no application protocol"), "{shown}");
    let plain = curl(&server, &[&format!("http://{}/account/login", server.address())]);
    assert!(!plain.contains("HTTP/1.1"), "plain http gets no answer: {plain}");
    assert!(curl(&server, &["https://localhost/account/login"]).contains(" 200"), "the next client is served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_cannot_be_used_are_told_at_the_start() {
    let mut server = with_tls(TestServer::on_sqlite());
    server.stop();
    let folder = server.folder().to_owned();
    make_certificate(&folder, "other", "localhost", 0);
    make_certificate(&folder, "expired", "localhost", -30);
    make_certificate(&folder, "future", "localhost", 30);
    fs::write(folder.join("text"), "no PEM").unwrap();
    fs::write(folder.join("half.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    fs::write(folder.join("wrong.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(folder.join("locked.key"), locked).unwrap();
    for (certificate, key, fault) in [
        ("none.pem", "key.pem", "tls.cert_file: cannot read none.pem: No such file"),
        ("cert.pem", "none.key", "tls.key_file: cannot read none.key: No such file"),
        (".", "key.pem", "tls.cert_file: cannot read .: Is a directory"),
        ("text", "key.pem", "tls.cert_file: there is no CERTIFICATE in text"),
        ("half.pem", "key.pem", "tls.cert_file: half.pem is no PEM file"),
        ("wrong.pem", "key.pem", "tls.cert_file: wrong.pem has an invalid certificate"),
        ("cert.pem", "text", "tls.key_file: there is no PRIVATE KEY in text"),
        ("cert.pem", "locked.key", "a PEM file without a password"),
        ("cert.pem", "other.key", "the key in other.key does not belong to the first certificate in cert.pem"),
        ("expired.pem", "expired.key", "the certificate has expired, 20 days ago"),
        ("future.pem", "future.key", "the certificate is not valid yet, for "),
    ] {
        server.set("HANDSTAMP_TLS__CERT_FILE", certificate);
        let says = refusal(&server, "HANDSTAMP_TLS__KEY_FILE", key);
        assert!(says.contains(fault) && !says.contains("MIIB"), "{certificate} {key}: {says}");
    }
    server.set("HANDSTAMP_TLS__CERT_FILE", "cert.pem");
    let says = refusal(&server, "HANDSTAMP_PUBLIC_URL", "http://localhost");
    assert!(says.contains("needs a public_url that begins with https://"), "{says}");
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    let says = refusal(&server, "HANDSTAMP_TLS__KEY_FILE", "key.pem");
    assert!(says.contains("everybody can write key.pem, which holds a secret"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_is_warned_of() {
    let mut server = with_tls(TestServer::on_sqlite());
    assert!(server.events("tls_certificate_wrong_host").is_empty());
    server.set("HANDSTAMP_SESSION__COOKIE_DOMAIN", "example.com");
    server.set("HANDSTAMP_APPS__WIKI__URL", "http://127.0.0.1:9");
    server.set("HANDSTAMP_APPS__WIKI__HOST", "wiki.example.com:8443");
    make_certificate(server.folder(), "cert", "id.example.com", 0);
    server.set("HANDSTAMP_TLS__KEY_FILE", "cert.key");
    server.restart_with("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
    let warned: Vec<_> = server.events("tls_certificate_wrong_host").iter().map(|line| line["host"].clone()).collect();
    assert_eq!(warned, ["wiki.example.com"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_loaded_anew_however_their_files_are_replaced() {
    let mut server = with_tls(TestServer::on_sqlite());
    server.enable_metrics();
    let folder = server.folder().to_owned();
    let names = ["ca", "second", "third", "fourth", "fifth"];
    for name in &names[1..] {
        make_certificate(&folder, name, "localhost", 0);
    }
    assert_eq!(in_use(&server, &names[..1]), "ca");
    let expires = server.metric("handstamp_tls_certificate_expiry_timestamp_seconds").await;
    let days = server.events("tls_certificate_loaded").last().unwrap()["days"].as_u64().unwrap();
    assert!(days == 9 || days == 10, "{days}");

    // By a rename of each file.
    for (from, to) in [("second.pem", "cert.pem"), ("second.key", "key.pem")] {
        fs::copy(folder.join(from), folder.join("new")).unwrap();
        fs::rename(folder.join("new"), folder.join(to)).unwrap();
    }
    waits_until(|| in_use(&server, &names) == "second").await;
    assert!(server.metric("handstamp_tls_certificate_expiry_timestamp_seconds").await >= expires);
    // By writing into the files.
    fs::copy(folder.join("third.pem"), folder.join("cert.pem")).unwrap();
    fs::copy(folder.join("third.key"), folder.join("key.pem")).unwrap();
    waits_until(|| in_use(&server, &names) == "third").await;

    // By the switch of a link to a folder.
    for (number, name) in [("..1", "third"), ("..2", "fourth")] {
        fs::create_dir(folder.join(number)).unwrap();
        fs::copy(folder.join(format!("{name}.pem")), folder.join(number).join("tls.crt")).unwrap();
        fs::copy(folder.join(format!("{name}.key")), folder.join(number).join("tls.key")).unwrap();
    }
    symlink("..1", folder.join("..data")).unwrap();
    server.set("HANDSTAMP_TLS__CERT_FILE", "..data/tls.crt");
    server.restart_with("HANDSTAMP_TLS__KEY_FILE", "..data/tls.key");
    assert_eq!(in_use(&server, &names), "third");
    symlink("..2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    waits_until(|| in_use(&server, &names) == "fourth").await;
    assert!(server.events("tls_certificate_refused").is_empty(), "no replacement was seen half done");

    // The certificate alone, whose key comes later.
    fs::copy(folder.join("fifth.pem"), folder.join("..2/tls.crt")).unwrap();
    let refused = server.wait_for_event("tls_certificate_refused").await;
    assert!(refused["error"].as_str().unwrap().contains("does not belong to the first certificate"), "{refused}");
    assert_eq!(in_use(&server, &names), "fourth", "the pair before stays in use");
    fs::copy(folder.join("fifth.key"), folder.join("..2/tls.key")).unwrap();
    waits_until(|| in_use(&server, &names) == "fifth").await;
    assert_eq!(server.events("tls_certificate_refused").len(), 1, "an error that stays is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_redirected_to_https_at_hosts_of_this_site_only() {
    let mut server = with_tls(TestServer::on_sqlite());
    server.set("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
    server.set("HANDSTAMP_SESSION__COOKIE_DOMAIN", "example.com");
    server.set("HANDSTAMP_APPS__WIKI__URL", "http://127.0.0.1:9");
    server.set("HANDSTAMP_APPS__WIKI__HOST", "wiki.example.com");
    server.set("HANDSTAMP_LIMITS__CONNECTIONS", "10");
    server.restart_with("HANDSTAMP_TLS__REDIRECT_LISTEN", "127.0.0.1:0");
    let address = server.wait_for_event("redirect_listening").await["address"].as_str().unwrap().to_owned();
    let redirected = |arguments: &[&str], target: &str| {
        let url = format!("http://{address}");
        let shown = curl(&server, &[arguments, &["--path-as-is", "--request-target", target, &url]].concat());
        assert!(shown.starts_with("HTTP/1.1 308 Permanent Redirect\r\n") && shown.ends_with("\r\n\r\n"), "{shown}");
        let location = shown.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
        assert!(!shown.contains("set-cookie") && !shown.contains("strict-transport-security"), "{shown}");
        location
    };
    for host in ["id.example.com", "id.example.com:8080", "evil.test", "127.0.0.1"] {
        let host = format!("Host: {host}");
        assert_eq!(redirected(&["--header", &host], "/a/../b?c=%2F&d"), "https://id.example.com/a/../b?c=%2F&d");
    }
    assert_eq!(redirected(&["--header", "Host: wiki.example.com"], "/"), "https://wiki.example.com/");
    assert_eq!(redirected(&["--data", "x"], "/account/login"), "https://id.example.com/account/login");
    assert_eq!(redirected(&[], "http://evil.test/x"), "https://id.example.com/x");
    assert_eq!(redirected(&[], "/é"), "https://id.example.com/%C3%A9");
    // Both listeners share the limit of connections.
    let held: Vec<_> = (0..10).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    assert!(!s_client(&server, &[]).contains("BEGIN CERTIFICATE"));
    server.wait_for_event("too_many_connections").await;
    drop(held);
}

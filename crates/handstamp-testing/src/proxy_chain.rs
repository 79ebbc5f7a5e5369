//! Real reverse proxies for tests, with the printed configurations and an app that echoes requests.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use tokio::task::JoinHandle;

use crate::{TempFolder, TestServer, free_address};

/// A reverse proxy from the packages of this system or of PyPI.
#[derive(Clone, Copy, Debug)]
pub enum Proxy {
    /// Debian's version.
    Nginx,
    /// Debian's version.
    Caddy,
    /// The version of PyPI.
    NewCaddy,
    /// The version of PyPI.
    Traefik,
}

/// A real proxy with the configuration that `handstamp proxy-config` prints, in front of a server and an app that echoes its
/// requests. All are stopped when it is dropped.
#[derive(Debug)]
pub struct ProxyChain {
    /// The URL of the proxy.
    pub url: String,
    /// The URL of the app, which bypasses the proxy.
    pub app_url: String,
    process: Child,
    app: Option<JoinHandle<()>>,
    folder: TempFolder,
}

/// A user without rights, whose name differs between systems.
const UNPRIVILEGED: u32 = 65534;

impl ProxyChain {
    /// Starts a proxy; each of `changes` replaces a text of the configuration, which must occur there.
    pub async fn new(server: &TestServer, proxy: Proxy, changes: &[(&str, &str)]) -> Self {
        Self::with_flags(server, proxy, &[], changes).await
    }

    /// Starts a proxy at this address.
    pub async fn listening_at(server: &TestServer, proxy: Proxy, listen: &str, changes: &[(&str, &str)]) -> Self {
        Self::with_echo_app(server, proxy, listen, &[], changes).await
    }

    /// Starts a proxy with more flags for `proxy-config`.
    pub async fn with_flags(server: &TestServer, proxy: Proxy, flags: &[&str], changes: &[(&str, &str)]) -> Self {
        Self::with_echo_app(server, proxy, &free_address(), flags, changes).await
    }

    async fn with_echo_app(
        server: &TestServer,
        proxy: Proxy,
        listen: &str,
        flags: &[&str],
        changes: &[(&str, &str)],
    ) -> Self {
        // The app may be started again at this address later.
        let app_address = free_address();
        let app = tokio::net::TcpListener::bind(&app_address).await.unwrap();
        let mut chain = Self::start(server, proxy, listen, &app_address, flags, changes).await;
        chain.app = Some(serve_echo_app(app));
        chain
    }

    /// Starts the app again at the same address.
    pub async fn start_app(&mut self) {
        let address = self.app_url.strip_prefix("http://").unwrap();
        self.app = Some(serve_echo_app(tokio::net::TcpListener::bind(address).await.unwrap()));
    }

    /// Stops the app.
    pub async fn stop_app(&mut self) {
        let app = self.app.take().unwrap();
        app.abort();
        let _ = app.await;
    }

    /// Starts a proxy in front of an app of the test.
    pub async fn in_front_of(
        server: &TestServer,
        proxy: Proxy,
        listen: &str,
        app: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        Self::start(server, proxy, listen, app, &[], changes).await
    }

    async fn start(
        server: &TestServer,
        proxy: Proxy,
        listen: &str,
        app: &str,
        flags: &[&str],
        changes: &[(&str, &str)],
    ) -> Self {
        let folder = TempFolder::new();
        let configuration = proxy.configuration(server, listen, app, flags);
        let configuration = changes.iter().fold(configuration, |text, (old, new)| {
            assert!(text.contains(old), "{old:?} is not in {text}");
            text.replace(old, new)
        });
        let file = folder.path().join("proxy.yml");
        std::fs::write(&file, configuration).unwrap();
        let process = proxy.start(folder.path(), &file, listen);
        let (url, app_url) = (format!("http://{listen}"), format!("http://{app}"));
        let chain = Self { url, app_url, process, app: None, folder };
        chain.wait_until_up().await;
        chain
    }

    async fn wait_until_up(&self) {
        let url = format!("{}/account/login", self.url);
        for _ in 0..400 {
            match reqwest::get(&url).await {
                // Traefik listens before it has read its routes.
                Ok(answer) if answer.status() != 404 => return,
                _ => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
        panic!("the proxy did not start: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }
}

impl Drop for ProxyChain {
    fn drop(&mut self) {
        // nginx has children, which a kill would leave behind.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        if let Some(app) = &self.app {
            app.abort();
        }
    }
}

impl Proxy {
    /// The configuration that `proxy-config` prints.
    pub fn configuration(self, server: &TestServer, listen: &str, app: &str, flags: &[&str]) -> String {
        let handstamp = &server.address();
        let name = match self {
            Self::Nginx => "nginx",
            Self::Caddy | Self::NewCaddy => "caddy",
            Self::Traefik => "traefik",
        };
        let arguments = ["proxy-config", name, "--listen", listen, "--app", app, "--handstamp", handstamp];
        let output = server.cli_command_without_settings(&[&arguments, flags].concat()).output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(self, folder: &Path, file: &Path, listen: &str) -> Child {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let pypi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin");
        let mut command = match self {
            Self::Nginx => {
                let mut command = Command::new("/usr/sbin/nginx");
                command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file.file_name().unwrap());
                // nginx needs no privileges, so it runs without them.
                if rustix::process::geteuid().is_root() {
                    std::os::unix::fs::chown(folder, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
                    command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
                }
                command
            }
            Self::Caddy | Self::NewCaddy => {
                let program = if matches!(self, Self::Caddy) { "/usr/bin/caddy".into() } else { pypi.join("caddy") };
                let mut command = Command::new(program);
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", folder);
                command
            }
            Self::Traefik => {
                let mut command = Command::new(pypi.join("traefik"));
                command.arg(format!("--entryPoints.web.address={listen}"));
                command.arg(format!("--providers.file.filename={}", file.display()));
                command.arg("--global.checkNewVersion=false").current_dir(folder);
                command
            }
        };
        let streams = (log.try_clone().unwrap(), log);
        let spawned = command.stdin(Stdio::null()).stdout(streams.0).stderr(streams.1).spawn();
        spawned.unwrap_or_else(|error| panic!("{self:?} is missing; script/test installs it: {error}"))
    }
}

/// An app that echoes its requests, without a proxy. It is stopped when it is dropped.
#[derive(Debug)]
pub struct EchoApp {
    /// The URL of the app.
    pub url: String,
    task: JoinHandle<()>,
}

impl EchoApp {
    /// Starts an app.
    pub async fn start() -> Self {
        let address = free_address();
        let app = tokio::net::TcpListener::bind(&address).await.unwrap();
        Self { url: format!("http://{address}"), task: serve_echo_app(app) }
    }
}

impl Drop for EchoApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn serve_echo_app(app: tokio::net::TcpListener) -> JoinHandle<()> {
    let routes = Router::new()
        .route("/believes", get(trust_identity_header))
        .route("/refuses", any(|request| read_and_answer(request, StatusCode::UNAUTHORIZED)))
        .route("/silent", any(|request| read_and_answer(request, StatusCode::OK)))
        .route("/slow", any(slow))
        .fallback(echo);
    tokio::spawn(async { axum::serve(app, routes).await.unwrap() })
}

/// Answers with the request as JSON.
async fn echo(request: Request) -> Json<serde_json::Value> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("not ASCII")));
    let headers: Vec<_> = headers.collect();
    let length = to_bytes(body, usize::MAX).await.unwrap().len();
    let (method, target) = (parts.method.as_str(), parts.uri.to_string());
    Json(serde_json::json!({ "method": method, "target": target, "headers": headers, "length": length }))
}

/// Answers with this status once it has read the body. Otherwise the connection would be closed while a proxy still sends it.
async fn read_and_answer(request: Request, status: StatusCode) -> StatusCode {
    to_bytes(request.into_body(), usize::MAX).await.unwrap();
    status
}

/// Answers after ten seconds.
async fn slow() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

/// Trusts the identity header, and refuses requests without it.
async fn trust_identity_header(request: Request) -> Response {
    match request.headers().get("remote-user") {
        Some(user) => format!("Hello, {user:?}").into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

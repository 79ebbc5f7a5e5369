//! Real reverse proxies for tests, with the printed configurations and an app that echoes requests.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use tokio::task::JoinHandle;

use crate::house::House;

/// A reverse proxy from the packages of this system or of PyPI.
#[derive(Clone, Copy, Debug)]
pub enum Proxy {
    Nginx,
    /// Debian's version; `NewCaddy` is the newest.
    Caddy,
    NewCaddy,
    Traefik,
}

/// A real proxy with the configuration that `handstamp proxy-config` prints, between clients and an app that echoes its
/// requests.
pub struct Chain {
    pub url: String,
    pub app_url: String,
    process: Child,
    app: Option<JoinHandle<()>>,
    folder: PathBuf,
}

/// A user without rights, whose name differs between systems.
const UNPRIVILEGED: u32 = 65534;

impl Chain {
    /// Starts a proxy; each of `changes` replaces a text of the configuration, which must occur there.
    pub async fn new(house: &House, proxy: Proxy, changes: &[(&str, &str)]) -> Self {
        Self::printed(house, proxy, &[], changes).await
    }

    /// Starts a proxy at this address.
    pub async fn at(house: &House, proxy: Proxy, listen: &str, changes: &[(&str, &str)]) -> Self {
        Self::echoing(house, proxy, listen, &[], changes).await
    }

    /// Starts a proxy with more flags for `proxy-config`.
    pub async fn printed(house: &House, proxy: Proxy, flags: &[&str], changes: &[(&str, &str)]) -> Self {
        Self::echoing(house, proxy, &free_address(), flags, changes).await
    }

    async fn echoing(house: &House, proxy: Proxy, listen: &str, flags: &[&str], changes: &[(&str, &str)]) -> Self {
        let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app_address = app.local_addr().unwrap().to_string();
        let mut chain = Self::between(house, proxy, listen, &app_address, flags, changes).await;
        chain.app = Some(serves(app));
        chain
    }

    /// Starts the app again at the same address.
    pub async fn gets_its_app_back(&mut self) {
        let address = self.app_url.strip_prefix("http://").unwrap();
        self.app = Some(serves(tokio::net::TcpListener::bind(address).await.unwrap()));
    }

    /// Stops the app.
    pub async fn loses_its_app(&mut self) {
        let app = self.app.take().unwrap();
        app.abort();
        let _ = app.await;
    }

    /// Starts a proxy in front of an app of the test.
    pub async fn to(house: &House, proxy: Proxy, listen: &str, app: &str, changes: &[(&str, &str)]) -> Self {
        Self::between(house, proxy, listen, app, &[], changes).await
    }

    async fn between(
        house: &House,
        proxy: Proxy,
        listen: &str,
        app: &str,
        flags: &[&str],
        changes: &[(&str, &str)],
    ) -> Self {
        let folder = crate::house::new_folder();
        let configuration = proxy.configuration(house, listen, app, flags);
        let configuration = changes.iter().fold(configuration, |text, (old, new)| {
            assert!(text.contains(old), "{old:?} is not in {text}");
            text.replace(old, new)
        });
        let file = folder.join("proxy.yml");
        std::fs::write(&file, configuration).unwrap();
        let process = proxy.starts(&folder, &file, listen);
        let (url, app_url) = (format!("http://{listen}"), format!("http://{app}"));
        let chain = Self { url, app_url, process, app: None, folder };
        chain.is_up().await;
        chain
    }

    async fn is_up(&self) {
        let url = format!("{}/account/login", self.url);
        for _ in 0..400 {
            match reqwest::get(&url).await {
                // Traefik listens before it has read its routes.
                Ok(answer) if answer.status() != 404 => return,
                _ => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
        panic!("the proxy did not start: {}", std::fs::read_to_string(self.folder.join("log")).unwrap());
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // nginx has children, which a kill would leave behind.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        if let Some(app) = &self.app {
            app.abort();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Proxy {
    /// The configuration that `proxy-config` prints.
    pub fn configuration(self, house: &House, listen: &str, app: &str, flags: &[&str]) -> String {
        let handstamp = &house.address();
        let name = match self {
            Self::Nginx => "nginx",
            Self::Caddy | Self::NewCaddy => "caddy",
            Self::Traefik => "traefik",
        };
        let arguments = ["proxy-config", name, "--listen", listen, "--app", app, "--handstamp", handstamp];
        let output = house.bare_command(&[&arguments, flags].concat()).output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn starts(self, folder: &Path, file: &Path, listen: &str) -> Child {
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

fn serves(app: tokio::net::TcpListener) -> JoinHandle<()> {
    let routes = Router::new()
        .route("/believes", get(believes))
        .route("/refuses", any(StatusCode::UNAUTHORIZED))
        .route("/silent", any(StatusCode::OK))
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

/// Answers after ten seconds.
async fn slow() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

/// Trusts the identity header, and refuses requests without it.
async fn believes(request: Request) -> Response {
    match request.headers().get("remote-user") {
        Some(user) => format!("Hello, {user:?}").into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

//! The compared systems: the same app alone, behind nginx, behind nginx that asks Handstamp, and behind Handstamp.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use handstamp_bench::client;
use handstamp_bench::folder::Folder;
use handstamp_bench::program::Program;
use handstamp_testing::free_address;

use crate::Options;

/// A compared system.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Alone,
    Nginx,
    /// nginx whose authorization subrequests Handstamp answers.
    Beside,
    InFront,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Alone, Self::Nginx, Self::Beside, Self::InFront];
    /// Those with a proxy.
    pub const PROXIES: [Self; 3] = [Self::Nginx, Self::Beside, Self::InFront];

    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "the app alone",
            Self::Nginx => "nginx `proxy_pass`, without sign-in",
            Self::Beside => "nginx `auth_request`, Handstamp beside",
            Self::InFront => "**`handstamp serve --app`**",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Nginx => "nginx",
            Self::Beside => "beside",
            Self::InFront => "in-front",
        }
    }
}

/// A running system with an app of its own.
pub struct System {
    pub kind: Kind,
    nginx: Option<Program>,
    handstamp: Option<Program>,
    app: Program,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The cookies of its signed-in user.
    pub cookies: String,
    _folder: Folder,
}

/// The processor time in seconds, or another figure, of each program of a system.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    pub handstamp: f64,
    pub nginx: f64,
    pub app: f64,
}

impl Parts {
    pub fn total(self) -> f64 {
        self.handstamp + self.nginx + self.app
    }

    pub fn minus(self, other: Self) -> Self {
        Self { handstamp: self.handstamp - other.handstamp, nginx: self.nginx - other.nginx, app: self.app - other.app }
    }

    pub fn plus(self, other: Self) -> Self {
        Self { handstamp: self.handstamp + other.handstamp, nginx: self.nginx + other.nginx, app: self.app + other.app }
    }
}

impl System {
    /// Starts a system, and signs a user in where it has users.
    ///
    /// # Panics
    /// When a program of it does not start.
    pub fn start(kind: Kind, options: &Options, cores: &str) -> Self {
        let folder = Folder::new(kind.folder());
        let app = Program::start(cores, &options.app, &[], &[]);
        let (app_url, data) = (format!("http://{}", app.address), text(&folder.join("data")));
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data];
        let handstamp = match kind {
            Kind::Alone | Kind::Nginx => None,
            Kind::Beside => Some([&serve[..], &["--trusted-proxy", "127.0.0.1"]].concat()),
            Kind::InFront => Some([&serve[..], &["--app", &app_url]].concat()),
        };
        let handstamp = handstamp.map(|arguments| Program::start(cores, &options.binary, &arguments, &[]));
        let configuration = |listen: &str| match kind {
            Kind::Nginx => Some(plain(listen, app.address)),
            Kind::Beside => Some(printed(&options.binary, listen, app.address, handstamp.as_ref()?.address)),
            Kind::Alone | Kind::InFront => None,
        };
        let nginx = start_nginx(cores, &folder, configuration);
        let address = [&nginx, &handstamp].into_iter().flatten().map(|program| program.address).next();
        let address = address.unwrap_or(app.address);
        let cookies =
            if handstamp.is_some() { register(address, "ada") } else { format!("session={}", "x".repeat(200)) };
        Self { kind, nginx, handstamp, app, address, cookies, _folder: folder }
    }

    /// The processor time so far, in user and in system mode, of all processes.
    pub fn processor_time(&self) -> Parts {
        let of = |program: &Program| program.processor_time().as_secs_f64();
        Parts {
            handstamp: self.handstamp.as_ref().map_or(0.0, of),
            nginx: self.nginx.as_ref().map_or(0.0, of),
            app: of(&self.app),
        }
    }

    /// The most memory that Handstamp had resident so far, in MiB, if it is part of the system.
    pub fn most_memory(&self) -> Option<f64> {
        self.handstamp.as_ref().map(|handstamp| handstamp.kib("VmHWM") / 1024.0)
    }
}

fn start_nginx(cores: &str, folder: &Folder, configuration: impl Fn(&str) -> Option<String>) -> Option<Program> {
    let listen = free_address();
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(&listen)?).expect("the folder can be written");
    let (folder, file) = (text(folder.path()), text(&file));
    let arguments = ["-e", "stderr", "-p", &folder, "-c", &file];
    let address = listen.parse().expect("it is an address");
    Some(Program::start_at(address, cores, Path::new("nginx"), &arguments))
}

fn plain(listen: &str, app: SocketAddr) -> String {
    include_str!("nginx.conf").replace("{{listen}}", listen).replace("{{app}}", &app.to_string())
}

/// The configuration that Handstamp prints.
fn printed(binary: &Path, listen: &str, app: SocketAddr, handstamp: SocketAddr) -> String {
    let (app, handstamp) = (app.to_string(), handstamp.to_string());
    let arguments = ["proxy-config", "nginx", "--listen", listen, "--app", &app, "--handstamp", &handstamp];
    let output = Command::new(binary).args(arguments).output().expect("the binary runs");
    assert!(output.status.success(), "proxy-config");
    String::from_utf8(output.stdout).expect("a configuration is text")
}

/// The cookies of a newly registered user.
///
/// # Panics
/// When the registration fails.
pub fn register(address: SocketAddr, name: &str) -> String {
    client::register(address, "", name, &format!("{name}%40example.com"))
}

/// A path as the argument of a command.
pub fn text(path: &Path) -> String {
    path.to_str().expect("temporary files have plain names").to_owned()
}

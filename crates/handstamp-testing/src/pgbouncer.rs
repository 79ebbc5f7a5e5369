//! PgBouncer in transaction mode, in a folder of its own.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{TempFolder, free_address};

/// A running PgBouncer, which is stopped when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    process: Child,
    address: String,
    _folder: TempFolder,
}

impl PgBouncer {
    /// Starts it before the server of this database URL, with so few connections to the server that clients share them. `more` are
    /// lines of its configuration.
    ///
    /// # Panics
    /// If it is missing, or does not accept connections.
    pub fn start(database_url: &str, more: &str) -> Self {
        let server = database_url.split_once('@').unwrap().1.split('/').next().unwrap();
        let (host, port) = server.rsplit_once(':').unwrap();
        let (folder, address) = (TempFolder::new(), free_address());
        let (listen, listen_port) = address.rsplit_once(':').unwrap();
        let config = format!(
            "[databases]\n* = host={host} port={port} user=postgres\n[pgbouncer]\nlisten_addr = {listen}\n\
             listen_port = {listen_port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 4\nmax_client_conn = 200\n{more}\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        // PgBouncer refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = Command::new(if is_root { "setpriv" } else { "/usr/sbin/pgbouncer" });
        if is_root {
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/sbin/pgbouncer"]);
        }
        let output = std::fs::File::create(folder.path().join("log")).unwrap();
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let process = command.spawn().expect("PgBouncer is missing: apt-get install pgbouncer");
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(20), "PgBouncer does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address, _folder: folder }
    }

    /// The URL by which a database of the server is reached through the pooler.
    pub fn url_of(&self, database_url: &str) -> String {
        format!("postgres://postgres@{}/{}", self.address, database_url.rsplit('/').next().unwrap())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

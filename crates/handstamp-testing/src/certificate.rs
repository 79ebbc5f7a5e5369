//! Certificates for tests, made by OpenSSL.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::TestServer;

/// Makes a certificate of a host that is its own authority, `NAME.pem`, and its key, `NAME.key`. It is valid for ten days from a day
/// on, which is so many days from today.
///
/// # Panics
/// If OpenSSL cannot make it.
pub fn make_certificate(folder: &Path, name: &str, host: &str, first_day: i32) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10"]);
    command.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).current_dir(folder);
    command.env("LD_PRELOAD", TestServer::library_for_clocks()).env("FAKETIME", format!("{first_day:+}d"));
    assert!(command.stderr(Stdio::null()).status().unwrap().success(), "openssl cannot make a certificate");
}

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
    make(folder, name, host, first_day, &[]);
}

/// Makes a certificate of a host, `NAME.pem`, and its key, `NAME.key`, of the authority that [`make_certificate`] has made by this name.
/// It is valid for ten days from yesterday on.
///
/// # Panics
/// If OpenSSL cannot make it.
pub fn make_certificate_of(folder: &Path, authority: &str, name: &str, host: &str) {
    let (certificate, key) = (format!("{authority}.pem"), format!("{authority}.key"));
    make(
        folder,
        name,
        host,
        -1,
        &["-CA", &certificate, "-CAkey", &key, "-addext", "basicConstraints=critical,CA:FALSE"],
    );
}

fn make(folder: &Path, name: &str, host: &str, first_day: i32, more: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10"]);
    command.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).args(more).current_dir(folder);
    command.env("LD_PRELOAD", TestServer::library_for_clocks()).env("FAKETIME", format!("{first_day:+}d"));
    assert!(command.stderr(Stdio::null()).status().unwrap().success(), "openssl cannot make a certificate");
}

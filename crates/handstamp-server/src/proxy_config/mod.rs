//! `handstamp proxy-config`: a reverse proxy that asks Handstamp who everybody is.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use clap::ValueEnum;

use crate::Problem;

/// A reverse proxy.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Proxy {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl Proxy {
    fn template(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("nginx.conf"),
            Self::Caddy => include_str!("Caddyfile"),
            Self::Traefik => include_str!("traefik.yml"),
            Self::Envoy => include_str!("envoy.yaml"),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = bare.rsplit_once(':').ok_or("must have a port, as in 127.0.0.1:8080")?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or("must have a port, as in 127.0.0.1:8080")?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if is_address || is_name {
            return Ok(Self { host: inner.unwrap_or(host).to_owned(), port });
        }
        Err("must be a host and a port, as 127.0.0.1:8080".to_owned())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Prints the configuration of a proxy.
pub(crate) fn print(proxy: Proxy, listen: &Endpoint, app: &Endpoint, handstamp: &Endpoint) -> Result<(), Problem> {
    let values = [
        ("{{listen}}", listen.to_string()),
        ("{{listen_host}}", listen.host.clone()),
        ("{{listen_port}}", listen.port.to_string()),
        ("{{port_of_cookies}}", if listen.port == 80 { String::new() } else { format!("_{}", listen.port) }),
        ("{{app}}", app.to_string()),
        ("{{app_host}}", app.host.clone()),
        ("{{app_port}}", app.port.to_string()),
        ("{{handstamp}}", handstamp.to_string()),
        ("{{handstamp_host}}", handstamp.host.clone()),
        ("{{handstamp_port}}", handstamp.port.to_string()),
    ];
    let filled = values.iter().fold(proxy.template().to_owned(), |text, (name, value)| text.replace(name, value));
    io::stdout().lock().write_all(filled.as_bytes()).map_err(Problem::failed)
}

//! `handstamp proxy-config`: prints configurations of reverse proxies that authenticate requests with Handstamp.

use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;
use std::str::FromStr;

use clap::ValueEnum;

use crate::CliError;

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
        Err("must be a host and a port, such as 127.0.0.1:8080".to_owned())
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

/// The name or the IPv4 address of a host, in lower case and without a port.
#[derive(Clone, Debug)]
pub(crate) struct HostName(String);

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_host = text.split('.').all(is_label);
        is_host
            .then(|| Self(text.to_owned()))
            .ok_or("must be a host in lower case without a port, such as app.example.com")
    }
}

/// Whose requests reach the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Access {
    /// Those of signed-in users; anonymous visitors are redirected to the sign-in page
    #[default]
    Members,
    /// Those of anonymous visitors too, with empty identity headers
    Everybody,
}

/// The parameters of a configuration.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) proxy: Proxy,
    pub(crate) listen: Endpoint,
    pub(crate) app: Endpoint,
    pub(crate) handstamp: Endpoint,
    /// If empty: the loopback names where the proxy listens on a loopback address, otherwise any host.
    pub(crate) hosts: Vec<HostName>,
    pub(crate) access: Access,
    pub(crate) preflight: bool,
}

/// Prints the configuration of a proxy.
pub(crate) fn print(wanted: &Wanted) -> Result<(), CliError> {
    if wanted.access == Access::Everybody && matches!(wanted.proxy, Proxy::Envoy) {
        return Err(CliError::usage(
            "Envoy does not support --access everybody, since its authorization subrequest has the client's query: use nginx, Caddy or Traefik",
        ));
    }
    io::stdout().lock().write_all(wanted.configuration().as_bytes()).map_err(CliError::failure)
}

impl Wanted {
    fn configuration(&self) -> String {
        let hosts = self.hosts();
        let conditions = [
            ("{{if hosts}}", !hosts.is_empty()),
            ("{{if any host}}", hosts.is_empty()),
            ("{{if preflight}}", self.preflight),
        ];
        let mut text = String::new();
        for line in self.proxy.template().split_inclusive('\n') {
            match conditions.iter().find_map(|(mark, holds)| Some((line.strip_prefix(mark)?, *holds))) {
                None => text.push_str(line),
                Some((rest, true)) => text.push_str(rest),
                Some((_, false)) => {}
            }
        }
        self.values(&hosts).iter().fold(text, |text, (name, value)| text.replace(name, value))
    }

    fn values(&self, hosts: &[String]) -> [(&'static str, String); 16] {
        let Self { listen, app, handstamp, .. } = self;
        let question = self.question();
        let rules: Vec<_> = hosts.iter().map(|host| format!("Host(`{host}`)")).collect();
        // As in a Host header. Caddy and Traefik compare an IPv6 address without its brackets.
        let spelled: Vec<_> =
            hosts.iter().map(|host| if host.contains(':') { format!("[{host}]") } else { host.clone() }).collect();
        let domains: Vec<_> = spelled.iter().map(|host| format!("\"{host}\", \"{host}:*\"")).collect();
        let if_named = |text: String, otherwise: &str| if hosts.is_empty() { otherwise.to_owned() } else { text };
        [
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
            ("{{?question}}", if question.is_empty() { String::new() } else { format!("?{question}") }),
            ("{{question}}", question),
            ("{{hosts}}", hosts.join(" ")),
            ("{{hosts_as_regex}}", spelled.join("|").replace('.', "\\.").replace('[', "\\[").replace(']', "\\]")),
            ("{{hosts_and}}", if_named(format!("({}) && ", rules.join(" || ")), "")),
            ("{{hosts_as_domains}}", if_named(domains.join(", "), "\"*\"")),
        ]
    }

    /// The accepted hosts; empty if any host is accepted.
    fn hosts(&self) -> Vec<String> {
        let named = self.hosts.iter().map(|HostName(name)| name.clone()).collect::<Vec<_>>();
        let address = self.listen.host.parse::<IpAddr>();
        match address {
            _ if !named.is_empty() => named,
            Ok(address) if address.is_loopback() => vec!["localhost".to_owned(), address.to_string()],
            _ => Vec::new(),
        }
    }

    /// The query of the authorization subrequest.
    fn question(&self) -> String {
        let access = (self.access == Access::Everybody).then_some("access=everybody");
        let preflight = self.preflight.then_some("preflight=pass");
        access.into_iter().chain(preflight).collect::<Vec<_>>().join("&")
    }
}

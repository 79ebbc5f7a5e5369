//! `handstamp health`: asks the running server how it is, where no other program can: a container has no shell.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use crate::cli::{AddressArgs, DataArgs};
use crate::commands::say;
use crate::settings::Settings;
use crate::{CliError, settings};

/// The longest wait for a connection, and then for the response. The server gives its database less than that.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longer than any response to a health check.
const MAX_BYTES: u64 = 16 * 1024;

/// Where the server answers health checks.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    address: SocketAddr,
    is_tls: bool,
}

/// Prints one line, and fails if the server is not ready, or not alive if that is asked.
pub(crate) fn run(data: &DataArgs, listen: Option<String>, live: bool) -> Result<(), CliError> {
    let address = AddressArgs { listen, ..AddressArgs::default() };
    // Docker keeps the status 2 for itself.
    let settings = settings(data, &address).map_err(CliError::into_failure)?;
    let target = Target::of(&settings)?;
    let (path, well) = if live { ("/healthz", "ok") } else { ("/readyz", "ready") };
    let unanswered = |error: io::Error| CliError::failure(format!("no answer at {}: {error}", target.address));
    let response = target.get(path).map_err(unanswered)?;
    let (status, body) = parse(&response).ok_or_else(|| {
        CliError::failure(format!("the answer at {} is not HTTP; does the server speak TLS?", target.address))
    })?;
    match (status, body.trim()) {
        (200, body) if body == well => say(body),
        (503, body) if body.starts_with("not ready") => Err(CliError::failure(body)),
        _ => Err(CliError::failure(format!("another program answers {path} at {}, with {status}", target.address))),
    }
}

impl Target {
    fn of(settings: &Settings) -> Result<Self, CliError> {
        let (address, is_tls) = match settings.metrics_listen {
            Some(address) if settings.has_apps() => (address, false),
            None if settings.has_apps() => {
                return Err(CliError::failure(
                    "in front of an app health checks need metrics.listen, where they are answered",
                ));
            }
            _ => (settings.listen, settings.tls().is_some()),
        };
        Ok(Self { address: reachable(address), is_tls })
    }

    /// The response to a GET request.
    fn get(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut connection = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        if self.is_tls {
            exchange(&mut with_tls(connection)?, request.as_bytes())
        } else {
            exchange(&mut connection, request.as_bytes())
        }
    }
}

/// The address at which this machine reaches a server that listens on another: on all addresses, it is reached by the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Sends a request, and reads up to the end of the connection. An end without TLS's farewell is one too: the response says where it ends.
fn exchange(connection: &mut (impl Read + Write), request: &[u8]) -> io::Result<Vec<u8>> {
    connection.write_all(request)?;
    connection.flush()?;
    let mut response = Vec::new();
    match connection.take(MAX_BYTES).read_to_end(&mut response) {
        Err(error) if response.is_empty() || error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(response),
    }
}

/// The status and the body of a response.
fn parse(response: &[u8]) -> Option<(u16, &str)> {
    let (head, body) = std::str::from_utf8(response).ok()?.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some((status, body))
}

fn with_tls(connection: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(client, connection))
}

/// Accepts any certificate. The request goes to an address of the settings, with no secret in it. `handstamp doctor` checks the
/// certificate, and a restart of the container would not correct it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_at_the_loopback_address() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("192.0.2.7:80"), "192.0.2.7:80");
    }

    #[test]
    fn only_http_is_an_answer() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nready\n"), Some((200, "ready\n")));
        assert_eq!(parse(b"HTTP/1.0 404 Not Found\r\n\r\n"), Some((404, "")));
        for other in
            [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"\x15\x03\x01\r\n\r\n\xff"]
        {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}

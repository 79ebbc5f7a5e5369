//! The listener of a server, and how it accepts connections: each with a permit, timeouts and, where it is set, TLS.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;

use axum_server::Server;
use axum_server::accept::Accept;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::CliError;
use crate::connection_limit::ConnectionLimit;
use crate::timeouts::{TimeoutService, TimeoutStream};

/// The maximum length of a request head. hyper checks before each read, so a head that arrives at once may be almost twice as
/// long.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Connections that the system queues until we accept them. It drops those beyond, and their clients retry a second later.
/// The usual 128 are soon reached when many clients connect at once.
const BACKLOG: u32 = 4096;

/// A listener on this address, for an asynchronous server.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    let listener = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    listener().map_err(|error| CliError::failure(format!("cannot listen on {address}: {error}")))
}

/// The protocols of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// HTTP/1.1 without upgrades.
    Http1,
    /// HTTP/1.1 with upgrades, as to WebSockets, and HTTP/2: axum-server detects the version. Browsers take HTTP/2 with TLS only.
    /// A WebSocket within HTTP/2 (RFC 8441) is not offered, and browsers open an HTTP/1.1 connection for it.
    All,
}

/// The requests of one HTTP/2 connection at once: as many as RFC 9113 §6.5.2 recommends at least.
const MAX_STREAMS: u32 = 100;
/// The requests of one HTTP/2 connection that its client has reset and that are not dropped yet. One more ends the connection
/// ("rapid reset", CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// The invalid requests of one HTTP/2 connection, which we reset. One more ends the connection.
const MAX_INVALID_STREAMS: usize = 100;
/// The bytes of a response that wait for a client of HTTP/2.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// A server that closes silent and slow connections, and limits the number of connections.
pub(crate) fn server(
    listener: TcpListener,
    connections: ConnectionLimit,
    protocols: Protocols,
    tls: Option<TlsAcceptor>,
) -> Result<Server<SocketAddr, Acceptor>, CliError> {
    let acceptor = Acceptor { connections: connections.clone(), tls };
    let server = axum_server::from_tcp(listener).map_err(CliError::failure)?.acceptor(acceptor);
    // With a peer, the connection was accepted. Then it had no permit, which is reported elsewhere, or a TLS handshake failed.
    let server = server.accept_error_handler(move |peer, error| {
        if peer.is_none() {
            connections.accept_failed(error);
        }
    });
    let mut server = match protocols {
        Protocols::Http1 => server.http1_only(),
        Protocols::All => server,
    };
    server.http_builder().http1().max_buf_size(MAX_HEADER_BYTES);
    server
        .http_builder()
        .http2()
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_INVALID_STREAMS)
        .max_send_buf_size(MAX_WAITING_BYTES);
    Ok(server)
}

/// Gives each accepted connection a permit, timeouts and TLS.
#[derive(Clone)]
pub(crate) struct Acceptor {
    connections: ConnectionLimit,
    tls: Option<TlsAcceptor>,
}

/// A connection, with TLS or without.
type Stream = Either<TimeoutStream, TlsStream<TimeoutStream>>;
type Accepted<S> = io::Result<(Stream, TimeoutService<S>)>;

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = Stream;
    type Service = TimeoutService<S>;
    type Future = Pin<Box<dyn Future<Output = Accepted<S>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // Small messages, such as those of WebSockets, do not wait for others. A connection that is broken is found out later.
        let _ = stream.set_nodelay(true);
        let permit = stream.peer_addr().and_then(|peer| self.connections.acquire(peer.ip()));
        let tls = self.tls.clone();
        Box::pin(async move {
            let (stream, service) = TimeoutStream::new(stream, service, permit?);
            // The timeout for the first request covers the handshake as well.
            let stream = match tls {
                None => Either::Left(stream),
                Some(tls) => Either::Right(tls.accept(stream).await?),
            };
            Ok((stream, service))
        })
    }
}

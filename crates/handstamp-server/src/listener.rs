//! The listener of a server, and how it accepts connections: each with a permit and timeouts.

use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};

use axum_server::Server;
use axum_server::accept::Accept;
use tokio::net::{TcpSocket, TcpStream};

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

/// Whether the connections of a server may be upgraded, as to WebSockets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrades {
    None,
    /// Upgrades pass, and with them HTTP/2 of clients that begin with it: axum-server detects the version then.
    Pass,
}

/// The requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 100;

/// A server that closes silent and slow connections, and limits the number of connections.
pub(crate) fn server(
    listener: TcpListener,
    connections: ConnectionLimit,
    upgrades: Upgrades,
) -> Result<Server<SocketAddr, ConnectionLimit>, CliError> {
    let server = axum_server::from_tcp(listener).map_err(CliError::failure)?.acceptor(connections.clone());
    // With a peer, the connection was accepted and then refused for want of a permit, which is reported elsewhere.
    let server = server.accept_error_handler(move |peer, error| {
        if peer.is_none() {
            connections.accept_failed(error);
        }
    });
    let mut server = match upgrades {
        Upgrades::None => server.http1_only(),
        Upgrades::Pass => server,
    };
    server.http_builder().http1().max_buf_size(MAX_HEADER_BYTES);
    let mut http2 = server.http_builder().http2();
    http2.max_header_list_size(MAX_HEADER_BYTES as u32).max_concurrent_streams(MAX_STREAMS);
    Ok(server)
}

impl<S> Accept<TcpStream, S> for ConnectionLimit {
    type Stream = TimeoutStream;
    type Service = TimeoutService<S>;
    type Future = Ready<io::Result<(TimeoutStream, TimeoutService<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // Small messages, such as those of WebSockets, do not wait for others. A connection that is broken is found out later.
        let _ = stream.set_nodelay(true);
        let permit = stream.peer_addr().and_then(|peer| self.acquire(peer.ip()));
        ready(permit.map(|permit| TimeoutStream::new(stream, service, permit)))
    }
}

//! `handstamp serve`: start, serve, and shut down within a deadline.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use axum_server::{Handle, Server};
use handstamp::{Config, DataDir, DatabaseUrl, Handstamp, PublicUrl, private_files};
use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;

use crate::connection_limit::ConnectionLimit;
use crate::metrics::Exporter;
use crate::settings::Settings;
use crate::{CliError, log};

/// The maximum length of a request head. hyper checks before each read, so a head that arrives at once may be almost twice as
/// long.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Connections that the system queues until we accept them. It drops those beyond, and their clients retry a second later.
/// The usual 128 are soon reached when many clients connect at once.
const BACKLOG: u32 = 4096;
/// The time that requests in progress have to finish after the signal to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// The message is for the operator.
pub(crate) fn serve(settings: Settings) -> Result<(), CliError> {
    log::start(&settings, Level::INFO);
    block_on(serve_until_shutdown(settings))
}

/// Runs the work of a command on a new runtime.
///
/// # Errors
/// Those of the work, and when the runtime cannot start its threads.
pub(crate) fn block_on(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| CliError::failure(format!("cannot start: {error}")))?.block_on(work)
}

async fn serve_until_shutdown(settings: Settings) -> Result<(), CliError> {
    let listener = listen(settings.listen)?;
    let address = listener.local_addr().map_err(CliError::failure)?;
    let metrics = settings.metrics_listen.map(Exporter::start).transpose()?;

    let connections = ConnectionLimit::capped_by_open_files(
        settings.connections,
        settings.connections_per_network,
        settings.trusted_proxies.clone(),
    );
    let config = config(settings, address.port(), DataDirMode::Create)?;
    let public_url = config.public_url.clone();
    if !address.ip().is_loopback() && !public_url.is_https() {
        tracing::warn!(event = "public_url_local", %public_url, %address, "listening for other machines, but public_url can only be reached from this one");
    }
    if !config.hashing.settings.is_recommended() {
        tracing::warn!(
            event = "hashing_weak",
            "the hashing settings are weaker than OWASP recommends for passwords; use them for tests only"
        );
    }
    let handstamp = Handstamp::open(config).await?;
    if let Some(metrics) = metrics {
        metrics.serve(handstamp.clone(), connections.clone())?;
    }

    let handle = Handle::new();
    shutdown_signal(handle.clone())
        .map_err(|error| CliError::failure(format!("cannot listen for signals: {error}")))?;
    let server = server(listener, connections)?.handle(handle);
    print_address(&public_url, address);
    let served = server.serve(handstamp.site().into_make_service_with_connect_info::<SocketAddr>()).await;
    handstamp.close().await;
    tracing::info!(event = "sys_shutdown", "stopped");
    served.map_err(|error| CliError::failure(format!("stopped serving: {error}")))
}

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

/// A server that closes silent and slow connections, and limits the number of connections.
pub(crate) fn server(
    listener: TcpListener,
    connections: ConnectionLimit,
) -> Result<Server<SocketAddr, ConnectionLimit>, CliError> {
    let server = axum_server::from_tcp(listener).map_err(CliError::failure)?.acceptor(connections.clone());
    // With a peer, the connection was accepted and then refused for want of a permit, which is reported elsewhere.
    let server = server.accept_error_handler(move |peer, error| {
        if peer.is_none() {
            connections.accept_failed(error);
        }
    });
    let mut server = server.http1_only();
    server.http_builder().http1().max_buf_size(MAX_HEADER_BYTES);
    Ok(server)
}

/// Whether a command may create the data folder, or needs an existing one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataDirMode {
    Create,
    MustExist,
}

/// Whether a file or folder is missing; an error if it is inaccessible, since it may exist then.
fn is_missing(path: &Path) -> Result<bool, CliError> {
    let is_there = path.try_exists();
    is_there.map(|is_there| !is_there).map_err(|error| CliError::failure(private_files::cannot("access", path, &error)))
}

/// The configuration of the library. Files in the data folder stand in for a missing database URL and secret key.
///
/// # Errors
/// When a file or folder is missing, cannot be created, or can be read by others.
pub(crate) fn config(settings: Settings, port: u16, folder: DataDirMode) -> Result<Config, CliError> {
    let public_url = match settings.public_url {
        Some(public_url) => public_url,
        None => PublicUrl::parse(&format!("http://localhost:{port}")).map_err(CliError::usage)?,
    };
    let data_dir = &settings.data_dir;
    let is_in_folder = settings.database.is_none();
    if (is_in_folder || settings.secret_key.is_none()) && data_dir.is_file() {
        let data_dir = data_dir.display();
        return Err(CliError::failure(format!(
            "data_dir, {data_dir}, is a file, and must be the folder that holds the data"
        )));
    }
    let database = settings.database.unwrap_or_else(|| DatabaseUrl::in_folder(data_dir));
    let needed = database.path().or(settings.secret_key.is_none().then_some(data_dir.as_path()));
    if folder == DataDirMode::MustExist && needed.map_or(Ok(false), is_missing)? {
        return Err(CliError::failure(format!(
            "there are no accounts in {}; name another folder with --data-dir, or create one with: handstamp serve",
            data_dir.display()
        )));
    }
    let secret_key = match settings.secret_key {
        Some(secret_key) if !is_in_folder => secret_key,
        given => {
            let data_dir = DataDir::open(data_dir).map_err(CliError::failure)?;
            given.map_or_else(|| data_dir.secret_key(), Ok).map_err(CliError::failure)?
        }
    };
    Ok(Config {
        pool: settings.pool,
        secret_key_fallbacks: settings.secret_key_fallbacks,
        site_name: settings.site_name,
        templates_dir: settings.templates_dir,
        registration: settings.registration,
        session: settings.session,
        password: settings.password,
        hashing: settings.hashing,
        limits: settings.limits,
        trusted_proxies: settings.trusted_proxies,
        return_hosts: settings.return_hosts,
        forward_auth: settings.forward_auth,
        ..Config::new(public_url, database, secret_key)
    })
}

/// Prints the URL for the operator, whatever the log settings. Write errors are ignored, since standard output may be closed.
fn print_address(public_url: &PublicUrl, address: SocketAddr) {
    let _ = writeln!(std::io::stdout(), "Handstamp is at {public_url} (listening on {address})");
    tracing::info!(event = "sys_startup", %public_url, %address, "started");
}

/// Shuts down at SIGTERM and SIGINT, and at SIGHUP (a terminal that closes) unless the process was started to survive it.
fn shutdown_signal(handle: Handle<SocketAddr>) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up(hangup.as_mut()) => {}
        }
        tracing::info!(event = "sys_shutdown", "finishing requests in progress");
        handle.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
    });
    Ok(())
}

async fn hung_up(hangup: Option<&mut Signal>) {
    match hangup {
        Some(hangup) => _ = hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the process was started with SIGHUP ignored, as `nohup` does. Listening for SIGHUP would undo that. Only Linux
/// shows it in `/proc`.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit stands for signal 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 != 0)
}

//! `handstamp serve`: start, serve, and shut down within a deadline.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum_server::Handle;
use handstamp::environment::Environment;
use handstamp::{Handstamp, PublicUrl, ReverseProxy};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;

use crate::connection_limit::ConnectionLimit;
use crate::listener::{Protocols, listen, server};
use crate::metrics::Exporter;
use crate::settings::{DataDirMode, Settings};
use crate::tls::Tls;
use crate::traces::{self, Traces};
use crate::{CliError, log};

/// The time that requests in progress have to finish after the signal to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an app is asked for a page at a path of ours, since it may start later, and how soon again.
const OWN_PATHS_ATTEMPTS: u32 = 10;
const OWN_PATHS_INTERVAL: Duration = Duration::from_secs(1);

/// Serves until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// The message is for the operator.
pub(crate) fn serve(settings: Settings) -> Result<(), CliError> {
    block_on(async {
        let traces = settings.traces.as_ref().map(Traces::start).transpose()?;
        log::start_with(&settings, Level::INFO, traces.as_ref().map(Traces::tracer));
        if let Some(traces) = &traces {
            traces.announce();
        }
        let served = serve_until_shutdown(settings).await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        served
    })
}

/// Runs the work of a command on a new runtime.
///
/// # Errors
/// Those of the work, and when the runtime cannot start its threads.
pub(crate) fn block_on(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| CliError::failure(format!("cannot start: {error}")))?.block_on(work)
}

/// The same for work with a value.
///
/// # Errors
/// When the runtime cannot start its threads.
pub(crate) fn block_on_value<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let mut value = None;
    block_on(async {
        value = Some(work.await);
        Ok(())
    })?;
    Ok(value.expect("the work was done"))
}

async fn serve_until_shutdown(settings: Settings) -> Result<(), CliError> {
    let listener = listen(settings.listen)?;
    let address = listener.local_addr().map_err(CliError::failure)?;
    let redirect_listener = settings.redirect_listen.map(listen).transpose()?;
    let metrics = settings.metrics_listen.map(Exporter::start).transpose()?;
    let tls = settings.tls().map(Tls::load).transpose()?;

    let (connections, per_network) = (settings.connections, settings.connections_per_network);
    let environment = if settings.traces.is_some() { traces::environment() } else { Environment::system() };
    let config = settings.into_config(address.port(), DataDirMode::Create)?;
    let (public_url, in_front) = (config.public_url.clone(), config.has_apps());
    let files_each = if in_front { 2 } else { 1 };
    let proxies = config.trusted_proxies.clone();
    let connections = ConnectionLimit::capped_by_open_files(connections, files_each, per_network, proxies);
    if !address.ip().is_loopback() && !public_url.is_https() {
        tracing::warn!(event = "public_url_local", %public_url, %address, "listening for other machines, but public_url can only be reached from this one");
    }
    if !config.hashing.params.is_recommended() {
        tracing::warn!(
            event = "hashing_weak",
            "the hashing settings are weaker than OWASP recommends for passwords; use them for tests only"
        );
    }
    if let Some(tls) = &tls {
        let of_apps = config.apps.values().filter_map(|app| Some(app.host.as_ref()?.name()));
        tls.warn_of_other_hosts([public_url.host()].into_iter().chain(of_apps));
    }
    let handstamp = Handstamp::open_with(config, environment).await?;
    if let Some(metrics) = metrics {
        metrics.serve(handstamp.clone(), connections.clone(), in_front)?;
    }

    let handle = Handle::new();
    shutdown_signal(handle.clone(), handstamp.clone())
        .map_err(|error| CliError::failure(format!("cannot listen for signals: {error}")))?;
    if let Some(listener) = redirect_listener {
        redirect_to_https(listener, &handstamp, connections.clone(), handle.clone())?;
    }
    let protocols = if in_front || tls.is_some() { Protocols::All } else { Protocols::Http1 };
    let acceptor = tls.as_ref().map(Tls::acceptor).transpose()?;
    if let Some(tls) = tls {
        tokio::spawn(tls.follow_files());
    }
    let server = server(listener, connections, protocols, acceptor)?.handle(handle);
    print_address(&public_url, address);
    tell_systemd(NotifyState::Ready);
    let served = if in_front {
        let proxy = handstamp.reverse_proxy();
        let warning = tokio::spawn(warn_of_our_paths(proxy.clone()));
        let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(proxy);
        let served = server.serve(service).await;
        warning.abort();
        served
    } else {
        server.serve(handstamp.standalone_router().into_make_service_with_connect_info::<SocketAddr>()).await
    };
    handstamp.close().await;
    tracing::info!(event = "sys_shutdown", "stopped");
    served.map_err(|error| CliError::failure(format!("stopped serving: {error}")))
}

/// Redirects plain http to https until the process stops.
fn redirect_to_https(
    listener: TcpListener,
    handstamp: &Handstamp,
    connections: ConnectionLimit,
    handle: Handle<SocketAddr>,
) -> Result<(), CliError> {
    let address = listener.local_addr().map_err(CliError::failure)?;
    let server = server(listener, connections, Protocols::Http1, None)?.handle(handle);
    tokio::spawn(server.serve(handstamp.https_redirect_router().into_make_service()));
    tracing::info!(event = "redirect_listening", %address, "redirecting plain http to https");
    Ok(())
}

/// Warns of apps that have a page at the path of our account pages. An app may start later than this process.
async fn warn_of_our_paths(proxy: ReverseProxy) {
    for _ in 0..OWN_PATHS_ATTEMPTS {
        let apps = proxy.apps_with_our_paths().await;
        if !apps.is_empty() {
            let apps = apps.join(", ");
            tracing::warn!(
                event = "app_has_our_paths",
                apps,
                "the app has a page at /account, which browsers cannot reach: that path is Handstamp's"
            );
            return;
        }
        tokio::time::sleep(OWN_PATHS_INTERVAL).await;
    }
}

/// Prints the URL for the operator, whatever the log settings. Write errors are ignored, since standard output may be closed.
fn print_address(public_url: &PublicUrl, address: SocketAddr) {
    let _ = writeln!(std::io::stdout(), "Handstamp is at {public_url} (listening on {address})");
    tracing::info!(event = "sys_startup", %public_url, %address, "started");
}

/// Shuts down at SIGTERM and SIGINT, and at SIGHUP (a terminal that closes) unless the process was started to survive it.
fn shutdown_signal(handle: Handle<SocketAddr>, handstamp: Handstamp) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up(hangup.as_mut()) => {}
        }
        tracing::info!(event = "sys_shutdown", "finishing requests in progress");
        tell_systemd(NotifyState::Stopping);
        handstamp.announce_stop();
        handle.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
    });
    Ok(())
}

/// Tells systemd, for a unit of `Type=notify`. Without systemd it does nothing, and a failure changes nothing about the service.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(event = "systemd_unreachable", error = %error, "systemd cannot be told about the state of this process");
    }
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

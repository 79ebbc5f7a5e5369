//! Helpers that tests and examples of Handstamp share: a test server, an HTTP visitor, databases, proxies and randomness.
//!
//! It does not depend on Handstamp, so that Handstamp's own tests can use it. Without features it has only what needs no HTTP
//! client. The feature `passkeys` adds the authenticator of passkeys, `visitor` the `Visitor`, and `server` everything else.
#![allow(clippy::unwrap_used)]

mod authenticator;
mod folder;
mod former_sessions;
mod mail_server;
mod postgres;
mod program;
mod rng;
mod webhook_receiver;

#[cfg(feature = "server")]
mod certificate;
#[cfg(feature = "server")]
mod fake_provider;
#[cfg(feature = "server")]
mod faulty_tcp_proxy;
#[cfg(feature = "server")]
mod log;
#[cfg(feature = "server")]
mod oidc_provider;
#[cfg(feature = "passkeys")]
mod passkeys;
#[cfg(feature = "server")]
mod pgbouncer;
#[cfg(feature = "server")]
mod proxy_chain;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "visitor")]
mod visitor;
#[cfg(feature = "server")]
mod workload;

pub use authenticator::Authenticator;
pub use folder::TempFolder;
pub use former_sessions::{django_cookie, exchange_settings, express_cookie, store_express_session};
pub use mail_server::{MailServer, Postfix, ReceivedMail};
pub use postgres::Postgres;
pub use program::{Program, free_address};
pub use rng::SeededRng;
pub use webhook_receiver::WebhookReceiver;

#[cfg(feature = "server")]
pub use certificate::{make_certificate, make_certificate_of};
#[cfg(feature = "server")]
pub use fake_provider::FakeProvider;
#[cfg(feature = "server")]
pub use faulty_tcp_proxy::FaultyTcpProxy;
#[cfg(feature = "server")]
pub use log::wait_for_events;
#[cfg(feature = "server")]
pub use oidc_provider::OidcProvider;
#[cfg(feature = "passkeys")]
pub use passkeys::PasskeyAuthenticator;
#[cfg(feature = "server")]
pub use pgbouncer::PgBouncer;
#[cfg(feature = "server")]
pub use proxy_chain::{EchoApp, Proxy, ProxyChain};
#[cfg(feature = "server")]
pub use server::{ADAS_PASSWORD, TestServer, handstamp_binary};
#[cfg(feature = "visitor")]
pub use visitor::{COOKIE, DEVICE_COOKIE, FIREFOX, Page, Visitor};
#[cfg(feature = "server")]
pub use workload::User;

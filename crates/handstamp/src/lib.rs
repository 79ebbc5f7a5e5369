//! Accounts for web applications: registration, sign-in, sign-out, an account page, and a tamper-proof session cookie that
//! keeps users signed in for 30 days.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use handstamp::{Config, CurrentUser, Handstamp};
//!
//! async fn hello(user: CurrentUser) -> String {
//!     format!("Hello, {}", user.name())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let handstamp = Handstamp::open(Config::in_folder("handstamp-data", "http://localhost:3000")?).await?;
//!     let app = Router::new().route("/", get(hello)).with_state(handstamp.clone()).merge(handstamp.router());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//!     Ok(())
//! }
//! ```
//!
//! Visitors to `/` who are not signed in are redirected to the sign-in page and back. A request with a live session needs no
//! database statement, yet a sign-out takes effect on every node before it is confirmed. On PostgreSQL many nodes can serve one
//! site.
//!
//! - [`CurrentUser`], `Option<CurrentUser>` and [`CurrentSession`] are extractors that give handlers the signed-in user and the
//!   session. [`CurrentUser::require`] checks membership in a group, [`CurrentUser::require_assurance`] the factors that the user
//!   has proved, and [`CurrentUser::require_recent`] when. The state of the application is a [`Handstamp`], or gives
//!   one by axum's `FromRef`, as a struct or an `Arc` of it. Merge the routes after `with_state`; to serve them beneath a path,
//!   set [`Config::prefix`] instead of nesting them.
//! - [`Handstamp::require_user`], [`Handstamp::require_group`], [`Handstamp::require_assurance`] and
//!   [`Handstamp::require_recent`] guard whole routers. [`Handstamp::csrf_layer`] rejects writes
//!   and WebSockets to your routes that other sites make a browser send. [`Handstamp::layer`] keeps responses that depend on the
//!   session out of caches.
//! - [`Handstamp::sign_in`] and [`Handstamp::sign_out`] begin and end a session from a handler; [`CurrentSession::ended`] tells a
//!   WebSocket that its session has ended; [`Handstamp::events`] are the acts of this process.
//! - [`Handstamp::render`] renders your own pages in Handstamp's layout; [`Config::templates`] replaces Handstamp's templates.
//! - [`Handstamp::users`] and [`Handstamp::sessions`] are handles for what the command line does, and
//!   [`Handstamp::audit_log`] lists the events of users.
//! - Serve with `into_make_service_with_connect_info::<SocketAddr>()`, because rate limits count attempts by network. Without it
//!   all visitors count as one network, and the first request prints a warning to standard error.
//! - [`Config::mail`] names a mail server. [`environment::MailTransport`] sends mails in another way, such as by an HTTP API.
//! - [`Config`] holds all settings, and [`environment::Environment`] the clock and the randomness, so one process can hold several sites.
//!   Logs go to the installed `tracing` subscriber, and metrics to the installed `metrics` recorder.
//!
//! # Tables of your own
//!
//! Your tables can be in the same database and refer to `users (id)`, a UUID ([`CurrentUser::id`]), with `ON DELETE CASCADE` if
//! their rows are to be deleted with the account. The view `handstamp_users (id, name, email, created_at)` is for reading;
//! `created_at` is in seconds since the Unix epoch. All other tables and columns change without notice.
//!
//! **Never write to `users`, or to any other table of Handstamp**: nodes keep sessions in memory, and learn of changes from an
//! invalidation log that only [`Handstamp`] writes. A user whose row is deleted by SQL stays signed in.
//! [`Users::delete`] and [`Users::disable`] end the user's sessions on every node.
//!
//! # Browser applications on another origin
//!
//! [`Config::trusted_origins`] lets applications on other origins write to Handstamp's routes and to those inside
//! [`Handstamp::csrf_layer`]. To read the responses they need CORS, which is the application's to set up: a layer around the whole
//! router that allows the same origins, with credentials. Browsers send the session cookie only from hosts of the same site
//! (`SameSite=Lax`), as from `app.example.com` to `id.example.com`.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `sqlite` | yes | SQLite, which is compiled from source and needs a C compiler |
//! | `postgres` | yes | PostgreSQL; one of the two databases is needed |
//! | `federation` | yes | sign-in at OpenID Connect providers |
//! | `passkeys` | yes | passkeys: sign-in without a password, and a second factor |
//! | `proxy` | no | [`Handstamp::reverse_proxy`], which stands in front of apps in any language |
//! | `serde` | no | `Serialize` for [`User`], [`ListedSession`], [`UserId`] and [`Timestamp`], in the format of the command line |
//! | `test-util` | no | the module `testing`: a site in a temporary folder for the tests of an application |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("handstamp stores accounts in a database: enable the feature `sqlite`, `postgres`, or both");

#[cfg(feature = "sqlite")]
pub mod backup;
mod blocklist;
mod config;
mod context;
mod data_dir;
mod embed;
pub mod environment;
mod error;
mod events;
mod format;
mod internal_error;
mod jobs;
mod log;
mod messages;
mod model;
pub mod private_files;
mod services;
mod sessions;
mod state_file;
mod store;
mod templates;
#[cfg(feature = "test-util")]
pub mod testing;
mod trace;
mod user_agent;
mod web;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

pub use blocklist::{Blocklist, BlocklistError};
pub use config::{
    AppAccess, AppConfig, AppHost, AppPath, AppProxyConfig, AppUrl, BoundedValue, ClientSecret, Config, ConfigError,
    ConfigErrors, DatabaseUrl, FactorClaim, ForwardAuthConfig, GroupOfClaim, HashingConfig, LegacyConfig, LimitsConfig,
    MailAddress, MailConfig, MailUrl, PasskeysConfig, PoolConfig, Prefix, ProviderConfig, ProviderKind, ProviderUrl,
    PublicUrl, Registration, SecondFactorConfig, SecondFactorRequired, SessionConfig, Setting, SettingValue,
    SignInConfig, SmtpServer, Tenant, TrustedDomain, TrustedOrigin, WebhookUrl, WebhooksConfig,
};
pub use data_dir::DataDir;
pub use embed::{
    AuditLog, ClientDetails, CurrentSession, CurrentUser, CurrentUserRejection, Forbidden, FromLayer,
    FromLayerRejection, HandstampLayer, HandstampService, NewUser, ReauthenticationRequired, Refusal, SecretStep,
    Secrets, SessionHold, Sessions, SignIn, SignedIn, SignedOut, UserChanges, UserExport, UserImport, Users,
};
pub use error::Error;
pub use events::AccountEvent;
pub use handstamp_core::legacy_cookie::{LegacyKind, LegacySecret};
pub use handstamp_core::{
    Argon2Params, Argon2ParamsError, AssuranceLevel, EmailError, EventHead, GroupName, GroupNameError, ImportSecrets,
    InvalidEventHead, InvalidSetting, NameError, Network, Password, PasswordPolicy, PasswordTooLong, ReturnHost,
    SecretError, SecretKey, SecretKeyId, Timestamp, TrustedProxies, UnsupportedHash, UserId, WeakFormat, WebhookSecret,
};
pub use model::{
    AuditEvent, AuditProblem, AuditProblemKind, AuditReport, DatabaseReport, EventActor, ExportedUser, Factors,
    ImportFields, ImportOutcome, ImportParser, ImportRefusal, ImportUser, ListEvents, ListUsers, ListedIdentity,
    ListedSession, SecretKeyStatus, SecretNode, SecretRole, SecretStatus, User,
};
#[cfg(feature = "federation")]
pub use services::ProviderReport;
pub use trace::TRACE_TARGET;
pub use web::NotReady;
#[cfg(feature = "proxy")]
pub use web::ReverseProxy;

use context::Context;
use environment::Environment;
use events::Event;
use handstamp_core::EmailAddress;
use jobs::Jobs;
use model::{Field, FieldErrors, Message};
use services::{EpochReason, Mailer, Services};
use store::{EpochStart, OpenError, Store};
use web::Site;

/// The accounts of one site: the open database, the background tasks and the routes. Clones share one instance.
#[derive(Clone)]
pub struct Handstamp(Arc<Inner>);

struct Inner {
    site: Arc<Site>,
    jobs: Mutex<Jobs>,
    /// The task that renews this node's lease.
    node: Mutex<Option<JoinHandle<()>>>,
}

impl Handstamp {
    /// Opens the database, brings its tables up to date, and starts the background tasks. It waits for a PostgreSQL server that
    /// does not answer for [`PoolConfig::wait`], and for this node's first lease for [`SessionConfig::lease`] at most.
    ///
    /// # Errors
    /// When [`Config::validate`] rejects a setting, the database or the blocklist cannot be opened, or other users can read the
    /// files of the database or write the blocklist.
    pub async fn open(config: Config) -> Result<Self, Error> {
        Self::open_with(config, Environment::system()).await
    }

    /// Opens it like [`open`](Self::open), with your own clock and randomness, such as a clock that a test advances.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(config: Config, environment: Environment) -> Result<Self, Error> {
        config.validate()?;
        let blocklist = config.password_blocklist.as_deref().map(Blocklist::open).transpose()?;
        let store = Arc::new(Store::open_with(&config.database, config.session.notify, config.pool).await?);
        let services = Services::new(config, store, environment, blocklist)?;
        services.join_secrets().await.map_err(|nodes| Error::config(unshared(&nodes)))?;
        if let Some(file) = services.state_file() {
            let found = file.read().map_err(OpenError::File)?;
            services.check_state(&file, found).await?;
        }
        let site = Arc::new(Site::new(services));
        let node = tokio::spawn({
            let site = Arc::clone(&site);
            async move {
                tokio::select! {
                    biased;
                    () = site.services.sessions.run_node() => {}
                    () = site.services.watch_database_age() => {}
                }
            }
        });
        site.services.sessions.wait_until_joined().await;
        let jobs = Mutex::new(Jobs::start(&site.services));
        Ok(Self(Arc::new(Inner { site, jobs, node: Mutex::new(Some(node)) })))
    }

    /// The routes to merge into an axum application: the pages under `/account`, with the JSON API under
    /// `/account/api/v1`, and the authorization subrequests of proxies under `/auth`, all after [`Config::prefix`]. If they are
    /// nested beneath another path, they answer 500 and explain why, since their links would lead elsewhere.
    pub fn router(&self) -> Router {
        web::routes::routes(&self.0.site)
    }

    /// The routes as a whole site, which answers every URL: with a home page at `/`, and `/healthz` and `/readyz` for
    /// monitoring.
    pub fn standalone_router(&self) -> Router {
        web::routes::site(&self.0.site)
    }

    /// The site in front of the apps of [`Config::app`] and [`Config::apps`], as a service.
    #[cfg(feature = "proxy")]
    pub fn reverse_proxy(&self) -> ReverseProxy {
        ReverseProxy::new(&self.0.site)
    }

    /// `/healthz` and `/readyz` alone, for monitoring where a site stands in front of an app and all paths are taken.
    pub fn health_router(&self) -> Router {
        web::routes::health_checks(&self.0.site)
    }

    /// A whole site for plain http, as on port 80, which redirects every request to the same path by https (308). It leads to the
    /// host of the public URL, or to that of an app if the request names it.
    pub fn https_redirect_router(&self) -> Router {
        web::https_redirect::router(&self.0.site.services.config)
    }

    /// The OpenAPI 3.1 description of the JSON API, as JSON, to merge into the description of your own API. It is also served, at
    /// `/account/api/v1/openapi.json`.
    pub fn openapi(&self) -> serde_json::Value {
        serde_json::to_value(web::openapi(&self.0.site)).expect("an OpenAPI description has text keys only")
    }

    fn shared_site(&self) -> &Arc<Site> {
        &self.0.site
    }

    /// Whether this node can answer requests now, as `/readyz` reports it.
    ///
    /// # Errors
    /// The reason why not: the database does not answer, the node does not hold its lease, or it is stopping.
    pub async fn readiness(&self) -> Result<(), NotReady> {
        web::readiness(&self.0.site).await
    }

    /// Updates the gauges; call it before each scrape. Metrics go to the recorder of the crate `metrics` that is installed when
    /// this instance is opened.
    pub fn record_gauges(&self) {
        let sessions = &self.0.site.services.sessions;
        sessions.record_gauges();
        self.0.site.services.record_outbox_gauges();
        self.0.site.services.hashing.record_gauges();
        self.0.site.services.event_writer.record_gauges(sessions.now());
        self.0.jobs.lock().expect("nothing panics while it holds the jobs").record_gauges(sessions.now());
    }

    /// The handle for users: finding, creating, changing and deleting them, as an operator does.
    pub fn users(&self) -> Users {
        Users::new(&self.0.site.services)
    }

    /// The handle for sessions: listing and revoking them, as an operator does.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(&self.0.site.services)
    }

    /// The handle for secret keys: what the running nodes know, and the step of a rotation.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(&self.0.site.services)
    }

    /// Sends a mail that says that mail works, at once and not by way of the database, and returns the words of the receiver: what
    /// `handstamp mail test` does.
    ///
    /// # Errors
    /// [`Error::mail`] when the mail was not taken. [Invalid](Error::is_invalid) when `recipient` is no e-mail address. An
    /// [error of the settings](Error::is_config), also when they name neither a server nor a folder.
    pub async fn send_test_mail(config: &Config, environment: &Environment, recipient: &str) -> Result<String, Error> {
        config.validate()?;
        let recipient =
            EmailAddress::parse(recipient).map_err(|error| FieldErrors::of(Field::Email, Message::from(error)))?;
        let Some(mailer) = Mailer::new(config, environment)? else {
            return Err(Error::config("mail.url must be set, since public_url is not on the local machine"));
        };
        Ok(mailer.send_test(environment, recipient).await?)
    }

    /// Connects to the mail server as for a mail, with TLS and the credentials of the settings, and sends nothing: what
    /// `handstamp doctor` does.
    ///
    /// # Errors
    /// [`Error::mail`] when the server does not answer, its certificate is not trusted, or it refuses the credentials. An
    /// [error of the settings](Error::is_config), also when they name neither a server nor a folder.
    pub async fn check_mail_server(config: &Config, environment: &Environment) -> Result<(), Error> {
        config.validate()?;
        let mailer = Mailer::new(config, environment)?.ok_or_else(|| Error::config("mail.url is not set"))?;
        Ok(mailer.check().await?)
    }

    /// The database with those of its settings on which the promises of this service rest: what `handstamp doctor` looks at.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn examine_database(&self) -> Result<DatabaseReport, Error> {
        Ok(self.0.site.services.database_report().await?)
    }

    /// Whether a pooler in transaction mode is before PostgreSQL although [`PoolConfig::prepared_statements`] is on. Then statements fail
    /// now and then.
    pub fn has_unfit_pooler(&self) -> bool {
        self.0.site.services.store.is_pooled()
    }

    /// Begins a new epoch, as after a restore of the database. All sessions, mailed links and codes, pending sign-ins and device cookies
    /// from before are void on every node when this returns. Passwords, factors and passkeys stay. Returns how many sessions have
    /// ended. `handstamp restore --database` calls it.
    ///
    /// A restored database does not know the nodes that run. So this waits until their leases have ended: for
    /// [`SessionConfig::lease`], five seconds by default.
    ///
    /// # Errors
    /// When the database cannot be written, or a node may not have applied it yet.
    pub async fn begin_epoch(&self) -> Result<u64, Error> {
        let services = &self.0.site.services;
        let seen = services::position_in(services.config.state_file.as_deref()).map_err(OpenError::File)?;
        let start = EpochStart::Beyond(seen);
        let begun = services.begin_epoch(&Context::operator(), EpochReason::Restored, start).await?;
        tokio::time::sleep(services.config.session.lease).await;
        Ok(begun.map_or(0, |(_, sessions)| sessions))
    }

    /// The handle for the audit log: listing the events of all processes, and verifying them.
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(&self.0.site.services)
    }

    /// The acts that this process commits from now on, each after it has been applied on every node, for example to delete the
    /// files of a user. Acts of other processes, such as other nodes and the command line, are not among them, and none is
    /// replayed after a restart. A receiver that falls 256 events behind misses the oldest and is
    /// [told so](broadcast::error::RecvError::Lagged).
    ///
    /// ```no_run
    /// # async fn follow(handstamp: handstamp::Handstamp) {
    /// use handstamp::AccountEvent;
    ///
    /// let mut events = handstamp.events();
    /// while let Ok(event) = events.recv().await {
    ///     if let AccountEvent::UserDeleted { user, .. } = event {
    ///         println!("The files of {user} can go.");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> broadcast::Receiver<AccountEvent> {
        self.0.site.services.events.subscribe()
    }

    /// Makes [`readiness`](Self::readiness) and `/readyz` report that this node is stopping, so that a load balancer sends it no more
    /// requests. Call it before you wait for requests under way; requests are answered until [`close`](Self::close).
    pub fn announce_stop(&self) {
        self.0.site.stopping.store(true, Ordering::Relaxed);
    }

    /// Flushes the last-seen times to the database, and seals the last events of the audit log. Then it leaves the cluster, so that
    /// no other node waits for this one, and closes the database.
    pub async fn close(self) {
        self.announce_stop();
        let mut jobs = std::mem::take(&mut *self.0.jobs.lock().expect("nothing panics while it holds the jobs"));
        jobs.drain().await;
        let services = &self.0.site.services;
        if let Err(error) = services.write_last_seen().await {
            Event::JobFailed { job: "write_last_seen", error: &error }.record();
        }
        if let Err(error) = services.seal_events().await {
            Event::JobFailed { job: "seal_events", error: &error }.record();
        }
        if let Err(error) = services.keep_state().await {
            Event::JobFailed { job: "keep_state", error: &error }.record();
        }
        if let Some(legacy) = &services.legacy {
            legacy.close().await;
        }
        services.leave_secrets().await;
        self.0.site.services.sessions.stop_node();
        let node = self.0.node.lock().expect("nothing panics while it holds the task").take();
        if let Some(node) = node {
            // It fails only if the task panicked, and then nothing is left to do.
            let _ = node.await;
        }
        self.0.site.services.store.close().await;
    }
}

/// Why a node does not start beside others.
fn unshared(nodes: &[String]) -> String {
    format!(
        "the secret keys of this node are not those of nodes that are running: {}. A node that cannot open the tokens of another \
         cannot end its sessions. Give each node the new secret in secret_key_fallbacks first, and make it the secret_key afterwards; \
         handstamp secret check names the next step. If the former secret is lost or has leaked, stop all nodes before this one starts",
        nodes.join(", ")
    )
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(node) = self.node.get_mut().ok().and_then(Option::take) {
            node.abort();
        }
    }
}

/// The examples of the user guide, which are compiled as documentation tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/src/quick-start-axum.md")]
    struct QuickStartAxum;

    #[cfg(feature = "test-util")]
    #[doc = include_str!("../../../docs/src/guide/axum.md")]
    struct Axum;
}

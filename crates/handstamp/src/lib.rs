//! Accounts for web applications: register, sign in, sign out, an account page, and a tamper-proof cookie that remembers
//! who is who for 30 days.
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
//!     let app = Router::new().route("/", get(hello)).with_state(handstamp.clone()).merge(handstamp.routes());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//!     Ok(())
//! }
//! ```
//!
//! Whoever opens `/` and is not signed in is sent to sign in, and back again. Who is signed in costs no database statement, and
//! yet signed out means signed out: when the page says so, the session is over on every node ([`Handstamp`] on PostgreSQL can
//! run on many).
//!
//! - [`CurrentUser`], `Option<CurrentUser>` and [`CurrentSession`] tell handlers who asks; [`CurrentUser::require`] is for
//!   groups. The state of the application holds a [`Handstamp`], or gives one by axum's `FromRef`. The pages are merged after
//!   `with_state`; to have them beneath a path, set [`Config::prefix`] and do not nest them.
//! - [`Handstamp::render`] renders pages of your own in the layout of ours; [`Config::templates`] replaces any of ours.
//! - [`Handstamp::protect`] keeps other sites from making a browser write to your routes, or open a WebSocket there.
//! - Serve with `into_make_service_with_connect_info::<SocketAddr>()`: guesses are counted by where they come from. Without it
//!   all visitors count as one network, which the first request says on standard error.
//! - [`Config`] holds all settings, and [`world::World`] the clock and the randomness: one process can hold several sites. Log
//!   and metrics go to whatever `tracing` and `metrics` have installed.
//!
//! # Tables of your own
//!
//! They can be in the same database, and refer to `users (id)`, a UUID ([`CurrentUser::id`]), with `ON DELETE CASCADE` if their
//! rows go with the account. To read, there is the view `handstamp_users (id, name, email, created_at)`, the last in seconds since the
//! Unix epoch; everything else changes without notice.
//!
//! **Never write to `users`, or to any other table of Handstamp**: nodes keep sessions in memory, and learn what has changed from
//! a log that only [`Handstamp`] writes. A person whose row is deleted by SQL stays signed in; [`Handstamp::delete_user`] ends their
//! sessions on every node, and so does [`Handstamp::disable_user`].
//!
//! # Browser applications on another origin
//!
//! [`Config::trusted_origins`] lets them write, here and to what [`Handstamp::protect`] surrounds. That they can read the answers is
//! for CORS to say, which stays the application's: a layer around the whole router that allows those same origins, with
//! credentials. Browsers send the session cookie along only from hosts of the same site (`SameSite=Lax`), as from
//! `app.example.com` to `id.example.com`.
//!
//! # Features
//!
//! The features `sqlite` and `postgres`, both there by default, bring the databases; leave out what you do not want. SQLite is
//! compiled along and needs a C compiler.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("handstamp keeps its accounts in a database: choose the feature `sqlite`, `postgres`, or both");

mod config;
mod data_dir;
mod error;
mod log;
pub mod private_files;
mod services;
mod sessions;
mod store;
mod web;
pub mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use handstamp_core::{DeviceTokens, SessionTokens};
use tokio::task::JoinHandle;

pub use config::{
    Config, DatabaseUrl, ForwardAuthConfig, HashingConfig, LimitsConfig, PoolConfig, Prefix, PublicUrl, Registration,
    SessionConfig, TrustedOrigin, check_cookie_domain, check_return_host, check_site_name,
};
pub use data_dir::DataDir;
pub use error::Error;
pub use handstamp_core::{
    HashSettings, Network, PasswordPolicy, ReturnHost, SecretKey, Timestamp, TrustedProxies, UserId,
};
pub use store::{Account, ListedSession};
pub use web::{CurrentSession, CurrentUser};

use services::{Accounts, Assertions, Guard, Hashing};
use sessions::Sessions;
use store::Store;
use web::{CarefulHeaders, Cookies, Introductions, Mount, Places, Site, Views, Warned};
use world::World;

/// To write one of these times takes longer than a request: the seldomer, the cheaper a live session. On this node lists are
/// right all the while, on others they may be so old.
const WRITE_LAST_SEEN_EVERY: Duration = Duration::from_secs(300);
const PURGE_EVERY: Duration = Duration::from_secs(3600);
const PURGE_ATTEMPTS_EVERY: Duration = Duration::from_secs(300);

/// The accounts of a site, open and at work. Clones are the same.
#[derive(Clone)]
pub struct Handstamp(Arc<Open>);

struct Open {
    site: Arc<Site>,
    upkeep: JoinHandle<()>,
    /// Keeps this node's lease.
    node: Mutex<Option<JoinHandle<()>>>,
}

impl Handstamp {
    /// Opens the database, brings its tables up to date, and starts the upkeep. For a PostgreSQL that does not answer it waits
    /// as long as [`PoolConfig::wait`] says.
    ///
    /// # Errors
    /// When the database cannot be opened, its files can be read by others, two secrets are the same, or
    /// [`Config::validate`] finds something wrong.
    pub async fn open(config: Config) -> Result<Self, Error> {
        Self::open_in(config, World::system()).await
    }

    /// Opens it in a world of your own, such as one whose clock a test turns.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_in(config: Config, world: World) -> Result<Self, Error> {
        config.validate()?;
        let (secret, fallbacks) = (&config.secret_key, &config.secret_key_fallbacks);
        let tokens = SessionTokens::new(secret, fallbacks).map_err(|error| Error::config(error.to_string()))?;
        let devices = DeviceTokens::new(secret, fallbacks).map_err(|error| Error::config(error.to_string()))?;
        let store = Arc::new(Store::open_with(&config.database, config.session.notify, config.pool).await?);
        let places = Places::new(&config);
        let site = Arc::new(Site {
            headers: CarefulHeaders::new(&config, &places),
            views: Views::new(&config),
            cookies: Cookies::new(&config),
            places,
            introductions: Introductions::new(),
            request_ids: log::RequestIds::default(),
            mount: Mount::default(),
            warned: Warned::default(),
            accounts: Accounts {
                assertions: Assertions::new(&config, &world),
                devices,
                guard: Guard::new(&config.limits),
                sessions: Sessions::new(tokens, Arc::clone(&store), world.clone(), &config.session),
                hashing: Hashing::new(&config.hashing),
                config,
                world,
                store,
            },
        });
        let upkeep = tokio::spawn(keep_up(Arc::clone(&site)));
        let node = tokio::spawn({
            let site = Arc::clone(&site);
            async move { site.accounts.sessions.follow().await }
        });
        site.accounts.sessions.joined().await;
        Ok(Self(Arc::new(Open { site, upkeep, node: Mutex::new(Some(node)) })))
    }

    /// The pages, to be merged into an axum application with pages of its own: `/account` and what is beneath it, the questions
    /// of proxies under `/auth`, and the JSON API under `/api/v1`, all of it after [`Config::prefix`]. Nested beneath another path
    /// they answer 500 and say why, since their links would lead elsewhere.
    pub fn routes(&self) -> Router {
        web::routes::routes(&self.0.site)
    }

    /// Refuses requests to an application's own routes that other sites make a browser send, as our pages do: all but GET,
    /// HEAD and OPTIONS, and every WebSocket, must come from this site or from one of [`Config::trusted_origins`]. A program that sends a
    /// session cookie has to send an `Origin` header as well.
    pub fn protect(&self, app: Router) -> Router {
        web::routes::protect(app, &self.0.site)
    }

    /// The pages as a whole site, which answers every URL: with a home page at `/`, and `/healthz` and `/readyz` for whoever
    /// watches over it.
    pub fn site(&self) -> Router {
        web::routes::site(&self.0.site)
    }

    fn shared_site(&self) -> &Arc<Site> {
        &self.0.site
    }

    /// Why requests cannot be answered just now, as `/readyz` tells it: the database does not answer, or this node does not
    /// hold its lease. None while all is well.
    pub async fn why_not_ready(&self) -> Option<&'static str> {
        web::why_not_ready(&self.0.site).await
    }

    /// Brings the gauges up to date, for whoever is about to export them. Metrics go to the recorder of the crate `metrics`
    /// that is installed when this is opened.
    pub fn update_gauges(&self) {
        self.0.site.accounts.sessions.measure();
    }

    /// All accounts, in the order of their addresses.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn users(&self) -> Result<Vec<Account>, Error> {
        self.0.site.accounts.users().await
    }

    /// The account of an address.
    ///
    /// # Errors
    /// When there is none, or the database cannot be asked.
    pub async fn user(&self, email: &str) -> Result<Account, Error> {
        self.0.site.accounts.user(email).await
    }

    /// Makes an account for somebody else, whether registration is open or not. Its address counts as verified.
    ///
    /// # Errors
    /// When the name, the address or the password is refused, or the database cannot be written.
    pub async fn add_user(&self, name: &str, email: &str, password: &str) -> Result<UserId, Error> {
        self.0.site.accounts.add_user(name, email, password).await
    }

    /// Marks the address of an account as its owner's, so that apps get it: people can register with any address. Every node
    /// knows when this returns.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn verify_user(&self, email: &str) -> Result<Account, Error> {
        self.0.site.accounts.verify_user(email).await
    }

    /// Lets nobody sign in to an account any more, and ends its sessions for good: they are over when this returns.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn disable_user(&self, email: &str) -> Result<Account, Error> {
        self.0.site.accounts.set_user_disabled(email, true).await
    }

    /// Lets people sign in to a disabled account again.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn enable_user(&self, email: &str) -> Result<Account, Error> {
        self.0.site.accounts.set_user_disabled(email, false).await
    }

    /// Puts somebody into some groups and takes them out of others, and gives the account as it is then. Every node knows
    /// when this returns.
    ///
    /// # Errors
    /// When there is no such account, a name is none that a group can have, there would be more than fifty, or the database
    /// cannot be written.
    pub async fn change_groups(&self, email: &str, add: &[&str], remove: &[&str]) -> Result<Account, Error> {
        self.0.site.accounts.change_groups(email, add, remove).await
    }

    /// Forgets the wrong passwords that were tried for an account, so that its owner can sign in at once, and says whether
    /// there were any.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn unlock_user(&self, email: &str) -> Result<bool, Error> {
        self.0.site.accounts.unlock_user(email).await
    }

    /// Deletes an account with all that it holds: its sessions are over when this returns.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn delete_user(&self, email: &str) -> Result<Account, Error> {
        self.0.site.accounts.delete_user(email).await
    }

    /// The live sessions of an account, the newest first.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be asked.
    pub async fn sessions(&self, email: &str) -> Result<Vec<ListedSession>, Error> {
        self.0.site.accounts.sessions_of(email).await
    }

    /// Ends all sessions of an account, or of everybody, and says how many those were: they are over when this returns.
    ///
    /// # Errors
    /// When there is no such account, or the database cannot be written.
    pub async fn revoke_sessions(&self, email: Option<&str>) -> Result<u64, Error> {
        self.0.site.accounts.end_sessions_of(email).await
    }

    /// Writes down what has gathered in memory, leaves the other nodes, so that nobody waits for this one, and lets the
    /// database go.
    pub async fn close(self) {
        self.0.upkeep.abort();
        self.0.site.accounts.write_last_seen().await;
        self.0.site.accounts.sessions.stop_following();
        let node = self.0.node.lock().expect("nothing panics while it holds the task").take();
        if let Some(node) = node {
            // It only fails if it panicked, and then there is nothing left to do.
            let _ = node.await;
        }
        self.0.site.accounts.store.close().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.upkeep.abort();
        if let Some(node) = self.node.get_mut().ok().and_then(Option::take) {
            node.abort();
        }
    }
}

async fn keep_up(site: Arc<Site>) {
    let mut write = tokio::time::interval(WRITE_LAST_SEEN_EVERY);
    let mut purge = tokio::time::interval(PURGE_EVERY);
    let mut purge_attempts = tokio::time::interval(PURGE_ATTEMPTS_EVERY);
    loop {
        tokio::select! {
            _ = write.tick() => site.accounts.write_last_seen().await,
            _ = purge.tick() => site.accounts.purge().await,
            _ = purge_attempts.tick() => site.accounts.purge_attempts().await,
        }
    }
}

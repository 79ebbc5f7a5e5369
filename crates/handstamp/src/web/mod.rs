//! The HTTP layer: routes, handlers, pages, the JSON API and forward authentication.

mod access;
mod api;
mod assets;
mod authenticate;
mod client_address;
mod cookies;
mod csrf;
mod endpoint;
mod event_words;
mod extract;
mod form;
mod forward_auth;
mod headers;
mod health;
mod host;
pub(crate) mod https_redirect;
mod identity_headers;
mod json_body;
mod legacy;
mod mount;
mod negotiate;
mod pages;
mod prerendered;
#[cfg(feature = "proxy")]
mod proxy;
mod qr_code;
mod redirect;
mod respond;
pub(crate) mod routes;
mod sender;
mod templates;
mod urls;
mod user;
mod web_error;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::log::RequestIds;
use crate::services::Services;

pub(crate) use access::ErrorFormat;
pub(crate) use api::v1::description::description as openapi;
pub(crate) use authenticate::{confirmation_of, look_up, reissued_cookie, reject_anonymous, require_second_factor};
pub(crate) use client_address::Warned;
pub(crate) use cookies::Cookies;
pub(crate) use csrf::refusal as cross_site_refusal;
pub(crate) use extract::{client_info, presented_sessions};
pub(crate) use headers::{SecurityHeaders, add_no_store, set_no_store};
pub use health::NotReady;
pub(crate) use health::readiness;
pub(crate) use identity_headers::IdentityHeaderCache;
pub(crate) use legacy::FormerSessions;
pub(crate) use mount::Mount;
pub(crate) use negotiate::wants_page;
#[cfg(feature = "proxy")]
pub use proxy::ReverseProxy;
pub(crate) use respond::{problem_response, render_embedded, with_error_page};
pub(crate) use templates::Templates;
pub(crate) use urls::Urls;
pub(crate) use user::{RequestedPage, Visitor, original_uri};
pub(crate) use web_error::{WebError, log_internal_error};

/// The shared state of all handlers.
pub(crate) struct Site {
    pub(crate) services: Arc<Services>,
    pub(crate) templates: Templates,
    pub(crate) cookies: Cookies,
    pub(crate) urls: Urls,
    pub(crate) identity_headers: IdentityHeaderCache,
    pub(crate) headers: SecurityHeaders,
    pub(crate) request_ids: RequestIds,
    pub(crate) mount: Mount,
    pub(crate) warned: Warned,
    /// Whether this process is about to end.
    pub(crate) stopping: AtomicBool,
}

impl Site {
    pub(crate) fn new(services: Services) -> Self {
        let config = &services.config;
        let urls = Urls::new(config);
        Self {
            headers: SecurityHeaders::new(config, &urls),
            templates: Templates::new(config, services.mail_is_on()),
            cookies: Cookies::new(config),
            urls,
            identity_headers: IdentityHeaderCache::new(),
            request_ids: RequestIds::default(),
            mount: Mount::default(),
            warned: Warned::default(),
            stopping: AtomicBool::new(false),
            services: Arc::new(services),
        }
    }
}

/// The state of the routers.
pub(crate) type SharedSite = Arc<Site>;

//! The HTTP layer: routes, handlers, pages, the JSON API and forward authentication.

mod access;
mod api;
mod assets;
mod authenticate;
mod client_address;
mod cookies;
mod csrf;
mod current_user;
mod endpoint;
mod extract;
mod form;
mod forward_auth;
mod headers;
mod health;
mod host;
mod identity_headers;
mod mount;
mod negotiate;
mod pages;
mod prerendered;
mod redirect;
mod respond;
pub(crate) mod routes;
mod templates;
mod urls;
mod user;
mod user_agent;
mod web_error;

use std::sync::Arc;

use crate::log::RequestIds;
use crate::services::Services;

pub(crate) use client_address::Warned;
pub(crate) use cookies::Cookies;
pub use current_user::{CurrentSession, CurrentUser};
pub(crate) use headers::SecurityHeaders;
pub(crate) use health::why_not_ready;
pub(crate) use identity_headers::IdentityHeaderCache;
pub(crate) use mount::Mount;
pub(crate) use templates::Templates;
pub(crate) use urls::Urls;

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
}

/// The state of the routers.
pub(crate) type SharedSite = Arc<Site>;

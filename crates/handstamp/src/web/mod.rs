//! The HTTP layer: routes, handlers, pages, the JSON API and forward authentication.

mod api;
mod assets;
mod cookies;
mod cross_site;
mod current_user;
mod device;
mod failure;
mod form;
mod forward_auth;
mod headers;
mod health;
mod host;
mod introductions;
mod mount;
mod pages;
mod pieces;
mod places;
mod redirect;
mod request;
mod respond;
pub(crate) mod routes;
mod session;
mod user;
mod views;

use std::sync::Arc;

use crate::log::RequestIds;
use crate::services::Accounts;

pub(crate) use cookies::Cookies;
pub use current_user::{CurrentSession, CurrentUser};
pub(crate) use headers::CarefulHeaders;
pub(crate) use health::why_not_ready;
pub(crate) use introductions::Introductions;
pub(crate) use mount::Mount;
pub(crate) use places::Places;
pub(crate) use request::Warned;
pub(crate) use views::Views;

/// The shared state of all handlers.
pub(crate) struct Site {
    pub(crate) accounts: Accounts,
    pub(crate) views: Views,
    pub(crate) cookies: Cookies,
    pub(crate) places: Places,
    pub(crate) introductions: Introductions,
    pub(crate) headers: CarefulHeaders,
    pub(crate) request_ids: RequestIds,
    pub(crate) mount: Mount,
    pub(crate) warned: Warned,
}

/// The state of the routers.
pub(crate) type SharedSite = Arc<Site>;

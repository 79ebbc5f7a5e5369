//! The static files: stylesheet, script, icons and `robots.txt`.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::web_error::WebError;

pub(super) const ROUTE: &str = "/account/static/{file}";

/// simple.css with its licence notice, followed by our own rules.
const STYLESHEET: &str = concat!(
    "/*! simple.css 2.3.7\n\n",
    include_str!("../../static/simple.css.LICENSE"),
    "*/\n",
    include_str!("../../static/simple.css"),
    "\n",
    include_str!("../../static/handstamp.css")
);
/// The script of the pages with passkeys. No other page has one.
const PASSKEYS_SCRIPT: &str = include_str!("../../static/passkeys.js");
const ICON: &str = include_str!("../../static/handstamp.svg");
/// The icon as a bitmap, for clients that request this name without having read a page.
const FAVICON: &[u8] = include_bytes!("../../static/favicon.ico");
/// Crawlers may fetch everything: pages carry a `noindex` header, which a crawler sees only if it fetches them.
const ROBOTS: &str = "User-agent: *\nDisallow:\n";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_A_DAY: &str = "public, max-age=86400";

static STYLESHEET_FILE: LazyLock<String> = LazyLock::new(|| format!("handstamp.{}.css", mark_of(STYLESHEET)));
static PASSKEYS_SCRIPT_FILE: LazyLock<String> = LazyLock::new(|| format!("passkeys.{}.js", mark_of(PASSKEYS_SCRIPT)));
static ICON_FILE: LazyLock<String> = LazyLock::new(|| format!("handstamp.{}.svg", mark_of(ICON)));

fn mark_of(content: &str) -> String {
    let hash = Sha256::digest(content);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The path of the stylesheet beneath the prefix. Its name contains a hash of its content, so browsers may cache it for ever.
pub(super) fn stylesheet_path() -> String {
    format!("/account/static/{}", *STYLESHEET_FILE)
}

/// The same for the icon.
pub(super) fn icon_path() -> String {
    format!("/account/static/{}", *ICON_FILE)
}

/// The same for the script of passkeys.
pub(super) fn passkeys_script_path() -> String {
    format!("/account/static/{}", *PASSKEYS_SCRIPT_FILE)
}

pub(super) async fn file(Path(file): Path<String>) -> Result<Response, WebError> {
    let (kind, content) = match () {
        () if file == *STYLESHEET_FILE => ("text/css; charset=utf-8", STYLESHEET),
        () if file == *PASSKEYS_SCRIPT_FILE => ("text/javascript; charset=utf-8", PASSKEYS_SCRIPT),
        () if file == *ICON_FILE => ("image/svg+xml", ICON),
        () => return Err(WebError::not_found()),
    };
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, FOR_EVER)], content).into_response())
}

pub(super) async fn favicon() -> Response {
    ([(CONTENT_TYPE, "image/x-icon"), (CACHE_CONTROL, FOR_A_DAY)], FAVICON).into_response()
}

pub(super) async fn robots() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, FOR_A_DAY)], ROBOTS).into_response()
}

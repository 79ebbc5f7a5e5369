use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::failure::Failure;

pub(super) const ROUTE: &str = "/account/static/{file}";

/// simple.css with its notice, and our own rules after it.
const STYLESHEET: &str = concat!(
    "/*! simple.css 2.3.7\n\n",
    include_str!("../../static/simple.css.LICENSE"),
    "*/\n",
    include_str!("../../static/simple.css"),
    "\n",
    include_str!("../../static/handstamp.css")
);
const ICON: &str = include_str!("../../static/handstamp.svg");
/// The same as a bitmap, for what asks for this name without having read a page.
const FAVICON: &[u8] = include_bytes!("../../static/favicon.ico");
/// Crawlers may read everything: pages say themselves that they are not for an index, which has to be read.
const ROBOTS: &str = "User-agent: *\nDisallow:\n";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_A_DAY: &str = "public, max-age=86400";

static STYLESHEET_FILE: LazyLock<String> = LazyLock::new(|| format!("handstamp.{}.css", mark_of(STYLESHEET)));
static ICON_FILE: LazyLock<String> = LazyLock::new(|| format!("handstamp.{}.svg", mark_of(ICON)));

fn mark_of(content: &str) -> String {
    let hash = Sha256::digest(content);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where the stylesheet is, after the prefix. Another stylesheet has another name, so browsers may keep this one for ever.
pub(super) fn stylesheet_path() -> String {
    format!("/account/static/{}", *STYLESHEET_FILE)
}

/// The same for the icon.
pub(super) fn icon_path() -> String {
    format!("/account/static/{}", *ICON_FILE)
}

pub(super) async fn file(Path(file): Path<String>) -> Result<Response, Failure> {
    let (kind, content) = match () {
        () if file == *STYLESHEET_FILE => ("text/css; charset=utf-8", STYLESHEET),
        () if file == *ICON_FILE => ("image/svg+xml", ICON),
        () => return Err(Failure::not_found()),
    };
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, FOR_EVER)], content).into_response())
}

pub(super) async fn favicon() -> Response {
    ([(CONTENT_TYPE, "image/x-icon"), (CACHE_CONTROL, FOR_A_DAY)], FAVICON).into_response()
}

pub(super) async fn robots() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, FOR_A_DAY)], ROBOTS).into_response()
}

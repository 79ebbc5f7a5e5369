use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::failure::Failure;

pub(super) const STYLESHEET_ROUTE: &str = "/account/static/{file}";

/// simple.css with its notice, and our own rules after it.
const STYLESHEET: &str = concat!(
    "/*! simple.css 2.3.7\n\n",
    include_str!("../../static/simple.css.LICENSE"),
    "*/\n",
    include_str!("../../static/simple.css"),
    "\n",
    include_str!("../../static/handstamp.css")
);

static STYLESHEET_FILE: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(STYLESHEET);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("handstamp.{hash}.css")
});

/// Where the stylesheet is, after the prefix. Another stylesheet has another name, so browsers may keep this one for ever.
pub(super) fn stylesheet_path() -> String {
    format!("/account/static/{}", *STYLESHEET_FILE)
}

pub(super) async fn stylesheet(Path(file): Path<String>) -> Result<Response, Failure> {
    if file != *STYLESHEET_FILE {
        return Err(Failure::not_found());
    }
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, STYLESHEET).into_response())
}

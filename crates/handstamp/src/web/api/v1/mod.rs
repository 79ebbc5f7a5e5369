//! The JSON API under `/account/api/v1`, for programs in any language.
//!
//! It offers the same actions as the pages, by the same services and under the same limits. Errors are problem documents
//! (RFC 9457). `openapi.json` describes it.

pub(in crate::web) mod description;
pub(in crate::web) mod email;
pub(in crate::web) mod password;
mod problems;
mod responses;
pub(in crate::web) mod session;
pub(in crate::web) mod sessions;
mod types;
pub(in crate::web) mod user;
pub(in crate::web) mod users;

//! The JSON API, a folder for each version.

pub(super) mod v1;

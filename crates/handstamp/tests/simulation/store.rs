//! The unmodified interface between the lease protocol and a database.

#[path = "../../src/store/change.rs"]
mod change;

pub(crate) use change::*;

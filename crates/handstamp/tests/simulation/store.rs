//! What the protocol asks of a database, as it is.

#[path = "../../src/store/change.rs"]
mod change;

pub(crate) use change::*;

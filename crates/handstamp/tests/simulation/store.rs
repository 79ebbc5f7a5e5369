//! The unmodified interface between the lease protocol and a database.

#[path = "../../src/store/protocol.rs"]
mod protocol;

pub(crate) use protocol::*;

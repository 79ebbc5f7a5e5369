//! The unmodified code of `src/sessions/` that is simulated.

#[path = "../../src/sessions/cache.rs"]
mod cache;
#[path = "../../src/sessions/lease.rs"]
mod lease;
#[path = "../../src/sessions/node.rs"]
mod node;
#[path = "../../src/sessions/recheck.rs"]
mod recheck;
#[path = "../../src/sessions/sync.rs"]
mod sync;
#[path = "../../src/sessions/watches.rs"]
mod watches;

impl sync::Weighs for crate::database::Served {}

pub(crate) use cache::SessionKey;
pub(crate) use node::Node;

//! What the load programs share.

pub mod client;
pub mod figures;
pub mod machine;
pub mod program;

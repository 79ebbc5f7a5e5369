//! The modules that the benchmark programs share.

pub mod client;
pub mod figures;
pub mod flags;
pub mod folder;
pub mod load;
pub mod machine;
pub mod program;
pub mod ratios;

//! Stories of what people notice when the machine of the database dies, told before real servers that fail over. They are
//! started by `script/test-failover`, which starts those servers.
#![allow(clippy::unwrap_used, unreachable_pub)]

// The stories of people use all of these; here only what is needed of them.
#[allow(dead_code)]
#[path = "../stories/house.rs"]
mod house;
#[allow(dead_code)]
#[path = "../../../handstamp/tests/support/postgres.rs"]
mod postgres_server;
#[allow(dead_code)]
#[path = "../stories/visitor.rs"]
mod visitor;

mod crowd;
mod machine;
mod record;

mod the_leader_fails;

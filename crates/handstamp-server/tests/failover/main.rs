//! Failover tests: effects on users when the machine of the database's leader fails, with real servers that fail over.
//! `script/test-failover` starts those servers and then the tests.
#![allow(clippy::unwrap_used, unreachable_pub)]

// These modules belong to the tests in `stories`, which use all of their items; here some are unused.
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

mod leader_failure;

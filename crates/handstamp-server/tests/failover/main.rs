//! Failover tests: effects on users when the machine of the database's leader fails, with real servers that fail over.
//! `script/test-failover` starts those servers and then the tests.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod crowd;
mod machine;
mod record;

mod leader_failure;

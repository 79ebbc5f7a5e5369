//! End-to-end tests of the `handstamp` binary over HTTP, on SQLite and on PostgreSQL.
#![allow(clippy::print_stderr, clippy::unwrap_used, unreachable_pub)]

mod disk;
mod raw_app;
mod request_generator;

mod account_life;
mod account_settings;
mod assertion_verification;
mod audit_log;
mod backup_and_restore;
mod blocklist_build;
mod breached_passwords;
mod canonical_host;
mod clock_skew;
mod concurrent_requests;
mod connection_limits;
mod crash_recovery;
mod cross_site_requests;
mod database_connection_loss;
mod database_lock;
mod database_outage;
mod disk_failure;
mod forward_auth;
mod http_fuzzing;
mod in_front_of_an_app;
mod json_api;
mod key_rotation;
mod logging;
mod mail;
mod misbehaving_clients;
mod multiple_nodes;
mod open_streams;
mod operator_commands;
mod pages;
mod password_guessing;
mod proxy_faults;
mod registration;
mod reverse_proxies;
mod revocation_under_load;
mod session_management;
mod sign_in;
mod sign_in_timing;
mod sign_out;
mod startup_and_shutdown;
mod stolen_cookies;
mod webhooks;

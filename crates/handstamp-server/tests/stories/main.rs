//! Stories about people, told over HTTP to the real binary, on SQLite and on PostgreSQL.
#![allow(clippy::print_stderr, clippy::unwrap_used, unreachable_pub)]

#[path = "../../../handstamp/tests/support/postgres.rs"]
mod postgres_server;

#[allow(dead_code)]
#[path = "../../../handstamp/tests/simulation/chance.rs"]
mod chance;

mod at_work;
mod between;
mod chain;
mod disk;
mod house;
mod stranger;
mod visitor;

mod a_client_misbehaves;
mod a_laptop_has_several_names;
mod a_member_changes_what_the_account_holds;
mod a_member_comes_back;
mod a_member_looks_after_the_devices;
mod a_member_signs_out;
mod a_program_uses_the_api;
mod a_proxy_asks_who_it_is;
mod a_proxy_stands_in_front;
mod a_session_ends_while_it_is_used;
mod a_stranger_sends_anything;
mod a_thief_replays_a_cookie;
mod a_visitor_looks_around;
mod a_visitor_registers;
mod an_app_verifies_who_it_is;
mod an_operator_looks_after_accounts;
mod an_operator_restores_a_copy;
mod an_operator_starts_it;
mod another_site_interferes;
mod clocks_differ;
mod connections_are_held;
mod it_is_killed;
mod many_come_at_once;
mod several_nodes_serve;
mod somebody_guesses;
mod somebody_holds_a_stopwatch;
mod the_connection_breaks;
mod the_database_goes_away;
mod the_database_is_held_up;
mod the_disk_fails;
mod the_keys_rotate;
mod the_log_keeps_secrets;

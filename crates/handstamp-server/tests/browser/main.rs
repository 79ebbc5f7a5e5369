//! Stories of people with a real browser, before the real program. They need Chromium and chromedriver.
#![allow(clippy::unwrap_used)]

mod browser;
mod site;
mod visitor;

mod a_form_is_sent_twice;
mod a_thief_gets_nothing_from_a_cookie;
mod a_visitor_registers_and_comes_back;
mod mistakes_are_explained_beside_the_field;
mod other_devices_can_be_signed_out;
mod the_keyboard_is_enough;
mod the_pages_are_accessible;
mod who_comes_from_another_host_goes_back;
mod who_signs_out_is_out;

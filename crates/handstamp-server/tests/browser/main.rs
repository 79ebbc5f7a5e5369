//! Browser tests: Chromium, driven by chromedriver, against the real program. Both must be installed.
#![allow(clippy::unwrap_used)]

mod browser;
mod browser_user;
mod site;

mod accessibility;
mod account_life;
mod devices;
mod double_submission;
mod form_errors;
mod former_session;
mod https;
mod keyboard;
mod passkeys;
mod providers;
mod registration_and_return;
mod second_factors;
mod sign_in_for_another_host;
mod sign_out;
mod stolen_cookies;

//! `handstamp passwords`: builds the filter of breached passwords, and looks a password up in it.

mod build;
mod check;
mod input;
mod key_log;
mod work_folder;

pub(crate) use build::build;
pub(crate) use check::check;

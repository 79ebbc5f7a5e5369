//! `handstamp passwords check`: whether a password would be refused because it is common or breached.

use std::io::{self, Write};
use std::path::PathBuf;

use handstamp::{Blocklist, Password};
use serde_json::json;

use crate::CliError;
use crate::cli::OutputFlags;
use crate::commands::read_password_once;

/// Looks a password up, in this filter if there is one.
///
/// # Errors
/// When the password is found, and when the filter cannot be read.
pub(crate) fn check(blocklist: Option<PathBuf>, output: OutputFlags) -> Result<(), CliError> {
    let filter = blocklist.as_deref().map(Blocklist::open).transpose().map_err(CliError::failure)?;
    let password = Password::parse(&read_password_once()?).map_err(CliError::rejected)?;
    let common = password.is_common();
    let breached = filter.as_ref().map(|filter| filter.contains(&password)).transpose().map_err(CliError::failure)?;
    let found = common || breached == Some(true);
    if output.json {
        let report = json!({ "blocklist": blocklist, "breached": breached, "common": common, "found": found });
        writeln!(io::stdout(), "{report:#}").map_err(CliError::failure)?;
    }
    let file = blocklist.map(|path| path.display().to_string()).unwrap_or_default();
    match breached {
        _ if common => Err(CliError::rejected("the password is one of the most common ones")),
        Some(true) => Err(CliError::rejected(format!("the password is in {file}, or cannot be told from one that is"))),
        _ if output.json => Ok(()),
        Some(false) => say(&format!("the password is neither a common one nor in {file}")),
        None => say("the password is not a common one; password.blocklist names no filter of breached ones"),
    }
}

fn say(text: &str) -> Result<(), CliError> {
    writeln!(io::stdout(), "{text}").map_err(CliError::failure)
}

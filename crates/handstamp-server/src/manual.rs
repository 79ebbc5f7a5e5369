//! `handstamp completions` and `handstamp man`: both are made from the definitions of the commands.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::CliError;
use crate::cli::Cli;

/// Prints the script that completes commands and flags in a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "handstamp", &mut script);
    io::stdout().write_all(&script).map_err(CliError::failure)
}

/// Prints the manual page of `handstamp`, or writes a page for each command to a folder.
pub(crate) fn pages(folder: Option<&Path>) -> Result<(), CliError> {
    match folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder),
        None => Man::new(Cli::command()).render(&mut io::stdout()),
    }
    .map_err(CliError::failure)
}

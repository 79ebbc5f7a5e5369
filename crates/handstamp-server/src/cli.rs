use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Accounts for web apps: register, sign in, sign out, and a cookie that remembers who is who.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the account pages.
    ///
    /// Nothing is needed to start: the accounts are kept in ./handstamp-data, and a secret is made for them.
    #[command(after_help = ABOUT_SETTINGS)]
    Serve(ServeFlags),
}

const ABOUT_SETTINGS: &str = "\
Every setting can stand in handstamp.toml, in an environment variable, or, for a few, in a flag; a later one wins.
The variable of session.lifetime is HANDSTAMP_SESSION__LIFETIME. Lists are separated by commas. Secrets can be
read from a file: HANDSTAMP_SECRET_KEY_FILE=/run/secrets/key. The README lists all settings.";

/// Settings that are often given by hand.
#[derive(Args, Debug, Default)]
pub(crate) struct ServeFlags {
    /// The file of settings [default: handstamp.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// Where people reach the site [default: http://localhost and the port]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,

    /// The folder of the database and the secret [default: ./handstamp-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
}

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::proxy_config::{Access, Endpoint, HostName, Proxy};

/// Accounts for web apps: register, sign in, sign out, and a cookie that remembers who is who.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_STATUSES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUSES: &str = "\
Exit status: 0 done, 1 the database, a file or a check failed, 2 the command or a setting is wrong, 3 no such account,
4 the address or the password was refused.";

const ABOUT_SETTINGS: &str = "\
Every setting can stand in handstamp.toml, in an environment variable, or, for a few, in a flag; a later one wins.
The variable of session.lifetime is HANDSTAMP_SESSION__LIFETIME. Lists are separated by commas. Secrets can be
read from a file: HANDSTAMP_SECRET_KEY_FILE=/run/secrets/key. The README lists all settings.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the account pages.
    ///
    /// Nothing is needed to start: the accounts are kept in ./handstamp-data, and a secret is made for them.
    #[command(after_help = ABOUT_SETTINGS)]
    Serve {
        #[command(flatten)]
        place: PlaceFlags,
        #[command(flatten)]
        address: AddressFlags,
    },
    /// Look after accounts, while the server runs or not.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Look after sessions, while the server runs or not.
    Session {
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Print a complete configuration of a reverse proxy that asks Handstamp who everybody is, for an app behind it.
    ProxyConfig {
        /// Which proxy
        proxy: Proxy,
        /// The address and port that the proxy listens on
        #[arg(long, value_name = "ADDRESS")]
        listen: Endpoint,
        /// The address and port of the app
        #[arg(long, value_name = "ADDRESS")]
        app: Endpoint,
        /// The address and port that Handstamp listens on
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        handstamp: Endpoint,
        /// A host that people type, without a port; can be given more than once. Requests for others are refused [default: the
        /// names of this machine if it listens on a loopback address, else any host]
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<HostName>,
        #[command(flatten)]
        pass: PassFlags,
    },
    /// Play the attacker against a proxy, Handstamp and an app as they run, and say what to mend.
    ///
    /// It makes the account doctor@handstamp.invalid, with the settings of the server, and deletes it again. A doctor that is
    /// killed leaves it behind: for two minutes no other begins, and the next deletes it. The app sees this account sign in and
    /// post 2 MB: let it keep nothing of this address. Most is seen with a page that shows the address of the member who
    /// looks at it, or the headers that it gets. Exit status 1 when a check fails.
    Doctor {
        /// A page of the app as browsers reach it, which shows the address of the member who looks at it, such as a profile
        url: String,
        /// Where the app might be reached without the proxy
        #[arg(long, value_name = "URL")]
        app: Option<String>,
        #[command(flatten)]
        pass: PassFlags,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        place: PlaceFlags,
    },
}

/// What is done with accounts. All of it is in force everywhere when the command returns.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account. The password is asked for, or read from standard input.
    Add {
        /// The e-mail address to sign in with
        email: String,
        /// What to call them; by default what stands before the at sign of the address
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        place: PlaceFlags,
    },
    /// List all accounts.
    List {
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        place: PlaceFlags,
    },
    /// Show one account.
    Show {
        #[command(flatten)]
        account: AccountArgument,
        #[command(flatten)]
        output: OutputFlags,
    },
    /// Say that the address of an account is its owner's, so that apps get it. Those of `user add` are verified already.
    Verify(AccountArgument),
    /// Let nobody sign in to an account, and end its sessions for good.
    Disable(AccountArgument),
    /// Let people sign in to a disabled account again.
    Enable(AccountArgument),
    /// Forget the wrong passwords that others tried for an account, so that its owner can sign in at once.
    Unlock(AccountArgument),
    /// Delete an account and all that it holds.
    Delete(AccountArgument),
    /// Put somebody into groups and take them out of others; without either, list their groups.
    Groups {
        #[command(flatten)]
        account: AccountArgument,
        /// A group to put them into; can be given more than once
        #[arg(long, value_name = "NAME")]
        add: Vec<String>,
        /// A group to take them out of; can be given more than once
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
        #[command(flatten)]
        output: OutputFlags,
    },
}

/// What is done with sessions. All of it is in force everywhere when the command returns.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the devices on which somebody is signed in.
    List {
        /// The e-mail address of the account
        #[arg(long, value_name = "EMAIL")]
        user: String,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        place: PlaceFlags,
    },
    /// Sign somebody out on all devices, or everybody.
    #[command(group = ArgGroup::new("whose").required(true).args(["user", "all"]))]
    Revoke {
        /// The e-mail address of the account
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// All sessions of all accounts
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: PlaceFlags,
    },
}

/// Whose account.
#[derive(Args, Debug)]
pub(crate) struct AccountArgument {
    /// The e-mail address of the account
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
}

/// Where the settings and the data are.
#[derive(Args, Debug, Default)]
pub(crate) struct PlaceFlags {
    /// The file of settings [default: handstamp.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The folder of the database and the secret [default: ./handstamp-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
}

/// Where the site is.
#[derive(Args, Debug, Default)]
pub(crate) struct AddressFlags {
    /// The address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// Where people reach the site [default: http://localhost and the port]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,

    /// The address or network of a proxy whose X-Forwarded-For is believed; can be given more than once
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) trusted_proxy: Vec<String>,
}

/// What the proxy lets through to the app beside the requests of members.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PassFlags {
    /// Who gets through to the app
    #[arg(long, value_enum, default_value_t)]
    pub(crate) access: Access,

    /// CORS preflights get through as strangers, so that scripts of other origins can reach the app if it allows them
    #[arg(long)]
    pub(crate) preflight: bool,
}

/// For whom.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputFlags {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

impl UserCommand {
    pub(crate) fn place(&self) -> &PlaceFlags {
        match self {
            Self::Add { place, .. } | Self::List { place, .. } => place,
            Self::Show { account, .. } | Self::Groups { account, .. } => &account.place,
            Self::Verify(account)
            | Self::Disable(account)
            | Self::Enable(account)
            | Self::Unlock(account)
            | Self::Delete(account) => &account.place,
        }
    }
}

impl SessionCommand {
    pub(crate) fn place(&self) -> &PlaceFlags {
        match self {
            Self::List { place, .. } | Self::Revoke { place, .. } => place,
        }
    }
}

//! The command line: commands, flags and their help texts.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;
use handstamp::EventHead;

use crate::proxy_config::{Access, Endpoint, HostName, Proxy};
use crate::user_file::{Field, Format, MappedColumn, RenamedGroup, System, WeakHashes};

/// User accounts for web apps: registration, sign-in, sign-out and a session cookie.
#[derive(Debug, Parser)]
#[command(name = "handstamp", version, arg_required_else_help = true, after_help = EXIT_STATUSES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUSES: &str = "\
Exit status: 0 success, 1 the database, a file, a mail or a check failed, 2 the command or a setting is wrong,
3 no such user, 4 the address or the password was rejected, 5 the audit log was changed, 6 nothing was backed up.";

const IMPORT_STATUSES: &str = "\
Exit status: 0 all rows are in, 1 some rows were refused or the input or the database failed, 2 the command, the header line or
a setting is wrong.";

const ABOUT_SETTINGS: &str = "\
Every setting can be set in handstamp.toml or in an environment variable, and some by a flag; the later of these wins.
The variable of session.lifetime is HANDSTAMP_SESSION__LIFETIME. Lists are separated by commas. Secrets can be
read from a file: HANDSTAMP_SECRET_KEY_FILE=/run/secrets/key. docs/src/reference/settings.md lists all settings.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the account pages, alone or in front of an app.
    ///
    /// No configuration is required: accounts are stored in ./handstamp-data, beside a generated secret key.
    #[command(after_help = ABOUT_SETTINGS)]
    Serve {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        address: AddressArgs,
    },
    /// Manage users, while the server runs or not.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Manage sessions, while the server runs or not.
    Session {
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Generate, rotate and check the secret keys, while the server runs or not.
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Refuse new passwords that are known from data breaches, without asking another service.
    Passwords {
        #[command(subcommand)]
        command: PasswordsCommand,
    },
    /// Check the sending of mails.
    Mail {
        #[command(subcommand)]
        command: MailCommand,
    },
    /// Import users from another system, with the hashes of their passwords, while the server runs or not.
    ///
    /// The file is CSV with a header line, or JSON Lines with an object on each line. Its columns or keys are email, which is
    /// required, and name, password_hash, password_form, email_verified, created_at, disabled, groups, legacy_id
    /// and legacy_session_key. A run that is killed or fails goes on when the same command is given again: users that are already there
    /// are counted and left as they are.
    #[command(after_help = IMPORT_STATUSES)]
    Import(ImportArgs),
    /// Export users for another system, while the server runs or not.
    Export(ExportArgs),
    /// Back up the database to one file, while the server runs or not.
    ///
    /// On SQLite the file is a database that SQLite's tools can read, with a checksum at its end. On PostgreSQL nothing is backed up:
    /// the command of pg_dump for it is printed, and the exit status is 6. Check its dump with --check.
    Backup(BackupArgs),
    /// Restore a backup. All users have to sign in again.
    ///
    /// A new epoch begins: sessions, mailed links and codes, pending sign-ins and known devices from before are void. Passwords,
    /// second factors and passkeys are those of the backup. On SQLite the server must be stopped, and the former database is kept
    /// under another name. On PostgreSQL, restore with pg_restore and then give --database.
    Restore(RestoreArgs),
    /// List and verify the audit log, while the server runs or not.
    Events {
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// Show the settings in force, check them, or print an example of the settings file.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a complete configuration of a reverse proxy that authenticates the requests to an app with Handstamp.
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
        /// A host name of the site, without a port; can be repeated. Requests for other hosts are rejected [default: the names
        /// of this machine if the proxy listens on a loopback address, else any host]
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<HostName>,
        #[command(flatten)]
        pass: PassFlags,
    },
    /// Ask the running server whether it is ready, for the health check of a container, which has no other program.
    ///
    /// It prints one line. Exit status 0 when the server is ready, or alive with --live; 1 in all other cases, also when a setting is
    /// wrong. It asks the address that the settings have as listen, or as metrics.listen in front of an app.
    Health {
        /// Ask whether the process runs, and not whether it is ready
        #[arg(long)]
        live: bool,
        /// The address that the server listens on, if a flag of serve names it
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Check the machine and the settings of the server; with a URL, attack the running proxy, Handstamp and app as well.
    ///
    /// Each check prints ok, warn, FAIL, or ? where the result cannot be seen, with what to correct. Run it on the machine of the
    /// server, as its user and with its settings. With a URL it creates the user doctor@handstamp.invalid and deletes it at the end. A
    /// run that is killed leaves this user behind: no other run starts for two minutes, and the next one deletes the user. The app sees
    /// this user sign in and post 2 MB, so it should store nothing for this address. These checks work best with a URL that
    /// displays the signed-in user's e-mail address or echoes the request headers. Exit status 1 when a check fails.
    Doctor {
        /// The public URL of a page of the app that shows the address of the signed-in user, such as a profile
        url: Option<String>,
        /// A URL at which the app might be reachable without the proxy
        #[arg(long, value_name = "URL", requires = "url")]
        app: Option<String>,
        #[command(flatten)]
        pass: PassFlags,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print the script that completes commands and flags in a shell.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    Man {
        /// The folder, which must exist
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Show the settings in force, check them, or print an example of the settings file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each setting with its value and its source. Secrets are not shown.
    Show {
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Check the settings and the files that they name, without the database. Exit status 2 when a setting is wrong.
    Check {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print a settings file in which every setting is a comment with its default.
    Example,
}

/// Manage users. Every change applies on all nodes when the command returns.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user. The password is prompted for, or read from standard input.
    Add {
        /// The e-mail address to sign in with
        email: String,
        /// The name of the user [default: the part of the address before the at sign]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Invite a person, and print the link, which is mailed as well if the site sends mails.
    ///
    /// The link is valid for a week. The account is created when the invitation is accepted, and its address is verified by it.
    Invite {
        /// The e-mail address to invite
        email: String,
        /// The name that the form suggests
        #[arg(long, default_value = "")]
        name: String,
        /// A group that the account is added to; can be repeated
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List all users.
    List {
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Show one user.
    Show {
        #[command(flatten)]
        account: AccountArgument,
        #[command(flatten)]
        output: OutputFlags,
    },
    /// Change the name or the address of a user.
    ///
    /// A new address ends all sessions of the user. The former one gets a mail with a link that undoes the change for a week, if it
    /// was verified.
    #[command(group = ArgGroup::new("changes").required(true).multiple(true).args(["name", "new_email"]))]
    Edit {
        #[command(flatten)]
        account: AccountArgument,
        /// The new name
        #[arg(long)]
        name: Option<String>,
        /// The new address, which counts as verified
        #[arg(long = "email", value_name = "NEW")]
        new_email: Option<String>,
        /// The new address does not count as verified yet
        #[arg(long, requires = "new_email")]
        unverified: bool,
    },
    /// Set the password of a user, and revoke all sessions. It is prompted for, or read from standard input. The user gets a mail.
    ///
    /// With `user reset-link` the user chooses the password, and no operator knows it.
    SetPassword(AccountArgument),
    /// Mark the address of a user as verified, so that apps receive it. Addresses given to `user add` are verified already.
    Verify(AccountArgument),
    /// Print a link with which a user sets a new password. It is valid for an hour.
    ResetLink(AccountArgument),
    /// Block sign-ins of a user, and revoke all sessions of the user permanently.
    Disable {
        #[command(flatten)]
        account: AccountArgument,
        #[command(flatten)]
        last: LastAdminFlag,
    },
    /// Allow sign-ins of a disabled user again.
    Enable(AccountArgument),
    /// Forget the wrong passwords that other clients tried for a user, so that the user can sign in at once.
    Unlock(AccountArgument),
    /// Remove the second factors and passkeys of a user who has lost them, and revoke all sessions of the user. The user gets a mail.
    ResetFactors(AccountArgument),
    /// Delete a user and all data of the user.
    Delete {
        #[command(flatten)]
        account: AccountArgument,
        #[command(flatten)]
        last: LastAdminFlag,
    },
    /// Add a user to groups and remove the user from others; without either flag, list the groups of the user.
    Groups {
        #[command(flatten)]
        account: AccountArgument,
        /// A group to add the user to; can be repeated
        #[arg(long, value_name = "NAME")]
        add: Vec<String>,
        /// A group to remove the user from; can be repeated
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
        #[command(flatten)]
        last: LastAdminFlag,
        #[command(flatten)]
        output: OutputFlags,
    },
}

/// Whether the last administrator may go.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LastAdminFlag {
    /// Do it also to the last member of the group admins who can sign in
    #[arg(long)]
    pub(crate) even_the_last_admin: bool,
}

/// Manage sessions. Every change applies on all nodes when the command returns.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the sessions of a user, with the device of each.
    List {
        /// The e-mail address of the user
        #[arg(long, value_name = "EMAIL")]
        user: String,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Revoke all sessions of one user, or of all users.
    #[command(group = ArgGroup::new("whose").required(true).args(["user", "all"]))]
    Revoke {
        /// The e-mail address of the user
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// All sessions of all users
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Generate, rotate and check the secret keys.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Print a new secret, for secret_key or secret_key_fallbacks.
    Generate,
    /// Make the next step of a rotation in the data folder; if a setting has the secret key, say which setting to change.
    ///
    /// The first step adds a new secret, which every node accepts after a restart. The second one makes it the secret that signs. It
    /// is refused while a running node does not know the new secret. Users notice nothing. Exit status 1 when the step must wait.
    Rotate {
        /// Remove the former secrets that nothing needs any more. It is refused while one is needed
        #[arg(long)]
        drop_former: bool,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Show which secret keys the running nodes know, and the next step of a rotation. Keys are named by their ids.
    ///
    /// Exit status 1 when a running node does not know the key that another signs with.
    Check {
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Refuse new passwords that are known from data breaches, without asking another service.
#[derive(Debug, Subcommand)]
pub(crate) enum PasswordsCommand {
    /// Make the filter of breached passwords that password.blocklist names.
    ///
    /// The input is what haveibeenpwned-downloader writes: a file with a SHA-1, a colon and a count on each line, or a folder with
    /// a file for each prefix. A run that is killed goes on where it stopped when the same command is given again; if the input or
    /// a flag has changed, it begins anew. Its files are in a folder beside the filter, whose name ends with .partial.
    Build(BuildArgs),
    /// Look a password up in the lists of common and of breached passwords. It is prompted for, or read from standard input.
    ///
    /// Exit status 4 when it is in one of them.
    Check {
        /// The filter [default: that of password.blocklist]
        #[arg(long, value_name = "FILE")]
        blocklist: Option<PathBuf>,
        /// The settings file [default: handstamp.toml, if it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        output: OutputFlags,
    },
}

/// The input and the output of `passwords build`.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// A file or folder of the downloader; can be repeated
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// The filter to make. An earlier one is replaced once the new one is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Leave out passwords that were seen fewer times
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) min_count: u32,
    #[command(flatten)]
    pub(crate) output_format: OutputFlags,
}

/// Check the sending of mails.
#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// Send a test mail at once, and show the words of the mail server.
    ///
    /// It uses the settings of the server, which need not run. Exit status 1 when the mail is not accepted.
    Test {
        /// The address to send it to
        address: String,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// List and verify the audit log: one event for each act on an account.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, the newest first. Events of deleted users are erased.
    List {
        #[command(flatten)]
        events: ListEventsArgs,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Verify that no event was changed, removed, inserted or reordered.
    ///
    /// Events that were removed from the end are found only with --since and a head that was printed after they were sealed. Exit
    /// status 5 when the log was changed.
    Verify {
        /// A head that `events head` printed earlier; the log must lead to it
        #[arg(long, value_name = "HEAD")]
        since: Option<EventHead>,
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print the newest position and its link, which prove all events up to there. Keep it outside of the database.
    Head {
        #[command(flatten)]
        output: OutputFlags,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// The events to list.
#[derive(Args, Debug)]
pub(crate) struct ListEventsArgs {
    /// Only events about this user: an e-mail address, or the id of a user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Only events of this name, such as authn_login_success
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only sealed events after this position, the oldest first
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<u64>,
    /// How many events at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,
}

/// The input of `import`, and what is done with it.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input; with --from also the URL of a database, such as sqlite:///app.db
    #[arg(value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The format [default: that of the file name, .csv, .jsonl or .ndjson, else JSON Lines if it begins with a brace]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Take a column as a field of another name, such as id=legacy_id; can be repeated
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub(crate) map: Vec<MappedColumn>,
    /// Read the users of this system, as its database or its export has them
    #[arg(long, value_enum, value_name = "SYSTEM", conflicts_with = "format")]
    pub(crate) from: Option<System>,
    /// The table of the users, where none or several are found
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) table: Option<String>,
    /// Leave out a field that was found; can be repeated
    #[arg(long, value_name = "FIELD", requires = "from")]
    pub(crate) without: Vec<Field>,
    /// Give a group another name, or leave it out with an empty one; can be repeated
    #[arg(long, value_name = "OLD=NEW", requires = "from")]
    pub(crate) group: Vec<RenamedGroup>,
    /// Take all addresses as verified, since the former system has verified them
    #[arg(long, requires = "from")]
    pub(crate) email_verified: bool,
    /// The app sets SECURITY_PASSWORD_SINGLE_HASH, so Flask-Security hashes the passwords and not their HMACs
    #[arg(long, requires = "from")]
    pub(crate) single_hash: bool,
    /// The password hashes of Auth0, which its support sends as a file of their own
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) passwords: Option<PathBuf>,
    /// A file with the hash_config of Firebase, as its console shows it [default: the settings of new projects]
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) hash_config: Option<PathBuf>,
    /// Import the users of a table without asking
    #[arg(long, requires = "from")]
    pub(crate) yes: bool,
    /// Import weak hashes of this system as well, hashed by Argon2id at once, which takes as long as a sign-in for each
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub(crate) allow_weak: Option<WeakHashes>,
    /// Check all rows and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write the refused rows with their reasons to this file, to be corrected and imported
    #[arg(long, value_name = "FILE")]
    pub(crate) refused: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The content and the destination of `export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Export all users with the hashes of their passwords, as JSON Lines that `import` reads
    #[arg(long, required = true)]
    pub(crate) users: bool,
    /// The file to make, which only its owner can read [default: standard output]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The file of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The file to make, which only its owner can read
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Put the secret key of the data folder into the file. An attacker who has the file can then sign in as any user
    #[arg(long)]
    pub(crate) with_secrets: bool,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
    /// Check an existing backup, or a dump of pg_dump, without restoring it
    #[arg(long, conflicts_with_all = ["with_secrets", "force"])]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The source of `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE", required_unless_present = "database", conflicts_with = "database")]
    pub(crate) file: Option<PathBuf>,
    /// The database was restored by other means, such as pg_restore: begin the new epoch. The server may run
    #[arg(long)]
    pub(crate) database: bool,
    /// Put the secret key of the backup in the place of another one in the data folder, which is kept under another name
    #[arg(long, conflicts_with = "database")]
    pub(crate) with_secrets: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The user that a command acts on.
#[derive(Args, Debug)]
pub(crate) struct AccountArgument {
    /// The e-mail address of the user
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The paths of the settings and the data.
#[derive(Args, Debug, Default)]
pub(crate) struct DataArgs {
    /// The settings file [default: handstamp.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The folder of the database and the secret key [default: ./handstamp-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
}

/// The addresses of the server and of its proxies.
#[derive(Args, Debug, Default)]
pub(crate) struct AddressArgs {
    /// The address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// The URL at which browsers reach the site [default: http://localhost and the port]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,

    /// The address or network of a proxy whose X-Forwarded-For is trusted; can be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) trusted_proxy: Vec<String>,

    /// Stand in front of the app at this URL, such as http://127.0.0.1:5000: pass on what is not for the account pages
    #[arg(long, value_name = "URL")]
    pub(crate) app: Option<String>,
}

/// The requests that the proxy passes to the app besides those of signed-in users.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PassFlags {
    /// Whose requests reach the app
    #[arg(long, value_enum, default_value_t)]
    pub(crate) access: Access,

    /// Pass CORS preflights as anonymous requests, so that scripts of other origins can use the app if it allows them
    #[arg(long)]
    pub(crate) preflight: bool,
}

/// The output format.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputFlags {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

impl UserCommand {
    pub(crate) fn data(&self) -> &DataArgs {
        match self {
            Self::Add { data, .. } | Self::Invite { data, .. } | Self::List { data, .. } => data,
            Self::Show { account, .. }
            | Self::Edit { account, .. }
            | Self::Disable { account, .. }
            | Self::Delete { account, .. }
            | Self::Groups { account, .. } => &account.data,
            Self::Verify(account)
            | Self::SetPassword(account)
            | Self::ResetLink(account)
            | Self::Enable(account)
            | Self::Unlock(account)
            | Self::ResetFactors(account) => &account.data,
        }
    }
}

impl MailCommand {
    pub(crate) fn data(&self) -> &DataArgs {
        match self {
            Self::Test { data, .. } => data,
        }
    }
}

impl EventsCommand {
    pub(crate) fn data(&self) -> &DataArgs {
        match self {
            Self::List { data, .. } | Self::Verify { data, .. } | Self::Head { data, .. } => data,
        }
    }
}

impl SessionCommand {
    pub(crate) fn data(&self) -> &DataArgs {
        match self {
            Self::List { data, .. } | Self::Revoke { data, .. } => data,
        }
    }
}

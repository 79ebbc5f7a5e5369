//! The commands `handstamp user` and `handstamp session`, by which operators manage users and sessions.
//!
//! They use the settings of the server. Every change applies on all nodes when the command returns.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use handstamp::{Factors, Handstamp, ListUsers, ListedIdentity, ListedSession, NewUser, User, UserChanges, Users};
use serde_json::{Value, json};
use tracing::Level;
use zeroize::Zeroizing;

use crate::cli::{LastAdminFlag, OutputFlags, SessionCommand, UserCommand};
use crate::settings::{DataDirMode, Settings};
use crate::{CliError, log, run, table};

pub(crate) fn users(settings: Settings, command: UserCommand) -> Result<(), CliError> {
    with_handstamp(settings, async |handstamp| {
        let users = handstamp.users();
        match command {
            UserCommand::Add { email, name, .. } => {
                let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned());
                let password = read_password()?;
                let id = users.create(NewUser { name: &name, email: &email, password: &password }).await?;
                say(&format!("created user {id}"))
            }
            UserCommand::Invite { email, name, groups, .. } => {
                let groups: Vec<_> = groups.iter().map(String::as_str).collect();
                say(&users.invite(&name, &email, &groups).await?)
            }
            UserCommand::ResetLink(account) => {
                let user = find(&users, &account.email).await?;
                say(&users.reset_link(user.id).await?)
            }
            UserCommand::List { output, .. } => show_accounts(&all_users(&users).await?, output),
            UserCommand::Show { account, output } => {
                let user = find(&users, &account.email).await?;
                let factors = users.factors(user.id).await?;
                let identities = users.identities(user.id).await?;
                show_account(&user, factors, &identities, output)
            }
            UserCommand::Edit { account, name, new_email, unverified } => {
                let user = find(&users, &account.email).await?;
                let mut changes = UserChanges::default();
                (changes.name, changes.email) = (name.as_deref(), new_email.as_deref());
                changes.email_unverified = unverified;
                users.edit(user.id, changes).await?;
                let edited = users.get(user.id).await?;
                let ended = match new_email {
                    Some(_) => format!(", and revoked {}", sessions_in_words(user.sessions)),
                    None => String::new(),
                };
                say(&format!("changed {} to {} <{}>{ended}", user.email, edited.name, edited.email))
            }
            UserCommand::SetPassword(account) => {
                let user = find(&users, &account.email).await?;
                users.set_password(user.id, &read_password()?).await?;
                let revoked = sessions_in_words(user.sessions);
                say(&format!("set the password of {}, and revoked {revoked}", user.email))
            }
            UserCommand::Verify(account) => {
                let user = find(&users, &account.email).await?;
                users.verify(user.id).await?;
                say(&format!("verified the address {}", user.email))
            }
            UserCommand::Disable { account, last } => {
                let user = find(&users, &account.email).await?;
                allowing(users, last).disable(user.id).await?;
                say(&format!("disabled {}, and revoked {}", user.email, sessions_in_words(user.sessions)))
            }
            UserCommand::Enable(account) => {
                let user = find(&users, &account.email).await?;
                users.enable(user.id).await?;
                say(&format!("enabled {}", user.email))
            }
            UserCommand::Unlock(account) => {
                let user = find(&users, &account.email).await?;
                match users.unlock(user.id).await? {
                    true => say(&format!("unlocked {}", account.email)),
                    false => say(&format!("there were no wrong passwords for {}", account.email)),
                }
            }
            UserCommand::ResetFactors(account) => {
                let user = find(&users, &account.email).await?;
                if !users.reset_factors(user.id).await? {
                    return say(&format!("there were no second factors of {}", user.email));
                }
                let revoked = sessions_in_words(user.sessions);
                say(&format!("removed the second factors of {}, and revoked {revoked}", user.email))
            }
            UserCommand::Groups { account, add, remove, last, output } => {
                let add: Vec<_> = add.iter().map(String::as_str).collect();
                let remove: Vec<_> = remove.iter().map(String::as_str).collect();
                let user = find(&users, &account.email).await?;
                if !add.is_empty() || !remove.is_empty() {
                    allowing(users.clone(), last).change_groups(user.id, &add, &remove).await?;
                }
                show_groups(&users.get(user.id).await?, output)
            }
            UserCommand::Delete { account, last } => {
                let user = find(&users, &account.email).await?;
                allowing(users, last).delete(user.id).await?;
                say(&format!("deleted {}, and revoked {}", user.email, sessions_in_words(user.sessions)))
            }
        }
    })
}

pub(crate) fn sessions(settings: Settings, command: SessionCommand) -> Result<(), CliError> {
    with_handstamp(settings, async |handstamp| {
        let (users, sessions) = (handstamp.users(), handstamp.sessions());
        match command {
            SessionCommand::List { user, output, .. } => {
                let user = find(&users, &user).await?;
                show_sessions(&sessions.of(user.id).await?, output)
            }
            SessionCommand::Revoke { user, .. } => {
                let revoked = match user {
                    Some(email) => sessions.revoke_all_of(find(&users, &email).await?.id).await?,
                    None => sessions.revoke_everyone().await?,
                };
                say(&format!("revoked {}", sessions_in_words(revoked)))
            }
        }
    })
}

/// The users, of whom the last administrator may go if the command says so.
fn allowing(users: Users, last: LastAdminFlag) -> Users {
    if last.even_the_last_admin { users.even_the_last_administrator() } else { users }
}

/// The user with this address.
pub(crate) async fn find(users: &Users, email: &str) -> Result<User, CliError> {
    users.find_by_email(email).await?.ok_or_else(|| CliError::not_found("there is no account of that address"))
}

async fn all_users(users: &Users) -> Result<Vec<User>, CliError> {
    let (mut all, mut query) = (Vec::new(), ListUsers::default());
    query.limit = ListUsers::MAX_LIMIT;
    loop {
        let page = users.list(&query).await?;
        let Some(last) = page.last() else { return Ok(all) };
        query.after = Some(last.email.clone());
        all.extend(page);
    }
}

/// Opens the existing site of these settings for one command, and closes it afterwards.
pub(crate) fn with_handstamp(
    settings: Settings,
    act: impl AsyncFnOnce(&Handstamp) -> Result<(), CliError>,
) -> Result<(), CliError> {
    with_handstamp_in(settings, DataDirMode::MustExist, act)
}

/// The same for a site that need not exist, depending on the mode.
pub(crate) fn with_handstamp_in(
    settings: Settings,
    mode: DataDirMode,
    act: impl AsyncFnOnce(&Handstamp) -> Result<(), CliError>,
) -> Result<(), CliError> {
    log::start(&settings, Level::WARN);
    run::block_on(async {
        let handstamp = open(settings, mode).await?;
        let done = act(&handstamp).await;
        handstamp.close().await;
        done
    })
}

/// Opens the site of these settings for one command.
pub(crate) async fn open(settings: Settings, mode: DataDirMode) -> Result<Handstamp, CliError> {
    let port = settings.listen.port();
    let mut config = settings.into_config(port, mode)?;
    // A node without a cache takes no lease, so no other node waits for it.
    config.session.cache_entries = 0;
    // The operator waits for the command, and can repeat it when the database is available.
    config.pool.wait = Duration::ZERO;
    // It is gone before another node could ask for its keys.
    config.node = false;
    // The folder of the server is left as it is.
    config.state_file = None;
    // The mails of a command are sent by the server.
    config.mail.send_outbox = false;
    Ok(Handstamp::open(config).await?)
}

/// Prompts twice at a terminal, so that a typing error locks no user out; otherwise reads one line of standard input.
fn read_password() -> Result<Zeroizing<String>, CliError> {
    let password = read_password_once()?;
    if io::stdin().is_terminal() && *password != *prompt("Repeat the password: ")? {
        return Err(CliError::usage("the two passwords differ"));
    }
    Ok(password)
}

/// Prompts at a terminal; otherwise reads one line of standard input.
pub(crate) fn read_password_once() -> Result<Zeroizing<String>, CliError> {
    if io::stdin().is_terminal() {
        return prompt("Password: ");
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).map_err(CliError::usage)?;
    let password = line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Zeroizing::new(password.to_owned()))
}

fn prompt(text: &str) -> Result<Zeroizing<String>, CliError> {
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(CliError::usage)
}

fn show_accounts(accounts: &[User], output: OutputFlags) -> Result<(), CliError> {
    if output.json {
        return show_json(&json!(accounts));
    }
    if accounts.is_empty() {
        return say("There are no accounts yet.");
    }
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let state = if account.disabled { "disabled" } else { "enabled" };
            let signed_in = account.signed_in_at.map_or_else(|| "never".to_owned(), |time| time.to_string());
            let sessions = account.sessions.to_string();
            vec![
                account.email.clone(),
                if account.email_verified { "yes" } else { "no" }.into(),
                account.name.clone(),
                account.created_at.to_string(),
                signed_in,
                sessions,
                state.into(),
            ]
        })
        .collect();
    table::print(&["email", "verified", "name", "created", "last sign-in", "sessions", "state"], &rows)
        .map_err(CliError::failure)
}

fn show_account(
    account: &User,
    factors: Factors,
    identities: &[ListedIdentity],
    output: OutputFlags,
) -> Result<(), CliError> {
    if output.json {
        let mut shown = json!(account);
        shown["factors"] = json!(factors);
        shown["identities"] = json!(identities);
        return show_json(&shown);
    }
    show_accounts(std::slice::from_ref(account), output)?;
    let app = factors.totp_since.map_or_else(|| "none".to_owned(), |since| format!("since {since}"));
    let providers: Vec<_> = identities.iter().map(|identity| identity.provider.as_str()).collect();
    say(&format!(
        "\npassword: {}\nauthenticator app: {app}\nrecovery codes left: {}\nproviders: {}",
        if factors.has_password { "yes" } else { "none" },
        factors.recovery_codes,
        if providers.is_empty() { "none".to_owned() } else { providers.join(", ") }
    ))
}

fn show_groups(account: &User, output: OutputFlags) -> Result<(), CliError> {
    match account.groups.as_slice() {
        groups if output.json => show_json(&json!(groups)),
        [] => say(&format!("{} is in no group", account.email)),
        groups => say(&format!("{} is in {}", account.email, groups.join(", "))),
    }
}

fn show_sessions(sessions: &[ListedSession], output: OutputFlags) -> Result<(), CliError> {
    if output.json {
        return show_json(&json!(sessions));
    }
    if sessions.is_empty() {
        return say("There are no sessions.");
    }
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            let (session_id, address) = (session.session_id.to_string(), session.address.clone());
            vec![
                session_id,
                session.created_at.to_string(),
                session.last_seen_at.to_string(),
                address,
                session.user_agent.clone(),
            ]
        })
        .collect();
    table::print(&["id", "since", "last seen", "address", "browser"], &rows).map_err(CliError::failure)
}

pub(crate) fn show_json(value: &Value) -> Result<(), CliError> {
    say(&format!("{value:#}"))
}

pub(crate) fn say(text: &str) -> Result<(), CliError> {
    writeln!(io::stdout(), "{text}").map_err(CliError::failure)
}

fn sessions_in_words(count: u64) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

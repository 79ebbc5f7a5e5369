//! `handstamp mail test`: sends a mail, and shows what the mail server says.

use std::io::{IsTerminal, Write};

use handstamp::environment::{Environment, MailErrorKind};
use handstamp::{Config, Handstamp, MailUrl};
use serde_json::json;
use tracing::Level;

use crate::cli::{MailCommand, OutputFlags};
use crate::commands::{say, show_json};
use crate::settings::{DataDirMode, Settings};
use crate::{CliError, log, run};

pub(crate) fn run(settings: Settings, command: &MailCommand) -> Result<(), CliError> {
    let MailCommand::Test { address, output, .. } = command;
    log::start(&settings, Level::WARN);
    let port = settings.listen.port();
    let config = settings.into_config(port, DataDirMode::Unused)?;
    run::block_on(test(&config, address, *output))
}

async fn test(config: &Config, address: &str, output: OutputFlags) -> Result<(), CliError> {
    let server = match &config.mail.url {
        Some(MailUrl::Smtp(server)) => Some(server.to_string()),
        _ => None,
    };
    if let Some(server) = server.as_ref().filter(|_| std::io::stderr().is_terminal()) {
        let _ = writeln!(std::io::stderr(), "Sending a mail by {server} …");
    }
    let error = match Handstamp::send_test_mail(config, &Environment::system(), address).await {
        Ok(reply) if output.json => return show_json(&json!({ "sent": true, "server": server, "reply": reply })),
        Ok(reply) => {
            return say(&server.map_or_else(|| reply.clone(), |server| format!("{server} took the mail: {reply}")));
        }
        Err(error) => error,
    };
    let Some(mail_error) = error.mail() else { return Err(error.into()) };
    let (kind, advice) = match mail_error.kind() {
        MailErrorKind::Refused => ("refused", "this recipient or this mail is refused for good"),
        MailErrorKind::Configuration => ("configuration", "check mail.url and mail.from"),
        _ => ("temporary", "the server of Handstamp would try again later"),
    };
    let (summary, reply) = (mail_error.summary(), mail_error.reply());
    if output.json {
        show_json(&json!({ "sent": false, "server": server, "kind": kind, "error": summary, "reply": reply }))?;
    }
    let by = server.map(|server| format!(" by {server}")).unwrap_or_default();
    let words = reply.map(|reply| format!("\n  {reply}")).unwrap_or_default();
    Err(CliError::failure(format!("no mail was sent{by}: {summary}; {advice}{words}")))
}

//! Tests of the mails: what they say, and how real mail servers take them.

mod delivery;
mod rendering;
mod smtp;

use std::collections::BTreeMap;

use handstamp_core::{EmailAddress, SecretKey, Timestamp};
use uuid::Uuid;

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::environment::{Environment, OutgoingMail};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const ID: Uuid = Uuid::from_u128(0x0193_6d2b_4c00_7000_8000_0000_0000_0007);
const LINK: &str = "https://id.example.com/account/link/AdwOwNUABAABAgMEBQYHCAkKCwwNDg8AAAAAa0ngEEGp2s0J-KiNw3-9xTCng1OCcMjcQFs_dobIYvO40-_y";

/// The settings of a site on the internet with this database.
fn config_with(database: DatabaseUrl) -> Config {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
    let mut config = Config::new(PublicUrl::parse("https://id.example.com").unwrap(), database, secret);
    config.site_name = "Example".to_owned();
    config
}

/// A mailer of a site whose settings are these.
fn mailer_with(set: impl FnOnce(&mut Config)) -> Mailer {
    let mut config = config_with(DatabaseUrl::parse("sqlite:unused").unwrap());
    // Nothing is sent to it.
    config.mail.url = Some("smtp://localhost:1".parse().unwrap());
    set(&mut config);
    Mailer::new(&config, &Environment::system()).unwrap().unwrap()
}

fn mailer() -> Mailer {
    mailer_with(|_| ())
}

/// A mail with a sample of each of its values.
fn mail(template: MailTemplate) -> Mail {
    const REQUEST: [(&str, &str); 3] = [
        ("time", "15 January 2027, 08:00 UTC"),
        ("browser", "Firefox on Linux"),
        ("address", "2001:db8:85a3::8a2e:370:7334"),
    ];
    const NAME: (&str, &str) = ("name", "Ada Lovelace");
    const LINK_FOR_AN_HOUR: [(&str, &str); 2] = [("link", LINK), ("valid_for", "1 hour")];
    const CODE: (&str, &str) = ("code", "08356689");
    const FORGOT: (&str, &str) = ("forgot_link", "https://id.example.com/account/forgot");
    let values: Vec<_> = match template {
        MailTemplate::ResetPassword => [&[NAME][..], &LINK_FOR_AN_HOUR, &REQUEST].concat(),
        MailTemplate::ConfirmRegistration | MailTemplate::VerifyEmail => {
            [&[NAME, CODE][..], &LINK_FOR_AN_HOUR].concat()
        }
        MailTemplate::AlreadyRegistered => {
            vec![NAME, ("sign_in_link", "https://id.example.com/account/login"), FORGOT]
        }
        MailTemplate::ChangeEmail | MailTemplate::Invitation => [&[NAME][..], &LINK_FOR_AN_HOUR].concat(),
        MailTemplate::SignInCode => [&[NAME, CODE, ("valid_for", "10 minutes")][..], &REQUEST].concat(),
        MailTemplate::PasswordChanged => [&[NAME, FORGOT][..], &REQUEST].concat(),
        MailTemplate::EmailChanged => {
            let about = [NAME, ("new_email", "countess@example.org"), ("link", LINK), ("valid_for", "7 days")];
            [&about[..], &REQUEST].concat()
        }
        MailTemplate::FactorChanged => {
            let security = ("security_link", "https://id.example.com/account/security");
            [&[NAME, ("change", "recovery_code_used"), ("codes_left", "9"), security, FORGOT][..], &REQUEST].concat()
        }
        MailTemplate::NewDevice => {
            [&[NAME, ("sessions_link", "https://id.example.com/account/sessions")][..], &REQUEST].concat()
        }
        MailTemplate::AccountDeleted => vec![NAME, REQUEST[0]],
        MailTemplate::Test => Vec::new(),
    };
    let recipient = EmailAddress::parse("ada@example.com").unwrap();
    let values = values.into_iter().map(|(name, value)| (name, value.to_owned()));
    Mail { template, recipient, language: "en".to_owned(), values: BTreeMap::from_iter(values) }
}

fn composed(mailer: &Mailer, mail: &Mail) -> OutgoingMail {
    mailer.compose(ID, NOW, mail).unwrap_or_else(|error| panic!("{}: {error}", mail.template.name()))
}

/// A mail that is ready to be sent.
pub(super) fn outgoing() -> OutgoingMail {
    composed(&mailer(), &mail(MailTemplate::Test))
}

//! Tests of the mails: what they say, and how they are sent by real mail servers.

use std::collections::BTreeMap;
use std::path::Path;

use handstamp_core::{EmailAddress, SecretKey, Timestamp};
use uuid::Uuid;

use super::mailer::TEMPLATES;
use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::environment::{Environment, OutgoingMail};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const ID: Uuid = Uuid::from_u128(0x0193_6d2b_4c00_7000_8000_0000_0000_0007);
const LINK: &str = "https://id.example.com/account/link/AdwOwNUABAABAgMEBQYHCAkKCwwNDg8AAAAAa0ngEEGp2s0J-KiNw3-9xTCng1OCcMjcQFs_dobIYvO40-_y";

fn config() -> Config {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
    let url = PublicUrl::parse("https://id.example.com").unwrap();
    let mut config = Config::new(url, DatabaseUrl::parse("sqlite:unused").unwrap(), secret);
    config.site_name = "Example".to_owned();
    config
}

/// A mailer of a site whose settings are these.
fn mailer_with(set: impl FnOnce(&mut Config)) -> Mailer {
    let mut config = config();
    // Nothing is sent in these tests.
    config.mail.url = Some("file:/tmp".parse().unwrap());
    set(&mut config);
    Mailer::new(&config, &Environment::system()).unwrap().unwrap()
}

/// A mail with a sample of every value.
fn mail(template: MailTemplate) -> Mail {
    let values = [
        ("name", "Ada Lovelace"),
        ("link", LINK),
        ("code", "08356689"),
        ("valid_for", "1 hour"),
        ("time", "15 January 2027, 08:00 UTC"),
        ("browser", "Firefox on Linux"),
        ("address", "2001:db8:85a3::8a2e:370:7334"),
        ("new_email", "countess@example.org"),
        ("sign_in_link", "https://id.example.com/account/login"),
        ("forgot_link", "https://id.example.com/account/forgot"),
        ("sessions_link", "https://id.example.com/account/sessions"),
    ];
    let values = values.map(|(name, value)| (name, value.to_owned()));
    let recipient = EmailAddress::parse("ada@example.com").unwrap();
    Mail { template, recipient, language: "en".to_owned(), values: BTreeMap::from(values) }
}

fn composed(mailer: &Mailer, mail: &Mail) -> OutgoingMail {
    mailer.compose(ID, NOW, mail).unwrap_or_else(|error| panic!("{}: {error}", mail.template.name()))
}

/// A mail that is ready to be sent.
pub(super) fn outgoing() -> OutgoingMail {
    composed(&mailer_with(|_| ()), &mail(MailTemplate::Test))
}

#[test]
fn samples() {
    let folder = Path::new("/tmp/mails");
    std::fs::create_dir_all(folder).unwrap();
    for template in MailTemplate::ALL {
        let mail = composed(&mailer_with(|_| ()), &mail(template));
        std::fs::write(folder.join(format!("{}.html", template.name())), &mail.html).unwrap();
        std::fs::write(folder.join(format!("{}.txt", template.name())), format!("Subject: {}\n\n{}", mail.subject, mail.text)).unwrap();
        std::fs::write(folder.join(format!("{}.eml", template.name())), &mail.message).unwrap();
    }
}

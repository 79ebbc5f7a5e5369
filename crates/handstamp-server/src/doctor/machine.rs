//! The checks of this machine and of the settings: files, disk, certificate, mail server and addresses. They need no database.

use std::fs;
use std::path::{Path, PathBuf};

use handstamp::environment::Environment;
use handstamp::{Handstamp, private_files};
use rustix::fs::statvfs;

use super::Outcome::{self, Fail, Pass, Unknown, Warn};
use super::{Finding, file_system};
use crate::plural;
use crate::settings::{Note, Settings};
use crate::tls::TlsFiles;

const MIB: u64 = 1024 * 1024;
/// With less space commits fail soon; with less than the other, a backup beside the database may not fit.
const LITTLE_SPACE: u64 = 16 * MIB;
const SOME_SPACE: u64 = 512 * MIB;
/// SQLite and a rotation of the secret key make a few files.
const FEW_FILES: u64 = 64;
/// A certificate that is valid for less should have been renewed: most are with a third of their time left.
const RENEWED_BEFORE_DAYS: u64 = 7;
/// An address of a client on the internet (RFC 5737), which no proxy has.
const CLIENT: [u8; 4] = [203, 0, 113, 77];

/// The findings, in the order in which they are printed.
pub(super) async fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![("the settings have no warnings", warnings(settings))];
    findings
        .push(("only the user of the server reaches its data", rights(&settings.data_dir, database_file(settings))));
    if let Some(folder) = data_folder(settings) {
        findings.push(("the disk of the data has space", space(&folder)));
        if database_file(settings).is_some() {
            findings.push(("the disk of the data suits a database", file_system::of(&folder)));
        }
    }
    findings.push(("public_url is reached from where the server listens", public_url(settings)));
    findings.push(("only proxies are trusted proxies", trusted_proxies(settings)));
    if let Some(files) = settings.tls() {
        findings.push(("the certificate is valid for the hosts of the site", certificate(settings, &files)));
    }
    findings.push(("mails can be sent", mail(settings).await));
    findings.push(("password hashes cost an attacker enough", hashing(settings)));
    findings
}

/// The file of the database, if it is SQLite's.
fn database_file(settings: &Settings) -> Option<PathBuf> {
    settings.database().path().map(Path::to_owned)
}

/// The folder whose disk fills up: that of the database, or the data folder if there is one.
fn data_folder(settings: &Settings) -> Option<PathBuf> {
    let of_database = database_file(settings).and_then(|file| file.parent().map(Path::to_owned));
    let folder = of_database.unwrap_or_else(|| settings.data_dir.clone());
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    folder.is_dir().then_some(folder)
}

fn warnings(settings: &Settings) -> Outcome {
    let warnings = settings.notes.iter().filter_map(|note| match note {
        Note::Warning(text) => Some(text.as_str()),
        Note::Information(_) => None,
    });
    match warnings.collect::<Vec<_>>().join("; ") {
        none if none.is_empty() => Pass,
        warnings => Warn(warnings),
    }
}

/// The data folder and its files with secrets, and the files of the database.
fn rights(data_dir: &Path, database: Option<PathBuf>) -> Outcome {
    let mut paths = Vec::new();
    if data_dir.exists() {
        paths.push(data_dir.to_owned());
        match fs::read_dir(data_dir) {
            Ok(entries) => paths.extend(entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path))),
            Err(error) => return Fail(private_files::cannot("read", data_dir, &error)),
        }
    }
    if let Some(database) = database {
        let beside = |suffix: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        paths.extend(["", "-wal", "-shm"].map(beside));
    }
    paths.dedup();
    let refused: Vec<_> = paths.iter().filter_map(|path| private_files::refuse_if_open_to_others(path).err()).collect();
    if refused.is_empty() { Pass } else { Fail(refused.join("; ")) }
}

/// Whether the server makes and reads this file of the data folder.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["handstamp.db", "secret.", "node.state", "outbox"].iter().any(|ours| name.starts_with(ours))
}

fn space(folder: &Path) -> Outcome {
    let disk = match statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => return Unknown(private_files::cannot("look at the disk of", folder, &error.into())),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let left = format!("{} MB are free on the disk of {}", free / MIB, folder.display());
    // Some file systems have no fixed number of files, and say 0.
    if disk.f_files > 0 && disk.f_favail < FEW_FILES {
        let files = plural(disk.f_favail, "more file", "more files");
        return Fail(format!("The disk of {} takes {files} only. Remove files, or move the data.", folder.display()));
    }
    match free {
        ..LITTLE_SPACE => {
            Fail(format!("{left}. Sign-ins and sign-outs fail when it is full: remove files, or enlarge it."))
        }
        LITTLE_SPACE..SOME_SPACE => Warn(format!("{left}. Watch it, or enlarge it.")),
        _ => Pass,
    }
}

fn public_url(settings: &Settings) -> Outcome {
    let public_url = &settings.library().public_url;
    if settings.listen.ip().is_loopback() || public_url.is_https() {
        return Pass;
    }
    Warn(format!(
        "The server listens for other machines at {}, and only this machine reaches public_url, {public_url}. Set public_url to the \
         URL that browsers use.",
        settings.listen
    ))
}

fn trusted_proxies(settings: &Settings) -> Outcome {
    let config = settings.library();
    if config.trusted_proxies.contain(CLIENT.into()) {
        return Fail(
            "trusted_proxies has addresses of the whole internet, so each client chooses the address under which its password guesses \
             count. List only the proxies."
                .to_owned(),
        );
    }
    let has_proxy = config.public_url.is_https() && settings.tls().is_none();
    let trusts_any = config.trusted_proxies != handstamp::TrustedProxies::default();
    if has_proxy && !trusts_any {
        return Warn(
            "public_url is https, and no certificate is set, so a proxy is in front; trusted_proxies does not list it. Then all \
             clients share one address, and their rate limits."
                .to_owned(),
        );
    }
    Pass
}

fn certificate(settings: &Settings, files: &TlsFiles) -> Outcome {
    let config = settings.library();
    let of_apps = config.apps.values().filter_map(|app| Some(app.host.as_ref()?.name()));
    match files.examine([config.public_url.host()].into_iter().chain(of_apps)) {
        Err(error) => Fail(error),
        Ok((_, others)) if !others.is_empty() => {
            Fail(format!("The certificate does not name {}, so browsers do not open the site.", others.join(", ")))
        }
        Ok((days, _)) if days < RENEWED_BEFORE_DAYS => {
            Warn(format!("The certificate expires in {}. Check that it is renewed.", plural(days, "day", "days")))
        }
        Ok(_) => Pass,
    }
}

async fn mail(settings: &Settings) -> Outcome {
    let config = settings.library();
    if config.mail.url.is_none() {
        return match config.public_url.is_https() {
            true => Warn("mail.url is not set, so users who have lost their password get no link.".to_owned()),
            // A site on this machine writes mails to a folder.
            false => Pass,
        };
    }
    match Handstamp::check_mail_server(config, &Environment::system()).await {
        Ok(()) => Pass,
        Err(error) => {
            let reply =
                error.mail().and_then(|mail| mail.reply()).map(|reply| format!(": {reply}")).unwrap_or_default();
            let summary = error.mail().map_or_else(|| error.to_string(), |mail| mail.summary().to_owned());
            Fail(format!("The mail server of mail.url takes no mails: {summary}{reply}"))
        }
    }
}

fn hashing(settings: &Settings) -> Outcome {
    match settings.library().hashing.params.is_recommended() {
        true => Pass,
        false => Warn(
            "The hashing settings are weaker than OWASP recommends for passwords. Use them for tests only.".to_owned(),
        ),
    }
}

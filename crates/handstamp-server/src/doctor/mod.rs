//! `handstamp doctor`: checks the machine and the settings of a server. With a URL it also attacks the running proxy, Handstamp and app
//! with a user of its own, and reports the weaknesses.

mod app;
mod browser;
mod checks;
mod clock;
mod database;
mod file_system;
mod machine;
mod providers;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use axum::http::Uri;
use handstamp::environment::{Clock, Rng, SystemClock, SystemRng};
use handstamp::{Handstamp, NewUser, UserId};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use crate::cli::{OutputFlags, PassFlags};
use crate::settings::{DataDirMode, Settings};
use crate::{CliError, commands, log, run as runtime};
use browser::Browser;
use checks::Target;

/// The e-mail address of the doctor's user. It is always the same, so that apps can recognise it.
const ADDRESS: &str = "doctor@handstamp.invalid";
/// The time limit of a run. A user of the doctor that is older was left behind.
const LONGEST: Duration = Duration::from_secs(120);

/// The value of every forged header, which is searched for in responses.
const FORGED: &str = "forged-by-the-doctor";

/// A check, and its result.
type Finding = (&'static str, Outcome);

/// The result of a check, with the remedy if it failed.
enum Outcome {
    Pass,
    /// It works, and may be a mistake or become a failure.
    Warn(String),
    Fail(String),
    /// The result cannot be observed, for this reason.
    Unknown(String),
}

use Outcome::{Fail, Pass, Unknown, Warn};

impl Outcome {
    fn bad_if(is_bad: bool, remedy: &str) -> Self {
        if is_bad { Fail(remedy.to_owned()) } else { Pass }
    }
}

/// A value, or why the check could not be run.
type CheckResult<T> = Result<T, String>;

/// The site to attack.
struct Site<'a> {
    url: Uri,
    /// Where the app might be reached without the proxy.
    app: Option<Uri>,
    browser: Browser,
    pass: PassFlags,
    in_front: bool,
    /// As the operator has typed it.
    typed: &'a str,
}

/// Checks the server, and then the site behind a URL if there is one. Prints the results.
pub(crate) fn run(
    settings: Settings,
    url: Option<&str>,
    app: Option<&str>,
    pass: PassFlags,
    output: OutputFlags,
) -> Result<(), CliError> {
    let in_front = settings.has_apps();
    let site = url.map(|url| Site::new(url, app, pass, in_front)).transpose()?;
    log::start(&settings, Level::WARN);
    runtime::block_on(async {
        let mut findings = machine::findings(&settings).await;
        findings.extend(providers::findings(&settings).await);
        let folder = (!settings.gives_secret_key()).then(|| settings.data_dir.clone());
        let opened = commands::open(settings, DataDirMode::MustExist).await;
        let done = match opened {
            Ok(handstamp) => {
                findings.push(("the database can be opened", Pass));
                let done = examine(&handstamp, folder.as_deref(), site.as_ref(), &mut findings).await;
                handstamp.close().await;
                done
            }
            Err(error) => {
                findings.push(("the database can be opened", Fail(error.to_string())));
                Err(error)
            }
        };
        report(&findings, done, output)
    })
}

/// The checks that need the database.
async fn examine(
    handstamp: &Handstamp,
    folder: Option<&Path>,
    site: Option<&Site<'_>>,
    findings: &mut Vec<Finding>,
) -> Result<(), CliError> {
    findings.extend(database::findings(handstamp, folder).await);
    if let Some(site) = site {
        findings.extend(site.findings(handstamp).await?);
    }
    Ok(())
}

impl<'a> Site<'a> {
    fn new(typed: &'a str, app: Option<&str>, pass: PassFlags, in_front: bool) -> Result<Self, CliError> {
        let url: Uri = typed.parse().map_err(|error| CliError::usage(format!("{typed}: {error}")))?;
        let app = app.map(str::parse::<Uri>).transpose();
        let app = app.map_err(|error| CliError::usage(format!("--app: {error}")))?;
        let browser = Browser::new(&url).map_err(|error| CliError::usage(format!("{url}: {error}")))?;
        Ok(Self { url, app, browser, pass, in_front, typed })
    }

    /// Attacks the site with a user that is deleted afterwards.
    async fn findings(&self, handstamp: &Handstamp) -> Result<Vec<Finding>, CliError> {
        let mut signals = Signals::new().map_err(CliError::failure)?;
        let mut random = [0; 16];
        SystemRng.fill(&mut random);
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let user = make_account(handstamp, &password).await?;
        let (path, pass, in_front) = (path_of(&self.url), self.pass, self.in_front);
        let target = Target { handstamp, user, browser: &self.browser, path, pass, in_front, password };
        let findings = tokio::select! {
            findings = tokio::time::timeout(LONGEST, target.findings(self.app.as_ref())) => match findings {
                Ok(findings) => findings.map_err(CliError::failure),
                Err(_) => Err(CliError::failure(format!("{}: the responses take too long for the checks", self.typed))),
            },
            () = signals.any() => Err(CliError::failure("interrupted")),
        };
        match handstamp.users().delete(user).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => findings,
        }
    }
}

/// Creates the doctor's user, after deleting one that a killed run left behind.
async fn make_account(handstamp: &Handstamp, password: &str) -> Result<UserId, CliError> {
    let users = handstamp.users();
    if let Some(user) = users.find_by_email(ADDRESS).await? {
        let now = Duration::from_secs(SystemClock.wall().as_secs());
        let age = now.saturating_sub(Duration::from_secs(user.created_at.unix_seconds()));
        if age < LONGEST {
            return Err(CliError::failure(format!(
                "another doctor is at work, or was killed: the user {ADDRESS} was created {} s ago. Try again in {} s, or delete it with: handstamp user delete {ADDRESS}",
                age.as_secs(),
                (LONGEST - age).as_secs()
            )));
        }
        users.delete(user.id).await?;
    }
    Ok(users.create(NewUser { name: "The doctor of Handstamp", email: ADDRESS, password }).await?)
}

/// The signals that end a process: Ctrl-C, `kill` and the end of its terminal.
struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn path_of(url: &Uri) -> String {
    url.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned())
}

/// Prints the findings. It fails if a check has failed, or if the checks could not be run to their end.
fn report(findings: &[Finding], done: Result<(), CliError>, output: OutputFlags) -> Result<(), CliError> {
    let bad = findings.iter().filter(|(_, finding)| matches!(finding, Fail(_))).count();
    print(findings, output).map_err(CliError::failure)?;
    done?;
    match bad {
        0 => Ok(()),
        1 => Err(CliError::failure("one check failed")),
        _ => Err(CliError::failure(format!("{bad} checks failed"))),
    }
}

fn print(findings: &[Finding], output: OutputFlags) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let told = findings.iter().map(|(check, finding)| match finding {
        Pass => (check, "ok", None),
        Warn(why) => (check, "warn", Some(why)),
        Fail(remedy) => (check, "FAIL", Some(remedy)),
        Unknown(why) => (check, "?", Some(why)),
    });
    if output.json {
        let lines: Vec<_> =
            told.map(|(check, result, why)| json!({ "check": check, "result": result, "why": why })).collect();
        return writeln!(out, "{:#}", json!(lines));
    }
    for (check, result, why) in told {
        writeln!(out, "{result:<5} {check}")?;
        if let Some(why) = why {
            writeln!(out, "      {why}")?;
        }
    }
    Ok(())
}

//! The checks of the database: its settings, its clock, what is before it, and the secret keys of the nodes.

use std::path::Path;

use handstamp::{DatabaseReport, Handstamp};

use super::Finding;
use super::Outcome::{self, Fail, Pass, Unknown, Warn};
use super::clock;
use crate::secret;

/// The oldest major version that the tests run with.
const OLDEST_POSTGRESQL: u32 = 15;

/// The findings about an open database. `folder` has the secret key, if no setting gives it.
pub(super) async fn findings(handstamp: &Handstamp, folder: Option<&Path>) -> Vec<Finding> {
    let check = "statements suit what is before the database";
    if handstamp.has_unfit_pooler() {
        // Statements fail now and then, with errors that say nothing.
        let remedy = "A pooler in transaction mode is before the database. Set database.prepared_statements to false.";
        return vec![(check, Fail(remedy.to_owned()))];
    }
    let mut findings = match handstamp.examine_database().await {
        Ok(report) if report.kind == "PostgreSQL" => of(&report).into_iter().chain([(check, Pass)]).collect(),
        Ok(report) => of(&report),
        Err(error) => vec![("the settings of the database can be read", Fail(error.to_string()))],
    };
    findings.push(("the nodes share their secret keys", secrets(handstamp, folder).await));
    findings
}

fn of(report: &DatabaseReport) -> Vec<Finding> {
    let mut findings = vec![("a crash of the database loses no sign-out", durability(report.kind, &report.settings))];
    if report.kind == "PostgreSQL" {
        findings.push(("the version of the database is a tested one", version(&report.version)));
    }
    if let Some(ahead) = report.clock_ahead {
        findings
            .push(("the clocks of the database and of this machine agree", clock::agreement(ahead, "the database")));
    }
    findings
}

fn durability(kind: &str, settings: &[(String, String)]) -> Outcome {
    let setting = |wanted: &str| {
        let found = settings.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    if kind == "SQLite" {
        let mode = setting("journal_mode");
        let remedy = format!(
            "The journal mode of the database is {mode} and not wal, so its disk has no shared memory. Put data_dir on a local disk."
        );
        return Outcome::bad_if(mode != "wal", &remedy);
    }
    let off: Vec<_> =
        ["fsync", "full_page_writes", "synchronous_commit"].into_iter().filter(|name| setting(name) == "off").collect();
    if !off.is_empty() {
        return Fail(format!(
            "{} of the database: off. After a crash of its machine, sessions that have ended are back. Set it to on.",
            off.join(", ")
        ));
    }
    let waits_for_disk_only = ["local", "remote_write"].contains(&setting("synchronous_commit"));
    if waits_for_disk_only && !setting("synchronous_standby_names").is_empty() {
        return Warn(
            "synchronous_commit does not wait until a standby has a commit on its disk. A standby that takes over may bring ended sessions \
             back. Set it to on."
                .to_owned(),
        );
    }
    Pass
}

fn version(text: &str) -> Outcome {
    let major = text.split(['.', ' ']).next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_POSTGRESQL => Pass,
        Some(_) => {
            Warn(format!("The database is version {text}, and Handstamp is tested with {OLDEST_POSTGRESQL} and later."))
        }
        None => Unknown(format!("The database calls its version {text}.")),
    }
}

async fn secrets(handstamp: &Handstamp, folder: Option<&Path>) -> Outcome {
    let status = match handstamp.secrets().status().await {
        Ok(status) => status,
        Err(error) => return Fail(error.to_string()),
    };
    match secret::assess(&status, folder) {
        Err(reason) => Fail(reason),
        Ok(Some(step)) => Warn(format!("A rotation is under way: {step}")),
        Ok(None) => Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_must_survive_a_crash() {
        let postgres = |changed: &[(&str, &str)]| {
            let usual = [
                ("fsync", "on"),
                ("full_page_writes", "on"),
                ("synchronous_commit", "on"),
                ("synchronous_standby_names", ""),
            ];
            let value = |name| changed.iter().find(|(other, _)| *other == name);
            let settings = usual.map(|pair| value(pair.0).copied().unwrap_or(pair));
            durability("PostgreSQL", &settings.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        assert!(matches!(postgres(&[]), Pass));
        assert!(matches!(postgres(&[("synchronous_standby_names", "other")]), Pass));
        assert!(matches!(postgres(&[("synchronous_commit", "local")]), Pass), "there is no standby");
        let local = [("synchronous_commit", "local"), ("synchronous_standby_names", "other")];
        assert!(matches!(postgres(&local), Warn(_)));
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            assert!(matches!(postgres(&[(name, "off")]), Fail(why) if why.contains(name)), "{name}");
        }
        let sqlite = |mode: &str| durability("SQLite", &[("journal_mode".to_owned(), mode.to_owned())]);
        assert!(matches!(sqlite("wal"), Pass) && matches!(sqlite("delete"), Fail(_)));
    }

    #[test]
    fn an_old_or_unknown_version_is_reported() {
        assert!(matches!(version("15.14 (Debian 15.14-0+deb12u1)"), Pass));
        assert!(matches!(version("18.1"), Pass));
        assert!(matches!(version("14.19"), Warn(_)));
        assert!(matches!(version("CockroachDB"), Unknown(_)));
    }
}

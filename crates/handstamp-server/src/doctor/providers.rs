//! The checks of the providers through which users sign in. Each provider is asked itself, and nothing changes there.

use std::time::Duration;

use handstamp::ProviderReport;

use super::Finding;
use super::Outcome::{self, Fail, Pass, Unknown, Warn};
use crate::settings::Settings;

/// Beyond this difference of the clocks ID tokens are refused, and beyond the other they soon may be.
const REFUSED_BEYOND: Duration = Duration::from_secs(60);
const NOTED_BEYOND: Duration = Duration::from_secs(20);

/// The findings, if the settings have providers.
pub(super) async fn findings(settings: &Settings) -> Vec<Finding> {
    let config = settings.library();
    if config.providers.is_empty() {
        return Vec::new();
    }
    let reports = match config.check_providers().await {
        Ok(reports) => reports,
        Err(error) => return vec![("the providers of sign-ins can be asked", Fail(error.to_string()))],
    };
    vec![
        ("the providers of sign-ins answer", each(&reports, |report| report.documents.clone())),
        ("the providers know this site and its secret", each(&reports, |report| report.client.clone())),
        ("the providers redirect to this site", redirects(&reports)),
        ("the clock agrees with those of the providers", clocks(&reports)),
    ]
}

/// The refusals of all providers, each with its name.
fn each(reports: &[ProviderReport], check: impl Fn(&ProviderReport) -> Result<(), String>) -> Outcome {
    let refused = reports.iter().filter_map(|report| Some(format!("{}: {}", report.name, check(report).err()?)));
    match refused.collect::<Vec<_>>().join("; ") {
        none if none.is_empty() => Pass,
        refused => Fail(refused),
    }
}

fn redirects(reports: &[ProviderReport]) -> Outcome {
    let failed = each(reports, |report| report.redirect_uri.clone().unwrap_or(Ok(())));
    match (failed, silent(reports, |report| report.redirect_uri.is_some())) {
        (Pass, Some(silent)) => Unknown(format!(
            "{silent}: it does not tell. Compare the redirect URI with that of: handstamp config check"
        )),
        (failed, _) => failed,
    }
}

fn clocks(reports: &[ProviderReport]) -> Outcome {
    let differences = reports.iter().filter_map(|report| Some((report.clock_difference?, &report.name)));
    match (differences.max(), silent(reports, |report| report.clock_difference.is_some())) {
        (Some((difference, name)), _) if difference > NOTED_BEYOND => {
            let told =
                format!("The clock of {name} differs by {} seconds. Have the time set by NTP.", difference.as_secs());
            if difference > REFUSED_BEYOND { Fail(told) } else { Warn(told) }
        }
        (_, Some(silent)) => Unknown(format!("{silent}: it does not tell its time")),
        _ => Pass,
    }
}

/// The names of the providers that do not tell something, if there are any.
fn silent(reports: &[ProviderReport], tells: impl Fn(&ProviderReport) -> bool) -> Option<String> {
    let names: Vec<_> = reports.iter().filter(|report| !tells(report)).map(|report| report.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

//! The checks of `handstamp doctor` of the providers.

use std::time::{Duration, SystemTime};

use handstamp_testing::{FakeProvider, OidcProvider, TestServer};
use serde_json::json;

use super::{CALLBACK, offer, offer_certified};
use crate::server_checks::with;

const ANSWER: &str = "the providers of sign-ins answer";
const KNOW: &str = "the providers know this site and its secret";
const REDIRECT: &str = "the providers redirect to this site";
const CLOCK: &str = "the clock agrees with those of the providers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_a_provider_does_not_accept_are_reported() {
    let mut server = TestServer::on_sqlite();
    let mut provider = OidcProvider::start("RS256", &[CALLBACK], &json!({}));
    offer_certified(&mut server, &provider);
    let findings = with(&server, &[]);
    for check in [ANSWER, KNOW, REDIRECT, CLOCK] {
        findings.has(check, "ok", "");
    }
    let findings = with(&server, &[("HANDSTAMP_PROVIDERS__ACME__CLIENT_SECRET", "another secret")]);
    findings.has(KNOW, "FAIL", "acme: ");
    findings.has(KNOW, "FAIL", "invalid_client");
    findings.has(REDIRECT, "ok", "");
    let findings = with(&server, &[("HANDSTAMP_PROVIDERS__ACME__CLIENT_ID", "another-client")]);
    findings.has(KNOW, "FAIL", "invalid_client");
    findings.has(REDIRECT, "FAIL", "acme: ");
    provider.start_again("RS256", &["http://localhost/elsewhere"], &json!({}), &json!({}));
    let findings = with(&server, &[]);
    findings.has(KNOW, "ok", "");
    findings.has(REDIRECT, "FAIL", &format!("register {CALLBACK}"));
    provider.stop();
    let findings = with(&server, &[]);
    findings.has(ANSWER, "FAIL", "acme: ");
    findings.has(KNOW, "FAIL", "acme: ");
    // A provider that does not answer tells neither its time nor its redirect URIs.
    findings.has(REDIRECT, "?", "acme");
    findings.has(CLOCK, "?", "acme");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_unlike_that_of_a_provider_is_reported() {
    let (mut server, provider) = (TestServer::on_sqlite(), FakeProvider::start());
    offer(&mut server, &provider, &[]);
    for (seconds, result) in [(0, "ok"), (30, "warn"), (300, "FAIL")] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(FakeProvider::now());
        for time in [now + Duration::from_secs(seconds), now - Duration::from_secs(seconds)] {
            provider.changes(json!({ "faults": { "discovery": { "date": httpdate::fmt_http_date(time) } } }));
            with(&server, &[]).has(CLOCK, result, if seconds == 0 { "" } else { "NTP" });
        }
    }
    provider.changes(json!({ "faults": { "discovery": { "date": "yesterday" } } }));
    with(&server, &[]).has(CLOCK, "?", "acme");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_tells_no_redirect_uris_is_named() {
    let (mut server, provider) = (TestServer::on_sqlite(), FakeProvider::start());
    offer(&mut server, &provider, &[("KIND", "github")]);
    let findings = with(&server, &[]);
    findings.has(ANSWER, "ok", "");
    findings.has(KNOW, "ok", "");
    findings.has(REDIRECT, "?", "handstamp config check");
}

//! Checks the settings of a provider with the provider itself, for `handstamp doctor`.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{DATE, LOCATION};
use axum::http::{HeaderMap, Request, Response};
use handstamp_core::federation::{TokenResponseError, parse_token_response};
use http_body_util::Full;

use super::attempt::{Attempt, AttemptSecret, Purpose};
use super::http::ProviderHttp;
use super::provider::{Answer, Provider};
use super::refusal::Refusal;
use super::{Providers, Sealer};
use crate::config::{Config, ConfigErrors, ProviderKind};
use crate::environment::Environment;

/// A code that no provider has given.
const NO_CODE: &str = "handstamp-doctor";

/// The answers of a provider to questions about the settings of this site. They change nothing there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderReport {
    /// The name of the provider in the settings.
    pub name: String,
    /// Whether its discovery document and its keys are those of the issuer.
    pub documents: Result<(), String>,
    /// How far its clock is from the one of this machine, if it tells.
    pub clock_difference: Option<Duration>,
    /// Whether it knows the client and its secret.
    pub client: Result<(), String>,
    /// Whether it redirects to our redirect URI; none if it does not tell.
    pub redirect_uri: Option<Result<(), String>>,
}

impl Config {
    /// Asks each provider of the settings about them: whether it answers, knows this site, and has the right time.
    ///
    /// # Errors
    /// When the settings are invalid, or a key cannot be read.
    pub async fn check_providers(&self) -> Result<Vec<ProviderReport>, ConfigErrors> {
        let environment = Environment::system();
        // It asks providers although it is no node.
        let config = Self { node: true, ..self.clone() };
        let Some(providers) = Providers::new(&config, &environment)? else { return Ok(Vec::new()) };
        let mut reports = Vec::new();
        for provider in providers.all.values() {
            reports.push(provider.check(&providers.http, &providers.sealer, &environment).await);
        }
        Ok(reports)
    }
}

impl Provider {
    async fn check(&self, http: &ProviderHttp, sealer: &Sealer, environment: &Environment) -> ProviderReport {
        let secret = AttemptSecret::of("", environment);
        let (attempt, state) = Attempt::begin(environment, sealer, &self.name, &secret, Purpose::SignIn, None);
        ProviderReport {
            name: self.name.clone(),
            documents: self.check_documents(http).await.map_err(in_words),
            clock_difference: self.clock_difference(http, environment).await,
            client: self.check_client(http, &attempt, environment).await.map_err(in_words),
            redirect_uri: self.check_redirect_uri(http, &attempt, &state).await,
        }
    }

    async fn check_documents(&self, http: &ProviderHttp) -> Result<(), Refusal> {
        let metadata = self.metadata(http).await?;
        if self.kind != ProviderKind::Github {
            self.ask_for_keys(http, &metadata).await?;
        }
        Ok(())
    }

    async fn clock_difference(&self, http: &ProviderHttp, environment: &Environment) -> Option<Duration> {
        let url = if self.kind == ProviderKind::Github { self.base().to_owned() } else { self.discovery_url() };
        let request = Request::get(url).body(Full::default()).ok()?;
        let response = http.ask(request, "the clock").await.ok()?;
        let theirs = date_of(response.headers())?;
        Some(Duration::from_secs(environment.now().unix_seconds().abs_diff(theirs)))
    }

    /// Exchanges a code that does not exist. A provider checks the client first, and refuses the code then.
    async fn check_client(
        &self,
        http: &ProviderHttp,
        attempt: &Attempt,
        environment: &Environment,
    ) -> Result<(), Refusal> {
        let metadata = self.metadata(http).await?;
        let answer = Answer { code: NO_CODE, ..Answer::default() };
        let request = self.token_request(&metadata, &answer, attempt, environment.now())?;
        let answer = http.post(request, "the token").await?;
        match parse_token_response(&answer) {
            // The second is GitHub's.
            Err(TokenResponseError::Refused { code: "invalid_grant" | "bad_verification_code", .. }) => Ok(()),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
            Ok(_) => Err(Refusal::Unavailable("it exchanges a code that it has not given".to_owned())),
        }
    }

    /// Asks for a sign-in without any page. The provider answers at our redirect URI that this is not possible, if it knows that URI.
    async fn check_redirect_uri(
        &self,
        http: &ProviderHttp,
        attempt: &Attempt,
        state: &str,
    ) -> Option<Result<(), String>> {
        if matches!(self.kind, ProviderKind::Github | ProviderKind::Apple) {
            return None;
        }
        let url = self.authorization_url(http, attempt, state).await.ok()?;
        let request = Request::get(format!("{url}&prompt=none")).body(Full::default()).ok()?;
        let response: Response<Bytes> = http.ask(request, "the authorization").await.ok()?;
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        if to.starts_with(&self.redirect_uri) {
            return Some(Ok(()));
        }
        let refused = || format!("the provider does not accept it: register {}", self.redirect_uri);
        response.status().is_client_error().then(|| Err(refused()))
    }
}

/// The time in the header `Date`, in seconds since the Unix epoch.
fn date_of(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    time.timestamp().as_second().try_into().ok()
}

fn in_words(refusal: Refusal) -> String {
    refusal.detail().map_or_else(|| refusal.name().to_owned(), str::to_owned)
}

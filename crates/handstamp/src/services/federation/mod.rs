//! Signing in through other providers: OpenID Connect Core 1.0 with the authorization code flow and PKCE, and GitHub's OAuth 2.
//!
//! An identity is the pair of issuer and subject. It signs in the user whom it is connected with, and an address never connects one.

mod apple;
mod attempt;
mod callback;
mod check;
mod connect;
mod disconnect;
mod groups;
mod http;
mod logout;
mod provider;
mod refusal;
mod remembered;
mod sign_in;

use std::collections::BTreeMap;

use handstamp_core::{Sealer, UserId};
use serde::Serialize;

use super::{ActError, Services};
use crate::config::{Config, ConfigError, ConfigErrors};
use crate::environment::Environment;
use crate::events::Event;
use crate::model::Message;
use crate::sessions::Session;
use attempt::Attempt;
use http::ProviderHttp;

pub(crate) use attempt::{AttemptSecret, Purpose};
pub(crate) use callback::{Callback, Completed};
pub use check::ProviderReport;
pub(crate) use provider::{Answer, Provider};
pub(crate) use refusal::{Failure, Refusal};

const SIGN_INS: &str = "handstamp_provider_sign_ins_total";

/// The providers of a site.
pub(crate) struct Providers {
    all: BTreeMap<String, Provider>,
    http: ProviderHttp,
    sealer: Sealer,
}

/// A provider as pages show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProviderName {
    pub(crate) name: String,
    pub(crate) label: String,
}

impl Providers {
    /// None if the settings have no provider.
    ///
    /// # Errors
    /// When two secrets are the same, a key cannot be read, or there are no certificates of authorities.
    pub(super) fn new(config: &Config, environment: &Environment) -> Result<Option<Self>, ConfigErrors> {
        // A command that ends at once needs none, and may not be allowed to read the keys.
        if config.providers.is_empty() || !config.node {
            return Ok(None);
        }
        metrics::describe_counter!(SIGN_INS, "Sign-ins through providers, by provider and outcome");
        let error = |setting: String, message: String| ConfigErrors::of(ConfigError { setting, value: None, message });
        let provider = |(name, settings): (&String, _)| {
            let provider = Provider::new(name, settings, config.redirect_uri(name));
            let provider = provider.map_err(|message| error(format!("providers.{name}.key_file"), message))?;
            Ok((name.clone(), provider))
        };
        let all = config.providers.iter().map(provider).collect::<Result<BTreeMap<_, _>, ConfigErrors>>()?;
        let needs_tls = config.providers.values().any(|provider| provider.issuer().starts_with("https:"));
        let http = ProviderHttp::new(needs_tls, environment);
        let http = http.map_err(|message| error("providers".to_owned(), format!("cannot be used: {message}")))?;
        let sealer = Sealer::for_federation(&config.secret_key, &config.secret_key_fallbacks);
        let sealer = sealer.map_err(|message| error("secret_key_fallbacks".to_owned(), message.to_string()))?;
        Ok(Some(Self { all, http, sealer }))
    }
}

impl Services {
    /// The provider with this name in the settings.
    ///
    /// # Errors
    /// [`NotFound`](ActError::NotFound) if there is none.
    pub(crate) fn provider(&self, name: &str) -> Result<&Provider, ActError> {
        let provider = self.providers.as_ref().and_then(|providers| providers.all.get(name));
        provider.ok_or(ActError::NotFound(Message::NoSuchProvider))
    }

    /// The providers, in the order of their names in the settings.
    pub(crate) fn provider_names(&self) -> Vec<ProviderName> {
        let all = self.providers.iter().flat_map(|providers| providers.all.values());
        all.map(|provider| ProviderName { name: provider.name.clone(), label: provider.label.clone() }).collect()
    }

    fn http_of_providers(&self) -> Result<(&ProviderHttp, &Sealer), ActError> {
        let providers = self.providers.as_ref().ok_or(ActError::NotFound(Message::NoSuchProvider))?;
        Ok((&providers.http, &providers.sealer))
    }

    /// The parameter of a link by which the user of this session begins an attempt that is not a sign-in.
    pub(crate) fn link_to_provider(&self, name: &str, purpose: Purpose) -> Option<String> {
        let providers = self.providers.as_ref()?;
        Some(attempt::seal_start(&self.environment, &providers.sealer, name, purpose))
    }

    /// The purpose of such a link, if it was made for this session.
    pub(crate) fn purpose_of_link_to(&self, provider: &Provider, start: &str, session: &Session) -> Option<Purpose> {
        let providers = self.providers.as_ref()?;
        let purpose = attempt::open_start(&providers.sealer, &provider.name, start, self.sessions.now())?;
        let (Purpose::Connect(of) | Purpose::Confirm(of)) = purpose else { return None };
        (of == session.session_id).then_some(purpose)
    }

    /// Begins an attempt: the URL of the provider, and the secret for the cookie of the browser. It costs no statement.
    pub(crate) async fn begin_attempt(
        &self,
        provider: &Provider,
        purpose: Purpose,
        next: Option<&str>,
        presented_secret: &str,
    ) -> Result<(String, AttemptSecret), Failure> {
        let (http, sealer) = self.http_of_providers()?;
        let secret = AttemptSecret::of(presented_secret, &self.environment);
        let (attempt, state) = Attempt::begin(&self.environment, sealer, &provider.name, &secret, purpose, next);
        match provider.authorization_url(http, &attempt, &state).await {
            Ok(url) => Ok((url, secret)),
            Err(refusal) => Err(self.refuse_provider(provider, None, refusal)),
        }
    }

    /// Records that a provider's answer was refused.
    fn refuse_provider(&self, provider: &Provider, user: Option<UserId>, refusal: Refusal) -> Failure {
        let (reason, detail) = (refusal.name(), refusal.detail());
        Event::ProviderRefused { provider: &provider.name, user, reason, detail }.record();
        if (matches!(refusal, Refusal::Unavailable(_)) || refusal.is_of_a_clock())
            && let Some(unsaid) = provider.unavailable.is_due(self.environment.clock_reading().monotonic)
        {
            Event::ProviderUnavailable { provider: &provider.name, reason, detail, unsaid }.record();
        }
        count(provider, reason);
        Failure::Refused(refusal)
    }
}

fn count(provider: &Provider, outcome: &'static str) {
    metrics::counter!(SIGN_INS, "provider" => provider.name.clone(), "outcome" => outcome).increment(1);
}

//! The acts of users and operators on accounts and sessions, one file per act. This module does not depend on the web layer.

mod act_error;
mod admin;
mod assertions;
mod attack_detection;
mod change_email;
mod change_name;
mod change_password;
mod confirm_registration;
mod delete_account;
mod end_sessions;
mod epoch;
mod events;
mod export_account;
mod factors;
#[cfg(feature = "federation")]
mod federation;
mod hashing;
mod import;
mod invitation;
mod legacy;
mod mail;
mod one_time;
mod outbox;
mod outgoing_http;
#[cfg(feature = "passkeys")]
mod passkeys;
#[cfg(any(feature = "federation", feature = "passkeys"))]
mod purge_ceremonies;
mod reauthenticate;
mod register;
mod reset_password;
mod secrets;
mod sign_in;
mod sign_in_by_code;
mod sign_in_without_password;
mod sign_out;
mod throttle;
mod verify_email;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{
    DeviceId, DeviceTokens, EventKeys, KeyRingError, OneTimeTokens, Password, PasswordError, PasswordHash,
    PasswordPolicy, Sealer, SessionTokens, Timestamp, UserId,
};
use tokio::sync::broadcast;

use crate::blocklist::Blocklist;
use crate::config::{Config, ConfigError, ConfigErrors, Registration, SessionConfig};
use crate::context::{ClientInfo, Context};
use crate::environment::Environment;
use crate::events::{AccountEvent, Event};
use crate::internal_error::InternalError;
use crate::log::OnceAMinute;
use crate::model::{EventWriter, Message, NewOutboxMessage, NewSession, OwnedSession, SignInEvents};
use crate::sessions::{IssuedToken, SessionLifetime, Sessions};
use crate::store::Store;

pub(crate) use act_error::ActError;
pub(crate) use admin::{CreateUser, EditUser, OperatorAct, SiteStatus, UserOverview};
pub(crate) use assertions::Assertions;
pub(crate) use change_password::ChangePasswordRequest;
pub(crate) use confirm_registration::ConfirmedRegistration;
pub(crate) use epoch::{EpochReason, position_in};
pub(crate) use factors::{NewTotp, PendingSignIn, SignedIn, TotpConfirmed, WaysToComplete};
#[cfg(feature = "federation")]
pub use federation::ProviderReport;
#[cfg(feature = "federation")]
use federation::Providers;
#[cfg(feature = "federation")]
pub(crate) use federation::{Answer, AttemptSecret, Callback, Completed, Failure, Provider, Purpose, Refusal};
use hashing::HashPermit;
pub(crate) use hashing::PasswordHasher;
pub(crate) use import::{DryRun, USERS_AT_ONCE};
pub(crate) use invitation::{AcceptInvitation, Invite};
pub(crate) use legacy::{LegacyExchanged, LegacySessions};
#[cfg(test)]
pub(crate) use mail::SentMail;
pub(crate) use mail::{LinkValidity, Mailer};
pub(crate) use one_time::BrowserSecret;
pub(crate) use outbox::Outbox;
#[cfg(feature = "passkeys")]
use passkeys::Ceremonies;
#[cfg(feature = "passkeys")]
pub(crate) use passkeys::{AddPasskey, PasskeyAnswer, PasskeyAssertion, PasskeyAttestation};
pub(crate) use reauthenticate::{Proof, WaysToConfirm};
pub(crate) use register::{RegisterRequest, Registered};
pub(crate) use secrets::BEAT;
use secrets::KnownKeys;
pub(crate) use sign_in::SignInRequest;
pub(crate) use throttle::LoginThrottle;
pub(crate) use verify_email::AfterLink;
use webhooks::WebhookSender;

/// How soon after the first submission of a form a second one counts as a duplicate.
const SENT_TWICE_WITHIN: Duration = Duration::from_secs(60);

/// The outcome of a background job that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    Done,
    /// There may be more to do at once.
    Again,
    /// This node cannot do it now, but another may.
    Deferred,
}

/// The services of a site: every act is a method, in a file of its own.
pub(crate) struct Services {
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    pub(crate) store: Arc<Store>,
    pub(crate) sessions: Sessions,
    pub(crate) hashing: PasswordHasher,
    /// The breached passwords that no new password may be in.
    blocklist: Option<Arc<Blocklist>>,
    pub(crate) throttle: LoginThrottle,
    pub(crate) devices: DeviceTokens,
    /// The tokens of mailed links, and the codes beside them.
    pub(crate) one_time: OneTimeTokens,
    /// None if browsers make no passkeys for this site.
    #[cfg(feature = "passkeys")]
    ceremonies: Option<Ceremonies>,
    /// The secret keys of this process, as the other nodes see them.
    known_keys: KnownKeys,
    /// Seals the secrets of second factors.
    factor_sealer: Sealer,
    pub(crate) assertions: Assertions,
    pub(crate) event_writer: Arc<EventWriter>,
    /// None if no mail can be sent.
    pub(crate) mailer: Option<Mailer>,
    /// The sessions of the framework that the site has left; none if none are exchanged.
    pub(crate) legacy: Option<LegacySessions>,
    /// None if no webhooks are sent.
    webhooks: Option<WebhookSender>,
    /// The providers through which users sign in; none if there are none.
    #[cfg(feature = "federation")]
    providers: Option<Providers>,
    pub(crate) outbox: Outbox,
    /// Limits the log lines about events that cannot be sealed.
    refused_events: OnceAMinute,
    /// The events that the application receives.
    pub(crate) events: broadcast::Sender<AccountEvent>,
}

/// The cookies of a browser in which a user has just signed in.
pub(crate) struct SignInCookies {
    pub(crate) token: IssuedToken,
    /// The value of the device cookie.
    pub(crate) device: String,
}

/// How many events a receiver may be behind before it misses some.
const EVENTS_KEPT: usize = 256;

impl Services {
    /// # Errors
    /// When two secrets are the same, or mails or webhooks cannot be sent as the settings say.
    pub(crate) fn new(
        config: Config,
        store: Arc<Store>,
        environment: Environment,
        blocklist: Option<Blocklist>,
    ) -> Result<Self, ConfigErrors> {
        let (secret, fallbacks) = (&config.secret_key, &config.secret_key_fallbacks);
        let same_secrets = |error: KeyRingError| {
            let (setting, message) = ("secret_key_fallbacks".to_owned(), error.to_string());
            ConfigErrors::of(ConfigError { setting, value: None, message })
        };
        let tokens = SessionTokens::new(secret, fallbacks).map_err(same_secrets)?;
        mail::describe_metrics();
        let mailer = Mailer::new(&config, &environment)?;
        let webhooks = WebhookSender::new(&config)?;
        let legacy = LegacySessions::new(&config, environment.now())?;
        #[cfg(feature = "federation")]
        let providers = Providers::new(&config, &environment)?;
        let sends = config.mail.send_outbox;
        if mailer.is_none() {
            refuse_settings_that_need_mail(&config)?;
        }
        Ok(Self {
            #[cfg(feature = "passkeys")]
            ceremonies: Ceremonies::new(&config).map_err(same_secrets)?,
            assertions: Assertions::new(&config, &environment),
            event_writer: Arc::new(EventWriter::new(EventKeys::new(secret, fallbacks).map_err(same_secrets)?)),
            devices: DeviceTokens::new(secret, fallbacks).map_err(same_secrets)?,
            one_time: OneTimeTokens::new(secret, fallbacks).map_err(same_secrets)?,
            known_keys: KnownKeys::new(&tokens, &environment),
            factor_sealer: Sealer::for_factors(secret, fallbacks).map_err(same_secrets)?,
            outbox: Outbox::new(sends && mailer.is_some(), sends && webhooks.is_some()),
            mailer,
            legacy,
            webhooks,
            #[cfg(feature = "federation")]
            providers,
            refused_events: OnceAMinute::default(),
            throttle: LoginThrottle::new(&config.limits),
            sessions: Sessions::new(tokens, Arc::clone(&store), environment.clone(), &config.session),
            hashing: PasswordHasher::new(&config.hashing, config.import_secrets.clone()),
            blocklist: blocklist.map(Arc::new),
            events: broadcast::Sender::new(EVENTS_KEPT),
            config,
            environment,
            store,
        })
    }

    /// Records the event of an act that every node has applied, and gives it to the application.
    fn record(&self, context: &Context, event: &Event<'_>) {
        event.record_for(context);
        if self.config.webhooks.sends(event.name()) {
            self.outbox.webhooks.wake();
        }
        if let Some(event) = event.of_an_account() {
            // It fails only if the application receives no events.
            let _ = self.events.send(event);
        }
    }

    /// The events of a sign-in that begins this session.
    fn sign_in_events(
        &self,
        context: &Context,
        session: &NewSession,
        notice: Option<NewOutboxMessage>,
    ) -> SignInEvents {
        let user = session.user_id;
        let entry = |event| self.new_event(context, &event).in_session(session.session_id);
        SignInEvents {
            signed_in: entry(Event::AuthnLoginSuccess { user }).with_message(notice),
            limited: entry(Event::SessionLimit { user, sessions: 0 }),
        }
    }

    /// Records a sign-in, which has ended this number of unused sessions.
    fn record_sign_in(&self, context: &Context, user: UserId, unused: u64) {
        self.record(context, &Event::AuthnLoginSuccess { user });
        if unused > 0 {
            self.record(context, &Event::SessionLimit { user, sessions: unused });
        }
    }

    /// The names of the providers of the settings: only their identities are ways in.
    #[cfg_attr(not(any(feature = "federation", feature = "passkeys")), expect(dead_code))]
    fn configured_providers(&self) -> Vec<&str> {
        let names = self.config.providers.keys().map(String::as_str);
        names.filter(|_| cfg!(feature = "federation")).collect()
    }

    fn session_lifetime(&self, remembered: bool) -> SessionLifetime {
        let lifetime = self.config.session.lifetime;
        let unremembered = SessionConfig::UNREMEMBERED_LIFETIME.min(lifetime);
        SessionLifetime { duration: if remembered { lifetime } else { unremembered }, remembered }
    }

    /// Completes a sign-in: adds the account to the device cookie, as the device that it was before or as a new one. Device cookies of
    /// the account are void until `void_until`.
    fn complete_sign_in(
        &self,
        session: OwnedSession,
        void_until: Option<Timestamp>,
        token: IssuedToken,
        client: &ClientInfo,
    ) -> SignInCookies {
        let (user_id, now) = (session.user_id, self.sessions.now());
        let known = self.devices.open(&client.device_cookie, now).find(user_id, void_until);
        let id = known.unwrap_or_else(|| DeviceId::from_bytes(self.environment.random()));
        SignInCookies { token, device: self.devices.remember(&client.device_cookie, user_id, id, void_until, now) }
    }

    /// Hashes a new password for a user of this name and address, or returns why it is rejected.
    async fn hash_new_password(
        &self,
        permit: HashPermit<'_>,
        password: Password,
        name: &str,
        email: &str,
    ) -> Result<Result<PasswordHash, PasswordError>, InternalError> {
        let context = vec![name.to_owned(), email.to_owned(), self.config.site_name.clone()];
        let (policy, blocklist) = (self.config.password, self.blocklist.clone());
        permit.hash_new(policy, password, context, blocklist, self.environment.random()).await
    }

    /// Flushes the last-seen times to the database.
    pub(crate) async fn write_last_seen(&self) -> Result<JobOutcome, InternalError> {
        self.sessions.write_last_seen().await?;
        Ok(JobOutcome::Done)
    }

    /// Deletes expired one-time tokens.
    pub(crate) async fn purge_tokens(&self) -> Result<JobOutcome, InternalError> {
        const AT_ONCE: usize = 1000;
        let Some(now) = self.sessions.believed_now() else { return Ok(JobOutcome::Deferred) };
        while self.store.purge_tokens(now, AT_ONCE).await? > 0 {}
        Ok(JobOutcome::Done)
    }

    /// Deletes expired sessions.
    pub(crate) async fn purge_sessions(&self) -> Result<JobOutcome, InternalError> {
        let Some(sessions) = self.sessions.purge().await? else { return Ok(JobOutcome::Deferred) };
        if sessions > 0 {
            Event::SessionsPurged { sessions }.record();
        }
        Ok(JobOutcome::Done)
    }
}

/// Refuses settings without which a site that sends no mail would lock its visitors out.
fn refuse_settings_that_need_mail(config: &Config) -> Result<(), ConfigErrors> {
    let setting = match (config.registration, config.sign_in.mail) {
        (Registration::Confirm, _) => "registration",
        (_, true) => "sign_in.mail",
        _ => return Ok(()),
    };
    let message = "needs mail: set mail.url".to_owned();
    Err(ConfigErrors::of(ConfigError { setting: setting.to_owned(), value: None, message }))
}

/// Parses a new password, with the checks that need no waiting: not too long, not too short.
fn parse_new_password(text: &str, policy: &PasswordPolicy) -> Result<Password, Message> {
    let password = Password::parse(text)?;
    policy.check_length(&password)?;
    Ok(password)
}

//! The events of this crate: the closed list of what it logs, with the name, the level and the fields of each.
//!
//! One call records an event: [`Event::record`], or [`Event::record_for`] for an act, which names an actor that is not the user.
//! [`Event::of_an_account`] gives an act to applications. Names follow the OWASP Logging Vocabulary where it has one. `docs/src/reference/log-events.md` lists them, and a test compares.
//!
//! An act makes its entry of the audit log with `Services::new_event(context, &event)` and passes it to its method of the store. That
//! calls `Tx::write_event` in the transaction of the act, if the act changes something, and `Services::record` logs the event afterwards.

use std::fmt;

use handstamp_core::UserId;
use serde_json::{Map, Value};
use tracing::field;

use crate::context::Context;
use crate::log;

/// A value of a field, as the log and the audit log record it.
trait AsValue {
    fn as_value(&self) -> impl tracing::Value;

    /// Adds the value to the fields of the audit log; the user has a column there.
    fn add_to(&self, name: &str, entry: &mut EventFields);
}

/// The fields of an event as the audit log has them.
#[derive(Default)]
pub(crate) struct EventFields {
    /// The user whose account the event is about.
    pub(crate) user: Option<UserId>,
    /// The other fields by name.
    pub(crate) others: Map<String, Value>,
}

/// A value that is recorded as its text. It can be shared between threads, so an act may hold an event while it waits.
type Shown<'a> = &'a (dyn fmt::Display + Sync);

/// Values that the log records as they are.
macro_rules! plain_values {
    ($($kind:ty)*) => {
        $(impl AsValue for $kind {
            fn as_value(&self) -> impl tracing::Value {
                *self
            }

            fn add_to(&self, name: &str, entry: &mut EventFields) {
                entry.others.insert(name.to_owned(), (*self).into());
            }
        })*
    };
}

plain_values!(u64 i64 Option<u64> &str Option<&str>);

impl AsValue for UserId {
    fn as_value(&self) -> impl tracing::Value {
        field::display(self)
    }

    fn add_to(&self, _: &str, entry: &mut EventFields) {
        entry.user = Some(*self);
    }
}

impl AsValue for Option<UserId> {
    fn as_value(&self) -> impl tracing::Value {
        self.map(field::display)
    }

    fn add_to(&self, _: &str, entry: &mut EventFields) {
        entry.user = *self;
    }
}

impl AsValue for Shown<'_> {
    fn as_value(&self) -> impl tracing::Value {
        field::display(self)
    }

    fn add_to(&self, name: &str, entry: &mut EventFields) {
        entry.others.insert(name.to_owned(), self.to_string().into());
    }
}

/// Defines [`Event`] from one line for each event: its level, its variant, its name in the log, its message and its fields. The
/// events of acts come first; each names its variant of [`AccountEvent`] as well.
macro_rules! events {
    (
        acts { $(
            $(#[doc = $act_about:literal])+
            $act_level:ident $act:ident as $public:ident $act_name:literal $act_message:literal { $($act_field:ident: $act_kind:ty),* }
        )* }
        others { $(
            $(#[doc = $about:literal])+
            $level:ident $variant:ident $name:literal $message:literal { $($field:ident: $kind:ty),* }
        )* }
    ) => {
        /// An event.
        #[cfg_attr(
            not(all(feature = "sqlite", feature = "postgres", feature = "passkeys", feature = "proxy")),
            allow(dead_code, reason = "some events are of one feature")
        )]
        pub(crate) enum Event<'a> {
            $($(#[doc = $act_about])+ $act { $($act_field: $act_kind),* },)*
            $($(#[doc = $about])+ $variant { $($field: $kind),* },)*
            #[expect(dead_code, reason = "an event without borrowed fields has no lifetime")]
            Never(std::convert::Infallible, std::marker::PhantomData<&'a ()>),
        }

        /// An act on an account or its sessions that is committed, and applied on every node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum AccountEvent {
            $($(#[doc = $act_about])+ #[non_exhaustive] $public {
                $(#[doc = concat!("The field `", stringify!($act_field), "` of the event in the log.")] $act_field: $act_kind),*
            },)*
        }

        impl Event<'_> {
            fn write(&self, by: Option<&'static str>, operator: Option<UserId>) {
                let operator = operator.map(field::display);
                match self {
                    $(Self::$act { $($act_field),* } => {
                        log::$act_level!(event = $act_name, $($act_field = $act_field.as_value(),)* by, operator, $act_message);
                    })*
                    $(Self::$variant { $($field),* } => {
                        log::$level!(event = $name, $($field = $field.as_value(),)* by, operator, $message);
                    })*
                    Self::Never(never, _) => match *never {},
                }
            }

            /// The name of the event in the log and in the audit log.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$act { .. } => $act_name,)*
                    $(Self::$variant { .. } => $name,)*
                    Self::Never(never, _) => match *never {},
                }
            }

            /// The fields of the event as the audit log has them.
            pub(crate) fn fields(&self) -> EventFields {
                let mut entry = EventFields::default();
                match self {
                    $(Self::$act { $($act_field),* } => { $($act_field.add_to(stringify!($act_field), &mut entry);)* })*
                    $(Self::$variant { $($field),* } => { $($field.add_to(stringify!($field), &mut entry);)* })*
                    Self::Never(never, _) => match *never {},
                }
                entry
            }

            /// The event as applications see it, if it is that of an act.
            pub(crate) fn of_an_account(&self) -> Option<AccountEvent> {
                match self {
                    $(Self::$act { $($act_field),* } => Some(AccountEvent::$public { $($act_field: *$act_field),* }),)*
                    _ => None,
                }
            }
        }

        /// The names of the events of acts.
        pub(crate) const ACTS: &[&str] = &[$($act_name),*];

        /// Each event: its name, its level and its fields.
        #[cfg(test)]
        const EVENTS: &[(&str, &str, &[&str])] = &[
            $(($act_name, stringify!($act_level), &[$(stringify!($act_field)),*]),)*
            $(($name, stringify!($level), &[$(stringify!($field)),*]),)*
        ];
    };
}

impl Event<'_> {
    /// Records an event that no act causes, or whose actor is the user that it names.
    pub(crate) fn record(&self) {
        self.write(None, None);
    }

    /// Records an event of an act, with its actor where that is not the user.
    pub(crate) fn record_for(&self, context: &Context) {
        self.write(context.actor.name(), context.actor.administrator());
    }
}

events! {
    acts {
        /// A user signed in.
        info AuthnLoginSuccess as SignedIn "authn_login_success" "signed in" { user: UserId }
        /// A session of the framework that the site has left was exchanged for one of ours.
        info LegacySessionExchanged as LegacySessionExchanged "authn_legacy_session" "exchanged a session of the former framework" { user: UserId }
        /// A user changed the password.
        info AuthnPasswordChange as PasswordChanged "authn_password_change" "changed the password" { user: UserId }
        /// A user set a new password by a mailed link.
        info AuthnPasswordReset as PasswordReset "authn_password_reset" "set a new password by a link" { user: UserId }
        /// An operator set a new password for a user.
        info AuthnPasswordSet as PasswordSet "authn_password_set" "set the password of a user" { user: UserId }
        /// A signed-in user authenticated again.
        info AuthnReauthentication as Reauthenticated "authn_reauthentication" "authenticated again" { user: UserId }
        /// A user added a second factor or a passkey.
        info FactorAdded as FactorAdded "authn_factor_added" "added a factor" { user: UserId, factor: &'static str }
        /// A user removed a second factor or a passkey.
        info FactorRemoved as FactorRemoved "authn_factor_removed" "removed a factor" { user: UserId, factor: &'static str }
        /// A user connected an identity at another provider, or made the account with it.
        info IdentityConnected as IdentityConnected "authn_identity_connected" "connected an identity at another provider" { user: UserId, provider: &'static str }
        /// A user disconnected an identity at another provider.
        info IdentityDisconnected as IdentityDisconnected "authn_identity_disconnected" "disconnected an identity at another provider" { user: UserId, provider: &'static str }
        /// A user got new recovery codes.
        info RecoveryCodesReplaced as RecoveryCodesReplaced "authn_recovery_codes_replaced" "got new recovery codes" { user: UserId }
        /// A recovery code was used. `left` is the number of those that are left.
        info RecoveryCodeUsed as RecoveryCodeUsed "authn_recovery_code_used" "used a recovery code" { user: UserId, left: u64 }
        /// An operator removed the second factors and passkeys of a user.
        info FactorsReset as FactorsReset "authn_factors_reset" "removed the second factors of a user" { user: UserId }
        /// The address of an account was changed.
        info UserEmailChange as EmailChanged "user_email_change" "changed the address" { user: UserId }
        /// A change of the address was undone by the link in the notice to the former address.
        info UserEmailChangeUndo as EmailChangeUndone "user_email_change_undo" "undid a change of the address" { user: UserId }
        /// An operator made a link to reset the password of a user.
        info ResetLinkCreated as ResetLinkCreated "authn_token_created" "made a link to reset a password" { user: UserId }
        /// A person was invited.
        info UserInvited as UserInvited "user_invited" "invited a person" {}
        /// A user exported the data of the account.
        info UserExport as DataExported "user_export" "exported the data of the account" { user: UserId }
        /// An account was created.
        info UserCreated as UserCreated "user_created" "created an account" { user: UserId }
        /// A user, or an operator, changed the name.
        info UserUpdated as NameChanged "user_updated" "changed the name" { user: UserId }
        /// The address of an account was verified.
        info UserVerified as EmailVerified "user_verified" "verified the address of an account" { user: UserId }
        /// An account was disabled, and its sessions were revoked.
        info UserDisabled as UserDisabled "user_disabled" "disabled an account" { user: UserId }
        /// A disabled account was enabled.
        info UserEnabled as UserEnabled "user_enabled" "enabled an account" { user: UserId }
        /// The groups of a user were changed.
        info AuthzChange as GroupsChanged "authz_change" "changed the groups of a user" { user: UserId }
        /// The count of wrong passwords of an account was cleared.
        info UserUnlocked as UserUnlocked "user_unlocked" "cleared the count of wrong passwords" { user: UserId }
        /// An account was deleted.
        info UserDeleted as UserDeleted "user_deleted" "deleted an account" { user: UserId }
        /// A user signed out.
        info SessionEnded as SignedOut "session_ended" "signed out" { user: UserId }
        /// Sessions were revoked: of one user, or of all users if there is no `user`.
        info SessionRevoked as SessionsRevoked "session_revoked" "revoked sessions" { user: Option<UserId>, sessions: u64 }
        /// The longest unused sessions of a user were ended, because the number of sessions is limited.
        info SessionLimit as SessionsLimited "session_limit" "ended the longest unused sessions, as an account has at most 100" { user: UserId, sessions: u64 }
    }
    others {
        // Signing in.
        /// A sign-in through a provider was refused, or another act that a provider allows. `reason` is a word, and `detail` has more for some.
        info ProviderRefused "provider_refused" "refused an answer of a provider" { provider: &'a str, user: Option<UserId>, reason: &'a str, detail: Option<&'a str> }
        /// A provider does not answer, or not as it should, or the clocks differ. `unsaid` counts the lines left out within a minute.
        warn ProviderUnavailable "provider_unavailable" "a provider cannot be used" { provider: &'a str, reason: &'a str, detail: Option<&'a str>, unsaid: u64 }
        /// Sign-ins through providers from one network were throttled. `seconds` is the wait.
        info ProviderThrottled "provider_throttled" "throttled a sign-in through a provider" { seconds: u64 }
        /// The groups that a provider decides about were not changed: there would be too many, or the last administrator would be gone.
        warn ProviderGroupsRefused "provider_groups_refused" "left the groups of a user as they are: there would be too many, or no administrator" { provider: &'a str, user: UserId }
        /// A provider has ended the sessions that rest on one there.
        info ProviderLogout "provider_logout" "a provider has ended sessions" { provider: &'a str, sessions: u64 }
        /// A sign-in failed: the password is wrong, or the account does not exist or is disabled.
        info AuthnLoginFail "authn_login_fail" "refused a sign-in" { user: Option<UserId> }
        /// A password was not checked, because the limit of attempts was reached. `seconds` is the wait.
        info AuthnLoginFailMax "authn_login_fail_max" "throttled a password attempt" { user: Option<UserId>, seconds: u64 }
        /// The current password was wrong at a change of password.
        info AuthnPasswordChangeFail "authn_password_change_fail" "refused a change of password" { user: UserId }
        /// The attack detection saw one password tried at many accounts from one network.
        warn PasswordSpraying "password_spraying" "one password is tried at many accounts from one network" {}
        /// The attack detection saw many passwords tried from many networks.
        warn CredentialStuffing "credential_stuffing" "many passwords are tried from many networks" {}
        /// The attack detection saw many passwords tried at one account.
        warn PasswordGuessing "password_guessing" "many passwords are tried at one account" {}
        /// The hash of a password with the current parameters could not be stored. The old one still works.
        warn RehashFailed "rehash_failed" "the renewed password hash could not be stored" { user: UserId, error: Shown<'a> }
        /// A correct password still counts as a wrong attempt.
        warn RefundFailed "refund_failed" "an attempt could not be taken back and still counts as wrong" { error: Shown<'a> }
        /// The queue of passwords to be hashed is full.
        warn HashQueueFull "hash_queue_full" "the password hashing queue is full" {}

        /// A session of the framework that the site has left was not exchanged, and why. There is no `user` if the session names none.
        info LegacySessionRefused "legacy_session_refused" "refused a session of the former framework" { user: Option<UserId>, reason: &'a str }
        /// A sign-out has ended sessions of the framework that the site has left.
        info LegacySessionEnded "legacy_session_ended" "ended sessions of the former framework" { sessions: u64 }
        /// The sessions of the framework that the site has left cannot be read.
        warn LegacyStoreUnavailable "legacy_store_unavailable" "cannot read the sessions of the former framework: check legacy.table, legacy.database and legacy.folder" { error: Shown<'a> }
        /// Cookies of the framework that the site has left are accepted: at the start, and each day.
        warn LegacyWindowOpen "legacy_window_open" "cookies of the former framework are accepted until this time, and an attacker who has its secret can sign in as most users: remove the section legacy when it is no longer needed" { framework: &'a str, until: Shown<'a> }
        /// Cookies of the framework that the site has left are not accepted any more.
        warn LegacyWindowOver "legacy_window_over" "cookies of the former framework are not accepted any more: remove the section legacy, and the secret of that framework with it" { framework: &'a str, until: Shown<'a> }

        /// A signed-in user entered a wrong password to authenticate again.
        info AuthnReauthenticationFail "authn_reauthentication_fail" "refused to authenticate a user again" { user: UserId }

        /// A passkey was refused. There is no `user` if no account has it, or if the ceremony is not one of ours.
        info PasskeyRefused "passkey_refused" "refused a passkey" { user: Option<UserId>, reason: &'a str }
        /// The signature counter of a passkey has not grown since it was last used, `seconds_since_use` ago. The passkey was refused.
        warn PasskeyCounterRegressed "passkey_counter_regressed" "the signature counter of a passkey has not grown: there may be a copy of it, or two of its answers came in the wrong order" { user: UserId, seconds_since_use: u64 }
        /// A passkey was not checked, because the limit of its network was reached. `seconds` is the wait.
        info PasskeyThrottled "passkey_throttled" "throttled the use of passkeys" { seconds: u64 }
        /// The code of a second factor was wrong.
        info AuthnFactorFail "authn_factor_fail" "refused the code of a second factor" { user: UserId }
        /// A secret of a second factor cannot be opened: no secret key of this node has sealed it.
        error FactorKeyUnknown "factor_key_unknown" "cannot open a second factor: no secret of this node has sealed it; add the former secret to secret_key_fallbacks" { user: UserId }

        // Accounts.
        /// A mailed link was refused. The reason is `invalid`, `expired`, `purpose`, `used`, `user` or `address_taken`.
        info OneTimeTokenRefused "one_time_token_refused" "refused a mailed link" { reason: &'a str }
        /// A mailed code was refused. There is no `user` if no mail was sent.
        info OneTimeCodeRefused "one_time_code_refused" "refused a mailed code" { user: Option<UserId> }
        /// A mail that a visitor asked for was not sent: the `limit` of the address or of the network was reached.
        info MailThrottled "mail_throttled" "a mail was not sent, because its limit was reached" { limit: &'a str }
        /// A registration was refused.
        info RegisterRefused "register_refused" "refused a registration" { reason: &'a str }

        /// An operator imported users from another system: one event for each batch.
        info UsersImported "users_imported" "imported users" { users: u64 }
        /// An operator exported all users with the hashes of their passwords.
        info UsersExported "users_exported" "exported all users with the hashes of their passwords" { users: u64 }
        /// An operator has made a `step` of a rotation of the secret key: `added`, `promoted` or `dropped`. `key` is the id of the secret.
        info SecretKeyChanged "secret_key_changed" "changed the secret keys" { step: &'a str, key: Shown<'a> }
        /// Events of a user who is being deleted were erased from the audit log. The rest is erased with the user.
        info EventsErased "events_erased" "erased events of a user who is being deleted" {}

        /// Events of the audit log cannot be sealed, since no secret of this node has written them. Once a minute; `unsaid` counts the lines left out.
        error EventsRefused "events_refused" "events of the audit log were not written by this site, or with a secret that is not configured here; they are not sealed" { events: u64, unsaid: u64 }

        /// A new epoch has begun: all sessions, one-time tokens and device cookies from before are void. The reason is `restored`,
        /// `folder_copied` or `database_older`.
        warn EpochBegun "epoch_begun" "a new epoch has begun, since a backup was restored or put back by hand: all users have to sign in again, and mailed links and codes from before are void" { epoch: u64, sessions: u64, reason: &'a str }

        // Sessions.
        /// A token that an earlier key had signed was signed with the current key.
        info SessionTokenReissued "session_token_reissued" "re-signed a session token with the current key" { user: UserId }
        /// A session cookie was refused. `count` and `live` are numbers of cookies, where there were several.
        info SessionTokenRefused "session_token_refused" "rejected a session token" { reason: Shown<'a>, count: Option<u64>, live: Option<u64> }
        /// The token of a session that has ended was used.
        info SessionUseAfterExpire "session_use_after_expire" "rejected the token of a session that has ended" { user: UserId }
        /// A session could not be revoked, because no secret of this node opens its token.
        error SessionKeyUnknown "session_key_unknown" "cannot revoke a session: no secret of this node opens its token; give each node a new secret as a fallback first" {}
        /// Connections of the application did not learn in time that their session has ended or changed. They may still be open.
        warn SessionHoldOverdue "session_hold_overdue" "connections of a session that has ended or changed did not answer in time" { connections: u64 }
        /// Running nodes do not share the secret key of this one, or it does not have theirs: sessions of one node are not known to another.
        error SecretKeyUnshared "secret_key_unshared" "running nodes do not share the secret keys of this one; `handstamp secret check` names the next step" { nodes: &'a str }
        /// Expired sessions were deleted.
        info SessionsPurged "sessions_purged" "removed expired sessions" { sessions: u64 }
        /// An app behind the proxy did not answer. Once a minute; `unsaid` counts the lines left out.
        warn AppUnavailable "app_unavailable" "an app did not answer" { address: &'a str, reason: &'a str, unsaid: u64 }
        /// A background job failed. It is tried again.
        warn JobFailed "job_failed" "a background job failed and is tried again" { job: &'a str, error: Shown<'a> }
        /// The clock has jumped ahead, so nothing that has expired by it is deleted.
        warn PurgePaused "purge_paused" "the clock has jumped ahead by this many seconds: nothing that has expired by it is deleted until it is right again, or until this node restarts with a wall clock that agrees with it" { seconds: u64 }
        /// The clock is right again.
        info PurgeResumed "purge_resumed" "the clock is right again" {}

        // Requests.
        /// A user is not in a group that is required: one of `group`, or the groups that a subrequest of `origin` names.
        info AuthzFail "authz_fail" "the user is in none of the required groups" { user: UserId, group: Option<&'a str>, origin: Option<&'a str> }
        /// A write, or a WebSocket, from another site was refused.
        warn CrossSiteRefused "cross_site_refused" "refused a write from another site" {}
        /// A request came with X-Forwarded-For from an address that is no trusted proxy. Recorded once.
        warn ProxyNotTrusted "proxy_not_trusted" "a request came with X-Forwarded-For from this peer; if that is your proxy, name it in trusted_proxies: all its clients count as one network" { peer: Shown<'a> }
        /// Requests come without the address of the peer. Recorded once.
        warn AddressUnknown "address_unknown" "requests come without the address of the peer, so all visitors count as one network, and one attacker can block sign-ins for everybody; serve the application with axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())" {}
        /// The routes are nested beneath a path that is not `Config::prefix`.
        error PrefixWrong "prefix_wrong" "the routes are nested beneath another path than the prefix" { reason: &'a str }
        /// An app got no assertion, because its origin is not one of this site. `unsaid` counts the requests that were not logged.
        warn AssertionRefused "assertion_refused" "an app got no assertion: its origin is not public_url, not under session.cookie_domain, nor in return_hosts" { origin: &'a str, unsaid: u64 }
        /// A visitor is not sent back to an app after the sign-in, because its host is not allowed.
        warn ReturnUrlRejected "return_url_rejected" "rejected a return URL: its host is not under session.cookie_domain, nor in return_hosts" { origin: &'a str }
        /// A request could not be answered.
        error InternalError "internal_error" "a request could not be answered" { error: Shown<'a> }
        /// The handler of a request panicked.
        error Panic "panic" "a request panicked" { kind: &'a str }
        /// A replaced template cannot be rendered; the embedded one is used.
        error TemplateError "template_error" "cannot render a replaced template; the embedded one is used" { template: &'a str, error: &'a str }

        // Mail.
        /// The mail server was given a mail. `mail` is its template, and `user` whom it is about.
        info MailSent "mail_sent" "sent a mail" { mail: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64 }
        /// A mail was written to a file, because the site is on the local machine and has no mail server. Only then is its link logged.
        info MailWritten "mail_written" "wrote a mail to a file, since there is no mail server" { mail: &'a str, user: Option<UserId>, file: Shown<'a>, link: Option<&'a str> }
        /// A mail could not be sent. It is tried again after `seconds`.
        warn MailDeferred "mail_deferred" "could not send a mail; it is tried again" { mail: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, seconds: u64, error: &'a str }
        /// The mail server refuses this site, or has no trusted certificate. The mail is tried again after `seconds`.
        error MailMisconfigured "mail_misconfigured" "the mail server refuses this site, or cannot be trusted: check mail.url and mail.from with `handstamp mail test ADDRESS`; the mail is tried again" { mail: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, seconds: u64, error: &'a str }
        /// The mail server refused the recipient or the mail for good. It is not tried again.
        warn MailRefused "mail_refused" "the mail server refused a mail for good" { mail: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, error: &'a str }
        /// A mail could not be sent for two days. It is not tried again.
        error MailGivenUp "mail_given_up" "could not send a mail for two days, and gave it up" { mail: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, error: &'a str }
        /// The application has taken a webhook. `webhook` is the name of its event.
        info WebhookSent "webhook_sent" "sent a webhook" { webhook: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64 }
        /// A webhook could not be delivered. It is tried again after `seconds`.
        warn WebhookDeferred "webhook_deferred" "could not deliver a webhook; it is tried again" { webhook: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, seconds: u64, error: &'a str }
        /// The application has answered 410: it does not want a webhook. It is not tried again.
        warn WebhookRefused "webhook_refused" "the application does not want a webhook: it has answered 410" { webhook: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64 }
        /// A webhook could not be delivered for two days. It is not tried again.
        error WebhookGivenUp "webhook_given_up" "could not deliver a webhook for two days, and gave it up" { webhook: &'a str, message: Shown<'a>, user: Option<UserId>, attempts: u64, error: &'a str }
        /// The mail server did not accept a connection at the start.
        warn MailServerUnavailable "mail_server_unavailable" "no mail can be sent now; check it with `handstamp mail test ADDRESS`" { error: &'a str }

        // Nodes and the database.
        /// The state file cannot be written. The earlier one stays.
        warn StateNotWritten "state_not_written" "the state file cannot be written: a copy that is put back by hand may go unnoticed" { error: Shown<'a> }
        /// The file system tells no birth of files, so a copied folder is not noticed.
        info CopiesNotNoticed "copies_not_noticed" "the file system of the data folder does not tell when a file was created: a folder that is copied back by hand is not noticed" {}
        /// The database is another one than the data folder was used with before.
        warn DatabaseReplaced "database_replaced" "the database is another one than this data folder was used with before; if it was restored from a backup, run `handstamp restore --database`" {}
        /// This node is not ready, as `/readyz` answers.
        warn NotReady "not_ready" "this node is not ready" { reason: Shown<'a> }
        /// The database did not answer the readiness check.
        warn DatabasePingFailed "database_ping_failed" "pinging the database failed" { error: Shown<'a> }
        /// The database does not answer at the start; it is tried again for `seconds` more.
        warn DatabaseAwaited "database_awaited" "waiting for the database to answer" { server: &'a str, error: Shown<'a>, seconds: u64 }
        /// A pooler in transaction mode stands before the database, and `database.prepared_statements` is on.
        warn DatabasePooled "database_pooled" "a pooler in transaction mode is before this server: set database.prepared_statements = false" { server: &'a str }
        /// The database has no advisory locks, so concurrent migrations are not serialised.
        warn DatabaseWithoutLocks "database_without_locks" "the database has no advisory locks: start one new node before the others" {}
        /// No notifications of changes arrive, from PostgreSQL or by inotify, so this node polls.
        info NotifyUnavailable "notify_unavailable" "no notifications of changes: polling instead" { reason: Shown<'a> }
        /// This node could not join the others, and caches no sessions.
        warn NodeNotJoined "node_not_joined" "this node has no lease and caches no sessions" { reason: &'a str }
        /// This node could not leave the others at its stop.
        warn NodeNotLeft "node_not_left" "sign-outs on other nodes may wait for this node's lease to end" { reason: &'a str }
        /// This node has lost its lease, and joins anew with an empty cache.
        info LeaseLost "lease_lost" "rejoining with an empty cache" { node: Shown<'a> }
        /// This node could not renew its lease.
        warn LeaseNotRenewed "lease_not_renewed" "trying again" { node: Shown<'a>, reason: &'a str }
        /// This node has renewed its lease after failures.
        info LeaseRenewed "lease_renewed" "the database answers again" { node: Shown<'a> }
        /// This node has evicted another, which did not renew its lease in time.
        warn NodeEvicted "node_evicted" "evicting a node that did not renew its lease in time" { node: Shown<'a> }
        /// This node has evicted another, which has not renewed its lease for long.
        info NodeForgotten "node_forgotten" "evicting a node that has not renewed its lease for long" { node: Shown<'a> }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the tables of events in the documentation: the name, the levels and the rest.
    fn documented() -> Vec<[String; 3]> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/log-events.md");
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        let cells =
            |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        rows.map(cells)
            .map(|cells| [cells[0].trim_matches('`').to_owned(), cells[1].clone(), cells[2..].join(" ")])
            .collect()
    }

    #[test]
    fn every_event_is_documented_with_its_level_and_its_fields() {
        let documented = documented();
        for (name, level, fields) in EVENTS {
            let row = documented.iter().find(|[documented, ..]| documented == name);
            let [_, levels, rest] = row.unwrap_or_else(|| panic!("docs/src/reference/log-events.md lacks {name}"));
            assert!(levels.contains(level), "{name} is {level}, documented as {levels}");
            for field in *fields {
                assert!(rest.contains(&format!("`{field}`")), "{name} has the field {field}: {rest}");
            }
        }
        assert!(EVENTS.len() > 45);
    }
}

//! Plain data that the store, the services and the web layer share.

/// The most groups that a user is in: their names must fit into a header.
pub(crate) const GROUPS_PER_USER: i64 = 50;

/// The group whose members administer the site.
pub(crate) const ADMINISTRATORS: &str = "admins";

mod audit_report;
#[cfg_attr(
    not(any(feature = "federation", feature = "passkeys")),
    allow(dead_code, reason = "without them no ceremony is used")
)]
mod ceremony;
mod credentials;
mod event;
mod factors;
#[cfg_attr(not(feature = "federation"), allow(dead_code, reason = "some of it is for sign-ins through providers"))]
mod identity;
mod import;
mod legacy;
mod message;
mod one_time;
mod outbox;
#[cfg_attr(not(feature = "passkeys"), allow(dead_code, reason = "without them passkeys are listed only"))]
mod passkey;
mod secrets;
mod session;
mod status;
mod user;

pub use audit_report::{AuditProblem, AuditProblemKind, AuditReport};
#[cfg(any(feature = "federation", feature = "passkeys"))]
#[cfg_attr(not(feature = "passkeys"), allow(unused_imports, reason = "some of it is for passkeys and providers"))]
pub(crate) use ceremony::CeremonyId;
pub(crate) use ceremony::UsedCeremony;
pub(crate) use credentials::{Credentials, CredentialsVersion, StoredPassword};
pub use event::{AuditEvent, EventActor, ListEvents};
pub(crate) use event::{ERASED_FIELDS, EventContent, EventWriter, FailedSignIns, NewEvent, SignInEvents, StoredEvent};
pub use factors::Factors;
pub(crate) use factors::{CodeUse, ContinuedSession, FactorRefused, RightCode, StoredTotp};
pub use identity::ListedIdentity;
pub(crate) use identity::{Identity, SessionProvider};
#[cfg(feature = "federation")]
pub(crate) use identity::{
    IdentityConnected, IdentityCreated, IdentityRemoved, IdentitySignIn, IdentityUse, ProviderLogout,
};
pub use import::{ExportedUser, ImportFields, ImportOutcome, ImportParser, ImportRefusal, ImportUser};
pub(crate) use import::{ImportPassword, ImportRow};
pub(crate) use legacy::{LegacyAccount, LegacyColumn, LegacyEnd, LegacyExchange, LegacyRefusal, PresentedLegacy};
pub(crate) use message::{Field, FieldErrors, Message};
pub(crate) use one_time::{BrowserHash, ListedToken, NewOneTimeToken, OneTimeToken};
pub(crate) use outbox::{NewOutboxMessage, OutboxChannel, OutboxKind, OutboxMessage};
pub(crate) use passkey::Passkey;
#[cfg(feature = "passkeys")]
pub(crate) use passkey::{PasskeyAdded, PasskeyOutcome, PasskeyRemoved, PasskeyUse};
pub(crate) use secrets::{KeyNode, SigningTimes};
pub use secrets::{SecretKeyStatus, SecretNode, SecretRole, SecretStatus};
pub use session::ListedSession;
pub(crate) use session::{LiveSession, NewSession, OwnedSession, RevokeOutcome};
pub use status::DatabaseReport;
pub(crate) use status::{DatabaseStatus, EventCounts, EventPage, EventSearch, UndeliveredMessage};
pub(crate) use user::{FindUsers, FoundUser, FoundUsers, LastAdministrator, NewUser, SearchPosition, SessionUser};
pub use user::{ListUsers, User};

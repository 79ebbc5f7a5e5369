//! Plain data that the store, the services and the web layer share.

mod credentials;
mod session;
mod user;

pub(crate) use credentials::{Credentials, CredentialsVersion};
pub use session::ListedSession;
pub(crate) use session::{LiveSession, NewSession, OwnedSession, RevokeOutcome};
pub use user::User;
pub(crate) use user::{NewUser, SessionUser};

//! The public interface for applications: extractors, layers and pages for their routes, and handles for users, sessions and the audit log.

mod audit_log;
mod connection;
mod extract;
mod import;
mod layer;
mod rejection;
mod render;
mod secrets;
mod sessions;
mod sign_in;
mod users;

pub use audit_log::AuditLog;
pub use connection::SessionHold;
pub use extract::{ClientDetails, CurrentSession, CurrentUser, FromLayer};
pub use import::{UserExport, UserImport};
pub use layer::{HandstampLayer, HandstampService};
pub use rejection::{CurrentUserRejection, Forbidden, FromLayerRejection, ReauthenticationRequired, Refusal};
pub use secrets::{SecretStep, Secrets};
pub use sessions::Sessions;
pub use sign_in::{SignIn, SignedIn, SignedOut};
pub use users::{NewUser, UserChanges, Users};

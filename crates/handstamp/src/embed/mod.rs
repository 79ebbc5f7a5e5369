//! What applications call: handles for users and sessions.

mod sessions;
mod users;

pub use sessions::Sessions;
pub use users::{NewUser, Users};

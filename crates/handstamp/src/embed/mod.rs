//! The handles for users and sessions, which applications call.

mod sessions;
mod users;

pub use sessions::Sessions;
pub use users::{NewUser, Users};

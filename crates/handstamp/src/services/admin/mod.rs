//! The acts of an operator on users and sessions. Each returns once every node has applied its change.

mod sessions;
mod users;

pub(crate) use users::CreateUser;

//! The acts of an operator on users and sessions. Each returns once every node has applied its change.

mod edit_user;
mod sessions;
mod set_password;
mod users;

pub(crate) use edit_user::EditUser;
pub(crate) use users::CreateUser;

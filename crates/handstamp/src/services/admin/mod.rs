//! The acts of an operator on users and sessions. Each returns once every node has applied its change.

mod edit_user;
mod identities;
mod mail_reset_link;
mod search;
mod search_events;
mod sessions;
mod set_password;
mod status;
mod user_overview;
mod users;

pub(crate) use edit_user::EditUser;
pub(crate) use status::SiteStatus;
pub(crate) use user_overview::{OperatorAct, UserOverview};
pub(crate) use users::CreateUser;
pub(super) use users::{check_other_account, last_administrator};

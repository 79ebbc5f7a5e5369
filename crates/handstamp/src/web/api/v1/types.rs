//! The JSON types of the API: bodies of requests and responses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::ListedSession;
use crate::sessions::Session;
use crate::web::templates::format_rfc3339;

/// The signed-in user and the session.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct SignedInResponse {
    user: UserResponse,
    session: SessionResponse,
}

/// A user.
#[derive(Serialize, ToSchema)]
struct UserResponse {
    /// The permanent id of the user: a UUID of version 7 (RFC 9562).
    #[schema(format = Uuid)]
    id: String,
    /// The display name.
    name: String,
    /// The e-mail address: as the user typed it, unless it is verified.
    email: String,
    /// Whether the address is known to belong to the user.
    email_verified: bool,
    /// The groups of the user, sorted by name.
    groups: Vec<String>,
    /// When the account was created (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
}

/// The session that a request belongs to.
#[derive(Serialize, ToSchema)]
struct SessionResponse {
    /// The session id, as in the list of sessions; it grants no access.
    #[schema(format = Uuid)]
    id: String,
    /// When it ends at the latest (RFC 3339).
    #[schema(format = DateTime)]
    expires_at: String,
}

impl From<&Session> for SignedInResponse {
    fn from(session: &Session) -> Self {
        let user = &session.user;
        Self {
            user: UserResponse {
                id: user.id.to_string(),
                name: user.name().to_owned(),
                email: user.email().to_owned(),
                email_verified: user.email_verified,
                groups: user.group_names().map(str::to_owned).collect(),
                created_at: format_rfc3339(user.created_at),
            },
            session: SessionResponse {
                id: session.session_id.to_string(),
                expires_at: format_rfc3339(session.claims.expires_at),
            },
        }
    }
}

/// A session of the user.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct ListedSessionResponse {
    /// The session id; it grants no access.
    #[schema(format = Uuid)]
    id: String,
    /// Whether it is the session of this request.
    current: bool,
    /// The `User-Agent` of the sign-in.
    user_agent: String,
    /// The client address of the sign-in; empty where it is not known.
    address: String,
    /// When the user signed in (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
    /// When the last request came, to within five minutes (RFC 3339).
    #[schema(format = DateTime)]
    last_seen_at: String,
}

impl ListedSessionResponse {
    /// A session as the user of the session `current` sees it in the list.
    pub(super) fn new(listed: ListedSession, current: &Session) -> Self {
        Self {
            id: listed.session_id.to_string(),
            current: listed.secret_hash == current.secret_hash,
            user_agent: listed.user_agent,
            address: listed.address,
            created_at: format_rfc3339(listed.created_at),
            last_seen_at: format_rfc3339(listed.last_seen_at),
        }
    }
}

/// The credentials of a sign-in.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct CredentialsBody {
    #[schema(example = "ada@example.com")]
    pub(super) email: String,
    pub(super) password: String,
    /// Whether the session lasts for as long as the site allows, rather than for a day at most. The site allows 30 days, unless
    /// its operator sets less.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(super) remember: bool,
}

fn yes() -> bool {
    true
}

/// The data of a new account.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct NewUserBody {
    pub(super) name: String,
    #[schema(example = "ada@example.com")]
    pub(super) email: String,
    pub(super) password: String,
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct ChangePasswordBody {
    pub(super) current_password: String,
    pub(super) password: String,
}

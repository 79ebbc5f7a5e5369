//! The JSON types of the API: bodies of requests and responses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::format::format_rfc3339;
use crate::model::ListedSession;
use crate::sessions::Session;

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
    /// The id of the user in the system that the user was imported from; null if there was none.
    legacy_id: Option<String>,
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
                legacy_id: user.legacy_id().map(str::to_owned),
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
    /// Needed unless the user has no password yet.
    pub(super) current_password: Option<String>,
    pub(super) password: String,
}

/// The password of the signed-in user, or a code if the user has a second factor.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct ConfirmBody {
    pub(super) password: Option<String>,
    /// A code of the authenticator app, or a recovery code.
    #[schema(example = "123456")]
    pub(super) code: Option<String>,
}

/// The code of a second factor.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct FactorCodeBody {
    /// A code of the authenticator app, or a recovery code.
    #[schema(example = "123456")]
    pub(super) code: String,
}

/// An e-mail address.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct EmailBody {
    #[schema(example = "ada@example.com")]
    pub(super) email: String,
}

/// The code of a mail.
#[derive(Deserialize, ToSchema)]
pub(in crate::web) struct CodeBody {
    /// Eight digits, in groups or not.
    #[schema(example = "1234 5678")]
    pub(super) code: String,
}

#[cfg(all(test, feature = "serde"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use handstamp_core::{SessionSecret, Timestamp, UserId};
    use serde_json::Value;

    use super::*;
    use crate::model::User;

    fn json(value: &impl Serialize) -> serde_json::Map<String, Value> {
        match serde_json::to_value(value).expect("these values can be serialized") {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_api_and_the_serialized_values_of_the_crate_have_the_same_keys_and_values() {
        let (id, created_at) =
            (UserId::from_uuid(uuid::Uuid::from_u128(7)), Timestamp::from_unix_seconds(1_800_000_000));
        let groups = vec!["board".to_owned(), "staff".to_owned()];
        let (name, email) = ("Ada".to_owned(), "ada@example.com".to_owned());
        let shown = UserResponse {
            id: id.to_string(),
            name: name.clone(),
            email: email.clone(),
            email_verified: true,
            groups: groups.clone(),
            created_at: format_rfc3339(created_at),
            legacy_id: Some("42".to_owned()),
        };
        let signed_in_at = Some(created_at);
        let user = User {
            id,
            name,
            email,
            email_verified: true,
            created_at,
            signed_in_at,
            disabled: false,
            groups,
            sessions: 2,
            legacy_id: Some("42".to_owned()),
            language: "en".to_owned(),
        };
        let mut user = json(&user);
        assert_eq!(user.remove("signed_in_at").unwrap(), "2027-01-15T08:00:00Z");
        assert_eq!((user.remove("disabled"), user.remove("sessions")), (Some(false.into()), Some(2.into())));
        assert_eq!(user, json(&shown), "what users see of themselves, operators see the same way");

        let listed = ListedSession {
            secret_hash: SessionSecret::from_bytes([7; 16]).hash(),
            session_id: uuid::Uuid::from_u128(8),
            created_at,
            last_seen_at: created_at,
            user_agent: "Lynx".to_owned(),
            address: "2001:db8::1".to_owned(),
            provider: None,
        };
        let shown = ListedSessionResponse {
            id: listed.session_id.to_string(),
            current: true,
            user_agent: listed.user_agent.clone(),
            address: listed.address.clone(),
            created_at: format_rfc3339(created_at),
            last_seen_at: format_rfc3339(created_at),
        };
        let mut shown = json(&shown);
        assert_eq!(shown.remove("current"), Some(true.into()));
        assert_eq!(json(&listed), shown);
    }
}

//! The export of a realm of Keycloak, with users.

use handstamp_core::ImportedHash;
use serde_json::Value;

use super::super::found::Found;
use super::{first, joined, names, text};
use crate::user_file::Field;

/// The roles that Keycloak gives to every user, for its own purposes.
const OWN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];
const DEFAULT_ROLES: &str = "default-roles-";

/// The fields of a user.
pub(super) fn user(user: &Value) -> Result<Found, String> {
    if user.get("serviceAccountClientId").is_some_and(|client| !client.is_null()) {
        return Err("is the service account of a client".to_owned());
    }
    let mut found = Found::default();
    found.set(Field::Email, text(user, "email")?);
    found.set(Field::Name, first([joined(user, ["firstName", "lastName"]), text(user, "username")])?);
    found.set(Field::EmailVerified, text(user, "emailVerified")?);
    found.set(Field::CreatedAt, text(user, "createdTimestamp")?);
    found.set(Field::LegacyId, text(user, "id")?);
    // A state that is missing or unknown is no permission to sign in.
    let enabled = text(user, "enabled")?;
    found.set(Field::Disabled, if enabled == "true" { "false" } else { "true" });
    found.set(Field::PasswordHash, password(user)?);
    let groups = names(user, "groups")?;
    let roles = names(user, "realmRoles")?;
    let is_own = |role: &String| OWN_ROLES.contains(&role.as_str()) || role.starts_with(DEFAULT_ROLES);
    found.groups = groups.iter().map(|path| path.strip_prefix('/').unwrap_or(path).to_owned()).collect();
    found.groups.extend(roles.into_iter().filter(|role| !is_own(role)));
    Ok(found)
}

/// The hash of the password, which is empty if there is none.
fn password(user: &Value) -> Result<String, String> {
    let credentials = match user.get("credentials") {
        None | Some(Value::Null) => return Ok(String::new()),
        Some(credentials) => credentials.as_array().ok_or("has no list as credentials")?,
    };
    let Some(password) = credentials.iter().find(|credential| credential["type"] == "password") else {
        return Ok(String::new());
    };
    let data = |key| password.get(key).and_then(Value::as_str);
    let (Some(secret), Some(credential)) = (data("secretData"), data("credentialData")) else {
        return Err("has a password without secretData and credentialData".to_owned());
    };
    let hash = ImportedHash::from_keycloak(secret, credential).map_err(|error| error.to_string())?;
    Ok(hash.to_stored().expose().to_owned())
}

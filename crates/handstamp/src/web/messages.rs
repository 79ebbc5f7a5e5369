//! Messages for users that the pages and the API share.

use handstamp_core::{Password, PasswordPolicy};

/// The error of a sign-in. It does not say which of the two is wrong.
pub(super) const WRONG_CREDENTIALS: &str = "The e-mail address or the password is wrong.";
pub(super) const WRONG_CURRENT_PASSWORD: &str = "This is not your current password.";

/// Parses a new password with the checks that need no waiting: not too long, not too short. The error is for the user.
pub(super) fn parse_new_password(text: &str, policy: &PasswordPolicy) -> Result<Password, String> {
    let password = Password::parse(text).map_err(|error| error.to_string())?;
    policy.check_length(&password).map_err(|error| error.to_string())?;
    Ok(password)
}

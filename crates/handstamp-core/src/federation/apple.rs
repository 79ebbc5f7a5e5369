//! The name of a user of Apple, which does not stand in the ID token.

use super::json;

/// The most bytes of the form field that are looked at.
const MAX_BYTES: usize = 4096;

/// The name in the form field `user`, which Apple posts at the first sign-in only.
///
/// The browser carries it unsigned, so the user can change it: it is good for the name to display, and its `email` for nothing.
pub fn apple_name(user: &str) -> Option<String> {
    if user.len() > MAX_BYTES {
        return None;
    }
    let members = json::document(user.as_bytes()).ok()?;
    let name = members.get("name")?;
    let part = |member| name.get(member).and_then(|text| text.as_str()).map(str::trim).filter(|text| !text.is_empty());
    let parts: Vec<&str> = ["firstName", "lastName"].into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_posts_a_name_in_two_parts() {
        // From the documentation of Apple.
        let posted = r#"{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"ada@example.com"}"#;
        assert_eq!(apple_name(posted).as_deref(), Some("Ada Lovelace"));
        assert_eq!(apple_name(r#"{"name":{"firstName":" Ada ","lastName":""}}"#).as_deref(), Some("Ada"));
        assert_eq!(apple_name(r#"{"name":{"lastName":"Lovelace"}}"#).as_deref(), Some("Lovelace"));
        let long = format!(r#"{{"name":{{"firstName":"{}"}}}}"#, "a".repeat(MAX_BYTES));
        for none in
            ["", "{", "[]", "{}", r#"{"name":"Ada"}"#, r#"{"name":{"firstName":7}}"#, r#"{"email":"a@b.c"}"#, &long]
        {
            assert_eq!(apple_name(none), None, "{none}");
        }
    }
}

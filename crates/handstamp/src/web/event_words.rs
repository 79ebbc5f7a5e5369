//! Describes events of the audit log in words, for users and for operators.

use handstamp_core::Timestamp;
use serde_json::Value;

use crate::model::AuditEvent;

/// Describes an event about the user who reads it: `Signed in`.
pub(super) fn describe(event: &AuditEvent) -> String {
    let words = match event.event.as_str() {
        "user_created" => "Account created",
        "user_updated" => "Name changed",
        "user_verified" => "E-mail address confirmed",
        "user_disabled" => "Account disabled",
        "user_enabled" => "Account enabled again",
        "user_unlocked" => "Failed sign-ins forgotten, so that you can sign in at once",
        "authz_change" => return groups(event),
        "authn_login_success" => "Signed in",
        "authn_legacy_session" => "Still signed in from before the site has moved",
        "authn_login_fail" => return failed_sign_ins(event),
        "authn_password_change" => "Password changed",
        "authn_password_reset" => "New password set by a link",
        "authn_password_set" => "New password set by the people who run this site",
        "authn_reauthentication" => "Confirmed that it is you",
        "authn_factor_added" => return factor(event, "set up", "added"),
        "authn_factor_removed" => return factor(event, "removed", "removed"),
        "authn_identity_connected" => return provider(event, "connected"),
        "authn_identity_disconnected" => return provider(event, "disconnected"),
        "authn_recovery_codes_replaced" => "New recovery codes made",
        "authn_recovery_code_used" => return recovery_code(event),
        "authn_factors_reset" => "Second factors removed by the people who run this site",
        "authn_token_created" => "Link to set a new password made",
        "user_email_change" => "E-mail address changed",
        "user_email_change_undo" => "Change of the e-mail address undone",
        "user_export" => "Data downloaded",
        "user_invited" => "Person invited",
        "session_ended" => "Signed out",
        "session_revoked" => return revoked(event),
        "session_limit" => "Signed out on the device that was unused for longest, as you had too many",
        // The event of a later version.
        name => return in_words(name),
    };
    words.to_owned()
}

/// Describes an event to operators: in the words for its user, except where those address the user.
pub(super) fn describe_to_operators(event: &AuditEvent) -> String {
    let words = match event.event.as_str() {
        "user_unlocked" => "Wrong passwords and codes forgotten",
        "user_deleted" => "Account deleted",
        "authn_legacy_session" => "Session of the former system exchanged",
        "authn_reauthentication" => "Authenticated again",
        "authn_factors_reset" => "Second factors and passkeys removed",
        "session_limit" => "Longest unused session ended, as there were more than a hundred",
        "session_revoked" => match number(event, "sessions") {
            0 | 1 => "Session ended",
            sessions => return format!("{sessions} sessions ended"),
        },
        _ => return describe(event),
    };
    words.to_owned()
}

/// The time that an event is about. That of failed sign-ins is their hour, since the event is written when it is over.
pub(super) fn time(event: &AuditEvent) -> Timestamp {
    hour(event).map_or(event.time, |(from, _)| from)
}

fn number(event: &AuditEvent, field: &str) -> u64 {
    event.fields.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn factor(event: &AuditEvent, of_app: &str, of_passkey: &str) -> String {
    match event.fields.get("factor").and_then(Value::as_str) {
        Some("passkey") => format!("Passkey {of_passkey}"),
        _ => format!("Authenticator app {of_app}"),
    }
}

fn provider(event: &AuditEvent, what: &str) -> String {
    let name = event.fields.get("provider").and_then(Value::as_str).unwrap_or_default();
    format!("Sign-in through {name} {what}")
}

fn recovery_code(event: &AuditEvent) -> String {
    match number(event, "left") {
        0 => "Recovery code used; none is left".to_owned(),
        left => format!("Recovery code used; {left} left"),
    }
}

fn revoked(event: &AuditEvent) -> String {
    match number(event, "sessions") {
        0 | 1 => "Signed out on another device".to_owned(),
        sessions => format!("Signed out on {sessions} devices"),
    }
}

fn groups(event: &AuditEvent) -> String {
    let names = |field: &str| {
        let names = event.fields.get(field).and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    match (names("added").as_str(), names("removed").as_str()) {
        ("", "") => "Groups changed".to_owned(),
        (added, "") => format!("Added to the groups {added}"),
        ("", removed) => format!("Removed from the groups {removed}"),
        (added, removed) => format!("Added to the groups {added}, and removed from {removed}"),
    }
}

/// The beginning and the end of the hour of failed sign-ins.
fn hour(event: &AuditEvent) -> Option<(Timestamp, Timestamp)> {
    let time = |field: &str| {
        let time: jiff::Timestamp = event.fields.get(field)?.as_str()?.parse().ok()?;
        Some(Timestamp::from_unix_seconds(time.as_second().try_into().ok()?))
    };
    Some((time("from")?, time("until")?))
}

fn failed_sign_ins(event: &AuditEvent) -> String {
    let count = number(event, "failures");
    let sign_ins = if count == 1 { "1 failed sign-in".to_owned() } else { format!("{count} failed sign-ins") };
    let clock = |time: Timestamp| format!("{:02}:00", time.unix_seconds() / 3600 % 24);
    match hour(event) {
        Some((from, until)) => format!("{sign_ins} between {} and {} UTC", clock(from), clock(until)),
        None => sign_ins,
    }
}

/// The name of an event as a sentence begins: `mail_given_up` is `Mail given up`.
fn in_words(name: &str) -> String {
    let mut characters = name.chars().map(|character| if character == '_' { ' ' } else { character });
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::events::ACTS;
    use crate::model::EventContent;

    fn event(name: &str, fields: Value) -> AuditEvent {
        let Value::Object(fields) = fields else { panic!("{fields} is an object") };
        let content = EventContent { fields, ..EventContent::default() };
        AuditEvent::new(Uuid::nil(), None, Timestamp::from_unix_seconds(1_800_003_700), name.to_owned(), None, content)
    }

    #[test]
    fn every_act_on_an_account_has_words() {
        for name in ACTS.iter().copied().filter(|name| *name != "user_deleted") {
            let words = describe(&event(name, json!({})));
            assert_ne!(words, in_words(name), "{name} is not described");
            assert!(words.starts_with(char::is_uppercase) && !words.contains('_'), "{name}: {words}");
        }
    }

    #[test]
    fn events_are_described_with_their_details() {
        let hour = json!({ "failures": 3, "from": "2027-01-15T23:00:00Z", "until": "2027-01-16T00:00:00Z" });
        for (name, fields, words) in [
            ("authn_login_fail", hour.clone(), "3 failed sign-ins between 23:00 and 00:00 UTC"),
            ("authn_login_fail", json!({ "failures": 1 }), "1 failed sign-in"),
            ("session_revoked", json!({ "sessions": 4 }), "Signed out on 4 devices"),
            ("session_revoked", json!({ "sessions": 1 }), "Signed out on another device"),
            ("authz_change", json!({ "added": ["staff", "board"], "removed": [] }), "Added to the groups staff, board"),
            ("authz_change", json!({ "added": [], "removed": ["staff"] }), "Removed from the groups staff"),
            ("authz_change", json!({ "added": ["a"], "removed": ["b"] }), "Added to the groups a, and removed from b"),
            ("mail_given_up", json!({}), "Mail given up"),
            ("", json!({}), ""),
        ] {
            assert_eq!(describe(&event(name, fields)), words);
        }
        assert_eq!(time(&event("authn_login_fail", hour)).to_string(), "2027-01-15T23:00:00Z");
        assert_eq!(time(&event("session_ended", json!({}))).unix_seconds(), 1_800_003_700);
    }
}

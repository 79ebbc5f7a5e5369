//! The file that `firebase auth:export` writes.

use std::path::Path;

use handstamp_core::{FirebaseParams, ImportedHash};
use serde_json::Value;

use super::super::found::Found;
use super::{read_small, text};
use crate::CliError;
use crate::user_file::Field;

/// The hash settings of a project: those in the text of the Firebase console, or those that each new project has.
pub(super) fn params(path: Option<&Path>) -> Result<FirebaseParams, CliError> {
    match path {
        None => Ok(FirebaseParams { memory_cost: 14, rounds: 8, salt_separator: "Bw==".to_owned() }),
        Some(path) => {
            parse_config(&read_small(path)?).map_err(|reason| CliError::usage(format!("{}: {reason}", path.display())))
        }
    }
}

/// Parses the text that the console shows: `hash_config { algorithm: SCRYPT, … }`.
fn parse_config(text: &str) -> Result<FirebaseParams, String> {
    let value = |name: &str| {
        let pairs = text.split(['{', '}', ',', '\n']).filter_map(|pair| pair.split_once(':'));
        let mut named = pairs.filter(|(key, _)| key.trim().trim_matches('"') == name);
        named.next().map(|(_, value)| value.trim().trim_matches('"')).ok_or_else(|| format!("{name} is missing"))
    };
    let number = |name: &str| value(name)?.parse().map_err(|_| format!("{name} is not a number"));
    match value("algorithm")? {
        "SCRYPT" => Ok(FirebaseParams {
            memory_cost: number("mem_cost")?,
            rounds: number("rounds")?,
            salt_separator: value("base64_salt_separator")?.to_owned(),
        }),
        _ => Err("algorithm is not SCRYPT, the only one that can be verified".to_owned()),
    }
}

/// The fields of a user.
pub(super) fn user(user: &Value, params: &FirebaseParams) -> Result<Found, String> {
    let mut found = Found::default();
    let keys = [
        (Field::Email, "email"),
        (Field::Name, "displayName"),
        (Field::EmailVerified, "emailVerified"),
        (Field::CreatedAt, "createdAt"),
        (Field::Disabled, "disabled"),
        (Field::LegacyId, "localId"),
    ];
    for (field, key) in keys {
        found.set(field, text(user, key)?);
    }
    let (hash, salt) = (text(user, "passwordHash")?, text(user, "salt")?);
    if !hash.is_empty() {
        let hash = ImportedHash::from_firebase(params, &plain_base64(&salt), &plain_base64(&hash));
        found.set(Field::PasswordHash, hash.map_err(|error| error.to_string())?.to_stored().expose());
    }
    Ok(found)
}

/// The Base64 of the alphabet for URLs in the usual one.
fn plain_base64(text: &str) -> String {
    text.replace('-', "+").replace('_', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_console_is_read() {
        let text = "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: c2VjcmV0,\n  base64_salt_separator: Bw==,\n  \
                    rounds: 6,\n  mem_cost: 13,\n}\n";
        let params = parse_config(text).unwrap();
        assert_eq!((params.memory_cost, params.rounds, params.salt_separator.as_str()), (13, 6, "Bw=="));
        let json = r#"{"algorithm": "SCRYPT", "base64_salt_separator": "Bw==", "rounds": 6, "mem_cost": 13}"#;
        assert_eq!(parse_config(json).unwrap().rounds, 6);
        for (text, says) in [
            (text.replace("SCRYPT", "BCRYPT"), "SCRYPT"),
            (text.replace("rounds", "turns"), "rounds is missing"),
            (text.replace("13", "x"), "mem_cost is not a number"),
            (String::new(), "algorithm is missing"),
        ] {
            let error = parse_config(&text).unwrap_err();
            assert!(error.contains(says) && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}

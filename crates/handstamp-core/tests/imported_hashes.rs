//! Hashes that the libraries of other systems made are verified: those in `imported_hashes/vectors.jsonl`, or in the file that
//! `HANDSTAMP_HASH_VECTORS` names. `script/imported-hashes` makes them.

#![allow(clippy::unwrap_used)]

use handstamp_core::{
    Argon2Params, FirebaseParams, HashMemory, ImportSecrets, ImportedHash, ImportedPasswords, Password, PasswordHash,
    PasswordMatch, UnsupportedHash, WeakFormat, WeakHash,
};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/imported_hashes/vectors.jsonl");
    let path = std::env::var("HANDSTAMP_HASH_VECTORS").unwrap_or_else(|_| committed.to_owned());
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn params() -> Argon2Params {
    Argon2Params::new(8, 1, 1).unwrap()
}

fn import(vector: &Value) -> Result<ImportedHash, UnsupportedHash> {
    let text = |name: &str| vector[name].as_str().unwrap();
    let weak = |format| Ok(WeakHash::parse(text("hash"), format)?.wrap(params(), [3; 16], &mut HashMemory::default()));
    match text("kind") {
        "prefixed" => ImportedHash::parse(text("hash")),
        "devise" => ImportedHash::from_devise(text("hash")),
        "better_auth" => ImportedHash::from_better_auth(text("hash")),
        "aspnet" => ImportedHash::from_aspnet_identity(text("hash")),
        "keycloak" => ImportedHash::from_keycloak(text("hash"), text("credential")),
        "firebase" => ImportedHash::from_firebase(&firebase_params(vector), text("salt"), text("hash")),
        "hex" => weak(WeakFormat::Hex),
        "django" => weak(WeakFormat::Django),
        "werkzeug" => weak(WeakFormat::Werkzeug),
        kind => panic!("{kind}"),
    }
}

fn firebase_params(vector: &Value) -> FirebaseParams {
    let number = |name: &str| vector[name].as_u64().unwrap().try_into().unwrap();
    let salt_separator = vector["saltSeparator"].as_str().unwrap().to_owned();
    FirebaseParams { memory_cost: number("memCost"), rounds: number("rounds"), salt_separator }
}

fn secrets(vector: &Value) -> ImportSecrets {
    let secrets = ImportSecrets::default().with_bcrypt_pepper(vector["pepper"].as_str().unwrap_or_default());
    match vector["signerKey"].as_str() {
        Some(key) => secrets.with_firebase_signer_key(key).unwrap(),
        None => secrets,
    }
}

fn matches(stored: &PasswordHash, secrets: &ImportSecrets, password: &str) -> bool {
    let imported = ImportedPasswords { secrets: secrets.clone(), ..ImportedPasswords::default() };
    let password = Password::parse(password).unwrap();
    let checked = params().check_imported(&imported, Some(stored), &password, &mut HashMemory::default()).unwrap();
    match checked {
        PasswordMatch::Invalid => false,
        PasswordMatch::Valid { needs_rehash } => {
            assert!(needs_rehash.is_some(), "an imported hash is replaced");
            true
        }
    }
}

#[test]
fn the_hashes_of_other_systems_match_their_passwords_and_no_others() {
    let vectors = vectors();
    assert!(vectors.len() > 300);
    for vector in &vectors {
        let hash = import(vector).unwrap_or_else(|error| panic!("{error}: {vector}"));
        let (stored, secrets, password) = (hash.to_stored(), secrets(vector), vector["password"].as_str().unwrap());
        assert!(matches(&stored, &secrets, password), "{vector}");
        let wrong = [&format!("x{password}"), "plum-octave-harbouR", "\u{1}", password.get(1..).unwrap_or("x")];
        // A hash of 20 ms takes many times as long in a debug build.
        let tried = if hash.cost().estimated_milliseconds() > 20 { 1 } else { wrong.len() };
        for wrong in &wrong[..tried] {
            assert!(!matches(&stored, &secrets, wrong), "{wrong:?}: {vector}");
        }
    }
}

#[test]
fn a_stored_hash_has_a_prefix_and_is_parsed_as_it_was() {
    for vector in vectors() {
        let hash = import(&vector).unwrap();
        let stored = hash.to_stored();
        let again = ImportedHash::parse(stored.expose()).unwrap();
        assert_eq!(again.to_stored(), stored);
        assert_eq!((again.cost(), again.to_string()), (hash.cost(), hash.to_string()));
        assert_eq!(hash.cost().to_string().parse(), Ok(hash.cost()));
        assert!(!stored.is_own() && PasswordHash::parse_own(stored.expose()).is_err(), "{vector}");
        assert!(stored.expose().len() <= ImportedHash::MAX_LENGTH);
        // An unknown text begins with hexadecimal digits at most.
        let prefix = stored.expose().split_inclusive(['$', ':']).find(|part| part.len() > 1).unwrap();
        assert!(prefix.len() < 24, "{prefix}");
    }
}

#[test]
fn the_description_of_a_hash_shows_nothing_of_it() {
    for vector in vectors() {
        let hash = import(&vector).unwrap();
        let described = format!("{hash} {hash:?}");
        let stored = hash.to_stored();
        let secret_parts = stored.expose().split(['$', ':', ',']).filter(|part| part.len() > 12);
        for part in secret_parts
            .filter(|part| !part.starts_with("handstamp-") && *part != "bcrypt_sha256" && *part != "pbkdf2_sha256")
        {
            assert!(!described.contains(part), "{described}");
        }
    }
}

#[test]
fn a_hash_of_nfc_matches_both_spellings_and_one_of_nfd_only_the_typed_one() {
    let (nfc, nfd) = ("Größe-☃-한글", "Gro\u{308}ße-☃-\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}");
    let mut counts = [0; 2];
    for vector in vectors() {
        let (stored, secrets) = (import(&vector).unwrap().to_stored(), secrets(&vector));
        match vector["password"].as_str().unwrap() {
            password if password == nfc => {
                counts[0] += 1;
                assert!(matches(&stored, &secrets, nfd), "{vector}");
            }
            password if password == nfd => {
                counts[1] += 1;
                let normalises = vector["kind"] == "better_auth";
                assert_eq!(matches(&stored, &secrets, nfc), normalises, "{vector}");
            }
            _ => {}
        }
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn bcrypt_reads_72_bytes_unless_a_digest_comes_before_it() {
    let mut counts = [0; 2];
    for vector in vectors() {
        let (hash, password) = (import(&vector).unwrap(), vector["password"].as_str().unwrap());
        if password.len() <= 72 {
            continue;
        }
        // The 72nd byte is the first of the letter: a longer password has the same beginning.
        let longer = format!("{password}x");
        let truncates = hash.to_string().starts_with("bcrypt, ") || hash.to_string().starts_with("bcrypt with");
        counts[usize::from(truncates)] += 1;
        assert_eq!(matches(&hash.to_stored(), &secrets(&vector), &longer), truncates, "{vector}");
        let shorter: String = password.chars().take(70).collect();
        assert!(!matches(&hash.to_stored(), &secrets(&vector), &shorter), "{vector}");
    }
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
}

#[test]
fn a_secret_of_the_former_site_is_needed_where_it_was_used() {
    let mut counts = [0; 2];
    for vector in vectors() {
        let password = vector["password"].as_str().unwrap();
        let hash = import(&vector).unwrap();
        if vector["kind"] == "firebase" {
            counts[0] += 1;
            assert!(hash.needs_firebase_signer_key());
            assert!(!matches(&hash.to_stored(), &ImportSecrets::default(), password), "{vector}");
            let other = ImportSecrets::default().with_firebase_signer_key(&"AAAA".repeat(21)).unwrap();
            assert!(!matches(&hash.to_stored(), &other, password), "{vector}");
        } else {
            assert!(!hash.needs_firebase_signer_key());
        }
        let peppered = vector["pepper"].as_str().is_some_and(|pepper| !pepper.is_empty());
        // bcrypt does not read as far as the pepper after a long password.
        if peppered && password.len() < 72 {
            counts[1] += 1;
            assert!(!matches(&hash.to_stored(), &ImportSecrets::default(), password), "{vector}");
        }
    }
    assert!(counts.iter().all(|count| *count >= 4), "{counts:?}");
}

#[test]
fn a_pepper_is_appended_only_to_the_passwords_of_devise() {
    let peppered = ImportSecrets::default().with_bcrypt_pepper("f1ee3b1c8a");
    let mut count = 0;
    for vector in vectors().iter().filter(|vector| vector["kind"] == "prefixed") {
        let hash = import(vector).unwrap();
        if hash.to_string().starts_with("bcrypt, ") {
            count += 1;
            assert!(matches(&hash.to_stored(), &peppered, vector["password"].as_str().unwrap()), "{vector}");
        }
    }
    assert!(count >= 20, "{count}");
}

//! The rules for passwords, and the hashes that store them.

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::policy::guesses_from;
use super::*;
use crate::PasswordAdvice;

const POLICY: PasswordPolicy = PasswordPolicy { min_length: 8, min_strength: 3 };

#[test]
fn the_defaults_are_the_recommended_ones() {
    assert_eq!(PasswordPolicy::default(), POLICY);
    let params = Argon2Params::default();
    assert_eq!((params.memory_kib(), params.iterations(), params.parallelism()), (19_456, 2, 1));
    assert!(params.is_recommended() && Argon2Params::new(19_456, 2, 1) == Ok(params));
}
const GOOD: &str = "plum-octave-harbour";

fn password(text: &str) -> Password {
    Password::parse(text).unwrap()
}

fn cheap() -> Argon2Params {
    Argon2Params::new(8, 1, 1).unwrap()
}

fn hash(settings: Argon2Params, text: &str) -> PasswordHash {
    settings.hash(&NewPassword(password(text)), [3; 16], &mut HashMemory::default())
}

fn matches(stored: &PasswordHash, text: &str) -> bool {
    cheap().check(Some(stored), &password(text), &mut HashMemory::default()).unwrap().is_right()
}

#[test]
fn the_default_settings_give_the_hash_of_the_reference_implementation() {
    // Made by argon2-cffi 25.1.0: low_level.hash_secret(b"plum-octave-harbour", b"\x03"*16, 2, 19456, 1, 32, Type.ID)
    let settings = Argon2Params::new(19456, 2, 1).unwrap();
    let golden = "$argon2id$v=19$m=19456,t=2,p=1$AwMDAwMDAwMDAwMDAwMDAw$bNAtXmQTyxyXCV5SufdPn/KJykax1do4gTakfsXcwIY";
    assert_eq!(hash(settings, GOOD).expose(), golden);
}

#[test]
fn a_fingerprint_identifies_a_password_under_one_key_only() {
    let password = |text| Password::parse(text).unwrap();
    let (one, other) = (std::hash::RandomState::new(), std::hash::RandomState::new());
    let fingerprint = password("plum").fingerprint(&one);
    assert_eq!(fingerprint, password("plum").fingerprint(&one));
    assert_ne!(fingerprint, password("plums").fingerprint(&one));
    assert_ne!(fingerprint, password("plum").fingerprint(&other));
}

#[test]
fn every_character_of_a_password_counts() {
    let stored = hash(cheap(), " Plum\toctave\0 harbour ");
    assert!(matches(&stored, " Plum\toctave\0 harbour "));
    for other in ["Plum\toctave\0 harbour", " plum\toctave\0 harbour ", " Plum\toctave", " Plum octave\0 harbour ", ""]
    {
        assert!(!matches(&stored, other), "{other:?}");
    }
}

#[test]
fn a_password_is_normalised_to_nfc_and_in_no_other_way() {
    assert!(matches(&hash(cheap(), "cafe\u{0301}"), "caf\u{00E9}"));
    assert!(!matches(&hash(cheap(), "ﬁle"), "file"), "NFKC would make these alike");
    assert!(!matches(&hash(cheap(), "straße"), "strasse"));
}

#[test]
fn a_password_has_eight_to_256_code_points() {
    let long = "kV7#".repeat(64);
    assert!(Password::parse(&long).is_ok());
    assert_eq!(Password::parse(&format!("{long}x")).err(), Some(PasswordTooLong));
    assert!(Password::parse(&"e\u{0301}".repeat(256)).is_ok(), "counted after normalisation");
    let lenient = PasswordPolicy { min_strength: 0, ..POLICY };
    let short = lenient.accept(password("q7#Kv!z"), &[]);
    assert_eq!(short.unwrap_err(), PasswordError::TooShort { min_length: 8 });
    assert!(lenient.accept(password("q7#Kv!zX"), &[]).is_ok());
    assert!(lenient.accept(password("ééééééé"), &[]).is_err(), "seven code points of two bytes");
    assert!(POLICY.accept(password("日曜の図書館で豆を煮る"), &[]).is_ok());
}

#[test]
fn long_passwords_that_differ_at_the_end_do_not_match() {
    let stored = hash(cheap(), &format!("{}a", "x".repeat(255)));
    assert!(!matches(&stored, &format!("{}b", "x".repeat(255))));
    assert!(!matches(&stored, &"x".repeat(255)));
}

#[test]
fn an_easily_guessed_password_is_refused_with_advice() {
    let context = ["Ada Lovelace", "ada.lovelace@example.com", "Notes & Co"];
    for guess in [
        "password",
        "12345678",
        "qwertyuiop",
        "Lovelace1",
        "ada.lovelace@example.com",
        "lovelace-ada",
        "adalovelace",
        "notesnotes",
    ] {
        let Err(PasswordError::Guessable { advice }) = POLICY.accept(password(guess), &context) else {
            panic!("{guess} was accepted");
        };
        assert!(!advice.is_empty(), "{guess}");
    }
    assert!(POLICY.accept(password(GOOD), &context).is_ok());
    let Err(PasswordError::Guessable { advice }) = POLICY.accept(password("password"), &[]) else {
        panic!("the most used password was accepted");
    };
    assert_eq!(advice[0], PasswordAdvice::TopTen);
}

#[test]
fn a_common_password_is_refused_without_any_strength() {
    let lenient = PasswordPolicy { min_strength: 0, ..POLICY };
    for common in ["password", "12345678", "qwertyuiop", "PassWord1"] {
        assert_eq!(lenient.accept(password(common), &[]).err(), Some(PasswordError::Common), "{common}");
    }
    assert!(lenient.accept(password("password 1"), &[]).is_ok(), "only whole passwords are common");
}

#[test]
fn a_password_has_the_spelling_in_nfc_and_the_typed_one() {
    let spellings = |text| password(text).spellings().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(spellings("cafe\u{301}"), ["caf\u{e9}", "cafe\u{301}"]);
    assert_eq!(spellings("caf\u{e9}"), ["caf\u{e9}"], "one that is in NFC is looked up once");
}

#[test]
fn a_password_needs_exactly_the_configured_strength() {
    let accepts =
        |min_strength| PasswordPolicy { min_strength, ..POLICY }.accept(password("glacier-quilt"), &[]).is_ok();
    assert_eq!([2, 3, 4].map(accepts), [true, true, false]);
}

#[test]
fn the_guesses_from_a_text_are_the_whole_and_its_longer_words() {
    let tried: Vec<_> = guesses_from("Ada-Li Xu <ada@x.example>").collect();
    assert_eq!(tried, ["Ada-Li Xu <ada@x.example>", "Ada", "ada", "example"]);
}

#[test]
fn no_password_matches_without_a_stored_hash() {
    for text in ["", GOOD] {
        let verdict = cheap().check(None, &password(text), &mut HashMemory::default());
        assert!(!verdict.unwrap().is_right());
    }
}

#[test]
fn a_password_check_costs_the_same_for_every_account_and_for_none() {
    let current = Argon2Params::new(64, 3, 1).unwrap();
    let mut memory = HashMemory::default();
    let same = hash(current, GOOD);
    let cheaper = hash(Argon2Params::new(64, 1, 1).unwrap(), GOOD);
    for (checks, stored) in (1..).zip([None, Some(&same), Some(&cheaper)]) {
        let _ = current.check(stored, &password("wrong"), &mut memory);
        assert_eq!(memory.work_kib(), checks * 192, "{stored:?}");
    }
}

#[test]
fn a_decoy_costs_what_the_current_settings_require() {
    let mut memory = HashMemory::default();
    for (memory_kib, passed) in [(128, 128), (64, 128 + 64)] {
        let settings = Argon2Params::new(memory_kib, 1, 1).unwrap();
        let _ = settings.check(None, &password("wrong"), &mut memory);
        assert_eq!(memory.work_kib(), passed);
    }
}

#[test]
fn the_check_of_a_cheaper_hash_does_the_rest_of_the_work() {
    let current = Argon2Params::new(19456, 2, 1).unwrap();
    for (memory_kib, iterations) in [(19456, 1), (12288, 3), (4096, 1), (64, 3), (19455, 2)] {
        let old = Argon2Params::new(memory_kib, iterations, 1).unwrap();
        let rest = current.rest_after(&old).unwrap();
        let work = |settings: Argon2Params| i64::from(settings.memory_kib()) * i64::from(settings.iterations());
        assert!((work(old) + work(rest) - work(current)).abs() <= 8, "{old:?} {rest:?}");
        assert!(rest.memory_kib() <= current.memory_kib());
    }
    assert_eq!(current.rest_after(&current), None);
    assert_eq!(cheap().rest_after(&current), None);
}

#[test]
fn a_hash_with_other_settings_is_checked_and_marked_for_replacement() {
    let raised = Argon2Params::new(64, 2, 1).unwrap();
    let old = hash(cheap(), GOOD);
    let check = |settings: Argon2Params, text| settings.check(Some(&old), &password(text), &mut HashMemory::default());
    assert!(matches!(check(raised, GOOD), Ok(PasswordMatch::Valid { needs_rehash: Some(_) })));
    assert!(matches!(check(cheap(), GOOD), Ok(PasswordMatch::Valid { needs_rehash: None })));
    assert!(matches!(check(raised, "other"), Ok(PasswordMatch::Invalid)));
}

#[test]
fn an_unsupported_stored_hash_is_an_error_and_never_a_match() {
    let good = hash(cheap(), GOOD);
    let changed = |from, to| good.expose().replace(from, to);
    for text in [
        String::new(),
        "plum-octave-harbour".into(),
        changed("argon2id", "argon2i"),
        changed("v=19", "v=16"),
        changed("m=8", "m=4294967295"),
        changed("m=8", "m=2000000"),
        changed("t=1", "t=1000"),
        changed("m=8,t=1", "m=1048576,t=64"),
        changed("p=1", "p=16777215"),
        changed("m=8,t=1,p=1$", ""),
        changed("m=8,", ""),
        changed(",p=1", ""),
        changed("p=1", "p=1,keyid=a2V5"),
        changed("p=1", "p=1,data=c2FsdA"),
        changed("$v=19", ""),
        good.expose().rsplit_once('$').unwrap().0.to_owned(),
    ] {
        let stored = PasswordHash::from_stored(text.clone());
        let checked = cheap().check(Some(&stored), &password(GOOD), &mut HashMemory::default());
        assert_eq!(checked.err(), Some(InvalidHashError), "{text}");
    }
}

#[test]
fn the_memory_of_one_costly_hash_is_not_kept() {
    let costly = hash(Argon2Params::new(4096, 1, 1).unwrap(), GOOD);
    let mut memory = HashMemory::default();
    assert!(cheap().check(Some(&costly), &password(GOOD), &mut memory).unwrap().is_right());
    assert!(memory.blocks.capacity() < 64, "{} KiB", memory.blocks.capacity());
}

#[test]
fn hash_settings_out_of_bounds_are_refused() {
    for (memory_kib, iterations, parallelism) in
        [(7, 1, 1), (8, 0, 1), (8, 1, 0), (15, 1, 2), ((1 << 20) + 1, 1, 1), (8, 65, 1), (1024, 1, 65), (1 << 20, 5, 1)]
    {
        assert!(Argon2Params::new(memory_kib, iterations, parallelism).is_err());
    }
    assert!(
        Argon2Params::new(1 << 20, 4, 1).is_ok() && Argon2Params::new(512, 64, 64).is_ok(),
        "just within the bounds"
    );
    assert_eq!(Argon2Params::new(512, 1, 1).unwrap().memory_kib(), 512);
    assert!(Argon2Params::new(19456, 2, 1).unwrap().is_recommended());
    assert!(Argon2Params::new(47104, 1, 1).unwrap().is_recommended());
    assert!(!Argon2Params::new(19455, 2, 1).unwrap().is_recommended());
}

#[test]
fn passwords_and_hashes_are_not_printed() {
    assert_eq!(format!("{:?} {:?}", password(GOOD), hash(cheap(), GOOD)), "Password(…) PasswordHash(…)");
}

proptest! {
    #[test]
    fn a_password_matches_itself_and_nothing_shorter(text in "\\PC{1,40}") {
        let stored = hash(cheap(), &text);
        prop_assert!(matches(&stored, &text));
        let mut shorter: String = text.nfc().collect();
        shorter.pop();
        prop_assert!(!matches(&stored, &shorter));
    }
}

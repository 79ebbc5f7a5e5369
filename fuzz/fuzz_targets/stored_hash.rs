//! Fuzzes stored password hashes of our own: every text gives an error or a verdict, and never takes too much work.
//!
//! The verdict is right only where the parser of the `argon2` crate agrees.
#![no_main]

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc;
use handstamp_core::{HashMemory, Argon2Params, NewPassword, Password, PasswordHash, PasswordPolicy};
use libfuzzer_sys::fuzz_target;

const WORDS: &str = "plum-octave-harbour";

static SETTINGS: LazyLock<Argon2Params> = LazyLock::new(|| Argon2Params::new(8, 1, 1).expect("the least there is"));
static GOOD: LazyLock<String> = LazyLock::new(|| {
    let mut policy = PasswordPolicy::default();
    (policy.min_length, policy.min_strength) = (1, 0);
    let new: NewPassword = policy.accept(password(), &[]).expect("the policy refuses nothing");
    SETTINGS.hash(&new, [3; 16], &mut HashMemory::default()).expose().to_owned()
});

fn password() -> Password {
    Password::parse(WORDS).expect("19 characters are not too many")
}

/// Whether all numbers are short. Longer ones may be within the caps, but take so long that little else would be tried.
fn is_quick(text: &str) -> bool {
    let mut numbers = text.split(['$', ',']).filter_map(|part| part.split_once('='));
    numbers.all(|(name, number)| number.len() <= if name == "m" { 3 } else { 2 })
}

fuzz_target!(|input: (u8, u8, &str)| {
    // A good hash with a part cut out and a text inserted. A cut of all leaves only the text of the fuzzer.
    let (at, cut, insert) = input;
    let at = usize::from(at).min(GOOD.len());
    let rest = GOOD.get(at + usize::from(cut)..).unwrap_or("");
    let text = format!("{}{insert}{rest}", &GOOD[..at]);
    // The target imported_hash has those of other systems.
    if !is_quick(&text) || !PasswordHash::from_stored(text.clone()).is_own() {
        return;
    }
    let mut memory = HashMemory::default();
    let verdict = SETTINGS.check(Some(&PasswordHash::from_stored(text.clone())), &password(), &mut memory);
    assert!(memory.work_kib() <= 999 * 64 + 8);
    match verdict {
        Ok(verdict) => {
            let theirs = phc::PasswordHash::new(&text).expect("what we can check is a hash");
            let theirs = Argon2::default().verify_password(WORDS.as_bytes(), &theirs);
            assert_eq!(verdict.is_right(), theirs.is_ok(), "{text}");
        }
        Err(_) => assert_ne!(text, *GOOD),
    }
});

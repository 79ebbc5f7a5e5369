//! Fuzzes password hashes of other systems: every text is parsed or refused, and a check of any hash costs what a check without
//! an account does.
#![no_main]

use std::sync::LazyLock;

use handstamp_core::{
    Argon2Params, HashMemory, HashWork, ImportedHash, ImportedPasswords, Password, PasswordHash, WeakFormat, WeakHash,
};
use libfuzzer_sys::fuzz_target;

static SETTINGS: LazyLock<Argon2Params> = LazyLock::new(|| Argon2Params::new(8, 1, 1).expect("the least there is"));

/// A hash of each format, in which parts are replaced.
const HASHES: [&str; 20] = [
    "scrypt:16:8:1$salt$41f191be9285f5ac28fb6f12a53cbdd7",
    "scrypt$16$salt$8$3$7C7bkNL92kvMETlZQieLwRbUuTTzPcsb",
    "$scrypt$ln=4,r=4,p=2$prTWGkMoRWjNOYcQgjBmrA$COELp1a97K5dWsr4cf2yKXHx2Nf7Sugmuf43QPeOVvM",
    "pbkdf2:sha256:10$salt$099476b28e6aca802789df954fc89a2fdb0d99ec1bed7f075d2ca102861d726e",
    "pbkdf2_sha256$12$salt$t/ea+qMcVY1Q+/z86ZIhuAIXtss=",
    "pbkdf2_sha1$12$salt$t/ea+qMcVY1Q+/z86ZIhuAIXtss=",
    "$pbkdf2-sha512$10$OOdcq5USAqA0xvi.V8q5lw$jTwOTKP3Q6liJKD9GRTnF3AMuE22QMhEPpNuYgttOXg",
    "$pbkdf2$10$OOdcq5USAqA0xvi.V8q5lw$jTwOTKP3Q6liJKD9GRTnF3AMuE22QMhEPpNuYgttOXg",
    "$2y$04$.HSnAsN8jSQDezOvD0DrLOvOw9XkjgNlcy6cg6DRQzFL33fEdAbxa",
    "bcrypt_sha256$$2b$04$gbpSnQVIAIMJpwfyu5S0ieYP.aV/ixbwBRcvBCG2l743cnRJ5mRYy",
    "$bcrypt-sha256$v=2,t=2b,r=4$FqCGgNBFfvgnDHCy4SZucu$ByY4tIZrDjbN5pAIFaBySOT7AGiTg4O",
    "$bcrypt-sha256$2b,4$FqCGgNBFfvgnDHCy4SZucu$ByY4tIZrDjbN5pAIFaBySOT7AGiTg4O",
    "handstamp-devise$$2a$04$.HSnAsN8jSQDezOvD0DrLOvOw9XkjgNlcy6cg6DRQzFL33fEdAbxa",
    "$5$rounds=1000$GTN20kJCZsiGxBdT$/d3bq6jepl.lNtyQ/udYqIgu9u690kG0E6RUeGKB9F.",
    "$6$rounds=1000$salt$KbEURd2mcqYlZ5BbVcnEda8naSlnj9SYeDUQmakRAy8qQPS5HkZcZXmS1bDo7LnsWw/FAe2GW9KMIHYVCU1Vq/",
    "$y$j1/$.OPpA.GS5RUnW0ijIwJbR/$UmyIHClJOVTH95s2H8RAvq2P5W4TCkFkPIZKql0k9F5",
    "argon2$argon2d$v=19$m=16,t=1,p=2$wdi7l/I+x9h7bw1BiDFmbA$07ytyevP5sa1oMcMZg0T9h1PwT1nMUkcraudG6af254",
    "$argon2i$m=16,t=1,p=2$wdi7l/I+x9h7bw1BiDFmbA$07ytyevP5sa1oMcMZg0T9h1PwT1nMUkcraudG6af254",
    "handstamp-firebase$4$1$42xEC+ixf3L2lwc$07ytyevP5sa1oMcMZg0T9h1PwT1nMUkcraudG6af254",
    "handstamp-digest$hmac-sha1$c2FsdA$argon2id$v=19$m=16,t=1,p=2$wdi7l/I+x9h7bw1BiDFmbA$07ytyevP5sa1oMcMZg0T9h1PwT1nMUk",
];

fn work(imported: &ImportedPasswords, stored: Option<&PasswordHash>) -> (u64, HashWork) {
    let mut memory = HashMemory::default();
    let password = Password::parse("cafe\u{301}").expect("five characters are not too many");
    let checked = SETTINGS.check_imported(imported, stored, &password, &mut memory);
    assert!(!checked.expect("a parsed hash can be checked").is_right());
    (memory.work_kib(), memory.imported_work().clone())
}

fuzz_target!(|input: (u8, u8, u8, &str)| {
    let (hash, at, cut, insert) = input;
    let hash = HASHES[usize::from(hash) % HASHES.len()];
    let at = usize::from(at).min(hash.len());
    let rest = hash.get(at + usize::from(cut)..).unwrap_or("");
    let text = format!("{}{insert}{rest}", &hash[..at]);
    for format in [WeakFormat::Hex, WeakFormat::Django, WeakFormat::Werkzeug] {
        let _ = WeakHash::parse(insert, format);
    }
    let _ = ImportedHash::from_keycloak(insert, insert);
    let parsed = [
        ImportedHash::parse(&text),
        ImportedHash::from_better_auth(insert),
        ImportedHash::from_aspnet_identity(insert),
        ImportedHash::from_devise(insert),
    ];
    for parsed in parsed.into_iter().flatten() {
        let (stored, cost) = (parsed.to_stored(), parsed.cost());
        let again = ImportedHash::parse(stored.expose()).expect("a hash that was parsed");
        assert_eq!((again.cost(), again.to_string()), (cost, parsed.to_string()));
        assert_eq!(cost.to_string().parse(), Ok(cost));
        let mut imported = ImportedPasswords::default();
        imported.costs.insert(cost).expect("one hash below the caps");
        assert_eq!(imported.costs.to_string().parse().as_ref(), Ok(&imported.costs));
        // Costlier ones would leave no time for others.
        if cost.estimated_milliseconds() <= 3 {
            assert_eq!(work(&imported, None), work(&imported, Some(&stored)), "{text}");
        }
    }
});

//! The work of checks, the caps, and hostile texts. The hashes of real libraries are in `tests/imported_hashes.rs`.

use proptest::prelude::*;

use super::*;
use crate::password::Password;
use crate::{Argon2Params, NewPassword, PasswordMatch};

const PLUM: &str = "plum-octave-harbour";

/// A cheap hash of each scheme and format, of [`PLUM`] or of another password.
const HASHES: [&str; 17] = [
    "scrypt:1024:8:1$vOyc9jw1UKjnAfkv$41f191be9285f5ac28fb6f12a53cbdd7",
    "scrypt$256$salt$8$3$7C7bkNL92kvMETlZQieLwRbUuTTzPcsb",
    "$scrypt$ln=8,r=4,p=2$prTWGkMoRWjNOYcQgjBmrA$COELp1a97K5dWsr4cf2yKXHx2Nf7Sugmuf43QPeOVvM",
    "pbkdf2:sha256:1000$I6avMy6vEmP7Adoc$099476b28e6aca802789df954fc89a2fdb0d99ec1bed7f075d2ca102861d726e",
    "pbkdf2_sha1$1200$EiHDaXAwIajrjKuMcVpz55$t/ea+qMcVY1Q+/z86ZIhuAIXtss=",
    "$pbkdf2-sha512$100$OOdcq5USAqA0xvi.V8q5lw$jTwOTKP3Q6liJKD9GRTnF3AMuE22QMhEPpNuYgttOXg",
    "$2y$04$.HSnAsN8jSQDezOvD0DrLOvOw9XkjgNlcy6cg6DRQzFL33fEdAbxa",
    "$2b$06$YROpjuAAT0hLH/.4354hN.AOoGQ5GqPZLBjWExyN/y83Sfp57Jfa6",
    "bcrypt_sha256$$2b$05$gbpSnQVIAIMJpwfyu5S0ieYP.aV/ixbwBRcvBCG2l743cnRJ5mRYy",
    "$bcrypt-sha256$v=2,t=2b,r=4$FqCGgNBFfvgnDHCy4SZucu$ByY4tIZrDjbN5pAIFaBySOT7AGiTg4O",
    "$5$4YxS7Am$YkxYTzepdCDJaQvhRPiUmoneVDpQnIKPG80JinIFTi0",
    "$5$rounds=1000$GTN20kJCZsiGxBdT$/d3bq6jepl.lNtyQ/udYqIgu9u690kG0E6RUeGKB9F.",
    "$6$rounds=1001$FmLNL4/UXglJ0rrU$KbEURd2mcqYlZ5BbVcnEda8naSlnj9SYeDUQmakRAy8qQPS5HkZcZXmS1bDo7LnsWw/FAe2GW9KMIHYVCU1Vq/",
    "$y$j75$.OPpA.GS5RUnW0ijIwJbR/$UmyIHClJOVTH95s2H8RAvq2P5W4TCkFkPIZKql0k9F5",
    "$argon2d$v=19$m=64,t=1,p=2$wdi7l/I+x9h7bw1BiDFmbA$07ytyevP5sa1oMcMZg0T9h1PwT1nMUkcraudG6af254",
    "argon2$argon2id$v=19$m=256,t=2,p=4$SGJtV3BZcHJTUTlVdlVWVENYaGVwTg$s1EMauKqVafXVGOISaWa/nck/2w8wDE7ViKCwZxFL0k",
    "handstamp-better-auth$2fd78f2a2f8b1874636d3499662f0cd7:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
];

fn params() -> Argon2Params {
    Argon2Params::new(32, 2, 1).unwrap()
}

fn password(text: &str) -> Password {
    Password::parse(text).unwrap()
}

fn new_password(text: &str) -> NewPassword {
    let mut policy = crate::PasswordPolicy::default();
    (policy.min_length, policy.min_strength) = (1, 0);
    policy.accept(password(text), &[]).unwrap()
}

fn parse(text: &str) -> ImportedHash {
    ImportedHash::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Hashes of [`PLUM`] by this crate alone, for checks that succeed.
fn hashes_of_plum() -> Vec<ImportedHash> {
    let mut memory = HashMemory::default();
    let digest = <sha1::Sha1 as sha1::Digest>::digest(PLUM);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let weak = WeakHash::parse(&digits, WeakFormat::Hex).unwrap();
    let mut keys = [0; 32];
    ::pbkdf2::pbkdf2_hmac::<sha2::Sha256>(PLUM.as_bytes(), b"salt", 700, &mut keys);
    let pbkdf2 = Pbkdf2Hash::new(Pbkdf2Digest::Sha256, 700, b"salt".to_vec(), keys.to_vec()).unwrap();
    vec![weak.wrap(params(), [1; 16], &mut memory), ImportedHash::from_pbkdf2(pbkdf2).unwrap()]
}

fn site(hashes: &[ImportedHash]) -> ImportedPasswords {
    let mut imported = ImportedPasswords::default();
    hashes.iter().for_each(|hash| imported.costs.insert(hash.cost()).unwrap());
    imported
}

/// The work of a check: of our own hashes with Argon2 of other systems, and by family.
fn work(imported: &ImportedPasswords, stored: Option<&PasswordHash>, typed: &str) -> (u64, HashWork) {
    let mut memory = HashMemory::default();
    let _ = params().check_imported(imported, stored, &password(typed), &mut memory).unwrap();
    (memory.work_kib(), memory.imported_work().clone())
}

#[test]
fn a_check_costs_the_same_for_every_scheme_for_our_own_hashes_and_for_no_account() {
    // Without the last, whose cost is not for choice.
    let mut hashes: Vec<ImportedHash> = HASHES[..16].iter().map(|text| parse(text)).collect();
    hashes.extend(hashes_of_plum());
    let imported = site(&hashes);
    let own = params().hash(&new_password(PLUM), [3; 16], &mut HashMemory::default());
    let cheaper = Argon2Params::new(16, 1, 1).unwrap().hash(&new_password(PLUM), [3; 16], &mut HashMemory::default());
    for typed in [PLUM, "", "wrong", "nul\0", "cafe\u{301}", &"x".repeat(200), &"\u{fdfa}".repeat(256)] {
        let nobody = work(&imported, None, typed);
        assert_eq!(nobody, work(&imported, Some(&own), typed), "{typed}");
        assert_eq!(nobody, work(&imported, Some(&cheaper), typed), "{typed}");
        for hash in &hashes {
            assert_eq!(nobody, work(&imported, Some(&hash.to_stored()), typed), "{typed:?} {hash}");
        }
    }
}

#[test]
fn a_check_does_the_work_of_the_highest_cost_of_each_family_for_each_spelling() {
    let imported =
        ImportedPasswords { costs: "bcrypt:6 pbkdf2-sha1:900 scrypt:5:1:2".parse().unwrap(), ..Default::default() };
    for (typed, spellings) in [("plum", 1), ("caf\u{e9}", 1), ("cafe\u{301}", 2)] {
        let mut expected = HashWork::default();
        for _ in 0..spellings {
            // Of two calls: bcrypt is followed by none of its work, and PBKDF2 by one iteration.
            for work in [64, 0] {
                expected.add(cost::HashFamily::Bcrypt, work);
            }
            for work in [900, 1] {
                expected.add(cost::HashFamily::Pbkdf2(Pbkdf2Digest::Sha1), work);
            }
            expected.add("scrypt:5:1:2".parse::<HashCost>().unwrap().family, 1);
        }
        assert_eq!(work(&imported, None, typed), (64, expected), "{typed}");
    }
}

#[test]
fn without_imported_hashes_a_check_does_what_it_did() {
    let own = params().hash(&new_password(PLUM), [3; 16], &mut HashMemory::default());
    let none = ImportedPasswords::default();
    for stored in [None, Some(&own)] {
        assert_eq!(work(&none, stored, "cafe\u{301}"), (64, HashWork::default()));
    }
}

#[test]
fn a_hash_above_the_costs_of_the_site_is_checked_as_well() {
    let right = hashes_of_plum();
    for costs in ["", "pbkdf2-sha256:100", "bcrypt:4"] {
        let imported = ImportedPasswords { costs: costs.parse().unwrap(), ..Default::default() };
        for hash in &right {
            for (typed, expected) in [(PLUM, true), ("plum-octave-harbouR", false)] {
                let mut memory = HashMemory::default();
                let stored = hash.to_stored();
                let checked = params().check_imported(&imported, Some(&stored), &password(typed), &mut memory).unwrap();
                assert_eq!(checked.is_right(), expected, "{costs} {hash}");
            }
        }
    }
}

#[test]
fn an_imported_hash_is_always_replaced() {
    let imported = site(&hashes_of_plum());
    for hash in hashes_of_plum() {
        let checked =
            params().check_imported(&imported, Some(&hash.to_stored()), &password(PLUM), &mut HashMemory::default());
        let Ok(PasswordMatch::Valid { needs_rehash: Some(again) }) = checked else { panic!("{checked:?}") };
        let own = params().hash(&again, [3; 16], &mut HashMemory::default());
        let checked = params().check_imported(&imported, Some(&own), &password(PLUM), &mut HashMemory::default());
        assert!(matches!(checked, Ok(PasswordMatch::Valid { needs_rehash: None })));
    }
}

#[test]
fn no_password_matches_a_site_without_the_account() {
    let imported = site(&HASHES.map(parse));
    for typed in ["", PLUM] {
        let checked = params().check_imported(&imported, None, &password(typed), &mut HashMemory::default());
        assert!(!checked.unwrap().is_right());
    }
}

#[test]
fn an_unreadable_stored_hash_is_an_error() {
    for text in ["", "plum", "$2y$04$short", "md5$salt$298b0acdb15cf8069e62bcd807097f23"] {
        let stored = PasswordHash::from_stored(text.to_owned());
        let none = ImportedPasswords::default();
        let checked = params().check_imported(&none, Some(&stored), &password(PLUM), &mut HashMemory::default());
        assert_eq!(checked.err(), Some(crate::InvalidHashError), "{text}");
    }
}

#[test]
fn the_memory_of_argon2_is_kept_only_where_each_check_needs_it() {
    let costly = "argon2id:19:4096:1:1".parse::<HashCost>().unwrap();
    let mut imported = ImportedPasswords::default();
    let mut memory = HashMemory::default();
    let stored = PasswordHash::from_stored(format!("argon2$argon2id$v=19$m=4096,t=1,p=1${0}${0}", "A".repeat(22)));
    let _ = params().check_imported(&imported, Some(&stored), &password(PLUM), &mut memory).unwrap();
    assert!(memory.blocks.len() == 32, "{}", memory.blocks.len());
    imported.costs.insert(costly).unwrap();
    let _ = params().check_imported(&imported, None, &password(PLUM), &mut memory).unwrap();
    assert!(memory.blocks.len() == 4096);
}

#[test]
fn a_password_with_a_zero_byte_matches_no_bcrypt_hash() {
    // A library that ignores zero bytes makes this hash.
    let output = ::bcrypt::bcrypt(4, [0; 16], b"plum\0octave\0");
    let digits = base64_simd::STANDARD_NO_PAD.encode_to_string(&output[..23]);
    let bcrypt_digit = |digit: char| match digit {
        'A' => '.',
        'B' => '/',
        'C'..='Z' => char::from(digit as u8 - 2),
        'a' => 'Y',
        'b' => 'Z',
        'c'..='z' => char::from(digit as u8 - 2),
        '0' => 'y',
        '1' => 'z',
        '2'..='9' => char::from(digit as u8 - 2),
        '+' => '8',
        _ => '9',
    };
    let digits: String = digits.chars().map(bcrypt_digit).collect();
    let hash = parse(&format!("$2b$04${}{digits}", ".".repeat(22)));
    let imported = site(&[]);
    assert!(!imported.verify(Some(&hash), &password("plum\0octave"), &mut HashMemory::default()));
}

#[test]
fn a_password_of_more_than_256_bytes_matches_no_sha_crypt_hash() {
    let truncated = sha_crypt_text(&"x".repeat(256));
    let imported = site(&[]);
    let verify = |typed: &str| imported.verify(Some(&truncated), &password(typed), &mut HashMemory::default());
    assert!(verify(&"x".repeat(256)));
    // 256 letters of two bytes each are the most that a password has.
    assert!(!verify(&("x".repeat(255) + "é")));
    let letters = sha_crypt_text(&"é".repeat(128));
    assert!(imported.verify(Some(&letters), &password(&"é".repeat(128)), &mut HashMemory::default()));
    assert!(!imported.verify(Some(&letters), &password(&"é".repeat(129)), &mut HashMemory::default()));
}

/// A hash by SHA-512-crypt without a salt. Its last byte has two digits of its own, and the others are in triples.
fn sha_crypt_text(text: &str) -> ImportedHash {
    let output = ::sha_crypt::sha512_crypt(text.as_bytes(), b"", ::sha_crypt::Params::new(1000).unwrap());
    let alphabet = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = String::new();
    let mut push = |bytes: [usize; 3], count| {
        let [high, middle, low] = bytes.map(|index| output.get(index).map_or(0, |byte| u32::from(*byte)));
        let mut bits = high << 16 | middle << 8 | low;
        for _ in 0..count {
            digits.push(char::from(alphabet[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    let (mut a, mut b, mut c) = (0, 21, 42);
    for _ in 0..21 {
        push([a, b, c], 4);
        (a, b, c) = (b + 1, c + 1, a + 1);
    }
    push([64, 64, 63], 2);
    parse(&format!("$6$rounds=1000$${digits}"))
}

#[test]
fn a_cost_beyond_the_caps_is_refused() {
    let output = "A".repeat(22);
    let digits = "0".repeat(64);
    let too_high = [
        format!("scrypt:1048576:16:1$salt${digits}"),
        format!("scrypt:1048576:8:4294967296$salt${digits}"),
        format!("scrypt:1024:65536:1$salt${digits}"),
        format!("scrypt:2:65535:65535$salt${digits}"),
        format!("scrypt:2:8:600000$salt${digits}"),
        format!("scrypt:2:65535:200$salt${digits}"),
        format!("$scrypt$ln=63,r=8,p=1$${output}"),
        // These two would take less than four seconds, in more than 1 GiB.
        format!("$scrypt$ln=20,r=9,p=1$${output}"),
        format!("$y$jFj$salt${}", ".".repeat(43)),
        format!("pbkdf2:sha256:10000000$salt${digits}"),
        format!("pbkdf2:sha1:4294967295$salt${digits}"),
        format!("pbkdf2:sha1:4294967296$salt${digits}"),
        format!("$2b$17${}", ".".repeat(53)),
        format!("$2b$31${}", ".".repeat(53)),
        format!("$2b$99${}", ".".repeat(53)),
        format!("$5$rounds=6000000$salt${}", ".".repeat(43)),
        format!("$6$rounds=999999999$salt${}", ".".repeat(86)),
        format!("$y$jIT$salt${}", ".".repeat(43)),
        format!("$y$jYT$salt${}", ".".repeat(43)),
        format!("$argon2i$v=19$m=2097152,t=1,p=1${output}${output}"),
        format!("$argon2i$v=19$m=1048576,t=5,p=1${output}${output}"),
        format!("$argon2i$v=19$m=64,t=65,p=1${output}${output}"),
    ];
    for text in too_high {
        assert_eq!(ImportedHash::parse(&text).err(), Some(UnsupportedHash::CostTooHigh), "{text}");
    }
    for text in [
        format!("scrypt:131072:8:1$salt${digits}"),
        format!("pbkdf2:sha256:8000000$salt${digits}"),
        format!("pbkdf2:sha512:1200000$salt${digits}{digits}"),
        format!("$2b$16${}", ".".repeat(53)),
        format!("$6$rounds=656000$salt${}", ".".repeat(86)),
        format!("$y$jFT$salt${}", ".".repeat(43)),
        format!("$argon2i$v=19$m=1048576,t=4,p=1${output}${output}"),
    ] {
        assert!(parse(&text).cost().estimated_milliseconds() > 100, "{text}");
    }
}

#[test]
fn a_malformed_hash_is_refused_with_its_reason() {
    use UnsupportedHash::{Malformed, UnknownFormat, UnsupportedParameters, Weak};
    let output = "A".repeat(22);
    let short = "A".repeat(20);
    let digits = "0".repeat(64);
    let bcrypt = ".".repeat(53);
    let crypt = ".".repeat(43);
    for (text, reason) in [
        (String::new(), UnknownFormat),
        (PLUM.into(), UnknownFormat),
        (" $2b$04$".to_owned() + &bcrypt, UnknownFormat),
        ("{SSHA}AAAA".into(), UnknownFormat),
        ("$1$salt$hash".into(), UnknownFormat),
        (format!("scrypt:1000:8:1$salt${digits}"), Malformed),
        (format!("scrypt:0:8:1$salt${digits}"), Malformed),
        (format!("scrypt:1:8:1$salt${digits}"), Malformed),
        (format!("scrypt:1024:0:1$salt${digits}"), Malformed),
        (format!("scrypt:1024:8:0$salt${digits}"), Malformed),
        (format!("scrypt:1024:8$salt${digits}"), Malformed),
        (format!("scrypt:1024:8:1$salt${digits}0"), Malformed),
        ("scrypt:1024:8:1$salt$00".into(), Malformed),
        (format!("scrypt:1024:8:1$salt${}", "0".repeat(258)), Malformed),
        (format!("pbkdf2:sha256:0$salt${digits}"), Malformed),
        (format!("pbkdf2:sha256$salt${digits}"), Malformed),
        (format!("pbkdf2:md5:10$salt${digits}"), UnsupportedParameters),
        (format!("pbkdf2_sha256$10$salt${output}$"), Malformed),
        (format!("$2x$04${bcrypt}"), UnsupportedParameters),
        (format!("$2$04${bcrypt}"), UnsupportedParameters),
        (format!("$2b$4${bcrypt}."), Malformed),
        (format!("$2b$03${bcrypt}"), Malformed),
        (format!("$2b$004${bcrypt}"), Malformed),
        (format!("$2b$04${bcrypt}."), Malformed),
        (format!("$2b$04${}ü", ".".repeat(51)), Malformed),
        (format!("$2b$04${}ü{}", ".".repeat(21), ".".repeat(30)), Malformed),
        (format!("bcrypt$2b$04${bcrypt}"), Malformed),
        (format!("$bcrypt-sha256$v=3,t=2b,r=4${}${}", ".".repeat(22), ".".repeat(31)), Malformed),
        (format!("$bcrypt-sha256$v=2,t=2x,r=4${}${}", ".".repeat(22), ".".repeat(31)), UnsupportedParameters),
        (format!("$5$rounds=999$salt${crypt}"), Malformed),
        (format!("$5$rounds=$salt${crypt}"), Malformed),
        (format!("$5$01234567890123456${crypt}"), Malformed),
        (format!("$6$salt${crypt}"), Malformed),
        (format!("$y$j9T$salt${}", ".".repeat(42)), Malformed),
        (format!("$y$z9T$salt${crypt}"), UnsupportedParameters),
        (format!("$y$j9T.$salt${crypt}"), UnsupportedParameters),
        (format!("$y$jzT$salt${crypt}"), UnsupportedParameters),
        (format!("$y$jü$salt${crypt}"), UnsupportedParameters),
        (format!("$y$j.T$salt${crypt}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=1,p=1,keyid=AAAA${output}${output}"), UnsupportedParameters),
        (format!("$argon2i$v=19$m=64,t=1,p=1,data=AAAA${output}${output}"), UnsupportedParameters),
        (format!("$argon2i$v=18$m=64,t=1,p=1${output}${output}"), UnsupportedParameters),
        (format!("$argon2x$v=19$m=64,t=1,p=1${output}${output}"), UnknownFormat),
        (format!("$argon2i$v=19$t=1,m=64,p=1${output}${output}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=1${output}${output}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=0,p=1${output}${output}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=1,p=9${output}${output}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=1,p=1$AAAA${output}"), Malformed),
        (format!("$argon2i$v=19$m=64,t=1,p=1${}${output}", "A".repeat(88)), Malformed),
        (format!("$argon2i$v=19$m=64,t=1,p=1${output}${short}"), Malformed),
        ("argon2".into(), Malformed),
        (format!("handstamp-digest$md4$AAAA$argon2id$v=19$m=64,t=1,p=1${output}${output}"), UnsupportedParameters),
        ("handstamp-digest$md5$AAAA".into(), Malformed),
        (format!("handstamp-better-auth$:{}", "0".repeat(128)), Malformed),
        (format!("handstamp-better-auth$00:{digits}"), Malformed),
        ("0".repeat(32), Weak),
        ("F".repeat(40), Weak),
        ("md5$salt$00".into(), Weak),
        ("sha1$$00".into(), Weak),
        ("unsalted_md5$00".into(), Weak),
        (format!("pbkdf2:sha256:10${}${digits}", "s".repeat(1024)), Malformed),
    ] {
        assert_eq!(ImportedHash::parse(&text).map(|hash| hash.to_string()), Err(reason), "{text}");
    }
}

#[test]
fn the_texts_of_systems_without_a_prefix_are_refused_if_they_are_malformed() {
    let secret = format!(r#"{{"value":"{0}","salt":"{0}"}}"#, "A".repeat(22));
    let credential = |text: &str| ImportedHash::from_keycloak(&secret, text).map(|hash| hash.to_string());
    let argon2 = |kind: &str, version: &str| {
        credential(&format!(
            r#"{{"hashIterations":2,"algorithm":"argon2","additionalParameters":
               {{"type":["{kind}"],"version":["{version}"],"memory":["64"],"parallelism":["1"]}}}}"#
        ))
    };
    assert_eq!(argon2("id", "1.3").as_deref(), Ok("Argon2id, 64 KiB, passes 2, lanes 1"));
    assert_eq!(argon2("x", "1.3"), Err(UnsupportedHash::UnsupportedParameters));
    assert_eq!(argon2("id", "1.2"), Err(UnsupportedHash::UnsupportedParameters));
    assert_eq!(credential(r#"{"hashIterations":2,"algorithm":"bcrypt"}"#), Err(UnsupportedHash::UnknownFormat));
    for text in ["", "[]", "{}", "null", r#"{"hashIterations":"2","algorithm":"pbkdf2"}"#, r#"{"hashIterations":-2}"#] {
        assert_eq!(credential(text), Err(UnsupportedHash::Malformed), "{text}");
    }
    let numbers = |number: &str| credential(&format!(r#"{{"hashIterations":{number},"algorithm":"pbkdf2"}}"#));
    assert_eq!(numbers("4294967296"), Err(UnsupportedHash::CostTooHigh));
    assert_eq!(numbers("0"), Err(UnsupportedHash::Malformed));
    assert_eq!(numbers("1").as_deref(), Ok("PBKDF2 with HMAC-SHA-1, iterations 1"));
    assert_eq!(credential(&" ".repeat(2049)), Err(UnsupportedHash::Malformed));

    let aspnet = |bytes: &[u8]| {
        ImportedHash::from_aspnet_identity(&base64_simd::STANDARD.encode_to_string(bytes)).map(|hash| hash.to_string())
    };
    let identity =
        |function, salt_length| [&[1, 0, 0, 0, function, 0, 0, 0, 9, 0, 0, 0, salt_length][..], &[7; 24]].concat();
    assert_eq!(aspnet(&identity(1, 8)).as_deref(), Ok("PBKDF2 with HMAC-SHA-256, iterations 9"));
    for (bytes, reason) in [
        (identity(3, 8), UnsupportedHash::UnsupportedParameters),
        (identity(1, 25), UnsupportedHash::Malformed),
        (identity(1, 9), UnsupportedHash::Malformed),
        (vec![0; 49], UnsupportedHash::UnsupportedParameters),
        (vec![1; 12], UnsupportedHash::Malformed),
        (vec![], UnsupportedHash::Malformed),
    ] {
        assert_eq!(aspnet(&bytes), Err(reason), "{bytes:?}");
    }

    let firebase = |memory_cost, salt: &str, hash: &str| {
        let params = FirebaseParams { memory_cost, rounds: 8, salt_separator: "Bw==".into() };
        ImportedHash::from_firebase(&params, salt, hash).map(|hash| hash.to_string())
    };
    let hash = "A".repeat(86);
    assert_eq!(firebase(14, "AAAA", &hash).as_deref(), Ok("scrypt of Firebase, N 16384, r 8, p 1"));
    assert_eq!(firebase(40, "AAAA", &hash), Err(UnsupportedHash::CostTooHigh));
    assert_eq!(firebase(14, "A", &hash), Err(UnsupportedHash::Malformed));
    assert_eq!(firebase(14, &"A".repeat(260), &hash), Err(UnsupportedHash::Malformed));
    assert!(ImportedHash::from_devise("plum").is_err());
}

#[test]
fn weak_hashes_are_told_by_their_form() {
    let parses = |text: &str, format| WeakHash::parse(text, format).is_ok();
    for length in [32, 40, 64, 128] {
        assert!(parses(&"0".repeat(length), WeakFormat::Hex));
    }
    for (text, format) in [
        ("0".repeat(33), WeakFormat::Hex),
        ("g".repeat(32), WeakFormat::Hex),
        ("0".repeat(32), WeakFormat::Django),
        (format!("md5$salt${}", "0".repeat(40)), WeakFormat::Django),
        (format!("md4$salt${}", "0".repeat(32)), WeakFormat::Werkzeug),
        (format!("md5${}${}", "s".repeat(1024), "0".repeat(32)), WeakFormat::Django),
    ] {
        assert!(!parses(&text, format), "{text}");
    }
}

#[test]
fn a_wrapped_digest_is_not_in_the_stored_text() {
    let digest = "e842374e10109a083ee602237cb9344d6d69dd4e";
    let weak = WeakHash::parse(&format!("sha1$salt${digest}"), WeakFormat::Werkzeug).unwrap();
    assert_eq!(format!("{weak:?}"), "WeakHash(…)");
    let hash = weak.wrap(params(), [1; 16], &mut HashMemory::default());
    let stored = hash.to_stored();
    assert!(stored.expose().starts_with("handstamp-digest$hmac-sha1$c2FsdA$argon2id$v=19$m=32,t=2,p=1$"));
    assert!(!stored.expose().contains(digest) && !stored.expose().contains(&to_base64_of_hex(digest)));
    assert_eq!(hash.to_string(), "HMAC-SHA-1 wrapped in Argon2id, 32 KiB, passes 2, lanes 1");
}

fn to_base64_of_hex(digits: &str) -> String {
    encoding::to_base64(&encoding::hex(digits).unwrap())
}

#[test]
fn a_description_names_the_scheme_and_its_parameters() {
    let described: Vec<String> = HASHES.iter().map(|text| parse(text).to_string()).collect();
    let expected = [
        "scrypt, N 1024, r 8, p 1",
        "scrypt, N 256, r 8, p 3",
        "scrypt, N 256, r 4, p 2",
        "PBKDF2 with HMAC-SHA-256, iterations 1000",
        "PBKDF2 with HMAC-SHA-1, iterations 1200",
        "PBKDF2 with HMAC-SHA-512, iterations 100",
        "bcrypt, cost 4",
        "bcrypt, cost 6",
        "bcrypt of SHA-256, cost 5",
        "bcrypt of HMAC-SHA-256, cost 4",
        "SHA-256-crypt, rounds 5000",
        "SHA-256-crypt, rounds 1000",
        "SHA-512-crypt, rounds 1001",
        "yescrypt, N 1024, r 8",
        "Argon2d, 64 KiB, passes 1, lanes 2",
        "Argon2id, 256 KiB, passes 2, lanes 4",
        "scrypt of better-auth, N 16384, r 16, p 1",
    ];
    assert_eq!(described, expected);
    assert_eq!(format!("{:?}", parse(HASHES[6])), "ImportedHash(bcrypt, cost 4)");
}

#[test]
fn the_cost_of_a_hash_is_a_text() {
    let costs: Vec<String> = HASHES.iter().map(|text| parse(text).cost().to_string()).collect();
    let expected = [
        "scrypt:10:8:1",
        "scrypt:8:8:3",
        "scrypt:8:4:2",
        "pbkdf2-sha256:1000",
        "pbkdf2-sha1:1200",
        "pbkdf2-sha512:100",
        "bcrypt:4",
        "bcrypt:6",
        "bcrypt:5",
        "bcrypt:4",
        "sha256-crypt:7:5000",
        "sha256-crypt:16:1000",
        "sha512-crypt:16:1001",
        "yescrypt:10:8",
        "argon2d:19:64:1:2",
        "argon2id:19:256:2:4",
        "scrypt:14:16:1",
    ];
    assert_eq!(costs, expected);
    let two_blocks = format!("$pbkdf2-sha256$700$c2FsdA${}", "A".repeat(86));
    assert_eq!(parse(&two_blocks).cost().to_string(), "pbkdf2-sha256:1400");
    for text in [
        "",
        "bcrypt",
        "bcrypt:",
        "bcrypt:3",
        "bcrypt:+4",
        "bcrypt:4:4",
        "scrypt:8:8",
        "sha256-crypt:17:5000",
        "sha512-crypt:16:999",
        "yescrypt:1:8",
        "argon2id:19:64:1",
        "argon2id:18:64:1:1",
        "md5:1",
        "bcrypt:17",
        "scrypt:30:8:1",
        "pbkdf2-sha1:4294967295",
    ] {
        assert!(text.parse::<HashCost>().is_err(), "{text}");
    }
}

#[test]
fn the_costs_of_a_site_are_the_highest_of_each_family() {
    let mut costs = HashCosts::default();
    assert!(costs.is_empty() && costs.to_string().is_empty());
    for cost in ["bcrypt:10", "pbkdf2-sha256:260000", "bcrypt:12", "bcrypt:11", "scrypt:14:8:5"] {
        costs.insert(cost.parse().unwrap()).unwrap();
    }
    assert_eq!(costs.to_string(), "bcrypt:12 pbkdf2-sha256:260000 scrypt:14:8:5");
    assert_eq!(costs.to_string().parse(), Ok(costs.clone()));
    assert!(!costs.is_empty() && costs.estimated_milliseconds() > 100);
    let mut other: HashCosts = "pbkdf2-sha256:600000 scrypt:14:8:1".parse().unwrap();
    other.merge(&costs).unwrap();
    assert_eq!(other.to_string(), "bcrypt:12 pbkdf2-sha256:600000 scrypt:14:8:1 scrypt:14:8:5");
    let covers = |cost: &str| other.covers(cost.parse().unwrap());
    assert!(covers("bcrypt:12") && covers("bcrypt:4") && covers("scrypt:14:8:1"));
    assert!(!covers("bcrypt:13") && !covers("scrypt:14:8:2") && !covers("yescrypt:12:32"));
}

#[test]
fn the_hashes_of_one_check_are_capped_together() {
    let mut costs: HashCosts = "bcrypt:16 pbkdf2-sha256:8000000".parse().unwrap();
    let before = costs.clone();
    assert_eq!(costs.insert("pbkdf2-sha1:10000000".parse().unwrap()), Err(UnsupportedHash::CostTooHigh));
    assert_eq!(costs, before);
    costs.insert("pbkdf2-sha1:5000000".parse().unwrap()).unwrap();
    let before = costs.clone();
    assert_eq!(costs.insert("pbkdf2-sha1:10000000".parse().unwrap()), Err(UnsupportedHash::CostTooHigh));
    assert_eq!(costs, before, "the former level stays");
    assert_eq!(costs.merge(&"pbkdf2-sha512:6000000".parse().unwrap()), Err(UnsupportedHash::CostTooHigh));
    let many: Vec<String> = (1..=33).map(|r| format!("scrypt:1:{r}:1")).collect();
    assert!(many[..32].join(" ").parse::<HashCosts>().is_ok());
    assert_eq!(many.join(" ").parse::<HashCosts>(), Err(UnsupportedHash::CostTooHigh));
}

#[test]
fn the_secrets_of_a_former_site_are_not_printed() {
    let secrets =
        ImportSecrets::default().with_bcrypt_pepper("pepper").with_firebase_signer_key(&"A".repeat(22)).unwrap();
    let imported = ImportedPasswords { secrets, ..Default::default() };
    assert!(format!("{imported:?}").contains("ImportSecrets(…)"));
    for key in ["", "A", &"A".repeat(20), &"A".repeat(172), "not a key"] {
        assert_eq!(ImportSecrets::default().with_firebase_signer_key(key).err(), Some(InvalidSignerKey), "{key}");
    }
}

#[test]
fn only_our_own_hashes_are_parsed_as_such() {
    let own = params().hash(&new_password(PLUM), [3; 16], &mut HashMemory::default());
    assert_eq!(PasswordHash::parse_own(own.expose()).as_ref(), Ok(&own));
    assert!(own.is_own());
    let imported = parse(own.expose()).to_stored();
    assert!(imported.expose().starts_with("argon2$argon2id$") && !imported.is_own());
    assert!(PasswordHash::parse_own(imported.expose()).is_err());
}

proptest! {
    #[test]
    fn a_changed_hash_is_parsed_or_refused(
        index in 0..HASHES.len(), at in 0_usize..100, cut in 0_usize..20, insert in "[$:,=.0-9A-Za-zäé]{0,6}",
    ) {
        let text = HASHES[index];
        let at = at.min(text.len());
        let rest = text.get(at + cut..).unwrap_or("");
        let changed = format!("{}{insert}{rest}", &text[..at]);
        if let Ok(hash) = ImportedHash::parse(&changed) {
            let stored = hash.to_stored();
            prop_assert_eq!(ImportedHash::parse(stored.expose()).unwrap().cost(), hash.cost());
            prop_assert_eq!(hash.cost().to_string().parse(), Ok(hash.cost()));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = ImportedHash::parse(&text);
        let _ = ImportedHash::from_better_auth(&text);
        let _ = ImportedHash::from_aspnet_identity(&text);
        let _ = ImportedHash::from_devise(&text);
        let _ = ImportedHash::from_keycloak(&text, &text);
        let _ = WeakHash::parse(&text, WeakFormat::Werkzeug);
        let _ = text.parse::<HashCosts>();
    }
}

//! Fuzzes the cookies of other frameworks: no text opens, unless a secret has signed it. Then any content is read without a panic, and
//! gives a user that can be looked up.
#![no_main]

use std::sync::LazyLock;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use handstamp_core::Timestamp;
use handstamp_core::legacy_cookie::{
    LegacyCookie, LegacyCookies, LegacyKind, LegacySecret, LegacySettings, StoredSession, UnverifiedSession,
};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha1::Sha1;
use sha2::{Digest, Sha256};

const SECRET: &[u8] = b"u5Jp0sWq7Yd3Kf9Lr1Xv6Zb4Nc8Mt2Gh";

static COOKIES: LazyLock<Vec<(LegacyKind, LegacyCookies)>> = LazyLock::new(|| {
    let secret = LegacySecret::new(SECRET).expect("the secret is random");
    let settings = |kind| LegacySettings {
        kind,
        secrets: vec![secret.clone()],
        cookie: Some("_session".to_owned()),
        user_key: None,
        max_age: None,
        allow_missing_purpose: kind == LegacyKind::Rails,
    };
    LegacyKind::ALL.map(|kind| (kind, LegacyCookies::new(&settings(kind)).expect("the settings are valid"))).into()
});

/// PBKDF2-HMAC-SHA-1 of the secret with the salt of signed cookies, by its definition. Four blocks make 64 bytes.
static RAILS_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let block = |number: u32| {
        let first = tag::<Hmac<Sha1>>(SECRET, &[b"signed cookie".as_slice(), &number.to_be_bytes()].concat());
        let mut last = first.clone();
        (1..1000).fold(first, |sum, _| {
            last = tag::<Hmac<Sha1>>(SECRET, &last);
            sum.iter().zip(&last).map(|(a, b)| a ^ b).collect()
        })
    };
    (1..=4).flat_map(block).take(64).collect()
});

fn tag<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn flask(payload: &str, time: &[u8]) -> String {
    let signed = format!("{payload}.{}", URL_SAFE_NO_PAD.encode_to_string(time));
    let key = tag::<Hmac<Sha1>>(SECRET, b"cookie-session");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(tag::<Hmac<Sha1>>(&key, signed.as_bytes())))
}

fn django(salt: &str, payload: &str, time: &str) -> String {
    let signed = format!("{payload}:{time}");
    let key = Sha256::new().chain_update(salt).chain_update(SECRET).finalize();
    format!("{signed}:{}", URL_SAFE_NO_PAD.encode_to_string(tag::<Hmac<Sha256>>(&key, signed.as_bytes())))
}

fn rails(content: &[u8]) -> String {
    let message = STANDARD.encode_to_string(content);
    let signature = tag::<Hmac<Sha1>>(&RAILS_KEY, message.as_bytes());
    let digits: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{message}--{digits}")
}

fn is_sound(session: &UnverifiedSession) {
    let text = session.user_to_look_up().text();
    assert!(!text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control));
}

fuzz_target!(|input: (u64, bool, &[u8], &str, &str)| {
    let (now, compressed, content, time, text) = input;
    let now = Timestamp::from_unix_seconds(now);
    let payload = format!("{}{}", if compressed { "." } else { "" }, URL_SAFE_NO_PAD.encode_to_string(content));
    let stored_content = django("django.contrib.sessions.SessionStoresigner", &payload, time);
    for (kind, cookies) in COOKIES.iter() {
        let signed = match kind {
            LegacyKind::Flask => flask(&payload, time.as_bytes()),
            LegacyKind::Django => django("django.contrib.sessions.backends.signed_cookiessigner", &payload, time),
            LegacyKind::Rails => rails(content),
            _ => text.to_owned(),
        };
        if let Ok(LegacyCookie::Session(session)) = cookies.open(&signed, now) {
            assert_eq!(cookies.digest_to_end(&signed), Ok(cookies.open(&signed, now).expect("it opens").digest()));
            is_sound(&session);
        }
        match cookies.open(text, now) {
            Ok(LegacyCookie::Stored(_)) => assert_eq!(*kind, LegacyKind::Django, "nothing signs its keys"),
            opened => assert!(opened.is_err(), "a forged cookie opens"),
        }
        let Ok(LegacyCookie::Stored(key)) = COOKIES[2].1.open("0123456789abcdefghijklmnopqrstuv", now) else {
            unreachable!("it has the form of a key of Django");
        };
        let as_text = str::from_utf8(content).unwrap_or_default();
        for row in [as_text, text, &stored_content] {
            let stored = StoredSession { content: row, expires_at: Some(Timestamp::from_unix_seconds(u64::MAX)) };
            if let Ok(session) = cookies.open_stored(&key, &stored, now) {
                is_sound(&session);
            }
        }
    }
});

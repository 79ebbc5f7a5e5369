//! Fuzzes one-time tokens and their codes: a text that opens is a token that this service issues, in its only spelling, and a code
//! has eight digits.
#![no_main]

use std::sync::LazyLock;

use handstamp_core::{OneTimeId, OneTimeTokens, SecretKey, Timestamp};
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<OneTimeTokens> = LazyLock::new(|| {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").expect("the secret of the golden vectors");
    OneTimeTokens::new(&secret, &[]).expect("a single secret has no duplicate")
});

fuzz_target!(|input: (u64, [u8; 16], &str)| {
    let (now, id, text) = input;
    if let Ok(claims) = TOKENS.open(text, Timestamp::from_unix_seconds(now)) {
        assert_eq!(TOKENS.issue(&claims), text);
    }
    let id = OneTimeId::from_bytes(id);
    if TOKENS.is_code_of(id, text) {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits, TOKENS.code(id));
    }
});

//! Fuzzes session tokens: a text that opens is a token that this service issues, in its only spelling.
#![no_main]

use std::sync::LazyLock;

use handstamp_core::{SecretKey, SessionTokens, Timestamp};
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<SessionTokens> = LazyLock::new(|| {
    let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").expect("the secret of the golden vectors");
    SessionTokens::new(&secret, &[]).expect("a single secret has no duplicate")
});

fuzz_target!(|input: (u64, &str)| {
    let (now, text) = input;
    if let Ok(opened) = TOKENS.open(text, Timestamp::from_unix_seconds(now)) {
        assert_eq!(TOKENS.issue(&opened.claims).expose(), text);
    }
});

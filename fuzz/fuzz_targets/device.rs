//! Fuzzes the device cookie: it names the accounts that were put into it and no others, whatever is added to it.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use handstamp_core::{DeviceId, DeviceTokens, SecretKey, Timestamp, UserId};
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<DeviceTokens> = LazyLock::new(|| {
    let secret = SecretKey::parse("9f86d081884c7d659a2feaa0c55ad015").expect("it is random");
    DeviceTokens::new(&secret, &[]).expect("a single secret has no duplicate")
});

fuzz_target!(|text: &str| {
    let tokens = &*TOKENS;
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let (ada, bob) = (UserId::new(now, [1; 10]), UserId::new(now, [2; 10]));
    let (phone, desk) = (DeviceId::from_bytes([7; 8]), DeviceId::from_bytes([8; 8]));
    assert_eq!(tokens.open(text, now).find(ada, None), None, "a cookie cannot be forged");

    let issued = tokens.remember("", ada, phone, None, now);
    for cookie in
        [format!("{text}.{issued}"), format!("{issued}.{text}"), format!("{issued}{text}"), format!("{text}{issued}")]
    {
        if let Some(found) = tokens.open(&cookie, now).find(ada, None) {
            assert_eq!(found, phone);
            assert!(cookie.split('.').any(|part| part == issued), "it was changed: {cookie}");
        }
        let noted = tokens.remember(&cookie, bob, desk, None, now);
        assert_eq!(tokens.open(&noted, now).find(bob, None), Some(desk));
        assert!(noted.len() <= 92 + 93, "no forged part is kept");
    }
    let late = now.after(Duration::from_secs(365 * 86_400));
    assert_eq!(tokens.open(&issued, late).find(ada, None), None);
});

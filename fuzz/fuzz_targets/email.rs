//! Fuzzes e-mail addresses: an accepted one is plain ASCII, fits into the header of a mail, and has one key in every spelling.
#![no_main]

use handstamp_core::EmailAddress;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(email) = EmailAddress::parse(text) else { return };
    let address = email.as_str();
    assert!(address.len() <= 254);
    assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte)));
    let (local, domain) = address.split_once('@').expect("an address has an @");
    assert!(!local.is_empty() && local.len() <= 64 && domain.contains('.') && !domain.contains('@'));
    assert_eq!(domain, domain.to_ascii_lowercase());
    // The local part is what was typed: no character was mapped to a letter, and none was dropped.
    assert!(text.trim().starts_with(local));

    assert_eq!(email.key(), address.to_ascii_lowercase());
    for spelling in [address, email.key(), &address.to_ascii_uppercase(), &format!("\t{address} \r\n")] {
        assert_eq!(EmailAddress::parse(spelling).expect("another spelling of an address").key(), email.key());
    }
});

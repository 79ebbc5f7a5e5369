//! An address that is accepted is plain ASCII, can stand in the header of a mail, and has one key however it is written.
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
    // What decides whose account it is comes from nothing but what was typed: no letter became one, none was dropped.
    assert!(text.trim().starts_with(local));

    assert_eq!(email.key(), address.to_ascii_lowercase());
    for spelling in [address, email.key(), &address.to_ascii_uppercase(), &format!("\t{address} \r\n")] {
        assert_eq!(EmailAddress::parse(spelling).expect("another spelling of an address").key(), email.key());
    }
});

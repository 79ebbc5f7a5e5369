//! A place to go next is on this site, whatever a browser makes of it, and is sent as it was checked.
#![no_main]

use std::sync::LazyLock;

use handstamp_core::ReturnTo;
use libfuzzer_sys::fuzz_target;
use url::Url;

static SITES: LazyLock<[Url; 2]> = LazyLock::new(|| {
    ["https://example.com/account/login?next=x", "http://localhost:8080/"].map(|url| Url::parse(url).expect("a URL"))
});

fuzz_target!(|text: &str| {
    let place = ReturnTo::parse_or_account(text);
    let Some(parsed) = ReturnTo::parse(text) else {
        assert_eq!(place.as_str(), ReturnTo::ACCOUNT);
        return;
    };
    assert_eq!(parsed, place);
    assert_eq!(parsed.as_str(), text);
    assert!(text.len() <= ReturnTo::MAX_BYTES && text.starts_with('/') && !text.starts_with("//"));
    for site in SITES.iter() {
        let target = site.join(text).expect("a browser can go there");
        assert_eq!(target.origin(), site.origin());
        assert!(target.username().is_empty() && target.password().is_none());
        assert!(!matches!(target.path().trim_end_matches('/'), "/account/login" | "/account/logout"), "in circles");
        // A browser that goes there asks for what was checked, but for the characters that it encodes.
        assert_eq!(
            target.path().matches('/').count(),
            text.split(['?', '#']).next().map_or(0, |path| path.matches('/').count())
        );
    }
});

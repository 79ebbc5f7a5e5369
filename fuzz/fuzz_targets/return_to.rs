//! Fuzzes return URLs: an accepted one leads every browser to this site or a named host, and is sent as it was checked.
#![no_main]

use std::sync::LazyLock;

use handstamp_core::{ReturnHost, ReturnHosts, ReturnTo};
use libfuzzer_sys::fuzz_target;
use url::Url;

static SITES: LazyLock<[Url; 2]> = LazyLock::new(|| {
    ["https://example.com/account/login?next=x", "http://localhost:8080/"].map(|url| Url::parse(url).expect("a URL"))
});

static HOSTS: LazyLock<ReturnHosts> = LazyLock::new(|| {
    ReturnHosts::new("https://id.example.com", Some("example.com"), &[ReturnHost::parse("app.example.org").expect("a host")])
});

fuzz_target!(|text: &str| {
    let elsewhere = HOSTS.parse(text);
    let Some(parsed) = ReturnTo::parse(text) else {
        if let Some(place) = elsewhere {
            assert_eq!(HOSTS.parse(place.as_str()).as_ref(), Some(&place), "a checked URL stays as it is");
            if place.as_str().starts_with('/') {
                return assert!(text.starts_with("https://id.example.com"), "of this site the path is taken");
            }
            let url = Url::parse(place.as_str()).expect("a browser can go there");
            let host = url.host_str().expect("it has a host");
            assert!(url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none());
            assert!(host == "example.com" || host.ends_with(".example.com") || host == "app.example.org", "{host}");
        }
        return;
    };
    assert_eq!(elsewhere.as_ref(), Some(&parsed));
    assert_eq!(ReturnTo::parse(parsed.as_str()).as_ref(), Some(&parsed), "a checked URL stays as it is");
    let text = parsed.as_str();
    assert!(text.is_ascii() && text.len() <= ReturnTo::MAX_BYTES && text.starts_with('/') && !text.starts_with("//"));
    for site in SITES.iter() {
        let target = site.join(text).expect("a browser can go there");
        assert_eq!(target.origin(), site.origin());
        assert!(target.username().is_empty() && target.password().is_none());
        assert!(!matches!(target.path().trim_end_matches('/'), "/account/login" | "/account/logout"), "a redirect loop");
        // A browser requests what was checked, except for the characters that it encodes.
        assert_eq!(
            target.path().matches('/').count(),
            text.split(['?', '#']).next().map_or(0, |path| path.matches('/').count())
        );
    }
});

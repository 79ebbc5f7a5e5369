//! Fuzzes `X-Forwarded-For`: the client is always an address that a trusted proxy named, or the peer.
#![no_main]

use std::net::IpAddr;

use handstamp_core::TrustedProxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let trusted = TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]).expect("these are networks");
    let lines = || bytes.split(|byte| *byte == b'\n');
    let stranger: IpAddr = [192, 0, 2, 1].into();
    assert_eq!(trusted.client(stranger, lines()), stranger);
    let proxy: IpAddr = [127, 0, 0, 1].into();
    let client = trusted.client(proxy, lines());
    // The client is the proxy itself or is named by an entry: nothing else in the header counts.
    let text = String::from_utf8_lossy(bytes);
    let named = text.split(['\n', ',']).any(|entry| names(entry, client));
    assert!(client == proxy || named, "{client}");
    let known = trusted.client(client, std::iter::empty());
    assert_eq!(known, client, "the address is canonical");
});

/// Whether an entry is this address, alone, in brackets or with a port.
fn names(entry: &str, client: IpAddr) -> bool {
    let entry = entry.trim_matches([' ', '\t']);
    let host = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None if entry.matches(':').count() == 1 => entry.split(':').next().unwrap_or_default(),
        None => entry,
    };
    host.parse().is_ok_and(|address: IpAddr| address.to_canonical() == client)
}

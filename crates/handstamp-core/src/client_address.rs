//! The client address of a request, which may have come through proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::InvalidSetting;

/// The proxies whose `X-Forwarded-For` is trusted; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses proxies, each of them an address, or a network such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// About the first entry that is neither.
    pub fn parse<'a>(proxies: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidSetting> {
        proxies.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Adds the proxies of another list.
    #[must_use]
    pub fn extend(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether this address is a trusted proxy.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer` with these lines of `X-Forwarded-For`.
    ///
    /// Each proxy appends the address of its peer, so entries are read from the right while the proxy that appended them is
    /// trusted. Entries further left came with the request and may be anything. Where a trusted proxy appended no valid
    /// address, that proxy counts as the client, so that no client evades a rate limit by a header.
    pub fn client<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let mut client = peer.to_canonical();
        for entry in forwarded_for.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            if !self.contain(client) {
                break;
            }
            match address(entry) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }

    /// Whether a peer that sends `X-Forwarded-For` is probably a proxy that the operator forgot to list: its address is
    /// private, and it is not trusted.
    pub fn looks_untrusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let is_private = match peer {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        is_private && !self.contain(peer)
    }
}

/// A list that is separated by commas; an empty text is an empty list.
impl FromStr for TrustedProxies {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text.split(',').map(str::trim).filter(|proxy| !proxy.is_empty()))
    }
}

fn network(text: &str) -> Result<IpNet, InvalidSetting> {
    let parsed = IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from));
    parsed.map_err(|_| InvalidSetting::new("must be an address such as 127.0.0.1, or a network such as 10.0.0.0/8"))
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    // With a port, the parser also accepts a zone, which has a meaning on its own host only.
    parsed.ok().filter(|_| !text.contains('%')).map(|address: IpAddr| address.to_canonical())
}

/// Addresses that count as one client: an IPv4 address, or the 64 bits of an IPv6 address that a provider gives to one
/// customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6([u8; 8]),
    /// The network of all requests whose address is unknown. They count as one client.
    #[default]
    Unknown,
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(first_half(v6)),
        }
    }

    /// The first 48 bits of an IPv6 address: 65,536 networks, which a provider may also give to one customer.
    pub fn site(self) -> Option<[u8; 6]> {
        match self {
            Self::V6([a, b, c, d, e, f, ..]) => Some([a, b, c, d, e, f]),
            Self::V4(_) | Self::Unknown => None,
        }
    }

    /// An encoding that no two networks share.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::V4(v4) => v4.octets().to_vec(),
            Self::V6(half) => half.to_vec(),
            Self::Unknown => Vec::new(),
        }
    }
}

fn first_half(v6: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = v6.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let trusted = TrustedProxies::parse(trusted.iter().copied()).unwrap();
        trusted.client(peer.parse().unwrap(), lines.iter().map(|line| line.as_bytes())).to_string()
    }

    #[test]
    fn without_trusted_proxies_the_peer_is_the_client() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7", "10.0.0.1"]), "192.0.2.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn forwarded_addresses_are_read_from_the_right_through_trusted_proxies() {
        let proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&proxies, "127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client(&proxies, "127.0.0.1", &["203.0.113.9, 198.51.100.7"]),
            "198.51.100.7",
            "the left entry is forged"
        );
        assert_eq!(client(&proxies, "127.0.0.1", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7", "in two lines");
        assert_eq!(client(&proxies, "127.0.0.1", &["203.0.113.9, 198.51.100.7 ,10.1.2.3"]), "198.51.100.7");
        assert_eq!(client(&proxies, "127.0.0.1", &["198.51.100.7", "10.1.2.3,fd00::1"]), "198.51.100.7");
        assert_eq!(client(&proxies, "::ffff:127.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&proxies, "127.0.0.1", &["10.9.9.9"]), "10.9.9.9", "a client among the proxies");
        assert_eq!(client(&proxies, "127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn a_forwarded_address_may_have_brackets_or_a_port() {
        for (entry, address) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("\t2001:DB8::1 ", "2001:db8::1"),
        ] {
            assert_eq!(client(&["127.0.0.1"], "127.0.0.1", &[entry]), address, "{entry}");
        }
    }

    #[test]
    fn a_malformed_forwarded_address_makes_the_proxy_the_client() {
        for entry in [
            "",
            "unknown",
            "_hidden",
            "198.51.100",
            "198.51.100.7.1",
            "0198.51.100.7",
            "198.51.100.7\0",
            "[fe80::1%1]:80",
            "é",
            "a b",
        ] {
            assert_eq!(client(&["127.0.0.1"], "127.0.0.1", &["203.0.113.9", entry]), "127.0.0.1", "{entry:?}");
            let line = format!("203.0.113.9, {entry}, 10.0.0.2");
            assert_eq!(client(&["127.0.0.1", "10.0.0.2"], "127.0.0.1", &[&line]), "10.0.0.2", "{line:?}");
        }
        let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
        let invalid = [b"\xff".as_slice()];
        assert_eq!(trusted.client("127.0.0.1".parse().unwrap(), invalid.into_iter()).to_string(), "127.0.0.1");
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "*", "10.0.0.1:80"] {
            assert!(TrustedProxies::parse([bad]).is_err(), "{bad}");
        }
        let both = TrustedProxies::parse(["127.0.0.1"]).unwrap().extend(TrustedProxies::parse(["::1"]).unwrap());
        assert_eq!(both, TrustedProxies::parse(["127.0.0.1", "::1"]).unwrap());
        assert_eq!("127.0.0.1, ::1,".parse(), Ok(both));
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
    }

    #[test]
    fn an_untrusted_proxy_in_a_private_network_is_detected() {
        let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
        let misses = |peer: &str| trusted.looks_untrusted(peer.parse().unwrap());
        assert!(misses("10.0.0.1") && misses("192.168.1.1") && misses("::1") && misses("fd00::1"));
        assert!(
            !misses("127.0.0.1") && !misses("::ffff:127.0.0.1") && !misses("198.51.100.7") && !misses("2001:db8::1")
        );
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_half_of_an_ipv6_address() {
        let network = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        let spellings =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"].map(|text| network(text).to_bytes());
        assert!(spellings.iter().enumerate().all(|(i, bytes)| !bytes.is_empty() && !spellings[..i].contains(bytes)));
    }
}

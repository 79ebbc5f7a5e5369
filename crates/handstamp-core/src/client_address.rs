//! Where a request comes from, though proxies stand between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// The proxies whose word on where a request comes from is taken; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Each an address, or a network such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// In words for the operator, for the first that is neither.
    pub fn parse<'a>(proxies: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        proxies.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Adds those of another list.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether this address is one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer` with these lines of `X-Forwarded-For`.
    ///
    /// Every proxy writes at the right whom it had the request from, so they are read from there, for as long as whoever
    /// wrote one is trusted. What stands further left came along with the request and may be anything. Where a trusted
    /// proxy wrote no address that can be read, the request counts as its own: nobody gets out of a count by a header.
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

    /// Whether a proxy at this address is one that was forgotten: it writes `X-Forwarded-For`, stands in a network of the
    /// operator's own, and is not trusted.
    pub fn seems_to_miss(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let is_private = match peer {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        is_private && !self.contain(peer)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from));
    parsed.map_err(|_| "must be an address such as 127.0.0.1, or a network such as 10.0.0.0/8".to_owned())
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    // With a port, the parser takes a zone as well, which means nothing to anybody else.
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
    /// Of requests that nobody knows where they come from. They count as one.
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

    /// The first 48 bits of an IPv6 address, which a provider may give to one customer as well: 65,536 networks.
    pub fn site(self) -> Option<[u8; 6]> {
        match self {
            Self::V6([a, b, c, d, e, f, ..]) => Some([a, b, c, d, e, f]),
            Self::V4(_) | Self::Unknown => None,
        }
    }

    /// A spelling that no two networks share.
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
    fn what_a_trusted_proxy_wrote_is_taken_from_the_right() {
        let proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&proxies, "127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client(&proxies, "127.0.0.1", &["203.0.113.9, 198.51.100.7"]),
            "198.51.100.7",
            "the left one is made up"
        );
        assert_eq!(client(&proxies, "127.0.0.1", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7", "in two lines");
        assert_eq!(client(&proxies, "127.0.0.1", &["203.0.113.9, 198.51.100.7 ,10.1.2.3"]), "198.51.100.7");
        assert_eq!(client(&proxies, "127.0.0.1", &["198.51.100.7", "10.1.2.3,fd00::1"]), "198.51.100.7");
        assert_eq!(client(&proxies, "::ffff:127.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&proxies, "127.0.0.1", &["10.9.9.9"]), "10.9.9.9", "a client among the proxies");
        assert_eq!(client(&proxies, "127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn an_address_may_come_in_brackets_or_with_a_port() {
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
    fn a_malformed_entry_leaves_the_request_with_whoever_passed_it_on() {
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
    fn proxies_are_addresses_and_networks() {
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "*", "10.0.0.1:80"] {
            assert!(TrustedProxies::parse([bad]).is_err(), "{bad}");
        }
        let both = TrustedProxies::parse(["127.0.0.1"]).unwrap().and(TrustedProxies::parse(["::1"]).unwrap());
        assert_eq!(both, TrustedProxies::parse(["127.0.0.1", "::1"]).unwrap());
    }

    #[test]
    fn a_proxy_of_ones_own_that_is_not_listed_is_noticed() {
        let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
        let misses = |peer: &str| trusted.seems_to_miss(peer.parse().unwrap());
        assert!(misses("10.0.0.1") && misses("192.168.1.1") && misses("::1") && misses("fd00::1"));
        assert!(
            !misses("127.0.0.1") && !misses("::ffff:127.0.0.1") && !misses("198.51.100.7") && !misses("2001:db8::1")
        );
    }

    #[test]
    fn a_network_is_an_address_of_version_4_or_half_of_one_of_version_6() {
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

//! One spelling for one address (rule: mapped-address-is-ipv4). A socket that serves both families reports an IPv4 peer as
//! `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2); on the wire that is IPv4, and so are the addresses of pods.
//! Every boundary at which an address is read goes through this file.

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};

/// How many bits of a mapped address come before the IPv4 address.
const MAPPED_PREFIX: u8 = 96;

/// The IPv4 address of an IPv4-mapped IPv6 address; any other as it is.
pub fn canonical_address(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The same for an address with a port.
pub fn canonical_socket(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_address(socket.ip()), socket.port())
}

/// The IPv4 range of a range of IPv4-mapped addresses; any other as it is. `::ffff:0:0/96` is all of IPv4.
pub fn canonical_range(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else {
        return range;
    };
    let v4 = mapped.addr().to_ipv4_mapped();
    match (v4, mapped.prefix_len().checked_sub(MAPPED_PREFIX)) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(range, IpNet::V4),
        _ => range,
    }
}

/// Reads an address.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    // A zone ("%eth0", RFC 4007) names an interface of whoever wrote it.
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok().map(canonical_address)
}

/// Reads a range. A single address is a range of one.
pub fn parse_range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let range = text.parse::<IpNet>().ok();
    range
        .map(canonical_range)
        .or_else(|| parse_address(text).map(IpNet::from))
}

/// For `#[serde(deserialize_with)]`: an address, or none.
///
/// # Errors
/// What is no address.
pub fn deserialize_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpAddr>, D::Error> {
    Ok(Option::<IpAddr>::deserialize(deserializer)?.map(canonical_address))
}

/// For `#[serde(deserialize_with)]`: an address with a port, or none.
///
/// # Errors
/// What is no address with a port.
pub fn deserialize_socket<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    Ok(Option::<SocketAddr>::deserialize(deserializer)?.map(canonical_socket))
}

/// Returns true for addresses that never leave their host: `127.0.0.0/8`, `::1` (rule: loopback-is-no-peer).
pub fn is_loopback(address: IpAddr) -> bool {
    canonical_address(address).is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_its_ipv4_address_and_nothing_else_changes() {
        let read = |text| parse_address(text).unwrap().to_string();
        assert_eq!(read("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(read("::FFFF:0a01:0203"), "10.1.2.3");
        assert_eq!(read(" 10.1.2.3 "), "10.1.2.3");
        assert_eq!(
            read("::10.1.2.3"),
            "::a01:203",
            "the old compatible form is IPv6"
        );
        assert_eq!(read("64:ff9b::a01:203"), "64:ff9b::a01:203");
        assert_eq!(read("fe80::1%eth0"), "fe80::1");
        assert_eq!(parse_address("None"), None);
    }

    #[test]
    fn a_range_of_mapped_addresses_is_the_ipv4_range() {
        let read = |text| parse_range(text).unwrap().to_string();
        assert_eq!(read("::ffff:10.1.0.0/112"), "10.1.0.0/16");
        assert_eq!(read("::ffff:0:0/96"), "0.0.0.0/0");
        assert_eq!(read("::ffff:10.1.2.3"), "10.1.2.3/32");
        assert_eq!(read("::/0"), "::/0", "it holds more than IPv4");
        assert_eq!(read("fd00::/8"), "fd00::/8");
        assert_eq!(parse_range("10.0.0.0/33"), None);
    }

    #[test]
    fn loopback_is_local_however_it_is_written() {
        let local = |text: &str| is_loopback(text.parse().unwrap());
        for text in ["127.0.0.1", "127.0.0.6", "::1", "::ffff:127.0.0.1"] {
            assert!(local(text), "{text}");
        }
        for text in ["10.0.0.1", "169.254.1.1", "fe80::1", "128.0.0.1"] {
            assert!(!local(text), "{text}");
        }
    }
}

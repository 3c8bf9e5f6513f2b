//! ARP: whose addresses ask for each other on one link (RFC 826).

use crate::LinkType;
use std::net::Ipv4Addr;

const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, and the lengths of both kinds of addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Returns the sender's and the target's IPv4 address of an ARP frame; `None` if it is none, or untagged Ethernet or
/// Linux cooked capture does not carry it.
pub fn arp_addresses(link: LinkType, data: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (ethertype, header) = match link {
        LinkType::ETHERNET => (12, 14),
        LinkType::LINUX_SLL => (14, 16),
        LinkType::LINUX_SLL2 => (0, 20),
        _ => return None,
    };
    if data.get(ethertype..ethertype + 2)? != ETHERTYPE_ARP {
        return None;
    }
    let arp = data.get(header..header + 28)?;
    if arp.get(..6)? != ETHERNET_IPV4 {
        return None;
    }
    let address = |from: usize| {
        let octets: [u8; 4] = arp.get(from..from + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    Some((address(14)?, address(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &[u8]) -> Vec<u8> {
        let mut frame = header.to_vec();
        frame.extend(ETHERNET_IPV4);
        frame.extend([0, 1]);
        frame.extend([2, 0, 0, 0, 0, 1, 10, 244, 1, 5]);
        frame.extend([0, 0, 0, 0, 0, 0, 10, 244, 1, 1]);
        frame
    }

    #[test]
    fn an_arp_request_shows_who_asks_for_whom() {
        let expected = Some(([10, 244, 1, 5].into(), [10, 244, 1, 1].into()));
        let mut ethernet = vec![0xff; 12];
        ethernet.extend(ETHERTYPE_ARP);
        assert_eq!(
            arp_addresses(LinkType::ETHERNET, &frame(&ethernet)),
            expected
        );
        let mut cooked = vec![0; 14];
        cooked.extend(ETHERTYPE_ARP);
        assert_eq!(
            arp_addresses(LinkType::LINUX_SLL, &frame(&cooked)),
            expected
        );
        let mut cooked_v2 = ETHERTYPE_ARP.to_vec();
        cooked_v2.extend([0; 18]);
        assert_eq!(
            arp_addresses(LinkType::LINUX_SLL2, &frame(&cooked_v2)),
            expected
        );
    }

    #[test]
    fn what_is_cut_off_or_no_arp_shows_nobody() {
        let mut ethernet = vec![0xff; 12];
        ethernet.extend(ETHERTYPE_ARP);
        let whole = frame(&ethernet);
        for length in 0..whole.len() {
            assert_eq!(arp_addresses(LinkType::ETHERNET, &whole[..length]), None);
        }
        let mut ip = whole;
        ip[13] = 0;
        assert_eq!(arp_addresses(LinkType::ETHERNET, &ip), None);
    }
}

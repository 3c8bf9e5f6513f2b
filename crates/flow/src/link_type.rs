//! Link-layer types of capture files, as <https://www.tcpdump.org/linktypes.html> numbers them.

use std::fmt;

/// What the bytes of a frame start with. Any number may stand in a file; those that
/// [`super::decode`] does not know are skipped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: 4 bytes of address family in the byte order of the capturing host.
    pub const NULL: LinkType = LinkType(0);
    /// IEEE 802.3 Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// PPP, with or without an HDLC-like header.
    pub const PPP: LinkType = LinkType(9);
    /// Raw IP as some BSDs wrote it into files by mistake (DLT_RAW).
    pub const RAW_BSD: LinkType = LinkType(12);
    /// Raw IP under the number that OpenBSD has for DLT_RAW.
    pub const RAW_OPENBSD: LinkType = LinkType(14);
    /// PPP in HDLC-like framing (RFC 1662).
    pub const PPP_HDLC: LinkType = LinkType(50);
    /// PPP over Ethernet (RFC 2516), from the PPPoE header on.
    pub const PPP_ETHER: LinkType = LinkType(51);
    /// Raw IP; the version field distinguishes IPv4 and IPv6.
    pub const RAW: LinkType = LinkType(101);
    /// Cisco HDLC.
    pub const CISCO_HDLC: LinkType = LinkType(104);
    /// IEEE 802.11 wireless LAN.
    pub const IEEE802_11: LinkType = LinkType(105);
    /// OpenBSD loopback: as [`LinkType::NULL`], in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// IEEE 802.11 with a radiotap header.
    pub const IEEE802_11_RADIOTAP: LinkType = LinkType(127);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: LinkType = LinkType(239);
    /// macOS packet tap (`tcpdump -k`): a header with the process and the link type, then the frame.
    pub const PKTAP: LinkType = LinkType(258);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

impl LinkType {
    /// The name of a link type that stands in captures of hosts, as tcpdump.org lists it.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NULL",
            1 => "Ethernet",
            105 => "IEEE 802.11",
            113 => "Linux cooked",
            119 => "Prism",
            127 => "radiotap",
            147..=162 => "private use",
            163 => "AVS",
            187 | 201 => "Bluetooth",
            189 | 220 | 249 | 266 => "USB",
            192 => "PPI",
            195 | 215 | 230 | 283 => "IEEE 802.15.4",
            227 => "CAN",
            253 => "netlink",
            258 => "PKTAP",
            271 => "vsock",
            276 => "Linux cooked v2",
            _ => return None,
        })
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

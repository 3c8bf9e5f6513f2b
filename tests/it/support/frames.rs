//! Packets as bytes: IP, TCP, UDP, SCTP, ICMP and DNS with correct lengths and checksums, and the
//! frames and tunnels around them.

use std::net::IpAddr;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SCTP: u8 = 132;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// The fields of an IP header apart from protocol and length.
#[derive(Debug, Clone, Copy)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    /// The IPv4 identification. IPv6 has none.
    pub id: u16,
}

#[derive(Debug, Clone, Copy)]
pub struct TcpSegment<'a> {
    pub ports: (u16, u16),
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgment: u32,
    /// TSval of the timestamp option.
    pub timestamp: u32,
    pub payload: &'a [u8],
}

/// The packet and link types of capture files (www.tcpdump.org/linktypes.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Ethernet,
    Null,
    Raw,
    Sll,
    Sll2,
}

impl Link {
    pub fn number(self) -> u32 {
        match self {
            Link::Null => 0,
            Link::Ethernet => 1,
            Link::Raw => 101,
            Link::Sll => 113,
            Link::Sll2 => 276,
        }
    }

    pub fn parse(word: &str) -> Option<Link> {
        Some(match word {
            "ethernet" => Link::Ethernet,
            "null" => Link::Null,
            "raw" => Link::Raw,
            "sll" | "any" => Link::Sll,
            "sll2" => Link::Sll2,
            _ => return None,
        })
    }
}

pub fn ip(header: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0x45, 0];
            packet.extend((20 + payload.len() as u16).to_be_bytes());
            packet.extend(header.id.to_be_bytes());
            packet.extend([0x40, 0, header.ttl, protocol, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let sum = checksum(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend(payload);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([protocol, header.ttl]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(payload);
            packet
        }
        _ => panic!("IPv4 and IPv6 in one packet: {header:?}"),
    }
}

pub fn tcp(header: Ip, segment: TcpSegment<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + segment.payload.len());
    bytes.extend(segment.ports.0.to_be_bytes());
    bytes.extend(segment.ports.1.to_be_bytes());
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.acknowledgment.to_be_bytes());
    bytes.extend([0x80, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    // No-operation twice, then the timestamp option (RFC 7323 section 3).
    bytes.extend([1, 1, 8, 10]);
    bytes.extend(segment.timestamp.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(segment.payload);
    seal(header, TCP, bytes, 16)
}

pub fn udp(header: Ip, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    seal(header, UDP, bytes, 6)
}

/// One SCTP packet with one chunk: its type, flags and value (RFC 9260 section 3.2).
pub fn sctp(header: Ip, ports: (u16, u16), tag: u32, chunk: (u8, u8, &[u8])) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([chunk.0, chunk.1]);
    bytes.extend((4 + chunk.2.len() as u16).to_be_bytes());
    bytes.extend(chunk.2);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    ip(header, SCTP, &bytes)
}

/// ICMP "port unreachable" about `original`, a complete IP packet.
pub fn unreachable(header: Ip, original: &[u8]) -> Vec<u8> {
    let (kind, code, quoted) = match header.source {
        IpAddr::V4(_) => (3, 3, 28.min(original.len())),
        IpAddr::V6(_) => (1, 4, original.len()),
    };
    icmp(header, kind, code, &original[..quoted])
}

/// An ICMP or ICMPv6 message with four bytes of rest of header before `body`.
pub fn icmp(header: Ip, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(body);
    match header.source {
        IpAddr::V4(_) => {
            let sum = checksum(&bytes);
            bytes[2..4].copy_from_slice(&sum.to_be_bytes());
            ip(header, 1, &bytes)
        }
        IpAddr::V6(_) => seal(header, 58, bytes, 2),
    }
}

/// A DNS response to a query for `name`, or the query itself if `answers` is `None`. An answer has an owner name, a
/// record type, a TTL and data.
pub fn dns(id: u16, name: &str, kind: u16, answers: Option<&[DnsAnswer]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_be_bytes());
    let flags: u16 = if answers.is_some() { 0x8180 } else { 0x0100 };
    let count = answers.map_or(0, <[DnsAnswer]>::len) as u16;
    for number in [flags, 1, count, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(dns_name(name));
    for number in [kind, 1] {
        bytes.extend(number.to_be_bytes());
    }
    for answer in answers.unwrap_or_default() {
        bytes.extend(dns_name(&answer.name));
        bytes.extend(answer.kind.to_be_bytes());
        bytes.extend(1u16.to_be_bytes());
        bytes.extend(answer.ttl.to_be_bytes());
        bytes.extend((answer.data.len() as u16).to_be_bytes());
        bytes.extend(&answer.data);
    }
    bytes
}

#[derive(Debug, Clone)]
pub struct DnsAnswer {
    pub name: String,
    pub kind: u16,
    pub ttl: u32,
    pub data: Vec<u8>,
}

pub fn dns_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// An ARP request, from the Ethernet type on.
pub fn arp(asker: std::net::Ipv4Addr, wanted: std::net::Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
    bytes.extend(mac(asker.into()));
    bytes.extend(asker.octets());
    bytes.extend([0; 6]);
    bytes.extend(wanted.octets());
    bytes
}

/// The frame around a packet. `vlans` are tags, the outermost first; only Ethernet can have them.
pub fn frame(link: Link, vlans: &[u16], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let (source, destination) = ends(ether_type, packet);
    let mut bytes = Vec::with_capacity(packet.len() + 24);
    match link {
        Link::Ethernet => {
            bytes.extend(destination.map_or([0xff; 6], mac));
            bytes.extend(source.map_or([2, 0, 0, 0, 0, 1], mac));
            for (place, vlan) in vlans.iter().enumerate() {
                let outer = place + 1 < vlans.len();
                bytes.extend(if outer { [0x88, 0xa8] } else { [0x81, 0] });
                bytes.extend(vlan.to_be_bytes());
            }
            bytes.extend(ether_type.to_be_bytes());
        }
        Link::Null => {
            let family: u32 = if ether_type == 0x86dd { 10 } else { 2 };
            bytes.extend(family.to_le_bytes());
        }
        Link::Raw => {}
        Link::Sll => {
            bytes.extend([0, 0, 0, 1, 0, 6]);
            bytes.extend(source.map_or([2, 0, 0, 0, 0, 1], mac));
            bytes.extend([0, 0]);
            bytes.extend(ether_type.to_be_bytes());
        }
        Link::Sll2 => {
            bytes.extend(ether_type.to_be_bytes());
            bytes.extend([0, 0, 0, 0, 0, 2, 0, 1, 0, 6]);
            bytes.extend(source.map_or([2, 0, 0, 0, 0, 1], mac));
            bytes.extend([0, 0]);
        }
    }
    bytes.extend(packet);
    bytes
}

/// Replaces the sender's MAC address of a frame, and the interface at which a cooked capture took it.
pub fn set_sender(link: Link, frame: &mut [u8], mac: [u8; 6], interface: u32) {
    match link {
        Link::Ethernet | Link::Sll => frame[6..12].copy_from_slice(&mac),
        Link::Sll2 => {
            frame[4..8].copy_from_slice(&interface.to_be_bytes());
            frame[12..18].copy_from_slice(&mac);
        }
        Link::Null | Link::Raw => {}
    }
}

pub fn ether_type(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

fn ends(ether_type: u16, packet: &[u8]) -> (Option<IpAddr>, Option<IpAddr>) {
    let v4 = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let v6 = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    match ether_type {
        0x0800 => (Some(v4(12)), Some(v4(16))),
        0x86dd => (Some(v6(8)), Some(v6(24))),
        0x0806 => (Some(v4(14)), None),
        _ => (None, None),
    }
}

/// A locally administered MAC address derived from an IP address; for multicast the corresponding group address.
fn mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(a) if a.is_broadcast() => [0xff; 6],
        IpAddr::V4(a) => {
            let [first, b, c, d] = a.octets();
            if a.is_multicast() {
                [1, 0, 0x5e, b & 0x7f, c, d]
            } else {
                [2, 0, first, b, c, d]
            }
        }
        IpAddr::V6(a) => {
            let [.., w, x, y, z] = a.octets();
            if a.is_multicast() {
                [0x33, 0x33, w, x, y, z]
            } else {
                [2, 6, w, x, y, z]
            }
        }
    }
}

/// Writes the checksum over pseudo header and segment, then prepends the IP header.
fn seal(header: Ip, protocol: u8, mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
    let mut pseudo = Vec::new();
    match (header.source, header.destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            pseudo.extend(a.octets());
            pseudo.extend(b.octets());
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            pseudo.extend(a.octets());
            pseudo.extend(b.octets());
        }
        _ => {}
    }
    pseudo.extend([0, protocol]);
    pseudo.extend((bytes.len() as u16).to_be_bytes());
    pseudo.extend(&bytes);
    let sum = checksum(&pseudo);
    bytes[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    ip(header, protocol, &bytes)
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let bit = crc & 1;
            crc = (crc >> 1) ^ (bit * 0x82f6_3b78);
        }
    }
    !crc
}

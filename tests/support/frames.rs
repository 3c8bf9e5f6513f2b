//! Builds frames and capture files byte by byte, for unit tests and integration tests (both include this file by
//! path). Nothing here uses nanoseg's own types: a test must not share the faults of the code that it tests.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{IpAddr, SocketAddr};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// Parses an address and port, `10.0.0.1:80` or `[fd00::1]:80`.
pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// The fields of an IP header apart from addresses.
#[derive(Debug, Clone, Copy)]
pub struct Ip {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// The IPv4 identification. Two captures of the same packet have the same one.
    pub id: u16,
    pub ttl: u8,
}

/// An IP header's fields, with a time to live of 64 and no identification.
pub fn ip(source: SocketAddr, destination: SocketAddr) -> Ip {
    Ip {
        source,
        destination,
        id: 0,
        ttl: 64,
    }
}

impl Ip {
    pub fn id(self, id: u16) -> Ip {
        Ip { id, ..self }
    }

    pub fn ttl(self, ttl: u8) -> Ip {
        Ip { ttl, ..self }
    }
}

/// A TCP segment's fields.
#[derive(Debug, Clone, Copy)]
pub struct Tcp<'a> {
    pub flags: u8,
    pub sequence: u32,
    pub ack: u32,
    /// The TSval of the timestamps option. 0 means no such option.
    pub timestamp: u32,
    pub payload: &'a [u8],
}

pub fn tcp(flags: u8, sequence: u32, ack: u32) -> Tcp<'static> {
    Tcp {
        flags,
        sequence,
        ack,
        timestamp: 0,
        payload: b"",
    }
}

/// An Ethernet frame with a TCP segment.
pub fn tcp_frame(ip: Ip, tcp: Tcp<'_>) -> Vec<u8> {
    ethernet_ip(&tcp_packet(ip, tcp))
}

/// An Ethernet frame with a UDP datagram.
pub fn udp_frame(ip: Ip, payload: &[u8]) -> Vec<u8> {
    ethernet_ip(&udp_packet(ip, payload))
}

/// An Ethernet frame with an SCTP packet of one chunk (`kind`: 0 DATA, 1 INIT, 2 INIT ACK, 6 ABORT).
pub fn sctp_frame(ip: Ip, tag: u32, kind: u8, chunk: &[u8]) -> Vec<u8> {
    let mut out = ports(ip);
    out.extend(tag.to_be_bytes());
    out.extend([0; 4]);
    out.extend([kind, 0]);
    out.extend((chunk.len() as u16 + 4).to_be_bytes());
    out.extend(chunk);
    ethernet_ip(&ip_packet(ip, 132, &out))
}

pub fn tcp_packet(ip: Ip, tcp: Tcp<'_>) -> Vec<u8> {
    let mut options = Vec::new();
    if tcp.timestamp != 0 {
        options.extend([1, 1, 8, 10]);
        options.extend(tcp.timestamp.to_be_bytes());
        options.extend([0; 4]);
    }
    let mut out = ports(ip);
    out.extend(tcp.sequence.to_be_bytes());
    out.extend(tcp.ack.to_be_bytes());
    out.extend([
        ((20 + options.len()) as u8 / 4) << 4,
        tcp.flags,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    out.extend(options);
    out.extend(tcp.payload);
    ip_packet(ip, 6, &out)
}

pub fn udp_packet(ip: Ip, payload: &[u8]) -> Vec<u8> {
    let mut out = ports(ip);
    out.extend((payload.len() as u16 + 8).to_be_bytes());
    out.extend([0; 2]);
    out.extend(payload);
    ip_packet(ip, 17, &out)
}

/// ICMP "destination unreachable, port unreachable" from `sender` about `original` (an IP packet).
pub fn port_unreachable(sender: IpAddr, original: &[u8]) -> Vec<u8> {
    let to = match original[0] >> 4 {
        4 => IpAddr::from(<[u8; 4]>::try_from(&original[12..16]).expect("an IPv4 header")),
        _ => IpAddr::from(<[u8; 16]>::try_from(&original[8..24]).expect("an IPv6 header")),
    };
    let (number, kind, code) = if to.is_ipv4() { (1, 3, 3) } else { (58, 1, 4) };
    let mut out = vec![kind, code, 0, 0, 0, 0, 0, 0];
    out.extend(&original[..original.len().min(48)]);
    let ends = ip(SocketAddr::new(sender, 0), SocketAddr::new(to, 0));
    ethernet_ip(&ip_packet(ends, number, &out))
}

fn ports(ip: Ip) -> Vec<u8> {
    let ports = [
        ip.source.port().to_be_bytes(),
        ip.destination.port().to_be_bytes(),
    ];
    ports.concat()
}

/// An IPv4 or IPv6 packet around `payload`.
pub fn ip_packet(ip: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (ip.source.ip(), ip.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut out = vec![0x45, 0];
            out.extend((payload.len() as u16 + 20).to_be_bytes());
            out.extend(ip.id.to_be_bytes());
            out.extend([0x40, 0, ip.ttl, protocol, 0, 0]);
            out.extend(source.octets());
            out.extend(destination.octets());
            out.extend(payload);
            out
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut out = vec![0x60, 0, 0, 0];
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend([protocol, ip.ttl]);
            out.extend(source.octets());
            out.extend(destination.octets());
            out.extend(payload);
            out
        }
        _ => panic!("both ends of a packet are of one family"),
    }
}

/// An Ethernet frame around an IP packet, by its version.
pub fn ethernet_ip(packet: &[u8]) -> Vec<u8> {
    ethernet(if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, packet)
}

pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    out.extend(kind.to_be_bytes());
    out.extend(payload);
    out
}

/// The same frame inside a VLAN.
pub fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend([0x81, 0x00]);
    out.extend(vlan.to_be_bytes());
    out.extend(&frame[12..]);
    out
}

/// The same frame inside VXLAN between two nodes.
pub fn vxlan(frame: &[u8], outer: Ip) -> Vec<u8> {
    let mut out = vec![0x08, 0, 0, 0, 0, 0, 42, 0];
    out.extend(frame);
    udp_frame(outer, &out)
}

/// The same frame inside Geneve between two nodes, with one option.
pub fn geneve(frame: &[u8], outer: Ip) -> Vec<u8> {
    let mut out = vec![0x02, 0, 0x65, 0x58, 0, 0, 42, 0];
    out.extend([1, 2, 3, 1, 0, 0, 0, 0]);
    out.extend(frame);
    udp_frame(outer, &out)
}

/// A DNS answer to `question`: each address under that name with a TTL of 60 s.
pub fn dns_answer(question: &str, addresses: &[IpAddr]) -> Vec<u8> {
    let mut out = vec![
        0x12,
        0x34,
        0x81,
        0x80,
        0,
        1,
        0,
        addresses.len() as u8,
        0,
        0,
        0,
        0,
    ];
    for label in question.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    for address in addresses {
        let (kind, octets) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (28, v6.octets().to_vec()),
        };
        out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, octets.len() as u8]);
        out.extend(octets);
    }
    out
}

/// A complete TCP connection as Ethernet frames: handshake, `request`, `response`, both FINs.
/// Sequence numbers start at `isn` (client) and `isn + 1000` (server).
pub fn tcp_exchange(
    client: SocketAddr,
    server: SocketAddr,
    isn: u32,
    request: &[u8],
    response: &[u8],
) -> Vec<Vec<u8>> {
    let (there, back) = (
        ip(client, server).id(isn as u16 | 1),
        ip(server, client).id(isn as u16 | 1),
    );
    let (a, b) = (isn.wrapping_add(1), isn.wrapping_add(1001));
    let (a2, b2) = (
        a.wrapping_add(request.len() as u32),
        b.wrapping_add(response.len() as u32),
    );
    let stamp = |tcp: Tcp<'static>| Tcp {
        timestamp: isn | 1,
        ..tcp
    };
    vec![
        tcp_frame(there, stamp(tcp(SYN, isn, 0))),
        tcp_frame(back, stamp(tcp(SYN | ACK, isn.wrapping_add(1000), a))),
        tcp_frame(there, tcp(ACK, a, b)),
        tcp_frame(
            there,
            Tcp {
                payload: request,
                ..tcp(PSH | ACK, a, b)
            },
        ),
        tcp_frame(
            back,
            Tcp {
                payload: response,
                ..tcp(PSH | ACK, b, a2)
            },
        ),
        tcp_frame(there, tcp(FIN | ACK, a2, b2)),
        tcp_frame(back, tcp(FIN | ACK, b2, a2.wrapping_add(1))),
        tcp_frame(there, tcp(ACK, a2.wrapping_add(1), b2.wrapping_add(1))),
    ]
}

/// A little-endian nanosecond pcap of Ethernet frames; times in nanoseconds since the epoch.
pub fn pcap<'a>(frames: impl IntoIterator<Item = (i64, &'a [u8])>) -> Vec<u8> {
    pcap_of(1, frames)
}

/// The same file with any link type.
pub fn pcap_of<'a>(link: u32, frames: impl IntoIterator<Item = (i64, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_3c4d_u32, 4 << 16 | 2, 0, 0, 262_144, link] {
        out.extend(word.to_le_bytes());
    }
    for (nanos, frame) in frames {
        let (secs, fraction) = (
            nanos.div_euclid(1_000_000_000),
            nanos.rem_euclid(1_000_000_000),
        );
        for word in [
            secs as u32,
            fraction as u32,
            frame.len() as u32,
            frame.len() as u32,
        ] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

/// The same frames as pcapng, with one interface whose clock counts nanoseconds.
pub fn pcapng<'a>(frames: impl IntoIterator<Item = (i64, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let length = (body.len() + 12) as u32;
        out.extend(kind.to_le_bytes());
        out.extend(length.to_le_bytes());
        out.extend(body);
        out.extend(length.to_le_bytes());
    };
    let section = [
        &0x1a2b_3c4d_u32.to_le_bytes()[..],
        &[1, 0, 0, 0],
        &[0xff; 8],
    ]
    .concat();
    block(0x0a0d_0d0a, &section);
    block(
        1,
        &[1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
    );
    for (nanos, frame) in frames {
        let mut body = Vec::new();
        let length = frame.len() as u32;
        for word in [0, (nanos >> 32) as u32, nanos as u32, length, length] {
            body.extend(word.to_le_bytes());
        }
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        block(6, &body);
    }
    out
}

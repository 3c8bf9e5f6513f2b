//! The bytes of a capture: pcap (classic, microseconds, little endian), Ethernet, IPv4 and TCP with correct checksums.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;
/// NOP, NOP, timestamps: on every segment.
const OPTIONS: usize = 12;
/// MSS, SACK permitted, timestamps, NOP, window scale: on SYN and SYN-ACK, in Linux's order.
const SYN_OPTIONS: usize = 20;
/// [`BODY`] is no shorter.
pub const MAX_PAYLOAD: usize = 128;
const BODY: &[u8] = b"GET /api/v1/orders/4711?expand=items HTTP/1.1\r\nHost: orders\r\n\
    User-Agent: bench/1\r\nAccept: application/json\r\nX-Request-Id: 12345678\r\n";

/// One TCP segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Microseconds since the epoch.
    pub time: u64,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub ip_id: u16,
    pub time_to_live: u8,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgment: u32,
    /// At most [`MAX_PAYLOAD`].
    pub payload: usize,
    /// TSval and TSecr.
    pub timestamps: [u32; 2],
}

pub fn write_header(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    out.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    out.write_all(&262_144_u32.to_le_bytes())?;
    out.write_all(&1_u32.to_le_bytes())
}

pub fn write_segment(out: &mut impl Write, segment: &Segment) -> io::Result<()> {
    let options = if segment.flags & SYN != 0 {
        SYN_OPTIONS
    } else {
        OPTIONS
    };
    let length = ETHERNET + IP + TCP + options + segment.payload;
    let mut record = [0; 16 + ETHERNET + IP + TCP + SYN_OPTIONS + MAX_PAYLOAD];
    let (head, frame) = record.split_at_mut(16);
    head[0..4].copy_from_slice(&((segment.time / 1_000_000) as u32).to_le_bytes());
    head[4..8].copy_from_slice(&((segment.time % 1_000_000) as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    head[12..16].copy_from_slice(&(length as u32).to_le_bytes());
    frame[0..6].copy_from_slice(&mac(*segment.destination.ip()));
    frame[6..12].copy_from_slice(&mac(*segment.source.ip()));
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let (ip, tcp) = frame[ETHERNET..length].split_at_mut(IP);
    fill_ip(ip, segment, length - ETHERNET);
    fill_tcp(tcp, segment, options);
    out.write_all(&record[..16 + length])
}

fn fill_ip(ip: &mut [u8], segment: &Segment, length: usize) {
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    ip[4..6].copy_from_slice(&segment.ip_id.to_be_bytes());
    ip[6] = 0x40; // don't fragment
    ip[8] = segment.time_to_live;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&segment.source.ip().octets());
    ip[16..20].copy_from_slice(&segment.destination.ip().octets());
    let sum = checksum(0, ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn fill_tcp(tcp: &mut [u8], segment: &Segment, options: usize) {
    tcp[0..2].copy_from_slice(&segment.source.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&segment.destination.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&segment.sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&segment.acknowledgment.to_be_bytes());
    tcp[12] = (((TCP + options) / 4) << 4) as u8;
    tcp[13] = segment.flags;
    tcp[14..16].copy_from_slice(&64_240_u16.to_be_bytes());
    let stamps = if options == SYN_OPTIONS {
        tcp[20..28].copy_from_slice(&[2, 4, 0x05, 0xb4, 4, 2, 8, 10]);
        tcp[36..40].copy_from_slice(&[1, 3, 3, 7]);
        28
    } else {
        tcp[20..24].copy_from_slice(&[1, 1, 8, 10]);
        24
    };
    tcp[stamps..stamps + 4].copy_from_slice(&segment.timestamps[0].to_be_bytes());
    tcp[stamps + 4..stamps + 8].copy_from_slice(&segment.timestamps[1].to_be_bytes());
    tcp[TCP + options..].copy_from_slice(&BODY[..segment.payload]);
    let pseudo = [*segment.source.ip(), *segment.destination.ip()]
        .iter()
        .flat_map(|address| [address.to_bits() >> 16, address.to_bits() & 0xffff])
        .sum::<u32>()
        + 6
        + tcp.len() as u32;
    let sum = checksum(pseudo, tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// Returns the Internet checksum (RFC 1071) of `bytes`, added to `start`.
fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let odd = words
        .remainder()
        .first()
        .map_or(0, |last| u32::from(*last) << 8);
    let mut sum = words.fold(start + odd, |sum, word| {
        sum + u32::from(u16::from_be_bytes([word[0], word[1]]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Returns a locally administered MAC address, unique per IP address.
fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

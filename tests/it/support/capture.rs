//! Frames → capture files.

use super::frames::Link;

/// The format of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Microseconds, little endian: the format of tcpdump.
    Pcap,
    /// Nanoseconds, big endian.
    PcapNanoBig,
    /// One file with one interface per tap.
    PcapNg,
}

/// One captured frame; `data` may be cut by the snap length.
#[derive(Debug, Clone)]
pub struct Captured {
    pub nanos: i64,
    pub original: usize,
    pub data: Vec<u8>,
}

pub fn pcap(link: Link, format: Format, frames: &[Captured]) -> Vec<u8> {
    let big = format == Format::PcapNanoBig;
    let word = |n: u32| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let magic: u32 = if big { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut bytes = Vec::new();
    bytes.extend(word(magic));
    let version = [2u16, 4u16].map(|n| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    });
    bytes.extend(version.concat());
    for number in [0, 0, 262_144, link.number()] {
        bytes.extend(word(number));
    }
    for frame in frames {
        let (secs, nanos) = (
            frame.nanos.div_euclid(1_000_000_000),
            frame.nanos.rem_euclid(1_000_000_000),
        );
        let fraction = if big { nanos } else { nanos / 1000 };
        bytes.extend(word(secs as u32));
        bytes.extend(word(fraction as u32));
        bytes.extend(word(frame.data.len() as u32));
        bytes.extend(word(frame.original as u32));
        bytes.extend(&frame.data);
    }
    bytes
}

/// Writes `frames`: (interface, frame) in the order of time, with timestamps in nanoseconds.
pub fn pcapng(interfaces: &[(String, Link)], frames: &[(usize, Captured)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut header = Vec::new();
    header.extend(0x1a2b_3c4du32.to_le_bytes());
    header.extend([1, 0, 0, 0]);
    header.extend((-1i64).to_le_bytes());
    block(&mut bytes, 0x0a0d_0d0a, &header);
    for (name, link) in interfaces {
        let mut body = Vec::new();
        body.extend((link.number() as u16).to_le_bytes());
        body.extend([0, 0]);
        body.extend(262_144u32.to_le_bytes());
        option(&mut body, 2, name.as_bytes());
        option(&mut body, 9, &[9]); // if_tsresol: 10^-9 s
        option(&mut body, 0, &[]);
        block(&mut bytes, 1, &body);
    }
    for (interface, frame) in frames {
        let mut body = Vec::new();
        body.extend((*interface as u32).to_le_bytes());
        let time = frame.nanos as u64;
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend((frame.data.len() as u32).to_le_bytes());
        body.extend((frame.original as u32).to_le_bytes());
        body.extend(&frame.data);
        block(&mut bytes, 6, &body);
    }
    bytes
}

fn option(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    bytes.extend(code.to_le_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn block(bytes: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let length = (12 + padded) as u32;
    bytes.extend(kind.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    bytes.extend(std::iter::repeat_n(0, padded - body.len()));
    bytes.extend(length.to_le_bytes());
}

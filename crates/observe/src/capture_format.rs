//! Detects the format of a capture by its first bytes, and defines what the parsers return.

use super::capture_interface::InterfaceRead;
use super::capture_summary::TroubleKind;
use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::read_buffer::{Filled, ReadBuffer};
use nanoseg_flow::LinkType;
use nanoseg_net::{FILE_KIND_BYTES, FileKind, Timestamp};
use std::io::{self, Read};

/// The packet that a parser found at the start of the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub time: Timestamp,
    pub link: LinkType,
    /// The number of the capture's interface, from 0.
    pub interface: u32,
    pub original_length: u32,
    /// Where the packet's bytes are in the buffer.
    pub from: usize,
    pub to: usize,
    /// How many bytes to consume once the packet is done with.
    pub length: usize,
}

/// The content of the start of the buffer.
pub(super) enum Step {
    Packet(Head),
    /// Something else, this long.
    Skip(usize),
    /// At least this many bytes are needed.
    Need(usize),
    /// From here on the capture cannot be read.
    Damaged(String),
}

pub(super) enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Why bytes are no capture.
pub(super) enum NoFormat {
    Io(io::Error),
    NotACapture(String),
    WrongKind(FileKind),
}

impl NoFormat {
    /// The reason in words, and the kind of file if it is known.
    pub fn reason(&self) -> (String, Option<FileKind>) {
        match self {
            NoFormat::Io(error) => (error.to_string(), None),
            NoFormat::NotACapture(reason) => (reason.clone(), None),
            NoFormat::WrongKind(kind) => (kind.to_string(), Some(*kind)),
        }
    }
}

impl Format {
    /// Reads the file header. Other capture formats are named, so that a user knows what to do.
    pub fn detect<R: Read>(buffer: &mut ReadBuffer<R>) -> Result<Format, NoFormat> {
        let filled = buffer.fill(24).map_err(NoFormat::Io)?;
        let data = buffer.data();
        let Some(magic) = data.first_chunk::<4>() else {
            let reason = if data.is_empty() {
                "the file is empty"
            } else {
                "the file is too short"
            };
            return Err(NoFormat::NotACapture(reason.into()));
        };
        if *magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            return Ok(Format::PcapNg(PcapNg::default()));
        }
        if let Some(other) = other_format(*magic) {
            return Err(NoFormat::NotACapture(other.into()));
        }

        if filled == Filled::Ended && Pcap::is_magic(*magic) {
            return Err(NoFormat::NotACapture(
                "the file ends inside the pcap header".into(),
            ));
        }
        match Pcap::parse_header(data) {
            Some(pcap) => {
                buffer.consume(Pcap::HEADER);
                Ok(Format::Pcap(pcap))
            }
            None => {
                // What can be read of it is enough to name it.
                let _ = buffer.fill(FILE_KIND_BYTES);
                Err(match FileKind::of(buffer.data()) {
                    None | Some(FileKind::Capture) => {
                        NoFormat::NotACapture("neither a pcap nor a pcapng magic number".into())
                    }
                    Some(kind) => NoFormat::WrongKind(kind),
                })
            }
        }
    }

    #[inline(always)]
    pub fn step(&mut self, data: &[u8]) -> Step {
        match self {
            Format::Pcap(pcap) => pcap.step(data),
            Format::PcapNg(pcapng) => pcapng.step(data),
        }
    }

    /// Damage that was passed over.
    pub fn take_trouble(&mut self) -> Option<(TroubleKind, String)> {
        match self {
            Format::Pcap(pcap) => pcap.trouble.take(),
            Format::PcapNg(pcapng) => pcapng.trouble.take(),
        }
    }

    /// The interfaces that the file describes, with what it says of losses.
    pub fn interfaces(&self) -> Vec<InterfaceRead> {
        match self {
            Format::Pcap(pcap) => vec![InterfaceRead::new(None, pcap.link)],
            Format::PcapNg(pcapng) => pcapng.described.read(),
        }
    }

    /// Blocks that are neither packets nor needed to read packets.
    pub fn other_blocks(&self) -> u64 {
        match self {
            Format::Pcap(_) => 0,
            Format::PcapNg(pcapng) => pcapng.other_blocks,
        }
    }
}

fn other_format(magic: [u8; 4]) -> Option<&'static str> {
    Some(match &magic {
        b"snoo" => "a snoop capture; convert it with `editcap -F pcapng`",
        b"TRSN" | b"XCP\0" => "a Sniffer or NetXRay capture; convert it with `editcap -F pcapng`",
        b"GMBU" | b"RTSS" => "a Network Monitor capture; convert it with `editcap -F pcapng`",
        [0xa1, 0xb2, 0xcd, 0x34] => {
            "a modified pcap in big-endian order, which pcap-parser does not read"
        }
        _ => return None,
    })
}

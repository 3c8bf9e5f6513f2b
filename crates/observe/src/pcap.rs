//! The classic capture file: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>.

use super::capture_format::{Head, Step};
use super::capture_summary::TroubleKind;
use super::read_buffer::MAX_RECORD;
use nanoseg_flow::LinkType;
use nanoseg_net::{SECOND, Timestamp};
use pcap_parser::{
    LegacyPcapBlock, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Records {
    LittleEndian,
    BigEndian,
    /// Kuznetzov's variant of libpcap: little-endian with 8 more bytes in each record header.
    Modified,
}

/// How the records of one file are to be read.
pub(super) struct Pcap {
    records: Records,
    pub link: LinkType,
    /// Nanoseconds in one unit of the records' fraction field.
    unit: i64,
    pub trouble: Option<(TroubleKind, String)>,
}

impl Pcap {
    /// Length of the file header.
    pub const HEADER: usize = 24;

    pub fn is_magic(magic: [u8; 4]) -> bool {
        const MAGICS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34];
        let (little, big) = (u32::from_le_bytes(magic), u32::from_be_bytes(magic));
        MAGICS.contains(&little) || MAGICS[..2].contains(&big)
    }

    pub fn parse_header(data: &[u8]) -> Option<Pcap> {
        let (_, header) = parse_pcap_header(data).ok()?;
        let records = match (header.is_modified_format(), header.is_bigendian()) {
            (true, _) => Records::Modified,
            (_, true) => Records::BigEndian,
            _ => Records::LittleEndian,
        };
        // The upper bits hold the frame check sequence's length (draft-ietf-opsawg-pcap section 4).
        let link = LinkType((header.network.0 as u32 & 0xffff) as u16);
        let unit = if header.is_nanosecond_precision() {
            1
        } else {
            1000
        };
        Some(Pcap {
            records,
            link,
            unit,
            trouble: None,
        })
    }

    #[inline(always)]
    pub fn step(&mut self, data: &[u8]) -> Step {
        match self.records {
            Records::LittleEndian => self.record(data, 16, parse_pcap_frame),
            Records::BigEndian => self.record(data, 16, parse_pcap_frame_be),
            Records::Modified => self.record(data, 24, parse_pcap_frame_modified),
        }
    }

    #[inline(always)]
    fn record<'a, E>(
        &mut self,
        data: &'a [u8],
        header: usize,
        parse: impl Fn(&'a [u8]) -> Result<(&'a [u8], LegacyPcapBlock<'a>), E>,
    ) -> Step {
        match parse(data) {
            // Longer than any packet can be, though all of it is in the buffer: read as damage
            // whether or not the file goes on that far.
            Ok((_, block)) if block.caplen as usize <= MAX_RECORD => Step::Packet(Head {
                time: self.time(block.ts_sec, block.ts_usec),
                link: self.link,
                interface: 0,
                original_length: block.origlen.max(block.caplen),
                from: header,
                to: header + block.caplen as usize,
                length: header + block.caplen as usize,
            }),
            _ => self.incomplete(data, header),
        }
    }

    #[cold]
    fn incomplete(&self, data: &[u8], header: usize) -> Step {
        let Some(captured) = data.get(8..12).and_then(|field| field.first_chunk::<4>()) else {
            return Step::Need(header);
        };
        let captured = match self.records {
            Records::BigEndian => u32::from_be_bytes(*captured),
            _ => u32::from_le_bytes(*captured),
        } as usize;
        if captured > MAX_RECORD {
            return Step::Damaged(format!("a packet record claims {captured} bytes"));
        }
        Step::Need(header + captured)
    }

    #[inline(always)]
    fn time(&self, seconds: u32, fraction: u32) -> Timestamp {
        // A fraction of a second or more is wrong, but the packet is still one: carried over.
        Timestamp::from_nanos(i64::from(seconds) * SECOND + i64::from(fraction) * self.unit)
    }
}

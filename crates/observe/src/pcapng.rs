//! The newer capture file: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>.
//!
//! Section and interface blocks are parsed by `pcap-parser`. Packet blocks, of which there are
//! millions, are sliced here: `pcap-parser` collects each one's options into a vector and gives up a
//! packet whose options are damaged, and it does not know the obsolete packet block.

use super::capture_format::{Head, Step};
use super::capture_interface::DescribedInterfaces;
use super::capture_summary::TroubleKind;
use super::read_buffer::MAX_RECORD;
use nanoseg_flow::LinkType;
use nanoseg_net::Timestamp;
use pcap_parser::pcapng::{
    InterfaceDescriptionBlock, OptionCode, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le,
};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// More interfaces than this in a section are taken for damage: each takes memory.
const MAX_INTERFACES: usize = 1 << 16;

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    snap_length: u32,
    clock: Clock,
    /// Its number among all that the file describes.
    number: u32,
}

/// As wide as the arithmetic of timestamps needs it.
const SECOND: u128 = nanoseg_net::SECOND as u128;

/// How an interface's timestamps become nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// Units per second (if_tsresol), 10^n or 2^n.
    units: u128,
    /// Nanoseconds in a unit, where that is a whole number; else 0.
    nanos: u64,
    /// Seconds to add (if_tsoffset).
    offset: i64,
}

impl Clock {
    /// `resolution` as if_tsresol has it: the top bit chooses base 2 over base 10.
    fn new(resolution: u8, offset: i64) -> Option<Clock> {
        let exponent = u32::from(resolution & 0x7f);
        let base: u128 = if resolution & 0x80 != 0 { 2 } else { 10 };
        let units = base.checked_pow(exponent)?;
        let whole = units <= SECOND && SECOND.is_multiple_of(units);
        let nanos = if whole { (SECOND / units) as u64 } else { 0 };
        Some(Clock {
            units,
            nanos,
            offset,
        })
    }

    #[inline]
    fn time(&self, high: u32, low: u32) -> Timestamp {
        let ticks = u64::from(high) << 32 | u64::from(low);
        let nanos = match ticks.checked_mul(self.nanos) {
            Some(nanos) if self.nanos > 0 => i64::try_from(nanos).unwrap_or(i64::MAX),
            _ => self.slow(ticks),
        };
        Timestamp::from_nanos(nanos).plus_secs(self.offset)
    }

    #[cold]
    fn slow(&self, ticks: u64) -> i64 {
        let seconds = u128::from(ticks) / self.units;
        let fraction = u128::from(ticks) % self.units;
        // The fraction is below 2^64, so the product is below 2^94.
        let nanos = seconds * SECOND + fraction * SECOND / self.units;
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

/// The state of reading one file: byte order and interfaces of the current section.
#[derive(Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Option<Interface>>,
    /// The time of the packet before.
    last: Timestamp,
    pub trouble: Option<(TroubleKind, String)>,
    pub other_blocks: u64,
    /// The interfaces of all sections.
    pub described: DescribedInterfaces,
}

impl PcapNg {
    #[inline]
    pub fn step(&mut self, data: &[u8]) -> Step {
        let Some(start) = data.first_chunk::<12>() else {
            return Step::Need(12);
        };
        let mut kind = self.word([start[0], start[1], start[2], start[3]]);
        if start[..4] == SECTION.to_be_bytes() {
            kind = SECTION;
            match u32::from_le_bytes([start[8], start[9], start[10], start[11]]) {
                0x1a2b_3c4d => self.big_endian = false,
                0x4d3c_2b1a => self.big_endian = true,
                _ => return Step::Damaged("a section header has no byte-order mark".into()),
            }
        }
        let length = self.word([start[4], start[5], start[6], start[7]]) as usize;
        if !(12..=MAX_RECORD).contains(&length) {
            return Step::Damaged(format!("a block claims {length} bytes"));
        }
        // Lengths are multiples of 4; some writers forgot the padding in the length field.
        let padded = length.next_multiple_of(4);
        let Some(block) = data.get(..padded) else {
            return Step::Need(padded);
        };
        let body = &block[8..length - 4];
        match kind {
            ENHANCED_PACKET => self.enhanced(body, padded),
            SIMPLE_PACKET => self.simple(body, padded),
            OBSOLETE_PACKET => self.obsolete(body, padded),
            SECTION => {
                self.interfaces.clear();
                Step::Skip(padded)
            }
            INTERFACE => self.interface(block, padded),
            other => {
                if other == STATISTICS {
                    self.statistics(body);
                }
                self.other_blocks += 1;
                Step::Skip(padded)
            }
        }
    }

    #[inline(always)]
    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    #[inline(always)]
    fn at(&self, body: &[u8], offset: usize) -> Option<u32> {
        body.get(offset..)?
            .first_chunk::<4>()
            .map(|bytes| self.word(*bytes))
    }

    fn interface(&mut self, block: &[u8], padded: usize) -> Step {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Step::Damaged("a section has more than 65536 interfaces".into());
        }
        let parsed = if self.big_endian {
            parse_interfacedescriptionblock_be(block)
        } else {
            parse_interfacedescriptionblock_le(block)
        };
        let interface = match parsed {
            Ok((_, idb)) => build_interface(&idb, self.big_endian, &mut self.described),
            Err(_) => None,
        };
        if interface.is_none() {
            self.note("an interface description cannot be read; its packets are left out");
        }
        self.interfaces.push(interface);
        Step::Skip(padded)
    }

    fn note(&mut self, what: &str) {
        if self.trouble.is_none() {
            self.trouble = Some((TroubleKind::Damaged, what.into()));
        }
    }

    #[inline]
    fn enhanced(&mut self, body: &[u8], padded: usize) -> Step {
        let fields = (
            self.at(body, 0),
            self.at(body, 4),
            self.at(body, 8),
            self.at(body, 12),
            self.at(body, 16),
        );
        let (Some(interface), Some(high), Some(low), Some(captured), Some(original)) = fields
        else {
            return self.bad_packet(padded);
        };
        let options = 20usize.saturating_add((captured as usize).next_multiple_of(4));
        if body.len() > options {
            self.drop_count(interface, &body[options..]);
        }
        self.packet(
            interface,
            (high, low),
            captured,
            original,
            body.len(),
            padded,
        )
    }

    /// Counts the option epb_dropcount of a packet.
    #[cold]
    fn drop_count(&mut self, interface: u32, options: &[u8]) {
        let dropped = self.option(options, 4);
        self.lose(interface, dropped.unwrap_or_default());
    }

    /// Packets were lost before the current one.
    fn lose(&mut self, interface: u32, dropped: u64) {
        let number = self.number(interface);
        if let Some(statistics) = number.and_then(|number| self.described.statistics(number)) {
            statistics.between_packets = statistics.between_packets.saturating_add(dropped);
        }
    }

    /// The number of an interface of the current section.
    fn number(&self, interface: u32) -> Option<u32> {
        Some(self.interfaces.get(interface as usize)?.as_ref()?.number)
    }

    /// An interface statistics block.
    #[cold]
    fn statistics(&mut self, body: &[u8]) {
        let number = self
            .at(body, 0)
            .and_then(|interface| self.number(interface));
        let options = body.get(12..).unwrap_or_default();
        let read = [4, 5, 6, 7, 8].map(|code| self.option(options, code));
        let Some(statistics) = number.and_then(|number| self.described.statistics(number)) else {
            return;
        };
        // isb_ifrecv (4) counts what the filter left out as well, so it shows no loss.
        let [_, if_drop, filter_accept, os_drop, user_delivered] = read;
        statistics.if_drop = if_drop.or(statistics.if_drop);
        statistics.os_drop = os_drop.or(statistics.os_drop);
        statistics.filter_accept = filter_accept.or(statistics.filter_accept);
        statistics.user_delivered = user_delivered.or(statistics.user_delivered);
    }

    /// The value of an option of 64 bits.
    fn option(&self, mut options: &[u8], wanted: u16) -> Option<u64> {
        loop {
            let [a, b, c, d] = *options.first_chunk::<4>()?;
            let half = |bytes| {
                if self.big_endian {
                    u16::from_be_bytes(bytes)
                } else {
                    u16::from_le_bytes(bytes)
                }
            };
            let (code, length) = (half([a, b]), half([c, d]) as usize);
            let value = options.get(4..4 + length)?;
            if code == 0 {
                return None;
            }
            if code == wanted {
                let bytes = *value.first_chunk::<8>()?;
                return Some(if self.big_endian {
                    u64::from_be_bytes(bytes)
                } else {
                    u64::from_le_bytes(bytes)
                });
            }
            options = options.get(4 + length.next_multiple_of(4)..)?;
        }
    }

    /// The packet block before 2004: interface number and drop count share a word.
    fn obsolete(&mut self, body: &[u8], padded: usize) -> Step {
        let fields = (
            self.at(body, 0),
            self.at(body, 4),
            self.at(body, 8),
            self.at(body, 12),
            self.at(body, 16),
        );
        let (Some(interface), Some(high), Some(low), Some(captured), Some(original)) = fields
        else {
            return self.bad_packet(padded);
        };
        let (interface, dropped) = if self.big_endian {
            (interface >> 16, interface & 0xffff)
        } else {
            (interface & 0xffff, interface >> 16)
        };
        // All ones: the count is not known.
        if dropped > 0 && dropped != 0xffff {
            self.lose(interface, dropped.into());
        }
        self.packet(
            interface,
            (high, low),
            captured,
            original,
            body.len(),
            padded,
        )
    }

    /// Simple packet blocks belong to the first interface and have no time: they take that of the
    /// packet before them in the file.
    fn simple(&mut self, body: &[u8], padded: usize) -> Step {
        let (Some(original), Some(Some(interface))) = (self.at(body, 0), self.interfaces.first())
        else {
            return self.bad_packet(padded);
        };
        let limit = if interface.snap_length == 0 {
            u32::MAX
        } else {
            interface.snap_length
        };
        let captured = original.min(limit).min((body.len() - 4) as u32);
        let (link, number) = (interface.link, interface.number);
        self.described.packet(number);
        Step::Packet(Head {
            time: self.last,
            link,
            interface: number,
            original_length: original.max(captured),
            from: 12,
            to: 12 + captured as usize,
            length: padded,
        })
    }

    #[inline(always)]
    fn packet(
        &mut self,
        interface: u32,
        (high, low): (u32, u32),
        captured: u32,
        original: u32,
        body: usize,
        padded: usize,
    ) -> Step {
        let header = 20;
        let Some(Some(interface)) = self.interfaces.get(interface as usize) else {
            return self.bad_packet(padded);
        };
        if captured as usize > body - header {
            return self.bad_packet(padded);
        }
        self.last = interface.clock.time(high, low);
        self.described.packet(interface.number);
        Step::Packet(Head {
            time: self.last,
            link: interface.link,
            interface: interface.number,
            original_length: original.max(captured),
            from: 8 + header,
            to: 8 + header + captured as usize,
            length: padded,
        })
    }

    #[cold]
    fn bad_packet(&mut self, padded: usize) -> Step {
        self.note(
            "a packet block contradicts itself or names an unknown interface; it was left out",
        );
        Step::Skip(padded)
    }
}

fn build_interface(
    idb: &InterfaceDescriptionBlock<'_>,
    big_endian: bool,
    described: &mut DescribedInterfaces,
) -> Option<Interface> {
    // `idb.if_tsoffset` is read as little-endian in every section (pcap-parser 0.17).
    let offset = idb
        .options
        .iter()
        .find(|option| option.code == OptionCode::IfTsoffset);
    let offset = offset.and_then(|option| option.value.first_chunk::<8>());
    let read = if big_endian {
        i64::from_be_bytes
    } else {
        i64::from_le_bytes
    };
    let link = LinkType((idb.linktype.0 as u32 & 0xffff) as u16);
    let clock = Clock::new(idb.if_tsresol, offset.map_or(0, |bytes| read(*bytes)))?;
    Some(Interface {
        link,
        snap_length: idb.snaplen,
        clock,
        number: described.add(interface_name(idb), link),
    })
}

/// The option if_name; control characters are left out, since it is printed.
fn interface_name(idb: &InterfaceDescriptionBlock<'_>) -> Option<String> {
    const LONGEST: usize = 64;
    let mut options = idb.options.iter();
    let name = options.find(|option| option.code == OptionCode::IfName)?;
    let text = String::from_utf8_lossy(&name.value);
    let shown = text.chars().filter(|one| !one.is_control());
    Some(shown.take(LONGEST).collect()).filter(|name: &String| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_any_resolution_of_both_bases_and_an_offset() {
        let nanos = |resolution, offset, ticks: u64| {
            let clock = Clock::new(resolution, offset).unwrap();
            clock.time((ticks >> 32) as u32, ticks as u32).nanos()
        };
        assert_eq!(nanos(6, 0, 1_500_000), 1_500_000_000);
        assert_eq!(nanos(9, 0, 1_500_000), 1_500_000);
        assert_eq!(nanos(3, -1, 1_500), 500_000_000);
        assert_eq!(nanos(12, 0, 1_500_000), 1_500);
        assert_eq!(nanos(0x80 | 10, 0, 1536), 1_500_000_000);
        assert_eq!(nanos(0, 5, 2), 7_000_000_000);
        assert!(
            Clock::new(0x7f, 0).is_none(),
            "10^127 units a second is no clock"
        );
    }
}

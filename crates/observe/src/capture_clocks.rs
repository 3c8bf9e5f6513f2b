//! How far apart the clocks of captures are, by packets that are in two of them (rule: clocks-are-aligned).
//!
//! The first packets of each file are read before all are merged. A packet on its way from one node to another is in
//! both captures, with the time of each node; its delay is small, so the difference is that of the clocks. Where a
//! router lowered the hop limit in between, it shows which capture had the packet first: an answer never comes
//! before the question.

use nanoseg_flow::{LinkType, Packet, Transport, decode};
use nanoseg_net::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

/// Packets that are read of each file at most, and of all files together.
pub(super) const PACKETS: usize = 20_000;
pub(super) const PACKETS_OF_ALL: usize = 400_000;
/// Pairs of packets that are compared for two files.
const PAIRS: usize = 2_000;
/// With fewer pairs nothing is concluded: three are one handshake.
const FEWEST_PAIRS: usize = 3;
/// Differences below this are left alone, in nanoseconds: NTP holds nodes within it, and the same packet is recognised
/// within a second.
const LEAST: i64 = 100_000_000;
/// How far the middle half of the differences may spread, in nanoseconds: more is no difference of two clocks.
const SPREAD: i64 = 500_000_000;
/// A packet that a file has again later than this, in nanoseconds, is not the same one.
const SAME: i64 = 1_000_000_000;

/// The clocks of some captures, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// What to add to the times of each capture, in nanoseconds.
    pub shifts: Vec<i64>,
    /// The capture with whose clock each is compared.
    pub references: Vec<usize>,
    /// Captures that see the same connections and cannot be compared.
    pub unclear: Vec<(usize, usize)>,
}

/// A packet of a sample.
#[derive(Debug, Clone, Copy)]
struct Sight {
    time: i64,
    hops: u8,
    /// Seen again much later: no mark of one packet.
    again: bool,
}

/// The first packets of one capture.
#[derive(Debug, Default)]
pub(super) struct Sample {
    packets: FxHashMap<u64, Sight>,
    connections: FxHashSet<u64>,
    span: Option<(i64, i64)>,
}

impl Sample {
    /// Adds a frame, if it can be recognised elsewhere.
    pub fn add(&mut self, link: LinkType, data: &[u8], original_length: u32, time: Timestamp) {
        let Ok(decoded) = decode(link, data, original_length, time) else {
            return;
        };
        let Some((mark, connection)) = marks(&decoded.packet) else {
            return;
        };
        let time = time.nanos();
        self.connections.insert(connection);
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        let sight = Sight {
            time,
            hops: decoded.packet.ttl,
            again: false,
        };
        let known = self.packets.entry(mark).or_insert(sight);
        known.again |= time.saturating_sub(known.time).abs() > SAME;
    }

    fn overlaps(&self, other: &Sample) -> bool {
        match (self.span, other.span) {
            (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
            _ => false,
        }
    }
}

/// A number for the packet, the same wherever it is captured, and one for its connection.
fn marks(packet: &Packet) -> Option<(u64, u64)> {
    let hash = |value: &dyn Fn(&mut FxHasher)| {
        let mut hasher = FxHasher::default();
        value(&mut hasher);
        hasher.finish()
    };
    let (mark, ports) = match packet.transport {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
            sequence,
            acknowledgment,
            payload,
            ..
        } => {
            // No addresses, which translation changes; the larger port is mostly the client's, which it keeps.
            let port = source_port.max(destination_port);
            let numbers = (sequence, acknowledgment, packet.ip_id);
            let content = (port, numbers, flags.0, payload);
            (hash(&|h| content.hash(h)), (source_port, destination_port))
        }
        Transport::Udp {
            source_port,
            destination_port,
            payload,
            ..
        } if packet.ip_id != 0 => {
            let ends = (
                packet.source,
                packet.destination,
                source_port,
                destination_port,
            );
            let content = (ends, payload, packet.ip_id);
            (hash(&|h| content.hash(h)), (source_port, destination_port))
        }
        _ => return None,
    };
    let mut ends = [
        SocketAddr::new(packet.source, ports.0),
        SocketAddr::new(packet.destination, ports.1),
    ];
    ends.sort();
    Some((mark, hash(&|h| ends.hash(h))))
}

/// The same packet in two captures: how much later the second has it, and how many hops it had left there more.
type Pair = (i64, i16);

/// Compares the clocks of captures by their samples; `None` stands for one that cannot be read twice.
pub(super) fn compare(samples: &[Option<Sample>]) -> Clocks {
    let mut clocks = Clocks {
        shifts: vec![0; samples.len()],
        references: (0..samples.len()).collect(),
        unclear: Vec::new(),
    };
    let mut offsets: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for (places, pairs) in pairs(samples) {
        match offset(pairs) {
            Some(offset) => drop(offsets.insert(places, offset)),
            None => clocks.unclear.push(places),
        }
    }
    clocks.unclear.extend(strangers(samples, &offsets));
    clocks.unclear.sort_unstable();
    clocks.unclear.dedup();
    let mut neighbours: Vec<Vec<(usize, i64)>> = vec![Vec::new(); samples.len()];
    for ((a, b), offset) in offsets {
        neighbours[a].push((b, offset));
        neighbours[b].push((a, -offset));
    }
    // The clock with which the most captures agree is taken to be right.
    let agreeing = |place: usize| {
        let near = neighbours[place].iter();
        near.filter(|(_, offset)| offset.abs() < LEAST).count()
    };
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|place| (std::cmp::Reverse(agreeing(*place)), *place));
    let mut done = vec![false; samples.len()];
    for root in order {
        if std::mem::replace(&mut done[root], true) {
            continue;
        }
        let mut next = vec![root];
        while let Some(place) = next.pop() {
            for (other, offset) in &neighbours[place] {
                if !std::mem::replace(&mut done[*other], true) {
                    clocks.shifts[*other] = clocks.shifts[place].saturating_sub(*offset);
                    clocks.references[*other] = root;
                    next.push(*other);
                }
            }
        }
    }
    for shift in &mut clocks.shifts {
        if shift.abs() < LEAST {
            *shift = 0;
        }
    }
    clocks
}

/// The pairs of each two captures that have any.
fn pairs(samples: &[Option<Sample>]) -> BTreeMap<(usize, usize), Vec<Pair>> {
    let mut seen: FxHashMap<u64, Vec<(usize, Sight)>> = FxHashMap::default();
    for (place, sample) in samples.iter().enumerate() {
        for (mark, sight) in sample.iter().flat_map(|sample| &sample.packets) {
            if !sight.again {
                seen.entry(*mark).or_default().push((place, *sight));
            }
        }
    }
    let mut marks: Vec<_> = seen.into_values().filter(|seen| seen.len() > 1).collect();
    // The earliest first, whatever order a hash table has.
    marks.sort_by_key(|seen| (seen[0].1.time, seen[0].0));
    let mut pairs: BTreeMap<(usize, usize), Vec<Pair>> = BTreeMap::new();
    for seen in marks {
        for (index, (a, first)) in seen.iter().enumerate() {
            for (b, second) in seen.iter().skip(index + 1) {
                let pairs = pairs.entry((*a, *b)).or_default();
                if pairs.len() < PAIRS {
                    let later = second.time.saturating_sub(first.time);
                    pairs.push((later, i16::from(second.hops) - i16::from(first.hops)));
                }
            }
        }
    }
    pairs
}

/// How far the second clock is ahead, in nanoseconds.
fn offset(mut pairs: Vec<Pair>) -> Option<i64> {
    if pairs.len() < FEWEST_PAIRS {
        return None;
    }
    pairs.sort_unstable();
    let middle = pairs[pairs.len() / 2].0;
    let spread = pairs[pairs.len() * 3 / 4]
        .0
        .saturating_sub(pairs[pairs.len() / 4].0);
    if spread > SPREAD {
        return None;
    }
    // With fewer hops left the second saw it later than the first, so the clock is ahead by less than that.
    let near = |pair: &&Pair| pair.0.abs_diff(middle) < SPREAD.unsigned_abs();
    let near = || pairs.iter().filter(near);
    let most = near()
        .filter(|(_, hops)| *hops < 0)
        .map(|(later, _)| *later)
        .min();
    let least = near()
        .filter(|(_, hops)| *hops > 0)
        .map(|(later, _)| *later)
        .max();
    let (most, least) = (most.unwrap_or(i64::MAX), least.unwrap_or(i64::MIN));
    Some(if least <= most {
        middle.clamp(least, most)
    } else {
        middle
    })
}

/// Captures that see the same connections at the same time, but no packet that is the same.
fn strangers(
    samples: &[Option<Sample>],
    known: &BTreeMap<(usize, usize), i64>,
) -> Vec<(usize, usize)> {
    let mut by_connection: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
    for (place, sample) in samples.iter().enumerate() {
        for connection in sample.iter().flat_map(|sample| &sample.connections) {
            by_connection.entry(*connection).or_default().push(place);
        }
    }
    let mut found = FxHashSet::default();
    for places in by_connection.into_values() {
        for (index, a) in places.iter().enumerate() {
            for b in places.iter().skip(index + 1) {
                let overlap = match (&samples[*a], &samples[*b]) {
                    (Some(a), Some(b)) => a.overlaps(b),
                    _ => false,
                };
                if overlap && !known.contains_key(&(*a, *b)) {
                    found.insert((*a, *b));
                }
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests;

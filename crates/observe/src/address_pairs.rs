//! Between which addresses each capture has packets: this shows on which node it was taken (rule: node-of-a-capture).

use super::Frame;
use nanoseg_flow::{Packet, arp_addresses};
use rustc_hash::FxHashSet;
use std::net::IpAddr;

/// The most pairs that are kept of one capture. So many show its node, or nothing does.
const MAX_PAIRS: usize = 1 << 16;
/// The pairs of the last packets, so that most packets cost one comparison.
const RECENT: usize = 256;

/// Two addresses, the lower one first.
pub type AddressPair = (IpAddr, IpAddr);

/// Collects the pairs of addresses of captures, each once.
#[derive(Debug, Default)]
pub struct AddressPairs {
    captures: Vec<FxHashSet<AddressPair>>,
    recent: Vec<Option<(u32, AddressPair)>>,
}

impl AddressPairs {
    /// For this many captures; none: nothing is collected.
    pub fn new(captures: usize) -> Self {
        AddressPairs {
            captures: vec![FxHashSet::default(); captures],
            recent: vec![None; RECENT],
        }
    }

    /// Notes the ends of a packet.
    #[inline]
    pub fn note(&mut self, capture: u32, packet: &Packet) {
        if !self.captures.is_empty() && !packet.group {
            self.add(capture, packet.source, packet.destination);
        }
    }

    /// Notes the ends of an ARP packet, which is no packet of a connection.
    #[cold]
    pub fn note_skipped(&mut self, frame: &Frame<'_>) {
        if !self.captures.is_empty()
            && let Some((sender, target)) = arp_addresses(frame.link, frame.data)
        {
            self.add(frame.capture, sender.into(), target.into());
        }
    }

    #[inline]
    fn add(&mut self, capture: u32, a: IpAddr, b: IpAddr) {
        let pair = if a <= b { (a, b) } else { (b, a) };
        let place = (low_bits(pair.0) ^ low_bits(pair.1).wrapping_mul(31)) as usize % RECENT;
        if let Some(recent) = self.recent.get_mut(place)
            && *recent != Some((capture, pair))
        {
            *recent = Some((capture, pair));
            if let Some(pairs) = self.captures.get_mut(capture as usize)
                && pairs.len() < MAX_PAIRS
                && a != b
            {
                pairs.insert(pair);
            }
        }
    }

    /// The pairs of each capture, in order.
    pub fn finish(self) -> Vec<Vec<AddressPair>> {
        let sorted = |pairs: FxHashSet<AddressPair>| {
            let mut pairs: Vec<AddressPair> = pairs.into_iter().collect();
            pairs.sort_unstable();
            pairs
        };
        self.captures.into_iter().map(sorted).collect()
    }
}

#[inline]
fn low_bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(a) => a.to_bits(),
        IpAddr::V6(a) => a.to_bits() as u32,
    }
}

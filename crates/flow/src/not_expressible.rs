//! Traffic that no NetworkPolicy can express (rule: inexpressible-is-reported): counted by sender and receiver.

use nanoseg_net::Protocol;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherKind {
    /// TCP, UDP or SCTP to a multicast or broadcast address.
    Group(Protocol),
    /// ICMP and ICMPv6, without "unreachable", which decides a connection's verdict.
    Icmp,
    /// Any other protocol, by its IANA number.
    Protocol(u8),
}

/// Packets of one kind between two addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherTraffic {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub kind: OtherKind,
    pub packets: u64,
}

/// More pairs than this are only counted.
const MAX_PAIRS: usize = 1 << 14;

/// Collects [`OtherTraffic`] in bounded space.
#[derive(Debug, Default)]
pub struct OtherTally {
    pairs: FxHashMap<(IpAddr, IpAddr, OtherKind), u64>,
    /// Packets of pairs that found no room.
    overflow: u64,
}

impl OtherTally {
    /// Counts `packets` more.
    pub fn add(&mut self, source: IpAddr, destination: IpAddr, kind: OtherKind, packets: u64) {
        let key = (source, destination, kind);
        if let Some(known) = self.pairs.get_mut(&key) {
            *known = known.saturating_add(packets);
        } else if self.pairs.len() < MAX_PAIRS {
            self.pairs.insert(key, packets);
        } else {
            self.overflow = self.overflow.saturating_add(packets);
        }
    }

    /// All pairs in order, and how many packets are not among them.
    pub fn finish(self) -> (Vec<OtherTraffic>, u64) {
        let mut list: Vec<_> = self
            .pairs
            .into_iter()
            .map(|((source, destination, kind), packets)| OtherTraffic {
                source,
                destination,
                kind,
                packets,
            })
            .collect();
        list.sort();
        (list, self.overflow)
    }
}

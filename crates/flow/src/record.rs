//! The flow record: what every source of observation emits and what the graph is built from.

use super::{ActivityWindows, Observers, PeerLabels, Told};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The outcome of a connection (rule: only-conversations-teach). Only [`Verdict::Established`] teaches without conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both sides took part.
    Established,
    /// UDP or SCTP data without an answer.
    OneWay,
    /// Opened, no reply.
    Unanswered,
    /// Answered with RST, ABORT or ICMP unreachable.
    Refused,
    /// A flow log reports that a policy dropped it.
    Dropped,
}

/// What decided who the client is (rule: direction-from-handshake).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    /// A TCP SYN, a TCP SYN-ACK, an SCTP INIT or INIT-ACK was seen.
    Handshake,
    /// UDP: the first packet's sender is the client.
    FirstPacket,
    /// A known listener stands at the server's address and port.
    Listener,
    /// Nothing decided yet: `client` and `server` are in address order, and the graph infers the
    /// direction from how many peers use each port. The record keeps its `client_port`.
    Undecided,
}

/// Many connections between the same client address, server address, server port and protocol.
///
/// Connections that were translated on the way (Service DNAT, masquerading) are one record: `server`
/// is where they arrived, `via` what the client had called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// The client's own address, before any SNAT.
    pub client: IpAddr,
    /// The server's address, after any DNAT that was seen.
    pub server: IpAddr,
    /// The server's port, after any DNAT that was seen.
    pub port: u16,
    pub protocol: Protocol,
    /// The address and port that the client called, where they were translated on the way.
    pub via: Option<SocketAddr>,
    /// The client's address as the server saw it, where it was translated on the way (SNAT).
    pub seen_as: Option<IpAddr>,
    /// The client's port, kept only where there was no handshake: it identifies the connection when it
    /// is seen again, and is the server's port if client and server turn out to be exchanged.
    pub client_port: Option<u16>,
    pub verdict: Verdict,
    pub opening: Opening,
    /// What the source reports about the ends, where it knows more than addresses.
    pub labels: Option<Arc<PeerLabels>>,
    /// The nodes whose agents saw it, once the records of all observers were put together; empty before.
    pub observers: Observers,
    /// When it was told, by the receiver's clock; `None` in files, and before a receiver has taken it.
    pub told: Option<Told>,
    /// Connections (5-tuples), each counted once however often its packets were captured.
    pub connections: u64,
    /// UDP/SCTP datagrams to the server, copies counted once. 0 for TCP.
    pub datagrams: u64,
    /// Payload bytes from client to server, copies and retransmissions counted once.
    pub bytes_to_server: u64,
    /// Payload bytes from server to client, copies and retransmissions counted once.
    pub bytes_to_client: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The time windows in which it was active, for the learning estimate.
    pub windows: ActivityWindows,
}

impl FlowRecord {
    /// When it was told, or its own times where nobody told it.
    pub fn told(&self) -> Told {
        self.told.unwrap_or(Told {
            first: self.first,
            last: self.last,
        })
    }

    /// Its own begin, or when it was told where it was not told in order (rule: told-by-the-receivers-clock).
    pub fn believed_first(&self) -> Timestamp {
        match self.told {
            Some(told) if told.last > self.last => told.first,
            _ => self.first,
        }
    }

    /// The number of datagrams if none was answered, else 0. A record without a datagram count (of a flow
    /// log) counts one datagram per connection.
    pub fn one_way_datagrams(&self) -> u64 {
        match self.verdict {
            Verdict::OneWay => self.datagrams.max(self.connections),
            _ => 0,
        }
    }
}

/// The times at which an address changed hands. Flow records never span such a time, so that each
/// can be attributed to the owner of its own time (rule: owner-at-that-time).
#[derive(Debug, Clone, Default)]
pub struct AddressEpochs {
    changes: FxHashMap<IpAddr, Vec<Timestamp>>,
    /// Addresses that may have changed hands at times that are not known yet.
    open: FxHashSet<IpAddr>,
    /// Every whole hour and these times begin an epoch of every address.
    boundaries: Option<[Option<Timestamp>; 2]>,
}

/// How long an epoch of an open address is, in nanoseconds: no pod gets the address of another one sooner.
const OPEN_EPOCH: i64 = 100_000_000;

/// How long a UDP conversation of an open address is at most, in nanoseconds.
const OPEN_CONVERSATION: i64 = 10 * SECOND;

impl AddressEpochs {
    /// Makes epochs of a tenth of a second for these addresses: who had them is decided once all packets were seen.
    #[must_use]
    pub fn with_open(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.open.extend(addresses);
        self
    }

    /// Adds a time at which `address` got or lost an owner.
    pub fn add(&mut self, address: IpAddr, at: Timestamp) {
        let times = self.changes.entry(address).or_default();
        if let Err(place) = times.binary_search(&at) {
            times.insert(place, at);
        }
    }

    /// Makes every whole hour and these times boundaries too: no record spans them, so that the period and
    /// the hour in which a record began are known. Connections continue across boundaries and count where
    /// they began.
    #[must_use]
    pub fn with_boundaries(mut self, at: [Option<Timestamp>; 2]) -> Self {
        self.boundaries = Some(at);
        self
    }

    /// Forgets the changes before `at`, which distinguish nothing where all traffic comes later.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.changes.retain(|_, times| {
            times.drain(..times.partition_point(|t| *t < at));
            !times.is_empty()
        });
    }

    /// The number of the epoch of `address` that `at` falls into: a later one has a larger number.
    pub fn epoch(&self, address: IpAddr, at: Timestamp) -> u32 {
        let cut = self.boundaries.map_or(0, |boundaries| {
            let passed = boundaries
                .iter()
                .flatten()
                .filter(|boundary| **boundary <= at)
                .count();
            // No summand ever decreases with time, so each sum belongs to one epoch only.
            (at.hour() as u32).wrapping_add(passed as u32)
        });
        if self.changes.is_empty() && self.open.is_empty() {
            return cut;
        }
        let cut = if self.open.contains(&address) {
            cut.wrapping_add(at.nanos().div_euclid(OPEN_EPOCH) as u32)
        } else {
            cut
        };
        match self.changes.get(&address) {
            None => cut,
            Some(times) => cut.wrapping_add(times.partition_point(|t| *t <= at) as u32),
        }
    }

    /// When the epoch that `at` falls into ends; [`Timestamp::MAX`] if it never does.
    pub fn end(&self, address: IpAddr, at: Timestamp) -> Timestamp {
        let known = self.changes.get(&address).and_then(|times| {
            let next = times.get(times.partition_point(|t| *t <= at));
            next.copied()
        });
        let known = known.unwrap_or(Timestamp::MAX);
        if self.open.contains(&address) {
            let next = at.nanos().div_euclid(OPEN_CONVERSATION).saturating_add(1);
            known.min(Timestamp::from_nanos(
                next.saturating_mul(OPEN_CONVERSATION),
            ))
        } else {
            known
        }
    }
}

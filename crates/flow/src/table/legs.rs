//! One connection before and after address translation (rule: legs-are-one-connection): a client calls a Service's
//! address and the packet goes on to a pod's (DNAT), perhaps from a node's address (SNAT). Each such
//! leg has other addresses or ports, but the packet in it is the same one.
//!
//! What translation leaves as it is: sequence numbers and TCP timestamps, the IPv4 identification,
//! the payload. What it changes besides addresses: the time to live, since translation happens where
//! packets are routed. What of it proves a leg is decided in [`super::copies`]. The time to live also shows which
//! leg is nearer to the client, whatever the captures' clocks are. A proxy is no leg: it opens another
//! connection, with another sequence number.

use super::connection::Connection;
use super::copies::{Closeness, same_packet};
use super::key::{Key, Side};
use super::wheel::Ticket;
use crate::{Listeners, Packet, Transport};
use std::net::SocketAddr;

/// How many openings are remembered, and over how many buckets they are spread. At ten thousand new
/// connections a second these are the last 1.6 s; legs mostly come within 1 ms.
const REMEMBERED: usize = 1 << 14;
const BUCKETS: usize = 1 << 14;
/// How far a chain is followed.
const LONGEST_CHAIN: usize = 32;

/// The ends of a translated connection, each as seen in the leg nearest to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Legs {
    /// For each side of the first leg: both addresses in the leg that is nearest to that side.
    pub nearest: [[SocketAddr; 2]; 2],
    /// How many hops each of these is from the first leg, counted away from side 0.
    hops: [i16; 2],
    /// Payload bytes and datagrams by sending side, the most that any further leg saw: what one leg
    /// saw is a copy of what another did.
    pub bytes: [u64; 2],
    pub datagrams: [u32; 2],
}

impl Legs {
    pub fn new(own: &Key) -> Self {
        let ends = [own.endpoint(0), own.endpoint(1)];
        Legs {
            nearest: [ends, ends],
            hops: [0, 0],
            bytes: [0; 2],
            datagrams: [0; 2],
        }
    }

    /// Takes the larger of what is known and what a leg saw.
    pub fn count(&mut self, bytes: [u64; 2], datagrams: [u32; 2]) {
        for side in 0..2 {
            self.bytes[side] = self.bytes[side].max(bytes[side]);
            self.datagrams[side] = self.datagrams[side].max(datagrams[side]);
        }
    }

    /// Adds a leg `hops` away from the first.
    pub fn add(&mut self, ends: [SocketAddr; 2], hops: i16) {
        if hops < self.hops[0] {
            (self.nearest[0], self.hops[0]) = (ends, hops);
        }
        if hops > self.hops[1] {
            (self.nearest[1], self.hops[1]) = (ends, hops);
        }
    }
}

/// A packet that may be seen again in another leg.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    signature: u64,
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub ticket: Ticket,
    pub ip_id: u16,
    pub ttl: u8,
    /// Which side of its connection sent it.
    pub sender: u8,
    pub kind: Kind,
}

/// How well the signature distinguishes packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A SYN's sequence number and timestamp; a segment's sequence and acknowledgment numbers.
    Strong,
    /// A SYN's sequence number alone, a datagram's fingerprint.
    Weak,
}

impl Sighting {
    /// The part of a packet that translation does not change; `None` if it identifies nothing.
    pub fn new(packet: &Packet, ticket: Ticket, sender: Side) -> Option<Sighting> {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let (signature, kind) = match packet.transport {
            Transport::Tcp {
                flags,
                sequence,
                acknowledgment,
                timestamp,
                ..
            } => match (flags.syn() && !flags.ack(), timestamp) {
                (true, 0 | u32::MAX) if sequence == 0 => return None,
                (true, 0 | u32::MAX) => (pair(sequence, 0), Kind::Weak),
                (true, _) => (pair(sequence, timestamp), Kind::Strong),
                (false, _) => (pair(sequence, acknowledgment), Kind::Strong),
            },
            Transport::Udp {
                fingerprint,
                payload,
                ..
            } if payload > 0 => (pair(fingerprint, payload), Kind::Weak),
            Transport::Sctp {
                fingerprint,
                payload,
                ..
            } => (pair(fingerprint, payload), Kind::Weak),
            _ => return None,
        };
        let (time, ip_id, ttl) = (packet.time.nanos(), packet.ip_id, packet.ttl);
        Some(Sighting {
            signature,
            time,
            ticket,
            ip_id,
            ttl,
            sender: sender as u8,
            kind,
        })
    }

    /// How many hops this is further from side 0 of the first leg than `other`, the same packet in
    /// another leg, which side `sender` of the first leg sent. In the same place, the later one is
    /// taken to be further on its way.
    pub fn hops_from(&self, other: &Sighting, sender: Side) -> i16 {
        let on_the_way = match i16::from(other.ttl) - i16::from(self.ttl) {
            0 => 1,
            hops => hops,
        };
        if sender == 0 { on_the_way } else { -on_the_way }
    }
}

/// The openings of the last moments: a ring in the order in which they came, found by signature.
pub(super) struct Sightings {
    /// With each the link to an earlier one of the same signature.
    ring: Vec<(Sighting, u32)>,
    /// For one part of the signature the latest two sightings, distinguished by another part, so that the
    /// ring is touched only where one is found.
    buckets: Vec<[SightingPlace; 2]>,
    /// The number of the next entry, from 1 up; entry n is at n modulo the ring's length.
    next: u32,
}

/// Where a sighting is in the ring. Number 0: nowhere.
#[derive(Debug, Clone, Copy, Default)]
struct SightingPlace {
    tag: u32,
    number: u32,
}

impl Sightings {
    pub fn new() -> Self {
        Sightings {
            ring: Vec::new(),
            buckets: vec![[SightingPlace::default(); 2]; BUCKETS],
            next: 1,
        }
    }

    fn place(signature: u64) -> (usize, u32) {
        let hash = signature.wrapping_mul(0xf135_7aea_2e62_a9c5);
        let hash = hash ^ hash >> 32;
        (
            (hash >> 8) as usize % BUCKETS,
            (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32,
        )
    }

    /// The entry of this number, if it has not been overwritten.
    fn entry(&self, number: u32) -> Option<&(Sighting, u32)> {
        let age = self.next.wrapping_sub(number) as usize;
        if number == 0 || age > self.ring.len() {
            return None;
        }
        self.ring.get((number as usize - 1) % REMEMBERED)
    }

    /// The same packet in another connection, if it was seen: the closest one, of these one that has no other
    /// leg yet rather than one that has, and then the earliest.
    pub fn find(
        &self,
        new: &Sighting,
        slab: &[Connection],
        listeners: &impl Listeners,
    ) -> Option<Sighting> {
        let (bucket, tag) = Self::place(new.signature);
        let found = self.buckets[bucket]
            .iter()
            .find(|f| f.tag == tag && f.number != 0)?;
        let mut number = found.number;
        let mut best: Option<(Closeness, bool, i64, Sighting)> = None;
        for _ in 0..LONGEST_CHAIN {
            let Some((old, earlier)) = self.entry(number) else {
                break;
            };
            number = *earlier;
            if old.signature != new.signature || old.kind != new.kind || old.ticket == new.ticket {
                continue;
            }
            let (Some(own), Some(theirs)) = (
                slab.get(new.ticket.0 as usize),
                slab.get(old.ticket.0 as usize),
            ) else {
                continue;
            };
            let is_there = theirs.live && theirs.generation == old.ticket.1;
            if !is_there {
                continue;
            }
            let has_legs = theirs
                .extra
                .as_ref()
                .is_some_and(|extra| extra.legs.is_some());
            let taken = has_legs || theirs.parent.is_some();
            let Some(closeness) =
                same_packet((new, &own.key), (old, &theirs.key), taken, listeners)
            else {
                continue;
            };
            let rank = (closeness, taken, old.time);
            if best.is_none_or(|(closeness, taken, time, _)| rank <= (closeness, taken, time)) {
                best = Some((closeness, taken, old.time, *old));
            }
        }
        best.map(|(.., sighting)| sighting)
    }

    pub fn insert(&mut self, new: Sighting) {
        if self.next == u32::MAX {
            // Once in four billion openings the memory starts afresh.
            *self = Sightings::new();
        }
        let (bucket, tag) = Self::place(new.signature);
        let [first, second] = self.buckets[bucket];
        let own = SightingPlace {
            tag,
            number: self.next,
        };
        let earlier = if first.tag == tag {
            first.number
        } else if second.tag == tag {
            second.number
        } else {
            0
        };
        self.buckets[bucket] = if first.tag == tag {
            [own, second]
        } else {
            [own, first]
        };
        let place = (self.next as usize - 1) % REMEMBERED;
        if place < self.ring.len() {
            self.ring[place] = (new, earlier);
        } else {
            self.ring.push((new, earlier));
        }
        self.next += 1;
    }
}

//! The connection table, from packets to connections: who opened them, their verdict, each counted once
//! (rule: direction-from-handshake, count-once).
//!
//! Memory is bounded by [`FlowConfig`], not by the capture: silent connections leave the table and
//! are reported to a [`ConnectionSink`]. Nothing here allocates per packet.

mod connection;
mod copies;
mod index;
mod key;
mod legs;
mod lifetime;
mod ongoing;
mod outcome;
mod recent;
mod report;
mod sent_names;
#[cfg(test)]
mod tests;
mod wheel;

use super::dns::{DnsMessage, Heard, learn_answers};
use super::not_expressible::{OtherKind, OtherTally, OtherTraffic};
use super::{
    AddressEpochs, ConnectionReport, Decoded, IcmpUnreachable, Listeners, NameTable, Packet,
    PacketBatch, Questions, Transport,
};
use connection::Connection;
use index::Index;
use key::{Key, KeyHasher, Side};
use legs::{Legs, Sighting, Sightings};
use nanoseg_net::Protocol;
use rustc_hash::FxHashSet;
use sent_names::SentNames;
use std::net::SocketAddr;
use wheel::{Ticket, Wheel};

/// Bounds on memory, and what else an operator may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowConfig {
    /// Connections held at once, about 170 bytes each.
    pub max_connections: usize,
    /// Targets that never answered are recorded one by one up to this many per client, then summed up.
    pub max_failed_targets: usize,
    /// UDP and TCP ports whose answers are read as DNS.
    pub dns_ports: Vec<u16>,
    /// The packets come from a running node, and of the segments that neither open nor close a connection
    /// only a sample comes: open connections are kept longer, a packet that was not seen proves nothing,
    /// and listeners are not known.
    pub sampled: bool,
}

impl Default for FlowConfig {
    fn default() -> Self {
        FlowConfig {
            max_connections: 400_000,
            max_failed_targets: 1024,
            dns_ports: vec![53, 5353],
            sampled: false,
        }
    }
}

/// Counters of a connection table. Every decoded packet is in `packets`; the others count
/// those that are not part of a connection, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowCounters {
    pub packets: u64,
    /// Connections, translated ones once.
    pub connections: u64,
    /// Legs of translated connections beyond the first.
    pub legs: u64,
    /// FIN, RST or acknowledgments that belong to no known connection (rule: reply-opens-nothing).
    pub stray_segments: u64,
    /// "Unreachable" messages that name no known connection.
    pub stray_unreachables: u64,
    /// Connections that left the table early because it was full.
    pub evicted: u64,
    /// Packets that no NetworkPolicy can express.
    pub not_expressible: u64,
    /// DNS answers read, and messages on DNS ports that are none.
    pub dns_answers: u64,
    pub dns_malformed: u64,
    /// Connections with outside addresses beyond the bound: they are counted by block.
    pub addresses_merged: u64,
    /// DNS answers to questions that were not seen: they name nothing.
    pub dns_unasked: u64,
}

/// Connections in progress. `L` knows listeners.
pub struct ConnectionTable<L> {
    listeners: L,
    epochs: AddressEpochs,
    config: FlowConfig,
    /// Reports that were not taken yet.
    ended: Vec<ConnectionReport>,
    slab: Vec<Connection>,
    free: Vec<u32>,
    index: Index,
    hasher: KeyHasher,
    wheel: Wheel,
    due: Vec<Ticket>,
    sightings: Sightings,
    /// Where UDP was answered: after a silence the server may send first.
    udp_servers: FxHashSet<SocketAddr>,
    names: NameTable,
    questions: Questions,
    sent_names: SentNames,
    other: OtherTally,
    counters: FlowCounters,
}

/// How much earlier than the first packet another one may be, in seconds.
const DISORDER: i64 = 3600;

/// How many of a connection's first packets may show that it is another one's leg, where no
/// handshake does.
const PROBES: u8 = 8;

/// How many packets' places are fetched ahead: about what a processor keeps in flight.
const AHEAD: usize = 16;

impl<L: Listeners> ConnectionTable<L> {
    /// An empty table; no record of what it ends spans a time in `epochs`.
    pub fn new(listeners: L, epochs: AddressEpochs, config: FlowConfig) -> Self {
        ConnectionTable {
            listeners,
            epochs,
            config,
            ended: Vec::new(),
            slab: Vec::new(),
            free: Vec::new(),
            index: Index::new(),
            hasher: KeyHasher::new(),
            wheel: Wheel::new(),
            due: Vec::new(),
            sightings: Sightings::new(),
            udp_servers: FxHashSet::default(),
            names: NameTable::default(),
            questions: Questions::default(),
            sent_names: SentNames::default(),
            other: OtherTally::default(),
            counters: FlowCounters::default(),
        }
    }

    /// The ports of which [`PacketBatch`] is to keep payloads.
    pub fn dns_ports(&self) -> &[u16] {
        &self.config.dns_ports
    }

    /// The reports since the last call, for the caller to drain.
    pub fn ended(&mut self) -> &mut Vec<ConnectionReport> {
        &mut self.ended
    }

    /// Everything but the connections: counters, DNS names, and what no policy can express.
    pub fn into_rest(self) -> (FlowCounters, NameTable, Vec<OtherTraffic>, u64) {
        let (other, overflow) = self.other.finish();
        (self.counters, self.names, other, overflow)
    }

    /// Processes one packet. Packets should come in the order of time; small disorder, as between
    /// captures, does no harm.
    pub fn ingest(&mut self, decoded: &Decoded<'_>) {
        let packet = &decoded.packet;
        if let Some((key, side)) = tuple(packet) {
            self.take(packet, key, self.hasher.hash(&key), side);
        } else {
            self.take_aside(packet);
        }
        if !decoded.payload.is_empty() {
            self.dns(packet, decoded.payload);
        }
    }

    /// Processes many packets, as [`FlowTable::ingest`] does one by one.
    pub fn ingest_batch(&mut self, batch: &PacketBatch) {
        for packets in batch.packets.chunks(AHEAD) {
            let mut places = [(0u32, None); AHEAD];
            // First every packet's place is touched, so that the memory behind them is fetched at the
            // same time and not one after another.
            let mut warm = 0u32;
            for (packet, (hash, place)) in packets.iter().zip(&mut places) {
                *place = tuple(packet);
                if let Some((key, _)) = place {
                    *hash = self.hasher.hash(key);
                    if let Some(slot) = self.index.first(*hash)
                        && let Some(connection) = self.slab.get(slot as usize)
                    {
                        warm = warm.wrapping_add(connection.generation ^ connection.seen[0] as u32);
                    }
                }
            }
            std::hint::black_box(warm);
            for (packet, (hash, place)) in packets.iter().zip(&places) {
                match place {
                    Some((key, side)) => self.take(packet, *key, *hash, *side),
                    None => self.take_aside(packet),
                }
            }
        }
        for (number, payload) in batch.payloads() {
            if let Some(packet) = batch.packets.get(number) {
                self.dns(packet, payload);
            }
        }
    }

    #[inline(always)]
    fn take(&mut self, packet: &Packet, key: Key, hash: u32, side: Side) {
        if self.counters.packets == 0 {
            // Packets come in the order of time, with little disorder.
            self.epochs.forget_before(packet.time.plus_secs(-DISORDER));
        }
        self.counters.packets += 1;
        if self.wheel.is_due(packet.time.nanos()) {
            self.expire(packet.time.nanos());
        }
        match packet.transport {
            Transport::Tcp { .. } => self.segment(key, hash, side, packet),
            Transport::Udp { .. } => self.datagram(key, hash, side, packet),
            _ => self.association(key, hash, side, packet),
        }
    }

    #[cold]
    fn take_aside(&mut self, packet: &Packet) {
        self.counters.packets += 1;
        match packet.transport {
            Transport::Unreachable(unreachable) => self.unreachable(packet, &unreachable),
            _ => self.not_expressible(packet),
        }
    }

    #[inline(always)]
    fn segment(&mut self, key: Key, hash: u32, side: Side, packet: &Packet) {
        let Transport::Tcp {
            flags,
            sequence,
            acknowledgment,
            payload,
            ..
        } = packet.transport
        else {
            return;
        };
        let now = packet.time.nanos();
        let mut known = self.lookup(&key, hash, now);
        if flags.syn()
            && let Some(slot) = known
            && self.slab[slot as usize].is_reopened(side, sequence, flags.ack())
        {
            self.end(slot);
            known = None;
        }
        let slot = match known {
            Some(slot) => slot,
            None if flags.rst() || flags.fin() => {
                self.counters.stray_segments += 1;
                return;
            }
            None => self.create(key, hash, side, now, if flags.syn() { 1 } else { PROBES }),
        };
        let connection = &mut self.slab[slot as usize];
        connection.touch(now);
        if connection.sampled {
            connection.fill_gap(side, flags, sequence);
        }
        let closed = connection.segment(side, flags, sequence, acknowledgment, payload);
        let more = connection.probes != 0 || connection.parent.is_some();
        if closed {
            self.closed(slot);
        }
        if more {
            self.join_legs(slot, side, packet);
        }
    }

    fn datagram(&mut self, key: Key, hash: u32, side: Side, packet: &Packet) {
        let Transport::Udp {
            payload,
            fingerprint,
            ..
        } = packet.transport
        else {
            return;
        };
        let now = packet.time.nanos();
        let slot = match self.lookup(&key, hash, now) {
            Some(slot) => slot,
            None => self.create(key, hash, side, now, PROBES),
        };
        let connection = &mut self.slab[slot as usize];
        connection.touch(now);
        connection.datagram(side, packet, fingerprint, payload);
        if connection.probes != 0 || connection.parent.is_some() {
            self.join_legs(slot, side, packet);
        }
    }

    fn association(&mut self, key: Key, hash: u32, side: Side, packet: &Packet) {
        let Transport::Sctp {
            chunk,
            payload,
            fingerprint,
            ..
        } = packet.transport
        else {
            return;
        };
        let now = packet.time.nanos();
        let opens = chunk == super::SctpChunk::Init;
        let mut known = self.lookup(&key, hash, now);
        if let Some(slot) = known
            && opens
            && self.slab[slot as usize].closed
        {
            self.end(slot);
            known = None;
        }
        let ends = matches!(chunk, super::SctpChunk::Abort | super::SctpChunk::Shutdown);
        let slot = match known {
            Some(slot) => slot,
            None if ends => {
                self.counters.stray_segments += 1;
                return;
            }
            None => self.create(key, hash, side, now, PROBES),
        };
        let connection = &mut self.slab[slot as usize];
        connection.touch(now);
        if chunk == super::SctpChunk::Data {
            connection.datagram(side, packet, fingerprint, payload);
        }
        let closed = connection.chunk(side, chunk);
        let more = connection.probes != 0 || connection.parent.is_some();
        if closed {
            self.closed(slot);
        }
        if more {
            self.join_legs(slot, side, packet);
        }
    }

    /// Recognises a leg of another connection, or adds what a leg saw to its connection.
    fn join_legs(&mut self, slot: u32, side: Side, packet: &Packet) {
        if self.slab[slot as usize].parent.is_none() {
            self.slab[slot as usize].probes -= 1;
            let ticket = (slot, self.slab[slot as usize].generation);
            let Some(sighting) = Sighting::new(packet, ticket, side) else {
                return;
            };
            if let Some(other) = self.sightings.find(&sighting, &self.slab, &self.listeners) {
                self.adopt(slot, &sighting, &other);
            }
            self.sightings.insert(sighting);
        }
        let leg = &self.slab[slot as usize];
        let Some((parent, generation)) = leg.parent else {
            return;
        };
        let view = leg.as_leg();
        let Some(root) = self.slab.get_mut(parent as usize) else {
            return;
        };
        if root.live && root.generation == generation {
            let was_closed = root.closed;
            root.learn_from_leg(&view);
            if root.closed && !was_closed {
                self.closed(parent);
            }
        }
    }

    /// Makes `slot` a leg of the connection in which `other`, the same packet, was seen.
    fn adopt(&mut self, slot: u32, sighting: &Sighting, other: &Sighting) {
        let near = &self.slab[other.ticket.0 as usize];
        let (root_ticket, flipped, base) = match near.parent {
            None => (other.ticket, false, 0),
            Some(parent) => (parent, near.flipped, near.hops),
        };
        let sender = usize::from(other.sender) ^ usize::from(flipped);
        let hops = base + sighting.hops_from(other, sender);
        let has_legs = self.slab[slot as usize]
            .extra
            .as_ref()
            .is_some_and(|e| e.legs.is_some());
        let alive = self.slab.get(root_ticket.0 as usize);
        let alive = alive.is_some_and(|root| root.live && root.generation == root_ticket.1);
        if has_legs || !alive || root_ticket.0 == slot {
            return;
        }
        let leg = &mut self.slab[slot as usize];
        leg.parent = Some(root_ticket);
        leg.flipped = usize::from(sighting.sender) != sender;
        leg.hops = hops;
        let mut ends = [leg.key.endpoint(0), leg.key.endpoint(1)];
        if leg.flipped {
            ends.reverse();
        }
        let root = &mut self.slab[root_ticket.0 as usize];
        let own = Legs::new(&root.key);
        root.extra
            .get_or_insert_default()
            .legs
            .get_or_insert(own)
            .add(ends, hops);
        self.counters.legs += 1;
    }

    /// A "destination unreachable" refuses the connection whose packet it quotes, unless that was
    /// answered.
    fn unreachable(&mut self, packet: &Packet, about: &IcmpUnreachable) {
        let (source, destination) = (about.original_source, about.original_destination);
        let (key, side) = Key::new(about.protocol, packet.vlan, source, destination);
        let hash = self.hasher.hash(&key);
        let Some(slot) = self.lookup(&key, hash, packet.time.nanos()) else {
            self.counters.stray_unreachables += 1;
            return;
        };
        let connection = &mut self.slab[slot as usize];
        if usize::from(connection.opener) == side {
            connection.refused = true;
            if connection.parent.is_some() {
                self.join_legs(slot, side, packet);
            }
        }
    }

    #[cold]
    fn not_expressible(&mut self, packet: &Packet) {
        self.counters.not_expressible += 1;
        let kind = match packet.transport {
            Transport::Tcp { .. } => OtherKind::Group(Protocol::Tcp),
            Transport::Udp { .. } => OtherKind::Group(Protocol::Udp),
            Transport::Sctp { .. } => OtherKind::Group(Protocol::Sctp),
            Transport::Other(1 | 58) | Transport::Unreachable(_) => OtherKind::Icmp,
            Transport::Other(number) => OtherKind::Protocol(number),
        };
        self.other.add(packet.source, packet.destination, kind, 1);
    }

    /// Learns from a payload, if it goes to a DNS server or comes from one.
    fn dns(&mut self, packet: &Packet, payload: &[u8]) {
        let (ports, over_tcp, bytes) = match packet.transport {
            Transport::Udp {
                source_port,
                destination_port,
                ..
            } => ((source_port, destination_port), false, payload),
            // Over TCP the message stands behind its length (RFC 1035 section 4.2.2).
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            } => {
                let message = payload.get(2..).unwrap_or(&[]);
                ((source_port, destination_port), true, message)
            }
            _ => return,
        };
        let udp_ports = &self.config.dns_ports;
        let is_dns = |port: u16| port == 53 || (!over_tcp && udp_ports.contains(&port));
        if bytes.is_empty() || packet.group || !(is_dns(ports.0) || is_dns(ports.1)) {
            return;
        }
        let from_server = is_dns(ports.0);
        let message = DnsMessage {
            bytes,
            from: SocketAddr::new(packet.source, ports.0),
            to: SocketAddr::new(packet.destination, ports.1),
            over_tcp,
            at: packet.time,
        };
        match learn_answers(message, &mut self.questions, &mut self.names) {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Names(_)) => self.counters.dns_answers += 1,
            Ok(Heard::Unasked) => self.counters.dns_unasked += 1,
            // What a client sends to a DNS port may be anything.
            Err(_) if from_server => self.counters.dns_malformed += 1,
            Err(_) => {}
        }
    }
}

/// The key of a packet that can be part of a connection, and the side that sent it.
#[inline(always)]
fn tuple(packet: &Packet) -> Option<(Key, Side)> {
    let (protocol, source, destination) = match packet.transport {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        } => (Protocol::Tcp, source_port, destination_port),
        Transport::Udp {
            source_port,
            destination_port,
            ..
        } => (Protocol::Udp, source_port, destination_port),
        Transport::Sctp {
            source_port,
            destination_port,
            ..
        } => (Protocol::Sctp, source_port, destination_port),
        _ => return None,
    };
    let ends = ((packet.source, source), (packet.destination, destination));
    (!packet.group).then(|| Key::new(protocol, packet.vlan, ends.0, ends.1))
}

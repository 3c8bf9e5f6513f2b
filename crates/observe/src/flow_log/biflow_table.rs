//! From one-direction records to connections, in bounded space (rule: answer-is-a-record-back).
//!
//! **Answered** is a connection of which both directions are in the log, or one whose flags show that there was another. That a
//! rule let packets through, or that an exporter saw them, is no answer. **Who opened it**, the first evidence of these: a SYN without ACK, or a SYN-ACK; of two directions
//! with SYNs the earlier one; for UDP the earlier one. Otherwise nothing decides here, and both ports are kept for a
//! receiver that knows the listeners.

use super::uniflow::{FlagsSeen, Uniflow, is_open_to_doubt};
use nanoseg_flow::{
    ActivityWindows, ConnectionReport, ConnectionSink, Opening, PeerLabel, PeerLabels, Verdict,
    is_probable_answer,
};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Connections held at once, about 400 bytes each.
const MAX_CONNECTIONS: usize = 1 << 17;
/// A part that begins so long after the last one belongs to another connection with the same ports.
const IDLE_SECONDS: i64 = 600;
/// Points at which one direction was seen, beyond which points are not told apart.
const MAX_POINTS: usize = 8;

/// Both ends in order, and the protocol.
type Key = (SocketAddr, SocketAddr, Protocol);

/// The connections.
#[derive(Debug, Default)]
pub(super) struct BiflowTable {
    connections: FxHashMap<Key, Connection>,
    /// By the number of the record that touched them last.
    order: BTreeMap<u64, Key>,
    records: u64,
    evicted: u64,
    one_sided: u64,
}

/// Side 0 is the end that comes first in the key.
#[derive(Debug, Clone)]
struct Connection {
    touched: u64,
    first: Timestamp,
    last: Timestamp,
    windows: ActivityWindows,
    sides: [Side; 2],
    labels: [Option<PeerLabel>; 2],
}

/// What one side sent.
#[derive(Debug, Clone, Default)]
struct Side {
    /// Something of it was let through, from when on, and whether that is a packet's time.
    first: Option<Timestamp>,
    exact: bool,
    blocked: bool,
    flags: FlagsSeen,
    /// Packets and bytes by the point that counted them.
    points: Vec<(Arc<str>, u64, u64)>,
}

impl BiflowTable {
    /// Adds one record; connections that have to make room, or are over, are reported to `sink`.
    pub fn ingest(&mut self, flow: &Uniflow, sink: &mut impl ConnectionSink) {
        let (a, b) = (flow.source, flow.destination);
        let key = (a.min(b), a.max(b), flow.protocol);
        let side = usize::from(a > b);
        let is_later = |known: &Connection| flow.first.since(known.last) > IDLE_SECONDS * SECOND;
        if self.connections.get(&key).is_some_and(is_later) {
            self.end(key, sink);
        }
        if !self.connections.contains_key(&key)
            && self.connections.len() >= MAX_CONNECTIONS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.evicted += 1;
            self.end(oldest, sink);
        }
        self.records += 1;
        let connection = self
            .connections
            .entry(key)
            .or_insert_with(|| Connection::new(flow));
        self.order.remove(&connection.touched);
        connection.touched = self.records;
        connection.take(flow, side);
        self.order.insert(self.records, key);
    }

    /// Ends all connections.
    pub fn end_all(&mut self, sink: &mut impl ConnectionSink) {
        let keys: Vec<Key> = self.order.values().copied().collect();
        for key in keys {
            self.end(key, sink);
        }
    }

    /// Returns and resets the number of connections that had to make room.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Returns and resets the number of TCP connections of which the log has one direction only, though its flags show that the
    /// other one was there.
    pub fn take_one_sided(&mut self) -> u64 {
        std::mem::take(&mut self.one_sided)
    }

    fn end(&mut self, key: Key, sink: &mut impl ConnectionSink) {
        let Some(connection) = self.connections.remove(&key) else {
            return;
        };
        self.order.remove(&connection.touched);
        let present = connection.sides.iter().filter(|side| side.is_present());
        let talked = |side: &Side| side.flags.beyond || side.flags.accepts;
        if present.clone().count() == 1 && present.clone().any(talked) {
            self.one_sided += 1;
        }
        connection.report(key, sink);
    }
}

impl Side {
    fn is_present(&self) -> bool {
        self.first.is_some()
    }

    fn take(&mut self, flow: &Uniflow) {
        if flow.blocked {
            self.blocked = true;
            return;
        }
        self.exact = match self.first {
            Some(known) if known <= flow.first => self.exact,
            _ => flow.exact,
        };
        self.first = Some(self.first.map_or(flow.first, |known| known.min(flow.first)));
        self.flags.merge(flow.flags);
        let known = self.points.iter().position(|(at, ..)| *at == flow.point);
        let place = match known {
            None if self.points.len() < MAX_POINTS => {
                self.points.push((Arc::clone(&flow.point), 0, 0));
                self.points.len() - 1
            }
            place => place.unwrap_or(0),
        };
        if let Some((_, packets, bytes)) = self.points.get_mut(place) {
            *packets = packets.saturating_add(flow.packets);
            *bytes = bytes.saturating_add(flow.bytes);
        }
    }

    /// What the point counted that saw most.
    fn packets(&self) -> u64 {
        self.points.iter().map(|(_, n, _)| *n).max().unwrap_or(0)
    }

    fn bytes(&self) -> u64 {
        self.points.iter().map(|(.., n)| *n).max().unwrap_or(0)
    }
}

impl Connection {
    fn new(flow: &Uniflow) -> Self {
        Connection {
            touched: 0,
            first: flow.first,
            last: flow.last,
            windows: ActivityWindows::default(),
            sides: Default::default(),
            labels: [None, None],
        }
    }

    fn take(&mut self, flow: &Uniflow, side: usize) {
        self.first = self.first.min(flow.first);
        self.last = self.last.max(flow.last);
        // The interval of an open connection.
        let open = ActivityWindows::span(flow.first, flow.last);
        self.windows.merge(&open);
        for (label, place) in flow.labels.iter().zip([side, 1 - side]) {
            if self.labels[place].is_none() {
                self.labels[place].clone_from(label);
            }
        }
        self.sides[side].take(flow);
    }

    /// The client's side, and what decided it.
    fn client(&self, ends: [SocketAddr; 2], protocol: Protocol) -> (usize, Opening) {
        let [a, b] = &self.sides;
        let earlier = match (a.first, b.first) {
            (Some(one), Some(other)) if one != other && a.exact && b.exact => {
                Some(usize::from(other < one))
            }
            _ => None,
        };
        let sender = match (a.first, b.first) {
            (Some(one), Some(other)) => usize::from(other < one),
            (None, Some(_)) => 1,
            (Some(_), None) => 0,
            (None, None) => usize::from(b.blocked && !a.blocked),
        };
        if protocol == Protocol::Udp {
            let decided = match self.sides.iter().filter(|side| side.is_present()).count() {
                2 => earlier,
                _ => Some(sender),
            };
            return match decided {
                Some(side) if !is_probable_answer(ends[side], ends[1 - side]) => {
                    (side, Opening::FirstPacket)
                }
                _ => (sender, Opening::Undecided),
            };
        }
        let one_of = |has: fn(&FlagsSeen) -> bool| match [has(&a.flags), has(&b.flags)] {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        };
        let opened = one_of(|flags| flags.opens);
        let answered = one_of(|flags| flags.accepts).map(|side| 1 - side);
        let both = a.flags.syn && b.flags.syn;
        // The side that only reset did not open it.
        let asked = match [a.flags, b.flags] {
            [one, other] if one.syn && other.is_lone_reset() => Some(0),
            [one, other] if other.syn && one.is_lone_reset() => Some(1),
            _ => None,
        };
        match (opened, answered) {
            (Some(one), Some(other)) if one == other => (one, Opening::Handshake),
            (Some(side), None) | (None, Some(side)) => (side, Opening::Handshake),
            _ => match earlier.filter(|_| both).or(asked) {
                Some(side) => (side, Opening::Handshake),
                None => (sender, Opening::Undecided),
            },
        }
    }

    /// How it went.
    fn verdict(&self, client: usize, protocol: Protocol) -> Verdict {
        let (client, server) = (&self.sides[client], &self.sides[1 - client]);
        match (client.is_present(), server.is_present()) {
            (true, true) if protocol != Protocol::Tcp => Verdict::Established,
            (true, true) => tcp_verdict(client, server),
            // What was let through of one side alone, or of none.
            _ if client.blocked || server.blocked => Verdict::Dropped,
            _ if client.flags.acknowledges || server.flags.acknowledges => Verdict::Established,
            _ if protocol == Protocol::Tcp => Verdict::Unanswered,
            _ => Verdict::OneWay,
        }
    }

    fn report(&self, (low, high, protocol): Key, sink: &mut impl ConnectionSink) {
        let ends = [low, high];
        let (client, opening) = self.client(ends, protocol);
        let server = 1 - client;
        let labels = PeerLabels {
            client: self.labels[client].clone(),
            server: self.labels[server].clone(),
            service: None,
        };
        sink.report(&ConnectionReport {
            client: ends[client],
            server: ends[server],
            protocol,
            vlan: 0,
            via: None,
            seen_as: None,
            verdict: self.verdict(client, protocol),
            opening,
            counted: false,
            labels: (labels != PeerLabels::default()).then(|| Arc::new(labels)),
            mid_stream: is_open_to_doubt(opening, [ends[client], ends[server]]),
            datagrams: if protocol == Protocol::Tcp {
                0
            } else {
                self.sides[client].packets()
            },
            bytes_to_server: self.sides[client].bytes(),
            bytes_to_client: self.sides[server].bytes(),
            first: self.first,
            last: self.last,
            windows: self.windows,
            epochs: [0, 0],
        });
    }
}

/// Both sides sent something.
fn tcp_verdict(client: &Side, server: &Side) -> Verdict {
    let opened = client.flags.syn;
    if server.flags.is_lone_reset() && (opened || server.packets() <= 1) {
        return Verdict::Refused;
    }
    // SYN, SYN-ACK, RST: whoever opened it only looked whether the port is open.
    let silent = if client.flags.tells_beyond {
        !client.flags.beyond
    } else {
        client.packets() <= 2
    };
    if client.flags.opens && client.flags.reset && silent && !server.flags.beyond {
        return Verdict::Unanswered;
    }
    Verdict::Established
}

#[cfg(test)]
mod tests;

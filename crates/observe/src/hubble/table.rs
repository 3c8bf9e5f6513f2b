//! From Hubble's events to connections, in bounded space.
//!
//! **Who opened it** (rule: direction-from-handshake), the first evidence of these: a SYN or SYN-ACK; most events with `is_reply`
//! (Cilium's own connection table decided it); of a version without `is_reply`, events without `reply` at
//! places where the connection had been looked up. Otherwise nothing decides here, and the client's port
//! is kept for a receiver that knows the listeners.
//!
//! **How it went**: established if both sides were seen, or TCP beyond its SYN (an ACK follows a
//! handshake). A reply means both sides. A policy's DROPPED counts only where nothing of the server was seen; dropped for another
//! reason, it is an attempt without an answer. A reset
//! on its own, after whatever came before, is no connection (rule: reply-opens-nothing). A SYN-ACK that the
//! client answers with a bare RST is a probe (rule: reset-handshake-teaches-nothing).

use super::flow::{HubbleFlow, Layer4, PacketFate, ReplyFlag};
use super::peer_labels::exactness;
use nanoseg_flow::{
    ActivityWindows, Collector, ConnectionReport, ConnectionSink, Loss, NameEntry, NameTable,
    NamedBy, Observations, Opening, PeerLabel, PeerLabels, Source, Verdict,
};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Bounds of a [`HubbleTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubbleLimits {
    /// Connections held at once, about 500 bytes each with their labels.
    pub max_connections: usize,
}

impl Default for HubbleLimits {
    /// 32 MiB at most.
    fn default() -> Self {
        HubbleLimits {
            max_connections: 1 << 16,
        }
    }
}

/// Events of one connection come from several nodes: after this long without any, it is reported as it is.
const QUIET_SECONDS: i64 = 15;
/// An idle connection is forgotten after this long; later events make a new one.
const IDLE_SECONDS: i64 = 600;
/// How long a name's answer is taken to hold where an event only has the name.
const NAME_SECONDS: u32 = 60;

/// Both ends in order, and the protocol.
type Key = (SocketAddr, SocketAddr, Protocol);

/// The connections.
#[derive(Debug)]
pub struct HubbleTable {
    connections: FxHashMap<Key, Connection>,
    /// By the number of the event that touched them last.
    order: BTreeMap<u64, Key>,
    events: u64,
    limits: HubbleLimits,
    names: NameTable,
    /// An event had `is_reply`: where it is missing, Cilium did not know.
    has_is_reply: bool,
    evicted: u64,
    resets: u64,
}

/// Side 0 is the end that comes first in the key.
#[derive(Debug, Clone)]
struct Connection {
    event: u64,
    touched: Timestamp,
    first: Timestamp,
    last: Timestamp,
    windows: ActivityWindows,
    /// The client's side, by a SYN or SYN-ACK.
    opened: Option<usize>,
    /// Events that show which side is the client: by `is_reply`, and by its absence.
    stated: [u32; 2],
    absent: [u32; 2],
    first_sender: usize,
    /// Traffic of each side, resets and drops left out.
    sent: [bool; 2],
    syn_ack: bool,
    /// TCP beyond its SYN.
    beyond_syn: bool,
    reset: [bool; 2],
    /// A reset without ACK. Cilium may leave out a bare acknowledgment; the reset of an open connection has ACK.
    bare_reset: [bool; 2],
    finished: bool,
    /// A policy denies it.
    denied: bool,
    /// A packet of it was dropped, and no policy said so.
    lost: bool,
    labels: [Option<PeerLabel>; 2],
    service: [Option<(String, String)>; 2],
    point: i64,
    datagrams: [u64; 2],
    reported: Option<Verdict>,
    dirty: bool,
}

impl HubbleTable {
    /// An empty table.
    pub fn new(limits: HubbleLimits) -> Self {
        HubbleTable {
            connections: FxHashMap::default(),
            order: BTreeMap::new(),
            events: 0,
            limits,
            names: NameTable::default(),
            has_is_reply: false,
            evicted: 0,
            resets: 0,
        }
    }

    /// Sets the bounds, from now on.
    pub fn set_limits(&mut self, limits: HubbleLimits) {
        self.limits = limits;
    }

    /// Processes one event at `now`; connections that have to make room are reported to `sink`.
    pub fn ingest(&mut self, flow: &HubbleFlow, now: Timestamp, sink: &mut impl ConnectionSink) {
        self.has_is_reply |= matches!(flow.reply, ReplyFlag::Request);
        self.learn_names(flow);
        let side = usize::from(flow.ends[0] > flow.ends[1]);
        let [a, b] = flow.ends;
        let protocol = match flow.layer4 {
            Layer4::Tcp(_) => Protocol::Tcp,
            Layer4::Udp => Protocol::Udp,
            Layer4::Sctp => Protocol::Sctp,
        };
        let key = (a.min(b), a.max(b), protocol);
        let opens = matches!(flow.layer4, Layer4::Tcp(Some(flags)) if flags.syn() && !flags.ack());
        if opens
            && self
                .connections
                .get(&key)
                .is_some_and(|known| known.is_over() && flow.time > known.last)
        {
            self.end(key, sink);
        }
        self.events += 1;
        let connection = match self.connections.get_mut(&key) {
            Some(known) => {
                self.order.remove(&known.event);
                known
            }
            None => {
                if self.connections.len() >= self.limits.max_connections
                    && let Some((_, oldest)) = self.order.pop_first()
                {
                    self.evicted += 1;
                    self.end(oldest, sink);
                }
                let new = Connection::new(flow, side);
                self.connections.entry(key).or_insert(new)
            }
        };
        connection.event = self.events;
        connection.touched = now;
        connection.take(flow, side);
        self.order.insert(self.events, key);
    }

    /// Reports what is settled by `now` and new, and forgets what is over.
    pub fn settle(&mut self, now: Timestamp, sink: &mut impl ConnectionSink) {
        let mut over = Vec::new();
        for key in self.order.values() {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            let idle = now.since(connection.touched) / SECOND;
            if idle >= IDLE_SECONDS || idle >= QUIET_SECONDS && connection.is_over() {
                over.push(*key);
            } else if connection.dirty && (connection.is_settled() || idle >= QUIET_SECONDS) {
                connection.report(*key, self.has_is_reply, sink);
            }
        }
        for key in over {
            self.end(key, sink);
        }
    }

    /// Ends all connections.
    pub fn end_all(&mut self, sink: &mut impl ConnectionSink) {
        let keys: Vec<Key> = self.order.values().copied().collect();
        for key in keys {
            self.end(key, sink);
        }
    }

    fn end(&mut self, key: Key, sink: &mut impl ConnectionSink) {
        let Some(mut connection) = self.connections.remove(&key) else {
            return;
        };
        self.order.remove(&connection.event);
        if connection.dirty {
            self.resets += u64::from(connection.verdict(0, key.2).is_none());
            connection.report(key, self.has_is_reply, sink);
        }
    }

    /// Removes and returns the names that were learned, and the number that found no room.
    pub fn take_names(&mut self) -> (Vec<(IpAddr, NameEntry)>, u64) {
        let mut names = std::mem::take(&mut self.names);
        (names.drain(), names.overflow())
    }

    /// Returns and resets the number of connections that had to make room.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Removes and returns what was seen: the records of `collector`, and what this table has beside them.
    pub fn take(&mut self, collector: &mut Collector) -> Observations {
        let (records, scans, losses) = collector.take();
        let records = records.into_iter().map(|r| (Source::Hubble, r)).collect();
        let (names, names_lost) = self.take_names();
        let mut seen = Observations {
            records,
            scans,
            names,
            losses,
            ..Observations::default()
        };
        seen.lose(Loss::NameDropped, names_lost);
        seen.lose(Loss::ConnectionEvicted, self.take_evicted());
        seen
    }

    /// Connections of which nothing but resets was seen.
    pub fn lone_resets(&self) -> u64 {
        self.resets
    }

    fn learn_names(&mut self, flow: &HubbleFlow) {
        if let Some(answer) = &flow.dns {
            for address in &answer.addresses {
                // Cilium's DNS proxy lets an answer pass if it saw the question; who answered is still to be judged.
                let [resolver, asker] = flow.ends.map(|end| end.ip());
                let asked = (asker, NamedBy::Resolver(resolver));
                self.names
                    .learn(*address, &answer.query, asked, flow.time, answer.ttl);
            }
        }
        for (side, names) in flow.names.iter().enumerate() {
            for name in names {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let (owner, other) = (flow.ends[side].ip(), flow.ends[1 - side].ip());
                let asked = (other, NamedBy::Source);
                self.names
                    .learn(owner, &name, asked, flow.time, NAME_SECONDS);
            }
        }
    }
}

impl Connection {
    fn new(flow: &HubbleFlow, side: usize) -> Self {
        Connection {
            event: 0,
            touched: flow.time,
            first: flow.time,
            last: flow.time,
            windows: ActivityWindows::default(),
            opened: None,
            stated: [0; 2],
            absent: [0; 2],
            first_sender: side,
            sent: [false; 2],
            syn_ack: false,
            beyond_syn: false,
            reset: [false; 2],
            bare_reset: [false; 2],
            finished: false,
            denied: false,
            lost: false,
            labels: [None, None],
            service: [None, None],
            point: flow.point,
            datagrams: [0; 2],
            reported: None,
            dirty: false,
        }
    }

    fn take(&mut self, flow: &HubbleFlow, side: usize) {
        if flow.time < self.first {
            self.first = flow.time;
            self.first_sender = side;
        }
        self.last = self.last.max(flow.time);
        self.windows.mark(flow.time);
        self.dirty = true;
        let sides = [side, 1 - side];
        for (place, side) in sides.into_iter().enumerate() {
            if let Some(new) = &flow.labels[place]
                && self.labels[side]
                    .as_ref()
                    .is_none_or(|old| exactness(new) > exactness(old))
            {
                self.labels[side] = Some(new.clone());
            }
            if flow.services[place].is_some() {
                self.service[side].clone_from(&flow.services[place]);
            }
        }
        match flow.reply {
            ReplyFlag::Request => self.stated[side] += 1,
            ReplyFlag::Reply => {
                self.stated[1 - side] += 1;
                // Cilium knows the other direction, or it would not be a reply.
                self.sent[1 - side] |= !flow.fate.ended();
            }
            ReplyFlag::Absent => self.absent[side] += 1,
            ReplyFlag::Unknown => {}
        }
        self.denied |= flow.fate == PacketFate::Denied;
        self.lost |= flow.fate == PacketFate::Lost;
        if let Layer4::Tcp(Some(flags)) = flow.layer4 {
            if flags.syn() {
                self.opened = Some(if flags.ack() { 1 - side } else { side });
            }
            if flow.fate.ended() {
                // It did not arrive, so it shows nothing but the attempt.
            } else if flags.rst() {
                self.reset[side] = true;
                self.bare_reset[side] |= !flags.ack();
            } else {
                self.sent[side] = true;
                self.syn_ack |= flags.syn() && flags.ack();
                self.beyond_syn |= !flags.syn();
                self.finished |= flags.fin();
            }
        } else if !flow.fate.ended() {
            self.sent[side] = true;
            // A message of layer 7 stands on a connection that is there.
            self.beyond_syn |= flow.layer7;
            if flow.point == self.point {
                self.datagrams[side] += 1;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.finished || self.reset != [false; 2]
    }

    /// Returns true if events of the next seconds will hardly change the report.
    fn is_settled(&self) -> bool {
        let both = self.sent == [true; 2];
        both || self.beyond_syn && (self.opened.is_some() || self.stated != [0; 2])
    }

    /// The client's side, and what decided it.
    fn client(&self, has_is_reply: bool) -> (usize, Option<DirectionSource>) {
        let most = |votes: [u32; 2]| match votes[0].cmp(&votes[1]) {
            std::cmp::Ordering::Greater => Some(0),
            std::cmp::Ordering::Less => Some(1),
            std::cmp::Ordering::Equal => None,
        };
        if let Some(side) = self.opened {
            return (side, Some(DirectionSource::Handshake));
        }
        if let Some(side) = most(self.stated) {
            return (side, Some(DirectionSource::Said));
        }
        match most(self.absent).filter(|_| !has_is_reply) {
            Some(side) => (side, Some(DirectionSource::Said)),
            None => (self.first_sender, None),
        }
    }

    /// How it went; `None` if only resets were seen.
    fn verdict(&self, client: usize, protocol: Protocol) -> Option<Verdict> {
        let server = 1 - client;
        if self.opened.is_some() && self.bare_reset[client] && !self.beyond_syn {
            return Some(Verdict::Unanswered);
        }
        if self.sent == [true; 2] || self.syn_ack || self.beyond_syn {
            return Some(Verdict::Established);
        }
        if self.reset[server] && (self.sent[client] || self.denied || self.lost) {
            return Some(Verdict::Refused);
        }
        if self.denied {
            return Some(Verdict::Dropped);
        }
        match protocol {
            // The attempt is certain, and that nothing of it arrived.
            _ if self.sent == [false; 2] => self.lost.then_some(Verdict::Unanswered),
            Protocol::Tcp => Some(Verdict::Unanswered),
            Protocol::Udp | Protocol::Sctp => Some(Verdict::OneWay),
        }
    }

    fn report(
        &mut self,
        (low, high, protocol): Key,
        has_is_reply: bool,
        sink: &mut impl ConnectionSink,
    ) {
        let (client, decided) = self.client(has_is_reply);
        let Some(verdict) = self.verdict(client, protocol) else {
            return;
        };
        let server = 1 - client;
        let ends = [low, high];
        let opening = match (decided, protocol) {
            (_, Protocol::Udp) => Opening::FirstPacket,
            (Some(_), _) => Opening::Handshake,
            (None, _) => Opening::Undecided,
        };
        let labels = PeerLabels {
            client: self.labels[client].clone(),
            server: self.labels[server].clone(),
            service: self.service[server].clone(),
        };
        sink.report(&ConnectionReport {
            client: ends[client],
            server: ends[server],
            protocol,
            vlan: 0,
            via: None,
            seen_as: None,
            verdict,
            opening,
            counted: self.reported == Some(verdict),
            labels: (labels != PeerLabels::default()).then(|| Arc::new(labels)),
            mid_stream: match decided {
                Some(DirectionSource::Handshake) => false,
                Some(DirectionSource::Said) => protocol != Protocol::Udp,
                None => true,
            },
            datagrams: if protocol == Protocol::Tcp {
                0
            } else {
                self.datagrams[client]
            },
            bytes_to_server: 0,
            bytes_to_client: 0,
            first: self.first,
            last: self.last,
            // An open connection of TCP is alive between the events of its packets too.
            windows: match (protocol, verdict) {
                (Protocol::Tcp, Verdict::Established) => {
                    ActivityWindows::span(self.first, self.last)
                }
                _ => self.windows,
            },
            epochs: [0, 0],
        });
        self.reported = Some(verdict);
        self.datagrams = [0; 2];
        self.dirty = false;
    }
}

/// What decided who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DirectionSource {
    Handshake,
    /// Cilium's connection table.
    Said,
}

#[cfg(test)]
mod tests;

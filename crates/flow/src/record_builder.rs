//! From ended connections to flow records: many connections between the same ends are one record.
//!
//! What never answered is bounded per client: a scanner must not fill the memory (rule: bounded-memory); what
//! is not recorded one by one is summed up.

use super::{
    ActivityWindows, AddressBound, ConnectionReport, ConnectionSink, FlowRecord, Observers,
    Opening, PeerLabels, Told, UNBOUNDED_RECORDS, Verdict,
};
use nanoseg_net::{Protocol, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Clients whose failed connections are counted apart; more than that are spoofed.
const MAX_FAILED_CLIENTS: usize = 1 << 16;
/// Distinct addresses counted in one summary.
const MAX_ADDRESSES: usize = 1 << 16;
/// Targets named in one summary.
const SAMPLES: usize = 16;

/// Failed connections of one client beyond those that have records of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanSummary {
    /// `None`: clients beyond those that are counted apart.
    pub client: Option<IpAddr>,
    pub connections: u64,
    /// Different addresses tried, counted up to 65536.
    pub addresses: usize,
    /// Different ports tried.
    pub ports: usize,
    /// The first few targets.
    pub samples: Vec<(SocketAddr, Protocol)>,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// What connections must share to be one record. Addresses are numbers of [`Interner`]s: keys are
/// looked up once per connection, and small ones stay in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RecordKey {
    client: u32,
    server: u32,
    /// What the client had called; `NONE` if that is the server.
    via: u32,
    /// What the server saw; `NONE` if that is the client.
    seen_as: u32,
    /// What the source reports about the ends; `NONE` if nothing.
    labels: u32,
    epochs: [u32; 2],
    port: u16,
    /// Of a connection without a handshake: it may leave the table and come back, and is one still.
    client_port: Option<u16>,
    protocol: Protocol,
    verdict: Verdict,
    opening: Opening,
}

/// How many connections are looked up together.
const PENDING: usize = 32;

/// No socket address.
const NONE: u32 = u32::MAX;

/// Numbers for values that come again and again.
#[derive(Debug)]
struct Interner<T> {
    numbers: FxHashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner {
            numbers: FxHashMap::default(),
            values: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    fn number(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.values.len() as u32;
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    fn value(&self, number: u32) -> Option<T> {
        self.values.get(number as usize).cloned()
    }
}

/// A flow record while it grows, kept apart from its key.
#[derive(Debug, Clone, Copy)]
struct Counts {
    connections: u64,
    datagrams: u64,
    bytes_to_server: u64,
    bytes_to_client: u64,
    first: Timestamp,
    last: Timestamp,
    windows: ActivityWindows,
    /// The number of the set of nodes that saw it; `NONE` if no agent did.
    observers: u32,
    told: Option<Told>,
}

#[derive(Debug)]
struct Scan {
    connections: u64,
    addresses: FxHashSet<IpAddr>,
    /// One bit per port.
    ports: Vec<u64>,
    samples: Vec<(SocketAddr, Protocol)>,
    first: Timestamp,
    last: Timestamp,
}

/// Collects flow records.
#[derive(Debug)]
pub struct RecordBuilder {
    addresses: Interner<IpAddr>,
    sockets: Interner<SocketAddr>,
    labels: Interner<Arc<PeerLabels>>,
    observers: Interner<Observers>,
    records: FxHashMap<RecordKey, Counts>,
    /// Connections whose records are looked up together, so that the memory behind them is fetched
    /// at the same time.
    pending: Vec<(RecordKey, Counts)>,
    /// Of each client, as each set of observers tells: nobody uses up the room of others.
    failed_targets: FxHashMap<(IpAddr, u32), u32>,
    failed_clients: FxHashMap<u32, usize>,
    scans: FxHashMap<(Option<IpAddr>, u32), Scan>,
    max_failed_targets: usize,
    /// Counts outside addresses by block where there are too many.
    bound: Option<AddressBound>,
}

impl RecordBuilder {
    /// Keeps records of up to `max_failed_targets` failed targets per client.
    pub fn new(max_failed_targets: usize) -> Self {
        RecordBuilder {
            addresses: Interner::default(),
            sockets: Interner::default(),
            labels: Interner::default(),
            observers: Interner::default(),
            records: FxHashMap::default(),
            pending: Vec::with_capacity(PENDING),
            failed_targets: FxHashMap::default(),
            failed_clients: FxHashMap::default(),
            scans: FxHashMap::default(),
            max_failed_targets,
            bound: None,
        }
    }

    /// The same, with a bound on the outside addresses that are kept one by one.
    #[must_use]
    pub fn bounded(self) -> Self {
        RecordBuilder {
            bound: Some(AddressBound::default()),
            ..self
        }
    }

    /// How many connections are counted by block.
    pub fn merged(&self) -> u64 {
        self.bound.as_ref().map_or(0, AddressBound::merged)
    }

    /// All records and summaries, in order.
    pub fn finish(mut self) -> (Vec<FlowRecord>, Vec<(Observers, ScanSummary)>) {
        self.flush();
        self.settle_mid_stream();
        self.listing()
    }

    /// Removes and returns what has been collected so far, in order. Connections without a handshake keep
    /// their client's port: they are settled where the parts are put together again.
    pub fn drain(&mut self) -> (Vec<FlowRecord>, Vec<ScanSummary>) {
        self.flush();
        let mut next = RecordBuilder::new(self.max_failed_targets);
        // A scanner stays one, whenever the records are taken.
        next.failed_targets = std::mem::take(&mut self.failed_targets);
        next.failed_clients = std::mem::take(&mut self.failed_clients);
        let (records, scans) = std::mem::replace(self, next).listing();
        (records, scans.into_iter().map(|(_, scan)| scan).collect())
    }

    /// Forgets which targets of clients failed: counting starts from zero.
    pub fn forget_failures(&mut self) {
        self.failed_targets.clear();
        self.failed_clients.clear();
    }

    /// The number of records so far.
    pub fn len(&self) -> usize {
        self.records.len() + self.pending.len()
    }

    /// Returns true if it has neither records nor scans.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.scans.is_empty()
    }

    /// Adds a record that was collected elsewhere; `epochs` are those of the client's and the server's
    /// address at its start.
    pub fn add(&mut self, record: &FlowRecord, epochs: [u32; 2]) {
        let key = RecordKey {
            client: self.addresses.number(record.client),
            server: self.addresses.number(record.server),
            port: record.port,
            client_port: record.client_port,
            protocol: record.protocol,
            via: record.via.map_or(NONE, |via| self.sockets.number(via)),
            seen_as: record
                .seen_as
                .map_or(NONE, |seen| self.sockets.number(SocketAddr::new(seen, 0))),
            labels: record
                .labels
                .as_ref()
                .map_or(NONE, |labels| self.labels.number(Arc::clone(labels))),
            verdict: record.verdict,
            opening: record.opening,
            epochs,
        };
        let observers = match &record.observers {
            nobody if nobody.is_empty() => NONE,
            nodes => self.observers.number(nodes.clone()),
        };
        self.record(
            key,
            Counts {
                connections: record.connections,
                datagrams: record.datagrams,
                bytes_to_server: record.bytes_to_server,
                bytes_to_client: record.bytes_to_client,
                first: record.first,
                last: record.last,
                windows: record.windows,
                observers,
                told: record.told,
            },
        );
    }

    fn listing(mut self) -> (Vec<FlowRecord>, Vec<(Observers, ScanSummary)>) {
        let records = std::mem::take(&mut self.records);
        let mut records: Vec<_> = records
            .into_iter()
            .filter_map(|(key, counts)| self.build_record(&key, &counts))
            .collect();
        records.sort_by_cached_key(|r| {
            let ends = (r.client, r.server, r.port, r.protocol, r.via, r.seen_as);
            (
                ends,
                r.verdict,
                r.opening,
                r.client_port,
                r.first,
                r.last,
                r.labels.clone(),
            )
        });
        let mut scans: Vec<_> = self
            .scans
            .into_iter()
            .map(|((client, observers), scan)| {
                let observers = self.observers.value(observers).unwrap_or_default();
                (observers, build_summary(client, &scan))
            })
            .collect();
        scans.sort_by(|(one, a), (other, b)| (a, one).cmp(&(b, other)));
        (records, scans)
    }

    /// Connections without a handshake: where one end is known as a server from other connections,
    /// that decides; and where a record of those ends is there already, they are part of it and no
    /// new connection (one that was silent for long and spoke again).
    fn settle_mid_stream(&mut self) {
        let servers: FxHashSet<(u32, u16, Protocol)> = self
            .records
            .keys()
            .filter(|key| key.client_port.is_none() || key.opening == Opening::Handshake)
            .filter(|key| key.verdict == Verdict::Established)
            .map(|key| (key.server, key.port, key.protocol))
            .collect();
        let mut open: Vec<_> = self
            .records
            .extract_if(|key, _| key.client_port.is_some())
            .collect();
        if open.is_empty() {
            return;
        }
        let begun: FxHashSet<RecordKey> = self.records.keys().copied().collect();
        let mut counted = FxHashSet::default();
        // Those whose client is known come first: the others may turn out to be the same ones.
        open.sort_by_cached_key(|(key, counts)| {
            (
                key.opening,
                key.client,
                key.client_port,
                key.server,
                key.port,
                counts.first,
                counts.last,
            )
        });
        for (mut key, mut counts) in open {
            let client_port = key.client_port.unwrap_or(0);
            if key.opening == Opening::Undecided {
                let is_server = |address, port| servers.contains(&(address, port, key.protocol));
                match (
                    is_server(key.client, client_port),
                    is_server(key.server, key.port),
                ) {
                    (false, true) => key.opening = Opening::Listener,
                    (true, false) => (key, counts) = self.turned(key, client_port, counts),
                    _ => {}
                }
            }
            if let Some(seen) = self.sockets.value(key.seen_as) {
                key.seen_as = self.sockets.number(SocketAddr::new(seen.ip(), 0));
            }
            if key.opening != Opening::Undecided {
                key.client_port = None;
            }
            let handshake = RecordKey {
                client_port: None,
                opening: Opening::Handshake,
                ..key
            };
            let whole = if self.records.contains_key(&handshake) {
                handshake
            } else {
                key
            };
            let is_new = counts.connections > 0 && counted.insert((whole, client_port));
            if begun.contains(&whole) || !is_new {
                counts.connections = 0;
            }
            match self.records.get_mut(&whole) {
                Some(known) => known.add(&counts, &mut self.observers),
                None => {
                    self.records.insert(whole, counts);
                }
            }
        }
    }

    /// The same with client and server exchanged: what the server was called becomes what the client
    /// was seen as, and the other way round.
    fn turned(&mut self, key: RecordKey, client_port: u16, counts: Counts) -> (RecordKey, Counts) {
        let seen_as = self.sockets.value(key.via);
        let was_seen = seen_as.filter(|seen| Some(seen.ip()) != self.addresses.value(key.server));
        let turned = RecordKey {
            client: key.server,
            server: key.client,
            port: client_port,
            client_port: Some(key.port),
            epochs: [key.epochs[1], key.epochs[0]],
            opening: Opening::Listener,
            via: self.full_socket(key.seen_as),
            labels: self.turned_claims(key.labels),
            seen_as: was_seen.map_or(NONE, |seen| {
                self.sockets.number(SocketAddr::new(seen.ip(), 0))
            }),
            ..key
        };
        let counts = Counts {
            bytes_to_server: counts.bytes_to_client,
            bytes_to_client: counts.bytes_to_server,
            ..counts
        };
        (turned, counts)
    }

    /// The socket address of that number, unless its port is not known.
    fn full_socket(&self, number: u32) -> u32 {
        match self.sockets.value(number) {
            Some(socket) if socket.port() != 0 => number,
            _ => NONE,
        }
    }

    fn turned_claims(&mut self, number: u32) -> u32 {
        let Some(labels) = self.labels.value(number) else {
            return NONE;
        };
        self.labels.number(Arc::new(PeerLabels {
            client: labels.server.clone(),
            server: labels.client.clone(),
            service: None,
        }))
    }

    fn build_record(&self, key: &RecordKey, counts: &Counts) -> Option<FlowRecord> {
        Some(FlowRecord {
            client: self.addresses.value(key.client)?,
            server: self.addresses.value(key.server)?,
            port: key.port,
            protocol: key.protocol,
            via: self.sockets.value(key.via),
            seen_as: self.sockets.value(key.seen_as).map(|seen| seen.ip()),
            client_port: key.client_port,
            verdict: key.verdict,
            opening: key.opening,
            labels: self.labels.value(key.labels),
            observers: self.observers.value(counts.observers).unwrap_or_default(),
            told: counts.told,
            connections: counts.connections,
            datagrams: counts.datagrams,
            bytes_to_server: counts.bytes_to_server,
            bytes_to_client: counts.bytes_to_client,
            first: counts.first,
            last: counts.last,
            windows: counts.windows,
        })
    }

    fn flush(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        let warm = pending.iter().filter_map(|(key, _)| self.records.get(key));
        std::hint::black_box(warm.fold(0, |sum, counts| sum ^ counts.connections));
        for (key, counts) in pending.drain(..) {
            self.record(key, counts);
        }
        self.pending = pending;
    }

    fn record(&mut self, key: RecordKey, counts: Counts) {
        if let Some(known) = self.records.get_mut(&key) {
            // Without a handshake the client's port is part of the key: the same one again.
            let again = key.client_port.is_some();
            let more = Counts {
                connections: if again { 0 } else { counts.connections },
                ..counts
            };
            known.add(&more, &mut self.observers);
            return;
        }
        if matches!(
            key.verdict,
            Verdict::Unanswered | Verdict::Refused | Verdict::OneWay
        ) && let Some(client) = self.addresses.value(key.client)
            && let Some(server) = self.addresses.value(key.server)
            && let Some(under) = self.is_too_much(client, counts.observers)
        {
            let target = (SocketAddr::new(server, key.port), key.protocol);
            self.fail(under, target, &counts);
            return;
        }
        self.records.insert(key, counts);
    }

    fn fail(&mut self, client: Option<IpAddr>, target: (SocketAddr, Protocol), counts: &Counts) {
        let under = (client, counts.observers);
        let scan = self.scans.entry(under).or_insert_with(|| Scan {
            connections: 0,
            addresses: FxHashSet::default(),
            ports: vec![0; 1024],
            samples: Vec::new(),
            first: counts.first,
            last: counts.last,
        });
        scan.connections = scan.connections.saturating_add(counts.connections);
        let server = target.0;
        if scan.addresses.len() < MAX_ADDRESSES {
            scan.addresses.insert(server.ip());
        }
        if let Some(word) = scan.ports.get_mut(usize::from(server.port()) / 64) {
            *word |= 1 << (server.port() % 64);
        }
        if scan.samples.len() < SAMPLES {
            scan.samples.push(target);
        }
        scan.first = scan.first.min(counts.first);
        scan.last = scan.last.max(counts.last);
    }

    /// The client to sum a failed connection up under, if its targets are too many to record.
    fn is_too_much(&mut self, client: IpAddr, observers: u32) -> Option<Option<IpAddr>> {
        let key = (client, observers);
        if !self.failed_targets.contains_key(&key) {
            let clients = self.failed_clients.entry(observers).or_default();
            if *clients >= MAX_FAILED_CLIENTS {
                return Some(None);
            }
            *clients += 1;
        }
        let targets = self.failed_targets.entry(key).or_insert(0);
        if (*targets as usize) < self.max_failed_targets {
            *targets += 1;
            None
        } else {
            Some(Some(client))
        }
    }
}

impl ConnectionSink for RecordBuilder {
    fn report(&mut self, connection: &ConnectionReport) {
        let own = (connection.client.ip(), connection.server.ip());
        let block = match &mut self.bound {
            Some(bound) if self.records.len() >= UNBOUNDED_RECORDS => bound.ends_of(connection),
            _ => None,
        };
        let ((client, server), labels) = match block {
            Some((client, server, labels)) => ((client, server), Some(labels)),
            None => (own, connection.labels.clone()),
        };
        let via = connection.via.filter(|_| server == own.1);
        let mid_stream = connection.mid_stream;
        // The port that the server saw matters only while the direction may still be turned.
        let seen_as = connection.seen_as.map(|seen| {
            if mid_stream {
                seen
            } else {
                SocketAddr::new(seen.ip(), 0)
            }
        });
        let key = RecordKey {
            client: self.addresses.number(client),
            server: self.addresses.number(server),
            port: connection.server.port(),
            client_port: mid_stream.then_some(connection.client.port()),
            protocol: connection.protocol,
            via: via.map_or(NONE, |via| self.sockets.number(via)),
            seen_as: seen_as.map_or(NONE, |seen| self.sockets.number(seen)),
            labels: labels.map_or(NONE, |labels| self.labels.number(labels)),
            verdict: connection.verdict,
            opening: connection.opening,
            epochs: connection.epochs,
        };
        let counts = Counts {
            connections: u64::from(!connection.counted),
            datagrams: connection.datagrams,
            bytes_to_server: connection.bytes_to_server,
            bytes_to_client: connection.bytes_to_client,
            first: connection.first,
            last: connection.last,
            windows: connection.windows,
            observers: NONE,
            told: None,
        };
        self.pending.push((key, counts));
        if self.pending.len() >= PENDING {
            self.flush();
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Counts, observers: &mut Interner<Observers>) {
        // Batches may label anything.
        self.connections = self.connections.saturating_add(other.connections);
        self.datagrams = self.datagrams.saturating_add(other.datagrams);
        self.bytes_to_server = self.bytes_to_server.saturating_add(other.bytes_to_server);
        self.bytes_to_client = self.bytes_to_client.saturating_add(other.bytes_to_client);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.windows.merge(&other.windows);
        self.told = Told::merge(self.told, other.told);
        if self.observers != other.observers {
            let [mut all, more] = [self.observers, other.observers]
                .map(|number| observers.value(number).unwrap_or_default());
            all.extend(&more);
            self.observers = observers.number(all);
        }
    }
}

fn build_summary(client: Option<IpAddr>, scan: &Scan) -> ScanSummary {
    ScanSummary {
        client,
        connections: scan.connections,
        addresses: scan.addresses.len(),
        ports: scan
            .ports
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum(),
        samples: scan.samples.clone(),
        first: scan.first,
        last: scan.last,
    }
}

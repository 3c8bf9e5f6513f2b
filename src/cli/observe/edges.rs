//! The edges that were observed so far, for people: addresses, counts, rates. Files hold flow records instead.

use crate::flow::{FlowRecord, Observations, Opening, PeerLabels, Source, Verdict};
use crate::net::{Protocol, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most edges held, about 400 bytes each; records of further ones are only counted.
const MAX_EDGES: usize = 50_000;
/// Rates are averages over this time.
const RATE_OVER: Duration = Duration::from_secs(30);

/// Client, server, port and verdict of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeKey {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
    pub verdict: Verdict,
}

/// What was observed of an edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Connections by source. Each source sees all it can, so they are not added up.
    by_source: BTreeMap<Source, u64>,
    pub bytes: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// True if nothing showed who opened it.
    pub undecided: bool,
    /// The latest labels of the ends by the source.
    pub labels: Option<Arc<PeerLabels>>,
    recent: VecDeque<(Instant, Source, u64)>,
}

impl Edge {
    pub fn connections(&self) -> u64 {
        self.by_source.values().copied().max().unwrap_or(0)
    }

    /// New connections per second, over [`RATE_OVER`].
    pub fn rate(&self, now: Instant) -> f64 {
        let mut sums: BTreeMap<Source, u64> = BTreeMap::new();
        for (at, source, count) in &self.recent {
            if now.saturating_duration_since(*at) <= RATE_OVER {
                *sums.entry(*source).or_default() += count;
            }
        }
        let most = sums.values().copied().max().unwrap_or(0);
        most as f64 / RATE_OVER.as_secs_f64()
    }

    pub fn sources(&self) -> BTreeSet<Source> {
        self.by_source.keys().copied().collect()
    }
}

/// How edges are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// By the names or addresses of client and server.
    Name,
    /// Most new connections per second first.
    Rate,
    /// Newest first.
    Age,
}

/// All edges.
#[derive(Debug, Default)]
pub struct EdgeTable {
    edges: BTreeMap<EdgeKey, Edge>,
    /// How many records were of edges beyond [`MAX_EDGES`].
    pub overflow: u64,
    /// Records and losses so far.
    pub records: u64,
    pub losses: u64,
}

impl EdgeTable {
    /// Adds the observations of a source; returns the edges that are new.
    pub fn add(&mut self, slice: &Observations, now: Instant) -> Vec<EdgeKey> {
        let mut new = Vec::new();
        self.losses += slice.losses.values().sum::<u64>();
        for (source, record) in &slice.records {
            self.records += 1;
            new.extend(self.add_record(*source, record, now));
        }
        new
    }

    fn add_record(&mut self, source: Source, record: &FlowRecord, now: Instant) -> Option<EdgeKey> {
        let turned = is_turned(record).then(|| record.turned()).flatten();
        let record = turned.as_ref().unwrap_or(record);
        let key = EdgeKey {
            client: record.client,
            server: record.server,
            port: record.port,
            protocol: record.protocol,
            verdict: record.verdict,
        };
        let is_new = !self.edges.contains_key(&key);
        if is_new && self.edges.len() >= MAX_EDGES {
            self.overflow += 1;
            return None;
        }
        let edge = self.edges.entry(key).or_insert_with(|| Edge {
            by_source: BTreeMap::new(),
            bytes: 0,
            first: record.first,
            last: record.last,
            undecided: record.opening == Opening::Undecided,
            labels: None,
            recent: VecDeque::new(),
        });
        if record.labels.is_some() {
            edge.labels.clone_from(&record.labels);
        }
        *edge.by_source.entry(source).or_default() += record.connections;
        edge.bytes = edge
            .bytes
            .saturating_add(record.bytes_to_server)
            .saturating_add(record.bytes_to_client);
        edge.first = edge.first.min(record.first);
        edge.last = edge.last.max(record.last);
        edge.undecided &= record.opening == Opening::Undecided;
        while let Some((at, ..)) = edge.recent.front()
            && now.saturating_duration_since(*at) > RATE_OVER
        {
            edge.recent.pop_front();
        }
        if record.connections > 0 {
            edge.recent.push_back((now, source, record.connections));
        }
        is_new.then_some(key)
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    pub fn get(&self, key: &EdgeKey) -> Option<&Edge> {
        self.edges.get(key)
    }

    /// All edges in that order; `names` returns the names of client and server.
    pub fn sorted(
        &self,
        order: Order,
        now: Instant,
        names: impl Fn(&EdgeKey, &Edge) -> [String; 2],
    ) -> Vec<(&EdgeKey, &Edge)> {
        let mut all: Vec<_> = self.edges.iter().collect();
        match order {
            Order::Name => all.sort_by_cached_key(|(key, edge)| (names(key, edge), key.port)),
            // Sorting is stable, so equal ones keep the order of addresses.
            Order::Rate => all.sort_by_cached_key(|(_, edge)| {
                std::cmp::Reverse((edge.rate(now) * 1000.0) as u64)
            }),
            Order::Age => all.sort_by_cached_key(|(_, edge)| std::cmp::Reverse(edge.first)),
        }
        all
    }
}

/// Returns true if nothing shows who opened a connection and the lower port is the client's: then the ends are swapped,
/// the last resort (rule: direction-inferred); the graph knows better ones.
fn is_turned(record: &FlowRecord) -> bool {
    record.opening == Opening::Undecided
        && record
            .client_port
            .is_some_and(|client_port| client_port < record.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::spool::testing::record;

    fn slice(records: Vec<(Source, FlowRecord)>) -> Observations {
        Observations {
            records,
            ..Observations::default()
        }
    }

    fn addresses(key: &EdgeKey, _: &Edge) -> [String; 2] {
        [key.client.to_string(), key.server.to_string()]
    }

    #[test]
    fn an_edge_is_new_once_and_sources_are_not_added_up() {
        let (mut edges, now) = (EdgeTable::default(), Instant::now());
        let one = record(1, 80, 5);
        let edge = vec![
            (Source::Conntrack, one.clone()),
            (Source::Conntrack, one.clone()),
        ];
        assert_eq!(edges.add(&slice(edge), now).len(), 1);
        assert!(
            edges
                .add(&slice(vec![(Source::Capture, one)]), now)
                .is_empty()
        );
        let (key, edge) = edges.sorted(Order::Name, now, addresses)[0];
        assert_eq!((key.port, edge.connections()), (80, 2));
        assert_eq!(edge.rate(now), 2.0 / 30.0);
        assert_eq!(edge.rate(now + Duration::from_secs(31)), 0.0);
        assert_eq!(edge.sources().len(), 2);
    }

    #[test]
    fn the_order_is_as_asked() {
        let (mut edges, now) = (EdgeTable::default(), Instant::now());
        for (client, connections, at) in [(1, 1, 30), (2, 9, 20), (3, 5, 10)] {
            let one = FlowRecord {
                connections,
                ..record(client, 80, at)
            };
            edges.add(&slice(vec![(Source::Conntrack, one)]), now);
        }
        let order = |order| -> Vec<u8> {
            let sorted = edges.sorted(order, now, addresses);
            sorted
                .iter()
                .map(|(key, _)| match key.client {
                    IpAddr::V4(address) => address.octets()[3],
                    IpAddr::V6(_) => 0,
                })
                .collect()
        };
        assert_eq!(order(Order::Name), [1, 2, 3]);
        assert_eq!(order(Order::Rate), [2, 3, 1]);
        assert_eq!(order(Order::Age), [1, 2, 3]);
    }

    #[test]
    fn an_undecided_connection_is_shown_by_its_lower_port() {
        let (mut edges, now) = (EdgeTable::default(), Instant::now());
        let undecided = FlowRecord {
            opening: Opening::Undecided,
            client_port: Some(443),
            ..record(1, 40_000, 0)
        };
        let server = undecided.client;
        let new = edges.add(&slice(vec![(Source::Conntrack, undecided)]), now);
        assert_eq!((new[0].server, new[0].port), (server, 443));
    }
}

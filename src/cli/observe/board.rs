//! The edges seen so far, for people: addresses, counts, rates. What is written to files is not this.

use crate::flow::{FlowRecord, Observations, Opening, PeerLabels, Source, Verdict};
use crate::net::{Protocol, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Edges held, about 400 bytes each; more are only counted.
const MAX_EDGES: usize = 50_000;
/// Rates are of this time.
const RATE_OVER: Duration = Duration::from_secs(30);

/// Who called whom how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
    pub verdict: Verdict,
}

/// What was seen of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Connections by source. Each source sees all it can, so they are not added up.
    by_source: BTreeMap<Source, u64>,
    pub bytes: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Nothing showed who opened it.
    pub undecided: bool,
    /// What the source said of the ends, last.
    pub labels: Option<Arc<PeerLabels>>,
    recent: VecDeque<(Instant, Source, u64)>,
}

impl Seen {
    pub fn connections(&self) -> u64 {
        self.by_source.values().copied().max().unwrap_or(0)
    }

    /// New connections per second, of late.
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
pub struct Board {
    edges: BTreeMap<Way, Seen>,
    /// Records of edges that found no room.
    pub overflow: u64,
    /// Records and losses so far.
    pub records: u64,
    pub losses: u64,
}

impl Board {
    /// Adds what a source saw; returns the edges that are new.
    pub fn add(&mut self, slice: &Observations, now: Instant) -> Vec<Way> {
        let mut new = Vec::new();
        self.losses += slice.losses.values().sum::<u64>();
        for (source, record) in &slice.records {
            self.records += 1;
            new.extend(self.add_record(*source, record, now));
        }
        new
    }

    fn add_record(&mut self, source: Source, record: &FlowRecord, now: Instant) -> Option<Way> {
        let turned = is_turned(record).then(|| record.turned()).flatten();
        let record = turned.as_ref().unwrap_or(record);
        let way = Way {
            client: record.client,
            server: record.server,
            port: record.port,
            protocol: record.protocol,
            verdict: record.verdict,
        };
        let is_new = !self.edges.contains_key(&way);
        if is_new && self.edges.len() >= MAX_EDGES {
            self.overflow += 1;
            return None;
        }
        let seen = self.edges.entry(way).or_insert_with(|| Seen {
            by_source: BTreeMap::new(),
            bytes: 0,
            first: record.first,
            last: record.last,
            undecided: record.opening == Opening::Undecided,
            labels: None,
            recent: VecDeque::new(),
        });
        if record.labels.is_some() {
            seen.labels.clone_from(&record.labels);
        }
        *seen.by_source.entry(source).or_default() += record.connections;
        seen.bytes = seen
            .bytes
            .saturating_add(record.bytes_to_server)
            .saturating_add(record.bytes_to_client);
        seen.first = seen.first.min(record.first);
        seen.last = seen.last.max(record.last);
        seen.undecided &= record.opening == Opening::Undecided;
        while let Some((at, ..)) = seen.recent.front()
            && now.saturating_duration_since(*at) > RATE_OVER
        {
            seen.recent.pop_front();
        }
        if record.connections > 0 {
            seen.recent.push_back((now, source, record.connections));
        }
        is_new.then_some(way)
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    pub fn get(&self, way: &Way) -> Option<&Seen> {
        self.edges.get(way)
    }

    /// All edges in that order; `names` is what client and server are shown as.
    pub fn sorted(
        &self,
        order: Order,
        now: Instant,
        names: impl Fn(&Way, &Seen) -> [String; 2],
    ) -> Vec<(&Way, &Seen)> {
        let mut all: Vec<_> = self.edges.iter().collect();
        match order {
            Order::Name => all.sort_by_cached_key(|(way, seen)| (names(way, seen), way.port)),
            // Sorting is stable, so equal ones keep the order of addresses.
            Order::Rate => all.sort_by_cached_key(|(_, seen)| {
                std::cmp::Reverse((seen.rate(now) * 1000.0) as u64)
            }),
            Order::Age => all.sort_by_cached_key(|(_, seen)| std::cmp::Reverse(seen.first)),
        }
        all
    }
}

/// Where nothing shows who opened a connection, the lower port is shown as the server's: the last resort
/// (rule: direction-inferred); the graph knows better ones.
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

    fn addresses(way: &Way, _: &Seen) -> [String; 2] {
        [way.client.to_string(), way.server.to_string()]
    }

    #[test]
    fn an_edge_is_new_once_and_sources_are_not_added_up() {
        let (mut board, now) = (Board::default(), Instant::now());
        let one = record(1, 80, 5);
        let seen = vec![
            (Source::Conntrack, one.clone()),
            (Source::Conntrack, one.clone()),
        ];
        assert_eq!(board.add(&slice(seen), now).len(), 1);
        assert!(
            board
                .add(&slice(vec![(Source::Capture, one)]), now)
                .is_empty()
        );
        let (way, seen) = board.sorted(Order::Name, now, addresses)[0];
        assert_eq!((way.port, seen.connections()), (80, 2));
        assert_eq!(seen.rate(now), 2.0 / 30.0);
        assert_eq!(seen.rate(now + Duration::from_secs(31)), 0.0);
        assert_eq!(seen.sources().len(), 2);
    }

    #[test]
    fn the_order_is_as_asked() {
        let (mut board, now) = (Board::default(), Instant::now());
        for (client, connections, at) in [(1, 1, 30), (2, 9, 20), (3, 5, 10)] {
            let one = FlowRecord {
                connections,
                ..record(client, 80, at)
            };
            board.add(&slice(vec![(Source::Conntrack, one)]), now);
        }
        let order = |order| -> Vec<u8> {
            let sorted = board.sorted(order, now, addresses);
            sorted
                .iter()
                .map(|(way, _)| match way.client {
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
        let (mut board, now) = (Board::default(), Instant::now());
        let undecided = FlowRecord {
            opening: Opening::Undecided,
            client_port: Some(443),
            ..record(1, 40_000, 0)
        };
        let server = undecided.client;
        let new = board.add(&slice(vec![(Source::Conntrack, undecided)]), now);
        assert_eq!((new[0].server, new[0].port), (server, 443));
    }
}

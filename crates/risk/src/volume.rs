//! Traffic volume: the peers that send most, and the edges whose volume changed suddenly.

use nanoseg_finding::{Code, Finding};
use nanoseg_graph::{Edge, EdgeKey, Graph, Peer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The fewest hours of history for a usual volume.
const LEAST_HOURS: i64 = 6;
/// The factor between the usual and the present volume from which on a change is sudden.
const FACTOR: u64 = 10;
/// The least volume per hour that is considered: bytes, and connections.
const LEAST: [u64; 2] = [1 << 20, 100];

/// The volume of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub connections: u64,
}

impl Amount {
    pub fn of(edge: &Edge) -> Amount {
        Amount {
            bytes_to_server: edge.bytes_to_server,
            bytes_to_client: edge.bytes_to_client,
            connections: edge.connections(),
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes_to_server.saturating_add(self.bytes_to_client)
    }

    fn add(&mut self, other: &Amount) {
        for (total, more) in [
            (&mut self.bytes_to_server, other.bytes_to_server),
            (&mut self.bytes_to_client, other.bytes_to_client),
            (&mut self.connections, other.connections),
        ] {
            *total = total.saturating_add(more);
        }
    }
}

/// The volume that one peer sent and received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    pub peer: Peer,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Connections that it opened and accepted.
    pub connections: u64,
}

impl Talker {
    pub fn bytes(&self) -> u64 {
        self.sent_bytes.saturating_add(self.received_bytes)
    }
}

/// Returns all peers that sent or received, the busiest first.
pub fn talkers(graph: &Graph) -> Vec<Talker> {
    let edges = graph.edges().into_iter();
    ranked(edges.map(|(client, server, edge)| (client, server, Amount::of(edge))))
}

fn ranked<'p>(edges: impl Iterator<Item = (&'p Peer, &'p Peer, Amount)>) -> Vec<Talker> {
    let mut sums: BTreeMap<&Peer, [u64; 3]> = BTreeMap::new();
    for (client, server, amount) in edges {
        let (up, down) = (amount.bytes_to_server, amount.bytes_to_client);
        for (peer, sent, received) in [(client, up, down), (server, down, up)] {
            let sum = sums.entry(peer).or_default();
            for (total, more) in sum.iter_mut().zip([sent, received, amount.connections]) {
                *total = total.saturating_add(more);
            }
        }
    }
    let talker = |(peer, [sent_bytes, received_bytes, connections]): (&Peer, [u64; 3])| Talker {
        peer: peer.clone(),
        sent_bytes,
        received_bytes,
        connections,
    };
    let mut all: Vec<Talker> = sums.into_iter().map(talker).collect();
    all.sort_by(|a, b| {
        let key = |one: &Talker| std::cmp::Reverse((one.bytes(), one.connections));
        (key(a), &a.peer).cmp(&(key(b), &b.peer))
    });
    all
}

/// The key under which the controller publishes a [`VolumeReport`] beside the record.
pub const VOLUME: &str = "volume.json";

/// A report about the volume by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeReport {
    /// The first hour of the report, in hours since the Unix epoch.
    pub first_hour: i64,
    /// The last hour of the report, in hours since the Unix epoch. It may not be over.
    pub last_hour: i64,
    /// The busiest first.
    pub talkers: Vec<Talker>,
    /// The largest first.
    pub changes: Vec<VolumeChange>,
}

/// Bytes and connections of each edge by the hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volumes {
    /// By edge and by whole hours since the Unix epoch.
    by_edge: BTreeMap<EdgeKey, BTreeMap<i64, Amount>>,
}

/// An edge whose volume changed suddenly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeChange {
    pub edge: EdgeKey,
    /// Whole hours since the Unix epoch.
    pub hour: i64,
    /// The median of the hours before.
    pub usual: u64,
    pub now: u64,
    /// Is true if bytes are counted, false if connections are.
    pub in_bytes: bool,
}

impl VolumeChange {
    /// `client → server port/protocol`.
    pub fn subject(&self) -> String {
        let (client, server, protocol, port) = &self.edge;
        format!("{client} → {server} {port}/{protocol}")
    }

    pub fn finding(&self) -> Finding {
        let what = if self.in_bytes {
            "bytes"
        } else {
            "connections"
        };
        let message = format!(
            "had {} {what} in its last hour, and usually has {}",
            self.now, self.usual
        );
        Finding::new(Code::VolumeChange, self.subject(), message)
    }
}

impl Volumes {
    /// Adds the volume of an hour.
    pub fn add(&mut self, edge: &EdgeKey, hour: i64, amount: Amount) {
        let hours = match self.by_edge.get_mut(edge) {
            Some(known) => known,
            None => self.by_edge.entry(edge.clone()).or_default(),
        };
        hours.entry(hour).or_default().add(&amount);
    }

    /// Removes the hours before `hour`.
    pub fn forget_before(&mut self, hour: i64) {
        self.by_edge.retain(|_, hours| {
            *hours = hours.split_off(&hour);
            !hours.is_empty()
        });
    }

    /// Returns the first and the last hour with any volume.
    fn span(&self) -> Option<(i64, i64)> {
        let ends = self.by_edge.values();
        let ends = ends.filter_map(|hours| Some((*hours.keys().next()?, *hours.keys().last()?)));
        ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Returns a report with at most `most` talkers and `most` changes, or `None` if there is no volume at all.
    pub fn report(&self, most: usize) -> Option<VolumeReport> {
        let (first_hour, last_hour) = self.span()?;
        let edges = self.by_edge.iter().map(|((client, server, ..), hours)| {
            let mut total = Amount::default();
            hours.values().for_each(|amount| total.add(amount));
            (client, server, total)
        });
        let mut report = VolumeReport {
            first_hour,
            last_hour,
            talkers: ranked(edges),
            changes: self.changes(last_hour),
        };
        report.talkers.truncate(most);
        report.changes.truncate(most);
        Some(report)
    }

    /// Returns edges whose volume changed suddenly in the last two hours, the largest change first. The last hour may
    /// not be over, so in it only a rise is considered.
    fn changes(&self, last: i64) -> Vec<VolumeChange> {
        let mut found: Vec<VolumeChange> = Vec::new();
        for (edge, hours) in &self.by_edge {
            // The hours before the first one of an edge do not count as zero volume: a new edge is reported
            // elsewhere.
            let since = hours.keys().next().copied().unwrap_or(last);
            let judged = [(last, true), (last - 1, false)].into_iter();
            let mut changes = judged.filter_map(|(hour, only_more)| {
                let (usual, now, kind) = sudden(hours, since, hour)?;
                (now > usual || !only_more).then(|| VolumeChange {
                    edge: edge.clone(),
                    hour,
                    usual,
                    now,
                    in_bytes: kind == 0,
                })
            });
            found.extend(changes.next());
        }
        found.sort_by(|a, b| {
            let size = |one: &VolumeChange| std::cmp::Reverse(one.now.abs_diff(one.usual));
            (size(a), &a.edge).cmp(&(size(b), &b.edge))
        });
        found
    }
}

/// Returns the usual volume, the volume of the hour, and the kind of count, if the change is sudden.
fn sudden(hours: &BTreeMap<i64, Amount>, since: i64, judged: i64) -> Option<(u64, u64, usize)> {
    if judged - since < LEAST_HOURS {
        return None;
    }
    let of = |hour: i64| {
        let amount = hours.get(&hour).copied().unwrap_or_default();
        [amount.bytes(), amount.connections]
    };
    let of_kind = |kind: usize| {
        let usual = median((since..judged).map(|hour| of(hour)[kind]));
        (usual, of(judged)[kind], kind)
    };
    [0, 1].map(of_kind).into_iter().find(|(usual, now, kind)| {
        let (low, high) = (usual.min(now), usual.max(now));
        *high >= LEAST[*kind] && high / FACTOR >= *low.max(&1)
    })
}

/// Returns the median; of an even number of values the lower middle one, and 0 of none.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut all: Vec<u64> = values.collect();
    all.sort_unstable();
    let middle = all.len().saturating_sub(1) / 2;
    all.get(middle).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::workload;
    use super::*;
    use nanoseg_graph::Edge;
    use nanoseg_net::Protocol;

    fn peer(name: &str) -> Peer {
        Peer::Workload(workload(name, "x").id)
    }

    fn key(client: &str, server: &str) -> EdgeKey {
        (peer(client), peer(server), Protocol::Tcp, 80)
    }

    #[test]
    fn bytes_that_one_end_sends_are_received_by_the_other() {
        let mut graph = Graph::default();
        for (client, server, up, down) in
            [("shop/a", "shop/b", 10, 1000), ("shop/c", "shop/b", 1, 2)]
        {
            let mut edge = Edge::new(Protocol::Tcp, 80);
            (edge.bytes_to_server, edge.bytes_to_client) = (up, down);
            graph.add_edge(&peer(client), &peer(server), edge);
        }
        let found: Vec<(String, u64, u64)> = talkers(&graph)
            .iter()
            .map(|one| (one.peer.to_string(), one.sent_bytes, one.received_bytes))
            .collect();
        let expected = [
            ("shop/b".to_owned(), 1002, 11),
            ("shop/a".to_owned(), 10, 1000),
            ("shop/c".to_owned(), 1, 2),
        ];
        assert_eq!(found, expected);
    }

    const MIB: u64 = 1 << 20;

    fn amount(bytes: u64, connections: u64) -> Amount {
        Amount {
            bytes_to_server: bytes / 4,
            bytes_to_client: bytes - bytes / 4,
            connections,
        }
    }

    /// An edge with these bytes from hour 100 on.
    fn volumes(bytes: &[u64]) -> Volumes {
        let mut volumes = Volumes::default();
        for (hour, bytes) in (100..).zip(bytes) {
            volumes.add(&key("shop/a", "shop/b"), hour, amount(*bytes, 1));
        }
        volumes
    }

    fn changes(bytes: &[u64]) -> Vec<(u64, u64)> {
        let report = volumes(bytes).report(usize::MAX);
        let found = report.map_or(Vec::new(), |report| report.changes);
        found.iter().map(|one| (one.usual, one.now)).collect()
    }

    #[test]
    fn a_tenfold_rise_or_fall_is_sudden() {
        let then = |hours: &[u64]| changes(&[[MIB; 6].as_slice(), hours].concat());
        assert_eq!(then(&[10 * MIB]), [(MIB, 10 * MIB)]);
        assert_eq!(then(&[9 * MIB]), []);
        assert_eq!(then(&[10 * MIB, MIB]), [(MIB, 10 * MIB)]);
        assert_eq!(then(&[MIB / 10, MIB]), [(MIB, MIB / 10)]);
        assert_eq!(then(&[0, MIB]), [(MIB, 0)]);
        // One hour later it is no longer reported.
        assert_eq!(then(&[10 * MIB, MIB, MIB]), []);
        // One busy hour among many does not change the median.
        assert_eq!(changes(&[MIB, 90 * MIB, MIB, MIB, MIB, MIB, MIB]), []);
    }

    #[test]
    fn little_traffic_or_little_history_gives_no_change() {
        assert_eq!(changes(&[1, 1, 1, 1, 1, 1, MIB - 1]), []);
        assert_eq!(changes(&[MIB, MIB, MIB, MIB, MIB, 100 * MIB]), []);
        assert_eq!(changes(&[]), []);
    }

    #[test]
    fn the_last_hour_may_not_be_over_so_a_fall_in_it_is_ignored() {
        assert_eq!(changes(&[MIB, MIB, MIB, MIB, MIB, MIB, MIB, 0]), []);
        assert_eq!(changes(&[MIB, MIB, MIB, MIB, MIB, MIB, 0, 0]), [(MIB, 0)]);
    }

    #[test]
    fn many_more_connections_are_a_change_even_with_few_bytes() {
        let mut volumes = Volumes::default();
        for hour in 0..7 {
            let connections = if hour == 6 { 500 } else { 2 };
            volumes.add(&key("shop/a", "shop/b"), hour, amount(10, connections));
        }
        let found = volumes.report(usize::MAX).expect("volume").changes;
        assert_eq!(
            (found[0].usual, found[0].now, found[0].in_bytes),
            (2, 500, false)
        );
        assert_eq!(
            found[0].finding().message,
            "had 500 connections in its last hour, and usually has 2"
        );
    }

    #[test]
    fn a_report_covers_the_kept_hours_and_is_read_back_unchanged() {
        let mut volumes = volumes(&[MIB, MIB, MIB, MIB, MIB, MIB, MIB, 20 * MIB]);
        volumes.add(&key("shop/c", "shop/b"), 100, amount(4, 1));
        let whole = volumes.report(1).expect("volume");
        assert_eq!((whole.first_hour, whole.last_hour), (100, 107));
        let busiest = Talker {
            peer: peer("shop/b"),
            sent_bytes: 27 * MIB / 4 * 3 + 3,
            received_bytes: 27 * MIB / 4 + 1,
            connections: 9,
        };
        assert_eq!(whole.talkers, [busiest]);
        assert_eq!(whole.changes.len(), 1);
        let written = serde_json::to_string(&whole).expect("JSON");
        assert_eq!(
            serde_json::from_str::<VolumeReport>(&written).expect("a report"),
            whole
        );
        volumes.forget_before(107);
        let rest = volumes.report(9).expect("volume");
        assert_eq!((rest.first_hour, rest.talkers.len()), (107, 2));
        volumes.forget_before(108);
        assert_eq!(volumes.report(9), None);
    }
}

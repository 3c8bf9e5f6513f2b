//! Collects the flow records of a live source for one window, in bounded space.

use super::{ConnectionReport, ConnectionSink, FlowRecord, Loss, RecordBuilder, ScanSummary};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Bounds of a [`Collector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectorLimits {
    /// Records held at once, about 250 bytes each.
    pub max_records: usize,
    /// Failed targets recorded one by one, per client; more are summed up.
    pub max_failed_targets: usize,
    /// Edges remembered as known to the receiver, 16 bytes each.
    pub max_known_edges: usize,
}

impl Default for CollectorLimits {
    /// 16 MiB at most; a port scan is plain after 256 targets.
    fn default() -> Self {
        CollectorLimits {
            max_records: 1 << 16,
            max_failed_targets: 256,
            max_known_edges: 1 << 16,
        }
    }
}

/// How long failed targets of a client are counted together, in nanoseconds.
const FAILURE_PERIOD: i64 = 600 * SECOND;

/// Connections that began within the same period of this many seconds are one record, unless an address
/// may have changed its owner in between.
const MERGE_SECONDS: i64 = 10;
/// Address changes remembered; more within [`MERGE_SECONDS`] do not happen on one node.
const MAX_ADDRESS_CHANGES: usize = 1024;

/// An edge as a node knows it: client, server, port, protocol and verdict.
type EdgeKey = (IpAddr, IpAddr, u16, Protocol, super::Verdict);

/// Collects [`ConnectionReport`]s into flow records.
#[derive(Debug)]
pub struct Collector {
    records: RecordBuilder,
    limits: CollectorLimits,
    known_edges: FxHashSet<EdgeKey>,
    new_edges: bool,
    /// The latest times at which an address may have changed its owner, in order.
    address_changes: VecDeque<Timestamp>,
    /// Where counting failed targets began.
    failures_since: Timestamp,
    losses: BTreeMap<Loss, u64>,
}

impl Collector {
    /// An empty collector.
    pub fn new(limits: CollectorLimits) -> Self {
        Collector {
            records: RecordBuilder::new(limits.max_failed_targets),
            limits,
            known_edges: FxHashSet::default(),
            new_edges: false,
            address_changes: VecDeque::new(),
            failures_since: Timestamp::MIN,
            losses: BTreeMap::new(),
        }
    }

    /// Records that an address may have a new owner from `at` on: connections that begin later go to other
    /// records.
    pub fn address_change(&mut self, at: Timestamp) {
        if self.address_changes.len() >= MAX_ADDRESS_CHANGES {
            self.address_changes.pop_front();
        }
        self.address_changes.push_back(at);
    }

    /// Distinguishes connections that began at `first` from those of an address's other owners: the period
    /// in which they began, and the number of address changes shortly before.
    fn part(&self, first: Timestamp) -> [u32; 2] {
        let began = first.nanos().div_euclid(MERGE_SECONDS * SECOND);
        let address_changes = self
            .address_changes
            .iter()
            .rev()
            .take_while(|cut| cut.nanos().div_euclid(MERGE_SECONDS * SECOND) >= began);
        [
            began as u32,
            address_changes.filter(|cut| **cut <= first).count() as u32,
        ]
    }

    /// Returns true if an edge is among the records that is new: the records should not wait for the end of
    /// the window.
    pub fn has_new_edges(&self) -> bool {
        self.new_edges
    }

    /// Returns true if the records should be taken before the end of the window, for lack of room.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limits.max_records / 8 * 7
    }

    /// The number of records to take.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns true if there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.losses.is_empty()
    }

    /// Removes and returns what has been collected.
    pub fn take(&mut self) -> (Vec<FlowRecord>, Vec<ScanSummary>, BTreeMap<Loss, u64>) {
        self.new_edges = false;
        let (records, scans) = self.records.drain();
        (records, scans, std::mem::take(&mut self.losses))
    }

    /// Records that something was lost.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        if count > 0 {
            *self.losses.entry(loss).or_default() += count;
        }
    }
}

impl ConnectionSink for Collector {
    fn report(&mut self, connection: &ConnectionReport) {
        if connection.last.since(self.failures_since) > FAILURE_PERIOD {
            self.failures_since = connection.last;
            self.records.forget_failures();
        }
        let (client, server) = (connection.client.ip(), connection.server);
        let edge = (
            client,
            server.ip(),
            server.port(),
            connection.protocol,
            connection.verdict,
        );
        if !self.known_edges.contains(&edge) {
            if self.known_edges.len() >= self.limits.max_known_edges {
                self.known_edges.clear();
            }
            self.known_edges.insert(edge);
            self.new_edges = true;
        }
        let mut report = ConnectionReport {
            epochs: self.part(connection.first),
            ..connection.clone()
        };
        if self.records.len() >= self.limits.max_records && report.mid_stream {
            report.mid_stream = false;
            self.lose(Loss::ClientPortMerged, 1);
        }
        if self.records.len() >= 2 * self.limits.max_records {
            self.lose(Loss::RecordDropped, 1);
            return;
        }
        self.records.report(&report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActivityWindows, Aggregate, NoListeners, Observations, Opening, Source, Verdict};

    /// A connection from 10.0.0.1:`port` to 10.0.0.2:53 that began after so many milliseconds.
    fn udp(port: u16, began: i64) -> ConnectionReport {
        let first = Timestamp::from_secs(1_700_000_000).plus_nanos(began * 1_000_000);
        ConnectionReport {
            client: std::net::SocketAddr::new([10, 0, 0, 1].into(), port),
            server: "10.0.0.2:53".parse().unwrap(),
            protocol: Protocol::Udp,
            vlan: 0,
            via: None,
            seen_as: None,
            verdict: Verdict::Established,
            opening: Opening::FirstPacket,
            counted: false,
            labels: None,
            mid_stream: false,
            datagrams: 1,
            bytes_to_server: 10,
            bytes_to_client: 10,
            first,
            last: first,
            windows: ActivityWindows::at(first),
            epochs: [0; 2],
        }
    }

    fn firsts(collector: &mut Collector) -> Vec<i64> {
        let start = Timestamp::from_secs(1_700_000_000);
        let records = collector.take().0.into_iter();
        records
            .map(|record| record.first.since(start) / 1_000_000)
            .collect()
    }

    #[test]
    fn connections_are_kept_apart_by_cuts_between_their_beginnings() {
        let mut collector = Collector::new(CollectorLimits::default());
        collector.report(&udp(1, 3000));
        collector.report(&udp(2, 4000));
        collector.address_change(Timestamp::from_secs(1_700_000_005));
        collector.report(&udp(3, 8000));
        // Reported late: it began before.
        collector.report(&udp(4, 2000));
        assert_eq!(firsts(&mut collector), [2000, 8000]);
        collector.report(&udp(5, 9000));
        collector.report(&udp(6, 12_000));
        assert_eq!(firsts(&mut collector), [9000, 12_000], "ten seconds");
    }

    /// The connections in the end, of records that an agent found when it was started.
    fn counted(begun: &[u16], found: &[u16]) -> u64 {
        let mut collector = Collector::new(CollectorLimits::default());
        for port in begun {
            collector.report(&udp(*port, 0));
        }
        for port in found {
            collector.report(&ConnectionReport {
                mid_stream: true,
                ..udp(*port, 60_000)
            });
        }
        let mut aggregate = Aggregate::default();
        let records = collector.take().0.into_iter();
        aggregate.add(
            &"node".into(),
            Observations {
                records: records.map(|r| (Source::Conntrack, r)).collect(),
                ..Observations::default()
            },
        );
        let result = aggregate.into_result(&NoListeners, &Default::default(), 100);
        result.records.iter().map(|r| r.connections).sum()
    }

    #[test]
    fn what_is_found_again_is_not_counted_again() {
        assert_eq!(counted(&[40001, 40002], &[]), 2);
        assert_eq!(counted(&[40001, 40002], &[40001, 40002]), 2);
        assert_eq!(counted(&[], &[40001, 40002, 40003]), 3);
        assert_eq!(counted(&[], &[40001, 40001]), 1);
    }
}

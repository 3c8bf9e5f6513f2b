//! The observations of all observers together. Batches give the same result in any order and however
//! often each is applied.

use super::bounds::set_aside;
use super::dedup::deduplicate;
use super::{
    AddressEpochs, FlowBatch, FlowCounters, FlowRecord, FlowResult, Instance, Listeners, Loss,
    NameTable, NodeAddresses, Observations, Observed, Observer, Observers, OtherKind, OtherTraffic,
    RecordBuilder, RecordIdentity, ScanSummary,
};
use nanoseg_net::{TimeSpans, Timestamp};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A set of sequence numbers, kept as intervals: small, since in the end numbers come without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceSet {
    /// First → last, apart from each other.
    intervals: BTreeMap<u64, u64>,
}

impl SequenceSet {
    /// Adds first..=last. Returns false and changes nothing if one of them is there already.
    pub fn insert(&mut self, first: u64, last: u64) -> bool {
        let before = self.intervals.range(..=last).next_back();
        if first > last || before.is_some_and(|(_, end)| *end >= first) {
            return false;
        }
        let (mut first, mut last) = (first, last);
        if let Some((start, end)) = self.intervals.range(..first).next_back()
            && end.checked_add(1) == Some(first)
        {
            first = *start;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(end) = self.intervals.remove(&next)
        {
            last = end;
        }
        self.intervals.insert(first, last);
        true
    }

    /// The intervals, in order.
    pub fn intervals(&self) -> impl Iterator<Item = (u64, u64)> {
        self.intervals.iter().map(|(first, last)| (*first, *last))
    }
}

/// Whether a batch changed the aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    New,
    /// It had been applied before.
    Duplicate,
}

/// Flow records of all observers, with scans, DNS names, other traffic and losses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// By node and run: an agent speaks for its node only, so it cannot use up the numbers of another node's run.
    applied: BTreeMap<(Arc<str>, Instance), SequenceSet>,
    records: BTreeMap<(Observer, RecordIdentity), FlowRecord>,
    /// By the node that tells of it, and by client.
    scans: BTreeMap<(Arc<str>, Option<IpAddr>), ScanSummary>,
    names: NameTable,
    other: BTreeMap<(IpAddr, IpAddr, OtherKind), u64>,
    losses: BTreeMap<Loss, u64>,
    /// When each node's agent observed, by the batches that it sent.
    views: BTreeMap<Arc<str>, TimeSpans>,
    /// The addresses that each node's agent told of its node.
    node_addresses: NodeAddresses,
}

impl Aggregate {
    /// Applies a batch, once for its node and run (rule: batch-counts-once).
    pub fn apply(&mut self, batch: FlowBatch) -> Applied {
        if !self.mark_applied(&batch.node, batch.instance, batch.sequence) {
            return Applied::Duplicate;
        }
        self.add_view(&batch.node, batch.span);
        let told = &batch.seen.node_addresses;
        self.add_node_addresses(&batch.node, batch.span.1, told);
        self.add(&batch.node, batch.seen);
        Applied::New
    }

    /// Notes that the agent of `node` observed during `span`, whatever it saw.
    pub fn add_view(&mut self, node: &Arc<str>, (first, last): (Timestamp, Timestamp)) {
        // A clock that went back makes no view.
        if first <= last {
            let view = self.views.entry(node.clone()).or_default();
            view.insert(first, last);
        }
    }

    /// Notes which addresses the agent of `node` told of its node.
    pub fn add_node_addresses(
        &mut self,
        node: &Arc<str>,
        at: Timestamp,
        addresses: &BTreeSet<IpAddr>,
    ) {
        self.node_addresses.note(node, at, addresses);
    }

    /// Puts what is stored in the place of what agents told of their nodes.
    pub fn take_node_addresses(&mut self, stored: NodeAddresses) {
        self.node_addresses = stored;
    }

    /// The addresses that each node's agent told of its node.
    pub fn node_addresses(&self) -> &NodeAddresses {
        &self.node_addresses
    }

    /// Forgets when agents observed.
    pub fn forget_views(&mut self) {
        self.views.clear();
    }

    /// When each node's agent observed.
    pub fn views(&self) -> &BTreeMap<Arc<str>, TimeSpans> {
        &self.views
    }

    /// Adds what was seen on `node` without checking whether it was added before.
    pub fn add(&mut self, node: &Arc<str>, seen: Observations) {
        for (source, record) in seen.records {
            let node = node.clone();
            self.add_record(Observed {
                observer: Observer { node, source },
                record,
            });
        }
        for scan in seen.scans {
            self.add_scan(node, scan);
        }
        for (address, entry) in seen.names {
            self.names.add(address, entry);
        }
        for traffic in seen.other {
            let key = (traffic.source, traffic.destination, traffic.kind);
            let packets = self.other.entry(key).or_default();
            *packets = packets.saturating_add(traffic.packets);
        }
        let lost = seen.losses.into_iter().filter(|(_, count)| *count > 0);
        for (loss, count) in lost {
            let known = self.losses.entry(loss).or_default();
            *known = known.saturating_add(count);
        }
    }

    /// Adds all of another one: of other observers, or read from elsewhere. Batches that both have
    /// applied count twice.
    pub fn merge(&mut self, other: Aggregate) {
        for (run, sequences) in other.applied {
            let applied = self.applied.entry(run).or_default();
            for (first, last) in sequences.intervals() {
                applied.insert(first, last);
            }
        }
        for ((observer, _), record) in other.records {
            self.add_record(Observed { observer, record });
        }
        for ((node, _), scan) in other.scans {
            self.add_scan(&node, scan);
        }
        for (address, entry) in other.names.listing() {
            self.names.add(address, entry.clone());
        }
        for (key, packets) in other.other {
            *self.other.entry(key).or_default() += packets;
        }
        for (loss, count) in other.losses {
            *self.losses.entry(loss).or_default() += count;
        }
        for (node, times) in other.views {
            self.views.entry(node).or_default().merge(&times);
        }
        self.node_addresses.merge(&other.node_addresses);
    }

    /// Adds one observer's record.
    pub fn add_record(&mut self, observed: Observed) {
        let key = (observed.observer, observed.record.identity());
        match self.records.get_mut(&key) {
            Some(known) => known.absorb(&observed.record),
            None => {
                self.records.insert(key, observed.record);
            }
        }
    }

    /// Removes all records and returns them.
    pub(super) fn take_records(&mut self) -> impl Iterator<Item = Observed> + use<> {
        let records = std::mem::take(&mut self.records).into_iter();
        records.map(|((observer, _), record)| Observed { observer, record })
    }

    /// Forgets the records of hours (since the Unix epoch) for which `goes` returns true.
    pub fn forget_hours(&mut self, goes: impl Fn(i64) -> bool) {
        self.records.retain(|_, record| !goes(record.hour()));
    }

    /// Adds what one node's agent tells of a client that failed too often to keep each connection.
    pub fn add_scan(&mut self, node: &Arc<str>, scan: ScanSummary) {
        let key = (node.clone(), scan.client);
        match self.scans.get_mut(&key) {
            Some(known) => known.absorb(scan),
            None => {
                self.scans.insert(key, scan.in_order());
            }
        }
    }

    /// Marks these numbers of a run of a node's agent as applied: a store does so that has their content already.
    /// Returns false if one of them was marked before.
    pub fn mark_applied(
        &mut self,
        node: &Arc<str>,
        instance: Instance,
        (first, last): (u64, u64),
    ) -> bool {
        self.applied
            .entry((node.clone(), instance))
            .or_default()
            .insert(first, last)
    }

    /// Which numbers of which runs of which nodes' agents have been applied.
    pub fn applied(&self) -> &BTreeMap<(Arc<str>, Instance), SequenceSet> {
        &self.applied
    }

    /// The first and the last time of any record, as far as they are believed.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.records.values();
        let first = first.map(FlowRecord::believed_first).min()?;
        let last = self.records.values().map(|record| record.last).max()?;
        Some((first, last))
    }

    /// Forgets names that no answer has held since `before`.
    pub fn forget_names(&mut self, before: Timestamp) {
        self.names.forget(before);
    }

    /// Names under which addresses were looked up.
    pub fn names(&self) -> &NameTable {
        &self.names
    }

    /// What was lost on the way, by reason.
    pub fn losses(&self) -> &BTreeMap<Loss, u64> {
        &self.losses
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns true if it has neither records nor scans.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.scans.is_empty()
    }

    /// All records, in order of observer and identity.
    pub fn records(&self) -> impl Iterator<Item = (&Observer, &FlowRecord)> {
        self.records.iter().map(|((observer, _), r)| (observer, r))
    }

    /// Everything that follows once listeners and owners of addresses are known: the form that captures
    /// give too. `max_failed_targets` bounds the failed targets that each client has records of.
    pub fn into_result(
        self,
        listeners: &impl Listeners,
        epochs: &AddressEpochs,
        max_failed_targets: usize,
    ) -> FlowResult {
        let other = self.other_traffic().collect();
        let records = self.records.into_iter();
        let observed = records.map(|((observer, _), record)| Observed { observer, record });
        let mut observed = observed.collect();
        let out_of_bounds = set_aside(&mut observed, listeners, &self.views);
        let (records, scans) = count_once(observed, listeners, epochs, max_failed_targets);
        FlowResult {
            out_of_bounds,
            views: self.views.clone(),
            counters: counters(&records),
            records,
            scans: merge_scans(self.scans, scans),
            names: self.names,
            other,
            other_overflow: self.losses.get(&Loss::OtherDropped).copied().unwrap_or(0),
        }
    }

    /// As [`Aggregate::into_result`], from a copy of the records: more can be added afterwards.
    pub fn result(
        &self,
        listeners: &impl Listeners,
        epochs: &AddressEpochs,
        max_failed_targets: usize,
    ) -> FlowResult {
        let observed = self.records.iter().map(|((observer, _), record)| Observed {
            observer: observer.clone(),
            record: record.clone(),
        });
        let mut observed = observed.collect();
        let out_of_bounds = set_aside(&mut observed, listeners, &self.views);
        let (records, scans) = count_once(observed, listeners, epochs, max_failed_targets);
        FlowResult {
            out_of_bounds,
            views: self.views.clone(),
            counters: counters(&records),
            records,
            scans: merge_scans(self.scans.clone(), scans),
            names: self.names.clone(),
            other: self.other_traffic().collect(),
            other_overflow: self.losses.get(&Loss::OtherDropped).copied().unwrap_or(0),
        }
    }

    fn other_traffic(&self) -> impl Iterator<Item = OtherTraffic> {
        let other = self.other.iter();
        other.map(|((source, destination, kind), packets)| OtherTraffic {
            source: *source,
            destination: *destination,
            kind: *kind,
            packets: *packets,
        })
    }

    /// Only the records that began at `since` or later, with all names.
    pub fn since(&self, since: Timestamp) -> Aggregate {
        let records = self.records.iter();
        Aggregate {
            records: records
                .filter(|(_, record)| record.first >= since)
                .map(|(key, record)| (key.clone(), record.clone()))
                .collect(),
            names: self.names.clone(),
            ..Aggregate::default()
        }
    }

    /// Only the records from each of these clients to its server, as these observers have them, with the
    /// names of those servers.
    pub fn between<'o>(
        &self,
        ends: impl IntoIterator<Item = (IpAddr, IpAddr, &'o Observer)>,
    ) -> Aggregate {
        let mut some = Aggregate::default();
        let mut servers = BTreeSet::new();
        for (client, server, observer) in ends {
            servers.insert(server);
            let from = (
                observer.clone(),
                RecordIdentity::first_between(client, server),
            );
            let records = self
                .records
                .range(from..)
                .take_while(|((seen, identity), _)| {
                    (seen, identity.client, identity.server) == (observer, client, server)
                });
            let records = records.map(|(key, record)| (key.clone(), record.clone()));
            some.records.extend(records);
        }
        some.names = self.names.only(servers);
        some
    }

    /// Removes the records that began before the hour `end` and returns them by hour (hours since the Unix
    /// epoch), each with a copy of all names.
    pub fn take_hours(&mut self, end: i64) -> BTreeMap<i64, Aggregate> {
        let mut hours: BTreeMap<i64, Aggregate> = BTreeMap::new();
        for (key, record) in std::mem::take(&mut self.records) {
            if record.hour() < end {
                let hour = hours.entry(record.hour()).or_insert_with(|| Aggregate {
                    names: self.names.clone(),
                    ..Aggregate::default()
                });
                hour.records.insert(key, record);
            } else {
                self.records.insert(key, record);
            }
        }
        hours
    }
}

/// Each connection once, however many observers saw it.
fn count_once(
    observed: Vec<Observed>,
    listeners: &impl Listeners,
    epochs: &AddressEpochs,
    max_failed_targets: usize,
) -> (Vec<FlowRecord>, Vec<(Observers, ScanSummary)>) {
    let mut records = RecordBuilder::new(max_failed_targets);
    for record in deduplicate(observed, listeners, epochs) {
        let at = [record.client, record.server].map(|a| epochs.epoch(a, record.first));
        records.add(&record, at);
    }
    records.finish()
}

fn counters(records: &[FlowRecord]) -> FlowCounters {
    let connections = records.iter().map(|record| record.connections);
    FlowCounters {
        connections: connections.fold(0, u64::saturating_add),
        ..FlowCounters::default()
    }
}

/// The summaries of both, in order of client and of who tells of it.
fn merge_scans(
    known: BTreeMap<(Arc<str>, Option<IpAddr>), ScanSummary>,
    more: Vec<(Observers, ScanSummary)>,
) -> Vec<(Observers, ScanSummary)> {
    let known = known.into_iter();
    let known = known.map(|((node, _), scan)| (Observers::one(&node), scan));
    let mut all: BTreeMap<(Option<IpAddr>, Observers), ScanSummary> = BTreeMap::new();
    for (observers, scan) in known.chain(more) {
        match all.entry((scan.client, observers)) {
            Entry::Occupied(known) => known.into_mut().absorb(scan),
            Entry::Vacant(place) => {
                place.insert(scan.in_order());
            }
        }
    }
    let all = all.into_iter();
    all.map(|((_, observers), scan)| (observers, scan))
        .collect()
}

#[cfg(test)]
mod tests;

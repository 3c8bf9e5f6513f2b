//! Makes batches that were never sent smaller: the cheapest loss first, each counted
//! (rule: bounded-memory, loss-is-counted).

use nanoseg_flow::{
    FlowBatch, FlowRecord, Loss, MergedObservations, Observations, ScanSummary, Source, Verdict,
};
use std::collections::BTreeMap;

/// How far a batch was reduced. Each reduction includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reduction {
    /// Not at all.
    Whole,
    /// Batches are merged, and records of the same identity too: a receiver sees no difference.
    Merged,
    /// The client's ports of connections without a handshake are lost: a connection that is seen again counts again.
    PortsLost,
    /// The times when connections began are lost, except for the first: all are attributed to the pods that had the
    /// addresses then.
    TimesLost,
    /// Connections that failed are lost.
    FailuresLost,
    /// Everything is lost except the count of losses.
    Emptied,
}

impl Reduction {
    pub const ALL: [Reduction; 5] = [
        Reduction::Merged,
        Reduction::PortsLost,
        Reduction::TimesLost,
        Reduction::FailuresLost,
        Reduction::Emptied,
    ];
}

/// Merges batches of one instance that follow each other into one. Returns it with what was lost by that, which the batch
/// reports too. `None` if there are no batches.
pub fn condense(
    batches: Vec<FlowBatch>,
    reduction: Reduction,
) -> Option<(FlowBatch, BTreeMap<Loss, u64>)> {
    let (first, last) = (batches.first()?, batches.last()?);
    let mut one = FlowBatch {
        node: first.node.clone(),
        instance: first.instance,
        sequence: (first.sequence.0, last.sequence.1),
        span: (
            batches.iter().map(|batch| batch.span.0).min()?,
            batches.iter().map(|batch| batch.span.1).max()?,
        ),
        seen: Observations::default(),
    };
    let mut lost = Observations::default();
    let mut merged = MergedObservations::default();
    for batch in batches {
        lost.lose(Loss::CountersMerged, merged.add(batch.seen));
    }
    let mut seen = merged.into_observations();
    if reduction >= Reduction::PortsLost {
        lose_ports(&mut seen, &mut lost);
    }
    if reduction >= Reduction::TimesLost {
        lose_times(&mut seen, &mut lost);
        seen.scans = add_up(seen.scans);
    }
    if reduction >= Reduction::FailuresLost {
        let before = seen.records.len();
        seen.records.retain(|(_, record)| !has_failed(record));
        lost.lose(Loss::RecordDropped, (before - seen.records.len()) as u64);
    }
    if reduction >= Reduction::Emptied {
        empty(&mut seen, &mut lost);
    }
    for (loss, count) in &lost.losses {
        seen.lose(*loss, *count);
    }
    one.seen = seen;
    Some((one, lost.losses))
}

fn has_failed(record: &FlowRecord) -> bool {
    matches!(
        record.verdict,
        Verdict::Unanswered | Verdict::Refused | Verdict::Dropped
    )
}

/// Merges connections without a handshake into one record for each pair of ends.
fn lose_ports(seen: &mut Observations, lost: &mut Observations) {
    let mut merged = MergedObservations::default();
    for (source, mut record) in std::mem::take(&mut seen.records) {
        let had_port = record.client_port.take().is_some();
        lost.lose(Loss::ClientPortMerged, u64::from(had_port));
        merged.add_record(source, record);
    }
    seen.records = merged.into_observations().records;
}

/// Merges records that differ in time only. The merged record begins when the first one did.
fn lose_times(seen: &mut Observations, lost: &mut Observations) {
    let mut kept: BTreeMap<_, (Source, FlowRecord)> = BTreeMap::new();
    for (source, record) in std::mem::take(&mut seen.records) {
        let mut key = (source, record.identity());
        key.1.began = 0;
        match kept.get_mut(&key) {
            Some((_, known)) => {
                known.absorb(&record);
                lost.lose(Loss::CountersMerged, 1);
            }
            None => {
                kept.insert(key, (source, record));
            }
        }
    }
    seen.records = kept.into_values().collect();
}

/// Merges scan summaries to one for each client, as the receiver would.
fn add_up(scans: Vec<ScanSummary>) -> Vec<ScanSummary> {
    let mut sums: BTreeMap<_, ScanSummary> = BTreeMap::new();
    for scan in scans {
        let Some(sum) = sums.get_mut(&scan.client) else {
            sums.insert(scan.client, scan);
            continue;
        };
        sum.connections = sum.connections.saturating_add(scan.connections);
        sum.addresses = sum.addresses.max(scan.addresses);
        sum.ports = sum.ports.max(scan.ports);
        sum.samples.extend(scan.samples);
        sum.samples.sort();
        sum.samples.dedup();
        sum.samples.truncate(16);
        sum.first = sum.first.min(scan.first);
        sum.last = sum.last.max(scan.last);
    }
    sums.into_values().collect()
}

fn empty(seen: &mut Observations, lost: &mut Observations) {
    let gone = std::mem::take(seen);
    let records = gone.records.len() + gone.scans.len();
    lost.lose(Loss::RecordDropped, records as u64);
    lost.lose(Loss::NameDropped, gone.names.len() as u64);
    let packets = gone.other.iter().map(|traffic| traffic.packets);
    lost.lose(Loss::OtherDropped, packets.fold(0, u64::saturating_add));
    seen.losses = gone.losses;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{batch, record};
    use nanoseg_flow::Aggregate;

    fn apply(batches: impl IntoIterator<Item = FlowBatch>) -> Aggregate {
        let mut all = Aggregate::default();
        for batch in batches {
            all.apply(batch);
        }
        all
    }

    fn records_of(all: &Aggregate) -> Vec<FlowRecord> {
        all.records().map(|(_, record)| record.clone()).collect()
    }

    fn samples() -> Vec<FlowBatch> {
        let with_port = |at, port| FlowRecord {
            client_port: Some(port),
            ..record(1, 80, at)
        };
        let failed = FlowRecord {
            verdict: Verdict::Refused,
            ..record(3, 81, 0)
        };
        vec![
            batch(1, vec![record(1, 80, 0), with_port(0, 4001), failed]),
            batch(2, vec![record(1, 80, 0), with_port(0, 4001)]),
            batch(3, vec![record(1, 80, 60), with_port(0, 4002)]),
        ]
    }

    #[test]
    fn merging_by_identity_makes_no_difference_to_a_receiver() {
        let (one, lost) = condense(samples(), Reduction::Merged).expect("a batch");
        assert_eq!(one.sequence, (1, 3));
        assert_eq!(lost[&Loss::CountersMerged], 2);
        assert_eq!(records_of(&apply([one])), records_of(&apply(samples())));
    }

    #[test]
    fn each_reduction_loses_what_it_documents_and_counts_it() {
        let records = |reduction| {
            let (one, lost) = condense(samples(), reduction).expect("a batch");
            assert_eq!(one.seen.losses, lost, "the batch reports it");
            (one.seen.records.len(), lost)
        };
        assert_eq!(records(Reduction::Merged).0, 5);
        let (left, lost) = records(Reduction::PortsLost);
        assert_eq!((left, lost[&Loss::ClientPortMerged]), (3, 2));
        let (left, lost) = records(Reduction::TimesLost);
        assert_eq!((left, lost[&Loss::CountersMerged]), (2, 3));
        let (left, lost) = records(Reduction::FailuresLost);
        assert_eq!((left, lost[&Loss::RecordDropped]), (1, 1));
        let (left, lost) = records(Reduction::Emptied);
        assert_eq!((left, lost[&Loss::RecordDropped]), (0, 2));
    }

    #[test]
    fn connections_are_kept_until_records_are_dropped() {
        for reduction in [
            Reduction::Merged,
            Reduction::PortsLost,
            Reduction::TimesLost,
        ] {
            let (one, _) = condense(samples(), reduction).expect("a batch");
            let connections: u64 = one.seen.records.iter().map(|(_, r)| r.connections).sum();
            assert_eq!(connections, 6, "{reduction:?}");
        }
    }
}

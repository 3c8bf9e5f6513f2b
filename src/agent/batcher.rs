//! Makes batches from the observations of all sources: numbered, in order, bounded, each identity once.

use crate::flow::{FlowBatch, Instance, Loss, MergedObservations, ObservationLimits, Observations};
use crate::net::{SECOND, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// After so long without observations there is an empty batch, in nanoseconds.
const SILENCE: i64 = 30 * SECOND;

/// Collects what sources hand over until the next batch is due.
#[derive(Debug)]
pub struct Batcher {
    node: Arc<str>,
    instance: Instance,
    limits: ObservationLimits,
    /// The number of the next batch.
    sequence: u64,
    /// When the span of the next batch begins: the end of the last one's.
    from: Timestamp,
    gathered: MergedObservations,
    /// Losses that the next batch reports, and that are no reason to make one.
    losses: Observations,
    /// The addresses of the node, for every batch.
    addresses: BTreeSet<IpAddr>,
}

impl Batcher {
    /// Makes batches of `node` and this run, from number 1 on.
    pub fn new(
        node: Arc<str>,
        instance: Instance,
        limits: ObservationLimits,
        now: Timestamp,
    ) -> Self {
        Batcher {
            node,
            instance,
            limits,
            sequence: 1,
            from: now,
            gathered: MergedObservations::default(),
            losses: Observations::default(),
            addresses: BTreeSet::new(),
        }
    }

    pub fn add(&mut self, slice: Observations) {
        self.gathered.add(slice);
    }

    /// Adds a loss to the next batch, whenever that is made.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        self.losses.lose(loss, count);
    }

    /// Sets the addresses of the node.
    pub fn set_addresses(&mut self, addresses: &BTreeSet<IpAddr>) {
        if self.addresses != *addresses {
            self.addresses.clone_from(addresses);
        }
    }

    /// Returns true if what was collected fills a batch.
    pub fn is_full(&self) -> bool {
        self.gathered.len() >= self.limits.max_records
    }

    /// Returns what was collected as batches; the last one ends now. Without observations there is an empty batch
    /// after [`SILENCE`], so that the receiver knows that nothing was seen, and at the end of the run.
    pub fn take(&mut self, now: Timestamp, last_words: bool) -> Vec<FlowBatch> {
        let is_silent = self.gathered.is_empty();
        if is_silent && !last_words && now.since(self.from) < SILENCE {
            return Vec::new();
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.add(std::mem::take(&mut self.losses));
        // The node's clock may have gone back.
        let span = (self.from.min(now), now);
        self.from = now;
        let mut pieces = gathered.into_chunks(self.limits);
        if pieces.is_empty() {
            pieces.push(Observations::default());
        }
        // A few hundred bytes; the receiver may have forgotten what it was told.
        if let Some(first) = pieces.first_mut() {
            first.node_addresses.clone_from(&self.addresses);
        }
        pieces
            .into_iter()
            .map(|seen| {
                let sequence = (self.sequence, self.sequence);
                self.sequence += 1;
                FlowBatch {
                    node: self.node.clone(),
                    instance: self.instance,
                    sequence,
                    span,
                    seen,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Source;
    use crate::store::spool::testing::record;

    fn slice(source: Source, client: u32, at: i64) -> Observations {
        Observations {
            records: vec![(source, record(client, 80, at))],
            ..Observations::default()
        }
    }

    fn batcher(max_records: usize) -> Batcher {
        let limits = ObservationLimits {
            max_records,
            ..ObservationLimits::default()
        };
        Batcher::new(
            "node-1".into(),
            Instance([1; 16]),
            limits,
            Timestamp::from_secs(0),
        )
    }

    #[test]
    fn batches_are_numbered_without_gaps_and_cover_the_time_without_gaps() {
        let mut batcher = batcher(2);
        let mut all = Vec::new();
        for end in [10, 20] {
            for client in 0..3 {
                batcher.add(slice(Source::Conntrack, client, 0));
                batcher.add(slice(Source::Conntrack, client, 0));
            }
            assert!(batcher.is_full());
            all.extend(batcher.take(Timestamp::from_secs(end), false));
            assert!(batcher.gathered.is_empty());
        }
        let numbers: Vec<_> = all.iter().map(|batch| batch.sequence).collect();
        assert_eq!(numbers, [(1, 1), (2, 2), (3, 3), (4, 4)]);
        let spans: Vec<_> = all
            .iter()
            .map(|b| {
                (
                    b.span.0.nanos() / 1_000_000_000,
                    b.span.1.nanos() / 1_000_000_000,
                )
            })
            .collect();
        assert_eq!(spans, [(0, 10), (0, 10), (10, 20), (10, 20)]);
        assert_eq!(all[0].seen.records[0].1.connections, 2, "one identity");
    }

    #[test]
    fn the_order_of_slices_changes_nothing() {
        let slices = [
            slice(Source::Capture, 1, 0),
            slice(Source::Conntrack, 1, 0),
            slice(Source::Conntrack, 0, 70),
        ];
        let take = |order: [usize; 3]| {
            let mut batcher = batcher(100);
            for index in order {
                batcher.add(slices[index].clone());
            }
            batcher.take(Timestamp::from_secs(10), false)
        };
        assert_eq!(take([0, 1, 2]), take([2, 1, 0]));
        assert_eq!(take([0, 1, 2]), take([1, 2, 0]));
    }

    #[test]
    fn losses_wait_for_records_but_not_for_ever() {
        let mut batcher = batcher(100);
        batcher.lose(Loss::SpoolFailed, 2);
        assert!(batcher.take(Timestamp::from_secs(1), false).is_empty());
        batcher.add(slice(Source::Conntrack, 1, 0));
        let batches = batcher.take(Timestamp::from_secs(2), false);
        assert_eq!(batches[0].seen.losses[&Loss::SpoolFailed], 2);
        batcher.lose(Loss::SpoolFailed, 1);
        let batches = batcher.take(Timestamp::from_secs(3), true);
        assert_eq!(batches[0].seen.losses[&Loss::SpoolFailed], 1);
        assert!(batcher.take(Timestamp::from_secs(4), false).is_empty());
    }

    #[test]
    fn a_node_without_traffic_says_that_it_saw_none() {
        let mut batcher = batcher(100);
        assert!(batcher.take(Timestamp::from_secs(29), false).is_empty());
        let batches = batcher.take(Timestamp::from_secs(30), false);
        assert_eq!(batches.len(), 1);
        assert!(batches[0].seen.is_empty());
        assert_eq!(batches[0].span.1, Timestamp::from_secs(30));
        let batches = batcher.take(Timestamp::from_secs(31), true);
        assert_eq!(batches[0].span.0, Timestamp::from_secs(30), "no gap");
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_window_that_ends_before_it_begins() {
        let mut batcher = batcher(100);
        for now in [100, 50] {
            batcher.add(slice(Source::Conntrack, 1, 0));
            let batch = &batcher.take(Timestamp::from_secs(now), false)[0];
            assert!(batch.span.0 <= batch.span.1);
        }
    }
}

//! How much of what each node sent was lost lately: the learning estimate must not take it for silence
//! (rule: learning-estimate).

use crate::{Loss, Observations};
use nanoseg_net::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// For so many hours a loss counts.
const HOURS: i64 = 24;

/// Records that were taken, and records that were lost, by node and hour: a node has 25 hours at most.
#[derive(Debug, Clone, Default)]
pub struct NodeLosses {
    nodes: BTreeMap<Arc<str>, BTreeMap<i64, [u64; 2]>>,
    last: i64,
}

impl NodeLosses {
    /// Adds what a batch has and says to be lost, by the receiver's time.
    pub fn note(&mut self, node: &Arc<str>, seen: &Observations, now: Timestamp) {
        let lost = [Loss::RecordOverBudget, Loss::RecordDropped];
        let lost = lost.iter().filter_map(|loss| seen.losses.get(loss));
        let lost = lost.copied().fold(0, u64::saturating_add);
        let hour = now.hour();
        if hour > self.last {
            self.last = hour;
            for hours in self.nodes.values_mut() {
                *hours = hours.split_off(&(hour - HOURS));
            }
            self.nodes.retain(|_, hours| !hours.is_empty());
        }
        if seen.records.is_empty() && lost == 0 {
            return;
        }
        let hours = self.nodes.entry(node.clone()).or_default();
        let [taken, known] = hours.entry(hour).or_default();
        *taken = taken.saturating_add(seen.records.len() as u64);
        *known = known.saturating_add(lost);
    }

    /// The share of a node's records that was lost in the last day, 0 to 1.
    pub fn share(&self, node: &str) -> f64 {
        let hours = self.nodes.get(node).into_iter().flat_map(BTreeMap::values);
        let sum = hours.fold([0u64; 2], |[taken, lost], hour| {
            [taken.saturating_add(hour[0]), lost.saturating_add(hour[1])]
        });
        match sum {
            [_, 0] => 0.0,
            [taken, lost] => lost as f64 / taken.saturating_add(lost) as f64,
        }
    }
}

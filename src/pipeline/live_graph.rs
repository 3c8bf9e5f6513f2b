//! The graph while records keep coming: those of the last hours as they are, and what earlier ones came to.

use crate::flow::{Aggregate, Applied, FlowBatch, FlowLimits};
use crate::graph::{
    Built, Graph, GraphOptions, History, InventoryListeners, address_epochs, build_after,
    build_attempts,
};
use crate::inventory::Inventory;
use crate::net::Timestamp;

const NANOS_PER_HOUR: i64 = 3600 * 1_000_000_000;

/// Flow records and the history before them.
#[derive(Debug, Clone, Default)]
pub struct LiveGraph {
    history: History,
    hot: Aggregate,
}

impl LiveGraph {
    /// From what a store holds: the folded edges, and the records that are not folded yet.
    pub fn new(history: History, hot: Aggregate) -> Self {
        LiveGraph { history, hot }
    }

    /// Applies a batch, once.
    pub fn apply(&mut self, batch: FlowBatch) -> Applied {
        self.hot.apply(batch)
    }

    /// The graph of everything that was seen.
    pub fn build(&mut self, inventory: &Inventory, options: GraphOptions) -> Built {
        let seen = self.hot.result(
            &InventoryListeners(inventory),
            &address_epochs(inventory),
            FlowLimits::default().max_failed_targets,
        );
        build_after(&self.history, &seen, inventory, options)
    }

    /// The graph of only what began at `since` or later, as far as it is not folded: to judge what happened
    /// after an apply. What looks like a scan is in it as well.
    pub fn recent(&self, since: Timestamp, inventory: &Inventory) -> Graph {
        let seen = self.hot.since(since).result(
            &InventoryListeners(inventory),
            &address_epochs(inventory),
            FlowLimits::default().max_failed_targets,
        );
        build_attempts(&seen, inventory)
    }

    /// The first and the last time of anything that was seen.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let spans = [self.history.span(), self.hot.span()];
        let spans = spans.into_iter().flatten();
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Folds the records of whole hours before `before` into the history, hour by hour, as the store does it
    /// with those on the disk (counts of several observers agree by the hour).
    pub fn fold(&mut self, before: Timestamp, inventory: &Inventory) {
        let hour = before.nanos().div_euclid(NANOS_PER_HOUR);
        for records in self.hot.take_hours(hour).into_values() {
            self.history.merge(&History::fold(&records, inventory));
        }
    }

    /// What the folded records came to.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The records that are not folded yet.
    pub fn hot(&self) -> &Aggregate {
        &self.hot
    }
}

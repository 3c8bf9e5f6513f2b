//! The graph while records keep arriving: the records of the last hours, and the folded edges of earlier ones.
//!
//! [`LiveGraph::build`] builds it from everything, which is exact and slow; [`LiveGraph::update`] adds the records since
//! the last build, in a time that does not depend on the size of the graph.

mod ends;
#[cfg(test)]
mod tests;

use crate::finding::Finding;
use crate::flow::{Aggregate, Applied, FlowBatch, FlowConfig, FlowRecord, Observer, Observers};
use crate::graph::{
    Built, Graph, GraphOptions, History, IncrementalGraph, InventoryListeners, address_epochs,
    build_attempts, latest,
};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use ends::EndsIndex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most records that wait for an update; with more, only a full build adds them.
const MAX_PENDING: usize = 50_000;

/// Flow records and the history before them.
#[derive(Default)]
pub struct LiveGraph {
    history: History,
    hot: Aggregate,
    ends: EndsIndex,
    /// As of the last build, with all updates since.
    standing: Option<IncrementalGraph>,
    pending: Vec<FlowRecord>,
    /// True if there is something that an update cannot add.
    incomplete: bool,
}

/// What an update changed.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Workloads with an edge that is new or has another lesson, Service or verdict than before.
    pub touched: BTreeSet<WorkloadId>,
    /// All edges of these workloads, and no others.
    pub graph: Graph,
    /// Findings about these edges.
    pub findings: Vec<Finding>,
    /// False if only a build has all edges (nothing was built yet, too many records came, a direction depends on other
    /// connections, or a scan was detected).
    pub complete: bool,
}

impl LiveGraph {
    /// From the content of a store: the folded edges, and the records that are not folded yet.
    pub fn new(history: History, hot: Aggregate) -> Self {
        let mut live = LiveGraph {
            history,
            hot,
            ..LiveGraph::default()
        };
        live.index();
        live
    }

    fn index(&mut self) {
        self.ends = EndsIndex::default();
        for (observer, record) in self.hot.records() {
            self.ends.note(observer, record);
        }
    }

    /// Applies a batch, once.
    pub fn apply(&mut self, batch: FlowBatch) -> Applied {
        let (node, records) = (batch.node.clone(), batch.seen.records.clone());
        if self.hot.apply(batch) == Applied::Duplicate {
            return Applied::Duplicate;
        }
        let observers = Observers::one(&node);
        for (source, mut record) in records {
            let node = node.clone();
            record.observers.clone_from(&observers);
            self.ends.note(&Observer { node, source }, &record);
            if self.standing.is_some() && self.pending.len() < MAX_PENDING {
                self.pending.push(record);
            } else {
                self.incomplete = true;
            }
        }
        Applied::New
    }

    /// Builds the graph of all observations.
    pub fn build(&mut self, inventory: &Arc<Inventory>, options: GraphOptions) -> Built {
        let (standing, built) =
            IncrementalGraph::build(&self.history, &self.hot, inventory.clone(), options);
        self.standing = Some(standing);
        self.pending.clear();
        self.incomplete = false;
        built
    }

    /// Adds the batches since the last build to the graph, with the same inventory. Edges and lessons are exact at once,
    /// counts after the next build: see [`IncrementalGraph`].
    pub fn update(&mut self) -> Update {
        let pending = std::mem::take(&mut self.pending);
        let Some(standing) = &mut self.standing else {
            return Update::default();
        };
        let delta = standing.delta(&pending);
        self.incomplete |= delta.undecided > 0;
        if delta.edges.is_empty() {
            return Update {
                complete: !self.incomplete,
                ..Update::default()
            };
        }
        let ends = self.ends.with_explanations(&delta.ends);
        let mut change = standing.learn(&delta, &self.history, &self.hot.between(ends));
        if let Some(now) = latest(self.hot.views()) {
            change.graph.corroborate(self.hot.views(), now);
        }
        self.incomplete |= change.new_scanner;
        Update {
            touched: change.touched,
            graph: change.graph,
            findings: change.findings,
            complete: !self.incomplete,
        }
    }

    /// The graph of only the connections that began at `since` or later and are not folded, to judge the effect of an
    /// applied policy. It includes connections that look like a scan.
    pub fn recent(&self, since: Timestamp, inventory: &Inventory) -> Graph {
        let seen = self.hot.since(since).result(
            &InventoryListeners(inventory),
            &address_epochs(inventory),
            FlowConfig::default().max_failed_targets,
        );
        build_attempts(&seen, inventory)
    }

    /// The first and the last time of any observation.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let spans = [self.history.span(), self.hot.span()];
        let spans = spans.into_iter().flatten();
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Folds the records of whole hours before `before` into the history, hour by hour, as the store does it
    /// with those on the disk (counts of several observers agree by the hour).
    pub fn fold(&mut self, before: Timestamp, inventory: &Inventory) {
        for records in self.hot.take_hours(before.hour()).into_values() {
            self.history.merge(&History::fold(&records, inventory));
        }
        self.index();
    }

    /// The folded edges.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The records that are not folded yet.
    pub fn hot(&self) -> &Aggregate {
        &self.hot
    }
}

//! The graph while records keep coming: those of the last hours as they are, and what earlier ones came to.
//!
//! [`LiveGraph::build`] makes it anew from everything, which is the truth and takes its time;
//! [`LiveGraph::update`] brings what was built last up to date with what came since, in a time that does
//! not depend on how much is known.

mod ends;
#[cfg(test)]
mod tests;

use crate::finding::Finding;
use crate::flow::{Aggregate, Applied, FlowBatch, FlowConfig, FlowRecord, Observer};
use crate::graph::{
    Built, Graph, GraphOptions, History, IncrementalGraph, InventoryListeners, address_epochs,
    build_attempts,
};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use ends::EndsIndex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records that wait for an update; if more do, only a full build takes them in.
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
    /// Something is known that an update cannot take in.
    incomplete: bool,
}

/// What an update changed.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Workloads with an edge that is new or has another lesson, Service or verdict than before.
    pub touched: BTreeSet<WorkloadId>,
    /// All edges of these workloads, and no others.
    pub graph: Graph,
    /// What an operator must know of these edges.
    pub findings: Vec<Finding>,
    /// False: only a build tells all edges (nothing was built yet, too much came, a direction can be told
    /// by other connections only, or a scan was found out).
    pub complete: bool,
}

impl LiveGraph {
    /// From what a store holds: the folded edges, and the records that are not folded yet.
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
        for (source, record) in records {
            let node = node.clone();
            self.ends.note(&Observer { node, source }, &record);
            if self.standing.is_some() && self.pending.len() < MAX_PENDING {
                self.pending.push(record);
            } else {
                self.incomplete = true;
            }
        }
        Applied::New
    }

    /// The graph of everything that was seen.
    pub fn build(&mut self, inventory: &Arc<Inventory>, options: GraphOptions) -> Built {
        let (standing, built) =
            IncrementalGraph::build(&self.history, &self.hot, inventory.clone(), options);
        self.standing = Some(standing);
        self.pending.clear();
        self.incomplete = false;
        built
    }

    /// Brings the graph that was built last up to date with the batches since, by the same inventory.
    /// Edges and lessons are known at once, counts with the next build: see [`IncrementalGraph`].
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
        let change = standing.learn(&delta, &self.history, &self.hot.between(ends));
        self.incomplete |= change.new_scanner;
        Update {
            touched: change.touched,
            graph: change.graph,
            findings: change.findings,
            complete: !self.incomplete,
        }
    }

    /// The graph of only what began at `since` or later, as far as it is not folded: to judge what happened
    /// after an apply. What looks like a scan is in it as well.
    pub fn recent(&self, since: Timestamp, inventory: &Inventory) -> Graph {
        let seen = self.hot.since(since).result(
            &InventoryListeners(inventory),
            &address_epochs(inventory),
            FlowConfig::default().max_failed_targets,
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
        for records in self.hot.take_hours(before.hour()).into_values() {
            self.history.merge(&History::fold(&records, inventory));
        }
        self.index();
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

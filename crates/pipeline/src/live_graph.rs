//! The graph while records keep arriving: the records of the last hours, and the folded edges of earlier ones.
//!
//! [`LiveGraph::build`] builds it from everything, which is exact and slow; [`LiveGraph::update`] adds the records since
//! the last build, in a time that does not depend on the size of the graph.

#[cfg(test)]
mod bound_tests;
mod ends;
#[cfg(test)]
mod level_tests;
#[cfg(test)]
mod tests;

use ends::EndsIndex;
use nanoseg_finding::Finding;
use nanoseg_flow::{
    Aggregate, Applied, FlowBatch, FlowConfig, FlowRecord, NodeLosses, Observer, Observers,
};
use nanoseg_graph::{
    Built, Graph, GraphOptions, History, IncrementalGraph, InventoryListeners, address_epochs,
    build_attempts, latest,
};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most records that wait for an update; with more, only a full build adds them.
const MAX_PENDING: usize = 50_000;

/// For how long after its end an answer counts, in seconds: programs keep answers beyond their time. The history has the
/// names of folded edges for longer.
const NAMES_KEPT: i64 = 24 * 3600;

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
    /// What was lost of what each node sent.
    lost: NodeLosses,
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

    /// Notes what a batch has and says to be lost, by the receiver's clock.
    pub fn note_losses(&mut self, batch: &FlowBatch, now: Timestamp) {
        self.lost.note(&batch.node, &batch.seen, now);
    }

    /// What was lost of what each node sent in the last day.
    pub fn lost(&self) -> &NodeLosses {
        &self.lost
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
        let records = self.hot.between(ends);
        let mut change = standing.learn(&delta, &self.history, &records, self.hot.views());
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
    #[cfg(test)]
    pub fn fold(&mut self, before: Timestamp, inventory: &Inventory) {
        for records in self.hot.take_hours(before.hour()).into_values() {
            self.history.merge(&History::fold(&records, inventory));
        }
        self.index();
    }

    /// Puts the folded edges of hours in the place of their records. Records that come later for such an hour stay until
    /// it is folded again.
    pub fn take_folded(&mut self, hours: &BTreeMap<i64, History>, most: usize) {
        self.hot.forget_hours(|hour| hours.contains_key(&hour));
        for history in hours.values() {
            self.history.merge(history);
        }
        self.history.bound_outside();
        self.history.forget(Timestamp::MIN, most);
        self.index();
        self.incomplete = true;
    }

    /// Forgets records of hours before `hour`, which the store has folded.
    pub fn forget_hours(&mut self, before: i64) {
        self.hot.forget_hours(|hour| hour < before);
        self.index();
    }

    /// Merges records that are some minutes old, and forgets names of a day ago and edges that were last seen before `before` or are beyond
    /// `most` (rule: bounded-memory).
    pub fn tidy(&mut self, inventory: &Inventory, now: Timestamp, before: Timestamp, most: usize) {
        self.hot.condense(&address_epochs(inventory), now);
        self.hot.forget_names(now.plus_secs(-NAMES_KEPT));
        self.history.forget(before, most);
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

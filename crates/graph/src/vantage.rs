//! Which traffic could have been seen at all (rule: isolated-only-if-in-view): what each source had in view, and from
//! when to when.

mod capture_nodes;

pub use capture_nodes::{CaptureNodes, nodes_of_capture};

use nanoseg_inventory::{Inventory, Pod, Workload};
use nanoseg_net::{TimeSpans, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How certain it is that a source saw a pod's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Either this node or another one: nothing that was seen tells which.
    Presumed,
    /// The operator or the source says so, or only this node can have seen what was seen.
    Certain,
}

/// What the sources of an observation had in view, all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vantage {
    /// When all nodes were in view: the cluster has one, the log is of the whole cluster, or the operator says so.
    everywhere: TimeSpans,
    certain: BTreeMap<String, TimeSpans>,
    presumed: BTreeMap<String, TimeSpans>,
}

/// How much of a workload was in view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InView {
    /// Its pods that lived during the observation.
    pub pods: usize,
    /// Those that were in view for certain at some time.
    pub certain: usize,
    /// The others: a presumed view is none unless traffic shows it.
    pub not_certain: Vec<UnseenPod>,
    /// How long its pods lived during the observation, all together, in seconds.
    pub pod_secs: i64,
    /// How much of that was in view for certain or presumably.
    pub secs_in_view: i64,
}

/// A pod that was not in view for certain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnseenPod {
    pub pod: String,
    /// `None`: the snapshot does not say where it ran.
    pub node: Option<String>,
    pub presumed: bool,
}

impl Vantage {
    /// All nodes were in view from `first` to `last`.
    pub fn everywhere(first: Timestamp, last: Timestamp) -> Self {
        let mut vantage = Vantage::default();
        vantage.add_everywhere(first, last);
        vantage
    }

    /// Adds a source that had all nodes in view.
    pub fn add_everywhere(&mut self, first: Timestamp, last: Timestamp) {
        self.everywhere.insert(first, last);
    }

    /// Adds a source that had one node in view.
    pub fn add_node(&mut self, node: &str, certainty: Certainty, spans: &TimeSpans) {
        let views = match certainty {
            Certainty::Certain => &mut self.certain,
            Certainty::Presumed => &mut self.presumed,
        };
        views.entry(node.to_owned()).or_default().merge(spans);
    }

    /// Adds all that another one had in view.
    pub fn merge(&mut self, other: &Vantage) {
        self.everywhere.merge(&other.everywhere);
        for (certainty, views) in [
            (Certainty::Certain, &other.certain),
            (Certainty::Presumed, &other.presumed),
        ] {
            for (node, spans) in views {
                self.add_node(node, certainty, spans);
            }
        }
    }

    /// The nodes that were in view for certain, with their times.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &TimeSpans)> {
        let nodes = self.certain.iter();
        nodes.map(|(node, spans)| (node.as_str(), spans))
    }

    /// The nodes of pods that were not in view for certain, of those that the inventory has.
    pub fn unseen_nodes(&self, inventory: &Inventory) -> BTreeSet<String> {
        if !self.everywhere.is_empty() {
            return BTreeSet::new();
        }
        let mut nodes = inventory.node_names();
        nodes.retain(|node| !self.certain.contains_key(node));
        nodes
    }

    /// Whether a node was in view at any time, and so a pod of which only the node is known; `None`: whether a pod of
    /// whatever node was.
    pub fn of_node(&self, node: Option<&str>) -> Option<Certainty> {
        let is_in = |views: &BTreeMap<String, TimeSpans>| {
            node.is_some_and(|node| views.get(node).is_some_and(|spans| !spans.is_empty()))
        };
        if !self.everywhere.is_empty() || is_in(&self.certain) {
            Some(Certainty::Certain)
        } else {
            is_in(&self.presumed).then_some(Certainty::Presumed)
        }
    }

    /// How much of a workload was in view during the observation from `begin` to `end`.
    pub fn of(
        &self,
        workload: &Workload,
        inventory: &Inventory,
        (begin, end): (Timestamp, Timestamp),
    ) -> InView {
        let mut in_view = InView::default();
        let pods = workload.pods.iter();
        for pod in pods.filter_map(|index| inventory.pods.get(*index)) {
            let from = pod.owned.from.unwrap_or(begin).max(begin);
            let until = pod.owned.until.unwrap_or(end).min(end);
            // A pod without an address cannot talk yet.
            if pod.template || pod.host_network || pod.addresses.is_empty() || until < from {
                continue;
            }
            in_view.pods += 1;
            in_view.pod_secs += until.secs_since(from);
            in_view.secs_in_view += self.secs(pod, from, until);
            match self.certainty(pod, from, until) {
                Some(Certainty::Certain) => in_view.certain += 1,
                other => in_view.not_certain.push(UnseenPod {
                    pod: pod.name.clone(),
                    node: pod.node.clone(),
                    presumed: other.is_some(),
                }),
            }
        }
        in_view.not_certain.sort();
        in_view
    }

    fn certainty(&self, pod: &Pod, from: Timestamp, until: Timestamp) -> Option<Certainty> {
        let sees = |views: &BTreeMap<String, TimeSpans>| {
            let spans = pod.node.as_ref().and_then(|node| views.get(node));
            spans.is_some_and(|spans| spans.overlaps(from, until))
        };
        if self.everywhere.overlaps(from, until) || sees(&self.certain) {
            Some(Certainty::Certain)
        } else {
            sees(&self.presumed).then_some(Certainty::Presumed)
        }
    }

    fn secs(&self, pod: &Pod, from: Timestamp, until: Timestamp) -> i64 {
        let mut all = self.everywhere.clone();
        for views in [&self.certain, &self.presumed] {
            if let Some(spans) = pod.node.as_ref().and_then(|node| views.get(node)) {
                all.merge(spans);
            }
        }
        all.secs_within(from, until)
    }
}

#[cfg(test)]
mod tests;

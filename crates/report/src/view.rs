//! What was in view, and what stays open for it (rule: isolated-only-if-in-view, unattributed-is-kept), in the form of
//! `report.json` and in words.

use super::words::{count, percent, thousands};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use serde::Serialize;

/// How many names a line lists.
const SHOWN: usize = 5;

/// How much of the workloads that can have a policy was in view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ViewDocument {
    /// Pods that lived during the observation.
    pub pods: u64,
    /// How many of them were in view for certain at some time.
    pub pods_in_view: u64,
    /// How many others were in view presumably.
    pub pods_presumed: u64,
    /// How long these pods lived during the observation, all together.
    pub pod_seconds: u64,
    /// How much of that was in view, for certain or presumably.
    pub pod_seconds_in_view: u64,
    /// Nodes that were in view for certain.
    pub nodes: Vec<String>,
    /// Nodes with pods that were in view presumably.
    pub presumed_nodes: Vec<String>,
    /// Nodes with pods that were not in view.
    pub unseen_nodes: Vec<String>,
    /// Ways in which the sources lost something; each is a finding.
    pub losses: u64,
}

impl ViewDocument {
    /// Returns true if all pods were in view and nothing was lost.
    pub fn is_complete(&self) -> bool {
        self.pods_in_view == self.pods && self.losses == 0
    }

    /// `3 of 5 pods, 60 % of their time · on n1, n2 · not on n3`, or with presumed nodes
    /// `0 of 5 pods for certain, 3 presumably, 60 % of their time · perhaps on n1, n2 · not on n3`.
    pub fn line(&self) -> String {
        let mut text = format!(
            "{} of {}",
            thousands(self.pods_in_view),
            count(self.pods, "pod")
        );
        if self.pods_presumed > 0 {
            let presumed = thousands(self.pods_presumed);
            text += &format!(" for certain, {presumed} presumably");
        }
        if self.pod_seconds > 0 {
            let share = self.pod_seconds_in_view as f64 / self.pod_seconds as f64;
            text += &format!(", {} of their time", percent(share));
        }
        if !self.nodes.is_empty() {
            text += &format!(" · on {}", few(&self.nodes));
        }
        if !self.presumed_nodes.is_empty() {
            text += &format!(" · perhaps on {}", few(&self.presumed_nodes));
        }
        if !self.unseen_nodes.is_empty() {
            text += &format!(" · not on {}", few(&self.unseen_nodes));
        }
        if self.losses > 0 {
            text += &format!(" · {}", count(self.losses, "kind of loss"));
        }
        text
    }
}

fn few(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

/// A direction of a workload that no policy isolates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenDirection {
    pub workload: WorkloadId,
    pub direction: Direction,
    /// Why, each a sentence without its end.
    pub reasons: Vec<String>,
}

/// Answered traffic of a workload with somebody whom nobody can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnattributedEdge {
    pub workload: WorkloadId,
    pub direction: Direction,
    /// The name or address of the other end.
    pub peer: String,
    pub protocol: Protocol,
    pub port: u16,
    /// `unknown-pod`, `owner-uncertain`, `unknown-service` and so on: docs/concepts.md lists them.
    pub reason: &'static str,
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::ViewDocument;

    #[test]
    fn presumed_nodes_are_neither_seen_nor_unseen() {
        let view = ViewDocument {
            pods: 3,
            pods_presumed: 2,
            pod_seconds: 300,
            pod_seconds_in_view: 200,
            presumed_nodes: vec!["n1".into(), "n2".into()],
            unseen_nodes: vec!["n3".into()],
            ..ViewDocument::default()
        };
        let line = "0 of 3 pods for certain, 2 presumably, 67 % of their time · perhaps on n1, n2 · not on n3";
        assert_eq!(view.line(), line);
    }
}

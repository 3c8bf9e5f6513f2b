//! The namespaces that a report is about, and what is in them.

use nanoseg_graph::{Graph, Peer};
use nanoseg_inventory::Inventory;

/// The namespaces that the report is about; empty: all.
pub struct Scope<'a>(pub &'a [String]);

impl Scope<'_> {
    pub fn has(&self, namespace: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|one| one == namespace)
    }

    pub fn has_end(&self, client: &Peer, server: &Peer) -> bool {
        let ends = [client, server].into_iter().filter_map(Peer::workload);
        self.0.is_empty() || ends.into_iter().any(|id| self.has(&id.namespace))
    }

    /// The edges with an end in it.
    pub fn part(&self, graph: Graph) -> Graph {
        if self.0.is_empty() {
            return graph;
        }
        let workloads = graph.peers().filter_map(Peer::workload);
        let workloads = workloads.filter(|id| self.has(&id.namespace));
        graph.around(&workloads.cloned().collect())
    }

    /// Returns true unless the subject of a finding is only in other namespaces.
    pub fn may_concern(&self, subject: &str, inventory: &Inventory) -> bool {
        let Some((namespace, _)) = subject.split_once('/') else {
            return true;
        };
        let mut namespaces = inventory.workloads.keys().map(|id| id.namespace.as_str());
        let is_other = !self.has(namespace) && namespaces.any(|known| known == namespace);
        let mut wanted = self.0.iter();
        !is_other || wanted.any(|one| subject.contains(&format!("{one}/")))
    }
}

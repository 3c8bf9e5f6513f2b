//! What is known of the cluster and its traffic by now: built anew only where something changed.

use crate::cluster::live::Watches;
use crate::controller::enforcer::is_ours;
use crate::finding::Finding;
use crate::flow::FlowBatch;
use crate::graph::{
    Built, Graph, GraphOptions, Learning, Requirement, ServiceEnforcement, estimate, requirements,
};
use crate::inventory::{Inventory, OwnerRule};
use crate::net::Timestamp;
use crate::pipeline::LiveGraph;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::sync::Arc;

/// The cluster and its traffic.
pub struct Sight {
    live: LiveGraph,
    enforcement: ServiceEnforcement,
    pub inventory: Arc<Inventory>,
    inventory_findings: Vec<Finding>,
    /// Policies with our label.
    labelled_ours: Vec<Arc<NetworkPolicy>>,
    /// The generation of the objects that the inventory was built from.
    generation: Option<u64>,
    stale_graph: bool,
    pub built: Built,
    pub requirements: Vec<Requirement>,
    pub learning: Option<Learning>,
}

impl Sight {
    pub fn new(live: LiveGraph, enforcement: ServiceEnforcement) -> Self {
        Sight {
            live,
            enforcement,
            inventory: Arc::new(Inventory::default()),
            inventory_findings: Vec::new(),
            labelled_ours: Vec::new(),
            generation: None,
            stale_graph: true,
            built: Built::default(),
            requirements: Vec::new(),
            learning: None,
        }
    }

    /// Takes what agents sent.
    pub fn hear(&mut self, batch: FlowBatch) {
        self.live.apply(batch);
        self.stale_graph = true;
    }

    /// Brings everything up to date. Tells whether something is another than before.
    pub fn look(&mut self, watches: &Watches) -> bool {
        let generation = watches.inventory_generation();
        if self.generation != Some(generation) {
            let objects = watches.objects();
            let (inventory, findings) = Inventory::build(&objects, OwnerRule::Infer);
            self.inventory = Arc::new(inventory);
            self.labelled_ours = watches.policies();
            self.labelled_ours.retain(|policy| is_ours(policy));
            self.inventory_findings = findings;
            self.generation = Some(generation);
            self.stale_graph = true;
        }
        if !std::mem::take(&mut self.stale_graph) {
            return false;
        }
        self.built = self.live.build(&self.inventory, GraphOptions::default());
        self.requirements = requirements(&self.built.graph, &self.inventory, self.enforcement);
        // Up to the last thing seen, not up to now: an estimate does not change while nothing happens.
        self.learning = self
            .live
            .span()
            .map(|(begin, end)| estimate(&self.built.graph, begin, end));
        true
    }

    /// Only what began since then.
    pub fn recent(&self, since: Timestamp) -> Graph {
        self.live.recent(since, &self.inventory)
    }

    /// Policies in the cluster with our label.
    pub fn labelled_ours(&self) -> &[Arc<NetworkPolicy>] {
        &self.labelled_ours
    }

    /// Folds what began in the hours before.
    pub fn fold(&mut self, before: Timestamp) {
        self.live.fold(before, &self.inventory);
        self.stale_graph = true;
    }

    /// What was noticed of the inventory and the graph.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.inventory_findings.iter().chain(&self.built.findings)
    }
}

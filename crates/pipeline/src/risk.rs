//! Risks of workloads beside their traffic: exposure and vulnerabilities given what policies allow, images and
//! privileges.

use nanoseg_evaluate::{Evaluation, Reach};
use nanoseg_finding::Finding;
use nanoseg_graph::Graph;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Direction;
use nanoseg_risk::{
    self as risk, Approved, Exposure, Vulnerabilities, Weakness, exposed, weaknesses,
};
use std::collections::{BTreeMap, BTreeSet};

/// Approved images and vulnerability scans, as the operator gave them.
#[derive(Debug, Clone, Default)]
pub struct RiskChoices {
    /// Images that may run in every namespace.
    pub approved: Approved,
    /// Further images that may run in these namespaces.
    pub by_namespace: BTreeMap<String, Approved>,
    pub vulnerabilities: Vulnerabilities,
}

impl RiskChoices {
    fn approved_in(&self, namespace: &str) -> Approved {
        match self.by_namespace.get(namespace) {
            Some(own) => self.approved.and(own),
            None => self.approved.clone(),
        }
    }

    /// Findings about the images and privileges of the workloads for which `wanted` returns true.
    pub fn findings(
        &self,
        inventory: &Inventory,
        wanted: impl Fn(&WorkloadId) -> bool,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for workload in inventory.workloads.values().filter(|one| wanted(&one.id)) {
            let approved = self.approved_in(&workload.id.namespace);
            found.extend(risk::findings(workload, &approved));
        }
        found
    }

    /// The workloads with known vulnerabilities, and the distance of each from the internet.
    pub fn weaknesses(&self, inventory: &Inventory, distances: &Distances) -> Vec<Weakness> {
        weaknesses(inventory, &self.vulnerabilities, &distances.hops)
    }
}

/// The distances of workloads from the internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distances {
    /// Workloads that are reachable from outside and whose policies allow some outside address, with the reasons.
    pub entries: BTreeMap<WorkloadId, BTreeSet<Exposure>>,
    /// The number of connections over which each is reached: 1 for an entry. Others are not reached.
    pub hops: BTreeMap<WorkloadId, usize>,
}

/// Computes what the internet reaches under the policies of `evaluation`, whose reach is `reach`.
pub fn distances(
    inventory: &Inventory,
    graph: &Graph,
    evaluation: &Evaluation,
    reach: &Reach,
) -> Distances {
    let mut entries = exposed(inventory, graph);
    entries.retain(|id, _| lets_addresses_in(evaluation, id));
    let hops = reach.distances(entries.keys());
    Distances {
        hops: hops.into_iter().map(|(id, hops)| (id, hops + 1)).collect(),
        entries,
    }
}

fn lets_addresses_in(evaluation: &Evaluation, id: &WorkloadId) -> bool {
    evaluation.classes_of(id).iter().any(|class| {
        evaluation.class(*class).host_network
            || evaluation
                .addresses(*class, Direction::Ingress)
                .iter()
                .any(|(addresses, connections)| !addresses.is_empty() && !connections.is_empty())
    })
}

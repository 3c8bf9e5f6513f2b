//! What a report for auditors is made of: the graph, the policies, and the evidence beside them, from one source.

mod approvals;
mod generated;
mod published;
mod state;
mod traffic;

pub use generated::from_generated;
pub use published::{PublishedState, from_published};
pub use state::from_state;
pub use traffic::from_traffic;

use super::error::LoadError;
use crate::finding::Finding;
use crate::flow::NodeAddresses;
use crate::graph::Graph;
use crate::inventory::{Inventory, Objects, OwnerRule};
use crate::pipeline::evidence::EvidenceInputs;
use crate::record::Digest;
use crate::review::policy_digest;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeSet;

/// What was loaded from one source.
pub struct LoadedEvidence {
    pub graph: Graph,
    pub inventory: Inventory,
    pub policies: Vec<NetworkPolicy>,
    pub inputs: EvidenceInputs,
}

impl LoadedEvidence {
    /// Judges these policies instead. Nobody approved another policy of the same name, so approvals stay only with
    /// the digest of the policy.
    pub fn replace_policies(&mut self, policies: Vec<NetworkPolicy>) {
        let judged: BTreeSet<(String, Digest)> = policies.iter().filter_map(named).collect();
        self.policies = policies;
        self.inputs.approvals.retain(|one| {
            judged
                .iter()
                .any(|(name, digest)| *name == one.policy && digest.as_str() == one.digest)
        });
    }
}

/// `namespace/name` of a policy, and its digest.
fn named(policy: &NetworkPolicy) -> Option<(String, Digest)> {
    let meta = &policy.metadata;
    let name = format!("{}/{}", meta.namespace.as_ref()?, meta.name.as_ref()?);
    Some((name, policy_digest(policy.spec.as_ref()?)))
}

fn inventory(objects: &Objects) -> Result<(Inventory, Vec<Finding>), LoadError> {
    inventory_with(objects, &NodeAddresses::default())
}

/// The inventory, with what agents told of their nodes (rule: node-by-address).
fn inventory_with(
    objects: &Objects,
    told: &NodeAddresses,
) -> Result<(Inventory, Vec<Finding>), LoadError> {
    let (inventory, findings) = Inventory::build_with(objects, OwnerRule::Infer, &told.by_node());
    if inventory.pods.is_empty() {
        Err(LoadError::NoPods("the snapshot".into()))
    } else {
        Ok((inventory, findings))
    }
}

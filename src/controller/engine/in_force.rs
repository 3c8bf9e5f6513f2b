//! The policies in force: those that were approved and are enforced, and those of others.

use super::observation::Observation;
use super::state::EngineState;
use crate::controller::pending_writes::{Key, key_of};
use crate::inventory::WorkloadId;
use crate::review::resources::Mode;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};

/// The policies in force: ours by workload, and those of others.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    pub ours: BTreeMap<WorkloadId, NetworkPolicy>,
    pub foreign: Vec<NetworkPolicy>,
}

impl InForce {
    /// Collects them. An approved policy counts as in force in an enforced namespace: the enforcer applies it within
    /// moments.
    pub fn build(engine_state: &EngineState, observation: &Observation) -> InForce {
        let ours = engine_state
            .states()
            .iter()
            .filter(|(id, _)| is_enforced(engine_state, &id.namespace));
        let ours = ours.filter_map(|(id, state)| {
            Some((
                id.clone(),
                as_policy(id, &state.policy_name, state.wanted_policy()?),
            ))
        });
        let ours: BTreeMap<WorkloadId, NetworkPolicy> = ours.collect();
        let names: BTreeSet<Key> = ours.values().map(|p| key_of(&p.metadata)).collect();
        // Policies with our label that nobody approved: applied from a folder, or left behind.
        let strays = observation
            .labelled_ours()
            .iter()
            .filter(|policy| !names.contains(&key_of(&policy.metadata)))
            .map(|policy| policy.as_ref().clone());
        let foreign = observation.foreign_policies.iter().cloned().chain(strays);
        InForce {
            foreign: foreign.collect(),
            ours,
        }
    }

    /// Returns all of them.
    pub fn all(&self) -> Vec<NetworkPolicy> {
        self.ours.values().chain(&self.foreign).cloned().collect()
    }

    /// Returns all except the workload's own.
    pub fn others(&self, workload: &WorkloadId) -> Vec<NetworkPolicy> {
        let ours = self
            .ours
            .iter()
            .filter(|(id, _)| *id != workload)
            .map(|(_, policy)| policy);
        ours.chain(&self.foreign).cloned().collect()
    }
}

/// Returns true if the namespace's approved policies are kept in the cluster now.
pub fn is_enforced(engine_state: &EngineState, namespace: &str) -> bool {
    engine_state.segments.get(namespace).is_some_and(|state| {
        // If the Segmentation cannot be read now, its last mode still counts.
        let mode = state.segment.as_ref().map_or(state.kept.mode, |s| s.mode);
        state.kept.break_glass.is_none() && !state.kept.leaving && mode == Mode::Enforce
    })
}

/// Returns a policy of ours as an object for the evaluator.
pub fn as_policy(workload: &WorkloadId, name: &str, spec: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(workload.namespace.clone()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

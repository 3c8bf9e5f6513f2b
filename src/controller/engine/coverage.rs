//! Pods of enforced namespaces that no policy selects (rule: uncovered-is-said), and pods that a policy in force selects
//! though they are not of its workload (rule: foreign-pods-are-shown).

use super::in_force::{InForce, is_enforced};
use super::observation::Observation;
use super::state::EngineState;
use crate::finding::Finding;
use crate::review::{Uncovered, foreign_in_force, uncovered};
use std::collections::BTreeMap;

/// The uncovered pods of each enforced namespace, by what is in the cluster now.
pub fn find(engine_state: &EngineState, observation: &Observation) -> BTreeMap<String, Uncovered> {
    let enforced = engine_state
        .segments
        .iter()
        .filter(|(namespace, _)| is_enforced(engine_state, namespace));
    enforced
        .map(|(namespace, state)| {
            let ours = observation.labelled_ours().iter().map(AsRef::as_ref);
            let policies = observation.foreign_policies.iter().chain(ours);
            let (inventory, settings) = (&observation.inventory, state.segment.as_ref());
            let found = uncovered(inventory, policies, namespace, settings);
            (namespace.clone(), found)
        })
        .collect()
}

/// The pods of others that the policies in force select, one finding or two for each workload.
pub fn foreign_pods(observation: &Observation, in_force: &InForce) -> Vec<Finding> {
    let ours = in_force.ours.iter();
    let ours = ours.filter_map(|(id, policy)| Some((id, policy.spec.as_ref()?)));
    foreign_in_force(&observation.inventory, ours)
}

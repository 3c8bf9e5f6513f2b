//! Pods of enforced namespaces that no policy selects (rule: uncovered-is-said).

use super::in_force::is_enforced;
use super::observation::Observation;
use super::state::EngineState;
use crate::review::{Uncovered, uncovered};
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

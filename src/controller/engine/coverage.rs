//! Pods of enforced namespaces that no policy selects (rule: uncovered-is-said).

use super::in_force::is_enforced;
use super::observation::Observation;
use super::state::EngineState;
use crate::finding::{Code, Finding};
use crate::review::{Uncovered, uncovered};
use std::collections::BTreeMap;

/// The most pods that a message names.
const MOST_NAMED: usize = 10;

/// The uncovered pods of each enforced namespace, by what is in the cluster now.
pub fn find(engine_state: &EngineState, observation: &Observation) -> BTreeMap<String, Uncovered> {
    let enforced = engine_state
        .segments
        .iter()
        .filter(|(namespace, _)| is_enforced(engine_state, namespace))
        .filter_map(|(namespace, state)| Some((namespace, state.segment.as_ref()?)));
    enforced
        .map(|(namespace, settings)| {
            let ours = observation.labelled_ours().iter().map(AsRef::as_ref);
            let policies = observation.foreign_policies.iter().chain(ours);
            let found = uncovered(&observation.inventory, policies, settings);
            (namespace.clone(), found)
        })
        .collect()
}

/// A finding for each namespace that has some, and one for each of their workloads.
pub fn findings(all: &BTreeMap<String, Uncovered>, observation: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (namespace, uncovered) in all.iter().filter(|(_, one)| !one.pods.is_empty()) {
        findings.push(Finding::new(Code::UncoveredPods, namespace, sentence(uncovered)));
        for workload in observation.inventory.workloads_of(namespace) {
            let pods = workload.pods.iter();
            let pods = pods.filter_map(|index| observation.inventory.pods.get(*index));
            let count = pods
                .filter(|pod| !pod.template && uncovered.pods.binary_search(&pod.name).is_ok())
                .count();
            if count > 0 {
                let message = format!("has {count} pods that no policy selects");
                findings.push(Finding::new(Code::UncoveredPods, workload.id.to_string(), message));
            }
        }
    }
    findings
}

/// What is said of a namespace's uncovered pods; empty if there are none.
pub fn sentence(uncovered: &Uncovered) -> String {
    let count = uncovered.pods.len();
    if count == 0 {
        return String::new();
    }
    let named = uncovered.pods.iter().take(MOST_NAMED).cloned();
    let mut text = format!(
        "has {count} pods that no policy selects: {}",
        named.collect::<Vec<_>>().join(", ")
    );
    if uncovered.excluded > 0 {
        text.push_str(&format!("; spec.exclude leaves out {} of them", uncovered.excluded));
    }
    text
}

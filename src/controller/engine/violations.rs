//! Violations: connections that the policies in force do not allow.

use super::in_force::{InForce, is_enforced};
use super::observation::{ClusterView, Observation};
use super::state::EngineState;
use crate::graph::Requirement;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::record::{Action, Draft};
use crate::review::{CONTROLLER, Violation, approved_attempts, violations};
use std::collections::{BTreeMap, BTreeSet};

/// So many violations of a namespace are told of one by one; more are counted only.
const MOST_VIOLATIONS: usize = 1000;

/// Connections that were tried although the policies in force do not allow them.
pub fn find_violations(
    engine_state: &mut EngineState,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
) -> Vec<Violation> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let since: BTreeMap<WorkloadId, Timestamp> = engine_state
        .states()
        .iter()
        .filter_map(|(id, state)| Some((id.clone(), state.applied.as_ref()?.at)))
        .collect();
    if managed.is_empty() {
        return Vec::new();
    }
    match violations(
        &view.graph,
        &observation.inventory,
        &in_force.all(),
        &managed,
        &since,
    ) {
        Ok(found) => {
            for violation in &found {
                note(engine_state, violation);
            }
            found
        }
        Err(error) => {
            tracing::error!("failed to look for violations: {error}");
            Vec::new()
        }
    }
}

/// Connections that were approved before anybody saw them work.
pub fn find_approved_attempts(
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
) -> Vec<Requirement> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let all = in_force.all();
    match approved_attempts(&view.graph, &observation.inventory, &all, &managed) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("failed to look for what was approved: {error}");
            Vec::new()
        }
    }
}

/// A line in the record for the first of its kind, as long as a namespace has not very many.
fn note(engine_state: &mut EngineState, violation: &Violation) {
    let words = violation.connection();
    let ends = [violation.server.workload(), violation.client.workload()];
    let Some(workload) = ends
        .into_iter()
        .flatten()
        .find(|id| is_enforced(engine_state, &id.namespace))
        .cloned()
    else {
        return;
    };
    let Some(segment) = engine_state.segments.get_mut(&workload.namespace) else {
        return;
    };
    let kept = &mut segment.kept.violations;
    if kept.len() < MOST_VIOLATIONS && kept.insert(words.clone()) {
        engine_state.note(Draft {
            action: Action::Violation,
            actor: CONTROLLER.into(),
            namespace: workload.namespace.clone(),
            object: workload.name.clone(),
            before: None,
            after: None,
            reason: words,
        });
    }
}

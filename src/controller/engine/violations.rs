//! Violations: connections that the policies in force do not allow.

use super::in_force::{InForce, is_enforced};
use super::observation::{ClusterView, Observation};
use super::state::EngineState;
use crate::graph::Requirement;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::record::{Action, Actor, Entry};
use crate::review::{Violation, approved_attempts, violations};
use std::collections::{BTreeMap, BTreeSet};

/// How many violations of a namespace get a line in the record each; more are only counted.
const MOST_VIOLATIONS: usize = 1000;

/// Finds connections that were tried although the policies in force do not allow them, and records each for the first
/// time.
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
        &observation.enforcement,
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

/// Finds connections that are allowed and were never seen to work: somebody approved them, so they stay allowed.
pub fn find_approved_attempts(
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
) -> Vec<Requirement> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let all = in_force.all();
    match approved_attempts(
        &view.graph,
        &observation.inventory,
        &observation.enforcement,
        &all,
        &managed,
    ) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("failed to look for what was approved: {error}");
            Vec::new()
        }
    }
}

/// Adds a line to the record for the first violation of its kind, until the namespace has [`MOST_VIOLATIONS`].
fn note(engine_state: &mut EngineState, violation: &Violation) {
    let connection = violation.connection();
    let ends = [violation.server.workload(), violation.client.workload()];
    let Some(workload) = ends
        .into_iter()
        .flatten()
        .find(|id| is_enforced(engine_state, &id.namespace))
        .cloned()
    else {
        return;
    };
    let policy = match engine_state.states().get(&workload) {
        Some(state) => state.policy_name.clone(),
        None => String::new(),
    };
    let Some(segment) = engine_state.segments.get_mut(&workload.namespace) else {
        return;
    };
    let kept = &mut segment.kept.violations;
    if kept.len() < MOST_VIOLATIONS && kept.insert(connection.clone()) {
        let action = Action::Violation { connection, policy };
        let (namespace, name) = (&workload.namespace, &workload.name);
        engine_state.note(Entry::new(action, Actor::Controller, namespace, name));
    }
}

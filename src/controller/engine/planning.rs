//! Makes the plan: which of the approved policies the enforcer keeps in the cluster.

use super::state::{EngineState, SegmentState};
use crate::controller::plan::{Desired, NamespacePlan, Plan, PlannedPolicy};
use crate::review::WorkloadState;
use crate::review::resources::Mode;
use std::sync::Arc;

/// Returns the plan for all namespaces that are enforced, and for those whose policies are to be deleted.
pub fn build_plan(engine_state: &EngineState) -> Plan {
    let mut plan = Plan::default();
    for (namespace, segment) in &engine_state.segments {
        let Some(going) = purpose(segment) else {
            continue;
        };
        let policies = engine_state.states_of(namespace).filter_map(|state| {
            let desired = if going {
                Desired::Absent
            } else {
                desired(state)?
            };
            let was_applied = state
                .applied
                .as_ref()
                .is_some_and(|a| a.revision == desired.revision());
            let wanted = PlannedPolicy {
                workload: state.workload.clone(),
                desired,
                was_applied,
            };
            Some((state.policy_name.clone(), wanted))
        });
        plan.namespaces.insert(
            namespace.clone(),
            NamespacePlan {
                policies: policies.collect(),
            },
        );
    }
    plan
}

/// Returns true if the namespace's policies are to be deleted, false if they are enforced; `None`: they are left as they
/// are.
fn purpose(segment: &SegmentState) -> Option<bool> {
    if segment.kept.leaving {
        return segment.kept.remove_on_delete.then_some(true);
    }
    // If the Segmentation cannot be parsed now, its last mode still counts.
    let enforced = match &segment.segment {
        Some(known) => known.mode == Mode::Enforce,
        None => segment.kept.mode == Mode::Enforce,
    };
    enforced.then_some(false)
}

/// Returns the desired state of a workload's policy; `None` if nothing was ever approved.
fn desired(state: &WorkloadState) -> Option<Desired> {
    match state.wanted.and_then(|number| state.revision(number)) {
        Some(revision) => Some(Desired::Present {
            revision: revision.number,
            digest: revision.digest.clone(),
            spec: Arc::new(revision.policy.clone()),
        }),
        None => state.applied.is_some().then_some(Desired::Absent),
    }
}

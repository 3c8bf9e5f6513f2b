//! What was approved → what the enforcer keeps in the cluster.

use super::ledger::{Ledger, SegmentState};
use crate::controller::plan::{NamespacePlan, Plan, Shape, Wanted};
use crate::review::WorkloadState;
use crate::review::resources::Mode;
use std::sync::Arc;

/// The plan for all namespaces that are enforced, and for those whose policies go.
pub fn build_plan(ledger: &Ledger) -> Plan {
    let mut plan = Plan::default();
    for (namespace, segment) in &ledger.segments {
        let Some(going) = purpose(segment) else {
            continue;
        };
        let policies = ledger.states_of(namespace).filter_map(|state| {
            let shape = if going { Shape::Absent } else { shape(state)? };
            let was_applied = state
                .applied
                .as_ref()
                .is_some_and(|a| a.revision == shape.revision());
            let wanted = Wanted {
                workload: state.workload.clone(),
                shape,
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

/// Whether the namespace's policies go; `None`: they are left as they are.
fn purpose(segment: &SegmentState) -> Option<bool> {
    if segment.kept.leaving {
        return segment.kept.remove_on_delete.then_some(true);
    }
    // One that cannot be understood now is kept as it was: its mode is remembered.
    let enforced = match &segment.segment {
        Some(known) => known.mode == Mode::Enforce,
        None => segment.kept.mode == "Enforce",
    };
    enforced.then_some(false)
}

/// `None`: nothing was ever approved.
fn shape(state: &WorkloadState) -> Option<Shape> {
    match state.wanted.and_then(|number| state.revision(number)) {
        Some(revision) => Some(Shape::Present {
            revision: revision.number,
            digest: revision.digest.clone(),
            spec: Arc::new(revision.policy.clone()),
        }),
        None => state.applied.is_some().then_some(Shape::Absent),
    }
}

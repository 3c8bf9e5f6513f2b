//! Open directions that policies of others isolate already (rule: existing-policies-add-up).

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{EvaluateError, Evaluation, HostNetwork};
use nanoseg_graph::{End, OpenDirections, Requirement};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Direction;
use std::collections::BTreeSet;

/// Notes in `open` which directions with observed traffic the policies in `existing` isolate for every pod of the
/// workload: there, rules for what was seen cut nothing off, and without them it would stay cut off.
///
/// # Errors
/// Returns an error if a policy of `existing` is one that no API server accepts.
pub(super) fn note_isolated_already(
    open: &mut OpenDirections,
    requirements: &[Requirement],
    inventory: &Inventory,
    existing: &[NetworkPolicy],
) -> Result<(), EvaluateError> {
    if existing.is_empty() || open.is_empty() {
        return Ok(());
    }
    let evaluation = Evaluation::new(inventory, existing, HostNetwork::Exact)?;
    let seen: BTreeSet<(&WorkloadId, Direction)> = requirements
        .iter()
        .flat_map(|one| {
            [
                (&one.client, Direction::Egress),
                (&one.server, Direction::Ingress),
            ]
        })
        .filter_map(|(end, direction)| match end {
            End::Workload(id) => Some((id, direction)),
            _ => None,
        })
        .collect();
    for (id, direction) in seen {
        let classes = evaluation.classes_of(id);
        let isolated = |class| evaluation.isolated(class, direction);
        if !open.contains(id, direction)
            || classes.is_empty()
            || !classes.iter().all(|class| isolated(*class))
        {
            continue;
        }
        let by = classes
            .iter()
            .flat_map(|class| evaluation.isolated_by(*class, direction));
        open.note_isolated_already(id, direction, by.map(ToString::to_string).collect());
    }
    Ok(())
}

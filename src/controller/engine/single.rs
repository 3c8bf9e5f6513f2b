//! The policy of one workload from some of the requirements, proven by itself.

use super::observation::{ClusterView, Observation};
use super::open_directions;
use super::state::EngineState;
use crate::graph::{DnsEvidence, Requirement};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::pipeline::synthesise_and_prove;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;

/// Makes the policy; `None` if these requirements need none.
///
/// # Errors
/// It cannot be made, or it would block one of them.
pub fn generate(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
    id: &WorkloadId,
    requirements: &[Requirement],
    now: Timestamp,
) -> Result<Option<NetworkPolicySpec>, String> {
    let segment = engine_state.segments.get(&id.namespace);
    let segment = segment.and_then(|segment| segment.segment.as_ref());
    let options = segment.ok_or("its namespace is not segmented any more")?;
    let groups = [(vec![id.clone()], options.synthesis)];
    let open = open_directions::find(engine_state, observation, view, now);
    let (inventory, existing) = (&observation.inventory, &observation.foreign_policies);
    let dns = DnsEvidence::of(&view.graph);
    let proven = synthesise_and_prove((requirements, &dns), &groups, &open, inventory, existing);
    let proven = proven.map_err(|error| error.to_string())?;
    if let Some(blocked) = proven.proof.blocked.first() {
        return Err(format!("what is left would block {blocked}"));
    }
    let mut policies = proven.synthesis.policies.into_iter();
    let own = policies.find(|policy| policy.workload == *id);
    Ok(own.and_then(|policy| policy.policy.spec))
}

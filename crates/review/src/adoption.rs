//! Policies in the cluster that nanoseg wrote and that its state does not know, after a state was lost or nanoseg was
//! installed again: a person decides whether they are kept as approved policies (rule: unknown-policy-is-adopted).

use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_inventory::{Inventory, WorkloadId};

/// The one workload whose pods a policy selects; `None` if it selects none, or more than one.
pub fn selected_workload(
    inventory: &Inventory,
    namespace: &str,
    policy: &NetworkPolicySpec,
) -> Option<WorkloadId> {
    let selector = policy.pod_selector.clone().unwrap_or_default();
    let selector = Selector::parse(&selector).ok()?;
    let mut selected = inventory.workloads_of(namespace).filter(|workload| {
        let pods = workload.pods.iter();
        let mut pods = pods.filter_map(|index| inventory.pods.get(*index));
        pods.any(|pod| pod.owned.until.is_none() && selector.matches(&pod.labels))
    });
    let first = selected.next()?;
    selected.next().is_none().then(|| first.id.clone())
}

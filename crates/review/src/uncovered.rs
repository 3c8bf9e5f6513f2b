//! Pods that no NetworkPolicy selects (rule: uncovered-is-said): new ones that nothing was approved for yet, and those
//! whose labels were changed.

use super::SegmentationSettings;
use super::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, Pod};

/// The pods of a namespace that no policy selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uncovered {
    /// Their names, in order.
    pub pods: Vec<String>,
    /// How many of them `spec.exclude` leaves out: a pod gets there by its labels alone.
    pub excluded: usize,
}

/// Returns the running pods of the segmented namespace that no policy in the cluster selects. A policy whose selector
/// cannot be read selects none, and pods on the node's network have no policies.
pub fn uncovered<'p>(
    inventory: &Inventory,
    policies: impl IntoIterator<Item = &'p NetworkPolicy>,
    settings: &SegmentationSettings,
) -> Uncovered {
    let namespace = settings.namespace.as_str();
    let theirs = policies.into_iter().filter(|policy| {
        policy.metadata.namespace.as_deref().unwrap_or("default") == namespace
    });
    let selectors: Vec<Selector> = theirs.filter_map(selector).collect();
    let is_open = |pod: &&Pod| {
        pod.namespace == namespace
            && !pod.template
            && !pod.host_network
            && pod.owned.until.is_none()
            && !selectors.iter().any(|selector| selector.matches(&pod.labels))
    };
    let open: Vec<&Pod> = inventory.pods.iter().filter(is_open).collect();
    let mut pods: Vec<String> = open.iter().map(|pod| pod.name.clone()).collect();
    pods.sort();
    Uncovered {
        pods,
        excluded: open.iter().filter(|pod| settings.excludes(&pod.labels)).count(),
    }
}

/// The selector of a policy; one that is not given selects all pods.
fn selector(policy: &NetworkPolicy) -> Option<Selector> {
    let spec = policy.spec.as_ref();
    match spec.and_then(|spec| spec.pod_selector.as_ref()) {
        Some(selector) => Selector::parse(selector).ok(),
        None => Some(Selector::default()),
    }
}

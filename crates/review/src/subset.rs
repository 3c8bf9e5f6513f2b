//! The subset of an inventory and of policies that an evaluation of few workloads needs. Leaving out the rest does
//! not change the result: what is allowed between two pods depends only on the policies that select them and on
//! the labels and addresses of these two pods.

use super::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, Node, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// Returns an inventory of the pods of these workloads only, with everything that an evaluation reads.
pub(super) fn of_workloads(inventory: &Inventory, workloads: &BTreeSet<&WorkloadId>) -> Inventory {
    let known = workloads
        .iter()
        .filter_map(|id| inventory.workloads.get(*id));
    of_pods(
        inventory,
        known.flat_map(|workload| &workload.pods).copied().collect(),
    )
}

/// Returns an inventory of these pods only, given by their index.
pub(super) fn of_pods(inventory: &Inventory, pods: BTreeSet<usize>) -> Inventory {
    let mut small = Inventory::default();
    let chosen = pods.iter().filter_map(|index| inventory.pods.get(*index));
    for pod in chosen {
        if !small.namespaces.contains_key(&pod.namespace)
            && let Some(namespace) = inventory.namespaces.get(&pod.namespace)
        {
            small
                .namespaces
                .insert(pod.namespace.clone(), namespace.clone());
        }
        small.pods.push(pod.clone());
    }
    small.network_plugin = inventory.network_plugin.clone();
    small.nodes = nodes(inventory);
    // Policies of other kinds speak of nodes, Services and outside addresses as well.
    if !inventory.other_kinds.policies.is_empty() {
        small.other_kinds = inventory.other_kinds.clone();
        small.nodes = inventory.nodes.clone();
        small.namespaces = inventory.namespaces.clone();
        small.services = inventory.services.clone();
        small.api_server = inventory.api_server.clone();
        small.pod_ranges = inventory.pod_ranges.clone();
    }
    small
}

/// The nodes that an evaluation reads: one of each address family, since it covers the families in use; all of them where
/// the network plugin lets no ipBlock match a node.
fn nodes(inventory: &Inventory) -> Vec<Node> {
    if !inventory.network_plugin.behaviour().ip_block.nodes {
        return inventory.nodes.clone();
    }
    let of = |is_v4: bool| {
        let mut nodes = inventory.nodes.iter();
        nodes.find(|node| node.addresses.iter().any(|a| a.is_ipv4() == is_v4))
    };
    [of(true), of(false)]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

/// Returns the policies that select some pod of a subset. A policy with an invalid selector is kept, so that the
/// evaluation reports the error.
pub(super) fn policies_selecting<'a>(
    policies: &'a [NetworkPolicy],
    small: &Inventory,
) -> Vec<&'a NetworkPolicy> {
    let mut labels: BTreeMap<&str, Vec<&BTreeMap<String, String>>> = BTreeMap::new();
    for pod in small.pods.iter().filter(|pod| !pod.host_network) {
        labels.entry(&pod.namespace).or_default().push(&pod.labels);
    }
    let selects = |policy: &&NetworkPolicy| {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        let Some(pods) = labels.get(namespace) else {
            return false;
        };
        let selector = policy
            .spec
            .as_ref()
            .and_then(|spec| spec.pod_selector.as_ref());
        match selector.map(Selector::parse) {
            None | Some(Err(_)) => true,
            Some(Ok(selector)) => pods.iter().any(|labels| selector.matches(labels)),
        }
    };
    policies.iter().filter(selects).collect()
}

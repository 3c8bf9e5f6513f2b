//! What ipBlocks match of the cluster itself, by its network plugin.

use super::pod_classes::Blocks;
use super::rules::addresses;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy};
use nanoseg_inventory::Inventory;
use nanoseg_net::AddressSet;
use nanoseg_plugin::{Behaviour, Deviation, PodMatch};

/// Returns what no block of `policies` matches, and the blocks that match pods.
pub(super) fn cluster_blocks<'a>(
    inventory: &Inventory,
    behaviour: &Behaviour,
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> Blocks {
    let matches = behaviour.ip_block;
    let nodes = inventory.nodes.iter().flat_map(|node| &node.addresses);
    let nodes: AddressSet = nodes.copied().collect();
    let by_all =
        behaviour.deviates(Deviation::WholeFamilyIsTheWorld) && matches.pods != PodMatch::Always;
    let unless = |matched: bool| {
        if matched {
            AddressSet::default()
        } else {
            nodes.clone()
        }
    };
    let of_pods = match matches.pods {
        PodMatch::Always => covering_pods(inventory, policies),
        PodMatch::Never | PodMatch::Either => Vec::new(),
    };
    Blocks {
        unmatched: unless(matches.nodes),
        unmatched_by_all: unless(matches.nodes && !by_all),
        of_pods,
    }
}

fn covering_pods<'a>(
    inventory: &Inventory,
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> Vec<AddressSet> {
    let pods = inventory.pods.iter().filter(|pod| !pod.host_network);
    let pods: AddressSet = pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
    let mut found: Vec<AddressSet> = Vec::new();
    for block in policies.into_iter().flat_map(ip_blocks) {
        // An invalid block is an error where the policy is read.
        let Ok(block) = addresses(block) else {
            continue;
        };
        if !block.intersection(&pods).is_empty() && !found.contains(&block) {
            found.push(block);
        }
    }
    found
}

fn ip_blocks(policy: &NetworkPolicy) -> impl Iterator<Item = &IPBlock> {
    let spec = policy.spec.iter();
    spec.flat_map(|spec| {
        let ingress = spec.ingress.iter().flatten();
        let ingress = ingress.flat_map(|rule| rule.from.iter().flatten());
        let egress = spec.egress.iter().flatten();
        let egress = egress.flat_map(|rule| rule.to.iter().flatten());
        ingress
            .chain(egress)
            .filter_map(|peer| peer.ip_block.as_ref())
    })
}

#[cfg(test)]
mod tests;

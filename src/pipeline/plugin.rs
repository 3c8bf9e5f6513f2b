//! What the network plugin at hand does otherwise than the policies expect.

use crate::finding::{Code, Finding};
use crate::inventory::{Inventory, NetworkPlugin};
use crate::policy::Synthesis;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many blocks the finding shows.
const SHOWN: usize = 5;

/// Findings about generated rules that this plugin does not honour as they stand (rule: cilium-node-address).
pub fn plugin_findings(
    synthesis: &Synthesis,
    inventory: &Inventory,
    plugin: Option<NetworkPlugin>,
) -> Vec<Finding> {
    match plugin {
        None => Vec::new(),
        Some(NetworkPlugin::Cilium) => {
            let mut hosts = inventory.node_addresses();
            hosts.extend(inventory.api_server.iter().map(|endpoint| endpoint.ip()));
            // Cilium's own kind has entities in their place (rule: cilium-entities).
            let policies = synthesis.policies.iter().filter(|one| one.native.is_none());
            policies
                .filter_map(|one| {
                    let blocks = host_blocks(&one.policy, &hosts);
                    let first = blocks.first()?;
                    let message = format!(
                        "has ipBlocks of nodes or the API server, such as {first}; Cilium matches these only with \
                         policyCIDRMatchMode: nodes"
                    );
                    let finding = Finding::new(Code::CiliumNodeAddress, one.workload.to_string(), message);
                    Some(finding.with_samples(blocks.into_iter().take(SHOWN)))
                })
                .collect()
        }
    }
}

/// The blocks of a policy that hold the address of a node or of the API server.
fn host_blocks(policy: &NetworkPolicy, hosts: &BTreeSet<IpAddr>) -> Vec<String> {
    let spec = policy.spec.iter();
    let peers = spec.flat_map(|spec| {
        let ingress = spec
            .ingress
            .iter()
            .flatten()
            .flat_map(|rule| rule.from.iter().flatten());
        let egress = spec
            .egress
            .iter()
            .flatten()
            .flat_map(|rule| rule.to.iter().flatten());
        ingress.chain(egress)
    });
    let blocks: BTreeSet<&str> = peers
        .filter_map(|peer| peer.ip_block.as_ref())
        .map(|block| block.cidr.as_str())
        .filter(|cidr| {
            let range = cidr.parse::<IpNet>();
            range.is_ok_and(|range| hosts.iter().any(|host| range.contains(host)))
        })
        .collect();
    blocks.into_iter().map(str::to_owned).collect()
}

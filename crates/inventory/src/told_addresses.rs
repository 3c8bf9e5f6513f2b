//! What agents tell of their nodes' own addresses (rule: node-by-address). Where a network plugin gives out addresses
//! itself, no object of Kubernetes has the gateway of a node's pods, and the agent alone sees it: `cni0`, `cilium_host`,
//! `tunl0`.
//!
//! An agent may be in wrong hands (rule: agent-speaks-for-its-node): what it says counts only for its own node, only
//! within what the objects say to be the range of that node's pods, and only where the objects give the address to
//! nobody. So it cannot make a pod, a Service, another node or somebody beyond the cluster a node.

use super::ranges::around;
use super::{Node, Pod, Service};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many of the told addresses are taken, and how many are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToldAddresses {
    /// They are the node's now.
    pub taken: usize,
    /// The objects give the node these as well.
    pub known: usize,
    /// They lie beyond the pods of the node, or belong to somebody else.
    pub refused: usize,
}

/// Adds the told addresses that count to the nodes.
pub(super) fn take(
    told: &BTreeMap<String, BTreeSet<IpAddr>>,
    nodes: &mut [Node],
    pods: &[Pod],
    services: &[Service],
) -> ToldAddresses {
    let mut counts = ToldAddresses::default();
    if told.is_empty() {
        return counts;
    }
    let owned = owned(pods, services);
    let ranges = ranges(nodes, pods);
    let of_nodes: BTreeMap<IpAddr, &str> = nodes
        .iter()
        .flat_map(|node| node.addresses.iter().map(|one| (*one, node.name.as_str())))
        .collect();
    let mut wanted: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for (node, addresses) in told {
        for address in addresses {
            let own = ranges.get(node.as_str()).into_iter().flatten();
            let is_near = own.into_iter().any(|range| range.contains(address));
            match of_nodes.get(address) {
                Some(name) if name == node => counts.known += 1,
                None if is_near && !owned.contains(address) => {
                    wanted.entry(*address).or_default().insert(node);
                }
                _ => counts.refused += 1,
            }
        }
    }
    // Which of two nodes has an address that both tell nobody knows.
    let (alone, shared): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(_, nodes)| nodes.len() == 1);
    counts.refused += shared.iter().map(|(_, nodes)| nodes.len()).sum::<usize>();
    let alone: Vec<(IpAddr, String)> = alone
        .into_iter()
        .filter_map(|(address, nodes)| Some((address, nodes.into_iter().next()?.to_owned())))
        .collect();
    for (address, name) in alone {
        if let Some(node) = nodes.iter_mut().find(|node| node.name == name) {
            node.addresses.insert(address);
            counts.taken += 1;
        }
    }
    counts
}

/// The addresses of pods, also of those that are gone, and of Services.
fn owned(pods: &[Pod], services: &[Service]) -> BTreeSet<IpAddr> {
    let of_pods = pods.iter().filter(|pod| !pod.host_network);
    let of_pods = of_pods.flat_map(|pod| pod.addresses.iter());
    let of_services = services
        .iter()
        .flat_map(|one| one.cluster_ips.iter().chain(&one.external_ips));
    of_pods.chain(of_services).copied().collect()
}

/// The ranges of each node's pods: its podCIDRs, and what is around the pods that ran there.
fn ranges<'n>(nodes: &'n [Node], pods: &[Pod]) -> BTreeMap<&'n str, BTreeSet<IpNet>> {
    let mut ranges: BTreeMap<&str, BTreeSet<IpNet>> = nodes
        .iter()
        .map(|node| {
            let cidrs = node.pod_cidrs.iter().copied();
            (node.name.as_str(), cidrs.collect())
        })
        .collect();
    for pod in pods.iter().filter(|pod| !pod.host_network) {
        let own = pod.node.as_deref().and_then(|name| ranges.get_mut(name));
        if let Some(own) = own {
            own.extend(pod.addresses.iter().map(|one| around(*one, 24, 64)));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use crate::testing::objects;
    use crate::{Inventory, Owner, OwnerRule};
    use nanoseg_net::Timestamp;
    use std::net::IpAddr;

    /// Two nodes without podCIDRs, a pod on each and one that is in the block of both, and a Service.
    const CLUSTER: &str = "\
kind: Node
metadata: {name: node-1}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
kind: Node
metadata: {name: node-2}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
---
kind: Pod
metadata: {name: a, namespace: shop}
spec: {nodeName: node-1, containers: []}
status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}, {ip: 'fd00:1::5'}]}
---
kind: Pod
metadata: {name: b, namespace: shop}
spec: {nodeName: node-2, containers: []}
status: {phase: Running, podIP: 10.244.2.5, podIPs: [{ip: 10.244.2.5}]}
---
kind: Pod
metadata: {name: c, namespace: shop}
spec: {nodeName: node-2, containers: []}
status: {phase: Running, podIP: 10.244.1.9, podIPs: [{ip: 10.244.1.9}]}
---
kind: Service
metadata: {name: s, namespace: shop}
spec: {clusterIP: 10.244.1.77, clusterIPs: [10.244.1.77], ports: [{port: 80}]}
";

    /// Who has `address` if these were told: node and addresses.
    fn owner(told: &[(&str, &[&str])], address: &str) -> String {
        let told = told.iter().map(|(node, addresses)| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            ((*node).to_owned(), addresses.collect())
        });
        let told = told.collect();
        let (inventory, _) = Inventory::build_with(&objects(CLUSTER), OwnerRule::Infer, &told);
        let address: IpAddr = address.parse().unwrap();
        match inventory.resolve(address, Timestamp::from_secs(1_000_000_000)) {
            Owner::Node(index) => inventory.nodes[index].name.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_gateway_that_an_agent_tells_is_an_address_of_its_node() {
        assert_eq!(owner(&[], "10.244.1.1"), "Unknown");
        let told: &[(&str, &[&str])] = &[("node-1", &["192.0.2.1", "10.244.1.1", "fd00:1::1"])];
        assert_eq!(owner(told, "10.244.1.1"), "node-1");
        assert_eq!(owner(told, "fd00:1::1"), "node-1");
        assert_eq!(owner(told, "192.0.2.1"), "node-1");
    }

    #[test]
    fn an_agent_cannot_make_anybody_else_its_node() {
        // A pod, a Service, another node, somebody outside, the pods of another node, and a node that is not there.
        for (node, address, expected) in [
            ("node-1", "10.244.1.9", "Pod(2)"),
            ("node-1", "10.244.1.77", "Service(0)"),
            ("node-1", "192.0.2.2", "node-2"),
            ("node-1", "203.0.113.9", "Outside"),
            ("node-1", "10.9.9.9", "Outside"),
            ("node-1", "10.244.2.1", "Unknown"),
            ("node-3", "10.244.1.1", "Unknown"),
        ] {
            let said = owner(&[(node, &[address])], address);
            assert_eq!(said, expected, "{node} tells {address}");
        }
    }

    #[test]
    fn an_address_that_two_nodes_tell_is_neither_s() {
        let both: &[(&str, &[&str])] = &[("node-1", &["10.244.1.1"]), ("node-2", &["10.244.1.1"])];
        assert_eq!(owner(both, "10.244.1.1"), "Unknown");
    }

    #[test]
    fn what_was_told_is_counted() {
        let told = ["192.0.2.1", "10.244.1.1", "203.0.113.9"];
        let told = told.iter().map(|text| text.parse().unwrap()).collect();
        let told = [("node-1".to_owned(), told)].into();
        let (inventory, _) = Inventory::build_with(&objects(CLUSTER), OwnerRule::Infer, &told);
        let counts = inventory.told_addresses;
        assert_eq!((counts.taken, counts.known, counts.refused), (1, 1, 1));
    }
}

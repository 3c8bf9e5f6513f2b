//! Nodes with every address they are known to use (rule: node-by-address).

use super::{Node, Pod};
use crate::kubernetes as core;
use ipnet::IpNet;
use nanoseg_net::{parse_address, parse_range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Annotations in which network plugins note addresses of a node: tunnel and router interfaces
/// whose address masqueraded traffic and probes may carry.
const ADDRESS_ANNOTATIONS: [&str; 14] = [
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
    "network.cilium.io/ipv4-cilium-host",
    "network.cilium.io/ipv6-cilium-host",
    "network.cilium.io/ipv4-health-ip",
    "network.cilium.io/ipv6-health-ip",
    "io.cilium.network.ipv4-cilium-host",
    "flannel.alpha.coreos.com/public-ip",
    "node.antrea.io/transport-addresses",
];
/// flannel gives its tunnel interface the network address of the node's podCIDR.
const FLANNEL_BACKEND: &str = "flannel.alpha.coreos.com/backend-type";

/// Reads the nodes; nodes that only pods mention are made from the pods' host addresses.
pub(super) fn read_nodes(nodes: &[&core::Node], pods: &[core::Pod], read: &[Pod]) -> Vec<Node> {
    let mut by_name: BTreeMap<String, Node> = BTreeMap::new();
    for node in nodes {
        let node = read_node(node);
        by_name.insert(node.name.clone(), node);
    }
    for pod in pods {
        let name = pod.spec.as_ref().and_then(|s| s.node_name.clone());
        let Some((name, status)) = name.zip(pod.status.as_ref()) else {
            continue;
        };
        let listed = status.host_ips.iter().flatten().map(|ip| ip.ip.as_str());
        let node = by_name.entry(name.clone()).or_insert_with(|| Node {
            name,
            addresses: BTreeSet::new(),
            pod_cidrs: Vec::new(),
        });
        node.addresses.extend(
            listed
                .chain(status.host_ip.as_deref())
                .filter_map(parse_address),
        );
    }
    for pod in read.iter().filter(|pod| pod.host_network) {
        if let Some(node) = pod.node.as_ref().and_then(|name| by_name.get_mut(name)) {
            node.addresses.extend(&pod.addresses);
        }
    }
    by_name.into_values().collect()
}

fn read_node(node: &core::Node) -> Node {
    let spec = node.spec.as_ref();
    let mut pod_cidrs: Vec<IpNet> = spec
        .into_iter()
        .flat_map(|s| s.pod_cidrs.iter().flatten().chain(&s.pod_cidr))
        .filter_map(|text| parse_range(text))
        .collect();
    pod_cidrs.sort();
    pod_cidrs.dedup();
    let stated = node
        .status
        .iter()
        .flat_map(|s| s.addresses.iter().flatten());
    let mut addresses: BTreeSet<IpAddr> =
        stated.filter_map(|a| parse_address(&a.address)).collect();
    let annotations = node.metadata.annotations.clone().unwrap_or_default();
    for key in ADDRESS_ANNOTATIONS {
        let listed = annotations
            .get(key)
            .into_iter()
            .flat_map(|text| text.split(','));
        addresses.extend(listed.filter_map(parse_address_or_net));
    }
    // The pod-side gateway: the first address of each podCIDR, from which kubelet probes come.
    addresses.extend(pod_cidrs.iter().filter_map(first_address));
    if annotations.contains_key(FLANNEL_BACKEND) {
        addresses.extend(pod_cidrs.iter().map(IpNet::network));
    }
    Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        addresses,
        pod_cidrs,
    }
}

/// `10.0.0.1` or `10.0.0.1/24` (plugins write both).
fn parse_address_or_net(text: &str) -> Option<IpAddr> {
    parse_address(text).or_else(|| parse_range(text).map(|net| net.addr()))
}

fn first_address(range: &IpNet) -> Option<IpAddr> {
    match range.network() {
        IpAddr::V4(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(a) => a.to_bits().checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}

//! Nodes with every address they are known to use (rule: node-by-address).

use super::node_annotations;
use super::ranges::nth_address;
use super::{Node, Pod};
use crate::kubernetes::{self as core, AddressPair, CiliumNode};
use ipnet::IpNet;
use nanoseg_net::{parse_address, parse_range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Reads the nodes; nodes that only pods mention are made from the pods' host addresses.
pub(super) fn read_nodes(
    nodes: &[&core::Node],
    cilium_nodes: &[&CiliumNode],
    pods: &[core::Pod],
    read: &[Pod],
) -> Vec<Node> {
    let mut by_name: BTreeMap<String, Node> = BTreeMap::new();
    for node in nodes {
        let node = read_node(node);
        by_name.insert(node.name.clone(), node);
    }
    for cilium_node in cilium_nodes {
        let name = cilium_node.metadata.name.clone().unwrap_or_default();
        let node = by_name
            .entry(name.clone())
            .or_insert_with(|| Node::named(name));
        add_cilium_node(node, cilium_node);
    }
    for pod in pods {
        let name = pod.spec.as_ref().and_then(|s| s.node_name.clone());
        let Some((name, status)) = name.zip(pod.status.as_ref()) else {
            continue;
        };
        let listed = status.host_ips.iter().flatten().map(|ip| ip.ip.as_str());
        let node = by_name
            .entry(name.clone())
            .or_insert_with(|| Node::named(name));
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

fn read_node(core_node: &core::Node) -> Node {
    let mut node = Node::named(core_node.metadata.name.clone().unwrap_or_default());
    let spec = core_node.spec.as_ref();
    let declared = spec
        .into_iter()
        .flat_map(|s| s.pod_cidrs.iter().flatten().chain(&s.pod_cidr))
        .filter_map(|text| parse_range(text));
    let annotated = node_annotations::read(core_node);
    node.add_pod_ranges(declared.chain(annotated.pod_ranges));
    let stated = core_node
        .status
        .iter()
        .flat_map(|s| s.addresses.iter().flatten());
    node.addresses
        .extend(stated.filter_map(|a| parse_address(&a.address)));
    node.addresses.extend(annotated.addresses);
    node.ingress = annotated.ingress;
    if annotated.network_addresses {
        let networks = node.pod_cidrs.iter().map(IpNet::network);
        node.addresses.extend(networks.collect::<Vec<_>>());
    }
    let ports = annotated.management_ports.iter();
    node.addresses
        .extend(ports.filter_map(|range| nth_address(range, 2)));
    node
}

/// Of the router, the health endpoint and the ingress proxy.
fn add_cilium_node(node: &mut Node, cilium_node: &CiliumNode) {
    let Some(spec) = &cilium_node.spec else {
        return;
    };
    let both = |pair: &Option<AddressPair>| -> Vec<IpAddr> {
        let texts = pair.iter().flat_map(|pair| [&pair.ipv4, &pair.ipv6]);
        texts
            .flatten()
            .filter_map(|text| parse_address(text))
            .collect()
    };
    let own = spec.addresses.iter().flatten();
    node.addresses
        .extend(own.filter_map(|one| parse_address(&one.ip)));
    node.addresses.extend(both(&spec.health));
    node.ingress.extend(both(&spec.ingress));
    let ranges = spec
        .ipam
        .iter()
        .flat_map(|ipam| ipam.pod_cidrs.iter().flatten());
    node.add_pod_ranges(ranges.filter_map(|text| parse_range(text)));
}

impl Node {
    fn named(name: String) -> Node {
        Node {
            name,
            ..Node::default()
        }
    }

    /// Adds ranges of its pods, and of each the first address: the gateway of the pods, from which the kubelet's
    /// probes come.
    fn add_pod_ranges(&mut self, ranges: impl Iterator<Item = IpNet>) {
        self.pod_cidrs.extend(ranges);
        self.pod_cidrs.sort();
        self.pod_cidrs.dedup();
        let gateways = self.pod_cidrs.iter();
        let gateways: BTreeSet<IpAddr> =
            gateways.filter_map(|range| nth_address(range, 1)).collect();
        self.addresses.extend(gateways);
    }
}

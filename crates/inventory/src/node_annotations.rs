//! What network plugins write on a node of its addresses and of the ranges of its pods (rule: node-by-address).

use crate::kubernetes as core;
use ipnet::IpNet;
use nanoseg_net::parse_range;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Annotations with addresses of a node: of tunnels, routers and health endpoints, from which masqueraded
/// traffic and probes may come. Each is an address, a list with commas, or JSON with addresses in it.
///
/// Sources: Calico `libcalico-go/lib/backend/k8s/resources/node.go`, Cilium `pkg/annotation/k8s.go`,
/// flannel `pkg/subnet/kube/annotations.go`, Antrea `pkg/agent/types/annotations.go`,
/// OVN-Kubernetes `go-controller/pkg/util/node_annotations.go`, Kube-OVN `pkg/util/const.go`, k3s and
/// kubelet `--node-ip`.
const ADDRESSES: [&str; 34] = [
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
    "io.cilium.network.ipv6-cilium-host",
    "io.cilium.network.ipv4-health-ip",
    "io.cilium.network.ipv6-health-ip",
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6",
    "flannel.alpha.coreos.com/public-ip-overwrite",
    "flannel.alpha.coreos.com/public-ipv6-overwrite",
    "node.antrea.io/transport-addresses",
    "k8s.ovn.org/host-addresses",
    "k8s.ovn.org/host-cidrs",
    "k8s.ovn.org/node-gateway-router-lrp-ifaddr",
    "k8s.ovn.org/node-gateway-router-lrp-ifaddrs",
    "k8s.ovn.org/node-primary-ifaddr",
    "k8s.ovn.org/node-transit-switch-port-ifaddr",
    "k8s.ovn.org/node-transit-switch-port-ifaddrs",
    "k8s.ovn.org/primary-dpu-host-addr",
    "ovn.kubernetes.io/ip_address",
    "k3s.io/internal-ip",
    "k3s.io/external-ip",
    "rke2.io/internal-ip",
    "rke2.io/external-ip",
    "alpha.kubernetes.io/provided-node-ip",
];

/// Annotations with the addresses of a node's ingress proxy.
const INGRESS: [&str; 2] = [
    "network.cilium.io/ipv4-Ingress-ip",
    "network.cilium.io/ipv6-Ingress-ip",
];

/// Annotations with the ranges of a node's pods, written by plugins that do not take `spec.podCIDRs`.
const POD_RANGES: [&str; 6] = [
    OVN_SUBNETS,
    "kube-router.io/pod-cidr",
    "kube-router.io/pod-cidrs",
    "network.cilium.io/ipv4-pod-cidr",
    "network.cilium.io/ipv6-pod-cidr",
    "io.cilium.network.ipv4-pod-cidr",
];
/// The second address of these ranges is the node's management port, from which its own traffic comes.
const OVN_SUBNETS: &str = "k8s.ovn.org/node-subnets";
/// flannel gives its tunnel interface the network address of the node's podCIDR.
const FLANNEL_BACKEND: &str = "flannel.alpha.coreos.com/backend-type";

/// What a node's annotations say.
#[derive(Debug, Default)]
pub(super) struct Annotated {
    pub addresses: BTreeSet<IpAddr>,
    pub ingress: BTreeSet<IpAddr>,
    pub pod_ranges: Vec<IpNet>,
    /// The network address of each pod range is the node's too.
    pub network_addresses: bool,
    /// Ranges whose second address is the node's too.
    pub management_ports: Vec<IpNet>,
}

/// Reads a node's annotations.
pub(super) fn read(node: &core::Node) -> Annotated {
    let Some(annotations) = &node.metadata.annotations else {
        return Annotated::default();
    };
    let addresses = |keys: &[&str]| -> BTreeSet<IpAddr> {
        let texts = values(annotations, keys);
        texts
            .iter()
            .filter_map(|text| parse_address(text))
            .collect()
    };
    let ranges = |keys: &[&str]| -> Vec<IpNet> {
        let texts = values(annotations, keys);
        texts.iter().filter_map(|text| parse_range(text)).collect()
    };
    Annotated {
        addresses: addresses(&ADDRESSES),
        ingress: addresses(&INGRESS),
        pod_ranges: ranges(&POD_RANGES),
        network_addresses: annotations.contains_key(FLANNEL_BACKEND),
        management_ports: ranges(&[OVN_SUBNETS]),
    }
}

/// All texts in the values of these annotations.
fn values(annotations: &BTreeMap<String, String>, keys: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    for value in keys.iter().filter_map(|key| annotations.get(*key)) {
        match serde_json::from_str(value) {
            Ok(json @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) => {
                strings(json, &mut texts);
            }
            _ => texts.extend(value.split(',').map(|part| part.trim().to_owned())),
        }
    }
    texts
}

/// The strings in a JSON value; serde_json bounds its depth.
fn strings(json: serde_json::Value, texts: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => texts.push(text),
        serde_json::Value::Array(all) => all.into_iter().for_each(|one| strings(one, texts)),
        serde_json::Value::Object(all) => all.into_iter().for_each(|(_, one)| strings(one, texts)),
        _ => {}
    }
}

/// `10.0.0.1`, or `10.0.0.1/24` as of an interface.
fn parse_address(text: &str) -> Option<IpAddr> {
    let net = || Some(parse_range(text)?.addr());
    nanoseg_net::parse_address(text).or_else(net)
}

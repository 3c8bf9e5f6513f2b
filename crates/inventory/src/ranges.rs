//! The ranges that pod and Service addresses come from, so that a cluster address without a
//! known owner is distinguished from an outside one (rule: unknown-pod-never-allowed) and no CIDR ever covers the cluster (rule: cidr-excludes-cluster).

use super::{Node, Pod, Service};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// The nodes' podCIDRs, and a /24 or /64 around each pod that none of them covers: a plugin with
/// its own address management does not use podCIDRs.
pub(super) fn pod_ranges(nodes: &[Node], pods: &[Pod]) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = nodes
        .iter()
        .flat_map(|n| n.pod_cidrs.iter().copied())
        .collect();
    for address in pods
        .iter()
        .filter(|p| !p.host_network)
        .flat_map(|p| &p.addresses)
    {
        if !ranges.iter().any(|range| range.contains(address)) {
            ranges.push(around(*address, 24, 64));
        }
    }
    IpNet::aggregate(&ranges)
}

/// The smallest range around all cluster IPs, per address family, at least a /24 or /112. The
/// first Service (`default/kubernetes`) always has the first address of the real range.
pub(super) fn service_ranges(services: &[Service]) -> Vec<IpNet> {
    let addresses = || services.iter().flat_map(|s| s.cluster_ips.iter().copied());
    let v4 = addresses().filter(IpAddr::is_ipv4);
    let v6 = addresses().filter(IpAddr::is_ipv6);
    [common(v4.collect()), common(v6.collect())]
        .into_iter()
        .flatten()
        .collect()
}

fn common(addresses: Vec<IpAddr>) -> Option<IpNet> {
    let (low, high) = (*addresses.iter().min()?, *addresses.iter().max()?);
    let mut range = around(low, 24, 112);
    while !range.contains(&high) {
        range = range.supernet()?;
    }
    Some(range)
}

fn around(address: IpAddr, v4_prefix: u8, v6_prefix: u8) -> IpNet {
    match address {
        IpAddr::V4(a) => Ipv4Net::new(a, v4_prefix).map(|n| IpNet::V4(n.trunc())),
        IpAddr::V6(a) => Ipv6Net::new(a, v6_prefix).map(|n| IpNet::V6(n.trunc())),
    }
    .unwrap_or_else(|_| IpNet::from(address))
}

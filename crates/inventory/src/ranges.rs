//! The ranges that pod and Service addresses come from, so that a cluster address without a
//! known owner is distinguished from an outside one (rule: unknown-pod-never-allowed) and no CIDR ever covers the cluster (rule: cidr-excludes-cluster).

use super::control_plane::ControlPlane;
use super::{Node, Pod, Service};
use crate::kubernetes::ServiceCidr;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nanoseg_net::parse_range;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The nodes' podCIDRs, what the control plane's arguments say, and a /24 or /64 around each pod that none of
/// them covers: a plugin with its own address management does not use podCIDRs. `of_missing_pods` are addresses
/// that EndpointSlices say pods have which the snapshot does not hold.
pub(super) fn pod_ranges(
    nodes: &[Node],
    pods: &[Pod],
    control_plane: &ControlPlane,
    of_missing_pods: &BTreeSet<IpAddr>,
) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = nodes
        .iter()
        .flat_map(|n| n.pod_cidrs.iter().copied())
        .chain(control_plane.pod_ranges.iter().copied())
        .collect();
    let node_addresses: BTreeSet<&IpAddr> = nodes.iter().flat_map(|node| &node.addresses).collect();
    let known = pods
        .iter()
        .filter(|p| !p.host_network)
        .flat_map(|p| &p.addresses);
    for address in known {
        if !ranges.iter().any(|range| range.contains(address)) {
            ranges.push(around(*address, 24, 64));
        }
    }
    // Such a pod may be on the host network of a node that is not known: only its own address is a pod's for sure.
    let missing = of_missing_pods
        .iter()
        .filter(|address| !node_addresses.contains(address));
    ranges.extend(missing.map(|address| IpNet::from(*address)));
    IpNet::aggregate(&ranges)
}

/// The declared ranges of Service addresses: ServiceCIDR objects and arguments of the control plane
/// (rule: service-range-is-declared).
pub(super) fn declared_service_ranges(
    service_cidrs: &[&ServiceCidr],
    control_plane: &ControlPlane,
) -> Vec<IpNet> {
    let objects = service_cidrs
        .iter()
        .filter_map(|object| object.spec.as_ref()?.cidrs.as_ref())
        .flatten()
        .filter_map(|text| parse_range(text))
        .map(|range| range.trunc());
    IpNet::aggregate(
        &objects
            .chain(control_plane.service_ranges.iter().copied())
            .collect::<Vec<_>>(),
    )
}

/// The addresses that the API server gives to `default/kubernetes`: the first of its own ranges, of each family.
/// Further ServiceCIDR objects have other names (KEP-1880).
pub(super) fn kubernetes_addresses(
    service_cidrs: &[&ServiceCidr],
    control_plane: &ControlPlane,
) -> Vec<IpAddr> {
    let own = service_cidrs
        .iter()
        .filter(|object| object.metadata.name.as_deref() == Some("kubernetes"));
    let own = own.filter_map(|object| object.spec.as_ref()?.cidrs.as_ref());
    let ranges: Vec<IpNet> = own
        .flatten()
        .filter_map(|text| parse_range(text))
        .chain(control_plane.service_ranges.iter().copied())
        .collect();
    let first = |is_v4: bool| {
        let range = ranges
            .iter()
            .find(|range| range.addr().is_ipv4() == is_v4)?;
        nth_address(range, 1)
    };
    [first(true), first(false)].into_iter().flatten().collect()
}

/// The network's address and `n` more; `None` where the range is smaller.
pub(super) fn nth_address(range: &IpNet, n: u8) -> Option<IpAddr> {
    let address = match range.network() {
        IpAddr::V4(a) => IpAddr::V4(a.to_bits().checked_add(n.into())?.into()),
        IpAddr::V6(a) => IpAddr::V6(a.to_bits().checked_add(n.into())?.into()),
    };
    range.contains(&address).then_some(address)
}

/// The declared ranges, and the smallest range around all cluster IPs beyond them, per address family, at least a
/// /24 or /112. The first Service (`default/kubernetes`) always has the first address of the real range.
pub(super) fn service_ranges(services: &[Service], declared: &[IpNet]) -> Vec<IpNet> {
    let addresses = || {
        let all = services.iter().flat_map(|s| s.cluster_ips.iter().copied());
        all.filter(|address| !declared.iter().any(|range| range.contains(address)))
    };
    let v4 = addresses().filter(IpAddr::is_ipv4);
    let v6 = addresses().filter(IpAddr::is_ipv6);
    let seen = [common(v4.collect()), common(v6.collect())];
    let seen = seen.into_iter().flatten();
    IpNet::aggregate(&seen.chain(declared.iter().copied()).collect::<Vec<_>>())
}

fn common(addresses: Vec<IpAddr>) -> Option<IpNet> {
    let (low, high) = (*addresses.iter().min()?, *addresses.iter().max()?);
    let mut range = around(low, 24, 112);
    while !range.contains(&high) {
        range = range.supernet()?;
    }
    Some(range)
}

pub(super) fn around(address: IpAddr, v4_prefix: u8, v6_prefix: u8) -> IpNet {
    match address {
        IpAddr::V4(a) => Ipv4Net::new(a, v4_prefix).map(|n| IpNet::V4(n.trunc())),
        IpAddr::V6(a) => Ipv6Net::new(a, v6_prefix).map(|n| IpNet::V6(n.trunc())),
    }
    .unwrap_or_else(|_| IpNet::from(address))
}

/// Returns true for private, shared (RFC 6598) and unique-local (RFC 4193) addresses: those that clusters use for pods
/// and Services.
pub fn may_be_of_cluster(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

//! Public entries that are open to anywhere (rule: public-entry-is-a-decision): the operator's choice as a requirement,
//! so that it is written, proven and not counted as excess.

use crate::ip_blocks::ExcludedRanges;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nanoseg_graph::{
    End, EnforcedPorts, Peer, PublicEntry, Requirement, Requiring, ServiceEnforcements,
};
use nanoseg_inventory::Inventory;
use nanoseg_net::AddressSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FAMILIES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// Returns the requirements that open these entries to anywhere: to all addresses of the families that their pods have,
/// without those of the cluster and of special-purpose ranges (rule: cidr-excludes-cluster).
pub fn open_entry_requirements<'e>(
    inventory: &Inventory,
    entries: impl IntoIterator<Item = &'e PublicEntry>,
    enforcement: &ServiceEnforcements,
) -> Vec<Requirement> {
    let closed = ExcludedRanges::build(inventory);
    let outside = FAMILIES.map(|net| AddressSet::from_cidr_except(net, closed.inside(&net)));
    let mut all = Vec::new();
    for entry in entries {
        let used = families_of(inventory, entry);
        let ranges = used.iter().zip(&outside).filter(|(used, _)| **used);
        let ranges = AddressSet::union_all(ranges.map(|(_, set)| set));
        let client = Peer::Outside(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let server = Peer::Workload(entry.workload.clone());
        let plugin = inventory.network_plugin.behaviour().ports;
        let before = enforcement.between(&client, &server, plugin) == EnforcedPorts::Either;
        let more = entry.service_ports.iter().filter(|_| before).copied();
        all.extend(
            std::iter::once(entry.port)
                .chain(more)
                .map(|port| Requirement {
                    client: End::Ranges(ranges.clone()),
                    server: End::Workload(entry.workload.clone()),
                    protocol: entry.protocol,
                    port,
                    label: Some("anywhere".to_string()),
                    outside: true,
                    edge: Requiring::NOT_TAUGHT,
                }),
        );
    }
    all
}

/// Whether the pods of a public entry, or its clients, use IPv4 and IPv6.
fn families_of(inventory: &Inventory, entry: &PublicEntry) -> [bool; 2] {
    let workload = inventory.workloads.get(&entry.workload);
    let pods = workload.into_iter().flat_map(|workload| &workload.pods);
    let pods = pods.filter_map(|index| inventory.pods.get(*index));
    let own = pods.flat_map(|pod| &pod.addresses);
    let all: Vec<&IpAddr> = own.chain(&entry.clients).collect();
    [
        all.iter().any(|address| address.is_ipv4()),
        all.iter().any(|address| address.is_ipv6()),
    ]
}

/// Returns the whole families of which `addresses` has some.
pub(in super::super) fn families(addresses: &AddressSet) -> impl Iterator<Item = IpNet> + use<> {
    let all = [AddressSet::all_v4(), AddressSet::all_v6()];
    let used = all.map(|family| !family.intersection(addresses).is_empty());
    let nets = FAMILIES.into_iter().zip(used);
    nets.filter(|(_, used)| *used).map(|(net, _)| net)
}

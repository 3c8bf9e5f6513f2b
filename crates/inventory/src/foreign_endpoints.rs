//! What Services say of addresses that are not theirs: endpoints of other namespaces' pods, of nodes, of the API server
//! (class of CVE-2021-25740), and external addresses that are somebody's (class of CVE-2020-8554). Whoever may write
//! Services in a namespace can write any address there (rule: foreign-endpoint).

use super::services::is_kubernetes;
use super::{Inventory, Node, Pod, Service};
use ipnet::IpNet;
use nanoseg_finding::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// How many examples a finding carries.
const SAMPLES: usize = 5;

/// Takes away from Services the external addresses in their specs that are the API server's or in a range of pods' or
/// Services' addresses: they cannot be external ones. Returns a finding for each Service that claims some.
pub(super) fn withdraw_claims(
    services: &mut [Service],
    api_server: &BTreeSet<SocketAddr>,
    ranges: &[&[IpNet]],
    nodes: &[Node],
) -> Vec<Finding> {
    let of_nodes: BTreeSet<&IpAddr> = nodes.iter().flat_map(|node| &node.addresses).collect();
    let whose = |address: &IpAddr| {
        // A node's own address is a usual external one, and it stays the node's.
        if of_nodes.contains(address) {
            None
        } else if api_server.iter().any(|server| server.ip() == *address) {
            Some("the API server's")
        } else if ranges
            .iter()
            .copied()
            .flatten()
            .any(|range| range.contains(address))
        {
            Some("of the ranges of pods and Services")
        } else {
            None
        }
    };
    let mut findings = Vec::new();
    for service in services {
        let wrong: BTreeMap<IpAddr, &str> = service
            .claimed_ips
            .iter()
            .filter_map(|address| Some((*address, whose(address)?)))
            .collect();
        if wrong.is_empty() {
            continue;
        }
        service
            .external_ips
            .retain(|address| !wrong.contains_key(address));
        service
            .claimed_ips
            .retain(|address| !wrong.contains_key(address));
        let samples = wrong
            .iter()
            .map(|(address, whose)| format!("{address} is {whose}"));
        let message = "claims external addresses that cannot be its own; calls of them stay calls of whom they belong to";
        let subject = format!("{}/{}", service.namespace, service.name);
        findings.push(
            Finding::new(Code::ForeignEndpoint, subject, message)
                .with_samples(samples.take(SAMPLES)),
        );
    }
    findings
}

/// Returns a finding for each Service with endpoints that are not pods of its namespace. An outside address behind a
/// Service without a selector is what such Services are for.
pub(super) fn foreign_endpoints(inventory: &Inventory) -> Vec<Finding> {
    let owners = Owners::of(inventory);
    let services = inventory.services.iter().filter(|one| !is_kubernetes(one));
    services
        .filter_map(|service| {
            let foreign: BTreeMap<SocketAddr, String> = service
                .ports
                .iter()
                .flat_map(|port| &port.endpoints)
                .filter(|endpoint| !endpoint.own)
                .filter_map(|endpoint| {
                    let at = SocketAddr::new(endpoint.address, endpoint.port);
                    Some((at, owners.whose(endpoint.address, endpoint.pod, service)?))
                })
                .collect();
            if foreign.is_empty() {
                return None;
            }
            let owners: BTreeSet<&String> = foreign.values().collect();
            let owners: Vec<&str> = owners.into_iter().take(SAMPLES).map(String::as_str).collect();
            let message = format!(
                "has endpoints that are no pods of its namespace ({}); of them only what was seen to arrive there is allowed",
                owners.join(", ")
            );
            let samples = foreign.iter().map(|(at, whose)| format!("{at}: {whose}"));
            let subject = format!("{}/{}", service.namespace, service.name);
            Some(
                Finding::new(Code::ForeignEndpoint, subject, message)
                    .with_samples(samples.take(SAMPLES)),
            )
        })
        .collect()
}

/// Who has an address now.
struct Owners<'a> {
    inventory: &'a Inventory,
    pods: BTreeMap<IpAddr, &'a Pod>,
    nodes: BTreeMap<IpAddr, &'a Node>,
}

impl<'a> Owners<'a> {
    fn of(inventory: &'a Inventory) -> Owners<'a> {
        let pods = inventory.pods.iter().filter(|pod| !pod.host_network);
        let pods = pods.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod)));
        let nodes = inventory.nodes.iter();
        let nodes = nodes.flat_map(|node| node.addresses.iter().map(move |a| (*a, node)));
        Owners {
            inventory,
            pods: pods.collect(),
            nodes: nodes.collect(),
        }
    }

    /// Whose a foreign address is. `None` if nobody is known to have it, or if it is an outside one of a Service that
    /// has no selector.
    fn whose(&self, address: IpAddr, pod: Option<usize>, service: &Service) -> Option<String> {
        let named = pod.and_then(|index| self.inventory.pods.get(index));
        let of_pod = |pod: &Pod| format!("pod {}/{}", pod.namespace, pod.name);
        if let Some(pod) = named.or_else(|| self.pods.get(&address).copied()) {
            return (pod.namespace != service.namespace).then(|| of_pod(pod));
        }
        if self
            .inventory
            .api_server
            .iter()
            .any(|server| server.ip() == address)
        {
            return Some("the API server".into());
        }
        if let Some(node) = self.nodes.get(&address) {
            return Some(format!("node {}", node.name));
        }
        if let Some(other) = self.inventory.service_with(address) {
            return Some(format!("Service {}/{}", other.namespace, other.name));
        }
        let is_outside = !self.inventory.in_cluster_range(address);
        (is_outside && !service.selector.is_empty()).then(|| "outside address".into())
    }
}

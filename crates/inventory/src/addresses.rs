//! Who owns an address at a time. Pod addresses are reused, so each has a history (rule: owner-at-that-time).

use super::{Inventory, Node, Pod, Service};
use nanoseg_finding::{Code, Finding};
use nanoseg_net::{Protocol, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;

/// What an address means at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Index into [`Inventory::pods`].
    Pod(usize),
    /// Index into [`Inventory::nodes`].
    Node(usize),
    /// Index into [`Inventory::services`].
    Service(usize),
    /// In a range of the cluster, but without a known owner at that time.
    Unknown,
    Outside,
}

/// One pod's time with an address: from (inclusive) until (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tenure {
    from: Timestamp,
    until: Timestamp,
    pod: usize,
}

/// The histories of all addresses, and what listens where.
#[derive(Debug, Clone, Default)]
pub struct AddressBook {
    pods: FxHashMap<IpAddr, Vec<Tenure>>,
    nodes: FxHashMap<IpAddr, usize>,
    services: FxHashMap<IpAddr, usize>,
    /// Declared container ports, Service ports, node ports and endpoints, whenever they were.
    listeners: FxHashSet<(IpAddr, Protocol, u16)>,
}

impl AddressBook {
    /// Builds the histories. Overlapping claims are settled here; the ones that cannot be right are
    /// reported.
    pub(super) fn build(
        pods: &[Pod],
        nodes: &[Node],
        services: &[Service],
    ) -> (AddressBook, Vec<Finding>) {
        let mut book = AddressBook::default();
        let mut findings = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            for address in &node.addresses {
                book.nodes.entry(*address).or_insert(index);
            }
        }
        for (index, service) in services.iter().enumerate() {
            for address in service.cluster_ips.iter().chain(&service.external_ips) {
                book.services.entry(*address).or_insert(index);
            }
        }
        let mut claims: FxHashMap<IpAddr, Vec<usize>> = FxHashMap::default();
        for (index, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.host_network) {
            for address in &pod.addresses {
                claims.entry(*address).or_default().push(index);
            }
        }
        for (address, claimants) in claims {
            let tenures = settle(address, claimants, pods, &mut findings);
            book.pods.insert(address, tenures);
        }
        findings.sort();
        book.note_listeners(pods, nodes, services);
        (book, findings)
    }

    fn note_listeners(&mut self, pods: &[Pod], nodes: &[Node], services: &[Service]) {
        for pod in pods {
            for (address, port) in pod
                .addresses
                .iter()
                .flat_map(|a| pod.ports.iter().map(move |p| (a, p)))
            {
                self.listeners
                    .insert((*address, port.protocol, port.number));
            }
        }
        let nodes_by_name: FxHashMap<&str, &Node> = nodes
            .iter()
            .map(|node| (node.name.as_str(), node))
            .collect();
        for pod in pods.iter().filter(|pod| !pod.host_ports.is_empty()) {
            let node = pod.node.as_deref().and_then(|name| nodes_by_name.get(name));
            for address in node.iter().flat_map(|node| &node.addresses) {
                let ports = pod.host_ports.iter();
                let here = ports.filter(|port| port.address.is_none_or(|only| only == *address));
                self.listeners
                    .extend(here.map(|port| (*address, port.protocol, port.number)));
            }
        }
        for service in services {
            for port in &service.ports {
                for address in service.cluster_ips.iter().chain(&service.external_ips) {
                    self.listeners.insert((*address, port.protocol, port.port));
                }
                for endpoint in &port.endpoints {
                    self.listeners
                        .insert((endpoint.address, port.protocol, endpoint.port));
                }
                if let Some(node_port) = port.node_port {
                    for address in nodes.iter().flat_map(|node| &node.addresses) {
                        self.listeners.insert((*address, port.protocol, node_port));
                    }
                }
            }
        }
    }

    /// Returns true if something is known to listen at this address and port.
    pub fn listens(&self, address: IpAddr, protocol: Protocol, port: u16) -> bool {
        self.listeners.contains(&(address, protocol, port))
    }

    /// The times at which addresses gained or lost an owner.
    pub fn changes(&self) -> impl Iterator<Item = (IpAddr, Timestamp)> + '_ {
        self.pods.iter().flat_map(|(address, tenures)| {
            tenures
                .iter()
                .flat_map(|tenure| [tenure.from, tenure.until])
                .filter(|at| *at != Timestamp::MIN && *at != Timestamp::MAX)
                .map(|at| (*address, at))
        })
    }
}

impl Inventory {
    /// Who owned `address` at `at`.
    pub fn resolve(&self, address: IpAddr, at: Timestamp) -> Owner {
        let book = &self.addresses;
        if let Some(tenures) = book.pods.get(&address) {
            let holder = tenures.iter().rev().find(|t| t.from <= at && at < t.until);
            if let Some(tenure) = holder {
                return Owner::Pod(tenure.pod);
            }
        }
        if let Some(node) = book.nodes.get(&address) {
            return Owner::Node(*node);
        }
        if let Some(service) = book.services.get(&address) {
            return Owner::Service(*service);
        }
        if self.in_cluster_range(address) {
            Owner::Unknown
        } else {
            Owner::Outside
        }
    }
}

/// Puts the claims on one address in order, so that at any time at most one holds.
fn settle(
    address: IpAddr,
    mut claimants: Vec<usize>,
    pods: &[Pod],
    findings: &mut Vec<Finding>,
) -> Vec<Tenure> {
    claimants.sort_by_key(|i| (pods[*i].owned.from, pods[*i].name.clone()));
    let mut tenures: Vec<Tenure> = Vec::with_capacity(claimants.len());
    for index in claimants {
        let pod = &pods[index];
        let mut from = pod.owned.from.unwrap_or(Timestamp::MIN);
        if let Some(before) = tenures.last_mut() {
            let earlier = &pods[before.pod];
            if conflict(earlier, pod) {
                findings.push(Finding::new(
                    Code::AddressConflict,
                    format!("{}/{}", pod.namespace, pod.name),
                    format!(
                        "has {address} while {}/{} still has it",
                        earlier.namespace, earlier.name
                    ),
                ));
            }
            from = handover(earlier, pod).max(before.from);
            before.until = before.until.min(from);
        }
        let until = pod.owned.until.unwrap_or(Timestamp::MAX).max(from);
        tenures.push(Tenure {
            from,
            until,
            pod: index,
        });
    }
    tenures
}

/// Both are known to have been there at once: the earlier one ended after the later one's network
/// was up, or nothing bounds either in time. (An earlier pod without a known end has merely gone.)
fn conflict(earlier: &Pod, later: &Pod) -> bool {
    match (earlier.owned.until, later.network_up) {
        // Both times are cut to the second and `until` is rounded up.
        (Some(end), Some(up)) => up.plus_secs(2) < end,
        _ => earlier.owned.from.is_none() && later.owned.from.is_none(),
    }
}

/// When an address went from one pod to the next. A pod's startTime is *before* it gets its address,
/// so where the earlier one's end is known it counts, bounded by when the later one's network was up.
fn handover(earlier: &Pod, later: &Pod) -> Timestamp {
    let start = later.owned.from.unwrap_or(Timestamp::MIN);
    let Some(end) = earlier.owned.until else {
        return start;
    };
    let up = later.network_up.unwrap_or(start).max(start);
    end.clamp(start, up)
}

//! Who owns an address at a time. Pod addresses are reused, so each has a history (rule: owner-at-that-time).

use super::tenures::{Claim, Hold, LinkSpan, Order, Tenure, conflict, settle};
use super::{Inventory, Node, Pod, Service, WorkloadId};
use nanoseg_finding::{Code, Finding};
use nanoseg_net::{Protocol, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The pod had it before or gets it later, but at that time somebody else may have had it. Index into
    /// [`Inventory::pods`].
    Uncertain(usize),
    /// In a range of the cluster, but without a known owner at that time.
    Unknown,
    Outside,
}

/// A pod that got or gave back an address, and when.
type Handover = (usize, Timestamp);

/// A pod whose interface tells the age of others on its node.
#[derive(Debug, Clone)]
struct Neighbour {
    node: String,
    from: Timestamp,
    up: Timestamp,
}

/// The histories of all addresses, and what listens where.
#[derive(Debug, Clone, Default)]
pub struct AddressBook {
    pods: FxHashMap<IpAddr, Vec<Tenure>>,
    nodes: FxHashMap<IpAddr, usize>,
    services: FxHashMap<IpAddr, usize>,
    /// The claims on addresses of pods that are gone without a known end, in the order of their times.
    open: BTreeMap<IpAddr, Vec<Claim>>,
    /// Pods that were there all the time, by their address, where `open` is not empty.
    neighbours: BTreeMap<IpAddr, Neighbour>,
    /// Declared container ports, Service ports, node ports and endpoints, whenever they were.
    listeners: FxHashSet<(IpAddr, Protocol, u16)>,
}

impl AddressBook {
    /// Builds the histories. Overlapping claims are settled here; the ones that cannot be right are
    /// reported.
    pub(super) fn build(
        pods: &[Pod],
        claims: BTreeMap<IpAddr, Vec<Claim>>,
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
        // The API server gives out cluster addresses; an external one is what somebody writes.
        for of in [
            |one: &Service| one.cluster_ips.clone(),
            |one: &Service| one.external_ips.clone(),
        ] {
            for (index, service) in services.iter().enumerate() {
                for address in of(service) {
                    book.services.entry(address).or_insert(index);
                }
            }
        }
        for (address, claims) in &claims {
            book.note_neighbour(*address, claims);
        }
        for (address, claims) in claims {
            let (claims, tenures) = settle(claims, &[], |_, _| Order::Unknown);
            findings.extend(conflicts(address, &claims));
            book.pods.insert(address, tenures);
            if claims.iter().any(Claim::is_open) {
                book.open.insert(address, claims);
            }
        }
        if book.open.is_empty() {
            book.neighbours.clear();
        }
        findings.sort();
        book.note_listeners(pods, nodes, services);
        (book, findings)
    }

    /// Only a pod that nobody else preceded or followed on its address tells the age of its interface.
    fn note_neighbour(&mut self, address: IpAddr, claims: &[Claim]) {
        if let [claim] = claims
            && !claim.seen.gone
            && claim.until.is_none()
            && let (Some(node), Some(from), Some(up)) = (&claim.node, claim.from, claim.up)
        {
            let neighbour = Neighbour {
                node: node.clone(),
                from,
                up,
            };
            self.neighbours.insert(address, neighbour);
        }
    }

    /// The times of all pods with an address.
    pub(super) fn tenures(&self, address: IpAddr) -> &[Tenure] {
        self.pods.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The last pod that gave an address back before a time, with that time, and the next one that got it.
    pub(super) fn around(
        &self,
        address: IpAddr,
        at: Timestamp,
    ) -> (Option<Handover>, Option<Handover>) {
        let tenures = || self.pods.get(&address).into_iter().flatten();
        let before = tenures().rev().find(|tenure| tenure.until <= at);
        let after = tenures().find(|tenure| tenure.from > at);
        (
            before.map(|tenure| (tenure.pod, tenure.until)),
            after.map(|tenure| (tenure.pod, tenure.from)),
        )
    }

    /// The addresses of pods that are gone without a known end: what packets show of their links decides how long
    /// each had its address for certain ([`AddressBook::confirm`]).
    pub fn open(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.open.keys().copied()
    }

    /// Extends the certain time of a pod that is gone to the last packet that came from its own link, and ends it at
    /// the first one that came from another. `links` are in the order of their first packets; `interfaces` are the
    /// indices of the interfaces that only one address used.
    pub fn confirm(
        &mut self,
        links: &BTreeMap<IpAddr, Vec<LinkSpan>>,
        interfaces: &BTreeMap<IpAddr, u32>,
    ) {
        for (address, links) in links {
            let Some(claims) = self.open.get(address) else {
                continue;
            };
            let order = |claim: &Claim, link: &LinkSpan| self.order(claim, link, interfaces);
            let (_, tenures) = settle(claims.clone(), links, order);
            self.pods.insert(*address, tenures);
        }
    }

    /// Compares the age of a link with that of the pod's: an interface that is made later has a larger index.
    fn order(&self, claim: &Claim, link: &LinkSpan, interfaces: &BTreeMap<IpAddr, u32>) -> Order {
        let Some(interface) = link.interface else {
            return Order::Unknown;
        };
        let mut order = Order::Unknown;
        for (address, index) in interfaces {
            let Some(other) = self.neighbours.get(address) else {
                continue;
            };
            if Some(&other.node) != claim.node.as_ref() {
                continue;
            }
            let is_older = claim.up.is_some_and(|up| up.plus_secs(2) < other.from);
            if *index < interface && is_older {
                return Order::Refuted;
            }
            let was_there = claim.seen.ordered && claim.seen.at.is_some_and(|at| other.up <= at);
            if *index > interface && was_there {
                order = Order::Proven;
            }
        }
        order
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
                for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.own) {
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
    /// The workloads of the pods that perhaps had `address` between two times, though it is not certain.
    pub fn may_have_had(
        &self,
        address: IpAddr,
        (first, last): (Timestamp, Timestamp),
    ) -> BTreeSet<&WorkloadId> {
        let tenures = self.addresses.pods.get(&address).into_iter().flatten();
        let perhaps = tenures
            .filter(|t| t.hold == Hold::Perhaps && t.from <= last && first < t.until)
            .filter_map(|tenure| self.pods.get(tenure.pod));
        perhaps.map(|pod| &pod.workload).collect()
    }

    /// The nodes of all pods that have `address` at any time.
    pub fn nodes_of_pods_with(&self, address: IpAddr) -> BTreeSet<&str> {
        let tenures = self.addresses.pods.get(&address).into_iter().flatten();
        let pods = tenures.filter_map(|tenure| self.pods.get(tenure.pod));
        pods.filter_map(|pod| pod.node.as_deref()).collect()
    }

    /// Who owned `address` at `at`.
    pub fn resolve(&self, address: IpAddr, at: Timestamp) -> Owner {
        let book = &self.addresses;
        if let Some(tenures) = book.pods.get(&address) {
            let holder = tenures.iter().rev().find(|t| t.from <= at && at < t.until);
            if let Some(tenure) = holder {
                return if tenure.hold == Hold::Certain {
                    Owner::Pod(tenure.pod)
                } else {
                    Owner::Uncertain(tenure.pod)
                };
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

/// Claims that cannot both be right.
fn conflicts(address: IpAddr, claims: &[Claim]) -> Vec<Finding> {
    let pairs = claims.iter().zip(claims.iter().skip(1));
    let wrong = pairs.filter(|(earlier, later)| conflict(earlier, later));
    wrong
        .map(|(earlier, later)| {
            Finding::new(
                Code::AddressConflict,
                later.name.clone(),
                format!("has {address} while {} still has it", earlier.name),
            )
        })
        .collect()
}

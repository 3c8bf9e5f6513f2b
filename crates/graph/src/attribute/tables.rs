//! Lookup tables for attribution, built once for an inventory.

use super::dns_servers::DnsServers;
use super::{PeerKey, peer_label};
use nanoseg_inventory::{HostPort, Inventory, WorkloadId};
use nanoseg_net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// Lookup tables for attribution, built once for an inventory.
pub(in super::super) struct Tables {
    /// Every address of every node.
    pub node_addresses: BTreeSet<IpAddr>,
    pub(super) workloads: Vec<WorkloadId>,
    /// The workload and the node of each pod.
    pub(super) pods: Vec<(u32, Option<u32>)>,
    /// Services and their ports by node port.
    pub(super) node_ports: FxHashMap<(Protocol, u16), (usize, usize)>,
    /// Pods by a port of their node that leads to them, the latest last.
    pub(super) host_ports: FxHashMap<(u32, Protocol, u16), Vec<(usize, HostPort)>>,
    /// Workloads' ports that a masquerading Service exposes on nodes.
    pub(super) exposed: FxHashSet<(u32, Protocol, u16)>,
    pub(super) daemons: Daemons,
    /// The nodes' ingress proxies (Cilium's), and the addresses of all of them.
    pub(super) ingress: FxHashMap<IpAddr, u32>,
    pub(super) ingress_addresses: Arc<BTreeSet<IpAddr>>,
    pub(super) dns_servers: DnsServers,
    pub(super) named_peers: peer_label::NamedPeers,
    /// The names behind the stand-in addresses of peers that a source names and nobody has.
    pub(super) names: Mutex<BTreeMap<IpAddr, String>>,
}

/// Names of such peers that are kept.
pub(super) const MAX_NAMES: usize = 1 << 16;

/// DaemonSets on the host network. What is seen of one pod holds for the pods on all of its nodes
/// (rule: host-network-daemon-set).
#[derive(Default)]
pub(super) struct Daemons {
    /// The nodes of each DaemonSet, by the place of its workload.
    pub nodes: FxHashMap<u32, BTreeSet<u32>>,
    /// The DaemonSet that listens at a node's port.
    pub listeners: FxHashMap<(u32, Protocol, u16), u32>,
}

impl Daemons {
    fn build(inventory: &Inventory, pods: &[(u32, Option<u32>)]) -> Daemons {
        let mut daemons = Daemons::default();
        for (pod, (workload, node)) in inventory.pods.iter().zip(pods) {
            let Some(node) = *node else { continue };
            if !pod.host_network || pod.workload.kind != "DaemonSet" {
                continue;
            }
            daemons.nodes.entry(*workload).or_default().insert(node);
            for port in &pod.ports {
                let listener = (node, port.protocol, port.number);
                daemons.listeners.insert(listener, *workload);
            }
        }
        daemons
    }
}

impl Tables {
    pub fn build(inventory: &Inventory) -> Self {
        let places: FxHashMap<&WorkloadId, u32> = inventory.workloads.keys().zip(0u32..).collect();
        let nodes: FxHashMap<&str, u32> = inventory
            .nodes
            .iter()
            .map(|node| node.name.as_str())
            .zip(0u32..)
            .collect();
        let pods: Vec<(u32, Option<u32>)> = inventory
            .pods
            .iter()
            .map(|pod| {
                let node = pod
                    .node
                    .as_deref()
                    .and_then(|name| nodes.get(name).copied());
                (places.get(&pod.workload).copied().unwrap_or(u32::MAX), node)
            })
            .collect();
        let (node_ports, exposed) = node_ports(inventory, &pods);
        let ingress: FxHashMap<IpAddr, u32> = inventory
            .nodes
            .iter()
            .zip(0u32..)
            .flat_map(|(node, index)| node.ingress.iter().map(move |address| (*address, index)))
            .collect();
        Tables {
            node_addresses: inventory.node_addresses(),
            workloads: inventory.workloads.keys().cloned().collect(),
            node_ports,
            host_ports: host_ports(inventory, &pods),
            exposed,
            daemons: Daemons::build(inventory, &pods),
            ingress_addresses: Arc::new(ingress.keys().copied().collect()),
            ingress,
            dns_servers: DnsServers::build(inventory, &pods),
            named_peers: peer_label::NamedPeers::build(inventory),
            names: Mutex::default(),
            pods,
        }
    }

    /// The addresses of all nodes on which a DaemonSet runs, if the peer is a node because a pod of it does.
    pub(super) fn daemon_addresses(
        &self,
        workload: u32,
        inventory: &Inventory,
    ) -> Option<Arc<BTreeSet<IpAddr>>> {
        let nodes = self.daemons.nodes.get(&workload)?;
        let nodes = nodes
            .iter()
            .filter_map(|node| inventory.nodes.get(*node as usize));
        Some(Arc::new(
            nodes
                .flat_map(|node| node.addresses.iter().copied())
                .collect(),
        ))
    }

    /// The addresses from which a client is seen now, of which `before` were some at an earlier time.
    pub fn sources_now(&self, before: &BTreeSet<IpAddr>) -> &BTreeSet<IpAddr> {
        if before
            .iter()
            .any(|address| self.ingress.contains_key(address))
        {
            &self.ingress_addresses
        } else {
            &self.node_addresses
        }
    }

    /// The nodes of the DaemonSet that listens at a port of `node`; the node alone where none does.
    pub(super) fn nodes_of_listener(
        &self,
        node: u32,
        protocol: Protocol,
        port: u16,
    ) -> Vec<PeerKey> {
        let daemon = self.daemons.listeners.get(&(node, protocol, port));
        let nodes = daemon.and_then(|workload| self.daemons.nodes.get(workload));
        match nodes {
            Some(nodes) => nodes.iter().map(|node| PeerKey::Node(*node)).collect(),
            None => vec![PeerKey::Node(node)],
        }
    }
}

type NodePorts = FxHashMap<(Protocol, u16), (usize, usize)>;

fn node_ports(
    inventory: &Inventory,
    pods: &[(u32, Option<u32>)],
) -> (NodePorts, FxHashSet<(u32, Protocol, u16)>) {
    let mut node_ports = NodePorts::default();
    let mut exposed = FxHashSet::default();
    for (place, service) in inventory.services.iter().enumerate() {
        for (index, port) in service.ports.iter().enumerate() {
            let Some(node_port) = port.node_port else {
                continue;
            };
            node_ports
                .entry((port.protocol, node_port))
                .or_insert((place, index));
            if !service.external_local {
                let behind = port.endpoints.iter().filter(|e| e.own);
                let behind = behind.filter_map(|e| Some((e.pod?, e.port)));
                exposed.extend(behind.map(|(pod, number)| (pods[pod].0, port.protocol, number)));
            }
        }
    }
    (node_ports, exposed)
}

fn host_ports(
    inventory: &Inventory,
    pods: &[(u32, Option<u32>)],
) -> FxHashMap<(u32, Protocol, u16), Vec<(usize, HostPort)>> {
    let mut found: BTreeMap<(u32, Protocol, u16), Vec<(usize, HostPort)>> = BTreeMap::new();
    for (index, pod) in inventory.pods.iter().enumerate() {
        let Some(node) = pods[index].1 else { continue };
        for port in &pod.host_ports {
            let key = (node, port.protocol, port.number);
            found.entry(key).or_default().push((index, *port));
        }
    }
    for all in found.values_mut() {
        all.sort_by_key(|(index, _)| inventory.pods[*index].owned.from);
    }
    found.into_iter().collect()
}

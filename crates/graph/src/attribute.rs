//! From the addresses of a flow record to peers, at the time of the record (rule: owner-at-that-time).

mod departed;
mod peer_label;

use super::{Peer, Unattributed, UnattributedReason};
use nanoseg_flow::FlowRecord;
use nanoseg_inventory::{Inventory, Owner, Service, ServiceEndpoint, ServicePort, WorkloadId};
use nanoseg_net::{Protocol, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// A peer as a small value, for the many records; [`Attribution::peer`] gives its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PeerKey {
    /// The place of the workload in the inventory's order.
    Workload(u32),
    ApiServer,
    /// Index into [`Inventory::nodes`].
    Node(u32),
    Outside(IpAddr),
    Unattributed(IpAddr, UnattributedReason),
}

/// One server of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub peer: PeerKey,
    /// The server's own port.
    pub port: u16,
    /// The node it runs on, where it is a pod: an index into [`Inventory::nodes`].
    pub node: Option<u32>,
}

/// The Service through which a record's client called.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceAccess<'a> {
    pub service: &'a Service,
    pub port: &'a ServicePort,
    /// Called by a node's address and node port.
    pub by_node_port: bool,
    /// Called by an address that is not the cluster IP: node port, load balancer, external IP.
    pub from_outside: bool,
}

impl ServiceAccess<'_> {
    pub fn name(&self) -> String {
        format!(
            "{}/{}:{}",
            self.service.namespace, self.service.name, self.port.port
        )
    }
}

/// A record's two ends.
#[derive(Debug)]
pub(super) struct Attributed<'a> {
    pub client: PeerKey,
    /// All servers, in order: one, or everything behind a Service port, since any may be picked next.
    pub targets: Vec<Target>,
    pub service_access: Option<ServiceAccess<'a>>,
}

/// The inventory with lookup tables for attribution.
pub(super) struct Attribution<'a> {
    pub inventory: &'a Inventory,
    tables: Arc<Tables>,
}

/// Lookup tables for attribution, built once for an inventory.
pub(super) struct Tables {
    /// Every address of every node.
    pub node_addresses: BTreeSet<IpAddr>,
    workloads: Vec<WorkloadId>,
    /// The workload and the node of each pod.
    pods: Vec<(u32, Option<u32>)>,
    /// Services and their ports by node port.
    node_ports: FxHashMap<(Protocol, u16), (usize, usize)>,
    /// Workloads' ports that a masquerading Service exposes on nodes.
    exposed: FxHashSet<(u32, Protocol, u16)>,
    named_peers: peer_label::NamedPeers,
    /// The names behind the stand-in addresses of peers that a source names and nobody has.
    names: Mutex<BTreeMap<IpAddr, String>>,
}

/// Names of peers that are kept.
const MAX_NAMES: usize = 1 << 16;

impl std::ops::Deref for Attribution<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Tables {
    fn build(inventory: &Inventory) -> Self {
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
        let mut node_ports = FxHashMap::default();
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
                    let behind = port.endpoints.iter().filter_map(|e| Some((e.pod?, e.port)));
                    exposed
                        .extend(behind.map(|(pod, number)| (pods[pod].0, port.protocol, number)));
                }
            }
        }
        Tables {
            node_addresses: inventory.node_addresses(),
            workloads: inventory.workloads.keys().cloned().collect(),
            pods,
            node_ports,
            exposed,
            named_peers: peer_label::NamedPeers::build(inventory),
            names: Mutex::default(),
        }
    }
}

impl<'a> Attribution<'a> {
    pub fn build(inventory: &'a Inventory) -> Self {
        Attribution::with(inventory, Arc::new(Tables::build(inventory)))
    }

    /// With tables that were made for the same inventory.
    pub fn with(inventory: &'a Inventory, tables: Arc<Tables>) -> Self {
        Attribution { inventory, tables }
    }

    pub fn tables(&self) -> Arc<Tables> {
        self.tables.clone()
    }

    /// Names the peers of a record whose client and server are decided.
    pub fn attribute(&self, record: &FlowRecord) -> Attributed<'a> {
        let at = record.first;
        let labels = record.labels.as_deref();
        let client = labels
            .and_then(|labels| self.labelled(labels.client.as_ref()?, record.client, at))
            .map_or_else(|| self.client(record.client, at), |(peer, _)| peer);
        let called = record.via.map(|via| (via.ip(), via.port()));
        let arrived = (record.server, record.port);
        // Two legs of one connection may come in either order where two nodes' clocks differ.
        let service_at = |(address, port)| self.service_at(address, port, record.protocol, at);
        let service_access = called
            .and_then(service_at)
            .or_else(|| service_at(arrived))
            .or_else(|| self.labelled_service(record));
        let mut targets = Vec::new();
        if let Some(service_access) = &service_access {
            let endpoints = service_access.port.endpoints.iter();
            targets.extend(endpoints.map(|endpoint| self.endpoint(endpoint, at)));
        }
        for (address, port) in called.into_iter().chain([arrived]) {
            if service_access.is_some() && service_at((address, port)).is_some() {
                continue;
            }
            let is_last = (address, port) == arrived || service_access.is_some();
            let is_service = || matches!(self.inventory.resolve(address, at), Owner::Service(_));
            // A label is about the place where the connection arrived.
            let labelled = labels
                .filter(|_| (address, port) == arrived)
                .and_then(|labels| self.labelled(labels.server.as_ref()?, address, at));
            match labelled {
                Some((peer, node)) if is_last => targets.push(Target { peer, port, node }),
                None if is_last && !is_service() => targets.push(self.server(address, port, at)),
                _ => {}
            }
        }
        targets.sort_unstable();
        targets.dedup();
        Attributed {
            client,
            targets,
            service_access,
        }
    }

    /// The peer that has a client's address.
    pub fn client(&self, address: IpAddr, at: Timestamp) -> PeerKey {
        match self.inventory.resolve(address, at) {
            Owner::Pod(index) => self.pod(index),
            Owner::Node(index) => PeerKey::Node(index as u32),
            Owner::Service(_) | Owner::Unknown => {
                PeerKey::Unattributed(address, UnattributedReason::UnknownPod)
            }
            Owner::Outside if self.is_api_server(address) => PeerKey::ApiServer,
            Owner::Outside => PeerKey::Outside(address),
        }
    }

    /// The key of a peer that only its name tells: a stand-in address, behind which the name is kept.
    fn named(&self, address: IpAddr, name: String, reason: UnattributedReason) -> PeerKey {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_NAMES {
            names.entry(address).or_insert(name);
        }
        PeerKey::Unattributed(address, reason)
    }

    /// Returns true if a masquerading Service exposes that port of the workload on nodes.
    pub fn is_exposed(&self, peer: PeerKey, protocol: Protocol, port: u16) -> bool {
        matches!(peer, PeerKey::Workload(place) if self.exposed.contains(&(place, protocol, port)))
    }

    /// The peer of a compact key.
    pub fn peer(&self, key: PeerKey) -> Peer {
        match key {
            PeerKey::Workload(place) => Peer::Workload(self.workloads[place as usize].clone()),
            PeerKey::ApiServer => Peer::ApiServer,
            PeerKey::Node(index) => Peer::Node(self.inventory.nodes[index as usize].name.clone()),
            PeerKey::Outside(address) => Peer::Outside(address),
            PeerKey::Unattributed(address, reason) => {
                let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                Peer::Unattributed(Unattributed {
                    name: names.get(&address).cloned(),
                    ..Unattributed::at(address, reason)
                })
            }
        }
    }

    /// The Service port that stands at an address, by cluster IP, external IP or node port (rule: service-target-port).
    fn service_at(
        &self,
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<ServiceAccess<'a>> {
        match self.inventory.resolve(address, at) {
            Owner::Service(index) => {
                let service = &self.inventory.services[index];
                let found = service
                    .ports
                    .iter()
                    .find(|p| p.port == port && p.protocol == protocol)?;
                let from_outside = !service.cluster_ips.contains(&address);
                Some(ServiceAccess {
                    service,
                    port: found,
                    by_node_port: false,
                    from_outside,
                })
            }
            Owner::Node(_) => {
                let (service, index) = *self.node_ports.get(&(protocol, port))?;
                let service = &self.inventory.services[service];
                let port = &service.ports[index];
                Some(ServiceAccess {
                    service,
                    port,
                    by_node_port: true,
                    from_outside: true,
                })
            }
            _ => None,
        }
    }

    fn server(&self, address: IpAddr, port: u16, at: Timestamp) -> Target {
        let (peer, node) = match self.inventory.resolve(address, at) {
            _ if self
                .inventory
                .api_server
                .contains(&SocketAddr::new(address, port)) =>
            {
                (PeerKey::ApiServer, None)
            }
            Owner::Pod(index) => (self.pod(index), self.pods[index].1),
            Owner::Node(index) => (PeerKey::Node(index as u32), None),
            Owner::Service(_) | Owner::Unknown => {
                let unknown = PeerKey::Unattributed(address, UnattributedReason::UnknownPod);
                (unknown, None)
            }
            Owner::Outside => (PeerKey::Outside(address), None),
        };
        Target { peer, port, node }
    }

    fn endpoint(&self, endpoint: &ServiceEndpoint, at: Timestamp) -> Target {
        match endpoint.pod {
            Some(index) if !self.inventory.pods[index].host_network => Target {
                peer: self.pod(index),
                port: endpoint.port,
                node: self.pods[index].1,
            },
            _ => self.server(endpoint.address, endpoint.port, at),
        }
    }

    /// A pod's peer is its workload; a hostNetwork pod's is its node (rule: node-by-address).
    fn pod(&self, index: usize) -> PeerKey {
        let (workload, node) = self.pods[index];
        match node {
            Some(node) if self.inventory.pods[index].host_network => PeerKey::Node(node),
            _ => PeerKey::Workload(workload),
        }
    }

    fn is_api_server(&self, address: IpAddr) -> bool {
        self.inventory
            .api_server
            .iter()
            .any(|endpoint| endpoint.ip() == address)
    }
}

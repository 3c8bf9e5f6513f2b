//! From the addresses of a flow record to peers, at the time of the record (rule: owner-at-that-time).

mod dns_servers;
mod peer_label;
mod tables;

pub(super) use tables::Tables;

use super::{Peer, Unattributed, UnattributedReason};
use dns_servers::DNS_PORT;
use nanoseg_flow::{FlowRecord, PeerLabel};
use nanoseg_inventory::{Inventory, Owner, Service, ServiceEndpoint, ServicePort};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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
    /// All addresses from which such a client may come, where it is not only itself: a DaemonSet on the host
    /// network, the ingress proxies of all nodes.
    pub client_addresses: Option<Arc<BTreeSet<IpAddr>>>,
    /// All servers, in order: one, or everything behind a Service port, since any may be picked next.
    pub targets: Vec<Target>,
    pub service_access: Option<ServiceAccess<'a>>,
    /// The node's port that leads to the pod which was called (rule: host-port-is-container-port).
    pub host_port: Option<u16>,
    /// A Service was called, and nothing is known to stand behind what was called.
    pub is_orphan: bool,
}

/// The inventory with lookup tables for attribution.
pub(super) struct Attribution<'a> {
    pub inventory: &'a Inventory,
    tables: Arc<Tables>,
}

impl std::ops::Deref for Attribution<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
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
        let (client, client_addresses) = self.client_of(record);
        let called = record.via.map(|via| (via.ip(), via.port()));
        let arrived = (record.server, record.port);
        // Two legs of one connection may come in either order where two nodes' clocks differ.
        let service_at = |(address, port)| self.service_at(address, port, record.protocol, at);
        let service_access = called
            .and_then(service_at)
            .or_else(|| service_at(arrived))
            .or_else(|| self.labelled_service(record));
        let host_port_at = |(address, port)| self.host_port_at(address, port, record.protocol, at);
        let host_port = called
            .filter(|called| host_port_at(*called).is_some())
            .or_else(|| Some(arrived).filter(|arrived| host_port_at(*arrived).is_some()));
        let mut targets = self.behind(service_access.as_ref(), record);
        for (address, port) in called.into_iter().chain([arrived]) {
            if service_access.is_some() && service_at((address, port)).is_some() {
                continue;
            }
            let is_last = (address, port) == arrived || service_access.is_some();
            let is_service = || matches!(self.inventory.resolve(address, at), Owner::Service(_));
            // A label is about the place where the connection arrived.
            let labelled = record
                .labels
                .as_deref()
                .filter(|_| (address, port) == arrived)
                .and_then(|labels| self.labelled(labels.server.as_ref()?, address));
            match labelled {
                Some((peer, node)) if is_last => targets.push(Target { peer, port, node }),
                None if is_last && !is_service() => {
                    targets.extend(self.servers(client, (address, port), record.protocol, at));
                }
                _ => {}
            }
        }
        let is_orphan = targets.is_empty();
        if is_orphan {
            targets.push(self.orphan(service_access.as_ref(), called.unwrap_or(arrived)));
        }
        targets.sort_unstable();
        targets.dedup();
        Attributed {
            client,
            client_addresses,
            targets,
            service_access,
            host_port: host_port.map(|(_, port)| port),
            is_orphan,
        }
    }

    /// The client of a record, and the addresses from which such a client may come.
    fn client_of(&self, record: &FlowRecord) -> (PeerKey, Option<Arc<BTreeSet<IpAddr>>>) {
        let label = record
            .labels
            .as_deref()
            .and_then(|labels| labels.client.as_ref());
        if let Some(label) = label
            && let Some((peer, _)) = self.labelled(label, record.client)
        {
            return (peer, self.daemon_of(label));
        }
        match self.ingress.get(&record.client) {
            Some(node) => (PeerKey::Node(*node), Some(self.ingress_addresses.clone())),
            None => (self.client(record.client, record.first), None),
        }
    }

    /// The addresses of the nodes of the DaemonSet that a label names, if it is on the host network.
    fn daemon_of(&self, label: &PeerLabel) -> Option<Arc<BTreeSet<IpAddr>>> {
        let PeerLabel::Pod { namespace, name } = label else {
            return None;
        };
        let index = self.named_peers.pod(namespace, name, self.inventory)?;
        let pod = self.inventory.pods.get(index)?;
        let workload = self.pods.get(index)?.0;
        pod.host_network
            .then(|| self.daemon_addresses(workload, self.inventory))?
    }

    /// What stands behind the Service that was called.
    fn behind(&self, access: Option<&ServiceAccess<'_>>, record: &FlowRecord) -> Vec<Target> {
        let endpoints = access.iter().flat_map(|access| &access.port.endpoints);
        endpoints
            .flat_map(|endpoint| self.endpoint(endpoint, record.protocol, record.first))
            .collect()
    }

    /// The Service itself, where nothing is known to stand behind it: under its cluster address, if it has one.
    fn orphan(&self, access: Option<&ServiceAccess<'_>>, called: (IpAddr, u16)) -> Target {
        let own = access.and_then(|access| {
            let address = access.service.cluster_ips.first()?;
            Some((*address, access.port.port))
        });
        let (address, port) = own.unwrap_or(called);
        Target {
            peer: PeerKey::Unattributed(address, UnattributedReason::ServiceWithoutEndpoints),
            port,
            node: None,
        }
    }

    /// The peer that has a client's address.
    pub fn client(&self, address: IpAddr, at: Timestamp) -> PeerKey {
        match self.inventory.resolve(address, at) {
            Owner::Pod(index) => self.pod(index),
            Owner::Node(index) => PeerKey::Node(index as u32),
            Owner::Service(_) => PeerKey::Unattributed(address, UnattributedReason::UnknownPod),
            Owner::Unknown => self.unknown(address),
            Owner::Outside if self.is_api_server(address) => PeerKey::ApiServer,
            Owner::Outside => self.outside(address),
        }
    }

    /// Nobody is known to have an address of the cluster's ranges.
    fn unknown(&self, address: IpAddr) -> PeerKey {
        let is_pods = self
            .inventory
            .pod_ranges
            .iter()
            .any(|range| range.contains(&address));
        let reason = if !is_pods && self.inventory.in_service_range(address) {
            UnattributedReason::UnknownService
        } else {
            UnattributedReason::UnknownPod
        };
        PeerKey::Unattributed(address, reason)
    }

    /// An address in none of the cluster's ranges. Where Services are missing from the snapshot, a private one may
    /// be theirs all the same (rule: unexplained-address).
    fn outside(&self, address: IpAddr) -> PeerKey {
        if self.inventory.partial && may_be_of_cluster(address) {
            PeerKey::Unattributed(address, UnattributedReason::UnexplainedAddress)
        } else {
            PeerKey::Outside(address)
        }
    }

    /// Returns true if DNS is spoken at that port of the server (rule: dns-by-declaration).
    pub fn speaks_dns(
        &self,
        record: &FlowRecord,
        access: Option<&ServiceAccess<'_>>,
        target: &Target,
    ) -> bool {
        let service_port = access.map(|access| access.port.port);
        let called = record.via.map(|via| via.port());
        let name = access.and_then(|access| access.port.name.as_deref());
        [Some(record.port), service_port, called].contains(&Some(DNS_PORT))
            || name.is_some_and(dns_servers::is_dns_name)
            || self.dns_servers.contains(target.peer, target.port)
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
            PeerKey::Unattributed(address, reason) => Peer::Unattributed(Unattributed {
                name: self.service_name(address, reason),
                ..Unattributed::at(address, reason)
            }),
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

    /// The Service that an address without known endpoints belongs to.
    fn service_name(&self, address: IpAddr, reason: UnattributedReason) -> Option<String> {
        if reason != UnattributedReason::ServiceWithoutEndpoints {
            return None;
        }
        let mut services = self.inventory.services.iter();
        let service = services.find(|service| {
            let mut all = service.cluster_ips.iter().chain(&service.external_ips);
            all.any(|own| *own == address)
        })?;
        Some(format!("{}/{}", service.namespace, service.name))
    }

    /// The pod to whose container port a node's port leads at that time (rule: host-port-is-container-port).
    fn host_port_at(
        &self,
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<Target> {
        // Without host ports, which is most clusters, nothing is looked up.
        if self.host_ports.is_empty() {
            return None;
        }
        let Owner::Node(node) = self.inventory.resolve(address, at) else {
            return None;
        };
        let found = self.host_ports.get(&(node as u32, protocol, port))?;
        let (index, host_port) = found.iter().rev().find(|(index, port)| {
            let owned = self.inventory.pods[*index].owned;
            let was_there = owned.from.is_none_or(|from| from <= at)
                && owned.until.is_none_or(|until| at < until);
            was_there && port.address.is_none_or(|only| only == address)
        })?;
        Some(Target {
            peer: self.pod(*index),
            port: host_port.container_port,
            node: Some(node as u32),
        })
    }

    /// Who listens at an address that is no Service's.
    fn servers(
        &self,
        client: PeerKey,
        (address, port): (IpAddr, u16),
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        let alone = |peer, node| vec![Target { peer, port, node }];
        if self
            .inventory
            .api_server
            .contains(&SocketAddr::new(address, port))
        {
            return alone(PeerKey::ApiServer, None);
        }
        match self.inventory.resolve(address, at) {
            Owner::Pod(index) => alone(self.pod(index), self.pods[index].1),
            Owner::Node(index) => self.at_node(client, index, (address, port), protocol, at),
            Owner::Service(_) => {
                let reason = UnattributedReason::ServiceWithoutEndpoints;
                alone(PeerKey::Unattributed(address, reason), None)
            }
            Owner::Unknown => alone(self.unknown(address), None),
            // An endpoint of a Service explains its address, whatever else the snapshot lacks.
            Owner::Outside if self.inventory.addresses.listens(address, protocol, port) => {
                alone(PeerKey::Outside(address), None)
            }
            Owner::Outside => alone(self.outside(address), None),
        }
    }

    /// Who listens at a port of a node: a pod with that host port, a DaemonSet on the host network of many nodes,
    /// or the node. A pod's call to a port of the range of node ports where nothing is known to listen leads
    /// nowhere known (rule: unknown-node-port).
    fn at_node(
        &self,
        client: PeerKey,
        index: usize,
        (address, port): (IpAddr, u16),
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        if let Some(target) = self.host_port_at(address, port, protocol, at) {
            return vec![target];
        }
        let target = |peer| Target {
            peer,
            port,
            node: None,
        };
        let mut own = self.inventory.nodes[index].addresses.iter();
        let book = &self.inventory.addresses;
        if matches!(client, PeerKey::Workload(_))
            && self.inventory.is_node_port(port)
            && !own.any(|address| book.listens(*address, protocol, port))
        {
            let reason = UnattributedReason::UnknownNodePort;
            return vec![target(PeerKey::Unattributed(address, reason))];
        }
        let nodes = self.nodes_of_listener(index as u32, protocol, port);
        nodes.into_iter().map(target).collect()
    }

    fn endpoint(
        &self,
        endpoint: &ServiceEndpoint,
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        match endpoint.pod {
            Some(index) if !self.inventory.pods[index].host_network => vec![Target {
                peer: self.pod(index),
                port: endpoint.port,
                node: self.pods[index].1,
            }],
            // An endpoint is no call of a node's port: what listens there is said by the endpoint itself.
            _ => self.servers(
                PeerKey::ApiServer,
                (endpoint.address, endpoint.port),
                protocol,
                at,
            ),
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

/// Private, shared (RFC 6598) or unique-local (RFC 4193): the addresses that clusters use for pods and Services.
fn may_be_of_cluster(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

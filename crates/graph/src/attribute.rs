//! From the addresses of a flow record to peers, at the time of the record (rule: owner-at-that-time).

mod departed;
mod dns_servers;
mod peer_label;
mod redirect;
mod resolvers;
mod servers;
mod tables;

pub(super) use resolvers::is_link_local;
pub(super) use tables::Tables;

use super::{Peer, Unattributed, UnattributedReason};
use dns_servers::DNS_PORT;
use nanoseg_flow::{FlowRecord, PeerLabel};
use nanoseg_inventory::{Inventory, Owner, Service, ServicePort, may_be_of_cluster};
use nanoseg_net::{Protocol, Timestamp};
use redirect::redirected_inside;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

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
    /// Seen to be reached through a Service of somebody else's namespace (rule: foreign-endpoint).
    pub foreign: bool,
}

impl Target {
    fn new(peer: PeerKey, port: u16, node: Option<u32>) -> Target {
        let foreign = false;
        Target {
            peer,
            port,
            node,
            foreign,
        }
    }
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
        let (called, arrived) = self.places(record);
        // Two legs of one connection may come in either order where two nodes' clocks differ.
        let is_claimed = called.is_none() && self.is_claimed_by_others(client, record.server, at);
        let service_at = |(address, port)| self.service_at(address, port, record.protocol, at);
        let service_access = called
            .and_then(service_at)
            .or_else(|| service_at(arrived).filter(|_| !is_claimed))
            .or_else(|| self.labelled_service(record));
        let host_port_at = |(address, port)| self.host_port_at(address, port, record.protocol, at);
        let host_port = called
            .filter(|called| host_port_at(*called).is_some())
            .or_else(|| Some(arrived).filter(|arrived| host_port_at(*arrived).is_some()));
        let mut targets = self.behind(service_access.as_ref(), client, record);
        let own = targets.clone();
        for (address, port) in called.into_iter().chain([arrived]) {
            if service_access.is_some() && service_at((address, port)).is_some() {
                continue;
            }
            let is_last = (address, port) == arrived || service_access.is_some();
            let is_service =
                || !is_claimed && matches!(self.inventory.resolve(address, at), Owner::Service(_));
            // A label is about the place where the connection arrived.
            let labelled = record
                .labels
                .as_deref()
                .filter(|_| (address, port) == arrived)
                .and_then(|labels| self.labelled(labels.server.as_ref()?, address, at));
            match labelled {
                Some((peer, node)) if is_last => targets.push(Target::new(peer, port, node)),
                None if is_last && is_claimed => {
                    targets.push(Target::new(self.outside(address), port, None));
                }
                None if is_last && !is_service() => {
                    targets.extend(self.servers(client, (address, port), record.protocol, at));
                }
                _ => {}
            }
        }
        if let Some(access) = &service_access {
            self.mark_foreign(&mut targets, &own, access);
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

    /// What the client called, where that was translated, and where it arrived. What a pod takes to another of its own
    /// ports arrived at the port that was called (rule: mesh-port-is-what-the-plugin-sees).
    fn places(&self, record: &FlowRecord) -> (Option<(IpAddr, u16)>, (IpAddr, u16)) {
        if let Some(called) = redirected_inside(record)
            && let Owner::Pod(_) = self.inventory.resolve(record.server, record.first)
        {
            return (None, (called.ip(), called.port()));
        }
        let called = record.via.map(|via| (via.ip(), via.port()));
        (called, (record.server, record.port))
    }

    /// The client of a record, and the addresses from which such a client may come.
    fn client_of(&self, record: &FlowRecord) -> (PeerKey, Option<Arc<BTreeSet<IpAddr>>>) {
        let label = record
            .labels
            .as_deref()
            .and_then(|labels| labels.client.as_ref());
        if let Some(label) = label
            && let Some((peer, _)) = self.labelled(label, record.client, record.first)
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
        let PeerLabel::Pod(pod) = label else {
            return None;
        };
        let (namespace, name) = (&pod.namespace, &pod.name);
        let index = self.named_peers.pod(namespace, name, self.inventory)?;
        let pod = self.inventory.pods.get(index)?;
        let workload = self.pods.get(index)?.0;
        pod.host_network
            .then(|| self.daemon_addresses(workload, self.inventory))?
    }

    /// The peer that has a client's address.
    pub fn client(&self, address: IpAddr, at: Timestamp) -> PeerKey {
        match self.inventory.resolve(address, at) {
            Owner::Pod(index) => self.pod(index),
            Owner::Node(index) => PeerKey::Node(index as u32),
            Owner::Service(_) => PeerKey::Unattributed(address, UnattributedReason::UnknownPod),
            Owner::Unknown => self.unknown(address),
            Owner::Uncertain(_) => {
                PeerKey::Unattributed(address, UnattributedReason::OwnerUncertain)
            }
            Owner::Outside if self.is_api_server(address) => PeerKey::ApiServer,
            Owner::Outside => self.outside(address),
        }
    }

    /// The key of a peer that only its name tells: a stand-in address, behind which the name is kept.
    fn named(&self, address: IpAddr, name: String, reason: UnattributedReason) -> PeerKey {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < tables::MAX_NAMES {
            names.entry(address).or_insert(name);
        }
        PeerKey::Unattributed(address, reason)
    }

    /// The name behind a stand-in address.
    fn source_name(&self, address: IpAddr, reason: UnattributedReason) -> Option<String> {
        let by_name = [
            UnattributedReason::DepartedPod,
            UnattributedReason::OutsideNetwork,
            UnattributedReason::OutsideBlock,
            UnattributedReason::OtherCluster,
        ];
        if !by_name.contains(&reason) {
            return None;
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&address).cloned()
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
                name: self
                    .source_name(address, reason)
                    .or_else(|| self.service_name(address, reason)),
                ..Unattributed::at(address, reason)
            }),
        }
    }

    /// The Service that an address without known endpoints belongs to.
    fn service_name(&self, address: IpAddr, reason: UnattributedReason) -> Option<String> {
        let of_services = [
            UnattributedReason::ServiceWithoutEndpoints,
            UnattributedReason::ForeignEndpoint,
        ];
        if !of_services.contains(&reason) {
            return None;
        }
        let service = self.inventory.service_with(address)?;
        Some(format!("{}/{}", service.namespace, service.name))
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

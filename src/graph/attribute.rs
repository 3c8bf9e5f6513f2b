//! From the addresses of a flow record to peers, at the time of the record (DESIGN §4.4–4.8).

use super::Peer;
use crate::flow::FlowRecord;
use crate::inventory::{Inventory, Owner, Service, ServiceEndpoint, ServicePort};
use crate::net::{Protocol, Timestamp};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// One server that a record speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub peer: Peer,
    /// The node it runs on, where it is a pod.
    pub node: Option<String>,
    /// The server's own port.
    pub port: u16,
}

/// The Service through which a record's client called.
#[derive(Debug, Clone)]
pub(super) struct Through<'a> {
    pub service: &'a Service,
    pub port: &'a ServicePort,
    /// Called by a node's address and node port.
    pub by_node_port: bool,
    /// Called by an address that is not the cluster IP: node port, load balancer, external IP.
    pub from_outside: bool,
}

impl Through<'_> {
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
    pub client: Peer,
    /// All servers: one, or everything behind a Service port, since any may be picked next time.
    pub targets: BTreeSet<Target>,
    pub through: Option<Through<'a>>,
}

/// Names the peers of a record whose client and server are decided.
pub(super) fn attribute<'a>(record: &FlowRecord, inventory: &'a Inventory) -> Attributed<'a> {
    let at = record.first;
    let client = client_peer(record.client, at, inventory);
    let called = record.via.map(|via| (via.ip(), via.port()));
    let arrived = (record.server, record.port);
    // Two legs of one connection may come in either order where two nodes' clocks differ.
    let through = called
        .and_then(|(address, port)| service_at(address, port, record.protocol, at, inventory))
        .or_else(|| service_at(arrived.0, arrived.1, record.protocol, at, inventory));
    let mut targets = BTreeSet::new();
    if let Some(through) = &through {
        targets.extend(
            through
                .port
                .endpoints
                .iter()
                .map(|e| endpoint_target(e, at, inventory)),
        );
    }
    for (address, port) in called.into_iter().chain([arrived]) {
        if through.is_some() && service_at(address, port, record.protocol, at, inventory).is_some()
        {
            continue;
        }
        let is_last = (address, port) == arrived || through.is_some();
        if is_last && !is_service_address(address, at, inventory) {
            targets.insert(server_target(address, port, at, inventory));
        }
    }
    Attributed {
        client,
        targets,
        through,
    }
}

fn is_service_address(address: IpAddr, at: Timestamp, inventory: &Inventory) -> bool {
    matches!(inventory.resolve(address, at), Owner::Service(_))
}

/// The Service port that stands at an address, by cluster IP, external IP or node port (§4.5).
fn service_at(
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    at: Timestamp,
    inventory: &Inventory,
) -> Option<Through<'_>> {
    match inventory.resolve(address, at) {
        Owner::Service(index) => {
            let service = &inventory.services[index];
            let found = service
                .ports
                .iter()
                .find(|p| p.port == port && p.protocol == protocol)?;
            let from_outside = !service.cluster_ips.contains(&address);
            Some(Through {
                service,
                port: found,
                by_node_port: false,
                from_outside,
            })
        }
        Owner::Node(_) => inventory.services.iter().find_map(|service| {
            let found = service
                .ports
                .iter()
                .find(|p| p.node_port == Some(port) && p.protocol == protocol)?;
            Some(Through {
                service,
                port: found,
                by_node_port: true,
                from_outside: true,
            })
        }),
        _ => None,
    }
}

pub(super) fn client_peer(address: IpAddr, at: Timestamp, inventory: &Inventory) -> Peer {
    match inventory.resolve(address, at) {
        Owner::Pod(index) => pod_peer(index, inventory),
        Owner::Node(index) => Peer::Node(inventory.nodes[index].name.clone()),
        Owner::Service(_) | Owner::Unknown => Peer::UnknownPod(address),
        Owner::Outside if is_api_server(address, inventory) => Peer::ApiServer,
        Owner::Outside => Peer::Outside(address),
    }
}

fn server_target(address: IpAddr, port: u16, at: Timestamp, inventory: &Inventory) -> Target {
    let node_of = |index: usize| inventory.pods[index].node.clone();
    let (peer, node) = match inventory.resolve(address, at) {
        _ if inventory
            .api_server
            .contains(&SocketAddr::new(address, port)) =>
        {
            (Peer::ApiServer, None)
        }
        Owner::Pod(index) => (pod_peer(index, inventory), node_of(index)),
        Owner::Node(index) => (Peer::Node(inventory.nodes[index].name.clone()), None),
        Owner::Service(_) | Owner::Unknown => (Peer::UnknownPod(address), None),
        Owner::Outside => (Peer::Outside(address), None),
    };
    Target { peer, node, port }
}

fn endpoint_target(endpoint: &ServiceEndpoint, at: Timestamp, inventory: &Inventory) -> Target {
    match endpoint.pod {
        Some(index) if !inventory.pods[index].host_network => Target {
            peer: pod_peer(index, inventory),
            node: inventory.pods[index].node.clone(),
            port: endpoint.port,
        },
        _ => server_target(endpoint.address, endpoint.port, at, inventory),
    }
}

/// A pod's peer is its workload; a hostNetwork pod's is its node (§4.7).
fn pod_peer(index: usize, inventory: &Inventory) -> Peer {
    let pod = &inventory.pods[index];
    match (&pod.node, pod.host_network) {
        (Some(node), true) => Peer::Node(node.clone()),
        _ => Peer::Workload(pod.workload.clone()),
    }
}

fn is_api_server(address: IpAddr, inventory: &Inventory) -> bool {
    inventory
        .api_server
        .iter()
        .any(|endpoint| endpoint.ip() == address)
}

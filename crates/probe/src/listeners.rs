//! The servers that can be tried: those that somebody was seen to reach, else those that a Service declares.

use super::ends::{PodName, ServerEnd, ServerKind};
use super::plan::{PlanInputs, rank};
use super::task::Way;
use nanoseg_evaluate::{ClassId, PeerRef};
use nanoseg_graph::{Graph, Peer};
use nanoseg_inventory::{Inventory, Service, WorkloadId};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// How many servers are looked at; more are left out by rank.
pub const MOST_LISTENERS: usize = 300;

/// The port of a Service that leads to a server.
#[derive(Debug, Clone)]
pub struct Front {
    /// `namespace/name`.
    pub service: String,
    pub at: SocketAddr,
    /// All pods and addresses behind it, with the port there.
    pub endpoints: Vec<(PeerRef, u16)>,
}

/// A server.
#[derive(Debug, Clone)]
pub struct Listener {
    pub end: PeerRef,
    pub server: ServerEnd,
    pub to: SocketAddr,
    pub protocol: Protocol,
    pub way: Way,
    /// The workloads that were seen to reach it.
    pub seen_from: BTreeSet<WorkloadId>,
    pub front: Option<Front>,
    /// The order of the sample.
    pub rank: String,
}

/// A server before one pod of it is chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Workload(WorkloadId),
    ApiServer,
}

type Wanted = BTreeMap<(Who, Protocol, u16), BTreeSet<WorkloadId>>;

/// Returns the servers in the order of the sample.
pub fn listeners(inputs: &PlanInputs<'_>, classes: &BTreeMap<usize, ClassId>) -> Vec<Listener> {
    let mut wanted = inputs.graph.map(observed).unwrap_or_default();
    if wanted.is_empty() {
        wanted = declared(inputs.inventory);
    }
    let mut all = Vec::new();
    for ((who, protocol, port), seen_from) in wanted {
        match who {
            Who::Workload(id) => {
                for pod in one_of_each_class(inputs, classes, &id) {
                    all.extend(of_pod(inputs, pod, protocol, port, &seen_from));
                }
            }
            Who::ApiServer => all.extend(of_api_server(inputs, protocol, port, &seen_from)),
        }
    }
    all.sort_by(|a, b| a.rank.cmp(&b.rank));
    all.truncate(MOST_LISTENERS);
    all
}

fn observed(graph: &Graph) -> Wanted {
    let mut wanted = Wanted::new();
    for (client, server, edge) in graph.edges() {
        let who = match server {
            Peer::Workload(id) => Who::Workload(id.clone()),
            Peer::ApiServer => Who::ApiServer,
            Peer::Node(_) | Peer::Outside(_) | Peer::Unattributed(_) => continue,
        };
        if edge.answered() == 0 {
            continue;
        }
        let seen = wanted.entry((who, edge.protocol, edge.port)).or_default();
        seen.extend(client.workload().cloned());
    }
    wanted
}

/// What ready endpoints of Services declare.
fn declared(inventory: &Inventory) -> Wanted {
    let mut wanted = Wanted::new();
    for port in inventory.services.iter().flat_map(|service| &service.ports) {
        for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.own) {
            let pod = endpoint.pod.and_then(|pod| inventory.pods.get(pod));
            if let Some(pod) = pod {
                let who = Who::Workload(pod.workload.clone());
                wanted
                    .entry((who, port.protocol, endpoint.port))
                    .or_default();
            }
        }
    }
    for socket in &inventory.api_server {
        wanted
            .entry((Who::ApiServer, Protocol::Tcp, socket.port()))
            .or_default();
    }
    wanted
}

/// Of the pods that exist now, one of each class that policies distinguish.
fn one_of_each_class(
    inputs: &PlanInputs<'_>,
    classes: &BTreeMap<usize, ClassId>,
    id: &WorkloadId,
) -> Vec<usize> {
    let workload = inputs.inventory.workloads.get(id);
    let mut first: BTreeMap<Option<ClassId>, (String, usize)> = BTreeMap::new();
    for index in workload.into_iter().flat_map(|workload| &workload.pods) {
        let Some(pod) = inputs.inventory.pods.get(*index) else {
            continue;
        };
        // A pod that was seen running a moment ago: what does not run does not listen.
        let name = PodName {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        };
        let is_there = !pod.template && pod.owned.until.is_none() && inputs.running.contains(&name);
        if !is_there || pod.addresses.is_empty() {
            continue;
        }
        let candidate = (rank(inputs.seed, &format!("server {name}")), *index);
        let best = first
            .entry(classes.get(index).copied())
            .or_insert_with(|| candidate.clone());
        if candidate < *best {
            *best = candidate;
        }
    }
    first.into_values().map(|(_, index)| index).collect()
}

fn of_pod(
    inputs: &PlanInputs<'_>,
    index: usize,
    protocol: Protocol,
    port: u16,
    seen_from: &BTreeSet<WorkloadId>,
) -> Option<Listener> {
    let pod = inputs.inventory.pods.get(index)?;
    let name = PodName {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
    };
    let rank = rank(inputs.seed, &format!("{name} {protocol} {port}"));
    let address = one_address(&pod.addresses, &rank)?;
    let front = front(inputs.inventory, index, protocol, port, address);
    let is_dns = [Some(port), front.as_ref().map(|front| front.at.port())].contains(&Some(53));
    Some(Listener {
        end: PeerRef::Pod(index),
        server: ServerEnd {
            kind: if pod.host_network {
                ServerKind::HostPod
            } else {
                ServerKind::Pod
            },
            pod: Some(name),
            workload: Some(pod.workload.clone()),
            node: pod.node.clone(),
        },
        to: SocketAddr::new(address, port),
        protocol,
        way: way(protocol, is_dns),
        seen_from: seen_from.clone(),
        front,
        rank,
    })
}

/// Of a pod with addresses of both families, half of the ports are tried by each.
fn one_address(addresses: &[IpAddr], rank: &str) -> Option<IpAddr> {
    let number = rank.bytes().next().map_or(0, usize::from);
    addresses.get(number % addresses.len().max(1)).copied()
}

fn way(protocol: Protocol, is_dns: bool) -> Way {
    match (protocol, is_dns) {
        (Protocol::Tcp, _) => Way::Tcp,
        (Protocol::Sctp, _) => Way::Sctp,
        (Protocol::Udp, true) => Way::DnsQuery,
        (Protocol::Udp, false) => Way::Datagram,
    }
}

fn of_api_server(
    inputs: &PlanInputs<'_>,
    protocol: Protocol,
    port: u16,
    seen_from: &BTreeSet<WorkloadId>,
) -> Vec<Listener> {
    let sockets = inputs.inventory.api_server.iter();
    let sockets = sockets.filter(|socket| socket.port() == port);
    let listener = |socket: &SocketAddr| Listener {
        end: PeerRef::Address(socket.ip()),
        server: ServerEnd {
            kind: ServerKind::ApiServer,
            pod: None,
            workload: None,
            node: None,
        },
        to: *socket,
        protocol,
        way: way(protocol, false),
        seen_from: seen_from.clone(),
        front: None,
        rank: rank(inputs.seed, &format!("api-server {socket}")),
    };
    sockets.map(listener).collect()
}

/// The Service that leads to this port of the pod, at an address of the same family.
fn front(
    inventory: &Inventory,
    pod: usize,
    protocol: Protocol,
    port: u16,
    like: IpAddr,
) -> Option<Front> {
    inventory
        .services
        .iter()
        .find_map(|service| front_of(service, pod, protocol, port, like))
}

fn front_of(
    service: &Service,
    pod: usize,
    protocol: Protocol,
    port: u16,
    like: IpAddr,
) -> Option<Front> {
    let mut addresses = service.cluster_ips.iter();
    let address = addresses.find(|address| address.is_ipv4() == like.is_ipv4())?;
    let mut ports = service.ports.iter().filter(|one| one.protocol == protocol);
    let with = ports.find(|one| {
        let mut endpoints = one.endpoints.iter();
        endpoints.any(|endpoint| endpoint.pod == Some(pod) && endpoint.port == port)
    })?;
    // Somebody else's endpoints are not sent to.
    let is_own = with.endpoints.iter().all(|endpoint| endpoint.own);
    let endpoints = with.endpoints.iter().map(|endpoint| {
        let end = endpoint
            .pod
            .map_or(PeerRef::Address(endpoint.address), PeerRef::Pod);
        (end, endpoint.port)
    });
    is_own.then(|| Front {
        service: format!("{}/{}", service.namespace, service.name),
        at: SocketAddr::new(*address, with.port),
        endpoints: endpoints.collect(),
    })
}

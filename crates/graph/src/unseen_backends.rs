//! Services that may have been called without being on the wire (rule: service-not-on-the-wire): Cilium's socket load
//! balancing and the proxies of a mesh choose the backend before a packet leaves, so packets show backends only.

use super::listing::list;
use super::mesh;
use super::{Edge, Graph, Lesson, Peer};
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Inventory, Service, ServicePort, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// The workloads behind a port of a Service, each with the ports at which it is called.
type Backends<'a> = BTreeMap<&'a WorkloadId, BTreeSet<u16>>;

/// Clients that called some of the workloads behind a Service by their own addresses and others not at all. Looks at
/// whole graphs only: what is missing in a part of one may be in the rest.
pub(super) fn findings(graph: &Graph, inventory: &Inventory) -> Vec<Finding> {
    let several: Vec<(String, &ServicePort, Backends<'_>)> = inventory
        .services
        .iter()
        .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
        .filter_map(|(service, port)| several_backends(service, port, inventory))
        .collect();
    if several.is_empty() {
        return Vec::new();
    }
    let mut called: BTreeMap<&Peer, Vec<(&WorkloadId, &Edge)>> = BTreeMap::new();
    let edges = graph.edges();
    // Where somebody's call of a Service was on the wire, only proxies hide those of others.
    let is_on_the_wire = edges.iter().any(|(_, _, edge)| !edge.services.is_empty());
    for (client, server, edge) in &edges {
        if let Some(id) = server.workload()
            && edge.lesson == Lesson::Learned
        {
            called.entry(client).or_default().push((id, edge));
        }
    }
    let mut findings = Vec::new();
    for (client, calls) in &called {
        if is_on_the_wire && !has_proxy(client, inventory) {
            continue;
        }
        for (name, port, backends) in &several {
            findings.extend(finding(client, calls, name, port, backends));
        }
    }
    findings
}

/// Returns true if a proxy of a mesh chooses the backends that the client calls.
fn has_proxy(client: &Peer, inventory: &Inventory) -> bool {
    let workload = client.workload().and_then(|id| inventory.workloads.get(id));
    workload.is_some_and(|workload| mesh::port_of(workload, inventory).is_some())
}

fn finding(
    client: &Peer,
    calls: &[(&WorkloadId, &Edge)],
    service: &str,
    port: &ServicePort,
    backends: &Backends<'_>,
) -> Option<Finding> {
    // Members of one Service that talk to each other do so by their own addresses.
    if client
        .workload()
        .is_some_and(|id| backends.contains_key(id))
    {
        return None;
    }
    let mut left: BTreeSet<String> = backends.keys().map(|id| id.to_string()).collect();
    let mut seen = BTreeSet::new();
    for (id, edge) in calls {
        let is_there = |ports: &BTreeSet<u16>| ports.contains(&edge.port);
        if edge.protocol != port.protocol || !backends.get(id).is_some_and(is_there) {
            continue;
        }
        if edge.services.contains(service) {
            return None;
        }
        left.remove(&id.to_string());
        seen.insert(id.to_string());
    }
    if seen.is_empty() || left.is_empty() {
        return None;
    }
    let message = format!(
        "called {}, which is behind Service {service} with {}; if it calls the Service, and the backend is chosen before \
         a packet leaves, the next call may go there, and no rule allows it",
        list(&seen),
        list(&left)
    );
    Some(Finding::new(
        Code::UnseenBackends,
        client.to_string(),
        message,
    ))
}

/// The workloads behind a Service's port, if there are several.
fn several_backends<'a>(
    service: &Service,
    port: &'a ServicePort,
    inventory: &'a Inventory,
) -> Option<(String, &'a ServicePort, Backends<'a>)> {
    let mut backends = Backends::new();
    for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.own) {
        let Some(pod) = endpoint.pod.and_then(|index| inventory.pods.get(index)) else {
            continue;
        };
        let ports = backends.entry(&pod.workload).or_default();
        ports.insert(endpoint.port);
        let workload = inventory.workloads.get(&pod.workload);
        ports.extend(workload.and_then(|workload| mesh::port_of(workload, inventory)));
    }
    let name = format!("{}/{}:{}", service.namespace, service.name, port.port);
    (backends.len() > 1).then_some((name, port, backends))
}

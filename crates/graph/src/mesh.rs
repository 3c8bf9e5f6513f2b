//! Connections through a service mesh's own port: the peers are known, and the application's port is not
//! (rule: mesh-port-is-what-the-plugin-sees).
//!
//! | mesh | on the wire between two pods of the mesh | from and to others |
//! |---|---|---|
//! | Istio, sidecars | the application's port | the application's port |
//! | Istio, ambient mode and waypoints | 15008 (HBONE) | the application's port |
//! | Linkerd since 2.18, opaque ports before | 4143 | the application's port |
//!
//! Ports to which a proxy's rules redirect inside the pod (Istio 15001 and 15006, Linkerd 4140 and 4143) are never on the
//! wire (`attribute/redirect.rs`).

use super::listing::{SAMPLES, list};
use super::{Edge, Lesson, Peer};
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Inventory, Workload};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// The containers that take part in a mesh for the others of their pod.
const ISTIO_PROXY: &str = "istio-proxy";
const LINKERD_PROXY: &str = "linkerd-proxy";
/// The label of namespaces and pods that are in Istio's mesh without a sidecar, and its value then.
const DATAPLANE_MODE: (&str, &str) = ("istio.io/dataplane-mode", "ambient");

/// A port at which a mesh takes what is meant for any port of the pod.
struct MeshPort {
    port: u16,
    name: &'static str,
    /// What in the mesh decides about the application's ports.
    authority: &'static str,
}

/// Istio's port for HBONE (pilot/pkg/model/context.go `HBoneInboundListenPort`; "Ports used by Istio").
const HBONE: MeshPort = MeshPort {
    port: 15008,
    name: "HBONE, the tunnel of Istio",
    authority: "an AuthorizationPolicy of Istio",
};
/// The inbound port of Linkerd's proxy (charts: `proxy.ports.inbound`; linkerd.io, "Network Policy").
const LINKERD: MeshPort = MeshPort {
    port: 4143,
    name: "the inbound port of Linkerd's proxy",
    authority: "a Server and an AuthorizationPolicy of Linkerd",
};

/// The mesh's port that a workload has, where the inventory shows that it is in the mesh.
fn mesh_port(workload: &Workload, inventory: &Inventory) -> Option<&'static MeshPort> {
    let has = |name| workload.containers.iter().any(|one| one.name == name);
    if has(LINKERD_PROXY) {
        return Some(&LINKERD);
    }
    // A waypoint and a sidecar of a mesh with both modes take HBONE too.
    (has(ISTIO_PROXY) || is_ambient(workload, inventory)).then_some(&HBONE)
}

/// The number of that port.
pub(super) fn port_of(workload: &Workload, inventory: &Inventory) -> Option<u16> {
    mesh_port(workload, inventory).map(|port| port.port)
}

/// Returns true if some pod of the workload is in Istio's mesh without a sidecar. The pod's own label goes before that
/// of its namespace.
fn is_ambient(workload: &Workload, inventory: &Inventory) -> bool {
    let (key, ambient) = DATAPLANE_MODE;
    let of_namespace = inventory
        .namespaces
        .get(&workload.id.namespace)
        .and_then(|namespace| namespace.labels.get(key));
    let pods = workload.pods.iter();
    let mut pods = pods.filter_map(|index| inventory.pods.get(*index));
    pods.any(|pod| {
        pod.labels
            .get(key)
            .or(of_namespace)
            .is_some_and(|mode| mode == ambient)
    })
}

/// Who reaches a workload through its mesh's port, one finding for each workload.
pub(super) fn findings(edges: &[(&Peer, &Peer, &Edge)], inventory: &Inventory) -> Vec<Finding> {
    let mut by_server: BTreeMap<&Peer, (&MeshPort, BTreeSet<String>)> = BTreeMap::new();
    for (client, server, edge) in edges {
        let workload = server.workload().and_then(|id| inventory.workloads.get(id));
        let Some(port) = workload.and_then(|workload| mesh_port(workload, inventory)) else {
            continue;
        };
        let is_through = edge.protocol == Protocol::Tcp && edge.port == port.port;
        if is_through && edge.lesson == Lesson::Learned {
            let (_, clients) = by_server
                .entry(server)
                .or_insert_with(|| (port, BTreeSet::new()));
            clients.insert(client.to_string());
        }
    }
    let finding = |(server, (port, clients)): (&Peer, (&MeshPort, BTreeSet<String>))| {
        let message = format!(
            "is reached at {}/TCP, {}, by {}; which of its own ports{} they call is encrypted, and only {} can \
             tell them apart",
            port.port,
            port.name,
            list(&clients),
            declared(server, port, inventory),
            port.authority
        );
        Finding::new(Code::MeshEncrypted, server.to_string(), message)
            .with_samples(clients.into_iter().take(SAMPLES))
    };
    by_server.into_iter().map(finding).collect()
}

/// The TCP ports that the workload declares beside the mesh's: ` (8080, 9090)`.
fn declared(server: &Peer, mesh: &MeshPort, inventory: &Inventory) -> String {
    let workload = server.workload().and_then(|id| inventory.workloads.get(id));
    let pods = workload.into_iter().flat_map(|workload| &workload.pods);
    let pods = pods.filter_map(|index| inventory.pods.get(*index));
    let ports: BTreeSet<u16> = pods
        .flat_map(|pod| &pod.ports)
        .filter(|port| port.protocol == Protocol::Tcp && port.number != mesh.port)
        .map(|port| port.number)
        .collect();
    if ports.is_empty() {
        return String::new();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!(" ({})", ports.join(", "))
}

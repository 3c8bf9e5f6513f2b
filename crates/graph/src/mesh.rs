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

/// A port to which a proxy's rules redirect inside of its pod.
struct RedirectPort {
    port: u16,
    name: &'static str,
}

/// Istio's iptables (`tools/istio-iptables`: PROXY_PORT, INBOUND_CAPTURE_PORT) and Linkerd's (`proxy.ports.outbound`).
const REDIRECTS: [RedirectPort; 3] = [
    RedirectPort {
        port: 15001,
        name: "the outbound port of Istio's sidecar",
    },
    RedirectPort {
        port: 15006,
        name: "the inbound port of Istio's sidecar",
    },
    RedirectPort {
        port: 4140,
        name: "the outbound port of Linkerd's proxy",
    },
];
/// Ports of the proxies themselves, which are not the application's: for administration, metrics and probes too.
const PROXY_PORTS: [std::ops::RangeInclusive<u16>; 3] = [4140..=4143, 4190..=4191, 15000..=15099];

/// What a port of a server is in a mesh.
enum Seen {
    /// The mesh's own; whether the inventory shows that the server is in that mesh.
    Tunnel(&'static MeshPort, bool),
    Redirect(&'static RedirectPort),
}

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
    let namespace = inventory.namespaces.get(&workload.id.namespace);
    let of_namespace = namespace.and_then(|namespace| namespace.labels.get(key));
    let pods = workload.pods.iter();
    let mut pods = pods.filter_map(|index| inventory.pods.get(*index));
    pods.any(|pod| {
        let mode = pod.labels.get(key).or(of_namespace);
        mode.is_some_and(|mode| mode == ambient)
    })
}

/// What the port of the edge is, where it is a mesh's. By its number alone it is one only where the application does
/// not declare it as its own.
fn seen(workload: &Workload, edge: &Edge, inventory: &Inventory) -> Option<Seen> {
    if edge.protocol != Protocol::Tcp {
        return None;
    }
    let member = mesh_port(workload, inventory);
    if let Some(port) = member.filter(|port| port.port == edge.port) {
        return Some(Seen::Tunnel(port, true));
    }
    if member.is_none() && tcp_ports(workload, inventory).contains(&edge.port) {
        return None;
    }
    if let Some(port) = REDIRECTS.iter().find(|port| port.port == edge.port) {
        return Some(Seen::Redirect(port));
    }
    let tunnels = [&HBONE, &LINKERD];
    let port = tunnels.into_iter().find(|port| port.port == edge.port)?;
    Some(Seen::Tunnel(port, false))
}

/// Who reaches a workload through the port of a mesh, one finding for each workload and port.
pub(super) fn findings(edges: &[(&Peer, &Peer, &Edge)], inventory: &Inventory) -> Vec<Finding> {
    let mut by_port: BTreeMap<(&Peer, u16), (Seen, &Workload, BTreeSet<String>)> = BTreeMap::new();
    for (client, server, edge) in edges {
        let workload = server.workload().and_then(|id| inventory.workloads.get(id));
        let Some(workload) = workload.filter(|_| edge.lesson == Lesson::Learned) else {
            continue;
        };
        let Some(seen) = seen(workload, edge, inventory) else {
            continue;
        };
        let (.., clients) = by_port
            .entry((server, edge.port))
            .or_insert_with(|| (seen, workload, BTreeSet::new()));
        clients.insert(client.to_string());
    }
    let finding = |((server, _), (seen, workload, clients)): (
        (&Peer, u16),
        (Seen, &Workload, BTreeSet<String>),
    )| {
        let (code, message) = match seen {
            Seen::Tunnel(port, is_shown) => (
                Code::MeshEncrypted,
                tunnel_message(port, is_shown, &clients, workload, inventory),
            ),
            Seen::Redirect(port) => (Code::MeshRedirect, redirect_message(port, &clients)),
        };
        Finding::new(code, server.to_string(), message)
            .with_samples(clients.into_iter().take(SAMPLES))
    };
    by_port.into_iter().map(finding).collect()
}

fn tunnel_message(
    port: &MeshPort,
    is_shown: bool,
    clients: &BTreeSet<String>,
    workload: &Workload,
    inventory: &Inventory,
) -> String {
    let ports = tcp_ports(workload, inventory).into_iter();
    let is_own = |port: &u16| !PROXY_PORTS.iter().any(|range| range.contains(port));
    let ports: Vec<String> = ports.filter(is_own).map(|port| port.to_string()).collect();
    let ports = match ports.as_slice() {
        [] => String::new(),
        ports => format!(" ({})", ports.join(", ")),
    };
    let by_number = if is_shown {
        ""
    } else {
        " by its number, though the snapshot does not show that mesh here"
    };
    format!(
        "is reached at {}/TCP, {}{by_number}, by {}; which of its own ports{ports} they call is encrypted, and only {} \
         can tell them apart",
        port.port,
        port.name,
        list(clients),
        port.authority
    )
}

fn redirect_message(port: &RedirectPort, clients: &BTreeSet<String>) -> String {
    format!(
        "is told to be reached at {}/TCP, {}, by {}; that is a port inside of the pod: on the wire is another one, and a \
         rule with this one allows nothing",
        port.port,
        port.name,
        list(clients)
    )
}

/// The TCP ports that the workload's pods declare.
fn tcp_ports(workload: &Workload, inventory: &Inventory) -> BTreeSet<u16> {
    let pods = workload.pods.iter();
    let pods = pods.filter_map(|index| inventory.pods.get(*index));
    let ports = pods.flat_map(|pod| &pod.ports);
    let tcp = ports.filter(|port| port.protocol == Protocol::Tcp);
    tcp.map(|port| port.number).collect()
}

//! Names of peers and edges in exports: stable ids, labels, groups.

use super::Options;
use nanoseg_graph::{Edge, Graph, Lesson, Peer};
use std::collections::BTreeSet;

/// Names a peer uniquely: `namespace/name[Kind]`, or the peer's own words. Unlike `Display` it
/// distinguishes a Deployment from a StatefulSet of the same name.
pub fn id(peer: &Peer) -> String {
    match peer {
        Peer::Workload(workload) => format!("{workload}[{}]", workload.kind),
        other => other.to_string(),
    }
}

/// The closed list of peer kinds in exports.
pub fn kind(peer: &Peer) -> &'static str {
    match peer {
        Peer::Workload(_) => "workload",
        Peer::ApiServer => "api-server",
        Peer::Node(_) => "node",
        Peer::Outside(_) => "outside",
        Peer::Unattributed(who) => who.reason.name(),
    }
}

/// The DNS names that resolved to an outside address, sorted.
pub fn dns_names<'g>(graph: &'g Graph, peer: &Peer) -> Vec<&'g str> {
    match peer {
        Peer::Outside(address) => graph
            .names
            .get(address)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect(),
        _ => Vec::new(),
    }
}

/// The label in a picture: the name within its namespace, or the DNS name of an address.
pub fn label(graph: &Graph, peer: &Peer) -> String {
    match peer {
        Peer::Workload(workload) => workload.name.clone(),
        Peer::ApiServer => "API server".to_owned(),
        Peer::Node(name) => name.clone(),
        Peer::Outside(address) => match dns_names(graph, peer).first() {
            Some(name) => (*name).to_owned(),
            None => address.to_string(),
        },
        Peer::Unattributed(who) => who.label(),
    }
}

/// The second line in a picture: the kind of peer, or its address if the first line is a DNS name.
pub fn sublabel(graph: &Graph, peer: &Peer) -> String {
    match peer {
        Peer::Workload(workload) => workload.kind.clone(),
        Peer::ApiServer => "Kubernetes".to_owned(),
        Peer::Node(_) => "Node".to_owned(),
        Peer::Outside(address) => {
            if dns_names(graph, peer).is_empty() {
                "outside".to_owned()
            } else {
                format!("outside · {address}")
            }
        }
        Peer::Unattributed(who) => who.reason.name().replace('-', " "),
    }
}

/// `8080/TCP`.
pub fn port(edge: &Edge) -> String {
    format!("{}/{}", edge.port, edge.protocol)
}

/// The closed list of lessons in exports.
pub fn lesson(lesson: &Lesson) -> &'static str {
    match lesson {
        Lesson::Learned => "learned",
        Lesson::Implied(_) => "implied",
        Lesson::Review(_) => "review",
        Lesson::Ignored(_) => "ignored",
    }
}

/// Why an edge was not simply learned.
pub fn reason(lesson: &Lesson) -> Option<&str> {
    match lesson {
        Lesson::Learned => None,
        Lesson::Implied(reason) | Lesson::Review(reason) | Lesson::Ignored(reason) => Some(reason),
    }
}

/// The edges that a picture shows.
pub fn shown(graph: &Graph, options: Options) -> Vec<(&Peer, &Peer, &Edge)> {
    if options.only_learned {
        graph.taught()
    } else {
        graph.edges()
    }
}

/// The peers that a picture shows: all, or with `only_learned` all workloads and every peer with an edge.
pub fn shown_peers<'g>(
    graph: &'g Graph,
    edges: &[(&Peer, &Peer, &Edge)],
    options: Options,
) -> Vec<&'g Peer> {
    let used: BTreeSet<&Peer> = edges
        .iter()
        .flat_map(|(client, server, _)| [*client, *server])
        .collect();
    graph
        .peers()
        .filter(|peer| !options.only_learned || peer.workload().is_some() || used.contains(peer))
        .collect()
}

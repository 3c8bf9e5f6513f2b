//! Whether agents keep to what they may tell, and agree about the connections of a namespace.

use super::observation::Observation;
use crate::graph::Peer;
use std::collections::BTreeSet;

/// How many nodes or edges are named.
const FEW: usize = 10;

/// Whether what agents tell of a namespace is trusted.
pub struct Trust {
    pub is_whole: bool,
    pub reason: &'static str,
    pub message: String,
}

/// Judges what agents tell (rule: agent-speaks-for-its-node, edge-has-two-observers).
pub fn of(namespace: &str, observation: &Observation) -> Trust {
    let nodes = observation.built.out_of_bounds.keys();
    let nodes: Vec<&str> = nodes.map(|node| &**node).collect();
    let edges = one_sided(namespace, observation);
    let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
    let (is_whole, reason, message) = match (nodes.is_empty(), edges.is_empty()) {
        (false, _) => {
            let what = "agents told of connections of other nodes, and nothing of it counts";
            (false, "OutOfBounds", format!("{what}: {}", few(&nodes)))
        }
        (true, false) => (false, "OneSided", few(&edges)),
        (true, true) => (true, "Corroborated", String::new()),
    };
    Trust {
        is_whole,
        reason,
        message,
    }
}

/// The edges of the namespace that only one of two observed ends tells of.
fn one_sided(namespace: &str, observation: &Observation) -> BTreeSet<String> {
    let workloads = observation.inventory.workloads_of(namespace);
    let edges = workloads.flat_map(|workload| {
        let own = Peer::Workload(workload.id.clone());
        observation.built.graph.edges_of(&own)
    });
    let edges = edges.filter(|(_, _, edge)| !edge.one_sided.is_empty());
    edges
        .map(|(client, server, edge)| {
            let (port, protocol, nodes) = (edge.port, edge.protocol, &edge.one_sided);
            format!("{client} → {server} {port}/{protocol} was not seen by {nodes}")
        })
        .collect()
}

fn few(items: &[&str]) -> String {
    let shown: Vec<&str> = items.iter().take(FEW).copied().collect();
    match items.len() - shown.len() {
        0 => shown.join("; "),
        rest => format!("{} and {rest} more", shown.join("; ")),
    }
}

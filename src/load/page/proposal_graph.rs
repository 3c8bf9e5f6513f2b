//! The graph without recorded flows: from the evidence of proposals, or the part of the published graph whose
//! workloads still exist.

use crate::flow::Verdict;
use crate::graph::{Edge, Graph, Lesson, Peer};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::{Protocol, Timestamp, parse_address};
use crate::review::resources::{EvidenceLine, PolicyProposal};
use std::collections::BTreeMap;

/// The edges in the evidence of proposals: an operator may read them without the controller's state.
pub fn of_evidence(proposals: &[PolicyProposal], inventory: &Inventory) -> Graph {
    let mut edges: BTreeMap<(Peer, Peer, Protocol, u16), Edge> = BTreeMap::new();
    let mut graph = Graph::default();
    for line in proposals.iter().flat_map(|one| &one.spec.review.evidence) {
        if let Some((key, edge)) = edge(line, inventory) {
            for peer in [&key.0, &key.1] {
                if let Peer::Outside(address) = peer {
                    let names = line.notes.iter().filter(|note| is_name(note));
                    graph
                        .names
                        .entry(*address)
                        .or_default()
                        .extend(names.cloned());
                }
            }
            let known = edges.entry(key).or_insert_with(|| edge.clone());
            // The proposals of both ends have it; the later one has more.
            if edge.last > known.last {
                *known = edge;
            }
        }
    }
    for ((client, server, _, _), edge) in edges {
        graph.add_edge(&client, &server, edge);
    }
    graph
}

/// The edges of `graph` whose workloads still exist.
pub fn of_present(graph: &Graph, inventory: &Inventory) -> Graph {
    let is_present = |peer: &Peer| {
        let workload = peer.workload();
        workload.is_none_or(|id| inventory.workloads.contains_key(id))
    };
    let mut part = Graph::default();
    for (client, server, edge) in graph.edges() {
        if is_present(client) && is_present(server) {
            part.add_edge(client, server, edge.clone());
        }
    }
    part.names.clone_from(&graph.names);
    part
}

/// Returns true if a note of an evidence line is a DNS name: it is none of the fixed words.
fn is_name(note: &str) -> bool {
    !matches!(note, "implied" | "blocked" | "new") && !note.starts_with("via ")
}

type Keyed = ((Peer, Peer, Protocol, u16), Edge);

fn edge(line: &EvidenceLine, inventory: &Inventory) -> Option<Keyed> {
    let (port, protocol) = line.port.split_once('/')?;
    let (port, protocol) = (port.parse().ok()?, Protocol::parse(protocol)?);
    let (client, server) = (
        peer(&line.client, inventory)?,
        peer(&line.server, inventory)?,
    );
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(Timestamp::from);
    let has = |word: &str| line.notes.iter().any(|note| note == word);
    let mut edge = Edge::new(protocol, port);
    edge.lesson = match () {
        () if has("blocked") => Lesson::Review("a policy blocks it".into()),
        () if has("implied") => Lesson::Implied("beside what was seen".into()),
        () => Lesson::Learned,
    };
    if line.connections > 0 {
        edge.verdicts.insert(Verdict::Established, line.connections);
    }
    (edge.first, edge.last) = (time(&line.first_seen), time(&line.last_seen));
    Some(((client, server, protocol, port), edge))
}

/// Parses a peer as proposals write it.
fn peer(words: &str, inventory: &Inventory) -> Option<Peer> {
    if words == "api-server" {
        return Some(Peer::ApiServer);
    }
    if let Some(name) = words.strip_prefix("node:") {
        return Some(Peer::Node(name.to_owned()));
    }
    let address = words.strip_prefix("outside:").unwrap_or(words);
    if let Some(address) = parse_address(address) {
        return Some(Peer::Outside(address));
    }
    let (namespace, name) = words.split_once('/')?;
    let mut all = inventory.workloads.keys();
    let found = all.find(|id: &&WorkloadId| id.namespace == namespace && id.name == name)?;
    Some(Peer::Workload(found.clone()))
}

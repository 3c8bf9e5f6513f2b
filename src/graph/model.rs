//! The communication graph itself: peers and edges in a petgraph, with one node per peer and one
//! edge per (client, server, protocol, port).

use super::{Edge, Peer};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Peers and edges. Built by [`super::build`]; iteration is always in the order of peers, protocol
/// and port, so the same traffic prints the same way.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    graph: DiGraph<Peer, Edge>,
    nodes: BTreeMap<Peer, NodeIndex>,
    /// DNS names under which outside addresses were looked up.
    pub names: BTreeMap<IpAddr, BTreeSet<String>>,
}

impl Graph {
    /// The petgraph, for algorithms.
    pub fn inner(&self) -> &DiGraph<Peer, Edge> {
        &self.graph
    }

    /// Makes sure that `peer` is in the graph.
    pub fn add_peer(&mut self, peer: &Peer) -> NodeIndex {
        if let Some(index) = self.nodes.get(peer) {
            return *index;
        }
        let index = self.graph.add_node(peer.clone());
        self.nodes.insert(peer.clone(), index);
        index
    }

    /// Adds an edge; the caller sees to it that each (client, server, protocol, port) comes once.
    pub fn add_edge(&mut self, client: &Peer, server: &Peer, edge: Edge) {
        let (client, server) = (self.add_peer(client), self.add_peer(server));
        self.graph.add_edge(client, server, edge);
    }

    /// All peers, in order.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.nodes.keys()
    }

    /// All edges in order of client, server, protocol, port.
    pub fn edges(&self) -> Vec<(&Peer, &Peer, &Edge)> {
        let mut edges: Vec<_> = self
            .graph
            .edge_indices()
            .filter_map(|index| {
                let (client, server) = self.graph.edge_endpoints(index)?;
                Some((&self.graph[client], &self.graph[server], &self.graph[index]))
            })
            .collect();
        edges.sort_by(|a, b| {
            (a.0, a.1, a.2.protocol, a.2.port).cmp(&(b.0, b.1, b.2.protocol, b.2.port))
        });
        edges
    }

    /// The edges of `O`: learned and implied, in order.
    pub fn taught(&self) -> Vec<(&Peer, &Peer, &Edge)> {
        let mut edges = self.edges();
        edges.retain(|(_, _, edge)| edge.lesson.teaches());
        edges
    }
}

//! The communication graph itself: peers and edges in a petgraph, with one node per peer and one
//! edge per (client, server, protocol, port).

use super::masquerade::Masquerades;
use super::{Corroboration, Edge, Outcome, Peer};
use nanoseg_flow::{Observers, Views};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Protocol, Timestamp};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Peers and edges. Built by [`super::build`]; iteration is always in the order of peers, protocol
/// and port, so the same traffic prints the same way.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    graph: DiGraph<Peer, Arc<Edge>>,
    nodes: BTreeMap<Peer, NodeIndex>,
    /// DNS names under which outside addresses were looked up.
    pub names: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Workloads whose pods a source names at addresses that the inventory gives to nobody for certain: what else is
    /// seen of these addresses is perhaps theirs (rule: named-once-is-perhaps).
    pub named_at: BTreeMap<IpAddr, BTreeSet<WorkloadId>>,
}

impl Graph {
    /// The petgraph, for algorithms.
    pub fn inner(&self) -> &DiGraph<Peer, Arc<Edge>> {
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
        self.graph.add_edge(client, server, Arc::new(edge));
    }

    /// Notes on each edge which agents should have seen it and did not, or may still tell of it
    /// (rule: edge-has-two-observers). `now` is the time by the receiver's clock.
    pub fn corroborate(&mut self, views: &Views, now: Timestamp) {
        let found: Vec<(Observers, Observers)> = {
            let all = || {
                let edges = self.graph.edge_references();
                edges.map(|one| {
                    let ends = (&self.graph[one.source()], &self.graph[one.target()]);
                    (ends.0, ends.1, one.weight().as_ref())
                })
            };
            let masquerades = Masquerades::build(all());
            let judge = |edge: (&Peer, &Peer, &Edge)| {
                let alone = edge.2.corroboration(Outcome::Answered, views, now);
                match masquerades.confirm(edge, alone) {
                    Corroboration::OneSided(nodes) => (nodes, Observers::default()),
                    Corroboration::Waiting(nodes) => (Observers::default(), nodes),
                    _ => Default::default(),
                }
            };
            all().map(judge).collect()
        };
        for (edge, (one_sided, waiting)) in self.graph.edge_weights_mut().zip(found) {
            // What did not change stays shared with other copies of the graph.
            if (&edge.one_sided, &edge.waiting) != (&one_sided, &waiting) {
                let edge = Arc::make_mut(edge);
                (edge.one_sided, edge.waiting) = (one_sided, waiting);
            }
        }
    }

    /// Puts others in the place of edges. What `change` returns nothing for stays shared with other copies of the graph.
    pub fn update_edges(&mut self, change: impl Fn(&Peer, &Peer, &Edge) -> Option<Edge>) {
        let all: Vec<_> = self.graph.edge_indices().collect();
        for index in all {
            let Some((client, server)) = self.graph.edge_endpoints(index) else {
                continue;
            };
            let (client, server) = (&self.graph[client], &self.graph[server]);
            if let Some(other) = change(client, server, &self.graph[index]) {
                self.graph[index] = Arc::new(other);
            }
        }
    }

    /// An outside address with the names under which it was looked up: `a.example, b.example (192.0.2.1)`; `None` if
    /// there is no name. A name is what somebody said; the address is what a rule allows.
    pub fn named_address(&self, address: &IpAddr) -> Option<String> {
        let names = self.names.get(address)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("{} ({address})", names.join(", ")))
    }

    /// The first and the last time of any edge.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let edges = || self.graph.edge_weights();
        let first = edges().filter_map(|edge| edge.first).min()?;
        let last = edges().filter_map(|edge| edge.last).max()?;
        Some((first, last))
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
                Some((
                    &self.graph[client],
                    &self.graph[server],
                    &*self.graph[index],
                ))
            })
            .collect();
        edges.sort_by(|a, b| {
            (a.0, a.1, a.2.protocol, a.2.port).cmp(&(b.0, b.1, b.2.protocol, b.2.port))
        });
        edges
    }

    /// The edges with `peer` at either end, in order; one of `peer` with itself once.
    pub fn edges_of(&self, peer: &Peer) -> Vec<(&Peer, &Peer, &Edge)> {
        let Some(node) = self.nodes.get(peer) else {
            return Vec::new();
        };
        let outgoing = self.graph.edges_directed(*node, Direction::Outgoing);
        let incoming = self.graph.edges_directed(*node, Direction::Incoming);
        let incoming = incoming.filter(|edge| edge.source() != *node);
        let mut edges: Vec<_> = outgoing
            .chain(incoming)
            .map(|edge| {
                let (client, server) = (&self.graph[edge.source()], &self.graph[edge.target()]);
                (client, server, &**edge.weight())
            })
            .collect();
        edges.sort_by(|a, b| {
            (a.0, a.1, a.2.protocol, a.2.port).cmp(&(b.0, b.1, b.2.protocol, b.2.port))
        });
        edges
    }

    /// A graph of all edges of these workloads, and of no others.
    pub fn around(&self, workloads: &BTreeSet<WorkloadId>) -> Graph {
        let mut part = Graph::default();
        let within = |peer: &Peer| peer.workload().is_some_and(|id| workloads.contains(id));
        for id in workloads {
            let own = Peer::Workload(id.clone());
            for (client, server, edge) in self.edges_of(&own) {
                // One between two of them comes with its client.
                if *client == own || !within(client) {
                    part.add_edge(client, server, edge.clone());
                }
                for peer in [client, server] {
                    if let Peer::Outside(address) = peer
                        && let Some(names) = self.names.get(address)
                    {
                        part.names.insert(*address, names.clone());
                    }
                }
            }
        }
        part
    }

    /// Puts all edges of these workloads in the place of those that there are: `part` has them, and no others.
    pub fn replace_around(&mut self, workloads: &BTreeSet<WorkloadId>, part: &Graph) {
        for id in workloads {
            let Some(node) = self.nodes.get(&Peer::Workload(id.clone())).copied() else {
                continue;
            };
            for direction in [Direction::Outgoing, Direction::Incoming] {
                while let Some(edge) = self.graph.first_edge(node, direction) {
                    self.graph.remove_edge(edge);
                }
            }
        }
        for (client, server, edge) in part.edges() {
            self.add_edge(client, server, edge.clone());
        }
        for (address, names) in &part.names {
            self.names
                .entry(*address)
                .or_default()
                .extend(names.iter().cloned());
        }
    }

    /// The edge of that client, server, protocol and port.
    pub fn edge(
        &self,
        client: &Peer,
        server: &Peer,
        protocol: Protocol,
        port: u16,
    ) -> Option<&Edge> {
        let (client, server) = (self.nodes.get(client)?, self.nodes.get(server)?);
        self.graph
            .edges_connecting(*client, *server)
            .map(|edge| &**edge.weight())
            .find(|edge| edge.protocol == protocol && edge.port == port)
    }

    /// The edges of `O`: learned and implied, in order.
    pub fn taught(&self) -> Vec<(&Peer, &Peer, &Edge)> {
        let mut edges = self.edges();
        edges.retain(|(_, _, edge)| edge.lesson.teaches());
        edges
    }
}

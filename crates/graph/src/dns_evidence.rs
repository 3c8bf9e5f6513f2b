//! What the observed lookups tell about the edges of `O` (rule: names-that-the-client-asked-for): under which names the
//! clients looked up the outside servers that they call, and which edges are lookups.

use super::{Edge, Graph, Peer};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// The lookups behind the edges of [`Graph::taught`], by their index there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsEvidence {
    names: BTreeMap<usize, BTreeSet<String>>,
    lookups: BTreeSet<usize>,
}

impl DnsEvidence {
    /// Reads the evidence from a graph.
    pub fn of(graph: &Graph) -> DnsEvidence {
        let taught = graph.taught();
        // Both protocols of a resolver's port: DNS over TCP is implied by DNS over UDP (rule: dns-over-tcp-implied).
        let spoken = taught.iter().filter(|(_, _, edge)| edge.tally.dns);
        let resolvers: BTreeSet<(&Peer, u16)> = spoken
            .map(|(_, server, edge)| (*server, edge.port))
            .collect();
        let is_lookup = |server: &Peer, edge: &Edge| {
            matches!(edge.protocol, Protocol::Udp | Protocol::Tcp)
                && resolvers.contains(&(server, edge.port))
        };
        let mut evidence = DnsEvidence::default();
        for (index, (_, server, edge)) in taught.iter().enumerate() {
            if is_lookup(server, edge) {
                evidence.add_lookup(index);
            }
            for name in &edge.looked_up {
                evidence.add_name(index, name);
            }
        }
        evidence
    }

    /// The names under which the client of an edge had looked up its outside server, in order. Empty: it asked for none,
    /// or nobody saw it ask.
    pub fn names(&self, edge: usize) -> impl Iterator<Item = &str> {
        self.names
            .get(&edge)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Returns true if the edge leads to a resolver.
    pub fn is_lookup(&self, edge: usize) -> bool {
        self.lookups.contains(&edge)
    }

    /// Adds a name under which the client of an edge had looked up its server.
    pub fn add_name(&mut self, edge: usize, name: &str) {
        self.names.entry(edge).or_default().insert(name.to_owned());
    }

    /// Adds an edge that leads to a resolver.
    pub fn add_lookup(&mut self, edge: usize) {
        self.lookups.insert(edge);
    }
}

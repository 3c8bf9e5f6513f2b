//! Clients that come through a node (rule: edge-has-two-observers).
//!
//! The agent of the node that a client enters tells of the client itself. Behind the masquerade, the agent of the
//! server's node tells of the first node. Neither can see what the other tells; together they are both ends of it.

use super::sightings::Corroboration;
use super::{Edge, Peer};
use nanoseg_flow::Observers;
use nanoseg_net::Protocol;
use std::collections::HashMap;

/// What is called: the server with protocol and port.
type Called<'g> = (&'g Peer, Protocol, u16);

/// Who tells of clients that enter through nodes, and of those nodes as clients, by what is called.
#[derive(Debug, Default)]
pub(super) struct Masquerades<'g> {
    /// The nodes that tell of clients outside.
    entered: HashMap<Called<'g>, Observers>,
    /// For each node as a client: who tells of it.
    left: HashMap<Called<'g>, Vec<(&'g str, &'g Observers)>>,
}

impl<'g> Masquerades<'g> {
    pub fn build(edges: impl Iterator<Item = (&'g Peer, &'g Peer, &'g Edge)>) -> Masquerades<'g> {
        let mut all = Masquerades::default();
        for (client, server, edge) in edges.filter(|(_, _, edge)| edge.answered() > 0) {
            let called = (server, edge.protocol, edge.port);
            match client {
                Peer::Outside(_) => all
                    .entered
                    .entry(called)
                    .or_default()
                    .extend(&edge.observers),
                Peer::Node(name) => {
                    let told = (name.as_str(), &edge.observers);
                    all.left.entry(called).or_default().push(told);
                }
                _ => {}
            }
        }
        all
    }

    /// What is known of an edge when what was told of the other side of a masquerade counts too.
    pub fn confirm(
        &self,
        (client, server, edge): (&Peer, &Peer, &Edge),
        found: Corroboration,
    ) -> Corroboration {
        let (Corroboration::OneSided(missing) | Corroboration::Waiting(missing)) = &found else {
            return found;
        };
        let called = (server, edge.protocol, edge.port);
        let confirmed = match client {
            // The node saw clients enter that it sent on.
            Peer::Node(name) => {
                let told = self.entered.get(&called);
                missing.iter().all(|node| **node == **name)
                    && told.is_some_and(|told| told.iter().any(|node| **node == **name))
            }
            // The server's node saw them come from the node that they entered.
            Peer::Outside(_) => {
                let through = self.left.get(&called).into_iter().flatten();
                let mut through =
                    through.filter(|(name, _)| edge.observers.iter().any(|node| **node == **name));
                through.any(|(_, told)| missing.iter().all(|node| told.contains(node)))
            }
            _ => false,
        };
        if confirmed {
            Corroboration::BothEnds
        } else {
            found
        }
    }
}

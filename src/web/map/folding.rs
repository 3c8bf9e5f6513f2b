//! Which peers are one node together.

use super::Filter;
use super::end::End;
use super::kind::MapEdge;
use crate::graph::Peer;
use crate::web::view::View;
use std::collections::BTreeSet;

/// At most this many workloads are shown one by one.
const MOST_WORKLOADS: usize = 60;
/// At most this many outside addresses are shown one by one.
const MOST_OUTSIDE: usize = 12;

/// Maps peers to nodes.
pub struct Folding<'a> {
    filter: &'a Filter,
    /// The cluster is large: a namespace that is not opened is one node.
    pub by_namespace: bool,
    outside_is_one: bool,
}

impl<'a> Folding<'a> {
    pub fn of(view: &View, filter: &'a Filter, edges: &[MapEdge<'_>]) -> Self {
        let peers = edges.iter().flat_map(|one| [one.client, one.server]);
        let outside: BTreeSet<&Peer> = peers
            .filter(|peer| matches!(peer, Peer::Outside(_)))
            .collect();
        Folding {
            filter,
            by_namespace: view.given.inventory.workloads.len() > MOST_WORKLOADS,
            outside_is_one: outside.len() > MOST_OUTSIDE,
        }
    }

    /// What the node of a peer stands for.
    pub fn end(&self, peer: &Peer) -> End {
        match peer {
            Peer::Workload(id) => {
                let is_open = match &self.filter.namespace {
                    Some(name) => id.namespace == *name,
                    None => !self.by_namespace,
                };
                if is_open {
                    End::Workload(id.clone())
                } else {
                    End::Namespace(id.namespace.clone())
                }
            }
            Peer::ApiServer => End::ApiServer,
            Peer::Node(name) => End::Node(name.clone()),
            Peer::Outside(_) if self.outside_is_one => End::Outside,
            Peer::Outside(address) => End::Address(*address),
            Peer::Unattributed(_) => End::Unattributed,
        }
    }
}

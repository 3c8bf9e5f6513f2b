//! On which nodes a capture was taken, from what it shows (rule: node-of-a-capture).
//!
//! Some packets never leave a node: between a pod and its own node (the kubelet's probes, its gateway), between two
//! pods of one node, to a Service's address before translation, and to or from link-local addresses. A pod's packets
//! from and to outside addresses pass its own node only. A packet between pods of two nodes passes both, so it tells
//! neither; it is explained if one of the two is known already.

use nanoseg_inventory::{Inventory, Owner};
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The nodes whose traffic a capture shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureNodes {
    /// Only a capture there can have what this one has.
    pub certain: BTreeSet<String>,
    /// One of these, or all: nothing tells which.
    pub presumed: BTreeSet<String>,
}

/// Where a packet between two addresses can be seen.
enum Seen<'a> {
    At(&'a str),
    AtEither(&'a str, &'a str),
    Anywhere,
}

/// Finds the nodes of a capture from the pairs of addresses between which it has packets, as they were at `at`. A node
/// of `known` is one that was captured for certain: it explains packets that two nodes could have seen.
pub fn nodes_of_capture<'p>(
    pairs: impl IntoIterator<Item = &'p (IpAddr, IpAddr)>,
    inventory: &Inventory,
    known: &BTreeSet<String>,
    at: Timestamp,
) -> CaptureNodes {
    let mut certain: BTreeSet<&str> = BTreeSet::new();
    let mut either: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (a, b) in pairs {
        match seen(*a, *b, inventory, at) {
            Seen::At(node) => {
                certain.insert(node);
            }
            Seen::AtEither(a, b) => {
                either.insert((a.min(b), a.max(b)));
            }
            Seen::Anywhere => {}
        }
    }
    either.retain(|(a, b)| !certain.contains(a) && !certain.contains(b));
    let explaining: BTreeSet<&str> = either
        .iter()
        .flat_map(|(a, b)| [*a, *b])
        .filter(|node| known.contains(*node))
        .collect();
    either.retain(|(a, b)| !explaining.contains(a) && !explaining.contains(b));
    certain.extend(explaining);
    let (found, presumed) = explain(&either);
    certain.extend(found);
    let owned = |nodes: BTreeSet<&str>| nodes.into_iter().map(str::to_owned).collect();
    CaptureNodes {
        certain: owned(certain),
        presumed: owned(presumed),
    }
}

/// The one node that explains all of these pairs, if there is only one such node; else those that may.
fn explain<'a>(either: &BTreeSet<(&'a str, &'a str)>) -> (Option<&'a str>, BTreeSet<&'a str>) {
    let all: BTreeSet<&str> = either.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let explains = |node: &&str| either.iter().all(|(a, b)| a == node || b == node);
    let mut alone: BTreeSet<&str> = all.iter().copied().filter(explains).collect();
    match (alone.pop_first(), alone.pop_first()) {
        (Some(only), None) => (Some(only), BTreeSet::new()),
        (Some(one), Some(other)) => (None, BTreeSet::from([one, other])),
        (None, _) => (None, all),
    }
}

fn seen<'a>(a: IpAddr, b: IpAddr, inventory: &'a Inventory, at: Timestamp) -> Seen<'a> {
    match (place(a, inventory, at), place(b, inventory, at)) {
        (Place::Pod(node), Place::Pod(other) | Place::Node(other))
        | (Place::Node(node), Place::Pod(other)) => {
            if node == other {
                Seen::At(node)
            } else {
                Seen::AtEither(node, other)
            }
        }
        (Place::Pod(node), Place::NoNode) | (Place::NoNode, Place::Pod(node)) => Seen::At(node),
        // Masqueraded traffic, node ports and host ports: outside of the cluster a node has a name of its own.
        (Place::Node(node), Place::NoNode) | (Place::NoNode, Place::Node(node)) => Seen::At(node),
        (Place::Node(node), Place::Node(other)) if node != other => Seen::AtEither(node, other),
        _ => Seen::Anywhere,
    }
}

enum Place<'a> {
    Pod(&'a str),
    Node(&'a str),
    /// An address that no node routes to another: outside, of a Service, or link-local.
    NoNode,
    Unknown,
}

fn place(address: IpAddr, inventory: &Inventory, at: Timestamp) -> Place<'_> {
    match inventory.resolve(address, at) {
        Owner::Pod(index) => {
            let node = inventory
                .pods
                .get(index)
                .and_then(|pod| pod.node.as_deref());
            node.map_or(Place::Unknown, Place::Pod)
        }
        Owner::Node(index) => {
            let node = inventory.nodes.get(index);
            node.map_or(Place::Unknown, |node| Place::Node(&node.name))
        }
        Owner::Service(_) | Owner::Outside => Place::NoNode,
        Owner::Unknown | Owner::Uncertain(_) => Place::Unknown,
    }
}

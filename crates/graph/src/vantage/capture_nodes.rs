//! On which nodes a capture was taken, from what it shows (rule: node-of-a-capture).
//!
//! Some packets never leave a node: between a pod and its own node (the kubelet's probes, its gateway), between two
//! pods of one node, to a Service's address before translation, and to or from link-local addresses. A pod's packets
//! from and to outside addresses pass its own node only. A packet between pods of two nodes passes both, so it tells
//! neither; it is explained if one of the two is known already. A packet of somebody whose node nobody knows may come
//! from any: while it is not explained, the only node that explains the others is no more than likely.

use nanoseg_inventory::{Inventory, Owner, may_be_of_cluster};
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
    /// On this node, or on another one that is not known.
    AtOrElsewhere(&'a str),
    /// On a node that is not known.
    Somewhere,
    /// Tells nothing.
    Anywhere,
}

/// Finds the nodes of a capture from the pairs of addresses between which it has packets, as they were at `at`. A node
/// of `known` is one that was captured for certain: it explains packets that two nodes could have seen. What may be of
/// several nodes (a flow log) need not be of the only one that could have seen everything.
pub fn nodes_of_capture<'p>(
    pairs: impl IntoIterator<Item = &'p (IpAddr, IpAddr)>,
    inventory: &Inventory,
    known: &BTreeSet<String>,
    at: Timestamp,
    may_be_of_several: bool,
) -> CaptureNodes {
    let mut certain: BTreeSet<&str> = BTreeSet::new();
    let mut either: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut or_elsewhere: BTreeSet<&str> = BTreeSet::new();
    let mut somewhere = false;
    for (a, b) in pairs {
        match seen(*a, *b, inventory, at) {
            Seen::At(node) => {
                certain.insert(node);
            }
            Seen::AtEither(a, b) => {
                either.insert((a.min(b), a.max(b)));
            }
            Seen::AtOrElsewhere(node) => {
                or_elsewhere.insert(node);
            }
            Seen::Somewhere => somewhere = true,
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
    let (found, mut presumed) = explain(&either);
    let explained = |node: &&str| certain.contains(node) || found == Some(*node);
    if may_be_of_several || somewhere || !or_elsewhere.iter().all(explained) {
        presumed.extend(found);
    } else {
        certain.extend(found);
    }
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
        (Place::Pod(node) | Place::Node(node), Place::Unknown)
        | (Place::Unknown, Place::Pod(node) | Place::Node(node)) => Seen::AtOrElsewhere(node),
        (Place::Unknown, _) | (_, Place::Unknown) => Seen::Somewhere,
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
    // The packet may be of an earlier time: where pods of two nodes had the address, it tells neither.
    let mut nodes = inventory.nodes_of_pods_with(address);
    if let Some(node) = nodes.pop_first() {
        return if nodes.is_empty() {
            Place::Pod(node)
        } else {
            Place::Unknown
        };
    }
    match inventory.resolve(address, at) {
        Owner::Node(index) => {
            let node = inventory.nodes.get(index);
            node.map_or(Place::Unknown, |node| Place::Node(&node.name))
        }
        // It may be a pod's that the snapshot lacks (rule: unexplained-address).
        Owner::Outside if inventory.partial && may_be_of_cluster(address) => Place::Unknown,
        Owner::Service(_) | Owner::Outside => Place::NoNode,
        Owner::Pod(_) | Owner::Unknown | Owner::Uncertain(_) => Place::Unknown,
    }
}

//! Whether a node's agent may tell of a connection (rule: agent-speaks-for-its-node): whether one of its ends was a pod
//! or an address of that node then.

use super::InventoryListeners;
use nanoseg_flow::{FlowRecord, Listeners, Observers, Standing};
use nanoseg_inventory::{Inventory, Owner};
use nanoseg_net::Timestamp;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Whose an end of a connection was.
enum Place<'a> {
    Mine,
    /// Of another node.
    Theirs(&'a str),
    /// Of a pod that nobody knows for certain: one that began a moment ago, or is gone.
    Unknown,
    /// Of a Service, which every node has.
    Service,
    Outside,
}

/// Returns whether the agent of `node` may tell of the record.
pub(super) fn of(node: &str, record: &FlowRecord, listeners: &InventoryListeners<'_>) -> Standing {
    let standing = of_ends(node, record, listeners);
    match stranger_in_translation(node, record, listeners) {
        Some(owner) if standing == Standing::Own => foreign(&[owner]),
        _ => standing,
    }
}

fn of_ends(node: &str, record: &FlowRecord, listeners: &InventoryListeners<'_>) -> Standing {
    let inventory = listeners.0;
    let place = |address| place(address, record.first, node, inventory);
    match (place(record.client), place(record.server)) {
        (Place::Mine, _) | (_, Place::Mine) => Standing::Own,
        _ if is_translated_here(node, record, listeners) => Standing::Own,
        (Place::Theirs(client), Place::Theirs(server)) => foreign(&[client, server]),
        (Place::Theirs(_), Place::Unknown) | (Place::Unknown, Place::Theirs(_)) => {
            Standing::Uncertain
        }
        (Place::Theirs(owner), _) | (_, Place::Theirs(owner)) => foreign(&[owner]),
        // Whoever stands behind the Service tells of it too.
        (_, Place::Service) | (Place::Service, _) => Standing::Uncertain,
        (Place::Unknown | Place::Outside, Place::Unknown | Place::Outside) => {
            if may_be_of_another_node(node, record, inventory) {
                Standing::Uncertain
            } else {
                Standing::Own
            }
        }
    }
}

fn foreign(owners: &[&str]) -> Standing {
    let owners: Observers = owners.iter().map(|owner| Arc::from(*owner)).collect();
    Standing::Foreign(owners)
}

/// The other node in whose place the record puts something: it was called where the record's server stands, or the server
/// saw it where the record's client stands. What others tell of that place would be taken for parts of this connection,
/// so a node may say so only of itself and of no pod, or if the translation is known and its own pod called.
fn stranger_in_translation<'a>(
    node: &str,
    record: &FlowRecord,
    listeners: &InventoryListeners<'a>,
) -> Option<&'a str> {
    let (at, inventory) = (record.first, listeners.0);
    let place = |address| place(address, at, node, inventory);
    if let Some(called) = record.via
        && let Some(owner) = node_of_pod(called.ip(), at, inventory)
    {
        return Some(owner);
    }
    if let Some(called) = record.via
        && let Place::Theirs(owner) = place(called.ip())
    {
        let arrived = SocketAddr::new(record.server, record.port);
        let known = listeners.translation(record.protocol, called, arrived, at);
        if known.is_none() || !matches!(place(record.client), Place::Mine) {
            return Some(owner);
        }
    }
    let seen_as = record.seen_as?;
    match place(seen_as) {
        Place::Theirs(owner) => Some(owner),
        _ => node_of_pod(seen_as, at, inventory),
    }
}

/// The node of the pod that has the address for itself: no translation puts it in the place of another one.
fn node_of_pod(address: IpAddr, at: Timestamp, inventory: &Inventory) -> Option<&str> {
    let Owner::Pod(index) = inventory.resolve(address, at) else {
        return None;
    };
    let pod = inventory.pods.get(index).filter(|pod| !pod.host_network)?;
    pod.node.as_deref()
}

/// Whose an address was.
fn place<'a>(address: IpAddr, at: Timestamp, node: &str, inventory: &'a Inventory) -> Place<'a> {
    let of = |name: &'a str| {
        if name == node {
            Place::Mine
        } else {
            Place::Theirs(name)
        }
    };
    match inventory.resolve(address, at) {
        Owner::Pod(index) => {
            let pod = inventory.pods.get(index);
            pod.and_then(|pod| pod.node.as_deref())
                .map_or(Place::Unknown, of)
        }
        Owner::Node(index) => {
            let owner = inventory.nodes.get(index);
            owner.map_or(Place::Unknown, |owner| of(&owner.name))
        }
        Owner::Service(_) => Place::Service,
        _ if has_proxy(address, node, inventory) => Place::Mine,
        Owner::Uncertain(index) => match inventory.pods.get(index) {
            Some(pod) if pod.node.as_deref() == Some(node) => Place::Mine,
            _ => Place::Unknown,
        },
        Owner::Unknown => Place::Unknown,
        Owner::Outside => Place::Outside,
    }
}

/// Returns true if the ingress proxy of the node has the address.
fn has_proxy(address: IpAddr, node: &str, inventory: &Inventory) -> bool {
    let mut nodes = inventory.nodes.iter();
    nodes.any(|known| known.name == node && known.ingress.contains(&address))
}

/// Returns true if the node translated the connection: a port of its own was called, or somebody outside of the cluster
/// called an address of a Service that the node received. The translation must be one that is known.
fn is_translated_here(node: &str, record: &FlowRecord, listeners: &InventoryListeners<'_>) -> bool {
    let Some(called) = record.via else {
        return false;
    };
    let (at, inventory) = (record.first, listeners.0);
    let arrived = SocketAddr::new(record.server, record.port);
    let leads_there = || {
        let known = listeners.translation(record.protocol, called, arrived, at);
        known.is_some()
    };
    match place(called.ip(), at, node, inventory) {
        Place::Mine => leads_there(),
        Place::Service | Place::Outside => {
            let client = place(record.client, at, node, inventory);
            matches!(client, Place::Outside) && leads_there()
        }
        Place::Theirs(_) | Place::Unknown => false,
    }
}

/// Returns true if a pod of another node perhaps had one of the addresses.
fn may_be_of_another_node(node: &str, record: &FlowRecord, inventory: &Inventory) -> bool {
    let is_theirs = |address| match inventory.resolve(address, record.first) {
        Owner::Uncertain(index) => {
            let pod = inventory.pods.get(index);
            pod.is_some_and(|pod| pod.node.as_deref() != Some(node))
        }
        _ => false,
    };
    is_theirs(record.client) || is_theirs(record.server)
}
